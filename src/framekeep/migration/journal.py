"""Which states two stores had in common: the memory of a migration between passes, in both directions.

A copy carries the source's revision, so where the two revisions are equal nothing needs remembering. Where
they differ, the question is who moved on since both had the same state: only the source (copy again), only
the target (leave it), or both (a conflict). The journal answers it. It belongs to the pair of stores, not to
a direction, so that copying back after a rollback knows what came from where.

A lost journal is no danger: where it would have known, a conflict is reported that is none.

The file has a JSON line for each event, appended with one write: ``coming`` before a copy's commit, so that a
copy made just before a crash is recognized, and ``arrived`` when it has been compared.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Any

from framekeep.errors import InvalidInputError, StorageBusyError, StorageReadOnlyError
from framekeep.names import REVISION_SIZE, Revision, Space

KIND = "framekeep migration journal"
FORMAT = 1


class Relation(Enum):
    """How a state in the source and what the target holds are related."""

    ABSENT = auto()  # the target holds nothing
    SAME = auto()
    SOURCE_AHEAD = auto()  # the target has a state that both had, and is unchanged since
    TARGET_AHEAD = auto()  # the source has
    BOTH_CHANGED = auto()  # as far as anybody knows


class Journal:
    """The states that were in both of two stores.

    Args:
        path: the file; None keeps nothing beyond this process.
        between: what the two stores are called, for whoever looks into the file.
        target: the one that is written to now.
        read_only: look at the file, if it is there, and write nothing.

    Raises:
        InvalidInputError: the file is something else, or of a newer version.
        StorageBusyError: another migration uses it.
        StorageReadOnlyError: it cannot be read or written.
    """

    def __init__(
        self, path: Path | None, *, between: Sequence[str], target: str, read_only: bool = False
    ) -> None:
        self._target = target
        self._arrived: dict[Space, list[Revision]] = {}
        self._coming: dict[Space, set[tuple[str, Revision]]] = {}
        self._file: int | None = None
        if path is None:
            return
        try:
            self._open(path, between, read_only)
        except OSError as error:
            raise StorageReadOnlyError(
                f"The journal {path} cannot be used: {error.strerror or error}. Name another with --journal."
            ) from error

    def _open(self, path: Path, between: Sequence[str], read_only: bool) -> None:
        if read_only:
            if path.exists():
                self._read(path)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Ids of sessions are what keeps strangers out of them: nobody else may read the file.
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StorageBusyError(
                    f"Another migration is using the journal {path}. Wait for its end, then run this again."
                ) from error
            torn = self._read(path)
            if os.fstat(self._file).st_size == 0:
                self._write({"kind": KIND, "format": FORMAT, "between": sorted(between)})
            elif torn:
                os.write(self._file, b"\n")
        except BaseException:
            self.close()
            raise

    def _read(self, path: Path) -> bool:
        """Take in the file; say whether its last line was cut off."""
        data = path.read_bytes()
        lines = data.split(b"\n")
        if data:
            head = _document(lines[0])
            if head.get("kind") != KIND:
                raise InvalidInputError(
                    f"{path} is no journal of a migration. Name another file with --journal; it is made."
                )
            if head.get("format") != FORMAT:
                raise InvalidInputError(f"The journal {path} is of a newer Framekeep. Install that one.")
        for line in lines[1:]:
            event = _document(line)  # one that cannot be read says nothing, which is safe
            match event:
                case {"event": "coming", "space": str(name), "into": str(into), "revision": str(text)}:
                    self._coming.setdefault(Space(name), set()).add((into, _revision(text)))
                case {"event": "arrived", "space": str(name), "revision": str(text)}:
                    self._add(Space(name), _revision(text))
        return bool(lines[-1])

    # --- what is known ---------------------------------------------------------------------------

    def relation(self, space: Space, source: Revision, target: Revision | None) -> Relation:
        """Say how the two states of a space are related."""
        if target is None:
            return Relation.ABSENT
        if source == target:
            return Relation.SAME
        common = self._arrived.get(space, [])
        if source in common and target in common:  # one of the stores went back: a backup, a failover
            later = common.index(source) > common.index(target)
            return Relation.SOURCE_AHEAD if later else Relation.TARGET_AHEAD
        if source in common:
            return Relation.TARGET_AHEAD
        if target in common or (self._target, target) in self._coming.get(space, ()):
            return Relation.SOURCE_AHEAD
        return Relation.BOTH_CHANGED

    def has_arrived(self, space: Space, revision: Revision) -> bool:
        """Say whether both stores had this state, compared."""
        return revision in self._arrived.get(space, ())

    # --- what happens ----------------------------------------------------------------------------

    def coming(self, space: Space, revision: Revision) -> None:
        """Remember that this state is about to be written into the target."""
        self._coming.setdefault(space, set()).add((self._target, revision))
        self._write({"event": "coming", "space": space, "revision": revision.hex(), "into": self._target})

    def arrived(self, space: Space, revision: Revision) -> None:
        """Remember that both stores have this state."""
        self._add(space, revision)
        self._write({"event": "arrived", "space": space, "revision": revision.hex()})

    def _add(self, space: Space, revision: Revision) -> None:
        common = self._arrived.setdefault(space, [])
        if revision in common:  # they came back to it
            common.remove(revision)
        common.append(revision)

    def _write(self, event: dict[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        try:
            os.write(self._file, line)
        except OSError as error:
            raise StorageReadOnlyError(
                f"The migration's journal cannot be written: {error.strerror}. Make room, or name another "
                "file with --journal, and run this again."
            ) from error

    def close(self) -> None:
        """Put the file on the disk and let go of it."""
        file, self._file = self._file, None
        if file is not None:
            os.fsync(file)
            os.close(file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _document(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _revision(text: str) -> Revision:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return Revision(b"")
    return Revision(found if len(found) == REVISION_SIZE else b"")

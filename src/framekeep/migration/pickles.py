"""From a directory of pickle files to sessions: each in one step, with its versions, marks and log.

The revision of a copy is the fingerprint of the files, so that a second pass knows, without opening a pickle,
what is there already and what the old application has changed since.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framekeep.errors import (
    Conflict,
    ConflictError,
    DamagedFileError,
    InvalidInputError,
    InvalidMarksError,
    NotFoundError,
)
from framekeep.marks import Marks
from framekeep.migration import legacy
from framekeep.migration.arrival import Arrival, Brought, Gone, Moved, Stage
from framekeep.migration.legacy import Legacy
from framekeep.migration.pickle_reader import PickleReader
from framekeep.migration.report import Outcome
from framekeep.names import Digest, Revision, Space, checked_id
from framekeep.sessions.head import Session
from framekeep.sessions.parts import Part, parts_of_frame
from framekeep.sessions.source import named, state_of
from framekeep.timeline import State, Timeline, Version

if TYPE_CHECKING:
    import pandas as pd

    from framekeep.frames import FrameCodec, Manifest

_LOOKS = 5
_MANIFEST_BYTES = 1 << 20  # roughly
_UNMATCHED = "intentional_missing"
"""The metadata key for marks that fit no column or row: they are not lost."""


class Pickles:
    """Offers what a directory of pickle files holds; writes nothing there.

    Args:
        directory: with ``sessions/<id>/current.pkl``, ``versions/<n>.pkl`` and ``meta.json`` below; or with
            the directories of sessions themselves.
        codec: how frames become bytes.
        reader: opens pickles, elsewhere; None where nothing is to be opened (a dry run).
        ttl: seconds of a session whose meta.json does not say.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        codec: FrameCodec,
        reader: PickleReader | None,
        *,
        ttl: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._codec = codec
        self._reader = reader
        self._ttl = ttl
        self._clock = clock

    def spaces(self, only: Collection[str] = ()) -> list[Space]:
        """Return the sessions, whatever their directories are called.

        Raises:
            InvalidInputError: the directory cannot be read.
            InvalidIdError: one of ``only`` is malformed.
        """
        wanted = {checked_id(id) for id in only}
        found = [path.name for path in legacy.session_directories(self._directory)]
        if wanted:
            found = [id for id in found if id in wanted] + sorted(wanted.difference(found))
        return [Space(f"session:{id}") for id in found]

    def move(
        self, name: Space, arrival: Arrival, step: Callable[[float], None], *, asked: bool = False
    ) -> Outcome:
        """Bring one session to where it is to arrive; see ``Copying.move``.

        Raises:
            InvalidInputError: its files cannot be read; the text says which and why.
        """
        id, inner = checked_id(name.partition(":")[2]), self._directory / "sessions"
        directory = (inner if inner.is_dir() else self._directory) / id
        for _ in range(_LOOKS):
            if not directory.is_dir():
                if asked:
                    raise NotFoundError(f"{name} is not in the source.")
                return Outcome.GONE
            try:
                revision = legacy.fingerprint(directory)
                found = legacy.read(directory, self._ttl)
                return arrival.receive(_Files(self, name, directory, revision, found, step))
            except (Moved, Conflict, FileNotFoundError):
                continue
            except Gone:
                return Outcome.GONE
            except OSError as error:
                where = os.fsencode(error.filename or directory).decode("ascii", "backslashreplace")
                raise InvalidInputError(f"{where} cannot be read: {error.strerror}.") from error
        raise ConflictError(f"The files of {name} changed each time they were read. Run this again.")

    def left(self, found: Legacy) -> float | None:
        """Return the seconds to the expiry that the files name; None if they name none. Raises Gone."""
        if found.expires_at is None:
            return None
        left = found.expires_at.timestamp() - self._clock()
        if left <= 0:
            raise Gone
        return left

    def stored(self, path: Path, present: frozenset[Digest], stage: Stage) -> Manifest:
        """Stage the frame of a file; return its manifest."""
        assert self._reader is not None
        frame = self._reader.frame(legacy.checked_file(path))
        encoded = self._codec.encode(frame, present=present, stage=stage)
        if encoded.blobs:
            stage(encoded.blobs)
        return encoded.manifest


@dataclass(slots=True)
class _Files:
    """One state of the files of a session: an ``Offer``."""

    _pickles: Pickles
    space: Space
    _directory: Path
    revision: Revision
    _found: Legacy
    _step: Callable[[float], None]
    staged: frozenset[Digest] = field(default_factory=frozenset)

    @property
    def body(self) -> bytes | None:
        return None  # it needs the frames

    def left(self) -> float | None:
        return self._pickles.left(self._found)

    def lifetime(self) -> float | None:
        left = self.left()
        return self._found.ttl if left is None else left

    def log(self) -> Sequence[bytes]:
        self.left()  # what has expired is not worth opening
        return self._found.log

    def bring(self, stage: Stage, present: frozenset[Digest]) -> Brought:
        found, parts = self._found, dict[Digest, Part]()
        states: list[State] = []
        titled = [(version.path, f"version {version.id}") for version in found.versions]
        titled.append((found.current, "current"))
        for path, title in titled:
            try:
                manifest = self._pickles.stored(path, present | parts.keys(), stage)
            except DamagedFileError as error:
                if legacy.fingerprint(self._directory) != self.revision:
                    raise Moved from error  # it was being written
                raise
            for part in parts_of_frame(manifest.digest, _MANIFEST_BYTES, manifest, title):
                parts.setdefault(part.digest, part)
            states.append(state_of(manifest, None))
            self._step(1 / len(titled))
        current, left = states[-1], dict[str, Any]()
        if found.marks:
            marks, left = _fitting(found.marks, manifest.columns, manifest.rows)
            digest, blob = named(marks)
            if digest is not None:
                stage(blob)
                parts[digest] = Part(digest, "current: marks", len(blob[digest]))
                current = replace(current, marks=digest)
        if legacy.fingerprint(self._directory) != self.revision:
            raise Moved
        past = tuple(
            Version(version.id, version.summary, version.created_at, state)
            for version, state in zip(found.versions, states[:-1], strict=True)
        )
        session = Session(
            filename=found.filename,
            created_at=found.created_at,
            ttl=found.ttl,
            initial_rows=states[0].rows,
            lineage=self.revision,
            timeline=Timeline(current, past, (), found.next_id),
            metadata={**found.metadata, **({_UNMATCHED: left} if left else {})},
        )
        return Brought(session.encode(), parts)


def _fitting(given: Mapping[str, Any], columns: pd.Index, rows: int) -> tuple[Marks, dict[str, Any]]:
    """Return the marks that fit a frame, and what does not."""
    labels: dict[str, list[Any]] = {}
    for label in columns.tolist():
        labels.setdefault(str(label), []).append(label)
    marks, left = Marks(), dict[str, Any]()
    for text, entries in given.items():
        candidates = [label for label in labels.get(text, []) if label == text] or labels.get(text, [])
        try:
            if len(candidates) != 1 or not isinstance(entries, Iterable) or isinstance(entries, str):
                raise InvalidMarksError("No column, or several, or no rows.")
            marks = marks.replaced({candidates[0]: entries}, columns, rows)
        except (InvalidMarksError, TypeError, ValueError, KeyError):
            left[text] = entries
    return marks, left

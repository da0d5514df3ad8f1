"""Reading what a session's head names: frames, marks, and where a missing part belongs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framekeep.engines.base import Engine, Visit
from framekeep.errors import BlobMissing, InvalidInputError, SessionDamagedError, SessionNotFoundError
from framekeep.marks import Marks, Positions
from framekeep.names import Digest, Space, digest_of
from framekeep.sessions.head import Session
from framekeep.timeline import State, Timeline

if TYPE_CHECKING:
    from framekeep.frames import FrameCodec, Manifest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the rows and columns of a frame were in the frame before it, so that marks can follow.

    Attributes:
        rows: for each row, its position there; None: all rows are where they were.
        columns: for each column, its position there, -1 for a new one; None: they are known by their labels.
    """

    rows: Sequence[int] | Positions | None = None
    columns: Sequence[int] | Positions | None = None

    def checked(self, before: Manifest, after: Manifest) -> tuple[Positions | None, Positions | None]:
        """Return both as arrays; InvalidInputError if they do not fit the frames."""
        return (
            _positions(self.rows, "row", 0, before.rows, after.rows),
            _positions(self.columns, "column", -1, len(before.columns), len(after.columns)),
        )


def _positions(given: Any, what: str, least: int, limit: int, length: int) -> Positions | None:
    if given is None:
        return None
    import numpy as np

    array = np.asarray(given)
    if array.shape != (length,) or (array.dtype.kind not in "iu" and length):
        raise InvalidInputError(
            f"The {what} positions of a replaced frame must be {length} integers, one for each {what}."
        )
    if length and not least <= int(array.min()) <= int(array.max()) < limit:
        raise InvalidInputError(f"The {what} positions of a replaced frame go beyond the frame before it.")
    return array.astype(np.int64)


class Source:
    """Reads the frames and marks of one space."""

    def __init__(self, engine: Engine, codec: FrameCodec, name: Space) -> None:
        self._engine = engine
        self._codec = codec
        self._name = name

    def chunks(self, digests: Sequence[Digest], visit: Visit) -> None:
        """Read blobs: the ``Reader`` that the frame codec wants."""
        self._engine.read(self._name, digests, visit)

    def manifest(self, digest: Digest) -> Manifest:
        """Return the manifest of that name."""
        return self._codec.manifest(self.chunks, digest)

    def marks(self, digest: Digest | None) -> Marks:
        """Return the marks of that name; None names no marks."""
        if digest is None:
            return Marks()
        from framekeep.frames.reading import read_bare

        return Marks.decode(read_bare(self.chunks, digest, "marks"))

    def live(self, line: Timeline, *known: Manifest) -> frozenset[Digest]:
        """Return every blob that the states of a timeline need."""
        manifests = {manifest.digest: manifest for manifest in known}
        needed: set[Digest] = set(line.marks())
        for digest in line.frames():
            needed |= (manifests.get(digest) or self.manifest(digest)).digests
        return frozenset(needed)

    def state_after(
        self, before: State, manifest: Manifest, origin: Origin | None = None
    ) -> tuple[State, dict[Digest, bytes]]:
        """Return the state of a frame that follows ``before``, and the blob of its marks if that is new.

        Raises:
            InvalidInputError: ``origin`` does not fit the two frames.
        """
        if origin is None and before.marks is None:
            return state_of(manifest, None), {}
        old = self.manifest(before.frame)
        rows, columns = (origin or Origin()).checked(old, manifest)
        if before.marks is None:
            return state_of(manifest, None), {}
        at_home = rows is None and columns is None and old.rows == manifest.rows
        if at_home and old.columns.identical(manifest.columns):
            return state_of(manifest, before.marks), {}
        marks = self.marks(before.marks).carried(
            old.columns, manifest.columns, manifest.rows, row_sources=rows, column_sources=columns
        )
        digest, new = named(marks)
        return state_of(manifest, digest), new

    def names(self, session: Session, error: BlobMissing) -> bool:
        """Say whether a missing blob is one that the session's timeline needs."""
        try:
            return not self.live(session.timeline).isdisjoint(error.digests)
        except BlobMissing:
            return True

    def place(self, session: Session, error: BlobMissing) -> str:
        """Return where in the session the first missing blob belongs, as exactly as can be said."""
        lost = {Digest(digest) for digest in error.digests}
        for title, state in titled(session.timeline):
            if state.frame in lost:
                return f"{title}: manifest"
            if state.marks in lost:
                return f"{title}: marks"
        for title, state in titled(session.timeline):
            try:
                manifest = self.manifest(state.frame)
            except BlobMissing as gone:  # the manifest is there: its labels are read with it
                if not lost.isdisjoint(gone.digests):
                    return f"{title}: column labels"
                continue
            except SessionDamagedError:
                continue
            for digest in lost & manifest.digests:
                return f"{title}: {manifest.locate(digest)}"
        return "a blob that no state names"


def titled(line: Timeline) -> list[tuple[str, State]]:
    """Return the states of a timeline with the names users know them by, the current one first."""
    states = [("current", line.current)]
    states += [(f"version {version.id}", version.state) for version, _ in line.versions()]
    if line.future:
        states.append((f"redo of version {line.future[0].id}", line.future[0].state))
    return states


def named(marks: Marks) -> tuple[Digest | None, dict[Digest, bytes]]:
    """Return the digest of marks (None for none) and the blob to store."""
    if not marks:
        return None, {}
    data = marks.encode()
    digest = digest_of(data)
    return digest, {digest: data}


def state_of(manifest: Manifest, marks: Digest | None) -> State:
    """Return the state of a frame with marks."""
    return State(manifest.digest, marks, manifest.rows, len(manifest.columns), manifest.nbytes)


def not_found(session_id: str) -> SessionNotFoundError:
    """Return the error for a session that is not there."""
    return SessionNotFoundError(f"Session {session_id!r} is unknown, deleted or expired.")


def damaged(session_id: str, error: SessionDamagedError) -> SessionDamagedError:
    """Return ``error`` with the session named."""
    if error.session_id == session_id:
        return error
    return SessionDamagedError(f"Session {session_id!r}: {error}", session_id=session_id, where=error.where)


def missing(session_id: str, error: BlobMissing, where: str) -> SessionDamagedError:
    """Return the error for a blob that a session needs and that is not there."""
    return SessionDamagedError(
        f"Session {session_id!r}: {len(error.digests)} stored part(s) are missing ({where}). "
        "Run 'framekeep check' to see what else is concerned.",
        session_id=session_id,
        where=where,
    )

"""Reading what a session's head names: frames, marks, and where a missing part belongs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from framekeep.engines.base import Engine, Visit, blobs
from framekeep.errors import BlobMissing, SessionDamagedError, SessionNotFoundError
from framekeep.marks import Marks
from framekeep.names import Digest, Space, digest_of
from framekeep.sessions.head import Session
from framekeep.timeline import State, Timeline

if TYPE_CHECKING:
    from framekeep.frames import FrameCodec, Manifest


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
        [data] = blobs(self._engine, self._name, [digest])
        if digest_of(data) != digest:
            raise SessionDamagedError("The marks of intentional missing are damaged.", where="marks")
        return Marks.decode(data)

    def live(self, line: Timeline, *known: Manifest) -> frozenset[Digest]:
        """Return every blob that the states of a timeline need."""
        manifests = {manifest.digest: manifest for manifest in known}
        needed: set[Digest] = set(line.marks())
        for digest in line.frames():
            needed |= (manifests.get(digest) or self.manifest(digest)).digests
        return frozenset(needed)

    def state_after(self, before: State, manifest: Manifest) -> tuple[State, dict[Digest, bytes]]:
        """Return the state of a frame that follows ``before``, and the blob of its marks if that is new."""
        digest = before.marks
        new: dict[Digest, bytes] = {}
        if before.marks is not None:
            old = self.manifest(before.frame)
            if old.rows != manifest.rows or not old.columns.identical(manifest.columns):
                marks = self.marks(before.marks).carried(old.columns, manifest.columns, manifest.rows)
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
            except (BlobMissing, SessionDamagedError):
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

"""The line of states of one session: versions, the cursor, undo, redo, restore, retention.

Owns which states a session can return to and in which order. Pure: no I/O, no clock, no randomness, and no
knowledge of what a state's digests stand for. Every transition returns a new value.

The line is ``L0 -v1- L1 -v2- L2 ... -vn- Ln``: version ``vi`` lies between the state before an action and the
state after it. ``past`` holds each version left of the cursor with the state *before* its action, ``future``
each version right of it with the state *after* its action (the next to redo comes last), and ``current`` is
the state under the cursor. So moving the cursor moves one state per version and loses none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from framekeep.errors import NothingToRedoError, NothingToUndoError, VersionNotFoundError
from framekeep.names import Digest


@dataclass(frozen=True, slots=True)
class State:
    """A frame with its marks, by name.

    Attributes:
        frame: the digest of the frame's manifest.
        marks: the digest of its intentional-missing marks; None when it has none.
        rows: number of rows.
        columns: number of columns.
        nbytes: bytes of the frame's data, uncompressed.
    """

    frame: Digest
    marks: Digest | None
    rows: int
    columns: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Version:
    """An action, with a state on one side of it (see the module's docstring for which).

    Attributes:
        id: counts from 1 in one session and is never used again.
        summary: one line: the action that followed the version's state.
        created_at: when the version was made (aware, UTC).
        state: the state before the action (in ``past``) or after it (in ``future``).
    """

    id: int
    summary: str
    created_at: datetime
    state: State


@dataclass(frozen=True, slots=True)
class Timeline:
    """All states of a session that can be returned to, and the cursor between them."""

    current: State
    past: tuple[Version, ...] = ()
    future: tuple[Version, ...] = ()
    next_id: int = 1

    # --- what is on it ---------------------------------------------------------------------------

    def states(self) -> Iterator[State]:
        """Yield every state on the line, oldest first."""
        for version in self.past:
            yield version.state
        yield self.current
        for version in reversed(self.future):
            yield version.state

    def frames(self) -> frozenset[Digest]:
        """Return the manifests of all states on the line."""
        return frozenset(state.frame for state in self.states())

    def marks(self) -> frozenset[Digest]:
        """Return the marks of all states on the line."""
        return frozenset(state.marks for state in self.states() if state.marks is not None)

    def live(self) -> frozenset[Digest]:
        """Return every digest that a state on the line names."""
        return self.frames() | self.marks()

    def versions(self) -> Iterator[tuple[Version, bool]]:
        """Yield each version with the state *before* its action, oldest first, and whether it is undone."""
        for version in self.past:
            yield version, False
        before = self.current
        for version in reversed(self.future):
            yield replace(version, state=before), True
            before = version.state

    def version(self, version_id: int) -> Version:
        """Return a version with the state before its action.

        Raises:
            VersionNotFoundError: it never existed, was dropped for newer ones, or its line was left.
        """
        for version, _ in self.versions():
            if version.id == version_id:
                return version
        ids = ", ".join(str(version.id) for version, _ in self.versions()) or "none"
        if 0 < version_id < self.next_id:
            raise VersionNotFoundError(f"Version {version_id} was dropped. Kept versions: {ids}.")
        raise VersionNotFoundError(f"There is no version {version_id}. Kept versions: {ids}.")

    @property
    def cursor_id(self) -> int:
        """The id of the version that undo would step back to; 0 when there is none."""
        return self.past[-1].id if self.past else 0

    # --- new states ------------------------------------------------------------------------------

    def create_version(self, state: State, summary: str, *, at: datetime, max_versions: int) -> Timeline:
        """Keep ``state`` as the newest version, leave the current state as it is, forget the future.

        At most ``max_versions`` versions stay (0 keeps none); the oldest are dropped first. The new
        version's id is the old ``next_id``, also when it is not kept.
        """
        past = (*self.past, Version(self.next_id, summary, at, state))
        return Timeline(self.current, past[max(0, len(past) - max_versions) :], (), self.next_id + 1)

    def update(self, state: State) -> Timeline:
        """Replace the current state and forget the future; the state that was is not kept."""
        return replace(self, current=state, future=())

    def commit(self, state: State, summary: str, *, at: datetime, max_versions: int) -> Timeline:
        """Keep the current state as a version and make ``state`` the current one."""
        kept = self.create_version(self.current, summary, at=at, max_versions=max_versions)
        return replace(kept, current=state)

    # --- moving the cursor -----------------------------------------------------------------------

    def undo(self) -> tuple[Timeline, Version]:
        """Step back; also return the version that is current now (with its state).

        Raises:
            NothingToUndoError: no version is left of the cursor.
        """
        if not self.past:
            raise NothingToUndoError(
                "There is nothing to undo: the session has no version before its current state. "
                "Its history lists what there is."
            )
        version = self.past[-1]
        undone = replace(version, state=self.current)
        return replace(
            self, current=version.state, past=self.past[:-1], future=(*self.future, undone)
        ), version

    def redo(self) -> tuple[Timeline, Version]:
        """Step forward; also return the version whose action is done again (with the state after it).

        Raises:
            NothingToRedoError: no version is right of the cursor.
        """
        if not self.future:
            raise NothingToRedoError(
                "There is nothing to redo: nothing was undone, or a new change followed. "
                "The session's history lists what there is."
            )
        version = self.future[-1]
        done = replace(version, state=self.current)
        return replace(self, current=version.state, past=(*self.past, done), future=self.future[:-1]), version

    def restore(self, version_id: int) -> tuple[Timeline, Version]:
        """Move the cursor to the state before the version's action: several undos or redos at once.

        Nothing is lost: redo leads back. Restoring the version that is current already changes nothing.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        version = self.version(version_id)
        line = self
        while any(earlier.id == version_id for earlier in line.past):
            line, _ = line.undo()
        while line.future[-1].id != version_id:
            line, _ = line.redo()
        return line, version

"""The 27 methods of ``StorageBackend`` and what goes beyond them, written once for every engine.

Owns the meaning of each verb that changes something; what only reads is in ``reader``. How a head is moved
and retried is in ``heads``; what each verb does to a session is in ``verbs``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from framekeep.engines.base import Engine
from framekeep.errors import BlobMissing, SessionDamagedError, SessionExistsError, StorageUnavailableError
from framekeep.names import Revision, checked_id, new_revision, space
from framekeep.sessions import verbs
from framekeep.sessions.arguments import (
    checked_count,
    checked_metadata,
    checked_text,
    checked_ttl,
    listed,
)
from framekeep.sessions.edit import Edit
from framekeep.sessions.head import Session
from framekeep.sessions.heads import PATIENCE, Heads, Step, Told
from framekeep.sessions.operations import Outcome, carry_out
from framekeep.sessions.reader import SessionReader
from framekeep.sessions.source import damaged, state_of
from framekeep.sessions.temporary import TemporaryStorage
from framekeep.timeline import State, Timeline

if TYPE_CHECKING:
    import pandas as pd

    from framekeep.editing import Operation
    from framekeep.frames import Encoded, FrameCodec

logger = logging.getLogger("framekeep")

_PURGE = 1000  # spaces freed in one step, so that others get their turn


class SessionBackend(SessionReader):
    """Sessions of DataFrames on one engine; implements ``StorageBackend``. Thread-safe.

    Args:
        engine: where the bytes are.
        codec: how frames become bytes.
        clock: the time in seconds since 1970 (UTC); the engine's expiry should go by the same.
        revisions: makes a fresh unique revision.
        patience: seconds that a change of metadata, marks or audit log is tried against a busy session.
    """

    def __init__(
        self,
        engine: Engine,
        codec: FrameCodec,
        *,
        clock: Callable[[], float] = time.time,
        revisions: Callable[[], Revision] = new_revision,
        patience: float = PATIENCE,
    ) -> None:
        heads = Heads(engine, codec, patience=patience, revisions=revisions)
        super().__init__(engine, codec, heads, clock)
        self._temporary = TemporaryStorage(engine, codec, clock=clock, revisions=revisions)

    # --- sessions --------------------------------------------------------------------------------

    def create_session(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        filename: str,
        ttl_seconds: float,
        *,
        on_revision: Told | None = None,
    ) -> None:
        """Keep a new session.

        Raises:
            InvalidIdError, InvalidInputError: an argument is wrong.
            SessionExistsError: the id is taken.
            NotADataFrameError, UnsupportedTypeError, DataFrameTooLargeError: nothing is stored.
        """
        name = space("session", checked_id(session_id))
        ttl, filename = checked_ttl(ttl_seconds), checked_text(filename, "file name")
        taken = SessionExistsError(f"Session {session_id!r} exists already. Choose another id.")
        with suppress(StorageUnavailableError):  # then the commit says whether it can be made
            if self.engine.load(name) is not None:
                raise taken

        def make(revision: Revision) -> tuple[Session, Encoded, bytes]:
            encoded = self.codec.encode(dataframe, stage=lambda batch: self.engine.stage(name, batch))
            state, now = state_of(encoded.manifest, None), self._now()
            audit = verbs.stamped(
                now,
                f"Session created from {filename!r}. Initial rows: {state.rows}, columns: {state.columns}",
            )
            return Session(filename, now, ttl, state.rows, revision, Timeline(state)), encoded, audit

        if not self._heads.create(session_id, make, told=on_revision):
            raise taken

    def update_dataframe(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> None:
        """Replace the current frame; what could be redone is forgotten. Marks that still fit stay.

        Args:
            session_id: the session.
            dataframe: the new frame.
            expected_revision: what ``revision`` gave when the frame was read.
            on_revision: called with the revision that this led to (so for every verb that changes data).

        Raises:
            ConflictError: somebody else changed the data during the call, or since ``expected_revision``.
        """
        self._heads.advance(
            session_id, dataframe, verbs.update(self._now), expected=expected_revision, told=on_revision
        )

    def delete_session(self, session_id: str, *, expected_revision: Revision | None = None) -> bool:
        """Delete a session with all it holds; False if it was not there.

        ConflictError if the data changed since ``expected_revision``.

        The audit log goes with the session, so the deletion is recorded in the log "framekeep".
        """
        deleted = self._heads.delete(space("session", checked_id(session_id)), expected=expected_revision)
        if deleted:
            logger.info("%s", verbs.unstamped(verbs.stamped(self._now(), f"Session {session_id} deleted")))
        return deleted

    def touch_session(self, session_id: str, ttl_seconds: float) -> None:
        """Make ``ttl_seconds`` the session's time to live, counted from now."""
        ttl = checked_ttl(ttl_seconds)
        if self._heads.access(session_id).session.ttl != ttl:
            self._heads.change(session_id, verbs.live_for(ttl))

    # --- metadata --------------------------------------------------------------------------------

    def update_metadata(
        self, session_id: str, metadata: Mapping[str, Any], *, expected_revision: Revision | None = None
    ) -> None:
        """Merge the caller's own JSON values into the metadata; a key that is there already is replaced.

        Raises:
            InvalidMetadataError: a value is not JSON, or a key is one that Framekeep fills.
            ConflictError: somebody else changed the data since ``expected_revision``.
        """
        transition = verbs.merge(checked_metadata(metadata))
        self._heads.change(session_id, transition, expected=expected_revision)

    # --- versions --------------------------------------------------------------------------------

    def create_version(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep ``dataframe``, the state before an action, as the newest version and return its id.

        The current frame stays as it is; what could be redone is forgotten. At most ``max_versions``
        versions stay, the oldest are dropped first; 0 keeps none.

        Raises:
            ConflictError: somebody else changed the data during the call, or since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        limit = checked_count(max_versions, "number of versions")
        transition = verbs.create_version(summary, self._now, limit)
        return self._heads.advance(
            session_id, dataframe, transition, expected=expected_revision, told=on_revision
        )

    def commit_dataframe(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep what was as a version and make ``dataframe`` current, in one step; return the version's id.

        Raises:
            ConflictError: somebody else changed the data during the call, or since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        limit = checked_count(max_versions, "number of versions")
        transition = verbs.commit_version(summary, self._now, limit)
        return self._heads.advance(
            session_id, dataframe, transition, expected=expected_revision, told=on_revision
        )

    def checkpoint(
        self,
        session_id: str,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep the current state as the newest version without loading its frame; return the version's id.

        Raises:
            ConflictError: somebody else changed the data at the same moment, or since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        transition = verbs.checkpoint(summary, self._now, checked_count(max_versions, "number of versions"))
        return self._heads.move(session_id, transition, expected=expected_revision, told=on_revision)

    def edit(
        self,
        session_id: str,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
    ) -> Edit:
        """Return a context manager that hands out the current frame and commits what was changed in it.

        Entering it raises ConflictError if the data changed since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        limit = checked_count(max_versions, "number of versions")
        return Edit(self._heads, self._now, checked_id(session_id), summary, limit, expected_revision)

    def apply(
        self,
        session_id: str,
        action_summary: str,
        function: Callable[[pd.DataFrame], object],
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
    ) -> int | None:
        """Put what ``function`` makes of the current frame in its place, as one version; return its id.

        None if nothing changed. The function gets a frame that it may change, and returns the next one.

        Raises:
            ConflictError: somebody else changed the data while the function ran, or since
                ``expected_revision``.
        """
        step = self.edit(session_id, action_summary, max_versions, expected_revision=expected_revision)
        with step as frame:
            step.replace(function(frame))
        return step.version_id

    def apply_operations(
        self,
        session_id: str,
        operations: Iterable[Operation | Mapping[str, Any]],
        summary: str | None = None,
        max_versions: int = 5,
        *,
        dry_run: bool = False,
        samples: int = 10,
        expected_revision: Revision | None = None,
    ) -> Outcome:
        """Carry operations of the editing vocabulary out, in order, as one version.

        Args:
            session_id: the session.
            operations: ``editing`` models, or JSON objects of the same shape.
            summary: what the version is called; None says what the operations do.
            max_versions: versions kept at most.
            dry_run: say what they would change, and store nothing.
            samples: changed cells and removed rows that are given as examples.
            expected_revision: what ``revision`` gave when the data was looked at.

        Raises:
            InvalidEditError: an operation is malformed or cannot be carried out; nothing is changed.
            ConflictError: somebody else changed the data meanwhile, or since ``expected_revision``.
        """
        from framekeep.editing import describe, parse_operations

        parsed = parse_operations(operations)
        said = describe(parsed) if summary is None else summary
        step = self.edit(session_id, said, max_versions, expected_revision=expected_revision)
        return carry_out(
            step, said, parsed, dry_run=dry_run, samples=checked_count(samples, "number of samples")
        )

    def undo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step back without loading a frame; return the version that is current now.

        Raises:
            NothingToUndoError: there is no version to step back to.
            ConflictError: somebody else changed the data at the same moment, or since ``expected_revision``.
        """
        transition = verbs.cursor(Timeline.undo, "Undid", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision, told=on_revision)

    def redo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step forward without loading a frame; return the version whose action is done again."""
        transition = verbs.cursor(Timeline.redo, "Redid", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision, told=on_revision)

    def restore(
        self,
        session_id: str,
        version_id: int,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step to a version (forward or back) without loading a frame; redo and undo lead on from there.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        number = checked_count(version_id, "version id")
        transition = verbs.cursor(lambda line: line.restore(number), "Restored", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision, told=on_revision)

    def undo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step back and return the frame that this led to."""
        return self._stepped(session_id, verbs.cursor(Timeline.undo, "Undid", self._now))

    def redo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step forward and return the frame that this led to."""
        return self._stepped(session_id, verbs.cursor(Timeline.redo, "Redid", self._now))

    def restore_version(self, session_id: str, version_id: int) -> pd.DataFrame:
        """Step to a version and return its frame."""
        number = checked_count(version_id, "version id")
        return self._stepped(
            session_id, verbs.cursor(lambda line: line.restore(number), "Restored", self._now)
        )

    def _stepped(self, session_id: str, step: Callable[[Session], Step[dict[str, Any]]]) -> pd.DataFrame:
        """Move the cursor; return the frame it came to, which needs no second look at the head."""
        reached: list[State] = []

        def transition(session: Session) -> Step[dict[str, Any]]:
            made = step(session)
            reached.append(made.session.timeline.current)
            return made

        self._heads.move(session_id, transition)
        source = self._heads.source(session_id)
        try:
            return self.codec.decode(source.chunks, source.manifest(reached[-1].frame))
        except BlobMissing:  # somebody has moved on meanwhile, and dropped it
            return self.get_dataframe(session_id)
        except SessionDamagedError as error:
            raise damaged(session_id, error) from error

    # --- intentional missing ---------------------------------------------------------------------

    def set_intentional_missing(
        self,
        session_id: str,
        column: Hashable,
        row_indices: Iterable[int],
        *,
        reason: str | None = None,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> None:
        """Mark exactly these rows of a column; an empty list clears it.

        A change of marks belongs to the current state: it travels with it through undo and redo, and what
        could be redone is forgotten.

        Args:
            session_id: the session.
            column: the column's label.
            row_indices: row positions.
            reason: why they are empty; "" takes reasons away, None leaves each row the reason it has.
            expected_revision: what ``revision`` gave when the rows were counted.

        Raises:
            InvalidMarksError: the frame has no such column or row.
            ConflictError: somebody else changed the data since ``expected_revision``.
        """
        entries = [{"rows": row_indices, "reason": reason}]
        self.set_intentional_missing_batch(
            session_id, {column: entries}, expected_revision=expected_revision, on_revision=on_revision
        )

    def set_intentional_missing_batch(
        self,
        session_id: str,
        columns_data: Mapping[Any, Iterable[int] | Iterable[Mapping[str, Any]]],
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> None:
        """Set the marks of several columns in one step; either all are valid or nothing is changed.

        A column's marks are row positions, or a list of ``{"rows": positions, "reason": text}``.
        """
        # An iterator must survive a second attempt.
        transition = verbs.mark(listed(columns_data))
        self._heads.change(session_id, transition, expected=expected_revision, told=on_revision)

    # --- audit -----------------------------------------------------------------------------------

    def add_audit_entry(self, session_id: str, entry: str) -> None:
        """Append a line to the audit log; it is stamped with the time."""
        line = verbs.stamped(self._now(), checked_text(entry, "audit entry"))
        self._heads.change(session_id, verbs.append(line))

    # --- temporary storage -----------------------------------------------------------------------

    def create_temp_storage(
        self,
        temp_id: str,
        sheets_dict: Mapping[str, pd.DataFrame],
        filename: str,
        ttl_seconds: float = 1800,
    ) -> None:
        """Keep the sheets of a workbook for ``ttl_seconds``; replaces what the id held, in one step."""
        self._temporary.create(temp_id, sheets_dict, filename, ttl_seconds)

    def get_temp_storage(self, temp_id: str, *, only: Collection[str] | None = None) -> dict[str, Any]:
        """Return ``temp_id``, ``filename``, ``sheets`` (name -> frame), ``created_at``, ``expires_at``.

        Does not move the expiry. With ``only``, no other sheets are loaded than those of these names.
        """
        return self._temporary.get(temp_id, only)

    def delete_temp_storage(self, temp_id: str) -> bool:
        """Delete the sheets; False if they were not there."""
        return self._heads.delete(space("temp", checked_id(temp_id, what="temporary storage id")))

    # --- cleanup ---------------------------------------------------------------------------------

    def cleanup_expired_sessions(self) -> int:
        """Free what expired sessions held (and old locks and replies); return how many sessions."""
        self._purge("lock:")
        self._purge("reply:")
        return self._purge("session:")

    def cleanup_expired_temp_storage(self) -> int:
        """Free what expired temporary storages held; return how many."""
        return self._purge("temp:")

    def _purge(self, prefix: str) -> int:
        total = 0
        while True:
            freed = self.engine.purge(prefix, _PURGE)
            total += freed
            if freed < _PURGE:
                return total

    def close(self) -> None:
        """Release the engine and the caches; every later call raises StorageUnavailableError."""
        self.engine.close()
        self.codec.clear()

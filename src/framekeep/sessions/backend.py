"""The 27 methods of ``StorageBackend`` and what goes beyond them, written once for every engine.

Owns the meaning of each verb. How a head is moved and retried is in ``heads``; what each verb does to a
session is in ``verbs``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from framekeep.engines.base import Engine
from framekeep.errors import FramekeepError, InvalidInputError, SessionExistsError
from framekeep.names import Revision, checked_id, new_revision, space
from framekeep.sessions import verbs
from framekeep.sessions.arguments import (
    checked_count,
    checked_metadata,
    checked_text,
    checked_ttl,
    listed,
)
from framekeep.sessions.check import check
from framekeep.sessions.edit import Edit
from framekeep.sessions.head import Session
from framekeep.sessions.heads import PATIENCE, Heads, Loaded
from framekeep.sessions.source import Source, not_found, state_of
from framekeep.sessions.temporary import TemporaryStorage
from framekeep.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from framekeep.frames import Damage, Encoded, FrameCodec, FrameDiff, Manifest
    from framekeep.marks import Marks

T = TypeVar("T")

logger = logging.getLogger("framekeep")

_PURGE = 1000  # spaces freed in one step, so that others get their turn


class SessionBackend:
    """Sessions of DataFrames on one engine; implements ``StorageBackend``. Thread-safe.

    Args:
        engine: where the bytes are.
        codec: how frames become bytes.
        clock: the time in seconds since 1970 (UTC); the engine's expiry should go by the same.
        revisions: makes a fresh unique revision.
        patience: seconds that a change of metadata, marks or audit log is tried against a busy session.
    """

    backend_type: ClassVar[str] = "inmemory"

    def __init__(
        self,
        engine: Engine,
        codec: FrameCodec,
        *,
        clock: Callable[[], float] = time.time,
        revisions: Callable[[], Revision] = new_revision,
        patience: float = PATIENCE,
    ) -> None:
        self.engine = engine
        self.codec = codec
        self._clock = clock
        self._heads = Heads(engine, codec, patience=patience, revisions=revisions)
        self._temporary = TemporaryStorage(engine, codec, clock=clock, revisions=revisions)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    # --- sessions (7) ----------------------------------------------------------------------------

    def create_session(
        self, session_id: str, dataframe: pd.DataFrame, filename: str, ttl_seconds: float
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

        if not self._heads.create(session_id, make):
            raise taken

    def get_dataframe(
        self, session_id: str, *, version: int | str = "current", copy: bool = False
    ) -> pd.DataFrame:
        """Return a frame, which the caller may change freely.

        Its memory is shared until pandas first writes to a column; with ``copy`` it is all the caller's own.

        Args:
            session_id: the session.
            version: a version's id gives the state before its action; the session stays where it is.
            copy: whether to copy all of it at once.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.decode(
                source.chunks, _chosen(loaded, source, version), copy=copy
            ),
        )

    def update_dataframe(
        self, session_id: str, dataframe: pd.DataFrame, *, expected_revision: Revision | None = None
    ) -> None:
        """Replace the current frame; what could be redone is forgotten. Marks that still fit stay.

        Args:
            session_id: the session.
            dataframe: the new frame.
            expected_revision: what ``revision`` gave when the frame was read.

        Raises:
            ConflictError: somebody else changed the data during the call, or since ``expected_revision``.
        """
        self._heads.advance(session_id, dataframe, verbs.update(self._now), expected=expected_revision)

    def delete_session(self, session_id: str) -> bool:
        """Delete a session with all it holds; False if it was not there.

        The audit log goes with the session, so the deletion is recorded in the log "framekeep".
        """
        deleted = self._heads.delete(space("session", checked_id(session_id)))
        if deleted:
            logger.info("%s", verbs.unstamped(verbs.stamped(self._now(), f"Session {session_id} deleted")))
        return deleted

    def session_exists(self, session_id: str) -> bool:
        """Say whether a session is there; does not move its expiry."""
        return self.engine.load(space("session", checked_id(session_id))) is not None

    def touch_session(self, session_id: str, ttl_seconds: float) -> None:
        """Make ``ttl_seconds`` the session's time to live, counted from now."""
        ttl = checked_ttl(ttl_seconds)
        if self._heads.access(session_id).session.ttl != ttl:
            self._heads.change(session_id, verbs.live_for(ttl))

    def list_sessions(self, prefix: str = "") -> list[str]:
        """Return the ids of all live sessions that start with ``prefix``, sorted."""
        return sorted(info.space.removeprefix("session:") for info in self.engine.spaces(f"session:{prefix}"))

    def revision(self, session_id: str) -> Revision:
        """Return the name of the data's state: it changes with frame, versions and marks only."""
        return self._heads.access(session_id).session.lineage

    # --- metadata (2) ----------------------------------------------------------------------------

    def get_metadata(self, session_id: str, *, touch: bool = True) -> dict[str, Any]:
        """Return what is known of the session, without loading its frame.

        With ``touch`` false it is only looked at, as a listing does: the expiry stays where it is.

        Keys: ``session_id``, ``filename``, ``created_at``, ``last_accessed`` (the access before this one),
        ``expires_at`` (instants are aware, UTC), ``shape``, ``columns`` (labels), ``dtypes`` (label -> name;
        a list parallel to ``columns`` when a label repeats), ``bytes``, ``current_version`` (what undo would
        step back to; 0 for nothing), and the caller's own keys.
        """

        def view(loaded: Loaded, source: Source) -> tuple[Loaded, Manifest]:
            return loaded, source.manifest(loaded.session.timeline.current.frame)

        loaded, manifest = self._heads.read(session_id, view, touch=touch)
        session, now = loaded.session, self._now()
        labels = manifest.columns.tolist()
        dtypes = dict(zip(labels, manifest.dtypes, strict=True))
        return {
            **deepcopy(session.metadata),
            "session_id": session_id,
            "filename": session.filename,
            "created_at": session.created_at,
            "last_accessed": now - timedelta(seconds=session.ttl - loaded.left),
            "expires_at": now + timedelta(seconds=session.ttl if touch else loaded.left),
            "shape": (manifest.rows, len(labels)),
            "columns": labels,
            "dtypes": dtypes if len(dtypes) == len(labels) else list(manifest.dtypes),
            "bytes": manifest.nbytes,
            "current_version": session.timeline.cursor_id,
        }

    def update_metadata(self, session_id: str, metadata: Mapping[str, Any]) -> None:
        """Merge the caller's own JSON values into the metadata; a key that is there already is replaced.

        Raises:
            InvalidMetadataError: a value is not JSON, or a key is one that Framekeep fills.
        """
        self._heads.change(session_id, verbs.merge(checked_metadata(metadata)))

    # --- versions (5) ----------------------------------------------------------------------------

    def create_version(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
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
        return self._heads.advance(session_id, dataframe, transition, expected=expected_revision)

    def commit_dataframe(
        self,
        session_id: str,
        dataframe: pd.DataFrame,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
    ) -> int:
        """Keep what was as a version and make ``dataframe`` current, in one step; return the version's id.

        Raises:
            ConflictError: somebody else changed the data during the call, or since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        limit = checked_count(max_versions, "number of versions")
        transition = verbs.commit_version(summary, self._now, limit)
        return self._heads.advance(session_id, dataframe, transition, expected=expected_revision)

    def checkpoint(
        self,
        session_id: str,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
    ) -> int:
        """Keep the current state as the newest version without loading its frame; return the version's id.

        Raises:
            ConflictError: somebody else changed the data at the same moment, or since ``expected_revision``.
        """
        summary = checked_text(action_summary, "action summary")
        transition = verbs.checkpoint(summary, self._now, checked_count(max_versions, "number of versions"))
        return self._heads.move(session_id, transition, expected=expected_revision)

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

    def undo(self, session_id: str, *, expected_revision: Revision | None = None) -> dict[str, Any]:
        """Step back without loading a frame; return the version that is current now.

        Raises:
            NothingToUndoError: there is no version to step back to.
            ConflictError: somebody else changed the data at the same moment, or since ``expected_revision``.
        """
        transition = verbs.cursor(Timeline.undo, "Undid", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision)

    def redo(self, session_id: str, *, expected_revision: Revision | None = None) -> dict[str, Any]:
        """Step forward without loading a frame; return the version whose action is done again."""
        transition = verbs.cursor(Timeline.redo, "Redid", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision)

    def restore(
        self, session_id: str, version_id: int, *, expected_revision: Revision | None = None
    ) -> dict[str, Any]:
        """Step to a version (forward or back) without loading a frame; redo and undo lead on from there.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        number = checked_count(version_id, "version id")
        transition = verbs.cursor(lambda line: line.restore(number), "Restored", self._now)
        return self._heads.move(session_id, transition, expected=expected_revision)

    def undo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step back and return the frame that is current now."""
        self.undo(session_id)
        return self.get_dataframe(session_id)

    def redo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step forward and return the frame that is current now."""
        self.redo(session_id)
        return self.get_dataframe(session_id)

    def restore_version(self, session_id: str, version_id: int) -> pd.DataFrame:
        """Step to a version and return its frame."""
        self.restore(session_id, version_id)
        return self.get_dataframe(session_id)

    def get_history(self, session_id: str) -> list[dict[str, Any]]:
        """Return the versions, oldest first.

        Keys: ``version_id``, ``action_summary`` (of the action that followed), ``created_at``, ``rows``,
        ``columns``, ``bytes`` (of the state before the action) and ``undone`` (redo would do it again).
        """
        line = self._heads.access(session_id).session.timeline
        return [{**verbs.described(version), "undone": undone} for version, undone in line.versions()]

    # --- intentional missing (3) -----------------------------------------------------------------

    def get_intentional_missing(self, session_id: str) -> dict[Any, list[int]]:
        """Return column label -> sorted row positions of the cells that are empty on purpose."""

        return self._marks(session_id, lambda marks, columns: marks.labelled(columns))

    def get_missing_reasons(self, session_id: str) -> dict[Any, dict[str, list[int]]]:
        """Return column label -> reason -> sorted rows; rows marked without a reason are left out."""
        return self._marks(session_id, lambda marks, columns: marks.reasons(columns))

    def _marks(self, session_id: str, view: Callable[[Marks, pd.Index], dict[Any, T]]) -> dict[Any, T]:
        def marks(loaded: Loaded, source: Source) -> dict[Any, T]:
            state = loaded.session.timeline.current
            return (
                view(source.marks(state.marks), source.manifest(state.frame).columns) if state.marks else {}
            )

        return self._heads.read(session_id, marks)

    def set_intentional_missing(
        self,
        session_id: str,
        column: Hashable,
        row_indices: Iterable[int],
        *,
        reason: str | None = None,
        expected_revision: Revision | None = None,
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
        self.set_intentional_missing_batch(session_id, {column: entries}, expected_revision=expected_revision)

    def set_intentional_missing_batch(
        self,
        session_id: str,
        columns_data: Mapping[Any, Iterable[int] | Iterable[Mapping[str, Any]]],
        *,
        expected_revision: Revision | None = None,
    ) -> None:
        """Set the marks of several columns in one step; either all are valid or nothing is changed.

        A column's marks are row positions, or a list of ``{"rows": positions, "reason": text}``.
        """
        # An iterator must survive a second attempt.
        transition = verbs.mark(listed(columns_data))
        self._heads.change(session_id, transition, expected=expected_revision)

    # --- audit (3) -------------------------------------------------------------------------------

    def add_audit_entry(self, session_id: str, entry: str) -> None:
        """Append a line to the audit log; it is stamped with the time."""
        line = verbs.stamped(self._now(), checked_text(entry, "audit entry"))
        self._heads.change(session_id, verbs.append(line))

    def get_audit_log(self, session_id: str) -> list[str]:
        """Return the audit log, oldest first: ``[2026-11-25 08:44:32 UTC] text``."""
        self._heads.access(session_id)
        lines = self.engine.log(space("session", session_id))
        if not lines:  # a session has its creation's entry: this one went meanwhile
            raise not_found(session_id)
        return [verbs.unstamped(line) for line in lines]

    def get_initial_row_count(self, session_id: str) -> int | None:
        """Return how many rows the session was created with."""
        return self._heads.access(session_id).session.initial_rows

    # --- temporary storage (3) -------------------------------------------------------------------

    def create_temp_storage(
        self,
        temp_id: str,
        sheets_dict: Mapping[str, pd.DataFrame],
        filename: str,
        ttl_seconds: float = 1800,
    ) -> None:
        """Keep the sheets of a workbook for ``ttl_seconds``; replaces what the id held, in one step."""
        self._temporary.create(temp_id, sheets_dict, filename, ttl_seconds)

    def get_temp_storage(self, temp_id: str) -> dict[str, Any]:
        """Return ``temp_id``, ``filename``, ``sheets`` (name -> frame), ``created_at``, ``expires_at``.

        Does not move the expiry.
        """
        return self._temporary.get(temp_id)

    def delete_temp_storage(self, temp_id: str) -> bool:
        """Delete the sheets; False if they were not there."""
        return self._heads.delete(space("temp", checked_id(temp_id, what="temporary storage id")))

    # --- cleanup (2) -----------------------------------------------------------------------------

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

    # --- stats and health (2) --------------------------------------------------------------------

    def get_active_sessions_count(self, prefix: str = "") -> int:
        """Return the number of live sessions whose id starts with ``prefix``."""
        return self.engine.count(f"session:{prefix}")

    def health_check(self) -> dict[str, Any]:
        """Probe the storage; never raises.

        Keys: ``status`` (healthy, unhealthy), ``backend_type``, ``backend_class``, ``engine``,
        ``reachable``, ``latency_ms``, ``active_sessions``, ``error``, ``details``.
        """
        health = self.engine.health()
        error, active = health.error, None
        if health.reachable:
            try:
                active = self.get_active_sessions_count()
            except FramekeepError as failure:
                error = error or str(failure)
        return {
            "status": "healthy" if health.reachable and error is None else "unhealthy",
            "backend_type": self.backend_type,
            "backend_class": type(self).__name__,
            "engine": health.engine,
            "reachable": health.reachable,
            "latency_ms": health.latency_ms,
            "active_sessions": active,
            "error": error,
            "details": dict(health.details),
        }

    # --- beyond the contract ---------------------------------------------------------------------

    def get_table(self, session_id: str, *, version: int | str = "current") -> pa.Table:
        """Return a frame as a pyarrow table (``version`` as in ``get_dataframe``)."""
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.table(source.chunks, _chosen(loaded, source, version)),
        )

    def get_page(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
    ) -> pd.DataFrame:
        """Return rows ``offset`` to ``offset + limit`` of a frame, reading only what holds them.

        Args:
            session_id: the session.
            offset: first row position; at or after the end gives no rows.
            limit: at most this many rows.
            columns: labels to return, in this order; None for all.
            version: as in ``get_dataframe``.

        Raises:
            UnknownColumnError: the frame does not have one of ``columns``.
            VersionNotFoundError: the version is unknown or was dropped.
        """
        start, number = checked_count(offset, "offset"), checked_count(limit, "limit")
        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.page(
                source.chunks, _chosen(loaded, source, version), start, number, columns
            ),
        )

    def diff_versions(
        self, session_id: str, a: int | str, b: int | str = "current", *, samples: int = 10
    ) -> FrameDiff:
        """Compare two states: version ids (the state before the version's action) or ``"current"``.

        Raises:
            VersionNotFoundError: a version is unknown or was dropped.
        """

        return self._heads.read(
            session_id,
            lambda loaded, source: self.codec.diff(
                source.chunks, _chosen(loaded, source, a), _chosen(loaded, source, b), samples=samples
            ),
        )

    def check(self, session_id: str) -> list[Damage]:
        """Verify every stored part of a session against its name; return what is damaged.

        Does not move the expiry. Damage of one state hides nothing of the others.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        return check(self._heads, session_id)

    def close(self) -> None:
        """Release the engine and the caches; every later call raises StorageUnavailableError."""
        self.engine.close()
        self.codec.clear()


def _chosen(loaded: Loaded, source: Source, which: int | str) -> Manifest:
    line = loaded.session.timeline
    if isinstance(which, str):
        if which != "current":
            raise InvalidInputError(f"A state is a version id or 'current', not {which[:40]!r}.")
        return source.manifest(line.current.frame)
    return source.manifest(line.version(checked_count(which, "version id")).state.frame)

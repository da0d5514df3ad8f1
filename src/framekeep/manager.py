"""``DataManager``: the public face. One per process; its verbs need no plumbing.

Owns the making of ids, the defaults that come from the settings, and the life of the backend. What the verbs
do is told in ``sessions``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from framekeep.config import Settings
from framekeep.connect import Connection, InMemoryBackend, connect
from framekeep.errors import ConfigurationError, StorageUnavailableError
from framekeep.locks import Lock, Locks
from framekeep.names import Revision, new_id
from framekeep.replies import Replies

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from framekeep.editing import Operation
    from framekeep.exporting import Export, ExportOptions
    from framekeep.frames import Damage, FrameDiff
    from framekeep.sessions import Edit, Outcome, SessionBackend, Told


class DataManager:
    """Keeps DataFrames in sessions with versions. Thread-safe; close it, or use it in a ``with`` block.

    Any number of managers, in any number of processes, may use one storage directory at once.

    Args:
        settings: what to use; None reads the environment and ``.env``.
        clock: the time in seconds since 1970 (UTC).
        ids: makes a fresh unguessable id.

    Raises:
        ConfigurationError: a setting is wrong.
        StorageError: the storage cannot be used.
        RuntimeError: Redis was asked for, does not answer, and falling back is not allowed.

    Example:
        >>> with DataManager(Settings(storage_dir="data")) as manager:  # doctest: +SKIP
        ...     session_id = manager.create_session(df, "trial.csv")
        ...     with manager.edit(session_id, "fill ages") as frame:
        ...         frame["age"] = frame["age"].fillna(0)
        ...     manager.undo_last_change(session_id)
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        ids: Callable[[], str] = new_id,
    ) -> None:
        self.settings = Settings() if settings is None else settings
        if not isinstance(self.settings, Settings):
            raise ConfigurationError(
                f"A DataManager takes Settings, not {type(settings).__name__}: "
                "DataManager(Settings(storage_dir=...))."
            )
        self._ids = ids
        self._connection: Connection | None = connect(self.settings, clock=clock)
        self.replies = Replies(self._connection.backend.engine)
        self._locks = Locks(
            self._connection.backend.engine,
            ttl=self.settings.redis_lock_ttl_seconds,
            attempts=self.settings.redis_lock_retry_attempts,
            delay=self.settings.redis_lock_retry_delay_ms / 1000,
            clock=clock,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the storage; every later call raises StorageUnavailableError. May be called again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.backend.close()

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise StorageUnavailableError("This DataManager is closed. Make a new one.")
        return self._connection

    @property
    def backend(self) -> SessionBackend:
        """The backend behind this manager: the ``StorageBackend`` protocol and more."""
        return self._connected.backend

    # --- sessions --------------------------------------------------------------------------------

    def create_session(
        self, df: pd.DataFrame, filename: str = "dataframe", *, ttl_seconds: float | None = None
    ) -> str:
        """Keep a frame in a new session and return its unguessable id.

        Args:
            df: the frame; anything with ``__arrow_c_stream__`` (polars, pyarrow, duckdb) is taken too.
            filename: where the data came from.
            ttl_seconds: seconds from an access to the expiry, if not REDIS_SESSION_TTL_SECONDS.

        Raises:
            NotADataFrameError, UnsupportedTypeError, DataFrameTooLargeError: nothing is stored.
        """
        session_id = self._ids()
        ttl = self.settings.redis_session_ttl_seconds if ttl_seconds is None else ttl_seconds
        self.backend.create_session(session_id, df, filename, ttl)
        return session_id

    def get_dataframe(
        self, session_id: str, *, version: int | str = "current", copy: bool = False
    ) -> pd.DataFrame:
        """Return a frame, which the caller may change freely; ``copy`` copies it at once.

        A version's id gives the state before that version's action; the session stays where it is.
        """
        return self.backend.get_dataframe(session_id, version=version, copy=copy)

    def get_table(self, session_id: str, *, version: int | str = "current") -> pa.Table:
        """Return a frame as a pyarrow table (``version`` as in ``get_dataframe``)."""
        return self.backend.get_table(session_id, version=version)

    def get_page(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
    ) -> pd.DataFrame:
        """Return rows ``offset`` to ``offset + limit`` of a frame, reading only what holds them."""
        return self.backend.get_page(session_id, offset, limit, columns, version=version)

    def get_page_json(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
        orient: str = "rows",
    ) -> tuple[Revision, bytes]:
        """Return the revision and a page as JSON ``{"columns", "rows", "offset", "limit", "total_rows"}``."""
        return self.backend.get_page_json(session_id, offset, limit, columns, version=version, orient=orient)

    def glance_page_json(self, session_id: str, offset: int, limit: int) -> tuple[Revision, bytes] | None:
        """Return what ``get_page_json`` would, if that means waiting for nobody; None says nothing.

        For an event loop, that must not wait.
        """
        return self.backend.glance_page_json(session_id, offset, limit)

    def export(
        self,
        session_id: str,
        format: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        columns: Sequence[Hashable] | None = None,
        version: int | str = "current",
        options: ExportOptions | None = None,
    ) -> tuple[Revision, Export]:
        """Return the revision and the pieces of a file that holds the frame ("csv", "parquet", "xlsx" …)."""
        return self.backend.export(
            session_id, format, offset=offset, limit=limit, columns=columns, version=version, options=options
        )

    def profile(
        self,
        session_id: str,
        columns: Sequence[Hashable] | None = None,
        *,
        bins: int = 20,
        top: int = 10,
        version: int | str = "current",
    ) -> tuple[Revision, list[dict[str, Any]]]:
        """Return the revision and a profile of each column, ready for JSON."""
        return self.backend.profile(session_id, columns, bins=bins, top=top, version=version)

    def update_dataframe(
        self,
        session_id: str,
        df: pd.DataFrame,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> None:
        """Replace the current frame; ConflictError if somebody else changed it meanwhile."""
        self.backend.update_dataframe(
            session_id, df, expected_revision=expected_revision, on_revision=on_revision
        )

    def delete_session(self, session_id: str, *, expected_revision: Revision | None = None) -> bool:
        """Delete a session with all it holds; False if it was not there."""
        return self.backend.delete_session(session_id, expected_revision=expected_revision)

    def session_exists(self, session_id: str) -> bool:
        """Say whether a session is there; does not move its expiry."""
        return self.backend.session_exists(session_id)

    def touch_session(self, session_id: str, ttl_seconds: float | None = None) -> None:
        """Make ``ttl_seconds`` (by default the configured one) the session's time to live from now."""
        ttl = self.settings.redis_session_ttl_seconds if ttl_seconds is None else ttl_seconds
        self.backend.touch_session(session_id, ttl)

    def list_sessions(self, *, prefix: str = "") -> list[str]:
        """Return the ids of all live sessions that start with ``prefix``, sorted."""
        return self.backend.list_sessions(prefix=prefix)

    def revision(self, session_id: str) -> Revision:
        """Return the name of the data's state, for ``expected_revision``.

        A verb that changes the data calls its ``on_revision`` with the state that it led to itself, which
        ``revision`` afterwards need not be: somebody else may have gone on from there.
        """
        return self.backend.revision(session_id)

    # --- metadata --------------------------------------------------------------------------------

    def get_metadata(
        self, session_id: str, *, touch: bool = True, on_revision: Told | None = None
    ) -> dict[str, Any]:
        """Return what is known of the session, without loading its frame; ``touch`` moves its expiry."""
        return self.backend.get_metadata(session_id, touch=touch, on_revision=on_revision)

    def update_metadata(
        self, session_id: str, metadata: Mapping[str, Any], *, expected_revision: Revision | None = None
    ) -> None:
        """Merge the caller's own JSON values into the metadata."""
        self.backend.update_metadata(session_id, metadata, expected_revision=expected_revision)

    # --- versions --------------------------------------------------------------------------------

    def checkpoint(
        self,
        session_id: str,
        summary: str,
        max_versions: int | None = None,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep the current state as the newest version without loading its frame; return its id."""
        return self.backend.checkpoint(
            session_id,
            summary,
            self._limit(max_versions),
            expected_revision=expected_revision,
            on_revision=on_revision,
        )

    def edit(
        self,
        session_id: str,
        summary: str,
        max_versions: int | None = None,
        *,
        expected_revision: Revision | None = None,
    ) -> Edit:
        """Hand out the current frame in a ``with`` block and commit what was changed, as one version."""
        return self.backend.edit(
            session_id, summary, self._limit(max_versions), expected_revision=expected_revision
        )

    def apply(
        self,
        session_id: str,
        summary: str,
        function: Callable[[pd.DataFrame], object],
        max_versions: int | None = None,
        *,
        expected_revision: Revision | None = None,
    ) -> int | None:
        """Put ``function(frame)`` in the current frame's place, as one version (``pd.DataFrame.dropna``).

        Return the version's id; None if nothing changed.
        """
        return self.backend.apply(
            session_id, summary, function, self._limit(max_versions), expected_revision=expected_revision
        )

    def apply_operations(
        self,
        session_id: str,
        operations: Iterable[Operation | Mapping[str, Any]],
        summary: str | None = None,
        max_versions: int | None = None,
        *,
        dry_run: bool = False,
        samples: int = 10,
        expected_revision: Revision | None = None,
    ) -> Outcome:
        """Carry operations of the editing vocabulary out as one version, and say what they changed."""
        return self.backend.apply_operations(
            session_id,
            operations,
            summary,
            self._limit(max_versions),
            dry_run=dry_run,
            samples=samples,
            expected_revision=expected_revision,
        )

    def commit_dataframe(
        self,
        session_id: str,
        df: pd.DataFrame,
        summary: str,
        max_versions: int | None = None,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep what was as a version and make ``df`` current, in one step; return the version's id."""
        return self.backend.commit_dataframe(
            session_id,
            df,
            summary,
            self._limit(max_versions),
            expected_revision=expected_revision,
            on_revision=on_revision,
        )

    def create_version(
        self,
        session_id: str,
        df: pd.DataFrame,
        summary: str,
        max_versions: int | None = None,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep ``df``, the state before an action, as the newest version; return its id."""
        return self.backend.create_version(
            session_id,
            df,
            summary,
            self._limit(max_versions),
            expected_revision=expected_revision,
            on_revision=on_revision,
        )

    def undo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step back without loading a frame; return the version that is current now."""
        return self.backend.undo(session_id, expected_revision=expected_revision, on_revision=on_revision)

    def redo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step forward without loading a frame; return the version whose action is done again."""
        return self.backend.redo(session_id, expected_revision=expected_revision, on_revision=on_revision)

    def restore(
        self,
        session_id: str,
        version_id: int,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step to a version without loading a frame; redo leads back."""
        return self.backend.restore(
            session_id, version_id, expected_revision=expected_revision, on_revision=on_revision
        )

    def undo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step back and return the frame that is current now."""
        return self.backend.undo_last_change(session_id)

    def redo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step forward and return the frame that is current now."""
        return self.backend.redo_last_change(session_id)

    def restore_version(self, session_id: str, version_id: int) -> pd.DataFrame:
        """Step to a version and return its frame."""
        return self.backend.restore_version(session_id, version_id)

    def get_history(self, session_id: str) -> list[dict[str, Any]]:
        """Return the versions, oldest first."""
        return self.backend.get_history(session_id)

    def diff_versions(
        self, session_id: str, a: int | str, b: int | str = "current", *, samples: int = 10
    ) -> FrameDiff:
        """Compare two states: version ids (the state before the version's action) or ``"current"``."""
        return self.backend.diff_versions(session_id, a, b, samples=samples)

    # --- intentional missing ---------------------------------------------------------------------

    def get_intentional_missing(self, session_id: str) -> dict[Any, list[int]]:
        """Return column label -> sorted row positions of the cells that are empty on purpose."""
        return self.backend.get_intentional_missing(session_id)

    def get_missing_reasons(self, session_id: str) -> dict[Any, dict[str, list[int]]]:
        """Return column label -> reason -> sorted rows; rows marked without a reason are left out."""
        return self.backend.get_missing_reasons(session_id)

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

        A reason of "" takes reasons away, None leaves each row the reason it has.
        """
        self.backend.set_intentional_missing(
            session_id,
            column,
            row_indices,
            reason=reason,
            expected_revision=expected_revision,
            on_revision=on_revision,
        )

    def set_intentional_missing_batch(
        self,
        session_id: str,
        columns_data: Mapping[Any, Iterable[int] | Iterable[Mapping[str, Any]]],
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> None:
        """Set the marks of several columns in one step: rows, or a list of ``{"rows": …, "reason": …}``."""
        self.backend.set_intentional_missing_batch(
            session_id, columns_data, expected_revision=expected_revision, on_revision=on_revision
        )

    # --- audit -----------------------------------------------------------------------------------

    def add_audit_entry(self, session_id: str, entry: str) -> None:
        """Append a line to the audit log; it is stamped with the time."""
        self.backend.add_audit_entry(session_id, entry)

    def get_audit_log(self, session_id: str) -> list[str]:
        """Return the audit log, oldest first."""
        return self.backend.get_audit_log(session_id)

    def get_initial_row_count(self, session_id: str) -> int | None:
        """Return how many rows the session was created with."""
        return self.backend.get_initial_row_count(session_id)

    # --- temporary storage -----------------------------------------------------------------------

    def create_temp_storage(
        self, sheets: Mapping[str, pd.DataFrame], filename: str, *, ttl_seconds: float | None = None
    ) -> str:
        """Keep the sheets of a workbook for a while (TEMP_TTL_SECONDS) and return their id."""
        temp_id = self._ids()
        ttl = self.settings.temp_ttl_seconds if ttl_seconds is None else ttl_seconds
        self.backend.create_temp_storage(temp_id, sheets, filename, ttl)
        return temp_id

    def get_temp_storage(self, temp_id: str) -> dict[str, Any]:
        """Return the sheets; TempStorageNotFoundError if they are not there (any more)."""
        return self.backend.get_temp_storage(temp_id)

    def delete_temp_storage(self, temp_id: str) -> bool:
        """Delete the sheets; False if they were not there."""
        return self.backend.delete_temp_storage(temp_id)

    # --- locks -----------------------------------------------------------------------------------

    def lock(self, name: str, *, ttl: float | None = None, attempts: int | None = None) -> Lock:
        """Return a lock between threads and processes: ``with manager.lock(session_id) as lease: ...``.

        Args:
            name: an id, for example a session's.
            ttl: seconds that the lease lasts, if not REDIS_LOCK_TTL_SECONDS.
            attempts: retries, if not REDIS_LOCK_RETRY_ATTEMPTS.
        """
        self._connected  # noqa: B018 - a closed manager must say so
        return self._locks.lock(name, ttl=ttl, attempts=attempts)

    # --- operation -------------------------------------------------------------------------------

    def cleanup_expired_sessions(self) -> int:
        """Free what expired sessions held; return how many."""
        return self.backend.cleanup_expired_sessions()

    def cleanup_expired_temp_storage(self) -> int:
        """Free what expired temporary storages held; return how many."""
        return self.backend.cleanup_expired_temp_storage()

    def get_active_sessions_count(self, *, prefix: str = "") -> int:
        """Return the number of live sessions whose id starts with ``prefix``."""
        return self.backend.get_active_sessions_count(prefix=prefix)

    def check(self, session_id: str) -> list[Damage]:
        """Verify every stored part of a session; return what is damaged."""
        return self.backend.check(session_id)

    def compact(self) -> tuple[int, int]:
        """Give free space back to the disk; return the store's bytes before and after.

        A backend that has nothing to give back says (0, 0).

        Raises:
            StorageBusyError: another process has the store open.
        """
        backend = self.backend
        return backend.compact() if isinstance(backend, InMemoryBackend) else (0, 0)

    def get_backend_type(self) -> str:
        """Return ``"inmemory"`` or ``"redis"``."""
        return self.backend.backend_type

    def is_redis_enabled(self) -> bool:
        """Say whether sessions are kept in Redis now."""
        return self.get_backend_type() == "redis"

    def storage_state(self) -> tuple[str, str]:
        """Return what is done while Redis does not answer, and how it is now: see ``Connection``.

        For every answer of a service: asks nobody.
        """
        connection = self._connected
        return connection.mode, connection.state

    def get_backend_health(self) -> dict[str, Any]:
        """Probe the storage; see ``Connection.health`` for the keys."""
        return self._connected.health()

    def _limit(self, max_versions: int | None) -> int:
        return self.settings.max_versions if max_versions is None else max_versions

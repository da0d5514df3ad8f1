"""The ``StorageBackend`` protocol: the 27 methods that callers use. Names and orders are public API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class StorageBackend(Protocol):
    """Sessions of DataFrames with versions, marks, metadata, audit log and temporary storage.

    A read or write of a session moves its expiry to its time to live from now (a read may leave it early by
    a thousandth of that, and by less than a second); listing, counting and ``session_exists`` do not. An
    unknown or expired id raises ``SessionNotFoundError``, a malformed one ``InvalidIdError``.
    """

    # --- sessions (7) ----------------------------------------------------------------------------

    def create_session(
        self, session_id: str, dataframe: pd.DataFrame, filename: str, ttl_seconds: float
    ) -> None:
        """Keep a new session; ``SessionExistsError`` if the id is taken."""
        ...

    def get_dataframe(self, session_id: str) -> pd.DataFrame:
        """Return the current frame, which the caller may change freely."""
        ...

    def update_dataframe(self, session_id: str, dataframe: pd.DataFrame) -> None:
        """Replace the current frame."""
        ...

    def delete_session(self, session_id: str) -> bool:
        """Delete a session with all it holds; False if it was not there."""
        ...

    def session_exists(self, session_id: str) -> bool:
        """Say whether a session is there; does not move its expiry."""
        ...

    def touch_session(self, session_id: str, ttl_seconds: float) -> None:
        """Make ``ttl_seconds`` the session's time to live, counted from now."""
        ...

    def list_sessions(self) -> list[str]:
        """Return the ids of all live sessions, sorted."""
        ...

    # --- metadata (2) ----------------------------------------------------------------------------

    def get_metadata(self, session_id: str) -> dict[str, Any]:
        """Return what is known of the session, without loading its frame."""
        ...

    def update_metadata(self, session_id: str, metadata: Mapping[str, Any]) -> None:
        """Merge the caller's own JSON values into the metadata."""
        ...

    # --- versions (5) ----------------------------------------------------------------------------

    def create_version(
        self, session_id: str, dataframe: pd.DataFrame, action_summary: str, max_versions: int = 5
    ) -> int:
        """Keep ``dataframe`` (the state before an action) as the newest version and return its id."""
        ...

    def undo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step back to the newest version; ``NothingToUndoError`` if there is none."""
        ...

    def redo_last_change(self, session_id: str) -> pd.DataFrame:
        """Step forward again; ``NothingToRedoError`` if nothing was undone."""
        ...

    def restore_version(self, session_id: str, version_id: int) -> pd.DataFrame:
        """Step to a version; ``VersionNotFoundError`` if it is unknown or was dropped."""
        ...

    def get_history(self, session_id: str) -> list[dict[str, Any]]:
        """Return the versions, oldest first."""
        ...

    # --- intentional missing (3) -----------------------------------------------------------------

    def get_intentional_missing(self, session_id: str) -> dict[str, list[int]]:
        """Return column -> sorted row positions of the cells that are empty on purpose."""
        ...

    def set_intentional_missing(self, session_id: str, column: str, row_indices: Iterable[int]) -> None:
        """Mark exactly these rows of a column; an empty list clears it."""
        ...

    def set_intentional_missing_batch(
        self, session_id: str, columns_data: Mapping[str, Iterable[int]]
    ) -> None:
        """Do so for several columns in one step."""
        ...

    # --- audit (3) -------------------------------------------------------------------------------

    def add_audit_entry(self, session_id: str, entry: str) -> None:
        """Append a line to the audit log; it is stamped with the time."""
        ...

    def get_audit_log(self, session_id: str) -> list[str]:
        """Return the audit log, oldest first."""
        ...

    def get_initial_row_count(self, session_id: str) -> int | None:
        """Return how many rows the session was created with."""
        ...

    # --- temporary storage (3) -------------------------------------------------------------------

    def create_temp_storage(
        self,
        temp_id: str,
        sheets_dict: Mapping[str, pd.DataFrame],
        filename: str,
        ttl_seconds: float = 1800,
    ) -> None:
        """Keep the sheets of a workbook for a while; replaces what the id held."""
        ...

    def get_temp_storage(self, temp_id: str) -> dict[str, Any]:
        """Return the sheets; ``TempStorageNotFoundError`` if they are not there (any more)."""
        ...

    def delete_temp_storage(self, temp_id: str) -> bool:
        """Delete the sheets; False if they were not there."""
        ...

    # --- cleanup (2) -----------------------------------------------------------------------------

    def cleanup_expired_sessions(self) -> int:
        """Free what expired sessions held; return how many."""
        ...

    def cleanup_expired_temp_storage(self) -> int:
        """Free what expired temporary storages held; return how many."""
        ...

    # --- stats and health (2) --------------------------------------------------------------------

    def get_active_sessions_count(self) -> int:
        """Return the number of live sessions."""
        ...

    def health_check(self) -> dict[str, Any]:
        """Probe the storage; never raises."""
        ...

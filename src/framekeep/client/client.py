"""``Client``: the life of the connection, temporary storage and operation; the rest is in its parts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from framekeep.client import answers
from framekeep.client.answers import understood
from framekeep.client.bodies import frames_body, read_frames
from framekeep.client.changing import SessionChanging, deleted
from framekeep.client.connection import Connection
from framekeep.client.files import Uploading
from framekeep.errors import TempStorageNotFoundError
from framekeep.frames import FRAMES_TYPE
from framekeep.names import checked_id
from framekeep.sessions.arguments import checked_text, checked_ttl

if TYPE_CHECKING:
    import pandas as pd


class Client(SessionChanging, Uploading):
    """Sessions that a service keeps; implements ``StorageBackend``. Thread-safe; close it, or use ``with``.

    A request that gets no answer is sent again under the same Idempotency-Key, so it is carried out once.

    Args:
        url: the service's address.
        api_key: one of its API_KEYS; nothing this class says or raises holds it.
        timeout: seconds to wait for the next part of an answer: longer than the service may take to read a
            file (its IMPORT_TIMEOUT_SECONDS).
        retries: how often a request that gets no answer is sent again.
        socket: a Unix socket to connect to instead of the host and port of ``url``.

    Raises:
        ImportError: httpx2 is not installed.
        ConfigurationError: an argument is wrong.

    Example:
        >>> with Client("http://localhost:8000") as client:  # doctest: +SKIP
        ...     session_id = client.new_session(df, "trial.csv")
        ...     with client.edit(session_id, "fill ages") as frame:
        ...         frame["age"] = frame["age"].fillna(0)
        ...     client.undo(session_id)
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 180.0,
        retries: int = 3,
        socket: str | Path | None = None,
    ) -> None:
        super().__init__(Connection(url, api_key, timeout=timeout, retries=retries, socket=socket))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; every later call raises StorageUnavailableError. May be called again."""
        self._connection.close()

    # --- temporary storage -----------------------------------------------------------------------

    def create_temp_storage(
        self,
        temp_id: str,
        sheets_dict: Mapping[str, pd.DataFrame],
        filename: str,
        ttl_seconds: float = 1800,
    ) -> None:
        """Keep the sheets of a workbook for a while; replaces what the id held."""
        params = {"filename": checked_text(filename, "file name"), "ttl_seconds": checked_ttl(ttl_seconds)}
        self._connection.ask("PUT", _temporary(temp_id), params, body=frames_body(sheets_dict))

    def get_temp_storage(self, temp_id: str) -> dict[str, Any]:
        """Return ``temp_id``, ``filename``, ``sheets`` (name -> frame), ``created_at``, ``expires_at``."""
        with self._connection.fetched(_temporary(temp_id), None, FRAMES_TYPE) as (reply, file):
            with understood():
                found = {
                    "temp_id": temp_id,
                    "filename": answers.filename(reply.headers["content-disposition"]),
                    "created_at": datetime.fromisoformat(reply.headers["framekeep-created-at"]),
                    "expires_at": datetime.fromisoformat(reply.headers["framekeep-expires-at"]),
                }
            return {**found, "sheets": read_frames(file)}

    def delete_temp_storage(self, temp_id: str) -> bool:
        """Delete the sheets; False if they were not there."""
        try:
            reply = self._connection.ask("DELETE", _temporary(temp_id))
        except TempStorageNotFoundError:
            return False
        return deleted(reply)

    # --- operation -------------------------------------------------------------------------------

    def cleanup_expired_sessions(self) -> int:
        """Have what expired sessions held freed; return how many."""
        return self._cleaned("sessions")

    def cleanup_expired_temp_storage(self) -> int:
        """Have what expired temporary storages held freed; return how many."""
        return self._cleaned("temporary")

    def _cleaned(self, what: str) -> int:
        reply = self._connection.ask("POST", "/api/v1/cleanup", {"only": what})
        with understood():
            return int(reply.document()[what])


def _temporary(temp_id: str) -> str:
    return f"/api/v1/temporary/{checked_id(temp_id, what='temporary storage id')}"

"""What a client reads of a session: its frame, pages, files, facts, history, marks, log."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from framekeep.client import answers
from framekeep.client.answers import understood
from framekeep.client.bodies import read_frame
from framekeep.client.connection import Connection, Reply
from framekeep.errors import FramekeepError, InvalidInputError, SessionNotFoundError
from framekeep.exporting import FORMATS
from framekeep.exporting.labels import clean, label_text, resolve_columns
from framekeep.frames import FRAME_TYPE, Damage, FrameDiff
from framekeep.frames.tables import table_of
from framekeep.names import Revision, checked_id
from framekeep.sessions.arguments import checked_count

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PAGE = 1000
_MOST = 2**53 - 1
"""Rows that may be asked for: what JSON's numbers hold."""


class SessionReading:
    """The verbs of a session that change nothing. Thread-safe.

    Args:
        connection: to the service.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- sessions --------------------------------------------------------------------------------

    def session_exists(self, session_id: str) -> bool:
        """Say whether a session is there; does not move its expiry."""
        try:
            self._facts(session_id, touch=False)
        except SessionNotFoundError:
            return False
        return True

    def list_sessions(self, *, prefix: str = "") -> list[str]:
        """Return the ids of all live sessions of this key that start with ``prefix``, sorted."""
        found: list[str] = []
        cursor: str | None = None
        while True:
            reply = self._connection.ask("GET", "/api/v1/sessions", {"limit": _PAGE, "cursor": cursor})
            with understood():
                document = reply.document()
                found += [str(session["session_id"]) for session in document["sessions"]]
                cursor = document["next_cursor"]
            if cursor is None:
                return sorted(each for each in found if each.startswith(prefix))

    def get_active_sessions_count(self, *, prefix: str = "") -> int:
        """Return the number of live sessions of this key whose id starts with ``prefix``."""
        if prefix:
            return len(self.list_sessions(prefix=prefix))
        reply = self._connection.ask("GET", "/api/v1/sessions", {"limit": 0})
        with understood():
            return int(reply.document()["total"])

    def revision(self, session_id: str) -> Revision:
        """Return the name of the data's state: it changes with frame, versions and marks only."""
        return self._facts(session_id).revision

    def get_metadata(self, session_id: str, *, touch: bool = True) -> dict[str, Any]:
        """Return what is known of the session, without its frame; ``touch`` moves its expiry."""
        facts = self._facts(session_id, touch=touch).document()
        with understood():
            names = [column["name"] for column in facts["columns"]]
            labels = names if facts["plain_names"] else self._labels(session_id)
            return answers.metadata(facts, labels)

    def get_history(self, session_id: str) -> list[dict[str, Any]]:
        """Return the versions, oldest first."""
        reply = self._ask("GET", session_id, "/versions")
        with understood():
            return [answers.version(each) for each in reply.document()["versions"]]

    # --- frames ----------------------------------------------------------------------------------

    def get_dataframe(
        self, session_id: str, *, version: int | str = "current", copy: bool = False
    ) -> pd.DataFrame:
        """Return a frame, which the caller may change freely; all its memory is the caller's own.

        Args:
            session_id: the session.
            version: a version's id gives the state before its action; the session stays where it is.
            copy: makes no difference here.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        return self.get_dataframe_at(session_id, version=version)[1]

    def get_dataframe_at(
        self, session_id: str, *, version: int | str = "current"
    ) -> tuple[Revision, pd.DataFrame]:
        """Return the revision and a frame: what ``expected_revision`` of a change of it should be."""
        return self._frame(session_id, {"version": _version(version)})

    def get_table(self, session_id: str, *, version: int | str = "current") -> pa.Table:
        """Return a frame as a pyarrow table (``version`` as in ``get_dataframe``)."""
        return table_of(self.get_dataframe(session_id, version=version))

    def get_page(
        self,
        session_id: str,
        offset: int,
        limit: int,
        columns: Sequence[Hashable] | None = None,
        *,
        version: int | str = "current",
    ) -> pd.DataFrame:
        """Return rows ``offset`` to ``offset + limit`` of a frame, with their types.

        Args:
            session_id: the session.
            offset: first row position; at or after the end gives no rows.
            limit: at most this many rows.
            columns: labels to return, in this order; None for all.
            version: as in ``get_dataframe``.

        Raises:
            UnknownColumnError: the frame does not have one of ``columns``.
        """
        asked = self._window(session_id, offset, limit, columns, version)
        return self._frame(session_id, asked)[1]

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
        asked = self._window(session_id, offset, limit, columns, version) | {"orient": orient}
        reply = self._ask("GET", session_id, "/data", asked)
        return reply.revision, reply.body

    def export(
        self,
        session_id: str,
        format: str,
        *,
        offset: int = 0,
        limit: int | None = None,
        columns: Sequence[Hashable] | None = None,
        version: int | str = "current",
        neutralize_formulas: bool = False,
        orient: str = "rows",
    ) -> tuple[Revision, Iterator[bytes]]:
        """Return the revision and the pieces of a file that holds the frame, received as they are asked for.

        Args:
            session_id: the session.
            format: "csv", "tsv", "json", "jsonl", "parquet", "arrow", "xlsx" … (``exporting.FORMATS``).
            offset: first row position.
            limit: at most this many rows; None for all.
            columns: labels to write, in this order; None for all.
            version: as in ``get_dataframe``.
            neutralize_formulas: put a ' before cells that a spreadsheet would run (CSV and TSV).
            orient: JSON: "rows" or "records".

        Raises:
            InvalidInputError: there is no such format.
            StorageUnavailableError: a piece did not come.
        """
        if format not in FORMATS:
            raise InvalidInputError(f"Files are written as {', '.join(FORMATS)}, not {str(format)[:40]!r}.")
        asked = self._window(session_id, offset, limit, columns, version)
        asked |= {"neutralize_formulas": neutralize_formulas, "orient": orient, "whole": format == "json"}
        reply, pieces = self._connection.streamed(
            _path(session_id, "/data"), asked, FORMATS[format].bare_type, session_id=session_id
        )
        return reply.revision, pieces

    def profile(
        self,
        session_id: str,
        columns: Sequence[Hashable] | None = None,
        *,
        bins: int = 20,
        top: int = 10,
        version: int | str = "current",
    ) -> tuple[Revision, list[dict[str, Any]]]:
        """Return the revision and a profile of each column."""
        names = None if columns is None else self._names(session_id, columns, version)
        asked = {"columns": names, "bins": bins, "top": top, "version": _version(version)}
        reply = self._ask("GET", session_id, "/profile", asked)
        with understood():
            return reply.revision, list(reply.document()["profiles"])

    def diff_versions(
        self, session_id: str, a: int | str, b: int | str = "current", *, samples: int = 10
    ) -> FrameDiff:
        """Compare two states: version ids (the state before the version's action) or ``"current"``.

        Labels are texts, and cells have their JSON forms.
        """
        asked = {
            "from": _version(a),
            "to": _version(b),
            "samples": checked_count(samples, "number of samples"),
        }
        reply = self._ask("GET", session_id, "/diff", asked)
        with understood():
            return answers.difference(reply.document())

    # --- marks, log, state -----------------------------------------------------------------------

    def get_intentional_missing(self, session_id: str) -> dict[Any, list[int]]:
        """Return column label -> sorted row positions of the cells that are empty on purpose."""
        return self._marks(session_id, "columns")

    def get_missing_reasons(self, session_id: str) -> dict[Any, dict[str, list[int]]]:
        """Return column label -> reason -> sorted rows; rows marked without a reason are left out."""
        return self._marks(session_id, "reasons")

    def get_audit_log(self, session_id: str) -> list[str]:
        """Return the audit log, oldest first."""
        reply = self._ask("GET", session_id, "/audit")
        with understood():
            return [str(entry) for entry in reply.document()["entries"]]

    def get_initial_row_count(self, session_id: str) -> int | None:
        """Return how many rows the session was created with."""
        reply = self._ask("GET", session_id, "/audit")
        with understood():
            rows = reply.document()["initial_rows"]
            return None if rows is None else int(rows)

    def check(self, session_id: str) -> list[Damage]:
        """Have every stored part of a session verified; return what is damaged."""
        reply = self._ask("GET", session_id, "/check")
        with understood():
            return [Damage(each["where"], each["problem"]) for each in reply.document()["damage"]]

    def health_check(self) -> dict[str, Any]:
        """Probe the service's storage; never raises."""
        try:
            return self._connection.ask("GET", "/health/storage", or_status=503).document()
        except FramekeepError as error:
            return {
                "status": "unhealthy",
                "backend_type": "service",
                "backend_class": type(self).__name__,
                "engine": "",
                "reachable": False,
                "latency_ms": None,
                "active_sessions": None,
                "error": str(error),
            }

    # --- how -------------------------------------------------------------------------------------

    def _ask(
        self, method: str, session_id: str, path: str, params: Mapping[str, Any] | None = None, **more: Any
    ) -> Reply:
        asked = _path(session_id, path)
        return self._connection.ask(method, asked, params, session_id=session_id, **more)

    def _facts(self, session_id: str, *, touch: bool = True) -> Reply:
        return self._ask("GET", session_id, "", {"touch": touch})

    def _frame(self, session_id: str, asked: Mapping[str, Any]) -> tuple[Revision, pd.DataFrame]:
        path = _path(session_id, "/data")
        with self._connection.fetched(path, asked, FRAME_TYPE, session_id=session_id) as (reply, file):
            return reply.revision, read_frame(file)

    def _labels(self, session_id: str, version: int | str = "current") -> list[Any]:
        """Return the labels themselves, where their names are not all there is to them."""
        return list(self.get_page(session_id, 0, 0, version=version).columns.tolist())

    def _names(
        self, session_id: str, columns: Sequence[Hashable], version: int | str = "current"
    ) -> list[str]:
        """Return the text forms that the service knows columns by.

        Raises:
            UnknownColumnError: there is no such column.
        """
        if isinstance(columns, str | bytes):
            raise InvalidInputError("columns must be a list of labels, not one text.")
        if all(type(label) is str for label in columns):
            return list(map(str, columns))
        labels = self._labels(
            session_id, version
        )  # equal labels, as 1 and a NumPy 1, may be written differently
        return [label_text(labels[i]) for i in resolve_columns(labels, columns)]

    def _window(
        self,
        session_id: str,
        offset: object,
        limit: object,
        columns: Sequence[Hashable] | None,
        version: int | str,
    ) -> dict[str, Any]:
        return {
            "offset": min(checked_count(offset, "offset"), _MOST),
            "limit": None if limit is None else min(checked_count(limit, "limit"), _MOST),
            "columns": None if columns is None else self._names(session_id, columns, version),
            "version": _version(version),
        }

    def _marks(self, session_id: str, part: str) -> dict[Any, Any]:
        found = self._ask("GET", session_id, "/missing").document()
        with understood():
            marks: dict[Any, Any] = found[part]
            if not marks or found["plain_names"]:
                return marks
            labels = {clean(label_text(label)): label for label in self._labels(session_id)}
            return {labels.get(name, name): rows for name, rows in marks.items()}


def _path(session_id: str, path: str) -> str:
    return f"/api/v1/sessions/{checked_id(session_id)}{path}"


def _version(version: object) -> str:
    if version == "current" and isinstance(version, str):
        return version
    if isinstance(version, str):
        raise InvalidInputError(f"A state is a version id or 'current', not {version[:40]!r}.")
    return str(min(checked_count(version, "version id"), 999_999_999))

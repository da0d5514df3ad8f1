"""What a client changes of a session: its frame, versions, marks, metadata, log."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from framekeep.client import answers
from framekeep.client.answers import understood
from framekeep.client.bodies import frame_body
from framekeep.client.connection import Reply
from framekeep.client.edit import Edit
from framekeep.client.reading import SessionReading
from framekeep.errors import InvalidInputError, InvalidMarksError, SessionNotFoundError
from framekeep.names import Revision, checked_id
from framekeep.sessions import Outcome
from framekeep.sessions.arguments import checked_count, checked_metadata, checked_text, checked_ttl, listed

if TYPE_CHECKING:
    import pandas as pd

Told = Callable[[Revision], None]


class SessionChanging(SessionReading):
    """The verbs of a session that change something. Thread-safe."""

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
        params = {"filename": checked_text(filename, "file name"), "ttl_seconds": checked_ttl(ttl_seconds)}
        self._changed("PUT", session_id, "", params, told=on_revision, body=frame_body(dataframe))

    def new_session(
        self, dataframe: pd.DataFrame, filename: str = "dataframe", *, ttl_seconds: float | None = None
    ) -> str:
        """Keep a frame in a new session and return its unguessable id; raises as ``create_session`` does."""
        params = {
            "filename": checked_text(filename, "file name"),
            "ttl_seconds": None if ttl_seconds is None else checked_ttl(ttl_seconds),
        }
        reply = self._connection.ask("POST", "/api/v1/sessions", params, body=frame_body(dataframe))
        with understood():
            return checked_id(reply.document()["session_id"])

    def update_dataframe(
        self,
        session_id: str,
        dataframe: object,
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
            ConflictError: somebody else changed the data meanwhile.
        """
        self._changed(
            "PUT",
            session_id,
            "/data",
            told=on_revision,
            body=frame_body(dataframe),
            expected=expected_revision,
        )

    def delete_session(self, session_id: str, *, expected_revision: Revision | None = None) -> bool:
        """Delete a session with all it holds; False if it was not there."""
        try:
            reply = self._ask("DELETE", session_id, "", expected=expected_revision)
        except SessionNotFoundError:
            return False
        return deleted(reply)

    def touch_session(self, session_id: str, ttl_seconds: float) -> None:
        """Make ``ttl_seconds`` the session's time to live, counted from now."""
        self._ask("POST", session_id, "/touch", {"ttl_seconds": checked_ttl(ttl_seconds)})

    def update_metadata(self, session_id: str, metadata: Mapping[str, Any]) -> None:
        """Merge the caller's own JSON values into the metadata."""
        self._ask("PATCH", session_id, "", json={"metadata": checked_metadata(metadata)})

    # --- versions --------------------------------------------------------------------------------

    def create_version(
        self,
        session_id: str,
        dataframe: object,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep ``dataframe`` (the state before an action) as the newest version and return its id."""
        return self._kept(
            "POST",
            session_id,
            "/versions",
            dataframe,
            action_summary,
            max_versions,
            expected_revision,
            on_revision,
        )

    def commit_dataframe(
        self,
        session_id: str,
        dataframe: object,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> int:
        """Keep what was as a version and make ``dataframe`` current, in one step; return the version's id."""
        return self._kept(
            "PUT",
            session_id,
            "/data",
            dataframe,
            action_summary,
            max_versions,
            expected_revision,
            on_revision,
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
        """Keep the current state as the newest version; return its id."""
        reply = self._changed(
            "POST",
            session_id,
            "/versions",
            {"max_versions": checked_count(max_versions, "number of versions")},
            told=on_revision,
            json={"summary": checked_text(action_summary, "action summary")},
            expected=expected_revision,
        )
        return _version_id(reply)

    def edit(
        self,
        session_id: str,
        action_summary: str,
        max_versions: int = 5,
        *,
        expected_revision: Revision | None = None,
    ) -> Edit:
        """Return a context manager that hands out the current frame and commits what was changed in it."""
        summary = checked_text(action_summary, "action summary")
        limit = checked_count(max_versions, "number of versions")
        return Edit(self, checked_id(session_id), summary, limit, expected_revision)

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

        The function runs here. None if nothing changed; ConflictError if somebody else was faster.
        """
        step = self.edit(session_id, action_summary, max_versions, expected_revision=expected_revision)
        with step as frame:
            step.replace(function(frame))
        return step.version_id

    def apply_operations(
        self,
        session_id: str,
        operations: Iterable[Mapping[str, Any]],
        summary: str | None = None,
        *,
        dry_run: bool = False,
        expected_revision: Revision | None = None,
    ) -> Outcome:
        """Have operations of the editing vocabulary carried out as one version, and learn what they changed.

        Args:
            session_id: the session.
            operations: JSON objects (``editing`` models are taken too).
            summary: what the version is called; None says what the operations do.
            dry_run: say what they would change, and store nothing.
            expected_revision: what ``revision`` gave when the data was looked at.

        Raises:
            InvalidEditError: an operation is malformed or cannot be carried out; nothing is changed.
            ConflictError: somebody else changed the data meanwhile.
        """
        said = [_plain(operation) for operation in operations]
        reply = self._ask(
            "POST",
            session_id,
            "/edits",
            {"dry_run": dry_run},
            json={"summary": summary, "operations": said},
            expected=expected_revision,
        )
        with understood():
            found = reply.document()
            rows, columns = found["shape"]
            return Outcome(
                found["version_id"], reply.revision, found["summary"], (rows, columns), found["impact"]
            )

    def undo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step back; return the version that is current now. NothingToUndoError if there is none."""
        return self._stepped(session_id, "/undo", expected_revision, on_revision)

    def redo(
        self,
        session_id: str,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step forward; return the version whose action is done again, or raise NothingToRedoError."""
        return self._stepped(session_id, "/redo", expected_revision, on_revision)

    def restore(
        self,
        session_id: str,
        version_id: int,
        *,
        expected_revision: Revision | None = None,
        on_revision: Told | None = None,
    ) -> dict[str, Any]:
        """Step to a version (forward or back); redo and undo lead on from there.

        Raises:
            VersionNotFoundError: the version is unknown or was dropped.
        """
        number = checked_count(version_id, "version id")
        return self._stepped(session_id, f"/versions/{number}/restore", expected_revision, on_revision)

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

        A reason of "" takes reasons away, None leaves each row the reason it has.

        Raises:
            InvalidMarksError: the frame has no such column or row.
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
        """Set the marks of several columns in one step: rows, or a list of ``{"rows": …, "reason": …}``."""
        checked_id(session_id)
        if not isinstance(columns_data, Mapping):
            raise InvalidMarksError(
                f"Marks are a mapping of column to rows, not {type(columns_data).__name__}."
            )
        given = listed(columns_data)
        try:
            names = self._names(session_id, list(given))
            marks = {name: _entries(rows) for name, rows in zip(names, given.values(), strict=True)}
            self._changed(
                "PUT",
                session_id,
                "/missing",
                told=on_revision,
                json={"columns": marks},
                expected=expected_revision,
            )
        except InvalidInputError as error:
            raise InvalidMarksError(str(error)) from error

    # --- audit -----------------------------------------------------------------------------------

    def add_audit_entry(self, session_id: str, entry: str) -> None:
        """Append a line to the audit log; it is stamped with the time."""
        self._ask("POST", session_id, "/audit", json={"entry": checked_text(entry, "audit entry")})

    # --- how -------------------------------------------------------------------------------------

    def _changed(
        self,
        method: str,
        session_id: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        told: Told | None,
        **more: Any,
    ) -> Reply:
        reply = self._ask(method, session_id, path, params, **more)
        if told is not None:
            told(reply.revision)
        return reply

    def _kept(
        self,
        method: str,
        session_id: str,
        path: str,
        frame: object,
        summary: str,
        max_versions: int,
        expected: Revision | None,
        told: Told | None,
    ) -> int:
        params = {
            "summary": checked_text(summary, "action summary"),
            "max_versions": checked_count(max_versions, "number of versions"),
        }
        reply = self._changed(
            method, session_id, path, params, told=told, body=frame_body(frame), expected=expected
        )
        return _version_id(reply)

    def _stepped(
        self, session_id: str, path: str, expected: Revision | None, told: Told | None
    ) -> dict[str, Any]:
        reply = self._changed("POST", session_id, path, told=told, expected=expected)
        with understood():
            found = answers.version(reply.document())
        del found["undone"]
        return found


def deleted(reply: Reply) -> bool:
    """Say whether an answer tells of a deletion."""
    with understood():
        return bool(reply.document()["deleted"])


def _version_id(reply: Reply) -> int:
    with understood():
        return int(reply.document()["version_id"])


def _plain(operation: Any) -> Any:
    return operation.model_dump(mode="json") if hasattr(operation, "model_dump") else operation


def _entries(given: Any) -> Any:
    """Return marks as JSON has them: row positions of NumPy, ranges and arrays become lists of numbers."""
    if isinstance(given, Mapping):
        return {key: _entries(each) if key == "rows" else each for key, each in given.items()}
    if hasattr(given, "tolist"):
        return given.tolist()
    if isinstance(given, list):
        return [_entries(each) for each in given]
    return given

"""Uploads of files, and what comes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from framekeep.client.answers import understood
from framekeep.client.connection import Body, Connection
from framekeep.errors import InvalidInputError
from framekeep.names import checked_id

_PIECE: Final = 256 << 10

Progress = Callable[[int, int | None], None]
"""Told how many bytes were sent, of how many (None: not known)."""


class Uploading:
    """The verbs that turn files into sessions."""

    _connection: Connection

    def upload(
        self,
        file: str | Path | IO[bytes],
        *,
        filename: str | None = None,
        progress: Progress | None = None,
        progress_id: str | None = None,
        ttl_seconds: float | None = None,
        format: str | None = None,
        delimiter: str | None = None,
        encoding: str | None = None,
        header: int | None = 0,
        skip_rows: int = 0,
        missing: Sequence[str] = (),
        types: Mapping[str, str] | None = None,
        typing: bool = True,
        sheets: Sequence[str] = (),
        merge: bool = False,
    ) -> dict[str, Any]:
        """Have a file read into a session; a workbook of several sheets waits for ``select_sheets``.

        Args:
            file: its path, or a file opened for reading bytes that can be sought.
            filename: what it is called; by default what its path says.
            progress: told of the bytes as they are sent.
            progress_id: any id; ``get_upload_progress`` tells how far the reading is.
            ttl_seconds: of the session, if not the service's own.
            format, delimiter, encoding: instead of what is found out.
            header: row with the names, counted from 0; None: there is none.
            skip_rows: rows to pass over at the top.
            missing: words that mean no value.
            types: column -> text, integer, number, boolean, date, datetime or category.
            typing: False leaves every column as text.
            sheets: of a workbook.
            merge: put the sheets into one table.

        Returns:
            ``{"kind": "session", "session_id", "rows", "columns", "notes", …}``, or
            ``{"kind": "workbook", "temp_id", "sheets", "suggested", "expires_at", …}``.

        Raises:
            UnreadableFileError: of the kind that says what is wrong with it; nothing is stored.
        """
        params = {
            "filename": _named(file) if filename is None else filename,
            "ttl_seconds": ttl_seconds,
            "progress_id": progress_id,
            "format": format,
            "delimiter": delimiter,
            "encoding": encoding,
            "header": -1 if header is None else header,
            "skip_rows": skip_rows,
            "missing": list(missing),
            "types": None if types is None else json.dumps(dict(types)),
            "typing": typing,
            "sheet": list(sheets),
            "merge": merge,
        }
        if isinstance(file, str | Path):
            with Path(file).open("rb") as opened:
                return self._upload(opened, params, progress)
        return self._upload(file, params, progress)

    def _upload(
        self, file: IO[bytes], params: Mapping[str, Any], progress: Progress | None
    ) -> dict[str, Any]:
        start = file.tell()
        total = file.seek(0, 2) - start

        def pieces() -> Iterator[bytes]:
            file.seek(start)
            sent = 0
            while piece := file.read(_PIECE):
                if not isinstance(piece, bytes):
                    raise InvalidInputError(
                        "The file was opened for text. Open it for bytes: open(path, 'rb')."
                    )
                yield piece
                sent += len(piece)
                if progress is not None:
                    progress(sent, total)

        body = Body("application/octet-stream", pieces, total)
        return self._connection.ask("POST", "/api/v1/upload", params, body=body).document()

    def get_upload(self, temp_id: str) -> dict[str, Any]:
        """Return the sheets of a workbook that waits, with previews."""
        return self._connection.ask("GET", _waiting(temp_id)).document()

    def select_sheets(
        self,
        temp_id: str,
        sheets: Sequence[str],
        *,
        merge: bool = False,
        types: Mapping[str, str] | None = None,
        ttl_seconds: float | None = None,
    ) -> list[dict[str, Any]]:
        """Have sheets of a workbook that waits read into sessions, one each or, merged, one for all."""
        if isinstance(sheets, str):
            raise InvalidInputError("sheets is a list of names, not one text.")
        said = {"sheets": list(sheets), "merge": merge, "types": None if types is None else dict(types)}
        reply = self._connection.ask(
            "POST", f"{_waiting(temp_id)}/select-sheets", {"ttl_seconds": ttl_seconds}, json=said
        )
        with understood():
            return list(reply.document()["sessions"])

    def discard_upload(self, temp_id: str) -> None:
        """Let go of a workbook that waits."""
        self._connection.ask("DELETE", _waiting(temp_id))

    def get_upload_progress(self, progress_id: str) -> dict[str, Any]:
        """Return how far an upload is: ``state``, and what belongs to it."""
        path = f"/api/v1/upload/progress/{checked_id(progress_id, what='progress id')}"
        return self._connection.ask("GET", path).document()


def _waiting(temp_id: str) -> str:
    return f"/api/v1/upload/{checked_id(temp_id, what='temporary storage id')}"


def _named(file: object) -> str:
    name = getattr(file, "name", "") if not isinstance(file, str | Path) else file
    return Path(name).name if isinstance(name, str | Path) else ""

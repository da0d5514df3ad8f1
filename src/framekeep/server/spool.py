"""Bodies that stream to disk: a file from a form or as it is, never whole in memory.

The file has a name while it is read, because another process reads it, and is removed with its block.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.requests import ClientDisconnect, Request

from framekeep.server.parameters import parameters
from framekeep.server.problems import RequestError

if TYPE_CHECKING:
    from framekeep.server.threads import Threads

_BATCH = 1 << 20  # bytes handed to a thread at a time
_HEADERS = 16 << 10  # bytes of headers of all parts of a form
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that was sent.

    Attributes:
        path: where it is.
        filename: what its sender calls it, without directories; "" if they do not.
        size: in bytes.
    """

    path: Path
    filename: str
    size: int


@asynccontextmanager
async def spooled(
    request: Request,
    directory: Path,
    threads: Threads,
    *,
    limit: int,
    variable: str,
    on_bytes: Callable[[int, int | None], None] = lambda seen, total: None,
) -> AsyncIterator[Spooled]:
    """Stream the request's file to disk; it is gone after the block.

    Args:
        request: with a body that is a form with one file, or the file itself.
        directory: where to put it.
        threads: where to write it.
        limit: bytes that the file may have.
        variable: the setting that says so.
        on_bytes: told, in a thread, how many bytes came, of how many (None: not known).

    Raises:
        RequestError: 400, the form is malformed or has no file; 413, the file is too large.
    """
    kind = request.headers.get("content-type", "")
    handle, name = await threads.quick(tempfile.mkstemp, dir=directory, prefix="upload-")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            sink = _Sink(file, limit, variable)
            form = _Form(kind, sink) if kind.lower().startswith("multipart/form-data") else None
            length = request.headers.get("content-length", "")
            total = int(length) if length.isdigit() else None
            seen = 0

            def written(seen: int) -> None:
                sink.flush()
                on_bytes(seen, total)

            try:
                async for part in request.stream():
                    seen += len(part)
                    if form is not None:
                        form.feed(part)
                    else:
                        sink.add(part)
                    if sink.waiting >= _BATCH:
                        await threads.heavy(written, seen)
            except ClientDisconnect:
                raise RequestError(
                    400, "incomplete_body", "The body ended before it was complete; nothing was stored."
                ) from None
            # A small file does not wait behind large ones; it waits once, when it is read.
            await (threads.quick if sink.waiting == sink.size else threads.heavy)(sink.flush)
        if form is not None:
            form.finish()
        filename = form.filename if form is not None else named(request)
        yield Spooled(path, cleaned(filename), sink.size)
    finally:
        try:
            await threads.quick(path.unlink, missing_ok=True)
        except RuntimeError:  # the service has stopped, and its threads with it
            path.unlink(missing_ok=True)


def named(request: Request) -> str:
    """Return the file's name as the request gives it: ``?filename=``, else Content-Disposition, else ""."""
    asked = request.query_params.get("filename")
    if asked is not None:
        return asked
    return parameters(request.headers.get("content-disposition", "")).get("filename", "")


def cleaned(filename: str) -> str:
    """Return a file name without directories and control characters, of at most 255 characters."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return _UNSAFE.sub("", last).strip()[-255:]


class _Sink:
    """Collects parts of a file until they are worth writing."""

    def __init__(self, file: IO[bytes], limit: int, variable: str) -> None:
        self._file = file
        self._limit = limit
        self._variable = variable
        self._parts: list[bytes] = []
        self.waiting = 0
        self.size = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > self._limit:
            raise RequestError(
                413,
                "body_too_large",
                f"The file has more than the {self._limit >> 20} MiB that are taken here; nothing was "
                f"stored. Raise {self._variable}, or send less.",
                headers={"connection": "close"},
            )
        self._parts.append(part)
        self.waiting += len(part)

    def flush(self) -> None:
        parts, self._parts, self.waiting = self._parts, [], 0
        self._file.writelines(parts)
        self._file.flush()  # or closing the file would write, on the event loop


class _Form:
    """A form with one file in it; other fields are passed over."""

    def __init__(self, content_type: str, sink: _Sink) -> None:
        boundary = parameters(content_type).get("boundary")
        if not boundary:
            raise _malformed("its Content-Type has no boundary")
        self.filename = ""
        self._sink = sink
        self._files = 0
        self._in_file = False
        self._done = False
        self._header_bytes = 0
        self._field = bytearray()
        self._value = bytearray()
        self._part: dict[str, str] = {}
        try:
            self._parser = MultipartParser(
                boundary.encode("latin-1", "replace"),
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._header(self._field, data[start:end]),
                    "on_header_value": lambda data, start, end: self._header(self._value, data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def finish(self) -> None:
        if not self._done:
            raise _malformed("it is cut short")
        if self._files != 1:
            raise RequestError(
                400,
                "no_file",
                f"The form has {self._files or 'no'} file(s). Send one, in a field 'file', as: "
                "curl -F file=@table.csv …",
            )

    def _begin(self) -> None:
        self._part = {}
        self._in_file = False

    def _header(self, to: bytearray, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > _HEADERS:
            raise _malformed("its headers are too long")
        to += data

    def _header_end(self) -> None:
        self._part[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._field.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        filename = parameters(self._part.get("content-disposition", "")).get("filename")
        if filename is None:
            return
        self._files += 1
        if self._files > 1:
            raise RequestError(400, "no_file", "The form has more than one file. Send them one by one.")
        self._in_file = True
        self.filename = filename

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._sink.add(data[start:end])

    def _end(self) -> None:
        self._done = True


def _malformed(why: str) -> RequestError:
    return RequestError(400, "malformed_form", f"The form is malformed: {why}; nothing was stored.")

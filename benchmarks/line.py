"""The lightest HTTP client there is: requests made beforehand, over connections that stay open.

So that what a benchmark measures is the service, and not the client. It understands what the service sends,
and nothing else: a status, headers, and a body with Content-Length or in chunks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

Address = tuple[str, int]

JSON = "application/json"
SESSIONS = "/api/v1/sessions"
UPLOAD = "/api/v1/upload"

_BOUNDARY = "framekeep-benchmark"
_READ = 1 << 18


class Answer(NamedTuple):
    """What the service answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return orjson.loads(self.body)

    def expect(self, status: int) -> Self:
        """Return the answer itself if it has this status.

        Raises:
            RuntimeError: it has another; says which, and what the service said.
        """
        if self.status != status:
            raise RuntimeError(f"{status} expected, got {self.status}: {self.body[:500]!r}")
        return self


def head(
    method: str, path: str, *, length: int | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """Return the head of a request; ``length`` is that of its body."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    if length is not None:
        lines.append(f"content-length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    kind: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole request."""
    if body is None:
        return head(method, path, headers=headers)
    return head(method, path, length=len(body), headers={"content-type": kind, **(headers or {})}) + body


class Line:
    """A connection that one thread uses; close it, or use it in a ``with`` statement."""

    def __init__(self, address: Address, timeout: float = 600.0) -> None:
        self._socket = socket.create_connection(address, timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, message: bytes) -> Answer:
        """Send a whole request and return the answer."""
        self._socket.sendall(message)
        return self._answer()

    def upload(self, path: Path, filename: str, query: str = "") -> Answer:
        """Send a file to /upload in a form, as ``curl -F file=@…`` does; it goes from disk to the socket."""
        before = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        after = f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return self._send_file("POST", UPLOAD + query, path, kind, before, after)

    def send(self, method: str, target: str, path: Path, kind: str) -> Answer:
        """Send a file as the body of a request."""
        return self._send_file(method, target, path, kind, b"", b"")

    def _send_file(
        self, method: str, target: str, path: Path, kind: str, before: bytes, after: bytes
    ) -> Answer:
        length = len(before) + path.stat().st_size + len(after)
        self._socket.sendall(head(method, target, length=length, headers={"content-type": kind}) + before)
        with path.open("rb") as file:
            self._socket.sendfile(file)
        self._socket.sendall(after)
        return self._answer()

    def _answer(self) -> Answer:
        text, self._buffer = self._until(b"\r\n\r\n")
        status, headers = parsed(text)
        if "content-length" in headers:
            return Answer(status, headers, self._exactly(int(headers["content-length"])))
        if headers.get("transfer-encoding") != "chunked":
            return Answer(status, headers, b"")
        parts: list[bytes] = []
        while True:
            size, self._buffer = self._until(b"\r\n")
            part = self._exactly(int(size, 16) + 2)
            if len(part) == 2:
                return Answer(status, headers, b"".join(parts))
            parts.append(part[:-2])

    def _until(self, mark: bytes) -> tuple[bytes, bytes]:
        while mark not in self._buffer:
            self._buffer += self._received()
        before, _, rest = self._buffer.partition(mark)
        return before, rest

    def _exactly(self, size: int) -> bytes:
        if len(self._buffer) >= size:
            found, self._buffer = self._buffer[:size], self._buffer[size:]
            return found
        parts, missing = [self._buffer], size - len(self._buffer)
        while missing > 0:
            parts.append(self._received())
            missing -= len(parts[-1])
        found = b"".join(parts)
        self._buffer = found[size:]
        return found[:size]

    def _received(self) -> bytes:
        data = self._socket.recv(_READ)
        if not data:
            raise ConnectionError("The service closed the connection in the middle of an answer.")
        return data


class AsyncLine:
    """The same for one task of an event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address) -> AsyncLine:
        """Connect."""
        return cls(*await asyncio.open_connection(*address, limit=_READ))

    async def ask(self, message: bytes) -> Answer:
        """Send a whole request and return the answer."""
        self._writer.write(message)
        status, headers = parsed((await self._reader.readuntil(b"\r\n\r\n"))[:-4])
        if "content-length" in headers:
            return Answer(status, headers, await self._reader.readexactly(int(headers["content-length"])))
        if headers.get("transfer-encoding") != "chunked":
            return Answer(status, headers, b"")
        parts: list[bytes] = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return Answer(status, headers, b"".join(parts))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def parsed(text: bytes) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer's head (without the empty line)."""
    first, *rest = text.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in rest)
    return int(first[9:12]), {name.lower(): value.strip() for name, _, value in pairs}

"""Answers in gzip or zstd, when the client takes them and it pays. Pure ASGI."""

from __future__ import annotations

import asyncio
import io
import zlib
from typing import Any, Protocol

import pyarrow as pa
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from framekeep.server.negotiation import weights

_SMALLEST = 1024  # below, the headers outweigh what is gained
# Bytes that are compressed in place, in a third of a millisecond: a thread takes as long to answer.
_ON_THE_LOOP = {"gzip": 32 << 10, "zstd": 128 << 10}
_PACKS = ("text/", "application/json", "application/problem+json", "application/x-ndjson",
          "application/vnd.apache.arrow")  # fmt: skip


class Compression:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        accepted = next(
            (value for name, value in scope.get("headers", ()) if name == b"accept-encoding"), b""
        )
        coding = chosen(accepted) if scope["type"] == "http" and scope["method"] != "HEAD" else None
        if coding is None:
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, _Sender(coding, send).send)


def chosen(accepted: bytes) -> str | None:
    """Return the content coding for an Accept-Encoding header; None for none."""
    found = weights(accepted.decode("latin-1"))
    best = max(("zstd", "gzip"), key=lambda coding: found.get(coding, 0.0))
    return best if found.get(best, 0.0) > 0 else None


class _Packer(Protocol):
    def pack(self, data: bytes, *, last: bool) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, 31)

    def pack(self, data: bytes, *, last: bool) -> bytes:
        packed = self._deflate.compress(data)
        return packed + self._deflate.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Zstd:
    def __init__(self) -> None:
        self._sink = _Parts()
        self._stream: Any = None

    def pack(self, data: bytes, *, last: bool) -> bytes:
        if self._stream is None:
            if last:
                packed: bytes = pa.compress(data, "zstd", asbytes=True)  # a third faster than a stream
                return packed
            self._stream = pa.CompressedOutputStream(pa.PythonFile(self._sink, mode="w"), "zstd")
        self._stream.write(data)
        if last:
            self._stream.close()
        else:
            self._stream.flush()
        return self._sink.taken()


class _Parts(io.RawIOBase):
    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def close(self) -> None:
        pass  # the stream closes it; what was written is taken afterwards

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Sender:
    """Sends one answer, compressed if it is worth it."""

    def __init__(self, coding: str, send: Send) -> None:
        self._coding = coding
        self._send = send
        self._start: Message | None = None
        self._packer: _Packer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._packs(message):
                self._start = message
            else:
                await self._send(message)
            return
        if self._start is None and self._packer is None:
            await self._send(message)
            return
        body, last = message.get("body", b""), not message.get("more_body", False)
        if self._start is not None:
            start, self._start = self._start, None
            headers = MutableHeaders(raw=start["headers"])
            headers.add_vary_header("accept-encoding")
            if last and len(body) < _SMALLEST:
                await self._send(start)
                await self._send(message)
                return
            self._packer = _Zstd() if self._coding == "zstd" else _Gzip()
            headers["content-encoding"] = self._coding
            if last:
                packed = await self._pack(body, last=True)
                headers["content-length"] = str(len(packed))
                await self._send(start)
                await self._send({**message, "body": packed})
                return
            del headers["content-length"]
            await self._send(start)
        await self._send({**message, "body": await self._pack(body, last=last)})

    async def _pack(self, body: bytes, *, last: bool) -> bytes:
        assert self._packer is not None
        if len(body) <= _ON_THE_LOOP[self._coding]:
            return self._packer.pack(body, last=last)
        return await asyncio.to_thread(self._packer.pack, body, last=last)

    def _packs(self, start: Message) -> bool:
        headers = MutableHeaders(raw=start["headers"])
        length = headers.get("content-length", "")
        return (
            start["status"] not in (204, 304)
            and "content-encoding" not in headers
            and headers.get("content-type", "").startswith(_PACKS)
            and not (length.isdigit() and int(length) < _SMALLEST)
        )

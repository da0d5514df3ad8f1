"""HTTP on one connection: uvicorn's, with bounds on what comes before the application sees a request.

uvicorn's fast parser takes headers of any length, and waits for them for ever. And it takes a client at its
word that asks for another protocol: the body of a request that offers HTTP/2 (as Java's client does, and
``curl --http2``) would be lost. Here such an offer is passed over, as HTTP has it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from framekeep.server.log import log
from framekeep.server.problems import problem

HEAD_LIMIT: Final = 256 << 10
"""Bytes of a request's first line and headers. What is less, and more than ``envelope.HEADERS_LIMIT``, is
refused there, with a log line."""

HEAD_PATIENCE: Final = 30.0
"""Seconds that a request's first line and headers may take, from the opening of the connection or their first
byte."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._in_head = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_longer_wait()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._in_head = 0, True
        self._wait()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._no_longer_wait()
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self.parser.should_upgrade():
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        begun = self._in_head
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(400, "malformed_request", "What came is no HTTP request.")
            return
        except httptools.HttpParserUpgrade as offer:
            self._pass_over(data[offer.args[0] :])
            return
        if begun and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                self._refuse(
                    431, "headers_too_large", "The headers are too long. Send fewer or shorter ones."
                )

    def _pass_over(self, rest: bytes) -> None:
        """Take a request as if it had not offered another protocol."""
        method = self.parser.get_method()
        if method == b"CONNECT":  # which is nothing but that offer
            self._refuse(400, "malformed_request", "This service is no proxy.")
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
            elif name not in (b"connection", b"upgrade"):
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self, status: int, code: str, detail: str) -> None:
        request_id = token_hex(8)
        log.info("refused", request_id=request_id, status=status, code=code)
        made = problem(request_id, status, code, detail, headers={"connection": "close"})
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nx-request-id: {request_id}\r\n".encode()]
        lines += [b"%b: %b\r\n" % header for header in made.raw_headers]
        self.transport.write(b"".join([*lines, b"\r\n", bytes(made.body)]))
        self._no_longer_wait()
        self.transport.close()

    def _wait(self) -> None:
        self._no_longer_wait()
        self._late = self.loop.call_later(HEAD_PATIENCE, self._give_up)

    def _no_longer_wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self._in_head:  # nothing came at all: there is nobody to tell
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(408, "headers_timeout", f"The headers did not come within {HEAD_PATIENCE:g} s.")

"""What every request gets: an id, security headers, limits of body and patience, and one line in the log.

Pure ASGI, outermost. Whatever nobody caught ends here as a 500 that says its request id.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from secrets import token_hex

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from framekeep.server.log import log
from framekeep.server.problems import RequestError, answer

_FRAMES = re.compile(r"/api/v1/(?:sessions(?:/[^/]+(?:/data|/versions)?)?|temporary/[^/]+)")
"""Where a frame may be sent, which streams to disk."""

_LARGE = re.compile(r"/api/v1/sessions/[^/]+/(?:edits|missing(?:/column)?)")
"""Where a JSON body may be large."""

_STOPS = RequestError(
    503,
    "service_stops",
    "The service stopped before this was finished. See whether it was done before you send it again; with an "
    "Idempotency-Key it can be sent again as it is.",
    retryable=True,
    headers={"retry-after": "5", "connection": "close"},
)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}", re.ASCII)

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_LOCKED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# The pages of /docs and /redoc are FastAPI's own: their scripts come from where FastAPI says.
_PAGES = (
    b"content-security-policy",
    b"default-src 'self'; script-src 'unsafe-inline' https:; style-src 'unsafe-inline' https:; "
    b"img-src 'self' data: https:; font-src https:; worker-src blob:; frame-ancestors 'none'",
)

JSON_LIMIT = 2 << 20
"""Bytes of a JSON body: FastAPI reads it on the event loop. (Metadata may have a MiB, in ASCII.)"""

LARGE_JSON_LIMIT = 16 << 20
"""Bytes of a JSON body that holds cells or rows, and is read in a thread."""

ADDRESS_LIMIT = 60 << 10
"""Bytes of a path with its query: some thousand names of columns. From 64 KiB on it is no HTTP to uvicorn."""

HEADERS_LIMIT = 32 << 10
"""Bytes of all headers, as much as the usual proxies take."""


class Envelope:
    """Wraps the application.

    Args:
        app: what is wrapped.
        file_limit: bytes of a body that is a file.
        frame_limit: bytes of a body that is a frame.
        patience: seconds to wait for the next part of a body.
        storage: what to say of the storage in each answer; None while all is as it should be.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        file_limit: int,
        frame_limit: int,
        patience: float = 30.0,
        storage: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self.app = app
        self.file_limit = file_limit
        self.frame_limit = frame_limit
        self.patience = patience
        self.storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(reversed(scope["headers"]))  # of two, the first counts, as for the application
        asked = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        path, method = scope["path"], scope["method"]
        if method == "HEAD":  # what GET would say, of which the server below sends the headers only
            scope = {**scope, "method": "GET"}
        policy = _PAGES if path in ("/docs", "/redoc") else _LOCKED
        status, started = 500, False

        async def finish(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    policy,
                    *_HEADERS,
                ]
                if (told := self.storage()) is not None:
                    message["headers"].append((b"framekeep-storage", told))
            await send(message)

        body = (
            Body(self, scope, receive, finish, headers)
            if b"content-length" in headers or b"transfer-encoding" in headers
            else None
        )
        try:
            if (excess := _excess(scope)) is not None:
                await answer(request_id, excess)(scope, receive, finish)
            elif body is None:
                await self.app(scope, receive, finish)
            else:
                await self.app(scope, body.receive, body.send)
        except asyncio.CancelledError:  # it took longer than the service's end may take
            if started:
                raise  # half an answer is out: the connection must break, or it would look whole
            await answer(request_id, _STOPS)(scope, receive, finish)
        except Exception as error:
            log.error("unexpected", request_id=request_id, exc_info=True)
            if started:
                raise  # as above
            await answer(request_id, error)(scope, receive, finish)
        finally:
            log.info(
                "request",
                request_id=request_id,
                method=method,
                path=getattr(scope.get("route"), "path", None) or "unmatched",
                status=status,
                ms=round((time.perf_counter() - start) * 1000, 2),
            )


def _excess(scope: Scope) -> RequestError | None:
    """Return the error of an address or of headers that are too long; the server below takes any length."""
    if len(scope.get("raw_path", b"")) + len(scope["query_string"]) > ADDRESS_LIMIT:
        return RequestError(
            414,
            "address_too_long",
            f"The address is longer than {ADDRESS_LIMIT >> 10} KiB. Ask for less at once.",
        )
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_LIMIT:
        return RequestError(
            431,
            "headers_too_large",
            f"The headers have more than {HEADERS_LIMIT >> 10} KiB. Send fewer or shorter ones.",
        )
    return None


class Body:
    """The body of one request: bounded in bytes and in the time between its parts, while it streams in.

    What goes beyond is answered here, whatever the application makes of it.
    """

    def __init__(
        self, envelope: Envelope, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]
    ) -> None:
        self._receive = receive
        self._send = send
        self._scope = scope
        self._patience = envelope.patience
        self._seen = 0
        self._more = True
        self._problem: RequestError | None = None
        self._answered = False
        self._limit, self._variable = self._limit_of(envelope, headers)
        length = headers.get(b"content-length", b"")
        self._declared = int(length) if length.isdigit() else 0

    def _limit_of(self, envelope: Envelope, headers: dict[bytes, bytes]) -> tuple[int, str]:
        path, method = self._scope["path"], self._scope["method"]
        kind = headers.get(b"content-type", b"").lower()
        if path == "/api/v1/upload":
            return envelope.file_limit + (64 << 10), "MAX_UPLOAD_SIZE_MB"  # the form around the file
        # Every other body is held in memory before anything looks at it, whatever its sender calls it.
        if (
            not kind
            or kind.startswith(b"application/json")
            or method == "PATCH"
            or not _FRAMES.fullmatch(path)
        ):
            return (LARGE_JSON_LIMIT if _LARGE.fullmatch(path) else JSON_LIMIT), ""
        return envelope.frame_limit, "MAX_DATAFRAME_SIZE_MB"

    async def receive(self) -> Message:
        """Return the next part."""
        if not self._more:
            return await self._receive()  # the client's going away: that may take as long as it likes
        if self._declared > self._limit:
            self._too_large()
        try:
            message = await asyncio.wait_for(self._receive(), self._patience)
        except TimeoutError:
            raise self._refuse(
                RequestError(
                    408,
                    "body_timeout",
                    f"No part of the body came for {self._patience:g} s; nothing was stored. Send it again.",
                    retryable=True,
                    headers={"connection": "close"},
                )
            ) from None
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._more = message.get("more_body", False)
            if self._seen > self._limit:
                self._too_large()
        else:
            self._more = False
        return message

    async def send(self, message: Message) -> None:
        """Send the application's answer, or ours if the body was refused."""
        if self._problem is None or self._answered:
            if self._problem is None:
                await self._send(message)
            return
        self._answered = True
        request_id = self._scope["state"]["request_id"]
        await answer(request_id, self._problem)(self._scope, self._receive, self._send)

    def _too_large(self) -> None:
        how = f" Raise {self._variable}, or send less." if self._variable else " Send less at once."
        raise self._refuse(
            RequestError(
                413,
                "body_too_large",
                f"The body has more than the {self._limit >> 20} MiB that are taken here; nothing was "
                f"stored.{how}",
                headers={"connection": "close"},
            )
        )

    def _refuse(self, error: RequestError) -> RequestError:
        self._problem = error
        self._more = False
        return error


def request_id(request: Request) -> str:
    """Return the id of a request."""
    id: str = request.state.request_id
    return id

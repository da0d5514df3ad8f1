"""``Idempotency-Key``: a change that is sent twice is carried out once. Pure ASGI.

A key belongs to whoever sends it, and to one request: the same method, address and body. What succeeded is
kept for a day and sent again; what failed stored nothing, so it may be tried again at once. Who has no API
key of the service (any more) gets no reply and leaves no trace.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import blake3
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from framekeep.errors import FramekeepError, StorageError
from framekeep.replies import Claim, Replies, Reply
from framekeep.server.log import log
from framekeep.server.problems import RequestError, answer

if TYPE_CHECKING:
    from framekeep.server.access import Keys
    from framekeep.server.threads import Threads

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_CHANGES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
"""A PUT that makes a session or a version, and a DELETE, do not answer the same twice either."""
_KEPT_HEADERS = (b"content-type", b"etag", b"location")


class Idempotency:
    """Wraps the application.

    Args:
        app: what is wrapped.
        replies: gives where replies are kept, once the service has started.
        threads: gives where work runs that may block.
        keys: gives who may use the service.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        replies: Callable[[], Replies],
        threads: Callable[[], Threads],
        keys: Callable[[], Keys],
    ) -> None:
        self.app = app
        self._keys = keys
        self._replies = replies
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] not in _CHANGES:
            await self.app(scope, receive, send)
            return
        headers = dict(reversed(scope["headers"]))  # of two, the first counts, as for the application
        key = headers.get(b"idempotency-key")
        if key is None:
            await self.app(scope, receive, send)
            return
        try:
            await self._once(key, headers, scope, receive, send)
        except FramekeepError as error:
            await answer(scope["state"]["request_id"], error)(scope, receive, send)

    async def _once(
        self, key: bytes, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not _KEY.fullmatch(key):
            raise RequestError(
                400,
                "malformed_header",
                "Idempotency-Key is 1 to 255 visible ASCII characters, for example a UUID.",
            )
        owner = self._keys().owner(headers.get(b"authorization", b"").decode("latin-1"))
        id = blake3.blake3(owner.prefix.encode() + b"\0" + key).hexdigest(length=16)
        claim = await self._threads().quick(self._replies().claim, id)
        body = _Hashed(scope, receive)
        if claim is None:
            raise RequestError(
                409,
                "request_under_way",
                "A request with this Idempotency-Key is being carried out. Wait, and send it again.",
                retryable=True,
                headers={"retry-after": "1"},
            )
        if isinstance(claim, Reply):
            while await body.more():
                pass
            if body.fingerprint() != claim.fingerprint:
                raise RequestError(
                    422,
                    "idempotency_key_reused",
                    "This Idempotency-Key came with another request before. Use a fresh key for each one.",
                )
            await _replay(claim, send)
            return
        await self._carry_out(claim, body, scope, send)

    async def _carry_out(self, claim: Claim, body: _Hashed, scope: Scope, send: Send) -> None:
        status = 500
        kept: dict[str, str] = {}
        parts: list[bytes] = []

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept.update(
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in message["headers"]
                    if name in _KEPT_HEADERS
                )
            else:
                parts.append(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                await settle()  # before the client has the answer: it may send the same again at once
            await send(message)

        settled, done = False, asyncio.Event()
        renewing = asyncio.create_task(self._renew(claim, done))

        async def settle() -> None:
            nonlocal settled
            settled = True
            done.set()
            await renewing
            try:
                if 200 <= status < 300:
                    while await body.more():
                        pass
                    reply = Reply(body.fingerprint(), status, kept, b"".join(parts))
                    await self._threads().quick(claim.keep, reply)
                else:
                    await self._threads().quick(claim.release)
            except (StorageError, RuntimeError) as error:  # or the service has stopped, and its threads too
                # What was done is done, and whoever asked is told so; another attempt waits for the lease.
                log.warning(
                    "reply_not_kept", request_id=scope["state"]["request_id"], error=type(error).__name__
                )

        try:
            await self.app(scope, body.receive, noted)
        except asyncio.CancelledError:
            # Cut off. What runs in a thread goes on and may yet be stored, so another attempt waits for the
            # lease; unless the application waited for more of the body, before which it begins nothing.
            done.set()
            settled = settled or not body.awaited
            raise
        finally:
            if not settled:  # it ended before its answer, or in the middle of it
                status = 500
                await settle()

    async def _renew(self, claim: Claim, done: asyncio.Event) -> None:
        """Keep the claim while the request takes its time, as a large file over a slow line does."""
        while not done.is_set():
            try:
                await asyncio.wait_for(done.wait(), claim.lease / 3)
            except TimeoutError:
                with suppress(FramekeepError, RuntimeError):  # there is time for another try
                    await self._threads().quick(claim.renew)


class _Hashed:
    """A body that is hashed as it is read.

    Attributes:
        awaited: the application has asked for it, and not had all of it. What needs no body never asks.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._more = True
        self.awaited = False
        query = scope.get("query_string", b"")
        self._hash = blake3.blake3(b"\0".join([scope["method"].encode(), scope["path"].encode(), query, b""]))

    async def receive(self) -> Message:
        self.awaited = self._more
        message = await self._receive()
        if message["type"] == "http.request":
            self._hash.update(message.get("body", b""))
            self.awaited = self._more = message.get("more_body", False)
        else:
            self._more = False
        return message

    async def more(self) -> bool:
        """Read a part that nobody read; False when there is none left."""
        if self._more:
            await self.receive()
        return self._more

    def fingerprint(self) -> str:
        return self._hash.hexdigest(length=16)


async def _replay(reply: Reply, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    headers += [(b"content-length", str(len(reply.body)).encode()), (b"idempotent-replayed", b"true")]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})

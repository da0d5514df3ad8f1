"""Pages of JSON as they are asked for all day: which session, from which row, how many rows, and no more.

FastAPI takes a quarter of a millisecond to look for ten parameters and to solve five dependencies, several
times as long as finding the page. So a plain request is read here, in a few microseconds. Every other one,
and every one that is wrong, takes the documented way; it would answer the plain ones alike, which is tested.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.asking import ID_PATTERN, MOST_ROWS

if TYPE_CHECKING:
    from framekeep.server.service import Service

PAGE = 100
"""Rows of a page unless said otherwise."""

_ID = re.compile(ID_PATTERN)
_TAKES_JSON = (None, "*/*", "application/json")
_DIGITS = 15  # of an offset: below 2^53


class PageRoute(APIRoute):
    """Answers plain requests for a page; leaves all others to its endpoint."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        documented = super().get_route_handler()

        async def handle(request: Request) -> Response:
            asked = plain(request)
            if asked is None:
                return await documented(request)
            service: Service = request.app.state.service
            owner = service.keys.owner(request.headers.get("authorization"))
            session_id = owner.stored(request.path_params["session_id"])
            manager = service.manager
            found = manager.glance_page_json(session_id, *asked)
            if found is None:
                found = await service.threads.quick(manager.get_page_json, session_id, *asked)
            return answer(*found)

        return handle


def plain(request: Request) -> tuple[int, int] | None:
    """Return the offset and the limit that a request asks for; None if it says anything else."""
    headers = request.headers
    if headers.get("accept") not in _TAKES_JSON or "if-none-match" in headers:
        return None
    if not _ID.fullmatch(request.path_params["session_id"]):
        return None
    asked = {b"offset": 0, b"limit": PAGE}
    query: bytes = request.scope["query_string"]
    for pair in query.split(b"&") if query else ():
        name, _, digits = pair.partition(b"=")
        if name not in asked or not digits.isdigit() or len(digits) > _DIGITS:
            return None
        asked[name] = int(digits)
    offset, limit = asked.values()
    return (offset, limit) if limit <= MOST_ROWS else None


def answer(revision: Revision, page: bytes) -> Response:
    """Return a page with its ETag."""
    return Response(
        page,
        headers={"cache-control": "no-cache", "vary": "accept", "etag": conditions.etag(revision)},
        media_type="application/json",
    )

"""What an endpoint may ask of its request: who sends it, which session is meant, under which condition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.access import Owner
from framekeep.server.problems import RequestError, clipped
from framekeep.server.service import Service

ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}$"
MOST_ROWS = 10_000
"""Rows of a page at most; whole frames are streamed."""

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    description="One of `API_KEYS`. A service without keys takes every request.",
)


_known: dict[Any, frozenset[str]] = {}


def check_parameters(request: Request) -> None:
    """Refuse a parameter that there is not: `?dryrun=true` for `?dry_run=true` must not do the thing.

    Raises:
        RequestError: 422, naming those there are.
    """
    if not request.scope["query_string"]:
        return
    endpoint = request.scope["endpoint"]
    if endpoint not in _known:
        _known[endpoint] = frozenset(_parameters(request.scope["route"].dependant))
    known = _known[endpoint]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        there_are = f"there are {', '.join(sorted(known))}" if known else "there is none"
        raise RequestError(
            422, "unknown_parameter", f"There is no parameter {clipped(unknown[0])!r} here: {there_are}."
        )


def _parameters(dependant: Any) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _parameters(each)


async def _service(request: Request) -> Service:
    check_parameters(request)
    service: Service = request.app.state.service
    return service


Running = Annotated[Service, Depends(_service)]


async def _owner(
    service: Running,
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Owner:
    return service.keys.owner(request.headers.get("authorization"))


Caller = Annotated[Owner, Depends(_owner)]


async def _session_id(
    owner: Caller,
    session_id: Annotated[
        str,
        Path(
            min_length=1,
            max_length=128,
            pattern=ID_PATTERN,
            description="The session's id.",
            examples=["Xq3kV9bN2mR7tYp0LsA4dE8fGhJ1cZuW"],
        ),
    ],
) -> str:
    return owner.stored(session_id)


SessionId = Annotated[str, Depends(_session_id)]
"""The id under which storage has the session of the path."""


async def _temp_id(
    owner: Caller,
    temp_id: Annotated[
        str,
        Path(min_length=1, max_length=128, pattern=ID_PATTERN, description="The temporary storage's id."),
    ],
) -> str:
    return owner.stored(temp_id, what="temporary storage id")


TempId = Annotated[str, Depends(_temp_id)]


async def _if_match(
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="The ETag that was read: the change is made only if the session's data is still that "
            "(else 412).",
            examples=['"0123456789abcdef0123456789abcdef"'],
            # Said and not asked for here: what is no ETag is a malformed header, a 400.
            json_schema_extra={"pattern": r'^(\*|"[0-9a-f]{32}")$'},
        ),
    ] = None,
) -> Revision | None:
    return conditions.expected(if_match)


IfMatch = Annotated[Revision | None, Depends(_if_match)]

IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="An ETag that the client has: 304 if it is still right.",
        examples=['"0123456789abcdef0123456789abcdef"'],
    ),
]

VersionParameter = Annotated[
    str,
    Query(
        pattern=r"^(current|[0-9]{1,9})$",
        description="`current`, or a version's id: the state before that version's action.",
        examples=["current"],
    ),
]


def version(text: str) -> int | str:
    """Return a version as the manager takes it."""
    return text if text == "current" else int(text)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Names this request: sent twice, it is carried out once (kept for a day).",
        examples=["7c0d2f4e-5b1a-4a51-9a52-1f3f0a6c9d11"],
        json_schema_extra={"pattern": "^[!-~]{1,255}$"},  # asked for in idempotency.py, before anything else
    ),
]

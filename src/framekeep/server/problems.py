"""Every error as a problem document (RFC 9457): one table from error class to HTTP status.

An error takes the status of the nearest class above it. Texts come from the errors themselves; what was
unexpected says its request id and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from framekeep import errors
from framekeep.server.access import without_tag
from framekeep.server.log import log
from framekeep.server.unicode import unicode

MEDIA_TYPE: Final = "application/problem+json"

STATUSES: Final[Mapping[type[errors.FramekeepError], int]] = {
    errors.FramekeepError: 500,
    errors.EngineSignal: 500,
    errors.InvalidInputError: 422,
    errors.NothingToUndoError: 409,
    errors.NothingToRedoError: 409,
    errors.DataFrameTooLargeError: 413,
    errors.UnknownFormatError: 415,
    errors.FileTooLargeError: 413,
    errors.ImportLimitError: 413,
    errors.AuthenticationError: 401,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.StorageError: 500,
    errors.StorageUnavailableError: 503,
    errors.StorageBusyError: 503,
    errors.StorageFullError: 507,
    errors.StorageReadOnlyError: 503,
    errors.ConfigurationError: 500,
    errors.ServiceError: 502,
}


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "Session 'Xq3…' is unknown, deleted or expired.",
                "code": "session_not_found",
                "retryable": False,
                "request_id": "3f0c9b1e6f7d4a52",
            }
        },
    )

    type: str = Field("about:blank", description="A URI for the kind of problem; `code` says more.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What failed, and the next step.")
    code: str = Field(description="Stable name of the kind of error.")
    retryable: bool = Field(description="Whether the same request may succeed later.")
    request_id: str = Field(description="Names this request in the service's log.")


class RequestError(errors.FramekeepError):
    """What only HTTP can get wrong: a precondition, a body that is too large, a key that is used twice.

    Attributes:
        status: the HTTP status.
        more: further members of the problem.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = retryable
        self.more = dict(more or {})
        self.headers = dict(headers or {})


def status_of(error: errors.FramekeepError | type[errors.FramekeepError]) -> int:
    """Return the HTTP status of an error: that of the nearest class in the table."""
    if isinstance(error, RequestError):
        return error.status
    kind = error if isinstance(error, type) else type(error)
    return next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of an endpoint that may answer these problems."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in sorted(set(statuses))
    }


COMMON: Final = (400, 401, 404, 405, 406, 408, 409, 412, 413, 414, 415, 422, 431, 500, 503, 507)
"""What any endpoint under /api may answer."""


def problem(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    *,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """Return a problem document."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
        "request_id": request_id,
        **more,
    }
    return Response(
        orjson.dumps(unicode(document), default=str), status, {**(headers or {}), "content-type": MEDIA_TYPE}
    )


def answer(request_id: str, error: Exception) -> Response:
    """Return the problem document of any error."""
    match error:
        case RequestError():
            return problem(
                request_id,
                error.status,
                error.code,
                str(error),
                retryable=error.retryable,
                headers=error.headers,
                **error.more,
            )
        case RequestValidationError():
            return _invalid(request_id, error.errors())
        case HTTPException():
            return _http(request_id, error)
        case errors.FramekeepError():
            return _framekeep(request_id, error)
        case MemoryError():
            return problem(
                request_id,
                413,
                "too_much_memory",
                "This takes more memory than there is; nothing was stored. Ask for less at once.",
            )
    return problem(
        request_id,
        500,
        "unexpected",
        f"Something unexpected went wrong. The service's log has it under the request id {request_id}.",
    )


async def on_error(request: Request, error: Exception) -> Response:
    """The handler of every expected error."""
    made = answer(request.state.request_id, error)
    if made.status_code == 405:  # the router names the methods of one of the address's routes only
        made.headers["allow"] = ", ".join(_allowed(request))
    return made


def _allowed(request: Request) -> list[str]:
    """Return the methods that the address takes."""
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    return ["GET", "HEAD", *found[1:]] if "GET" in found else found


def _framekeep(request_id: str, error: errors.FramekeepError) -> Response:
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="framekeep"'
    if status == 503:
        headers["retry-after"] = str(max(1, math.ceil(getattr(error, "retry_after", None) or 0)))
    if status >= 500:
        log.error("storage", request_id=request_id, code=error.code, error=str(error))
    more: dict[str, Any] = {}
    for name in ("where", "operation", "position"):
        value = getattr(error, name, None)
        if value not in (None, ""):
            more[name] = value
    return problem(
        request_id,
        status,
        error.code,
        without_tag(" ".join(str(error).split())),
        retryable=error.retryable,
        headers=headers,
        **more,
    )


def _invalid(request_id: str, found: Sequence[Any]) -> Response:
    """What pydantic found, without the values that were sent."""
    listed = [
        {
            "loc": [clipped(part) for part in each["loc"][:8]],
            "msg": clipped(each["msg"], 400),
            "type": each["type"],
        }
        for each in found[:20]
    ]
    first = listed[0] if listed else {"loc": [], "msg": "The request is invalid."}
    where = ".".join(first["loc"])
    malformed = any(each["type"] == "json_invalid" for each in listed)
    return problem(
        request_id,
        400 if malformed else 422,
        "malformed_json" if malformed else "invalid_request",
        f"{where}: {first['msg']}." + (f" ({len(found)} problems in all.)" if len(found) > 1 else ""),
        errors=listed,
    )


def clipped(value: object, most: int = 80) -> str:
    """Return a name or a sentence at a length that can be sent back."""
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _http(request_id: str, error: HTTPException) -> Response:
    status = error.status_code
    detail = {
        404: "There is nothing at this address. The endpoints are listed at /docs.",
        405: "This address does not take that method. The endpoints are listed at /docs.",
    }.get(status, str(error.detail))
    code = {404: "no_such_address", 405: "method_not_allowed"}.get(
        status, HTTPStatus(status).phrase.lower().replace(" ", "_")
    )
    return problem(request_id, status, code, detail, headers=error.headers)

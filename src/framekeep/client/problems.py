"""From a problem document (RFC 9457) to the error of the library that it tells of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from framekeep import errors

_STATUSES: Final = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    412: errors.ConflictError,
}
"""For codes that this version of the library does not know; other 4xx are wrong calls."""

_AWAY: Final = (502, 503, 504)
"""What a proxy answers when nobody is behind it."""

_MOST: Final = 2000
"""Characters of a detail that are shown."""

BUSY: Final = frozenset(("storage_unavailable", "storage_busy"))
"""Codes of what a moment's patience may mend."""
UNDER_WAY: Final = "request_under_way"
"""The code of a request that is being carried out, having been sent before."""


def _below(kind: type[errors.FramekeepError]) -> Iterator[type[errors.FramekeepError]]:
    yield kind
    for each in kind.__subclasses__():
        if each is not errors.EngineSignal and each.__module__ == errors.__name__:
            yield from _below(each)


_CLASSES: Final = {kind.code: kind for kind in _below(errors.FramekeepError)} | {
    errors.FramekeepError.code: errors.ServiceError
}


def error_of(status: int, body: bytes, session_id: str | None) -> tuple[errors.FramekeepError, str]:
    """Return the error that an answer tells of, and its code.

    Args:
        status: the HTTP status, none of success.
        body: the answer's.
        session_id: the session that the request was about.
    """
    problem = _problem(body)
    if problem is None:
        if status in _AWAY:
            return errors.StorageUnavailableError(
                f"The service is away: something before it answered HTTP {status}. Try again later."
            ), "storage_unavailable"
        return errors.ServiceError(
            f"Something that is no Framekeep answered HTTP {status}. Is the address right?", status=status
        ), "service"
    code, detail = problem["code"], problem["detail"][:_MOST]
    if code == "precondition_failed" and session_id is not None:
        detail = (
            f"Session {session_id!r} changed since it was read; nothing was stored. Reload it and decide."
        )
    kind = _CLASSES.get(code) or _STATUSES.get(status)
    if kind is None:
        kind = errors.InvalidInputError if status < 500 else errors.ServiceError
    if kind is errors.ServiceError:
        return errors.ServiceError(f"The service failed with HTTP {status}: {detail}", status=status), code
    error = kind(detail)
    for name, types in (("where", str), ("operation", int), ("position", int)):
        if hasattr(error, name) and isinstance(problem.get(name), types):
            setattr(error, name, problem[name])
    if isinstance(error, errors.SessionDamagedError) and session_id is not None:
        error.session_id = session_id
    return error, code


def _problem(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    return found if all(isinstance(found.get(name), str) for name in ("code", "detail")) else None

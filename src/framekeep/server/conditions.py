"""Conditional requests: the strong ETag is the revision of the session's data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from framekeep.errors import ConflictError
from framekeep.names import REVISION_SIZE, Revision
from framekeep.server.problems import RequestError

if TYPE_CHECKING:
    from framekeep.manager import DataManager

_ETAG = re.compile(r'(W/)?"([^"]*)"')


def etag(revision: Revision) -> str:
    """Return the strong ETag of a revision."""
    return f'"{revision.hex()}"'


def expected(header: str | None) -> Revision | None:
    """Return the revision that ``If-Match`` asks for; None for none, or for ``*``.

    Raises:
        RequestError: 400, it is not one strong ETag of this service; 412, it can never match.
    """
    if header is None or header.strip() == "*":
        return None
    tags = _parsed(header)
    if not tags or (len(tags) == 1 and not _ETAG.fullmatch(header.strip())):
        raise RequestError(
            400, "malformed_header", "If-Match holds an ETag as this service sends it, in quotes."
        )
    if len(tags) > 1:
        raise RequestError(400, "malformed_header", "If-Match holds one ETag here: the one that was read.")
    try:
        revision = bytes.fromhex(tags[0].removeprefix("W/"))
    except ValueError:
        revision = b""
    if tags[0].startswith("W/") or len(revision) != REVISION_SIZE:
        raise RequestError(
            412, "precondition_failed", "If-Match names no state of this session. Read it again."
        )
    return Revision(revision)


def not_modified(header: str | None, revision: Revision) -> Response | None:
    """Return a 304 if ``If-None-Match`` names this revision; else None."""
    if header is None:
        return None
    if header.strip() != "*" and revision.hex() not in [tag.removeprefix("W/") for tag in _parsed(header)]:
        return None
    return Response(status_code=304, headers={"etag": etag(revision), "cache-control": "no-cache"})


def failed(manager: DataManager, session_id: str, error: ConflictError) -> RequestError:
    """Return the 412 of a request whose If-Match did not hold, saying what changed."""
    facts = manager.get_metadata(session_id)
    revision = manager.revision(session_id)
    return RequestError(
        412,
        "precondition_failed",
        "The session changed since the state that If-Match names; nothing was stored. "
        "Read it again and repeat the change.",
        more={
            "current_etag": etag(revision),
            "current_version": facts["current_version"],
            "shape": list(facts["shape"]),
            "recent_changes": manager.get_audit_log(session_id)[-5:],
        },
        headers={"etag": etag(revision)},
    )


def _parsed(header: str) -> list[str]:
    return [(weak or "") + tag for weak, tag in _ETAG.findall(header)]

"""Profiles of columns."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from framekeep.exporting.labels import clean
from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.answers import Profile
from framekeep.server.asking import IfNoneMatch, Running, SessionId, VersionParameter, version
from framekeep.server.problems import COMMON, documented

router = APIRouter(prefix="/api/v1/sessions/{session_id}", tags=["profile"], responses=documented(*COMMON))


@router.get(
    "/profile",
    response_model=Profile,
    responses={304: {"description": "Unchanged."}},
    summary="Profile columns",
)
async def profile(
    service: Running,
    session_id: SessionId,
    columns: Annotated[
        list[str] | None, Query(description="Columns; may repeat; by default all.", examples=[["age"]])
    ] = None,
    bins: Annotated[int, Query(ge=1, le=200, description="Bins of a histogram.")] = 20,
    top: Annotated[int, Query(ge=0, le=100, description="Most frequent values.")] = 10,
    at: Annotated[VersionParameter, Query(alias="version")] = "current",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Count, missing, distinct, extremes, mean, quantiles, histogram, top values: computed once per state."""
    manager = service.manager
    if if_none_match is not None:
        now = await service.threads.quick(manager.revision, session_id)
        if (same := conditions.not_modified(if_none_match, now)) is not None:
            return same

    def made() -> tuple[Revision, bytes]:
        # The bytes too are made here: some thousand columns would keep the event loop for seconds.
        revision, found = manager.profile(session_id, columns, bins=bins, top=top, version=version(at))
        shown = [{**each, "dtype": clean(each["dtype"])} for each in found]
        return revision, orjson.dumps({"profiles": shown})

    revision, document = await service.threads.heavy(made)
    headers = {"etag": conditions.etag(revision), "cache-control": "no-cache"}
    return Response(document, headers=headers, media_type="application/json")

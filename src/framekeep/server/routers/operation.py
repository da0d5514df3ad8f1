"""For operators: free what has expired, now."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from framekeep.server.answers import Cleaned
from framekeep.server.asking import Caller, IdempotencyKey, Running
from framekeep.server.problems import COMMON, documented

router = APIRouter(prefix="/api/v1", tags=["operation"], responses=documented(*COMMON))


@router.post("/cleanup", summary="Free what has expired")
async def cleanup(
    service: Running,
    owner: Caller,
    only: Annotated[
        Literal["sessions", "temporary"] | None, Query(description="Of one kind; by default of both.")
    ] = None,
    key: IdempotencyKey = None,
) -> Cleaned:
    """The service does so by itself once a minute."""
    manager, heavy = service.manager, service.threads.heavy
    return Cleaned(
        sessions=await heavy(manager.cleanup_expired_sessions) if only != "temporary" else 0,
        temporary=await heavy(manager.cleanup_expired_temp_storage) if only != "sessions" else 0,
    )

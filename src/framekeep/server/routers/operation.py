"""For operators: free what has expired, now."""

from __future__ import annotations

from fastapi import APIRouter

from framekeep.server.answers import Cleaned
from framekeep.server.asking import Caller, IdempotencyKey, Running
from framekeep.server.problems import COMMON, documented

router = APIRouter(prefix="/api/v1", tags=["operation"], responses=documented(*COMMON))


@router.post("/cleanup", summary="Free what has expired")
async def cleanup(service: Running, owner: Caller, key: IdempotencyKey = None) -> Cleaned:
    """The service does so by itself once a minute."""
    manager = service.manager
    return Cleaned(
        sessions=await service.threads.heavy(manager.cleanup_expired_sessions),
        temporary=await service.threads.heavy(manager.cleanup_expired_temp_storage),
    )

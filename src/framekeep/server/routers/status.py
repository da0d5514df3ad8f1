"""Is it there, is it ready, how is its storage. Needs no key, and says nothing about anybody's sessions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response

from framekeep.errors import AuthenticationError
from framekeep.server.answers import Alive, Ready, Root, StorageHealth
from framekeep.server.asking import Running
from framekeep.server.problems import documented

router = APIRouter(tags=["status"], responses=documented(405, 500, 503))

VERSION = version("framekeep")


@router.get("/", summary="What answers here")
async def root(service: Running, request: Request) -> Root:
    """Name, version, where the documentation is, and how many live sessions the caller has."""
    try:
        owner = service.keys.owner(request.headers.get("authorization"))
    except AuthenticationError:
        return Root(name="framekeep", version=VERSION, docs="/docs", active_sessions=0)
    active = await service.threads.quick(service.manager.get_active_sessions_count, prefix=owner.prefix)
    return Root(name="framekeep", version=VERSION, docs="/docs", active_sessions=active)


@router.get("/health", summary="Liveness")
async def health() -> Alive:
    """Answers while the process lives; touches no storage."""
    return Alive()


@router.get("/health/ready", summary="Readiness", responses={503: {**documented(503)[503], "model": Ready}})
async def ready(service: Running, response: Response) -> Ready:
    """200 when requests can be served, 503 when the storage does not answer."""
    error = await service.threads.quick(service.ready)
    if error is not None:
        response.status_code = 503
    return Ready(status="ready" if error is None else "not ready", error=error)


@router.get(
    "/health/storage",
    summary="The storage's health",
    responses={503: {**documented(503)[503], "model": StorageHealth}},
)
async def storage(service: Running, response: Response) -> StorageHealth:
    """Which backend, whether it answers, how fast; 503 when it is unhealthy."""
    found: dict[str, Any] = await service.threads.quick(service.manager.get_backend_health)
    if found["status"] == "unhealthy":
        response.status_code = 503
    return StorageHealth.model_validate(found)

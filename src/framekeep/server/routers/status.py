"""Is it there, is it ready, how is its storage. Needs no key, and says nothing about anybody's sessions."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response

from framekeep.errors import AuthenticationError
from framekeep.server.answers import Alive, Ready, Root, StorageHealth
from framekeep.server.asking import Running
from framekeep.server.metrics import MEDIA_TYPE, rendered
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
    """200 when requests can be served, if only some of them (degraded); 503 when none can."""
    found, error = await service.threads.quick(service.ready)
    if found == "not ready":
        response.status_code = 503
    return Ready(status=found, error=error)


@router.get(
    "/metrics",
    summary="Metrics",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def metrics(service: Running) -> Response:
    """For Prometheus: the storage's state and caches, as the worker that answers sees them."""
    text = await service.threads.quick(rendered, service.manager)
    return Response(text, media_type=MEDIA_TYPE)


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

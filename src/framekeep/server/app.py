"""The ASGI application: routers, what wraps them, and the OpenAPI document. Decides nothing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from framekeep.config import Settings
from framekeep.errors import FramekeepError
from framekeep.manager import DataManager
from framekeep.server.bodies import LARGE
from framekeep.server.compression import Compression
from framekeep.server.envelope import Envelope
from framekeep.server.idempotency import Idempotency
from framekeep.server.problems import Problem, on_error
from framekeep.server.routers import (
    audit,
    data,
    edits,
    missing,
    operation,
    profile,
    sessions,
    status,
    temporary,
    upload,
    versions,
)
from framekeep.server.service import Service

_MIB = 1 << 20

_ROUTERS = (
    status,
    upload,
    sessions,
    data,
    edits,
    versions,
    missing,
    audit,
    profile,
    temporary,
    operation,
)  # in the order of the document

_DESCRIPTION = """\
Keeps a table between requests: upload a file, clean it, step back, go on. Every change is a version, undo
works on a table of any size, and every worker sees the same sessions.

* The **ETag** of a session's data names its state. Send it as `If-Match` with a change to be sure that nobody
  changed the data meanwhile (412 says what changed), and as `If-None-Match` with a read to get a 304 instead
  of the same data.
* Errors are **problem documents** (RFC 9457) with a stable `code`, and whether to try again.
* An **Idempotency-Key** on a change lets it be sent twice and carried out once.
* Names of columns are text; where a label is not text, its text form is meant.
"""


def create_app(
    settings: Settings | None = None,
    *,
    manager: DataManager | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Return the application.

    Args:
        settings: what to use; None reads the environment and ``.env``.
        manager: whose sessions are served; None opens one when the service starts and closes it at the end.
        clock: the time in seconds since 1970 (UTC).

    Raises:
        ConfigurationError: a setting is wrong.
    """
    chosen = Settings() if settings is None else settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(chosen, manager, clock=clock)
        app.state.service = service
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="Framekeep",
        version=status.VERSION,
        summary="Sessions of tables with versions and instant undo.",
        description=_DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        openapi_tags=[{"name": each.router.tags[0]} for each in _ROUTERS],
        lifespan=lifespan,
        redirect_slashes=False,
    )
    # Pages are asked for most, so they are looked for first. Not include_router, which matches every request
    # against a tree of routers, twice.
    for each in sorted(_ROUTERS, key=lambda each: each is not data):
        app.router.routes.extend(each.router.routes)
        for route in each.router.routes:
            if isinstance(route, APIRoute):  # names for generators of clients
                route.unique_id = f"{each.router.tags[0]}_{route.name}"
    for kind in (FramekeepError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, on_error)
    # Innermost first.
    app.add_middleware(Compression)
    app.add_middleware(
        Idempotency,
        replies=lambda: app.state.service.manager.replies,
        threads=lambda: app.state.service.threads,
        keys=lambda: app.state.service.keys,
    )
    frame_limit = chosen.max_frame_bytes + chosen.max_frame_bytes // 8
    app.add_middleware(
        Envelope,
        file_limit=chosen.max_upload_size_mb * _MIB,
        frame_limit=frame_limit,
        storage=lambda: app.state.service.storage(),
    )
    if chosen.cors_origins:  # outermost, or a page could not read what is refused below
        app.add_middleware(
            CORSMiddleware,
            allow_origins=chosen.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key",
                           "X-Request-ID"],
            expose_headers=["ETag", "Location", "X-Request-ID", "Content-Disposition", "Retry-After",
                            "Framekeep-Storage"],
            max_age=600,
        )  # fmt: skip
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with problems where FastAPI would put its own errors."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            license_info=app.license_info,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = made["components"]["schemas"]
        models: list[type[BaseModel]] = [Problem, *LARGE.values()]
        _, defined = models_json_schema(
            [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
        )
        schemas |= defined["$defs"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for schema in schemas.values():
            _with_nulls(schema.get("example"), schema, schemas)
        for item in made["paths"].values():
            for operation in item.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
        app.openapi_schema = made
    return app.openapi_schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null: in an address or header something stands, or nothing."""
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not choices or len(choices) == len(schema["anyOf"]):
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**choices[0], **rest} if len(choices) == 1 else {**rest, "anyOf": choices}


def _with_nulls(example: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put back into an example what FastAPI takes out of the whole document: members that are null."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if isinstance(example, dict):
        for name in schema.get("required", ()):
            example.setdefault(name, None)
        for name, part in schema.get("properties", {}).items():
            _with_nulls(example.get(name), part, schemas)
    elif isinstance(example, list):
        for each in example:
            _with_nulls(each, schema.get("items", {}), schemas)

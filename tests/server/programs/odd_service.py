"""The service as ``framekeep serve`` runs it, but impatient, sweeping all the time, and failing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from starlette.responses import StreamingResponse

from framekeep.config import Settings
from framekeep.server import create_app, protocol, service
from framekeep.server.envelope import Envelope
from framekeep.server.log import configure
from framekeep.server.run import serve

SECRET = "a-value-that-nobody-may-see"
PATIENCE = 0.3


def application() -> FastAPI:
    configure()
    service.SWEEP_EVERY = 0.2
    app = create_app(Settings())
    for each in app.user_middleware:
        if each.cls is Envelope:
            each.kwargs["patience"] = PATIENCE

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError(SECRET)

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            raise RuntimeError(SECRET)

        return StreamingResponse(parts(), headers={"content-length": "200000"})

    return app


if __name__ == "__main__":
    protocol.HEAD_PATIENCE = PATIENCE  # type: ignore[misc]
    settings = Settings(serve_port=0)
    settings.export()
    serve(settings, application="odd_service:application")

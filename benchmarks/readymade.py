"""The service with one endpoint more, which answers with bytes it was given: what a page is compared with.

Same process, same server, same middleware; first in the list of routes, no parameter, no thread, no storage.
"""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from framekeep.config import Settings
from framekeep.server import create_app
from framekeep.server.log import configure
from framekeep.server.run import serve

PATH = "/ready-made"


def application() -> FastAPI:
    """Return the application, from the environment."""
    configure()
    app = create_app(Settings())
    kept: dict[str, bytes] = {}

    async def keep(request: Request) -> Response:
        kept["body"] = await request.body()
        return Response(status_code=204)

    async def ready_made() -> Response:
        return Response(kept["body"], media_type="application/json")

    app.router.routes.insert(0, APIRoute(PATH, keep, methods=["PUT"]))
    app.router.routes.insert(0, APIRoute(PATH, ready_made, methods=["GET"]))
    return app


if __name__ == "__main__":
    serve(Settings(), application="benchmarks.readymade:application")

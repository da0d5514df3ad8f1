"""Two workers whose parent is impatient when it ends; with DYING in the environment, they die at once."""

from __future__ import annotations

import os

from fastapi import FastAPI

from framekeep.config import Settings
from framekeep.server import run, supervisor


def application() -> FastAPI:
    if "DYING" in os.environ:
        os._exit(1)
    return run.application()


if __name__ == "__main__":
    supervisor.LAST_PATIENCE = 0.5
    settings = Settings(serve_port=0, serve_workers=2, serve_shutdown_seconds=1)
    settings.export()
    run.serve(settings, application="several_workers:application")

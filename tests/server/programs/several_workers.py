"""Two workers whose parent is impatient when it ends.

With DYING in the environment they die at once; with SCARCE the system does not let a third one be, at first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import count
from multiprocessing import util

from fastapi import FastAPI

from framekeep.config import Settings
from framekeep.server import run, supervisor

FORBIDDEN = 4  # the first process is multiprocessing's own


def application() -> FastAPI:
    if "DYING" in os.environ:
        os._exit(1)
    return run.application()


def scarce() -> None:
    """Let one process fail to start."""
    begin, numbers = util.spawnv_passfds, count(1)

    def attempt(path: bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
        if next(numbers) == FORBIDDEN:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return begin(path, arguments, descriptors)

    util.spawnv_passfds = attempt


if __name__ == "__main__":
    if "SCARCE" in os.environ:
        scarce()
    supervisor.LAST_PATIENCE = 0.5
    settings = Settings(serve_port=0, serve_workers=2, serve_shutdown_seconds=1)
    settings.export()
    run.serve(settings, application="several_workers:application")

"""The service as a thread: uvicorn on a free port of the loopback, over a manager that may be exchanged."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from framekeep import DataManager, Settings
from framekeep.server import create_app
from framekeep.server.run import listening

PATIENCE = 60.0


class LiveService:
    """Runs until the block ends.

    Attributes:
        url: where it listens.
        app: the application.
    """

    def __init__(self, directory: Path, **settings: object) -> None:
        self._directory = directory
        self.settings = Settings(storage_dir=directory / "store", _env_file=None, **settings)
        self._manager = DataManager(self.settings)
        self.app = create_app(self.settings, manager=self._manager)
        self._sockets = listening("127.0.0.1", 0)
        port = self._sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run, args=(self._sockets,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + PATIENCE
        while not self._server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the service did not stop"
        for each in self._sockets:
            each.close()
        self._manager.close()

    def serve(self, manager: DataManager) -> None:
        """Serve the sessions of another manager; the one before is closed."""
        before, self._manager = self._manager, manager
        self.app.state.service.manager = manager
        before.close()

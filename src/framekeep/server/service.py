"""What a running service holds: the manager, the importer, the threads, the keys, a place for files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from framekeep.config import Settings
from framekeep.errors import FramekeepError, LockTimeoutError
from framekeep.importing import Importer, Limits
from framekeep.manager import DataManager
from framekeep.names import new_id
from framekeep.server import progress
from framekeep.server.access import Keys
from framekeep.server.log import log
from framekeep.server.threads import Threads

SWEEP_EVERY = 60.0
"""Seconds between two sweeps of what has expired."""

_MIB = 1 << 20

_STORAGE_FRESH = 0.25  # seconds


class Service:
    """One worker's share of the service.

    Args:
        settings: what to use.
        manager: whose sessions are served; None opens one, and closes it at the end.
        clock: the time in seconds since 1970 (UTC).
    """

    def __init__(
        self,
        settings: Settings,
        manager: DataManager | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.keys = Keys(settings.api_keys)
        self.threads = Threads()
        self._own = manager is None
        self.manager = DataManager(settings, clock=clock) if manager is None else manager
        self.scratch = settings.storage_dir / "scratch"
        self.progress = self.scratch / "progress"
        self.progress.mkdir(parents=True, exist_ok=True)
        self.importer = Importer(
            limits=Limits(
                memory_bytes=settings.import_memory_mb * _MIB,
                seconds=settings.import_timeout_seconds,
                inflated_bytes=settings.max_frame_bytes * 2,  # as text, numbers take more than as numbers
            ),
            scratch=self.scratch,
        )
        self._sweeper: asyncio.Task[None] | None = None
        self._storage: tuple[float, bytes | None] = (-_STORAGE_FRESH - 1.0, None)

    def new_id(self) -> str:
        """Return a fresh unguessable id."""
        return new_id()

    async def start(self) -> None:
        """Get ready to read files, and begin to sweep away what has expired."""
        self.importer.warm()
        self._sweeper = asyncio.create_task(self._sweep_for_ever())

    async def stop(self) -> None:
        """Finish what is running and release everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        self.threads.close()
        self.importer.close()
        if self._own:
            self.manager.close()

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self.threads.heavy(self.sweep)
            except Exception as error:
                # The next sweep may work, and a service that serves must not end for want of one.
                log.warning("sweep", error=f"{type(error).__name__}: {error}")

    def sweep(self) -> tuple[int, int]:
        """Free what expired sessions and temporary storages held, unless another worker is at it.

        Returns:
            How many sessions and how many temporary storages.
        """
        try:
            with self.manager.lock("sweep", attempts=0):
                for directory in (self.scratch, self.progress):
                    progress.sweep(directory, time.time())
                return (
                    self.manager.cleanup_expired_sessions(),
                    self.manager.cleanup_expired_temp_storage(),
                )
        except LockTimeoutError:
            return 0, 0

    def ready(self) -> tuple[Literal["ready", "degraded", "not ready"], str | None]:
        """Return "ready", "degraded" or "not ready", and what is wrong."""
        try:
            health = self.manager.get_backend_health()
        except FramekeepError as error:
            return "not ready", str(error)
        match health["status"]:
            case "unhealthy":
                return "not ready", str(health["error"] or "the storage is unhealthy")
            case "degraded":
                return "degraded", health["error"]
        return "ready", None

    def storage(self) -> bytes | None:
        """Return what each answer says of a storage that is not as it should be: ``standby; outage``."""
        now = time.monotonic()
        if now - self._storage[0] > _STORAGE_FRESH:
            told = None
            with suppress(FramekeepError):  # closed
                mode, state = self.manager.storage_state()
                if state != "normal" or mode == "fallback":
                    told = f"{mode}; {state}".encode()
            self._storage = now, told
        return self._storage[1]

    def progress_path(self, prefix: str, id: str | None) -> Path | None:
        """Return the file of an upload's progress."""
        return None if id is None else self.progress / f"{prefix}{id}.json"

"""From settings to a backend: which engine, and what happens when it does not answer.

Owns the choice of SPEC section 3 and its log lines ("Storage backend:", "Falling back", "Failed to
initialize"). Knows no verb of a session.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import BackendStartError, StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend

if TYPE_CHECKING:
    from framekeep.config import Settings

logger = logging.getLogger("framekeep")


class InMemoryBackend(SessionBackend):
    """Sessions in this process's memory over a durable file on local disk; no server.

    Several processes and several backends may use one directory at once.

    Args:
        storage_dir: directory of the file; made when missing.
        codec: how frames become bytes; by default with the settings' defaults.
        clock: the time in seconds since 1970 (UTC), the same in all processes.

    Raises:
        StorageError: of the kind that says what is wrong with the directory or its file.
    """

    engine: LmdbEngine

    def __init__(
        self,
        storage_dir: str | os.PathLike[str] = ".framekeep",
        *,
        codec: FrameCodec | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        engine = LmdbEngine(os.fspath(storage_dir), clock=clock)
        super().__init__(engine, codec or FrameCodec(), clock=clock)

    def compact(self) -> tuple[int, int]:
        """Give free space back to the disk; return the file's size in bytes before and after.

        Raises:
            StorageBusyError: another process has the store open.
        """
        return self.engine.compact()


@dataclass(frozen=True, slots=True)
class Connection:
    """A backend that was chosen, and why.

    Attributes:
        backend: it.
        redis_enabled: whether Redis was asked for.
        redis_available: whether it answered.
        fallback: why the backend is not the one asked for; None if it is.
    """

    backend: SessionBackend
    redis_enabled: bool
    redis_available: bool
    fallback: str | None = None

    def health(self) -> dict[str, Any]:
        """Return the backend's health with what is known of the choice; never raises.

        Keys: those of ``SessionBackend.health_check`` (``status`` may also be ``degraded``: it works, but is
        not what was asked for), ``redis_enabled``, ``redis_available``, ``redis_info``.
        """
        health = self.backend.health_check()
        if self.fallback is not None and health["status"] == "healthy":
            health["status"], health["error"] = (
                "degraded",
                f"Falling back to InMemoryBackend: {self.fallback}",
            )
        return {
            **health,
            "redis_enabled": self.redis_enabled,
            "redis_available": self.redis_available,
            "redis_info": None,
        }


def connect(settings: Settings, *, clock: Callable[[], float] = time.time) -> Connection:
    """Open the backend that the settings ask for.

    Raises:
        BackendStartError: Redis was asked for, does not answer, and STORAGE_FALLBACK_TO_MEMORY is false; a
            ``RuntimeError`` too.
        StorageError: the embedded engine's directory or file is unusable.
    """
    fallback: str | None = None
    if settings.redis_enabled:
        try:
            return _redis(settings)
        except StorageUnavailableError as error:
            fallback = str(error)
            if not settings.storage_fallback_to_memory:
                logger.error("Failed to initialize RedisBackend: %s", error)
                raise BackendStartError(
                    f"Failed to initialize RedisBackend: {error} Falling back is not allowed "
                    "(STORAGE_FALLBACK_TO_MEMORY=false)."
                ) from error
            logger.warning("Falling back to InMemoryBackend: %s", error)
    backend = InMemoryBackend(settings.storage_dir, codec=codec_for(settings), clock=clock)
    logger.info("Storage backend: InMemoryBackend")
    return Connection(backend, settings.redis_enabled, False, fallback)


def codec_for(settings: Settings) -> FrameCodec:
    """Return the frame codec that the settings ask for."""
    return FrameCodec(
        codec=settings.compression_codec,
        compress=settings.compression_enabled,
        max_frame_bytes=settings.max_frame_bytes,
        pickle_key=settings.pickle_key,
        cache_bytes=settings.cache_bytes,
    )


def _redis(settings: Settings) -> Connection:
    raise StorageUnavailableError(
        "RedisBackend is not available: this version of Framekeep has no Redis engine. "
        "Set REDIS_ENABLED=false, or install a version that has one."
    )

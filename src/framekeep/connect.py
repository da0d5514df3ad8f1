"""From settings to a backend: which engine, and what happens when it does not answer.

Owns the choice of SPEC section 3 and its log lines ("Storage backend:", "Falling back", "Failed to
initialize"). Knows no verb of a session.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framekeep.engines.base import Engine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_store import FILE
from framekeep.errors import BackendStartError, ConfigurationError, StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend

if TYPE_CHECKING:
    from framekeep.config import Settings
    from framekeep.engines.breaker import Breaker
    from framekeep.engines.guarded import GuardedEngine
    from framekeep.engines.redis import RedisEngine
    from framekeep.engines.redis_topology import RedisOptions
    from framekeep.standby import Replayer
    from framekeep.standby.stores import Store

logger = logging.getLogger("framekeep")

REDIS_INFO = (
    "version",
    "used_memory_mb",
    "connected_clients",
    "total_commands_processed",
    "role",
    "topology",
)
"""What ``redis_info`` tells of a Redis that answers."""


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


class RedisBackend(SessionBackend):
    """Sessions in Redis or Valkey, shared by the workers of many machines.

    Args:
        engine: see ``framekeep.engines.redis.RedisEngine``; a URL stands for one with the defaults.
        codec: how frames become bytes; by default with the settings' defaults.
        clock: the time in seconds since 1970 (UTC), for the times that sessions show; expiry goes by Redis's.
        guard: the engine's circuit breakers, if it has such.
        replayer: brings back what was done during an outage; closed with the backend.

    Raises:
        ConfigurationError: the URL is malformed, or redis-py is not installed.
    """

    backend_type = "redis"

    def __init__(
        self,
        engine: Engine | str = "redis://localhost:6379/0",
        *,
        codec: FrameCodec | None = None,
        clock: Callable[[], float] = time.time,
        guard: GuardedEngine | None = None,
        replayer: Replayer | None = None,
    ) -> None:
        super().__init__(
            redis_engine(engine) if isinstance(engine, str) else engine, codec or FrameCodec(), clock=clock
        )
        self.guard = guard
        self.replayer = replayer

    def state(self) -> str:
        """Return "normal", "outage", or "returning" while what was done during one goes to Redis."""
        if self.guard is not None and not self.guard.states()["answers"]:
            return "outage"
        return "returning" if self.replayer is not None and self.replayer.pending() else "normal"

    def close(self) -> None:
        """Release the engine; a closed backend raises StorageUnavailableError. Idempotent."""
        if self.replayer is not None:
            self.replayer.close()
        super().close()


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

    @property
    def mode(self) -> str:
        """What is done while Redis does not answer: "strict" (requests are refused) or "standby".

        "embedded" without Redis, "fallback" when it did not answer at the start.
        """
        if not isinstance(self.backend, RedisBackend):
            return "embedded" if self.fallback is None else "fallback"
        return "strict" if self.backend.replayer is None else "standby"

    @property
    def state(self) -> str:
        """How it is with Redis now: "normal", "outage", or "returning" while local changes go there."""
        return self.backend.state() if isinstance(self.backend, RedisBackend) else "normal"

    def health(self) -> dict[str, Any]:
        """Return the backend's health with what is known of the choice; never raises.

        Keys: those of ``SessionBackend.health_check`` (``status`` may also be ``degraded``: it works, but is
        not what was asked for), ``mode`` and ``state`` (see there), ``redis_enabled``, ``redis_available``,
        ``redis_info``.
        """
        health = self.backend.health_check()
        told, state = health["details"], self.state
        if self.fallback is not None and health["status"] == "healthy":
            health["status"], health["error"] = (
                "degraded",
                f"Falling back to InMemoryBackend: {self.fallback}",
            )
        if self.mode == "standby" and (state != "normal" or not health["reachable"]):
            pending = told.get("standby", {}).get("pending", 0)
            health["status"] = "degraded"
            served = (
                f"{pending} session(s) are served from this machine until they are back in Redis."
                if pending
                else "Sessions used here lately are served from this machine until Redis answers."
            )
            health["error"] = f"{served} {health['error'] or ''}".strip()
        return {
            **health,
            "mode": self.mode,
            "state": state,
            "redis_enabled": self.redis_enabled,
            "redis_available": self.redis_available and health["reachable"],
            "redis_info": {key: told[key] for key in REDIS_INFO if key in told}
            if health["engine"] == "redis"
            else None,
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
            connection, standby = _redis(settings, clock)
        except StorageUnavailableError as error:
            fallback = str(error)
            if not settings.storage_fallback_to_memory:
                logger.error("Failed to initialize RedisBackend: %s", error)
                raise BackendStartError(
                    f"Failed to initialize RedisBackend: {error} Falling back is not allowed "
                    "(STORAGE_FALLBACK_TO_MEMORY=false)."
                ) from error
            logger.warning("Falling back to InMemoryBackend: %s", error)
        else:
            _tell_of_others(settings, standby)
            return connection
    backend = InMemoryBackend(settings.storage_dir, codec=codec_for(settings), clock=clock)
    logger.info("Storage backend: InMemoryBackend")
    _tell_of_others(settings, None)
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


def redis_engine(url: str, settings: Settings | None = None) -> RedisEngine:
    """Return the engine on a Redis, with the settings' limits and credentials if there are any.

    Raises:
        ConfigurationError: the URL is malformed, or redis-py is not installed.
        StorageUnavailableError: a Cluster does not answer.
    """
    try:
        from framekeep.engines.redis import RedisEngine, RedisOptions
    except ModuleNotFoundError as error:
        raise _without_redis() from error
    if settings is None:
        return RedisEngine(RedisOptions(url))
    return RedisEngine(
        _options(settings, url),
        prefix=settings.redis_key_prefix,
        min_replicas=settings.redis_min_replicas,
        replica_timeout=settings.redis_wait_timeout,
    )


def _without_redis() -> ConfigurationError:
    return ConfigurationError(
        "REDIS_ENABLED=true needs redis-py, which is not installed: pip install 'framekeep[redis]'."
    )


def _options(settings: Settings, url: str | None = None) -> RedisOptions:
    from framekeep.engines.redis_topology import RedisOptions

    def path(file: os.PathLike[str] | None) -> str | None:
        return None if file is None else os.fspath(file)

    password = settings.redis_password
    return RedisOptions(
        settings.redis_url if url is None else url,
        db=settings.redis_db,
        username=settings.redis_username,
        password=None if password is None else password.get_secret_value(),
        max_connections=settings.redis_max_connections,
        socket_timeout=settings.redis_socket_timeout,
        socket_connect_timeout=settings.redis_socket_connect_timeout,
        retry_on_timeout=settings.redis_retry_on_timeout,
        health_check_interval=settings.redis_health_check_interval,
        ssl_ca_certs=path(settings.redis_ssl_ca_certs),
        ssl_certfile=path(settings.redis_ssl_certfile),
        ssl_keyfile=path(settings.redis_ssl_keyfile),
    )


def _redis(settings: Settings, clock: Callable[[], float]) -> tuple[Connection, Path | None]:
    """Return the backend on Redis once it has answered, or on the standby of a machine that has one.

    Returns:
        It, and the directory of the standby if there is to be one.

    Raises:
        StorageUnavailableError: it does not answer, does not let us in, or is too old.
    """
    engine = redis_engine(settings.redis_url, settings)
    answers = True
    try:
        told = _answering(engine)
        directory = standby_directory(settings, engine.members())
    except StorageUnavailableError as error:
        directory = standby_directory(settings)
        if not (settings.storage_fallback_to_memory and (directory / FILE).exists()):
            engine.close()
            raise
        logger.warning("Falling back to the standby of this machine: %s", error)
        answers = False
    except BaseException:
        engine.close()
        raise
    else:
        logger.info(
            "Redis: Connected to %s (%s %s, %s)",
            engine.where,
            told.get("server", "redis"),
            told.get("version", "of unknown version"),
            told["topology"],
        )
        for warning in told["warnings"]:
            logger.warning("Redis: %s", warning)
    logger.info("Storage backend: RedisBackend")
    standby = directory if settings.storage_fallback_to_memory else None
    backend = _redis_backend(engine, settings, clock, standby)
    if not answers and backend.guard is not None:
        breaker = backend.guard.breaker()
        if (ticket := breaker.admit()) is not None:
            breaker.failed(ticket)  # so that the first answer says already that this is an outage
    return Connection(backend, True, True), standby


def standby_directory(settings: Settings, members: frozenset[str] = frozenset()) -> Path:
    """Return where this machine has the standby of the store that the settings name.

    Args:
        settings: they.
        members: the servers of a Cluster, as it has told.

    Raises:
        ConfigurationError: REDIS_URL is malformed, or redis-py is not installed.
    """
    from framekeep.standby.stores import directory_of

    return directory_of(settings.storage_dir, store_of(settings), members)


def store_of(settings: Settings) -> Store:
    """Return the store in Redis that the settings name.

    Raises:
        ConfigurationError: REDIS_URL is malformed, or redis-py is not installed.
    """
    from framekeep.standby.stores import Store

    try:
        from framekeep.engines.redis_topology import parsed
    except ModuleNotFoundError as error:
        raise _without_redis() from error
    return Store.at(parsed(_options(settings)), settings.redis_key_prefix)


def returning(settings: Settings, directory: Path, *, clock: Callable[[], float] = time.time) -> RedisBackend:
    """Open the backend on Redis with the standby in ``directory``, whatever store that stands for.

    For whoever brings back by hand: nothing is brought back unless its ``replayer`` is told to.

    Raises:
        StorageUnavailableError: Redis does not answer, does not let us in, or is too old.
    """
    engine = redis_engine(settings.redis_url, settings)
    try:
        _answering(engine)
        return _redis_backend(engine, settings, clock, directory, by_hand=True)
    except BaseException:
        engine.close()
        raise


def _tell_of_others(settings: Settings, standby: Path | None) -> None:
    """Say what waits in standbys of this machine that this process does not bring back."""
    if not any(settings.storage_dir.glob(f"standby*/{FILE}")):
        return
    from framekeep.standby.stores import others

    for other in others(settings.storage_dir, standby):
        if other.waiting or other.problem:
            logger.warning(
                "Standby: %s in %s, the standby of %s, which this process does not bring back: see "
                "'framekeep outage list'",
                other.problem or f"{other.waiting} session(s) wait",
                other.directory,
                other.store or "a store that is not known",
            )


def _answering(engine: RedisEngine) -> Mapping[str, Any]:
    """Return what Redis says of itself, once it has done all that a session needs."""
    health = engine.health()
    if health.error is not None:
        raise StorageUnavailableError(health.error)
    engine.rehearse()
    return health.details


def _redis_backend(
    engine: RedisEngine,
    settings: Settings,
    clock: Callable[[], float],
    directory: Path | None,
    *,
    by_hand: bool = False,
) -> RedisBackend:
    """Return the backend on an engine with all that the settings put around it.

    Args:
        directory: of the standby; None: there is none.
        by_hand: bring nothing back until somebody says so.
    """
    from framekeep.engines.guarded import GuardedEngine
    from framekeep.engines.redis_past import earlier

    codec = codec_for(settings)
    # No repetition: the client inside asks again already, as REDIS_RETRY_ON_TIMEOUT says.
    guarded = GuardedEngine(
        engine,
        lambda part: _breaker(settings, part),
        parts_of=engine.parts_of,
        parts=engine.parts,
        retries=0,
    )
    outer = _cached(guarded, settings)
    if directory is None:
        return RedisBackend(outer, codec=codec, clock=clock, guard=guarded)
    from framekeep.standby import Replayer, StandbyEngine
    from framekeep.standby.stores import record

    standby = StandbyEngine(outer, directory, limit_bytes=settings.standby_mb << 20, clock=clock)
    replayer = Replayer(
        standby, codec, clock=clock, deleted=engine.deleted, earlier=lambda space: earlier(engine, space)
    )
    if not by_hand:
        record(directory, store_of(settings))
        replayer.start()
    return RedisBackend(standby, codec=codec, clock=clock, guard=guarded, replayer=replayer)


def _breaker(settings: Settings, part: str) -> Breaker:
    from framekeep.engines.breaker import Breaker

    words = {
        "open": "does not answer and is left alone for a while",
        "half-open": "is tried again",
        "closed": "answers again",
    }

    def tell(state: str) -> None:
        where = "" if part == "whole" else f" ({part})"
        logger.log(
            logging.INFO if state == "half-open" else logging.WARNING, "Redis%s %s", where, words[state]
        )

    return Breaker(
        failures=settings.breaker_failures,
        window=settings.breaker_window_seconds,
        cooldown=settings.breaker_cooldown_seconds,
        on_change=tell,
    )


def _cached(engine: Engine, settings: Settings) -> Engine:
    """Return the engine behind the machine's cache of chunks, if there is to be one."""
    if not settings.local_cache_mb:
        return engine
    from framekeep.engines.cached import CachedEngine
    from framekeep.engines.chunk_cache import ChunkCache

    directory = settings.storage_dir / "chunks"
    logger.info("Redis: Chunks are cached in %s, up to %d MiB", directory, settings.local_cache_mb)
    return CachedEngine(engine, ChunkCache(directory, settings.local_cache_mb << 20))

"""The Redis engine keeps the contract, wherever Redis is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framekeep.engines.base import Engine
from framekeep.engines.redis import RedisEngine
from framekeep.names import Digest, Space
from framekeep.testing import EngineContract, redis_keyspace


class RedisHooks(EngineContract):
    """The contract with Redis's own clock: time passes when every expiry is brought nearer."""

    place = "valkey"
    ttl_tolerance = 1.0

    @pytest.fixture(autouse=True)
    def _life(self, tmp_path: Path, redis_engine: Callable[..., RedisEngine]) -> Iterator[None]:
        self.connect = redis_engine
        self.prefix = f"t{secrets.token_hex(4)}"
        self.start(tmp_path)
        yield
        self.stop()

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return self.connect(self.place, prefix=self.prefix)

    def advance(self, seconds: float) -> None:
        redis_keyspace.age(self.redis, seconds)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        assert self.client.hdel(self.redis._keys.of(space).blobs, digest) == 1

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = self.redis._keys.of(space).blobs
        old = self.client.hget(key, digest)
        self.client.hset(key, digest, bytes([old[0] ^ 1]) + old[1:])

    @property
    def redis(self) -> RedisEngine:
        assert isinstance(self.engine, RedisEngine)
        return self.engine

    @property
    def client(self):  # type: ignore[no-untyped-def]
        return self.redis._opened().client


class TestOnValkey(RedisHooks):
    place = "valkey"


class TestOnRedis(RedisHooks):
    place = "redis"


class TestOnUnixSocket(RedisHooks):
    place = "unix"


class TestOverTls(RedisHooks):
    place = "tls"


class TestWithSentinels(RedisHooks):
    place = "sentinel"


class TestOnCluster(RedisHooks):
    place = "cluster"

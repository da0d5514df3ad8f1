"""The backend's contract, wherever Redis is; and no key is left that never expires."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from framekeep import RedisBackend, SessionBackend
from framekeep.engines.redis import RedisEngine
from framekeep.testing import redis_keyspace
from framekeep.testing.backend import BackendContract
from framekeep.testing.clock import ManualClock


class RedisHooks(BackendContract):
    place = "valkey"

    @pytest.fixture(autouse=True)
    def _place(self, redis_engine: Callable[..., RedisEngine]) -> Iterator[None]:
        self.connect = redis_engine
        yield
        if not hasattr(self, "engine"):
            return  # skipped: there is no such server
        assert redis_keyspace.without_expiry(redis_engine(self.place, prefix=self.engine._keys.prefix)) == []

    def make_backend(self, clock: ManualClock) -> SessionBackend:
        self.engine = self.connect(self.place)
        return RedisBackend(self.engine, clock=clock)

    def advance(self, clock: ManualClock, seconds: float) -> None:
        clock.advance(seconds)
        redis_keyspace.age(self.engine, seconds)


class TestOnValkey(RedisHooks):
    place = "valkey"


class TestOnRedis(RedisHooks):
    place = "redis"


class TestOverTls(RedisHooks):
    place = "tls"


class TestWithSentinels(RedisHooks):
    place = "sentinel"


class TestOnCluster(RedisHooks):
    place = "cluster"

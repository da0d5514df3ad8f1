"""The user that docs/deploy.md makes keeps both contracts: nothing they need is missing from its rights."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framekeep import RedisBackend, SessionBackend
from framekeep.engines.base import Engine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.names import Digest, Space
from framekeep.testing import EngineContract, redis_keyspace
from framekeep.testing.backend import BackendContract
from framekeep.testing.clock import ManualClock
from framekeep.testing.redis_servers import Server, server

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
PASSWORD = "a-long-password"


def words() -> list[str]:
    """Return what the page has behind redis-cli."""
    block = re.search(r"<!-- acl: begin.*?```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert block is not None
    return shlex.split(block[1].replace("\\\n", " "))[1:]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with that user."""
    with server(tmp_path_factory.mktemp("guarded") / "server", password="of-the-operator") as running:
        with running.client() as operator:
            assert operator.execute_command(*words())
        yield running


class Rights:
    """The store of a test: as the user, and as the operator who lets time pass."""

    @pytest.fixture(autouse=True)
    def _store(self, guarded: Server) -> Iterator[None]:
        self.guarded = guarded
        self.operator = RedisEngine(RedisOptions(guarded.url, password="of-the-operator"))
        self.made: list[RedisEngine] = []
        with guarded.client() as operator:
            operator.acl_log_reset()
            yield
            assert operator.acl_log() == [], "the user was refused something"
            for each in self.made:
                each.close()
            self.operator.close()
            operator.flushall()

    def as_user(self) -> RedisEngine:
        reached = RedisOptions(self.guarded.url, username="framekeep", password=PASSWORD)
        self.made.append(RedisEngine(reached))
        return self.made[-1]

    def age(self, seconds: float) -> None:
        redis_keyspace.age(self.operator, seconds)


class TestEngine(Rights, EngineContract):
    ttl_tolerance = 1.0

    @pytest.fixture(autouse=True)
    def _life(self, _store: None, tmp_path: Path) -> Iterator[None]:
        self.start(tmp_path)
        yield
        self.stop()

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return self.as_user()

    def advance(self, seconds: float) -> None:
        self.age(seconds)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.as_user()

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        with self.guarded.client() as operator:
            assert operator.hdel(self.operator._keys.of(space).blobs, digest) == 1

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = self.operator._keys.of(space).blobs
        with self.guarded.client() as operator:
            old = operator.hget(key, digest)
            operator.hset(key, digest, bytes([old[0] ^ 1]) + old[1:])


class TestBackend(Rights, BackendContract):
    def make_backend(self, clock: ManualClock) -> SessionBackend:
        return RedisBackend(self.as_user(), clock=clock)

    def advance(self, clock: ManualClock, seconds: float) -> None:
        clock.advance(seconds)
        self.age(seconds)

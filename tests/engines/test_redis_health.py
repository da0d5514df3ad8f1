"""What health says of a Cluster: one server that endangers sessions is enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.testing.redis_servers import ClusterSetup, cluster


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    limits = {"maxmemory": 1 << 30, "maxmemory-policy": "noeviction", "appendonly": "yes"}
    with cluster(tmp_path_factory.mktemp("cluster"), primaries=3, replicas=0, config=limits) as running:
        yield running


@pytest.fixture
def engine(setup: ClusterSetup) -> Iterator[RedisEngine]:
    engine = RedisEngine(RedisOptions(setup.url))
    yield engine
    engine.close()


def test_a_cluster_that_is_well_warns_of_nothing(engine: RedisEngine) -> None:
    details = engine.health().details
    assert (details["warnings"], details["maxmemory_policy"], details["persistence"]) == (
        [],
        "noeviction",
        "aof",
    )
    assert details["maxmemory_mb"] == 3 * 1024


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("maxmemory-policy", "volatile-lru", "maxmemory-policy is volatile-lru:"),
        ("maxmemory", 1, "More than 90 %"),
    ],
)
def test_one_server_is_enough(
    setup: ClusterSetup, engine: RedisEngine, which: int, name: str, value: Any, warning: str
) -> None:
    with setup.primaries()[which].client() as operator:
        before = operator.config_get(name)[name]
        operator.config_set(name, value)
        try:
            [found] = engine.health().details["warnings"]
        finally:
            operator.config_set(name, before)
    assert warning in found


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_weakest_persistence_is_told(setup: ClusterSetup, engine: RedisEngine, which: int) -> None:
    with setup.primaries()[which].client() as operator:
        operator.config_set("appendonly", "no")
        try:
            assert engine.health().details["persistence"] in ("none", "rdb")
        finally:
            operator.config_set("appendonly", "yes")


def test_a_process_without_a_free_connection_says_nothing_of_redis(setup: ClusterSetup) -> None:
    engine = RedisEngine(RedisOptions(setup.url, max_connections=1, socket_timeout=0.5))
    guarded = GuardedEngine(engine, parts_of=engine.parts_of, retries=0)
    assert engine._admission.enter()
    try:
        for _ in range(10):
            health = guarded.health()
            assert (health.reachable, health.busy) == (False, True)
            assert health.error is not None
            assert "REDIS_MAX_CONNECTIONS" in health.error
    finally:
        engine._admission.leave()
    assert guarded.health().reachable
    assert guarded.count() == 0
    guarded.close()

"""A server that has become a replica while connections to it were open: they are left for the primary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from framekeep.engines.base import Change
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import StorageUnavailableError
from framekeep.names import new_revision, space
from framekeep.testing.fault_proxy import FaultProxy
from framekeep.testing.redis_servers import Server, server, until

HERE, ABSENT = space("session", "here"), space("session", "absent")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    with server(tmp_path / "one") as one, server(tmp_path / "other") as other:
        follow(other, one)
        yield one, other


def follow(replica: Server, primary: Server) -> None:
    """Make a server a replica; connections of clients stay open."""
    with replica.client() as operator, primary.client() as asked:
        asked.replicaof("NO", "ONE")
        operator.replicaof("127.0.0.1", primary.port)
        until(lambda: operator.info("replication")["master_link_status"] == "up", "it does not follow")


def make(engine: RedisEngine) -> Change:
    change = Change(None, new_revision(), b"head", ttl=600)
    engine.commit(HERE, change)
    return change


@pytest.mark.parametrize("min_replicas", [0, 1])
def test_who_writes_is_led_to_the_server_that_has_the_name_now(
    pair: tuple[Server, Server], min_replicas: int
) -> None:
    one, other = pair
    with (
        FaultProxy(one.url) as name,
        closing(RedisEngine(RedisOptions(name.url), min_replicas=min_replicas)) as engine,
    ):
        change = make(engine)
        arrived = threading.Barrier(4)
        several = [threading.Thread(target=lambda: (arrived.wait(), engine.load(HERE))) for _ in range(4)]
        for thread in several:  # so that there are several connections
            thread.start()
        for thread in several:
            thread.join()
        follow(one, other)
        name.redirect(other.url)
        after = Change(change.revision, new_revision(), b"after", ttl=600)
        with pytest.raises(StorageUnavailableError, match="is a replica"):
            engine.commit(HERE, after)
        engine.commit(HERE, after)  # not on one of the others that lead to the former primary
        with other.client() as asked:
            assert asked.dbsize() > 0


def test_who_only_looks_for_what_is_absent_is_led_there_too(pair: tuple[Server, Server]) -> None:
    one, other = pair
    with FaultProxy(one.url) as name, closing(RedisEngine(RedisOptions(name.url), min_replicas=1)) as engine:
        make(engine)
        follow(one, other)
        name.redirect(other.url)
        with pytest.raises(StorageUnavailableError, match="is a replica"):
            engine.load(ABSENT)
        assert engine.load(ABSENT) is None

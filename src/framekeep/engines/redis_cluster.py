"""A client of a Cluster that does not wait for one silent server after another.

redis-py asks its servers one by one who has what, each for a whole time limit, and one thread after the other
does so. With six servers that say nothing the first call waits for seven time limits, and the sixth beside it
for 37. Here a server that answers is looked for first, within one time limit in all, and threads that want to
know the same wait for one of them to find out: each waits for two.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.commands import CoreCommands
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    RedisClusterException,
    RedisError,
    ResponseError,
    SlotNotCoveredError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

T = TypeVar("T")

Host = tuple[str, int]

LEAST: Final = 0.5
"""Seconds that each of many has to answer, if there are that many in the time limit of one."""


class Shared(Generic[T]):
    """Something that many threads want done at the same time: one does it, and the others wait for that."""

    def __init__(self, do: Callable[..., T]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._running: Future[T] | None = None

    def __call__(self, *args: Any, **named: Any) -> T:
        """Return what it gives (to whoever does it); errors are everybody's."""
        with self._lock:
            running = self._running
            if running is None:
                mine = self._running = Future()
        if running is not None:
            return running.result()
        try:
            result = self._do(*args, **named)
        except BaseException as error:
            found = error if isinstance(error, Exception) else RedisClusterException("it was broken off")
            mine.set_exception(found)
            raise
        else:
            mine.set_result(result)
            return result
        finally:
            with self._lock:
                self._running = None


class Cluster(RedisCluster):
    """The client.

    Args:
        hosts: servers that may be asked who has what.
        more: of ``RedisCluster`` and its connections.

    Raises:
        RedisClusterException: none of them answers.
    """

    def __init__(self, hosts: Iterable[Host], **more: Any) -> None:
        self._hosts = tuple(hosts)
        host, port = one_that_answers(self._hosts, more)
        first = ClusterNode(host, port)  # type: ignore[no-untyped-call]
        super().__init__(startup_nodes=[first], **more)
        self._asked = {name: value for name, value in more.items() if name != "retry"}
        self._initialize = self.nodes_manager.initialize
        self.nodes_manager.initialize = Shared(self._find_out)  # type: ignore[method-assign]

    def server_of(self, key: str) -> str:
        """Return the name of the server that has a key, as far as is known; asks nobody."""
        slot: int = self.keyslot(key)  # type: ignore[no-untyped-call]
        return str(self.nodes_manager.get_node_from_slot(slot).name)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Pipeline:
        """Return commands that are sent together; never as one step."""
        return Pipeline(self)

    def _find_out(
        self,
        additional_startup_nodes_info: Iterable[Host] | None = None,
        disconnect_startup_nodes_pools: bool = True,
        last_failed_node_name: str | None = None,
    ) -> None:
        """Ask who has what, as ``NodesManager.initialize`` does, of one that answers.

        Over a connection of its own: those that are there may be in use, or lead to nobody any more. All
        servers that are known may have been replaced, so those of the beginning may be asked, too.
        """
        nodes = self.nodes_manager
        known = nodes.startup_nodes
        there = (*nodes.nodes_cache.values(), *known.values())
        hosts = (*((node.host, node.port) for node in there), *self._hosts)
        last = [(node.host, node.port) for node in there if node.name == last_failed_node_name]
        host, port = one_that_answers((*hosts, *(additional_startup_nodes_info or ())), self._asked, last)
        node = ClusterNode(host, port)  # type: ignore[no-untyped-call]
        nodes.startup_nodes = {node.name: node}
        try:
            self._initialize(disconnect_startup_nodes_pools=disconnect_startup_nodes_pools)
        except BaseException:
            nodes.startup_nodes = known
            raise


class Pipeline(CoreCommands):
    """Commands of one key each that are sent together, to each server its own; they are asked again once.

    redis-py's own asks again one command after the other, for two time limits each; and where it cannot
    connect to a server, and to no other either, it gives connections back twice: two threads may then have
    the same one, and read each other's replies.
    """

    _event_dispatcher: Any = None  # of a protocol; nobody here asks for it

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._commands: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def execute_command(self, *args: Any, **options: Any) -> Pipeline:
        """Have a command sent with the others: its name, its key, and so on."""
        self._commands.append((args, options))
        return self

    def execute(self) -> list[Any]:
        """Return the replies, in the order of the commands; of errors the first is raised."""
        try:
            replies = self._asked()
        except (RedisConnectionError, RedisTimeoutError, SlotNotCoveredError) as error:
            self._cluster.nodes_manager.initialize()
            if not isinstance(error, self._cluster.ERRORS_ALLOW_RETRY):
                raise
            replies = self._asked()
        for number, (args, options) in enumerate(self._commands):
            if isinstance(replies[number], AskError | ClusterDownError):  # which follows where it has gone
                replies[number] = self._cluster.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            if isinstance(replies[number], Exception):
                raise replies[number]
        return replies

    def _asked(self) -> list[Any]:
        there: dict[Any, list[int]] = {}
        for number, (args, _) in enumerate(self._commands):
            there.setdefault(self._cluster.get_node_from_key(args[1]), []).append(number)  # type: ignore[no-untyped-call]
        replies: list[Any] = [None] * len(self._commands)
        for node, numbers in there.items():
            server: Redis = self._cluster.get_redis_connection(node)
            pipe = server.pipeline(transaction=False)
            for number in numbers:
                args, options = self._commands[number]
                pipe.execute_command(*args, **options)  # type: ignore[no-untyped-call]
            try:
                found = pipe.execute(raise_on_error=False)
            except (RedisConnectionError, RedisTimeoutError):
                server.connection_pool.disconnect(inuse_connections=False)  # nor do others lead to it
                raise
            for number, reply in zip(numbers, found, strict=True):
                replies[number] = reply
        return replies


class ImpatientCluster(Cluster):
    """Does not ask again when a reply did not come in time."""

    ERRORS_ALLOW_RETRY = tuple(  # type: ignore[assignment]
        kind for kind in RedisCluster.ERRORS_ALLOW_RETRY if not issubclass(kind, RedisTimeoutError)
    )


def one_that_answers(hosts: Iterable[Host], options: dict[str, Any], last: Iterable[Host] = ()) -> Host:
    """Return a server that knows who has what, else one that refuses to say.

    They are asked for no longer than ``socket_timeout``. One that has lost its directory, or was taken out of
    the Cluster, answers as well, and knows of no slot.

    Args:
        hosts: the servers.
        options: of their connections.
        last: those of them that are to be asked last.

    Raises:
        RedisClusterException: none does.
    """
    order = list(dict.fromkeys(hosts))
    random.shuffle(order)  # not all clients at one server
    later = set(last)
    order.sort(key=lambda host: host in later)
    patience: float = options["socket_timeout"]
    ends = time.monotonic() + patience
    asked = options | {"retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    failed: Exception | None = None
    told: dict[Host, int] = {}  # of how many slots
    refusing: Host | None = None
    for number, (host, port) in enumerate(order):
        left = ends - time.monotonic()
        if left <= 0:
            break
        share = max(min(LEAST, patience), left / (len(order) - number))
        asked["socket_timeout"] = share
        asked["socket_connect_timeout"] = min(share, options["socket_connect_timeout"])
        try:
            with Redis(host=host, port=port, **asked) as client:
                slots: Any = client.execute_command("CLUSTER SLOTS")
        except (ResponseError, AuthenticationError):
            refusing = host, port  # and what it refuses is told when it is asked in earnest
        except (RedisError, OSError) as error:
            failed = error
        else:
            told[host, port] = sum(int(end) - int(start) + 1 for start, end, *_ in slots)
            if told[host, port] >= REDIS_CLUSTER_HASH_SLOTS:
                return host, port
    best = max(told, key=lambda host: told[host], default=None)
    if best is not None and told[best]:
        return best
    if refusing is not None:
        return refusing
    if best is not None:
        raise RedisClusterException("those of its servers that answer know of no slots")
    raise RedisClusterException(f"none of its servers answers: {failed}") from failed

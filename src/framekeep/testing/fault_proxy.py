"""A network that fails on command: a TCP proxy before a real server, for tests of what clients make of it.

It knows bytes and connections, and nothing of what they mean. One thread serves all of it, so that clients in
any number of processes may use it. Each fault is a method, callable from any thread at any time and in effect
when it returns, so a random schedule may call them; ``heal`` ends them all.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

__all__ = ["DIRECTIONS", "HELD", "Direction", "FaultProxy", "Traffic"]

Direction = Literal["requests", "replies"]
"""From the client to the server, or back."""

DIRECTIONS: tuple[Direction, Direction] = ("requests", "replies")

HELD = 1 << 18
"""Bytes the proxy holds at most in each direction of a connection; then it reads no more of them."""

_PIECE = 1 << 16  # bytes received at once
_TICK = 0.01  # seconds' worth of bytes that a throttled connection passes on at once
_CATCH_UP = 0.05  # seconds a throttled connection may be behind and still make up for it
_PORTS = {"redis": 6379, "rediss": 6379, "http": 80, "https": 443}
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Traffic(NamedTuple):
    """Bytes that arrived at the proxy since it started, whatever became of them."""

    requests: int
    replies: int


@dataclass(slots=True)
class _Faults:
    """What is wrong now."""

    black: bool = False
    dropped: int = 0  # replies still to lose; -1: all
    spared: int = 0  # replies that pass before those
    delay: dict[Direction, float] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0.0))
    rate: dict[Direction, float | None] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS))
    cut: dict[Direction, int | None] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS))
    cuts: dict[Direction, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))  # -1: all


@dataclass(slots=True, eq=False)
class _Way:
    """One direction of a connection: what has arrived and is to go on.

    Attributes:
        held: when each piece is due, and the piece; an empty one is the end.
        size: how many bytes that is.
        ended: the end has arrived.
        shut: the end was passed on.
        blocked: the receiver takes nothing more now.
        next_at: when a throttled one goes on.
        left: bytes until it is cut.
    """

    direction: Direction
    source: socket.socket
    sink: socket.socket
    held: deque[tuple[float, memoryview]] = field(default_factory=deque)
    size: int = 0
    ended: bool = False
    shut: bool = False
    blocked: bool = False
    next_at: float = 0.0
    left: int | None = None

    def due(self) -> float | None:
        """Return when there is something to do that no socket will tell of."""
        return max(self.held[0][0], self.next_at) if self.held and not self.blocked else None


@dataclass(slots=True, eq=False)
class _Link:
    """A connection: the client's socket, the server's, and what is between.

    Attributes:
        connecting: the server has not answered yet.
        called: the server has been called at all: not from within a black hole.
        lost: bytes of it were swallowed.
    """

    client: socket.socket
    server: socket.socket
    ways: tuple[_Way, _Way]
    connecting: bool = False
    called: bool = False
    lost: bool = False
    closed: bool = False


class FaultProxy:
    """Listen on a port of 127.0.0.1 and pass everything on to a server, until told otherwise.

        with FaultProxy(server.url) as proxy:
            client = redis.Redis.from_url(proxy.url)
            proxy.reset()

    A process forked from this one has the clients' connections and none of the proxy's.

    Args:
        target: a URL with the host and port of one server: ``redis://127.0.0.1:6379/0``, ``tcp://host:port``.

    Raises:
        ValueError: the URL names no single host and port.
    """

    def __init__(self, target: str) -> None:
        self._parts = urlsplit(target)
        user, at, _ = self._parts.netloc.rpartition("@")
        self._family, self._address = _address(target)
        self._user = user + at
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._faults = _Faults()
        self._links: set[_Link] = set()
        self._seen = dict.fromkeys(DIRECTIONS, 0)
        self._stopping = False
        self._listening: socket.socket | None = None
        with _FORKING:
            self._selector = selectors.DefaultSelector()
            self._bell, self._rings = socket.socketpair()
            self._bell.setblocking(False)
            self._rings.setblocking(False)
            self._selector.register(self._rings, selectors.EVENT_READ)
            # Keeps the port while connects are refused: nobody else gets it.
            self._claim = socket.socket()
            self._claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._claim.bind(("127.0.0.1", 0))
            self.port: int = self._claim.getsockname()[1]
            self._thread = threading.Thread(target=self._run, name=f"fault proxy {self.port}", daemon=True)
            self._listen()
            _PROXIES.add(self)
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop: nothing is left of threads and sockets. Idempotent; connections end with their bytes lost."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._stopping = True
            self._ring()
        self._thread.join()

    # --- what it sees ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The target's URL with the proxy's address."""
        return urlunsplit(self._parts._replace(netloc=f"{self._user}127.0.0.1:{self.port}"))

    @property
    def connections(self) -> int:
        """How many connections of clients are open."""
        with self._lock:
            self._accept_all()
            return len(self._links)

    @property
    def seen(self) -> Traffic:
        """How many bytes have come each way."""
        with self._lock:
            return Traffic(**self._seen)

    # --- faults ---------------------------------------------------------------------------------

    def delay(self, seconds: float, direction: Direction | None = None) -> None:
        """Pass on what arrives from now on so much later: in both directions, or in one; 0 for none.

        No more than HELD bytes are under way at once, as on a long line with a small window.
        """
        _positive(seconds, "seconds", zero=True)
        with self._changing():
            for each in _directions(direction):
                self._faults.delay[each] = seconds

    def throttle(self, bytes_per_second: float | None, direction: Direction | None = None) -> None:
        """Pass on so many bytes a second at most, for each connection and direction; None for any number."""
        if bytes_per_second is not None:
            _positive(bytes_per_second, "bytes_per_second")
        with self._changing():
            for each in _directions(direction):
                self._faults.rate[each] = bytes_per_second
                for way in self._ways(each):
                    way.next_at = 0.0

    def cut_after(self, nbytes: int, direction: Direction, times: int | None = 1) -> None:
        """Close a connection, on both sides, when so many more bytes have gone through it in one direction.

        Args:
            nbytes: counted for each connection, the later ones included; 0 is before the first byte.
            direction: in which they are counted.
            times: how many connections are cut before the others pass; None for all, until healed.
        """
        _positive(nbytes, "nbytes", zero=True)
        _positive(1 if times is None else times, "times")
        [each] = _directions(direction)
        with self._changing():
            self._arm(each, nbytes, -1 if times is None else times)

    def drop_replies(self, count: int | None = None, *, after: int = 0) -> None:
        """Swallow replies and reset their connections: the server has done it, the client does not know.

        Args:
            count: how many (a reply is what arrives from the server at once: those of a handshake count too)
                before the others pass; None for all, until healed.
            after: how many pass first.
        """
        _positive(1 if count is None else count, "count")
        _positive(after, "after", zero=True)
        with self._changing():
            self._faults.dropped, self._faults.spared = -1 if count is None else count, after

    def black_hole(self) -> None:
        """Accept, swallow everything, answer nothing, on connections that are there and on new ones."""
        with self._changing():
            self._faults.black = True
            for link in self._links:
                link.lost = link.lost or any(way.held for way in link.ways)
                for way in link.ways:
                    way.held.clear()
                    way.size = 0

    def refuse(self) -> None:
        """Close all connections and refuse new ones."""
        with self._changing():
            if self._listening is not None:
                self._selector.unregister(self._listening)
                self._listening.close()
                self._listening = None
            for link in list(self._links):
                self._end(link)

    def reset(self) -> None:
        """Break all connections, on both sides, with a RST; new ones pass."""
        with self._changing():
            self._accept_all()
            for link in list(self._links):
                self._end(link, reset=True)

    def redirect(self, target: str) -> None:
        """Lead connections that are made from now on to another server, as a name that is moved does.

        Raises:
            ValueError: the URL names no single host and port.
        """
        with self._changing():
            self._family, self._address = _address(target)

    def heal(self) -> None:
        """Pass everything again. Connections of which something was swallowed are reset."""
        with self._changing():
            self._faults = _Faults()
            for way in self._ways(*DIRECTIONS):
                way.left, way.next_at = None, 0.0
            for link in list(self._links):
                if link.lost:
                    self._end(link, reset=True)
                elif not link.called:
                    self._call(link)
            if self._listening is None:
                self._listen()

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock, and have the thread look at what was changed."""
        if os.getpid() != self._pid:
            raise RuntimeError("the proxy belongs to the process that this one was forked from")
        with self._lock:
            if self._stopping:
                raise RuntimeError("the proxy is closed")
            yield
            for link in self._links:
                self._settle(link)
            self._ring()

    def _ways(self, *directions: Direction) -> list[_Way]:
        return [way for link in self._links for way in link.ways if way.direction in directions]

    def _arm(self, direction: Direction, nbytes: int | None, times: int) -> None:
        self._faults.cut[direction], self._faults.cuts[direction] = nbytes, times
        for way in self._ways(direction):
            way.left = nbytes

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                with self._lock:
                    if self._stopping:
                        return
                    dues = [due for way in self._ways(*DIRECTIONS) if (due := way.due()) is not None]
                    wait = max(0.0, min(dues) - time.monotonic()) if dues else None
                ready = self._selector.select(wait)
                with self._lock:
                    if not self._stopping:
                        self._serve(ready)
        finally:
            self._release()

    def _serve(self, ready: Iterable[tuple[selectors.SelectorKey, int]]) -> None:
        touched = set()
        for key, events in ready:
            if key.fileobj is self._rings:
                with suppress(BlockingIOError):
                    self._rings.recv(4096)
            elif key.fileobj is self._listening:
                self._accept_all()
            elif isinstance(key.data, _Link):
                self._handle(key.data, key.fileobj, events)
                touched.add(key.data)
        now = time.monotonic()
        for link in list(self._links):
            dues = [due for way in link.ways if (due := way.due()) is not None]
            if link in touched or any(due <= now for due in dues):
                for way in link.ways:
                    self._pass_on(link, way, now)
                self._settle(link)

    def _accept_all(self) -> None:
        while self._listening is not None:
            try:
                client, _ = self._listening.accept()
            except OSError:  # nobody is there any more, or there are too many files: then another time
                return
            self._accept(client)

    def _accept(self, client: socket.socket) -> None:
        server = socket.socket(self._family, socket.SOCK_STREAM)
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = (_Way("requests", client, server), _Way("replies", server, client))
        for way in ways:
            way.left = self._faults.cut[way.direction]
        link = _Link(client, server, ways)
        self._links.add(link)
        if not self._faults.black:
            self._call(link)
        self._settle(link)

    def _call(self, link: _Link) -> None:
        """Connect to the server."""
        link.called = link.connecting = True
        link.ways[0].blocked = True
        if link.server.connect_ex(self._address) not in (0, errno.EINPROGRESS):
            self._end(link, reset=True)

    def _handle(self, link: _Link, ready: object, events: int) -> None:
        if link.closed:
            return
        requests, replies = link.ways
        if link.connecting and ready is link.server:
            link.connecting = False
            if link.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._gone(link, replies)
                return
        incoming, outgoing = (requests, replies) if ready is link.client else (replies, requests)
        if events & selectors.EVENT_WRITE:
            outgoing.blocked = False
        if events & selectors.EVENT_READ and not incoming.ended and incoming.size < HELD:
            self._receive(link, incoming)

    def _receive(self, link: _Link, way: _Way) -> None:
        try:
            data = way.source.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._gone(link, way)
            return
        self._seen[way.direction] += len(data)
        if self._faults.black:
            link.lost = True
            if not data:
                self._gone(link, way)
        elif data and way.direction == "replies" and self._faults.dropped and not self._faults.spared:
            self._faults.dropped -= self._faults.dropped > 0
            self._end(link, reset=True)
        else:
            if data and way.direction == "replies":
                self._faults.spared -= self._faults.spared > 0
            way.ended = not data
            way.size += len(data)
            way.held.append((time.monotonic() + self._faults.delay[way.direction], memoryview(data)))

    def _gone(self, link: _Link, way: _Way) -> None:
        """Tell the other side that the source of ``way`` has gone; in a black hole clients hear nothing."""
        if self._faults.black and way.direction == "replies":
            way.ended = link.lost = True
        else:
            self._end(link, reset=not self._faults.black)

    def _pass_on(self, link: _Link, way: _Way, now: float) -> None:
        """Send what is due, as far as the receiver and the faults let it."""
        rate = self._faults.rate[way.direction]
        while not link.closed and (due := way.due()) is not None and due <= now:
            when, piece = way.held.popleft()
            if not piece:
                way.shut = True
                with suppress(OSError):
                    way.sink.shutdown(socket.SHUT_WR)
                if all(each.shut for each in link.ways):
                    self._end(link)
                return
            most = len(piece) if way.left is None else min(len(piece), way.left)
            most = most if rate is None else min(most, max(1, int(rate * _TICK)))
            try:
                sent = way.sink.send(piece[:most]) if most else 0
            except (BlockingIOError, InterruptedError):
                sent, way.blocked = 0, True
            except OSError:
                self._end(link, reset=True)
                return
            way.size -= sent
            if sent < len(piece):
                way.held.appendleft((when, piece[sent:]))
            if rate is not None:
                way.next_at = max(way.next_at, now - _CATCH_UP) + sent / rate
            if way.left is not None:
                way.left -= sent
                if not way.left:
                    self._cut(link, way)

    def _cut(self, link: _Link, way: _Way) -> None:
        self._end(link)
        if self._faults.cuts[way.direction] > 0:
            self._faults.cuts[way.direction] -= 1
            if not self._faults.cuts[way.direction]:
                self._arm(way.direction, None, 0)

    # --- sockets --------------------------------------------------------------------------------

    def _settle(self, link: _Link) -> None:
        """Have the selector tell of what can go on, and of nothing else: some of it would not stop."""
        if link.closed:
            return
        requests, replies = link.ways
        for each, incoming, outgoing in (
            (link.client, requests, replies),
            (link.server, replies, requests),
        ):
            known = each is link.client or (link.called and not link.connecting)
            reading = known and not incoming.ended and incoming.size < HELD
            writing = (outgoing.blocked and outgoing.held) or (link.connecting and each is link.server)
            events = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if writing else 0)
            key = self._selector.get_map().get(each)
            if key is None and events:
                self._selector.register(each, events, link)
            elif key is not None and not events:
                self._selector.unregister(each)
            elif key is not None and key.events != events:
                self._selector.modify(each, events, link)

    def _end(self, link: _Link, *, reset: bool = False) -> None:
        """Close a connection on both sides."""
        if link.closed:
            return
        link.closed = True
        self._links.discard(link)
        for each in (link.client, link.server):
            with suppress(KeyError, ValueError):
                self._selector.unregister(each)
            if reset:
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            each.close()
        for way in link.ways:
            way.held.clear()

    def _listen(self) -> None:
        self._listening = listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(1024)
        self._selector.register(listening, selectors.EVENT_READ)

    def _ring(self) -> None:
        """Have the thread look again."""
        with suppress(BlockingIOError, OSError):
            self._bell.send(b"!")

    def _release(self) -> None:
        with self._lock:
            self._stopping = True
            for link in list(self._links):
                self._end(link)
            self._close_all()

    def _close_all(self) -> None:
        """Close what is this process's; does not touch what the selector knows, which forks share."""
        for link in self._links:
            link.client.close()
            link.server.close()
        self._selector.close()
        for each in (self._listening, self._claim, self._bell, self._rings):
            if each is not None:
                each.close()


def _address(target: str) -> tuple[socket.AddressFamily, Any]:
    """Return where a URL leads."""
    parts = urlsplit(target)
    host = parts.netloc.rpartition("@")[2]
    port = parts.port if "," not in host else None
    port = port or _PORTS.get(parts.scheme)
    if not parts.hostname or "," in host or not port:
        raise ValueError("the target must name one host and its port, as in redis://127.0.0.1:6379/0")
    there = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    return there[0], there[4]


def _directions(direction: Direction | None) -> tuple[Direction, ...]:
    if direction is None:
        return DIRECTIONS
    if direction not in DIRECTIONS:
        raise ValueError(f"direction must be one of {', '.join(DIRECTIONS)}")
    return (direction,)


def _positive(number: float, what: str, *, zero: bool = False) -> None:
    if not (0 if zero else 1e-9) <= number < float("inf"):
        raise ValueError(f"{what} must be {'0 or more' if zero else 'more than 0'}")


# --- forks: a child has copies of the sockets, and without this a closed one would stay open in it ---------

_PROXIES: weakref.WeakSet[FaultProxy] = weakref.WeakSet()
_FORKING = threading.RLock()
_held: list[FaultProxy] = []


def _before_fork() -> None:
    _FORKING.acquire()
    _held[:] = list(_PROXIES)
    for proxy in _held:
        proxy._lock.acquire()


def _after_fork() -> None:
    for proxy in _held:
        proxy._lock.release()
    _held.clear()
    _FORKING.release()


def _after_fork_in_child() -> None:
    for proxy in _held:
        if not proxy._stopping:
            proxy._stopping = True
            proxy._close_all()
            proxy._links.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)

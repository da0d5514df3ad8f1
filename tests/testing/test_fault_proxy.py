"""The fault proxy does what each fault says, to the byte, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from framekeep.testing.fault_proxy import HELD, FaultProxy
from framekeep.testing.redis_servers import until

Pair = Callable[[], tuple[socket.socket, socket.socket]]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """What the proxy takes for the server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        yield listening


@pytest.fixture
def proxy(listening: socket.socket) -> Iterator[FaultProxy]:
    with FaultProxy(f"tcp://127.0.0.1:{listening.getsockname()[1]}") as proxy:
        yield proxy


@pytest.fixture
def dial(proxy: FaultProxy) -> Iterator[Callable[[], socket.socket]]:
    """Connect to the proxy."""
    made: list[socket.socket] = []

    def dial() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=20))
        return made[-1]

    yield dial
    for each in made:
        each.close()


@pytest.fixture
def pair(listening: socket.socket, dial: Callable[[], socket.socket]) -> Iterator[Pair]:
    """Connect through the proxy; return both ends."""
    made: list[socket.socket] = []

    def pair() -> tuple[socket.socket, socket.socket]:
        client = dial()
        server, _ = listening.accept()
        server.settimeout(20)
        made.append(server)
        return client, server

    yield pair
    for each in made:
        each.close()


def received(end: socket.socket, size: int) -> bytes:
    """Return so many bytes, or what came before the end."""
    data = b""
    while len(data) < size and (more := end.recv(size - len(data))):
        data += more
    return data


def everything(end: socket.socket) -> bytes:
    """Return all bytes until the end, however it comes."""
    data = b""
    try:
        while more := end.recv(1 << 16):
            data += more
    except ConnectionError:
        pass
    return data


def silent(end: socket.socket, seconds: float = 0.2) -> bool:
    """Say whether nothing comes, not even the end."""
    end.settimeout(seconds)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(20)
    return False


def sent_in_thread(end: socket.socket, data: bytes) -> threading.Thread:
    def send() -> None:
        with contextlib.suppress(OSError):
            end.sendall(data)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


# --- passing ------------------------------------------------------------------------------------


def test_bytes_pass_both_ways(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    client.sendall(b"ping")
    assert received(server, 4) == b"ping"
    server.sendall(b"pong!")
    assert received(client, 5) == b"pong!"
    assert proxy.seen == (4, 5)
    assert proxy.connections == 1


def test_megabytes_pass_unchanged_both_ways_at_once(pair: Pair) -> None:
    client, server = pair()
    there, back = os.urandom(5_000_000), os.urandom(5_000_000)
    senders = [sent_in_thread(client, there), sent_in_thread(server, back)]
    got: dict[str, bytes] = {}
    reader = threading.Thread(target=lambda: got.update(server=received(server, len(there))))
    reader.start()
    got["client"] = received(client, len(back))
    for thread in (*senders, reader):
        thread.join()
    assert got["client"] == back
    assert got["server"] == there


def test_one_side_may_end_and_the_other_go_on(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    client.sendall(b"the question")
    client.shutdown(socket.SHUT_WR)
    assert everything(server) == b"the question"
    server.sendall(b"the answer")
    server.close()
    assert everything(client) == b"the answer"
    until(lambda: proxy.connections == 0, "the connection to be over")


def test_a_reset_is_passed_on(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: proxy.connections == 0, "the connection to be over")


def test_a_server_that_is_not_there_resets_the_client(
    listening: socket.socket, proxy: FaultProxy, dial: Callable[[], socket.socket]
) -> None:
    listening.close()
    with pytest.raises(ConnectionResetError):  # while it connects, or when it reads
        dial().recv(1)
    until(lambda: proxy.connections == 0, "the connection to be over")


def test_a_reader_who_does_not_read_stops_the_writer(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.setblocking(False)
    piece, sent = bytes(1 << 16), 0
    while select.select([], [client], [], 0.5)[1]:
        sent += client.send(piece)
        assert sent < 200 << 20
    [requests] = {way.size for link in proxy._links for way in link.ways if way.direction == "requests"}
    assert HELD <= requests < HELD + (1 << 16)
    client.setblocking(True)
    client.shutdown(socket.SHUT_WR)
    assert len(everything(server)) == sent


# --- slow ---------------------------------------------------------------------------------------


def test_a_delay_delays_one_direction(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    proxy.delay(0.3, "requests")
    start = time.monotonic()
    client.sendall(b"ping")
    assert received(server, 4) == b"ping"
    assert 0.3 <= time.monotonic() - start < 5
    proxy.delay(30, "requests")
    server.sendall(b"pong")
    assert received(client, 4) == b"pong"
    assert time.monotonic() - start < 20


def test_a_delay_keeps_the_order_and_is_over_when_healed(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    proxy.delay(0.2)
    client.sendall(b"slow ")
    until(lambda: proxy.seen.requests == 5, "the first part to arrive")
    proxy.heal()
    client.sendall(b"fast")
    assert received(server, 9) == b"slow fast"
    proxy.heal()
    start = time.monotonic()
    for _ in range(10):
        server.sendall(b"!")
        assert received(client, 1) == b"!"
    assert time.monotonic() - start < 20 * 0.2  # what the delay would have taken


def test_a_throttle_holds_the_rate(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    proxy.throttle(2_000_000)
    data = os.urandom(1_200_000)
    start = time.monotonic()
    sender = sent_in_thread(client, data)
    assert received(server, len(data)) == data
    sender.join()
    assert 0.5 < time.monotonic() - start < 5  # 0.6 s, less what it may catch up


def test_a_throttle_that_is_lifted_is_over_at_once(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    proxy.throttle(1)
    client.sendall(bytes(10_000))
    received(server, 1)
    proxy.throttle(None)
    assert len(received(server, 9_999)) == 9_999


# --- broken -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 10, 70_000, 1_000_000])
def test_a_cut_lets_exactly_so_many_bytes_pass(proxy: FaultProxy, pair: Pair, size: int) -> None:
    client, server = pair()
    proxy.cut_after(size, "requests")
    data = os.urandom(2_000_000)
    sender = sent_in_thread(client, data)
    assert everything(server) == data[:size]
    assert everything(client) == b""
    sender.join()
    assert proxy.connections == 0


def test_replies_are_cut_too(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    client.sendall(b"question")
    assert received(server, 8) == b"question"
    proxy.cut_after(3, "replies")
    server.sendall(b"answer")
    assert everything(client) == b"ans"


def test_one_cut_is_one(proxy: FaultProxy, pair: Pair) -> None:
    first, second = pair(), pair()
    proxy.cut_after(2, "requests")
    second[0].sendall(b"1")  # bytes are counted for each connection
    assert received(second[1], 1) == b"1"
    first[0].sendall(b"12")
    assert everything(first[1]) == b"12"
    second[0].sendall(b"23")
    assert received(second[1], 2) == b"23"
    third = pair()
    third[0].sendall(b"123")
    assert received(third[1], 3) == b"123"


def test_cuts_go_on_until_healed(proxy: FaultProxy, pair: Pair) -> None:
    proxy.cut_after(2, "requests", None)
    for _ in range(3):
        client, server = pair()
        client.sendall(b"123")
        assert everything(server) == b"12"
    waiting = pair()
    proxy.heal()
    waiting[0].sendall(b"123")
    assert received(waiting[1], 3) == b"123"


def test_a_reset_is_seen_on_both_sides_and_new_connections_pass(proxy: FaultProxy, pair: Pair) -> None:
    ends = [*pair(), *pair()]
    proxy.reset()
    for end in ends:
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    client, server = pair()
    client.sendall(b"1")
    assert received(server, 1) == b"1"
    assert proxy.connections == 1


def test_refusing_closes_and_refuses_until_healed(
    proxy: FaultProxy, pair: Pair, dial: Callable[[], socket.socket]
) -> None:
    client, server = pair()
    proxy.refuse()
    assert everything(client) == everything(server) == b""
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            dial()
    proxy.refuse()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))
    proxy.heal()
    client, server = pair()
    server.sendall(b"1")
    assert received(client, 1) == b"1"


def test_a_black_hole_swallows_on_old_and_new_connections(
    proxy: FaultProxy, pair: Pair, dial: Callable[[], socket.socket]
) -> None:
    old, server = pair()
    idle, idle_server = pair()
    proxy.black_hole()
    new, silent_one = dial(), dial()
    old.sendall(b"1")
    new.sendall(bytes(3_000_000))
    server.sendall(b"2")
    server.close()
    until(lambda: proxy.seen == (3_000_001, 1), "all to be swallowed")
    assert silent(old)
    assert silent(new)
    assert proxy.connections == 4
    proxy.heal()
    for end in (old, new):
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    idle.sendall(b"3")
    assert received(idle_server, 1) == b"3"
    silent_one.sendall(b"4")
    until(lambda: proxy.seen.requests == 3_000_003, "the last to pass")


def test_a_client_that_leaves_a_black_hole_is_not_counted(
    proxy: FaultProxy, dial: Callable[[], socket.socket]
) -> None:
    proxy.black_hole()
    client = dial()
    assert proxy.connections == 1
    client.close()
    until(lambda: proxy.connections == 0, "the connection to be over")


def test_a_black_hole_swallows_what_was_delayed(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    proxy.delay(0.1)
    client.sendall(b"1")
    until(lambda: proxy.seen.requests == 1, "it to arrive")
    proxy.black_hole()
    assert silent(server, 0.3)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_dropped_replies_are_lost_with_their_connections(proxy: FaultProxy, pair: Pair) -> None:
    pairs = [pair() for _ in range(3)]
    proxy.drop_replies(2)
    for client, server in pairs[:2]:
        client.sendall(b"do it")
        assert received(server, 5) == b"do it"
        server.sendall(b"done")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    client, server = pairs[2]
    server.sendall(b"done")
    assert received(client, 4) == b"done"
    proxy.drop_replies(after=1)
    server.sendall(b"spared")
    assert received(client, 6) == b"spared"
    for _ in range(2):
        client, server = pair()
        server.sendall(b"done")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.heal()
    client, server = pair()
    server.sendall(b"done")
    assert received(client, 4) == b"done"


# --- Redis --------------------------------------------------------------------------------------


def test_redis_has_done_what_the_client_does_not_know(places: Any) -> None:
    running = places["valkey"]
    with running.client() as straight, FaultProxy(f"{running.url[:-1]}3") as proxy:
        assert proxy.url.endswith("/3")
        with redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0)) as client:
            client.set("fault-proxy", "old")
            proxy.drop_replies(1)
            with pytest.raises(redis.ConnectionError):
                client.set("fault-proxy", "new")
            assert client.get("fault-proxy") == b"new"
            straight.execute_command("SELECT", 3)
            client.delete("fault-proxy")


def _increments(url: str, times: int) -> None:
    with redis.Redis.from_url(url) as client:
        for _ in range(times):
            client.incr("fault-proxy")


def test_several_processes_use_one_proxy(places: Any) -> None:
    running = places["valkey"]
    context = multiprocessing.get_context("spawn")
    with running.client() as straight, FaultProxy(running.url) as proxy:
        processes = [context.Process(target=_increments, args=(proxy.url, 200)) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert straight.get("fault-proxy") == b"600"
        straight.delete("fault-proxy")


# --- life ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["", "redis://", "unix:///tmp/socket", "redis://a:1,b:2/0", "tcp://127.0.0.1", "redis://h:99999"],
)
def test_what_is_no_single_place_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"host|[Pp]ort"):
        FaultProxy(target)


def test_the_url_keeps_all_but_the_address() -> None:
    with FaultProxy("redis://user:p%40ss@localhost:1/7?x=y") as proxy:
        assert proxy.url == f"redis://user:p%40ss@127.0.0.1:{proxy.port}/7?x=y"


@pytest.mark.parametrize(
    "fault",
    [
        lambda proxy: proxy.delay(-1),
        lambda proxy: proxy.delay(float("nan")),
        lambda proxy: proxy.delay(1, "sideways"),
        lambda proxy: proxy.throttle(0),
        lambda proxy: proxy.throttle(float("inf")),
        lambda proxy: proxy.cut_after(-1, "requests"),
        lambda proxy: proxy.cut_after(1, "sideways"),
        lambda proxy: proxy.cut_after(1, "requests", 0),
        lambda proxy: proxy.drop_replies(0),
        lambda proxy: proxy.drop_replies(after=-1),
    ],
)
def test_impossible_faults_are_refused_and_change_nothing(
    proxy: FaultProxy, pair: Pair, fault: Callable[[FaultProxy], None]
) -> None:
    client, server = pair()
    with pytest.raises(ValueError, match="must be"):
        fault(proxy)
    client.sendall(b"1")
    assert received(server, 1) == b"1"


def _open_and_close_proxies() -> None:
    gc.collect()
    files, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        for _ in range(5):
            proxy = FaultProxy(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
            with proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
                server, _ = listening.accept()
                with server:
                    server.settimeout(20)
                    proxy.throttle(10)
                    client.sendall(bytes(10_000))
                    received(server, 1)
                    proxy.close()
                    assert len(everything(server)) < 10_000
            proxy.close()
            with pytest.raises(RuntimeError, match="closed"):
                proxy.heal()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port))
    gc.collect()
    assert set(threading.enumerate()) == threads
    assert set(os.listdir("/proc/self/fd")) == files


def test_nothing_is_left_of_a_closed_proxy(in_new_process: Callable[..., object]) -> None:
    in_new_process(_open_and_close_proxies)


def test_a_forked_process_has_no_part_in_it(proxy: FaultProxy, pair: Pair) -> None:
    client, server = pair()
    ready, told = os.pipe()
    go, do = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(RuntimeError, match="forked"):
                proxy.heal()
            proxy.close()
            os.write(told, b"1")
            os.read(go, 1)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.read(ready, 1) == b"1"
    client.sendall(b"1")
    assert received(server, 1) == b"1", "the proxy goes on"
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):  # and no copy of its socket listens on
        socket.create_connection(("127.0.0.1", proxy.port))
    assert everything(server) == b"", "and none holds its connections open"
    os.write(do, b"1")
    assert os.waitpid(child, 0)[1] == 0
    for each in (ready, told, go, do):
        os.close(each)


def test_any_thread_may_call_any_fault_at_any_time(proxy: FaultProxy, listening: socket.socket) -> None:
    """Clients that never stop, and faults in every order: the proxy lives, and heals."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                server, _ = listening.accept()
            except TimeoutError:
                continue
            with server:
                server.settimeout(0.05)
                with contextlib.suppress(OSError):
                    server.sendall(received(server, 1000))

    def ask() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.05) as client:
                    client.sendall(bytes(1000))
                    received(client, 1000)
            except OSError:
                pass

    def trouble(seed: int) -> None:
        faults: list[Callable[[], None]] = [
            lambda: proxy.delay(0.001),
            lambda: proxy.throttle(100_000),
            lambda: proxy.cut_after(10, "requests", 3),
            lambda: proxy.cut_after(10, "replies"),
            proxy.black_hole,
            proxy.refuse,
            proxy.reset,
            lambda: proxy.drop_replies(2),
            proxy.heal,
        ]
        for i in range(400):
            faults[(i * 7 + seed * i * i) % len(faults)]()
            assert proxy.connections < 100

    listening.settimeout(0.05)
    clients = [threading.Thread(target=each) for each in (serve, serve, ask, ask, ask)]
    troubles = [threading.Thread(target=trouble, args=(seed,)) for seed in range(3)]
    for thread in (*clients, *troubles):
        thread.start()
    for thread in troubles:
        thread.join()
    over.set()
    for thread in clients:
        thread.join()
    proxy.heal()
    listening.settimeout(20)
    while True:  # what was accepted before is still in the queue
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
            client.sendall(b"alive")
            client.shutdown(socket.SHUT_WR)
            server, _ = listening.accept()
            with server:
                if everything(server) == b"alive":
                    break
    listening.close()  # with what nobody accepted
    until(lambda: proxy.connections == 0, "all to be over")

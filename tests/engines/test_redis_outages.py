"""Servers that restart, die, stand still, forget scripts; a pool that is full; a process that forks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import RedisBackend
from framekeep.engines.base import Change
from framekeep.engines.breaker import Breaker
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import SessionNotFoundError, StorageUnavailableError
from framekeep.names import digest_of, new_revision, space
from framekeep.testing.redis_servers import Server, cluster, sentinels, server, until

A = space("session", "a")
FRAME = pd.DataFrame({"a": [1, 2, 3]})

Connect = Callable[..., RedisEngine]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "server") as running:
        yield running
        running.resume()


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[RedisEngine] = []

    def connect(to: Server, **options: Any) -> RedisEngine:
        made.append(RedisEngine(RedisOptions(to.url, **options)))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def write(engine: RedisEngine) -> None:
    engine.commit(A, Change(None, new_revision(), b"head", log=[b"made"], ttl=600))


def quickest(
    limit: float, call: Callable[[], object], *, before: Callable[[], object] = lambda: None
) -> float:
    """Return how long a call takes at its quickest, of a few: what else the machine does makes any one slow.

    Args:
        limit: seconds that are quick enough.
        before: what is done before each, and not measured.
    """
    took: list[float] = []
    while len(took) < 5 and (not took or min(took) >= limit):
        before()
        start = time.monotonic()
        call()
        took.append(time.monotonic() - start)
    return min(took)


def in_threads(*calls: Callable[[], object]) -> list[object]:
    """Run calls at once; return what each gave or raised, in order."""
    results: list[object] = [None] * len(calls)

    def run(i: int) -> None:
        try:
            results[i] = calls[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


# --- restarts -------------------------------------------------------------------------------------


def test_with_a_file_all_is_there_after_a_restart(tmp_path: Path, connect: Connect) -> None:
    with server(tmp_path / "server", config={"appendonly": "yes", "appendfsync": "always"}) as running:
        backend = RedisBackend(connect(running))
        backend.create_session("a", FRAME, "a.csv", 600)
        backend.commit_dataframe("a", FRAME * 2, "Double")
        for end in (running.stop, running.kill):
            end()
            running.start()
            reader = RedisBackend(backend.engine)
            pd.testing.assert_frame_equal(reader.get_dataframe("a"), FRAME * 2)
            pd.testing.assert_frame_equal(reader.get_dataframe("a", version=1), FRAME)
            assert (reader.check("a"), reader.list_sessions()) == ([], ["a"])
        assert backend.engine.health().details["persistence"] == "aof"


def test_without_a_file_the_sessions_are_gone(running: Server, connect: Connect) -> None:
    backend = RedisBackend(connect(running))
    backend.create_session("a", FRAME, "a.csv", 600)
    pd.testing.assert_frame_equal(backend.get_dataframe("a"), FRAME)
    running.stop()
    running.start()
    for call in (
        lambda: backend.get_dataframe("a"), lambda: backend.update_dataframe("a", FRAME),
        lambda: backend.undo("a"), lambda: backend.get_audit_log("a"),
        lambda: backend.add_audit_entry("a", "x"),
    ):  # fmt: skip
        with pytest.raises(SessionNotFoundError):
            call()
    assert (backend.list_sessions(), backend.delete_session("a")) == ([], False)
    backend.create_session("a", FRAME, "a.csv", 600)
    assert backend.engine.health().details["persistence"] == "none"


def test_a_change_that_was_under_way_at_the_restart_is_of_a_session_that_is_gone(
    running: Server, connect: Connect
) -> None:
    backend = RedisBackend(connect(running))
    backend.create_session("a", FRAME, "a.csv", 600)
    edit = backend.edit("a", "Double")
    frame = edit.__enter__()
    frame *= 2
    running.kill()
    running.start()
    with pytest.raises(SessionNotFoundError):
        edit.__exit__(None, None, None)


def test_no_caller_sees_that_the_server_restarted(running: Server, connect: Connect) -> None:
    """Eight connections are in the pool, and each of them is broken."""
    engine = connect(running)
    together = threading.Barrier(8)

    def load() -> object:
        together.wait(30)
        return engine.load(A)

    assert in_threads(*[load] * 8) == [None] * 8
    running.kill()
    running.start()
    write(engine)
    found = in_threads(*[load] * 8)
    assert [getattr(head, "body", head) for head in found] == [b"head"] * 8


def test_no_caller_sees_that_idle_connections_were_closed(running: Server, connect: Connect) -> None:
    engine = connect(running)
    write(engine)
    with running.client() as operator:
        operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert engine.count() == 1


@pytest.mark.parametrize("min_replicas", [0, 1])
def test_scripts_that_were_forgotten_are_sent_anew(running: Server, min_replicas: int) -> None:
    engine = RedisEngine(RedisOptions(running.url), min_replicas=min_replicas, replica_timeout=0.01)

    def told(call: Callable[[], object]) -> object:
        with running.client() as operator:
            operator.script_flush()
        if not min_replicas:
            return call()
        with pytest.raises(StorageUnavailableError, match=r"(?i)only 0 of 1 replicas"):
            call()
        return None

    first, second = new_revision(), new_revision()
    told(lambda: engine.commit(A, Change(None, first, b"head", log=[b"one"], ttl=60)))
    told(lambda: engine.commit(A, Change(first, second, b"next", log=[b"two"])))
    with running.client() as operator:
        for call in (
            lambda: engine.log(A),
            lambda: engine.touch(A, 50),
            lambda: engine.load(A),
            engine.purge,
        ):
            operator.script_flush()
            call()
    assert engine.log(A) == [b"one", b"two"]
    told(lambda: engine.commit(A, Change(second, new_revision(), None)))
    assert told(lambda: engine.load(A)) is None  # that it is absent takes a replica too
    assert engine.log(A) == []
    engine.close()


# --- death and standstill ---------------------------------------------------------------------------


def test_a_server_that_died_is_unavailable_at_once_and_comes_back(running: Server, connect: Connect) -> None:
    backend = RedisBackend(connect(running))
    backend.create_session("a", FRAME, "a.csv", 600)
    running.kill()
    for call in (
        lambda: backend.get_dataframe("a"), lambda: backend.update_dataframe("a", FRAME),
        backend.list_sessions, backend.get_active_sessions_count, backend.cleanup_expired_sessions,
        lambda: backend.delete_session("a"),
        lambda: backend.create_session("b", FRAME, "b.csv", 600), lambda: backend.get_audit_log("a"),
    ):  # fmt: skip
        start = time.monotonic()
        with pytest.raises(StorageUnavailableError) as caught:
            call()
        assert caught.value.retryable
        assert time.monotonic() - start < 4.5, "nobody waits for REDIS_SOCKET_TIMEOUT"
    health = backend.health_check()
    assert (health["status"], health["reachable"]) == ("unhealthy", False)
    assert "RedisBackend is not available" in health["error"]
    running.start()
    backend.create_session("a", FRAME, "a.csv", 600)
    assert backend.health_check()["status"] == "healthy"


@pytest.mark.parametrize(("again", "sent"), [(True, 2), (False, 1)])
@pytest.mark.parametrize("pooled", [True, False])
def test_a_server_that_stands_still_is_given_up_in_time(
    running: Server, connect: Connect, again: bool, sent: int, pooled: bool
) -> None:
    """With REDIS_RETRY_ON_TIMEOUT a call waits REDIS_SOCKET_TIMEOUT twice; without, once."""
    engine = connect(running, socket_timeout=0.5, retry_on_timeout=again, health_check_interval=0)
    if pooled:
        write(engine)

    def pause() -> None:
        running.resume()
        if pooled:
            assert engine.load(A) is not None
        running.pause()

    def ask() -> None:
        with pytest.raises(StorageUnavailableError, match="REDIS_SOCKET_TIMEOUT") as caught:
            engine.touch(A, 60)
        assert caught.value.retryable

    limit = sent * 0.5 + 0.4
    assert sent * 0.5 - 0.05 < quickest(limit, ask, before=pause) < limit
    running.resume()
    assert (engine.load(A) is not None) == pooled


def test_a_node_that_stands_still_is_given_up_in_time(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as setup:
        for again, sent in ((True, 2), (False, 1)):
            for min_replicas in (0, 1):
                reached = RedisOptions(setup.url, socket_timeout=0.5, retry_on_timeout=again)
                engine = RedisEngine(reached, min_replicas=min_replicas, replica_timeout=0.2)
                assert engine.load(A) is None
                node = setup.primary_of(engine._keys.of(A).head)

                def pause(engine: RedisEngine = engine, node: Server = node) -> None:
                    node.resume()
                    assert engine.load(A) is None
                    node.pause()

                def ask(engine: RedisEngine = engine) -> None:
                    with pytest.raises(StorageUnavailableError, match="REDIS_SOCKET_TIMEOUT"):
                        engine.commit(A, Change(new_revision(), new_revision(), b"head"))

                asked = sent + (again and min_replicas)  # it may be asked who has the slot now
                limit = asked * 0.5 + 0.4
                assert sent * 0.5 - 0.05 < quickest(limit, ask, before=pause) < limit
                node.resume()
                assert engine.load(A) is None
                engine.close()


@pytest.mark.parametrize("again", [True, False])
def test_what_a_standing_server_was_sent_happens_once_when_it_goes_on(
    running: Server, connect: Connect, again: bool
) -> None:
    engine = connect(running, socket_timeout=0.3, retry_on_timeout=again)
    write(engine)
    head = engine.load(A)
    assert head is not None
    with running.client() as operator:
        operator.config_resetstat()
    change = Change(head.revision, new_revision(), b"next", log=[b"changed"])
    running.pause()
    with pytest.raises(StorageUnavailableError):
        engine.commit(A, change)
    running.resume()
    engine.commit(A, change)
    assert engine.log(A) == [b"made", b"changed"]


def test_an_idle_connection_that_is_probed_does_not_wait_longer(running: Server, connect: Connect) -> None:
    engine = connect(running, socket_timeout=0.4, health_check_interval=1e-6)
    write(engine)

    def pause() -> None:
        running.resume()
        assert engine.load(A) is not None
        running.pause()

    def ask() -> None:
        with pytest.raises(StorageUnavailableError, match="REDIS_SOCKET_TIMEOUT"):
            engine.load(A)

    limit = 2 * 0.4 + 0.4
    assert quickest(limit, ask, before=pause) < limit


# --- connections ------------------------------------------------------------------------------------


def test_more_calls_than_connections_wait_and_then_are_told(running: Server, connect: Connect) -> None:
    engine = connect(running, max_connections=1, socket_timeout=1.0, retry_on_timeout=True)
    write(engine)
    running.pause()
    inside = threading.Event()

    def first() -> object:
        inside.set()
        return engine.load(A)

    def second() -> object:
        inside.wait(30)
        return engine.count()

    found = in_threads(first, second)
    told = sorted(str(error) for error in found)
    assert all(isinstance(error, StorageUnavailableError) for error in found)
    assert "REDIS_MAX_CONNECTIONS" in told[0]
    assert "REDIS_SOCKET_TIMEOUT" in told[1]
    running.resume()
    assert engine.count() == 1


def test_one_connection_is_enough_for_many_threads(running: Server, connect: Connect) -> None:
    engine = connect(running, max_connections=1)
    backend = RedisBackend(engine)
    backend.create_session("a", FRAME, "a.csv", 600)
    calls = [lambda i=i: backend.add_audit_entry("a", f"entry {i}") for i in range(8)]
    assert in_threads(*calls) == [None] * 8
    assert len(backend.get_audit_log("a")) == 9
    with running.client() as operator:
        ours = [each for each in operator.client_list() if each["name"] == "framekeep"]
    assert len(ours) == 1


def test_connections_stay_below_the_limit(running: Server, connect: Connect) -> None:
    engine = connect(running, max_connections=3)
    together = threading.Barrier(12)

    def load() -> object:
        together.wait(30)
        return engine.load(A)

    assert in_threads(*[load] * 12) == [None] * 12
    with running.client() as operator:
        assert len([each for each in operator.client_list() if each["name"] == "framekeep"]) <= 3


FORKS = """
import os, sys, threading
from framekeep.engines.base import Change
from framekeep.engines.breaker import Breaker
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.names import digest_of, new_revision, space

engine = RedisEngine(RedisOptions(sys.argv[1]{more}))
names = [space("session", f"s{{i}}") for i in range(40)]
made = {{}}
for name in names:
    engine.commit(name, Change(None, made.setdefault(name, new_revision()), name.encode(), ttl=600))
inside = engine._admission.enter()  # as if another thread were in a call
child = os.fork()
who = b"child" if child == 0 else b"parent"
mine = names[::2] if child == 0 else names[1::2]
for name in mine * 3:
    head = engine.load(name)
    assert head.body in (name.encode(), who + name.encode()), (who, name, head.body)
    next = new_revision()
    engine.commit(name, Change(head.revision, next, who + name.encode()))
os.write(1, b"%s %d %r\\n" % (who, engine.count(), engine.health().reachable))
if child == 0:
    engine.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
bodies = [engine.load(name).body.partition(b"session")[0].decode() for name in names]
print(status, bodies == ["child", "parent"] * 20)
"""


@pytest.mark.parametrize("more", ["", ", max_connections=2"])
def test_child_and_parent_go_on_after_a_fork(running: Server, run: Callable[..., str], more: str) -> None:
    lines = run(FORKS.format(more=more), running.url).splitlines()
    assert sorted(lines[:2]) == ["child 40 True", "parent 40 True"]
    assert lines[2:] == ["0 True"]


def test_a_closed_engine_leaves_no_connection(running: Server, connect: Connect) -> None:
    engine = connect(running)
    write(engine)
    engine.close()
    with running.client() as operator:
        assert [each for each in operator.client_list() if each["name"] == "framekeep"] == []


def test_sentinels_that_restarted_are_asked_again(tmp_path: Path) -> None:
    """Every connection is broken, to the Sentinels and to the primary; no caller sees it."""
    with sentinels(tmp_path / "sentinels", replicas=1) as setup:
        engine = RedisEngine(RedisOptions(setup.url))
        write(engine)
        for each in setup.sentinels:
            each.kill()
            each.start()
        with setup.primary.client() as operator:
            operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        head = engine.load(A)
        assert head is not None
        for each in setup.sentinels:
            each.kill()
        assert engine.load(A) is not None, "whoever is connected needs no Sentinel"
        with setup.servers[0].client() as operator:
            operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        start = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            engine.load(A)
        assert time.monotonic() - start < 4.5, "nobody waits for REDIS_SOCKET_TIMEOUT"
        setup.sentinels[1].start()
        assert until(lambda: _loads(engine), "a Sentinel says where the primary is")
        engine.close()


def _loads(engine: RedisEngine) -> bool:
    try:
        return engine.load(A) is not None
    except StorageUnavailableError:
        return False


def test_who_was_answered_for_long_has_not_waited_in_silence(running: Server, connect: Connect) -> None:
    contents = {digest_of(bytes([i])): bytes([i]) for i in range(20)}
    engine = connect(running)
    engine.commit(A, Change(None, new_revision(), b"head", contents, ttl=600))
    guarded = GuardedEngine(engine, lambda part: Breaker(failures=9, window=1.0, cooldown=60.0), retries=0)

    def slow(i: int, buffer: memoryview) -> None:
        if i == 0:
            time.sleep(1.1)  # as who passes it on to a slow client
            running.kill()

    with pytest.raises(StorageUnavailableError) as told:
        guarded.read(A, list(contents), slow)
    assert told.value.waited is not None
    assert guarded.breaker().state == "closed"

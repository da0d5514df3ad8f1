"""Servers of a Cluster, and Sentinels, that say nothing: nobody waits for one after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisClusterException

from framekeep.engines import redis, redis_cluster, redis_indexes
from framekeep.engines.base import Change
from framekeep.engines.breaker import Breaker
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.engines.redis_cluster import Shared
from framekeep.errors import StorageUnavailableError
from framekeep.names import Space, new_revision, space
from framekeep.testing.redis_servers import ClusterSetup, Server, cluster, sentinels, until

LIMIT = 1.0
"""Seconds that a server has to answer."""
OFTEN = 5
"""How often that a call may take, at its slowest: two and a half are needed, and the machine may be busy."""

SPACES = [space("session", f"s{number}") for number in range(16)]


def engine_at(url: str) -> RedisEngine:
    return RedisEngine(RedisOptions(url, socket_timeout=LIMIT, socket_connect_timeout=LIMIT))


def serves_all(engine: RedisEngine) -> bool:
    """Say whether all spaces can be read: some servers hear later than others that all slots are served."""
    try:
        return [engine.load(name) for name in SPACES] != []
    except StorageUnavailableError:
        return False


@pytest.fixture
def paused() -> Iterator[Callable[[Sequence[Server]], None]]:
    stopped: list[Server] = []

    def pause(servers: Sequence[Server]) -> None:
        for each in servers:
            stopped.append(each)
            each.pause()

    yield pause
    for each in stopped:
        each.resume()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ClusterSetup]:
    with cluster(tmp_path / "cluster") as running:
        yield running
        for each in running.servers:
            each.resume()


def waited(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Make calls at once that nobody answers; return how long each took, in multiples of the limit."""
    took: list[float] = []

    def run(call: Callable[[], object]) -> None:
        start = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            call()
        took.append((time.monotonic() - start) / LIMIT)

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == len(calls)
    return took


def calls_of(engine: RedisEngine) -> list[Callable[[], object]]:
    change = Change(None, new_revision(), b"", ttl=60.0)
    return [
        *(lambda name=name: engine.load(name) for name in SPACES),  # type: ignore[misc]
        lambda: engine.commit(SPACES[0], change),
        lambda: engine.touch(SPACES[1], 60.0),
        lambda: engine.log(SPACES[2]),
        engine.count,
        lambda: list(engine.spaces()),
    ]


def test_a_cluster_that_says_nothing_is_given_up_by_all_in_time(
    running: ClusterSetup, paused: Callable[[Sequence[Server]], None]
) -> None:
    engine, anew = engine_at(running.url), engine_at(running.url)
    for name in SPACES:
        engine.commit(name, Change(None, new_revision(), b"", ttl=60.0))
    paused(running.servers)
    assert max(waited(calls_of(engine))) < OFTEN
    assert max(waited(calls_of(anew))) < OFTEN  # which was never connected
    start = time.monotonic()
    assert not engine.health().reachable
    assert time.monotonic() - start < OFTEN * LIMIT
    for server in running.servers:
        server.resume()
    for each in (engine, anew):
        until(lambda e=each: serves_all(e), "it does not answer again")  # type: ignore[misc]
        assert all(map(each.load, SPACES))
        each.close()


def test_one_that_answers_is_asked_where_others_say_nothing(
    tmp_path: Path, paused: Callable[[Sequence[Server]], None]
) -> None:
    patient = {"cluster-node-timeout": 60_000}  # else the one left takes itself for cut off, and says so
    with cluster(tmp_path, config=patient) as running:
        engine = engine_at(running.url)
        for name in SPACES:
            engine.commit(name, Change(None, new_revision(), b"", ttl=60.0))
        primaries = running.primaries()
        of = {name: running.primary_of(engine._keys.of(name).head) for name in SPACES}
        answering = [name for name, server in of.items() if server is primaries[0]]
        silent = [name for name in SPACES if name not in answering]
        assert answering
        assert silent
        paused(primaries[1:])
        took = waited([lambda name=name: engine.load(name) for name in silent])  # type: ignore[misc]
        assert max(took) < OFTEN
        assert all(map(engine.load, answering))
        engine.close()
        for server in primaries[1:]:
            server.resume()


def test_what_was_asked_of_all_slots_is_not_asked_again_slot_by_slot(
    tmp_path: Path, paused: Callable[[Sequence[Server]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = {"cluster-node-timeout": 60_000}
    with cluster(tmp_path, replicas=0, config=patient) as running:
        engine, first = engine_at(running.url), running.primaries()[0]
        assert engine.count() == 0
        time_of = redis.time_of

        def last_reply(primaries: Sequence[Redis]) -> float:
            now = time_of(primaries)
            paused([first])
            return now

        for call in (engine.count, lambda: list(engine.spaces()), engine.purge):
            with monkeypatch.context() as patch:
                for module in (redis, redis_indexes):
                    patch.setattr(module, "time_of", last_reply)
                assert max(waited([call])) < OFTEN
            first.resume()
            until(lambda: engine.health().reachable, "it does not answer again")
        assert engine.count() == 0
        engine.close()


def test_sentinels_that_say_nothing_are_given_up_in_time(
    tmp_path: Path, paused: Callable[[Sequence[Server]], None]
) -> None:
    with sentinels(tmp_path) as running:
        engine, anew = engine_at(running.url), engine_at(running.url)
        assert engine.load(SPACES[0]) is None
        paused((*running.servers, *running.sentinels))
        for each in (engine, anew):
            assert max(waited([lambda e=each: e.load(SPACES[0])] * 6)) < OFTEN  # type: ignore[misc]
            each.close()
        for server in (*running.servers, *running.sentinels):
            server.resume()


def test_who_only_looks_and_counts_finds_the_server_that_took_over(running: ClusterSetup) -> None:
    engine = engine_at(running.url)
    engine.commit(SPACES[0], Change(None, new_revision(), b"", ttl=60.0))
    assert engine.health().reachable
    assert engine.count() == 1
    running.kill_primary_of(engine._keys.of(SPACES[0]).head)
    until(lambda: engine.health().reachable, "health does not find it")
    assert engine.health().details["role"] == "master"
    counted: list[int] = []

    def all_count() -> bool:
        with suppress(StorageUnavailableError):  # the others hear a moment later that all slots are served
            counted.append(engine.count())
        return bool(counted)

    until(all_count, "it is not asked")
    assert counted == [1]
    engine.close()


def test_who_only_looks_hears_of_a_server_that_others_made_a_replica(running: ClusterSetup) -> None:
    engine = engine_at(running.url)
    assert engine.health().details["warnings"] == []
    replica = next(server for server in running.servers if server not in running.primaries())
    with replica.client() as operator:
        operator.execute_command("CLUSTER FAILOVER")
    until(lambda: replica in running.primaries(), "the replica does not take over")
    until(lambda: engine.health().details["role"] == "master", "health goes on asking the former primary")
    engine.close()


def test_a_server_fails_as_one_and_is_forgotten_when_it_is_replaced(running: ClusterSetup) -> None:
    engine = engine_at(running.url)
    guarded = GuardedEngine(
        engine, lambda part: Breaker(cooldown=600.0), parts_of=engine.parts_of, parts=engine.parts, retries=0
    )
    of = {name: running.primary_of(engine._keys.of(name).head) for name in SPACES}
    guarded.load(SPACES[0])
    gone = of[SPACES[0]]
    its: list[Space] = [name for name in SPACES if of[name] is gone]
    others = [name for name in SPACES if of[name] is not gone]
    assert len(its) > 1
    for each in running.servers:
        if each not in running.primaries():
            each.pause()  # so that none takes over yet
    gone.kill()
    for _ in range(5):
        with pytest.raises(StorageUnavailableError):
            guarded.load(its[0])
    for name in its:
        with pytest.raises(StorageUnavailableError, match="left alone"):
            guarded.load(name)
    assert guarded.states()["parts"] == {f"127.0.0.1:{gone.port}": "open"}
    for each in running.servers:
        each.resume()
    until(lambda: engine.health().reachable, "no other server takes over")

    until(lambda: serves_all(engine), "not all slots are served again")
    for name in (*its, *others):
        guarded.load(name)
    assert guarded.states() == {"state": "closed", "parts": {}, "answers": True}
    guarded.close()


def test_what_many_threads_want_done_is_done_by_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    others_came = threading.Semaphore(0)

    class Watched(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            others_came.release()
            return super().result(timeout)

    monkeypatch.setattr(redis_cluster, "Future", Watched)
    begun, asked = threading.Event(), []

    def do() -> int:
        asked.append(threading.current_thread())
        begun.set()
        for _ in range(5):
            assert others_came.acquire(timeout=10.0)
        if len(asked) == 2:
            raise RedisClusterException("none of its servers answers")
        return len(asked)

    shared = Shared(do)
    for expected in (1, "none of its servers answers", 3):
        begun.clear()
        results: list[object] = []

        def run(results: list[object] = results) -> None:
            try:
                results.append(shared())
            except RedisClusterException as error:
                results.append(str(error))

        first = threading.Thread(target=run)
        first.start()
        assert begun.wait(10.0)
        others = [threading.Thread(target=run) for _ in range(5)]
        for thread in others:
            thread.start()
        for thread in (first, *others):
            thread.join()
        assert results == [expected] * 6
    assert len(asked) == 3

"""Workers die at random instants while they write: no session is torn, and what they leave goes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stamped
from verdict import judge

from crowd import THREADS, Diary, Event, Workers, alive, created, manager_on, settings_for, workers_in
from framekeep import DataManager
from framekeep.engines.redis import STAGED_SECONDS
from framekeep.names import space
from framekeep.testing import redis_keyspace
from framekeep.testing.redis_servers import until

SESSIONS = 10


@pytest.fixture
def settings(places: Any, tmp_path: Path) -> dict[str, Any]:
    return settings_for(places.settings("valkey"), tmp_path)


@pytest.fixture
def manager(settings: dict[str, Any]) -> Iterator[DataManager]:
    with manager_on(settings) as manager:
        yield manager
        redis_keyspace.remove(manager.backend.engine)


@pytest.fixture
def workers(settings: dict[str, Any], tmp_path: Path) -> Iterator[Workers]:
    with workers_in(settings, tmp_path) as workers:
        yield workers


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.long)])
def test_what_killed_workers_had_acknowledged_is_there(
    manager: DataManager, workers: Workers, kills: int
) -> None:
    """Two at a time share sessions; the one that is killed is followed by another with the same clients."""
    dice = random.Random(kills)
    sessions = created(manager, SESSIONS)
    diaries = [Diary(workers.directory / f"worker-{n}") for n in range(2)]
    clients = [list(range(n * THREADS, (n + 1) * THREADS)) for n in range(2)]
    unsaid: set[str] = set()  # what clients were at when they were killed
    reached = dict.fromkeys(range(2 * THREADS), 0)

    def start(n: int) -> int:
        before = {client: reached[client] for client in clients[n]}
        order = {"sessions": sessions, "clients": clients[n], "seed": dice.random(), "sees_own": False}
        return workers.start("crowd", f"worker-{n}", before=before, **order)

    def killed(n: int, pid: int) -> None:
        kill_and_wait(pid)
        for event in diaries[n].events():
            reached[event.client] = max(reached[event.client], event.number)
        for client in clients[n]:
            reached[client] += 1
            unsaid.add(stamped.token_for(client, reached[client]))

    pids = [start(n) for n in range(2)]
    for kill in range(kills):
        n, began = kill % 2, time.monotonic()

        def at_work(n: int = n, began: float = began) -> bool:
            return any(e.begin > began and changed(e) for e in diaries[n].events())

        until(at_work, "a worker gets nothing through")
        time.sleep(dice.random() * 0.1)  # the instant is the dice's to say
        killed(n, pids[n])
        pids[n] = start(n)
    for n in range(2):
        killed(n, pids[n])
    events = [event for diary in diaries for event in diary.events()]
    verdict = judge(manager, sessions, events, unsaid=unsaid)
    assert verdict.lost == []
    failed = {event.detail[0] for event in events if event.outcome == "failed"}
    assert failed <= {"ConflictError"}
    assert redis_keyspace.without_expiry(manager.backend.engine) == []
    print(
        f"{kills + 2} workers killed: {verdict.changes} changes acknowledged, none lost, "
        f"{len(verdict.stored)} stored without an answer"
    )


def changed(event: Event) -> bool:
    return event.outcome == "ok" and event.verb != "look"


def kill_and_wait(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "a killed process lives on")


def connections(manager: DataManager) -> set[str]:
    """Return who is connected: what a killed process had sent may still be on its way while it is."""
    return {
        each["id"] for each in redis_keyspace.redis_of(manager.backend.engine)._opened().client.client_list()
    }


def named(manager: DataManager, session: str) -> int:
    """Return how many blobs the states of a session need."""
    heads = manager.backend._heads
    return len(heads.source(session).live(heads.load(session).session.timeline))


def headless(manager: DataManager) -> list[bytes]:
    """Return the blobs of sessions that have no head; not those that a process tries at its start."""
    keys = {key for _, key in redis_keyspace.keys(manager.backend.engine) if b":session:" in key}
    return [key for key in keys if key.endswith(b":b") and key[:-1] + b"h" not in keys]


def blobs(manager: DataManager, session: str) -> int:
    engine = redis_keyspace.redis_of(manager.backend.engine)
    return engine._opened().client.hlen(engine._keys.of(space("session", session)).blobs)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_staged_for_a_session_that_never_came_to_be_goes(
    manager: DataManager, workers: Workers, kills: int
) -> None:
    for _ in range(kills):
        known = connections(manager)
        pid = workers.start("create")
        [left] = until(lambda: headless(manager), "nothing is staged")
        kill_and_wait(pid)
        until(lambda known=known: connections(manager) <= known, "a killed process is still connected")
        if headless(manager):  # else its commit was on its way already
            break
    assert headless(manager) == [left], f"of {kills} killed workers none left anything"
    assert redis_keyspace.without_expiry(manager.backend.engine) == []
    [primary] = redis_keyspace.redis_of(manager.backend.engine)._opened().primaries()
    assert 0 < primary.pttl(left) <= STAGED_SECONDS * 1000
    assert b":session:" in left, left
    assert left.split(b"session:")[1][:-2].decode() not in manager.list_sessions()
    redis_keyspace.age(manager.backend.engine, STAGED_SECONDS)
    assert headless(manager) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_staged_for_a_session_and_not_committed_goes_with_a_later_commit(
    manager: DataManager, workers: Workers, kills: int
) -> None:
    [session] = created(manager, 1)
    for _ in range(kills):
        before, version = blobs(manager, session), manager.get_dataframe(session)
        known = connections(manager)
        pid = workers.start("commit", session=session)
        until(lambda before=before: blobs(manager, session) > before, "nothing is staged")
        kill_and_wait(pid)
        until(lambda known=known: connections(manager) <= known, "a killed process is still connected")
        if not manager.get_history(session):
            assert manager.get_dataframe(session).equals(version)
            assert blobs(manager, session) > before
        assert redis_keyspace.without_expiry(manager.backend.engine) == []
        assert manager.check(session) == []
        frame = manager.get_dataframe(session).head(3)
        for number in range(7):  # more than are kept: the oldest are dropped, and what nobody names
            frame = frame + 1
            manager.commit_dataframe(session, frame, f"small {number}")
        assert blobs(manager, session) == named(manager, session)

"""Many clients of several processes on shared sessions in Redis: nothing is lost, torn or out of order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stamped
from verdict import judge

from crowd import Event, created, crowd, manager_on, settings_for
from framekeep import DataManager
from framekeep.testing import redis_keyspace

SESSIONS = 20


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("place", "changes"),
    [
        ("valkey", 3),
        ("sentinel", 2),
        ("cluster", 2),
        pytest.param("valkey", 100, marks=pytest.mark.long),
        pytest.param("redis", 100, marks=pytest.mark.long),
        pytest.param("sentinel", 100, marks=pytest.mark.long),
        pytest.param("cluster", 100, marks=pytest.mark.long),
    ],
)
def test_each_acknowledged_change_is_there_once_and_in_order(
    places: Any, tmp_path: Path, place: str, changes: int
) -> None:
    settings = settings_for(places.settings(place), tmp_path)
    with manager_on(settings) as manager:
        sessions = created(manager, SESSIONS)
        with crowd(settings, tmp_path, sessions) as running:
            running.work(changes)
            events = running.stop()
        verdict = judge(manager, sessions, events)
        assert verdict.lost == []
        failed = [event for event in events if event.outcome == "failed"]
        assert [event for event in failed if event.detail[0] != "ConflictError"] == []
        assert len(failed) < len(events) / 10
        assert redis_keyspace.without_expiry(manager.backend.engine) == []
        redis_keyspace.remove(manager.backend.engine)
        print(f"{place}: {verdict.changes} changes acknowledged, {len(failed)} gave up after conflicts")


@pytest.fixture
def manager(places: Any, tmp_path: Path) -> Iterator[DataManager]:
    with manager_on(settings_for(places.settings("valkey"), tmp_path)) as manager:
        yield manager
        redis_keyspace.remove(manager.backend.engine)


def done(number: int, verb: str, detail: Any = None, *, begin: float = 0.0) -> Event:
    return Event(0, number, 0, verb, begin, begin + 1, "ok", detail)


def edited(manager: DataManager, session: str, number: int) -> Event:
    event = done(number, "edit", begin=2 * number)
    step = manager.edit(session, event.token)
    with step as frame:
        stamped.stamp(frame, event.stamp, 0, number)
    return replace(event, detail=step.version_id)


def test_the_proof_sees_what_is_lost(manager: DataManager) -> None:
    [session] = created(manager, 1)
    there = [edited(manager, session, number) for number in (1, 2)]
    assert judge(manager, [session], there).lost == []
    for verb, detail in (("audit", None), ("metadata", None), ("marks", None), ("edit", 3), ("undo", None)):
        lost = done(9, verb, detail)
        assert judge(manager, [session], [*there, lost]).lost == [lost]


def test_the_proof_sees_what_is_stored_twice_or_was_refused(manager: DataManager) -> None:
    [session] = created(manager, 1)
    event = edited(manager, session, 1)
    with pytest.raises(AssertionError, match="it is stored"):
        judge(manager, [session], [replace(event, outcome="failed", detail=["ConflictError", True, ""])])
    with pytest.raises(AssertionError, match="never asked for"):
        judge(manager, [session], [])
    manager.add_audit_entry(session, "entry c0.2")
    assert judge(manager, [session], [event, done(2, "audit", begin=4)]).lost == []
    manager.add_audit_entry(session, "entry c0.2")
    with pytest.raises(AssertionError, match=r"c0\.2"):
        judge(manager, [session], [event, done(2, "audit", begin=4)])


def test_the_proof_sees_a_wrong_order(manager: DataManager) -> None:
    [session] = created(manager, 1)
    first, second = (edited(manager, session, number) for number in (1, 2))
    with pytest.raises(AssertionError, match="stands after it"):
        judge(manager, [session], [replace(first, begin=8.0, end=9.0), second])


def test_the_proof_sees_a_torn_frame(manager: DataManager) -> None:
    [session] = created(manager, 1)
    frame = manager.get_dataframe(session)
    frame.loc[3, "b"] += 1
    manager.update_dataframe(session, frame)
    with pytest.raises(AssertionError, match="torn"):
        stamped.stamp_of(manager.get_dataframe(session))

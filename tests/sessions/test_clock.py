"""A clock that is set back: nothing is lost, nothing fails, the log keeps its order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from framekeep import InMemoryBackend, SessionBackend
from framekeep.engines.memory import MemoryEngine
from framekeep.frames import FrameCodec
from framekeep.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "lmdb"])
def backend(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Iterator[SessionBackend]:
    backend: SessionBackend
    if request.param == "memory":
        backend = SessionBackend(MemoryEngine(clock=clock), FrameCodec(), clock=clock)
    else:
        backend = InMemoryBackend(tmp_path, clock=clock)
    backend.create_session("s", pd.DataFrame({"a": [1]}), "x", 3600)
    backend.commit_dataframe("s", pd.DataFrame({"a": [2]}), "two")
    clock.advance(-7200)
    yield backend
    backend.close()


def test_sessions_live_on(backend: SessionBackend) -> None:
    assert backend.list_sessions() == ["s"]
    assert backend.get_dataframe("s")["a"].tolist() == [2]


def test_every_verb_works(backend: SessionBackend) -> None:
    backend.commit_dataframe("s", pd.DataFrame({"a": [3]}), "three")
    assert backend.undo_last_change("s")["a"].tolist() == [2]
    assert backend.undo_last_change("s")["a"].tolist() == [1]
    assert backend.get_metadata("s")["current_version"] == 0


def test_the_log_keeps_its_order(backend: SessionBackend) -> None:
    backend.add_audit_entry("s", "later")
    assert [line.partition("] ")[2].split(".")[0] for line in backend.get_audit_log("s")] == [
        "Session created from 'x'",
        "Version 1: two",
        "later",
    ]


def test_an_access_lets_the_session_live_its_time_from_now(
    backend: SessionBackend, clock: ManualClock
) -> None:
    backend.touch_session("s", 100)
    clock.advance(100)
    assert not backend.session_exists("s")


def test_cleanup_frees_nothing_that_lives(backend: SessionBackend) -> None:
    assert backend.cleanup_expired_sessions() == 0
    assert backend.check("s") == []

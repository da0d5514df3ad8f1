"""Which accesses move the expiry, and by how much it may be early."""

from __future__ import annotations

import pandas as pd
import pytest

from framekeep import SessionBackend
from framekeep.engines.memory import MemoryEngine
from framekeep.frames import FrameCodec
from framekeep.names import space
from framekeep.testing.clock import ManualClock

TTL = 3600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock: ManualClock) -> MemoryEngine:
    return MemoryEngine(clock=clock)


@pytest.fixture
def backend(engine: MemoryEngine, clock: ManualClock) -> SessionBackend:
    backend = SessionBackend(engine, FrameCodec(), clock=clock)
    backend.create_session("s", pd.DataFrame({"a": [1]}), "x", TTL)
    return backend


def left(engine: MemoryEngine) -> float:
    """Return the seconds until the session expires."""
    head = engine.load(space("session", "s"))
    assert head is not None
    assert head.ttl is not None
    return head.ttl


@pytest.mark.parametrize("ttl", [0.5, 60.0, TTL, 30 * 86_400.0])
def test_a_session_that_is_read_lives_on_for_its_time_but_for_a_thousandth_and_a_second(
    backend: SessionBackend, engine: MemoryEngine, clock: ManualClock, ttl: float
) -> None:
    backend.touch_session("s", ttl)
    for _ in range(50):
        clock.advance(ttl / 9000)
        backend.get_dataframe("s")
        assert ttl - min(1.0, ttl / 1000) < left(engine) <= ttl


def test_a_read_right_after_another_leaves_the_expiry_where_it_is(
    backend: SessionBackend, engine: MemoryEngine, clock: ManualClock
) -> None:
    clock.advance(0.5)
    backend.get_page("s", 0, 1)
    assert left(engine) == pytest.approx(TTL - 0.5)


def test_a_read_later_than_that_moves_it(
    backend: SessionBackend, engine: MemoryEngine, clock: ManualClock
) -> None:
    clock.advance(1.5)
    backend.get_page("s", 0, 1)
    assert left(engine) == pytest.approx(TTL)


def test_an_expiry_that_is_too_late_is_brought_forward(
    backend: SessionBackend, engine: MemoryEngine, clock: ManualClock
) -> None:
    clock.advance(-0.5)  # the clock was set back
    assert left(engine) == pytest.approx(TTL + 0.5)
    backend.get_page("s", 0, 1)
    assert left(engine) == pytest.approx(TTL)

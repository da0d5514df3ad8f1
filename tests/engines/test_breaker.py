"""The circuit breaker, with a clock that the tests turn."""

from __future__ import annotations

import threading

import pytest

from framekeep.engines.breaker import Breaker, State
from framekeep.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def told() -> list[State]:
    return []


@pytest.fixture
def breaker(clock: ManualClock, told: list[State]) -> Breaker:
    return Breaker(
        failures=3, window=10.0, cooldown=5.0, clock=clock, jitter=lambda: 0.5, on_change=told.append
    )


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        ticket = breaker.admit()
        assert ticket is not None
        breaker.failed(ticket)


def test_it_opens_after_so_many_failures_within_the_window(breaker: Breaker, told: list[State]) -> None:
    fail(breaker, 2)
    assert (breaker.state, breaker.retry_after()) == ("closed", 0.0)
    fail(breaker)
    assert breaker.state == "open"
    assert breaker.admit() is None
    assert told == ["open"]


def test_failures_that_are_far_apart_do_not_open_it(breaker: Breaker, clock: ManualClock) -> None:
    for _ in range(20):
        fail(breaker)
        clock.advance(5.1)
    assert breaker.state == "closed"
    clock.advance(10.1)
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_the_cooldown_has_jitter_and_is_told(clock: ManualClock) -> None:
    for jitter, seconds in ((0.0, 5.0), (0.5, 7.5), (1.0, 10.0)):
        breaker = Breaker(failures=1, cooldown=5.0, clock=clock, jitter=lambda jitter=jitter: jitter)
        fail(breaker)
        assert breaker.retry_after() == seconds
        clock.advance(seconds - 0.1)
        assert breaker.admit() is None
        clock.advance(0.1)
        assert breaker.admit() is not None


def test_one_call_tries_and_closes_it(breaker: Breaker, clock: ManualClock, told: list[State]) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    assert breaker.state == "half-open"
    ticket = breaker.admit()
    assert ticket is not None
    assert breaker.admit() is None
    assert breaker.retry_after() > 0
    breaker.succeeded(ticket)
    assert breaker.state == "closed"
    assert breaker.admit() is not None
    assert told == ["open", "half-open", "closed"]


def test_a_trial_that_fails_opens_it_for_another_cooldown(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    fail(breaker)
    assert breaker.state == "open"
    clock.advance(7.4)
    assert breaker.admit() is None
    clock.advance(0.1)
    assert breaker.admit() is not None


def test_a_trial_that_says_nothing_leaves_the_next_one_to_try(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    ticket = breaker.admit()
    assert ticket is not None
    breaker.abandoned(ticket)
    assert breaker.admit() is not None


def test_what_was_asked_before_it_opened_comes_too_late(breaker: Breaker, clock: ManualClock) -> None:
    early, other = breaker.admit(), breaker.admit()
    assert early is not None
    assert other is not None
    fail(breaker, 3)
    breaker.succeeded(early)
    assert breaker.state == "open"
    clock.advance(7.5)
    trial = breaker.admit()
    assert trial is not None
    breaker.failed(other)  # not the trial
    assert breaker.state == "half-open"
    breaker.succeeded(trial)
    assert breaker.state == "closed"


def test_it_forgets_its_failures_when_it_closes(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    ticket = breaker.admit()
    assert ticket is not None
    breaker.succeeded(ticket)
    fail(breaker, 2)
    assert breaker.state == "closed"


def test_of_many_threads_one_tries(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    together = threading.Barrier(16)
    tickets: list[int | None] = []

    def ask() -> None:
        together.wait()
        tickets.append(breaker.admit())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([ticket for ticket in tickets if ticket is not None]) == 1


def waits(breaker: Breaker, clock: ManualClock, seconds: float) -> None:
    """Call, and wait so long for no answer."""
    ticket = breaker.admit()
    assert ticket is not None
    clock.advance(seconds)
    breaker.failed(ticket, seconds)


def test_calls_that_only_wait_for_a_window_open_it_though_they_are_few(clock: ManualClock) -> None:
    breaker = Breaker(failures=5, window=10.0, cooldown=5.0, clock=clock)
    waits(breaker, clock, 5.0)
    clock.advance(3.0)
    assert breaker.state == "closed"
    waits(breaker, clock, 5.0)
    assert breaker.state == "open"


def test_an_answer_in_between_ends_the_waiting(clock: ManualClock) -> None:
    breaker = Breaker(failures=5, window=10.0, cooldown=5.0, clock=clock)
    for _ in range(4):
        waits(breaker, clock, 4.0)
        breaker.succeeded(breaker.admit() or 0)
    slow = breaker.admit() or 0
    clock.advance(9.0)
    breaker.succeeded(breaker.admit() or 0)
    clock.advance(9.0)
    breaker.failed(slow, 18.0)  # it alone was slow
    assert breaker.state == "closed"


def test_calls_that_wait_side_by_side_wait_once_and_an_hour_in_between_is_no_waiting(
    clock: ManualClock,
) -> None:
    breaker = Breaker(failures=5, window=10.0, cooldown=5.0, clock=clock)
    tickets = [breaker.admit() or 0 for _ in range(4)]
    clock.advance(6.0)
    for ticket in tickets:
        breaker.failed(ticket, 6.0)
    assert breaker.state == "closed"
    clock.advance(3600.0)
    waits(breaker, clock, 6.0)
    assert breaker.state == "closed"


def test_one_that_nobody_tries_any_more_tells_of_nothing(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.advance(7.5)
    assert (breaker.state, breaker.answers) == ("half-open", False)
    clock.advance(10.1)
    assert (breaker.state, breaker.answers) == ("closed", True)
    fail(breaker)  # but who calls is a trial still
    assert breaker.state == "open"

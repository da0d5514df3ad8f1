"""Locks: leases, retries, fencing tokens, and what happens when a lease runs out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.base import Change, Engine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import (
    InvalidIdError,
    InvalidInputError,
    LeaseLostError,
    LockTimeoutError,
    NewerFormatError,
    SessionDamagedError,
)
from framekeep.locks import GRACE, Lease, Locks
from framekeep.names import Space, new_revision
from framekeep.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "lmdb"])
def engine(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> Iterator[Engine]:
    made: Engine = (
        MemoryEngine(clock=clock) if request.param == "memory" else LmdbEngine(tmp_path, clock=clock)
    )
    yield made
    made.close()


@pytest.fixture
def locks(engine: Engine, clock: ManualClock) -> Locks:
    """Locks whose waiting moves the clock."""
    return Locks(engine, clock=clock, sleep=clock.advance, jitter=lambda: 1.0)


def test_a_free_lock_is_taken_and_given_back(locks: Locks) -> None:
    with locks.lock("a") as lease:
        assert isinstance(lease, Lease)
    with locks.lock("a", attempts=0):
        pass


def test_locks_of_other_names_are_free(locks: Locks) -> None:
    with locks.lock("a"), locks.lock("b", attempts=0):
        pass


def test_a_held_lock_times_out_by_name(locks: Locks) -> None:
    with locks.lock("a"), pytest.raises(LockTimeoutError, match="'a'"):
        locks.lock("a", attempts=1).acquire()


def test_the_lock_is_given_back_when_the_block_raises(locks: Locks) -> None:
    with pytest.raises(KeyError), locks.lock("a"):
        raise KeyError
    locks.lock("a", attempts=0).acquire()


def test_waiting_doubles_each_time(engine: Engine) -> None:
    waited: list[float] = []
    locks = Locks(engine, attempts=4, delay=0.1, sleep=waited.append, jitter=lambda: 1.0)
    locks.lock("a").acquire()
    with pytest.raises(LockTimeoutError):
        locks.lock("a").acquire()
    assert waited == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_waiting_is_jittered_down_to_half(engine: Engine) -> None:
    waited: list[float] = []
    locks = Locks(engine, attempts=1, delay=0.1, sleep=waited.append, jitter=lambda: 0.0)
    locks.lock("a").acquire()
    with pytest.raises(LockTimeoutError):
        locks.lock("a").acquire()
    assert waited == pytest.approx([0.05])


def test_waiting_long_enough_gets_a_lease_that_ran_out(locks: Locks) -> None:
    locks.lock("a", ttl=0.3).acquire()
    locks.lock("a", attempts=3).acquire()


def test_tokens_grow_with_every_lease(locks: Locks, clock: ManualClock) -> None:
    tokens = []
    for _ in range(3):
        with locks.lock("a") as lease:
            tokens.append(lease.token)
    tokens.append(locks.lock("a", ttl=1).acquire().token)
    clock.advance(1)
    tokens.append(locks.lock("a", ttl=1).acquire().token)
    clock.advance(GRACE + 2)
    tokens.append(locks.lock("a").acquire().token)
    assert tokens == sorted(set(tokens))


def test_a_lease_that_is_renewed_lasts(locks: Locks, clock: ManualClock) -> None:
    lease = locks.lock("a", ttl=10).acquire()
    for _ in range(3):
        clock.advance(9)
        lease.renew()
    clock.advance(9)
    with pytest.raises(LockTimeoutError):
        locks.lock("a", attempts=0).acquire()


def test_a_lease_ends_at_its_time_to_live(locks: Locks, clock: ManualClock) -> None:
    locks.lock("a", ttl=10).acquire()
    clock.advance(10)
    locks.lock("a", attempts=0).acquire()


def test_a_lease_somebody_else_took_cannot_be_renewed_or_released(locks: Locks, clock: ManualClock) -> None:
    lost = locks.lock("a", ttl=10).acquire()
    clock.advance(10)
    locks.lock("a").acquire()
    with pytest.raises(LeaseLostError, match="'a'"):
        lost.renew()
    with pytest.raises(LeaseLostError):
        lost.release()


def test_a_lease_that_ran_out_but_nobody_took_can_be_renewed(locks: Locks, clock: ManualClock) -> None:
    lease = locks.lock("a", ttl=10).acquire()
    clock.advance(11)
    lease.renew()
    with pytest.raises(LockTimeoutError):
        locks.lock("a", attempts=0).acquire()


def test_a_block_whose_lease_was_lost_says_so(locks: Locks, clock: ManualClock) -> None:
    with pytest.raises(LeaseLostError), locks.lock("a", ttl=10):  # noqa: PT012
        clock.advance(10)
        locks.lock("a").acquire()


def test_the_blocks_own_error_is_not_hidden_by_a_lost_lease(locks: Locks, clock: ManualClock) -> None:
    with pytest.raises(KeyError), locks.lock("a", ttl=10):  # noqa: PT012
        clock.advance(10)
        locks.lock("a").acquire()
        raise KeyError


def test_the_blocks_own_error_is_not_hidden_by_a_store_that_went_away(clock: ManualClock) -> None:
    engine = MemoryEngine(clock=clock)
    with pytest.raises(KeyError), Locks(engine, clock=clock).lock("a"):  # noqa: PT012
        engine.close()
        raise KeyError


def test_a_lease_that_a_failover_lost_has_a_token_of_its_own(clock: ManualClock) -> None:
    primary, replica = MemoryEngine(clock=clock), MemoryEngine(clock=clock)
    for engine in (primary, replica):
        with Locks(engine, clock=clock).lock("a"):
            pass
    lost = Locks(primary, clock=clock).lock("a").acquire()  # and the replica never hears of it
    clock.advance(0.01)
    assert Locks(replica, clock=clock).lock("a").acquire().token > lost.token


def test_very_many_attempts_wait_the_longest_delay(engine: Engine) -> None:
    slept: list[float] = []
    locks = Locks(engine, sleep=slept.append, jitter=lambda: 1.0)
    locks.lock("a").acquire()
    with pytest.raises(LockTimeoutError):
        locks.lock("a", attempts=1100).acquire()
    assert (max(slept), slept[-1], len(slept)) == (10.0, 10.0, 1100)


def test_a_lease_is_released_once(locks: Locks) -> None:
    lease = locks.lock("a").acquire()
    lease.release()
    with pytest.raises(LeaseLostError, match="given back"):
        lease.release()
    with pytest.raises(LeaseLostError, match="given back"):
        lease.renew()


@pytest.mark.parametrize("attempts", [-1, 1.5, "3", True])
def test_attempts_are_a_count(locks: Locks, attempts: Any) -> None:
    with pytest.raises(InvalidInputError, match="attempts"):
        locks.lock("a", attempts=attempts)


@pytest.mark.parametrize("name", ["", "../x", None])
def test_a_lock_name_is_an_id(locks: Locks, name: str) -> None:
    with pytest.raises(InvalidIdError, match="lock name"):
        locks.lock(name)


@pytest.mark.parametrize("ttl", [0, -1, GRACE * 2, float("nan"), "5", True])
def test_a_lease_lasts_a_sensible_time(locks: Locks, ttl: Any) -> None:
    with pytest.raises(InvalidInputError):
        locks.lock("a", ttl=ttl)


def test_a_lock_is_no_session(locks: Locks, engine: Engine) -> None:
    locks.lock("a").acquire()
    assert engine.count("session:") == 0


def test_a_damaged_lock_says_so(locks: Locks, engine: Engine) -> None:
    engine.commit(Space("lock:a"), Change(None, new_revision(), b"{}"))
    with pytest.raises(SessionDamagedError, match="lock 'a' is damaged"):
        locks.lock("a").acquire()


def test_a_lock_of_a_newer_format_is_refused_clearly(locks: Locks, engine: Engine) -> None:
    engine.commit(Space("lock:a"), Change(None, new_revision(), b'{"format":2}'))
    with pytest.raises(NewerFormatError, match="'a'"):
        locks.lock("a").acquire()


def test_threads_exclude_each_other(engine: Engine) -> None:
    locks = Locks(engine, attempts=100, delay=0.0005, ttl=600)
    shared = locks.lock("a")
    inside, most, done = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            with shared as lease:
                inside += 1
                most = max(most, inside)
                done.append(lease.token)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(done)) == (1, 40)
    assert done == sorted(set(done))

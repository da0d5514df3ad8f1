"""The guard keeps the contract, and keeps callers from waiting."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from framekeep.engines.base import Change, Engine
from framekeep.engines.breaker import Breaker
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import (
    BlobMissing,
    Conflict,
    StorageOverloadedError,
    StorageUnavailableError,
    TooFewReplicasError,
)
from framekeep.names import Space, digest_of, new_revision
from framekeep.testing import EngineContract, ManualClock

A, B = Space("session:a"), Space("session:b")


class TestContract(EngineContract):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return GuardedEngine(MemoryEngine(clock=clock))


class Moody(MemoryEngine):
    """Raises what it is told to, before or after it has done what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.down = False
        self.calls = 0

    def _asked(self) -> None:
        self.calls += 1
        if self.down:
            raise StorageUnavailableError("down")
        if self.before:
            raise self.before.pop(0)

    def load(self, space):  # type: ignore[no-untyped-def]
        self._asked()
        return super().load(space)

    def commit(self, space, change):  # type: ignore[no-untyped-def]
        self._asked()
        super().commit(space, change)
        if self.after:
            raise self.after.pop(0)

    def count(self, prefix=""):  # type: ignore[no-untyped-def]
        self._asked()
        return super().count(prefix)

    def health(self):  # type: ignore[no-untyped-def]
        if self.before:
            raise self.before.pop(0)
        return super().health()

    def read(self, space, digests, visit):  # type: ignore[no-untyped-def]
        self._asked()
        for i, digest in enumerate(digests):
            super().read(space, [digest], lambda _, blob, i=i: visit(i, blob))
            if self.after:
                raise self.after.pop(0)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def inner() -> Moody:
    return Moody()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def guarded(inner: Moody, clock: ManualClock, slept: list[float]) -> Iterator[GuardedEngine]:
    engine = GuardedEngine(
        inner,
        lambda part: Breaker(failures=4, window=10.0, cooldown=5.0, clock=clock, jitter=lambda: 0.0),
        parts_of=lambda space: [space],
        retries=1,
        sleep=slept.append,
        jitter=lambda: 1.0,
    )
    yield engine
    engine.close()


def lost() -> StorageUnavailableError:
    return StorageUnavailableError("lost")


def until_it_opens(inner: Moody, call: Callable[[], object]) -> None:
    """Let an engine go down, and call it until its breaker is open."""
    inner.down = True
    for _ in range(2):
        with pytest.raises(StorageUnavailableError):
            call()


def test_a_call_that_was_not_answered_is_made_again(
    guarded: GuardedEngine, inner: Moody, slept: list[float]
) -> None:
    inner.before = [lost()]
    assert guarded.load(A) is None
    assert (inner.calls, slept) == (2, [0.05])
    inner.before = [lost(), lost()]
    with pytest.raises(StorageUnavailableError, match="lost"):
        guarded.load(A)


def test_a_change_whose_reply_was_lost_happens_once(guarded: GuardedEngine, inner: Moody) -> None:
    inner.after = [lost()]
    guarded.commit(A, Change(None, new_revision(), b"one", log=[b"entry"]))
    assert guarded.log(A) == [b"entry"]


def test_a_read_that_broke_off_goes_on_where_it_was(guarded: GuardedEngine, inner: Moody) -> None:
    held = {digest_of(b"%d" % i): b"%d" % i for i in range(5)}
    guarded.commit(A, Change(None, new_revision(), b"", held))
    inner.after = [lost()]
    seen: list[tuple[int, bytes]] = []
    guarded.read(A, list(held), lambda i, blob: seen.append((i, bytes(blob))))
    assert seen == list(enumerate(held.values()))


def test_refusals_come_at_once_and_say_when_to_come_back(
    guarded: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    until_it_opens(inner, lambda: guarded.load(A))
    calls = inner.calls
    took = []
    for _ in range(200):
        start = time.perf_counter()
        with pytest.raises(StorageUnavailableError, match="left alone") as caught:
            guarded.load(A)
        took.append(time.perf_counter() - start)
    assert inner.calls == calls == 4
    assert caught.value.retryable
    assert caught.value.retry_after == 5.0
    assert sorted(took)[100] < 0.005  # microseconds: nothing waits, whatever else the machine does
    clock.advance(5.0)
    inner.down = False
    assert guarded.load(A) is None
    assert guarded.states()["state"] == "closed"


def test_parts_fail_apart(guarded: GuardedEngine, inner: Moody) -> None:
    until_it_opens(inner, lambda: guarded.load(A))
    inner.down = False
    assert guarded.load(B) is None
    assert guarded.states() == {"state": "open", "parts": {A: "open"}, "answers": False}
    with pytest.raises(StorageUnavailableError):
        guarded.load(A)


def partial() -> StorageUnavailableError:
    """What a server says that does not serve a slot."""
    error = StorageUnavailableError("moving")
    error.partial = True
    return error


@pytest.fixture
def nested(inner: Moody, clock: ManualClock) -> Iterator[GuardedEngine]:
    """An engine whose spaces are on one server, each in a slot of its own."""
    engine = GuardedEngine(
        inner,
        lambda part: Breaker(failures=2, cooldown=5.0, clock=clock, jitter=lambda: 0.0),
        parts_of=lambda space: ["server", space],
        retries=0,
    )
    yield engine
    engine.close()


def test_a_server_that_does_not_serve_a_slot_serves_the_others(nested: GuardedEngine, inner: Moody) -> None:
    inner.before = [partial(), partial()]
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="moving"):
            nested.load(A)
    with pytest.raises(StorageUnavailableError, match="left alone"):
        nested.load(A)
    assert nested.load(B) is None
    assert nested.states()["parts"] == {A: "open"}


def test_a_server_that_says_nothing_is_left_alone_for_all_its_slots(
    nested: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    inner.down = True
    for name in (A, B):
        with pytest.raises(StorageUnavailableError, match="down"):
            nested.load(name)
    for name in (A, B):
        with pytest.raises(StorageUnavailableError, match="left alone"):
            nested.load(name)
    assert nested.states()["parts"] == {"server": "open"}
    clock.advance(5.0)
    inner.down = False
    assert nested.load(B) is None
    assert nested.load(A) is None
    assert nested.states() == {"state": "closed", "parts": {}, "answers": True}


def test_a_slot_that_is_left_alone_does_not_keep_its_server_from_being_tried(
    nested: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    inner.before = [partial(), partial()]
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="moving"):
            nested.load(A)
    clock.advance(1.0)
    inner.down = True
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="down"):
            nested.load(B)
    inner.down = False
    clock.advance(4.5)  # the slot may be tried, its server not yet
    with pytest.raises(StorageUnavailableError, match="left alone"):
        nested.load(A)
    clock.advance(0.5)
    inner.before = [partial()]
    with pytest.raises(StorageUnavailableError, match="moving"):
        nested.load(A)  # the server has answered
    with pytest.raises(StorageUnavailableError, match="left alone"):
        nested.load(A)
    assert nested.load(B) is None
    assert nested.states()["parts"] == {A: "open"}


def test_who_is_refused_for_a_slot_does_not_say_that_its_server_is_tried(
    inner: Moody, clock: ManualClock
) -> None:
    told: list[tuple[str, str]] = []

    def breaker(part: str) -> Breaker:
        cooldown = 50.0 if part == A else 5.0
        tell = lambda state: told.append((part, state))  # noqa: E731
        return Breaker(failures=2, cooldown=cooldown, clock=clock, jitter=lambda: 0.0, on_change=tell)

    guarded = GuardedEngine(inner, breaker, parts_of=lambda space: ["server", space], retries=0)
    inner.before = [partial(), partial()]
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="moving"):
            guarded.load(A)
    inner.down = True
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="down"):
            guarded.load(B)
    inner.down = False
    clock.advance(5.0)
    assert told == [(A, "open"), ("server", "open")]
    for _ in range(3):
        with pytest.raises(StorageUnavailableError, match=r"left alone for 45\.0 s"):
            guarded.load(A)
    assert told == [(A, "open"), ("server", "open")]
    assert guarded.load(B) is None
    assert told[2:] == [("server", "half-open"), ("server", "closed")]
    guarded.close()


@pytest.mark.parametrize(
    "answer",
    [
        Conflict("no"),
        BlobMissing([b"x" * 16]),
        TooFewReplicasError("too few"),
        StorageOverloadedError("busy"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_answered_is_no_failure_and_is_not_asked_again(
    guarded: GuardedEngine, inner: Moody, answer: Exception
) -> None:
    for _ in range(10):
        inner.before = [answer]
        with pytest.raises(type(answer)):
            guarded.load(A)
    assert inner.calls == 10
    assert guarded.states()["state"] == "closed"


def test_health_does_not_wait_for_what_does_not_answer(guarded: GuardedEngine, inner: Moody) -> None:
    until_it_opens(inner, guarded.count)
    health = guarded.health()
    assert not health.reachable
    assert "left alone" in str(health.error)
    assert health.details["breaker"]["state"] == "open"


def test_a_caller_that_is_interrupted_does_not_keep_others_from_trying(
    guarded: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    until_it_opens(inner, lambda: guarded.load(A))
    inner.down = False
    clock.advance(5.0)
    inner.before = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        guarded.load(A)
    assert guarded.load(A) is None


def test_it_is_known_at_once_that_nothing_was_answered(
    guarded: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    assert guarded.load(A) is None
    assert guarded.states()["answers"]
    inner.before = [lost(), lost()]
    with pytest.raises(StorageUnavailableError):
        guarded.load(A)
    assert guarded.states() == {"state": "closed", "parts": {}, "answers": False}
    guarded.load(A)
    assert guarded.states()["answers"]
    clock.advance(10.1)
    inner.before = [lost(), lost()]
    with pytest.raises(StorageUnavailableError):
        guarded.load(A)
    clock.advance(10.1)  # nobody has asked since
    assert guarded.states()["answers"]


def test_a_probe_of_health_that_is_interrupted_does_not_keep_others_from_trying(
    guarded: GuardedEngine, inner: Moody, clock: ManualClock
) -> None:
    until_it_opens(inner, guarded.count)
    inner.down = False
    clock.advance(5.0)
    inner.before = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        guarded.health()
    assert guarded.count() == 0
    assert guarded.states()["state"] == "closed"


def test_states_can_be_asked_while_others_call_parts_for_the_first_time(inner: Moody) -> None:
    hours = count()

    def clock() -> float:  # asked in the middle of telling: as if another thread came in between
        guarded.breaker(f"another {next(hours)}")
        return next(hours) * 3600.0

    guarded = GuardedEngine(
        inner, lambda part: Breaker(clock=clock), parts_of=lambda space: [space], retries=0
    )
    inner.down = True
    for space in (A, B):
        with pytest.raises(StorageUnavailableError):
            guarded.load(space)
    assert guarded.states()["answers"], "nobody has called for a window"

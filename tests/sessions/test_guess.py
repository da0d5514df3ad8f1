"""A guess at a head saves round trips, and changes nothing else: whoever guesses wrong finds out."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from framekeep.connect import RedisBackend
from framekeep.engines.base import Change, Head
from framekeep.engines.recent_heads import LARGEST, LIMIT, RecentHeads
from framekeep.engines.redis import RedisEngine
from framekeep.errors import ConflictError, NothingToUndoError, SessionNotFoundError, StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.names import Revision, Space, new_revision
from framekeep.testing.clock import ManualClock
from framekeep.testing.faults import Passing
from framekeep.testing.identical import assert_identical

FIRST, SECOND, THIRD = (pd.DataFrame({"a": [number, 2]}) for number in range(3))


class Counting(Passing):
    """Counts what is asked of Redis."""

    def __init__(self, inner: RedisEngine) -> None:
        super().__init__(inner)
        self.asked: Counter[str] = Counter()
        self.unanswered = False

    def load(self, space: Space) -> Head | None:
        self.asked["load"] += 1
        if self.unanswered:
            raise StorageUnavailableError("Redis has gone")
        return super().load(space)

    def commit(self, space: Space, change: Change) -> None:
        self.asked["commit"] += 1
        super().commit(space, change)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        self.asked["touch"] += 1
        return super().touch(space, ttl, at)


@pytest.fixture
def worker(redis_engine: Callable[..., RedisEngine]) -> Iterator[Callable[[], Any]]:
    """Return one more worker on the same Redis, which has seen nothing yet."""
    prefix, made = f"t{secrets.token_hex(4)}", []

    def worker() -> RedisBackend:
        made.append(RedisBackend(Counting(redis_engine("valkey", prefix=prefix)), codec=FrameCodec()))
        return made[-1]

    yield worker
    for backend in made:
        backend.close()


@pytest.fixture
def mine(worker: Callable[[], Any]) -> Any:
    """A worker that has made a session with two versions, which lives for 100 seconds."""
    mine = worker()
    mine.create_session("s", FIRST, "x", 100)
    mine.commit_dataframe("s", SECOND, "second")
    mine.commit_dataframe("s", THIRD, "third")
    return mine


@pytest.fixture
def other(worker: Callable[[], Any]) -> Any:
    return worker()


def asked(backend: Any, verb: Callable[..., Any], *args: Any, **more: Any) -> tuple[Any, dict[str, int]]:
    """Return what a verb gives, and what it asked of Redis."""
    backend.engine.asked.clear()
    found = verb(*args, **more)
    return found, dict(backend.engine.asked)


def test_a_step_by_who_made_the_last_one_is_one_round_trip(mine: Any) -> None:
    frame, calls = asked(mine, mine.undo_last_change, "s")
    assert_identical(frame, SECOND)
    assert calls == {"commit": 1}
    _, calls = asked(mine, mine.redo, "s")
    assert calls == {"commit": 1}
    _, calls = asked(mine, mine.update_metadata, "s", {"who": "me"})
    assert calls == {"commit": 1}
    _, calls = asked(mine, mine.add_audit_entry, "s", "looked at")
    assert calls == {"commit": 1}
    assert mine.get_metadata("s")["who"] == "me"


def test_a_read_that_moves_the_expiry_is_one_round_trip(mine: Any) -> None:
    frame, calls = asked(mine, mine.get_dataframe, "s")
    assert calls == {"load": 1}
    time.sleep(0.15)  # more than a thousandth of the time to live
    frame, calls = asked(mine, mine.get_dataframe, "s")
    assert_identical(frame, THIRD)
    assert calls == {"touch": 1}


def test_an_edit_takes_no_look_of_its_own(mine: Any) -> None:
    def edit() -> None:
        with mine.edit("s", "Doubled") as frame:
            frame["a"] *= 2

    _, calls = asked(mine, edit)
    assert calls == {"load": 1, "commit": 1}
    assert_identical(mine.get_dataframe("s"), THIRD * 2)


def test_a_step_upon_a_wrong_guess_goes_on_from_what_is_there(mine: Any, other: Any) -> None:
    other.commit_dataframe("s", FIRST, "others'")
    frame, calls = asked(mine, mine.undo_last_change, "s")
    assert_identical(frame, THIRD)
    assert calls == {"commit": 2}  # the conflict told what is there
    told = [(each["action_summary"], each["undone"]) for each in mine.get_history("s")]
    assert told == [("second", False), ("third", False), ("others'", True)]


def test_a_read_upon_a_wrong_guess_sees_what_is_there(mine: Any, other: Any) -> None:
    time.sleep(0.15)
    other.commit_dataframe("s", FIRST, "others'")
    frame, calls = asked(mine, mine.get_dataframe, "s")
    assert_identical(frame, FIRST)
    assert calls == {"touch": 1, "load": 1}


def test_what_a_wrong_guess_does_not_allow_may_be_allowed(mine: Any, other: Any) -> None:
    mine.undo("s")
    mine.undo("s")
    other.commit_dataframe("s", THIRD, "others'")
    assert mine.undo("s")["action_summary"] == "others'"
    with pytest.raises(NothingToUndoError):
        mine.undo("s")


def test_what_a_wrong_guess_allows_may_not_be_allowed(mine: Any, other: Any) -> None:
    other.undo("s")
    other.undo("s")
    with pytest.raises(NothingToUndoError):
        mine.undo("s")
    assert_identical(mine.get_dataframe("s"), FIRST)


def test_an_expected_revision_is_compared_with_what_is_there(mine: Any, other: Any) -> None:
    seen = mine.revision("s")
    other.commit_dataframe("s", FIRST, "others'")
    with pytest.raises(ConflictError):
        mine.undo("s", expected_revision=seen)
    other.update_metadata("s", {"who": "other"})
    assert mine.undo("s", expected_revision=other.revision("s"))["action_summary"] == "others'"


def test_an_edit_upon_a_wrong_guess_overwrites_nothing(mine: Any, other: Any) -> None:
    seen = mine.revision("s")
    other.commit_dataframe("s", FIRST, "others'")
    with pytest.raises(ConflictError):
        mine.commit_dataframe("s", THIRD * 2, "doubled", expected_revision=seen)
    assert_identical(mine.get_dataframe("s"), FIRST)
    with mine.edit("s", "Doubled") as frame:
        frame["a"] *= 2
        other.update_metadata("s", {"who": "other"})  # commutes
    assert_identical(mine.get_dataframe("s"), FIRST * 2)
    assert mine.get_metadata("s")["who"] == "other"


def test_a_change_that_is_none_upon_a_wrong_guess_is_one(mine: Any, other: Any) -> None:
    other.set_intentional_missing("s", "a", [0])
    mine.set_intentional_missing("s", "a", [])
    assert not mine.get_intentional_missing("s")


def test_a_session_that_is_gone_is_gone(mine: Any, other: Any) -> None:
    other.delete_session("s")
    time.sleep(0.15)
    for verb in (mine.undo, mine.get_dataframe, mine.redo_last_change):
        with pytest.raises(SessionNotFoundError):
            verb("s")
    other.create_session("s", SECOND, "y", 100)
    with pytest.raises(NothingToUndoError):
        mine.undo("s")
    assert_identical(mine.get_dataframe("s"), SECOND)


def test_a_time_to_live_that_others_set_stays(mine: Any, other: Any) -> None:
    other.touch_session("s", 50)
    time.sleep(0.15)
    mine.get_dataframe("s")
    head = mine.engine.load(Space("session:s"))
    assert head is not None
    assert head.ttl == pytest.approx(50, abs=5)


def test_a_wrong_guess_moves_no_expiry(mine: Any, other: Any) -> None:
    other.touch_session("s", 5000)
    time.sleep(0.15)
    mine.engine.unanswered = True  # from here on, but for the first question
    with pytest.raises(StorageUnavailableError):
        mine.get_dataframe("s")
    head = other.engine.load(Space("session:s"))
    assert head is not None
    assert head.ttl == pytest.approx(5000, abs=60)


def test_the_last_access_is_that_of_any_worker(mine: Any, other: Any) -> None:
    time.sleep(0.7)
    other.get_dataframe("s")
    accessed = datetime.now(UTC)
    time.sleep(0.15)
    assert mine.get_metadata("s")["last_accessed"] >= accessed - timedelta(seconds=0.3)


def test_the_memory_is_bounded_and_keeps_time() -> None:
    clock = ManualClock()
    recent = RecentHeads(monotonic=clock)
    head = Head(new_revision(), b"body", 10.0)
    for number in range(3 * LIMIT):
        recent.saw(Space(f"session:{number}"), head)
    newest = Space(f"session:{3 * LIMIT - 1}")
    assert recent.guess(newest) == head
    assert recent.guess(Space("session:0")) is None
    assert sum(recent.guess(Space(f"session:{n}")) is not None for n in range(3 * LIMIT)) <= LIMIT
    recent.saw(newest, Head(new_revision(), bytes(LARGEST + 1), 10.0))
    assert recent.guess(newest) is None
    recent.saw(newest, head)
    clock.advance(4.0)
    assert recent.guess(newest) == Head(head.revision, b"body", 6.0)
    clock.advance(7.0)
    assert recent.guess(newest) is None

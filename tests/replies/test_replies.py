"""Replies: a request that is sent twice is carried out once."""

from __future__ import annotations

import threading

import pytest

from framekeep.engines.base import Change
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import InvalidIdError, SessionDamagedError
from framekeep.names import new_revision, space
from framekeep.replies import KEPT, LARGEST, LEASE, Claim, Replies, Reply
from framekeep.testing import ManualClock

REPLY = Reply("f", 201, {"etag": '"1"'}, b'{"a":1}')


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000.0)


@pytest.fixture
def replies(clock: ManualClock) -> Replies:
    return Replies(MemoryEngine(clock=clock))


def claimed(replies: Replies, id: str = "k") -> Claim:
    claim = replies.claim(id)
    assert isinstance(claim, Claim)
    return claim


def test_a_second_request_gets_the_reply_of_the_first(replies: Replies) -> None:
    claimed(replies).keep(REPLY)
    assert replies.claim("k") == REPLY


def test_a_request_under_way_is_not_carried_out_again(replies: Replies) -> None:
    claimed(replies)
    assert replies.claim("k") is None


def test_a_released_request_may_be_carried_out_again(replies: Replies) -> None:
    claimed(replies).release()
    claimed(replies)


def test_a_claim_whose_holder_died_is_free_after_its_lease(replies: Replies, clock: ManualClock) -> None:
    first = claimed(replies)
    clock.advance(LEASE + 1)
    second = claimed(replies)
    first.keep(REPLY)  # late: it must not answer for the second
    assert replies.claim("k") is None
    second.keep(Reply("g", 200))
    assert replies.claim("k") == Reply("g", 200)


def test_a_claim_that_is_renewed_is_kept(replies: Replies, clock: ManualClock) -> None:
    first = claimed(replies)
    for _ in range(5):
        clock.advance(LEASE / 2)
        first.renew()
    assert replies.claim("k") is None
    first.keep(REPLY)
    assert replies.claim("k") == REPLY


def test_a_reply_is_forgotten_after_a_day(replies: Replies, clock: ManualClock) -> None:
    claimed(replies).keep(REPLY)
    clock.advance(KEPT + 1)
    claimed(replies)


def test_a_reply_that_is_too_large_is_not_kept(replies: Replies) -> None:
    claimed(replies).keep(Reply("f", 200, {}, b"x" * (LARGEST + 1)))
    claimed(replies)


def test_of_many_at_once_one_gets_the_claim(replies: Replies) -> None:
    start, got = threading.Barrier(8), []

    def attempt() -> None:
        start.wait()
        got.append(replies.claim("k"))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Claim) for each in got) == 1


@pytest.mark.parametrize("body", [b"\xff", b"{}[", b'{"status": "x"}', b'{"status": 200}'])
def test_a_damaged_reply_is_an_error(clock: ManualClock, body: bytes) -> None:
    engine = MemoryEngine(clock=clock)
    engine.commit(space("reply", "k"), Change(expected=None, revision=new_revision(), body=body, ttl=9))
    with pytest.raises(SessionDamagedError):
        Replies(engine).claim("k")


def test_a_malformed_id_is_refused(replies: Replies) -> None:
    with pytest.raises(InvalidIdError):
        replies.claim("a/b")

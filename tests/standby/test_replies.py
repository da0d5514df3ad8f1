"""Replies kept for requests that are sent twice, when Redis goes between the first time and the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from framekeep.errors import StorageUnavailableError, TooFewReplicasError
from framekeep.names import Space
from framekeep.replies import LEASE, Claim, Replies, Reply
from framekeep.standby.replay import Outcome, kept
from framekeep.testing import ManualClock

from .conftest import brought_back, frame

KEY = "k" * 32
R = Space(f"reply:{KEY}")
DONE = Reply("print", 200, {"etag": '"1"'}, b"done")
OTHER = Reply("print", 200, {"etag": '"2"'}, b"done elsewhere")


def replies(machine: Any) -> Replies:
    return Replies(machine.engine)


def claimed(machine: Any) -> Claim:
    claim = replies(machine).claim(KEY)
    assert isinstance(claim, Claim)
    return claim


def listed(machine: Any) -> list[Any]:
    return kept(machine.engine.local)


def test_what_was_carried_out_before_is_not_carried_out_again(here: Any, primary: Any) -> None:
    claimed(here).keep(DONE)
    primary.down = True
    assert replies(here).claim(KEY) == DONE
    primary.down = False
    assert replies(here).claim(KEY) == DONE


def test_nor_by_another_worker_of_the_machine(machine: Callable[[str], Any], here: Any, primary: Any) -> None:
    other = machine("here")
    claimed(here).keep(DONE)
    primary.down = True
    assert replies(other).claim(KEY) == DONE


def test_what_was_under_way_when_redis_went_is_carried_out_once(
    here: Any, elsewhere: Any, primary: Any
) -> None:
    claim = claimed(here)
    primary.down = True
    assert replies(here).claim(KEY) is None  # under way
    claim.keep(DONE)
    assert replies(here).claim(KEY) == DONE
    primary.down = False
    brought_back(here)
    for machine in (here, elsewhere):
        assert replies(machine).claim(KEY) == DONE
    assert listed(here) == []


def test_what_was_carried_out_without_redis_is_not_carried_out_again_with_it(
    here: Any, elsewhere: Any, primary: Any
) -> None:
    primary.down = True
    claimed(here).keep(DONE)
    assert replies(here).claim(KEY) == DONE
    primary.down = False
    assert replies(here).claim(KEY) == DONE  # before it has come back
    brought_back(here)
    for machine in (here, elsewhere):
        assert replies(machine).claim(KEY) == DONE


def test_a_claim_whose_reply_was_lost_is_of_who_made_it(here: Any, elsewhere: Any, primary: Any) -> None:
    primary.lose = 1
    claim = claimed(here)
    assert replies(here).claim(KEY) is None
    claim.keep(DONE)
    brought_back(here)
    assert replies(elsewhere).claim(KEY) == DONE


def test_what_failed_may_be_tried_again(here: Any, elsewhere: Any, primary: Any) -> None:
    claim = claimed(here)
    primary.down = True
    claim.release()
    claimed(here).release()
    primary.down = False
    brought_back(here)
    claimed(elsewhere)


def test_of_two_that_were_carried_out_on_two_machines_the_one_in_redis_stays(
    here: Any, elsewhere: Any, primary: Any
) -> None:
    primary.down = True
    claimed(here).keep(DONE)
    primary.down = False
    claimed(elsewhere).keep(OTHER)
    assert replies(here).claim(KEY) == DONE
    brought_back(here)
    here.settled()
    assert replies(here).claim(KEY) == replies(elsewhere).claim(KEY) == OTHER
    assert listed(here) == []  # what it did to a session is


def test_a_claim_that_nobody_holds_any_more_ends_with_its_lease(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock
) -> None:
    claimed(here)
    here.settled()
    primary.down = True
    claim = claimed_after(here, clock)
    primary.down = False
    clock.advance(LEASE + 1.0)
    brought_back(here)
    assert listed(here) == []
    claimed(elsewhere)
    claim.keep(DONE)  # too late: it is somebody else's


def claimed_after(machine: Any, clock: ManualClock) -> Claim:
    """Claim what is another's once the lease of that one is over."""
    assert replies(machine).claim(KEY) is None
    clock.advance(LEASE + 1.0)
    return claimed(machine)


def test_sessions_come_back_before_replies(here: Any, primary: Any, session: str) -> None:
    primary.down = True
    claim = claimed(here)
    here.backend.commit_dataframe(session, frame(10), "ten")
    claim.keep(DONE)
    primary.down = False
    done = here.replayer.replay()
    assert list(done.items()) == [(Space("session:s"), Outcome.FORWARDED), (R, Outcome.CREATED)]


def test_what_goes_on_here_is_not_told_of_each_reply(
    here: Any, primary: Any, caplog: pytest.LogCaptureFixture
) -> None:
    primary.down = True
    claimed(here).keep(DONE)
    assert not [line for line in caplog.messages if R in line]


def test_a_request_that_takes_its_time_is_still_under_way_when_redis_goes(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock
) -> None:
    claim = claimed(here)
    here.settled()
    clock.advance(LEASE * 0.9)
    claim.renew()
    clock.advance(LEASE * 0.9)
    primary.down = True
    assert replies(here).claim(KEY) is None
    claim.keep(DONE)
    assert replies(here).claim(KEY) == DONE
    primary.down = False
    brought_back(here)
    assert replies(elsewhere).claim(KEY) == DONE


def test_what_was_carried_out_stays_where_another_machine_has_only_begun(
    here: Any, elsewhere: Any, primary: Any
) -> None:
    primary.down = True
    claimed(here).keep(DONE)
    primary.down = False
    begun = claimed(elsewhere)
    brought_back(here)
    begun.release()  # it came to nothing: what was done here must not be done again
    for machine in (here, elsewhere):
        assert replies(machine).claim(KEY) == DONE
    assert listed(here) == []


def test_a_reply_that_is_kept_on_too_few_replicas_is_known_when_redis_goes(
    here: Any, primary: Any, clock: ManualClock
) -> None:
    claim = claimed(here)
    here.settled()
    primary.few = True
    with pytest.raises(TooFewReplicasError):
        claim.keep(DONE)
    here.settled()
    primary.down = True
    assert replies(here).claim(KEY) == DONE
    clock.advance(LEASE + 1.0)
    assert replies(here).claim(KEY) == DONE


def test_a_claim_on_too_few_replicas_is_nobodys(here: Any, elsewhere: Any, primary: Any) -> None:
    primary.few = True
    with pytest.raises(TooFewReplicasError):
        replies(here).claim(KEY)
    primary.few = False
    claimed(elsewhere)


def test_replies_do_not_take_the_room_of_sessions(here: Any, session: str, clock: ManualClock) -> None:
    here.engine.mirror._limit = 3 << 20
    keys = [f"{number:032x}" for number in range(60)]
    for key in keys:
        clock.advance(1.0)
        claim = replies(here).claim(key)
        assert isinstance(claim, Claim)
        claim.keep(replace(DONE, body=bytes(50_000)))
        here.settled()
    assert here.engine.local.sizes()["used_bytes"] <= 3 << 20
    local = [here.engine.local.load(Space(f"reply:{key}")) is not None for key in keys]
    assert here.engine.local.load(Space(f"session:{session}")) is not None
    assert local[-1]
    assert not local[0]


def test_many_replies_are_not_read_again_and_again_while_redis_is_away(
    here: Any, elsewhere: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary.down = True
    here.backend.commit_dataframe(session, frame(10), "ten")
    keys = [f"{number:032x}" for number in range(100)]
    for key in keys:
        claim = replies(here).claim(key)
        assert isinstance(claim, Claim)
        claim.keep(DONE)
    read: list[Space] = []
    get = here.engine.markers.get
    monkeypatch.setattr(here.engine.markers, "get", lambda space: (read.append(space), get(space))[1])
    with pytest.raises(StorageUnavailableError):
        here.replayer.replay()
    assert here.backend.list_sessions() == [session]
    assert len(read) <= 3  # of the session that is listed
    primary.down = False
    brought_back(here)
    assert all(replies(elsewhere).claim(key) == DONE for key in keys)


def test_what_is_under_way_on_two_machines_is_of_the_one_that_does_it(
    here: Any, elsewhere: Any, primary: Any
) -> None:
    primary.down = True
    claim = claimed(here)
    primary.down = False
    begun = claimed(elsewhere)
    with pytest.raises(StorageUnavailableError, match="too busy"):
        here.replayer.replay()
    claim.keep(DONE)
    begun.release()
    brought_back(here)
    for machine in (here, elsewhere):
        assert replies(machine).claim(KEY) == DONE


def test_claims_of_two_machines_that_nobody_holds_any_more_end_with_their_lease(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock
) -> None:
    primary.down = True
    claimed(here)
    primary.down = False
    claimed(elsewhere)
    clock.advance(LEASE + 1.0)
    brought_back(here)
    claimed(here)

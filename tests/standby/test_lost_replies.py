"""A change that was sent, and its reply lost: it happens once, whatever comes in between."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.base import Change
from framekeep.errors import BreakerOpenError, StorageFullError, StorageUnavailableError
from framekeep.names import Space, new_revision
from framekeep.standby.replay import kept

from .conftest import brought_back, counts, frame, large, values

S = Space("session:s")
FORKING = Path(__file__).parent / "programs" / "forking.py"


def test_one_that_was_asked_is_not_told_that_nothing_was_sent(here: Any, primary: Any, session: str) -> None:
    guarded = here.engine.primary
    guarded._retries, guarded.breaker()._failures, guarded.breaker()._cooldown = 1, 1, 60.0
    guarded.breaker()._failed.__init__(maxlen=1)  # type: ignore[misc]
    head = primary.load(S)
    primary.lose = 1
    with pytest.raises(StorageUnavailableError) as caught:
        guarded.commit(S, Change(head.revision, new_revision(), head.body, log=[b"once"]))
    assert not isinstance(caught.value, BreakerOpenError)
    with pytest.raises(BreakerOpenError):
        guarded.load(S)


@pytest.mark.parametrize("others", [0, 1, 30])
def test_it_happens_once_however_much_others_do_behind_it(
    here: Any, elsewhere: Any, primary: Any, session: str, others: int
) -> None:
    primary.lose = 1
    here.backend.add_audit_entry("s", "once")
    here.backend.add_audit_entry("s", "later")
    for number in range(others):
        elsewhere.backend.update_metadata("s", {f"k{number}": number})
    brought_back(here)
    assert counts(elsewhere.backend, "once", "later") == [1, 1]


@pytest.mark.parametrize("others", [0, 1, 30])
def test_what_others_did_alike_is_not_taken_for_it(
    here: Any, elsewhere: Any, primary: Any, session: str, others: int
) -> None:
    """In the same second, so that the lines are the same, and so much later that the head has forgotten."""
    primary.down = True
    here.backend.add_audit_entry("s", "alike")
    assert here.engine.markers.get(S).sent, "whether it was made there is not known"
    primary.down = False
    elsewhere.backend.add_audit_entry("s", "alike")
    for number in range(others):
        elsewhere.backend.update_metadata("s", {f"k{number}": number})
    brought_back(here)
    assert counts(elsewhere.backend, "alike") == [2]


@pytest.mark.parametrize("others", [0, 1, 30])
def test_what_was_made_and_undone_there_does_not_come_again(
    here: Any, elsewhere: Any, primary: Any, session: str, others: int
) -> None:
    primary.lose = 1
    here.backend.commit_dataframe("s", frame(10), "ten")
    elsewhere.backend.undo("s")
    elsewhere.backend.commit_dataframe("s", frame(20), "twenty")
    for number in range(others):
        elsewhere.backend.update_metadata("s", {f"k{number}": number})
    brought_back(here)
    assert [version["action_summary"] for version in elsewhere.backend.get_history("s")] == ["twenty"]
    assert counts(elsewhere.backend, ": ten", "Undid", ": twenty") == [2, 1, 1], "done, and undone"


def test_one_that_was_then_not_made_here_hides_no_other(
    here: Any, elsewhere: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = here.engine.local.commit

    def full(space: Space, change: Change) -> None:
        if space == S:
            raise StorageFullError("no room")
        commit(space, change)

    primary.lose = 1
    monkeypatch.setattr(here.engine.local, "commit", full)
    with pytest.raises(StorageFullError):
        here.backend.add_audit_entry("s", "unknown")
    monkeypatch.undo()
    here.backend.add_audit_entry("s", "acknowledged")
    brought_back(here)
    assert counts(elsewhere.backend, "acknowledged", "unknown") == [1, 1]


def test_parts_that_were_stored_there_before_are_not_missed_silently(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    """Its frame was staged there, its commit's reply was lost: made anew it would be done twice."""
    big = large()
    commit = primary.commit

    def lost(space: Space, change: Change) -> None:
        commit(space, change)
        if space == S:
            primary.commit = commit
            raise StorageUnavailableError("the reply was lost")

    primary.commit = lost
    with pytest.raises(StorageUnavailableError):  # nobody can say
        here.backend.commit_dataframe("s", big, "a big one")
    brought_back(here)
    assert counts(elsewhere.backend, ": a big one.") == [1]
    assert elsewhere.backend.get_dataframe("s").shape == big.shape


@pytest.mark.parametrize("what", ["commit", "create", "temp"])
def test_parts_that_were_stored_there_before_redis_went_are_stored_here_again(
    here: Any, elsewhere: Any, primary: Any, session: str, what: str
) -> None:
    big, commit, stage, staged = large(), primary.commit, primary.stage, []

    def noted(*args: Any) -> None:
        staged.append(args)
        stage(*args)

    def refused(space: Space, change: Change) -> None:
        primary.commit, primary.down = commit, True
        raise BreakerOpenError("it was not sent")

    primary.commit, primary.stage = refused, noted
    match what:
        case "commit":
            here.backend.commit_dataframe("s", big, "a big one")
        case "create":
            here.backend.create_session("n", big, "n.csv", 3600.0)
        case "temp":
            here.backend.create_temp_storage("t", {"one": big, "two": big * 2}, "book", 3600.0)
    assert staged
    primary.down = False
    brought_back(here)
    match what:
        case "commit":
            assert elsewhere.backend.get_dataframe("s").equals(big)
            assert counts(elsewhere.backend, ": a big one.") == [1]
        case "create":
            assert elsewhere.backend.get_dataframe("n").equals(big)
        case "temp":
            assert elsewhere.backend.get_temp_storage("t")["sheets"]["two"].equals(big * 2)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [0, 1, 30])
def test_coming_back_and_going_on_with_a_reply_lost_in_between(
    here: Any, elsewhere: Any, primary: Any, session: str, before: bool, after: int
) -> None:
    primary.down = True
    here.backend.add_audit_entry("s", "entry one")
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    if before:
        elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")

    commit = primary.commit

    def lost(space: Space, change: Change) -> None:
        commit(space, change)
        primary.commit, primary.down = commit, True
        raise StorageUnavailableError("the reply was lost")

    primary.commit = lost
    with pytest.raises(StorageUnavailableError):
        here.replayer.replay()
    here.backend.add_audit_entry("s", "entry two")
    here.backend.commit_dataframe("s", frame(20), "twenty")
    primary.down = False
    for number in range(after):
        elsewhere.backend.update_metadata("s", {f"k{number}": number})
    brought_back(here)
    assert counts(elsewhere.backend, "entry one", "entry two", ": ten.", ": twenty.") == [1, 1, 1, 1]
    history = elsewhere.backend.get_history("s")
    shown = {values(elsewhere.backend, version=version["version_id"])[0] for version in history}
    assert {10, 20} <= shown | set(values(elsewhere.backend))


@pytest.mark.parametrize("calls", range(30))
def test_what_was_kept_is_on_the_list_wherever_it_was_broken_off(
    here: Any, elsewhere: Any, primary: Any, session: str, calls: int
) -> None:
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    primary.fail_after = calls
    with suppress(StorageUnavailableError):
        here.replayer.replay()
    primary.fail_after, primary.down = None, False
    brought_back(here)
    [record] = kept(here.engine.local)
    [version] = record.versions
    assert values(elsewhere.backend, version=version) == [10, 2, 3]

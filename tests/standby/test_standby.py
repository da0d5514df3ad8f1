"""Going on during an outage, and coming back from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest

from framekeep.errors import SessionNotFoundError, StorageUnavailableError
from framekeep.names import Space
from framekeep.standby.replay import Outcome, kept, resolve
from framekeep.testing import ManualClock

from .conftest import brought_back, frame, values

S = Space("session:s")


@pytest.fixture
def session(here: Any) -> str:
    """A session that was made here and is mirrored here."""
    here.backend.create_session("s", frame(1), "f.csv", 3600.0)
    here.settled()
    return "s"


# --- during an outage --------------------------------------------------------------------------------


def test_a_mirrored_session_goes_on(here: Any, primary: Any, session: str) -> None:
    primary.down = True
    assert values(here.backend) == [1, 2, 3]
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.add_audit_entry("s", "looked at it")
    assert values(here.backend) == [10, 2, 3]
    here.backend.undo("s")
    assert values(here.backend) == [1, 2, 3]
    here.backend.redo("s")
    assert here.backend.get_audit_log("s")[-1].endswith("version 1: ten")
    assert here.engine.status()["pending"] == 1


def test_a_session_that_is_not_here_says_so(here: Any, elsewhere: Any, primary: Any, session: str) -> None:
    primary.down = True
    for call in (
        lambda: elsewhere.backend.get_dataframe("s"),
        lambda: elsewhere.backend.commit_dataframe("s", frame(9), "nine"),
        lambda: elsewhere.backend.get_metadata("unknown"),
        lambda: elsewhere.backend.session_exists("s"),
        lambda: elsewhere.backend.delete_session("s"),
    ):
        with pytest.raises(StorageUnavailableError) as caught:
            call()
        assert caught.value.retryable


def test_a_session_that_was_only_read_here_is_mirrored(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    here.backend.commit_dataframe("s", frame(5), "five")
    elsewhere.backend.get_dataframe("s")
    elsewhere.settled()
    primary.down = True
    assert values(elsewhere.backend) == [5, 2, 3]
    elsewhere.backend.undo("s")
    assert values(elsewhere.backend) == [1, 2, 3]


def test_new_sessions_are_made_and_listed(here: Any, primary: Any, session: str) -> None:
    primary.down = True
    here.backend.create_session("n", frame(7), "n.csv", 3600.0)
    assert values(here.backend, "n") == [7, 2, 3]
    assert here.backend.list_sessions() == ["n", "s"]
    assert here.backend.get_active_sessions_count() == 2


def test_workers_of_one_machine_see_each_others_changes(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str
) -> None:
    other = machine("here")
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    assert values(other.backend) == [10, 2, 3]
    other.backend.commit_dataframe("s", frame(20), "twenty")
    assert values(here.backend) == [20, 2, 3]
    primary.down = False  # not replayed yet: it is still served from here
    assert values(here.backend) == values(other.backend) == [20, 2, 3]


def test_locks_and_temporary_storages_go_on(here: Any, primary: Any) -> None:
    here.backend.create_temp_storage("t", {"one": frame(1)}, "book.xlsx", 1800.0)
    here.settled()
    primary.down = True
    assert list(here.backend.get_temp_storage("t")["sheets"]) == ["one"]
    here.backend.create_temp_storage("u", {"two": frame(2)}, "book.xlsx", 1800.0)
    assert here.backend.delete_temp_storage("u")


# --- and after it --------------------------------------------------------------------------------------


def test_a_session_nobody_else_changed_is_brought_forward(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.update_metadata("s", {"note": "during"})
    here.backend.add_audit_entry("s", "an entry")
    log = here.backend.get_audit_log("s")
    primary.down = False
    assert here.replayer.replay() == {S: Outcome.FORWARDED}
    assert here.engine.status()["pending"] == 0
    assert values(elsewhere.backend) == [10, 2, 3]
    assert elsewhere.backend.get_audit_log("s") == log
    assert elsewhere.backend.get_metadata("s")["note"] == "during"
    elsewhere.backend.undo("s")
    assert values(here.backend) == [1, 2, 3]
    assert here.replayer.replay() == {}


def test_one_changed_elsewhere_keeps_both(here: Any, elsewhere: Any, primary: Any, session: str) -> None:
    here.backend.update_metadata("s", {"kept": 1, "mine": 0})
    here.settled()
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.commit_dataframe("s", frame(20), "twenty")
    here.backend.update_metadata("s", {"mine": 5, "both": "here"})
    here.backend.add_audit_entry("s", "an entry")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    elsewhere.backend.update_metadata("s", {"both": "there"})

    assert here.replayer.replay() == {S: Outcome.KEPT}
    for each in (here, elsewhere):
        assert values(each.backend) == [99, 2, 3]
        history = each.backend.get_history("s")
        made = [v for v in history if "made during the outage" in v["action_summary"]]
        assert [v["action_summary"] for v in made] == [
            "ten (made during the outage)",
            "twenty (made during the outage)",
        ]
        assert [values(each.backend, version=v["version_id"])[0] for v in made] == [10, 20]
        log = "\n".join(each.backend.get_audit_log("s"))
        assert log.count("an entry") == 1
        assert "An outage is over" in log
        metadata = each.backend.get_metadata("s")
        assert (metadata["kept"], metadata["mine"], metadata["both"]) == (1, 5, "there")
    [record] = kept(here.engine.local)
    assert (record.space, len(record.versions)) == ("session:s", 2)
    assert resolve(here.engine.local, Space(record.space))
    assert kept(here.engine.local) == []


def test_a_redo_of_the_other_side_is_not_lost_by_coming_back(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    elsewhere.backend.undo("s")
    here.replayer.replay()
    elsewhere.backend.redo("s")
    assert values(elsewhere.backend) == [99, 2, 3]


def test_a_new_session_comes_back(here: Any, elsewhere: Any, primary: Any) -> None:
    primary.down = True
    here.backend.create_session("n", frame(7), "n.csv", 3600.0)
    here.backend.commit_dataframe("n", frame(8), "eight")
    primary.down = False
    assert here.replayer.replay() == {Space("session:n"): Outcome.CREATED}
    assert values(elsewhere.backend, "n") == [8, 2, 3]
    elsewhere.backend.undo("n")


def test_a_deletion_comes_back(here: Any, elsewhere: Any, primary: Any, session: str) -> None:
    primary.down = True
    assert here.backend.delete_session("s")
    with pytest.raises(SessionNotFoundError):
        here.backend.get_dataframe("s")
    primary.down = False
    assert here.replayer.replay() == {S: Outcome.DELETED}
    assert not elsewhere.backend.session_exists("s")


def test_what_was_changed_elsewhere_is_not_deleted(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.down = True
    here.backend.delete_session("s")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    assert here.replayer.replay() == {S: Outcome.LEFT}
    assert values(here.backend) == [99, 2, 3]
    assert len(kept(here.engine.local)) == 1


def test_a_session_used_during_the_outage_outlives_its_expiry_there(
    here: Any, primary: Any, clock: ManualClock, session: str
) -> None:
    primary.down = True
    for _ in range(4):
        clock.advance(1800.0)
        assert values(here.backend) == [1, 2, 3]
    primary.down = False
    here.replayer.replay()
    assert values(here.backend) == [1, 2, 3]
    assert primary.load(S) is not None


# --- nothing twice -------------------------------------------------------------------------------------


def test_a_change_whose_reply_was_lost_happens_once(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.lose = 1
    here.backend.add_audit_entry("s", "once")
    here.backend.add_audit_entry("s", "and then")
    assert here.engine.status()["pending"] == 1
    here.replayer.replay()
    log = elsewhere.backend.get_audit_log("s")
    assert [line.partition("] ")[2] for line in log[-2:]] == ["once", "and then"]


def test_a_lost_reply_and_a_change_elsewhere_behind_it(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.lose = 1
    here.backend.add_audit_entry("s", "once")
    elsewhere.backend.add_audit_entry("s", "behind it")
    here.backend.add_audit_entry("s", "later")
    here.replayer.replay()
    log = "\n".join(elsewhere.backend.get_audit_log("s"))
    assert [log.count(entry) for entry in ("once", "behind it", "later")] == [1, 1, 1]


@pytest.mark.parametrize("calls", range(24))
def test_a_primary_that_fails_again_while_coming_back(
    here: Any, elsewhere: Any, primary: Any, session: str, calls: int
) -> None:
    here.backend.create_session("q", frame(1), "q.csv", 3600.0)
    here.settled()
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.commit_dataframe("q", frame(30), "thirty")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    primary.fail_after = calls
    with suppress(StorageUnavailableError):
        here.replayer.replay()
    primary.fail_after, primary.down = None, False
    brought_back(here)
    assert values(elsewhere.backend) == [99, 2, 3]
    assert values(elsewhere.backend, "q") == [30, 2, 3]
    summaries = [v["action_summary"] for v in elsewhere.backend.get_history("s")]
    assert summaries.count("ten (made during the outage)") == 1
    log = "\n".join(elsewhere.backend.get_audit_log("s"))
    assert log.count("Version 1: ten") == 1


def test_every_change_is_somewhere_after_replaying_twice(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    for number in range(3):
        primary.down = True
        here.backend.commit_dataframe("s", frame(100 + number), f"here {number}")
        primary.down = False
        elsewhere.backend.commit_dataframe("s", frame(200 + number), f"there {number}")
        here.replayer.replay()
        here.settled()
    shown = elsewhere.backend.get_history("s")
    assert values(elsewhere.backend)[0] == 202
    assert [v["action_summary"] for v in shown if "outage" in v["action_summary"]][-1].startswith("here 2")


def test_the_mirror_stays_within_its_room(machine: Callable[[str], Any], primary: Any) -> None:
    small = machine("small")
    small.engine.mirror._limit = 3 << 20
    big = pd.DataFrame({"x": pd.Series(range(100_000)).sample(frac=1.0, random_state=1).to_numpy()})
    for number in range(12):
        small.backend.create_session(f"b{number}", big + number, "b.csv", 3600.0 + number)
    small.settled()
    assert small.engine.local.sizes()["used_bytes"] <= 3 << 20
    primary.down = True
    assert small.backend.get_dataframe("b11").shape == (100_000, 1)
    with pytest.raises(StorageUnavailableError):
        small.backend.get_dataframe("b0")


@pytest.mark.parametrize("lost", [1, 2])
def test_replies_that_are_lost_while_coming_back(
    here: Any, elsewhere: Any, primary: Any, session: str, lost: int
) -> None:
    here.backend.create_session("q", frame(1), "q.csv", 3600.0)
    here.settled()
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.commit_dataframe("q", frame(30), "thirty")
    here.backend.create_session("n", frame(7), "n.csv", 3600.0)
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    primary.lose = lost
    brought_back(here)
    assert values(elsewhere.backend, "q") == [30, 2, 3]
    assert values(elsewhere.backend, "n") == [7, 2, 3]
    summaries = [v["action_summary"] for v in elsewhere.backend.get_history("s")]
    assert summaries.count("ten (made during the outage)") == 1
    log = "\n".join(elsewhere.backend.get_audit_log("s"))
    assert log.count("Version 1: ten") == 1
    assert len(kept(here.engine.local)) == 1

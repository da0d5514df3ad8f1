"""Coming back to a primary whose changes are acknowledged only when a replica has them.

What was acknowledged here stays here until then: the primary may die and leave a replica without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pandas as pd
import pytest

from framekeep.errors import StorageUnavailableError, TooFewReplicasError
from framekeep.names import Space
from framekeep.standby.replay import Outcome

S = Space("session:s")


def frame(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value, 2, 3]})


@pytest.fixture
def session(here: Any) -> str:
    """A session that was made here and is mirrored here."""
    here.backend.create_session("s", frame(1), "f.csv", 3600.0)
    here.settled()
    return "s"


def replayed(machine: Any) -> dict[Space, Outcome]:
    """Replay once the breaker lets it, which may be open for a moment."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            return dict(machine.replayer.replay())
        except TooFewReplicasError:
            raise
        except StorageUnavailableError:
            continue
    raise AssertionError("it does not come back")


def committed(here: Any) -> None:
    here.backend.commit_dataframe("s", frame(10), "ten")


CHANGES: dict[str, Callable[[Any], object]] = {
    "commit": committed,
    "metadata": lambda here: here.backend.update_metadata("s", {"k": 1}),
    "deletion": lambda here: here.backend.delete_session("s"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_there_and_nowhere_else_is_not_back(here: Any, primary: Any, session: str, kind: str) -> None:
    primary.down = True
    CHANGES[kind](here)
    primary.down, primary.few = False, True
    for _ in range(3):  # from the second time on, it is there already
        with pytest.raises(TooFewReplicasError):
            replayed(here)
        assert here.replayer.pending() == 1
    primary.few = False
    [outcome] = replayed(here).values()
    assert outcome == (Outcome.DELETED if kind == "deletion" else Outcome.FORWARDED)
    assert here.replayer.pending() == 0


def test_neither_is_a_change_that_was_sent_when_it_went(here: Any, primary: Any, session: str) -> None:
    primary.lose = 1
    committed(here)
    assert here.replayer.pending() == 1
    primary.few = True
    with pytest.raises(TooFewReplicasError):
        replayed(here)
    primary.few = False
    assert [*replayed(here).values()] == [Outcome.FORWARDED]


def test_neither_is_one_that_others_have_changed_since(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.lose = 1
    committed(here)
    elsewhere.backend.add_audit_entry("s", "behind it")
    primary.few = True
    with pytest.raises(TooFewReplicasError):
        replayed(here)
    primary.few = False
    assert [*replayed(here).values()] == [Outcome.FORWARDED]


def test_nor_is_what_was_kept_as_versions(here: Any, elsewhere: Any, primary: Any, session: str) -> None:
    primary.down = True
    committed(here)
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(20), "twenty")
    primary.few = True
    for _ in range(3):
        with pytest.raises(TooFewReplicasError):
            replayed(here)
        assert here.replayer.pending() == 1
    primary.few = False
    assert [*replayed(here).values()] == [Outcome.KEPT]
    versions = [version["action_summary"] for version in here.backend.get_history("s")]
    assert versions.count("ten (made during the outage)") == 1


def test_a_change_that_was_sent_and_mirrored_is_not_taken_for_arrived(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    """The primary had it, somebody read it there, and a replica took its place that has not got it."""
    replica, commit = deepcopy(primary._held), primary.commit

    def mirrored_and_unanswered(space: Space, change: Any) -> None:
        commit(space, change)
        here.engine.mirror.used(space, primary.load(space))
        here.settled()
        raise StorageUnavailableError("the primary died")

    primary.commit = mirrored_and_unanswered
    committed(here)
    primary.commit = commit
    primary._held = replica
    primary.past.clear()
    primary.ever.clear()
    assert [*replayed(here).values()] == [Outcome.FORWARDED]
    assert [int(value) for value in elsewhere.backend.get_dataframe("s")["a"]] == [10, 2, 3]
    assert sum("ten" in line for line in elsewhere.backend.get_audit_log("s")) == 1

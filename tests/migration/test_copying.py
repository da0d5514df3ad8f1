"""From engine to engine: what arrives, what is skipped, what is copied again, and what is left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pytest

from framekeep.engines.base import Visit
from framekeep.errors import (
    ConflictError,
    InvalidIdError,
    NotFoundError,
)
from framekeep.locks import Locks
from framekeep.migration.arrival import Arrival
from framekeep.migration.copying import Copying
from framekeep.migration.journal import Journal
from framekeep.migration.passes import migrate
from framekeep.migration.report import Outcome, Overwrite
from framekeep.names import Buffer, Digest, Space, space
from framekeep.replies import Replies
from framekeep.sessions import parts as parts_module
from framekeep.sessions.parts import parts_of
from framekeep.testing import FailAt, FlippedByte
from framekeep.testing.faults import Passing

from .conftest import At, Pair, Spoiling, a_chunk, everything, outcomes, people, rich

# --- arriving --------------------------------------------------------------------------------------


def test_everything_arrives(pair: Pair) -> None:
    rich(pair)
    pair.a.create_temp_storage("t", {"one": people(2), "two": people(7)}, "book.xlsx", 500)
    report = pair.there()
    assert outcomes(report) == {Outcome.COPIED: 1}
    assert outcomes(report, "temp") == {Outcome.COPIED: 1}
    assert report.errors == []
    for name in ("session:s", "temp:t"):
        assert everything(pair.one, name) == everything(pair.two, name)
    assert pair.b.check("s") == []
    pd.testing.assert_frame_equal(pair.b.get_dataframe("s"), people(5))
    assert pair.b.get_missing_reasons("s") == {"age": {"not asked": [1, 2]}}
    pd.testing.assert_frame_equal(pair.b.redo_last_change("s"), people(6))
    assert [len(pair.b.undo_last_change("s")) for _ in range(3)] == [5, 4, 3]
    pd.testing.assert_frame_equal(pair.b.get_temp_storage("t")["sheets"]["two"], people(7))


def test_the_source_is_left_as_it_was(pair: Pair) -> None:
    rich(pair)
    before = everything(pair.one, "session:s"), pair.one.load(space("session", "s"))
    pair.there()
    assert (everything(pair.one, "session:s"), pair.one.load(space("session", "s"))) == before


def test_leases_and_replies_stay_behind(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 60)
    Locks(pair.one).lock("s").acquire()
    Replies(pair.one).claim("r")
    pair.there()
    assert [info.space for info in pair.two.spaces()] == ["session:s"]


def test_many_parts_come_in_bounded_batches(memories: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "BATCH_BYTES", 4 << 20)
    memories.a.create_session("s", people(1_000_000), "f", 60)
    staged: list[int] = []

    class Weighing(Passing):
        def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
            staged.append(sum(len(blob) for blob in blobs.values()))
            super().stage(space, blobs)

    memories.between(memories.one, Weighing(memories.two), "two")
    assert len(staged) > 3
    assert max(staged) < 8 << 20
    assert memories.b.check("s") == []


def test_the_time_left_goes_along(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 1000)
    pair.clock.advance(400)
    pair.there()
    head = pair.two.load(space("session", "s"))
    assert head is not None
    assert head.ttl == pytest.approx(600, abs=1)
    assert pair.b.get_metadata("s")["expires_at"] is not None
    head = pair.two.load(space("session", "s"))
    assert head is not None
    assert head.ttl == pytest.approx(1000, abs=1)  # an access renews it for as long as in the source


def test_what_is_there_and_equal_is_skipped_without_reading_it(memories: Pair) -> None:
    rich(memories)
    memories.there()
    watched = FailAt(memories.one)

    class NoReading(Passing):
        def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
            raise AssertionError("read again")

    report = memories.between(NoReading(watched), NoReading(memories.two), "two")
    assert outcomes(report) == {Outcome.THERE: 1}


def test_reading_in_the_source_keeps_the_copy_alive(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 1000)
    pair.there()
    pair.clock.advance(900)
    pair.a.get_dataframe("s")  # moves the expiry, not the revision
    assert outcomes(pair.there()) == {Outcome.THERE: 1}
    pair.clock.advance(900)
    assert pair.b.session_exists("s")


def test_a_copy_that_lives_longer_is_not_cut_short(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 1000)
    pair.there()
    pair.clock.advance(900)
    pair.b.get_dataframe("s")
    pair.there()
    pair.clock.advance(900)
    assert pair.b.session_exists("s")


def test_a_copy_that_is_gone_from_the_target_is_made_again(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 1000)
    pair.there()
    pair.b.delete_session("s")
    assert outcomes(pair.there()) == {Outcome.COPIED: 1}
    assert pair.b.check("s") == []


def test_only_the_named_are_moved(pair: Pair) -> None:
    for id in ("a", "b", "c"):
        pair.a.create_session(id, people(), "f", 1000)
    assert outcomes(pair.there(only=("a", "c"))) == {Outcome.COPIED: 2}
    assert pair.b.list_sessions() == ["a", "c"]


def test_naming_one_that_is_not_there_is_an_error(pair: Pair) -> None:
    report = pair.there(only=("nobody",))
    assert [type(problem.error) for problem in report.problems] == [NotFoundError]


def test_naming_what_is_no_id_is_refused(pair: Pair) -> None:
    with pytest.raises(InvalidIdError):
        pair.there(only=("../x",))


def test_a_dry_run_says_the_same_and_writes_nothing(pair: Pair) -> None:
    rich(pair)
    assert outcomes(pair.there(dry_run=True)) == {Outcome.COPIED: 1}
    assert list(pair.two.spaces()) == []
    assert not pair.journal.exists()
    pair.there()
    pair.a.commit_dataframe("s", people(9), "more")
    assert outcomes(pair.there(dry_run=True)) == {Outcome.UPDATED: 1}
    assert everything(pair.one, "session:s") != everything(pair.two, "session:s")


def test_progress_goes_from_nothing_to_all(memories: Pair) -> None:
    for i in range(3):
        memories.a.create_session(f"s{i}", people(300_000), "f", 60)
    memories.a.create_session("hurt", people(4), "f", 60)
    steps: list[tuple[float, str]] = []
    with Journal(None, between=(), target="two") as journal:
        origin = Copying(FlippedByte(memories.one, {a_chunk(memories, "hurt")}))
        names = origin.spaces()
        report = migrate(
            origin,
            Arrival(Spoiling(memories.two, 1), journal),  # so that one is sent twice
            names,
            progress=lambda advance, what: steps.append((advance, what)),
        )
    assert len(report.problems) == 1
    assert sum(advance for advance, _ in steps) == pytest.approx(4)
    assert min(advance for advance, _ in steps) >= 0
    assert [what for _, what in steps if what] == [f"Moving {name.partition(':')[2]}" for name in names]


# --- both in use -----------------------------------------------------------------------------------


def test_what_changed_in_the_source_is_copied_again(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.a.commit_dataframe("s", people(9), "nine")
    pair.a.add_audit_entry("s", "again")
    assert outcomes(pair.there()) == {Outcome.UPDATED: 1}
    assert everything(pair.one, "session:s") == everything(pair.two, "session:s")
    assert pair.b.check("s") == []
    assert outcomes(pair.there()) == {Outcome.THERE: 1}


def test_a_second_copy_brings_only_what_is_new_and_drops_what_is_old(memories: Pair) -> None:
    memories.a.create_session("s", people(200_000), "f", 60)
    memories.there()
    frame = memories.a.get_dataframe("s")
    frame["new"] = 1
    memories.a.commit_dataframe("s", frame, "one column")
    brought: list[int] = []

    class Counting(Passing):
        def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
            brought.append(sum(len(blob) for blob in blobs.values()))
            super().stage(space, blobs)

    memories.between(memories.one, Counting(memories.two), "two")
    assert sum(brought) < 300_000
    assert memories.b.check("s") == []
    memories.a.update_dataframe("s", people(2))
    memories.there()
    memories.a.create_session("x", people(2), "f", 60)
    name = space("session", "s")
    head = memories.two.load(name)
    assert head is not None
    assert memories.two._spaces()[name].blobs.keys() == parts_of(memories.two, name, head.body).keys()  # type: ignore[attr-defined]


def test_what_changed_only_in_the_target_is_left_alone(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.b.commit_dataframe("s", people(8), "in the target")
    before = everything(pair.two, "session:s")
    report = pair.there()
    assert outcomes(report) == {Outcome.NEWER: 1}
    assert report.errors == []
    assert everything(pair.two, "session:s") == before


def test_what_changed_in_both_is_reported_and_neither_is_touched(pair: Pair) -> None:
    rich(pair)
    pair.a.create_session("fine", people(), "f", 60)
    pair.there()
    pair.a.commit_dataframe("s", people(7), "here")
    pair.b.commit_dataframe("s", people(8), "there")
    before = everything(pair.one, "session:s"), everything(pair.two, "session:s")
    pair.a.commit_dataframe("fine", people(7), "here")
    report = pair.there()
    assert [(problem.space, type(problem.error)) for problem in report.problems] == [
        ("session:s", ConflictError)
    ]
    assert outcomes(report) == {Outcome.UPDATED: 1}
    assert (everything(pair.one, "session:s"), everything(pair.two, "session:s")) == before
    assert pair.back().problems != []


def test_a_change_of_metadata_in_the_target_counts_as_well(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.a.update_metadata("s", {"here": 1})
    pair.b.update_metadata("s", {"there": 1})
    assert len(pair.there().problems) == 1
    assert pair.b.get_metadata("s")["there"] == 1


def test_an_id_that_both_made_for_themselves_is_reported(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 60)
    pair.b.create_session("s", people(4), "f", 60)
    assert [type(problem.error) for problem in pair.there().problems] == [ConflictError]
    assert len(pair.b.get_dataframe("s")) == 4


def test_a_conflict_ends_when_one_of_the_two_is_deleted(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 60)
    pair.b.create_session("s", people(4), "f", 60)
    pair.there()
    pair.b.delete_session("s")
    assert outcomes(pair.there()) == {Outcome.COPIED: 1}


def test_copying_back_knows_what_came_from_where(pair: Pair) -> None:
    rich(pair)
    pair.a.create_session("untouched", people(), "f", 3600)
    pair.there()
    pair.b.commit_dataframe("s", people(8), "after the switch")
    pair.b.create_session("new", people(2), "f", 3600)
    report = pair.back()
    assert report.errors == []
    assert outcomes(report) == {Outcome.UPDATED: 1, Outcome.COPIED: 1, Outcome.THERE: 1}
    assert len(pair.a.get_dataframe("s")) == 8
    pair.a.commit_dataframe("s", people(9), "after the rollback")
    assert outcomes(pair.there()) == {Outcome.UPDATED: 1, Outcome.THERE: 2}
    assert len(pair.b.get_dataframe("s")) == 9


def test_never_replaces_nothing_but_brings_what_is_not_there(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.a.commit_dataframe("s", people(9), "nine")
    pair.a.create_session("x", people(), "f", 60)
    report = pair.there(overwrite=Overwrite.NEVER)
    assert outcomes(report) == {Outcome.KEPT: 1, Outcome.COPIED: 1}
    assert len(pair.b.get_dataframe("s")) == 5


def test_a_lost_journal_makes_conflicts_and_no_losses(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.a.commit_dataframe("s", people(9), "nine")
    pair.journal.unlink()
    assert [type(problem.error) for problem in pair.there().problems] == [ConflictError]
    assert len(pair.b.get_dataframe("s")) == 5


def test_a_new_journal_learns_what_is_equal(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.journal.unlink()
    assert outcomes(pair.there()) == {Outcome.THERE: 1}
    pair.a.commit_dataframe("s", people(9), "nine")
    assert outcomes(pair.there()) == {Outcome.UPDATED: 1}


def test_a_session_made_anew_under_its_id_replaces_the_copy_of_the_old_one(pair: Pair) -> None:
    rich(pair)
    pair.there()
    pair.a.delete_session("s")
    pair.a.create_session("s", people(2), "other.csv", 60)
    assert outcomes(pair.there()) == {Outcome.UPDATED: 1}
    assert everything(pair.one, "session:s") == everything(pair.two, "session:s")
    assert pair.b.check("s") == []


def test_temporary_storage_that_was_replaced_is_copied_again(pair: Pair) -> None:
    pair.a.create_temp_storage("t", {"one": people(2)}, "a.xlsx", 500)
    pair.there()
    pair.a.create_temp_storage("t", {"two": people(3)}, "b.xlsx", 500)
    assert outcomes(pair.there(), "temp") == {Outcome.UPDATED: 1}
    assert list(pair.b.get_temp_storage("t")["sheets"]) == ["two"]


@pytest.mark.parametrize("call", ["stage", "commit"])
def test_a_change_in_the_target_meanwhile_is_not_overwritten(pair: Pair, call: str) -> None:
    rich(pair)
    pair.there()
    pair.a.commit_dataframe("s", people(9), "nine")
    racing = At(pair.two, call, lambda: pair.b.commit_dataframe("s", people(8), "at that moment"))
    report = pair.between(pair.one, racing, "two")
    assert [type(problem.error) for problem in report.problems] == [ConflictError]
    assert len(pair.b.get_dataframe("s")) == 8
    assert [type(problem.error) for problem in pair.there().problems] == [ConflictError]


@pytest.mark.parametrize("call", ["stage", "commit"])
def test_a_session_made_in_the_target_meanwhile_is_not_overwritten(pair: Pair, call: str) -> None:
    rich(pair)
    racing = At(pair.two, call, lambda: pair.b.create_session("s", people(8), "mine", 60))
    report = pair.between(pair.one, racing, "two")
    assert [type(problem.error) for problem in report.problems] == [ConflictError]
    assert len(pair.b.get_dataframe("s")) == 8


@pytest.mark.parametrize("call", ["read", "log"])
def test_a_change_in_the_source_meanwhile_gives_one_state_or_the_other(pair: Pair, call: str) -> None:
    rich(pair)
    racing = At(pair.one, call, lambda: pair.a.update_dataframe("s", people(30)))
    report = pair.between(racing, pair.two, "two")
    assert report.errors == []
    assert pair.b.check("s") == []
    pair.there()
    assert everything(pair.one, "session:s") == everything(pair.two, "session:s")


@pytest.mark.parametrize("call", ["read", "log"])
def test_a_session_that_is_used_right_after_it_arrived_is_no_damage(pair: Pair, call: str) -> None:
    rich(pair)
    racing = At(pair.two, call, lambda: pair.b.update_dataframe("s", people(30)))
    report = pair.between(pair.one, racing, "two")
    assert report.errors == []
    assert len(pair.b.get_dataframe("s")) == 30


@pytest.mark.parametrize("call", ["read", "log"])
def test_one_that_expires_in_the_source_meanwhile_is_no_error(pair: Pair, call: str) -> None:
    pair.a.create_session("s", people(), "f", 100)
    racing = At(pair.one, call, lambda: pair.clock.advance(200))
    report = pair.between(racing, pair.two, "two")
    assert report.errors == []
    assert outcomes(report) == {Outcome.GONE: 1}
    assert not pair.b.session_exists("s")


def test_one_that_is_deleted_in_the_source_meanwhile_is_no_error(pair: Pair) -> None:
    pair.a.create_session("s", people(), "f", 100)
    racing = At(pair.one, "read", lambda: pair.a.delete_session("s"))
    report = pair.between(racing, pair.two, "two")
    assert report.errors == []
    assert outcomes(report) == {Outcome.GONE: 1}


def test_a_session_that_never_rests_is_reported(memories: Pair) -> None:
    memories.a.create_session("s", people(), "f", 100)

    class Restless(Passing):
        def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
            found = super().log(space, start, stop)
            memories.a.add_audit_entry("s", "again")
            return found

    report = memories.between(Restless(memories.one), memories.two, "two")
    assert [type(problem.error) for problem in report.problems] == [ConflictError]

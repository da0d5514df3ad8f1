"""From engine to engine when something goes wrong: damage, a full or failing store, lost replies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from framekeep.engines.base import Change, Engine
from framekeep.errors import (
    NewerFormatError,
    SessionDamagedError,
    StorageFullError,
)
from framekeep.migration.report import Outcome
from framekeep.names import Space, new_revision, space
from framekeep.testing import FailAt, FlippedByte, LostReply, VanishedBlob
from framekeep.testing.faults import InjectedFault, Passing

from .conftest import At, Pair, Spoiling, a_chunk, everything, outcomes, people, rich


@pytest.mark.parametrize("spoil", [VanishedBlob, FlippedByte])
def test_a_damaged_session_is_reported_and_the_others_go_on(pair: Pair, spoil: Callable[..., Engine]) -> None:
    for id, rows in (("a", 3), ("b", 4), ("c", 5)):
        pair.a.create_session(id, people(rows), "f", 100)
    report = pair.between(spoil(pair.one, {a_chunk(pair, "b")}), pair.two, "two")
    assert [(problem.space, type(problem.error)) for problem in report.problems] == [
        ("session:b", SessionDamagedError)
    ]
    assert "damaged in the source" in str(report.problems[0].error)
    assert outcomes(report) == {Outcome.COPIED: 2}
    assert pair.b.list_sessions() == ["a", "c"]
    assert outcomes(pair.there()) == {Outcome.COPIED: 1, Outcome.THERE: 2}


def test_what_nobody_expects_stops_nothing_else(memories: Pair) -> None:
    for id in ("a", "b", "c"):
        memories.a.create_session(id, people(), "f", 100)

    class Odd(Passing):
        def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
            if space == "session:b":
                raise ZeroDivisionError("secret")
            return super().log(space, start, stop)

    report = memories.between(Odd(memories.one), memories.two, "two")
    assert outcomes(report) == {Outcome.COPIED: 2}
    [problem] = report.problems
    assert "ZeroDivisionError" in str(problem.error)
    assert "--only b" in str(problem.error)
    assert "secret" not in str(problem.error)
    with pytest.raises(ZeroDivisionError):
        memories.between(Odd(memories.one), memories.two, "two", only=("b",))


def test_a_damaged_head_and_a_newer_one_are_reported(pair: Pair) -> None:
    for id, body in (("odd", b"\x00"), ("new", b'{"format": 99}')):
        change = Change(expected=None, revision=new_revision(), body=body, ttl=60)
        pair.one.commit(space("session", id), change)
    pair.a.create_session("fine", people(), "f", 100)
    report = pair.there()
    assert {problem.space: type(problem.error) for problem in report.problems} == {
        "session:odd": SessionDamagedError,
        "session:new": NewerFormatError,
    }
    assert outcomes(report) == {Outcome.COPIED: 1}


def test_what_arrives_damaged_is_mended(pair: Pair) -> None:
    rich(pair)
    report = pair.between(pair.one, Spoiling(pair.two, 1), "two")
    assert report.errors == []
    assert pair.b.check("s") == []


def test_what_arrives_damaged_again_does_not_stay(pair: Pair) -> None:
    rich(pair)
    report = pair.between(pair.one, Spoiling(pair.two, 10**6), "two")
    assert [type(problem.error) for problem in report.problems] == [SessionDamagedError]
    assert not pair.b.session_exists("s")
    assert outcomes(pair.there()) == {Outcome.COPIED: 1}
    assert pair.b.check("s") == []


def test_a_log_that_arrives_otherwise_is_noticed(memories: Pair) -> None:
    rich(memories)

    class Forgetful(Passing):
        def commit(self, space: Space, change: Change) -> None:
            import dataclasses

            super().commit(space, dataclasses.replace(change, log=change.log[:-1]))

    report = memories.between(memories.one, Forgetful(memories.two), "two")
    assert ["log" in str(problem.error) for problem in report.problems] == [True]


def test_a_copy_that_nobody_has_compared_is_compared_and_mended(memories: Pair) -> None:
    rich(memories)
    memories.there()
    memories.journal.unlink()
    memories.two._spaces()[space("session", "s")].blobs.pop(a_chunk(memories, "s"))  # type: ignore[attr-defined]
    assert memories.b.check("s") != []
    assert outcomes(memories.there()) == {Outcome.THERE: 1}
    assert memories.b.check("s") == []


def test_staged_parts_that_were_freed_are_staged_again(memories: Pair) -> None:
    rich(memories)

    def free() -> None:
        memories.two._spaces()[space("session", "s")].blobs.clear()  # type: ignore[attr-defined]

    report = memories.between(memories.one, At(memories.two, "commit", free), "two")
    assert report.errors == []
    assert memories.b.check("s") == []


def test_parts_that_the_target_only_seemed_to_have_are_brought(memories: Pair) -> None:
    rich(memories)
    memories.there()
    memories.a.add_audit_entry("s", "more")
    memories.two._spaces()[space("session", "s")].blobs.pop(a_chunk(memories, "s"))  # type: ignore[attr-defined]
    assert outcomes(memories.there()) == {Outcome.UPDATED: 1}
    assert memories.b.check("s") == []


def test_a_full_target_stops_the_pass_and_the_next_goes_on(pair: Pair) -> None:
    for id in ("a", "b", "c"):
        pair.a.create_session(id, people(), "f", 100)

    class Full(Passing):
        room = 1

        def commit(self, space: Space, change: Change) -> None:
            self.room -= 1
            if self.room < 0:
                raise StorageFullError("There is no room left.")
            super().commit(space, change)

    report = pair.between(pair.one, Full(pair.two), "two")
    assert isinstance(report.stopped, StorageFullError)
    assert report.not_reached == 2
    assert outcomes(report) == {Outcome.COPIED: 1}
    assert outcomes(pair.there()) == {Outcome.THERE: 1, Outcome.COPIED: 2}


@pytest.mark.parametrize("side", ["source", "target"])
def test_whichever_call_fails_the_next_pass_brings_all(memories: Pair, side: str) -> None:
    rich(memories)
    memories.a.create_session("b", people(), "f", 100)
    failed = 0
    for n in range(1, 200):
        source = FailAt(memories.one, n, onwards=True) if side == "source" else memories.one
        target = FailAt(memories.two, n, onwards=True) if side == "target" else memories.two
        report = None
        with suppress(InjectedFault):  # the listing failed
            report = memories.between(source, target, "two")
        if report is not None and report.stopped is None:
            break
        failed += 1
        if n % 3 == 0:  # changes between two passes are no obstacle
            memories.a.add_audit_entry("s", f"after {n}")
        elif n % 3 == 1:
            memories.two.discard(space("session", "s"))
    assert failed > 5
    assert memories.there().errors == []
    for name in ("session:s", "session:b"):
        assert everything(memories.one, name) == everything(memories.two, name)
    assert memories.b.check("s") == []


def test_a_commit_whose_reply_was_lost_is_recognized(pair: Pair) -> None:
    rich(pair)
    assert pair.between(pair.one, LostReply(pair.two), "two").stopped is not None
    pair.a.commit_dataframe("s", people(9), "meanwhile")
    assert outcomes(pair.there()) == {Outcome.UPDATED: 1}
    assert pair.b.check("s") == []

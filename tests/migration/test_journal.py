"""The journal: what it remembers, what a crash leaves of it, and what is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from framekeep.errors import InvalidInputError, StorageBusyError, StorageReadOnlyError
from framekeep.migration.journal import Journal, Relation
from framekeep.names import Revision, Space, new_revision

S = Space("session:s")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def opened(path: Path, target: str = "two") -> Journal:
    return Journal(path, between=("one", "two"), target=target)


def revisions(count: int) -> list[Revision]:
    return [new_revision() for _ in range(count)]


def test_what_is_remembered_survives(path: Path) -> None:
    old, new, other = revisions(3)
    with opened(path) as journal:
        journal.coming(S, old)
        journal.arrived(S, old)
    with opened(path) as journal:
        assert journal.has_arrived(S, old)
        assert journal.relation(S, new, None) is Relation.ABSENT
        assert journal.relation(S, new, new) is Relation.SAME
        assert journal.relation(S, new, old) is Relation.SOURCE_AHEAD
        assert journal.relation(S, old, new) is Relation.TARGET_AHEAD
        assert journal.relation(S, new, other) is Relation.BOTH_CHANGED
        assert journal.relation(Space("session:t"), new, old) is Relation.BOTH_CHANGED


def test_a_copy_that_was_coming_when_the_power_went_is_recognized_where_it_went(path: Path) -> None:
    old, new = revisions(2)
    with opened(path) as journal:
        journal.coming(S, old)
    with opened(path) as journal:
        assert journal.relation(S, new, old) is Relation.SOURCE_AHEAD
        assert journal.relation(S, old, new) is Relation.BOTH_CHANGED  # nobody knows whether it arrived
    with opened(path, target="one") as journal:  # it is that store's own there
        assert journal.relation(S, new, old) is Relation.BOTH_CHANGED


def test_a_store_that_went_back_is_the_older_one(path: Path) -> None:
    first, second = revisions(2)
    with opened(path) as journal:
        journal.arrived(S, first)
        journal.arrived(S, second)
        assert journal.relation(S, second, first) is Relation.SOURCE_AHEAD
        assert journal.relation(S, first, second) is Relation.TARGET_AHEAD
        journal.arrived(S, first)  # they came back to it
        assert journal.relation(S, first, second) is Relation.SOURCE_AHEAD


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_last_line_that_was_cut_off_says_nothing(path: Path, cut: int) -> None:
    first, second, third = revisions(3)
    with opened(path) as journal:
        journal.arrived(S, first)
        journal.arrived(S, second)
    path.write_bytes(path.read_bytes()[:-cut])
    with opened(path) as journal:
        journal.arrived(S, third)
    with opened(path) as journal:
        assert journal.has_arrived(S, first)
        assert journal.has_arrived(S, third)


@pytest.mark.parametrize("line", [b"\x00\xff", b"[]", b'{"event":"arrived","space":1}', b"{}", b"[" * 99999])
def test_a_line_that_is_damaged_hides_no_other(path: Path, line: bytes) -> None:
    first, second = revisions(2)
    with opened(path) as journal:
        journal.arrived(S, first)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with opened(path) as journal:
        journal.arrived(S, second)
    with opened(path) as journal:
        assert journal.has_arrived(S, first)
        assert journal.has_arrived(S, second)


@pytest.mark.parametrize(
    "text", ["my diary\n", "{}", '{"kind": "framekeep migration journal", "format": 9}\n']
)
def test_what_is_no_journal_is_refused_and_left_as_it_is(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInputError):
        opened(path)
    assert path.read_text() == text


def test_nobody_else_may_read_it(path: Path) -> None:
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_migration_with_the_same_journal_is_told_to_wait(path: Path) -> None:
    with opened(path), pytest.raises(StorageBusyError):
        opened(path)
    opened(path).close()


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageReadOnlyError, match="--journal"):
        opened(tmp_path)  # a directory

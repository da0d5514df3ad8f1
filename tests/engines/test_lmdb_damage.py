"""Damage inside the embedded store: found, named, and kept to one session."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from framekeep.engines import lmdb_records as records
from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_store import FILE
from framekeep.errors import SessionDamagedError
from framekeep.names import new_revision, space
from framekeep.testing import ManualClock

A = space("session", "a")
B = space("session", "b")


# --- damaged pages ---


def test_whole_file_has_no_problems(engine: LmdbEngine) -> None:
    engine.commit(A, Change(None, new_revision(), b"x" * 100_000))
    assert engine.check_file() == []


def test_damaged_page_is_found_without_mapping_it(engine: LmdbEngine, directory: Path) -> None:
    for i in range(300):
        engine.commit(space("session", f"s{i}"), Change(None, new_revision(), b"x" * 500))
    file = bytearray((directory / FILE).read_bytes())
    branch = next(  # an inner page of a tree: the flag of its kind is 1, and it knows its number
        at
        for at in range(8192, len(file), 4096)
        if file[at + 10 : at + 12] == b"\x01\x00"
        and int.from_bytes(file[at : at + 8], "little") == at // 4096
    )
    with (directory / FILE).open("r+b") as damaged:
        damaged.seek(branch + 8)
        damaged.write(b"\xff" * 8)
    assert engine.check_file() != []


def test_file_is_checked_while_others_write(
    engine: LmdbEngine, directory: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    writer = start("hold_open.py", directory, "writing")
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    assert engine.check_file() == []


# --- damaged records -----------------------------------------------------------------------------


def flip(position: int) -> Callable[[bytes], bytes]:
    def change(old: bytes) -> bytes:
        new = bytearray(old)
        new[position] ^= 0x10
        return bytes(new)

    return change


@pytest.fixture
def damaged(engine: LmdbEngine, change_stored: Callable[..., None]) -> LmdbEngine:
    """A store where the head of A is damaged and B is well."""
    engine.commit(A, Change(None, new_revision(), b"a", log=[b"a"], ttl=100.0))
    engine.commit(B, Change(None, new_revision(), b"b", log=[b"b"], ttl=1000.0))
    change_stored(engine, records.HEADS, records.space_key(A), flip(-1))
    return engine


def test_damaged_head_names_its_session(damaged: LmdbEngine) -> None:
    for call in (
        lambda: damaged.load(A),
        lambda: damaged.touch(A, 10.0),
        lambda: damaged.log(A),
        lambda: damaged.commit(A, Change(None, new_revision(), b"")),
    ):
        with pytest.raises(SessionDamagedError, match="session:a") as caught:
            call()
        assert (caught.value.session_id, caught.value.where) == ("a", "head")


def test_damaged_head_harms_no_other_session(damaged: LmdbEngine) -> None:
    head = damaged.load(B)
    assert head is not None
    damaged.commit(B, Change(head.revision, new_revision(), b"new", log=[b"new"]))
    assert damaged.log(B) == [b"b", b"new"]


def test_damaged_head_is_listed_so_that_it_can_be_found(damaged: LmdbEngine) -> None:
    assert {info.space for info in damaged.spaces()} == {A, B}
    assert damaged.count("session:") == 2


def test_damaged_head_is_purged_when_it_was_due(damaged: LmdbEngine, clock: ManualClock) -> None:
    clock.advance(99.0)
    assert damaged.purge() == 0
    clock.advance(1.0)
    assert damaged.purge() == 1
    assert {info.space for info in damaged.spaces()} == {B}


def test_damaged_head_can_be_discarded(damaged: LmdbEngine) -> None:
    assert damaged.discard(A)
    assert not damaged.discard(A)
    assert damaged.load(A) is None
    assert damaged.count("session:") == 1
    damaged.commit(A, Change(None, new_revision(), b"again"))
    assert damaged.log(A) == []


@pytest.mark.parametrize("position", [0, 8, 16, 40, 50, 56])
def test_any_flipped_byte_of_a_head_is_noticed(
    engine: LmdbEngine, change_stored: Callable[..., None], position: int
) -> None:
    engine.commit(A, Change(None, new_revision(), b"body"))
    change_stored(engine, records.HEADS, records.space_key(A), flip(position))
    with pytest.raises(SessionDamagedError):
        engine.load(A)


def test_cut_head_is_noticed(engine: LmdbEngine, change_stored: Callable[..., None]) -> None:
    engine.commit(A, Change(None, new_revision(), b"body"))
    change_stored(engine, records.HEADS, records.space_key(A), lambda old: old[:20])
    with pytest.raises(SessionDamagedError):
        engine.load(A)


def test_head_under_another_name_is_noticed(engine: LmdbEngine, change_stored: Callable[..., None]) -> None:
    heads: list[bytes] = []
    for name in (A, B):
        engine.commit(name, Change(None, new_revision(), b"body"))
    change_stored(engine, records.HEADS, records.space_key(A), lambda old: heads.append(old) or old)
    change_stored(engine, records.HEADS, records.space_key(B), lambda old: heads[0])
    with pytest.raises(SessionDamagedError, match="session:b"):
        engine.load(B)


def test_damaged_or_missing_log_entry_names_its_place(
    engine: LmdbEngine, change_stored: Callable[..., None]
) -> None:
    engine.commit(A, Change(None, new_revision(), b"", log=[b"one", b"two", b"three"]))
    prefix = records.blob_prefix(records.space_key(A))
    change_stored(engine, records.LOG, records.log_key(prefix, 1), flip(-1))
    change_stored(engine, records.LOG, records.log_key(prefix, 2), lambda old: None)
    assert engine.log(A, 0, 1) == [b"one"]
    for start in (1, 2):
        with pytest.raises(SessionDamagedError) as caught:
            engine.log(A, start)
        assert caught.value.where == f"log entry {start}"

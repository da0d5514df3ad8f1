"""The two halves of an expiry in the embedded store, and what a restart of the machine leaves of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.engines import lmdb_records as records
from framekeep.engines import lmdb_store
from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import new_revision, space
from framekeep.testing import ManualClock

A = space("session", "a")


def ttl(engine: LmdbEngine) -> float | None:
    head = engine.load(A)
    assert head is not None
    return head.ttl


def durable_transactions(engine: LmdbEngine) -> int:
    main = engine._opened().main
    assert main is not None
    return main.info()["last_txnid"]


def after_power_cut(engine: LmdbEngine, directory: Path, clock: ManualClock) -> LmdbEngine:
    """Close, lose the file that is never synced, open again."""
    engine.close()
    for file in directory.glob("touched-*"):
        file.unlink()
    return LmdbEngine(directory, clock=clock)


def test_light_touch_writes_nothing_durable(engine: LmdbEngine, clock: ManualClock) -> None:
    engine.commit(A, Change(None, new_revision(), b"", ttl=100.0))
    before = durable_transactions(engine)
    for _ in range(9):
        clock.advance(1.0)
        assert engine.touch(A, 100.0)
    assert durable_transactions(engine) == before
    assert ttl(engine) == pytest.approx(100.0)


def test_power_cut_loses_at_most_a_tenth_of_the_ttl(
    engine: LmdbEngine, directory: Path, clock: ManualClock
) -> None:
    engine.commit(A, Change(None, new_revision(), b"", ttl=100.0))
    for _ in range(57):
        clock.advance(1.0)
        engine.touch(A, 100.0)
    engine = after_power_cut(engine, directory, clock)
    left = ttl(engine)
    assert left is not None
    assert 90.0 <= left <= 100.0
    engine.close()


def test_session_renewed_while_it_is_looked_up_is_there(engine: LmdbEngine, clock: ManualClock) -> None:
    store = engine._opened()

    def renew() -> None:
        assert engine.touch(A, 100.0)  # durably, for it is long since
        clock.advance(1.0)
        assert engine.touch(A, 100.0)  # and again, in the other file

    class Meanwhile(dict[bytes, Any]):
        """Renew the session when its head is being read, and only then."""

        def __getitem__(self, name: bytes) -> Any:
            store.dbs = databases
            renewing = threading.Thread(target=renew)
            renewing.start()
            renewing.join()
            return databases[name]

    looks: list[Callable[[], object]] = [
        lambda: engine.load(A),
        lambda: list(engine.spaces()),
        lambda: engine.log(A),
    ]
    for look in looks:
        head = engine.load(A)
        engine.commit(
            A, Change(None if head is None else head.revision, new_revision(), b"", log=[b"x"], ttl=100.0)
        )
        clock.advance(5.0)
        engine.touch(A, 100.0)
        clock.advance(96.0)  # past the durable expiry, before the touched one
        databases = store.dbs
        store.dbs = Meanwhile()
        assert look()


def test_shortening_survives_a_power_cut(engine: LmdbEngine, directory: Path, clock: ManualClock) -> None:
    engine.commit(A, Change(None, new_revision(), b"", ttl=100.0))
    engine.touch(A, 10.0)
    engine = after_power_cut(engine, directory, clock)
    assert ttl(engine) == pytest.approx(10.0)
    engine.close()


def test_first_expiry_survives_a_power_cut(engine: LmdbEngine, directory: Path, clock: ManualClock) -> None:
    engine.commit(A, Change(None, new_revision(), b""))
    engine.touch(A, 10.0)
    engine = after_power_cut(engine, directory, clock)
    assert ttl(engine) == pytest.approx(10.0)
    engine.close()


def test_touched_expiries_of_an_earlier_boot_are_removed(engine: LmdbEngine, directory: Path) -> None:
    engine.close()
    old = [directory / "touched-another-boot.mdb", directory / "touched-another-boot.mdb-lock"]
    for file in old:
        file.write_bytes(b"whatever the power cut left")
    engine = LmdbEngine(directory)
    assert [file for file in old if file.exists()] == []
    engine.close()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"rubbish" * 10_000])
def test_unreadable_file_of_touched_expiries_is_replaced(
    engine: LmdbEngine, directory: Path, clock: ManualClock, content: bytes
) -> None:
    engine.commit(A, Change(None, new_revision(), b"", ttl=100.0))
    engine.close()
    [touched] = directory.glob("touched-*.mdb")
    touched.write_bytes(content)
    engine = LmdbEngine(directory, clock=clock)
    clock.advance(5.0)
    assert engine.touch(A, 100.0)
    assert ttl(engine) == pytest.approx(100.0)
    engine.close()


def test_without_a_boot_id_touched_expiries_are_synced(
    directory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_store, "_boot_id", lambda: None)
    engine = LmdbEngine(directory, clock=clock)
    touched = engine._opened().touched
    assert touched is not None
    assert touched.flags()["sync"]
    engine.close()


def test_touched_file_belongs_to_this_boot_and_is_not_synced(engine: LmdbEngine, directory: Path) -> None:
    [file] = directory.glob("touched-*.mdb")
    assert file.name == f"touched-{lmdb_store._boot_id()}.mdb"
    touched = engine._opened().touched
    assert touched is not None
    assert not touched.flags()["sync"]


def test_rows_of_freed_spaces_are_dropped(engine: LmdbEngine, clock: ManualClock) -> None:
    revision = new_revision()
    engine.commit(A, Change(None, revision, b"", ttl=100.0))
    clock.advance(5.0)
    engine.touch(A, 100.0)
    touched = engine._opened().touched
    assert touched is not None
    assert touched.stat()["entries"] == 1
    engine.commit(A, Change(revision, new_revision(), None))
    assert touched.stat()["entries"] == 0


def test_counting_a_kind_reads_no_heads(
    engine: LmdbEngine, change_stored: Callable[..., None], clock: ManualClock
) -> None:
    for i in range(5):
        engine.commit(space("session", f"s{i}"), Change(None, new_revision(), b"", ttl=100.0))
        change_stored(engine, records.HEADS, b"session:s%d" % i, lambda old: b"unreadable")
    assert engine.count("session:") == engine.count() == 5


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_packed_times_sort_like_times(one: float, two: float) -> None:
    packed = records.pack_time(one), records.pack_time(two)
    assert records.unpack_time(packed[0]) == one
    if one != two:
        assert (packed[0] < packed[1]) == (one < two)


def test_infinity_is_never() -> None:
    assert records.unpack_time(records.pack_time(math.inf)) == math.inf

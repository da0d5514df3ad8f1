"""A glance at a head waits for nobody: not for writers, not while the files are opened anew or mended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_records import HEADS, space_key
from framekeep.engines.lmdb_store import FILE, Store
from framekeep.errors import SessionDamagedError, StoreDamagedError
from framekeep.names import Space, new_revision

A = Space("session:a")


@pytest.fixture
def engine(engine: LmdbEngine) -> LmdbEngine:
    """An engine that has one space."""
    engine.commit(A, Change(None, new_revision(), b"body", ttl=60.0))
    return engine


@pytest.fixture
def store(engine: LmdbEngine) -> Store:
    assert engine._store is not None
    return engine._store


def test_it_sees_what_load_gives(engine: LmdbEngine) -> None:
    assert engine.glance(A) == engine.load(A)


def test_it_waits_for_no_writer(engine: LmdbEngine, store: Store) -> None:
    before = engine.load(A)
    assert store.main is not None
    assert store.touched is not None
    with store.main.begin(write=True), store.touched.begin(write=True):
        assert engine.glance(A) == before


def test_it_sees_nothing_while_the_files_are_opened_anew(engine: LmdbEngine, store: Store) -> None:
    with store.gate.alone():
        assert engine.glance(A) is None
    assert engine.glance(A) is not None


def test_it_opens_nothing(engine: LmdbEngine, store: Store) -> None:
    with store.gate.alone():
        store.close_files()
    assert engine.glance(A) is None
    assert engine.load(A) is not None


def test_it_sees_nothing_in_a_file_that_is_cut_off(engine: LmdbEngine, directory: Path) -> None:
    os.truncate(directory / FILE, 100)
    assert engine.glance(A) is None
    with pytest.raises(StoreDamagedError):
        engine.load(A)


def test_it_sees_nothing_in_a_file_that_was_deleted(engine: LmdbEngine, directory: Path) -> None:
    (directory / FILE).unlink()
    assert engine.glance(A) is None
    with pytest.raises(StoreDamagedError):
        engine.load(A)


def test_it_sees_nothing_in_a_head_that_is_damaged(
    engine: LmdbEngine, change_stored: Callable[..., None]
) -> None:
    change_stored(engine, HEADS, space_key(A), lambda old: old[:-1] + bytes([old[-1] ^ 1]))
    assert engine.glance(A) is None
    with pytest.raises(SessionDamagedError):
        engine.load(A)

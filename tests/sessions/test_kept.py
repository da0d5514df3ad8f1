"""A session's space holds exactly what its states need: nothing is dropped too early, nothing stays."""

from __future__ import annotations

import random
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import NothingToRedoError, NothingToUndoError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Space
from framekeep.sessions import SessionBackend


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def backend(engine: MemoryEngine) -> SessionBackend:
    backend = SessionBackend(engine, FrameCodec(cache_bytes=0))
    backend.create_session("s", pd.DataFrame({"a": [1.0], "b": [2.0]}), "x", 3600)
    return backend


def held(engine: MemoryEngine) -> set[Digest]:
    assert engine._held is not None
    return set(engine._held[Space("session:s")].blobs)


def needed(backend: SessionBackend) -> set[Digest]:
    return set(backend._heads.source("s").live(backend._heads.load("s").session.timeline))


def test_a_version_that_is_not_kept_leaves_nothing(engine: MemoryEngine, backend: SessionBackend) -> None:
    before = held(engine)
    backend.create_version("s", pd.DataFrame({"a": [9.0], "z": [8.0]}), "x", 0)
    assert held(engine) == before


@pytest.mark.parametrize("seed", range(3))
def test_any_sequence_leaves_what_the_states_need(
    engine: MemoryEngine, backend: SessionBackend, seed: int
) -> None:
    dice, numbers = random.Random(seed), np.random.default_rng(seed)

    def frame() -> pd.DataFrame:
        rows = dice.choice([0, 1, 50])
        return pd.DataFrame({label: numbers.random(rows) for label in "abcd"[: dice.randint(1, 4)]})

    def edit() -> None:
        with backend.edit("s", "x", dice.choice([0, 1, 5])) as df:
            df["a"] = numbers.random(len(df))

    def restore() -> None:
        for version in backend.get_history("s")[:1]:
            backend.restore("s", version["version_id"])

    def mark() -> None:
        rows, _ = backend.get_metadata("s")["shape"]
        backend.set_intentional_missing("s", "a", dice.sample(range(rows), min(rows, 3)))

    verbs = [
        lambda: backend.update_dataframe("s", frame()),
        lambda: backend.create_version("s", frame(), "x", dice.choice([0, 1, 2, 5])),
        lambda: backend.commit_dataframe("s", frame(), "x", dice.choice([0, 1, 2, 9])),
        lambda: backend.undo("s"),
        lambda: backend.redo("s"),
        edit,
        restore,
        mark,
    ]
    for _ in range(100):
        with suppress(NothingToUndoError, NothingToRedoError):
            dice.choice(verbs)()
        assert held(engine) == needed(backend)
    assert backend.check("s") == []

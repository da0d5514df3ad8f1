"""An edit of a session can be taken back: what was is there again, bit for bit, marks and all."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.editing import apply
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import InvalidEditError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend
from framekeep.testing.identical import assert_identical

sys.path.insert(0, str(Path(__file__).parent))
import programs


@pytest.fixture
def backend() -> Iterator[SessionBackend]:
    backend = SessionBackend(MemoryEngine(), FrameCodec())
    yield backend
    backend.close()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_undo_of_an_edit_gives_the_identical_table_back(backend: SessionBackend, data: st.DataObject) -> None:
    frame = data.draw(programs.tables())
    program = data.draw(st.lists(programs.operations(list(frame.columns)), min_size=1, max_size=3))
    backend.delete_session("s")
    backend.create_session("s", frame, "x", 3600)
    with contextlib.suppress(InvalidEditError):
        done = backend.apply_operations("s", program)
        assert_identical(backend.get_dataframe("s"), apply(frame, program))
        if done.version_id is not None:
            backend.undo("s")
    assert_identical(backend.get_dataframe("s"), frame)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_marks_stay_on_the_cells_that_they_were_set_on(backend: SessionBackend, data: st.DataObject) -> None:
    """Each cell holds a number of its own, so that it is known again wherever it goes."""
    rows = data.draw(st.integers(1, 6))
    names = ["n", "t", "q"]
    frame = pd.DataFrame({name: np.arange(rows) + 100 * place for place, name in enumerate(names)})
    moves = ("drop_columns", "rename_columns", "reorder_columns", "filter_rows", "sort_rows")
    program = data.draw(st.lists(programs.operations(names, moves), min_size=1, max_size=3))
    marks = data.draw(st.dictionaries(st.sampled_from(names), st.sets(st.integers(0, rows - 1), min_size=1)))
    backend.delete_session("s")
    backend.create_session("s", frame, "x", 3600)
    backend.set_intentional_missing_batch("s", {name: list(some) for name, some in marks.items()})
    marked = {int(frame[name].iloc[row]) for name, some in marks.items() for row in some}
    with contextlib.suppress(InvalidEditError):
        backend.apply_operations("s", program)
    after = backend.get_dataframe("s")
    found = {
        int(after[name].iloc[row])
        for name, some in backend.get_intentional_missing("s").items()
        for row in some
    }
    assert found == marked & set(after.to_numpy().ravel().tolist())


def test_what_an_edit_leaves_alone_is_still_the_memory_of_the_store(backend: SessionBackend) -> None:
    frame = pd.DataFrame({f"c{place}": np.random.default_rng(place).random(10_000) for place in range(20)})
    backend.create_session("s", frame, "x", 3600)
    with backend.edit("s", "look") as handed_out:
        result = apply(
            handed_out, [{"op": "derive_column", "name": "q", "expression": "c1 + c2", "after": "c5"}]
        )
        for name in frame.columns:
            assert np.shares_memory(result[name].to_numpy(), handed_out[name].to_numpy())

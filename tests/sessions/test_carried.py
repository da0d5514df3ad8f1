"""Marks of intentional missing follow their rows and columns when an edit says where those went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import ConflictError, InvalidInputError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend


@pytest.fixture
def backend() -> Iterator[SessionBackend]:
    backend = SessionBackend(MemoryEngine(), FrameCodec())
    backend.create_session("s", pd.DataFrame({"a": [3.0, 1.0, None], "b": list("xyz")}), "x", 3600)
    backend.set_intentional_missing("s", "a", [2], reason="not asked")
    backend.set_intentional_missing("s", "b", [0])
    yield backend
    backend.close()


def test_rows_that_move_take_their_marks_along(backend: SessionBackend) -> None:
    step = backend.edit("s", "sort")
    with step as frame:
        step.replace(frame.iloc[[1, 2, 0]], rows=[1, 2, 0])
    assert backend.get_intentional_missing("s") == {"a": [1], "b": [2]}
    assert backend.get_missing_reasons("s") == {"a": {"not asked": [1]}}
    backend.undo("s")
    assert backend.get_intentional_missing("s") == {"a": [2], "b": [0]}


def test_marks_of_rows_that_went_are_gone(backend: SessionBackend) -> None:
    step = backend.edit("s", "drop")
    with step as frame:
        step.replace(frame.iloc[[2]], rows=np.array([2]))
    assert backend.get_intentional_missing("s") == {"a": [0]}


def test_columns_that_are_renamed_take_their_marks_along(backend: SessionBackend) -> None:
    step = backend.edit("s", "rename")
    with step as frame:
        step.replace(frame[["b", "a"]].set_axis(["a", "c"], axis=1), columns=[1, 0])
    assert backend.get_intentional_missing("s") == {"a": [0], "c": [2]}


def test_a_new_column_has_no_marks_whatever_its_name(backend: SessionBackend) -> None:
    step = backend.edit("s", "new a")
    with step as frame:
        step.replace(frame.assign(a=0.0), columns=[-1, 1])
    assert backend.get_intentional_missing("s") == {"b": [0]}


@pytest.mark.parametrize(
    "positions",
    [
        {"rows": [0, 1]},
        {"rows": [0, 1, 3]},
        {"rows": [0, 1, -1]},
        {"rows": [0.0, 1.0, 2.0]},
        {"rows": 3},
        {"columns": [0]},
        {"columns": [0, -2]},
        {"columns": ["a", "b"]},
    ],
    ids=str,
)
def test_positions_that_do_not_fit_are_refused(backend: SessionBackend, positions: dict[str, Any]) -> None:
    before = backend.revision("s")
    step = backend.edit("s", "wrong")
    with pytest.raises(InvalidInputError, match="positions"), step as frame:  # noqa: PT012
        frame["a"] = 1.0
        step.replace(frame, **positions)
    assert backend.revision("s") == before


def test_positions_are_those_of_the_frame_that_was_handed_out(backend: SessionBackend) -> None:
    step = backend.edit("s", "sort")
    with pytest.raises(ConflictError), step as frame:  # noqa: PT012
        backend.set_intentional_missing("s", "a", [0])
        step.replace(frame, rows=[2, 1, 0])
    assert backend.get_intentional_missing("s") == {"a": [0], "b": [0]}

"""Every frame that is kept is written as JSON that any client parses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from odds import KINDS, check_each
from windows import page, window_of, written

from framekeep.exporting import Window
from framekeep.exporting.cells import json_cell
from framekeep.exporting.columns import json_column
from framekeep.exporting.labels import clean
from framekeep.testing.frames import frames

LARGEST = 2**53 - 1


def parsed(document: bytes) -> Any:
    """Parse as strict clients do: no NaN, no lone surrogates, no integers beyond a double, no name twice."""

    def refuse(token: str) -> Any:
        raise AssertionError(f"{token} is no JSON")

    def integer(digits: str) -> int:
        assert abs(int(digits)) <= LARGEST
        return int(digits)

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    text = document.decode("utf-8")
    found = json.loads(text, parse_constant=refuse, parse_int=integer, object_pairs_hook=members)
    text.encode("utf-8")
    assert "\\ud8" not in text.lower()
    orjson.loads(document)
    return found


def shown(cells: list[Any]) -> bytes:
    return orjson.dumps(clean(cells))


def alone(array: Any) -> list[Any] | None:
    """Return what each cell is by itself; None where Python has no value for one."""
    cells = array
    if isinstance(array, pd.arrays.SparseArray):  # iterating would make floats of integers
        cells = np.asarray(array)
    elif isinstance(array, pd.Categorical):  # and so it would here
        cells = [None if code < 0 else array.categories[code] for code in array.codes]
    try:
        return [json_cell(cell) for cell in cells]
    except (ValueError, OverflowError):
        return None


def check_cells(window: Window) -> None:
    """Check that each column is what its cells are alone."""
    for array in window.arrays:
        expected = alone(array)
        assert expected is None or shown(json_column(array)) == shown(expected), array


def check(frame: pd.DataFrame) -> None:
    window = window_of(frame)
    check_cells(window)
    found = parsed(page(window))
    assert len(found["rows"]) == found["total_rows"] == len(frame)
    assert len(found["columns"]) == frame.shape[1]
    assert all(len(row) == frame.shape[1] for row in found["rows"])
    if "index" in found:
        assert len(found["index"]) == len(frame)
    assert written(window, "json") == page(window)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_frame_is_written_as_json(kind: str) -> None:
    check_each(kind, check)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_frame_is_written_as_json(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_of_many_frames_is_written_as_json(frame: pd.DataFrame) -> None:
    check(frame)

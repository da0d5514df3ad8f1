"""Missing cells filled: by each method, in each kind of column, and not where they are missing on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.editing import apply, apply_tracked
from framekeep.errors import InvalidEditError
from framekeep.testing.identical import assert_identical


def fill(column: Any, method: str, **more: Any) -> list[Any]:
    frame = pd.DataFrame({"a": column})
    result = apply(frame, [{"op": "fill_missing", "columns": ["a"], "method": method, **more}])["a"]
    assert result.dtype == frame["a"].dtype
    return [None if pd.isna(cell) else cell for cell in result]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", pd.ArrowDtype(pa.float64())], ids=str)
def test_numbers_are_filled_by_mean_and_median(dtype: Any) -> None:
    column = pd.Series([1.0, None, 2.0, 6.0]).astype(dtype)
    assert fill(column, "mean") == [1.0, 3.0, 2.0, 6.0]
    assert fill(column, "median") == [1.0, 2.0, 2.0, 6.0]


@pytest.mark.parametrize("dtype", ["Int64", "Int8", "UInt16", pd.ArrowDtype(pa.int32())], ids=str)
def test_whole_numbers_are_filled_when_the_answer_is_whole(dtype: Any) -> None:
    column = pd.Series(pd.array([1, None, 2, 6], dtype=dtype))
    assert fill(column, "mean") == [1, 3, 2, 6]
    assert fill(column, "median") == [1, 2, 2, 6]


@pytest.mark.parametrize("method", ["mean", "median", "interpolate"])
def test_whole_numbers_get_no_fraction(method: str) -> None:
    with pytest.raises(InvalidEditError, match="Cast it to number first"):
        fill(pd.array([1, None, 2], dtype="Int64"), method)


def test_the_mean_of_large_whole_numbers_is_exact() -> None:
    assert fill(pd.array([2**63 - 1, None, 2**63 - 3], dtype="Int64"), "mean")[1] == 2**63 - 2
    assert fill(pd.array([2**63 - 1, None, 2**63 - 3], dtype="Int64"), "median")[1] == 2**63 - 2


def test_whole_numbers_too_large_for_a_line_are_refused() -> None:
    with pytest.raises(InvalidEditError, match="interpolate"):
        fill(pd.array([2**60, None, 2**60 + 2], dtype="Int64"), "interpolate")


@pytest.mark.parametrize("method", ["mean", "interpolate"])
def test_infinite_numbers_have_no_mean(method: str) -> None:
    with pytest.raises(InvalidEditError, match="infinite"):
        fill([np.inf, None, -np.inf], method)


def test_not_a_number_in_a_nullable_column_is_missing_too() -> None:
    column = pd.arrays.ArrowExtensionArray(pa.array([np.nan, 1.0, None]))
    assert fill(column, "value", value=7) == [7.0, 1.0, 7.0]


def test_a_straight_line_ends_at_the_last_neighbours() -> None:
    assert fill([None, 1.0, None, None, 4.0, None], "interpolate") == [None, 1.0, 2.0, 3.0, 4.0, None]
    assert fill(pd.array([0, None, 4], dtype="Int64"), "interpolate") == [0, 2, 4]


@pytest.mark.parametrize("method", ["mean", "median", "mode", "forward", "backward", "interpolate"])
def test_a_column_with_nothing_to_go_by_stays_as_it_is(method: str) -> None:
    assert fill(np.array([np.nan, np.nan]), method) == [None, None]


def test_the_most_frequent_value_fills_any_kind() -> None:
    assert fill(["x", None, "y", "y"], "mode") == ["x", "y", "y", "y"]
    assert fill(pd.Categorical(["x", None, "y", "y"]), "mode") == ["x", "y", "y", "y"]
    assert fill(pd.array([True, None, False, False], dtype="boolean"), "mode") == [True, False, False, False]
    days = pd.to_datetime(["2020-01-02", None, "2020-01-01", "2020-01-01"])
    assert fill(days, "mode")[1] == pd.Timestamp("2020-01-01")


def test_of_equally_frequent_values_the_first_fills() -> None:
    assert fill([None, 9.0, 3.0, 3.0, 9.0], "mode")[0] == 9.0


def test_among_values_of_any_type_true_is_not_one() -> None:
    cells = np.array([True, 1, 1, None], dtype=object)
    assert fill(cells, "mode")[3] == 1
    assert fill(cells, "mode")[3] is not True


def test_values_that_cannot_be_compared_have_no_mode() -> None:
    cells = np.empty(2, dtype=object)
    cells[:] = [[1], None]
    with pytest.raises(InvalidEditError, match="compared"):
        fill(cells, "mode")


@pytest.mark.parametrize(
    ("method", "limit", "filled"),
    [
        ("forward", None, [None, 1, 1, 1, 2]),
        ("forward", 1, [None, 1, 1, None, 2]),
        ("backward", None, [1, 1, 2, 2, 2]),
        ("backward", 1, [1, 1, None, 2, 2]),
    ],
)
@pytest.mark.parametrize("dtype", ["Int64", "float64", "str", "object", "M8[s]", "category"])
def test_neighbours_fill_any_kind(dtype: str, method: str, limit: int | None, filled: list[Any]) -> None:
    cells = {"str": ["p", "q"], "M8[s]": pd.to_datetime(["2020-01-01", "2021-01-01"]).tolist()}.get(
        dtype, [1, 2]
    )
    column = pd.Series([None, cells[0], None, None, cells[1]], dtype=dtype)
    expected = [None if number is None else cells[number - 1] for number in filled]
    assert fill(column, method, **({} if limit is None else {"limit": limit})) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.integers(0, 3)), st.none() | st.integers(1, 3), st.booleans())
def test_neighbours_are_those_that_pandas_finds(cells: list[Any], limit: int | None, forward: bool) -> None:
    column = pd.Series(cells, dtype="Int64")
    more = {} if limit is None else {"limit": limit}
    ours = fill(column, "forward" if forward else "backward", **more)
    theirs = column.ffill(limit=limit) if forward else column.bfill(limit=limit)
    assert ours == [None if pd.isna(cell) else cell for cell in theirs]


# --- which columns ------------------------------------------------------------------------------------


def test_without_columns_those_that_suit_are_filled() -> None:
    frame = pd.DataFrame({"n": [1.0, None], "t": ["x", None], "d": pd.to_datetime(["2020-01-01", None])})
    result = apply(frame, [{"op": "fill_missing", "method": "mean"}])
    assert_identical(result, frame.assign(n=[1.0, 1.0]))
    result = apply(frame, [{"op": "fill_missing", "method": "value", "value": "none"}])
    assert_identical(result, frame.assign(t=["x", "none"]))


def test_a_column_named_that_does_not_suit_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="'t' holds text"):
        apply(pd.DataFrame({"t": ["x", None]}), [{"op": "fill_missing", "columns": ["t"], "method": "mean"}])
    five = {"op": "fill_missing", "columns": ["t"], "method": "value", "value": 5}
    with pytest.raises(InvalidEditError, match="'t'"):
        apply(pd.DataFrame({"t": ["x", None]}), [five])


def test_a_text_fills_whole_numbers_only_where_they_are_named() -> None:
    frame = pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "t": ["x", None]})
    zero = {"op": "fill_missing", "method": "value", "value": "0"}
    assert_identical(apply(frame, [zero]), frame.assign(t=["x", "0"]))
    assert apply(frame, [{**zero, "columns": ["i"]}])["i"].tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["Sparse[float64]", "complex128"])
def test_a_column_that_cannot_be_set_is_refused_or_filled(dtype: str) -> None:
    column = pd.Series([1.0, None]).astype(dtype)
    frame = pd.DataFrame({"a": column})
    forward = {"op": "fill_missing", "columns": ["a"], "method": "forward"}
    if "Sparse" in dtype:
        with pytest.raises(InvalidEditError, match="Cast it"):
            apply(frame, [forward])
    else:
        assert apply(frame, [forward])["a"].tolist() == [1, 1]


# --- missing on purpose -------------------------------------------------------------------------------

SURVEY = pd.DataFrame({"age": [30.0, np.nan, np.nan], "sex": ["f", None, "m"]})


def test_cells_missing_on_purpose_are_not_filled() -> None:
    mean = {"op": "fill_missing", "method": "mean"}
    assert apply_tracked(SURVEY, [mean], marked={0: [1]}).frame["age"].isna().tolist() == [False, True, False]
    everything = [{**mean, "include_intentional": True}]
    assert not apply_tracked(SURVEY, everything, marked={0: [1]}).frame["age"].isna().any()


def test_rows_with_cells_missing_on_purpose_are_not_dropped() -> None:
    drop = {"op": "drop_missing"}
    marked = {0: [2], 1: [1]}
    assert len(apply_tracked(SURVEY, [drop], marked=marked).frame) == 2
    assert len(apply_tracked(SURVEY, [{**drop, "include_intentional": True}], marked=marked).frame) == 1


def test_purpose_follows_rows_and_columns() -> None:
    program = [
        {"op": "sort_rows", "by": [{"column": "sex", "descending": True}]},
        {"op": "rename_columns", "names": {"age": "years"}},
        {"op": "fill_missing", "columns": ["years"], "method": "value", "value": 0},
    ]
    result = apply_tracked(SURVEY, program, marked={0: [2]}).frame
    assert result["sex"].tolist()[:2] == ["m", "f"]
    assert result["years"].isna().tolist() == [True, False, False]

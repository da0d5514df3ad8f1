"""Rows dropped, filtered and sorted."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.editing import apply, apply_tracked
from framekeep.errors import InvalidEditError, InvalidExpressionError

FRAME = pd.DataFrame({"a": [1.0, None, 3.0, None], "b": ["x", "y", None, None], "c": [1, 2, 3, 4]})


def kept(frame: pd.DataFrame, operation: dict[str, Any]) -> list[int]:
    """Return the positions of the rows that an operation keeps, in their order."""
    rows = apply_tracked(frame, [operation]).rows
    return list(range(len(frame))) if rows is None else rows.tolist()


@pytest.mark.parametrize(
    ("operation", "rows"),
    [
        ({}, [0]),
        ({"how": "all"}, [0, 1, 2, 3]),
        ({"columns": ["a"]}, [0, 2]),
        ({"columns": ["a", "b"], "how": "all"}, [0, 1, 2]),
        ({"columns": ["c"]}, [0, 1, 2, 3]),
    ],
)
def test_rows_with_missing_cells_are_dropped(operation: dict[str, Any], rows: list[int]) -> None:
    assert kept(FRAME, {"op": "drop_missing", **operation}) == rows


@pytest.mark.parametrize(("keep", "rows"), [("first", [0, 1, 3]), ("last", [1, 2, 4]), ("none", [1])])
def test_rows_that_repeat_are_dropped(keep: str, rows: list[int]) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 1.0, None, None], "b": ["x", "x", "x", None, None]})
    assert kept(frame, {"op": "drop_duplicates", "keep": keep}) == rows


def test_only_the_columns_named_make_a_duplicate() -> None:
    frame = pd.DataFrame({"a": [1, 1, 2], "b": [1, 2, 3]})
    assert kept(frame, {"op": "drop_duplicates", "columns": ["a"]}) == [0, 2]
    assert kept(frame, {"op": "drop_duplicates"}) == [0, 1, 2]


def test_values_of_other_types_are_no_duplicates() -> None:
    frame = pd.DataFrame({"a": np.array([1, True, 1.0, "1", 1, None, np.nan, pd.NaT], dtype=object)})
    assert kept(frame, {"op": "drop_duplicates"}) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, 1, None, None], dtype="Int64"),
        pd.array([0.5, 0.5, None, None], dtype=pd.ArrowDtype(pa.float32())),
        pd.Categorical(["x", "x", None, None]),
        pd.to_datetime(["2020", "2020", None, None], utc=True),
        pd.array(
            [decimal.Decimal("1.10"), decimal.Decimal("1.1"), None, None],
            dtype=pd.ArrowDtype(pa.decimal128(9, 2)),
        ),
        pd.PeriodIndex(["2020", "2020", None, None], freq="Y"),
        pd.array([1j, 1j, np.nan, np.nan]),
        pd.arrays.SparseArray([1.0, 1.0, np.nan, np.nan]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_duplicates_are_found_in_every_kind_of_column(column: Any) -> None:
    assert kept(pd.DataFrame({"a": column}), {"op": "drop_duplicates"}) == [0, 2]


def test_values_that_cannot_be_compared_are_refused() -> None:
    frame = pd.DataFrame({"a": pd.Series([[1], [1]], dtype=object), "b": [1, 1]})
    with pytest.raises(InvalidEditError, match="'a' holds values that cannot be compared"):
        apply(frame, [{"op": "drop_duplicates"}])
    assert kept(frame, {"op": "drop_duplicates", "columns": ["b"]}) == [0]


# --- filters ------------------------------------------------------------------------------------------


def test_rows_for_which_an_expression_is_missing_count_as_false() -> None:
    assert kept(FRAME, {"op": "filter_rows", "where": "a < 2"}) == [0]
    assert kept(FRAME, {"op": "filter_rows", "where": "a < 2", "action": "drop"}) == [1, 2, 3]
    assert kept(FRAME, {"op": "filter_rows", "where": "missing"}) == []


def test_rows_are_chosen_by_position() -> None:
    assert kept(FRAME, {"op": "filter_rows", "rows": [3, 0, 3]}) == [0, 3]
    assert kept(FRAME, {"op": "filter_rows", "rows": [3, 0], "action": "drop"}) == [1, 2]
    with pytest.raises(InvalidEditError, match="no row 4"):
        kept(FRAME, {"op": "filter_rows", "rows": [4]})


def test_rows_are_chosen_by_true_and_false_only() -> None:
    with pytest.raises(InvalidExpressionError, match="whole numbers"):
        kept(FRAME, {"op": "filter_rows", "where": "c"})


def test_a_filter_that_keeps_all_moves_nothing() -> None:
    assert apply_tracked(FRAME, [{"op": "filter_rows", "where": "c > 0"}]).rows is None


# --- sorts --------------------------------------------------------------------------------------------


def order(column: Any, *, descending: bool = False, missing: str = "last") -> list[int]:
    by = [{"column": "a", "descending": descending}]
    return kept(pd.DataFrame({"a": column}), {"op": "sort_rows", "by": by, "missing": missing})


def test_missing_values_go_where_they_are_sent() -> None:
    column = [2.0, None, 1.0]
    assert order(column) == [2, 0, 1]
    assert order(column, descending=True) == [0, 2, 1]
    assert order(column, missing="first") == [1, 2, 0]
    assert order(column, descending=True, missing="first") == [1, 0, 2]


def test_equal_rows_stay_in_their_order() -> None:
    frame = pd.DataFrame({"a": [2, 1, 2, 1], "b": [1, 2, 3, 4]})
    assert kept(frame, {"op": "sort_rows", "by": [{"column": "a"}]}) == [1, 3, 0, 2]
    assert kept(frame, {"op": "sort_rows", "by": [{"column": "a", "descending": True}]}) == [0, 2, 1, 3]


def test_the_first_column_counts_most() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "x"], "b": [1, 5, 9]})
    by = [{"column": "a"}, {"column": "b", "descending": True}]
    assert kept(frame, {"op": "sort_rows", "by": by}) == [2, 0, 1]


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (["b", "B", "a", "ä"], [1, 2, 0, 3]),
        (pd.array([2**63 + 1, 2**63, None], dtype="UInt64"), [1, 0, 2]),
        (pd.Categorical(["lo", "hi"], ["lo", "hi"], ordered=True), [0, 1]),
        (pd.Categorical(["lo", "hi"], ["lo", "hi"]), [1, 0]),
        (pd.to_datetime(["2021", "2020"]), [1, 0]),
        (np.array([True, False]), [1, 0]),
        (np.array([2, 1.5, True, decimal.Decimal(0)], dtype=object), [3, 2, 1, 0]),
        (np.array([dt.date(2021, 1, 1), None, dt.date(2020, 1, 1)], dtype=object), [2, 0, 1]),
        (pd.PeriodIndex(["2021", "2020"], freq="Y"), [1, 0]),
        (
            pd.array([decimal.Decimal(2), decimal.Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
            [1, 0],
        ),
        (np.array([np.inf, -np.inf, 0.0]), [1, 2, 0]),
    ],
    ids=lambda value: str(getattr(value, "dtype", ""))[:30],
)
def test_each_kind_has_its_order(column: Any, rows: list[int]) -> None:
    assert order(column) == rows


@pytest.mark.parametrize(
    "column",
    [
        np.array([1, "1"], dtype=object),
        np.array([1j, 2j]),
        pd.Series([{1}, {2}], dtype=object),
        pd.Series([[1], [2]], dtype=object),
        pd.array([{"x": 1}, {"x": 2}], dtype=pd.ArrowDtype(pa.struct([("x", pa.int8())]))),
    ],
    ids=["numbers and text", "complex", "sets", "lists", "structs"],
)
def test_values_without_an_order_are_refused(column: Any) -> None:
    with pytest.raises(InvalidEditError, match="'a' holds values that cannot be"):
        order(column)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.integers(-2, 2), st.none() | st.sampled_from("abB")), max_size=12),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_rows_are_sorted_as_pythons_sort_does(rows: list[Any], down: bool, second: bool, first: bool) -> None:
    frame = pd.DataFrame(
        {"a": pd.array([a for a, _ in rows], dtype="Int64"), "b": pd.array([b for _, b in rows], dtype="str")}
    )
    expected = list(range(len(rows)))
    for place, descending in ((1, second), (0, down)):
        there = [row for row in expected if rows[row][place] is not None]
        gone = [row for row in expected if rows[row][place] is None]
        there.sort(key=lambda row: rows[row][place], reverse=descending)
        expected = gone + there if first else there + gone
    by = [{"column": "a", "descending": down}, {"column": "b", "descending": second}]
    assert kept(frame, {"op": "sort_rows", "by": by, "missing": "first" if first else "last"}) == expected

"""What holds for every operation on every table."""

from __future__ import annotations

import contextlib
import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.editing import apply, apply_tracked, describe, parse_operations
from framekeep.errors import InvalidEditError, NotADataFrameError
from framekeep.testing.frames import frames
from framekeep.testing.identical import assert_identical

sys.path.insert(0, str(Path(__file__).parent))
import programs

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_edits_never_change_their_input(data: st.DataObject) -> None:
    frame = data.draw(programs.tables())
    program = data.draw(st.lists(programs.operations(list(frame.columns)), min_size=1, max_size=4))
    before = frame.copy(deep=True)
    with contextlib.suppress(InvalidEditError):
        apply(frame, program)
    assert_identical(frame, before)


def check_odd(data: st.DataObject) -> None:
    frame = data.draw(frames())
    operation = data.draw(programs.operations([str(label) for label in frame.columns][:4]))
    before = copy.deepcopy(frame)
    with contextlib.suppress(InvalidEditError):
        assert_identical(apply(frame, [operation]).attrs, before.attrs)
    assert_identical(frame, before)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_an_operation_on_any_frame_works_or_is_refused(data: st.DataObject) -> None:
    check_odd(data)


@pytest.mark.long
@settings(max_examples=3000, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_thousands_of_operations_on_any_frame_work_or_are_refused(data: st.DataObject) -> None:
    check_odd(data)


@settings(max_examples=80, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_the_origin_of_rows_and_columns_is_told(data: st.DataObject) -> None:
    """The cells of columns that no operation set are those of the rows and columns that they came from."""
    frame = data.draw(programs.tables(min_rows=1))
    program = data.draw(st.lists(programs.operations(list(frame.columns)), min_size=1, max_size=3))
    with contextlib.suppress(InvalidEditError):
        applied = apply_tracked(frame, program)
        rows = np.arange(len(frame)) if applied.rows is None else applied.rows
        columns = np.arange(frame.shape[1]) if applied.columns is None else applied.columns
        assert applied.frame.shape == (len(rows), len(columns))
        for place, source in enumerate(columns):
            if source >= 0 and place not in applied.touched:
                was, now = frame.iloc[rows, source], applied.frame.iloc[:, place]
                assert_identical(now.array, was.array)


# --- what is shared ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "set_cells", "cells": [{"row": 0, "column": "a", "value": 9.0}]},
        {"op": "fill_missing", "method": "mean"},
        {"op": "derive_column", "name": "new", "expression": "a + 1", "after": "a"},
        {"op": "rename_columns", "names": {"a": "x"}},
        {"op": "reorder_columns", "columns": ["b"]},
        {"op": "drop_columns", "columns": ["a"]},
        {"op": "cast", "columns": ["a"], "to": "text"},
        {"op": "drop_duplicates"},
        {"op": "sort_rows", "by": [{"column": "b"}]},
    ],
    ids=lambda operation: operation["op"],
)
def test_what_an_operation_leaves_alone_is_the_same_memory(operation: dict[str, Any]) -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [1, 2, 3], "c": [0.5, 1.5, 2.5]})
    result = apply(frame, [operation])
    for name in ("b", "c"):
        assert np.shares_memory(result[name].to_numpy(), frame[name].to_numpy())


def test_a_hundred_columns_take_one_more_without_a_warning() -> None:
    frame = pd.DataFrame({f"c{number}": pd.array([number], dtype="Int64") for number in range(150)})
    result = apply(frame, [{"op": "derive_column", "name": "sum", "expression": "c1 + c2", "after": "c2"}])
    assert result["sum"].tolist() == [3]
    assert result.columns.get_loc("sum") == 3


# --- the index --------------------------------------------------------------------------------------

DROP_SECOND = {"op": "filter_rows", "rows": [1], "action": "drop"}


def test_plain_row_numbers_are_numbered_anew() -> None:
    result = apply(pd.DataFrame({"a": [1, 2, 3]}), [DROP_SECOND])
    assert_identical(result.index, pd.RangeIndex(2))


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(1, 4),
        pd.RangeIndex(3, name="id"),
        pd.Index(["x", "y", "x"]),
        pd.date_range("2020", periods=3),
        pd.MultiIndex.from_product([[1], ["a", "b", "c"]]),
    ],
    ids=["from 1", "named", "texts", "dates", "levels"],
)
def test_an_index_that_says_something_keeps_its_labels(index: pd.Index) -> None:
    result = apply(pd.DataFrame({"a": [1, 2, 3]}, index=index), [DROP_SECOND])
    assert result.index.tolist() == [index[0], index[2]]
    assert result.index.name == index.name


# --- names ------------------------------------------------------------------------------------------


def test_a_label_that_is_no_text_goes_by_its_text() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=pd.Index([2020, ("a", 1), "2021"], dtype=object))
    result = apply(frame, [{"op": "drop_columns", "columns": ["2020", "('a', 1)"]}])
    assert result.columns.tolist() == ["2021"]


def test_a_text_label_comes_before_another_with_the_same_text() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.Index([5, "5"], dtype=object))
    assert apply(frame, [{"op": "drop_columns", "columns": ["5"]}]).columns.tolist() == [5]


@pytest.mark.parametrize("labels", [["a", "a"], [1, 1.0], [1, True]], ids=str)
def test_a_name_that_several_columns_have_is_refused(labels: list[Any]) -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.Index(labels, dtype=object))
    for name in {str(label) for label in labels}:
        operation = {"op": "drop_columns", "columns": [name]}
        if [str(label) for label in labels].count(name) > 1:
            with pytest.raises(InvalidEditError, match="2 columns called"):
                apply(frame, [operation])
        else:
            assert apply(frame, [operation]).shape == (1, 1)


def test_columns_with_one_name_stay_when_they_are_not_named() -> None:
    frame = pd.DataFrame([[None, 1.0, 2]], columns=["a", "a", "b"])
    result = apply(
        frame, [{"op": "drop_columns", "columns": ["b"]}, {"op": "fill_missing", "method": "mode"}]
    )
    assert result.columns.tolist() == ["a", "a"]


def test_an_unknown_column_is_named_with_the_operation() -> None:
    with pytest.raises(InvalidEditError, match="'weight'") as caught:
        apply(pd.DataFrame({"a": [1]}), [{"op": "trim_text"}, {"op": "drop_columns", "columns": ["weight"]}])
    assert caught.value.operation == 1


# --- tables of little ---------------------------------------------------------------------------------

EVERY = [
    {"op": "fill_missing", "method": "mean"},
    {"op": "drop_missing", "how": "all"},
    {"op": "drop_missing", "how": "any"},
    {"op": "drop_duplicates", "keep": "none"},
    {"op": "replace_values", "replacements": [{"from": 1, "to": 2}]},
    {"op": "trim_text"},
    {"op": "change_case", "to": "upper"},
    {"op": "filter_rows", "where": "1 == 1"},
    {"op": "filter_rows", "rows": [], "action": "drop"},
]


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame(index=range(3)), pd.DataFrame({"a": []})], ids=len
)
def test_a_table_without_cells_stays_as_it_is(frame: pd.DataFrame) -> None:
    for operation in EVERY:
        assert_identical(apply(frame, [operation]), frame)


def test_a_table_without_columns_takes_a_first_one() -> None:
    result = apply(pd.DataFrame(index=range(2)), [{"op": "derive_column", "name": "a", "expression": "1"}])
    assert_identical(result, pd.DataFrame({"a": [1, 1]}, index=range(2)))


def test_a_table_without_rows_takes_columns() -> None:
    frame = pd.DataFrame({"a": pd.Series([], dtype="int64"), "t": pd.Series([], dtype="str")})
    program = [
        {"op": "derive_column", "name": "b", "expression": "a / 2"},
        {"op": "derive_column", "name": "u", "expression": "concat(t, 'x')"},
        {"op": "sort_rows", "by": [{"column": "t"}]},
    ]
    result = apply(frame, program)
    assert result.dtypes.astype(str).tolist() == ["int64", "str", "float64", "str"]


# --- the call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [None, {"a": [1]}, pd.Series([1])], ids=["None", "dict", "Series"])
def test_only_a_frame_is_edited(frame: Any) -> None:
    with pytest.raises(NotADataFrameError, match="DataFrame"):
        apply(frame, [{"op": "trim_text"}])


@pytest.mark.parametrize(
    ("operations", "operation", "said"),
    [
        ([], None, "at least 1"),
        (None, None, "list"),
        ("trim_text", None, "list"),
        ({"op": "trim_text"}, None, "list"),
        ([1], 0, "dictionary"),
        ([{}], 0, "op"),
        ([{"op": "trim_text"}, {"op": "eval"}], 1, "vocabulary"),
        ([{"op": "trim_text", "colums": ["a"]}], 0, "colums"),
        ([{"op": "set_cells", "cells": [{"row": "1", "column": "a", "value": 1}]}], 0, "cells.0.row"),
        ([{"op": "set_cells", "cells": [{"row": -1, "column": "a", "value": 1}]}], 0, "cells.0.row"),
        ([{"op": "set_cells", "cells": [{"row": 1, "column": "a", "value": [1]}]}], 0, "cells.0.value"),
        ([{"op": "set_cells", "cells": [{"row": 1, "column": "a"}]}], 0, "cells.0.value"),
        ([{"op": "fill_missing", "method": "value"}], 0, "'value'"),
        ([{"op": "fill_missing", "method": "mean", "value": 1}], 0, "'value'"),
        ([{"op": "fill_missing", "method": "mean", "limit": 1}], 0, "'limit'"),
        ([{"op": "fill_missing", "method": "value", "value": float("nan")}], 0, "value"),
        ([{"op": "cast", "columns": ["a"], "to": "text", "format": "%Y"}], 0, "'format'"),
        ([{"op": "cast", "columns": ["a"], "to": "number", "decimal": ",", "thousands": ","}], 0, "differ"),
        ([{"op": "filter_rows"}], 0, "'where'"),
        ([{"op": "filter_rows", "where": "a", "rows": [1]}], 0, "'where'"),
        ([{"op": "drop_columns", "columns": []}], 0, "columns"),
        ([{"op": "replace_values", "match": "part", "replacements": [{"from": "", "to": "x"}]}], 0, "empty"),
        ([{"op": "trim_text"}] * 101, None, "100"),
    ],
    ids=range(23),
)  # fmt: skip
def test_what_is_not_in_the_vocabulary_is_refused(operations: Any, operation: int | None, said: str) -> None:
    with pytest.raises(InvalidEditError, match=said) as caught:
        apply(pd.DataFrame({"a": [1]}), operations)
    assert caught.value.operation == operation


def test_operations_say_what_they_do() -> None:
    program = [
        {"op": "trim_text"},
        {"op": "fill_missing", "columns": ["age", "a b\nc"], "method": "forward"},
        {"op": "drop_columns", "columns": ["a", "b", "c", "d"]},
        {"op": "filter_rows", "where": "age > 18"},
    ]
    assert describe(parse_operations(program)) == (
        "Trim text in all columns; Fill missing in age, a b c by the value above; "
        "Drop columns a, b, c and 1 more; Keep rows where age > 18"
    )
    assert len(describe(parse_operations(program * 20))) == 200

"""Cells set by position, values replaced: what fits a column, what widens it, what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from framekeep.editing import apply
from framekeep.errors import InvalidEditError
from framekeep.testing.identical import assert_identical


def set_cell(frame: pd.DataFrame, value: Any, *, row: int = 0, column: str = "a") -> pd.Series:
    cells = [{"row": row, "column": column, "value": value}]
    return apply(frame, [{"op": "set_cells", "cells": cells}])[column]


def replace(frame: pd.DataFrame, pairs: dict[Any, Any], **more: Any) -> pd.DataFrame:
    replacements = [{"from": old, "to": new} for old, new in pairs.items()]
    return apply(frame, [{"op": "replace_values", "replacements": replacements, **more}])


ZONED = pd.DatetimeTZDtype("us", "Europe/Berlin")
DECIMAL = pd.ArrowDtype(pa.decimal128(9, 2))


@pytest.mark.parametrize(
    ("dtype", "value", "cell"),
    [
        ("int64", 7, 7),
        ("int64", 7.0, 7),
        ("int64", "9007199254740993", 2**53 + 1),
        ("int64", -(2**63), -(2**63)),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("Int8", -128, -128),
        (pd.ArrowDtype(pa.int64()), 2**53 + 1, 2**53 + 1),
        ("float64", 1, 1.0),
        ("float64", 0.1, 0.1),
        ("float32", 0.5, 0.5),
        ("Float64", 2.5, 2.5),
        (pd.ArrowDtype(pa.float64()), 2.5, 2.5),
        ("bool", True, True),
        ("boolean", False, False),
        (pd.ArrowDtype(pa.bool_()), True, True),
        ("str", "ß", "ß"),
        (pd.StringDtype("python"), "x", "x"),
        (pd.ArrowDtype(pa.string()), "x", "x"),
        ("M8[s]", "2020-02-29", pd.Timestamp("2020-02-29")),
        ("M8[ns]", "2020-02-29T01:02:03.000000004", pd.Timestamp("2020-02-29T01:02:03.000000004")),
        (ZONED, "2020-07-01T12:00", pd.Timestamp("2020-07-01T12:00", tz="Europe/Berlin")),
        (ZONED, "2020-07-01T10:00Z", pd.Timestamp("2020-07-01T12:00", tz="Europe/Berlin")),
        (pd.ArrowDtype(pa.timestamp("us")), "2020-02-29", pd.Timestamp("2020-02-29")),
        ("m8[ms]", "1 day 02:03:04.005", pd.Timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ("m8[s]", "P1DT2H", pd.Timedelta(hours=26)),
        ("object", "x", "x"),
        ("object", 5, 5),
        ("object", True, True),
    ],
)
def test_a_value_of_the_columns_kind_is_taken_exactly(dtype: Any, value: Any, cell: Any) -> None:
    if str(dtype) in ("str", "string", "string[pyarrow]", "object"):
        frame = pd.DataFrame({"a": pd.Series(["p", "q"], dtype=dtype)})
    else:
        frame = pd.DataFrame({"a": pd.Series([0, 1]).astype(dtype)})
    column = set_cell(frame, value)
    assert column.iloc[0] == cell
    assert column.dtype == frame["a"].dtype
    assert_identical(column.iloc[1:].array, frame["a"].iloc[1:].array)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("int64", 1.5),
        ("int64", "7x"),
        ("int64", True),
        ("int64", 2**63),
        ("int8", 128),
        ("uint8", -1),
        ("float64", "1"),
        ("float64", True),
        ("float64", 2**53 + 1),
        ("float64", 10**400),
        ("float32", 1e300),
        ("float32", 2**24 + 1),
        ("bool", 1),
        ("bool", "true"),
        ("str", 5),
        ("str", True),
        ("str", "\ud800"),
        ("M8[s]", 5),
        ("M8[s]", "yesterday"),
        ("M8[s]", "2020-02-30"),
        ("M8[s]", "0000-01-01"),
        ("M8[s]", "2020-02-29T00:00:00.5"),
        ("M8[ns]", "9999-01-01"),
        ("M8[s]", "2020-02-29T00:00Z"),
        (ZONED, "2020-03-29T02:30"),
        (ZONED, "2020-10-25T02:30"),
        ("m8[s]", "5"),
        ("m8[s]", "00:00:00.5"),
        ("complex128", 1),
        ("period[M]", "2020-01"),
        (DECIMAL, 1.5),
        (pd.CategoricalDtype([0, 1]), "x"),
        (pd.CategoricalDtype([0, 1], ordered=True), 2),
    ],
    ids=str,
)
def test_a_value_that_would_not_be_the_same_is_refused(dtype: Any, value: Any) -> None:
    if str(dtype) == "str":
        frame = pd.DataFrame({"a": pd.array(["p", "q"], dtype=dtype)})
    elif str(dtype).startswith("period"):
        frame = pd.DataFrame({"a": pd.period_range("2020-01", periods=2, freq="M")})
    elif dtype is DECIMAL:
        frame = pd.DataFrame({"a": pd.array([None, None], dtype=dtype)})
    else:
        frame = pd.DataFrame({"a": pd.Series([0, 1]).astype(dtype)})
    with pytest.raises(InvalidEditError, match="'a'") as caught:
        set_cell(frame, value)
    assert "yesterday" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "after"),
    [
        ("int64", "Int64"),
        ("uint8", "UInt8"),
        (">i4", "Int32"),
        ("bool", "boolean"),
        ("float64", "float64"),
        ("Int16", "Int16"),
        ("str", "str"),
        ("M8[us]", "datetime64[us]"),
        ("object", "object"),
        ("category", "category"),
        ("complex128", "complex128"),
        (pd.ArrowDtype(pa.int8()), "int8[pyarrow]"),
    ],
)
def test_a_cell_can_be_made_missing(dtype: Any, after: str) -> None:
    frame = pd.DataFrame({"a": pd.Series([1, 1, 0]).astype(dtype)})
    column = set_cell(frame, None, row=2)
    assert column.dtype == after
    assert column.isna().tolist() == [False, False, True]
    assert (column.iloc[:2] == frame["a"].iloc[0]).all()


@pytest.mark.parametrize("dtype", ["Sparse[int64]", "interval"])
def test_a_cell_that_cannot_be_missing_is_refused(dtype: str) -> None:
    sparse = pd.Series(pd.arrays.SparseArray([0, 1]))
    interval = pd.Series(pd.arrays.IntervalArray.from_breaks([0, 1, 2]))
    with pytest.raises(InvalidEditError, match="Cast"):
        set_cell(pd.DataFrame({"a": sparse if "Sparse" in dtype else interval}), None)


def test_an_unordered_category_grows_by_a_new_value() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y"])})
    column = set_cell(frame, "z")
    assert column.tolist() == ["z", "y"]
    assert column.cat.categories.tolist() == ["x", "y", "z"]


def test_the_last_of_several_values_for_a_cell_stays() -> None:
    cells = [{"row": 1, "column": "a", "value": value} for value in (5, 6)]
    result = apply(pd.DataFrame({"a": [1, 2, 3]}), [{"op": "set_cells", "cells": cells}])
    assert result["a"].tolist() == [1, 6, 3]


def test_a_row_beyond_the_table_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="no row 2: the table has 2"):
        set_cell(pd.DataFrame({"a": [1, 2]}), 5, row=2)


def test_many_cells_of_many_columns_are_set_at_once() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [1.0, 2.0, 3.0]})
    cells = [
        {"row": 0, "column": "a", "value": 10},
        {"row": 2, "column": "a", "value": None},
        {"row": 1, "column": "b", "value": "Y"},
    ]
    result = apply(frame, [{"op": "set_cells", "cells": cells}])
    assert_identical(
        result,
        pd.DataFrame(
            {"a": pd.array([10, 2, None], dtype="Int64"), "b": ["x", "Y", "z"], "c": [1.0, 2.0, 3.0]}
        ),
    )


# --- replaced values ----------------------------------------------------------------------------------


def test_values_are_replaced_all_at_once() -> None:
    result = replace(pd.DataFrame({"a": [1, 2, 3]}), {1: 2, 2: 1})
    assert result["a"].tolist() == [2, 1, 3]


def test_a_value_is_replaced_by_missing() -> None:
    result = replace(pd.DataFrame({"a": [-999, 5], "b": [-999.0, 1.5]}), {-999: None})
    assert_identical(result, pd.DataFrame({"a": pd.array([None, 5], dtype="Int64"), "b": [np.nan, 1.5]}))


def test_without_columns_those_that_cannot_hold_the_value_are_left_alone() -> None:
    frame = pd.DataFrame(
        {"a": [1, 0], "t": ["1", "x"], "b": [True, False], "d": pd.to_datetime(["2020", "2021"])}
    )
    result = replace(frame, {"1": "one"})
    assert_identical(result, frame.assign(t=["one", "x"]))


def test_a_column_named_that_cannot_hold_the_value_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="a text does not fit"):
        replace(pd.DataFrame({"a": [1]}), {"x": "y"}, columns=["a"])


def test_a_replacement_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="'a'"):
        replace(pd.DataFrame({"a": [1, 2]}), {1: "one"})


@pytest.mark.parametrize("twice", [["x", "x"], [1, 1]])
def test_a_value_named_twice_is_refused(twice: list[Any]) -> None:
    replacements = [{"from": old, "to": new} for old, new in zip(twice, ["p", "q"], strict=True)]
    with pytest.raises(InvalidEditError, match="twice"):
        apply(pd.DataFrame({"a": ["x"]}), [{"op": "replace_values", "replacements": replacements}])


def test_a_number_named_in_two_types_is_refused_where_they_are_one() -> None:
    replacements = [{"from": 1, "to": 5}, {"from": 1.0, "to": 6}]
    with pytest.raises(InvalidEditError, match="twice"):
        apply(pd.DataFrame({"a": [1]}), [{"op": "replace_values", "replacements": replacements}])


def test_in_a_column_of_any_values_types_are_told_apart() -> None:
    cells = np.array([1, 1.0, True, "1", None, dt.date(2020, 1, 1)], dtype=object)
    result = replace(pd.DataFrame({"a": cells}), {1: "one"})["a"].tolist()
    assert result == ["one", 1.0, True, "1", None, dt.date(2020, 1, 1)]
    assert result[2] is True


def test_dates_are_replaced_by_their_text() -> None:
    frame = pd.DataFrame({"d": pd.to_datetime(["1900-01-01", "2020-05-05"])})
    result = replace(frame, {"1900-01-01": None})
    assert result["d"].isna().tolist() == [True, False]


def test_categories_are_renamed_merged_and_removed() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["m", "male", "f", "?", "m"], ["f", "m", "male", "?"])})
    result = replace(frame, {"m": "male", "f": "female", "?": None})["a"]
    assert result.astype(object).where(result.notna(), None).tolist() == [
        "male",
        "male",
        "female",
        None,
        "male",
    ]
    assert result.cat.categories.tolist() == ["female", "male"]


def test_an_ordered_category_is_renamed_in_its_place() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["lo", "hi"], ["lo", "mid", "hi"], ordered=True)})
    result = replace(frame, {"mid": "medium"})["a"]
    assert result.cat.categories.tolist() == ["lo", "medium", "hi"]
    assert result.cat.ordered


def test_parts_of_texts_are_replaced_one_after_the_other() -> None:
    frame = pd.DataFrame({"t": ["a.b", None, "c"], "n": [1, 2, 3], "c": pd.Categorical(["a.", "x", "a"])})
    result = replace(frame, {".": "", "a": "A"}, match="part")
    assert result["t"].astype(object).where(result["t"].notna(), None).tolist() == ["Ab", None, "c"]
    assert result["c"].tolist() == ["A", "x", "A"]
    assert result["n"] is not None
    assert result["n"].tolist() == [1, 2, 3]


def test_texts_do_not_grow_without_bound() -> None:
    frame = pd.DataFrame({"t": ["a" * 10_000]})
    with pytest.raises(InvalidEditError, match="grow"):
        replace(frame, {"a": "a" * 10_000}, match="part")


LONG = "y" * 100_000
ALIKE = pd.DataFrame({"t": ["x"] * 150_000, "m": pd.array([None] * 150_000, dtype="str")})


@pytest.mark.parametrize(
    "operation",
    [
        {
            "op": "replace_values",
            "columns": ["t"],
            "match": "part",
            "replacements": [{"from": "x", "to": LONG}],
        },
        {"op": "replace_values", "columns": ["t"], "replacements": [{"from": "x", "to": LONG}]},
        {"op": "fill_missing", "columns": ["m"], "method": "value", "value": LONG},
        {"op": "derive_column", "name": "z", "expression": f"'{LONG[:9000]}' "},
        {"op": "derive_column", "name": "z", "expression": f"if(t == 'x', '{LONG[:9000]}', t)"},
    ],
    ids=lambda operation: operation["op"],
)
def test_a_text_that_stands_in_many_rows_does_not_become_gigabytes(operation: dict[str, Any]) -> None:
    with pytest.raises(InvalidEditError, match="grow"):
        apply(ALIKE, [{"overwrite": True, **operation} if "name" in operation else operation])


def test_categories_do_not_become_gigabytes_of_text() -> None:
    codes = np.zeros(100_000, dtype="int8")
    frame = pd.DataFrame({"c": pd.Categorical.from_codes(codes, pd.Index([LONG]))})
    with pytest.raises(InvalidEditError, match="grow"):
        apply(frame, [{"op": "cast", "columns": ["c"], "to": "text"}])


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="beyond"):
        apply(
            pd.DataFrame({"n": [1]}),
            [{"op": "set_cells", "cells": [{"row": 0, "column": "n", "value": 10**400}]}],
        )

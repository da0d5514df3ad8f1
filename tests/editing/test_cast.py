"""Types changed without losing a value unasked."""

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
from framekeep.errors import InvalidEditError
from framekeep.testing.identical import assert_identical


def cast(column: Any, to: str, **more: Any) -> pd.Series:
    frame = pd.DataFrame({"a": column})
    return apply(frame, [{"op": "cast", "columns": ["a"], "to": to, **more}])["a"]


def cells(column: pd.Series) -> list[Any]:
    return [None if pd.isna(cell) else cell for cell in column]


def texts(*given: str | None) -> Any:
    return pd.array(list(given), dtype="str")


def instants(*given: str | None, unit: str = "us") -> Any:
    return pd.array([pd.Timestamp(text) if text else pd.NaT for text in given], dtype=f"M8[{unit}]")


def days(*given: str | None) -> Any:
    return instants(*given, unit="s")


def zoned(zone: str, *given: str) -> Any:
    return instants(*given).tz_localize(zone)


def ints(*given: int | None) -> Any:
    return pd.array(list(given), dtype="Int64")


def objects(*given: Any) -> Any:
    return np.array(given, dtype=object)


MONEY = pd.array([decimal.Decimal("1.50"), None], dtype=pd.ArrowDtype(pa.decimal128(9, 2)))
DATES = pd.array([dt.date(2020, 2, 29)], dtype=pd.ArrowDtype(pa.date32()))


@pytest.mark.parametrize(
    ("column", "to", "expected"),
    [
        (["1", " -2 ", "+003", "5.00"], "integer", np.array([1, -2, 3, 5])),
        (["1", None], "integer", ints(1, None)),
        ([str(2**63 - 1), str(-(2**63))], "integer", np.array([2**63 - 1, -(2**63)])),
        ([1.0, -2.0], "integer", np.array([1, -2])),
        ([1.0, None], "integer", ints(1, None)),
        ([True, False], "integer", np.array([1, 0])),
        (pd.array([True, None], dtype="boolean"), "integer", ints(1, None)),
        (["1.5", "2e3", ".5", "-0", "7"], "number", np.array([1.5, 2000.0, 0.5, -0.0, 7.0])),
        ([1, 2**53], "number", np.array([1.0, 2.0**53])),
        (pd.array([1, None], dtype="Int8"), "number", np.array([1.0, np.nan])),
        ([True, False], "number", np.array([1.0, 0.0])),
        (["Yes", "no", " TRUE ", "f", "1", "0"], "boolean", np.array([True, False] * 3)),
        ([1, 0], "boolean", np.array([True, False])),
        ([1.0, None], "boolean", pd.array([True, None], dtype="boolean")),
        ([1, -(2**63)], "text", texts("1", "-9223372036854775808")),
        ([1.0, 0.1, 1e300, None, np.inf], "text", texts("1.0", "0.1", "1e+300", None, "inf")),
        ([True, False], "text", texts("true", "false")),
        (pd.Categorical(["x", None]), "text", texts("x", None)),
        (pd.Categorical(["1", "x"]).remove_categories("x"), "integer", ints(1, None)),
        (pd.Categorical([3, 1, 3]), "text", texts("3", "1", "3")),
        (pd.Categorical([3, 1, 3]), "integer", np.array([3, 1, 3])),
        (["2020-02-29", None], "date", days("2020-02-29", None)),
        (["2020-02-29T00:00:00"], "date", days("2020-02-29")),
        (instants("2020-02-29", None), "date", days("2020-02-29", None)),
        (["2020-02-29 01:02", None], "datetime", instants("2020-02-29T01:02", None)),
        (["2020-02-29T01:02:03.123456789"], "datetime", instants("2020-02-29T01:02:03.123456789", unit="ns")),
        (["2020-02-29T01:00+01:00", "2020-02-29T00:00Z"], "datetime", zoned("UTC", *["2020-02-29"] * 2)),
        (instants("2020-02-29", None), "text", texts("2020-02-29", None)),
        (
            instants("2020-02-29T01:00", "2020-02-29"),
            "text",
            texts("2020-02-29T01:00:00", "2020-02-29T00:00:00"),
        ),
        (zoned("Europe/Berlin", "2020-02-29"), "text", texts("2020-02-29T00:00:00+01:00")),
        (MONEY, "number", np.array([1.5, np.nan])),
        (MONEY, "text", texts("1.50", None)),
        (DATES, "date", days("2020-02-29")),
        (pd.arrays.SparseArray([0, 1]), "integer", np.array([0, 1])),
        (pd.period_range("2020-01", periods=1, freq="M"), "text", texts("2020-01")),
        (objects(1, "2", 3.0, True, None), "integer", ints(1, 2, 3, 1, None)),
        (objects(1, "x", None, dt.date(2020, 1, 1)), "text", texts("1", "x", None, "2020-01-01")),
        (objects(dt.date(2020, 1, 1), "2020-01-02"), "date", days("2020-01-01", "2020-01-02")),
        (objects(pd.Timestamp("2020-01-03"), None), "date", days("2020-01-03", None)),
    ],
    ids=range(39),
)
def test_values_become_what_they_are_in_another_type(column: Any, to: str, expected: Any) -> None:
    assert_identical(cast(column, to), pd.Series(expected, name="a"))


@pytest.mark.parametrize(
    ("column", "to", "count", "first"),
    [
        (["1", "x", "2.5", None], "integer", 2, 1),
        (["1e3", "٣", "1 000", str(2**63)], "integer", 4, 0),
        ([1.0, 1.5, np.inf, None], "integer", 2, 1),
        ([1.0, 2.0**63], "integer", 1, 1),
        (["1", "nan", "inf", "1e999", "1,5", "9007199254740993"], "number", 5, 1),
        ([0, 2**53 + 1], "number", 1, 1),
        (["yes", "maybe", ""], "boolean", 2, 1),
        ([0, 1, 2], "boolean", 1, 2),
        (["2020-02-29", "2020-02-30", "29.2.2020", "2020"], "date", 3, 1),
        (["2020-02-29T10:00", "2020-01-01"], "date", 1, 0),
        (instants("2020-02-29T10:00", "2020-01-01"), "date", 1, 0),
        (["2020-02-29T25:00", "0000-01-01", "2020-01-01T00:00"], "datetime", 2, 0),
        (np.array([b"x", "ok", "\ud800"], dtype=object), "text", 2, 0),
        (np.array([dt.date(2020, 1, 1), 5], dtype=object), "datetime", 1, 1),
        (pd.Categorical(["1", "x", "x"]), "integer", 2, 1),
    ],
    ids=range(15),
)
def test_a_value_that_would_be_lost_is_counted_and_refused(
    column: Any, to: str, count: int, first: int
) -> None:
    with pytest.raises(InvalidEditError, match=rf"'a': {count} value\(s\).*row {first}\."):
        cast(column, to)


@pytest.mark.parametrize(
    ("column", "to", "expected"),
    [
        (["1", "x", None], "integer", [1, None, None]),
        ([1.0, 1.5, np.inf], "integer", [1, None, None]),
        ([0, 2**53 + 1], "number", [0.0, None]),
        (["yes", "maybe"], "boolean", [True, None]),
        (["2020-02-29", "never"], "date", [pd.Timestamp("2020-02-29"), None]),
        (instants("2020-02-29T10:00", "2020-01-01"), "date", [None, pd.Timestamp("2020-01-01")]),
        (pd.Categorical(["1", "x"]), "integer", [1, None]),
    ],
)
def test_a_value_that_would_be_lost_becomes_missing_when_that_is_asked_for(
    column: Any, to: str, expected: list[Any]
) -> None:
    assert cells(cast(column, to, on_error="missing")) == expected


@pytest.mark.parametrize(
    ("column", "to"),
    [
        (np.array([1, 2], dtype="int8"), "integer"),
        (np.array([1, 2], dtype="float32"), "number"),
        (pd.array(["x"], dtype=pd.StringDtype("python")), "text"),
        (pd.array([True], dtype="boolean"), "boolean"),
        (pd.array(["2020-01-01"], dtype="M8[ns]"), "datetime"),
        (pd.Categorical(["x"]), "category"),
    ],
)
def test_a_column_that_is_of_the_type_already_is_not_touched(column: Any, to: str) -> None:
    frame = pd.DataFrame({"a": column})
    result = apply_tracked(frame, [{"op": "cast", "columns": ["a"], "to": to}])
    assert result.touched == frozenset()
    assert_identical(result.frame, frame)


@pytest.mark.parametrize(
    ("column", "to"),
    [
        ([1, 2], "date"),
        ([1.5], "datetime"),
        ([True], "date"),
        (pd.to_datetime(["2020-01-01"]), "integer"),
        (pd.to_datetime(["2020-01-01"]), "boolean"),
        (pd.to_datetime(["2020-01-01"], utc=True), "date"),
        (["2020-01-01T00:00Z"], "date"),
        (pd.to_timedelta([1], unit="s"), "date"),
        (np.array([1, True], dtype=object), "category"),
        (pd.Series([[1], [2]], dtype=object), "category"),
    ],
    ids=str,
)
def test_what_is_no_conversion_is_refused(column: Any, to: str) -> None:
    with pytest.raises(InvalidEditError, match="cannot be cast"):
        cast(column, to, on_error="missing")


def test_categories_are_those_of_the_column() -> None:
    result = cast(["b", "a", None, "b"], "category")
    assert result.cat.categories.tolist() == ["a", "b"]
    assert cells(result) == ["b", "a", None, "b"]


# --- how texts are written ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "decimal_mark", "thousands", "expected"),
    [
        ("1.234,5", ",", ".", 1234.5),
        ("1,234.5", ".", ",", 1234.5),
        ("1'234'567", ".", "'", 1234567.0),
        ("12 345", ",", " ", 12345.0),
        ("12345,5", ",", ".", 12345.5),
        ("1.23", ",", ".", None),
        ("12.34.567", ",", ".", None),
        ("1.5", ",", "", None),
    ],
)
def test_numbers_are_read_as_they_are_written(
    text: str, decimal_mark: str, thousands: str, expected: float | None
) -> None:
    result = cast([text], "number", decimal=decimal_mark, thousands=thousands, on_error="missing")
    assert cells(result) == [expected]


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("%d.%m.%Y", "29.02.2020", "2020-02-29"),
        ("%m/%d/%y", "2/29/20", "2020-02-29"),
        ("%d %b %Y %H:%M", "29 Feb 2020 10:30", "2020-02-29T10:30"),
        ("%Y-%j", "2020-060", "2020-02-29"),
        ("%Y-%m-%dT%H:%M%z", "2020-02-29T10:30+0130", "2020-02-29T09:00Z"),
    ],
)
def test_dates_are_read_in_the_form_given(form: str, text: str, expected: str) -> None:
    assert cast([text], "datetime", format=form).tolist() == [pd.Timestamp(expected)]


@pytest.mark.parametrize(
    "form", ["%H:%M", "%Y", "%m/%d", "%Y-%m", "%d.%m.%Y %Q", "%d%d %m %Y", "yesterday", "mixed"]
)
def test_a_form_that_leaves_something_to_be_guessed_is_refused(form: str) -> None:
    with pytest.raises(InvalidEditError, match="format"):
        cast(["29.02.2020"], "datetime", format=form, on_error="missing")


def test_offsets_stand_in_all_texts_or_in_none() -> None:
    with pytest.raises(InvalidEditError, match="offset"):
        cast(["2020-01-01T00:00Z", "2020-01-01"], "datetime", on_error="missing")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_come_back_from_text(numbers: list[int | None]) -> None:
    column = pd.Series(pd.array(numbers, dtype="Int64"))
    assert cells(cast(cast(column, "text"), "integer")) == numbers


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back_from_text(numbers: list[float]) -> None:
    result = cast(cast(pd.Series(numbers, dtype="float64"), "text"), "number", on_error="missing")
    for before, after in zip(numbers, cells(result), strict=True):
        assert after is not None
        assert (before, str(before)) == (after, str(after))


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "double[pyarrow]"])
@pytest.mark.parametrize("first", [0.0, -0.0])
def test_zeros_keep_their_signs(dtype: str, first: float) -> None:
    numbers = [first, -first, None, -first, first]
    told = cells(cast(pd.Series(pd.array(numbers, dtype=dtype)), "text"))
    assert told == [None if number is None else str(number) for number in numbers]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.datetimes(), min_size=1))
def test_instants_come_back_from_text(instants: list[dt.datetime | None]) -> None:
    column = pd.Series(pd.array(instants, dtype="M8[us]"))
    assert_identical(cast(cast(column, "text"), "datetime"), column.rename("a"))

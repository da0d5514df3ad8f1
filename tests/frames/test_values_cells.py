"""Object columns: the columnar form gives every cell back as it was."""

from __future__ import annotations

import datetime as dt
import enum
import struct
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import pytz
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.errors import UnsupportedTypeError
from framekeep.frames.values import dump, dump_cells, immutable, load_cells

BERLIN = pytz.timezone("Europe/Berlin")


def cells_of(values: list[Any]) -> Any:
    cells = np.empty(len(values), object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


def facts(value: Any) -> Any:
    """What tells two cells apart, without the cells' own codec."""
    if isinstance(value, float) and type(value) is float:
        return float, struct.pack("<d", value)
    if type(value) is Decimal:
        return Decimal, value.as_tuple()
    if isinstance(value, dt.datetime):
        unit = getattr(value, "unit", None)
        return type(value), repr(value), unit, value.fold, id(value.tzinfo) if value.tzinfo else None
    return type(value), repr(value)


def assert_kept(values: list[Any]) -> None:
    cells = cells_of(values)
    data = dump_cells(cells)
    again = load_cells(data, len(cells))
    assert again.dtype == object
    assert again.shape == cells.shape
    assert [facts(cell) for cell in again] == [facts(cell) for cell in cells]
    assert dump_cells(again) == data
    assert [dump(cell) for cell in again] == [dump(cell) for cell in cells]


def nan(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


STAMP = pd.Timestamp("2020-10-25 01:30", tz="UTC")
COLUMNS: dict[str, list[Any]] = {
    "nothing": [],
    "None": [None] * 3,
    "NA": [pd.NA] * 3,
    "NaT": [pd.NaT] * 3,
    "booleans": [True, False, True],
    "True": [True, True],
    "False": [False],
    "integers": [0, -1, 2**63 - 1, -(2**63)],
    "integers of any size": [1, 2**63, -(2**63) - 1, 10**30, 5],
    "big integers": [2**64, 2**65],
    "floats": [
        0.0,
        -0.0,
        float("inf"),
        nan(0x7FF8000000000000),
        nan(0xFFF8000000000001),
        nan(0x7FF0000000000001),
    ],
    "texts": ["a", "", "ä€😀", "a\0b", "x" * 300],
    "long texts": ["x" * 70_000, "y"],
    "empty texts": ["", ""],
    "texts with surrogates": ["a", "\ud800", "b"],
    "surrogates": ["\ud800", "\udfff"],
    "texts and None": ["a", None, "b"],
    "texts and NaN": ["a", float("nan"), "b"],
    "texts and NA": [pd.NA, "b"],
    "bytes": [b"", b"\xff\0", b"x" * 300],
    "decimals": [Decimal("1.50"), Decimal("-0E-5"), Decimal("sNaN7"), Decimal("1E+30"), Decimal("-Infinity")],
    "dates": [dt.date.min, dt.date.max, dt.date(1969, 12, 31)],
    "datetimes": [dt.datetime.min, dt.datetime.max, dt.datetime(1969, 12, 31, 23, 59, 59, 999999)],
    "datetimes of every kind": [
        dt.datetime(2020, 1, 1),
        dt.datetime(2020, 1, 1, fold=1),
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2020, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        BERLIN.localize(dt.datetime(2020, 7, 1)),
    ],
    "dates and datetimes": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), pd.Timestamp(2020, 1, 1)],
    "UUIDs": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)],
    "timestamps": [pd.Timestamp(1), pd.Timestamp.min, pd.Timestamp.max],
    "timestamps of a zone": [
        STAMP.tz_convert("Europe/Berlin"),
        STAMP.tz_convert("Europe/Berlin") - pd.Timedelta("1h"),
    ],
    "timestamps of pytz": [STAMP.tz_convert(BERLIN), (STAMP - pd.Timedelta("90D")).tz_convert(BERLIN)],
    "timestamps of every kind": [
        *(STAMP, STAMP.tz_convert("Asia/Tokyo"), STAMP.as_unit("s"), STAMP.tz_localize(None)),
        *(
            pd.Timestamp(2020, 1, 1, fold=1),
            STAMP.tz_convert(BERLIN),
            pd.Timestamp(np.datetime64("9999", "s")),
        ),
    ],
    "missing values of every kind": [None, float("nan"), pd.NA, pd.NaT, Decimal("NaN"), np.datetime64("NaT")],
    "what == confuses": [
        1,
        1.0,
        True,
        Decimal(1),
        np.int64(1),
        np.float32(1),
        Fraction(1),
        0,
        0.0,
        False,
        -0.0,
    ],
    "anything": [
        [1],
        {"a": (1,)},
        {1},
        np.int8(1),
        1j,
        Fraction(1, 3),
        range(3),
        ...,
        dt.timedelta(1),
        "a",
        1,
        None,
    ],
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_every_cell_comes_back_as_it_was(values: list[Any]) -> None:
    assert_kept(values)


def test_all_columns_in_one_come_back() -> None:
    assert_kept([cell for values in COLUMNS.values() for cell in values])


def test_a_strided_slice_comes_back() -> None:
    cells = cells_of(["a", 1, "b", 2, "c", 3])[::2]
    assert load_cells(dump_cells(cells), 3).tolist() == ["a", "b", "c"]
    assert dump_cells(cells) == dump_cells(cells.copy())


def test_decoded_cells_can_be_written() -> None:
    for values in (["a"], [1], [None], [1.5, "a"]):
        cells = load_cells(dump_cells(cells_of(values)), len(values))
        cells[0] = "changed"
        assert cells[0] == "changed"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize("odd", [Level.LOW, Text("a"), object()], ids=["IntEnum", "str", "object"])
@pytest.mark.parametrize("others", [[], ["a"], [1, None]], ids=["alone", "texts", "mixed"])
def test_a_subclass_of_a_kept_type_is_refused(odd: object, others: list[Any]) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        dump_cells(cells_of([*others, odd]), where="column 'x'")
    assert caught.value.where == "column 'x'"
    assert caught.value.type_name == f"{type(odd).__module__}.{type(odd).__qualname__}"


def test_a_zone_that_cannot_be_kept_is_refused_in_timestamps() -> None:
    class Zone(dt.tzinfo):
        def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
            return dt.timedelta(0)

        def dst(self, _: dt.datetime | None) -> dt.timedelta:
            return dt.timedelta(0)

    with pytest.raises(UnsupportedTypeError, match="Zone"):
        dump_cells(cells_of([pd.Timestamp(dt.datetime(2020, 1, 1, tzinfo=Zone()))]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", 1, None, 1.5, pd.NA, Decimal(1), dt.date(2020, 1, 1), np.int8(1), b"x"], True),
        ([(1, ("a", None)), frozenset({1}), pd.Interval(1, 2)], True),
        ([(), frozenset()], True),
        ([], True),
        (["a", []], False),
        ([(1, ([],))], False),
        ([bytearray(b"x")], False),
        ([np.array([1])], False),
        ([np.zeros(1, [("a", "i4")])[0]], False),
        ([{}], False),
    ],
)
def test_cells_are_immutable_when_nothing_in_them_can_change(values: list[Any], expected: bool) -> None:
    assert immutable(cells_of(values)) is expected


def test_tuples_that_unfold_without_end_count_as_mutable() -> None:
    value: Any = ()
    for _ in range(60):
        value = (value, value)
    assert immutable(cells_of([value])) is False


CELL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.text(st.characters(), max_size=5),
    st.binary(max_size=5),
    st.decimals(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    st.uuids(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([pd.NA, pd.NaT, STAMP, STAMP.as_unit("s"), np.int8(3), dt.timedelta(1)]),
)


@given(st.lists(CELL, max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_column_comes_back(values: list[Any]) -> None:
    assert_kept(values)

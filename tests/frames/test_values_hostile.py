"""Malformed bytes raise SessionDamagedError: no other error, no crash, no memory out of proportion."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import ipaddress
import re
import subprocess
import sys
import tracemalloc
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytz
from dateutil.relativedelta import MO, relativedelta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.errors import NewerFormatError, SessionDamagedError
from framekeep.frames.values import dump, dump_cells, load, load_cells

RECORD = np.dtype([("a", "<i4"), ("b", "U2"), ("o", "O")])
VALUES: list[Any] = [
    *(
        None,
        True,
        7,
        2**80,
        1.5,
        1j,
        "text",
        "\ud800",
        b"bytes",
        bytearray(b"x"),
        Decimal("1.5"),
        Fraction(1, 3),
    ),
    *(uuid.UUID(int=5), ipaddress.ip_address("::1"), re.compile("a+"), range(5), slice(1, 2), int),
    *(
        [1, [2, "x"]],
        (1, (2,)),
        {"a": [1], (1, 2): None},
        {1, 2},
        frozenset("ab"),
        collections.Counter("aab"),
    ),
    *(collections.deque([1], 3), collections.defaultdict(list, {1: []}), collections.OrderedDict(a=1)),
    *(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.time(1), dt.timedelta(5), dt.UTC),
    *(dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), pytz.timezone("Europe/Berlin"), pytz.utc),
    pytz.timezone("Europe/Berlin").localize(dt.datetime(2020, 7, 1)),
    *(
        pytz.FixedOffset(5),
        dateutil.tz.tzoffset("x", 60),
        dateutil.tz.gettz("Europe/Berlin"),
        dateutil.tz.tzlocal(),
    ),
    *(
        pd.NA,
        pd.NaT,
        pd.Timestamp("2020", tz="UTC"),
        pd.Timedelta(1),
        pd.Period("2020", "M"),
        pd.Interval(1, 2),
    ),
    *(
        pd.offsets.MonthEnd(),
        pd.offsets.CustomBusinessDay(holidays=["2020-01-01"]),
        pd.offsets.DateOffset(months=1),
    ),
    *(
        np.int8(1),
        np.float64(2),
        np.longdouble(3),
        np.datetime64("2020", "25s"),
        np.str_("a"),
        np.bytes_(b"a"),
    ),
    *(
        np.void(b"ab"),
        np.dtype("i4"),
        RECORD,
        np.arange(4).reshape(2, 2),
        np.array(["ab", "c"]),
        np.array([True]),
    ),
    *(
        np.array([1, "x", None], object),
        np.array([(1, "a", [])], RECORD),
        pa.scalar([1, None]),
        pa.scalar("x"),
    ),
    *(
        np.ma.array([1, 2], mask=[True, False], fill_value=3),
        np.ma.masked,
        np.array(["ab", None], np.dtypes.StringDType(na_object=None)),
        np.dtypes.StringDType(coerce=False),
        np.busdaycalendar("1110000", ["2020-01-01"]),
    ),
    *(
        pd.CategoricalDtype(["a"], True),
        pd.IntervalDtype("i8", "left"),
        pd.PeriodDtype("M"),
        pd.SparseDtype("f8", 1.0),
        pd.StringDtype("python"),
        pd.ArrowDtype(pa.int8()),
        pd.DatetimeTZDtype("ns", "UTC"),
        pd.Int8Dtype(),
        pd.arrays.NumpyExtensionArray(np.array([1, 2])),
    ),
    *(
        pa.list_(pa.int8()),
        pa.field("a", pa.int8(), False),
        pa.schema([("a", pa.int8())], {"k": "v"}),
        pa.array(["a", None]),
        pa.chunked_array([[1], [2, 3]]),
        pa.record_batch({"a": [1]}),
        pa.table({"a": [1], "b": ["x"]}),
    ),
    *(ValueError("x", [1]), OSError(2, "x", "f"), UnicodeDecodeError("utf8", b"\xff", 0, 1, "bad")),
    *(
        dateutil.tz.tzstr("EST5EDT"),
        dateutil.tz.tzrange("EST", -18000, "EDT"),
        relativedelta(days=1.5, weekday=MO(2)),
    ),
]
CELLS: list[list[Any]] = [
    *(
        [None] * 3,
        [1, 2],
        [1.5],
        ["a", "bc", ""],
        ["x" * 300],
        [b"a"],
        [Decimal(1)],
        [dt.date(2020, 1, 1)] * 2,
    ),
    *([dt.datetime(2020, 1, 1)] * 2, [uuid.UUID(int=1)], [pd.Timestamp("2020", tz="UTC")] * 2, [[1], {}]),
    [None, 1, 2.5, "a", b"b", True, False, pd.NA, pd.NaT, Decimal(1), dt.date(2020, 1, 1), [1], np.int8(1)],
]


def cells_of(values: list[Any]) -> Any:
    cells = np.empty(len(values), object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


ENCODED = [(dump(value), None) for value in VALUES] + [(dump_cells(cells_of(c)), len(c)) for c in CELLS]


def read(data: bytes, count: int | None) -> object:
    return load(data) if count is None else load_cells(data, count)


@pytest.mark.parametrize(("data", "count"), ENCODED, ids=range(len(ENCODED)))
def test_every_truncation_is_damage(data: bytes, count: int | None) -> None:
    for length in range(len(data)):
        with pytest.raises(SessionDamagedError):
            read(data[:length], count)


@pytest.mark.parametrize(("data", "count"), ENCODED, ids=range(len(ENCODED)))
def test_anything_that_follows_is_damage(data: bytes, count: int | None) -> None:
    with pytest.raises(SessionDamagedError):
        read(data + b"\0", count)


@pytest.mark.parametrize(("data", "count"), ENCODED, ids=range(len(ENCODED)))
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_changed_byte_is_damage_or_another_value(data: bytes, count: int | None) -> None:
    for at in range(min(len(data), 400)):
        for byte in {0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80}:
            with contextlib.suppress(SessionDamagedError, NewerFormatError):
                read(data[:at] + bytes([byte]) + data[at + 1 :], count)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_damage_or_a_value(data: bytes) -> None:
    for count in (None, 0, 1, 5):
        with contextlib.suppress(SessionDamagedError, NewerFormatError):
            read(b"\x01" + data, count)


@given(st.sampled_from(ENCODED), st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_spliced_bytes_are_damage_or_a_value(one: tuple[bytes, int | None], data: st.DataObject) -> None:
    other = data.draw(st.sampled_from(ENCODED))[0]
    start, stop = data.draw(st.integers(0, len(one[0]))), data.draw(st.integers(0, len(other)))
    with contextlib.suppress(SessionDamagedError, NewerFormatError):
        read(one[0][:start] + other[stop:], one[1])


HUGE = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
LARGE = b"\x80\x80\x80\x80\x20"  # 2**33
TAGS = [bytes([tag]) for tag in range(256)]


@pytest.mark.parametrize("size", [HUGE, LARGE], ids=["huge", "large"])
def test_a_length_beyond_the_bytes_allocates_nothing(size: bytes) -> None:
    tracemalloc.start()
    try:
        for tag in TAGS:
            for head in (b"", b"i\x04", b"\x12"):
                with pytest.raises(SessionDamagedError):
                    load(b"\x01" + tag + head + size + b"\0" * 8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


def array(dtype: Any, shape: Any, *rest: Any) -> bytes:
    """Forge an array with a shape that its bytes do not bear out."""
    parts = [dtype, shape, 0, *rest]
    return b"\x01\x46" + bytes([len(parts)]) + b"".join(dump(part)[1:] for part in parts)


def node(tag: int, *parts: Any) -> bytes:
    """Forge a node with parts of any kind."""
    return bytes([1, tag, len(parts)]) + b"".join(dump(part)[1:] for part in parts)


def forged(tag: int, schema: Any) -> bytes:
    """Put any Arrow schema where a kept one would be."""
    data = schema.serialize().to_pybytes()
    return bytes([1, tag]) + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data


HOSTILE = {
    "empty": b"",
    "version": b"\x00\x00",
    "unknown tag": b"\x01\xee",
    "reference to nothing": b"\x01\x1c\x00",
    "reference to the unfinished": b"\x01\x11\x01\x1c\x00",
    "key that cannot be hashed": b"\x01\x12\x02\x10\x00\x00",
    "key without a value": b"\x01\x12\x01\x00",
    "key twice": b"\x01\x12\x04\x00\x00\x00\x00",
    "element twice": b"\x01\x13\x02\x00\x00",
    "fraction of texts": b"\x01\x21\x02" + dump("1e999999999")[1:] + dump(1)[1:],
    "fraction over zero": b"\x01\x21\x02" + dump(1)[1:] + dump(0)[1:],
    "zone that is a path": b"\x01\x36" + bytes([11]) + b"/etc/passwd",
    "zone that climbs": b"\x01\x36" + bytes([9]) + b"../../etc",
    "dateutil zone that is a path": b"\x01\x3d\x01" + dump("/etc/passwd")[1:],
    "dateutil zone that is a rule": b"\x01\x3d\x01" + dump("UTC+3")[1:],
    "pytz zone that is a path": b"\x01\x37\x01" + dump("../../etc/passwd")[1:],
    "text that is not UTF-8": b"\x01\x07\x01\xff",
    "pattern with debug output": b"\x01\x25\x02" + dump("a")[1:] + dump(int(re.DEBUG))[1:],
    "pattern that does not compile": b"\x01\x25\x02" + dump("(")[1:] + dump(32)[1:],
    "class from elsewhere": b"\x01\x26" + bytes([9]) + b"os.system",
    "array with too many items": array(np.dtype("i8"), (10**12,), bytearray(8)),
    "array with a negative length": array(np.dtype("i8"), (-1,), bytearray(8)),
    "array whose size overflows": array(np.dtype("i8"), (2**62, 2**62), bytearray(8)),
    "array of 65 dimensions": array(np.dtype("i8"), (1,) * 65, bytearray(8)),
    "array of missing objects": array(np.dtype("O"), (10**12,), None),
    "array of impossible booleans": array(np.dtype("?"), (1,), bytearray(b"\x02")),
    "array of impossible characters": array(np.dtype("U1"), (1,), bytearray(b"\xff\xff\xff\x7f")),
    "record of padding": array(
        np.dtype({"names": ["o"], "formats": ["O"], "itemsize": 2**31 - 8}), (1,), np.array([1], object)
    ),
    "cells of an unknown form": b"\x01\x09",
    "array of objects by another name": array(np.dtype("O"), (1,), None),
    "array of strings by another name": array(np.dtypes.StringDType(), (1,), "x"),
    "objects of an impossible shape": node(0x48, (2, 2), 0, 1, 2, 3),
    "objects of a huge shape": node(0x48, (10**12,), 0, 1),
    "objects in 33 dimensions": node(0x48, (1,) * 33, 0, 1),
    "objects in 65 dimensions": node(0x48, (1,) * 65, 0, 1),
    "objects with flags that are none": node(0x48, (1,), None, 1),
    "strings that are numbers": node(0x4A, np.dtypes.StringDType(), (1,), 0, 5),
    "strings of a huge shape": node(0x4A, np.dtypes.StringDType(), (10**12,), 0, "x"),
    "missing string of any kind": node(0x49, True, [1]),
    "mask of another shape": node(0x4B, np.zeros(3), np.zeros(2, bool), None, False),
    "mask of another kind": node(0x4B, np.zeros(3), np.zeros(3, "u1"), None, False),
    "fill value of another kind": node(0x4B, np.zeros(3), None, np.array("x"), False),
    "mask over a mask": node(0x4B, np.ma.array([1]), None, None, False),
    "week of eight days": node(0x4D, (True,) * 8, ()),
    "holiday that is a text": node(0x4D, (True,) * 7, ("2020-01-01",)),
    "exception from elsewhere": node(0x27, "os.system", ("x",)),
    "exception that is a function": node(0x27, "print", ("x",)),
    "exception of arguments that do not fit": node(0x27, "UnicodeDecodeError", (1,)),
    "dtype from elsewhere": node(0x5B, "object"),
    "dtype by its text": node(0x5B, "IntervalDtype", "int64", "left"),
    "dtype of too many parameters": node(0x5B, "Int8Dtype", 1),
    "dtype of too few parameters": node(0x5B, "PeriodDtype"),
    "array that is none": node(0x5C, [1], False),
    "difference of texts": node(0x5A, *["1"] * 16),
    "rule that is too long": node(0x3E, "A" * 1000, False),
    "rule that is none": node(0x3E, "5", False),
    "zone with rules of texts": node(0x3F, "A", dt.timedelta(0), "B", dt.timedelta(0), "x", "y"),
    "Arrow type that is none": b"\x01\x60\x04\xff\xff\xff\xff",
    "Arrow type of an extension": forged(0x60, pa.schema([pa.field("", pa.uuid())])),
    "Arrow schema of an extension": forged(0x62, pa.schema([pa.field("a", pa.list_(pa.uuid()))])),
    "Arrow field whose name is not UTF-8": forged(0x61, pa.schema([pa.field("aXa", pa.int8())])).replace(
        b"aXa", b"a\xffa"
    ),
    "Arrow type with a part whose name is not UTF-8": forged(
        0x60, pa.schema([pa.field("", pa.list_(pa.field("aXa", pa.int8())))])
    ).replace(b"aXa", b"a\xffa"),
    "weekday beyond the week": node(0x59, 7, None),
    "Arrow type with a name": forged(0x60, pa.schema([pa.field("a", pa.int8())])),
    "Arrow field that is two": forged(0x61, pa.schema([pa.field("a", pa.int8())] * 2)),
    "Arrow table of lists": node(0x66, pa.schema([("a", pa.int8())]), [1]),
    "Arrow table of other columns": node(0x66, pa.schema([("a", pa.int8())]), pa.chunked_array([["x"]])),
    "Arrow table of columns of two lengths": node(
        0x66,
        pa.schema([("a", pa.int8())] * 2),
        *(pa.chunked_array([pa.array([1] * n, pa.int8())]) for n in (1, 2)),
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_bytes_made_to_harm_are_damage(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SessionDamagedError):
            load(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


CELLS_HOSTILE = {
    "unknown form": b"\x01\x09",
    "unknown code": b"\x01\x00\x05",
    "text longer than the bytes": b"\x01\x00\x12\x08" + b"\xff" * 24,
    "lengths whose sum overflows": b"\x01\x00\x12\x08" + b"\x00\x00\x00\x00\x00\x00\x00\x60" * 3,
    "lengths of an odd width": b"\x01\x00\x12\x03" + b"\x00" * 9,
    "text that is not UTF-8": b"\x01\x00\x12\x01\x01\x01\x01\xff\xff\xff",
    "text cut within a character": b"\x01\x00\x12\x01\x01\x01\x00\xc3\xa4",
    "decimal that is none": b"\x01\x00\x14\x01\x01\x01\x01xyz",
    "date before the first": b"\x01\x00\x15" + b"\x00" * 12,
    "datetime after the last": b"\x01\x00\x16" + b"\xff" * 23 + b"\x7f",
    "timestamp that is none": b"\x01\x00\x18\x02ns\x00" + (b"\0" * 7 + b"\x80") * 3,
    "timestamp in an unknown unit": b"\x01\x00\x18\x02xx\x00" + b"\0" * 24,
    "unknown code among others": b"\x01\x01\x00\x09\x00",
    "too few codes": b"\x01\x01\x00\x00",
}


@pytest.mark.parametrize("data", CELLS_HOSTILE.values(), ids=CELLS_HOSTILE.keys())
def test_cells_made_to_harm_are_damage(data: bytes) -> None:
    with pytest.raises(SessionDamagedError):
        load_cells(data, 3)


def test_cells_cannot_ask_for_more_than_their_bytes() -> None:
    for code in range(16, 64):
        with pytest.raises(SessionDamagedError):
            load_cells(b"\x01\x00" + bytes([code]) + b"\x08" * 40, 10**15)


# Each of these would end the interpreter, not raise, if it got through: a process of its own tells.
DEEP = {
    "deques": b"\x18\x02" * 300_000 + b"\x00" + b"\x00" * 300_000,
    "arrays": b"\x46\x04" * 300_000 + b"\x00",
    "arrays of objects": b"\x48\x04" * 300_000 + b"\x00",
    "exceptions": b"\x27\x02" * 300_000 + b"\x00",
    "sets": b"\x14\x01" * 300_000 + b"\x00",
    "a key of tuples": b"\x12\x02" + b"\x11\x01" * 300_000 + b"\x00\x00",
    "an element of tuples": b"\x13\x01" + b"\x11\x01" * 300_000 + b"\x00",
}


@pytest.mark.parametrize("name", DEEP)
def test_depth_made_to_crash_is_damage(name: str) -> None:
    code = (
        "import sys\n"
        "from framekeep.errors import SessionDamagedError\n"
        "from framekeep.frames.values import load\n"
        "try:\n    load(sys.stdin.buffer.read())\n"
        "except SessionDamagedError:\n    print('damaged')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"\x01" + DEEP[name], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, b"damaged")


def test_a_masked_array_over_one_that_is_not_filled_yet_reads_no_freed_memory() -> None:
    # The items of an array of objects: a masked array of that very array, by a back-reference.
    masked = b"\x4b\x04" + b"\x1c\x00" + dump(None)[1:] * 2 + dump(False)[1:]
    data = b"\x01\x48\x03" + dump((1,))[1:] + dump(0)[1:] + masked
    with contextlib.suppress(SessionDamagedError):
        again = load(data)
        assert again[0].shape == (0,)
        assert repr(again[0])


def test_a_key_whose_hash_would_never_end_is_damage() -> None:
    # Forty tuples, each holding the one before twice: 2**40 visits for one hash.
    tuples = b"".join(b"\x11\x02" for _ in range(40))
    inner = b"\x00\x00" + b"".join(b"\x1c" + bytes([40 - level]) for level in range(39))
    with pytest.raises(SessionDamagedError, match="nested too deep"):
        load(b"\x01\x12\x02" + tuples + inner + b"\x00")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (pd.Index(["a", "b"]), b'["index",2'),
        (pd.Index([1, 2]), b'["numpy",2'),
        (pd.Index(["a", "b"]), b",2,65536"),
    ],
)
def test_a_length_within_a_pandas_object_that_no_chunk_bears_out_is_damage(value: Any, count: bytes) -> None:
    data = dump(value)
    assert count in data
    with pytest.raises(SessionDamagedError):
        load(data.replace(count, count.replace(b"2", b"4", 1)))


def test_a_newer_version_says_to_upgrade() -> None:
    with pytest.raises(NewerFormatError, match=r"version 2.*Upgrade"):
        load(b"\x02\x00")

"""Every supported value comes back as it was; everything else is refused by name."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import ipaddress
import itertools
import math
import pathlib
import re
import struct
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
from dateutil.relativedelta import MO
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import offsets

from framekeep.frames import values_pandas
from framekeep.frames.values import dump, load

# --- an independent judge: same types, same bits, same sharing -----------------------------------


def identical(a: Any, b: Any) -> bool:
    """Compare without the codec and without trusting ``==`` across types."""
    stack, seen = [(a, b)], {}
    while stack:
        a, b = stack.pop()
        if type(a) is not type(b):
            return False
        if id(a) in seen:
            if seen[id(a)][1] is not b and not isinstance(a, tuple | frozenset):
                return False
            continue
        if isinstance(a, dict | list | tuple | collections.deque):
            seen[id(a)] = (a, b)
        if isinstance(a, dict):
            if len(a) != len(b) or getattr(a, "default_factory", 0) is not getattr(b, "default_factory", 0):
                return False
            stack += [*zip(a.keys(), b.keys(), strict=True), *zip(a.values(), b.values(), strict=True)]
        elif isinstance(a, list | tuple | collections.deque):
            if len(a) != len(b) or getattr(a, "maxlen", 0) != getattr(b, "maxlen", 0):
                return False
            stack += zip(a, b, strict=True)
        elif isinstance(a, set | frozenset):
            # Sets have no order: match by type and text, which the examples make unique.
            if len(a) != len(b):
                return False
            stack += zip(sorted(a, key=_text), sorted(b, key=_text), strict=True)
        elif not _same_scalar(a, b):
            return False
    return True


def _text(value: Any) -> str:
    if isinstance(value, tuple | frozenset):
        texts = [_text(each) for each in value]
        return f"{type(value)} {texts if isinstance(value, tuple) else sorted(texts)}"
    return f"{type(value)} {value!r}"


def _same_scalar(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray | np.generic):
        if a.dtype.hasobject:
            if _dtype_facts(a.dtype) != _dtype_facts(b.dtype) or a.shape != b.shape:
                return False
            if a.dtype.names is None:
                return all(identical(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
            return all(identical(a[name], b[name]) for name in a.dtype.names)
        facts = [
            (_dtype_facts(x.dtype), x.shape, x.flags.f_contiguous, x.flags.writeable, _bits(x))
            for x in (a, b)
        ]
        return bool(facts[0] == facts[1])
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, complex):
        return struct.pack("<dd", a.real, a.imag) == struct.pack("<dd", b.real, b.imag)
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, pd.Timestamp):
        return (a.asm8, a.unit, a.fold, repr(a)) == (b.asm8, b.unit, b.fold, repr(b)) and _same_zone(
            a.tzinfo, b.tzinfo
        )
    if isinstance(a, dt.datetime):
        return (a.replace(tzinfo=None), a.fold) == (b.replace(tzinfo=None), b.fold) and _same_zone(
            a.tzinfo, b.tzinfo
        )
    if isinstance(a, dt.time):
        return (a.replace(tzinfo=None), a.fold) == (b.replace(tzinfo=None), b.fold) and _same_zone(
            a.tzinfo, b.tzinfo
        )
    if isinstance(a, dt.tzinfo):
        return _same_zone(a, b)
    if isinstance(a, np.dtype):
        return _dtype_facts(a) == _dtype_facts(b)
    if isinstance(a, pd.Timedelta):
        return a == b and a.unit == b.unit
    if isinstance(a, pd.Interval):
        return a.closed == b.closed and identical([a.left, a.right], [b.left, b.right])
    if isinstance(a, offsets.BaseOffset):
        one, two = ({k: v for k, v in x.kwds.items() if k != "calendar"} for x in (a, b))
        return (
            a == b and (a.n, a.normalize, a.freqstr) == (b.n, b.normalize, b.freqstr) and identical(one, two)
        )
    if isinstance(a, slice):
        return identical([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    if isinstance(a, array.array):
        return a.typecode == b.typecode and a.tobytes() == b.tobytes()
    if isinstance(a, re.Pattern):
        return identical([a.pattern, a.flags], [b.pattern, b.flags])
    if isinstance(a, pa.Scalar):
        return a.type == b.type and a.equals(b)
    if a is pd.NA or a is pd.NaT or a is None or isinstance(a, type):
        return a is b
    return bool(a == b) and (type(a) is int or repr(a) == repr(b))


def _same_zone(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if a is None or isinstance(a, ZoneInfo) or type(a).__module__.startswith("pytz"):
        return a is b
    return bool(a == b) and repr(a) == repr(b) and str(a) == str(b)


def _bits(a: Any) -> bytes:
    if a.dtype.char in "gG":
        return repr(
            [(x.real.hex() if hasattr(x.real, "hex") else str(x.real), str(x.imag)) for x in a.ravel()]
        ).encode()
    return bytes(a.tobytes())


def _dtype_facts(a: np.dtype[Any]) -> tuple[Any, ...]:
    return a, a.char, a.byteorder, a.itemsize, a.alignment, a.flags, repr(a), repr(a.fields)


def nan(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


# --- examples -----------------------------------------------------------------------------------

BERLIN = pytz.timezone("Europe/Berlin")
SCALARS = [
    *(None, True, False, ..., NotImplemented, pd.NA, pd.NaT),
    *(0, 1, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**5000, -(10**5000), 255, 256, -128),
    *(0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, nan(0x7FF8000000000000), nan(0xFFF8000000000001)),
    *(nan(0x7FF8DEADBEEF0001), 1j, complex(-0.0, 0.0), complex(nan(0x7FF8000000000007), -0.0)),
    *("", "a", "ä€😀", "a\0b", "\ud800", "x\udfff\ud800y", "x" * 300, b"", b"\0\xff", b"y" * 300),
    *map(Decimal, ["0", "-0", "1.50", "-0E-3", "1E+20", "NaN", "-NaN", "sNaN", "-sNaN123", "NaN99"]),
    *map(Decimal, ["Infinity", "-Infinity", "1E+999999", "9" * 60, "-1E-999999"]),
    *(Fraction(1, 3), Fraction(-(10**30), 7), Fraction(0)),
    *(uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid5(uuid.NAMESPACE_DNS, "x")),
    *(ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("::1"), ipaddress.ip_address("fe80::1%eth0")),
    *(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10")),
    *(ipaddress.ip_interface("10.1.2.3/8"), ipaddress.ip_interface("fe80::1%3/64")),
    *(pathlib.PurePosixPath("/a/../b"), pathlib.PureWindowsPath(r"C:\a\b"), pathlib.PosixPath("x y")),
    *(pathlib.PurePosixPath(""), pathlib.PurePosixPath("//a"), pathlib.PureWindowsPath("c:")),
    *(re.compile("a+"), re.compile(b"a", re.I), re.compile(r"(?P<n>x)(?im:y)", re.M | re.ASCII)),
    re.compile("(?i)inline"),
    *(range(0), range(3), range(10, -10, -3), range(2**70), slice(None), slice(1, "a", [2])),
    *(int, float, str, np.float64, np.longlong, dt.datetime, Decimal, type(None), pd.Timestamp, type, object),
]
TIMES = [
    *(dt.date.min, dt.date.max, dt.date(2024, 2, 29)),
    *(dt.datetime.min, dt.datetime.max, dt.datetime(1969, 12, 31, 23, 59, 59, 999999)),
    dt.datetime(2020, 10, 25, 2, 30, fold=1),
    *(dt.timedelta.min, dt.timedelta.max, dt.timedelta(0), dt.timedelta(-1, 5, 7)),
    *(dt.time(), dt.time.max, dt.time(2, 30, fold=1), dt.time(1, tzinfo=dt.UTC)),
    *(dt.time(1, 2, 3, 4, ZoneInfo("Europe/Berlin"), fold=1),),
]
ZONES: list[Any] = [
    dt.UTC,
    dt.timezone(dt.timedelta(0), "UTC"),
    dt.timezone(dt.timedelta(hours=-3, minutes=-30)),
    dt.timezone(dt.timedelta(seconds=3661, microseconds=7), "odd"),
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("UTC"),
    ZoneInfo("America/Argentina/Buenos_Aires"),
    pytz.utc,
    BERLIN,
    pytz.timezone("Etc/GMT+5"),
    pytz.timezone("America/St_Johns"),
    pytz.FixedOffset(90),
    pytz.FixedOffset(-1),
    dateutil.tz.tzutc(),
    dateutil.tz.tzoffset("EST", -18000),
    dateutil.tz.tzoffset(None, 3600),
    dateutil.tz.tzlocal(),
    dateutil.tz.gettz("Europe/Berlin"),
    dateutil.tz.gettz("America/New_York"),
]
AWARE = [
    *(
        dt.datetime(2020, 7, 1, 12, 30, 15, 123456, zone)
        for zone in ZONES
        if "pytz" not in type(zone).__module__
    ),
    *(BERLIN.localize(dt.datetime(2020, month, 1)) for month in (1, 7)),
    BERLIN.localize(dt.datetime(2020, 10, 25, 2, 30), is_dst=True),
    BERLIN.localize(dt.datetime(2020, 10, 25, 2, 30), is_dst=False),
    BERLIN.localize(dt.datetime(1800, 1, 1)),
    dt.datetime(2020, 1, 1, tzinfo=BERLIN),
    pytz.timezone("Etc/GMT+5").localize(dt.datetime(2020, 1, 1)),
    dt.datetime(2020, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
]
STAMPS = [
    *(pd.Timestamp("2020-01-01 00:00:00.123456789"), pd.Timestamp.min, pd.Timestamp.max),
    *(pd.Timestamp("2020-01-01").as_unit(unit) for unit in ("s", "ms", "us", "ns")),
    *(pd.Timestamp("2020-10-25 01:30", tz="UTC").tz_convert(zone) for zone in ZONES),
    *(pd.Timestamp("2020-10-25 00:30", tz="UTC").tz_convert(zone) for zone in ZONES),
    pd.Timestamp(np.datetime64("9999-12-31", "s")),
    pd.Timestamp(np.datetime64("-5000-01-01", "s")),
    pd.Timestamp(2020, 1, 1, fold=1),
    *(pd.Timedelta(1, "ns"), pd.Timedelta.min, pd.Timedelta.max, pd.Timedelta("-1D")),
    *(pd.Timedelta(np.timedelta64(5, unit)) for unit in ("s", "ms", "us", "ns")),
    *(pd.Period("2020-03", freq) for freq in ("M", "Q-NOV", "Y-MAR", "W-WED", "D", "3D", "h", "15min", "ns")),
    pd.Period("1500-01-01", "s"),
    *(pd.Interval(0, 1), pd.Interval(0.5, 1.5, "both"), pd.Interval(np.int8(1), np.float32(2), "neither")),
    pd.Interval(pd.Timestamp("2020", tz="UTC"), pd.Timestamp("2021", tz="UTC"), "left"),
    pd.Interval(pd.Timedelta(1), pd.Timedelta(2)),
]
OFFSETS = [
    *(getattr(offsets, name)(n) for name in values_pandas.OFFSETS for n in (1, -3) if "FY" not in name),
    *(
        getattr(offsets, name)(2, normalize=True)
        for name in ("MonthEnd", "BusinessDay", "Week", "DateOffset")
    ),
    *(offsets.Week(weekday=3), offsets.WeekOfMonth(week=2, weekday=4), offsets.LastWeekOfMonth(weekday=5)),
    *(offsets.YearEnd(month=3), offsets.QuarterBegin(startingMonth=2), offsets.SemiMonthEnd(day_of_month=7)),
    *(offsets.DateOffset(months=2, hour=3), offsets.DateOffset(days=-1, nanoseconds=5), offsets.DateOffset()),
    *(
        offsets.DateOffset(weekday=MO(2)),
        offsets.DateOffset(weekday=MO),
        offsets.DateOffset(hour=np.int64(2)),
    ),
    offsets.BusinessHour(start="09:30", end="20:00", offset=dt.timedelta(hours=1)),
    offsets.BusinessHour(start=["08:00", "14:00"], end=["12:00", "17:00"]),
    offsets.BusinessDay(2, offset=dt.timedelta(hours=2)),
    offsets.CustomBusinessDay(holidays=["2020-01-01", "2020-12-25"], weekmask="Sun Mon Tue"),
    offsets.CustomBusinessDay(calendar=np.busdaycalendar("1111000", ["2021-05-05"])),
    offsets.CustomBusinessHour(holidays=["2020-01-01"], start="07:00", end="11:00"),
    offsets.CustomBusinessMonthEnd(holidays=["2020-01-31"]),
    offsets.FY5253(weekday=1, startingMonth=2, variation="last"),
    offsets.FY5253Quarter(weekday=1, startingMonth=2, qtr_with_extra_week=2, variation="nearest"),
    offsets.Easter(3),
]
LETTERS = "?bBhHiIlLqQefdgFDG"
NUMPY_SCALARS = [
    *(np.dtype(letter).type(value) for letter in LETTERS for value in (0, 1)),
    *(np.dtype(letter).type("nan") for letter in "efdg"),
    *(np.dtype(letter).type(-0.0) for letter in "efdgFDG"),
    *(np.int8(-128), np.uint64(2**64 - 1), np.longlong(-5), np.ulonglong(2**64 - 1)),
    *(np.longdouble(1) / 3, np.clongdouble(1 + 2j) / 3),
    *(np.frombuffer(b"\x01\x00\xf0\x7f" * n, f"f{4 * n}")[0] for n in (1, 2)),
    *(
        np.datetime64("2020-01-01", unit)
        for unit in ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps")
    ),
    *(np.datetime64("NaT"), np.datetime64("NaT", "25s"), np.datetime64(7, "25s"), np.datetime64(1, "as")),
    *(np.timedelta64(3), np.timedelta64("NaT"), np.timedelta64(-5, "7D"), np.timedelta64("NaT", "Y")),
    *(np.str_(""), np.str_("a\0"), np.str_("\ud800"), np.str_("ä"), np.bytes_(b"a\0"), np.bytes_(b"")),
    *(np.void(b"ab\0"), np.void(b"")),
]
RECORD = np.dtype([("a", "<i4"), ("b", ">f8", (2,)), ("c", [("d", "U3"), ("e", "M8[ms]")])])
DTYPES = [
    *map(np.dtype, LETTERS),
    *map(
        np.dtype,
        (">i4", ">q", ">f8", ">c16", "S5", "U7", ">U3", "V9", "O", "M8", "M8[25s]", ">m8[ns]", "S", "V"),
    ),
    RECORD,
    np.dtype([("x", "i1"), ("y", "i8")], align=True),
    np.dtype({"names": ["p", "q"], "formats": ["u1", "O"], "offsets": [8, 16], "itemsize": 40}),
    np.dtype([(("title", "name"), "i4")]),
    np.dtype(("i4", (2, 3))),
    np.dtype([]),
]
ARRAYS: list[Any] = [
    np.array(5),
    np.zeros((0, 3), "f4"),
    np.arange(6).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0)[::1],
    np.arange(6, dtype=">i2"),
    np.array([1.5, np.nan], "g"),
    np.array(["a", "bcd"]),
    np.array([b"a", b"\0b"]),
    np.array(["NaT", "2020"], "M8[D]"),
    np.array([True, False]),
    np.array([1, None, "x", [2], np.array([3])], object),
    np.array(None, object),
    np.asfortranarray(np.array([[1, "a"], [None, 2.5]], object)),
    np.zeros(3, RECORD),
    np.array([(1, [2]), (3, "x")], [("n", "i4"), ("o", "O")]),
    np.zeros((2, 2), "V0"),
    np.zeros(3, "S"),
    *(np.array([3, 4]).view() for _ in range(1)),
]
ARRAYS[-1].flags.writeable = False
CONTAINERS: list[Any] = [
    *([], [1, [2, [None]]], (), (1, (2,)), {}, {"b": 1, "a": {None: (1,)}}, {(1, "x"): [], None: 2, 1.5: 3}),
    *(set(), {1, "a", None, (1, 2)}, frozenset(), frozenset({frozenset({1}), 2}), {1.5, Decimal(2), b"x"}),
    *(
        bytearray(),
        bytearray(b"xyz"),
        array.array("d", [1.5, -0.0]),
        array.array("q"),
        array.array("B", b"ab"),
    ),
    *(collections.OrderedDict(b=1, a=2), collections.Counter("abca"), collections.Counter({"x": -1})),
    *(collections.defaultdict(None, {1: 2}), collections.defaultdict(list, {1: [2]})),
    *(
        collections.deque(),
        collections.deque([1, 2], 5),
        collections.deque([[]], None),
        collections.deque(maxlen=0),
    ),
    {"time": dt.datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC")), "frame": [np.float32(1), pd.NA, float("nan")]},
    [np.zeros(1, RECORD)[0]],
]
ARROW = [
    *(pa.scalar(5), pa.scalar(None), pa.scalar(None, pa.int8()), pa.scalar("x", pa.large_string())),
    *(
        pa.scalar([1, None]),
        pa.scalar({"a": 1.5}),
        pa.scalar(dt.datetime(2020, 1, 1), pa.timestamp("ms", "UTC")),
    ),
    *(pa.scalar(Decimal("1.50"), pa.decimal128(5, 2)), pa.scalar(b"x"), pa.scalar("x", pa.string_view())),
    pa.array(["a", "b"]).dictionary_encode()[1],
]
EXAMPLES = itertools.chain(
    SCALARS, TIMES, ZONES, AWARE, STAMPS, OFFSETS, NUMPY_SCALARS, DTYPES, ARRAYS, CONTAINERS, ARROW
)
"""More of them, less usual ones, are in ``test_values_rare.py``."""
ALL = [pytest.param(value, id=f"{i}-{type(value).__name__}") for i, value in enumerate(EXAMPLES)]


@pytest.mark.parametrize("value", ALL)
def test_a_value_comes_back_with_its_type_and_its_bits(value: Any) -> None:
    again = load(dump(value))
    assert identical(value, again), f"{value!r} became {again!r}"


@pytest.mark.parametrize("value", ALL)
def test_encoding_what_was_decoded_gives_the_same_bytes(value: Any) -> None:
    data = dump(value)
    assert dump(load(data)) == data


@pytest.mark.parametrize("value", ALL)
def test_a_value_within_a_container_comes_back(value: Any) -> None:
    value = {"k": [value, (value, 1)]}
    assert identical(value, load(dump(value)))


def test_no_two_different_examples_have_the_same_bytes() -> None:
    values = [*SCALARS, *TIMES, *ZONES, *NUMPY_SCALARS, *DTYPES, *CONTAINERS]
    for one, two in [(a, b) for a in values for b in values]:
        if dump(one) == dump(two):
            assert identical(one, two), f"{one!r} and {two!r}"


def test_missing_values_are_told_apart() -> None:
    assert (
        len({dump(value) for value in (None, float("nan"), pd.NA, pd.NaT, Decimal("NaN"), np.float64("nan"))})
        == 6
    )


def test_the_decimal_context_does_not_change_the_bytes() -> None:
    with decimal.localcontext(decimal.Context(capitals=0, prec=3)):
        assert dump(Decimal("1.23456E+20")) == dump_in_default_context()
        assert load(dump(Decimal("1.23456E+20"))).as_tuple() == Decimal("1.23456E+20").as_tuple()


def dump_in_default_context() -> bytes:
    with decimal.localcontext(decimal.DefaultContext):
        return dump(Decimal("1.23456E+20"))


def test_the_order_of_a_set_does_not_change_the_bytes() -> None:
    one, two = set(range(100, -1, -1)), set()
    for number in (*range(1000), *range(101)):
        two.add(number)
    two -= set(range(101, 1000))
    assert dump(one) == dump(two)


def test_padding_of_a_long_double_does_not_change_the_bytes() -> None:
    noisy = np.frombuffer(np.longdouble(1.5).tobytes()[:10] + b"\xff" * 6, np.longdouble)
    assert dump(noisy) == dump(np.array([1.5], np.longdouble).copy()) or not noisy.flags.writeable
    assert dump(noisy[0]) == dump(np.longdouble(1.5))


def test_padding_of_records_does_not_change_the_bytes() -> None:
    inner = np.dtype([("d", "i1"), ("e", "i4")], align=True)
    dtype = np.dtype([("a", "i1"), ("b", "f8"), ("c", inner, (2,)), ("g", np.longdouble)], align=True)
    for order in "=>":
        one, two = (
            np.frombuffer(bytearray(fill * dtype.itemsize), dtype.newbyteorder(order))
            for fill in (b"\0", b"\xff")
        )
        for each in (one, two):
            each["a"], each["b"], each["g"] = 1, -2.5, 3
            each["c"]["d"], each["c"]["e"] = 4, 5
        assert one.tobytes() != two.tobytes()
        assert dump(one) == dump(two)
        assert dump(one[0]) == dump(two[0])
        assert repr(load(dump(two))) == repr(two)


# --- properties -----------------------------------------------------------------------------------

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),
    st.binary(),
    st.decimals(),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.times(timezones=st.timezones()),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
    st.ip_addresses(),
    st.sampled_from(
        [pd.NA, pd.NaT, ..., np.int8(3), np.longdouble(2), pd.Timestamp("2020"), np.datetime64("NaT")]
    ),
)
HASHABLE = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.dates(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
NESTED = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.lists(inner, max_size=3).map(collections.deque),
        st.sets(HASHABLE, max_size=4),
    ),
    max_leaves=20,
)


@given(NESTED)
@settings(max_examples=150, deadline=None)
def test_any_nesting_of_supported_values_comes_back(value: Any) -> None:
    data = dump(value)
    assert identical(value, load(data))
    assert dump(load(data)) == data

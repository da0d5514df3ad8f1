"""Object columns: every kind of Python value a cell may hold, and the kinds that must be refused."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import uuid
import zoneinfo
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytz
from dateutil import relativedelta
from odd.registry import add, add_column, labels, objects
from pandas import offsets as o

NAN = float("nan")
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
D = decimal.Decimal


def nan_with(bits: int) -> float:
    return float(np.array([bits], dtype="u8").view("f8")[0])


def masked_pair() -> Any:
    return pd.arrays.FloatingArray(np.array([NAN, 1.0]), np.array([False, True]))


# Hashable ones also serve as labels of both axes.
SCALARS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "nan": lambda: NAN,
    "nan_payload": lambda: nan_with((0x7FF8 << 48) + 99),
    "nan_negative": lambda: nan_with(0xFFF8 << 48),
    "np_nan64": lambda: np.float64("nan"),
    "na": lambda: pd.NA,
    "nat": lambda: pd.NaT,
    "true": lambda: True,
    "int": lambda: 5,
    "int_64_bit": lambda: 2**63,
    "int_huge": lambda: -(7**3000),
    "int_5000_digits": lambda: 10**5000,
    "float": lambda: 1.5,
    "float_minus_zero": lambda: -0.0,
    "float_inf": lambda: float("-inf"),
    "complex": lambda: complex(-0.0, 2),
    "complex_nan": lambda: complex(NAN, -0.0),
    "str": lambda: "text",
    "str_empty": lambda: "",
    "str_surrogate": lambda: "a\ud800b",
    "str_surrogate_pair": lambda: "\ud83e\udd80",
    "str_nul": lambda: "a\x00b",
    "str_3_mb": lambda: "0123456789ab" * 262_144,
    "bytes": lambda: b"\x00\xff",
    "bytearray": lambda: bytearray(b"ab"),
    "decimal": lambda: D("1.500"),
    "decimal_nan": lambda: D("-NaN123"),
    "decimal_snan": lambda: D("sNaN42"),
    "decimal_minus_zero": lambda: D("-0E+7"),
    "decimal_inf": lambda: D("-Infinity"),
    "decimal_long": lambda: D("1" * 60 + ".25E-999"),
    "fraction": lambda: fractions.Fraction(-3, 7),
    "uuid": lambda: uuid.UUID(int=77),
    "date": lambda: dt.date(2020, 2, 29),
    "date_max": lambda: dt.date.max,
    "time": lambda: dt.time(1, 2, 3, 4),
    "time_zone_fold": lambda: dt.time(2, 30, tzinfo=dt.UTC, fold=1),
    "time_zoneinfo": lambda: dt.time(2, 30, tzinfo=PARIS),
    "datetime": lambda: dt.datetime(2020, 1, 2, 3, 4, 5, 6),
    "datetime_min": lambda: dt.datetime.min,
    "datetime_utc": lambda: dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    "datetime_fold": lambda: dt.datetime(2024, 10, 27, 2, 30, tzinfo=PARIS, fold=1),
    "datetime_naive_fold": lambda: dt.datetime(2024, 10, 27, 2, 30, fold=1),
    "datetime_named_zone": lambda: dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-2), "odd")),
    "datetime_pytz": lambda: pytz.timezone("Europe/Paris").localize(dt.datetime(2020, 7, 1)),
    "datetime_pytz_raw": lambda: dt.datetime(2020, 7, 1, tzinfo=pytz.timezone("Europe/Paris")),
    "datetime_pytz_fixed": lambda: dt.datetime(2020, 7, 1, tzinfo=pytz.FixedOffset(-75)),
    "datetime_dateutil": lambda: dt.datetime(2020, 7, 1, tzinfo=dateutil.tz.gettz("America/New_York")),
    "datetime_dateutil_local": lambda: dt.datetime(2020, 7, 1, tzinfo=dateutil.tz.tzlocal()),
    "timedelta": lambda: dt.timedelta(days=-1, microseconds=1),
    "timedelta_max": lambda: dt.timedelta.max,
    "timezone": lambda: dt.timezone(dt.timedelta(seconds=61)),
    "zoneinfo": lambda: PARIS,
    "timestamp": lambda: pd.Timestamp("2020-01-01 00:00:00.123456789"),
    "timestamp_s": lambda: pd.Timestamp("2020-01-01").as_unit("s"),
    "timestamp_far": lambda: pd.Timestamp(np.datetime64(200_000_000_000, "s")),
    "timestamp_zone": lambda: pd.Timestamp("2020-07-01 12:00", tz="Europe/Paris"),
    "timestamp_fold": lambda: pd.Timestamp(year=2024, month=10, day=27, hour=2, minute=30, tz=PARIS, fold=1),
    "timestamp_pytz": lambda: pd.Timestamp("2020-07-01", tz=pytz.timezone("Asia/Tokyo")),
    "timestamp_dateutil": lambda: pd.Timestamp("2020-07-01", tz=dateutil.tz.gettz("Asia/Tokyo")),
    "pd_timedelta": lambda: pd.Timedelta(5, "ns"),
    "pd_timedelta_s": lambda: pd.Timedelta(5, "s").as_unit("s"),
    "period": lambda: pd.Period("2020-03", freq="M"),
    "period_multiple": lambda: pd.Period("2020-03-01", freq="3D"),
    "interval": lambda: pd.Interval(0, 1.5, closed="both"),
    "interval_time": lambda: pd.Interval(pd.Timestamp("2020"), pd.Timestamp("2021"), closed="left"),
    "offset_day": lambda: o.Day(3),
    "offset_month_end": lambda: o.MonthEnd(2, normalize=True),
    "offset_date": lambda: pd.DateOffset(months=2, hour=3),
    "offset_custom": lambda: o.CustomBusinessDay(holidays=["2024-01-01"]),
    "offset_hours": lambda: o.BusinessHour(start="09:30"),
    "offset_fy5253": lambda: o.FY5253Quarter(weekday=1, startingMonth=2, qtr_with_extra_week=3),
    "np_bool": lambda: np.True_,
    "np_int8": lambda: np.int8(-5),
    "np_int64": lambda: np.int64(5),
    "np_uint64": lambda: np.uint64(2**64 - 1),
    "np_float16": lambda: np.float16(0.1),
    "np_float32": lambda: np.float32(0.1),
    "np_float64": lambda: np.float64(-0.0),
    "np_longdouble": lambda: np.longdouble(1) + np.finfo(np.longdouble).eps,
    "np_complex64": lambda: np.complex64(1 + 2j),
    "np_clongdouble": lambda: np.clongdouble(np.longdouble(1) + np.finfo(np.longdouble).eps),
    "np_datetime64_ns": lambda: np.datetime64("2020-01-01", "ns"),
    "np_datetime64_Y": lambda: np.datetime64("2020", "Y"),
    "np_datetime64_25s": lambda: np.datetime64(100, "25s"),
    "np_datetime64_nat": lambda: np.datetime64("NaT", "D"),
    "np_datetime64_generic": lambda: np.datetime64("NaT"),
    "np_timedelta64_m": lambda: np.timedelta64(5, "m"),
    "np_timedelta64_generic": lambda: np.timedelta64(5),
    "np_timedelta64_nat": lambda: np.timedelta64("NaT", "ns"),
    "np_str": lambda: np.str_("x"),
    "np_bytes": lambda: np.bytes_(b"x"),
    "np_void": lambda: np.void(b"ab\x00"),
    "np_dtype": lambda: np.dtype(">i4"),
    "tuple": lambda: (1, "a", None),
    "tuple_nested": lambda: ((1, (2.0, (True,))), NAN),
    "tuple_empty": lambda: (),
    "frozenset": lambda: frozenset({1, "a"}),
    "range": lambda: range(1, 10, 3),
    "ellipsis": lambda: ...,
    "not_implemented": lambda: NotImplemented,
    "ipv4": lambda: ipaddress.ip_address("10.0.0.1"),
    "ipv6_scope": lambda: ipaddress.ip_address("fe80::1%eth0"),
    "ip_network": lambda: ipaddress.ip_network("10.0.0.0/8"),
    "ip_interface": lambda: ipaddress.ip_interface("10.0.0.1/8"),
    "path": lambda: pathlib.PurePosixPath("/a/b"),
    "path_windows": lambda: pathlib.PureWindowsPath("c:\\a"),
    "path_posix": lambda: pathlib.Path("a/../b"),
    "regex": lambda: re.compile("a+b", re.IGNORECASE | re.MULTILINE),
    "regex_bytes": lambda: re.compile(rb"\x00+"),
    "type_int": lambda: int,
    "type_np_float64": lambda: np.float64,
    "type_decimal": lambda: D,
    "arrow_scalar": lambda: pa.scalar(5, pa.int8()),
    "arrow_scalar_null": lambda: pa.scalar(None, pa.string()),
    "arrow_scalar_list": lambda: pa.scalar([1, None], pa.list_(pa.int16())),
}
CONTAINERS: dict[str, Callable[[], Any]] = {
    "list": lambda: [1, "a", None, NAN, pd.NA, pd.NaT, True, 1.0],
    "list_empty": list,
    "list_nested": lambda: [[1, [2, [3, []]]], (4, [5])],
    "list_of_objects": lambda: [D("1"), uuid.UUID(int=1), dt.date(2020, 1, 1), b"x", 2**99],
    "dict": lambda: {"b": 1, "a": [2, {"c": None}], 3: 4.5, None: True, (1, 2): NAN},
    "dict_empty": dict,
    "dict_key_types": lambda: {1: "int", "1": "str", b"1": "bytes", 1.5: "float", D("2"): "decimal"},
    "set": lambda: {1, "a", (2, 3), None},
    "set_nan": lambda: {NAN, 1.5},
    "ordered_dict": lambda: collections.OrderedDict([("z", 1), ("a", 2)]),
    "counter": lambda: collections.Counter("abca"),
    "defaultdict_list": lambda: collections.defaultdict(list, {"a": [1]}),
    "defaultdict_none": lambda: collections.defaultdict(None, {"a": 1}),
    "deque": lambda: collections.deque([1, 2, 3], maxlen=5),
    "deque_open": lambda: collections.deque("ab"),
    "slice": lambda: slice(1, None, "x"),
    "array_array": lambda: array.array("d", [1.5, -0.0]),
    "array_empty": lambda: array.array("q"),
    "ndarray": lambda: np.array([1.5, np.nan, -0.0]),
    "ndarray_0d": lambda: np.array(5, dtype="i2"),
    "ndarray_2d": lambda: np.arange(6, dtype="u1").reshape(2, 3),
    "ndarray_fortran": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "ndarray_big_endian": lambda: np.array([1, 2], dtype=">i4"),
    "ndarray_empty_3d": lambda: np.zeros((0, 3, 2), dtype="f4"),
    "ndarray_object": lambda: objects(1, "a", None, [2, objects(3.5).to_numpy()]).to_numpy(copy=True),
    "ndarray_object_read_only": lambda: objects(1, "a", None).to_numpy(),
    "ndarray_read_only": lambda: pd.Series([1.5, 2.5]).to_numpy(),
    "ndarray_bool": lambda: np.array([True, False]),
    "ndarray_text": lambda: np.array(["abc", "d"]),
    "ndarray_bytes": lambda: np.array([b"abc", b"d"]),
    "ndarray_datetime": lambda: np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "ndarray_longdouble": lambda: np.array([1, 2], dtype=np.longdouble),
    "ndarray_structured": lambda: np.array([(1, 2.5, "x")], dtype=[("a", "<i4"), ("b", ">f8"), ("c", "U3")]),
    "ndarray_structured_aligned": lambda: np.array(
        [(1, 2.5)], dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)
    ),
    "ndarray_sub_array": lambda: np.zeros(2, dtype=[("m", "f4", (2, 2))]),
    "ndarray_strided": lambda: np.arange(20)[::3],
    "ndarray_of_1_mb": lambda: np.arange(131_072, dtype="f8"),
    "np_void_structured": lambda: np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")])[0],
    "series": lambda: pd.Series([1.5, None], index=["x", "y"], name=("n", 1)),
    "series_object": lambda: objects(1, "a", None),
    "index_range": lambda: pd.RangeIndex(2, 9, 3, name="r"),
    "index_freq": lambda: pd.date_range("2020", periods=3, freq="ME", tz="Europe/Paris"),
    "index_multi": lambda: pd.MultiIndex.from_product([[1, 2], ["a"]], names=["n", None]),
    "frame": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[5, 5]),
    "frame_in_frame": lambda: pd.DataFrame(
        {"f": objects(pd.DataFrame({"g": objects(pd.DataFrame({"h": [1]}))}))}
    ),
    "frame_attrs": lambda: with_attrs(pd.DataFrame({"a": [1]}), {"k": [1]}),
    "categorical": lambda: pd.Categorical(["b", None], categories=["b", "c"], ordered=True),
    "array_int64": lambda: pd.array([1, None], dtype="Int64"),
    "array_float64_nan": masked_pair,
    "array_str": lambda: pd.array(["a", None], dtype="str"),
    "array_interval": lambda: pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
    "array_arrow": lambda: pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
    "dict_of_arrays": lambda: {"x": np.array([1, 2]), "y": [np.array(["a"], dtype=object)]},
}
LABELS_TOO_ODD = {"str_3_mb", "bytearray"}  # the first too slow to print, the second not hashable


def with_attrs(frame: pd.DataFrame, attrs: dict[Any, Any]) -> pd.DataFrame:
    frame.attrs.update(attrs)
    return frame


def alone(make: Callable[[], Any]) -> pd.Series[Any]:
    return objects(make())


def among_missing(make: Callable[[], Any]) -> pd.Series[Any]:
    return objects(None, make(), NAN, pd.NA, pd.NaT, make(), "text", 1, True, 1.0)


def nested(make: Callable[[], Any]) -> pd.Series[Any]:
    return objects([make()], {"k": make()}, (make(), [make()]), None)


def as_labels(make: Callable[[], Any]) -> pd.DataFrame:
    return pd.DataFrame([[1, 2], [3, 4]], index=labels(make(), "r"), columns=labels("c", make(), name="n"))


for _name, _make in (SCALARS | CONTAINERS).items():
    add_column(f"cell/{_name}/alone", partial(alone, _make))
    add_column(f"cell/{_name}/among_missing", partial(among_missing, _make))
    add_column(f"cell/{_name}/nested", partial(nested, _make))
for _name, _make in SCALARS.items():
    if _name not in LABELS_TOO_ODD:
        add(f"cell/{_name}/labels", partial(as_labels, _make))

# --- whole columns ---

add_column(
    "cell/mixed/missing_kinds",
    lambda: objects(None, NAN, np.float64("nan"), pd.NA, pd.NaT, np.datetime64("NaT")),
)
add_column(
    "cell/mixed/ones",
    lambda: objects(1, 1.0, True, np.int64(1), np.float32(1), "1", b"1", D(1), 1 + 0j, np.True_),
)
add_column("cell/mixed/empty", lambda: objects())
add_column("cell/mixed/all_none", lambda: objects(*[None] * 5))
add_column("cell/mixed/all_nan", lambda: objects(*[NAN] * 5))
add_column("cell/mixed/all_na", lambda: objects(*[pd.NA] * 5))
add_column("cell/mixed/text_and_numbers", lambda: objects(*["a", 1, 2.5, None] * 500))
add_column("cell/mixed/strided", lambda: objects(*range(20))[::-3])
add_column("cell/str/column", lambda: objects(*[f"s{i % 31}" for i in range(1000)]))
add_column("cell/str/column_none", lambda: objects(*["a", None, "b"] * 50))
add_column("cell/str/column_nan", lambda: objects(*["a", NAN, "b"] * 50))
add_column("cell/str/column_na", lambda: objects(*["a", pd.NA, "b"] * 50))
add_column("cell/str/column_all_missing_kinds", lambda: objects("a", None, NAN, pd.NA, pd.NaT))
add_column("cell/str_surrogate/column", lambda: objects("a", "\udcff", None, "é"))
add_column("cell/bytes/column", lambda: objects(b"a", b"", None, b"\xff" * 100))
add_column("cell/int/column", lambda: objects(*range(-500, 500)))
add_column("cell/int/column_beyond_64_bit", lambda: objects(2**63, 2**64, -(2**63) - 1, 0, None))
add_column("cell/float/column", lambda: objects(1.5, -0.0, NAN, float("inf"), nan_with((0x7FF8 << 48) + 1)))
add_column("cell/true/column", lambda: objects(True, False, None, True))
add_column("cell/true/column_with_ints", lambda: objects(True, 1, False, 0))
add_column("cell/decimal/column", lambda: objects(D("1.10"), D("1.1"), D("NaN"), None))
add_column("cell/date/column", lambda: objects(dt.date(2020, 1, 1), None, dt.date.min))
add_column(
    "cell/datetime/column",
    lambda: objects(dt.datetime(2020, 1, 1), dt.datetime.max, pd.Timestamp("2020"), pd.NaT),
)
add_column(
    "cell/datetime/two_zones",
    lambda: objects(
        dt.datetime(2020, 1, 1, tzinfo=PARIS), dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1)
    ),
)
add_column("cell/uuid/column", lambda: objects(*[uuid.UUID(int=i) for i in range(100)]))
add_column("cell/int_huge/50000_digits", lambda: objects(3**100_000))
add_column("cell/bytes/3_mb", lambda: objects(bytes(range(256)) * 12_288, b"x"))
add_column("cell/list/same_object_twice", lambda: objects(*[[1, 2]] * 3))


def cyclic_list() -> pd.Series[Any]:
    cell: list[Any] = [1]
    cell.append(cell)
    return objects(cell, 1)


def cyclic_dict() -> pd.Series[Any]:
    cell: dict[str, Any] = {"k": [1]}
    cell["k"].append(cell)
    return objects(cell)


def cyclic_array() -> pd.Series[Any]:
    cell = np.empty(2, dtype=object)
    cell[0] = [cell]
    return objects(cell)


def deep(kind: str, depth: int) -> pd.Series[Any]:
    cell: Any = 1
    for _ in range(depth):
        cell = [cell] if kind == "list" else (cell,) if kind == "tuple" else {"k": cell}
    return objects(cell)


add_column("cell/list/cyclic", cyclic_list)
add_column("cell/dict/cyclic", cyclic_dict)
add_column("cell/ndarray_object/cyclic", cyclic_array)
for _kind in ("list", "tuple", "dict"):
    add_column(f"cell/{_kind}/100_deep", partial(deep, _kind, 100))
    add_column(f"cell/{_kind}/5000_deep", partial(deep, _kind, 5000))

# --- what no stored bytes may bring back ---


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int


@dataclasses.dataclass
class Record:
    x: int


class Custom:
    def __init__(self) -> None:
        self.x = 1


class TextChild(str):
    __slots__ = ()


class IntChild(int):
    pass


class ListChild(list):  # type: ignore[type-arg]
    pass


class DictChild(dict):  # type: ignore[type-arg]
    pass


class FloatChild(float):
    pass


class DateChild(dt.date):
    pass


class DatetimeChild(dt.datetime):
    pass


class ZoneChild(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=1)

    def dst(self, when: dt.datetime | None) -> None:
        return None

    def tzname(self, when: dt.datetime | None) -> str:
        return "child"


class ArrayChild(np.ndarray):  # type: ignore[type-arg]
    pass


class SeriesChild(pd.Series):  # type: ignore[type-arg]
    pass


class OwnError(ValueError):
    pass


def module_function() -> None:
    """Stand for any function."""


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


FOREIGN: dict[str, Callable[[], Any]] = {
    "enum": lambda: Colour.RED,
    "int_enum": lambda: Level.LOW,
    "namedtuple": lambda: Point(1),
    "dataclass": lambda: Record(1),
    "custom": Custom,
    "custom_class": lambda: Custom,
    "bare_object": object,
    "str_subclass": lambda: TextChild("x"),
    "int_subclass": lambda: IntChild(5),
    "float_subclass": lambda: FloatChild(5),
    "list_subclass": lambda: ListChild([1]),
    "dict_subclass": lambda: DictChild(a=1),
    "date_subclass": lambda: DateChild(2020, 1, 1),
    "datetime_subclass": lambda: DatetimeChild(2020, 1, 1),
    "zone_subclass": lambda: dt.datetime(2020, 1, 1, tzinfo=ZoneChild()),
    "ndarray_subclass": lambda: np.arange(3).view(ArrayChild),
    "series_subclass": lambda: SeriesChild([1]),
    "lambda": lambda: lambda: 1,
    "function": lambda: module_function,
    "builtin": lambda: len,
    "method": lambda: Custom().__init__,
    "generator": lambda: (i for i in range(3)),
    "iterator": lambda: iter([1]),
    "module": lambda: re,
    "partial": lambda: partial(int, "5"),
    "defaultdict_lambda": lambda: collections.defaultdict(lambda: 1),
    "memoryview": lambda: memoryview(b"ab"),
    "match": lambda: re.match("a", "a"),
    "exception_raised": lambda: raised(ValueError("x")),
    "exception_own": lambda: OwnError("x"),
    "arrow_extension": lambda: pa.array([b"x" * 16], pa.uuid()),
}
for _name, _make in FOREIGN.items():
    add_column(f"foreign/{_name}/alone", partial(alone, _make), "refused")
    add_column(f"foreign/{_name}/nested", partial(nested, _make), "refused")
add("foreign/enum/labels", partial(as_labels, FOREIGN["enum"]), "refused")
add("foreign/str_subclass/labels", partial(as_labels, FOREIGN["str_subclass"]), "refused")
add("foreign/namedtuple/labels", partial(as_labels, FOREIGN["namedtuple"]), "refused")
RARE: dict[str, Callable[[], Any]] = {
    "masked_array": lambda: np.ma.array([1, 2], mask=[True, False]),
    "masked_array_no_mask": lambda: np.ma.array([1.5, 2]),
    "masked_array_hard": lambda: np.ma.array([1.5, 2], mask=[0, 1], hard_mask=True, fill_value=7),
    "masked_array_object": lambda: np.ma.array(objects(1, "a").to_numpy(copy=True), mask=[0, 1]),
    "masked_array_record": lambda: np.ma.array([(1, 2.5)], dtype="i4,f8", mask=[(True, False)]),
    "masked": lambda: np.ma.masked,
    "arrow_array": lambda: pa.array([1, None]),
    "arrow_array_sliced": lambda: pa.array(["a", None, "b", "c"])[1:3],
    "arrow_array_dictionary": lambda: pa.array(["a", None, "a"]).dictionary_encode(),
    "arrow_array_nested": lambda: pa.array([{"a": [NAN, None]}, None]),
    "arrow_chunked": lambda: pa.chunked_array([["a"], [], ["b", None]]),
    "arrow_batch": lambda: pa.record_batch({"a": [1, None], "b": ["x", "y"]}),
    "arrow_table": lambda: pa.Table.from_pandas(pd.DataFrame({"a": [1, 2]})),
    "arrow_type": lambda: pa.list_(pa.int8()),
    "arrow_type_struct": lambda: pa.struct([pa.field("a", pa.int8(), False, {"k": "v"})]),
    "arrow_field": lambda: pa.field("a", pa.timestamp("ms", "UTC"), nullable=False),
    "arrow_schema": lambda: pa.schema([("a", pa.int8()), ("a", pa.string())], {"k": "v"}),
    "exception": lambda: ValueError("x"),
    "exception_os": lambda: FileNotFoundError(2, "none", "file"),
    "exception_group": lambda: ExceptionGroup("g", [ValueError(1), KeyError("k")]),
    "busdaycalendar": lambda: np.busdaycalendar(weekmask="1110000"),
    "pandas_dtype": lambda: pd.CategoricalDtype(["a"], ordered=True),
    "pandas_dtype_interval": lambda: pd.IntervalDtype("int64", "left"),
    "pandas_dtype_period": lambda: pd.PeriodDtype("3D"),
    "pandas_dtype_sparse": lambda: pd.SparseDtype("f8", 0.0),
    "pandas_dtype_string": lambda: pd.StringDtype("python", na_value=pd.NA),
    "pandas_dtype_zone": lambda: pd.DatetimeTZDtype("s", "Europe/Paris"),
    "pandas_dtype_arrow": lambda: pd.ArrowDtype(pa.list_(pa.int8())),
    "pandas_dtype_nullable": pd.Int8Dtype,
    "numpy_string_dtype": lambda: np.array(["a", "long text of some length"], dtype=np.dtypes.StringDType()),
    "numpy_string_dtype_na": lambda: np.array(["a", pd.NA], dtype=np.dtypes.StringDType(na_object=pd.NA)),
    "numpy_extension_array": lambda: pd.arrays.NumpyExtensionArray(np.array(["a", "b"])),
    "dateutil_str": lambda: dateutil.tz.tzstr("EST5EDT"),
    "dateutil_range": lambda: dateutil.tz.tzrange("EST", -18000, "EDT"),
    "datetime_dateutil_str": lambda: dt.datetime(
        2020, 7, 1, tzinfo=dateutil.tz.tzstr("EST5EDT,M3.2.0,M11.1.0")
    ),
    "relativedelta": lambda: relativedelta.relativedelta(months=14, day=3, weekday=relativedelta.MO(-1)),
}
for _name, _make in RARE.items():
    add_column(f"rare/{_name}/alone", partial(alone, _make))
    add_column(f"rare/{_name}/among_missing", partial(among_missing, _make))
    add_column(f"rare/{_name}/nested", partial(nested, _make))
RARE_LABELS = ("pandas_dtype", "pandas_dtype_zone", "arrow_type", "dateutil_str", "relativedelta")
for _name in RARE_LABELS:
    add(f"rare/{_name}/labels", partial(as_labels, RARE[_name]))

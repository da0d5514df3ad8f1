"""Rarer values come back as they were too: masked arrays, dtypes, exceptions, what other packages make."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from dateutil.relativedelta import MO, relativedelta

from framekeep.frames.values import dump, load
from framekeep.testing.identical import differences

RECORD = np.dtype([("a", "i4"), ("b", "f8")])
STRINGS = np.dtypes.StringDType


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def memory(array: Any) -> tuple[bool, bool]:
    """Tell whether an array can be written to, and whether it lies column by column."""
    return array.flags.writeable, array.flags.f_contiguous and not array.flags.c_contiguous


MASKED: list[Any] = [
    np.ma.array([1, 2], mask=[True, False]),
    np.ma.array([1, 2]),
    np.ma.array([1, 2], mask=[False, False]),
    np.ma.array([1.0, 2], mask=[1, 0], hard_mask=True, fill_value=7),
    np.ma.array(np.asfortranarray(np.arange(6.0).reshape(2, 3)), mask=False),
    np.ma.array(5, mask=True),
    np.ma.array(np.array([1, "a", None], object), mask=[0, 1, 0], fill_value="z"),
    np.ma.array([(1, 2.0)], dtype=RECORD, mask=[(True, False)]),
    np.ma.array(np.array(["2020", "NaT"], "M8[D]"), mask=[0, 1]),
    np.ma.array(["a", "bc"], mask=[0, 1], fill_value="N"),
    np.ma.array(np.arange(10, dtype=">i4"), mask=np.arange(10) % 2 == 0)[::3],
    np.ma.array(read_only(np.arange(3)), mask=[0, 1, 0]),
    np.ma.masked,
]
TEXTS: list[Any] = [
    np.array(["a", "long text of some length", "x\0y\0", "", "ä€😀"], STRINGS()),
    np.array(["a", None], STRINGS(na_object=None)),
    np.array(["a", np.nan], STRINGS(na_object=np.nan)),
    np.array(["a", pd.NA], STRINGS(na_object=pd.NA, coerce=False)),
    np.array(["a", "na"], STRINGS(na_object="na")),
    np.asfortranarray(np.array([["a", "b"], ["c", "d"]], STRINGS())),
    read_only(np.array(["a"], STRINGS())),
    np.array("z", STRINGS()),
    np.zeros((0, 3), STRINGS()),
    np.array(["a", "b", "c"], STRINGS())[::-2],
]
DTYPES: list[Any] = [
    *(STRINGS(), STRINGS(coerce=False), STRINGS(na_object=np.nan), STRINGS(na_object="x", coerce=False)),
    *(pd.CategoricalDtype(), pd.CategoricalDtype(["a", "b"], True), pd.CategoricalDtype([1, 2], None)),
    *(pd.CategoricalDtype(pd.Index(["a"], name="n")), pd.CategoricalDtype(pd.interval_range(0, 3))),
    *(pd.IntervalDtype(), pd.IntervalDtype("int64", "both"), pd.IntervalDtype("datetime64[ns, UTC]", "left")),
    *(pd.PeriodDtype("M"), pd.PeriodDtype("3D"), pd.PeriodDtype("W-WED")),
    *(pd.SparseDtype("f8", 0.0), pd.SparseDtype("f8"), pd.SparseDtype("i8", 0), pd.SparseDtype(bool, False)),
    *(pd.SparseDtype("f8", -0.0), pd.SparseDtype(object, "x"), pd.SparseDtype("M8[ns]")),
    *(pd.StringDtype(storage, na_value=na) for storage in ("python", "pyarrow") for na in (pd.NA, np.nan)),
    *(pd.ArrowDtype(pa.int8()), pd.ArrowDtype(pa.list_(pa.field("x", pa.int8(), False, {"k": "v"})))),
    *(pd.DatetimeTZDtype("s", "Europe/Paris"), pd.DatetimeTZDtype("ns", dt.timezone(dt.timedelta(hours=1)))),
    *(pd.Int8Dtype(), pd.UInt64Dtype(), pd.Float32Dtype(), pd.BooleanDtype()),
    *(pd.array([1], dtype=dtype).dtype for dtype in ("i4", ">i4")),
]
ARROW: list[Any] = [
    *(pa.null(), pa.int8(), pa.binary(7), pa.decimal256(50, -2), pa.month_day_nano_interval()),
    *(pa.dictionary(pa.int8(), pa.string(), True), pa.struct([("a", pa.timestamp("ms", "UTC"))])),
    *(pa.map_(pa.string(), pa.int8(), True), pa.run_end_encoded(pa.int32(), pa.string())),
    *(pa.dense_union([pa.field("a", pa.int8())], [5]), pa.list_view(pa.int8()), pa.list_(pa.int8(), 3)),
    *(pa.list_(pa.field("x", pa.int8(), False, {"k": "v"})), pa.string_view()),
    *(pa.field("a", pa.int8(), False, {"z": "1", "a": "2"}), pa.field("", pa.string())),
    *(pa.schema([]), pa.schema([("a", pa.int8()), ("a", pa.string())], {"z": "1", "a": "2"})),
    *(pa.array([1, None]), pa.array([], pa.string()), pa.nulls(3), pa.array([1.5, float("nan"), -0.0])),
    *(pa.array([1, 2, 3, 4])[1:3], pa.array([[1], None, [2, 3]])[1:], pa.array([True, False] * 10)[3:9]),
    *(pa.array(["a", "b", "a"]).dictionary_encode(), pa.array([{"a": float("nan")}, None])),
    pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["a", "unused"])),
    *(pa.chunked_array([[1, 2], [], [3]]), pa.chunked_array([], pa.string())),
    pa.chunked_array([pa.array([x]).dictionary_encode() for x in "ab"]),
    *(pa.record_batch({"a": [1, 2], "b": ["x", None]}), pa.record_batch({"a": [1.5]}).slice(0, 0)),
    *(pa.table({}), pa.Table.from_pandas(pd.DataFrame({"a": [1]}))),
    pa.table({"a": pa.chunked_array([[1], [2, 3]]), "b": pa.chunked_array([["x", "y"], ["z"]])}),
]
DATEUTIL: list[Any] = [
    *map(dateutil.tz.tzstr, ("EST5EDT", "GMT+3", "EST5EDT,M3.2.0/2,M11.1.0/2", "CET-1")),
    dateutil.tz.tzstr("GMT+3", posix_offset=True),
    dateutil.tz.tzrange("EST"),
    dateutil.tz.tzrange("EST", -18000),
    dateutil.tz.tzrange("EST", -18000, "EDT"),
    dateutil.tz.tzrange(
        "EST",
        -18000,
        "EDT",
        -14400,
        relativedelta(hours=2, month=4, day=1, weekday=MO(1)),
        relativedelta(hours=1, month=10),
    ),
    dt.datetime(2020, 7, 1, tzinfo=dateutil.tz.tzstr("EST5EDT")),
    *(relativedelta(), relativedelta(days=1.5, hour=3), relativedelta(months=14, weekday=MO(-1))),
    *(relativedelta(leapdays=1, year=2020, microseconds=-5), relativedelta(days=float("nan"))),
]
EXCEPTIONS: list[Any] = [
    *(ValueError("x"), KeyError(1, [2]), ZeroDivisionError(), KeyboardInterrupt(), UserWarning("w")),
    *(OSError("only"), FileNotFoundError(2, "no", "f"), OSError(2, "x", "a", None, "b")),
    *(BlockingIOError(1, "x", 5), UnicodeDecodeError("utf8", b"\xff", 0, 1, "bad")),
    *(SystemExit(3), SystemExit(1, 2), StopIteration(4), SyntaxError("m", ("f", 1, 2, "t", 3, 4))),
    *(ExceptionGroup("g", [ValueError(1), KeyError()]), BaseExceptionGroup("g", [KeyboardInterrupt()])),
    *(ImportError("x"), AttributeError("x"), NameError("x")),
]
REST: list[Any] = [
    *(np.busdaycalendar("1110000", ["2020-01-01"]), np.busdaycalendar()),
    pd.arrays.NumpyExtensionArray(np.array(["a", "b"])),
    pd.arrays.NumpyExtensionArray(np.array([1, None], object)),
    pd.arrays.NumpyExtensionArray(np.arange(3, dtype=">i4")),
    *(np.zeros((0, 2), object), np.array(None, object)),
    *(pd.CategoricalDtype, pa.Schema, np.ma.MaskedArray, ValueError),
]
ALL = [
    pytest.param(value, id=f"{i}-{type(value).__name__}")
    for i, value in enumerate((*MASKED, *TEXTS, *DTYPES, *ARROW, *DATEUTIL, *EXCEPTIONS, *REST))
]


@pytest.mark.parametrize("value", ALL)
def test_a_rare_value_comes_back_as_it_was(value: Any) -> None:
    again = load(dump([value, {"k": value}]))[0]
    assert type(again) is type(value)
    assert differences(value, again) == []


@pytest.mark.parametrize("value", ALL)
def test_encoding_what_was_decoded_gives_the_same_bytes(value: Any) -> None:
    data = dump(value)
    assert dump(load(data)) == data


@pytest.mark.parametrize("value", MASKED)
def test_a_masked_array_keeps_what_its_public_face_hides(value: Any) -> None:
    again = load(dump(value))
    for name in ("_hardmask", "_fill_value"):
        assert differences(getattr(value, name), getattr(again, name)) == []
    assert (value._mask is np.ma.nomask) is (again._mask is np.ma.nomask)
    assert value.data.tobytes() == again.data.tobytes() or value.dtype.hasobject
    assert memory(value) == memory(again)


def test_encoding_a_masked_array_gives_it_no_mask_and_no_fill_value() -> None:
    value = np.ma.array([1, 2])
    dump(value)
    assert value._mask is np.ma.nomask
    assert value._fill_value is None


def test_a_masked_array_can_be_written_to_without_touching_another_reader_s() -> None:
    data = dump(np.ma.array([1, 2], mask=[True, False]))
    one, two = load(data), load(data)
    one[0], one[1] = 5, np.ma.masked
    assert two.tolist() == [None, 2]


@pytest.mark.parametrize("value", TEXTS)
def test_an_array_of_strings_keeps_its_flags(value: Any) -> None:
    again = load(dump(value))
    assert repr(again.dtype) == repr(value.dtype)
    assert memory(value) == memory(again)


def test_the_bytes_of_a_record_do_not_tell_that_two_arrays_have_one_dtype() -> None:
    one, other = np.zeros(1, RECORD), np.zeros(1, np.dtype([(name, RECORD[name]) for name in RECORD.names]))
    assert dump([one, np.zeros(1, RECORD)]) == dump([one, other])


@pytest.mark.parametrize("value", EXCEPTIONS)
def test_an_exception_keeps_the_fields_of_its_class(value: BaseException) -> None:
    again = load(dump(value))
    assert repr(again.args) == repr(value.args)
    assert str(again) == str(value)
    for name in ("errno", "filename", "filename2", "characters_written", "lineno", "code", "start", "value"):
        assert getattr(again, name, None) == getattr(value, name, None)


def test_the_arguments_of_an_exception_stay_what_they_are_elsewhere() -> None:
    inner = [1]
    error, other = load(dump([ValueError(inner), inner]))
    assert error.args[0] is other


def test_what_was_kept_can_be_pickled_as_before() -> None:
    for value in (MASKED[0], TEXTS[0], DTYPES[5], ARROW[-1], EXCEPTIONS[0]):
        assert repr(pickle.loads(pickle.dumps(load(dump(value))))) == repr(pickle.loads(pickle.dumps(value)))

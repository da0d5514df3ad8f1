"""The strict comparer sees every difference a user could see, and no others."""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import pickle
import re
import zoneinfo
from collections.abc import Callable
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytz
from odd.registry import labels, objects

from framekeep.testing.identical import assert_identical, differences, strict_equal

NAN = float("nan")
Pair = Callable[[], tuple[Any, Any]]


def cell(a: Any, b: Any) -> Pair:
    return lambda: (pd.DataFrame({"a": objects(a)}), pd.DataFrame({"a": objects(b)}))


def column(a: Any, b: Any) -> Pair:
    return lambda: (pd.DataFrame({"a": a}, copy=False), pd.DataFrame({"a": b}, copy=False))


def arrow(a: Any, b: Any) -> Pair:
    return column(
        *(
            pd.arrays.ArrowExtensionArray(x if isinstance(x, pa.ChunkedArray) else pa.chunked_array([x]))
            for x in (a, b)
        )
    )


def rows(a: pd.Index[Any], b: pd.Index[Any]) -> Pair:
    return lambda: tuple(pd.DataFrame({"a": range(len(x))}, index=x) for x in (a, b))  # type: ignore[return-value]


def columns(a: pd.Index[Any], b: pd.Index[Any]) -> Pair:
    return lambda: tuple(pd.DataFrame([range(len(x))], columns=x) for x in (a, b))  # type: ignore[return-value]


def with_attrs(attrs: dict[Any, Any]) -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = attrs
    return frame


class Child(pd.DataFrame):
    """A subclass."""


def sparse_with_explicit_fill() -> Any:
    """Hold a value that is stored although it equals the fill value."""
    return pd.arrays.SparseArray.from_indices(np.array([1.0, 0.0]), np.array([0, 1]), 3, fill_value=0.0)


nan_bits = np.array([(0x7FF8 << 48) + 1], dtype="u8").view("f8")
times = pd.date_range("2024-01-01", periods=3, freq="D")
utc_ticks = pd.DatetimeIndex(["2024-07-01"], tz="UTC")
paris = zoneinfo.ZoneInfo("Europe/Paris")
mi = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"])
int64 = pa.array([1, 2])

DIFFERENT: dict[str, Pair] = {
    "frame_class": lambda: (pd.DataFrame({"a": [1]}), Child({"a": [1]})),
    "shape": lambda: (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1], "b": [1]})),
    "attrs_value": lambda: (with_attrs({"k": 1}), with_attrs({"k": 1.0})),
    "attrs_order": lambda: (with_attrs({"k": 1, "j": 2}), with_attrs({"j": 2, "k": 1})),
    "flags": lambda: (
        pd.DataFrame({"a": [1]}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
    ),
    # labels
    "label_int_float": columns(labels(1, "x"), labels(1.0, "x")),
    "label_int_bool": columns(labels(1, "x"), labels(True, "x")),
    "label_int_np_int": columns(labels(1, "x"), labels(np.int64(1), "x")),
    "label_none_nan": columns(labels(None), labels(NAN)),
    "label_str_object": columns(pd.Index(["a"]), labels("a")),
    "label_dtype": rows(pd.Index([1, 2]), pd.Index(np.array([1, 2], dtype="i4"))),
    "label_value": rows(pd.Index([1, 2]), pd.Index([1, 3])),
    "range_to_ints": rows(pd.RangeIndex(3), pd.Index([0, 1, 2])),
    "range_stop": rows(pd.RangeIndex(0, 8, 3), pd.RangeIndex(0, 9, 3)),
    "range_step_of_one_row": rows(pd.RangeIndex(0, 1, 1), pd.RangeIndex(0, 1, 2)),
    "index_name": rows(pd.RangeIndex(3), pd.RangeIndex(3, name="n")),
    "index_name_type": rows(pd.RangeIndex(3, name=0), pd.RangeIndex(3, name=False)),
    "index_freq_lost": rows(times, pd.DatetimeIndex(times, freq=None)),
    "index_freq_other": rows(times, pd.DatetimeIndex(times, freq=pd.offsets.Hour(24))),
    "multi_index_to_tuples": columns(mi, mi.to_flat_index()),
    "multi_name": rows(mi, mi.set_names(["x", "z"])),
    "multi_unused_level": rows(mi[:2], mi[:2].remove_unused_levels()),
    "multi_level_order": rows(
        pd.MultiIndex(levels=[["a", "b"]], codes=[[0, 1]]), pd.MultiIndex(levels=[["b", "a"]], codes=[[1, 0]])
    ),
    "multi_nan_as_code_or_level": rows(
        pd.MultiIndex(levels=[pd.Index([1.0, NAN])], codes=[[0, -1]]),
        pd.MultiIndex(levels=[pd.Index([1.0])], codes=[[0, -1]]),
    ),
    "multi_sortorder": rows(
        pd.MultiIndex(levels=[[1], [1]], codes=[[0], [0]], sortorder=2),
        pd.MultiIndex(levels=[[1], [1]], codes=[[0], [0]]),
    ),
    # numpy columns
    "minus_zero": column(np.array([0.0]), np.array([-0.0])),
    "nan_payload": column(np.array([NAN]), nan_bits),
    "float_width": column(np.array([1.0]), np.array([1.0], dtype="f4")),
    "byte_order": column(np.array([1]), np.array([1], dtype=">i8")),
    "uint64": column(np.array([2**63], dtype="u8"), np.array([2**63 + 1], dtype="u8")),
    "longdouble": column(np.array([np.longdouble(1)]), np.array([1 + np.finfo(np.longdouble).eps])),
    "complex_minus_zero": column(np.array([complex(0, 0.0)]), np.array([complex(0, -0.0)])),
    "complex_longdouble_imaginary": column(
        np.array([np.clongdouble(1j)]), np.array([np.clongdouble(1j) * (1 + np.finfo(np.longdouble).eps)])
    ),
    "int_to_object": column(np.array([1]), objects(1)),
    "datetime_unit": column(np.array([0], dtype="M8[s]"), np.array([0], dtype="M8[ms]")),
    "nat_lost": column(np.array(["NaT"], dtype="M8[s]"), np.array([0], dtype="M8[s]")),
    "timedelta_to_datetime": column(np.array([0], dtype="M8[s]"), np.array([0], dtype="m8[s]")),
    # zones
    "zoneinfo_pytz": column(utc_ticks.tz_convert(paris), utc_ticks.tz_convert(pytz.timezone("Europe/Paris"))),
    "zoneinfo_dateutil": column(
        utc_ticks.tz_convert(paris), utc_ticks.tz_convert(dateutil.tz.gettz("Europe/Paris"))
    ),
    "timezone_zoneinfo": column(utc_ticks.tz_convert(dt.UTC), utc_ticks.tz_convert(zoneinfo.ZoneInfo("UTC"))),
    "zone_same_offset": column(utc_ticks.tz_convert(paris), utc_ticks.tz_convert("Europe/Berlin")),
    "fixed_zone_name": cell(
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "x")),
    ),
    "pytz_instance": cell(
        pytz.timezone("Europe/Paris").localize(dt.datetime(2020, 7, 1)).tzinfo, pytz.timezone("Europe/Paris")
    ),
    # pandas dtypes
    "period_freq": column(pd.PeriodIndex(["2020"], freq="Y-DEC"), pd.PeriodIndex(["2020"], freq="Y-JUN")),
    "interval_closed": column(pd.interval_range(0, 1), pd.interval_range(0, 1, closed="left")),
    "interval_subtype": column(pd.interval_range(0, 1), pd.interval_range(0.0, 1.0)),
    "category_order": column(pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["b", "a"])),
    "category_unused": column(pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"])),
    "category_ordered": column(pd.Categorical(["a"]), pd.Categorical(["a"], ordered=True)),
    "category_dtype": column(pd.Categorical(["a"], labels("a")), pd.Categorical(["a"], pd.Index(["a"]))),
    "category_types": column(pd.Categorical([1], labels(1, "x")), pd.Categorical([1], labels(True, "x"))),
    "category_range": column(pd.Categorical([0], pd.RangeIndex(2)), pd.Categorical([0], pd.Index([0, 1]))),
    "sparse_fill": column(pd.arrays.SparseArray([1.0], fill_value=0.0), pd.arrays.SparseArray([1.0])),
    "sparse_fill_sign": column(
        pd.arrays.SparseArray([1.0], fill_value=0.0), pd.arrays.SparseArray([1.0], fill_value=-0.0)
    ),
    "sparse_kind": column(pd.arrays.SparseArray([1, 0]), pd.arrays.SparseArray([1, 0], kind="block")),
    "sparse_dense": column(pd.arrays.SparseArray([1, 0]), np.array([1, 0])),
    "sparse_explicit_fill": column(
        sparse_with_explicit_fill(), pd.arrays.SparseArray([1.0, 0.0, 0.0], fill_value=0.0)
    ),
    "nullable_nan_na": column(
        pd.arrays.FloatingArray(np.array([NAN]), np.array([False])),
        pd.arrays.FloatingArray(np.array([NAN]), np.array([True])),
    ),
    "nullable_width": column(pd.array([1], dtype="Int8"), pd.array([1], dtype="Int16")),
    "nullable_value": column(pd.array([1, None], dtype="Int8"), pd.array([2, None], dtype="Int8")),
    "nullable_to_numpy": column(pd.array([True], dtype="boolean"), np.array([True])),
    "string_storage": column(
        pd.array(["a"], pd.StringDtype("python")), pd.array(["a"], pd.StringDtype("pyarrow"))
    ),
    "string_na": column(
        pd.array(["a"], pd.StringDtype("pyarrow")), pd.array(["a"], pd.StringDtype("pyarrow", NAN))
    ),
    "string_arrow": column(pd.array(["a"], "str"), pd.array(["a"], pd.ArrowDtype(pa.large_string()))),
    "string_value": column(pd.array(["a", None], "str"), pd.array(["a", ""], "str")),
    "string_normal_form": column(pd.array(["\u00e9"], "str"), pd.array(["e\u0301"], "str")),
    # Arrow
    "arrow_width": arrow(int64, int64.cast(pa.int32())),
    "arrow_string_offsets": arrow(pa.array(["a"]), pa.array(["a"], pa.large_string())),
    "arrow_null": arrow(pa.array([1, None]), pa.array([1, 0])),
    "arrow_minus_zero": arrow(pa.array([0.0]), pa.array([-0.0])),
    "arrow_nullability": arrow(
        pa.array([{"x": 1}], pa.struct([("x", pa.int64())])),
        pa.array([{"x": 1}], pa.struct([pa.field("x", pa.int64(), nullable=False)])),
    ),
    "arrow_item_name": arrow(pa.array([[1]]), pa.array([[1]], pa.list_(pa.field("element", pa.int64())))),
    "arrow_nested_value": arrow(pa.array([[1], [2, 3]]), pa.array([[1], [2, 4]])),
    "arrow_nested_null": arrow(pa.array([[1], None]), pa.array([[1], []])),
    "arrow_list_borders": arrow(pa.array([[1], [2, 3]]), pa.array([[1, 2], [3]])),
    "arrow_bool": arrow(pa.array([True, False]), pa.array([True, True])),
    "arrow_zone": arrow(pa.array([0], pa.timestamp("s", "UTC")), pa.array([0], pa.timestamp("s", "Etc/UTC"))),
    "arrow_decimal_scale": arrow(
        pa.array([decimal.Decimal(1)], pa.decimal128(5, 1)),
        pa.array([decimal.Decimal(1)], pa.decimal128(5, 2)),
    ),
    "arrow_dictionary_unused": arrow(
        pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["a", "b"])),
        pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["a"])),
    ),
    "arrow_dictionary_ordered": arrow(
        pa.array(["a"]).dictionary_encode(),
        pa.array(["a"]).cast(pa.dictionary(pa.int32(), pa.string(), ordered=True)),
    ),
    "arrow_dictionary_to_values": arrow(pa.array(["a"]).dictionary_encode(), pa.array(["a"])),
    "arrow_run_end_width": arrow(
        *(
            pa.RunEndEncodedArray.from_arrays(pa.array([2], t), pa.array([1]))
            for t in (pa.int16(), pa.int32())
        )
    ),
    "arrow_union_member": arrow(
        *(pa.UnionArray.from_sparse(pa.array([i], pa.int8()), [pa.array([1]), pa.array([1])]) for i in (0, 1))
    ),
    "arrow_extension": arrow(pa.array([bytes(16)], pa.binary(16)), pa.array([bytes(16)], pa.uuid())),
    # cells
    "cell_none_nan": cell(None, NAN),
    "cell_na_nat": cell(pd.NA, pd.NaT),
    "cell_nan_np_nan": cell(NAN, np.float64("nan")),
    "cell_nan_sign": cell(NAN, -NAN),
    "cell_int_bool": cell(1, True),
    "cell_int_float": cell(1, 1.0),
    "cell_minus_zero": cell(0.0, -0.0),
    "cell_str_np_str": cell("a", np.str_("a")),
    "cell_str_bytes": cell("a", b"a"),
    "cell_bytes_bytearray": cell(b"a", bytearray(b"a")),
    "cell_list_tuple": cell([1], (1,)),
    "cell_nested": cell([{"a": [1]}], [{"a": [True]}]),
    "cell_dict_order": cell({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "cell_dict_key_type": cell({1: 0}, {1.0: 0}),
    "cell_dict_ordered_dict": cell({"a": 1}, collections.OrderedDict(a=1)),
    "cell_set_member_type": cell({1}, {True}),
    "cell_set_frozenset": cell({1}, frozenset({1})),
    "cell_set_nan_none": cell({NAN}, {None}),
    "cell_deque_maxlen": cell(collections.deque([1], 5), collections.deque([1])),
    "cell_decimal_exponent": cell(decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    "cell_decimal_snan": cell(decimal.Decimal("sNaN"), decimal.Decimal("NaN")),
    "cell_date_datetime": cell(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1)),
    "cell_datetime_timestamp": cell(dt.datetime(2020, 1, 1), pd.Timestamp("2020-01-01")),
    "cell_timestamp_unit": cell(pd.Timestamp("2020").as_unit("s"), pd.Timestamp("2020").as_unit("ns")),
    "cell_fold": cell(dt.datetime(2024, 10, 27, 2), dt.datetime(2024, 10, 27, 2, fold=1)),
    "cell_datetime64_unit": cell(np.datetime64("2020-01-01", "D"), np.datetime64("2020-01-01", "s")),
    "cell_offset": cell(pd.offsets.MonthEnd(1), pd.offsets.MonthEnd(1, normalize=True)),
    "cell_offset_holidays": cell(pd.offsets.CDay(holidays=["2020-01-01"]), pd.offsets.CDay()),
    "cell_ndarray_dtype": cell(np.array([1]), np.array([1], dtype="i4")),
    "cell_ndarray_shape": cell(np.zeros((2, 1)), np.zeros((1, 2))),
    "cell_ndarray_object": cell(objects(1).to_numpy(), objects(True).to_numpy()),
    "cell_masked_array": cell(np.ma.array([1], mask=[True]), np.ma.array([1], mask=[False])),
    "cell_structured_field": cell(
        *(np.array([(1, x)], dtype=[("a", "i4"), ("b", "f8")]) for x in (0.0, -0.0))
    ),
    "cell_regex_flags": cell(re.compile("a"), re.compile("a", re.IGNORECASE)),
    "cell_array_code": cell(array.array("i", [1]), array.array("l", [1])),
    "cell_frame": cell(pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]})),
    "cell_series_name": cell(pd.Series([1], name="a"), pd.Series([1])),
    "cell_index_freq": cell(times, pd.DatetimeIndex(times, freq=None)),
    "cell_surrogate": cell("\ud800", "\ud801"),
    "cell_class": cell(int, float),
    "cell_arrow_scalar": cell(pa.scalar(1, pa.int8()), pa.scalar(1, pa.int16())),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_one_detail_that_differs_is_reported_both_ways(name: str) -> None:
    a, b = DIFFERENT[name]()
    assert differences(a, b)
    assert differences(b, a)


@pytest.mark.parametrize("name", DIFFERENT)
def test_each_side_of_a_pair_is_identical_to_itself_built_again(name: str) -> None:
    for side in (0, 1):
        assert differences(DIFFERENT[name]()[side], DIFFERENT[name]()[side]) == []


NESTED_NAN = [NAN, (NAN, {NAN: NAN})]
SAME: dict[str, Pair] = {
    "memory_order": lambda: (
        pd.DataFrame(np.arange(6.0).reshape(2, 3)),
        pd.DataFrame(np.asfortranarray(np.arange(6.0).reshape(2, 3))),
    ),
    "blocks": lambda: (
        pd.DataFrame({"a": [1.0], "b": [2.0]}),
        pd.concat([pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [2.0]})], axis=1),
    ),
    "arrow_chunks": arrow(pa.chunked_array([[1, 2], [3]]), pa.chunked_array([[1], [], [2, 3]])),
    "arrow_offset": arrow(pa.array(["x", "a", None]).slice(1), pa.array(["a", None])),
    "arrow_struct_offset": arrow(pa.array([{"x": 0}, {"x": 1}]).slice(1), pa.array([{"x": 1}])),
    "arrow_union_offset": arrow(
        pa.UnionArray.from_sparse(
            pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]
        ).slice(1),
        pa.UnionArray.from_sparse(pa.array([1], pa.int8()), [pa.array([9]), pa.array(["b"])]),
    ),
    "arrow_runs": arrow(
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int16()), pa.array([5, 5])),
        pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int16()), pa.array([5])),
    ),
    "arrow_under_null": arrow(
        pa.StructArray.from_arrays([pa.array([1, 2])], ["x"], mask=pa.array([True, False])),
        pa.StructArray.from_arrays([pa.array([7, 2])], ["x"], mask=pa.array([True, False])),
    ),
    "arrow_nan": arrow(pa.array([[NAN]]), pa.array([[NAN]])),
    "arrow_dictionary_chunks": arrow(
        pa.chunked_array([pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]),
        pa.array(["a", "b"]).dictionary_encode(),
    ),
    "under_the_mask": column(
        pd.arrays.IntegerArray(np.array([1]), np.array([True])),
        pd.arrays.IntegerArray(np.array([2]), np.array([True])),
    ),
    "nan_objects": cell([NAN, {"k": (NAN,)}], [float("nan"), {"k": (float("nan"),)}]),
    "set_order": cell({8, 0}, {0, 8}),
    "set_nan": cell({NAN}, {float("nan")}),
    "shared_or_equal": cell([NESTED_NAN, NESTED_NAN], pickle.loads(pickle.dumps([NESTED_NAN])) * 2),
}


@pytest.mark.parametrize("name", SAME)
def test_what_no_user_can_see_is_not_a_difference(name: str) -> None:
    a, b = SAME[name]()
    assert differences(a, b) == []


def cyclic(last: object) -> list[object]:
    inner: list[object] = [1]
    inner += [inner, last]
    return inner


def test_cyclic_cells_are_compared_without_end() -> None:
    assert differences(*cell(cyclic(1), cyclic(1))()) == []
    assert differences(*cell(cyclic(1), cyclic(True))())


def test_cells_nested_100000_deep_are_compared_without_recursion() -> None:
    def deep(last: object) -> object:
        for _ in range(100_000):
            last = [last]
        return last

    assert differences(*cell(deep(1), deep(1))()) == []
    assert differences(*cell(deep(1), deep(1.0))())


def test_the_report_names_column_and_position() -> None:
    found = differences(
        pd.DataFrame({"x": [1.0, 2.0], "y": [1, 2]}), pd.DataFrame({"x": [1.0, 3.0], "y": [1, 2]})
    )
    assert len(found) == 1
    assert "column 0" in found[0]
    assert "'x'" in found[0]
    assert "[1]" in found[0]


def test_the_report_is_limited() -> None:
    a, b = (pd.DataFrame({"a": objects(*[kind(i) for i in range(100)])}) for kind in (int, float))
    assert len(differences(a, b, limit=5)) == 5


def test_assert_identical_raises_with_the_differences() -> None:
    with pytest.raises(AssertionError, match="range"):
        assert_identical(pd.DataFrame(index=range(2)), pd.DataFrame(index=range(2, 4)))


def test_strict_equal_compares_plain_values() -> None:
    assert strict_equal({"a": [1, (NAN, None)]}, {"a": [1, (NAN, None)]})
    assert not strict_equal({"a": [1]}, {"a": [True]})

"""Odd labels on both axes: RangeIndex, names, duplicates, MultiIndex."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from odd.registry import add, labels, objects

NAN = float("nan")

INDEXES: dict[str, Callable[[], pd.Index[Any]]] = {
    "range/default": lambda: pd.RangeIndex(3),
    "range/start": lambda: pd.RangeIndex(5, 8),
    "range/step": lambda: pd.RangeIndex(10, 1, -3),
    "range/odd_stop": lambda: pd.RangeIndex(0, 8, 3),
    "range/named": lambda: pd.RangeIndex(3, name="r"),
    "range/huge": lambda: pd.RangeIndex(2**62, 2**62 + 3),
    "range/same_values_i8": lambda: pd.Index([0, 1, 2]),
    "name/none": lambda: pd.Index([1, 2, 3], name=None),
    "name/zero": lambda: pd.Index([1, 2, 3], name=0),
    "name/false": lambda: pd.Index([1, 2, 3], name=False),
    "name/empty_str": lambda: pd.Index([1, 2, 3], name=""),
    "name/tuple": lambda: pd.Index([1, 2, 3], name=("a", 1)),
    "name/nan": lambda: pd.Index([1, 2, 3], name=NAN),
    "name/na": lambda: pd.Index([1, 2, 3], name=pd.NA),
    "name/np_int": lambda: pd.Index([1, 2, 3], name=np.int64(5)),
    "name/timestamp": lambda: pd.Index([1, 2, 3], name=pd.Timestamp("2020", tz="UTC")),
    "name/date": lambda: pd.Index([1, 2, 3], name=dt.date(2020, 1, 1)),
    "name/surrogate": lambda: pd.Index([1, 2, 3], name="\ud800"),
    "name/frozenset": lambda: pd.Index([1, 2, 3], name=frozenset({1})),
    "label/str": lambda: pd.Index(["a", "b", "c"]),
    "label/object_str": lambda: labels("a", "b", "c"),
    "label/duplicates": lambda: pd.Index(["a", "a", "a"]),
    "label/int_duplicates": lambda: pd.Index([5, 5, 5]),
    "label/float": lambda: pd.Index([1.0, NAN, -0.0]),
    "label/float_nans": lambda: pd.Index([NAN, NAN, 1.0]),
    "label/ones": lambda: labels(1, 1.0, True),
    "label/np_ones": lambda: labels(np.int64(1), np.float64(1), np.True_),
    "label/missing_kinds": lambda: labels(None, NAN, pd.NA),
    "label/nat_and_none": lambda: labels(pd.NaT, None, "NaT"),
    "label/tuples": lambda: labels((1, "a"), (1, "b"), ()),
    "label/tuples_nested": lambda: labels(((1,), (None, NAN)), (1.0, True), "x"),
    "label/mixed": lambda: labels(1, "a", dt.date(2020, 1, 1)),
    "label/decimals": lambda: labels(decimal.Decimal("1.0"), decimal.Decimal("1.00"), 1),
    "label/big_ints": lambda: labels(2**70, -(2**70), 0),
    "label/bytes": lambda: labels(b"a", "a", b"\xff"),
    "label/datetimes": lambda: labels(dt.datetime(2020, 1, 1), pd.Timestamp("2020"), np.datetime64("2020")),
    "label/surrogates": lambda: labels("\ud800", "\udfff", "a"),
    "label/empty_strings": lambda: pd.Index(["", " ", "\x00"]),
    "label/long": lambda: pd.Index(["x" * 10_000, "y", "z"]),
    "label/bool": lambda: pd.Index([True, False, True]),
    "label/bool_object": lambda: labels(True, False, None),
    "label/int8": lambda: pd.Index(np.array([1, -1, 127], dtype="i1")),
    "label/uint64": lambda: pd.Index(np.array([0, 2**63, 2**64 - 1], dtype="u8")),
    "label/complex": lambda: pd.Index([1j, 2 + 0j, complex(NAN, 1)]),
    "label/float32": lambda: pd.Index(np.array([0.1, 0.2, NAN], dtype="f4")),
    "label/string_na": lambda: pd.Index(pd.array(["a", None, "b"], dtype="string")),
    "label/datetime_nat": lambda: pd.DatetimeIndex(["2020-01-01", None, "1677-09-22"]),
    "label/timedelta": lambda: pd.TimedeltaIndex(["1h", None, "-1D"]),
    "label/period": lambda: pd.PeriodIndex(["2020-01", None, "1999-12"], freq="M"),
    "label/interval_missing": lambda: pd.IntervalIndex.from_tuples([(0, 1), NAN, (3, 4)]),
    "label/categorical": lambda: pd.CategoricalIndex(["b", "a", None], ["z", "b", "a"], ordered=True),
    "label/sparse": lambda: pd.Index(pd.arrays.SparseArray([0, 0, 1])),
    "label/Float64": lambda: pd.Index(pd.array([0.5, None, 1.5], dtype="Float64")),
    "label/unsorted": lambda: pd.Index([3, 1, 2]),
}


def level_index(value: Any) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([objects(value, "x", value), [1, 2, 3]])


MULTI: dict[str, Callable[[], pd.MultiIndex]] = {
    "product": lambda: pd.MultiIndex.from_product([[1], ["a", "b", "c"]], names=["n", "s"]),
    "unnamed": lambda: pd.MultiIndex.from_arrays([[1, 2, 3], ["a", "b", "c"]]),
    "odd_names": lambda: pd.MultiIndex.from_arrays([[1, 2, 3]] * 3, names=[0, ("t", 1), None]),
    "same_names": lambda: pd.MultiIndex.from_arrays([[1, 2, 3]] * 2, names=["x", "x"]),
    "one_level": lambda: pd.MultiIndex.from_arrays([["a", "b", "c"]], names=["only"]),
    "unused": lambda: pd.MultiIndex.from_product([["z", "b", "a"], [1, 2]])[[0, 2, 3]],
    "unsorted_levels": lambda: pd.MultiIndex(levels=[["b", "a"], [2, 1]], codes=[[0, 1, 0], [1, 0, 0]]),
    "missing_codes": lambda: pd.MultiIndex(levels=[["a"], [1, 2]], codes=[[0, -1, 0], [-1, -1, 1]]),
    "nan_level": lambda: pd.MultiIndex.from_arrays([[1.0, NAN, -0.0], ["a", None, "b"]]),
    "nan_in_levels": lambda: pd.MultiIndex(
        levels=[pd.Index([1.0, NAN]), ["a"]], codes=[[0, 0, 0], [0, 0, 0]]
    ),
    "duplicates": lambda: pd.MultiIndex.from_arrays([[1, 1, 1], ["a", "a", "a"]]),
    "mixed_levels": lambda: pd.MultiIndex.from_arrays([labels(1, "a", 2.5), labels(None, True, (1,))]),
    "all_kinds": lambda: pd.MultiIndex.from_arrays(
        [
            pd.date_range("2020", periods=3, tz="Europe/Paris"),
            pd.period_range("2020", periods=3, freq="Q"),
            pd.Categorical(["a", "b", "a"], ["c", "b", "a"]),
            pd.interval_range(0, 3),
            pd.timedelta_range("1h", periods=3),
            pd.array([1, None, 3], dtype="Int16"),
            pd.array(["x", "y", None], dtype="string"),
        ]
    ),
    "range_level": lambda: pd.MultiIndex(levels=[pd.RangeIndex(3), ["a"]], codes=[[0, 1, 2], [0, 0, 0]]),
    "freq_level": lambda: pd.MultiIndex(
        levels=[pd.date_range("2020", periods=3, freq="ME"), ["a"]], codes=[[2, 1, 0], [0, 0, 0]]
    ),
    "sortorder": lambda: pd.MultiIndex(levels=[[1, 2], [1, 2]], codes=[[0, 0, 1], [0, 1, 0]], sortorder=2),
    "ten_levels": lambda: pd.MultiIndex.from_arrays([[i, i + 1, i] for i in range(10)]),
    "object_str_level": lambda: pd.MultiIndex.from_arrays([labels("a", "b", "c"), pd.Index(["a", "b", "c"])]),
    "ones": lambda: level_index(True),
    "int8_level": lambda: pd.MultiIndex.from_arrays(
        [np.array([1, 2, 3], dtype="i1"), np.array([1, 2, 3], dtype="f4")]
    ),
    "decimal_level": lambda: level_index(decimal.Decimal("1.50")),
    "arrow_level": lambda: pd.MultiIndex.from_arrays(
        [pd.array([1, None, 3], dtype="int8[pyarrow]"), pd.array(["a", "b", "c"], dtype="string[pyarrow]")]
    ),
    "many_in_level": lambda: pd.MultiIndex.from_product([range(70_000), ["a"]])[[0, 1, 69_999]],
}


def on_rows(make: Callable[[], Any]) -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"]}, index=make())


def on_columns(make: Callable[[], Any]) -> pd.DataFrame:
    return pd.DataFrame(np.arange(6.0).reshape(2, 3), columns=make())


for _name, _make in (INDEXES | {f"multi/{name}": make for name, make in MULTI.items()}).items():
    add(f"axis_{_name}/rows", partial(on_rows, _make))
    add(f"axis_{_name}/columns", partial(on_columns, _make))

add(
    "axis_multi/empty/rows",
    lambda: pd.DataFrame({"a": []}, index=pd.MultiIndex.from_arrays([[], []], names=["x", "y"])),
)
add(
    "axis_multi/empty/columns",
    lambda: pd.DataFrame(index=[1, 2], columns=pd.MultiIndex.from_arrays([[], []])),
)
add(
    "axis_multi/both/axes",
    lambda: pd.DataFrame(
        np.zeros((4, 4)),
        index=pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["i", "j"]),
        columns=pd.MultiIndex.from_product([["x", "y"], [True, False]], names=[None, 3]),
    ),
)
add(
    "axis_multi/set_levels/rows",
    lambda: on_rows(MULTI["product"]).pipe(
        lambda f: f.set_axis(f.index.set_levels(["q", "r", "s"], level=1))
    ),
)
add(
    "axis_multi/groupby/columns",
    lambda: pd.DataFrame({"k": ["x", "y", "x"], "v": [1, 2, 3]}).groupby("k").agg(["sum", "mean"]),
)
add(
    "axis_multi/pivot/columns",
    lambda: pd.DataFrame(
        {"k": ["x", "y", "x"], "c": ["p", "q", "q"], "v": [1, 2, 3], "w": [1.5, 2.5, 3.5]}
    ).pivot(index="k", columns="c"),
)
add(
    "axis_label/duplicates/mixed_dtypes",
    lambda: pd.concat(
        [pd.Series([1, 2], name="a"), pd.Series(["x", None], name="a"), pd.Series([1.5, NAN], name="a")],
        axis=1,
    ),
)
add(
    "axis_label/both_named/axes",
    lambda: pd.DataFrame([[1]], index=pd.Index([7], name="i"), columns=pd.Index(["c"], name="c")),
)

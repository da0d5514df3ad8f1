"""Columns of pandas' own extension dtypes: intervals, categories, sparse, nullable, strings."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from odd.registry import add, add_column, labels, objects

NA = pd.NA

# --- intervals ---

INTERVALS: dict[str, Any] = {
    "i8": lambda c: pd.arrays.IntervalArray.from_breaks([0, 1, 5], closed=c),
    "f8": lambda c: pd.arrays.IntervalArray.from_breaks([0.5, np.inf], closed=c),
    "f8_na": lambda c: pd.arrays.IntervalArray.from_tuples([(0.0, 1.0), np.nan, (-0.0, 2.0)], closed=c),
    "u8": lambda c: pd.arrays.IntervalArray.from_breaks(
        np.array([0, 2**63, 2**64 - 1], dtype="u8"), closed=c
    ),
    "datetime": lambda c: pd.arrays.IntervalArray.from_breaks(
        pd.date_range("2020", periods=3, unit="s"), closed=c
    ),
    "datetime_na": lambda c: pd.arrays.IntervalArray.from_arrays(
        pd.DatetimeIndex(["2020-01-01", pd.NaT]), pd.DatetimeIndex(["2020-01-02", pd.NaT]), closed=c
    ),
    "zoned": lambda c: pd.arrays.IntervalArray.from_breaks(
        pd.date_range("2020", periods=3, tz="Asia/Tokyo"), closed=c
    ),
    "timedelta": lambda c: pd.arrays.IntervalArray.from_breaks(pd.timedelta_range("1h", periods=3), closed=c),
}
for _name, _make in INTERVALS.items():
    for _closed in ("left", "right", "both", "neither"):
        add_column(f"interval/{_name}/{_closed}", partial(_make, _closed))
add_column("interval/i8/empty", lambda: pd.arrays.IntervalArray.from_breaks(np.array([], dtype="i8")))
add("interval/i8/index", lambda: pd.DataFrame({"a": [1, 2]}, index=pd.interval_range(0, 2, name="iv")))
add("interval/f8/columns", lambda: pd.DataFrame([[1, 2]], columns=pd.interval_range(0.0, 2.0, closed="both")))
add("interval/i8/from_cut", lambda: pd.DataFrame({"a": pd.cut(pd.Series([1, 5, 9, np.nan]), 3)}))

# --- categories ---

CATEGORIES: dict[str, Any] = {
    "str": lambda: pd.Index(["b", "a", ""]),
    "object_str": lambda: labels("b", "a"),
    "mixed": lambda: labels("a", 1, 2.5, (1, 2), dt.date(2020, 1, 1)),
    "one_and_true_words": lambda: labels(1, "1", b"1"),
    "i8": lambda: pd.Index([3, 1, 2]),
    "i1": lambda: pd.Index(np.array([3, 1], dtype="i1")),
    "u8": lambda: pd.Index(np.array([2**64 - 1], dtype="u8")),
    "f8": lambda: pd.Index([0.5, -np.inf]),
    "bool": lambda: pd.Index([True, False]),
    "datetime": lambda: pd.DatetimeIndex(["2020-01-02", "2020-01-01"]),
    "zoned": lambda: pd.DatetimeIndex(["2020-01-02", "2020-01-01"], tz="Europe/Paris"),
    "timedelta": lambda: pd.to_timedelta([5, 1], unit="h"),
    "period": lambda: pd.PeriodIndex(["2020-01", "2021-05"], freq="M"),
    "interval": lambda: pd.interval_range(0, 3),
    "range": lambda: pd.RangeIndex(2, 8, 2),
    "empty_str": lambda: pd.Index([], dtype="str"),
    "empty_object": lambda: pd.Index([], dtype=object),
    "empty_i8": lambda: pd.Index([], dtype="i8"),
    "string_na": lambda: pd.Index(["x", "y"], dtype="string"),
    "string_python": lambda: pd.Index(["x", "y"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "Int64": lambda: pd.Index([1, 2], dtype="Int64"),
    "Float32": lambda: pd.Index([1.5, 2.5], dtype="Float32"),
    "boolean": lambda: pd.Index([True, False], dtype="boolean"),
    "arrow_date": lambda: pd.Index([dt.date(2020, 1, 1)], dtype="date32[pyarrow]"),
    "arrow_decimal": lambda: pd.Index(
        pd.array([decimal.Decimal("1.50")], dtype=pd.ArrowDtype(pa.decimal128(9, 2)))
    ),
    "named": lambda: pd.Index(["a", "b"], name="label"),
    "many": lambda: pd.Index([f"c{i}" for i in range(300)]),
    "surrogate": lambda: labels("\ud800", "a"),
}


def categorical(make: Any, ordered: bool) -> pd.Categorical:
    categories = make()
    codes = [-1, *range(len(categories))][::-1]
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(categories, ordered=ordered))


for _name, _make in CATEGORIES.items():
    add_column(f"categorical/{_name}/unordered", partial(categorical, _make, False))
    add_column(f"categorical/{_name}/ordered", partial(categorical, _make, True))
add_column("categorical/str/unused", lambda: pd.Categorical(["a"], categories=["z", "a", "q"]))
add_column("categorical/str/no_rows", lambda: pd.Categorical([], categories=["z", "a"]))
add_column("categorical/none/nothing", lambda: pd.Categorical([]))
add_column("categorical/none/all_missing", lambda: pd.Categorical([None, None]))
add_column("categorical/i8/40000", lambda: pd.Categorical(range(40_000)))
add(
    "categorical/str/index",
    lambda: pd.DataFrame(
        {"a": [1, 2, 3]}, index=pd.CategoricalIndex(["b", None, "b"], ["b", "c"], ordered=True, name="k")
    ),
)
add(
    "categorical/str/columns",
    lambda: pd.DataFrame([[1, 2]], columns=pd.CategoricalIndex(["b", "a"], ["a", "b", "c"])),
)
add(
    "categorical/str/shared",
    lambda: pd.DataFrame(
        {c: pd.Categorical(["a", "b"], dtype=pd.CategoricalDtype(["b", "a"])) for c in "xyz"}
    ),
)

# --- sparse ---

SPARSE: dict[str, Any] = {
    "f8_nan": lambda k: pd.arrays.SparseArray([1.0, np.nan, np.nan, -0.0], kind=k),
    "f8_zero": lambda k: pd.arrays.SparseArray([0.0, 1.0, 0.0, np.nan], fill_value=0.0, kind=k),
    "f8_minus_zero": lambda k: pd.arrays.SparseArray([1.5, 2.0], fill_value=-0.0, kind=k),
    "f8_inf": lambda k: pd.arrays.SparseArray([np.inf, 1.0], fill_value=np.inf, kind=k),
    "f4": lambda k: pd.arrays.SparseArray(np.array([1, 0, 2], dtype="f4"), fill_value=np.float32(0), kind=k),
    "f2": lambda k: pd.arrays.SparseArray(np.array([1, 0, 2], dtype="f2"), kind=k),
    "i8": lambda k: pd.arrays.SparseArray([0, 0, 3, 0, 4, 5], kind=k),
    "i8_fill_7": lambda k: pd.arrays.SparseArray([7, 7, 3], fill_value=7, kind=k),
    "i1": lambda k: pd.arrays.SparseArray(np.array([0, 1, -128], dtype="i1"), kind=k),
    "u8": lambda k: pd.arrays.SparseArray(np.array([0, 2**64 - 1], dtype="u8"), kind=k),
    "bool": lambda k: pd.arrays.SparseArray([True, False, True], kind=k),
    "bool_true": lambda k: pd.arrays.SparseArray([True, False, True], fill_value=True, kind=k),
    "c16": lambda k: pd.arrays.SparseArray(np.array([0, 1j], dtype="c16"), fill_value=0j, kind=k),
    "datetime": lambda k: pd.arrays.SparseArray(np.array(["2020-01-01", "NaT"], dtype="M8[ns]"), kind=k),
    "datetime_s": lambda k: pd.arrays.SparseArray(np.array(["2020-01-01", "NaT"], dtype="M8[s]"), kind=k),
    "timedelta": lambda k: pd.arrays.SparseArray(np.array([1, "NaT"], dtype="m8[ns]"), kind=k),
    "object": lambda k: pd.arrays.SparseArray(objects("a", np.nan, "b", np.nan).to_numpy(), kind=k),
    "object_none": lambda k: pd.arrays.SparseArray(
        objects("a", None, "b").to_numpy(), fill_value=None, kind=k
    ),
    "empty": lambda k: pd.arrays.SparseArray(np.array([], dtype="f8"), kind=k),
    "all_fill": lambda k: pd.arrays.SparseArray([0, 0, 0], kind=k),
    "no_fill": lambda k: pd.arrays.SparseArray([1, 2, 3], kind=k),
    "other_fill": lambda k: pd.arrays.SparseArray(
        np.array([1, 0, 2], dtype="i8"), dtype=pd.SparseDtype("i8", 1), kind=k
    ),
}
for _name, _make in SPARSE.items():
    for _kind in ("integer", "block"):
        add_column(f"sparse/{_name}/{_kind}", partial(_make, _kind))
add_column(
    "sparse/f8_zero/explicit_fill",
    lambda: pd.arrays.SparseArray.from_indices(np.array([1.0, 0.0]), np.array([0, 1]), 3, fill_value=0.0),
)
add("sparse/f8/frame", lambda: pd.DataFrame(np.eye(4)).astype(pd.SparseDtype("f8", 0.0)))
add("sparse/i8/index", lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(pd.arrays.SparseArray([0, 5]))))

# --- nullable ---

for _bits in (8, 16, 32, 64):
    for _sign in ("Int", "UInt"):
        _dtype = f"{_sign}{_bits}"
        _low, _high = np.iinfo(_dtype.lower()).min, np.iinfo(_dtype.lower()).max
        add_column(
            f"nullable/{_dtype}/edges",
            partial(lambda d, x, y: pd.array([x, NA, y, 0], dtype=d), _dtype, _low, _high),
        )
        add_column(f"nullable/{_dtype}/no_missing", partial(lambda d: pd.array([1, 2], dtype=d), _dtype))
        add_column(f"nullable/{_dtype}/all_missing", partial(lambda d: pd.array([NA, NA], dtype=d), _dtype))
        add_column(f"nullable/{_dtype}/empty", partial(lambda d: pd.array([], dtype=d), _dtype))
        add(
            f"nullable/{_dtype}/index",
            partial(
                lambda d: pd.DataFrame({"a": [1, 2]}, index=pd.Index(pd.array([1, NA], dtype=d), name="n")),
                _dtype,
            ),
        )


def nan_and_na(word: str) -> Any:
    values = np.array([np.nan, 1.0, -0.0, np.inf, 5.0], dtype=word)
    return pd.arrays.FloatingArray(values, np.array([False, False, False, False, True]))


def garbage_below(word: str) -> Any:
    """What lies under the mask is not part of the value."""
    return pd.arrays.FloatingArray(np.array([np.nan, 99.0], dtype=word), np.array([True, True]))


for _word in ("f4", "f8"):
    _tag = f"nullable/Float{int(_word[1]) * 8}"
    add_column(f"{_tag}/nan_and_na", partial(nan_and_na, _word))
    add_column(f"{_tag}/under_the_mask", partial(garbage_below, _word))
    add_column(
        f"{_tag}/empty",
        partial(lambda w: pd.arrays.FloatingArray(np.array([], w), np.array([], bool)), _word),
    )
    add_column(f"{_tag}/sliced", partial(lambda w: nan_and_na(w)[::-2], _word))
    add(
        f"{_tag}/index",
        partial(lambda w: pd.DataFrame({"a": range(5)}, index=pd.Index(nan_and_na(w))), _word),
    )
add_column("nullable/boolean/missing", lambda: pd.array([True, NA, False], dtype="boolean"))
add_column("nullable/boolean/all_missing", lambda: pd.array([NA, NA], dtype="boolean"))
add_column("nullable/boolean/empty", lambda: pd.array([], dtype="boolean"))
add(
    "nullable/boolean/index",
    lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(pd.array([True, NA], dtype="boolean"))),
)
add(
    "nullable/Int64/columns",
    lambda: pd.DataFrame([[1, 2]], columns=pd.Index(pd.array([1, NA], dtype="Int64"))),
)
add(
    "nullable/mixed/convert_dtypes",
    lambda: pd.DataFrame(
        {"a": [1, None], "b": ["x", None], "c": [1.5, None], "d": [True, None]}
    ).convert_dtypes(),
)

# --- strings ---

TEXTS: dict[str, Any] = {
    "ascii": ["a", "b", ""],
    "missing": ["a", None, "b"],
    "all_missing": [None, None],
    "empty": [],
    "unicode": ["é", "e\u0301", "日本", "🦀", "\u202ertl", "\ufeff", "\x00", "a\x00b", "\U0010ffff"],
    "white": [" ", "\t\n\r", "\u00a0", "nan", "None", "NA", "<NA>"],
    "long": ["x" * 100_000, None, "y"],
    "many": [f"s{i % 97}" for i in range(3000)],
}
for _storage, _na in itertools.product(("python", "pyarrow"), ("nan", "NA")):
    _dtype = pd.StringDtype(_storage, na_value=np.nan if _na == "nan" else NA)
    for _name, _cells in TEXTS.items():
        add_column(
            f"string/{_storage}_{_na}/{_name}", partial(lambda c, d: pd.array(c, dtype=d), _cells, _dtype)
        )
    add_column(
        f"string/{_storage}_{_na}/sliced",
        partial(lambda d: pd.array(["a", None, "cc", "d"], dtype=d)[::-1][1:3], _dtype),
    )
    add(
        f"string/{_storage}_{_na}/index",
        partial(
            lambda d: pd.DataFrame({"a": [1, 2]}, index=pd.Index(pd.array(["x", None], dtype=d), name="t")),
            _dtype,
        ),
    )
    add(
        f"string/{_storage}_{_na}/columns",
        partial(lambda d: pd.DataFrame([[1, 2]], columns=pd.Index(pd.array(["x", "y"], dtype=d))), _dtype),
    )
for _na in ("nan", "NA"):
    add_column(
        f"string/python_{_na}/surrogate",
        partial(
            lambda n: pd.array(["\ud800", "a"], dtype=pd.StringDtype("python", na_value=n)),
            np.nan if _na == "nan" else NA,
        ),
    )
add_column(
    "string/pyarrow_nan/sliced_far", lambda: pd.array([f"row {i}" for i in range(1000)], dtype="str")[900:903]
)
add_column(
    "string/pyarrow_nan/concatenated",
    lambda: pd.concat(
        [pd.Series(["a", None], dtype="str"), pd.Series(["b"], dtype="str")], ignore_index=True
    ),
)

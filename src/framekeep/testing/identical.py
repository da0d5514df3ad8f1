"""Tell whether two DataFrames are identical to the last detail: what the round-trip tests compare with.

``pandas.testing.assert_frame_equal`` forgives much (``1`` and ``True`` as labels, NaN payloads, ``-0.0``,
unused levels, the kind of a time zone object). Here nothing is forgiven but what no user can see: the
layout of blocks, memory order, the chunks of a ChunkedArray, bytes under a mask, and whether two places
hold one object or two equal ones.

Cells are compared by ``identical_cells``, Arrow data by ``identical_arrow``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from framekeep.testing.identical_arrow import arrow_differences
from framekeep.testing.identical_cells import Path, Walk, compare_ndarray, strict_equal

__all__ = ["assert_identical", "differences", "strict_equal"]


def differences(a: object, b: object, *, limit: int = 20) -> list[str]:
    """List how ``b`` differs from ``a``, at most ``limit`` lines; empty when they are identical.

    Takes DataFrames, and also Series, Index, pandas arrays or any value a cell may hold.
    """
    walk = Walk(limit, compare_pandas)
    walk.push((), a, b)
    walk.run()
    return walk.found


def assert_identical(a: object, b: object) -> None:
    """Check that ``b`` is identical to ``a``.

    Raises:
        AssertionError: naming each difference found.
    """
    found = differences(a, b)
    if found:
        raise AssertionError("not identical:\n  " + "\n  ".join(found))


def compare_pandas(walk: Walk, path: Path, a: Any, b: Any) -> bool:
    """Compare two pandas objects of one type; return False if they are none of those known here."""
    for kind, compare in _KINDS:
        if isinstance(a, kind):
            compare(walk, path, a, b)
            return True
    return False


# --- containers -----------------------------------------------------------------------------------


def _frame(walk: Walk, path: Path, a: pd.DataFrame, b: pd.DataFrame) -> None:
    if a.shape != b.shape:
        walk.say(path, f"shape {a.shape} became {b.shape}")
        return
    _index(walk, (path, ".columns"), a.columns, b.columns)
    _index(walk, (path, ".index"), a.index, b.index)
    for position in range(a.shape[1]):
        left, right = a.iloc[:, position], b.iloc[:, position]
        _values(walk, (path, (f" column {position} ", a.columns[position])), left, right)
    _flags_and_attrs(walk, path, a, b)


def _series(walk: Walk, path: Path, a: pd.Series[Any], b: pd.Series[Any]) -> None:
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    walk.push((path, ".name"), a.name, b.name)
    _index(walk, (path, ".index"), a.index, b.index)
    _values(walk, path, a, b)
    _flags_and_attrs(walk, path, a, b)


def _flags_and_attrs(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a.flags.allows_duplicate_labels is not b.flags.allows_duplicate_labels:
        walk.say(path, f"allows_duplicate_labels became {b.flags.allows_duplicate_labels}")
    walk.push((path, ".attrs"), a.attrs, b.attrs)


def _index(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if type(a) is not type(b):
        walk.say(path, f"class {type(a).__name__} became {type(b).__name__}")
        return
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    walk.push((path, ".names"), list(a.names), list(b.names))
    if isinstance(a, pd.MultiIndex):
        _multi_index(walk, path, a, b)
        return
    if isinstance(a, pd.RangeIndex):
        left, right = (a.start, a.stop, a.step), (b.start, b.stop, b.step)
        if left != right:
            walk.say(path, f"range {left} became {right}")
        return
    if isinstance(a, pd.DatetimeIndex | pd.TimedeltaIndex):
        walk.push((path, ".freq"), a.freq, b.freq)
    _values(walk, path, a, b)


def _multi_index(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a.nlevels != b.nlevels:
        walk.say(path, f"{a.nlevels} levels became {b.nlevels}")
        return
    if a.sortorder != b.sortorder:
        walk.say(path, f"sortorder {a.sortorder} became {b.sortorder}")
    for number in range(a.nlevels):
        _index(walk, (path, f".levels[{number}]"), a.levels[number], b.levels[number])
        compare_ndarray(
            walk, (path, f".codes[{number}]"), np.asarray(a.codes[number]), np.asarray(b.codes[number])
        )


# --- arrays ---------------------------------------------------------------------------------------


def _values(walk: Walk, path: Path, a: Any, b: Any) -> None:
    """Compare the data of two Series or flat Indexes of one length."""
    _dtype(walk, path, a.dtype, b.dtype)
    _array(walk, path, a.array, b.array)


def _dtype(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if type(a) is not type(b):
        walk.say(path, f"dtype class {type(a).__name__} became {type(b).__name__}")
    elif isinstance(a, np.dtype):
        walk.push((path, ".dtype"), a, b)
    elif isinstance(a, pd.CategoricalDtype):
        if a.ordered is not b.ordered:
            walk.say(path, f"ordered {a.ordered} became {b.ordered}")
        if (a.categories is None) != (b.categories is None):
            walk.say(path, "categories appeared or disappeared")
        elif a.categories is not None:
            _index(walk, (path, ".categories"), a.categories, b.categories)
    elif isinstance(a, pd.SparseDtype):
        walk.push((path, ".dtype.subtype"), a.subtype, b.subtype)
        walk.push((path, ".dtype.fill_value"), a.fill_value, b.fill_value)
    elif isinstance(a, pd.StringDtype):
        if (a.storage, type(a.na_value)) != (b.storage, type(b.na_value)):
            walk.say(path, f"dtype {a!r} became {b!r}")
    elif isinstance(a, pd.DatetimeTZDtype):
        if a.unit != b.unit:
            walk.say(path, f"unit {a.unit} became {b.unit}")
        walk.push((path, ".dtype.tz"), a.tz, b.tz)
    elif isinstance(a, pd.PeriodDtype):
        walk.push((path, ".dtype.freq"), a.freq, b.freq)
    elif isinstance(a, pd.IntervalDtype):
        if a.closed != b.closed:
            walk.say(path, f"closed {a.closed} became {b.closed}")
        if a.subtype is None or b.subtype is None:
            if a.subtype is not b.subtype:
                walk.say(path, f"subtype {a.subtype} became {b.subtype}")
        else:
            _dtype(walk, path, a.subtype, b.subtype)
    elif isinstance(a, pd.ArrowDtype):
        if not a.pyarrow_dtype.equals(b.pyarrow_dtype, check_metadata=True):
            walk.say(path, f"Arrow type {a.pyarrow_dtype} became {b.pyarrow_dtype}")
    elif a != b or repr(a) != repr(b):
        walk.say(path, f"dtype {a!r} became {b!r}")


def _array(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if type(a) is not type(b):
        walk.say(path, f"array class {type(a).__name__} became {type(b).__name__}")
        return
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    for kind, compare in _ARRAYS:
        if isinstance(a, kind):
            compare(walk, path, a, b)
            return
    _cell_by_cell(walk, path, a, b)


def _arrow(walk: Walk, path: Path, a: Any, b: Any) -> None:
    for line in arrow_differences(a.__arrow_array__(), b.__arrow_array__()):
        walk.say(path, line)


def _numpy(walk: Walk, path: Path, a: Any, b: Any) -> None:
    compare_ndarray(walk, path, np.asarray(a), np.asarray(b))


def _cell_by_cell(walk: Walk, path: Path, a: Any, b: Any) -> None:
    compare_ndarray(walk, path, np.asarray(a, dtype=object), np.asarray(b, dtype=object))


def _integers(walk: Walk, path: Path, a: Any, b: Any) -> None:
    _dtype(walk, path, a.dtype, b.dtype)
    compare_ndarray(walk, path, a.asi8, b.asi8)


def _masked(walk: Walk, path: Path, a: Any, b: Any) -> None:
    compare_ndarray(walk, (path, " mask"), a._mask, b._mask)
    valid = ~a._mask
    if a._mask.tobytes() == b._mask.tobytes():
        compare_ndarray(walk, path, a._data[valid], b._data[valid])


def _categorical(walk: Walk, path: Path, a: Any, b: Any) -> None:
    _dtype(walk, path, a.dtype, b.dtype)
    compare_ndarray(walk, (path, ".codes"), a.codes, b.codes)


def _interval(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a.closed != b.closed:
        walk.say(path, f"closed {a.closed} became {b.closed}")
    _index(walk, (path, ".left"), a.left, b.left)
    _index(walk, (path, ".right"), a.right, b.right)


def _sparse(walk: Walk, path: Path, a: Any, b: Any) -> None:
    _dtype(walk, path, a.dtype, b.dtype)
    if a.kind != b.kind:
        walk.say(path, f"sparse kind {a.kind} became {b.kind}")
        return
    if a.sp_index.length != b.sp_index.length:
        walk.say(path, f"sparse length {a.sp_index.length} became {b.sp_index.length}")
    for name in ("indices",) if a.kind == "integer" else ("blocs", "blengths"):
        compare_ndarray(
            walk, (path, f".sp_index.{name}"), getattr(a.sp_index, name), getattr(b.sp_index, name)
        )
    compare_ndarray(walk, (path, ".sp_values"), np.asarray(a.sp_values), np.asarray(b.sp_values))


def _bare_array(walk: Walk, path: Path, a: Any, b: Any) -> None:
    _dtype(walk, path, a.dtype, b.dtype)
    _array(walk, path, a, b)


_ARRAYS: tuple[tuple[type, Callable[[Walk, Path, Any, Any], None]], ...] = (
    (pd.arrays.ArrowStringArray, _arrow),
    (pd.arrays.ArrowExtensionArray, _arrow),
    (pd.arrays.StringArray, _cell_by_cell),
    (pd.arrays.NumpyExtensionArray, _numpy),
    (pd.arrays.DatetimeArray, _integers),
    (pd.arrays.TimedeltaArray, _integers),
    (pd.arrays.PeriodArray, _integers),
    (pd.arrays.BooleanArray, _masked),
    (pd.arrays.IntegerArray, _masked),
    (pd.arrays.FloatingArray, _masked),
    (pd.Categorical, _categorical),
    (pd.arrays.IntervalArray, _interval),
    (pd.arrays.SparseArray, _sparse),
)

_KINDS: tuple[tuple[type, Callable[[Walk, Path, Any, Any], None]], ...] = (
    (pd.DataFrame, _frame),
    (pd.Series, _series),
    (pd.Index, _index),
    (ExtensionArray, _bare_array),
    (pd.api.extensions.ExtensionDtype, _dtype),
)

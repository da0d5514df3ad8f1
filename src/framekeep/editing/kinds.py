"""What kind of values a column holds, whatever dtype holds them, and which cells are missing.

Owns the mapping of dtypes to the kinds that the vocabulary speaks of.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

Mask = npt.NDArray[np.bool_]


class Kind(StrEnum):
    """A kind of values, as messages call it."""

    INTEGER = "whole numbers"
    NUMBER = "numbers"
    BOOLEAN = "true and false"
    TEXT = "text"
    DATETIME = "dates and times"
    DURATION = "durations"
    CATEGORY = "categories"
    MIXED = "values of any type"
    OTHER = "values of a type of their own"


_NUMPY = {
    "i": Kind.INTEGER,
    "u": Kind.INTEGER,
    "f": Kind.NUMBER,
    "b": Kind.BOOLEAN,
    "M": Kind.DATETIME,
    "m": Kind.DURATION,
    "O": Kind.MIXED,
}


def kind_of(dtype: Any) -> Kind:
    """Return the kind of a column's values by its dtype."""
    if isinstance(dtype, pd.CategoricalDtype):
        return Kind.CATEGORY
    if isinstance(dtype, pd.StringDtype):
        return Kind.TEXT
    if isinstance(dtype, pd.ArrowDtype):
        return _arrow_kind(dtype.pyarrow_dtype)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return Kind.DATETIME
    if isinstance(dtype, np.dtype) or _is_masked(dtype):
        return _NUMPY.get(dtype.kind, Kind.OTHER)
    return Kind.OTHER


def _is_masked(dtype: Any) -> bool:
    return isinstance(dtype, pd.BooleanDtype) or type(dtype).__name__ in _MASKED


_MASKED = frozenset(
    [f"{sign}Int{bits}Dtype" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    + ["Float32Dtype", "Float64Dtype"]
)


def _arrow_kind(kind: pa.DataType) -> Kind:
    if pa.types.is_integer(kind):
        return Kind.INTEGER
    if pa.types.is_floating(kind):
        return Kind.NUMBER
    if pa.types.is_boolean(kind):
        return Kind.BOOLEAN
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Kind.TEXT
    if pa.types.is_timestamp(kind):
        return Kind.DATETIME
    if pa.types.is_duration(kind):
        return Kind.DURATION
    return Kind.OTHER


def missing_in(array: Any) -> Mask:
    """Return which cells of a column's array are missing; "not a number" is."""
    missing = np.asarray(pd.isna(array), dtype=bool)
    dtype = array.dtype
    if kind_of(dtype) is Kind.NUMBER and not isinstance(dtype, np.dtype):
        # A masked or Arrow column can hold "not a number" beside its own missing value.
        values = array.to_numpy(dtype=np.float64, na_value=np.nan)
        missing = missing | np.isnan(values)
    return missing


def array_of(values: Any) -> Any:
    """Return the array of a Series or Index: numpy's for its own dtypes, but for instants and durations."""
    own = isinstance(values.dtype, np.dtype) and values.dtype.kind not in "Mm"
    return values.to_numpy() if own else values.array


def plain_and_missing(array: Any) -> tuple[npt.NDArray[Any], Mask]:
    """Return numbers or booleans as numpy's, with any value where one is missing, and where that is."""
    missing = missing_in(array)
    if isinstance(array, np.ndarray):
        return array, missing
    dtype = array.dtype.numpy_dtype
    return np.asarray(array.to_numpy(dtype=dtype, na_value=dtype.type(0))), missing


def equal_to(array: Any, other: Any) -> Mask:
    """Return which cells equal a value, or the cells of another array; one that is missing equals nothing."""
    found = array == other
    if hasattr(found, "isna"):
        return np.asarray(found.to_numpy(dtype=bool, na_value=False))
    return np.asarray(found, dtype=bool)

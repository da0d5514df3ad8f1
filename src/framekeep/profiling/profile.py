"""The profile of one column: what is counted, and how, for each kind of values."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import InvalidInputError
from framekeep.profiling.spread import amounts, instants

MAX_BINS: Final = 1000
MAX_TOP: Final = 1000

_FIELDS: Final = ("distinct", "min", "max", "mean", "std", "quantiles", "histogram", "lengths", "types")


def checked_profile(bins: int, top: int) -> None:
    """Raise InvalidInputError for numbers of bins or top values that are none."""
    for what, value, least, most in (("bins", bins, 1, MAX_BINS), ("top", top, 0, MAX_TOP)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidInputError(f"{what} must be a whole number from {least} to {most}.")


def profile(array: Any, *, bins: int = 20, top: int = 10) -> dict[str, Any]:
    """Return the profile of a column.

    Args:
        array: a 1-D numpy or pandas extension array.
        bins: how many bins a histogram has, at most.
        top: how many of the most frequent values are given.

    Returns:
        ``kind`` (integer, number, boolean, text, datetime, date, duration, category, mixed, other), ``count``
        (cells with a value), ``missing``; what applies to it, else None: ``distinct``, ``min``, ``max``,
        ``mean``, ``std`` (of a sample), ``quantiles`` (probability -> value, linear between neighbours),
        ``histogram`` (``edges``, one more than ``counts``; the last bin has both its ends), ``lengths`` (of
        texts in characters: ``min``, ``mean``, ``max``), ``types`` (of mixed values: name -> cells); and
        ``top`` (``value``, ``count``; of equally frequent ones the one that comes first). Infinities are
        counted as values and left out of mean, std, quantiles and histogram. Values are Python's.
    """
    values = _arrow(array)
    if values is None:
        kind = "mixed" if getattr(array, "dtype", None) == np.dtype(object) else "other"
        return _objects(pd.Series(array, copy=False), kind, top)
    missing = values.null_count
    found: dict[str, Any] = {"kind": _kind(values.type), "count": len(values) - missing, "missing": missing}
    found.update(dict.fromkeys(_FIELDS))
    counts = _counts(values)
    if counts is not None:
        found["distinct"] = len(counts)
        found["top"] = _most_frequent(counts, top)
    else:
        found["top"] = []
    if found["count"]:
        found.update(_spread(values, found["kind"], bins))
    return found


def _arrow(array: Any) -> pa.Array | None:
    """Return the values as one Arrow array in which missing is null; None for objects of Python."""
    dtype = getattr(array, "dtype", None)
    if getattr(dtype, "kind", "O") == "O" and isinstance(dtype, np.dtype):
        return None
    if isinstance(dtype, pd.SparseDtype):
        array = np.asarray(array)
    try:
        found = pa.array(array, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        return None
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # of no chunks, or of more text than one can hold
        found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], found.type)
    if isinstance(found, pa.ExtensionArray):
        return None
    return found


def _kind(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_dictionary(kind):
        return "category"
    for test, name in (
        (types.is_boolean, "boolean"),
        (types.is_integer, "integer"),
        (types.is_floating, "number"),
        (types.is_decimal, "number"),
        (types.is_string, "text"),
        (types.is_large_string, "text"),
        (types.is_string_view, "text"),
        (types.is_timestamp, "datetime"),
        (types.is_date, "date"),
        (types.is_duration, "duration"),
    ):
        if test(kind):
            return name
    return "other"


def _counts(values: pa.Array) -> pa.StructArray | None:
    """Return each different value with its number of cells, in the order of their first cells."""
    try:
        if pa.types.is_dictionary(values.type):  # categories are few: count their numbers, not their texts
            codes = pc.value_counts(values.indices.drop_null())
            named = pc.take(values.dictionary, codes.field("values"))
            return pa.StructArray.from_arrays([named, codes.field("counts")], ["values", "counts"])
        if pa.types.is_floating(values.type):
            values = pc.add(values, pa.scalar(0, values.type))  # -0.0 is 0.0
        return pc.value_counts(values.drop_null())
    except (pa.ArrowException, NotImplementedError):
        return None  # lists and other nested values


def _most_frequent(counts: pa.StructArray, top: int) -> list[dict[str, Any]]:
    numbers = counts.field("counts").to_numpy()
    if not top or not len(numbers):
        return []
    if len(numbers) > 4 * top:  # the least that can be among them, so that few are sorted
        least = np.partition(numbers, len(numbers) - top)[len(numbers) - top]
        places = np.flatnonzero(numbers >= least)
    else:
        places = np.arange(len(numbers))
    order = places[np.argsort(-numbers[places], kind="stable")][:top]
    values = pc.take(counts.field("values"), pa.array(order))
    return [
        {"value": _value(each), "count": int(numbers[place])}
        for each, place in zip(values, order, strict=True)
    ]


def _value(scalar: pa.Scalar) -> Any:
    """Return a scalar as Python's own value; one that Python does not have as text."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # an instant beyond Python's years, or between its microseconds
        return str(scalar.cast(pa.string()).as_py())


def _spread(values: pa.Array, kind: str, bins: int) -> dict[str, Any]:
    if kind in ("integer", "number"):
        return {**_ends(values), **amounts(values, bins)}
    if kind in ("datetime", "date", "duration"):
        return {**_ends(values), **instants(values, bins)}
    if kind == "boolean":
        return {**_ends(values), "mean": pc.mean(values.cast(pa.uint8())).as_py()}
    if kind == "text":
        lengths = pc.utf8_length(values)
        facts = {
            "min": pc.min(lengths).as_py(),
            "mean": pc.mean(lengths).as_py(),
            "max": pc.max(lengths).as_py(),
        }
        return {**_ends(values), "lengths": facts}
    return {}


def _ends(values: pa.Array) -> dict[str, Any]:
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    kind = values.type
    if pa.types.is_duration(kind):  # for which Arrow has no least and most
        values = values.cast(pa.int64())
    ends = pc.min_max(values)
    return {"min": _value(ends["min"].cast(kind)), "max": _value(ends["max"].cast(kind))}


def _objects(series: pd.Series[Any], kind: str, top: int) -> dict[str, Any]:
    """Return the profile of values that only Python knows: by type, and by value where that can be hashed."""
    gone = series.isna()
    present = series[~gone].tolist()
    found: dict[str, Any] = {"kind": kind, "count": len(present), "missing": int(gone.sum())}
    found.update(dict.fromkeys(_FIELDS))
    found["types"] = dict(Counter(type(value).__name__ for value in present).most_common())
    found["top"] = []
    try:
        # True equals 1 and 1.0, so the type belongs to the value.
        counted = Counter((type(value), value) for value in present)
    except TypeError:
        return found
    found["distinct"] = len(counted)
    found["top"] = [{"value": value, "count": count} for (_, value), count in counted.most_common(top)]
    return found

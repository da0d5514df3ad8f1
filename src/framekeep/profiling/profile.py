"""The profile of one column: how many values, which, and how they are spread.

Knows arrays, not how frames are stored, nor how JSON has a value: that is a parameter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import InvalidInputError
from framekeep.profiling.shape import Profile, blank, by_quantile, cut, real, top_values, with_missing
from framekeep.profiling.spread import Numbers, most, runs, spread

MAX_BINS: Final = 1000
MAX_TOP: Final = 1000
Shown: TypeAlias = Callable[[Any], list[Any]]
"""Gives the cells of a 1-D array as JSON has them, of Unicode only."""


def checked_profile(bins: int, top: int) -> None:
    """Refuse numbers of bins or top values that are none.

    Raises:
        InvalidInputError: one is no whole number, or out of range.
    """
    for what, value, low, high in (("bins", bins, 1, MAX_BINS), ("top", top, 0, MAX_TOP)):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidInputError(f"{what} must be a whole number from {low} to {high}.")


class Profiler:
    """Makes profiles.

    Args:
        shown: how JSON has the values of an array.
        bins: how many bins a histogram has; fewer where there are fewer values.
        top: how many of the most frequent values are given.

    Raises:
        InvalidInputError: ``bins`` or ``top`` is out of range.
    """

    def __init__(self, shown: Shown, *, bins: int = 20, top: int = 10) -> None:
        checked_profile(bins, top)
        self._shown = shown
        self._bins = bins
        self._top = top

    def profile(self, column: Any) -> Profile:
        """Return the profile of a column (a 1-D numpy or pandas extension array), ready for JSON.

        Keys: ``kind`` ("number", "boolean", "instant", "duration", "text", or "mixed" for whatever else),
        ``count`` (values that are there), ``missing``, ``distinct``, ``min`` and ``max`` (of texts by code
        point), ``mean``, ``std`` (of a sample), ``quantiles`` (under "0.05", "0.25", "0.5", "0.75", "0.95"),
        ``histogram`` (``edges``, one more than ``counts``) and ``top`` (the most frequent values: ``value``
        and ``count`` of each). What a kind does not have is None. Infinities are values, but the spread is
        that of the finite ones.
        """
        array: Any = np.asarray(column) if isinstance(column, pd.arrays.SparseArray) else column
        if isinstance(array, pd.Categorical):
            return self._categories(array)
        if getattr(array, "_pa_array", None) is not None:
            return self._arrow(array, array._pa_array)
        if isinstance(array, pd.arrays.StringArray):
            array = array._ndarray
        if hasattr(array, "_data") and hasattr(array, "_mask"):
            return with_missing(self.profile(array._data[~array._mask]), int(array._mask.sum()))
        if isinstance(array, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray):
            return self._times(array._ndarray, getattr(array.dtype, "tz", None))
        if not isinstance(array, np.ndarray):
            return self._mixed(array)
        return self._numpy(array)

    # --- arrays -------------------------------------------------------------------------------------

    def _numpy(self, array: np.ndarray[Any, Any]) -> Profile:
        kind = array.dtype.kind
        if kind in "iu":
            return self._numbers(array.astype(array.dtype.newbyteorder("=")), 0)
        if kind == "f":
            missing = np.isnan(array)
            there = array[~missing] if missing.any() else array
            with np.errstate(over="ignore"):  # an extended float may be infinite as a double
                there = there.astype("f4" if array.dtype.itemsize <= 4 else "f8")
            return self._numbers(there, int(missing.sum()))
        if kind == "b":
            return self._booleans(array)
        if kind in "mM":
            return self._times(array, None)
        return self._objects(array) if kind == "O" else self._mixed(array)

    def _objects(self, array: np.ndarray[Any, Any]) -> Profile:
        """Take objects for what they all are, if they are all of one kind."""
        missing = _missing(array)
        there = array[~missing] if missing.any() else array
        types = set(map(type, there.tolist()))
        if types == {str}:
            try:
                return with_missing(self._texts(pa.array(there, pa.large_string())), int(missing.sum()))
            except UnicodeError:
                pass
        elif types == {bool}:
            return with_missing(self._booleans(there.astype(bool)), int(missing.sum()))
        elif types and types <= {int, float}:
            try:
                numbers = there.astype("i8" if types == {int} else "f8")
            except OverflowError:
                return self._mixed(array)
            return with_missing(self._numbers(numbers, 0), int(missing.sum()))
        return self._mixed(array)

    def _categories(self, array: pd.Categorical) -> Profile:
        codes = np.asarray(array.codes)
        known = codes[codes >= 0]
        values: Any = array.categories.array
        if isinstance(values, pd.arrays.NumpyExtensionArray):
            values = values.to_numpy()
        if self.profile(values)["kind"] == "mixed":
            counts = np.bincount(known, minlength=len(values))
            found = self._counted(self._shown(values), counts.tolist())
        else:
            found = self.profile(values.take(known))
        return with_missing(found, len(codes) - len(known))

    def _arrow(self, array: Any, data: pa.ChunkedArray) -> Profile:
        kind = data.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            try:
                data.validate(full=True)
            except pa.ArrowInvalid:  # its bytes are no text
                return self._mixed(array)
            found = self._texts(data.drop_null())
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
            found = self._numpy(data.drop_null().to_numpy())
        elif pa.types.is_decimal(kind):
            found = self._numpy(data.drop_null().cast(pa.float64()).to_numpy())
        elif pa.types.is_boolean(kind):
            found = self._booleans(data.drop_null().to_numpy())
        elif pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_date32(kind):
            found = self._arrow_times(data.drop_null())
        else:
            return self._mixed(array)
        return with_missing(found, data.null_count)

    # --- kinds --------------------------------------------------------------------------------------

    def _numbers(self, values: Numbers, missing: int) -> Profile:
        ordered = np.sort(values)
        found = blank("number", len(ordered), missing)
        self._count(found, ordered, self._numbers_shown)
        whole = ordered.dtype.kind in "iu"
        if not whole:
            ordered = ordered[np.searchsorted(ordered, -np.inf, "right") : np.searchsorted(ordered, np.inf)]
        if not len(ordered):
            return found
        found["min"], found["max"] = self._numbers_shown(ordered[[0, -1]])
        spread_ = spread(ordered.astype("f8"), self._bins, whole=whole)
        found["mean"], found["std"] = real(spread_.mean), real(spread_.std)
        found["quantiles"] = by_quantile([real(value) for value in spread_.quantiles.tolist()])
        if spread_.histogram is not None:
            edges, counts = spread_.histogram
            found["histogram"] = {"edges": edges.tolist(), "counts": counts.tolist()}
        return found

    def _numbers_shown(self, numbers: Numbers) -> list[Any]:
        if numbers.dtype.kind != "f":
            return self._shown(numbers)
        return [
            cell if finite else str(number)
            for cell, number, finite in zip(
                self._shown(numbers), numbers.tolist(), np.isfinite(numbers).tolist(), strict=True
            )
        ]

    def _times(self, array: np.ndarray[Any, Any], zone: Any) -> Profile:
        unit = np.datetime_data(array.dtype)[0]
        kind = array.dtype.kind
        missing = np.isnat(array)
        native = array[~missing].astype(array.dtype.newbyteorder("="))

        def show(ticks: Numbers) -> list[Any]:
            these: Any = ticks.view(f"{kind}8[{unit}]")
            if zone is not None:
                these = pd.DatetimeIndex(these).tz_localize("UTC").tz_convert(zone).array
            return self._shown(these)

        found = self._ticks(native.view("i8"), show, lambda ticks: self._span(ticks, unit))
        return found | {"kind": "instant" if kind == "M" else "duration", "missing": int(missing.sum())}

    def _arrow_times(self, data: pa.ChunkedArray) -> Profile:
        kind = data.type
        days = pa.types.is_date32(kind)
        width = pa.int32() if days else pa.int64()

        def show(ticks: Numbers) -> list[Any]:
            these = pa.chunked_array([pa.array(ticks).cast(width).cast(kind)])
            return self._shown(pd.arrays.ArrowExtensionArray(these))

        def span(ticks: float) -> Any:
            return self._span(ticks * 86_400, "s") if days else self._span(ticks, kind.unit)

        found = self._ticks(data.cast(width).to_numpy().astype("i8"), show, span)
        return found | {"kind": "duration" if pa.types.is_duration(kind) else "instant"}

    def _span(self, ticks: float, unit: str) -> Any:
        return self._shown(np.array([round(ticks)]).astype(f"m8[{unit}]"))[0]

    def _ticks(self, ticks: Numbers, show: Shown, span: Callable[[float], Any]) -> Profile:
        """Return the profile of what is counted from some instant on.

        Args:
            ticks: int64.
            show: how JSON has them.
            span: how it has a difference of two.
        """
        ordered = np.sort(ticks)
        found = blank("", len(ordered), 0)
        self._count(found, ordered, show)
        if not len(ordered):
            return found
        found["min"], found["max"] = show(ordered[[0, -1]])
        first = int(ordered[0])
        # From the first on, so that a double has digits enough; the difference may need the sign's bit too.
        spread_ = spread((ordered - ordered[:1]).view("u8").astype("f8"), self._bins)

        def back(offsets: Numbers) -> list[Any]:
            places = [min(first + round(offset), int(ordered[-1])) for offset in offsets.tolist()]
            return show(np.array(places, dtype="i8"))

        [found["mean"]] = back(np.array([spread_.mean]))
        found["std"] = None if np.isnan(spread_.std) else span(spread_.std)
        found["quantiles"] = by_quantile(back(spread_.quantiles))
        if spread_.histogram is not None:
            edges, counts = spread_.histogram
            found["histogram"] = {"edges": back(edges), "counts": counts.tolist()}
        return found

    def _count(self, found: Profile, ordered: Numbers, show: Shown) -> None:
        """Fill in the distinct and the most frequent of sorted values."""
        distinct = runs(ordered)
        places = most(distinct.counts, self._top)
        found["distinct"] = len(distinct.values)
        found["top"] = top_values(show(distinct.values[places]), distinct.counts[places].tolist())

    def _booleans(self, values: np.ndarray[Any, Any]) -> Profile:
        count, true = len(values), int(values.sum())
        found = self._counted([False, True], [count - true, true]) | {"kind": "boolean"}
        if count:
            found |= {"min": true == count, "max": true > 0, "mean": true / count}
        return found

    def _texts(self, texts: pa.ChunkedArray | pa.Array) -> Profile:
        found = blank("text", len(texts), 0)
        counted = pc.value_counts(texts)
        table = pa.table({"value": counted.field(0), "count": counted.field(1)})
        found["distinct"] = table.num_rows
        if table.num_rows:
            limits = pc.min_max(texts)
            found["min"], found["max"] = (cut(limits[end].as_py()) for end in ("min", "max"))
        if self._top:
            order = [("count", "descending"), ("value", "ascending")]
            best = table.take(pc.select_k_unstable(table, self._top, order))
            found["top"] = top_values(best["value"].to_pylist(), best["count"].to_pylist())
        return found

    def _mixed(self, array: Any) -> Profile:
        """Return the profile of values that only JSON makes comparable."""
        missing = _missing(array)
        keys = (
            orjson.dumps(cell, option=orjson.OPT_SORT_KEYS)
            for cell, is_missing in zip(self._shown(array), missing, strict=True)
            if not is_missing
        )
        counted = Counter(keys)
        found = self._counted([orjson.loads(key) for key in counted], list(counted.values()))
        return with_missing(found, int(missing.sum()))

    def _counted(self, values: list[Any], counts: list[int]) -> Profile:
        """Return the profile of values that are counted already, the missing ones left out."""
        found = blank("mixed", sum(counts), 0)
        array = np.asarray(counts, dtype=np.int64)
        places = [place for place in most(array, self._top).tolist() if counts[place]]
        found["distinct"] = int(np.count_nonzero(array))
        found["top"] = top_values([values[place] for place in places], [counts[place] for place in places])
        return found


def _missing(array: Any) -> np.ndarray[Any, Any]:
    """Return which cells have no value."""
    try:
        return np.asarray(pd.isna(array))
    except Exception:  # a cell that is not even comparable to itself, as a signalling NaN
        return np.array([cell is None or cell is pd.NA or cell is pd.NaT for cell in array], dtype=bool)

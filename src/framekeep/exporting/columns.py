"""A column as a list of JSON values, by whole arrays where the type allows it.

Gives for each cell what ``cells.json_cell`` gives for it alone, except that floats which JSON has no word for
are left to orjson, which writes them as null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.exporting.cells import SAFE, Json, base64, integer, interval, json_cell
from framekeep.exporting.times import NAT, durations, instants, near, zoned_instants
from framekeep.exporting.window import levels_of, plain_array


def json_column(array: Any) -> list[Json]:
    """Return the cells of a 1-D array (numpy or a pandas extension array) as JSON has them."""
    if type(array) is np.ndarray:
        return _numpy(array)
    for kind, make in _KINDS:
        if isinstance(array, kind):
            return make(array)
    return [json_cell(cell) for cell in array]


def json_index(index: pd.Index) -> list[Json]:
    """Return the labels of an index as JSON has them; those of several levels are lists."""
    if isinstance(index, pd.MultiIndex):
        levels = [json_column(plain_array(level)) for level in levels_of(index)]
        return [list(row) for row in zip(*levels, strict=True)]
    return json_column(plain_array(index))


# --- numpy --------------------------------------------------------------------------------------


def _numpy(array: np.ndarray[Any, Any]) -> list[Json]:
    kind = array.dtype.kind
    if kind in "iu":
        return _integers(array)
    if kind == "f":
        return _floats(array)
    if kind == "b":
        found: list[Json] = array.tolist()
        return found
    if kind == "M":
        return instants(array)
    if kind == "m":
        return durations(array)
    return [json_cell(cell) for cell in array]


def _integers(array: np.ndarray[Any, Any]) -> list[Json]:
    cells: list[Json] = array.tolist()
    if array.dtype.itemsize < 8 or not cells:
        return cells
    least, most = (array.min(), array.max()) if len(cells) > 500 else (min(cells), max(cells))
    if least >= -SAFE and most <= SAFE:
        return cells
    return [integer(cell) for cell in cells]


def _floats(array: np.ndarray[Any, Any]) -> list[Json]:
    if array.dtype.itemsize == 8:
        return list(array.tolist())
    if array.dtype.itemsize == 4:
        # The fewest digits that name it, as for a double: 0.1 and not 0.10000000149011612.
        text = pa.array(array.astype("f4", copy=False)).cast(pa.string())
        return list(text.cast(pa.float64()).to_numpy().tolist())
    return [json_cell(cell) for cell in array]


# --- pandas -------------------------------------------------------------------------------------


def _datetimes(array: Any) -> list[Json]:
    if getattr(array.dtype, "tz", None) is None:
        return instants(array._ndarray)
    return zoned_instants(array._ndarray, wall_clock(array))


def wall_clock(array: Any) -> np.ndarray[Any, Any]:
    """Return the instants of a DatetimeArray with a zone as the clocks there show them."""
    try:
        return array.tz_localize(None)._ndarray  # type: ignore[no-any-return]
    except (ValueError, OverflowError, NotImplementedError):
        # Somewhere the clocks would show what the type cannot hold, or the zone does not know; there, UTC.
        local = array._ndarray.copy()
        known = near(local)
        local[known] = array[known].tz_localize(None)._ndarray
        return local  # type: ignore[no-any-return]


def _masked(array: Any) -> list[Json]:
    cells = _numpy(array._data)
    mask = array._mask
    if mask.any():
        for i in np.flatnonzero(mask).tolist():
            cells[i] = None
    return cells


def _categorical(array: Any) -> list[Json]:
    words: Any = plain_array(array.categories)
    codes = array.codes
    if len(words) > len(codes):  # a page of a column with very many categories
        used, codes = np.unique(codes, return_inverse=True)
        missing = len(used) and used[0] < 0
        known = [*([None] if missing else []), *json_column(words.take(used[1:] if missing else used))]
    else:
        known = [*json_column(words), None]  # code -1 is the last
    return [known[code] for code in codes.tolist()]


def _sparse(array: Any) -> list[Json]:
    return json_column(np.asarray(array))


def _intervals(array: Any) -> list[Json]:
    left, right = (json_column(plain_array(ends)) for ends in (array.left, array.right))
    closed = array.closed
    return [
        None if missing else interval(low, high, closed)
        for low, high, missing in zip(left, right, array.isna().tolist(), strict=True)
    ]


def _text(array: Any) -> list[Json]:
    data = getattr(array, "_pa_array", None)
    if data is not None:
        return _arrow_text(data)
    return [cell if type(cell) is str else json_cell(cell) for cell in array._ndarray.tolist()]


# --- Arrow --------------------------------------------------------------------------------------


def _arrow_text(data: pa.ChunkedArray) -> list[Json]:
    try:
        found: list[Json] = data.to_pylist()
    except UnicodeDecodeError:
        # Arrow does not look at the bytes of a text, so they may be anything.
        raw = data.cast(pa.large_binary())
        return [None if cell is None else cell.decode("utf-8", "replace") for cell in raw.to_pylist()]
    return found


def _arrow(array: Any) -> list[Json]:
    return arrow_column(array._pa_array)


def arrow_column(data: pa.ChunkedArray) -> list[Json]:
    """Return the cells of an Arrow column as JSON has them."""
    kind = data.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _arrow_text(data)
    if pa.types.is_dictionary(kind):
        return [cell for chunk in data.chunks for cell in _dictionary(chunk)]
    if pa.types.is_timestamp(kind):
        return _arrow_instants(data, kind)
    if pa.types.is_duration(kind):
        return _numpy_of(data, f"m8[{kind.unit}]", durations)
    if pa.types.is_decimal(kind):
        found: list[Json] = data.cast(pa.string()).to_pylist()
        return found
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if cell is None else base64(cell) for cell in data.to_pylist()]
    return [_arrow_cell(cell) for chunk in data.chunks for cell in chunk]


def _arrow_cell(cell: pa.Scalar) -> Json:
    try:
        return json_cell(cell.as_py())
    except Exception:  # what Python has no value for: a day of the year 10,000, a text that is no UTF-8
        return str(cell)


def _dictionary(chunk: pa.DictionaryArray) -> list[Json]:
    words, places = chunk.dictionary, chunk.indices
    if len(words) > len(places):  # as above
        used = pc.unique(places.drop_null())
        words, places = words.take(used), pc.index_in(places, used)
    known = [*arrow_column(pa.chunked_array([words])), None]
    return [known[place] for place in pc.fill_null(places.cast(pa.int64()), -1).to_pylist()]


def _numpy_of(
    data: pa.ChunkedArray, dtype: str, make: Callable[[np.ndarray[Any, Any]], list[Json]]
) -> list[Json]:
    ticks = pc.fill_null(data.cast(pa.int64()), NAT).to_numpy()
    return make(ticks.view(dtype))


def _arrow_instants(data: pa.ChunkedArray, kind: Any) -> list[Json]:
    if kind.tz is None:
        return _numpy_of(data, f"M8[{kind.unit}]", instants)
    local = arrow_wall_clock(data)

    def make(array: np.ndarray[Any, Any]) -> list[Json]:
        shown = pc.fill_null(local.cast(pa.int64()), NAT).to_numpy().view(array.dtype)
        return zoned_instants(array, shown)

    return _numpy_of(data, f"M8[{kind.unit}]", make)


def arrow_wall_clock(data: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return Arrow instants as the clocks of their zone show them; in UTC when only its name is known."""
    try:
        return pc.local_timestamp(data)
    except pa.ArrowInvalid:
        return data


_KINDS: Final[tuple[tuple[Any, Callable[[Any], list[Json]]], ...]] = (
    (pd.arrays.ArrowStringArray, _text),
    (pd.arrays.StringArray, _text),
    (pd.arrays.DatetimeArray, _datetimes),
    (pd.arrays.TimedeltaArray, lambda array: durations(array._ndarray)),
    ((pd.arrays.IntegerArray, pd.arrays.FloatingArray, pd.arrays.BooleanArray), _masked),
    (pd.Categorical, _categorical),
    (pd.arrays.IntervalArray, _intervals),
    (pd.arrays.SparseArray, _sparse),
    (pd.arrays.ArrowExtensionArray, _arrow),
)

"""A column as CSV has it: numbers and booleans as they are, everything else as text.

Missing values are null, which CSV writes as a cell that is empty and not quoted. The text of a value is the
one JSON has (``cells``), but nothing is left out: infinities have one too, and what is no Unicode is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import UnsupportedTypeError
from framekeep.exporting.cells import json_cell, strict_text
from framekeep.exporting.columns import arrow_column, arrow_wall_clock, json_column, wall_clock
from framekeep.exporting.times import NAT, instant_texts, near, offset_text, ticks_of, with_offsets
from framekeep.exporting.window import plain_array

Change = Callable[[pa.Array], pa.Array]
"""What is done to texts before they are written."""


Part = Callable[[int, int], Any]
"""Gives rows ``[start, stop)`` of a column as Arrow: numbers, booleans or texts."""


def texts_of(array: Any, where: str, change: Change) -> Part:
    """Return what gives parts of a column (a 1-D numpy or pandas extension array).

    Args:
        array: the column.
        where: what the column is called in a refusal.
        change: is applied to what is text.

    Raises:
        UnsupportedTypeError: a text of it is no Unicode.
    """
    if isinstance(array, pd.Categorical):
        words = texts_of(plain_array(array.categories), where, change)(0, len(array.categories))
        codes = array.codes
        return _words(words, lambda start, stop: pa.array(codes[start:stop], mask=codes[start:stop] < 0))
    if isinstance(array, pd.arrays.StringArray):
        array = array._ndarray
    data = getattr(array, "_pa_array", None)
    if data is not None:
        return _arrow(data, where, change)
    if isinstance(array, np.ndarray) and array.dtype == np.dtype(object):
        return _whole(change(_encoded(array, where)))
    return lambda start, stop: _typed(array[start:stop], where, change)


def _whole(texts: pa.Array) -> Part:
    return lambda start, stop: texts.slice(start, stop - start)


def _words(words: pa.Array, places: Part) -> Part:
    return lambda start, stop: words.take(places(start, stop))


# --- cells --------------------------------------------------------------------------------------


def cell_text(value: Any) -> str | None:
    """Return a cell as text; None for a missing one.

    Raises:
        UnicodeError: it is no Unicode.
    """
    if type(value) is str:
        return value
    if isinstance(value, float | np.floating | complex | np.complexfloating):
        return None if np.isnan(value) else str(value)
    if isinstance(value, Decimal):
        return None if value.is_nan() else str(value)
    return strict_text(json_cell(value))


def _encoded(cells: Iterable[Any], where: str) -> pa.Array:
    """Return cells as Arrow texts.

    Raises:
        UnsupportedTypeError: one of them is no Unicode.
    """
    try:
        return pa.array(map(cell_text, cells), pa.large_string())
    except (UnicodeError, pa.ArrowInvalid) as error:
        row = next((i for i, cell in enumerate(cells) if not _is_unicode(cell)), None)
        raise _refusal(where, "" if row is None else f" (first in row {row:,})") from error


def _is_unicode(cell: Any) -> bool:
    try:
        (cell_text(cell) or "").encode()
    except UnicodeError:
        return False
    return True


def _refusal(where: str, place: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"{where} holds text that is no Unicode{place}, which a file of text cannot hold: replace those "
        "characters, or export as JSON, which shows them as U+FFFD.",
        where=where,
        type_name="str",
    )


# --- arrays of a type ---------------------------------------------------------------------------


def _typed(array: Any, where: str, change: Change) -> pa.Array:
    """Return the cells of an array that holds no objects."""
    if isinstance(array, pd.arrays.SparseArray):
        array = np.asarray(array)
    kind = getattr(array.dtype, "kind", "O")
    if isinstance(array, np.ndarray):
        if kind in "biu" or (kind == "f" and array.dtype.itemsize in (4, 8)):
            native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            return pa.array(native, from_pandas=True)
        if kind == "M":
            return change(_instants(array))
        if kind == "m":
            return change(_text(json_column(array)))
    elif isinstance(array, pd.arrays.IntegerArray | pd.arrays.BooleanArray):
        return pa.array(array)
    elif isinstance(array, pd.arrays.FloatingArray):
        return _without_nan(pa.array(array))
    elif isinstance(array, pd.arrays.DatetimeArray):
        ticks = array._ndarray
        return change(_instants(ticks) if array.tz is None else _zoned(ticks, wall_clock(array)))
    else:
        return change(_text(list(map(strict_text, json_column(array)))))
    return change(_encoded(array, where))


def _text(cells: list[str | None]) -> pa.Array:
    return pa.array(cells, pa.large_string())


def _without_nan(numbers: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, numbers.type), numbers)


def _instants(array: np.ndarray[Any, Any]) -> pa.Array:
    """Return datetime64 values as ``instant_texts`` does, by Arrow where it writes the same."""
    ticks, per = ticks_of(array)
    missing = ticks == NAT
    if not (near(array) | missing).all():
        return _text(instant_texts(array))
    found = _iso(ticks // per, "s", missing)
    rest = ticks % per
    if rest.any():
        micros = ticks * (10**6 // per) if per <= 10**6 else ticks // 1000
        found = pc.if_else(pa.array(rest != 0), _iso(micros, "us", missing), found)
        if per > 10**6:
            found = pc.if_else(pa.array(rest % 1000 != 0), _iso(ticks, "ns", missing), found)
    return found


def _iso(ticks: np.ndarray[Any, Any], unit: str, missing: np.ndarray[Any, Any]) -> pa.Array:
    spaced = pa.array(ticks, mask=missing).cast(pa.timestamp(unit)).cast(pa.large_string())
    return pc.binary_replace_slice(spaced, 10, 11, "T")


def _zoned(array: np.ndarray[Any, Any], local: np.ndarray[Any, Any]) -> pa.Array:
    local, offsets = with_offsets(array, local)
    known, places = np.unique(offsets, return_inverse=True)
    ends = _text([offset_text(offset) for offset in known.tolist()]).take(pa.array(places))
    return pc.binary_join_element_wise(_instants(local), ends, pa.scalar("", pa.large_string()))


# --- Arrow --------------------------------------------------------------------------------------


def _arrow(data: pa.ChunkedArray, where: str, change: Change) -> Part:
    kind = data.type
    make: Callable[[pa.ChunkedArray], Any]
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_date32(kind):
        make = _as_it_is
    elif pa.types.is_float32(kind) or pa.types.is_float64(kind):
        make = _without_nan
    elif pa.types.is_timestamp(kind):
        make = lambda part: change(_arrow_instants(part))  # noqa: E731
    elif pa.types.is_dictionary(kind):
        return _dictionary(data, where, change)
    else:
        _check_texts(data, where)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return lambda start, stop: change(data.slice(start, stop - start))
        make = lambda part: change(_text(list(map(strict_text, arrow_column(part)))))  # noqa: E731
    return lambda start, stop: make(data.slice(start, stop - start))


def _as_it_is(data: pa.ChunkedArray) -> pa.ChunkedArray:
    return data


def _check_texts(data: pa.ChunkedArray, where: str) -> None:
    try:
        data.validate(full=True)
    except pa.ArrowInvalid as error:
        raise _refusal(where, "") from error


def _dictionary(data: pa.ChunkedArray, where: str, change: Change) -> Part:
    words: list[pa.Array] = []
    places, first = [], 0
    for chunk in data.chunks:
        column = pa.chunked_array([chunk.dictionary])
        made = _arrow(column, where, change)(0, len(column))
        words.extend(made.chunks if isinstance(made, pa.ChunkedArray) else [made])
        places.append(pc.add(chunk.indices.cast(pa.int64()), first))
        first += len(column)
    if not words:
        return lambda start, stop: _text([None] * (stop - start))
    joined, where_to = pa.concat_arrays(words), pa.chunked_array(places)
    return _words(joined, lambda start, stop: where_to.slice(start, stop - start))


def _arrow_instants(data: pa.ChunkedArray) -> pa.Array:
    dtype = f"M8[{data.type.unit}]"
    ticks = pc.fill_null(data.cast(pa.int64()), NAT).to_numpy().view(dtype)
    if data.type.tz is None:
        return _instants(ticks)
    local = pc.fill_null(arrow_wall_clock(data).cast(pa.int64()), NAT).to_numpy().view(dtype)
    return _zoned(ticks, local)

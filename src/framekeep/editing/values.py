"""JSON values as cells of a column: what fits, what must become wider for it, and what is refused.

Owns the rule that a value never changes on its way in: text stays text, a number is kept exactly or refused.
A column of integers or booleans takes its nullable dtype for a missing value; unordered categories grow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.fields import Value
from framekeep.editing.kinds import Kind, kind_of
from framekeep.editing.labels import shown
from framekeep.errors import InvalidEditError

ISO_INSTANT = re.compile(
    r"(?!0000)\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?", re.ASCII
)
"""The forms of ISO 8601 that are read: a date, and with it a time of day, and with that an offset."""

MAX_COLUMN = 1 << 30
"""Characters that an edit may make the texts of one column of."""

_WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)
_DURATION = re.compile(
    r"-?P(?=\d|T\d)(?:\d{1,9}D)?(?:T(?=\d)(?:\d{1,9}H)?(?:\d{1,9}M)?(?:\d{1,9}(?:\.\d{1,9})?S)?)?"
    r"|(?:-?\d{1,9} days? )?\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?",
    re.ASCII,
)
_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "a text",
    type(None): "a missing value",
}


class Misfit(Exception):
    """A value does not fit a column; the text continues "Column 'x' …"."""


def put(array: Any, rows: npt.NDArray[Any], values: Sequence[Value], name: Hashable) -> Any:
    """Return a copy of a column's array with other values in some rows.

    Args:
        array: the column.
        rows: positions, each once; or a mask, with one value.
        values: one for each position, or one for all.
        name: the column's label, for messages.

    Raises:
        InvalidEditError: a value does not fit the column.
    """
    try:
        cells = [converted(value, array.dtype) for value in values]
        array = widened(array, cells)
    except Misfit as error:
        raise InvalidEditError(f"Column {shown(name)} {error}") from None
    if len(cells) == 1 and kind_of(array.dtype) is Kind.TEXT and cells[0] is not None:
        check_room(len(cells[0]) * (int(rows.sum()) if rows.dtype == bool else len(rows)))
    out = array.copy()
    out[rows] = column_of(cells, array.dtype) if len(cells) > 1 else _cell(cells[0], array.dtype)
    return out


def check_room(characters: int) -> None:
    """Refuse a column whose texts would have more characters than MAX_COLUMN.

    Arrow keeps each text as often as it stands there: a short list of texts may be a column of terabytes.

    Raises:
        InvalidEditError: they would.
    """
    if characters > MAX_COLUMN:
        raise InvalidEditError(f"The texts of a column would grow beyond {MAX_COLUMN:,} characters.")


def converted(value: Value, dtype: Any) -> Any:
    """Return a JSON value as a cell of a dtype; None for missing.

    Raises:
        Misfit: it would not be the same value there.
    """
    kind = kind_of(dtype)
    if value is None or kind is Kind.MIXED:
        return value
    if kind is Kind.CATEGORY:
        return _category(value, dtype)
    cell: Any = None
    if kind is Kind.BOOLEAN and isinstance(value, bool):
        cell = value
    elif kind is Kind.TEXT and isinstance(value, str):
        cell = _unicode(value)
    elif kind is Kind.INTEGER and not isinstance(value, bool):
        cell = _integer(value, dtype)
    elif kind is Kind.NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        cell = _number(value, dtype)
    elif kind is Kind.DATETIME and isinstance(value, str):
        cell = _instant(value, dtype)
    elif kind is Kind.DURATION and isinstance(value, str):
        cell = _duration(value, dtype)
    if cell is None:
        raise Misfit(
            f"holds {kind} ({dtype}), and {_WORDS[type(value)]} does not fit there. "
            "Give a value of that type, or cast the column first."
        )
    return cell


def missing_value(dtype: Any) -> Any:
    """Return what a missing cell of a dtype holds."""
    if isinstance(dtype, np.dtype):
        return {"f": np.nan, "c": np.nan, "M": pd.NaT, "m": pd.NaT}.get(dtype.kind)
    return dtype.na_value


def column_of(cells: Sequence[Any] | npt.NDArray[Any], dtype: Any) -> Any:
    """Return cells (as ``converted`` gives them) as an array."""
    if isinstance(dtype, pd.StringDtype):
        check_room(sum(map(len, filter(None, cells))))
        return pd.array(np.array(cells, dtype=object), dtype=dtype)  # takes None for missing
    if isinstance(dtype, np.dtype) and dtype.kind not in "Mm":
        out = np.empty(len(cells), dtype=dtype)
        for position, cell in enumerate(cells):
            out[position] = _cell(cell, dtype)
        return out
    return pd.array([_cell(cell, dtype) for cell in cells], dtype=dtype)


def widened(array: Any, cells: Sequence[Any]) -> Any:
    """Return an array that takes the cells: itself, its nullable twin, or one with more categories.

    Raises:
        Misfit: the dtype has no missing values.
    """
    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        new = [cell for cell in dict.fromkeys(cells) if cell is not None and cell not in dtype.categories]
        if not new:
            return array
        more = dtype.categories.append(pd.Index(new, dtype=dtype.categories.dtype))
        return array.set_categories(more)
    if None not in cells:
        return array
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return nullable(array)
    if isinstance(dtype, pd.SparseDtype | pd.IntervalDtype):
        raise Misfit(f"holds {dtype}, where no cell can be made missing. Cast it first.")
    return array


def nullable(array: Any) -> Any:
    """Return a numpy array of integers or booleans as its nullable twin; any other array as it is."""
    dtype = array.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind not in "iub":
        return array
    native = array.astype(dtype.newbyteorder("="), copy=False)
    none_missing = np.zeros(len(array), dtype=bool)
    if dtype.kind == "b":
        return pd.arrays.BooleanArray(native, none_missing)
    return pd.arrays.IntegerArray(native, none_missing)


def _cell(cell: Any, dtype: Any) -> Any:
    return missing_value(dtype) if cell is None else cell


def _unicode(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Misfit("takes text, and the text given is no valid Unicode.") from None
    return value


def _integer(value: float | str, dtype: Any) -> int | None:
    if isinstance(value, str):
        if not _WHOLE.fullmatch(value):
            return None
        number = int(value)
    elif isinstance(value, int) or (math.isfinite(value) and value == int(value)):
        number = int(value)
    else:
        return None
    info = np.iinfo(dtype if isinstance(dtype, np.dtype) else dtype.numpy_dtype)
    low, high = int(info.min), int(info.max)
    if not low <= number <= high:
        raise Misfit(f"holds whole numbers from {low} to {high} ({dtype}), and the number given is beyond.")
    return number


def _number(value: float, dtype: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    narrow = _narrowed(number, dtype)
    if math.isinf(narrow) or (isinstance(value, int) and int(narrow) != value):
        raise Misfit(f"holds numbers that cannot have this value exactly ({dtype}).")
    return number


def _narrowed(number: float, dtype: Any) -> float:
    native = dtype if isinstance(dtype, np.dtype) else dtype.numpy_dtype
    with np.errstate(over="ignore"):
        return float(np.dtype(native).type(number))


def _instant(value: str, dtype: Any) -> pd.Timestamp | None:
    zone, unit = zone_and_unit(dtype)
    if not ISO_INSTANT.fullmatch(value):
        return None
    try:
        instant = pd.Timestamp(value)
        if zone is None and instant.tzinfo is not None:
            raise Misfit(f"holds dates and times without a zone ({dtype}), and the one given has an offset.")
        if zone is not None:
            aware = instant.tzinfo is not None
            instant = instant.tz_convert(zone) if aware else instant.tz_localize(zone)
        return instant.as_unit(unit, round_ok=False)
    except (ValueError, OverflowError):
        raise Misfit(
            f"holds dates and times ({dtype}), and the one given does not exist there or is more exact."
        ) from None


def _duration(value: str, dtype: Any) -> pd.Timedelta | None:
    if not _DURATION.fullmatch(value):
        return None
    try:
        return pd.Timedelta(value).as_unit(zone_and_unit(dtype)[1], round_ok=False)
    except (ValueError, OverflowError):
        raise Misfit(f"holds durations ({dtype}), and the one given is beyond them or more exact.") from None


def zone_and_unit(dtype: Any) -> tuple[Any, Any]:
    """Return the time zone (None for none) and the unit of a dtype of instants or durations."""
    if isinstance(dtype, np.dtype):
        return None, np.datetime_data(dtype)[0]
    if isinstance(dtype, pd.ArrowDtype):
        kind = dtype.pyarrow_dtype
        return getattr(kind, "tz", None), kind.unit
    return dtype.tz, dtype.unit


def _category(value: Value, dtype: Any) -> Any:
    categories = dtype.categories
    cell = converted(value, categories.dtype)
    if categories.dtype == object:
        known = any(type(each) is type(cell) and each == cell for each in categories)
        if not known and cell in categories:
            raise Misfit("has a category that equals the value given, but is of another type.")
    else:
        known = cell in categories
    if not known and dtype.ordered:
        raise Misfit("has ordered categories, and the value given is none of them. Cast it to text first.")
    return cell

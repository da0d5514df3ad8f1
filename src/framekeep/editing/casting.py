"""Changing the type of columns without losing a value unasked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_float_dtype

from framekeep.editing.instants import read_instants, wall_times, write_instants
from framekeep.editing.kinds import Kind, Mask, array_of, kind_of, missing_in, plain_and_missing
from framekeep.editing.models import Cast
from framekeep.editing.reading import (
    FAILED,
    NumberForm,
    boolean_of,
    integer_of,
    number_of,
    text_of_value,
)
from framekeep.editing.texts import repeated
from framekeep.editing.values import check_room, column_of, widened, zone_and_unit
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError

Read = tuple[Any, Mask]
"""An array with missing cells where reading failed, and where that was."""

_IS_ALREADY: Final = {
    "text": Kind.TEXT,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "datetime": Kind.DATETIME,
    "category": Kind.CATEGORY,
}


def cast(work: Work, operation: Cast) -> None:
    """Change the type of columns.

    Raises:
        InvalidEditError: a column's kind of values cannot be cast so; or, unless they are to become missing,
            some of its values.
    """
    for position in work.labels.positions(operation.columns):
        array = work.array(position)
        if kind_of(array.dtype) is _IS_ALREADY.get(operation.to):
            continue
        try:
            result, failed = _converted(array, operation)
        except _Impossible:
            raise InvalidEditError(
                f"Column {work.name(position)} ({array.dtype}) cannot be cast to {operation.to}. "
                "Cast it to text first, or compute a column from it."
            ) from None
        if failed.any() and operation.on_error == "refuse":
            first = int(np.flatnonzero(failed)[0])
            raise InvalidEditError(
                f"Column {work.name(position)}: {int(failed.sum()):,} value(s) cannot be cast to "
                f"{operation.to} without loss, the first in row {first}. Mend them, or cast with on_error "
                "'missing'."
            )
        work.set(position, result)


class _Impossible(Exception):
    """Values of one kind cannot be cast to another."""


def _converted(array: Any, operation: Cast) -> Read:
    kind = kind_of(array.dtype)
    if operation.to == "category":
        return _to_category(array, kind)
    if kind is Kind.CATEGORY:
        return _by_category(array, operation)
    if kind is Kind.DATETIME:
        return _from_instants(array, operation.to)
    if operation.to in ("date", "datetime"):
        return _to_instants(array, kind, operation)
    if operation.to == "number" and kind in (Kind.INTEGER, Kind.BOOLEAN):
        return _integers_to_numbers(array)
    if operation.to == "integer" and kind in (Kind.NUMBER, Kind.BOOLEAN):
        return _numbers_to_integers(array)
    form = NumberForm(operation.decimal, operation.thousands)
    readers: dict[str, Callable[[Any], Any]] = {
        "integer": partial(integer_of, form=form),
        "number": partial(number_of, form=form),
        "boolean": boolean_of,
        "text": text_of_value,
    }
    return _value_by_value(array, kind, readers[operation.to], operation.to)


# --- value by value ---------------------------------------------------------------------------------


def _value_by_value(array: Any, kind: Kind, read: Callable[[Any], Any], to: str) -> Read:
    missing = missing_in(array)
    if kind in (Kind.MIXED, Kind.OTHER, Kind.DURATION):
        values = [FAILED if gone else read(cell) for cell, gone in zip(array, missing, strict=True)]
    else:
        codes, distinct = pd.factorize(array)
        values = [*map(read, distinct.tolist()), FAILED]
        values = list(map(values.__getitem__, codes.tolist()))  # a missing one has the code -1
        if is_float_dtype(array.dtype):
            _read_zeros(array, missing, values, read)
    failed = np.fromiter((value is FAILED for value in values), dtype=bool, count=len(values)) & ~missing
    return built(values, missing | failed, to), failed


def _read_zeros(array: Any, missing: Mask, values: list[Any], read: Callable[[Any], Any]) -> None:
    """Read what is zero anew: 0.0 and -0.0 are equal, and are not the same."""
    plain, _ = plain_and_missing(array)
    zeros = ~missing & (plain == 0)
    for number in (0.0, -0.0):
        rows = np.flatnonzero(zeros & (np.signbit(plain) == np.signbit(number)))
        if len(rows):
            value = read(number)
            for row in rows:
                values[row] = value


def built(values: Sequence[Any], missing: Mask, to: str) -> Any:
    """Return values as an array of a type; those that are missing are not looked at."""
    if to == "text":
        cells = [None if gone else value for value, gone in zip(values, missing, strict=True)]
        return column_of(cells, pd.StringDtype(na_value=np.nan))
    dtype = {"integer": np.int64, "number": np.float64, "boolean": np.bool_}[to]
    plain: npt.NDArray[Any] = np.array(
        [0 if gone else value for value, gone in zip(values, missing, strict=True)], dtype=dtype
    )
    return with_missing(plain, missing)


def with_missing(plain: npt.NDArray[Any], missing: Mask) -> Any:
    """Return values as a column: numpy's own when none is missing, else of the nullable dtype."""
    if plain.dtype.kind == "f":
        return np.where(missing, np.nan, plain)
    if not missing.any():
        return plain
    if plain.dtype.kind == "b":
        return pd.arrays.BooleanArray(plain, missing.copy())
    return pd.arrays.IntegerArray(plain, missing.copy())


# --- from and to each kind --------------------------------------------------------------------------


def _by_category(array: Any, operation: Cast) -> Read:
    array = array.remove_unused_categories()
    values = array_of(array.dtype.categories)
    if kind_of(values.dtype) is _IS_ALREADY.get(operation.to):
        result, failed = values, np.zeros(len(values), dtype=bool)
    else:
        result, failed = _converted(values, operation)
    codes = np.asarray(array.codes)
    if (codes < 0).any():
        # One more cell to take for those that are missing: the last one.
        result = widened(result, [None])
        result = pd.api.extensions.take(result, [*range(len(result)), -1], allow_fill=True)
    if operation.to == "text":
        check_room(repeated([None if pd.isna(text) else text for text in result], codes))
    return result[codes], np.append(failed, False)[codes]


def _to_category(array: Any, kind: Kind) -> Read:
    missing = missing_in(array)
    if kind is Kind.MIXED:
        # Categories are told apart by equality, and True equals 1.
        types = {type(cell) for cell in array[~missing]}
        if len(types) > 1 or not types <= {str, int, float, bool}:
            raise _Impossible
    try:
        return pd.Series(array).astype("category").array, np.zeros(len(array), dtype=bool)
    except (TypeError, ValueError, NotImplementedError):
        raise _Impossible from None


def _from_instants(array: Any, to: str) -> Read:
    none_failed = np.zeros(len(array), dtype=bool)
    if to == "text":
        return column_of(write_instants(array), pd.StringDtype(na_value=np.nan)), none_failed
    if to != "date" or zone_and_unit(array.dtype)[0] is not None:
        raise _Impossible
    return _dates(wall_times(array), none_failed)


def _dates(wall: npt.NDArray[np.datetime64], failed: Mask) -> Read:
    days = wall.astype("M8[D]")
    timed = ~np.isnat(wall) & (wall != days)
    days[timed] = np.datetime64("NaT")
    return pd.array(days.astype("M8[s]"), dtype="M8[s]"), failed | timed


def _to_instants(array: Any, kind: Kind, operation: Cast) -> Read:
    missing = missing_in(array)
    if kind is Kind.TEXT:
        codes, distinct = pd.factorize(array)
        instants, unread = read_instants(list(distinct), operation.format)
        instants, failed = instants.take(codes, allow_fill=True), np.append(unread, False)[codes]
    elif kind in (Kind.MIXED, Kind.OTHER):
        texts = ["" if gone else _as_text(cell) for cell, gone in zip(array, missing, strict=True)]
        instants, failed = read_instants(texts, operation.format)
        failed &= ~missing
    else:
        raise _Impossible
    if operation.to == "datetime":
        return instants, failed
    if instants.tz is not None:
        raise _Impossible
    return _dates(np.asarray(instants), failed)


def _as_text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return cell.isoformat() if isinstance(cell, dt.date) else ""


def _integers_to_numbers(array: Any) -> Read:
    plain, missing = plain_and_missing(array)
    failed = np.zeros(len(plain), dtype=bool)
    if plain.dtype.kind != "b":
        for row in np.flatnonzero((plain > 2**53) | (plain < -(2**53))):
            failed[row] = number_of(int(plain[row])) is FAILED
    return np.where(missing | failed, np.nan, plain.astype(np.float64)), failed & ~missing


def _numbers_to_integers(array: Any) -> Read:
    plain, missing = plain_and_missing(array)
    if plain.dtype.kind == "b":
        return with_missing(plain.astype(np.int64), missing), np.zeros(len(plain), dtype=bool)
    plain = plain.astype(np.float64)
    whole = np.isfinite(plain) & (np.floor(plain) == plain) & (plain >= -(2.0**63)) & (plain < 2.0**63)
    integers = np.where(whole & ~missing, plain, 0.0).astype(np.int64)
    return with_missing(integers, missing | ~whole), ~whole & ~missing

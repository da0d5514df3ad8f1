"""Filling missing cells: by a value, by what the column holds, by neighbours, by a straight line."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.codes import most_frequent
from framekeep.editing.kinds import Kind, Mask, kind_of, missing_in
from framekeep.editing.models import FillMissing
from framekeep.editing.values import Misfit, converted, put
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError

_NUMERIC = (Kind.INTEGER, Kind.NUMBER)
Numbers = npt.NDArray[Any]

_FOR_NUMBERS = ("mean", "median", "interpolate")


def fill_missing(work: Work, operation: FillMissing) -> None:
    """Fill missing cells.

    Raises:
        InvalidEditError: a column named does not go with the method; or whole numbers would get a fraction.
    """
    for position in work.chosen(operation.columns):
        if not _suits(work, position, operation):
            if operation.columns is None:
                continue
            raise InvalidEditError(
                f"Column {work.name(position)} holds {work.kind(position)}, which cannot be filled by "
                f"{operation.method}."
            )
        missing = work.missing(position, include_intentional=operation.include_intentional)
        if not missing.any():
            continue
        array = _filled(work, position, missing, operation)
        if array is not None:
            work.set(position, array)


def _suits(work: Work, position: int, operation: FillMissing) -> bool:
    kind = work.kind(position)
    if operation.method in _FOR_NUMBERS:
        return kind in _NUMERIC
    if operation.method == "value" and operation.columns is None:
        if kind is Kind.INTEGER and isinstance(operation.value, str):
            return False  # a text is taken for a whole number only where that is asked for
        try:
            converted(operation.value, work.frame.dtypes.iloc[position])
        except Misfit:
            return False
    return True


def _filled(work: Work, position: int, missing: Mask, operation: FillMissing) -> Any:
    """Return the array with cells filled; None where there is nothing to fill them with."""
    array, name, method = work.array(position), work.name(position), operation.method
    if method == "value":
        return put(array, missing, [operation.value], work.label(position))
    if method in ("forward", "backward", "mode"):
        if method == "mode":
            row = most_frequent(array, name)
            source = np.full(len(array), -1 if row is None else row, dtype=np.int64)
        else:
            source = _neighbours(array, backward=method == "backward", limit=operation.limit)
        return _copied(array, missing, source, name)
    present = ~missing_in(array)
    if not present.any():
        return None
    values = _values(array, present)
    with np.errstate(all="ignore"):
        if method == "interpolate":
            known, rows = np.flatnonzero(present), np.flatnonzero(missing)
            rows = rows[(rows > known[0]) & (rows < known[-1])]
            numbers = np.interp(rows, known, values.astype(np.float64))
            return _with_numbers(array, rows, numbers, name, method)
        number = _mean(values) if method == "mean" else _median(values)
    return _with_numbers(array, np.flatnonzero(missing), np.array([number]), name, method)


def _values(array: Any, present: Mask) -> Numbers:
    """Return the numbers that are there, whole ones as exact integers."""
    if isinstance(array, np.ndarray):
        return array[present]
    chosen = array[present]
    kind = np.float64 if kind_of(array.dtype) is Kind.NUMBER else array.dtype.numpy_dtype
    return np.asarray(chosen.to_numpy(dtype=kind))


def _mean(values: Numbers) -> float | int:
    if values.dtype.kind == "f":
        return float(np.mean(values, dtype=np.float64))
    total: int = sum(values.tolist())  # exact, whatever its size
    return total // len(values) if total % len(values) == 0 else total / len(values)


def _median(values: Numbers) -> float | int:
    middle = (len(values) - 1) // 2, len(values) // 2
    low, high = np.partition(values, middle)[list(middle)].tolist()
    if values.dtype.kind == "f":
        return float(low if low == high else low / 2 + high / 2)
    both: int = low + high
    return both // 2 if both % 2 == 0 else both / 2


def _with_numbers(
    array: Any, rows: npt.NDArray[Any], numbers: npt.NDArray[Any], name: str, method: str
) -> Any:
    """Return the array with numbers (one for each row, or one for all) in some rows."""
    if kind_of(array.dtype) is Kind.INTEGER:
        # A whole number beyond 2^53 that went through floating point may be another one.
        if not all(
            isinstance(number, int) or (number.is_integer() and abs(number) < 2**53)
            for number in numbers.tolist()
        ):
            raise InvalidEditError(
                f"Column {name} holds whole numbers, and filled by {method} it would not. "
                "Cast it to number first, or fill it in another way."
            )
    elif not np.isfinite(numbers).all():
        raise InvalidEditError(
            f"Column {name} holds infinite or too large numbers and cannot be filled by {method}."
        )
    dtype = array.dtype
    exact = numbers.astype(dtype if isinstance(dtype, np.dtype) else dtype.numpy_dtype)
    out = array.copy()
    cells = np.broadcast_to(exact, rows.shape)
    out[rows] = cells if isinstance(dtype, np.dtype) else pd.array(cells, dtype=dtype)
    return out


def _neighbours(array: Any, *, backward: bool, limit: int | None) -> npt.NDArray[np.int64]:
    """Return for each row the nearest row above (or below) that has a value, -1 for none within the limit."""
    present = ~missing_in(array)
    if not backward:
        return _nearest_above(present, limit)
    mirrored = _nearest_above(present[::-1], limit)[::-1]
    return np.where(mirrored < 0, -1, len(array) - 1 - mirrored)


def _nearest_above(present: Mask, limit: int | None) -> npt.NDArray[np.int64]:
    rows = np.arange(len(present), dtype=np.int64)
    nearest = np.maximum.accumulate(np.where(present, rows, -1))
    return nearest if limit is None else np.where(rows - nearest > limit, -1, nearest)


def _copied(array: Any, missing: Mask, source: npt.NDArray[np.int64], name: str) -> Any:
    """Return the array with the values of other rows in those that are missing and have a source."""
    rows = np.flatnonzero(missing & (source >= 0))
    if not rows.size:
        return None
    out = array.copy()
    try:
        out[rows] = array[source[rows]]
    except (TypeError, ValueError, NotImplementedError):
        raise InvalidEditError(
            f"Column {name} ({array.dtype}) holds values that cannot be set. Cast it first."
        ) from None
    return out

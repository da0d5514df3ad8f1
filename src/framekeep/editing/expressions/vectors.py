"""What a part of an expression is worth in each row: a kind, plain numpy values, and where they are missing.

Owns the ways in (a column, a literal) and out (a column's array). A vector has one value for each row, or one
for all; numpy broadcasts the rest. A value at a missing place is any of its kind, and never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.casting import with_missing
from framekeep.editing.instants import instants_of
from framekeep.editing.kinds import Kind, Mask, array_of, kind_of, missing_in, plain_and_missing
from framekeep.editing.values import column_of, zone_and_unit
from framekeep.errors import InvalidEditError

NUMERIC = (Kind.INTEGER, Kind.NUMBER)

_INT64 = 2**63
RESOLUTION = {"s": 1, "us": 10**6, "ns": 10**9}
"""Ticks of a second, by unit."""


@dataclass(frozen=True, slots=True)
class Vector:
    """Values of one kind.

    Attributes:
        kind: INTEGER (int64), NUMBER (float64), BOOLEAN, TEXT (str objects), DATETIME (M8 in s, us or ns; in
            UTC when there is a zone), MIXED and OTHER (any objects); None when all that is known is that
            every value is missing.
        values: one for each row, or one for all.
        missing: where there is none; one for each row, or one for all.
        zone: of instants; None when they have none.
    """

    kind: Kind | None
    values: npt.NDArray[Any]
    missing: Mask
    zone: Any = None


NOTHING = Vector(None, np.zeros(1), np.ones(1, dtype=bool))
"""A value that is missing, of no kind in particular."""


def constant(value: float | str | bool | None) -> Vector:
    """Return the vector of a literal.

    Raises:
        InvalidEditError: a whole number does not fit 64 bits.
    """
    present = np.zeros(1, dtype=bool)
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return Vector(Kind.BOOLEAN, np.array([value]), present)
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise InvalidEditError("a whole number is beyond 64 bits")
        return Vector(Kind.INTEGER, np.array([value], dtype=np.int64), present)
    if isinstance(value, float):
        return Vector(Kind.NUMBER, np.array([value]), present)
    return Vector(Kind.TEXT, np.array([value], dtype=object), present)


def vector_of(array: Any) -> Vector:
    """Return a column's array as a vector.

    Raises:
        InvalidEditError: whole numbers do not fit 64 bits with a sign, or instants do not fit microseconds.
    """
    kind = kind_of(array.dtype)
    if kind is Kind.CATEGORY:
        return _of_categories(array)
    if kind is Kind.DATETIME:
        return _of_instants(array)
    if kind is Kind.TEXT:
        return Vector(kind, array.to_numpy(dtype=object, na_value=""), missing_in(array))
    if kind is Kind.MIXED:
        return _of_objects(np.asarray(array), missing_in(array))
    if kind in (Kind.OTHER, Kind.DURATION):
        return Vector(Kind.OTHER, objects(list(array)), missing_in(array))
    plain, missing = plain_and_missing(array)
    if kind is Kind.INTEGER:
        if plain.dtype.kind == "u" and bool((plain[~missing] >= _INT64).any()):
            raise InvalidEditError(
                "the column has whole numbers beyond 64 bits with a sign; cast it to number"
            )
        return Vector(kind, plain.astype(np.int64), missing)
    return Vector(kind, plain.astype(bool if kind is Kind.BOOLEAN else np.float64), missing)


def objects(values: list[Any]) -> npt.NDArray[Any]:
    """Return any objects in one dimension."""
    out = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):
        out[position] = value
    return out


def array_from(vector: Vector, rows: int) -> Any:
    """Return a vector as a column's array.

    Raises:
        InvalidEditError: nothing tells of what kind it is, or a text is no valid Unicode.
    """
    missing = np.broadcast_to(vector.missing, rows)
    values = np.broadcast_to(vector.values, rows)
    if vector.kind is None:
        raise InvalidEditError("every value would be missing, so that the column would be of no type")
    if vector.kind is Kind.TEXT:
        try:
            return column_of(np.where(missing, np.array(None), values), pd.StringDtype(na_value=np.nan))
        except UnicodeEncodeError:
            raise InvalidEditError("a text is no valid Unicode") from None
    if vector.kind is Kind.DATETIME:
        array: Any = pd.array(np.where(missing, np.datetime64("NaT"), values))
        return array if vector.zone is None else array.tz_localize("UTC").tz_convert(vector.zone)
    if vector.kind in (Kind.MIXED, Kind.OTHER):
        out = values.copy()
        out[missing] = None
        return out
    return with_missing(values.copy(), missing)


def _of_categories(array: Any) -> Vector:
    known = vector_of(array_of(array.dtype.categories))
    codes = np.asarray(array.codes)
    if not len(known.values):
        return Vector(
            known.kind, np.zeros(len(codes), known.values.dtype), np.ones(len(codes), bool), known.zone
        )
    return Vector(known.kind, known.values[codes], (codes < 0) | known.missing[codes], known.zone)


def _of_instants(array: Any) -> Vector:
    array = instants_of(array)
    zone, unit = zone_and_unit(array.dtype)
    if zone is not None:
        array = array.tz_convert(None)
    missing = missing_in(array)
    values = np.where(missing, np.datetime64(0, unit), np.asarray(array))
    return Vector(Kind.DATETIME, in_unit(values, "us") if unit == "ms" else values, missing, zone)


def in_unit(values: npt.NDArray[Any], unit: str) -> npt.NDArray[Any]:
    """Return instants in a finer unit.

    Raises:
        InvalidEditError: one is beyond it.
    """
    try:
        finer = values.astype(f"M8[{unit}]")
    except OverflowError:  # newer numpy says so itself
        finer = values - values
    if bool((finer.astype(values.dtype) != values).any()):
        raise InvalidEditError("an instant is too far away to be compared with more exact ones")
    return finer


def unit_of(vector: Vector) -> str:
    """Return the unit of a vector of instants."""
    return str(np.datetime_data(vector.values.dtype)[0])


def in_one_unit(*vectors: Vector) -> list[Vector]:
    """Return instants in the finest unit that one of them has."""
    finest = max(map(unit_of, vectors), key=RESOLUTION.__getitem__)
    return [
        Vector(vector.kind, in_unit(vector.values, finest), vector.missing, vector.zone) for vector in vectors
    ]


def _of_objects(cells: npt.NDArray[Any], missing: Mask) -> Vector:
    """Return cells of any type as the kind that all of them are, if there is one."""
    types = {type(cell) for cell in cells[~missing]}
    if types == {str}:
        return Vector(Kind.TEXT, np.where(missing, "", cells), missing)
    if types == {bool}:
        return Vector(Kind.BOOLEAN, np.where(missing, False, cells).astype(bool), missing)
    if types == {float}:
        return Vector(Kind.NUMBER, np.where(missing, 0.0, cells).astype(np.float64), missing)
    if types == {int} and all(-_INT64 <= cell < _INT64 for cell in cells[~missing]):
        return Vector(Kind.INTEGER, np.where(missing, 0, cells).astype(np.int64), missing)
    return Vector(Kind.MIXED if types else None, cells, missing)

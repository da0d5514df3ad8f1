"""Equality and order of a column's values as numbers: equal values have one code, larger ones a larger rank.

Owns what "equal" means in a column of values of any type: 1, 1.0 and True are three values, as they are to
whoever reads the table. Missing equals missing.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.instants import instants_of
from framekeep.editing.kinds import Kind, Mask, array_of, kind_of, missing_in, plain_and_missing
from framekeep.errors import InvalidEditError

Codes = npt.NDArray[np.int64]

_ORDERED = (bool, int, float, str, bytes, decimal.Decimal, dt.date, dt.time, dt.timedelta)


def codes_of(array: Any, name: str) -> Codes:
    """Return a number for each cell, counted from 0 as values appear; -1 for a missing one.

    Raises:
        InvalidEditError: the column holds values that cannot be compared.
    """
    kind = kind_of(array.dtype)
    if kind is Kind.MIXED:
        return _object_codes(array, name)[0]
    if kind is Kind.CATEGORY:
        return np.asarray(array.codes).astype(np.int64)
    return _guarded(lambda: _factorized(array, kind, sort=False), name, "compared")


def ranks_of(array: Any, name: str) -> Codes:
    """Return the rank of each cell's value among the column's values, from 0; -1 for a missing one.

    Text goes by code points, ordered categories by their order, others by their values.

    Raises:
        InvalidEditError: the column holds values that have no order.
    """
    kind = kind_of(array.dtype)
    if kind is Kind.MIXED:
        codes, values = _object_codes(array, name)
        return _placed(codes, _guarded(lambda: _ranked(values), name, "put in order"))
    if kind is Kind.CATEGORY:
        codes = np.asarray(array.codes).astype(np.int64)
        if array.dtype.ordered:
            return codes
        return _placed(codes, ranks_of(array_of(array.dtype.categories), name))
    return _guarded(lambda: _factorized(array, kind, sort=True), name, "put in order")


def order_of(array: Any, name: str) -> tuple[npt.NDArray[Any], Mask]:
    """Return a number for each cell that sorts as its value does, one for all that are missing; and those.

    Raises:
        InvalidEditError: the column holds values that have no order.
    """
    kind = kind_of(array.dtype)
    if kind in (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN):
        plain, missing = plain_and_missing(array)
        return np.where(missing, plain.dtype.type(0), plain), missing
    if kind is Kind.DATETIME:
        missing = missing_in(array)
        return np.where(missing, 0, instants_of(array).asi8), missing
    ranks = ranks_of(array, name)
    return ranks, ranks < 0


def most_frequent(array: Any, name: str) -> int | None:
    """Return a row that holds the most frequent value, of equally frequent ones the first; None if all miss.

    Raises:
        InvalidEditError: the column holds values that cannot be compared.
    """
    codes = codes_of(array, name)
    present = codes[codes >= 0]
    if not present.size:
        return None
    counts = np.bincount(present)
    return int(np.flatnonzero((codes >= 0) & (counts[codes] == counts.max()))[0])


def _factorized(array: Any, kind: Kind, *, sort: bool) -> Codes:
    if kind is Kind.NUMBER:
        plain, missing = plain_and_missing(array)
        array = np.where(missing, np.nan, plain.astype(np.float64))
    if sort and kind is Kind.OTHER and array.dtype.kind == "c":
        raise TypeError("complex numbers have no order")
    return np.asarray(pd.factorize(array, sort=sort)[0]).astype(np.int64)


def _object_codes(array: Any, name: str) -> tuple[Codes, list[Any]]:
    codes = np.full(len(array), -1, dtype=np.int64)
    seen: dict[Any, int] = {}
    missing = missing_in(array)
    try:
        for row in np.flatnonzero(~missing):
            value = array[row]
            if isinstance(value, np.generic) and value.dtype.kind in "biuf":
                value = value.item()
            codes[row] = seen.setdefault((type(value), value), len(seen))
    except (TypeError, ValueError):
        raise _refused(name, "compared") from None
    return codes, [value for _, value in seen]


def _ranked(values: list[Any]) -> Codes:
    if not all(isinstance(value, _ORDERED) for value in values):
        raise TypeError("of a type that has no order")
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = np.zeros(len(values), dtype=np.int64)
    rank = 0
    for before, after in pairwise(order):
        rank += bool(values[before] < values[after])
        ranks[after] = rank
    return ranks


def _placed(codes: Codes, ranks: Codes) -> Codes:
    """Return the rank of each cell from the rank of each code."""
    return np.append(ranks, -1)[codes]


def _guarded(find: Callable[[], Codes], name: str, verb: str) -> Codes:
    try:
        return find()
    except (TypeError, ValueError, ArithmeticError, NotImplementedError):
        raise _refused(name, verb) from None


def _refused(name: str, verb: str) -> InvalidEditError:
    return InvalidEditError(
        f"Column {name} holds values that cannot be {verb}. Cast it to text first, or leave it out."
    )

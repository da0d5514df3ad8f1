"""What is checked of arrays whose bytes nobody vouches for: from another program, or within a cell.

A store's chunks are vouched for by their checksums and their manifest's name. A sender makes those himself,
so here everything is checked that pandas, NumPy and Arrow take for granted of an array: once it is filled and
before anything else looks at it. Knows arrays; what manifests may say is in ``foreign_nodes.py``.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import numpy as np
import pandas as pd

from framekeep.errors import DataFrameTooLargeError
from framekeep.frames.values_kinds import damaged, hashes_safely

_OBJECTS_FACTOR: Final = 8
"""Python objects take this much more than their encoding, measured on columns of short texts."""
_OBJECTS_FREE: Final = 64 << 20

MAX_TUPLE_DEPTH: Final = 10_000
"""Hashing a tuple recurses on the C stack and crashes the process some ten times deeper."""


class Allowance:
    """How much may still be decoded; thread-safe.

    Args:
        limit: bytes of data at most, as a store counts them; None for any number.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.objects = None if limit is None else _OBJECTS_FACTOR * limit + _OBJECTS_FREE
        """Bytes that Python objects may still take in memory; None for any number."""
        self._data = 0
        self._lock = Lock()

    def take(self, nbytes: int) -> None:
        """Count data that is about to be decoded.

        Raises:
            DataFrameTooLargeError: it is more than is left.
        """
        with self._lock:
            self._data += nbytes
            if self.limit is not None and self._data > self.limit:
                self.refuse()

    def take_objects(self, nbytes: int) -> None:
        """Count Python objects that were made, or are about to be; raises as ``take`` does."""
        if self.objects is not None:
            with self._lock:
                self.objects -= nbytes
                if self.objects < 0:
                    self.refuse()

    def refuse(self) -> None:
        """Say that it is too much."""
        raise DataFrameTooLargeError(
            f"The frame has more data than the {(self.limit or 0) / 1e6:,.1f} MB that are accepted "
            "(MAX_DATAFRAME_SIZE_MB): raise the limit, or drop columns or rows."
        )


# --- what a layout gives ------------------------------------------------------------------------------


def check_raw(array: np.ndarray[Any, Any]) -> None:
    """Refuse booleans that are neither true nor false: code compiled for two values reads beyond tables."""
    if array.dtype.kind == "b" and array.size and int(array.view("u1").max()) > 1:
        damaged("a boolean is neither true nor false")


def check_arrow(array: Any) -> None:
    """Refuse an Arrow array whose offsets, indices, lengths or texts are not what its type says."""
    try:
        array.validate(full=True)
    except Exception as error:
        damaged(f"an Arrow array is not valid ({type(error).__name__})")


def check_cells(cells: np.ndarray[Any, Any]) -> None:
    """Refuse tuples whose hash would crash the process or never end."""
    level = [cell for cell in cells if type(cell) is tuple]
    if not level:
        return
    sizes: dict[int, int] = {}
    for cell in level:
        _unfold(cell, sizes)
    if sum(sizes[id(cell)] for cell in level) > 1_000_000 + 64 * len(sizes):
        damaged("a tuple holds others so often that its hash would not end")


def _unfold(top: tuple[Any, ...], sizes: dict[int, int]) -> None:
    """Enter how many parts a hash of each tuple visits."""
    stack: list[tuple[tuple[Any, ...], int]] = [(top, 0)]
    while stack:
        whole, at = stack.pop()
        if id(whole) in sizes:
            continue
        while at < len(whole):
            part = whole[at]
            at += 1
            if type(part) is tuple and id(part) not in sizes:
                stack += ((whole, at), (part, 0))
                break
        else:
            sizes[id(whole)] = 1 + sum(sizes[id(part)] if type(part) is tuple else 1 for part in whole)
        if len(stack) > MAX_TUPLE_DEPTH:
            damaged("a tuple is nested too deep")


def check_places(rows: int, stored: int, starts: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> None:
    """Refuse places of a sparse column that are none of its rows: pandas checks them in 32 bits, too late.

    Args:
        rows: of the column.
        stored: how many values it stores.
        starts, lengths: of each block of stored values.
    """
    starts, lengths = starts.astype(np.int64), lengths.astype(np.int64)
    if len(starts) != len(lengths) or int(lengths.sum()) != stored:
        damaged("a sparse column has other places than values")
    ends = starts + lengths
    overlap = bool((starts[1:] < ends[:-1]).any())
    if len(starts) and (int(starts[0]) < 0 or int(ends[-1]) > rows or int(lengths.min()) < 0 or overlap):
        damaged("a sparse column has places that are none of its rows")


# --- what is made of them -----------------------------------------------------------------------------


def checked_array(kind: str, array: Any) -> Any:
    """Return an array that was built from a node of ``kind``, when it is one that pandas itself could make.

    Raises:
        SessionDamagedError: it is not.
    """
    check = _ARRAY_CHECKS.get(kind)
    if check is not None:
        check(array)
    return array


def checked_axis(index: pd.Index) -> pd.Index:
    """Return an axis that was built, when it is one that pandas itself could make.

    Raises:
        SessionDamagedError: it is not.
    """
    if not hashes_safely(list(index.names)):
        damaged("the name of an axis is nested too deep")
    hash(tuple(index.names))
    if isinstance(index, pd.MultiIndex):
        for level, code in zip(index.levels, index.codes, strict=True):
            _check_codes(code, len(level))
    freq = getattr(index, "freq", None)
    if freq is not None and not isinstance(freq, pd.offsets.BaseOffset):
        damaged("the frequency of an axis is none")
    return index


def check_zone(zone: object) -> None:
    """Refuse what is not a time zone."""
    if not isinstance(zone, dt.tzinfo):
        damaged("a time zone is none")


def _check_codes(codes: np.ndarray[Any, Any], count: int) -> None:
    if codes.size and not -1 <= int(codes.min()) <= int(codes.max()) < count:
        damaged("a code names no category")


def _check_categorical(array: Any) -> None:
    _check_codes(array._codes, len(array.categories))
    if array.ordered not in (True, False, None) or array.categories.hasnans or not array.categories.is_unique:
        damaged("the categories of a column are not distinct values")


def _check_interval(array: Any) -> None:
    left, right = array._left, array._right
    if type(left) is not type(right) or left.dtype != right.dtype or len(left) != len(right):
        damaged("the ends of intervals are of two types")


def _check_string(array: Any) -> None:
    cells = getattr(array, "_ndarray", None)
    if cells is None:
        return
    for cell in cells:
        if type(cell) is not str and not (cell is pd.NA or (type(cell) is float and cell != cell)):
            damaged("a column of texts holds something else")


_ARRAY_CHECKS: Final[dict[str, Callable[[Any], None]]] = {
    "categorical": _check_categorical,
    "interval": _check_interval,
    "string": _check_string,
}


def memory_of(value: object) -> int:
    """Return the bytes that an object by itself takes, without what it refers to."""
    try:
        return sys.getsizeof(value, 64)
    except Exception:  # its own __sizeof__; it is small then
        return 64

"""A frame as a pyarrow Table, for readers that want Arrow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from framekeep.errors import UnsupportedTypeError
from framekeep.frames.borrow import arrow_of, column_arrays
from framekeep.frames.manifest import place

_DEPTH: Final = 64
"""Deeper containers in cells are refused: pyarrow recurses on the C stack, and a cyclic list crashes it."""
_REPEATED: Final = 64
"""Parts a cell may hold again, on average; more are refused: a small cell can hold one list very often."""


def table_of(frame: pd.DataFrame) -> pa.Table:
    """Return the columns of a frame as a Table; Arrow-backed columns are not copied.

    NaN in numpy columns stays NaN; NaT, None and NA become null. Labels that are not strings become their
    ``str``. An index other than the default one follows as further columns, named as pyarrow does
    (``__index_level_0__`` when it has no name, or a column's).

    Raises:
        UnsupportedTypeError: for a column or label that Arrow has no type for, or only one that would change
            a value of it; names it.
    """
    return table_from(frame.columns, column_arrays(frame), frame.index)


def table_from(labels: Iterable[Hashable], arrays: Iterable[Any], index: pd.Index) -> pa.Table:
    """Return what ``table_of`` does, of a frame's parts."""
    names, columns = [], []
    for label, array in zip(labels, arrays, strict=True):
        names.append(_name(label, place(label)))
        columns.append(_column(array, place(label)))
    if not (type(index) is pd.RangeIndex and index.name is None and index.start == 0 and index.step == 1):
        # Without names: a level named 1 would be found as the second.
        bare = index.set_names([None] * index.nlevels)
        for i, label in enumerate(index.names):
            level = bare.get_level_values(i)
            where = f"index level {i}"
            name = None if label is None else _name(label, where)
            names.append(f"__index_level_{i}__" if name is None or name in names else name)
            columns.append(_column(level.array, where))
    if not columns:
        return pa.Table.from_struct_array(pa.array([{}] * len(index), pa.struct([])))
    return pa.Table.from_arrays(columns, names=names)


def _name(label: Hashable, where: str) -> str:
    try:
        text = label if isinstance(label, str) else str(label)
        text.encode()
    except ValueError as error:  # a lone surrogate, or an int of more digits than Python prints
        raise UnsupportedTypeError(
            f"{where} has a name that is no Unicode text, which Arrow cannot hold: use get_dataframe, or "
            "rename it.",
            where=where,
            type_name=type(label).__name__,
        ) from error
    return text


def _column(array: Any, where: str) -> pa.ChunkedArray | pa.Array:
    if getattr(array, "_pa_array", None) is not None:
        return arrow_of(array)
    if isinstance(array, pd.arrays.NumpyExtensionArray):
        array = array.to_numpy()
    kind = str(array.dtype)
    try:
        if isinstance(array, np.ndarray):
            if array.dtype == np.dtype(object):
                parts = _Parts(where, len(array))
                for cell in array:
                    parts.check(cell)
                made = pa.array(array, from_pandas=True)
                if _may_lose(made.type) and any(map(_lost, array, made.to_pylist())):
                    raise UnsupportedTypeError(
                        f"{where} has the type object, and Arrow's type for its cells, {made.type}, does not "
                        "hold all of them exactly: use get_dataframe or JSON, or cast the column.",
                        where=where,
                        type_name=kind,
                    )
                return made
            return pa.array(np.ascontiguousarray(array), from_pandas=False)
        if isinstance(array.dtype, pd.SparseDtype):
            return pa.array(np.asarray(array), from_pandas=False)
        return pa.array(array, from_pandas=True)
    except UnsupportedTypeError:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UnsupportedTypeError(
            f"{where} has the type {kind}, which Arrow has no type for ({type(error).__name__}): "
            "use get_dataframe or JSON, or cast the column.",
            where=where,
            type_name=kind,
        ) from error


def _may_lose(kind: pa.DataType) -> bool:
    """Whether pyarrow chooses this type also for cells that it changes: dates and times, and bytes."""
    if pa.types.is_nested(kind):
        return any(_may_lose(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _lost(cell: Any, back: Any) -> bool:
    """Whether a cell is another in Arrow: without its nanoseconds, zone or time of day, or bytes for text."""
    if isinstance(cell, dict):
        return back is not None and any(_lost(value, back.get(key)) for key, value in cell.items())
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        return back is not None and any(map(_lost, cell, back))
    if back is None:
        return False
    if isinstance(cell, str):
        return not isinstance(back, str)
    return isinstance(cell, dt.date | dt.time | dt.timedelta) and not bool(cell == back)


class _Parts:
    """What is in the cells of an object column, walked before Arrow takes it."""

    def __init__(self, where: str, rows: int) -> None:
        self._where = where
        self._seen: dict[int, object] = {}  # by id; holding them keeps the ids from being used again
        self._left = 1_000_000 + _REPEATED * rows

    def check(self, cell: object, depth: int = 0) -> None:
        """Look into a cell.

        Raises:
            UnsupportedTypeError: it is nested too deep, or holds parts again so often that Arrow, which has
                no references, would take memory without bound.
        """
        inner: Any
        if isinstance(cell, dict):
            inner = cell.values()
        elif isinstance(cell, list | tuple | set | frozenset) or (
            isinstance(cell, np.ndarray) and cell.dtype == np.dtype(object)
        ):
            inner = cell
        else:
            return
        if depth >= _DEPTH:
            raise self._refused(cell, f"that is cyclic or nested more than {_DEPTH} deep")
        if depth and id(cell) in self._seen:
            self._left -= 1 + len(inner)
            if self._left < 0:
                raise self._refused(cell, "with parts that are repeated very many times")
        self._seen[id(cell)] = cell
        for item in inner:
            self.check(item, depth + 1)

    def _refused(self, cell: object, what: str) -> UnsupportedTypeError:
        return UnsupportedTypeError(
            f"{self._where} has a cell {what}, which Arrow cannot hold: use get_dataframe, or JSON.",
            where=self._where,
            type_name=type(cell).__name__,
        )

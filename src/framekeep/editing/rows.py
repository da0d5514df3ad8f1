"""Operations that drop or move rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.codes import codes_of, order_of
from framekeep.editing.expressions import holds
from framekeep.editing.kinds import Kind, Mask
from framekeep.editing.models import DropDuplicates, DropMissing, FilterRows, SortRows
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError


def drop_missing(work: Work, operation: DropMissing) -> None:
    """Drop rows with missing cells; a table without columns has none."""
    positions = work.chosen(operation.columns)
    if not positions:
        return
    masks = (work.missing(each, include_intentional=operation.include_intentional) for each in positions)
    missing = next(masks).copy()
    for mask in masks:
        missing = missing | mask if operation.how == "any" else missing & mask
    work.keep(~missing)


def drop_duplicates(work: Work, operation: DropDuplicates) -> None:
    """Drop rows that repeat another; a table without columns has no rows that differ, and keeps them."""
    positions = work.chosen(operation.columns)
    if not positions:
        return
    keep: Any = False if operation.keep == "none" else operation.keep
    try:
        columns = [_comparable(work, position) for position in positions]
        repeated = _frame(columns).duplicated(keep=keep)
    except (TypeError, ValueError, NotImplementedError):
        # One by one: that names the column that cannot be compared.
        columns = [codes_of(work.array(position), work.name(position)) for position in positions]
        repeated = _frame(columns).duplicated(keep=keep)
    work.keep(~repeated.to_numpy())


def _frame(columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(dict(enumerate(columns)))


def _comparable(work: Work, position: int) -> Any:
    """Return an array in which pandas tells values apart as this vocabulary does."""
    array = work.array(position)
    if work.kind(position) in (Kind.MIXED, Kind.NUMBER):
        return codes_of(array, work.name(position))
    return array


def filter_rows(work: Work, operation: FilterRows) -> None:
    """Keep or drop the rows chosen."""
    if operation.where is not None:
        chosen = holds(operation.where, work)
    else:
        chosen = _rows(work, operation.rows or [])
    work.keep(chosen if operation.action == "keep" else ~chosen)


def _rows(work: Work, rows: list[int]) -> Mask:
    chosen = np.zeros(len(work.frame), dtype=bool)
    beyond = max(rows, default=-1)
    if beyond >= len(chosen):
        raise InvalidEditError(
            f"There is no row {beyond}: the table has {len(chosen)} row(s), counted from 0."
        )
    chosen[rows] = True
    return chosen


def sort_rows(work: Work, operation: SortRows) -> None:
    """Sort rows; equal ones stay in their order."""
    keys: list[npt.NDArray[Any]] = []  # the most important last, as lexsort wants them
    for each in reversed(operation.by):
        position = work.labels.position(each.column)
        key, missing = order_of(work.array(position), work.name(position))
        if each.descending:
            key = -key if key.dtype.kind == "f" else ~key  # the smallest whole number has no negative
        keys += [key, missing if operation.missing == "last" else ~missing]
    work.take(np.lexsort(keys).astype(np.int64))

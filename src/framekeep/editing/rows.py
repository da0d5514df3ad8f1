"""Operations that drop or move rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.codes import codes_of, ranks_of
from framekeep.editing.expressions import holds
from framekeep.editing.kinds import Mask
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
    codes = pd.DataFrame(
        {number: codes_of(work.array(each), work.name(each)) for number, each in enumerate(positions)}
    )
    keep: Any = False if operation.keep == "none" else operation.keep
    work.keep(~codes.duplicated(keep=keep).to_numpy())


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
    keys: list[npt.NDArray[np.int64]] = []
    for key in operation.by:
        position = work.labels.position(key.column)
        ranks = ranks_of(work.array(position), work.name(position))
        missing = ranks < 0
        if key.descending:
            ranks = -ranks
        most = len(ranks) + 1
        ranks[missing] = most if operation.missing == "last" else -most
        keys.append(ranks)
    work.take(np.lexsort(keys[::-1]).astype(np.int64))

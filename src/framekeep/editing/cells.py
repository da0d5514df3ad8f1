"""Operations on single values: cells set by position, values replaced wherever they stand."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from framekeep.editing.fields import Value
from framekeep.editing.kinds import Kind, equal_to, kind_of, missing_in
from framekeep.editing.models import ReplaceValues, SetCells
from framekeep.editing.texts import recategorized, replace_parts
from framekeep.editing.values import Misfit, converted, put
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError


def set_cells(work: Work, operation: SetCells) -> None:
    """Set single cells; of several values for one cell the last one stays."""
    rows = len(work.frame)
    columns: dict[int, dict[int, Value]] = defaultdict(dict)
    for cell in operation.cells:
        if cell.row >= rows:
            raise InvalidEditError(
                f"There is no row {cell.row}: the table has {rows} row(s), counted from 0."
            )
        columns[work.labels.position(cell.column)][cell.row] = cell.value
    for position, cells in columns.items():
        places = np.fromiter(cells, dtype=np.int64, count=len(cells))
        work.set(position, put(work.array(position), places, list(cells.values()), work.label(position)))


def replace_values(work: Work, operation: ReplaceValues) -> None:
    """Replace values, all at once.

    Raises:
        InvalidEditError: a value is named twice; a column named cannot hold it; or what takes its place does
            not fit the column.
    """
    if operation.match == "part":
        replace_parts(work, operation)
        return
    olds = [(type(each.old), each.old) for each in operation.replacements]
    if len(set(olds)) < len(olds):
        raise InvalidEditError("A value to replace is named twice.")
    for position in work.chosen(operation.columns):
        array = work.array(position)
        kind = kind_of(array.dtype)
        if kind is Kind.MIXED:
            changed = _in_objects(array, operation)
        elif kind is Kind.CATEGORY:
            changed = _in_categories(work, position, array, operation)
        else:
            changed = _in_array(work, position, array, operation)
        if changed is not None:
            work.set(position, changed)


def _in_objects(array: Any, operation: ReplaceValues) -> Any:
    news = {(type(each.old), each.old): each.new for each in operation.replacements}
    out = array.copy()
    touched = False
    for row, cell in enumerate(array):
        key = type(cell), cell
        if type(cell) in (bool, int, float, str) and key in news:
            out[row], touched = news[key], True
    return out if touched else None


def _in_categories(work: Work, position: int, array: Any, operation: ReplaceValues) -> Any:
    dtype = array.dtype.categories.dtype
    before = list(array.dtype.categories)
    after = list(before)
    for each in operation.replacements:
        old = _cell(work, position, each.old, dtype, operation)
        for place, category in enumerate(before):
            if old is not None and category == old and isinstance(category, type(old)):
                after[place] = _fitting(work, position, each.new, dtype)
    same = all(one is other for one, other in zip(before, after, strict=True))
    return None if same else recategorized(array, after)


def _in_array(work: Work, position: int, array: Any, operation: ReplaceValues) -> Any:
    out = None
    missing = missing_in(array)
    seen = set()
    for each in operation.replacements:
        old = _cell(work, position, each.old, array.dtype, operation)
        if old is None:
            continue
        if old in seen:
            raise InvalidEditError(f"A value to replace is named twice for column {work.name(position)}.")
        seen.add(old)
        mask = equal_to(array, old) & ~missing
        if mask.any():
            out = put(array if out is None else out, mask, [each.new], work.label(position))
    return out


def _cell(work: Work, position: int, value: Value, dtype: Any, operation: ReplaceValues) -> Any:
    """Return a value to look for as a cell of a dtype; None if no cell of an unnamed column can be it."""
    if operation.columns is None and isinstance(value, str) and kind_of(dtype) is Kind.INTEGER:
        return None  # a text is taken for a whole number only where that is asked for
    try:
        return converted(value, dtype)
    except Misfit as error:
        if operation.columns is None:
            return None
        raise InvalidEditError(f"Column {work.name(position)} {error}") from None


def _fitting(work: Work, position: int, value: Value, dtype: Any) -> Any:
    try:
        return converted(value, dtype)
    except Misfit as error:
        raise InvalidEditError(f"Column {work.name(position)} {error}") from None

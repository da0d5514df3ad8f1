"""Carrying operations out, one after the other, on a frame that is never changed itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from framekeep.editing import cells, columns, fill, rows, texts
from framekeep.editing import models as m
from framekeep.editing.casting import cast
from framekeep.editing.models import Operation, parse_operations
from framekeep.editing.work import Applied, Positions, Work
from framekeep.errors import InvalidEditError, NotADataFrameError

_CARRY_OUT: Final[dict[type, Callable[[Work, Any], None]]] = {
    m.SetCells: cells.set_cells,
    m.FillMissing: fill.fill_missing,
    m.DropMissing: rows.drop_missing,
    m.DropDuplicates: rows.drop_duplicates,
    m.DropColumns: columns.drop_columns,
    m.RenameColumns: columns.rename_columns,
    m.ReorderColumns: columns.reorder_columns,
    m.Cast: cast,
    m.ReplaceValues: cells.replace_values,
    m.TrimText: texts.trim_text,
    m.ChangeCase: texts.change_case,
    m.FilterRows: rows.filter_rows,
    m.SortRows: rows.sort_rows,
    m.DeriveColumn: columns.derive_column,
}


def apply(frame: pd.DataFrame, operations: Iterable[Operation | Mapping[str, Any]]) -> pd.DataFrame:
    """Return what operations make of a frame; the frame itself stays as it is.

    Args:
        frame: the table. What an operation does not touch is shared with the result.
        operations: models, or JSON objects of the same shape; carried out in order.

    Raises:
        InvalidEditError: an operation is malformed or cannot be carried out; ``operation`` says which.
    """
    return apply_tracked(frame, operations).frame


def apply_tracked(
    frame: pd.DataFrame,
    operations: Iterable[Operation | Mapping[str, Any]],
    *,
    marked: Mapping[int, Sequence[int] | Positions] | None = None,
) -> Applied:
    """Return what operations make of a frame, and where its rows and columns came from.

    Args:
        frame: the table.
        operations: as for ``apply``.
        marked: column position -> row positions of the cells that are missing on purpose. Operations on
            missing cells leave them alone unless they say ``include_intentional``.

    Raises:
        InvalidEditError: as for ``apply``.
    """
    if not isinstance(frame, pd.DataFrame):
        raise NotADataFrameError(f"Edits work on a pandas DataFrame, not on {type(frame).__name__}.")
    work = Work(frame, marked)
    for number, operation in enumerate(parse_operations(operations)):
        try:
            _CARRY_OUT[type(operation)](work, operation)
        except InvalidEditError as error:
            error.operation = number
            raise
    return work.applied()

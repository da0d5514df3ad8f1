"""Operations on whole columns: drop, rename, reorder, derive."""

from __future__ import annotations

from framekeep.editing.expressions import evaluate
from framekeep.editing.models import DeriveColumn, DropColumns, RenameColumns, ReorderColumns
from framekeep.editing.work import Work
from framekeep.errors import InvalidEditError


def drop_columns(work: Work, operation: DropColumns) -> None:
    """Drop columns."""
    gone = set(work.labels.positions(operation.columns))
    work.arrange([position for position in work.chosen(None) if position not in gone])


def rename_columns(work: Work, operation: RenameColumns) -> None:
    """Rename columns, all at once."""
    names: dict[int, str] = {}
    for old, new in operation.names.items():
        position = work.labels.position(old)
        if names.setdefault(position, new) != new:
            raise InvalidEditError(f"Column {work.name(position)} is given two names.")
    work.relabel(names)


def reorder_columns(work: Work, operation: ReorderColumns) -> None:
    """Put columns first, in an order."""
    first = work.labels.positions(operation.columns)
    named = set(first)
    work.arrange(first + [position for position in work.chosen(None) if position not in named])


def derive_column(work: Work, operation: DeriveColumn) -> None:
    """Compute a column."""
    exists = work.labels.count(operation.name) > 0
    if exists and not operation.overwrite:
        raise InvalidEditError(
            f"The table has a column {operation.name[:80]!r} already. Choose another name, or overwrite it."
        )
    place = work.frame.shape[1] if operation.after is None else work.labels.position(operation.after) + 1
    array = evaluate(operation.expression, work)
    if exists:
        work.set(work.labels.position(operation.name), array)
    else:
        work.insert(place, operation.name, array)

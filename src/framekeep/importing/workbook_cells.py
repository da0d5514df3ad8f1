"""Cells of a sheet as Arrow arrays: one for each kind of value in some rows of a column.

A *block* has, for each kind of value that occurs in it, an array with the values of that kind, and null where
the cell is of another one. So a mixed column needs no Python objects, and what it becomes is decided when all
of it is known. Knows nothing of sheets and types.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import FileTooLargeError
from framekeep.importing.model import Limits
from framekeep.importing.rendering import duration_text
from framekeep.importing.workbook_facts import reference

NUMBER, DIGITS, TEXT, TRUTH = "number", "digits", "text", "truth"
WORD = "word"  # a text that means "no value"
DATE, INSTANT, TIME, DURATION = "date", "instant", "time", "duration"

_ARROW = {
    NUMBER: pa.float64(),
    DIGITS: pa.string(),  # whole numbers that a double does not hold
    TEXT: pa.string(),
    WORD: pa.string(),
    TRUTH: pa.bool_(),
    DATE: pa.date32(),
    INSTANT: pa.timestamp("us"),
    TIME: pa.time64("us"),
    DURATION: pa.duration("us"),
}
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    (NUMBER, (float, int)),
    (TRUTH, (bool,)),
    (DATE, (datetime.date,)),
    (INSTANT, (datetime.datetime,)),
    (TIME, (datetime.time,)),
    (DURATION, (datetime.timedelta,)),
)


@dataclass(slots=True)
class Block:
    """Some rows of a column.

    Attributes:
        row: of the sheet, counted from 0, that the first cell is in.
        length: how many rows.
        parts: kind -> an array of that length.
    """

    row: int
    length: int
    parts: dict[str, pa.Array]

    def part(self, kind: str) -> pa.Array:
        """Return the array of a kind."""
        found = self.parts.get(kind)
        return pa.nulls(self.length, _ARROW[kind]) if found is None else found

    def head(self, count: int) -> Block:
        """Return the first cells."""
        parts = {kind: cells[:count] for kind, cells in self.parts.items()}
        return Block(self.row, min(count, self.length), parts)

    def put(self, kind: str, values: Mapping[int, Any]) -> None:
        """Set cells, counted within the block, to values of a kind."""
        for other, cells in list(self.parts.items()):
            if other != kind:
                self.parts[other] = _changed(cells, dict.fromkeys(values, None))
                if self.parts[other].null_count == self.length:
                    del self.parts[other]
        self.parts[kind] = _changed(self.part(kind), values)


@dataclass(slots=True)
class Errors:
    """The error cells of a column: how many, the first, and what they show."""

    count: int = 0
    first: int = -1
    codes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RawColumn:
    """A column of a sheet.

    Attributes:
        label: the name in the header as text; empty if there is none.
        sheet: where it is from.
        column: of the sheet, counted from 0.
        blocks: its cells, from the top.
        errors: the cells with an error, which have no value in the blocks.
    """

    label: str
    sheet: str
    column: int
    blocks: list[Block] = field(default_factory=list)
    errors: Errors = field(default_factory=Errors)

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it, not even a name."""
        return not self.label and not self.errors.count and not any(block.parts for block in self.blocks)

    def kinds(self) -> set[str]:
        """Return the kinds of value that occur."""
        return {kind for block in self.blocks for kind in block.parts}

    def without(self, kind: str) -> RawColumn:
        """Return the column without the values of a kind."""
        blocks = [
            Block(block.row, block.length, {k: cells for k, cells in block.parts.items() if k != kind})
            for block in self.blocks
        ]
        return replace(self, blocks=blocks)


def cell_text(cell: Any) -> str | None:
    """Return a single cell as text, as a column of its kind would be; None if it has no value."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1 << 53:
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ", "auto" if cell.microsecond else "seconds")
    if isinstance(cell, datetime.timedelta):
        return duration_text(round(cell / datetime.timedelta(microseconds=1)))
    return str(cell)


def parts(cells: tuple[Any, ...], words: pa.Array | None) -> dict[str, pa.Array]:
    """Return an array for each kind of value among the cells; ``words`` are texts that mean no value."""
    types = set(map(type, cells))
    if types == {float}:
        return {NUMBER: pa.array(cells, pa.float64())}
    parts = {}
    if str in types:
        if len(types) == 1:
            text = pa.array([cell or None for cell in cells], pa.string())
        else:
            text = pa.array([(cell or None) if type(cell) is str else None for cell in cells], pa.string())
        if words is not None:
            said = pc.is_in(text, words)
            if pc.any(said).as_py():
                none = pa.scalar(None, pa.string())
                parts[WORD], text = pc.if_else(said, text, none), pc.if_else(said, none, text)
        if text.null_count < len(text):
            parts[TEXT] = text
    for kind, wanted in _KINDS:
        if types.isdisjoint(wanted):
            continue
        if types.issubset(wanted):
            parts[kind] = pa.array(cells, _ARROW[kind])
        elif len(wanted) == 1:
            only = wanted[0]
            parts[kind] = pa.array([cell if type(cell) is only else None for cell in cells], _ARROW[kind])
        else:
            parts[kind] = pa.array([cell if type(cell) in wanted else None for cell in cells], _ARROW[kind])
    return parts


def check_length(text: pa.Array, limits: Limits, column: RawColumn, row: int) -> None:
    lengths = pc.binary_length(text)
    if (pc.max(lengths).as_py() or 0) > limits.field_bytes:
        at = pc.index(pc.greater(lengths, limits.field_bytes), True).as_py()
        where = f"sheet {column.sheet!r}, cell {reference(row + at, column.column)}"
        raise FileTooLargeError(
            f"The cell {reference(row + at, column.column)} of the sheet {column.sheet!r} has more than "
            f"{limits.field_bytes:,} bytes of text, which is as much as is read.",
            where=where,
        )


def _changed(cells: pa.Array, values: Mapping[int, Any]) -> pa.Array:
    listed = cells.to_pylist()
    for at, value in values.items():
        listed[at] = value
    return pa.array(listed, cells.type)

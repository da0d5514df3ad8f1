"""A sheet as columns of blocks: where its table begins, what its header says, what its reader left out.

A table begins at its first row that has values, or at the one that the options say, and in its first column
that has any; it ends where the values end. Rows without values in between stay. Knows nothing of types.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import EmptyFileError
from framekeep.importing.model import ImportOptions, Limits
from framekeep.importing.workbook_cells import (
    DIGITS,
    NUMBER,
    TEXT,
    Block,
    RawColumn,
    cell_text,
    check_length,
    parts,
)
from framekeep.importing.workbook_facts import SheetFacts, key, position, reference

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_CELLS_PER_BLOCK = 1 << 17


@dataclass(slots=True)
class RawSheet:
    """A sheet that was read.

    Attributes:
        name: of the sheet.
        rows: below the header.
        columns: from the first that has anything to the last.
        passed: how many rows above the header were passed over that have values.
        header_row: of the sheet, counted from 0; None if there is no header.
        first_row: of the sheet, of the first row below the header.
        merged: the ranges of merged cells, as first and last cell.
        unfinished: the formulas without a result, and the first of them.
    """

    name: str
    rows: int = 0
    columns: list[RawColumn] = field(default_factory=list)
    passed: int = 0
    header_row: int | None = None
    first_row: int = 0
    merged: Sequence[tuple[tuple[int, int], tuple[int, int]]] = ()
    unfinished: int = 0
    first_unfinished: str = ""


def gather(
    sheet: CalamineSheet,
    options: ImportOptions,
    limits: Limits,
    facts: SheetFacts,
    progress: Callable[[float], None],
) -> RawSheet:
    """Read a sheet's cells.

    Args:
        sheet: as calamine has it.
        options: ``skip_rows``, ``header`` and ``missing`` are looked at.
        limits: ``field_bytes`` is looked at.
        facts: about this sheet.
        progress: is told the fraction that is read.

    Raises:
        EmptyFileError: there is no row that could be the header.
        FileTooLargeError: a cell is too long.
    """
    start = sheet.start
    raw = RawSheet(sheet.name)
    if start is None:
        return raw
    left = start[1]
    rows = enumerate(sheet.iter_rows())
    first = _find_header(rows, options, raw)
    if first is None:
        if options.header or options.skip_rows:
            raise EmptyFileError(
                f"The sheet {sheet.name!r} has no row with values after those that are passed over.",
                where=f"sheet {sheet.name!r}",
            )
        return raw
    raw.columns = [RawColumn("", sheet.name, left + offset) for offset in range(len(first))]
    source: Iterator[Sequence[Any]] = (row for _, row in rows)
    if raw.header_row is None:
        source = _again(first, source)
    else:
        for column, cell in zip(raw.columns, first, strict=True):
            column.label = cell_text(cell) or ""
    _fill(raw, source, options, limits, (sheet.end or start)[0] + 1, progress)
    _add_facts(raw, facts)
    raw.merged = sheet.merged_cell_ranges or ()
    _trim(raw)
    return raw


def _find_header(
    rows: Iterator[tuple[int, Sequence[Any]]], options: ImportOptions, raw: RawSheet
) -> Sequence[Any] | None:
    """Return the header row, or without one the first row with values; the rows above it are used up."""
    wanted = options.header or 0
    for number, row in rows:
        if number < options.skip_rows or row.count("") == len(row):
            raw.passed += number < options.skip_rows and row.count("") != len(row)
            continue
        if wanted:
            wanted -= 1
            raw.passed += 1
            continue
        if options.header is not None:
            raw.header_row = number
        raw.first_row = number + (options.header is not None)
        return row
    return None


def _again(first: Sequence[Any], rest: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield first
    yield from rest


def _fill(
    raw: RawSheet,
    source: Iterator[Sequence[Any]],
    options: ImportOptions,
    limits: Limits,
    end: int,
    progress: Callable[[float], None],
) -> None:
    size = max(64, _CELLS_PER_BLOCK // len(raw.columns))
    words = pa.array(options.missing, pa.string()) if options.missing else None
    row = raw.first_row
    while batch := list(islice(source, size)):
        for column, cells in zip(raw.columns, zip(*batch, strict=True), strict=True):
            block = Block(row, len(cells), parts(cells, words))
            text = block.parts.get(TEXT)
            if text is not None:
                check_length(text, limits, column, row)
            column.blocks.append(block)
        row += len(batch)
        raw.rows += len(batch)
        del batch
        progress(row / end)


def _add_facts(raw: RawSheet, facts: SheetFacts) -> None:
    """Add what the reader does not tell: error cells, long whole numbers, formulas without a result."""
    by_number = {column.column: column for column in raw.columns}
    end = raw.first_row + raw.rows
    for cell, code in zip(facts.errors, facts.codes, strict=True):
        row, number = position(cell)
        column = by_number.get(number)
        if column is not None and raw.first_row <= row < end:
            errors = column.errors
            errors.first = row if errors.first < 0 else min(errors.first, row)
            errors.count += 1
            errors.codes.append(code)
    unfinished = _inside(facts.unfinished, raw.first_row, end)
    raw.unfinished = len(unfinished)
    if unfinished:
        raw.first_unfinished = reference(*position(min(unfinished)))
    for column in raw.columns if facts.digits else ():
        for block in column.blocks:
            if NUMBER in block.parts:
                long = _digits(block, column.column, facts.digits)
                if long:
                    block.put(DIGITS, long)


def _digits(block: Block, column: int, digits: Mapping[int, str]) -> dict[int, str]:
    large = pc.greater_equal(pc.abs(block.parts[NUMBER]), float(1 << 53))
    found = {}
    for at in pc.indices_nonzero(large.fill_null(False)).to_pylist():
        written = digits.get(key(block.row + at, column))
        if written is not None:
            found[at] = written
    return found


def _inside(cells: array[int], first_row: int, end: int) -> list[int]:
    return [cell for cell in cells if first_row <= position(cell)[0] < end]


def _trim(raw: RawSheet) -> None:
    """Leave out the columns left and right of the table: rows above the header may be wider than it."""
    while raw.columns and raw.columns[-1].blank:
        raw.columns.pop()
    blank = 0
    while blank < len(raw.columns) and raw.columns[blank].blank:
        blank += 1
    del raw.columns[:blank]

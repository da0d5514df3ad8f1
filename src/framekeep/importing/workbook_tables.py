"""From the columns of sheets to tables in the spool, with what there is to say about them.

Sheets with the same column names can be put one below the other: the table has the columns in the first
sheet's order, typed as if they had been one sheet, and at its end one that says which sheet a row is from.
Sheets with other names are refused, and the text says how they differ. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from framekeep.errors import InvalidInputError, UnknownColumnError
from framekeep.importing.headers import numbered_names, unique_names
from framekeep.importing.model import ColumnReport, ImportOptions, Progress, Table
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.workbook_cells import RawColumn
from framekeep.importing.workbook_facts import reference
from framekeep.importing.workbook_sheet import RawSheet
from framekeep.importing.workbook_types import as_text, settle

SHEET_COLUMN = "sheet"

_NOTED = 10  # columns or names in a note
_MOST_TEXT = (1 << 31) - 1  # bytes in one array of Arrow strings


def single_table(raw: RawSheet, options: ImportOptions, spool: Spool, progress: Progress) -> Table:
    """Give the columns of a sheet their types and put them into the spool; ``raw`` is used up."""
    names, notes = names_of(raw)
    _check_types(names, options)
    notes = (*notes, *_notes(raw, names))
    return _store(raw.name, names, [[column] for column in _taken(raw)], [], notes, options, spool, progress)


def merge_tables(raws: Sequence[RawSheet], options: ImportOptions, spool: Spool, progress: Progress) -> Table:
    """Put sheets one below the other, and that into the spool; ``raws`` are used up.

    Raises:
        InvalidInputError: their columns have different names; the text says which.
    """
    named = [names_of(raw) for raw in raws]
    names = named[0][0]
    notes: list[str] = []
    for raw, (others, renamed) in zip(raws, named, strict=True):
        _check_same(raws[0].name, names, raw.name, others)
        about = [*renamed, *_notes(raw, others)]
        if others != names:
            about.append("the columns are in another order, and were put into that of the first sheet.")
        notes += [f"Sheet {raw.name!r}: {note}" for note in about]
    _check_types(names, options)
    rows = [(raw.name, raw.rows) for raw in raws]
    places = [{name: at for at, name in enumerate(others)} for others, _ in named]
    columns = [_taken(raw) for raw in raws]
    parts = [[column[place[name]] for column, place in zip(columns, places, strict=True)] for name in names]
    del columns
    name = ", ".join(raw.name for raw in raws)
    return _store(name, names, parts, rows, notes, options, spool, progress)


def names_of(raw: RawSheet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a name for each column, all different, and notes on those that are not in the header."""
    if raw.header_row is None:
        return numbered_names(len(raw.columns)), ()
    return unique_names([column.label or None for column in raw.columns])


def first_rows(raw: RawSheet, count: int) -> tuple[tuple[str | None, ...], ...]:
    """Return up to ``count`` rows as text, None where a cell has no value."""
    heads = [
        replace(column, blocks=[block.head(count) for block in column.blocks[:1]]) for column in raw.columns
    ]
    return tuple(zip(*(as_text([head]).to_pylist() for head in heads), strict=True))


def _store(
    name: str,
    names: Sequence[str],
    parts: list[list[RawColumn]],
    sheets: Sequence[tuple[str, int]],
    notes: Sequence[str],
    options: ImportOptions,
    spool: Spool,
    progress: Progress,
) -> Table:
    """Put columns into the spool one after the other; each is dropped when it is there."""
    typed: list[Stored] = []
    text: list[Stored] = []
    reports: list[ColumnReport] = []
    for at, column in enumerate(names):
        progress(0.8 + 0.2 * at / len(names), f"Finding types in {name!r}")
        found, report = settle(parts[at], column, options)
        parts[at] = []
        typed.append(_keep(spool, column, found.values))
        text.append(typed[-1] if found.text is None else _keep(spool, column, found.text))
        reports.append(report)
    if sheets:
        column = _free(SHEET_COLUMN, names)
        values = pa.chunked_array([pa.repeat(sheet, rows) for sheet, rows in sheets], pa.string())
        typed.append(_keep(spool, column, values))
        text.append(typed[-1])
        reports.append(ColumnReport(column, "text", "says which sheet the row is from"))
    stored = Stored.side_by_side(typed)
    raw = Stored.side_by_side(text)
    return Table(name, tuple(reports), stored, None if raw == stored else raw, tuple(notes))


def _keep(spool: Spool, name: str, values: pa.ChunkedArray) -> Stored:
    if pa.types.is_string(values.type) and values.nbytes > _MOST_TEXT:
        values = values.cast(pa.large_string())
    return spool.keep_column(name, values)


def _taken(raw: RawSheet) -> list[RawColumn]:
    columns, raw.columns = raw.columns, []
    return columns


def _check_types(names: Sequence[str], options: ImportOptions) -> None:
    unknown = [name for name in options.types if name not in names]
    if unknown:
        raise UnknownColumnError(
            f"A type is asked for the column {unknown[0]!r}, but there is none of this name. "
            f"There are {_listed(names)}."
        )


def _check_same(first: str, names: Sequence[str], second: str, others: Sequence[str]) -> None:
    lacking = [name for name in names if name not in others]
    more = [name for name in others if name not in names]
    if not lacking and not more:
        return
    differences = []
    if lacking:
        differences.append(f"{second!r} has no {_listed(lacking)}")
    if more:
        differences.append(f"{first!r} has no {_listed(more)}")
    raise InvalidInputError(
        f"The sheets {first!r} and {second!r} have different columns and cannot be merged: "
        f"{'; '.join(differences)}. Import them one by one, or give their columns the same names."
    )


def _notes(raw: RawSheet, names: Sequence[str]) -> list[str]:
    notes = []
    if raw.passed:
        notes.append(f"{_count(raw.passed, 'row')} with values above the header passed over, as asked.")
    labelled = sum(bool(column.label) for column in raw.columns)
    if raw.header_row is not None and 2 * labelled < len(raw.columns) and raw.rows:
        notes.append(
            f"Row {raw.header_row + 1}, taken for the header, names {labelled} of {len(raw.columns)} "
            f"columns. If the names are further down, say which row it is."
        )
    notes += _failed(raw, names)
    if raw.unfinished:
        notes.append(
            f"{_count(raw.unfinished, 'formula')} without a stored result and so without a value, the first "
            f"in {raw.first_unfinished}. Save the workbook in a spreadsheet program: that calculates them."
        )
    if raw.merged:
        (first, last), *_ = raw.merged
        notes.append(
            f"{_count(len(raw.merged), 'range')} of merged cells, the first {reference(*first)}:"
            f"{reference(*last)}: the value is in the first cell, the others have none."
        )
    return notes


def _failed(raw: RawSheet, names: Sequence[str]) -> list[str]:
    """Say which columns have cells with errors."""
    notes = []
    failed = [(name, column) for name, column in zip(names, raw.columns, strict=True) if column.errors.count]
    for name, column in failed[:_NOTED]:
        errors = column.errors
        shown = sorted(set(errors.codes), key=lambda code: (-errors.codes.count(code), code))[:3]
        notes.append(
            f"{name!r}: {_count(errors.count, 'cell')} with an error ({', '.join(shown)}) and so without a "
            f"value, the first in {reference(errors.first, column.column)}."
        )
    if failed[_NOTED:]:
        total = sum(column.errors.count for _, column in failed[_NOTED:])
        notes.append(
            f"{_count(total, 'cell')} with an error, and so without a value, in "
            f"{_count(len(failed) - _NOTED, 'more column')}."
        )
    return notes


def _free(name: str, taken: Sequence[str]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _count(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(repr(name) for name in names[:_NOTED])
    more = len(names) - _NOTED
    return f"{said} and {more:,} more" if more > 0 else said

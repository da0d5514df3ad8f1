"""Reads tables in JSON, in the shapes that json_shapes.py knows.

A member that a record lacks is a missing value. JSON brings its types along; see json_columns.py.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from framekeep.errors import DamagedFileError, EmptyFileError, FileTooLargeError
from framekeep.importing import encodings, packed
from framekeep.importing.headers import numbered_names, unique_names
from framekeep.importing.json_columns import Column, is_unicode
from framekeep.importing.json_shapes import Rows, find_rows
from framekeep.importing.json_source import Source
from framekeep.importing.model import (
    MIB,
    PREVIEW_ROWS,
    ColumnReport,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
    Table,
)
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.types import check_names

_BATCH, _BATCH_CHARACTERS = 16_384, 8 * MIB  # rows
_SAMPLE = 4 * MIB  # of a file for its preview, if that shows a row
_SEEN = 1_000  # rows for a preview
_CHECKED, _READ = 0.1, 0.8  # of the progress


def read_json(path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool) -> Parsed:
    """Read the table in the JSON file ``path``, packed or not.

    Raises:
        UnreadableFileError: the classes under it say what is wrong; ``where`` names the line or the row.
        UnknownColumnError: ``options.types`` names a column that is not there.
        WrongTypeError: a column cannot have the type that is asked for.
    """
    progress(0.0, "Looking at the JSON")
    compression = packed.look(path, limits).compression
    file = packed.unpack(path, limits, spool.directory)
    text = encodings.as_utf8(
        file, options.encoding, spool.directory, lambda done: progress(_CHECKED * done, "")
    )
    with text.path.open("rb") as bytes_:
        size = max(bytes_.seek(0, io.SEEK_END) - text.start, 1)
        bytes_.seek(text.start)
        source = Source(io.TextIOWrapper(bytes_, "utf-8", newline=""))
        progress(_CHECKED, "Reading rows")
        found = find_rows(source, options)
        table = _Table(limits)
        for batch in _batches(found.rows, source):
            table.add(batch, found)
            progress(_CHECKED + (_READ - _CHECKED) * source.taken / size, "")
    progress(_READ, "Finding types")
    stored = table.store(found, options, spool, lambda done: progress(_READ + (1 - _READ) * done, ""))
    notes = found.notes
    if source.nans:
        notes.append(f"NaN, which JSON does not have, was read as no value: {source.nans:,} times.")
    return Parsed(
        format=options.format or "json",
        tables=(stored,),
        encoding=text.encoding,
        compression=compression,
        notes=(*text.notes, *notes),
    )


def preview_json(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress
) -> tuple[Preview, ...]:
    """Return the first rows of the JSON file ``path``.

    Raises:
        UnreadableFileError: as `read_json` does, as far as the first rows show it.
    """
    chunks = packed.stream(path, limits)
    start = b"".join(islice(chunks, _SAMPLE // packed.CHUNK))
    rest = next(chunks, b"")
    if rest:
        try:
            return (_preview(start, options, limits, whole=False),)
        except DamagedFileError:  # cut off within the first row, or in the object that is all there is
            start = b"".join((start, rest, *chunks))
    return (_preview(start, options, limits, whole=True),)


def _preview(content: bytes, options: ImportOptions, limits: Limits, *, whole: bool) -> Preview:
    if not content:
        raise EmptyFileError("The file is empty.")
    encoding = (
        encodings.named(options.encoding) if options.encoding else encodings.sniff(content[: encodings.START])
    )
    text = (
        codecs.getincrementaldecoder(encoding)("replace").decode(content, final=whole).removeprefix("\ufeff")
    )
    found = find_rows(Source(io.StringIO(text, newline="")), options)
    rows = []
    try:
        for row in islice(found.rows, _SEEN + 1):
            rows.append(row)  # noqa: PERF402 - what came before an error is kept
    except DamagedFileError:
        if whole or not rows:
            raise
    table = _Table(limits)
    table.add(rows[:_SEEN], found)
    names, _ = table.names(found)
    first = [column.text_of(PREVIEW_ROWS) for column in table.columns]
    return Preview(
        "",
        len(rows) if whole and len(rows) <= _SEEN else None,
        len(names),
        names,
        tuple(zip(*first, strict=True)),
        suggested=True,
        empty=not rows,
    )


def _batches(rows: Iterator[Any], source: Source) -> Iterator[list[Any]]:
    batch: list[Any] = []
    begun = source.taken
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH or source.taken - begun > _BATCH_CHARACTERS:
            yield batch
            batch, begun = [], source.taken
    if batch:
        yield batch


class _Table:
    """A table while rows come in."""

    def __init__(self, limits: Limits) -> None:
        self.columns: list[Column] = []
        self.rows = 0
        self._positions: dict[str, int] = {}
        self._limits = limits
        self._short = 0

    def add(self, rows: list[Any], found: Rows) -> None:
        """Append rows.

        Raises:
            DamagedFileError: a row is of another kind than the first, or too long; ``where`` names it.
            FileTooLargeError: the table has more rows, columns or cells than are read.
        """
        if not rows:
            return
        kind = list if self.rows == 0 and isinstance(rows[0], list) else dict
        if self.rows:
            kind = dict if self._positions else list
        for at, row in enumerate(rows):
            if type(row) is not kind:
                raise DamagedFileError(
                    f"A row is not {'a list' if kind is list else 'an object'} as the others are.",
                    where=f"row {self.rows + at + 1:,}",
                )
        values = self._of_lists(rows, found) if kind is list else self._of_objects(rows)
        self._check(len(rows))
        for column, cells in zip(self.columns, values, strict=True):
            column.add(cells, self.rows, self._limits)
        self.rows += len(rows)

    def names(self, found: Rows) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names of the columns, and notes on them.

        Raises:
            DamagedFileError: one is no text.
        """
        named = list(self._positions) if self._positions else found.names
        if named is None:
            return numbered_names(len(self.columns)), ()
        if not all(map(is_unicode, named)):
            raise DamagedFileError(
                "A name in the JSON has half a character in it (a surrogate without its pair)."
            )
        return unique_names(named)

    def store(
        self, found: Rows, options: ImportOptions, spool: Spool, done: Callable[[float], None]
    ) -> Table:
        """Put the columns into the spool, with their types; the table is used up."""
        names, notes = self.names(found)
        if not names:
            raise EmptyFileError("The rows in the file have no columns.")
        check_names(options, names)
        reports = []
        typed: list[Stored] = []
        text: list[Stored] = []
        for position, name in enumerate(names):
            settled, words = self.columns[position].settle(name, options)
            self.columns[position] = Column()
            assert settled.values is not None  # JSON's own types, if no others
            typed.append(spool.keep_column(name, settled.values))
            same = words is None or words is settled.values
            text.append(typed[-1] if same else spool.keep_column(name, words))
            missing = settled.values.null_count
            reports.append(
                ColumnReport(name, settled.type, settled.reason, missing, overridden=name in options.types)
            )
            done((position + 1) / len(names))
        if self._short:
            notes += (f"Rows with too few cells were filled up with missing ones: {self._short:,}.",)
        stored, before = Stored.side_by_side(typed), Stored.side_by_side(text)
        return Table("", tuple(reports), stored, None if before == stored else before, notes)

    def _of_objects(self, rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
        for name in dict.fromkeys(chain.from_iterable(rows)):
            if name not in self._positions:
                self._positions[name] = len(self.columns)
                column = Column()
                column.pad(self.rows)
                self.columns.append(column)
        return ([row.get(name) for row in rows] for name in self._positions)

    def _of_lists(self, rows: list[list[Any]], found: Rows) -> Iterator[tuple[Any, ...]]:
        if not self.columns:
            width = len(rows[0]) if found.names is None else len(found.names)
            self.columns = [Column() for _ in range(width)]
        width = len(self.columns)
        for at, row in enumerate(rows):
            if len(row) > width:
                raise DamagedFileError(
                    f"A row has {len(row):,} cells, but there are {width:,} columns.",
                    where=f"row {self.rows + at + 1:,}",
                )
            if len(row) < width:
                self._short += 1
                row += [None] * (width - len(row))
        return zip(*rows, strict=True)

    def _check(self, more: int) -> None:
        limits = self._limits
        rows = self.rows + more
        for count, most, what in (
            (len(self.columns), limits.columns, "columns"),
            (rows, limits.rows, "rows"),
            (rows * len(self.columns), limits.cells, "cells"),
        ):
            if count > most:
                raise FileTooLargeError(f"The table has more than the {most:,} {what} that are read.")

"""Reads delimited text: CSV, TSV, and whatever is separated otherwise.

Regular text goes through Arrow's reader, in parallel; the rest through ragged.py, row by row. Either way the
columns are written down as text first, and then one after the other gets the type that loses nothing.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from framekeep.errors import DamagedFileError, EmptyFileError, FileTooLargeError
from framekeep.importing import dialect, encodings, packed, ragged
from framekeep.importing.ahead import in_order
from framekeep.importing.headers import numbered_names, unique_names
from framekeep.importing.mapping import read_only
from framekeep.importing.model import (
    PREVIEW_ROWS,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
    Table,
)
from framekeep.importing.rows import Buffer, Dialect, end_of_line, rows
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.survey import Survey, count_lines, survey
from framekeep.importing.types import type_columns

_SAMPLE = 256 * 1024
_LARGEST = (1 << 31) - 2  # bytes of a piece
_NEVER = "\x1f"  # separates where nothing does
_CHECKED, _READ = 0.2, 0.6  # of the progress: unpacked and checked; written down as text


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands above the rows.

    Attributes:
        cells: of the header; None if there is none.
        below: the rest.
        notes: on what is above the header.
    """

    cells: tuple[str | None, ...] | None
    below: ragged.Below
    notes: tuple[str, ...]

    def names(self, width: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return names for ``width`` columns, and notes on them."""
        if self.cells is None:
            return numbered_names(width), ()
        names, notes = unique_names([*self.cells, *[None] * (width - len(self.cells))])
        named = sum(bool(cell) for cell in self.cells)
        if 2 * named < len(self.cells):
            notes += (
                f"The header names {named:,} of {len(self.cells):,} columns. If the names stand further "
                f"down, say which row it is.",
            )
        return names, notes


def read_text(path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool) -> Parsed:
    """Read the text in ``path``, packed or not.

    Raises:
        UnreadableFileError: the classes under it say what is wrong; ``where`` names the line.
        UnknownColumnError: ``options.types`` names a column that is not there.
        WrongTypeError: a column cannot have the type that is asked for.
    """
    progress(0.0, "Looking at the text")
    compression = packed.look(path, limits).compression
    share = _CHECKED / 2 if compression else 0.0
    file = packed.unpack(path, limits, spool.directory, lambda done: progress(share * done, ""))
    text = encodings.as_utf8(
        file,
        options.encoding,
        spool.directory,
        lambda done: progress(share + (_CHECKED - share) * done, ""),
    )
    buffer = _mapped(text.path)
    sample = buffer[text.start : text.start + _SAMPLE]
    whole = text.start + _SAMPLE >= len(buffer)
    found = dialect.detect(sample, whole=whole, options=options)
    head = _head(buffer, text.start + found.start, found.dialect, options, limits)
    progress(_CHECKED, "Reading rows")
    names, stored, notes = _rows(text.path, head, limits, progress, spool)
    progress(_READ, "Finding types")
    columns, typed = type_columns(
        stored, names, options, spool, lambda done: progress(_READ + (1 - _READ) * done, "")
    )
    table = Table("", columns, typed, None if typed is stored else stored, (*head.notes, *notes))
    return Parsed(
        format=options.format or "text",
        tables=(table,),
        encoding=text.encoding,
        delimiter=found.dialect.delimiter,
        compression=compression,
        notes=(*text.notes, *found.notes),
    )


def preview_text(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress
) -> tuple[Preview, ...]:
    """Return the first rows of the text in ``path``, by its first bytes alone.

    Raises:
        UnreadableFileError: as `read_text` does, as far as the first bytes show it.
    """
    start = bytearray()
    whole = True
    for chunk in packed.stream(path, limits):
        packed.refuse_archive(bytes(chunk[:512]) if not start else b"")
        start += chunk
        if len(start) > _SAMPLE:
            del start[_SAMPLE:]
            whole = False
            break
    if not start:
        raise EmptyFileError("The file is empty.")
    encoding = (
        encodings.sniff(bytes(start)) if options.encoding is None else encodings.named(options.encoding)
    )
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    sample = decoder.decode(bytes(start), final=whole).removeprefix("\ufeff").encode("utf-8", "replace")
    found = dialect.detect(sample, whole=whole, options=options)
    if not whole:  # the last row may be cut off
        *_, last = rows(sample, found.dialect, limits, start=found.start)
        sample = sample[: last.start] if last.start > found.start else sample
    head = _head(sample, found.start, found.dialect, options, limits)
    width = ragged.shape(head.below, limits).width
    seen = [row for row in head.below.rows(limits) if width == 1 or not row.blank]
    first = tuple((*row.cells[:width], *[None] * (width - row.width)) for row in seen[:PREVIEW_ROWS])
    names, _ = head.names(width)
    return (Preview("", len(seen) if whole else None, width, names, first, suggested=True, empty=not seen),)


def _head(text: Buffer, start: int, how: Dialect, options: ImportOptions, limits: Limits) -> _Head:
    """Find the header.

    Raises:
        EmptyFileError: there is no row in the text, or not as many as ``options`` pass over.
    """
    line = 1 + text[:start].count(b"\n")
    skipped = 0
    while skipped < options.skip_rows and start < len(text):
        start = end_of_line(text, start)
        skipped += 1
    blank = above = 0
    for row in rows(text, how, limits, start=start, line=line + skipped):
        if row.blank:
            blank += 1
        elif options.header is None:
            below = ragged.Below(text, how, row.start, row.line, row.width)
            return _Head(None, below, tuple(_notes_above(skipped, blank, above)))
        elif above == options.header:
            below = ragged.Below(text, how, row.end, row.next_line, row.width)
            return _Head(tuple(row.cells), below, tuple(_notes_above(skipped, blank, above)))
        else:
            above += 1
    if options.skip_rows or above:
        raise EmptyFileError(
            f"There is no row {options.header or 0} below the {skipped:,} lines that are skipped to take the "
            f"names from: only {above:,} rows are there."
        )
    raise EmptyFileError("There are only blank lines in the file.")


def _notes_above(skipped: int, blank: int, above: int) -> Iterator[str]:
    if skipped:
        yield f"The first {'line' if skipped == 1 else f'{skipped:,} lines'} passed over, as asked."
    if blank:
        yield f"{'A blank line' if blank == 1 else f'{blank:,} blank lines'} above the header passed over."
    if above:
        yield f"{'A row' if above == 1 else f'{above:,} rows'} above the header passed over, as asked."


def _rows(
    path: Path, head: _Head, limits: Limits, progress: Progress, spool: Spool
) -> tuple[tuple[str, ...], Stored, tuple[str, ...]]:
    """Put the rows into the spool as text; return the columns' names, the table, and notes on both."""
    below = head.below

    def done(fraction: float) -> None:
        progress(_CHECKED + (_READ - _CHECKED) * fraction, "")

    delimiter = below.dialect.delimiter or _NEVER
    if delimiter.isascii() and not below.dialect.escape:
        how = replace(below.dialect, delimiter=delimiter)
        seen = survey(below.text, below.start, how)
        if seen.regular and (below.dialect.delimiter is not None or not seen.divided):
            names, notes = head.names(below.named)
            stored = _stored(below.text, how, seen, names, limits, done, spool)
            if stored is not None:
                if seen.gaps and below.named > 1:
                    blank = count_lines(below.text, below.start, how) - stored.rows
                    notes = (*notes, ragged.blank_note(blank)) if blank else notes
                return names, stored, notes
    target = spool.directory / "repaired"
    shape, how = ragged.repair(below, limits, target, lambda fraction: done(fraction / 2))
    names, notes = head.names(shape.width)
    text = _mapped(target) if target.stat().st_size else b""
    seen = survey(text, 0, how)
    stored = _stored(text, how, seen, names, limits, lambda fraction: done(0.5 + fraction / 2), spool)
    if stored is None or not seen.regular:
        raise DamagedFileError("The text has rows that cannot be told apart. Name its delimiter.")
    return names, stored, (*shape.notes(), *notes)


def _stored(
    text: Buffer,
    how: Dialect,
    seen: Survey,
    names: tuple[str, ...],
    limits: Limits,
    done: Callable[[float], None],
    spool: Spool,
) -> Stored | None:
    """Put the rows of regular text into the spool; None if one of them has another length."""
    schema = pa.schema([(name, pa.string()) for name in names])
    with spool.segment(schema) as segment:
        try:
            for end, rows_ in _tables(text, how, seen, len(names)):
                segment.write(pa.Table.from_arrays(rows_.columns, schema=schema))
                _check_size(segment.rows, len(names), limits)
                _check_cells(rows_, limits)
                done(end / len(text))
        except pa.ArrowInvalid:
            return None
    return segment.stored


def _tables(text: Buffer, how: Dialect, seen: Survey, width: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each piece as columns of text, with the place where the piece ends."""
    names = [str(position) for position in range(width)]
    parsing = csv.ParseOptions(
        delimiter=how.delimiter,
        quote_char=how.quote if seen.quoted else False,
        newlines_in_values=seen.quoted,
        ignore_empty_lines=width > 1,
    )
    converting = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        check_utf8=False,  # it was checked
    )
    whole = pa.py_buffer(text)

    def read(begin: int, end: int) -> pa.Table:
        size = end - begin
        if size > _LARGEST:
            raise FileTooLargeError("A row has more than the 2 GiB that are read.")
        reading = csv.ReadOptions(column_names=names, block_size=size + 1, use_threads=False)
        piece = pa.BufferReader(whole.slice(begin, size))
        return csv.read_csv(piece, read_options=reading, parse_options=parsing, convert_options=converting)

    pieces = [(begin, end) for begin, end in seen.pieces if width == 1 or not _is_blank(text, begin, end)]
    for (_, end), table in zip(pieces, in_order(read, pieces), strict=True):
        yield end, table


def _is_blank(text: Buffer, begin: int, end: int) -> bool:
    """Say whether there is nothing but line ends in a piece; Arrow takes that for no table."""
    return not text[begin : begin + 1].strip(b"\r\n") and not text[begin:end].strip(b"\r\n")


def _check_size(count: int, columns: int, limits: Limits) -> None:
    if count > limits.rows:
        raise FileTooLargeError(f"The table has more than the {limits.rows:,} rows that are read.")
    if count * columns > limits.cells:
        raise FileTooLargeError(f"The table has more than the {limits.cells:,} cells that are read.")


def _check_cells(batch: pa.RecordBatch, limits: Limits) -> None:
    for column in batch.columns:
        if column.nbytes > limits.field_bytes:
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if longest > limits.field_bytes:
                raise FileTooLargeError(
                    f"A cell has {longest:,} bytes; at most {limits.field_bytes:,} are read."
                )


def _mapped(path: Path) -> Buffer:
    with path.open("rb") as file:
        return read_only(file.fileno())

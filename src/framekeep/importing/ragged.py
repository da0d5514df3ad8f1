"""Delimited texts that are not regular: with rows too short or too long, or stray quotes.

Nothing is dropped unseen. A short row gets cells without value, a long one loses empty cells, with a note. A
row with more in it than there are columns is refused, for nobody knows which cell is one too many; but if
most rows are like that, the first line is no header, or not all of it, and the table is made wider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from framekeep.errors import DamagedFileError, FileTooLargeError
from framekeep.importing.model import MIB, Limits
from framekeep.importing.rows import Buffer, Dialect, Row, rows

_BATCH_ROWS = 65_536
_BATCH_BYTES = 8 * MIB
_LISTED = 5

Done = Callable[[float], None]


@dataclass(slots=True)
class Lines:
    """Lines that have something in common: how many, and the first few."""

    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        """Take note of a line."""
        self.count += 1
        if len(self.first) < _LISTED:
            self.first.append(line)

    def __str__(self) -> str:
        listed = ", ".join(f"{line:,}" for line in self.first)
        more = f" and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        return f"{'line' if self.count == 1 else 'lines'} {listed}{more}"


@dataclass(frozen=True, slots=True)
class Below:
    """The part of a text below its header.

    Attributes:
        text: all of it.
        dialect: how cells are told apart.
        start: where the first row begins, in bytes.
        line: on which that is.
        named: the number of cells in the header, or in the first row if there is none.
    """

    text: Buffer
    dialect: Dialect
    start: int
    line: int
    named: int

    def rows(self, limits: Limits, width: int) -> Iterator[Row]:
        """Yield the rows; an empty line is one only in a table with one column."""
        for row in rows(self.text, self.dialect, limits, start=self.start, line=self.line):
            if width == 1 or not row.blank:
                yield row


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of the table.

    Attributes:
        width: the number of its columns.
        notes: on rows that had another one.
    """

    width: int
    notes: tuple[str, ...]


def shape(below: Below, limits: Limits, done: Done) -> Shape:
    """Find the shape of a table.

    Raises:
        DamagedFileError: a row has more in it than there are columns; ``where`` names the line.
        FileTooLargeError: as `rows` does.
    """
    short, trailing, long, odd, blank = Lines(), Lines(), Lines(), Lines(), Lines()
    widest, longest, count = below.named, 0, 0
    for row in rows(below.text, below.dialect, limits, start=below.start, line=below.line):
        if row.blank and below.named > 1:
            blank.add(row.line)
            continue
        count += 1
        cells = len(row.cells)
        if row.odd:
            odd.add(row.line)
        if cells < below.named:
            short.add(row.line)
        elif cells > below.named:
            filled = _filled(row.cells)
            if filled <= below.named:
                trailing.add(row.line)
            else:
                if not long.count:
                    longest = filled
                long.add(row.line)
                widest = max(widest, filled)
        if not count % _BATCH_ROWS:
            done(row.end / len(below.text))
    wide = 2 * long.count > count
    if long.count and not wide:
        raise _too_long(below.named, longest, long)
    return Shape(widest, tuple(_notes(below.named, widest, short, trailing, odd, blank)))


def batches(below: Below, schema: pa.Schema, limits: Limits, done: Done) -> Iterator[pa.RecordBatch]:
    """Yield the table in batches of rows; its width is that of the schema.

    Raises:
        FileTooLargeError: it has more rows than ``limits`` allow.
    """
    width = len(schema)
    part: list[list[str | None]] = []
    begun = below.start
    for count, row in enumerate(below.rows(limits, width), 1):
        if count > limits.rows:
            raise FileTooLargeError(
                f"The table has more than the {limits.rows:,} rows that are read.", where=f"line {row.line:,}"
            )
        cells = row.cells
        if len(cells) < width:
            cells += [None] * (width - len(cells))
        part.append(cells if len(cells) == width else cells[:width])
        if len(part) == _BATCH_ROWS or row.end - begun > _BATCH_BYTES:
            yield _batch(part, schema)
            done(row.end / len(below.text))
            part, begun = [], row.end
    if part:
        yield _batch(part, schema)


def _batch(part: list[list[str | None]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*part, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _filled(cells: list[str | None]) -> int:
    """Return the number of cells up to the last that is not empty."""
    filled = len(cells)
    while filled and not cells[filled - 1]:
        filled -= 1
    return filled


def _too_long(named: int, longest: int, long: Lines) -> DamagedFileError:
    more = f" So have {long.count - 1:,} more rows." if long.count > 1 else ""
    return DamagedFileError(
        f"A row has {longest:,} cells, but there are {named:,} columns.{more} Put cells that hold a "
        f"delimiter into quotes, or name another delimiter.",
        where=f"line {long.first[0]:,}",
    )


def _notes(named: int, width: int, short: Lines, trailing: Lines, odd: Lines, blank: Lines) -> Iterator[str]:
    if blank.count:
        yield blank_note(blank.count)
    if width > named:
        yield (
            f"Most rows have more cells than the first, up to {width:,}: columns without a name were added. "
            f"If the header stands further down, say which row it is."
        )
    elif short.count:
        yield f"Rows with too few cells were filled up with cells without value: {short}."
    if trailing.count:
        yield f"Empty cells beyond the last column were left out: {trailing}."
    if odd.count:
        yield (
            f"Quotes that do not enclose a cell were kept as a part of it, and spaces around those that do "
            f"were left out: {odd}."
        )


def blank_note(count: int) -> str:
    """Return the note on empty lines that are no rows."""
    return "An empty line was passed over." if count == 1 else f"{count:,} empty lines were passed over."

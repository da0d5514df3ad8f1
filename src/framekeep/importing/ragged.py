"""Makes irregular text regular: rows too short or too long, stray quotes, delimiters that Arrow takes not.

Nothing is dropped unseen. A short row gets cells without value, a long one loses empty cells, with a note. A
row with more in it than there are columns is refused, for nobody knows which cell is one too many; but if
most rows are like that, the first line is no header, or not all of it, and the table is made wider. What is
regular already is copied as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from framekeep.errors import DamagedFileError
from framekeep.importing.model import MIB, Limits
from framekeep.importing.rows import Buffer, Dialect, Row, rows

_RETURN = ord("\r")
_MARK = "\ufeff"  # at the beginning of a text, Arrow would drop it
_FIRST_OF_MARK = _MARK.encode()[0]
_COPIED = 8 * MIB
_LISTED = 5
_TOLD = 10_000  # rows between two words on the progress

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

    def rows(self, limits: Limits) -> Iterator[Row]:
        """Yield the rows, and the blank lines."""
        return rows(self.text, self.dialect, limits, start=self.start, line=self.line)


@dataclass(slots=True)
class Shape:
    """What a pass over the rows saw.

    Attributes:
        named: the number of columns with a name.
        rows: how many there are that are not blank lines.
        widest: the number of cells of the widest, empty ones at its end not counted; at least ``named``.
        blank: lines without anything; in a table with one column they are rows without a value.
        short: rows with fewer cells than there are columns.
        trailing: rows with empty cells beyond the last column.
        long: rows with more than that.
        odd: rows with quotes that do not enclose a cell, or with blanks around those that do.
    """

    named: int
    rows: int = 0
    widest: int = 0
    blank: Lines = field(default_factory=Lines)
    short: Lines = field(default_factory=Lines)
    trailing: Lines = field(default_factory=Lines)
    long: Lines = field(default_factory=Lines)
    odd: Lines = field(default_factory=Lines)
    _first_long: int = 0

    def add(self, row: Row) -> list[str | None] | None:
        """Take note of a row; return its cells if it has others than it should have."""
        if row.blank:
            self.blank.add(row.line)
            return None
        self.rows += 1
        if row.odd:
            self.odd.add(row.line)
        if row.width == self.named:
            return row.cells if row.odd else None
        cells = row.cells
        if row.width < self.named:
            self.short.add(row.line)
            return cells
        filled = _filled(cells)
        if filled <= self.named:
            self.trailing.add(row.line)
        else:
            self._first_long = self._first_long or filled
            self.long.add(row.line)
            self.widest = max(self.widest, filled)
        return cells

    @property
    def width(self) -> int:
        """The number of columns.

        Raises:
            DamagedFileError: a few rows are too long; ``where`` names the line of the first.
        """
        if self.long.count and 2 * self.long.count <= self.rows:
            more = f" So have {self.long.count - 1:,} more rows." if self.long.count > 1 else ""
            raise DamagedFileError(
                f"A row has {self._first_long:,} cells, but there are {self.named:,} columns.{more} Put "
                f"cells that hold a delimiter into quotes, or name another delimiter.",
                where=f"line {self.long.first[0]:,}",
            )
        return max(self.named, self.widest)

    def notes(self) -> Iterator[str]:
        """Yield what the user should know."""
        if self.blank.count and self.width > 1:
            yield blank_note(self.blank.count)
        if self.long.count:
            yield (
                f"Most rows have more cells than the first, up to {self.width:,}: columns without a name "
                f"were added. If the header stands further down, say which row it is."
            )
        elif self.short.count:
            yield f"Rows with too few cells were filled up with cells without value: {self.short}."
        if self.trailing.count:
            yield f"Empty cells beyond the last column were left out: {self.trailing}."
        if self.odd.count:
            yield (
                f"Quotes that do not enclose a cell were kept as a part of it, and spaces around those that "
                f"do were left out: {self.odd}."
            )


def shape(below: Below, limits: Limits) -> Shape:
    """Look at the rows."""
    seen = Shape(below.named)
    for row in below.rows(limits):
        seen.add(row)
    return seen


def repair(below: Below, limits: Limits, target: Path, done: Done) -> tuple[Shape, Dialect]:
    """Write the rows as regular text to ``target``; return what there is to say, and the dialect of that.

    Raises:
        DamagedFileError: a row has more in it than there are columns; ``where`` names the line.
        FileTooLargeError: as `rows` does.
    """
    own = below.dialect
    taken = own.delimiter is not None and own.delimiter.isascii() and not own.escape
    dialect = own if taken else Dialect(",")
    with target.open("wb") as file:
        seen = _pass(below, limits, file, dialect, taken, below.named, done)
        width = seen.width
        if width > below.named:
            file.seek(0)
            file.truncate()
            _pass(below, limits, file, dialect, taken, width, done)
    return seen, dialect


def _pass(
    below: Below, limits: Limits, file: IO[bytes], dialect: Dialect, taken: bool, width: int, done: Done
) -> Shape:
    """Write the rows with ``width`` cells each; ``taken``: those that have them may be copied."""
    seen = Shape(below.named)
    encode = _Encoder(dialect)
    text, size = below.text, len(below.text)
    copied = below.start  # what is before it is written, or left out
    for count, row in enumerate(below.rows(limits)):
        cells = seen.add(row)
        dropped = width > 1 and row.blank
        marked = text[row.start] == _FIRST_OF_MARK and text[row.start : row.start + 3] == _MARK.encode()
        if taken and row.width == width and row.plain and not dropped and not marked:
            if row.end - copied > _COPIED:
                file.write(text[copied : row.end])
                copied = row.end
        else:
            file.write(text[copied : row.start])
            if not dropped:
                line = encode.row(row.cells if cells is None else cells, width)
                after = copied < row.start and text[row.start - 1] == _RETURN
                file.write(b"\n" + line if after and line == b"\n" else line)  # \r\n would be one line end
            copied = row.end
        if not count % _TOLD:
            done(row.end / size)
    if copied < size:
        file.write(text[copied:size])
        if text[size - 1] not in b"\r\n":
            file.write(b"\n")  # an empty cell without a line end, behind a quoted one, Arrow takes for quoted
    return seen


class _Encoder:
    """Writes cells so that they come back as they are."""

    def __init__(self, dialect: Dialect) -> None:
        assert dialect.delimiter is not None
        self._delimiter = dialect.delimiter
        self._quote = dialect.quote
        self._special = (dialect.delimiter, dialect.quote, "\n", "\r")

    def row(self, cells: Sequence[str | None], width: int) -> bytes:
        """Return a line with ``width`` cells: filled up, or without those at the end."""
        written = [self._cell(cell) for cell in cells[:width]]
        written += [""] * (width - len(written))
        return (self._delimiter.join(written) + "\n").encode()

    def _cell(self, cell: str | None) -> str:
        if cell is None:
            return ""
        if cell == "" or cell[0] == _MARK or any(mark in cell for mark in self._special):
            return f"{self._quote}{cell.replace(self._quote, self._quote * 2)}{self._quote}"
        return cell


def _filled(cells: Sequence[str | None]) -> int:
    """Return the number of cells up to the last that is not empty."""
    filled = len(cells)
    while filled and not cells[filled - 1]:
        filled -= 1
    return filled


def blank_note(count: int) -> str:
    """Return the note on empty lines that are no rows."""
    return "An empty line was passed over." if count == 1 else f"{count:,} empty lines were passed over."

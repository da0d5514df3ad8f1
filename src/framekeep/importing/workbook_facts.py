"""What a workbook's bytes say about a sheet that its reader does not tell.

The reader (calamine) makes an error cell and an empty one the same, rounds long whole numbers to doubles,
turns the dates that Excel has and the calendar has not into others, and makes room for a sheet before it says
how large that is. So each sheet is looked through once before it is read, by searching its bytes for these
few things; a cell's value is taken from here only where the reader would lose it.

Positions are keys: the row and the column of a cell, counted from 0, in one number.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from framekeep.errors import FileTooLargeError
from framekeep.importing.model import Limits

_COLUMN_BITS = 14  # a sheet has 16,384 columns at most
_MOST_DIGITS = 300  # what has more is no number of any type
_BYTES_PER_CELL = 64  # in calamine, empty or not, at the moment when it puts the cells into their places


def key(row: int, column: int) -> int:
    """Return the position of a cell as one number; keys of a sheet sort by row."""
    return row << _COLUMN_BITS | column & (1 << _COLUMN_BITS) - 1


def position(cell: int) -> tuple[int, int]:
    """Return row and column of a key."""
    return cell >> _COLUMN_BITS, cell & (1 << _COLUMN_BITS) - 1


def letters(column: int) -> str:
    """Return a column's name in a spreadsheet: A, B … Z, AA …."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def reference(row: int, column: int) -> str:
    """Return a cell's name in a spreadsheet, such as B7."""
    return f"{letters(column)}{row + 1}"


@dataclass(slots=True)
class SheetFacts:
    """What one sheet says.

    Attributes:
        rows: no cell is below this many rows, counted from the top of the sheet.
        columns: no cell is to the right of this many.
        filled: how many cells have a value, about.
        errors: keys of the cells that hold an error.
        codes: what each of them shows, such as #N/A.
        unfinished: keys of the formulas that no result is stored for.
        digits: key -> a whole number as it is written, from 2^53 on, where a double does not hold them all.
    """

    rows: int = 0
    columns: int = 0
    filled: int = 0
    errors: array[int] = field(default_factory=lambda: array("Q"))
    codes: list[str] = field(default_factory=list)
    unfinished: array[int] = field(default_factory=lambda: array("Q"))
    digits: dict[int, str] = field(default_factory=dict)

    def reach(self, row: int, column: int) -> None:
        """Take note that there is a cell."""
        self.rows = max(self.rows, row + 1)
        self.columns = max(self.columns, column + 1)


def most_cells(limits: Limits) -> int:
    """Return how large the rectangle around a sheet's cells may be; the reader makes room for all of it."""
    return min(limits.cells, limits.memory_bytes // _BYTES_PER_CELL)


def refuse_spread(sheet: str, rows: int, columns: int, limits: Limits) -> None:
    """Raise FileTooLargeError if the cells of a sheet are spread too far for its reader."""
    where = f"sheet {sheet!r}"
    if rows * columns > most_cells(limits):
        raise FileTooLargeError(
            f"The cells of the sheet {sheet!r} reach to {reference(rows - 1, columns - 1)}, which makes "
            f"{rows * columns:,} of them, empty ones included; at most {most_cells(limits):,} are read. "
            f"Delete what is far from the table, or save the sheet as CSV.",
            where=where,
        )


class WorkbookFacts(Protocol):
    """What a workbook of one format says."""

    def check(self) -> None:
        """Raise UnreadableFileError if the file must not even be opened by its reader."""

    @property
    def dates_from_1904(self) -> bool:
        """Whether day 0 is the 1st of January 1904."""

    def sheet(self, name: str) -> SheetFacts | None:
        """Look through a sheet; None if it is not found or cannot be understood."""

    def serials(self, name: str) -> Mapping[int, float]:
        """Return key -> number, for the numbers that are no date when they are formatted as one.

        These are the ones below 0, and from 60 to 61, which Excel calls the 29th of February 1900.
        """


def open_facts(path: Path, kind: str, limits: Limits) -> WorkbookFacts:
    """Open the workbook at ``path``, whose format is ``kind``.

    Raises:
        UnreadableFileError: as far as its directory shows that it is damaged, encrypted or too large.
    """
    if kind == "xls":
        from framekeep.importing.workbook_facts_xls import XlsFacts

        return XlsFacts(path, limits)
    if kind == "xlsb":
        from framekeep.importing.workbook_facts_xlsb import XlsbFacts

        return XlsbFacts(path, limits)
    if kind == "ods":
        from framekeep.importing.workbook_facts_ods import OdsFacts

        return OdsFacts(path, limits)
    from framekeep.importing.workbook_facts_xlsx import XlsxFacts

    return XlsxFacts(path, limits)


ERROR_CODES = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}


def long_number(written: bytes) -> str | None:
    """Return the digits of a whole number that a double cannot be trusted with; None if it can."""
    digits = written.decode("ascii").removeprefix("+")
    return digits if len(digits) < _MOST_DIGITS and abs(int(digits)) >= 1 << 53 else None


def not_a_date(number: float) -> bool:
    """Say whether ``number`` is one of those that ``WorkbookFacts.serials`` is about."""
    return number < 0 or 60 <= number < 61

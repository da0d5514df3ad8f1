"""Finds out how the cells of a text are told apart: by which delimiter, and by which quotes.

A delimiter is a good one if most rows have the same number of cells, and if the cells look like cells, with
no other delimiter in them. Where no delimiter is good, a line is a cell.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from framekeep.importing.model import ImportOptions, Limits
from framekeep.importing.rows import Dialect, Row, end_of_line, rows

_USUAL = (",", ";", "\t", "|")
_RARE = ("\x1f", "\x01", "^", "~")  # looked at where the usual ones are not in the text
_ROWS = 400
_GOOD = 0.6  # of the rows; in a file that is named .csv or .tsv anything that divides its first row will do
_SEP = re.compile(rb'"?sep=([^\r\n"])"?(\r\n|\n|\r)', re.IGNORECASE)
_CLEAN = re.compile(
    r"[+-]?[\d ]*[.,]?\d+([.,]\d+)*([eE][+-]?\d+)?%?"  # a number, whatever its decimal sign
    r"|[^,;\t|\x01\x1f]*"  # or anything without a delimiter
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    Attributes:
        dialect: how to read the text.
        start: where its rows begin: behind a line such as ``sep=;``.
        notes: on what was found that a user might not expect.
    """

    dialect: Dialect
    start: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fit:
    dialect: Dialect
    regular: float  # the fraction of rows with the usual number of cells
    cells: int  # that number
    first: int  # the number in the first row
    clean: float  # the fraction of cells that look like cells
    odd: int

    @property
    def score(self) -> float:
        return 0.0 if self.cells < 2 and self.first < 2 else self.regular * (1 + self.clean)


def detect(sample: bytes, *, whole: bool, options: ImportOptions) -> Found:
    """Find the dialect of the text that begins with ``sample``.

    Args:
        sample: UTF-8.
        whole: it is all of the text; else its last row may be cut off.
        options: ``delimiter`` if the user says it, ``skip_rows``, ``header``; and ``format``: csv, tsv or
            text, which is what the file's name lets expect.
    """
    delimiter, form = options.delimiter, options.format or "text"
    directive = _SEP.match(sample)
    begin = 0
    if directive is not None and directive[1].isascii():  # Excel's own way to say it
        begin = directive.end()
        delimiter = delimiter or directive[1].decode()
    start = begin
    for _ in range(options.skip_rows):
        start = end_of_line(sample, start)
    above = options.header or 0  # rows that may be of any kind
    if delimiter is not None:
        candidates = [delimiter]
    else:
        first = ("\t",) if form == "tsv" else ()
        candidates = [*dict.fromkeys((*first, *_USUAL))]
        if not any(candidate.encode() in sample for candidate in candidates):
            candidates = list(_RARE)
    part = _Part(sample, start, above, whole)
    fits = [part.fit(Dialect(candidate)) for candidate in candidates]
    best = max(fits, key=lambda fit: fit.score)  # the first of the best
    if delimiter is None and not _divides(best, form):
        return Found(Dialect(_default(sample, form)), begin)
    best, notes = _quoting(part, fits, best)
    return Found(best.dialect, begin, notes)


def _divides(fit: _Fit, form: str) -> bool:
    if fit.score == 0.0:
        return False
    return fit.regular >= _GOOD or (form != "text" and fit.first > 1)


def _default(sample: bytes, form: str) -> str | None:
    """Return the delimiter for a text in which none was found: one that is not there, or else none."""
    usual = "\t" if form == "tsv" else ","
    return usual if usual.encode() not in sample else None


def _quoting(part: _Part, fits: list[_Fit], best: _Fit) -> tuple[_Fit, tuple[str, ...]]:
    """Return the fit with the quotes that the text has."""
    if b'\\"' in part.sample and best.odd:
        escaped = part.fit(replace(best.dialect, escape=True))
        if escaped.odd == 0 and escaped.regular >= best.regular:
            return escaped, ("Quotes within cells have a backslash before them; it was taken away.",)
    if b"'" in part.sample and best.regular < 1.0:
        for fit in fits:
            single = part.fit(replace(fit.dialect, quote="'"))
            if single.regular == 1.0 and single.cells > 1 and single.odd == 0:
                return single, ("Cells are in single quotes; these were taken away.",)
    return best, ()


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of a text that is looked at.

    Attributes:
        sample: the beginning of the text.
        start: where its rows begin.
        above: how many rows from there on stand above the table.
        whole: it is all of the text.
    """

    sample: bytes
    start: int
    above: int
    whole: bool

    def fit(self, dialect: Dialect) -> _Fit:
        """Say how well a dialect fits."""
        found = [row for row in self._rows(dialect) if not row.blank][self.above :]
        if not found:
            return _Fit(dialect, 0.0, 0, 0, 0.0, 0)
        cells, count = Counter(row.width for row in found).most_common(1)[0]
        clean = total = 0
        for row in found:
            total += row.width
            clean += sum(cell is None or _CLEAN.fullmatch(cell) is not None for cell in row.cells)
        odd = sum(row.odd for row in found)
        return _Fit(dialect, count / len(found), cells, found[0].width, clean / total, odd)

    def _rows(self, dialect: Dialect) -> Iterator[Row]:
        size = len(self.sample)
        limits = Limits(field_bytes=size + 1, columns=size + 1)
        for row in islice(rows(self.sample, dialect, limits, start=self.start), _ROWS + self.above):
            if row.end < size or self.whole or row.start == self.start:
                yield row

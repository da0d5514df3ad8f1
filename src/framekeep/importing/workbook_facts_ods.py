"""What an .ods says about its sheets beside the values: see workbook_facts.

The XML is searched, not parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import unescape
from pathlib import Path

from framekeep.errors import DamagedFileError, FileTooLargeError
from framekeep.importing.containers import Archive
from framekeep.importing.model import MIB, Limits
from framekeep.importing.workbook_facts import SheetFacts, key, long_number, reference, refuse_spread

_MOST_UNCUT = 64 * MIB
_ATTRIBUTES = rb"""((?:\s[^<>"']*(?:"[^"<]*"[^<>"']*|'[^'<]*'[^<>"']*)*)?)"""
_TAG = re.compile(rb"<(/?)table:(table|table-row|table-cell|covered-table-cell)" + _ATTRIBUTES + rb">([^<]*)")
_TEXT = re.compile(rb"\s*<text:p[^<>]*>([^<]*)<")
_NAME = re.compile(rb"""\stable:name=["']([^"']*)["']""")
_ROWS = re.compile(rb"""\stable:number-rows-repeated=["']([0-9]{1,9})["']""")
_COLUMNS = re.compile(rb"""\stable:number-columns-repeated=["']([0-9]{1,9})["']""")
_NUMBER = re.compile(rb"""\soffice:value=["']([+-]?[0-9]{16,400})["']""")
_KIND = re.compile(rb"""\soffice:value-type=["']([^"']*)["']""")
_KINDS = (b"float", b"percentage", b"currency", b"date", b"time", b"boolean", b"string", b"void")
_LAST_ROW, _LAST_COLUMN = 1 << 20, 1 << 14


class OdsFacts:
    """See WorkbookFacts."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open the archive; raises what Archive raises."""
        self._path = path
        self._limits = limits
        with Archive(path, limits):
            pass

    def check(self) -> None:
        """See WorkbookFacts; all sheets are read at once."""
        _ = self._sheets

    @property
    def dates_from_1904(self) -> bool:
        """See WorkbookFacts; dates are written out here."""
        return False

    def sheet(self, name: str) -> SheetFacts | None:
        """See WorkbookFacts."""
        return self._sheets.get(name)

    def serials(self, name: str) -> Mapping[int, float]:
        """See WorkbookFacts; dates are written out here."""
        return {}

    @cached_property
    def _sheets(self) -> dict[str, SheetFacts]:
        found: dict[str, SheetFacts] = {}
        sheet: _Sheet | None = None
        for tag, piece in self._tags():
            closing, element, attributes = tag[1], tag[2], tag[3]
            if element == b"table":
                named = _NAME.search(attributes)
                if closing or named is None:
                    continue
                sheet = _Sheet(unescape(named[1].decode("utf-8", "replace")), self._limits)
                found.setdefault(sheet.name, sheet.facts)
            elif sheet is None or closing:
                continue
            elif element == b"table-row":
                sheet.row(_count(_ROWS, attributes, _LAST_ROW))
            else:
                sheet.cell(attributes, piece, tag.end())
        return found

    def _tags(self) -> Iterator[tuple[re.Match[bytes], bytes]]:
        for piece in self._pieces():
            for tag in _TAG.finditer(piece):
                yield tag, piece

    def _pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces that end where a row ends."""
        rest = b""
        with Archive(self._path, self._limits) as archive:
            part = archive.find("content.xml")
            for read in archive.pieces(part) if part is not None else ():
                piece = rest + read
                cut = piece.rfind(b"</table:table-row>")
                cut = max(cut, piece.rfind(b"<table:table-row"), 0)
                rest = piece[cut:]
                if len(rest) > _MOST_UNCUT:
                    raise FileTooLargeError(f"A single row has more than {_MOST_UNCUT // MIB} MB of text.")
                yield piece[:cut]
        yield rest


class _Sheet:
    """A sheet while its tags go by."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.facts = SheetFacts()
        self._limits = limits
        self._row = 0
        self._next_row = 0
        self._repeated = 1
        self._column = 0

    def row(self, repeated: int) -> None:
        """Begin a row that stands for ``repeated`` equal ones."""
        self._row = self._next_row
        self._repeated = repeated
        self._next_row = min(self._row + repeated, _LAST_ROW)
        self._column = 0

    def cell(self, attributes: bytes, piece: bytes, end: int) -> None:
        """Take note of a cell and its repetitions; ``end`` is where its content begins in ``piece``."""
        first = self._column
        self._column = min(first + _count(_COLUMNS, attributes, _LAST_COLUMN), _LAST_COLUMN)
        kind = _KIND.search(attributes)
        if kind is None or self._column == first:
            return
        if kind[1] not in _KINDS:  # the reader would take the cell for an empty one
            where = f"sheet {self.name!r}, cell {reference(self._row, first)}"
            raise DamagedFileError(
                f"The file has a cell ({where}) with a value of no known kind.", where=where
            )
        facts = self.facts
        facts.reach(self._next_row - 1, self._column - 1)
        refuse_spread(self.name, facts.rows, facts.columns, self._limits)
        facts.filled += (self._column - first) * (self._next_row - self._row)
        if b'calcext:value-type="error"' in attributes:
            shown = _TEXT.match(piece, end)
            code = shown[1].decode("utf-8", "replace")[:16] if shown else "#ERROR!"
            for at in self._keys(first):
                facts.errors.append(at)
                facts.codes.append(code)
        long = _NUMBER.search(attributes)
        if long is not None:
            digits = long_number(long[1])
            if digits is not None:
                facts.digits.update((at, digits) for at in self._keys(first))

    def _keys(self, first: int) -> Iterator[int]:
        for row in range(self._row, self._next_row):
            for column in range(first, self._column):
                yield key(row, column)


def _count(pattern: re.Pattern[bytes], attributes: bytes, most: int) -> int:
    found = pattern.search(attributes)
    return min(int(found[1]), most) if found else 1

"""What an .xlsb says about its sheets beside the values: see workbook_facts. Records are as in MS-XLSB."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from framekeep.errors import FileTooLargeError
from framekeep.importing.containers import Archive
from framekeep.importing.model import MIB, Limits
from framekeep.importing.workbook_facts import ERROR_CODES, SheetFacts, key, not_a_date
from framekeep.importing.workbook_facts_xlsx import relations, workbook_part

_ROW, _NUMBER_SHORT, _ERROR, _NUMBER, _NUMBER_RESULT, _ERROR_RESULT = 0, 2, 3, 5, 9, 11
_VALUES = range(2, 12)  # all cells but the blank one
_END_OF_CELLS = 0x92
_WORKBOOK_PROPERTIES, _SHEET = 0x99, 0x9C
_LAST_ROW = 1 << 20
_MOST_RECORD = 64 * MIB


class XlsbFacts:
    """See WorkbookFacts."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Open the archive; raises what Archive raises."""
        self._path = path
        self._limits = limits
        with Archive(path, limits):
            pass

    def check(self) -> None:
        """See WorkbookFacts; a sheet is opened when it is wanted."""

    @property
    def dates_from_1904(self) -> bool:
        """See WorkbookFacts."""
        return self._workbook[0]

    def sheet(self, name: str) -> SheetFacts | None:
        """See WorkbookFacts."""
        if name not in self._workbook[1]:
            return None
        facts = SheetFacts()
        for kind, row, record in self._cells(name):
            (column,) = _word(record)
            facts.reach(row, column)
            facts.filled += 1
            if kind in (_ERROR, _ERROR_RESULT):
                facts.errors.append(key(row, column))
                facts.codes.append(ERROR_CODES.get(record[8], "#ERROR!"))
        return facts

    def serials(self, name: str) -> Mapping[int, float]:
        """See WorkbookFacts."""
        found: dict[int, float] = {}
        for kind, row, record in self._cells(name):
            if kind in (_NUMBER, _NUMBER_RESULT):
                (number,) = struct.unpack_from("<d", record, 8)
            elif kind == _NUMBER_SHORT:
                number = short_number(record[8:12])
            else:
                continue
            if not_a_date(number):
                found[key(row, _word(record)[0])] = number
        return found

    @cached_property
    def _workbook(self) -> tuple[bool, dict[str, str]]:
        """Whether dates start in 1904, and which part of the archive each sheet is in."""
        from_1904 = False
        sheets: dict[str, str] = {}
        with Archive(self._path, self._limits) as archive:
            main = workbook_part(archive, "xl/workbook.bin")
            if main is None:
                return False, {}
            parts = relations(archive, main)
            for kind, record in _records(archive.pieces(main)):
                if kind == _WORKBOOK_PROPERTIES and record:
                    from_1904 = bool(record[0] & 1)
                elif kind == _SHEET:
                    relation, rest = _text(record[8:])
                    name, _ = _text(rest)
                    if relation in parts:
                        sheets.setdefault(name, parts[relation])
        return from_1904, sheets

    def _cells(self, name: str) -> Iterator[tuple[int, int, bytes]]:
        """Yield kind, row and record of each cell that has a value."""
        row = 0
        with Archive(self._path, self._limits) as archive:
            for kind, record in _records(archive.pieces(self._workbook[1][name])):
                if kind in _VALUES and len(record) > 8:
                    yield kind, row, record
                elif kind == _ROW and len(record) >= 4:
                    (row,) = _word(record)
                    if row > _LAST_ROW:
                        return
                elif kind == _END_OF_CELLS:
                    return


def short_number(data: bytes) -> float:
    """Return the number in the four bytes of an RK value (of .xls and .xlsb)."""
    (word,) = struct.unpack("<i", data)
    if word & 2:
        number = float(word >> 2)
    else:
        (number,) = struct.unpack("<d", b"\0\0\0\0" + struct.pack("<i", word & ~3))
    return number / 100 if word & 1 else number


_word = struct.Struct("<I").unpack_from


def _text(data: bytes) -> tuple[str, bytes]:
    (length,) = _word(data)
    if length == 0xFFFFFFFF:  # no text
        return "", data[4:]
    return data[4 : 4 + 2 * length].decode("utf-16-le", "replace"), data[4 + 2 * length :]


def _records(pieces: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of each record; the last few bytes hold no cell, and are left out."""
    data = b""
    for piece in pieces:
        data += piece
        at = 0
        end = len(data) - 8  # a head has at most six bytes
        while at < end:
            start = at
            kind = data[at]
            at += 1
            if kind & 0x80:
                kind = kind & 0x7F | (data[at] & 0x7F) << 7
                at += 1
            size = data[at]
            at += 1
            if size & 0x80:
                size &= 0x7F
                for shift in (7, 14, 21):
                    more = data[at]
                    at += 1
                    size |= (more & 0x7F) << shift
                    if not more & 0x80:
                        break
            if size > _MOST_RECORD:
                raise FileTooLargeError(f"A single cell has more than {_MOST_RECORD // MIB} MB of text.")
            if at + size > len(data):
                at = start
                break
            yield kind, data[at : at + size]
            at += size
        data = data[at:]

"""What an .xls says about its sheets beside the values: see workbook_facts. Records are as in MS-XLS."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from framekeep.errors import DamagedFileError, PasswordProtectedError
from framekeep.importing.containers import Compound
from framekeep.importing.model import Limits
from framekeep.importing.workbook_facts import ERROR_CODES, SheetFacts, key, most_cells, not_a_date
from framekeep.importing.workbook_facts_xlsb import short_number

STREAMS = ("Workbook", "Book", "WORKBOOK", "BOOK")

_BEGIN, _END, _ENCRYPTED, _DATES, _SHEET = 0x0809, 0x000A, 0x002F, 0x0022, 0x0085
_SIZE = 0x0200
_NUMBER, _SHORT, _SHORTS, _RESULT = 0x0203, 0x027E, 0x00BD, 0x0006
_TRUTH_OR_ERROR = 0x0205
_TEXTS = (0x00FD, 0x0204, 0x00D6)  # LABELSST, LABEL, RSTRING
_NO_NUMBER = b"\xff\xff"
_ERROR_RESULT = 2
_BIFF8 = 0x0600


class XlsFacts:
    """See WorkbookFacts."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Remember where the file is; errors come when it is looked at."""
        self._path = path
        self._limits = limits

    def check(self) -> None:
        """See WorkbookFacts."""
        if any(kind == _ENCRYPTED for kind, _ in self._globals()):
            raise PasswordProtectedError(
                "The workbook is password-protected. Remove the password and send it again, without one."
            )
        for name, start in self._sheets.items():  # the reader makes room for what a sheet says
            for kind, data in _records(self._stream, start):
                if kind == _SIZE and _told(data) > most_cells(self._limits):
                    raise DamagedFileError(
                        f"The sheet {name!r} is said to have more cells than a sheet has. Open the workbook "
                        f"in a spreadsheet program, save it anew, and send that.",
                        where=f"sheet {name!r}",
                    )
                if kind in (_SIZE, _END):
                    break

    @property
    def dates_from_1904(self) -> bool:
        """See WorkbookFacts."""
        return any(kind == _DATES and data[:2] == b"\x01\0" for kind, data in self._globals())

    def sheet(self, name: str) -> SheetFacts | None:
        """See WorkbookFacts."""
        if name not in self._sheets:
            return None
        facts = SheetFacts()
        for kind, data in self._cells(name):
            row, column = struct.unpack_from("<HH", data)
            last = column
            if kind == _SHORTS:
                last = column + (len(data) - 6) // 6 - 1
            facts.reach(row, max(column, last))
            facts.filled += max(1, last - column + 1)
            code = _error(kind, data)
            if code is not None:
                facts.errors.append(key(row, column))
                facts.codes.append(ERROR_CODES.get(code, "#ERROR!"))
        return facts

    def serials(self, name: str) -> Mapping[int, float]:
        """See WorkbookFacts."""
        found: dict[int, float] = {}
        for kind, data in self._cells(name) if name in self._sheets else ():
            row, column = struct.unpack_from("<HH", data)
            for offset, number in enumerate(_numbers(kind, data)):
                if not_a_date(number):
                    found[key(row, column + offset)] = number
        return found

    @cached_property
    def _stream(self) -> bytes:
        with Compound(self._path) as compound:
            name = next((name for name in STREAMS if name in compound.names), None)
            return b"" if name is None else compound.stream(name)

    @cached_property
    def _sheets(self) -> dict[str, int]:
        """Where in the stream each sheet begins."""
        found: dict[str, int] = {}
        version = _BIFF8
        for kind, data in self._globals():
            if kind == _BEGIN and len(data) >= 2:
                (version,) = struct.unpack_from("<H", data)
            elif kind == _SHEET and len(data) >= 8:
                (start,) = struct.unpack_from("<I", data)
                found.setdefault(_name(data[6:], version), start)
        return found

    def _globals(self) -> Iterator[tuple[int, bytes]]:
        for kind, data in _records(self._stream, 0):
            if kind == _END:
                return
            yield kind, data

    def _cells(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the records of a sheet's cells that have a value; charts within the sheet have other ones."""
        depth = 0
        cells = (_NUMBER, _SHORT, _SHORTS, _RESULT, _TRUTH_OR_ERROR, *_TEXTS)
        for kind, data in _records(self._stream, self._sheets[name]):
            if kind == _BEGIN:
                depth += 1
            elif kind == _END:
                depth -= 1
                if depth <= 0:
                    return
            elif depth == 1 and kind in cells and len(data) >= 8:
                yield kind, data


def _records(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    end = len(stream) - 4
    while at <= end:
        kind, size = struct.unpack_from("<HH", stream, at)
        yield kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def _told(data: bytes) -> int:
    """Return how many cells a sheet is said to have; 0 where its reader does not believe it."""
    if len(data) not in (10, 14):
        return 0
    first_row, end_row, first, end = struct.unpack_from("<IIHH" if len(data) == 14 else "<HHHH", data)
    if not end_row or not end:
        return 1
    if first > 0xFF or end < first:
        first = 0
    # The reader counts in 32 bits, and an end before the start is a very large number there.
    rows: int = (end_row - first_row) % (1 << 32)
    columns: int = (end - first) % (1 << 32)
    return rows * columns


def _name(data: bytes, version: int) -> str:
    length = data[0]
    if version != _BIFF8:
        return data[1 : 1 + length].decode("latin-1")
    if data[1] & 1:
        return data[2 : 2 + 2 * length].decode("utf-16-le", "replace")
    return data[2 : 2 + length].decode("latin-1")


def _error(kind: int, data: bytes) -> int | None:
    if kind == _TRUTH_OR_ERROR and data[7] == 1:
        return data[6]
    if kind == _RESULT and data[12:14] == _NO_NUMBER and data[6] == _ERROR_RESULT:
        return data[8]
    return None


def _numbers(kind: int, data: bytes) -> Iterator[float]:
    if kind == _NUMBER or (kind == _RESULT and data[12:14] != _NO_NUMBER):
        if len(data) >= 14:
            yield struct.unpack_from("<d", data, 6)[0]
    elif kind == _SHORT:
        if len(data) >= 10:
            yield short_number(data[6:10])
    elif kind == _SHORTS:
        for at in range(6, len(data) - 5, 6):
            yield short_number(data[at : at + 4])

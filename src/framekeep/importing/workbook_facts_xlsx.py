"""What an .xlsx or .xlsm says about its sheets beside the values: see workbook_facts.

The XML of a sheet is searched, not parsed: a million cells take a tenth of what parsing them would. A text
that only looks like a cell (in a comment, say) can at most make a note too many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from posixpath import join, normpath
from typing import NamedTuple
from xml.etree import ElementTree

from framekeep.errors import FileTooLargeError
from framekeep.importing.containers import Archive
from framekeep.importing.model import MIB, Limits
from framekeep.importing.workbook_facts import SheetFacts, key, long_number, most_cells, not_a_date, position

_MOST_UNCUT = 64 * MIB  # of one cell; the longest text in Excel has 32,767 characters
_CELL = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_TYPE = re.compile(rb"""\bt=["'](\w+)["']""")


class _Patterns(NamedTuple):
    """What is searched for, with the prefix of the sheet's elements and the quotes of its attributes."""

    row: re.Pattern[bytes]
    unusual: re.Pattern[bytes]
    far: re.Pattern[bytes]
    unnamed: re.Pattern[bytes]
    error: re.Pattern[bytes]
    long: re.Pattern[bytes]
    has_long: re.Pattern[bytes]
    unfinished: re.Pattern[bytes]
    serial: re.Pattern[bytes]
    valued: re.Pattern[bytes]
    row_start: bytes
    cell_start: bytes
    cell_end: bytes
    formula: bytes
    has_error: bytes


@cache
def _patterns(prefix: bytes, quote: bytes) -> _Patterns:
    # What starts with several fixed bytes is found ten times as fast as what does not. And [^<>] and [^<] end
    # a search at the next tag, so that a hostile text costs no more than a friendly one.
    p = re.escape(prefix)
    formula = rb"(?:\s*<%bf(?:\s[^<>]*)?(?:/>|>[^<]*</%bf>))" % (p, p)
    cell = rb"<%bc\s([^<>]*)>" % p
    value = rb"%b?\s*<%bv(?:\s[^<>]*)?>" % (formula, p)
    return _Patterns(
        row=re.compile(rb"""<%brow\s(?:[^<>]*?\s)?r=["']([0-9]{1,9})["']""" % p),
        unusual=re.compile(rb"<%bc(?! r=%b[A-Z][0-9]{1,5}%b)(?![A-Za-z:.])" % (p, quote, quote)),
        far=re.compile(rb" r=%b(?:([A-Z]{2,3})([0-9]+)|[A-Z]([0-9]{6,}))" % quote),
        unnamed=re.compile(rb"<%bc(?![A-Za-z:.])(?! r=)" % p),
        error=re.compile(rb"""<%bc\s([^<>]*?\bt=["']e["'][^<>]*)>%b([^<]*)</""" % (p, value)),
        long=re.compile(rb"%b%b\s*([+-]?[0-9]{16,})\s*</" % (cell, value)),
        has_long=re.compile(rb"<%bv>[+-]?[0-9]{16}" % p),
        unfinished=re.compile(rb"%b%b\s*(<%bv\s*/>|<%bv>\s*</%bv>)?\s*</%bc>" % (cell, formula, p, p, p, p)),
        serial=re.compile(rb"%b%b\s*(-[^<]+|60(?:\.[^<]*)?)\s*</" % (cell, value)),
        valued=re.compile(rb"%b%b?\s*<%b(?:v|is)[\s>]" % (cell, formula, p)),
        row_start=b"<%brow" % prefix,
        cell_start=b"<%bc" % prefix,
        cell_end=b"</%bc>" % prefix,
        formula=b"<%bf" % prefix,
        has_error=b"t=%be%b" % (quote, quote),
    )


class XlsxFacts:
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
        part = self._workbook[1].get(name)
        if part is None:
            return None
        facts = SheetFacts()
        widest = 0
        unnamed_rows = 0
        for patterns, piece in self._pieces(part):
            facts.filled += piece.count(patterns.cell_end)
            unnamed_rows += _rows(patterns, piece, facts)
            widest = max(widest, _columns(patterns, piece, facts))
            _errors(patterns, piece, facts)
            if patterns.has_long.search(piece):
                _long(patterns, piece, facts)
            if patterns.formula in piece:
                _unfinished(patterns, piece, facts)
        facts.rows += unnamed_rows
        facts.columns = max(facts.columns, widest)
        if facts.rows * facts.columns > most_cells(self._limits):
            self._measure(part, facts)
        return facts

    def _measure(self, part: str, facts: SheetFacts) -> None:
        """Count only the cells that have a value: formats alone may go to the last cell there is."""
        rows = columns = 0
        for patterns, piece in self._pieces(part):
            for attributes in patterns.valued.findall(piece):
                cell = _key(attributes)
                if cell is None:
                    return  # without names there are no gaps, and the first count is right
                row, column = position(cell)
                rows = max(rows, row + 1)
                columns = max(columns, column + 1)
        facts.rows, facts.columns = rows, columns

    def serials(self, name: str) -> Mapping[int, float]:
        """See WorkbookFacts."""
        part = self._workbook[1].get(name)
        found: dict[int, float] = {}
        for patterns, piece in self._pieces(part) if part else ():
            for attributes, written in patterns.serial.findall(piece):
                cell = _key(attributes)
                if cell is not None and _is_number(attributes):
                    try:
                        number = float(written)
                    except ValueError:
                        continue
                    if not_a_date(number):
                        found[cell] = number
        return found

    @cached_property
    def _workbook(self) -> tuple[bool, dict[str, str]]:
        """Whether dates start in 1904, and which part of the archive each sheet is in."""
        with Archive(self._path, self._limits) as archive:
            main = workbook_part(archive, "xl/workbook.xml")
            if main is None:
                return False, {}
            parts = relations(archive, main)
            root = _xml(archive, main)
            if root is None:
                return False, {}
            from_1904 = False
            sheets: dict[str, str] = {}
            for element in root.iter():
                tag = _local(element.tag)
                if tag == "workbookPr":
                    from_1904 = element.get("date1904", "0") in ("1", "true", "on")
                elif tag == "sheet":
                    relation = next((v for k, v in element.attrib.items() if _local(k) == "id"), "")
                    part = parts.get(relation)
                    if part is not None:
                        sheets.setdefault(element.get("name", ""), part)
            return from_1904, sheets

    def _pieces(self, part: str) -> Iterator[tuple[_Patterns, bytes]]:
        """Yield the XML of a sheet in pieces that end where a cell ends."""
        patterns: _Patterns | None = None
        rest = b""
        with Archive(self._path, self._limits) as archive:
            for read in archive.pieces(part):
                piece = rest + read
                if patterns is None:
                    patterns = _patterns(_prefix(piece), b"'" if b" r='" in piece else b'"')
                cut = piece.rfind(patterns.cell_end)
                cut = cut + len(patterns.cell_end) if cut >= 0 else max(piece.rfind(b"<"), 0)
                rest = piece[cut:]
                if len(rest) > _MOST_UNCUT:
                    raise FileTooLargeError(f"A single cell has more than {_MOST_UNCUT // MIB} MB of text.")
                yield patterns, piece[:cut]
        if patterns is not None and rest:
            yield patterns, rest


def workbook_part(archive: Archive, default: str) -> str | None:
    """Return the part of a workbook that lists the sheets; None if there is none."""
    for kind, target in _relations(archive, "").values():
        if kind.endswith("/officeDocument"):
            found = archive.find(target)
            if found is not None:
                return found
    return archive.find(default)


def relations(archive: Archive, part: str) -> dict[str, str]:
    """Return the parts that a part refers to, by the id of the relation."""
    found = {name: archive.find(target) for name, (_, target) in _relations(archive, part).items()}
    return {name: target for name, target in found.items() if target is not None}


def _relations(archive: Archive, part: str) -> dict[str, tuple[str, str]]:
    folder, _, name = part.replace("\\", "/").rpartition("/")
    listed = archive.find(f"{folder}/_rels/{name}.rels")
    root = _xml(archive, listed) if listed is not None else None
    if root is None:
        return {}
    found = {}
    for element in root:
        target = element.get("Target", "").replace("\\", "/")
        whole = target if target.startswith("/") else normpath(join(folder, target))
        found[element.get("Id", "")] = (element.get("Type", ""), whole)
    return found


def _xml(archive: Archive, part: str) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(archive.read(part))
    except ElementTree.ParseError:
        return None  # the reader will say what is wrong


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _prefix(start: bytes) -> bytes:
    found = re.search(rb"<([\w.-]+:)?worksheet[\s>]", start[:65_536])
    return found[1] or b"" if found else b""


def _key(attributes: bytes) -> int | None:
    found = _CELL.search(attributes)
    return key(int(found[2]) - 1, _number(found[1])) if found else None


def _is_number(attributes: bytes) -> bool:
    found = _TYPE.search(attributes)
    return found is None or found[1] == b"n"


def _number(name: bytes) -> int:
    number = 0
    for letter in name:
        number = number * 26 + letter - 64
    return number - 1


def _rows(patterns: _Patterns, piece: bytes, facts: SheetFacts) -> int:
    """Take note of the last row; return how many rows there are besides that have no number."""
    numbers = patterns.row.findall(piece)
    if numbers:
        facts.rows = max(facts.rows, *map(int, numbers))
    return max(0, piece.count(patterns.row_start) - len(numbers))


def _columns(patterns: _Patterns, piece: bytes, facts: SheetFacts) -> int:
    """Take note of cells beyond column Z and row 99,999; return how wide the others make the sheet."""
    if patterns.unusual.search(piece) is None:
        return 26
    names: set[bytes] = set()
    rows: set[bytes] = set()
    for name, row, other in patterns.far.findall(piece):
        names.add(name)
        rows.add(row or other)
    if rows:  # a cell may say that it is elsewhere than its row
        facts.rows = max(facts.rows, *map(int, rows))
        facts.columns = max(facts.columns, *(_number(name) + 1 for name in names))
    if patterns.unnamed.search(piece) is None:
        return 26
    return max(26, *(row.count(patterns.cell_start) for row in piece.split(patterns.row_start)))


def _errors(patterns: _Patterns, piece: bytes, facts: SheetFacts) -> None:
    if patterns.has_error not in piece:
        return
    for attributes, code in patterns.error.findall(piece):
        cell = _key(attributes)
        if cell is not None:
            facts.errors.append(cell)
            facts.codes.append(code.decode("ascii", "replace")[:16])


def _long(patterns: _Patterns, piece: bytes, facts: SheetFacts) -> None:
    for attributes, written in patterns.long.findall(piece):
        cell = _key(attributes)
        digits = long_number(written)
        if cell is not None and digits is not None and _is_number(attributes):
            facts.digits[cell] = digits


def _unfinished(patterns: _Patterns, piece: bytes, facts: SheetFacts) -> None:
    for attributes, empty in patterns.unfinished.findall(piece):
        cell = _key(attributes)
        kind = _TYPE.search(attributes)
        is_empty_text = bool(empty) and kind is not None and kind[1] == b"str"
        if cell is not None and not is_empty_text:
            facts.unfinished.append(cell)

"""Files read in this process, as the child of an importer would, and workbooks that tests write by hand."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from framekeep.importing import readers
from framekeep.importing.model import ColumnReport, ImportOptions, Limits, Parsed, Preview
from framekeep.importing.spool import Spool

LIMITS = Limits()


@dataclass(frozen=True)
class Read:
    """A table that was read."""

    name: str
    typed: pa.Table
    text: pa.Table | None
    reports: tuple[ColumnReport, ...]
    notes: tuple[str, ...]

    def __getitem__(self, column: str) -> list[Any]:
        """Return the values of a column."""
        return self.typed[column].to_pylist()

    def types(self) -> dict[str, str]:
        """Return the type of each column."""
        return {report.name: report.type for report in self.reports}

    def reason(self, column: str) -> str:
        """Return why a column has its type."""
        return next(report.reason for report in self.reports if report.name == column)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.typed.num_rows, self.typed.num_columns

    def texts(self, column: str) -> list[str | None]:
        """Return a column of the text before typing."""
        assert self.text is not None
        return self.text[column].to_pylist()


def options_for(path: Path, limits: Limits, options: Mapping[str, Any]) -> ImportOptions:
    """Return the options with the format that is found."""
    wanted = ImportOptions(**options)
    return replace(wanted, format=readers.find(path, path.name, wanted, limits).format)


def parse(path: Path, *, limits: Limits = LIMITS, **options: Any) -> tuple[Parsed, tuple[Read, ...]]:
    """Read a file; return what its reader says, and the tables."""
    wanted = options_for(path, limits, options)
    with tempfile.TemporaryFile() as file, tempfile.TemporaryDirectory() as directory:
        spool = Spool(file, Path(directory))
        parsed = readers.read(path, wanted, limits, lambda part, what: None, spool)
        tables = []
        for table in parsed.tables:
            typed = spool.open(table.typed)
            text = None if table.text is None else spool.open(table.text)
            assert [report.name for report in table.columns] == typed.column_names
            assert [report.missing for report in table.columns] == [c.null_count for c in typed.columns]
            tables.append(Read(table.name, typed, text, table.columns, table.notes))
        return parsed, tuple(tables)


def read(path: Path, *, limits: Limits = LIMITS, **options: Any) -> Read:
    """Read a file that gives one table."""
    (table,) = parse(path, limits=limits, **options)[1]
    return table


def look(path: Path, *, limits: Limits = LIMITS, **options: Any) -> tuple[Preview, ...]:
    """Return the previews of a file."""
    return readers.preview(path, options_for(path, limits, options), limits, lambda part, what: None)


# --- .xlsx by hand ------------------------------------------------------------------------------------

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (  # 0 General, 1 a date, 2 a date with a time, 3 hours beyond 24, 4 a time of day
    f'<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="[h]:mm:ss"/></numFmts>'
    '<cellXfs count="5"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/><xf numFmtId="164"/>'
    '<xf numFmtId="21"/></cellXfs></styleSheet>'
)


def sheet_xml(rows: str, *, root: str = f'worksheet xmlns="{_MAIN}"') -> str:
    """Return a sheet with these rows."""
    return f"<?xml version='1.0' encoding='UTF-8'?><{root}><sheetData>{rows}</sheetData></worksheet>"


def handmade(
    path: Path,
    sheets: Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    properties: str = "",
    more: Mapping[str, str | bytes] | None = None,
) -> Path:
    """Write an .xlsx of the XML of its sheets."""
    listed = list(sheets.items() if isinstance(sheets, Mapping) else sheets)
    numbers = range(1, len(listed) + 1)
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'spreadsheetml.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">{properties}<sheets>'
        + "".join(
            f'<sheet name="{name}" sheetId="{number}" r:id="rId{number}"/>'
            for number, (name, _) in zip(numbers, listed, strict=True)
        )
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">'
        + "".join(
            f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" '
            f'Target="worksheets/sheet{number}.xml"/>'
            for number in numbers
        )
        + f'<Relationship Id="rId99" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": STYLES,
    }
    for number, (_, xml) in zip(numbers, listed, strict=True):
        parts[f"xl/worksheets/sheet{number}.xml"] = xml
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, **(more or {})}.items():
            archive.writestr(name, content)
    return path


def one_sheet(path: Path, rows: str, **more: Any) -> Path:
    """Write an .xlsx of one sheet, called Data."""
    return handmade(path, {"Data": sheet_xml(rows)}, **more)


def text_cell(reference: str, text: str) -> str:
    """Return a cell with a text."""
    return f'<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>'


# --- compound files, .xls and .xlsb by hand -----------------------------------------------------------


def compound(path: Path, streams: Mapping[str, bytes]) -> Path:
    """Write a compound (OLE) file; each stream gets the 4,096 bytes that keep it out of the mini one."""
    contents = {name: data + bytes(max(0, 4096 - len(data))) for name, data in streams.items()}
    free, end, fat_mark = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
    fat = [fat_mark, end]  # sector 0 is this table, sector 1 the directory
    entries = [_entry("Root Entry", 5, end, 0)]
    body = b""
    for name, data in contents.items():
        start, count = len(fat), -(-len(data) // 512)
        fat += [*range(start + 1, start + count), end]
        entries.append(_entry(name, 2, start, len(data)))
        body += data.ljust(count * 512, b"\0")
    assert len(fat) <= 128
    assert len(entries) <= 4
    fat += [free] * (128 - len(fat))
    directory = b"".join(entries).ljust(512, b"\0")
    header = struct.pack(
        "<8s16sHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", bytes(16), 62, 3, 0xFFFE, 9, 6,
        0, 1, 1, 0, 4096, end, 0, end, 0,
    )  # fmt: skip
    header += struct.pack("<109I", 0, *[free] * 108)
    path.write_bytes(header + struct.pack("<128I", *fat) + directory + body)
    return path


def _entry(name: str, kind: int, start: int, size: int) -> bytes:
    spelled = (name + "\0").encode("utf-16-le")
    return (
        spelled.ljust(64, b"\0")
        + struct.pack("<HBB", len(spelled), kind, 1)
        + struct.pack("<III", 0xFFFFFFFF, 0xFFFFFFFF, 1 if kind == 5 else 0xFFFFFFFF)
        + bytes(36)
        + struct.pack("<IQ", start, size)
    )


def biff(kind: int, data: bytes = b"") -> bytes:
    """Return a record of an .xls."""
    return struct.pack("<HH", kind, len(data)) + data


def biff_text(row: int, column: int, text: str) -> bytes:
    """Return a cell of an .xls with a text."""
    return biff(0x0204, struct.pack("<HHHHB", row, column, 0, len(text), 0) + text.encode("latin-1"))


def old_workbook(path: Path, cells: Iterable[bytes], *, properties: bytes = b"") -> Path:
    """Write an .xls with one sheet, called Data; formats 0 and 1 are General and a date."""
    begin = struct.pack("<HHHHII", 0x0600, 0x0005, 0, 0, 0, 0x0600)
    formats = b"".join(biff(0x00E0, struct.pack("<HH16x", 0, number)) for number in (0, 14))
    sheet = biff(0x0809, begin[:2] + b"\x10\0" + begin[4:]) + b"".join(cells) + biff(0x000A)
    name = b"\x04\0Data"

    def globals_for(start: int) -> bytes:
        listed = biff(0x0085, struct.pack("<IBB", start, 0, 0) + name)
        return biff(0x0809, begin) + properties + formats + listed + biff(0x000A)

    return compound(path, {"Workbook": globals_for(len(globals_for(0))) + sheet})


def binary_record(kind: int, data: bytes = b"") -> bytes:
    """Return a record of an .xlsb."""
    head = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size = len(data)
    assert size < 1 << 14
    return head + (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + data


def binary_cell(kind: int, column: int, value: bytes) -> bytes:
    """Return a cell of an .xlsb."""
    return binary_record(kind, struct.pack("<II", column, 0) + value)


def binary_text(text: str) -> bytes:
    """Return a text as .xlsb has it."""
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def binary_workbook(path: Path, rows: Iterable[Iterable[bytes]], *, from_1904: bool = False) -> Path:
    """Write an .xlsb with one sheet, called Data."""
    sheet = binary_record(0x81) + binary_record(0x94, struct.pack("<IIII", 0, 9, 0, 9)) + binary_record(0x91)
    for number, cells in enumerate(rows):
        sheet += binary_record(0, struct.pack("<I", number) + bytes(13)) + b"".join(cells)
    sheet += binary_record(0x92) + binary_record(0x82)
    book = binary_record(0x83) + binary_record(0x99, struct.pack("<III", int(from_1904), 0, 0))
    listed = struct.pack("<II", 0, 1) + binary_text("rId1") + binary_text("Data")
    book += binary_record(0x8F) + binary_record(0x9C, listed) + binary_record(0x90) + binary_record(0x84)
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.bin"/></Relationships>',
        "xl/_rels/workbook.bin.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>',
        "xl/workbook.bin": book,
        "xl/worksheets/sheet1.bin": sheet,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


# --- .ods by hand -------------------------------------------------------------------------------------


def open_document(path: Path, rows: str, *, name: str = "Data", manifest: str = "") -> Path:
    """Write an .ods of the XML of its rows."""
    names = "".join(
        f' xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{urn}:1.0"'
        for prefix, urn in (("office", "office"), ("table", "table"), ("text", "text"))
    )
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{names} xmlns:calcext="urn:calcext">'
        f'<office:body><office:spreadsheet><table:table table:name="{name}">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "mimetype", "application/vnd.oasis.opendocument.spreadsheet", compress_type=zipfile.ZIP_STORED
        )
        archive.writestr("META-INF/manifest.xml", f"<manifest:manifest>{manifest}</manifest:manifest>")
        archive.writestr("content.xml", content)
    return path


def ods_row(*cells: str, repeated: int = 1) -> str:
    """Return a row of an .ods."""
    return f'<table:table-row table:number-rows-repeated="{repeated}">{"".join(cells)}</table:table-row>'


def ods_text(text: str, more: str = "") -> str:
    """Return a cell of an .ods with a text."""
    return f'<table:table-cell office:value-type="string"{more}><text:p>{text}</text:p></table:table-cell>'


def ods_number(number: str, more: str = "") -> str:
    """Return a cell of an .ods with a number."""
    return f'<table:table-cell office:value-type="float" office:value="{number}"{more}/>'


def smaller(**limits: int) -> Limits:
    """Return limits with some that are smaller than usual."""
    return replace(LIMITS, **limits)

"""What the first bytes of a file say it is: signatures of many formats, also of those that are not read.

Knows nothing of names and options.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAVE_PARQUET = "Save it as Parquet, Arrow or CSV there and send that."
_UNPACK = "Unpack it, and send what is in it."


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is.

    Attributes:
        format: one of model.FORMATS; None if it is not read.
        what: names it, in the middle of a sentence.
        advice: what to do with one that is not read.
    """

    format: str | None
    what: str
    advice: str = ""


NAMES = {
    "csv": "CSV text",
    "tsv": "tab-separated text",
    "text": "text",
    "json": "JSON",
    "jsonl": "JSON lines",
    "xlsx": "an Excel workbook (.xlsx)",
    "xlsm": "an Excel workbook with macros (.xlsm)",
    "xlsb": "a binary Excel workbook (.xlsb)",
    "xls": "an Excel 97-2003 workbook (.xls)",
    "ods": "an OpenDocument spreadsheet (.ods)",
    "parquet": "a Parquet file",
    "arrow": "an Arrow or Feather file",
    "sav": "an SPSS file (.sav)",
    "dta": "a Stata file (.dta)",
    "sas7bdat": "a SAS file (.sas7bdat)",
    "xpt": "a SAS transport file (.xpt)",
}


def known(format: str) -> Kind:
    """Return the kind of a format that is read."""
    return Kind(format, NAMES[format])


_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", known("parquet")),
    (b"PARE", Kind(None, "an encrypted Parquet file", "Write it without encryption and send that.")),
    (b"ARROW1", known("arrow")),
    (b"FEA1", known("arrow")),
    (b"\xff\xff\xff\xff", known("arrow")),  # a stream begins with this and the length of its schema
    (b"$FL2", known("sav")),
    (b"$FL3", known("sav")),
    (bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92\x08\x00\x09\xc7\x31\x8c", known("sas7bdat")),
    (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!", known("xpt")),
    (b"HEADER RECORD*******LIBV8   HEADER RECORD!!!!!!!", known("xpt")),
    (b"<stata_dta>", known("dta")),
    (b"ORC", Kind(None, "an ORC file", _SAVE_PARQUET)),
    (b"Obj\x01", Kind(None, "an Avro file", _SAVE_PARQUET)),
    (b"SQLite format 3\0", Kind(None, "an SQLite database", "Export its tables as CSV.")),
    (b"\x89HDF\r\n\x1a\n", Kind(None, "an HDF5 file", _SAVE_PARQUET)),
    (b"CDF\x01", Kind(None, "a NetCDF file", _SAVE_PARQUET)),
    (b"CDF\x02", Kind(None, "a NetCDF file", _SAVE_PARQUET)),
    (b"\x93NUMPY", Kind(None, "a NumPy array", _SAVE_PARQUET)),
    (b"MATLAB 5.0 MAT-file", Kind(None, "a MATLAB file", "Write the table as CSV there.")),
    (b"RDX2\n", Kind(None, "an R data file", "Write the table with write.csv or arrow::write_parquet.")),
    (b"RDX3\n", Kind(None, "an R data file", "Write the table with write.csv or arrow::write_parquet.")),
    (b"RDA3\n", Kind(None, "an R data file", "Write the table with write.csv or arrow::write_parquet.")),
    (b"X\n\0\0\0", Kind(None, "an R object", "Write the table with write.csv or arrow::write_parquet.")),
    (b"DUCK", Kind(None, "a DuckDB database", "Export its tables as Parquet.")),
    (b"Salted__", Kind(None, "an encrypted file", "Decrypt it first.")),
    (b"-----BEGIN PGP", Kind(None, "an encrypted file", "Decrypt it first.")),
    (b"%PDF-", Kind(None, "a PDF document", "Copy its table into a spreadsheet, or export the data as CSV.")),
    (b"{\\rtf", Kind(None, "an RTF document", "Export the data as CSV.")),
    (b"\x89PNG\r\n", Kind(None, "a picture (PNG)", "Send the data themselves.")),
    (b"\xff\xd8\xff", Kind(None, "a picture (JPEG)", "Send the data themselves.")),
    (b"GIF87a", Kind(None, "a picture (GIF)", "Send the data themselves.")),
    (b"GIF89a", Kind(None, "a picture (GIF)", "Send the data themselves.")),
    (b"7z\xbc\xaf\x27\x1c", Kind(None, "a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", Kind(None, "a RAR archive", _UNPACK)),
    (b"\x04\x22\x4d\x18", Kind(None, "an LZ4 file", _UNPACK)),
    (b"\x1f\x9d", Kind(None, "a file packed with compress (.Z)", _UNPACK)),
    (b"\xff\x06\x00\x00sNaPpY", Kind(None, "a Snappy file", _UNPACK)),
    (b"\x7fELF", Kind(None, "a program", "Send the data themselves.")),
    (b"MZ\x90\0", Kind(None, "a program", "Send the data themselves.")),
    (b"ID;PWXL", Kind(None, "a SYLK spreadsheet", "Save it as .xlsx or CSV.")),
    (b"TABLE\r\n0,1\r\n", Kind(None, "a DIF spreadsheet", "Save it as .xlsx or CSV.")),
    (b"\x09\x00\x04\x00", Kind(None, "an Excel 2 workbook", "Save it as .xlsx.")),
    (b"\x09\x02\x06\x00", Kind(None, "an Excel 3 workbook", "Save it as .xlsx.")),
    (b"\x09\x04\x06\x00", Kind(None, "an Excel 4 workbook", "Save it as .xlsx.")),
    (b"\0\0\x02\0\x06\x04\x06\0", Kind(None, "a Lotus 1-2-3 worksheet", "Save it as .xlsx or CSV.")),
)  # fmt: skip
_PICKLE = Kind(
    None,
    "a Python pickle",
    "A pickle can run any code when it is read, so it never is. Write the table as Parquet.",
)
_HTML = Kind(None, "an HTML page", "Perhaps a page to log in was saved instead of the file. Send the data.")
_EXCEL_XML = Kind(None, "an Excel 2003 XML spreadsheet", "Save it as .xlsx.")
_FLAT_ODS = Kind(None, "a flat OpenDocument file", "Save it as .ods.")
_XML = Kind(None, "XML", "Export the data as CSV or JSON.")
_PORTABLE_SPSS = Kind(None, "a portable SPSS file (.por)", "Save it as .sav.")

_UTF_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_CONTROL = bytes(c for c in range(32) if c not in (9, 10, 11, 12, 13, 26, 27))  # 27: ISO-2022 text has it


def recognize(start: bytes) -> Kind | None:
    """Say what a file is that begins like this; None if it is text, or nothing that is known.

    Args:
        start: its first bytes; some hundreds are enough.
    """
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return kind
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return _PICKLE
    if 104 <= (start[:1] or b"\0")[0] <= 115 and start[1:4] in (b"\x01\x01\0", b"\x02\x01\0"):
        return known("dta")  # of Stata 5 to 12: version, byte order, type of file
    if b"SPSS PORT FILE" in start[:512]:
        return _PORTABLE_SPSS
    return _marked_up(start)


def _marked_up(start: bytes) -> Kind | None:
    """Say what a file is that begins with a tag."""
    head = start[:4096].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if not head.startswith(b"<"):
        return None
    if re.match(rb"<(!doctype html|html|head|body|table|script|meta)\b", head):
        return _HTML
    if head.startswith(b"<?xml"):
        if b"urn:schemas-microsoft-com:office:spreadsheet" in head:
            return _EXCEL_XML
        if b"office:document" in head:
            return _FLAT_ODS
        return _HTML if b"<html" in head else _XML
    return None


def is_text(start: bytes) -> bool:
    """Say whether a file that begins like this may be text, in whatever encoding."""
    if not start or start.startswith(_UTF_BOMS):
        return True
    zeros = start.count(0)
    if zeros >= max(4, len(start) // 8) and _wide(start):
        return True
    return len(start) - len(start.translate(None, _CONTROL)) <= max(1, len(start) // 50)


def _wide(start: bytes) -> bool:
    """Say whether the zeros are where UTF-16 or UTF-32 without a mark has them."""
    start = start[: len(start) // 4 * 4]
    if not start:
        return False
    zeros = [start[offset::4].count(0) * 4 / len(start) for offset in range(4)]
    if zeros[0] + zeros[2] < 0.05 or zeros[1] + zeros[3] < 0.05:  # UTF-16
        return True
    high = (zeros[0] + zeros[1], zeros[2] + zeros[3])
    return max(high) > 1.9 and max(zeros) > 0.9 and min(zeros) < 0.5  # UTF-32

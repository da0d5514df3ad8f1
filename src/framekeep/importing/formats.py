"""Finds out what a file is: by what is in it, and only where that leaves it open by its name.

A file whose name says something else is read as what it is, with a note. What is not read is named in the
error. Knows the containers of the formats, nothing of their tables.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    PasswordProtectedError,
    UnknownFormatError,
)
from framekeep.importing import packed
from framekeep.importing.containers import OLE_MAGIC, Archive, Compound
from framekeep.importing.magic import NAMES, Kind, is_text, known, recognize
from framekeep.importing.model import JSON_FORMATS, TEXT_FORMATS, Found, ImportOptions, Limits
from framekeep.importing.workbook_facts_xls import STREAMS

READS = (
    "CSV, TSV and other delimited text, JSON and JSON lines, Excel (.xlsx, .xlsm, .xlsb, .xls), OpenDocument "
    "(.ods), Parquet, Arrow and Feather, SPSS (.sav), Stata (.dta) and SAS (.sas7bdat, .xpt)"
)

_SUFFIXES = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
    ".txt": "text", ".text": "text", ".dat": "text", ".asc": "text", ".prn": "text", ".psv": "text",
    ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".xlsx": "xlsx", ".xltx": "xlsx", ".xlsm": "xlsm", ".xltm": "xlsm", ".xlam": "xlsm",
    ".xlsb": "xlsb", ".xls": "xls", ".xlt": "xls", ".ods": "ods", ".ots": "ods",
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet",
    ".arrow": "arrow", ".arrows": "arrow", ".ipc": "arrow", ".feather": "arrow", ".ftr": "arrow",
    ".sav": "sav", ".zsav": "sav", ".dta": "dta", ".sas7bdat": "sas7bdat", ".xpt": "xpt", ".xport": "xpt",
}  # fmt: skip
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".zip")
_PICKLES = (".pkl", ".pickle", ".p")
_TEXTUAL = (*TEXT_FORMATS, *JSON_FORMATS)
_SAME = ({"xlsx", "xlsm"}, set(TEXT_FORMATS))


def find(path: Path, filename: str, options: ImportOptions, limits: Limits) -> Found:
    """Say what the file at ``path`` is that the user calls ``filename``.

    Raises:
        UnknownFormatError: it is nothing that is read, or not what ``options.format`` says.
        EmptyFileError: there is nothing in it.
        PasswordProtectedError: it is an encrypted workbook.
        DamagedFileError: it is cut short.
    """
    with path.open("rb") as file:
        start = file.read(packed.START)
    if not start:
        raise EmptyFileError("The file is empty: it has no bytes.")
    suffix, compression = _suffix(filename), packed.wrapping(start)
    notes: tuple[str, ...] = ()
    kind = _contained(path, start, limits)
    if kind is None and compression is not None:
        inside = packed.look(path, limits)
        start = inside.start
        suffix = _suffix(inside.name) or suffix
        kind = _unpacked(start, compression)
    else:
        compression = None
        packed.refuse_archive(start)
        kind = kind or recognize(start)
        notes = _unpacked_already(filename)
    if kind is None:
        kind = _plain(start, suffix, options.format)
    if kind.format is None:
        raise UnknownFormatError(f"The file is {kind.what}, which is not read. {kind.advice}")
    _check_end(path, kind.format, start)
    _check_wanted(kind, options.format)
    if options.format in _TEXTUAL:
        return Found(options.format, compression)
    if suffix in _SUFFIXES and not _same(kind.format, _SUFFIXES[suffix]):
        notes += (f"The name ends in {suffix}, but the file is {kind.what}, and was read as that.",)
    return Found(kind.format, compression, notes)


def _contained(path: Path, start: bytes, limits: Limits) -> Kind | None:
    """Say what a zip or a compound file is; None if it is neither, or just a wrapping."""
    if start.startswith(OLE_MAGIC):
        return _compound(path)
    if packed.wrapping(start) == "zip":
        return _zip(path, limits)
    return None


def _compound(path: Path) -> Kind:
    with Compound(path) as compound:
        names = compound.names
    if "EncryptedPackage" in names:
        raise PasswordProtectedError(
            "The workbook is password-protected. Remove the password and send it again, without one."
        )
    if any(name in names for name in STREAMS):
        return known("xls")
    if "WordDocument" in names:
        return Kind(None, "a Word document", "Copy its table into a spreadsheet and send that.")
    if "PowerPoint Document" in names:
        return Kind(None, "a PowerPoint presentation", "Copy its table into a spreadsheet and send that.")
    return Kind(None, "an Office file without a workbook", "Save the table as .xlsx or CSV.")


def _zip(path: Path, limits: Limits) -> Kind | None:
    with Archive(path, limits) as archive:
        names = {name.replace("\\", "/").lower() for name in archive.names}
        mime = archive.read("mimetype", 200) if "mimetype" in archive.names else b""
        listed = archive.find("[Content_Types].xml")
        types = b"" if listed is None else archive.read(listed)
    if mime.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        return known("ods")
    if mime.startswith(b"application/vnd.oasis.opendocument"):
        return Kind(None, "an OpenDocument file that is no spreadsheet", "Save the table as .ods or CSV.")
    if "word/document.xml" in names:
        return Kind(None, "a Word document", "Copy its table into a spreadsheet and send that.")
    if "ppt/presentation.xml" in names:
        return Kind(None, "a PowerPoint presentation", "Copy its table into a spreadsheet and send that.")
    if any(name.endswith("workbook.bin") for name in names):
        return known("xlsb")
    if b"ms-excel.sheet.macroEnabled" in types or b"ms-excel.template.macroEnabled" in types:
        return known("xlsm")
    if b"spreadsheetml" in types or "xl/workbook.xml" in names:
        return known("xlsx")
    if any(name.endswith(".iwa") for name in names) or "index.zip" in names:
        return Kind(None, "an Apple Numbers file", "Export it as .xlsx or CSV.")
    if names and all(name.endswith(".npy") for name in names):
        return Kind(None, "an archive of NumPy arrays", "Save them as Parquet or CSV.")
    return None


def _unpacked(start: bytes, compression: str) -> Kind | None:
    """Say what is in a wrapping, and refuse what is not text: only that is read out of one."""
    if not start:
        raise EmptyFileError(f"The {compression} file has nothing in it.")
    packed.refuse_archive(start)
    kind = recognize(start)
    if kind is None and (start.startswith(OLE_MAGIC) or packed.wrapping(start) is not None):
        kind = Kind(None, "a packed file, packed again" if packed.wrapping(start) else "an Office file")
    if kind is None:
        return None
    advice = kind.advice if kind.format is None and kind.advice else "Unpack it, and send what is in it."
    return Kind(None, f"{kind.what} in {compression}", advice)


def _unpacked_already(filename: str) -> tuple[str, ...]:
    """Return what there is to say on a file that is not packed, but may be named as if it was."""
    outer = PurePosixPath(filename.replace("\\", "/")).suffix.lower()
    if outer == ".zip":
        raise DamagedFileError("The name ends in .zip, but the file is no zip archive. Send it again.")
    if outer in _PACKED:
        return (f"The name ends in {outer}, but the file is not packed; it was read as it is.",)
    return ()


def _plain(start: bytes, suffix: str, wanted: str | None) -> Kind:
    """Say what a file without a signature is: which text, mostly by its name."""
    named = _SUFFIXES.get(suffix)
    if suffix in _PICKLES:
        return Kind(
            None, "a Python pickle by its name",
            "A pickle can run any code when it is read, so it never is. Write the table as Parquet.",
        )  # fmt: skip
    if named not in _TEXTUAL and not is_text(start):  # what is named as text, its reader refuses better
        if named is not None:
            if named == "arrow" and wanted in (None, "arrow"):
                return known("arrow")  # a stream of before 2019 has no signature
            raise DamagedFileError(
                f"The name ends in {suffix}, but the file is not {NAMES[named]}: it is damaged, or "
                f"something else."
            )
        raise UnknownFormatError(
            f"The file is not text, nor in another format that is read. Readable are {READS}."
        )
    if named in JSON_FORMATS:
        return known(named)
    found = _json(start)
    if found is not None and (named is None or named == "text" or _is_bare(start)):
        return known(found)
    return known(named if named in TEXT_FORMATS else "text")


def _json(start: bytes) -> str | None:
    """Say whether text begins like JSON (or JSON lines), which no table in text does by chance."""
    head = _head(start)
    line, _, rest = head.partition(b"\n")
    if _is_json(line):
        return "jsonl" if line[:1] == b"{" and rest.lstrip()[:1] == b"{" else "json"
    after = head[1:].lstrip()[:1]
    if (head[:1] == b"{" and after in (b'"', b"}")) or (head[:1] == b"[" and after in (b"{", b"[", b"]")):
        return "json"
    return None


def _is_bare(start: bytes) -> bool:
    """Say whether the first line is JSON as no header of a table is: an opening bracket, or an object."""
    line = _head(start).partition(b"\n")[0].strip()
    return line in (b"{", b"[", b"[{") or (line.startswith((b"{", b"[{")) and _is_json(line))


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def _head(start: bytes) -> bytes:
    return start.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")


def _check_end(path: Path, format: str, start: bytes) -> None:
    """Raise DamagedFileError if a format's signature is not at the end of the file, where it is, too."""
    signature = {"parquet": b"PAR1", "arrow": b"ARROW1"}.get(format)
    if signature is None or not start.startswith(signature):
        return
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(signature)))
        end = file.read()
    if end == b"PARE":
        raise PasswordProtectedError("The Parquet file is encrypted. Write it without and send that.")
    if end != signature or size < 2 * len(signature):
        raise DamagedFileError(
            f"The file begins like {NAMES[format]}, but is cut short: its end is missing. Send it again."
        )


def _check_wanted(kind: Kind, wanted: str | None) -> None:
    if wanted is None or kind.format is None or _same(kind.format, wanted):
        return
    if kind.format in _TEXTUAL and wanted in _TEXTUAL:
        return
    raise UnknownFormatError(
        f"The file is to be read as {NAMES[wanted]}, but it is {kind.what}. Leave the format open, or send "
        f"another file."
    )


def _same(one: str, other: str) -> bool:
    return one == other or any({one, other} <= group for group in _SAME)


def _suffix(name: str) -> str:
    """Return the suffix that names the format: of data.csv.gz it is .csv."""
    whole = PurePosixPath(name.replace("\\", "/"))
    suffix = whole.suffix.lower()
    return PurePosixPath(whole.stem).suffix.lower() if suffix in _PACKED else suffix

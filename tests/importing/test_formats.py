"""What a file is, by its content first; what is not read is named, and why."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pytest
from pyarrow import orc

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    PasswordProtectedError,
    UnknownFormatError,
    UnreadableFileError,
)
from framekeep.importing.formats import find
from framekeep.importing.magic import is_text, recognize
from framekeep.importing.model import Found, ImportOptions, Limits

from .reading import compound, old_workbook, one_sheet, text_cell

LIMITS = Limits()
TEXT = b"a,b\n1,2\n"


def found(path: Path, content: bytes, name: str = "data", **options: str) -> Found:
    """Say what a file with this content is that the user calls ``name``."""
    path = path / "upload"
    path.write_bytes(content)
    return find(path, name, ImportOptions(**options), LIMITS)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def workbook() -> bytes:
    file = io.BytesIO()
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.save(file)
    return file.getvalue()


# --- text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.csv", "csv"), ("A.CSV", "csv"), ("a.tsv", "tsv"), ("a.tab", "tsv"), ("a.txt", "text"),
        ("a", "text"), ("a.log", "text"), ("..\\a.csv", "csv"),
    ],
)  # fmt: skip
def test_text_is_what_its_name_says(tmp_path: Path, name: str, format: str) -> None:
    assert found(tmp_path, TEXT, name) == Found(format)


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx", "a.parquet", "a.sav"])
def test_text_with_the_name_of_something_else_is_text_with_a_note(tmp_path: Path, name: str) -> None:
    file = found(tmp_path, TEXT, name)
    assert file.format == "text"
    assert file.notes == (f"The name ends in {name[1:]}, but the file is text, and was read as that.",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_text_is_text(tmp_path: Path, encoding: str) -> None:
    content = "name,city\nJosé,München\nÅsa,Örebro\n".encode(encoding)
    assert found(tmp_path, content).format == "text"


@pytest.mark.parametrize(
    ("content", "name", "format"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "a.jsonl", "jsonl"),
        (b'{"a": 1}\n{"a": 2}\n', "a", "jsonl"),
        (b'{"a": 1}\n', "a", "json"),
        (b'[\n  {"a": 1}\n]', "a", "json"),
        (b'\xef\xbb\xbf [{"a": 1}]', "a.txt", "json"),
        ('[{"a": 1}]'.encode("utf-16"), "a", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "a.csv", "jsonl"),
        (b'[{"a": 1}]', "a.csv", "json"),
        (b"a,b\n", "a.json", "json"),
        (b'{"a","b"}\n1,2\n', "a.csv", "csv"),
        (b"[1],b\n", "a.csv", "csv"),
        (b"{a,b\n", "a", "text"),
        (b"[" * 50_000, "a.csv", "csv"),
    ],
)
def test_json_is_told_from_other_text(tmp_path: Path, content: bytes, name: str, format: str) -> None:
    assert found(tmp_path, content, name).format == format


def test_the_user_may_say_which_text_it_is(tmp_path: Path) -> None:
    assert found(tmp_path, TEXT, "a.csv", format="tsv") == Found("tsv")
    assert found(tmp_path, b"[1]", "a.json", format="csv") == Found("csv")


# --- wrapped text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (bz2.compress(TEXT), "bzip2"),
        (lzma.compress(TEXT), "xz"),
        (pa.compress(TEXT, "zstd", asbytes=True), "zstd"),
        (zipped({"folder/inner.tsv": TEXT, "__MACOSX/._inner.tsv": b"x"}), "zip"),
    ],
)
def test_text_in_a_wrapping_is_told_with_it(tmp_path: Path, content: bytes, compression: str) -> None:
    file = found(tmp_path, content, "a.csv")
    assert file == Found("tsv" if compression == "zip" else "csv", compression)


def test_a_name_says_more_than_the_wrapping(tmp_path: Path) -> None:
    assert found(tmp_path, gzip.compress(TEXT, mtime=0), "a.tsv.gz") == Found("tsv", "gzip")
    assert found(tmp_path, gzip.compress(TEXT, mtime=0), "a.gz") == Found("text", "gzip")


def test_a_file_that_was_unpacked_on_its_way_is_read_with_a_note(tmp_path: Path) -> None:
    file = found(tmp_path, TEXT, "a.csv.gz")
    assert (file.format, file.compression) == ("csv", None)
    assert "not packed" in file.notes[0]


def test_what_is_called_zip_and_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match="no zip archive"):
        found(tmp_path, TEXT, "a.zip")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (gzip.compress(workbook(), mtime=0), r"packed again in gzip.*Unpack it"),
        (zipped({"a.xlsx": workbook()}), r"packed again in zip.*Unpack it"),
        (gzip.compress(b"PAR1" + bytes(50) + b"PAR1", mtime=0), r"a Parquet file in gzip.*Unpack it"),
        (gzip.compress(pickle.dumps([1]), mtime=0), r"a Python pickle in gzip.*can run any code"),
        (zipped({"a.csv": TEXT, "b.csv": TEXT}), r"2 files in it: 'a.csv', 'b.csv'"),
    ],
)
def test_what_is_wrapped_and_no_text_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    with pytest.raises(UnreadableFileError, match=match):
        found(tmp_path, content)


def test_archives_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    for content in (file.getvalue(), gzip.compress(file.getvalue(), mtime=0)):
        with pytest.raises(UnknownFormatError, match="tar archive"):
            found(tmp_path, content)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0), zipped({}), zipped({"a.csv": b""})])
def test_nothing_is_told_as_that(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(EmptyFileError):
        found(tmp_path, content, "a.csv")


# --- workbooks and files of columns -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.xlsx", "a.csv", "a", "a.xls"])
def test_a_workbook_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    file = found(tmp_path, workbook(), name)
    assert file.format == "xlsx"
    assert bool(file.notes) == (name in ("a.csv", "a.xls"))


def test_a_workbook_with_macros_is_one(tmp_path: Path) -> None:
    types = "<Types><Override ContentType='application/vnd.ms-excel.sheet.macroEnabled.main+xml'/></Types>"
    path = one_sheet(tmp_path / "a.xlsm", text_cell("A1", "a"), more={"[Content_Types].xml": types})
    assert find(path, "a.xlsm", ImportOptions(), LIMITS) == Found("xlsm")
    assert find(path, "a.xlsx", ImportOptions(format="xlsx"), LIMITS).format == "xlsm"


def test_an_old_workbook_is_told_by_its_content(tmp_path: Path) -> None:
    path = old_workbook(tmp_path / "a.csv", [])
    file = find(path, "a.csv", ImportOptions(), LIMITS)
    assert file.format == "xls"
    assert "an Excel 97-2003 workbook" in file.notes[0]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (zipped({"word/document.xml": b"<x/>", "[Content_Types].xml": b"<Types/>"}), "a Word document"),
        (zipped({"ppt/presentation.xml": b"<x/>"}), "a PowerPoint presentation"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.text"}), "OpenDocument file that is no"),
        (zipped({"Index/Document.iwa": b"x"}), "Apple Numbers"),
        (zipped({"a.npy": b"x", "b.npy": b"x"}), "NumPy arrays"),
    ],
)
def test_other_documents_in_zips_are_named(tmp_path: Path, content: bytes, match: str) -> None:
    with pytest.raises(UnknownFormatError, match=match):
        found(tmp_path, content)


@pytest.mark.parametrize(
    ("stream", "match"),
    [
        ("WordDocument", "a Word document"),
        ("PowerPoint Document", "a PowerPoint presentation"),
        ("Contents", "without a workbook"),
    ],
)
def test_other_old_documents_are_named(tmp_path: Path, stream: str, match: str) -> None:
    path = compound(tmp_path / "a.xls", {stream: b"x"})
    with pytest.raises(UnknownFormatError, match=match):
        find(path, "a.xls", ImportOptions(), LIMITS)


def test_an_encrypted_workbook_is_told_before_it_is_read(tmp_path: Path) -> None:
    path = compound(tmp_path / "a.xlsx", {"EncryptedPackage": b"x"})
    with pytest.raises(PasswordProtectedError):
        find(path, "a.xlsx", ImportOptions(), LIMITS)


@pytest.mark.parametrize(
    ("start", "format"),
    [
        (b"PAR1", "parquet"),
        (b"ARROW1\0\0", "arrow"),
        (b"FEA1", "arrow"),
        (b"\xff\xff\xff\xff\x10\0\0\0", "arrow"),
        (b"$FL2@(#) SPSS", "sav"),
        (b"$FL3@(#) SPSS", "sav"),
        (b"<stata_dta><header>", "dta"),
        (b"\x72\x02\x01\x00", "dta"),
        (b"HEADER RECORD*******LIBRARY HEADER RECORD!!!!!!!000", "xpt"),
        (bytes(12) + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011"), "sas7bdat"),
    ],
)
def test_formats_are_known_by_their_start(start: bytes, format: str) -> None:
    kind = recognize(start + bytes(100))
    assert kind is not None
    assert kind.format == format


@pytest.mark.parametrize("start", [b"PAR1", b"ARROW1\0\0"])
def test_a_file_without_its_end_is_refused(tmp_path: Path, start: bytes) -> None:
    with pytest.raises(DamagedFileError, match="cut short"):
        found(tmp_path, start + bytes(100), "a.parquet")


# --- what is not read ---------------------------------------------------------------------------------


def database(path: Path) -> bytes:
    with sqlite3.connect(path / "a.db") as connection:
        connection.execute("create table a (b)")
    connection.close()
    return (path / "a.db").read_bytes()


def orc_file(path: Path) -> bytes:
    orc.write_table(pa.table({"a": [1]}), path / "a.orc")
    return (path / "a.orc").read_bytes()


def array_file(path: Path) -> bytes:
    np.save(path / "a.npy", np.arange(3))
    return (path / "a.npy").read_bytes()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (database, "an SQLite database"),
        (orc_file, "an ORC file"),
        (array_file, "a NumPy array"),
        (lambda path: b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (lambda path: b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
        (lambda path: b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file"),
        (lambda path: b"  <!DOCTYPE html><html><body>Log in", "an HTML page.*log in"),
        (lambda path: b"\xef\xbb\xbf<table><tr><td>1", "an HTML page"),
        (lambda path: "<html>".encode("utf-16"), "an HTML page"),
        (lambda path: b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
         "an Excel 2003 XML spreadsheet.*Save it as .xlsx"),
        (lambda path: b'<?xml version="1.0"?><rows/>', "XML"),
        (lambda path: b"7z\xbc\xaf\x27\x1c" + bytes(20), "a 7z archive"),
        (lambda path: b"\x7fELF" + bytes(20), "a program"),
        (lambda path: b"\x09\x04\x06\x00\x00\x00", "an Excel 4 workbook"),
        (lambda path: pickle.dumps({"a": 1}, 5), "a Python pickle.*can run any code"),
        (lambda path: b"ASCII SPSS PORT FILE" + b" " * 100, "a portable SPSS file"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(tmp_path: Path, make: object, match: str) -> None:
    assert callable(make)
    with pytest.raises(UnknownFormatError, match=match):
        found(tmp_path, make(tmp_path), "a.csv")


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle"])
def test_a_pickle_of_letters_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownFormatError, match="can run any code"):
        found(tmp_path, pickle.dumps([1], 0), name)


def test_rubbish_is_refused(tmp_path: Path) -> None:
    rubbish = bytes(range(256)) * 4
    with pytest.raises(UnknownFormatError, match="not text, nor in another format"):
        found(tmp_path, rubbish, "a")
    with pytest.raises(DamagedFileError, match=r"ends in \.xlsx, but the file is not an Excel workbook"):
        found(tmp_path, rubbish, "a.xlsx")


def test_a_format_that_the_file_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="read as CSV text, but it is an Excel workbook"):
        found(tmp_path, workbook(), "a.xlsx", format="csv")
    with pytest.raises(UnknownFormatError, match="read as a Parquet file, but it is text"):
        found(tmp_path, TEXT, "a.txt", format="parquet")


@pytest.mark.parametrize("size", [1, 30, 200, 1000])
def test_a_zip_that_is_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(DamagedFileError, match="cut short or damaged"):
        found(tmp_path, workbook()[: -size or None], "a.xlsx")


def test_no_error_says_what_is_in_the_file(tmp_path: Path) -> None:
    for content in (b"secret\0\1\2\3" * 9, json.dumps("secret").encode() + b"\0" * 99):
        with pytest.raises(UnreadableFileError) as refused:
            found(tmp_path, content, "a.xlsx")
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "shift-jis", "iso-2022-jp", "big5", "cp1252", "koi8-r"]
)
def test_text_in_many_encodings_may_be_text(encoding: str) -> None:
    words = {"latin-1": "Åsa,é", "cp1252": "€,“é”", "koi8-r": "имя,город", "utf-8": "имя,城市"}
    assert is_text((words.get(encoding, "日本,山") + "\r\n1\t2\x1a").encode(encoding))

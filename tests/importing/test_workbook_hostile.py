"""Workbooks that are damaged, too large, or made to do harm are refused, and the text says what and where."""

from __future__ import annotations

import random
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import xlsxwriter

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    PasswordProtectedError,
    UnknownFormatError,
    UnreadableFileError,
)
from framekeep.importing.model import MIB

from . import reading
from .reading import (
    compound,
    handmade,
    look,
    one_sheet,
    read,
    sheet_xml,
    smaller,
    text_cell,
)

HEADER = f'<row r="1">{text_cell("A1", "a")}</row>'


# --- too large ----------------------------------------------------------------------------------------


def test_two_cells_at_the_corners_of_a_sheet_are_refused_before_room_is_made(tmp_path: Path) -> None:
    rows = HEADER + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    path = one_sheet(tmp_path / "a.xlsx", rows)
    assert path.stat().st_size < 3_000
    with pytest.raises(FileTooLargeError, match="reach to XFD1048576, which makes 17,179,869,184") as refused:
        read(path)
    assert refused.value.where == "sheet 'Data'"


@pytest.mark.parametrize(
    "far",
    [
        '<row r="2"><c r="XFD1048576"><v>1</v></c></row>',  # elsewhere than its row says
        '<row r="1048576"><c r="A1048576"><v>1</v></c></row><row r="3"><c r="XFD3"><v>1</v></c></row>',
        '<row r="3"><c r="XFD3" t="str"><f>1</f><v>x</v></c><c r="A900000"><v>1</v></c></row>',
    ],
)  # fmt: skip
def test_cells_far_apart_are_refused_wherever_they_are_named(tmp_path: Path, far: str) -> None:
    with pytest.raises(FileTooLargeError, match="Delete what is far from the table"):
        look(one_sheet(tmp_path / "a.xlsx", HEADER + far))


def test_formats_without_values_may_go_to_the_corner(tmp_path: Path) -> None:
    rows = HEADER + '<row r="2"><c r="A2"><v>1</v></c></row><row r="1048576"><c r="XFD1048576" s="1"/></row>'
    assert read(one_sheet(tmp_path / "a.xlsx", rows))["a"] == [1]


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"rows": 2}, "has 3 rows and 2 columns"),
        ({"columns": 1}, "has 3 rows and 2 columns"),
        ({"sheets": 1}, "has 2 sheets; at most 1"),
        ({"field_bytes": 5}, "cell B3 of the sheet 'Data' has more than 5 bytes"),
        ({"inflated_bytes": 100}, "once it is unpacked; at most 100 bytes"),
    ],
)
def test_limits_are_kept(tmp_path: Path, limits: dict[str, int], match: str) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("Data")
        for row, cells in enumerate([["a", "b"], [1, "x"], [2, "long text"], [3, "y"]]):
            sheet.write_row(row, 0, cells)
        book.add_worksheet("More")
    with pytest.raises(FileTooLargeError, match=match):
        read(tmp_path / "a.xlsx", limits=smaller(**limits))


def test_cells_of_all_sheets_count_together(tmp_path: Path) -> None:
    rows = HEADER + "".join(f'<row r="{n}"><c r="A{n}"><v>1</v></c></row>' for n in range(2, 62))
    path = handmade(tmp_path / "a.xlsx", {"One": sheet_xml(rows), "Two": sheet_xml(rows)})
    limits = smaller(cells=110)
    with pytest.raises(FileTooLargeError, match="120 cells together; at most 110"):
        read(path, sheets=("One", "Two"), limits=limits)


def test_a_bomb_is_seen_in_the_directory(tmp_path: Path) -> None:
    bomb = sheet_xml(" " * (40 * MIB))
    path = handmade(tmp_path / "a.xlsx", {"Data": bomb})
    assert path.stat().st_size < 100_000
    with pytest.raises(FileTooLargeError, match="holds 40 MB once it is unpacked; at most 10 MB"):
        read(path, limits=smaller(inflated_bytes=10 * MIB))


def test_a_directory_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    path = handmade(tmp_path / "a.xlsx", {"Data": sheet_xml(HEADER + " " * MIB)})
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    told = path.read_bytes()
    lie = told.replace(size.to_bytes(4, "little"), (2_000).to_bytes(4, "little"))
    assert lie != told
    path.write_bytes(lie)
    with pytest.raises(DamagedFileError):
        read(path)


def test_one_cell_larger_than_any_text_is_refused(tmp_path: Path) -> None:
    path = one_sheet(tmp_path / "a.xlsx", f'<row r="1">{text_cell("A1", "x" * (70 * MIB))}</row>')
    with pytest.raises(FileTooLargeError, match="single cell"):
        read(path)


# --- damaged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_workbook_that_is_cut_short_is_refused(tmp_path: Path, part: float) -> None:
    path = one_sheet(tmp_path / "a.xlsx", HEADER)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DamagedFileError, match="cut short or damaged"):
        read(path)


@pytest.mark.parametrize(
    "xml",
    [
        "<worksheet><sheetData><row><c",
        sheet_xml('<row r="1"><c r="A1"><v>1</v></row>'),
        sheet_xml('<row r="1"><c r="A1" t="s"><v>7</v></c></row>'),  # there are no shared texts
        sheet_xml('<row r="1"><c r="A1" t="n"><v>one</v></c></row>'),
        sheet_xml('<row r="1"><c r="A1" t="mystery"><v>1</v></c></row>'),
        "no XML at all",
    ],
)
def test_a_sheet_that_is_no_sheet_is_refused_by_name(tmp_path: Path, xml: str) -> None:
    path = handmade(tmp_path / "a.xlsx", {"Fine": sheet_xml(HEADER), "Broken": xml})
    with pytest.raises(DamagedFileError, match="'Broken'") as refused:
        read(path, sheets=("Broken",))
    assert refused.value.where == "sheet 'Broken'"


def test_a_sheet_whose_part_is_not_there_is_refused(tmp_path: Path) -> None:
    path = one_sheet(tmp_path / "a.xlsx", HEADER)
    whole = zipfile.ZipFile(path)
    with whole, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as less:
        for name in whole.namelist():
            if not name.endswith("sheet1.xml"):
                less.writestr(name, whole.read(name))
    with pytest.raises(DamagedFileError):
        read(tmp_path / "b.xlsx")


def test_a_workbook_without_sheets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyFileError, match="no sheet"):
        read(handmade(tmp_path / "a.xlsx", {}))


def test_a_part_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    one_sheet(path, HEADER + '<row r="2"><c r="A2"><v>12345</v></c></row>')
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    path.write_bytes(path.read_bytes().replace(b"<v>12345</v>", b"<v>12346</v>"))
    with pytest.raises(DamagedFileError):
        read(path)


def test_entities_are_not_multiplied(tmp_path: Path) -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = (
        f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>'
        + sheet_xml('<row r="1"><c r="A1" t="str"><v>&l9;</v></c></row>').partition("?>")[2]
    )
    with pytest.raises(UnreadableFileError):
        read(handmade(tmp_path / "a.xlsx", {"Data": xml}))


# --- encrypted ----------------------------------------------------------------------------------------


def test_an_encrypted_workbook_is_told_as_that(tmp_path: Path) -> None:
    path = compound(tmp_path / "a.xlsx", {"EncryptedPackage": b"secret", "EncryptionInfo": b""})
    with pytest.raises(PasswordProtectedError, match="Remove the password"):
        read(path)


def test_an_encrypted_zip_is_told_as_that(tmp_path: Path) -> None:
    path = one_sheet(tmp_path / "a.xlsx", HEADER)
    told = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = told.find(magic)
        while at >= 0:
            told[at + offset] |= 1
            at = told.find(magic, at + 4)
    path.write_bytes(told)
    with pytest.raises(PasswordProtectedError):
        read(path)


# --- anything -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["xlsx", "xls", "xlsb", "ods"])
def test_a_damaged_byte_gives_a_table_or_a_clear_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "xlsx":
        one_sheet(path, HEADER + '<row r="2"><c r="A2"><v>1</v></c></row>')
    elif suffix == "xls":
        number = reading.biff(0x0203, struct.pack("<HHHd", 1, 0, 0, 1))
        reading.old_workbook(path, [reading.biff_text(0, 0, "a"), number])
    elif suffix == "xlsb":
        text = reading.binary_cell(6, 0, reading.binary_text("a"))
        reading.binary_workbook(path, [[text], [reading.binary_cell(5, 0, struct.pack("<d", 1))]])
    else:
        reading.open_document(
            path, reading.ods_row(reading.ods_text("a")) + reading.ods_row(reading.ods_number("1"))
        )
    whole = path.read_bytes()
    chance = random.Random(suffix)
    outcomes = set()
    for _ in range(150):
        told = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            told[chance.randrange(len(told))] = chance.randrange(256)
        path.write_bytes(told)
        try:
            read(path)
            outcomes.add("read")
        except UnreadableFileError as error:
            outcomes.add(type(error).__name__)
    assert outcomes - {"read"}


@pytest.mark.parametrize("size", [(0, 4_000_000_000, 0, 256), (9, 2, 0, 9)])
def test_an_old_workbook_that_tells_of_too_many_cells_is_refused(
    tmp_path: Path, size: tuple[int, int, int, int]
) -> None:
    told = reading.biff(0x0200, struct.pack("<IIHHH", *size, 0))
    path = reading.old_workbook(tmp_path / "a.xls", [told, reading.biff_text(0, 0, "a")])
    with pytest.raises(DamagedFileError, match="said to have more cells") as refused:
        read(path)
    assert refused.value.where == "sheet 'Data'"


def test_a_reader_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UnknownFormatError, match=r"pip install 'framekeep\[excel\]'"):
        read(one_sheet(tmp_path / "a.xlsx", HEADER))

"""What is particular to .xls, .xlsb and .ods, and what their reader hides."""

from __future__ import annotations

import datetime
import struct
from pathlib import Path

import pandas as pd
import pytest

from framekeep.errors import DamagedFileError, FileTooLargeError, PasswordProtectedError

from .reading import (
    biff,
    biff_text,
    binary_cell,
    binary_text,
    binary_workbook,
    look,
    ods_number,
    ods_row,
    ods_text,
    old_workbook,
    one_sheet,
    open_document,
    read,
    smaller,
    text_cell,
)

NA, DIV = 0x2A, 0x07


def number(row: int, column: int, value: float, form: int = 0) -> bytes:
    return biff(0x0203, struct.pack("<HHHd", row, column, form, value))


# --- .xls ---------------------------------------------------------------------------------------------


def test_cells_of_an_old_workbook(tmp_path: Path) -> None:
    shorts = biff(0x00BD, struct.pack("<HHHiHiH", 2, 0, 0, 7 << 2 | 2, 0, 1250 << 2 | 3, 1))
    cells = [biff_text(0, 0, "a"), biff_text(0, 1, "b"), number(1, 0, 1), number(1, 1, 2.5), shorts]
    table = read(old_workbook(tmp_path / "a.xls", cells))
    assert table.typed.to_pydict() == {"a": [1, 7], "b": [2.5, 12.5]}


def test_errors_in_an_old_workbook_are_counted(tmp_path: Path) -> None:
    constant = biff(0x0205, struct.pack("<HHHBB", 1, 0, 0, NA, 1))
    result = biff(0x0006, struct.pack("<HHHBBBBHH", 2, 0, 0, 2, 0, DIV, 0, 0, 0xFFFF) + bytes(10))
    truth = biff(0x0205, struct.pack("<HHHBB", 3, 0, 0, 1, 0))
    table = read(old_workbook(tmp_path / "a.xls", [biff_text(0, 0, "a"), constant, result, truth]))
    assert table["a"] == [None, None, True]
    assert "2 cells with an error (#DIV/0!, #N/A)" in table.notes[0]
    assert "the first in A2" in table.notes[0]


def test_days_that_are_none_in_an_old_workbook(tmp_path: Path) -> None:
    cells = [biff_text(0, 0, "a"), number(1, 0, 45292, 1), number(2, 0, 60, 1), number(3, 0, -2, 1)]
    table = read(old_workbook(tmp_path / "a.xls", cells))
    assert table["a"] == ["2024-01-01", "1900-02-29", "-2"]


def test_an_old_workbook_from_1904(tmp_path: Path) -> None:
    cells = [biff_text(0, 0, "a"), number(1, 0, 0, 1), number(2, 0, 1, 1)]
    path = old_workbook(tmp_path / "a.xls", cells, properties=biff(0x0022, b"\1\0"))
    assert read(path)["a"] == [datetime.datetime(1904, 1, 1), datetime.datetime(1904, 1, 2)]


def test_an_encrypted_old_workbook_is_told_as_that(tmp_path: Path) -> None:
    encrypted = biff(0x002F, struct.pack("<HHH", 0, 1, 2))  # by XOR: what follows is rubbish
    path = old_workbook(tmp_path / "a.xls", [b"\x55" * 40], properties=encrypted)
    with pytest.raises(PasswordProtectedError, match="Remove the password"):
        read(path)


@pytest.mark.parametrize("size", [100, 700, 1200, 3000])
def test_an_old_workbook_that_is_cut_short_is_refused(tmp_path: Path, size: int) -> None:
    path = old_workbook(tmp_path / "a.xls", [biff_text(0, 0, "a")])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DamagedFileError, match="cut short or damaged"):
        read(path)


# --- .xlsb --------------------------------------------------------------------------------------------


def test_cells_of_a_binary_workbook(tmp_path: Path) -> None:
    rows = [
        [binary_cell(6, 0, binary_text("a")), binary_cell(6, 1, binary_text("b"))],
        [binary_cell(5, 0, struct.pack("<d", 1.5)), binary_cell(4, 1, b"\1")],
        [binary_cell(2, 0, struct.pack("<i", 7 << 2 | 2)), binary_cell(4, 1, b"\0")],
    ]
    table = read(binary_workbook(tmp_path / "a.xlsb", rows))
    assert table.typed.to_pydict() == {"a": [1.5, 7.0], "b": [True, False]}


def test_errors_in_a_binary_workbook_are_counted(tmp_path: Path) -> None:
    rows = [
        [binary_cell(6, 0, binary_text("a")), binary_cell(6, 1, binary_text("b"))],
        [binary_cell(3, 0, bytes([NA])), binary_cell(5, 1, struct.pack("<d", 1))],
        [binary_cell(11, 0, bytes([DIV]) + bytes(6)), binary_cell(5, 1, struct.pack("<d", 2))],
    ]
    table = read(binary_workbook(tmp_path / "a.xlsb", rows))
    assert table.typed.to_pydict() == {"a": [None, None], "b": [1, 2]}
    assert table.notes == (
        "'a': 2 cells with an error (#DIV/0!, #N/A) and so without a value, the first in A2.",
    )


def test_a_binary_workbook_whose_cells_are_far_apart_is_refused(tmp_path: Path) -> None:
    far = binary_cell(5, 16_000, struct.pack("<d", 1))
    path = binary_workbook(tmp_path / "a.xlsb", [[binary_cell(5, 0, struct.pack("<d", 1))], [], [far]])
    with pytest.raises(FileTooLargeError, match="reach to WQK3"):
        read(path, limits=smaller(cells=40_000))


# --- .ods ---------------------------------------------------------------------------------------------


def test_an_ods_that_pandas_writes(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"n": [1, 2], "x": [0.5, 1.5], "t": ["01", "é"], "d": pd.to_datetime(["2024-01-01", "2024-06-30"])}
    )
    frame.to_excel(tmp_path / "a.ods", engine="odf", index=False)
    table = read(tmp_path / "a.ods")
    assert table["n"] == [1, 2]
    assert table["t"] == ["01", "é"]
    assert [str(day)[:10] for day in table["d"]] == ["2024-01-01", "2024-06-30"]


def test_repeated_cells_and_rows_are_there_as_often_as_they_are_said_to_be(tmp_path: Path) -> None:
    rows = ods_row(ods_text("a"), ods_text("b"), ods_text("c")) + ods_row(
        ods_number("1", ' table:number-columns-repeated="3"'), repeated=4
    )
    table = read(open_document(tmp_path / "a.ods", rows))
    assert table.typed.to_pydict() == {"a": [1] * 4, "b": [1] * 4, "c": [1] * 4}


def test_errors_in_an_ods_are_counted(tmp_path: Path) -> None:
    error = ods_text("#DIV/0!", ' office:string-value="" calcext:value-type="error" table:formula="of:=1/0"')
    rows = ods_row(ods_text("a"), ods_text("b")) + ods_row(error, ods_number("1"), repeated=2)
    table = read(open_document(tmp_path / "a.ods", rows))
    assert table["a"] == [None, None]
    assert table.notes == ("'a': 2 cells with an error (#DIV/0!) and so without a value, the first in A2.",)


def test_long_numbers_of_an_ods_are_exact(tmp_path: Path) -> None:
    rows = ods_row(ods_text("a")) + ods_row(ods_number("9007199254740993")) + ods_row(ods_number("1"))
    assert read(open_document(tmp_path / "a.ods", rows))["a"] == [9007199254740993, 1]


def test_an_ods_whose_repetitions_fill_the_sheet_is_refused_before_it_is_read(tmp_path: Path) -> None:
    rows = ods_row(ods_number("1", ' table:number-columns-repeated="16384"'), repeated=1_048_576)
    path = open_document(tmp_path / "a.ods", rows)
    assert path.stat().st_size < 2_000
    with pytest.raises(FileTooLargeError, match=r"reach to XFD1048576, which makes 17,179,869,184"):
        look(path)


def test_formats_that_fill_a_sheet_do_no_harm(tmp_path: Path) -> None:
    empty = '<table:table-cell table:number-columns-repeated="16384"/>'
    rows = ods_row(ods_text("a")) + ods_row(ods_number("1")) + ods_row(empty, repeated=1_048_574)
    assert read(open_document(tmp_path / "a.ods", rows))["a"] == [1]


def test_a_cell_of_an_unknown_kind_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="colour"><text:p>red</text:p></table:table-cell>'
    path = open_document(tmp_path / "a.ods", ods_row(ods_text("a")) + ods_row(cell))
    with pytest.raises(DamagedFileError, match="no known kind") as refused:
        read(path)
    assert refused.value.where == "sheet 'Data', cell A2"


def test_lengths_of_time_in_an_ods_may_be_longer_than_a_day(tmp_path: Path) -> None:
    def length(text: str) -> str:
        return f'<table:table-cell office:value-type="time" office:time-value="{text}"/>'

    cells = [ods_row(length(text)) for text in ("PT08H30M00S", "PT25H00M00.5S", "-PT100H00M00S")]
    table = read(open_document(tmp_path / "a.ods", ods_row(ods_text("a")) + "".join(cells)))
    hours = datetime.timedelta(hours=1)
    assert table["a"] == [8.5 * hours, 25 * hours + datetime.timedelta(seconds=0.5), -100 * hours]
    assert table.texts("a") == ["8:30:00", "25:00:00.5", "-100:00:00"]


def test_times_of_day_in_an_ods_stay_that(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="time" office:time-value="PT08H30M00S"/>'
    rows = ods_row(ods_text("a"), ods_text("b")) + ods_row(cell, ods_text("PT1H"))
    table = read(open_document(tmp_path / "a.ods", rows))
    assert (table["a"], table["b"]) == ([datetime.time(8, 30)], ["PT1H"])


def test_an_encrypted_ods_is_told_as_that(tmp_path: Path) -> None:
    manifest = "<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
    path = open_document(tmp_path / "a.ods", ods_row(ods_text("a")), manifest=manifest)
    with pytest.raises(PasswordProtectedError, match="Remove the password"):
        read(path)


def test_the_name_of_a_sheet_may_have_markup_in_it(tmp_path: Path) -> None:
    error = ods_text("#N/A", ' office:string-value="" calcext:value-type="error"')
    rows = ods_row(ods_text("a"), ods_text("b")) + ods_row(error, ods_number("1"))
    path = open_document(tmp_path / "a.ods", rows, name="R&amp;D &lt;1&gt;")
    table = read(path)
    assert table.name == "R&D <1>"
    assert "1 cell with an error (#N/A)" in table.notes[0]


# --- whatever they are called -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.xlsb", "a.ods", "a.csv", "a.xlam", "a"])
@pytest.mark.parametrize("kind", ["xlsx", "xls", "xlsb", "ods"])
def test_a_workbook_is_read_as_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if kind == "xlsx":
        one_sheet(path, f'<row r="1">{text_cell("A1", "a")}</row><row r="2"><c r="A2"><v>1</v></c></row>')
    elif kind == "xls":
        old_workbook(path, [biff_text(0, 0, "a"), number(1, 0, 1)])
    elif kind == "xlsb":
        one = binary_cell(5, 0, struct.pack("<d", 1))
        binary_workbook(path, [[binary_cell(6, 0, binary_text("a"))], [one]])
    else:
        open_document(path, ods_row(ods_text("a")) + ods_row(ods_number("1")))
    assert read(path)["a"] == [1]
    assert list(tmp_path.iterdir()) == [path]

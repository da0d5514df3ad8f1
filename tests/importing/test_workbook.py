"""Cells of workbooks become typed columns: nothing is guessed, and nothing is lost without a word."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
import xlsxwriter

from framekeep.errors import UnknownColumnError, WrongTypeError

from .reading import handmade, one_sheet, read, sheet_xml, text_cell

DATE = "yyyy-mm-dd"


def written(path: Path, rows: Sequence[Sequence[Any]], *, form: str = "General", **options: Any) -> Path:
    """Write rows with xlsxwriter; ``form`` is the format of every cell that is not text."""
    with xlsxwriter.Workbook(path, {"default_date_format": form, **options}) as book:
        sheet = book.add_worksheet("Data")
        style = book.add_format({"num_format": form})
        for at, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(at, column, cell)
                elif cell is not None:
                    sheet.write(at, column, cell, style)
    return path


def column(path: Path, cells: Sequence[Any], **options: Any) -> Path:
    """Write one column, called a."""
    return written(path, [["a"], *([cell] for cell in cells)], **options)


# --- numbers ------------------------------------------------------------------------------------------


def test_whole_numbers_are_integers(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [1, -2, None, 0]))
    assert table["a"] == [1, -2, None, 0]
    assert table.typed.schema.field("a").type == pa.int64()
    assert table.reason("a") == "every cell with a value is a whole number"


def test_one_fraction_makes_numbers(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [1, 2.5]))
    assert table["a"] == [1.0, 2.5]
    assert table.types() == {"a": "number"}


def test_identifiers_that_are_text_stay_text(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", ["00501", "07", "1e5", "TRUE", "2024-01-01"]))
    assert table["a"] == ["00501", "07", "1e5", "TRUE", "2024-01-01"]
    assert table.types() == {"a": "text"}
    assert table.text is None


def test_percent_and_currency_are_plain_numbers(tmp_path: Path) -> None:
    percent = read(column(tmp_path / "a.xlsx", [0.25, 0.5], form="0.00%"))
    money = read(column(tmp_path / "b.xlsx", [12.5, -3], form='#,##0.00 [$€-407];[Red]-#,##0.00 "Yen"'))
    assert percent["a"] == [0.25, 0.5]
    assert money["a"] == [12.5, -3.0]


def test_whole_numbers_up_to_two_to_the_53rd_are_exact(tmp_path: Path) -> None:
    assert read(column(tmp_path / "a.xlsx", [(1 << 53) - 1, 1]))["a"] == [9007199254740991, 1]


@pytest.mark.parametrize(
    ("digits", "values", "kind"),
    [
        (["9007199254740993", "1"], [9007199254740993, 1], "integer"),
        (["18446744073709551615"], [18446744073709551615], "integer"),
        (["-9223372036854775807", "3"], [-9223372036854775807, 3], "integer"),
        (["1234567890123456789012345", "7"], ["1234567890123456789012345", "7"], "text"),
        (["9007199254740993", "0.5"], ["9007199254740993", "0.5"], "text"),
        (["9007199254740993", "18446744073709551615", "-1"],
         ["9007199254740993", "18446744073709551615", "-1"], "text"),
    ],
)  # fmt: skip
def test_longer_whole_numbers_are_exact_too(
    tmp_path: Path, digits: list[str], values: list[Any], kind: str
) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{v}</v></c></row>' for n, v in enumerate(digits, 2))
    table = read(one_sheet(tmp_path / "a.xlsx", f'<row r="1">{text_cell("A1", "a")}</row>{rows}'))
    assert table["a"] == values
    assert table.types() == {"a": kind}


def test_a_number_too_large_for_whole_ones_stays_the_double_that_it_is(tmp_path: Path) -> None:
    rows = f'<row r="1">{text_cell("A1", "a")}</row><row r="2"><c r="A2"><v>1.2E+20</v></c></row>'
    table = read(one_sheet(tmp_path / "a.xlsx", rows))
    assert table["a"] == [1.2e20]
    assert table.types() == {"a": "number"}


def test_numbers_as_text_need_no_more_digits_than_tell_them_apart(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [1, 0.1, 1 / 3, 1e300]))
    assert table.texts("a") == ["1", "0.1", "0.3333333333333333", "1e+300"]


# --- dates and times ----------------------------------------------------------------------------------


def test_days_are_dates(tmp_path: Path) -> None:
    days = [datetime.date(2024, 2, 29), None, datetime.date(1900, 3, 1), datetime.date(9999, 12, 31)]
    table = read(column(tmp_path / "a.xlsx", days, form=DATE))
    assert table["a"] == days
    assert table.types() == {"a": "date"}
    assert table.texts("a") == ["2024-02-29", None, "1900-03-01", "9999-12-31"]


def test_days_and_instants_are_instants_in_the_coarsest_unit(tmp_path: Path) -> None:
    cells = [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2, 3, 4, 5)]
    table = read(column(tmp_path / "a.xlsx", cells, form="yyyy-mm-dd hh:mm:ss"))
    assert table["a"] == cells
    assert table.typed.schema.field("a").type == pa.timestamp("s")
    assert table.texts("a") == ["2024-01-01 00:00:00", "2024-01-02 03:04:05"]


def test_milliseconds_are_kept(tmp_path: Path) -> None:
    cells = [datetime.datetime(2024, 1, 1, 1, 2, 3, 4000)]
    table = read(column(tmp_path / "a.xlsx", cells, form="yyyy-mm-dd hh:mm:ss.000"))
    assert table["a"] == cells
    assert table.typed.schema.field("a").type == pa.timestamp("ms")


@pytest.mark.parametrize(
    ("serial", "day"), [(1, (1900, 1, 1)), (59, (1900, 2, 28)), (61, (1900, 3, 1)), (2958465, (9999, 12, 31))]
)
def test_days_of_1900_are_right(tmp_path: Path, serial: int, day: tuple[int, int, int]) -> None:
    assert read(column(tmp_path / "a.xlsx", [serial], form=DATE))["a"] == [datetime.date(*day)]


def test_the_day_that_only_excel_has_is_text(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [59, 60, 60.5, 61], form="yyyy-mm-dd hh:mm"))
    assert table["a"] == ["1900-02-28", "1900-02-29", "1900-02-29 12:00:00", "1900-03-01"]
    assert "2 text (the first text is in A3)" in table.reason("a")


def test_a_number_below_0_is_no_time_of_day(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [-1.25, 0.75], form="hh:mm:ss"))
    assert table["a"] == ["-1.25", "18:00:00"]


def test_a_day_after_the_year_9999_is_no_other_day(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [45292, 2958466, 1e20], form=DATE))
    assert table["a"] == ["2024-01-01", "2958466", "1e+20"]


def test_workbooks_that_count_from_1904(tmp_path: Path) -> None:
    cells = [datetime.datetime(2024, 1, 1, 6), datetime.datetime(1904, 1, 2)]
    path = column(tmp_path / "a.xlsx", cells, form="yyyy-mm-dd hh:mm", date_1904=True)
    assert read(path)["a"] == cells


def test_the_first_day_of_1904_is_a_day_among_days_and_a_time_alone(tmp_path: Path) -> None:
    form = "yyyy-mm-dd hh:mm"
    days = read(column(tmp_path / "a.xlsx", [0.5, 1.5], form=form, date_1904=True))
    alone = read(column(tmp_path / "b.xlsx", [0.5, 0.25], form=form, date_1904=True))
    assert days["a"] == [datetime.datetime(1904, 1, 1, 12), datetime.datetime(1904, 1, 2, 12)]
    assert alone["a"] == [datetime.time(12), datetime.time(6)]


def test_times_of_day_and_lengths_of_time(tmp_path: Path) -> None:
    clock = read(column(tmp_path / "a.xlsx", [0.5, 0.75], form="hh:mm:ss"))
    length = read(column(tmp_path / "b.xlsx", [1.0625, None, -0.5], form="[h]:mm:ss"))
    assert clock["a"] == [datetime.time(12), datetime.time(18)]
    assert clock.types() == {"a": "time"}
    assert length["a"] == [datetime.timedelta(hours=25.5), None, datetime.timedelta(hours=-12)]
    assert length.types() == {"a": "duration"}
    assert length.texts("a") == ["25:30:00", None, "-12:00:00"]


def test_dates_that_are_written_out(tmp_path: Path) -> None:
    cell = '<c r="A2" t="d"><v>2024-05-06T07:08:09</v></c>'
    rows = f'<row r="1">{text_cell("A1", "a")}</row><row r="2">{cell}</row>'
    assert read(one_sheet(tmp_path / "a.xlsx", rows))["a"] == [datetime.datetime(2024, 5, 6, 7, 8, 9)]


# --- other values, and none ---------------------------------------------------------------------------


def test_truth_values(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [True, None, False]))
    assert table["a"] == [True, None, False]
    assert table.texts("a") == ["TRUE", None, "FALSE"]


def test_a_late_odd_value_makes_text_and_is_named(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [*range(20_000), "unknown"]))
    assert table["a"][-2:] == ["19999", "unknown"]
    assert "20,000 numbers, 1 text (the first text is in A20002)" in table.reason("a")


def test_words_for_no_value_are_named_and_can_be_given(tmp_path: Path) -> None:
    path = column(tmp_path / "a.xlsx", [1, "n/a", 3])
    assert "if 'n/a' means no value" in read(path).reason("a")
    table = read(path, missing=("n/a",))
    assert table["a"] == [1, None, 3]
    assert table.texts("a") == ["1", "n/a", "3"]


def test_a_word_for_no_value_goes_from_text_too_but_stays_in_the_raw_text(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", ["x", "-", "y"]), missing=("-",))
    assert table["a"] == ["x", None, "y"]
    assert table.texts("a") == ["x", "-", "y"]


def test_error_cells_have_no_value_and_are_counted(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("Data")
        sheet.write_row(0, 0, ["a", "b"])
        for row, (result, text) in enumerate([(1, "x"), ("#N/A", "#N/A"), ("#DIV/0!", "z"), ("#N/A", "")], 1):
            sheet.write_formula(row, 0, "=1/B2", None, result)
            sheet.write_string(row, 1, text)
    table = read(tmp_path / "a.xlsx")
    assert table["a"] == [1, None, None, None]
    assert table["b"] == ["x", "#N/A", "z", None]
    assert table.notes == (
        "'a': 3 cells with an error (#N/A, #DIV/0!) and so without a value, the first in A3.",
    )


def test_formulas_give_the_results_that_are_stored(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("Data")
        sheet.write_row(0, 0, ["n", "t", "b"])
        sheet.write_formula(1, 0, "=1+1", None, 2)
        sheet.write_formula(1, 1, '="a"&"b"', None, "ab")
        sheet.write_formula(1, 2, "=1=1", None, True)
    table = read(tmp_path / "a.xlsx")
    assert (table["n"], table["t"], table["b"]) == ([2], ["ab"], [True])


def test_formulas_without_a_result_are_told(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1, "=A2*2"], [2, "=A3*2"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    table = read(tmp_path / "a.xlsx")
    assert table["b"] == [None, None]
    assert any("2 formulas without a stored result" in note and "B2" in note for note in table.notes)


def test_a_formula_whose_result_is_no_text_has_a_result(tmp_path: Path) -> None:
    rows = (
        f'<row r="1">{text_cell("A1", "a")}</row>'
        '<row r="2"><c r="A2" t="str"><f>IF(1,"","x")</f><v></v></c></row>'
        '<row r="3"><c r="A3"><v>1</v></c></row>'
    )
    table = read(one_sheet(tmp_path / "a.xlsx", rows))
    assert table["a"] == [None, 1]
    assert table.notes == ()


def test_text_of_all_sorts_is_exact(tmp_path: Path) -> None:
    texts = ["  spaces  ", "line\nbreak", "tab\there", "😀 日本 é", "<&>\"'", "x" * 32_767, "_x0041_", "=1+1"]
    assert read(column(tmp_path / "a.xlsx", texts))["a"] == texts


def test_rich_text_is_text(tmp_path: Path) -> None:
    cell = (
        '<c r="A2" t="inlineStr"><is><r><t>bold</t></r><r><t xml:space="preserve"> and not</t></r></is></c>'
    )
    rows = f'<row r="1">{text_cell("A1", "a")}</row><row r="2">{cell}</row>'
    assert read(one_sheet(tmp_path / "a.xlsx", rows))["a"] == ["bold and not"]


def test_a_column_without_a_value_is_text(tmp_path: Path) -> None:
    table = read(written(tmp_path / "a.xlsx", [["a", "b"], [1, None]]))
    assert table["b"] == [None]
    assert table.reason("b") == "no cell has a value"


# --- types that are asked for -------------------------------------------------------------------------


def test_a_type_that_is_asked_for_is_given(tmp_path: Path) -> None:
    path = written(tmp_path / "a.xlsx", [["zip", "n", "kind"], ["00501", 1, "x"], ["10001", 2, "x"]])
    table = read(path, types={"zip": "integer", "n": "text", "kind": "category"})
    assert table["zip"] == [501, 10001]
    assert table["n"] == ["1", "2"]
    assert table.typed["kind"].to_pylist() == ["x", "x"]
    assert table.types() == {"zip": "integer", "n": "text", "kind": "category"}
    assert all(report.overridden for report in table.reports)
    assert table.texts("zip") == ["00501", "10001"]


def test_a_type_that_a_column_cannot_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongTypeError, match="'a' cannot be integer") as refused:
        read(column(tmp_path / "a.xlsx", ["1", "two"]), types={"a": "integer"})
    assert "two" not in str(refused.value)


def test_a_type_for_no_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownColumnError, match=r"'b'.*There are 'a'"):
        read(column(tmp_path / "a.xlsx", [1]), types={"b": "integer"})


def test_without_typing_everything_is_text(tmp_path: Path) -> None:
    table = read(column(tmp_path / "a.xlsx", [1, 2.5, True]), typing=False)
    assert table["a"] == ["1", "2.5", "TRUE"]
    assert table.text is None


# --- XML that Excel does not write --------------------------------------------------------------------

_ROOTS = {
    "prefix": ('x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"', "x:"),
    "none": ('worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"', ""),
}


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("prefix", ["prefix", "none"])
def test_errors_are_found_however_the_xml_is_written(tmp_path: Path, prefix: str, quote: str) -> None:
    root, x = _ROOTS[prefix]
    rows = (
        '<row r="1"><c r="A1" t="str"><v>a</v></c></row>'
        '<row r="2"><c r="A2" t="e"><f>1/0</f><v>#DIV/0!</v></c></row>'
        '<row r="3"><c t="e" s="0" r="A3"><f t="shared" si="0"/><v>#DIV/0!</v></c></row>'
        '<row r="4"><c r="A4"><v>9007199254740993</v></c></row>'
    )
    for tag in ("row", "c", "v", "f"):
        rows = rows.replace(f"<{tag} ", f"<{x}{tag} ").replace(f"<{tag}>", f"<{x}{tag}>")
        rows = rows.replace(f"</{tag}>", f"</{x}{tag}>")
    xml = (
        f"<{root}><{x}sheetData>{rows}</{x}sheetData></{x}worksheet>"
    ).replace('"', quote)  # fmt: skip
    table = read(handmade(tmp_path / "a.xlsx", {"Data": xml}))
    assert table["a"] == [None, None, 9007199254740993]
    assert "2 cells with an error (#DIV/0!)" in table.notes[0]


def test_cells_and_rows_may_have_no_names(tmp_path: Path) -> None:
    rows = (
        '<row><c t="str"><v>a</v></c><c t="str"><v>b</v></c></row><row><c><v>1</v></c><c><v>2</v></c></row>'
    )
    table = read(one_sheet(tmp_path / "a.xlsx", rows))
    assert (table["a"], table["b"]) == ([1], [2])


def test_a_sheet_of_a_million_small_pieces_is_put_together(tmp_path: Path) -> None:
    """The XML is looked through in pieces of some megabytes; a cell may be cut anywhere."""
    head = f'<row r="1">{text_cell("A1", "a")}{text_cell("B1", "b")}</row>'
    body = "".join(
        f'<row r="{n}"><c r="A{n}" t="e"><v>#N/A</v></c><c r="B{n}" s="0"><v>9007199254740993</v></c></row>'
        for n in range(2, 100_002)
    )
    table = read(handmade(tmp_path / "a.xlsx", {"Data": sheet_xml(head + body)}))
    assert table.notes == (
        "'a': 100,000 cells with an error (#N/A) and so without a value, the first in A2.",
    )
    assert set(table["b"]) == {9007199254740993}

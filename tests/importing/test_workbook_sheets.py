"""Where the table of a sheet begins, how its columns are called, which sheets there are, and merging."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from framekeep.errors import DamagedFileError, EmptyFileError, InvalidInputError
from framekeep.importing.model import ImportOptions
from framekeep.importing.workbook import count_workbook

from .reading import LIMITS, handmade, look, parse, read, sheet_xml, text_cell

Rows = Sequence[Sequence[Any]]


def book(path: Path, sheets: Mapping[str, Rows], *, hidden: Sequence[str] = ()) -> Path:
    """Write a workbook; None leaves a cell out."""
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as made:
        for name, rows in sheets.items():
            sheet = made.add_worksheet(name)
            for at, row in enumerate(rows):
                for column, cell in enumerate(row):
                    if cell is not None:
                        sheet.write(at, column, cell)
            if name in hidden:
                sheet.hide()
    return path


def one(path: Path, rows: Rows) -> Path:
    """Write a workbook with one sheet."""
    return book(path, {"Data": rows})


# --- where the table is -------------------------------------------------------------------------------


def test_a_margin_above_and_beside_is_no_part_of_the_table(tmp_path: Path) -> None:
    path = one(tmp_path / "a.xlsx", [[], [], [None, None, "a", "b"], [None, None, 1, 2]])
    table = read(path)
    assert (table["a"], table["b"]) == ([1], [2])


def test_blank_rows_and_columns_within_the_table_stay(tmp_path: Path) -> None:
    path = one(tmp_path / "a.xlsx", [["a", None, "c"], [1, None, 3], [], [4, None, 6]])
    table = read(path)
    assert table.typed.to_pydict() == {"a": [1, None, 4], "column_2": [None] * 3, "c": [3, None, 6]}


def test_the_header_may_be_further_down(tmp_path: Path) -> None:
    rows = [["A report"], [], ["for 2024"], [None, "a", "b"], [None, 1, 2]]
    table = read(one(tmp_path / "a.xlsx", rows), header=2)
    assert table.typed.to_pydict() == {"a": [1], "b": [2]}
    assert table.notes == ("2 rows with values above the header passed over, as asked.",)


def test_a_header_with_few_names_is_doubted_aloud(tmp_path: Path) -> None:
    table = read(one(tmp_path / "a.xlsx", [["A report"], ["a", "b", "c"], [1, 2, 3]]))
    assert any(note.startswith("Row 1, taken for the header, names 1 of 3 columns.") for note in table.notes)


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    table = read(one(tmp_path / "a.xlsx", [[], [1, "x"], [2, "y"]]), header=None)
    assert table.typed.to_pydict() == {"column_1": [1, 2], "column_2": ["x", "y"]}
    assert table.notes == ()


def test_rows_to_skip_are_those_of_the_sheet(tmp_path: Path) -> None:
    table = read(one(tmp_path / "a.xlsx", [[], ["skipped"], ["a"], [1]]), skip_rows=2)
    assert table.typed.to_pydict() == {"a": [1]}


def test_a_header_below_the_last_row_is_refused(tmp_path: Path) -> None:
    path = one(tmp_path / "a.xlsx", [["a"], [1]])
    with pytest.raises(EmptyFileError, match="'Data' has no row with values after those"):
        read(path, header=2)
    with pytest.raises(EmptyFileError, match="'Data' has no row with values after those"):
        read(path, skip_rows=9)


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    table = read(one(tmp_path / "a.xlsx", [["a", "b"]]))
    assert table.shape == (0, 2)
    assert table.types() == {"a": "text", "b": "text"}


# --- names --------------------------------------------------------------------------------------------


def test_names_are_made_unique_and_that_is_told(tmp_path: Path) -> None:
    table = read(one(tmp_path / "a.xlsx", [["a", None, "a", "b"], [1, 2, 3, 4]]))
    assert table.typed.column_names == ["a", "column_2", "a_2", "b"]
    assert len(table.notes) == 2


def test_names_may_be_numbers_dates_and_truth_values(tmp_path: Path) -> None:
    rows = [[2019, 2.5, datetime.date(2024, 1, 31), True, "line\nbreak"], [1, 2, 3, 4, 5]]
    table = read(one(tmp_path / "a.xlsx", rows))
    assert table.typed.column_names == ["2019", "2.5", "2024-01-31", "TRUE", "line\nbreak"]


def test_merged_cells_are_told(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as made:
        sheet = made.add_worksheet("Data")
        sheet.merge_range("A1:B1", "both")
        sheet.write_row("A2", [1, 2])
    table = read(tmp_path / "a.xlsx")
    assert table.typed.column_names == ["both", "column_2"]
    assert any("1 range of merged cells, the first A1:B1" in note for note in table.notes)


# --- sheets -------------------------------------------------------------------------------------------

SHEETS: dict[str, Rows] = {
    "Cover": [["Title"]],
    "Empty": [],
    "Data": [["a", "b"], *([n, n / 2] for n in range(8))],
    "Secret": [["a", "b", "c"], *([n, n, n] for n in range(99))],
}


def test_every_sheet_is_previewed(tmp_path: Path) -> None:
    previews = look(book(tmp_path / "a.xlsx", SHEETS, hidden=["Secret"]))
    assert [(p.name, p.rows, p.columns, p.empty, p.hidden) for p in previews] == [
        ("Cover", 0, 1, False, False),
        ("Empty", 0, 0, True, False),
        ("Data", 8, 2, False, False),
        ("Secret", 99, 3, False, True),
    ]


def test_a_preview_has_names_and_five_rows_as_text(tmp_path: Path) -> None:
    preview = look(book(tmp_path / "a.xlsx", SHEETS))[2]
    assert preview.header == ("a", "b")
    assert preview.first == (("0", "0"), ("1", "0.5"), ("2", "1"), ("3", "1.5"), ("4", "2"))


def test_the_fullest_sheet_that_is_shown_is_suggested_and_read(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", SHEETS, hidden=["Secret"])
    assert [p.name for p in look(path) if p.suggested] == ["Data"]
    assert read(path).name == "Data"


def test_a_hidden_sheet_is_suggested_if_the_others_are_empty(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", {"Empty": [], "Secret": [["a"], [1]]}, hidden=["Secret"])
    assert [p.name for p in look(path) if p.suggested] == ["Secret"]


def test_sheets_are_read_in_the_order_they_are_asked_for(tmp_path: Path) -> None:
    _, tables = parse(book(tmp_path / "a.xlsx", SHEETS), sheets=("Secret", "Data"))
    assert [(table.name, table.shape) for table in tables] == [("Secret", (99, 3)), ("Data", (8, 2))]


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInputError, match=r"no sheet 'data'. It has 'Cover', 'Empty', 'Data', 'Secret'"
    ):
        read(book(tmp_path / "a.xlsx", SHEETS), sheets=("data",))


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyFileError, match="'Empty' has no cell with a value") as refused:
        read(book(tmp_path / "a.xlsx", SHEETS), sheets=("Empty",))
    assert refused.value.where == "sheet 'Empty'"


def test_a_workbook_without_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyFileError, match="No sheet of the workbook has a cell with a value"):
        read(book(tmp_path / "a.xlsx", {"One": [], "Two": []}))


def test_a_sheet_that_is_a_chart_is_no_sheet(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as made:
        sheet = made.add_worksheet("Data")
        sheet.write_column("A1", ["a", 1, 2])
        chart = made.add_chart({"type": "line"})
        chart.add_series({"values": "=Data!$A$2:$A$3"})
        made.add_chartsheet("Chart").set_chart(chart)
    assert [p.name for p in look(tmp_path / "a.xlsx")] == ["Data"]


@pytest.mark.parametrize(
    ("sheets", "count"),
    [({"A": [["a"]]}, 1), ({"A": [["a"]], "B": []}, 1), ({"A": [["a"]], "B": [["b"]], "C": []}, 2)],
)
def test_sheets_with_values_are_counted(tmp_path: Path, sheets: dict[str, Rows], count: int) -> None:
    path = book(tmp_path / "a.xlsx", sheets)
    assert count_workbook(path, ImportOptions(format="xlsx"), LIMITS) == count


def test_two_sheets_of_one_name_are_refused(tmp_path: Path) -> None:
    xml = sheet_xml(f'<row r="1">{text_cell("A1", "a")}</row>')
    with pytest.raises(DamagedFileError, match="two sheets of the same name"):
        read(handmade(tmp_path / "a.xlsx", [("Data", xml), ("Data", xml)]))


def test_progress_goes_forward_from_0_to_1(tmp_path: Path) -> None:
    import tempfile

    from framekeep.importing.spool import Spool
    from framekeep.importing.workbook import read_workbook

    path = book(tmp_path / "a.xlsx", SHEETS)
    parts: list[float] = []
    with tempfile.TemporaryFile() as file:
        read_workbook(
            path,
            ImportOptions(format="xlsx", sheets=("Data", "Secret")),
            LIMITS,
            lambda part, what: parts.append(part),
            Spool(file, tmp_path),
        )
    assert parts == sorted(parts)
    assert parts[0] == 0
    assert 0.8 < parts[-1] <= 1


# --- merging ------------------------------------------------------------------------------------------

YEARS: dict[str, Rows] = {
    "2023": [["id", "amount"], ["007", 1], ["008", 2]],
    "2024": [["amount", "id"], [3.5, "009"]],
    "Notes": [["text"], ["x"]],
}


def test_sheets_of_the_same_columns_are_merged(tmp_path: Path) -> None:
    table = read(book(tmp_path / "a.xlsx", YEARS), sheets=("2023", "2024"), merge=True)
    assert table.typed.to_pydict() == {
        "id": ["007", "008", "009"],
        "amount": [1.0, 2.0, 3.5],
        "sheet": ["2023", "2023", "2024"],
    }
    assert table.types() == {"id": "text", "amount": "number", "sheet": "text"}
    assert any("'2024'" in note and "another order" in note for note in table.notes)


def test_a_column_that_is_mixed_over_sheets_is_text_and_names_the_sheet(tmp_path: Path) -> None:
    sheets = {"One": [["a"], [1], [2]], "Two": [["a"], ["none"]]}
    table = read(book(tmp_path / "a.xlsx", sheets), sheets=("One", "Two"), merge=True)
    assert table["a"] == ["1", "2", "none"]
    assert "the first text is in A2 of 'Two'" in table.reason("a")


def test_sheets_of_different_columns_are_not_merged(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", YEARS)
    with pytest.raises(InvalidInputError, match="'Notes' has no 'id', 'amount'; '2023' has no 'text'"):
        read(path, sheets=("2023", "Notes"), merge=True)


def test_all_shown_sheets_are_merged_if_none_is_named(tmp_path: Path) -> None:
    sheets = {"One": [["a"], [1]], "Empty": [], "Two": [["a"], [2]], "Secret": [["b"], [3]]}
    table = read(book(tmp_path / "a.xlsx", sheets, hidden=["Secret"]), merge=True)
    assert (table["a"], table["sheet"]) == ([1, 2], ["One", "Two"])


def test_a_column_that_is_called_sheet_stays(tmp_path: Path) -> None:
    sheets = {"One": [["sheet"], [1]], "Two": [["sheet"], [2]]}
    table = read(book(tmp_path / "a.xlsx", sheets), merge=True)
    assert (table["sheet"], table["sheet_2"]) == ([1, 2], ["One", "Two"])

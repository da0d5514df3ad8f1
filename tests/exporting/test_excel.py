"""Excel files hold what the frame does, or are refused with the next step."""

from __future__ import annotations

import datetime as dt
import io
import math
import zipfile
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from odds import KINDS, check_each
from python_calamine import CalamineWorkbook
from windows import window_of, written

from framekeep.errors import InvalidInputError, UnsupportedTypeError
from framekeep.exporting import excel
from framekeep.exporting.texts import cell_text
from framekeep.testing.frames import frames


def read(data: bytes) -> list[list[Any]]:
    """Return the rows that calamine finds; it has "" for an empty cell."""
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_name("Data")
    return sheet.to_python(skip_empty_area=False)


def cells_of(array: Any) -> list[Any]:
    if isinstance(array, pd.arrays.SparseArray):
        return list(np.asarray(array))
    if isinstance(array, pd.Categorical):
        return [None if code < 0 else array.categories[code] for code in array.codes]
    return list(array)


def same(found: Any, cell: Any) -> bool:
    """Whether a cell of the sheet is the cell of the frame: as it is, or as its text."""
    text = cell_text(cell)
    if text is None:
        return found == ""
    if isinstance(found, bool):
        return found == cell
    if isinstance(found, float):
        return bool((type(cell)(found) if isinstance(cell, np.floating) else found) == cell)
    if isinstance(found, dt.date):
        return bool(found == cell if type(cell) is dt.date else pd.Timestamp(found) == cell)
    if isinstance(found, dt.timedelta):
        return bool(pd.Timedelta(found) == cell)
    return bool(found == text)


def check(frame: pd.DataFrame) -> None:
    window = window_of(frame)
    try:
        data = written(window, "xlsx")
    except (UnsupportedTypeError, InvalidInputError):
        return
    names, arrays = window.columns()
    if not names:
        return
    rows = read(data)
    assert [str(name) for name in rows[0]] == names
    assert len(rows) <= len(frame) + 1  # calamine leaves out what is empty at the end
    width, missing = len(names), [""] * len(names)
    rows = [row + missing[len(row) :] for row in rows[1:]] + [missing] * (len(frame) + 1 - len(rows))
    assert all(len(row) == width for row in rows)
    for i, array in enumerate(arrays):
        try:
            cells = cells_of(array)
        except (ValueError, OverflowError):  # Python has no value for one
            continue
        assert all(map(same, [row[i] for row in rows], cells)), ([row[i] for row in rows], cells)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_frame_is_written_or_refused(kind: str) -> None:
    check_each(kind, check)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_frame_is_written_or_refused(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_of_many_frames_is_written_or_refused(frame: pd.DataFrame) -> None:
    check(frame)


def column(cells: Any) -> list[Any]:
    """Return a column as calamine finds it in the file."""
    return [row[0] for row in read(written(window_of(pd.DataFrame({"a": cells})), "xlsx"))[1:]]


def sheet_xml(frame: pd.DataFrame) -> str:
    with zipfile.ZipFile(io.BytesIO(written(window_of(frame), "xlsx"))) as package:
        assert package.testzip() is None
        return package.read("xl/worksheets/sheet1.xml").decode()


def test_every_digit_of_a_float_is_kept() -> None:
    cells = [0.1 + 0.2, 1e300, 5e-324, -0.1, 2.0**53]
    assert column(cells) == cells


def test_infinities_are_texts_and_missing_values_are_no_cells() -> None:
    assert column([math.inf, -math.inf, 1.0]) == ["inf", "-inf", 1.0]
    assert '<row r="2"><c r="B2"><v>1</v></c></row>' in sheet_xml(pd.DataFrame({"a": [None], "b": [1]}))


def test_integers_of_more_digits_than_excel_keeps_are_texts() -> None:
    assert column([10**15, 5]) == ["1000000000000000", "5"]
    assert column([10**15 - 1, -(10**15) + 1]) == [10**15 - 1, 1 - 10**15]
    assert column(pd.array([2**60, None], dtype="Int64")) == [str(2**60)]


def test_texts_are_no_formulas_and_keep_their_characters() -> None:
    cells = ["=1+1", " a & <b> ", "x\r\ny\tz", "\x00\x1f", "_x0041_", "https://example.org", "007"]
    assert column(cells) == cells


def test_booleans_and_categories_are_given_as_they_are() -> None:
    assert column([True, False]) == [True, False]
    assert column(pd.Categorical(["x", None, "y"])) == ["x", "", "y"]
    assert column(pd.Categorical([3, 5, 3])) == [3, 5, 3]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_are_dates_of_excel(unit: str) -> None:
    cells = np.array(["1900-03-01", "2024-02-29T23:59:59", "NaT", "2200-12-31T12:00"], dtype=f"M8[{unit}]")
    assert column(cells) == [
        dt.date(1900, 3, 1), dt.datetime(2024, 2, 29, 23, 59, 59), "", dt.datetime(2200, 12, 31, 12),
    ]  # fmt: skip


def test_milliseconds_are_kept_and_shown() -> None:
    found = column(np.array(["2024-02-29T23:59:59.999"], dtype="M8[us]"))
    assert found == [dt.datetime(2024, 2, 29, 23, 59, 59, 999_000)]


@pytest.mark.parametrize("odd", ["1900-02-28T00:00:00", "2024-01-01T00:00:00.000001", "0001-01-01T00:00:00"])
def test_instants_that_excel_has_not_make_their_column_text(odd: str) -> None:
    assert column(np.array([odd, "2024-01-01"], dtype="M8[us]")) == [odd, "2024-01-01T00:00:00"]


def test_instants_with_a_zone_are_text() -> None:
    assert column(pd.date_range("2024-01-01", periods=1, tz="Europe/Paris")) == ["2024-01-01T00:00:00+01:00"]


def test_durations_are_hours_of_excel_unless_one_is_negative() -> None:
    spans = [dt.timedelta(seconds=90), dt.timedelta(days=3)]
    assert column(pd.to_timedelta(spans)) == spans
    assert column(pd.to_timedelta([-1, 1], unit="s")) == ["-P0DT0H0M1S", "P0DT0H0M1S"]


def test_styles_are_those_that_the_parts_name() -> None:
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime(["2024-01-01"]),
            "second": pd.to_datetime(["2024-01-01T00:00:01"]),
            "milli": pd.to_datetime(["2024-01-01T00:00:00.001"]),
            "span": pd.to_timedelta(["1s"]),
            "short": pd.to_timedelta(["1ms"]),
            "number": [1],
        }
    )
    sheet = openpyxl.load_workbook(io.BytesIO(written(window_of(frame), "xlsx"))).active
    assert [cell.number_format for cell in sheet[2]] == [
        r"yyyy\-mm\-dd", r"yyyy\-mm\-dd\ hh:mm:ss", r"yyyy\-mm\-dd\ hh:mm:ss.000",
        "[h]:mm:ss", "[h]:mm:ss.000", "General",
    ]  # fmt: skip
    assert sheet.dimensions == "A1:F2"


def test_columns_beyond_z_are_named_as_excel_does() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(written(window_of(pd.DataFrame([range(800)])), "xlsx"))).active
    assert [cell.value for cell in sheet[2]] == list(range(800))
    assert sheet.dimensions == "A1:ADT2"


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"a": np.zeros(excel.MAX_ROWS, dtype="i1")}), "1,048,576 rows .* Parquet"),
        (pd.DataFrame(np.zeros((1, excel.MAX_COLUMNS + 1), dtype="i1")), "16,384 columns .* Parquet"),
        (pd.DataFrame({"long": ["x" * 32_768]}), r"column 'long' has one of 32,768\..* Parquet"),
        (pd.DataFrame({"astral": ["\U0001f600" * 16_384]}), "column 'astral' has one of 32,768"),
        (pd.DataFrame([[1]], columns=["n" * 40_000]), "the header has one of 40,000"),
        (pd.DataFrame(index=range(3)), "no rows without columns"),
    ],
    ids=["rows", "columns", "characters", "astral", "header", "bare rows"],
)
def test_what_a_sheet_has_no_room_for_is_refused(frame: pd.DataFrame, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        written(window_of(frame), "xlsx")


def test_the_longest_text_and_the_last_row_have_room() -> None:
    assert column(["x" * 32_767, "\U0001f600" * 16_383]) == ["x" * 32_767, "\U0001f600" * 16_383]
    excel.workbook(window_of(pd.DataFrame({"a": np.zeros(excel.MAX_ROWS - 1, dtype="i1")})))


def test_equal_frames_are_equal_files() -> None:
    frame = pd.DataFrame({"a": [1, 2], "t": ["x", None]})
    assert written(window_of(frame), "xlsx") == written(window_of(frame.copy()), "xlsx")


def test_a_large_frame_comes_in_pieces() -> None:
    frame = pd.DataFrame(np.random.default_rng(1).random((60_000, 10)))
    found = list(excel.workbook(window_of(frame)))
    assert len(found) >= 4
    assert max(map(len, found)) < 4 << 20
    assert len(read(b"".join(found))) == 60_001


def test_an_empty_frame_is_a_header() -> None:
    assert read(written(window_of(pd.DataFrame({"a": [], "b": []})), "xlsx")) == [["a", "b"]]
    assert read(written(window_of(pd.DataFrame()), "xlsx")) == []


def test_arrow_days_that_excel_has_not_are_text() -> None:
    days = pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array([dt.date(1800, 1, 1), None])]))
    assert column(days) == ["1800-01-01"]

"""CSV and TSV hold the text of every value, or its column is refused by name."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odds import KINDS, check_each
from windows import window_of, written

from framekeep.errors import UnsupportedTypeError
from framekeep.exporting.cells import json_text
from framekeep.exporting.columns import json_column
from framekeep.exporting.delimited import delimited
from framekeep.exporting.texts import cell_text, texts_of
from framekeep.exporting.times import instant_texts
from framekeep.testing.frames import frames

csv.field_size_limit(1 << 30)


def parsed(data: bytes, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter, strict=True))


def cells_of(array: Any) -> list[Any]:
    if isinstance(array, pd.arrays.SparseArray):
        return list(np.asarray(array))
    if isinstance(array, pd.Categorical):
        return [None if code < 0 else array.categories[code] for code in array.codes]
    return list(array)


def same(text: str, cell: Any) -> bool:
    """Whether a cell of the file is the cell of the frame."""
    if isinstance(cell, bool | np.bool_):
        return text == str(cell).lower()
    if isinstance(cell, np.integer | np.floating) and not isinstance(cell, np.timedelta64 | np.longdouble):
        return text == "" if np.isnan(cell) else type(cell)(text) == cell
    if isinstance(cell, float):
        return text == "" if math.isnan(cell) else float(text) == cell
    return text == (cell_text(cell) or "")


def check(frame: pd.DataFrame) -> None:
    window = window_of(frame)
    try:
        data = written(window, "csv")
    except UnsupportedTypeError as refusal:
        assert "no Unicode" in str(refusal)  # noqa: PT017 - the only reason there is
        return
    names, arrays = window.columns()
    if not names:
        assert data == b"\n" * (1 + len(frame))
        return
    header, *rows = parsed(data)
    assert header == names
    assert len(rows) == len(frame)
    for i, array in enumerate(arrays):
        try:
            cells = cells_of(array)
        except (ValueError, OverflowError):  # Python has no value for one
            continue
        column = [
            row[i] if row else "" for row in rows
        ]  # a missing value in the only column is an empty line
        assert all(map(same, column, cells)), (column, cells)


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


def text(frame: pd.DataFrame, name: str = "csv", **options: Any) -> str:
    return written(window_of(frame), name, **options).decode()


def test_a_missing_value_is_not_an_empty_text() -> None:
    frame = pd.DataFrame(
        {"t": ["", None, "x"], "n": [1.5, np.nan, 2.0], "i": pd.array([1, None, 3], dtype="Int64")}
    )
    assert text(frame) == '"t","n","i"\n"",1.5,1\n,,\n"x",2,3\n'


def test_the_only_column_keeps_its_missing_values_as_empty_lines() -> None:
    assert text(pd.DataFrame({"t": ["a", None, ""]})) == '"t"\n"a"\n\n""\n'


def test_quotes_delimiters_and_line_breaks_stay_within_their_cell() -> None:
    cells = ['say "x"', "a,b", "a\tb", "a\nb", "a\r\nb", "'", "\\"]
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        data = written(window_of(pd.DataFrame({"t": cells, "u": cells})), name)
        assert parsed(data, delimiter)[1:] == [[cell, cell] for cell in cells]


def test_an_index_that_says_something_is_written_after_the_columns() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="who"))
    assert text(frame) == '"a","who"\n1,"x"\n2,"y"\n'
    assert text(frame.reset_index(drop=True)) == '"a"\n1\n2\n'
    assert text(frame.set_axis([5, 7])).splitlines()[0] == '"a","__index_level_0__"'


def test_a_cell_that_is_no_unicode_is_refused_with_its_column_and_row() -> None:
    frame = pd.DataFrame({"fine": [1, 2, 3], "odd": pd.Series(["a", "b", "secret\ud800"], dtype=object)})
    with pytest.raises(UnsupportedTypeError, match=r"column 'odd' .* \(first in row 2\).* JSON") as refusal:
        text(frame)
    assert "secret" not in str(refusal.value)
    assert refusal.value.where == "column 'odd'"


def test_a_name_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(UnsupportedTypeError, match="number 2"):
        text(pd.DataFrame([[1, 2]], columns=pd.Index(["a", "\ud800"], dtype=object)))


def test_arrow_text_that_is_no_utf_8_is_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")]
    )
    frame = pd.DataFrame({"odd": pd.arrays.ArrowExtensionArray(pa.chunked_array([bad]))})
    with pytest.raises(UnsupportedTypeError, match="column 'odd'"):
        text(frame)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=", "\uff1d1+1", "-"]
)
def test_formulas_are_neutralized_in_cells_and_headers(cell: str) -> None:
    frame = pd.DataFrame({cell: [cell, "plain"], "c": pd.Categorical([cell, "plain"])})
    assert parsed(written(window_of(frame), "csv", neutralize_formulas=True)) == [
        ["'" + cell, "c"], ["'" + cell, "'" + cell], ["plain", "plain"],
    ]  # fmt: skip
    assert parsed(written(window_of(frame), "csv"))[1] == [cell, cell]


def test_numbers_are_not_neutralized() -> None:
    cells = ["-5", "+4915112345", "-1.5e-7", "-1,5"]
    frame = pd.DataFrame({"n": [-1, -2, -3, -4], "f": [-0.5, np.nan, -np.inf, 1.0], "t": cells})
    rows = parsed(written(window_of(frame), "csv", neutralize_formulas=True))[1:]
    assert [row[0] for row in rows] == ["-1", "-2", "-3", "-4"]
    assert [row[1] for row in rows] == ["-0.5", "", "-inf", "1"]
    assert [row[2] for row in rows] == cells


ticks = (
    st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**12), 10**12) | st.sampled_from([-1, 0, 1, 999, 1000])
)


@given(st.lists(ticks, max_size=5), st.sampled_from(["s", "ms", "us", "ns"]))
def test_instants_are_written_as_their_texts_are_one_by_one(values: list[int], unit: str) -> None:
    array = np.array(values, dtype="i8").view(f"M8[{unit}]")
    found = texts_of(pd.array(array), "", lambda texts: texts)(0, len(array)).to_pylist()
    assert found == instant_texts(array)
    assert [json_text(cell) for cell in json_column(array) if cell] == [cell for cell in found if cell]


def test_long_texts_come_in_pieces() -> None:
    long = "x" * 100_000
    frame = pd.DataFrame(
        {"o": pd.Series([long] * 200, dtype=object), "t": pd.array([long] * 200, dtype="str")}
    )
    found = list(delimited(window_of(frame), ","))
    assert max(map(len, found)) < 8 << 20
    assert parsed(b"".join(found)) == [["o", "t"]] + [[long, long]] * 200

"""What a cell is in JSON, and what stands around the rows."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from windows import page, table_of, window_of, written

from framekeep.errors import InvalidInputError
from framekeep.exporting import documents, window
from framekeep.exporting.cells import MAX_DEPTH, json_cell
from framekeep.exporting.columns import json_column

PARIS = ZoneInfo("Europe/Paris")


def objects(*cells: Any) -> pd.Series[Any]:
    array = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        array[position] = cell
    return pd.Series(array, dtype=object)


def arrow(cells: list[object], kind: pa.DataType) -> Any:
    return pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(cells, kind)]))


def shown(frame: pd.DataFrame, **options: Any) -> Any:
    return json.loads(page(window_of(frame), **options))


CELLS: dict[str, tuple[object, object]] = {
    "nothing": (None, None),
    "NA": (pd.NA, None),
    "NaT": (pd.NaT, None),
    "NaN": (math.nan, None),
    "an infinity": (-math.inf, None),
    "a numpy NaN": (np.float32("nan"), None),
    "true": (True, True),
    "numpy's true": (np.True_, True),
    "the largest integer a double holds": (2**53 - 1, 9007199254740991),
    "a larger one": (2**53, "9007199254740992"),
    "a negative one": (-(2**70), "-1180591620717411303424"),
    "an integer of more digits than Python prints": (10**5000, hex(10**5000)),
    "an unsigned one": (np.uint64(2**64 - 1), "18446744073709551615"),
    "a single-precision float": (np.float32(0.1), 0.1),
    "a complex number": (1 + 2j, "(1+2j)"),
    "a decimal": (Decimal("1.500"), "1.500"),
    "a decimal that is none": (Decimal("sNaN"), None),
    "a fraction": (Fraction(-3, 7), "-3/7"),
    "bytes": (b"\x00\xff", "AP8="),
    "an instant": (dt.datetime(2024, 5, 6, 7, 8, 9, 10), "2024-05-06T07:08:09.000010"),
    "an instant with a zone": (dt.datetime(2024, 5, 6, 7, tzinfo=PARIS), "2024-05-06T07:00:00+02:00"),
    "an instant before zones had whole minutes": (
        dt.datetime(1900, 1, 1, tzinfo=PARIS), "1899-12-31T23:50:39+00:00",
    ),
    "nanoseconds": (pd.Timestamp("2024-05-06T07:08:09.000000001"), "2024-05-06T07:08:09.000000001"),
    "a day": (dt.date(2024, 2, 29), "2024-02-29"),
    "a time of day": (dt.time(1, 2, 3), "01:02:03"),
    "a month of numpy's": (np.datetime64("2024-05"), "2024-05"),
    "a duration": (dt.timedelta(days=1, hours=2, microseconds=5), "P1DT2H0M0.000005S"),
    "a negative duration": (pd.Timedelta(-1, "ns"), "-P0DT0H0M0.000000001S"),
    "minutes of numpy's": (np.timedelta64(90, "m"), "P0DT1H30M0S"),
    "months of numpy's": (np.timedelta64(-2, "M"), "P-2M"),
    "a period": (pd.Period("2024-05"), "2024-05"),
    "an interval": (pd.Interval(-math.inf, 5.0), "(-inf, 5.0]"),
    "an interval of instants": (
        pd.Interval(pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02"), "left"),
        "[2024-01-01T00:00:00, 2024-01-02T00:00:00)",
    ),
    "a UUID": (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    "a list": ([1, [math.nan, (2**60,)]], [1, [None, ["1152921504606846976"]]]),
    "a set": ({3, 1, 2}, [1, 2, 3]),
    "a dict": ({"a": 1, 2: [b"x"]}, {"a": 1, "2": ["eA=="]}),
    "a dict whose keys are one text": ({"1": "a", 1: "b"}, [["1", "a"], ["1", "b"]]),
    "an array": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    "an array of instants": (np.array(["2024-01-01", "NaT"], dtype="M8[s]"), ["2024-01-01T00:00:00", None]),
    "a Series": (pd.Series([1.5, None]), [1.5, None]),
    "a frame": (pd.DataFrame({"a": [1], "b": ["x"]}), {"columns": ["a", "b"], "rows": [[1, "x"]]}),
    "an Arrow array": (pa.array([1, None]), [1, None]),
    "a lone surrogate": ("a\ud800b", "a\ufffdb"),
    "one in a dict": ({"\ud800": ["\udfff"]}, {"\ufffd": ["\ufffd"]}),
    "keys that differ in one": (dict.fromkeys(["\ud800", "\ud801"], 1), [["\ufffd", 1], ["\ufffd", 1]]),
}  # fmt: skip


@pytest.mark.parametrize("what", CELLS)
def test_a_cell_is_given_as(what: str) -> None:
    cell, expected = CELLS[what]
    assert shown(pd.DataFrame({"a": objects(cell, 1)}))["rows"] == [[expected], [1]]


COLUMNS: dict[str, tuple[Any, list[object]]] = {
    "floats": ([1.5, math.nan, math.inf, -0.0], [1.5, None, None, -0.0]),
    "integers": ([1, 2**53, -(2**53)], [1, "9007199254740992", "-9007199254740992"]),
    "nullable integers": (pd.array([2**60, None], dtype="Int64"), ["1152921504606846976", None]),
    "nullable floats": (pd.array([0.1, None], dtype="Float32"), [0.1, None]),
    "booleans": (pd.array([True, None], dtype="boolean"), [True, None]),
    "text": (["a", None, ""], ["a", None, ""]),
    "categories": (pd.Categorical([2**60, None], categories=[2**60, 7]), ["1152921504606846976", None]),
    "bins": (pd.cut([1, 9, math.nan], [0, 5, math.inf]), ["(0.0, 5.0]", "(5.0, inf]", None]),
    "seconds": (np.array(["2024-01-01T10:00:00", "NaT"], dtype="M8[s]"), ["2024-01-01T10:00:00", None]),
    "nanoseconds": (
        np.array(["2024-01-01T10:00:00", "2024-01-01T10:00:00.000000001"], dtype="M8[ns]"),
        ["2024-01-01T10:00:00", "2024-01-01T10:00:00.000000001"],
    ),
    "years beyond 9999": (np.array([10**11 * 4], dtype="M8[s]"), ["14645-06-30T15:06:40"]),
    "instants in zones": (
        pd.array(["2024-01-01T12:00", None], dtype="datetime64[us, Asia/Kathmandu]"),
        ["2024-01-01T12:00:00+05:45", None],
    ),
    "durations": (np.array([90, -1], dtype="m8[s]"), ["P0DT0H1M30S", "-P0DT0H0M1S"]),
    "Arrow decimals": (arrow([Decimal("1.50"), None], pa.decimal128(9, 2)), ["1.50", None]),
    "Arrow lists": (arrow([[1, None], None], pa.list_(pa.int64())), [[1, None], None]),
}  # fmt: skip


@pytest.mark.parametrize("what", COLUMNS)
def test_a_column_is_given_as(what: str) -> None:
    cells, expected = COLUMNS[what]
    found = shown(pd.DataFrame({"a": cells}))["rows"]
    assert repr([cell for [cell] in found]) == repr(expected)


def test_a_document_says_what_it_holds() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], ("b", 1): ["x", "y", "z"]})
    assert json.loads(page(window_of(frame, 1, 3))) == {
        "columns": [{"name": "a", "dtype": "int64"}, {"name": "('b', 1)", "dtype": "str"}],
        "rows": [[2, "y"], [3, "z"]],
        "offset": 1,
        "limit": 2,
        "total_rows": 3,
    }


def test_records_are_objects_by_name() -> None:
    frame = pd.DataFrame({"a": [1], 2: ["x"]})
    assert shown(frame, orient="records")["rows"] == [{"a": 1, "2": "x"}]


def test_an_index_that_says_something_is_given() -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="who"))
    found = shown(frame)
    assert (found["index_names"], found["index"]) == (["who"], ["x", "y"])
    levels = pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
    found = shown(frame.set_axis(levels))
    assert (found["index_names"], found["index"]) == (["k", None], [["x", 1], ["y", 2]])


@pytest.mark.parametrize(
    "index", [pd.RangeIndex(1, 3), pd.RangeIndex(0, 4, 2), pd.RangeIndex(2, name="n"), [0, 1]], ids=repr
)
def test_an_index_that_counts_in_another_way_is_given_too(index: Any) -> None:
    assert shown(pd.DataFrame({"a": [1, 2]}, index=index))["index"] == list(index)


@pytest.mark.parametrize("labels", [["a", "a"], [1, "1"], ["\ud800", "\ud801"]], ids=repr)
def test_records_of_one_name_are_refused_with_the_next_step(labels: list[object]) -> None:
    given = window_of(pd.DataFrame([[1, 2]], columns=pd.Index(labels, dtype=object)))
    assert json.loads(page(given))["rows"] == [[1, 2]]
    for write in (lambda: page(given, "records"), lambda: written(given, "jsonl")):
        with pytest.raises(InvalidInputError, match="orient=rows"):
            write()


def test_an_unknown_orient_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'rows' or 'records'"):
        page(window_of(pd.DataFrame({"a": [1]})), "split")


def test_lines_are_an_object_each_with_the_index_in_it() -> None:
    frame = pd.DataFrame({"a": [1, math.nan]}, index=pd.Index(["x", "\u2028"], name="who"))
    data = written(window_of(frame), "jsonl")
    assert [json.loads(line) for line in data.split(b"\n")[:-1]] == [
        {"a": 1.0, "who": "x"}, {"a": None, "who": "\u2028"},
    ]  # fmt: skip


@pytest.mark.parametrize("orient", ["rows", "records"])
def test_a_large_frame_comes_in_pieces_that_are_the_same_document(
    orient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame({"a": range(5_000), "t": "x"}, index=pd.Index(range(5_000), name="i"))
    given = window_of(frame)
    whole = page(given, orient)
    monkeypatch.setattr(window, "BATCH_BYTES", 4_000)
    found = list(documents.document(given, given.rows, orient))
    assert b"".join(found) == whole
    assert len(found) > 50
    assert max(map(len, found)) < 20_000


# --- hostile cells --------------------------------------------------------------------------------


def test_a_cell_that_holds_itself_is_given_as_text() -> None:
    cell: list[object] = []
    cell.append(cell)
    assert json_cell(cell) == f"<list: cyclic, or nested more than {MAX_DEPTH} deep>"


def test_a_cell_that_is_nested_deep_is_given_as_text() -> None:
    cell: object = 1
    for _ in range(MAX_DEPTH):
        cell = [cell]
    assert isinstance(json_cell(cell), list)
    assert json_cell([cell]) == f"<list: cyclic, or nested more than {MAX_DEPTH} deep>"


def test_a_cell_that_holds_one_list_a_billion_times_is_given_as_text() -> None:
    cell: list[object] = [0] * 10
    for _ in range(30):
        cell = [cell, cell]
    [[found]] = shown(pd.DataFrame({"a": objects(cell)}))["rows"]
    assert found == "<list: more than 10,000 parts are repeated>"


def test_a_part_that_is_repeated_a_little_is_given_each_time() -> None:
    part = [1, 2]
    assert json_cell([part] * 1000) == [[1, 2]] * 1000


def test_a_large_cell_is_given_whole() -> None:
    cell = [[i] for i in range(200_000)]
    assert json_cell(cell) == cell
    array = np.arange(300_000).reshape(-1, 3)
    assert json_cell(array) == array.tolist()


MANY = [f"word {i}" for i in range(1000)]


@pytest.mark.parametrize("used", [["word 999", None, "word 3", "word 999"], [None], [], ["word 0"]], ids=str)
def test_of_many_categories_only_those_that_are_there_are_looked_at(used: list[str | None]) -> None:
    cells = pd.Categorical(used, categories=MANY)
    codes = pa.array([None if cell is None else MANY.index(cell) for cell in used], pa.int16())
    words = pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.DictionaryArray.from_arrays(codes, MANY)]))
    assert json_column(cells) == json_column(words) == used


def test_a_long_category_is_not_written_for_many_rows_at_once() -> None:
    codes = np.zeros(100_000, dtype="int8")
    frame = pd.DataFrame({"c": pd.Categorical.from_codes(codes, pd.Index(["y" * 100_000]))})
    found = window_of(frame)
    start, stop = next(found.batches())
    assert (stop - start) * 100_000 <= 64 << 20
    with pytest.raises(InvalidInputError, match="page would have more"):
        documents.page_json(found, 100_000)


@pytest.mark.parametrize("names", [[1, 0], [pd.NA, None], [math.nan, 0]], ids=repr)
def test_levels_are_found_by_their_place_whatever_they_are_called(names: list[object]) -> None:
    levels = pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=names)
    given = window_of(pd.DataFrame({"a": [5, 6]}, index=levels))
    assert json.loads(page(given))["index"] == [["x", 1], ["y", 2]]
    assert [row.split(",")[1:] for row in written(given, "csv").decode().splitlines()[1:]] == [
        ['"x"', "1"], ['"y"', "2"],
    ]  # fmt: skip
    assert [list(row.values())[1:] for row in table_of(given).to_pylist()] == [["x", 1], ["y", 2]]

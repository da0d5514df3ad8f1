"""Tables in JSON are read with every digit and every member, or refused; no shape is guessed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    UnknownColumnError,
    UnreadableFileError,
    WrongTypeError,
)
from framekeep.importing import json_source
from framekeep.importing.json_tables import preview_json, read_json
from framekeep.importing.model import ImportOptions, Limits, Parsed
from framekeep.importing.spool import Spool

LIMITS = Limits()


@dataclass(frozen=True)
class Read:
    """What came of a JSON file."""

    parsed: Parsed
    typed: pa.Table
    text: pa.Table | None

    @property
    def notes(self) -> str:
        return " | ".join((*self.parsed.notes, *self.parsed.tables[0].notes))

    @property
    def types(self) -> list[str]:
        return [column.type for column in self.parsed.tables[0].columns]

    @property
    def reasons(self) -> list[str]:
        return [column.reason for column in self.parsed.tables[0].columns]


Reading = Callable[..., Read]


def no_progress(done: float, what: str) -> None:
    """Ignore it."""


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    count = 0

    def from_content(content: str | bytes, limits: Limits = LIMITS, **options: Any) -> Read:
        nonlocal count
        count += 1
        directory = tmp_path / str(count)
        directory.mkdir()
        path = directory / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with (directory / "spool").open("w+b") as file:
            spool = Spool(file, directory)
            asked = ImportOptions(**{"format": "json", **options})
            parsed = read_json(path, asked, limits, no_progress, spool)
            table = parsed.tables[0]
            return Read(parsed, spool.open(table.typed), table.text and spool.open(table.text))

    return from_content


TABLE = {"a": [1, 2], "b": ["x", None]}
SHAPES = {
    "records": '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]',
    "records that lack members": '[{"a": 1, "b": "x"}, {"a": 2}]',
    "lines": '{"a": 1, "b": "x"}\n{"a": 2}\n',
    "lines with blank ones": '\n{"a": 1, "b": "x"}\r\n\r\n{"a": 2}',
    "objects over several lines": '{"a": 1,\n "b": "x"}\n{"a":\n2}\n',
    "split": '{"columns": ["a", "b"], "data": [[1, "x"], [2, null]]}',
    "split with an index that counts": '{"columns":["a","b"],"index":[0,1],"data":[[1,"x"],[2,null]]}',
    "split with short rows": '{"columns": ["a", "b"], "data": [[1, "x"], [2]]}',
    "a page": '{"columns":[{"name":"a","dtype":"int64"},{"name":"b"}],"rows":[[1,"x"],[2,null]]}',
    "columns": '{"a": [1, 2], "b": ["x", null]}',
    "columns by row number": '{"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": null}}',
    "rows with names": '[["a", "b"], [1, "x"], [2, null]]',
    "records under a name": '{"items": [{"a": 1, "b": "x"}, {"a": 2}]}',
    "the table form of pandas": '{"schema": {"fields": []}, "data": [{"a": 1, "b": "x"}, {"a": 2}]}',
    "a byte-order mark": b"\xef\xbb\xbf" + b'[{"a": 1, "b": "x"}, {"a": 2}]',
    "UTF-16": '[{"a": 1, "b": "x"}, {"a": 2}]'.encode("utf-16"),
    "gzip": gzip.compress(b'[{"a": 1, "b": "x"}, {"a": 2}]', mtime=0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_reads(read: Reading, shape: str) -> None:
    assert read(SHAPES[shape]).typed.to_pydict() == TABLE


@pytest.mark.parametrize("shape", SHAPES)
def test_shows_the_first_rows_of(tmp_path: Path, shape: str) -> None:
    content = SHAPES[shape]
    (tmp_path / "file").write_bytes(content if isinstance(content, bytes) else content.encode())
    (preview,) = preview_json(tmp_path / "file", ImportOptions(format="json"), LIMITS, no_progress)
    assert (preview.rows, preview.columns, preview.header) == (2, 2, ("a", "b"))
    assert preview.first == (("1", "x"), ("2", None))


def test_one_line_is_a_table_of_one_row_where_lines_are_meant(read: Reading) -> None:
    assert read('{"a": 1}', format="jsonl").typed.to_pydict() == {"a": [1]}


def test_lists_may_stand_in_lines(read: Reading) -> None:
    assert read('["a", "b"]\n[1, 2]\n', format="jsonl").typed.to_pydict() == {"a": [1], "b": [2]}


def test_lists_without_names_are_numbered(read: Reading) -> None:
    assert read("[[1, 2], [3, 4]]").typed.to_pydict() == {"column_1": [1, 3], "column_2": [2, 4]}
    assert read('[["x"], ["y"]]', header=None).typed.to_pydict() == {"column_1": ["x", "y"]}


def test_names_may_stand_further_down(read: Reading) -> None:
    assert read('[["x"], ["a"], [1]]', header=1).typed.to_pydict() == {"a": [1]}


def test_an_index_becomes_a_column(read: Reading) -> None:
    found = read('{"columns": ["a"], "index": ["x", "y"], "data": [[1], [2]]}')
    assert found.typed.to_pydict() == {"index": ["x", "y"], "a": [1, 2]}
    assert "The index is the first column." in found.notes


def test_names_are_made_different(read: Reading) -> None:
    assert read('{"columns": ["a", "a", ""], "data": [[1, 2, 3]]}').typed.column_names == [
        "a",
        "a_2",
        "column_3",
    ]


def test_a_page_tells_that_it_is_not_all(read: Reading) -> None:
    assert "1 of 9 rows" in read('{"columns": ["a"], "rows": [[1]], "total_rows": 9}').notes


def test_what_is_beside_the_table_is_told(read: Reading) -> None:
    assert "'licence'" in read('{"columns": ["a"], "data": [[1]], "licence": "MIT"}').notes


def test_members_that_come_late_are_columns_too(read: Reading) -> None:
    rows = [{"a": at} for at in range(20_000)] + [{"b": 1}]
    found = read(json.dumps(rows)).typed
    assert found.column("b").to_pylist() == [None] * 20_000 + [1]


# --- types --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ("1 | null | -2", "integer", [1, None, -2]),
        ("9007199254740993", "integer", [9007199254740993]),
        ("18446744073709551615", "integer", [2**64 - 1]),
        ("18446744073709551616 | 1", "text", ["18446744073709551616", "1"]),
        ("-1 | 18446744073709551615", "text", ["-1", "18446744073709551615"]),
        ("1.5 | 2 | 1e3", "number", [1.5, 2.0, 1000.0]),
        ("9007199254740993 | 0.5", "text", ["9007199254740993", "0.5"]),
        ("0.12345678901234567890 | 1.5", "text", ["0.12345678901234567890", "1.5"]),
        ("1e400", "text", ["1e400"]),
        ("Infinity | -Infinity", "number", [float("inf"), float("-inf")]),
        ("NaN | 1", "integer", [None, 1]),
        ("true | false | null", "boolean", [True, False, None]),
        ('"00501" | "1" | "1.50"', "text", ["00501", "1", "1.50"]),
        ('"2021-01-02" | null', "date", [date(2021, 1, 2), None]),
        ('"2021-01-02" | "soon"', "text", ["2021-01-02", "soon"]),
        ('1 | "x" | true', "text", ["1", "x", "true"]),
        ('1 | 2.0 | "x"', "text", ["1", "2.0", "x"]),
        ('{"b": [1, "é"]} | [] | null', "text", ['{"b": [1, "é"]}', "[]", None]),
        ('{"b": 0.12345678901234567890}', "text", ['{"b": 0.12345678901234567890}']),
        ("null | null", "text", [None, None]),
        (r'"\u0000\ud83d\ude00"', "text", ["\0😀"]),
    ],
)
def test_keeps_every_value_as_it_is(read: Reading, values: str, kind: str, expected: list[Any]) -> None:
    found = read("".join(f'{{"a": {value}}}\n' for value in values.split(" | ")), format="jsonl")
    assert (found.types, found.typed.column("a").to_pylist()) == ([kind], expected)


def test_kinds_that_change_late_are_text_from_the_start(read: Reading) -> None:
    rows = [{"a": at, "b": at, "c": at} for at in range(40_000)] + [{"a": "x", "b": 0.5, "c": True}]
    found = read("\n".join(map(json.dumps, rows)))
    assert found.types == ["text", "number", "text"]
    assert found.typed.column("a").to_pylist() == [*map(str, range(40_000)), "x"]
    assert found.typed.column("b").to_pylist() == [*map(float, range(40_000)), 0.5]


def test_says_how_many_values_are_of_which_kind(read: Reading) -> None:
    (reason,) = read('[{"a": 1}, {"a": 2}, {"a": "x"}]').reasons
    assert reason == "the values are of several kinds: 2 whole numbers, 1 text (the first text is in row 3)"


def test_says_why_numbers_stayed_text(read: Reading) -> None:
    (reason,) = read('[{"a": 1.5}, {"a": 0.12345678901234567890}]').reasons
    assert reason == "some numbers have more digits than a number type keeps, the first in row 2"


def test_nan_is_told(read: Reading) -> None:
    assert (
        "NaN, which JSON does not have, was read as no value: 2 times." in read('{"a": [NaN, NaN, 1]}').notes
    )


def test_the_text_of_dates_is_kept(read: Reading) -> None:
    found = read('[{"a": "2021-01-02", "b": 1}]')
    assert found.text is not None
    assert found.text.to_pydict() == {"a": ["2021-01-02"], "b": [1]}


def test_json_with_types_of_its_own_has_no_text(read: Reading) -> None:
    assert read('[{"a": 1, "b": "x"}]').text is None


def test_dates_are_left_alone_without_typing(read: Reading) -> None:
    assert read('[{"a": "2021-01-02", "b": 1}]', typing=False).types == ["text", "integer"]


def test_types_can_be_asked_for(read: Reading) -> None:
    found = read('[{"a": "007", "b": 1.50, "c": 3}]', types={"a": "integer", "b": "text", "c": "number"})
    assert found.typed.to_pydict() == {"a": [7], "b": ["1.5"], "c": [3.0]}


@pytest.mark.parametrize(
    ("types", "error"), [({"a": "integer"}, WrongTypeError), ({"z": "text"}, UnknownColumnError)]
)
def test_types_that_do_not_fit_are_refused(
    read: Reading, types: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read('[{"a": "x"}]', types=types)


def test_words_for_missing_values_are_no_values(read: Reading) -> None:
    assert read('{"a": ["NA", "x"]}', missing=("NA",)).typed.to_pydict() == {"a": [None, "x"]}


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error", "says", "where"),
    [
        (b"", EmptyFileError, "empty", ""),
        (b" \n", EmptyFileError, "white space", ""),
        (b"\xef\xbb\xbf", EmptyFileError, "white space", ""),
        ("[]", EmptyFileError, "no row", ""),
        ("[{}, {}]", EmptyFileError, "no columns", ""),
        ("42", UnreadableFileError, "no table: it is a single value", ""),
        ("[1, 2]", UnreadableFileError, "a list of single values", ""),
        ('{"a": 1}', UnreadableFileError, "an object", ""),
        ('{"a": [1], "b": [1, 2]}', UnreadableFileError, "differ in length", ""),
        ('{"a": {"x": 1}}', UnreadableFileError, "its members are no columns", ""),
        ('{"a": {"0": 1}, "b": {"1": 1}}', UnreadableFileError, "its members are no columns", ""),
        ('{"columns": [["a"]], "data": [[1]]}', UnreadableFileError, "names that are no texts", ""),
        ('{"columns": ["a"], "index": [1], "data": [[1], [2]]}', DamagedFileError, "another length", ""),
        ('[{"a": 1}, 2]', DamagedFileError, "not an object", "row 2"),
        ('[{"a": 1}, [2]]', DamagedFileError, "not an object", "row 2"),
        ('[[1], {"a": 2}]', DamagedFileError, "not a list", "row 2"),
        ('[["a"], [1], [1, 2]]', DamagedFileError, "2 cells, but there are 1 columns", "row 2"),
        ('[{"a": 1},\n {"a": 2,}]', DamagedFileError, "well-formed", "line 2, column 10"),
        ('[{"a": 1},]', DamagedFileError, "well-formed", "line 1, column 11"),
        ('[{"a": 1}', DamagedFileError, "a comma or ]", "line 1, column 10"),
        ('[{"a": 1}] x', DamagedFileError, "behind its end", "line 1, column 12"),
        ('[{"a": 1}]\n[{"a": 1}]x', DamagedFileError, "behind its end", "line 2, column 1"),
        ('{"a": 1}\n{"a": 2}\n{"a"', DamagedFileError, "well-formed", "line 3, column 5"),
        ('{"a": 1}\nx\n', DamagedFileError, "behind its end", "line 2, column 1"),
        ('[{"a": 1, "a": 2}]', DamagedFileError, "the name 'a' twice", "line 1, column 2"),
        ('[{"b": {"a": 1, "a": 2}}]', DamagedFileError, "the name 'a' twice", "line 1, column 2"),
        ('[{"a": "x\ny"}]', DamagedFileError, "control character", "line 1, column 10"),
        (r'[{"a": "\ud800"}]', DamagedFileError, "half a character", "row 1"),
        (r'[{"\ud800": 1}]', DamagedFileError, "half a character", ""),
        (r'[{"a": ["\ud800"]}]', DamagedFileError, "half a character", "row 1"),
        ('[{"a": ' + "9" * 5000 + "}]", DamagedFileError, "too many digits", "line 1, column 2"),
        ("[" * 100_000, DamagedFileError, "nested too deeply", "line 1, column 2"),
        ('[{"a":' * 100_000, DamagedFileError, "nested too deeply", "line 1, column 2"),
    ],
)
def test_refuses(
    read: Reading, content: str | bytes, error: type[UnreadableFileError], says: str, where: str
) -> None:
    with pytest.raises(error) as refusal:
        read(content)
    assert says in str(refusal.value)
    assert refusal.value.where == where


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(columns=1), "1 columns"),
        (Limits(rows=1), "1 rows"),
        (Limits(cells=3), "3 cells"),
        (Limits(field_bytes=3), "3 bytes"),
    ],
)
def test_refuses_more_than_it_may_read(read: Reading, limits: Limits, says: str) -> None:
    with pytest.raises(FileTooLargeError, match=says):
        read('[{"a": 1, "b": "abcd"}, {"a": 1, "b": "abcd"}]', limits)


def test_an_error_says_the_line_however_far_it_is(read: Reading) -> None:
    line = '{"a":"' + "x" * 10_000 + '"}\n'
    lines = json_source._WINDOW // len(line) * 2
    with pytest.raises(DamagedFileError) as refusal:
        read(line * lines + "{]")
    assert refusal.value.where == f"line {lines + 1:,}, column 2"


def test_values_may_lie_across_windows(read: Reading) -> None:
    long = "x" * (json_source._WINDOW - 20)
    found = read(json.dumps([{"a": long, "b": 12345678, "c": True}, {"a": long, "b": 87654321, "c": None}]))
    assert found.typed.to_pydict() == {"a": [long, long], "b": [12345678, 87654321], "c": [True, None]}


def test_a_preview_of_a_large_file_reads_its_beginning_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b'{"a":1}\n' * 700_000 + b"]")
    (preview,) = preview_json(tmp_path / "file", ImportOptions(format="jsonl"), LIMITS, no_progress)
    assert (preview.rows, preview.columns, preview.first[0]) == (None, 1, ("1",))


def test_a_preview_of_a_large_object_reads_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(json.dumps({"a": ["x" * 100] * 60_000}))
    (preview,) = preview_json(tmp_path / "file", ImportOptions(format="json"), LIMITS, no_progress)
    assert (preview.columns, preview.first[0]) == (1, ("x" * 100,))


# --- properties ---------------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)
AGAIN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@AGAIN
@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": st.integers()}), min_size=1), st.booleans())
def test_what_python_writes_is_read_as_it_was(read: Reading, rows: list[dict[str, Any]], lines: bool) -> None:
    written = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
    found = read(written, format="jsonl" if lines else "json", typing=False).typed
    for name in ("a", "b"):
        expected = [row[name] for row in rows]
        got = found.column(name).to_pylist()
        if pa.types.is_string(found.column(name).type):
            expected = [
                each if each is None or isinstance(each, str) else json.dumps(each) for each in expected
            ]
        assert got == expected


@AGAIN
@given(st.text(alphabet='[]{}",:1ae.- \n\\trufls', max_size=40))
def test_any_text_is_read_or_refused(read: Reading, content: str) -> None:
    try:
        found = read(content)
    except UnreadableFileError:
        return
    assert found.typed.num_columns > 0

"""Delimited text is read cell by cell as it stands, whatever its dialect, or refused with the line."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
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
from framekeep.importing.model import ImportOptions, Limits, Parsed
from framekeep.importing.rows import Dialect, rows
from framekeep.importing.spool import Spool
from framekeep.importing.text import preview_text, read_text

LIMITS = Limits()


@dataclass(frozen=True)
class Read:
    """What came of a text."""

    parsed: Parsed
    typed: pa.Table
    text: pa.Table

    @property
    def notes(self) -> str:
        return " | ".join((*self.parsed.notes, *self.parsed.tables[0].notes))

    @property
    def cells(self) -> dict[str, list[Any]]:
        return self.text.to_pydict()


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
        asked = ImportOptions(**{"format": "csv", **options})
        with (directory / "spool").open("w+b") as file:
            spool = Spool(file, directory)
            parsed = read_text(path, asked, limits, no_progress, spool)
            table = parsed.tables[0]
            return Read(parsed, spool.open(table.typed), spool.open(table.text or table.typed))

    return from_content


# --- what the awkward files of this world look like ----------------------------------------------

LOADED = {
    "quotes in all places": ('"a",b\n"1,2","x ""y"""\n"","z"\n', {"a": ["1,2", ""], "b": ['x "y"', "z"]}),
    "line ends in quotes": ('a,b\n"x\ny","\r\n"\n', {"a": ["x\ny"], "b": ["\r\n"]}),
    "carriage returns": ("a,b\r1,2\r3,4\r", {"a": ["1", "3"], "b": ["2", "4"]}),
    "mixed line ends": ("a,b\r\n1,2\n3,4\r5,6", {"a": ["1", "3", "5"], "b": ["2", "4", "6"]}),
    "no line end at the end": ("a,b\n1,2", {"a": ["1"], "b": ["2"]}),
    "semicolons and decimal commas": ("a;b\n1,5;2\n2,5;3\n", {"a": ["1,5", "2,5"], "b": ["2", "3"]}),
    "semicolons without a header": ("1,5;2,5\n3,5;4,5\n", {"1,5": ["3,5"], "2,5": ["4,5"]}),
    "tabs": ("a\tb\n1\t2, 3\n", {"a": ["1"], "b": ["2, 3"]}),
    "pipes": ("a|b\n1|2\n", {"a": ["1"], "b": ["2"]}),
    "control characters between cells": ("a\x01b\n1\x012\n", {"a": ["1"], "b": ["2"]}),
    "Excel's own hint": ("sep=;\na;b\n1;2\n", {"a": ["1"], "b": ["2"]}),
    "one column": ("a\n1\n2\n", {"a": ["1", "2"]}),
    "one column with gaps": ("a\n1\n\n2\n", {"a": ["1", None, "2"]}),
    "one column of gaps": ("a\n\n\n", {"a": [None, None]}),
    "one column with quoted gaps": ('a\n1\n""\n2\n', {"a": ["1", "", "2"]}),
    "one column of prose": ("a\nyes, no\n", {"a": ["yes, no"]}),
    "header only": ("a,b\n", {"a": [], "b": []}),
    "header only, without line end": ("a", {"a": []}),
    "leading blank lines": ("\n\n \na,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
    "blank lines between": ("a,b\n\n1,2\n\r\n3,4\n\n\n", {"a": ["1", "3"], "b": ["2", "4"]}),
    "lines of spaces": ("a,b\n1,2\n   \n3,4\n", {"a": ["1", "3"], "b": ["2", "4"]}),
    "rows of empty cells": ("a,b\n,\n1,2\n,\n", {"a": [None, "1", None], "b": [None, "2", None]}),
    "names twice": ("a,a,a_2,a\n1,2,3,4\n", {"a": ["1"], "a_3": ["2"], "a_2": ["3"], "a_4": ["4"]}),
    "names missing": ("a,, \n1,2,3\n", {"a": ["1"], "column_2": ["2"], "column_3": ["3"]}),
    "names of another column": (",column_1\n1,2\n", {"column_1_2": ["1"], "column_1": ["2"]}),
    "a header over several lines": ('"a\nb",c\n1,2\n', {"a\nb": ["1"], "c": ["2"]}),
    "spaces are a part of cells": ("a, b\n 1,2 \n", {"a": [" 1"], " b": ["2 "]}),
    "a quote within a cell": ('a,b\n5" pipe,x\n3,12"\n', {"a": ['5" pipe', "3"], "b": ["x", '12"']}),
    "quotes around part of a cell": ('a,b\n"Smith" & Sons,2\n', {"a": ['"Smith" & Sons'], "b": ["2"]}),
    "a quote that is never closed": ('a,b\n"x,2\n3,4\n', {"a": ['"x', "3"], "b": ["2", "4"]}),
    "spaces around quotes": ('a, "b"\n1, "x, y"\n2,"z" \n', {"a": ["1", "2"], "b": ["x, y", "z"]}),
    "backslashes before quotes": ('a,b\n"x \\"y, z\\"",2\n', {"a": ['x "y, z"'], "b": ["2"]}),
    "backslashes that are none": ('a,b\n"C:\\new",2\nC:\\,3\n', {"a": ["C:\\new", "C:\\"], "b": ["2", "3"]}),
    "single quotes": ("a,b\n'x, y',2\n'it''s',3\n", {"a": ["x, y", "it's"], "b": ["2", "3"]}),
    "apostrophes": ("a,b\n'tis,2\nrock 'n' roll,3\n", {"a": ["'tis", "rock 'n' roll"], "b": ["2", "3"]}),
    "short rows": ("a,b,c\n1\n2,3\n", {"a": ["1", "2"], "b": [None, "3"], "c": [None, None]}),
    "an empty cell at the very end": ('a,b\n"x",', {"a": ["x"], "b": [None]}),
    "delimiters at the end of rows": ("a,b\n1,2,\n3,4,,\n", {"a": ["1", "3"], "b": ["2", "4"]}),
    "a title above the table": (
        "Report\na,b,c\n1,2,3\n4,5,6\n",
        {"Report": ["a", "1", "4"], "column_2": ["b", "2", "5"], "column_3": ["c", "3", "6"]},
    ),
    "no name for labels": ("a,b\nx,1,2\ny,3,4\n", {"a": ["x", "y"], "b": ["1", "3"], "column_3": ["2", "4"]}),
    "a comment above the table": ("# of 2020\na,b\n1,2\n", {"# of 2020": ["a", "1"], "column_2": ["b", "2"]}),
    "a byte-order mark": (b"\xef\xbb\xbfa,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
    "one column, irregular": ('a\n"x" y\n\n1,2\n', {"a": ['"x" y', None, "1,2"]}),
    "one column without a delimiter": ('a\n"x, y"\n\n1,2\x1f3\nb', {"a": ["x, y", None, "1,2\x1f3", "b"]}),
    "two byte-order marks": ("\ufeffa,b\n\ufeff1,2\n", {"a": ["\ufeff1"], "b": ["2"]}),
    "two marks, irregular": ("\ufeffa,b\n\ufeff1,2\n3\n", {"a": ["\ufeff1", "3"], "b": ["2", None]}),
    "a carriage return at the end of each of Arrow's blocks": (
        "a,b\r\n" + '"x\r\ny",2\r\n' * 300_000,
        {"a": ["x\r\ny"] * 300_000, "b": ["2"] * 300_000},
    ),
    "a byte-order mark and quotes": (b'\xef\xbb\xbf"a","b"\n1,2\n', {"a": ["1"], "b": ["2"]}),
    "UTF-16 as Excel writes it": ("a\tb\r\nZoë\t2\r\n".encode("utf-16"), {"a": ["Zoë"], "b": ["2"]}),
    "UTF-16 without a mark": ("a,b\nZoë,2\n".encode("utf-16-be"), {"a": ["Zoë"], "b": ["2"]}),
    "semicolons in latin-1": ("ort;größe\nKöln;3\n".encode("latin-1"), {"ort": ["Köln"], "größe": ["3"]}),
    "Shift-JIS": (
        "名前,都市\n田中,東京\n鈴木,大阪\n".encode("cp932"),
        {"名前": ["田中", "鈴木"], "都市": ["東京", "大阪"]},
    ),
    "gzip": (gzip.compress(b"a,b\n1,2\n", mtime=0), {"a": ["1"], "b": ["2"]}),
    "a cell of 100,000 characters": (f"a,b\n{'x' * 100_000},2\n", {"a": ["x" * 100_000], "b": ["2"]}),
    "a row longer than Arrow's blocks": (
        f"a,b\n1,2\n{'x' * 3_000_000},2\n",
        {"a": ["1", "x" * 3_000_000], "b": ["2", "2"]},
    ),
    "a quoted cell longer than Arrow's blocks": (
        'a,b\n1,2\n"' + "x\n" * 1_500_000 + '",2\n',
        {"a": ["1", "x\n" * 1_500_000], "b": ["2", "2"]},
    ),
    "500 columns": (
        ",".join(f"c{at}" for at in range(500)) + "\n" + ",".join(map(str, range(500))) + "\n",
        {f"c{at}": [str(at)] for at in range(500)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADED)
def test_loads(read: Reading, name: str) -> None:
    content, expected = LOADED[name]
    assert read(content).cells == expected


@pytest.mark.parametrize("name", LOADED)
def test_shows_the_first_rows_of(tmp_path: Path, name: str) -> None:
    content, expected = LOADED[name]
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (preview,) = preview_text(path, ImportOptions(format="csv"), LIMITS, no_progress)
    if preview.rows is not None:  # all of it was looked at
        assert preview.rows == len(next(iter(expected.values())))
        assert dict(zip(preview.header, zip(*preview.first, strict=True), strict=bool(preview.first))) == {
            name: tuple(cells[:5]) for name, cells in expected.items() if cells
        }
    assert (preview.columns, list(preview.header)) == (len(expected), list(expected))


REFUSED: dict[str, tuple[str | bytes, type[UnreadableFileError], str, str]] = {
    "nothing": (b"", EmptyFileError, "empty", ""),
    "only blank lines": ("\n \n\r\n", EmptyFileError, "only blank lines", ""),
    "only a byte-order mark": (b"\xef\xbb\xbf", EmptyFileError, "only blank lines", ""),
    "a row that is too long": ("a,b\n1,2\n1,2,3\n4,5\n", DamagedFileError, "3 cells, but there", "line 3"),
    "two rows that are too long": ("a,b\n1,2,3\n4,5\n4,5\n1,2,3\n", DamagedFileError, "1 more", "line 2"),
    "a long row behind a blank line": ("a,b\n\n1,2\n\n1,2,3\n4,5\n", DamagedFileError, "3 cells", "line 5"),
    "a long row behind quoted lines": ('a,b\n"1\n2",3\n1,2,3\n4,5\n', DamagedFileError, "3 cells", "line 4"),
    "a long row behind carriage returns": ("a,b\r1,2\r1,2,3\r4,5\r", DamagedFileError, "3 cells", "line 3"),
    "a long row in a long file": (
        "a,b\n" + "1,2\n" * 300_000 + "1,2,3\n", DamagedFileError, "3 cells", "line 300,002",
    ),
    "a zero byte": (b"a,b\n1,\x00\n", DamagedFileError, "zero bytes", "line 2"),
    "an archive": (b"a" * 257 + b"ustar" + b"b" * 250, UnreadableFileError, "tar archive", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(read: Reading, name: str) -> None:
    content, error, says, where = REFUSED[name]
    with pytest.raises(error) as refusal:
        read(content)
    assert says in str(refusal.value)
    assert refusal.value.where == where


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(columns=2), "2 cells that are read"),
        (Limits(rows=2), "2 rows"),
        (Limits(cells=8), "8 cells"),
        (Limits(field_bytes=4), "4 bytes|at most 4"),
    ],
)
@pytest.mark.parametrize("end", ["", '5,6" x,7\n'], ids=["regular", "irregular"])
def test_refuses_more_than_it_may_read(read: Reading, limits: Limits, says: str, end: str) -> None:
    with pytest.raises(FileTooLargeError, match=says):
        read("a,b,c\n1,2,3\n3,4,abcde\n5,6,7\n" + end, limits)


def test_reads_as_much_as_it_may(read: Reading) -> None:
    limits = Limits(columns=3, rows=2, cells=6, field_bytes=5)
    assert read("a,b,c\n1,2,3\n3,4,abcde\n", limits).text.shape == (2, 3)


# --- notes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("a,b\n1\n2\n3,4\n5\n", "were filled up with cells without value: lines 2, 3, 5."),
        ("a,b\n1,2,\n", "Empty cells beyond the last column were left out: line 2."),
        ("a,b\n\n1,2\n\n", "2 empty lines were passed over."),
        ("a,b\n\n1,\n3\n", "An empty line was passed over."),
        ('a,b\n"\n\n",1\n\n2,3\n', "An empty line was passed over."),
        ("x\na,b\n\n1,2\n", "An empty line was passed over."),
        ("\na,b\n1,2\n", "A blank line above the header passed over."),
        ('a,b\n"x" y,2\n', "kept as a part of it, and spaces around those that do were left out: line 2."),
        ("x\na,b\n1,2\n", "Most rows have more cells than the first, up to 2"),
        ("a,,\n1,2,3\n", "The header names 1 of 3 columns."),
        ("a,a\n1,2\n", "A column with a name that another one has: named a_2."),
        ("ä,b\n1,2\n".encode("latin-1"), "was read as cp1252"),
        ('a,b\n"x \\"y\\"",2\n', "have a backslash before them"),
        ("a,b\n'x, y',2\n'z',3\n", "Cells are in single quotes"),
    ],
)  # fmt: skip
def test_tells(read: Reading, content: str | bytes, note: str) -> None:
    assert note in read(content).notes


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n", 'a,b\n"x\n\ny",2\n', "a\n1\n\n2\n", 'a,b\n"x ""y""",2\r\n', "a;b\n1,5;2\n"]
)
def test_has_nothing_to_tell_of_a_regular_file(read: Reading, content: str) -> None:
    assert read(content).notes == ""


def test_a_note_lists_the_first_lines_only(read: Reading) -> None:
    assert "lines 3, 4, 5, 6, 7 and 15 more." in read("a,b\n1,2\n" + "3\n" * 20).notes


def test_notes_quote_no_cells(read: Reading) -> None:
    assert "Smith" not in read('a,b\n"Smith" x\n"Smith",2\n').notes


# --- options ------------------------------------------------------------------------------------


def test_without_a_header_columns_are_numbered(read: Reading) -> None:
    assert read("1,2\n3,4\n", header=None).cells == {"column_1": ["1", "3"], "column_2": ["2", "4"]}


def test_without_a_header_a_longer_row_is_refused_too(read: Reading) -> None:
    with pytest.raises(DamagedFileError) as refusal:
        read("1,2\n3,4,5\n5,6\n", header=None)
    assert refusal.value.where == "line 2"


def test_the_header_may_be_further_down(read: Reading) -> None:
    found = read("Title\n\nof 2020\na,b\n1,2\n", header=2)
    assert found.cells == {"a": ["1"], "b": ["2"]}
    assert "2 rows above the header passed over, as asked." in found.notes


def test_lines_can_be_skipped(read: Reading) -> None:
    found = read('"unclosed\n\nTitle\na,b\n1,2\n', skip_rows=3)
    assert found.cells == {"a": ["1"], "b": ["2"]}
    assert "The first 3 lines passed over, as asked." in found.notes


def test_lines_are_counted_from_the_top_of_the_file_though_some_are_skipped(read: Reading) -> None:
    with pytest.raises(DamagedFileError) as refusal:
        read("x\n\na,b\n1,2\n1,2,3\n1,2\n", skip_rows=1)
    assert refusal.value.where == "line 5"


@pytest.mark.parametrize("options", [{"header": 5}, {"skip_rows": 9}])
def test_a_header_that_is_not_there_is_refused(read: Reading, options: dict[str, int]) -> None:
    with pytest.raises(EmptyFileError, match="There is no row"):
        read("a,b\n1,2\n", **options)


def test_the_delimiter_can_be_named(read: Reading) -> None:
    assert read("a,b;c\n1,2;3\n", delimiter=";").cells == {"a,b": ["1,2"], "c": ["3"]}


def test_a_delimiter_may_be_any_character(read: Reading) -> None:
    found = read('a§b\n"1§2"§£3\n4§"5"x\n', delimiter="§")
    assert found.cells == {"a": ["1§2", "4"], "b": ["£3", '"5"x']}


def test_a_delimiter_that_is_not_there_makes_one_column(read: Reading) -> None:
    assert read("a,b\n1,2\n", delimiter="|").cells == {"a,b": ["1,2"]}


def test_text_that_is_no_table_is_one_column(read: Reading) -> None:
    content = "Dear all,\nit rains, it pours, and more\nso it is\n"
    found = read(content, format="text")
    assert found.cells == {"Dear all,": ["it rains, it pours, and more", "so it is"]}
    assert found.parsed.delimiter is None


def test_what_was_found_is_reported(read: Reading) -> None:
    parsed = read(gzip.compress("a;b\nä;2\n".encode("latin-1"), mtime=0)).parsed
    assert (parsed.encoding, parsed.delimiter, parsed.compression) == ("cp1252", ";", "gzip")


def test_columns_get_types_and_the_text_is_kept(read: Reading) -> None:
    found = read("a,b\n1,x\n,y\n")
    assert found.typed.to_pydict() == {"a": [1, None], "b": ["x", "y"]}
    assert found.cells == {"a": ["1", None], "b": ["x", "y"]}


def test_types_can_be_left_out(read: Reading) -> None:
    found = read("a\n1\n", typing=False)
    assert found.typed.to_pydict() == {"a": ["1"]}
    assert found.parsed.tables[0].text is None


def test_types_can_be_asked_for(read: Reading) -> None:
    assert read("a\n007\n", types={"a": "integer"}).typed.to_pydict() == {"a": [7]}


@pytest.mark.parametrize(
    ("types", "error"), [({"a": "integer"}, WrongTypeError), ({"z": "text"}, UnknownColumnError)]
)
def test_types_that_do_not_fit_are_refused(
    read: Reading, types: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        read("a\nx\n", types=types)


def test_progress_goes_from_nothing_to_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a,b\n" + b"1,2\n" * 400_000)
    seen: list[float] = []
    with (tmp_path / "spool").open("w+b") as file:
        read_text(
            tmp_path / "file",
            ImportOptions(format="csv"),
            LIMITS,
            lambda done, what: seen.append(done),
            Spool(file, tmp_path),
        )
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(seen) > 5


def test_a_preview_reads_the_first_rows_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a,b\n" + b"1,2\n" * 400_000 + b"1,2,3\n")
    (preview,) = preview_text(tmp_path / "file", ImportOptions(format="csv"), LIMITS, no_progress)
    assert (preview.rows, preview.columns, preview.first[0]) == (None, 2, ("1", "2"))


# --- properties ---------------------------------------------------------------------------------

CELLS = st.lists(
    st.lists(st.text(alphabet="ab1 \"',;\t|\n\r\\é", max_size=6), min_size=3, max_size=3),
    min_size=2,
    max_size=8,
)
AGAIN = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@AGAIN
@given(CELLS, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_what_the_csv_module_writes_is_read_as_it_was(
    read: Reading, cells: list[list[str]], delimiter: str, end: str, everything: bool
) -> None:
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    end = end if everything else "\r\n"  # else it leaves the other line ends without quotes
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(cells)
    found = read(file.getvalue(), delimiter=delimiter, header=None, typing=False).text
    assert [[cell or "" for cell in row.values()] for row in found.to_pylist()] == cells


@AGAIN
@given(st.text(alphabet='a1",\n\r ', min_size=1, max_size=30))
def test_arrows_reader_and_the_careful_one_see_the_same(read: Reading, content: str) -> None:
    careful = list(rows(content.encode(), Dialect(","), LIMITS))
    try:
        found = read(content, delimiter=",", header=None, typing=False).text
    except (EmptyFileError, DamagedFileError):
        return
    start = next(at for at, row in enumerate(careful) if not row.blank)
    width = found.num_columns
    kept = [row.cells for row in careful[start:] if width == 1 or not row.blank]
    assert [list(row.values()) for row in found.to_pylist()] == [
        [*cells[:width], *[None] * (width - len(cells))] for cells in kept
    ]
    assert all(not any(cells[width:]) for cells in kept)


@AGAIN
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(read: Reading, content: bytes) -> None:
    try:
        found = read(content)
    except UnreadableFileError:
        return
    assert found.text.num_columns > 0

"""Which delimiter and which quotes a text has is seen from its first rows."""

from __future__ import annotations

import pytest

from framekeep.errors import FileTooLargeError
from framekeep.importing.dialect import detect
from framekeep.importing.headers import numbered_names, unique_names
from framekeep.importing.model import ImportOptions, Limits
from framekeep.importing.rows import Dialect, rows


def found(text: str, form: str = "csv", *, whole: bool = True, **options: object) -> Dialect:
    asked = ImportOptions(format=form, **options)  # type: ignore[arg-type]
    return detect(text.encode(), whole=whole, options=asked).dialect


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "\x1f", "\x01", "^", "~"])
def test_finds_the_delimiter(delimiter: str) -> None:
    assert found(f"a{delimiter}b\n1{delimiter}2\n").delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("name;price\nx;1,50\ny;2,50\n", ";"),
        ("1,50;2,50\n3,50;4,50\n", ";"),
        ("2020-01-01 10:00;1,5;2,5\n2020-01-02 10:00;1,5;2,5\n", ";"),
        ("name\tcast\nx\tA, B, C\ny\tD, E\n", "\t"),
        ("a,b\n1;2,3\n4,5;6\n", ","),
        ('a;b\n"1,2,3";4\n"5,6,7";8\n', ";"),
        ("a,b\n" + '"x;y;z",1\n' * 9, ","),
        ("a|b,c\n1|2,3\n1|2\n1|3\n", "|"),
        ("time,url\n12:30,http://x/?a=1;b=2\n12:31,http://x/?a=1;b=2\n", ","),
    ],
)
def test_is_not_misled_by_what_is_in_the_cells(text: str, delimiter: str) -> None:
    assert found(text).delimiter == delimiter


def test_the_name_decides_where_the_text_does_not() -> None:
    assert found("a,b\tc\nd,e\tf\n", "tsv").delimiter == "\t"
    assert found("a,b\tc\nd,e\tf\n", "csv").delimiter == ","


def test_the_text_decides_where_the_name_is_wrong() -> None:
    assert found("a,b\n1,2\n", "tsv").delimiter == ","


def test_one_column_has_the_usual_delimiter_if_that_is_not_in_it() -> None:
    assert found("a\n1\n2\n").delimiter == ","
    assert found("a\n1\n2\n", "tsv").delimiter == "\t"


@pytest.mark.parametrize("form", ["csv", "text"])
def test_prose_has_no_delimiter(form: str) -> None:
    assert found("Dear all\nit rains, it pours, and more\nso it is, or not\n", form).delimiter is None


def test_a_csv_file_with_rows_of_all_lengths_still_has_commas() -> None:
    assert found("a,b,c\n1,2\n1,2,3,4\n1\n").delimiter == ","
    assert found("a,b,c\n1,2\n1,2,3,4\n1\n", "text").delimiter is None


def test_rows_above_the_table_do_not_count_when_they_are_named() -> None:
    text = "Title; long\nof 2020; too\nand, more\na,b\n"
    assert found(text, header=3).delimiter == ","
    assert found(text, skip_rows=3).delimiter == ","


def test_a_hint_in_the_first_line_is_followed_and_passed_over() -> None:
    hint = detect(b'"sep=|"\r\na,b|c\n', whole=True, options=ImportOptions(format="csv"))
    assert (hint.dialect.delimiter, hint.start) == ("|", 9)


def test_the_user_knows_better_than_the_hint() -> None:
    assert found("sep=|\na,b|c\n", delimiter=",").delimiter == ","


def test_a_row_that_is_cut_off_does_not_count() -> None:
    assert found('a,b\n1,2\n"x;y;z', whole=False) == Dialect(",")


def test_single_quotes_are_quotes_only_if_the_rows_fit_then() -> None:
    assert found("a,b\n'x, y',2\n").quote == "'"
    assert found("a,b\n'x',2\n").quote == '"'
    assert found("a,b\n'tis, it,2\n").quote == '"'


def test_a_backslash_is_an_escape_only_if_the_quotes_fit_then() -> None:
    assert found('a,b\n"x \\"y\\" z",2\n').escape
    assert not found('a,b\n"C:\\",2\n').escape


# --- rows ---------------------------------------------------------------------------------------


def test_rows_know_their_lines_and_places() -> None:
    text = b'a,b\r\n"x\r\ny",2\r3\n\n4'
    seen = [(row.line, row.start, row.end, row.next_line) for row in rows(text, Dialect(","), Limits())]
    assert seen == [(1, 0, 5, 2), (2, 5, 14, 4), (4, 14, 16, 5), (5, 16, 17, 6), (6, 17, 18, 7)]


def test_rows_can_begin_anywhere() -> None:
    (row,) = rows(b"a,b\n1,2\n", Dialect(","), Limits(), start=4, line=2)
    assert (row.line, row.cells) == (2, ["1", "2"])


def test_an_empty_cell_has_no_value_and_a_quoted_one_has() -> None:
    (row,) = rows(b',"",', Dialect(","), Limits())
    assert row.cells == [None, "", None]


def test_a_quote_that_is_never_closed_is_not_looked_for_without_end() -> None:
    text = b'a,b\n"' + b"x," * 500
    with pytest.raises(FileTooLargeError, match="never closed") as refusal:
        list(rows(text, Dialect(","), Limits(field_bytes=100)))
    assert refusal.value.where == "line 2"


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (("a", "b"), ("a", "b")),
        (("a", None, " "), ("a", "column_2", "column_3")),
        (("a", "a", "a"), ("a", "a_2", "a_3")),
        (("a", "a", "a_2"), ("a", "a_3", "a_2")),
        ((None, "column_1"), ("column_1_2", "column_1")),
        (("column_2", None), ("column_2", "column_2_2")),
        ((), ()),
    ],
)
def test_every_column_has_a_name_of_its_own(cells: tuple[str | None, ...], names: tuple[str, ...]) -> None:
    assert unique_names(cells)[0] == names


def test_many_columns_of_one_name_take_no_time() -> None:
    names, (note,) = unique_names(["a"] * 16_000)
    assert len(set(names)) == 16_000
    assert note.startswith("15,999 columns")
    assert len(note) < 200


def test_columns_without_a_header_are_numbered_from_one() -> None:
    assert numbered_names(2) == ("column_1", "column_2")

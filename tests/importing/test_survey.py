"""A text is Arrow's to read only if nothing in it could be read in two ways, and is cut where rows end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.importing.model import Limits
from framekeep.importing.rows import Dialect, rows
from framekeep.importing.survey import count_lines, survey

COMMA = Dialect(",")


@pytest.mark.parametrize(
    "text",
    [
        b"a,b\n",
        b'"a","b"\n',
        b'"a""b","",""""\n',
        b'"a\nb"\r\n"c"',
        b'"a\r\n\r\nb",\r"c"\r',
        b'a,"\n"\n"",',
    ],
)
def test_quotes_that_enclose_cells_are_regular(text: bytes) -> None:
    assert survey(text, 0, COMMA).regular == (not text.endswith(b'"",'))


@pytest.mark.parametrize(
    "text",
    [
        b'a"b\n',
        b'a"b"\n',
        b'"a"b\n',
        b'"a" ,b\n',
        b' "a"\n',
        b'"a\n',
        b'"a","b\n',
        b'"a"" "\n\n"b"x',
        b'"a",',  # what Arrow takes for an empty text at the end
        b"\xef\xbb\xbfa\n",  # what Arrow drops at the beginning
    ],
)
def test_other_quotes_are_not(text: bytes) -> None:
    assert not survey(text, 0, COMMA).regular


def test_what_comes_before_the_rows_is_not_looked_at() -> None:
    assert survey(b'x"y\n1,2\n', 4, COMMA).regular


def test_a_mark_at_the_beginning_of_a_piece_is_seen() -> None:
    assert not survey("aaaa\n\ufeffbbb\n".encode(), 0, COMMA, block=6).regular


@pytest.mark.parametrize(
    ("text", "gaps"),
    [
        (b"a\nb\n", False),
        (b"a\r\nb\r\n", False),
        (b"a\rb\r", False),
        (b"a\n\nb", True),
        (b"a\r\n\r\nb", True),
        (b"a\r\rb", True),
        (b"a\n\rb", True),
        (b"\na", True),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_empty_lines_are_seen(text: bytes, gaps: bool, block: int) -> None:
    assert survey(text, 0, COMMA, block=block).gaps == gaps


def test_a_delimiter_is_seen() -> None:
    assert survey(b"a,b", 0, COMMA).divided
    assert not survey(b"a;b", 0, COMMA).divided


TEXTS = st.text(alphabet='a1",\n\r ', max_size=60).map(str.encode)
BLOCKS = st.integers(1, 20)
UNHURRIED = settings(deadline=None)  # a deadline measures what else the machine does


@UNHURRIED
@given(TEXTS, BLOCKS)
def test_the_pieces_have_the_rows_of_the_whole(text: bytes, block: int) -> None:
    seen = survey(text, 0, COMMA, block=block)
    if not seen.regular:
        return
    whole = [row.cells for row in rows(text, COMMA, Limits())]
    pieces = [row.cells for begin, end in seen.pieces for row in rows(text[begin:end], COMMA, Limits())]
    assert pieces == whole


@UNHURRIED
@given(TEXTS, BLOCKS)
def test_what_is_regular_does_not_depend_on_the_blocks(text: bytes, block: int) -> None:
    assert survey(text, 0, COMMA, block=block).regular == survey(text, 0, COMMA).regular


@UNHURRIED
@given(TEXTS, BLOCKS)
def test_in_regular_text_no_row_is_odd(text: bytes, block: int) -> None:
    if survey(text, 0, COMMA, block=block).regular:
        assert not any(row.odd for row in rows(text, COMMA, Limits()))


@UNHURRIED
@given(TEXTS, BLOCKS)
def test_lines_are_counted_as_rows_are(text: bytes, block: int) -> None:
    if survey(text, 0, COMMA).regular:
        assert count_lines(text, 0, COMMA, block=block) == sum(1 for _ in rows(text, COMMA, Limits()))

"""The rows of a delimited text, one by one, whatever their shape: the careful way; Arrow's is the fast one.

A cell is quoted only if its quotes enclose it: `5" pipe` and `"Smith" and sons` are cells as they stand, and
a quote that is never closed swallows nothing. An empty cell has no value; one that is quoted has: empty text.
Knows nothing of headers and types.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from framekeep.errors import FileTooLargeError
from framekeep.importing.model import Limits

Buffer = bytes | mmap.mmap

_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r|\Z)")
_ENDS = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How cells are told apart.

    Attributes:
        delimiter: one character; None: a line is a cell.
        quote: around cells that hold a delimiter or a line end.
        escape: within quotes, a backslash stands before a quote or a backslash.
    """

    delimiter: str | None
    quote: str = '"'
    escape: bool = False


class Row(NamedTuple):
    """A row.

    Attributes:
        line: on which it begins, counted from 1.
        start: where, in bytes.
        end: where the next one begins.
        next_line: on which that is.
        cells: None where there is no value.
        odd: the number of cells with quotes that do not enclose them, or with blanks around those that do.
    """

    line: int
    start: int
    end: int
    next_line: int
    cells: list[str | None]
    odd: int

    @property
    def blank(self) -> bool:
        """Whether there is nothing on the line."""
        return len(self.cells) == 1 and (self.cells[0] is None or self.cells[0].isspace())


def rows(text: Buffer, dialect: Dialect, limits: Limits, *, start: int = 0, line: int = 1) -> Iterator[Row]:
    """Yield the rows of UTF-8 text from byte ``start`` on, which is on ``line``.

    Raises:
        FileTooLargeError: a cell has more bytes, or a row more cells, than ``limits`` allow; ``where`` names
            the line.
    """
    fields = _fields(dialect)
    quote = dialect.quote.encode()
    delimiter = dialect.delimiter
    separator = None if delimiter is None else delimiter.encode()
    size = len(text)
    cells: list[str | None]
    while start < size:
        match = _LINE.match(text, start)
        assert match is not None  # it matches anything
        length = match.end(1) - start
        if length > limits.field_bytes:
            _check_length(text, start, match.end(1), line, separator, limits)
        content = match[1]
        if quote in content:
            cells, end, odd = _quoted(text, start, line, fields, dialect, limits)
            next_line = line + (1 if end == match.end() else len(_ENDS.findall(text, start, end)))
            yield Row(line, start, end, next_line, cells, odd)
            start, line = end, next_line
            continue
        if separator is None:
            cells = [content.decode() or None]
        else:
            if length >= limits.columns and content.count(separator) >= limits.columns:
                raise _too_many_cells(line, limits)
            parts = content.decode().split(delimiter)
            cells = [part or None for part in parts] if "" in parts else list(parts)
        line += 1
        yield Row(line - 1, start, match.end(), line, cells, 0)
        start = match.end()


def end_of_line(text: Buffer, start: int) -> int:
    """Return where the line that begins at byte ``start`` ends, and another one begins."""
    match = _LINE.match(text, start)
    assert match is not None
    return match.end()


class _Fields(NamedTuple):
    field: re.Pattern[bytes]
    opened: re.Pattern[bytes]
    doubled: re.Pattern[bytes]
    separator: bytes


@lru_cache(maxsize=64)
def _fields(dialect: Dialect) -> _Fields:
    separator = b"" if dialect.delimiter is None else dialect.delimiter.encode()
    outside = re.escape(separator)
    quote = re.escape(dialect.quote.encode())
    blanks = b"" if separator == b" " else rb" *"
    inner = rb"(?:[^%s\\]++|\\.|%s)*+" if dialect.escape else rb"(?:[^%s]++|%s)*+"
    inner %= (quote, quote * 2)
    end = rb"(?:%s)" % b"|".join(filter(None, (outside, rb"[\r\n]", rb"\Z")))
    return _Fields(
        re.compile(rb"(?P<left>%s)%s(?P<quoted>%s)%s(?P<right>%s)(?=%s)|(?P<bare>[^%s\r\n]*)"
                   % (blanks, quote, inner, quote, blanks, end, outside), re.DOTALL),
        re.compile(rb"%s%s%s" % (blanks, quote, inner), re.DOTALL),
        re.compile(rb"\\([%s\\])|(%s)%s" % (quote, quote, quote) if dialect.escape
                   else rb"(%s)%s" % (quote, quote)),
        separator,
    )  # fmt: skip


def _quoted(
    text: Buffer, start: int, line: int, fields: _Fields, dialect: Dialect, limits: Limits
) -> tuple[list[str | None], int, int]:
    """Return the cells of the row at ``start``, in which there are quotes; its end; and how many are odd."""
    cells: list[str | None] = []
    odd = 0
    position = start
    quote = dialect.quote.encode()
    size = len(text)
    # A cell and its quotes fit, every quote in it doubled; what is longer has a quote that is not closed.
    window = 2 * limits.field_bytes + 2
    while True:
        until = min(size, position + window)
        match = fields.field.match(text, position, until)
        assert match is not None
        bare = match["bare"]
        if bare is None:
            cell = match["quoted"]
            odd += bool(match["left"] or match["right"])
            if quote in cell or dialect.escape:
                cell = fields.doubled.sub(_undoubled, cell)
            cells.append(cell.decode())
        else:
            cell = bare
            if quote in bare:
                opened = fields.opened.match(text, position, until)
                if opened is not None and opened.end() == until < size:
                    raise _too_long(line, limits)
                odd += bare.lstrip(b" ").startswith(quote)
            cells.append(bare.decode() or None)
        if len(cell) > limits.field_bytes:
            raise _too_long(line, limits)
        if len(cells) > limits.columns:
            raise _too_many_cells(line, limits)
        position = match.end()
        if fields.separator and text[position : position + len(fields.separator)] == fields.separator:
            position += len(fields.separator)
            continue
        ended = _ENDS.match(text, position)
        return cells, position if ended is None else ended.end(), odd


def _undoubled(match: re.Match[bytes]) -> bytes:
    return match[match.lastindex or 0]


def _check_length(
    text: Buffer, start: int, end: int, line: int, separator: bytes | None, limits: Limits
) -> None:
    """Refuse a line with a long cell before it is copied."""
    while start < end:
        found = (
            end if separator is None else text.find(separator, start, min(end, start + limits.field_bytes))
        )
        if found < 0:
            found = min(end, start + limits.field_bytes + 1)
        if found - start > limits.field_bytes:
            raise _too_long(line, limits)
        start = found + 1


def _too_long(line: int, limits: Limits) -> FileTooLargeError:
    return FileTooLargeError(
        f"A cell has more than the {limits.field_bytes:,} bytes that are read, or begins with a quote that "
        f"is never closed.",
        where=f"line {line:,}",
    )


def _too_many_cells(line: int, limits: Limits) -> FileTooLargeError:
    return FileTooLargeError(
        f"A row has more than the {limits.columns:,} cells that are read. Is the delimiter right?",
        where=f"line {line:,}",
    )

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


class Row:
    """A row; its cells are made when they are asked for.

    Attributes:
        line: on which it begins, counted from 1.
        start: where, in bytes.
        end: where the next one begins.
        next_line: on which that is.
        width: the number of its cells.
        odd: the number of cells with quotes that do not enclose them, or with blanks around those that do.
    """

    __slots__ = ("_content", "_parts", "_syntax", "end", "line", "next_line", "odd", "start", "width")

    def __init__(
        self,
        place: tuple[int, int, int, int],
        width: int,
        odd: int,
        content: bytes,
        parts: list[tuple[bytes, ...]] | None,
        syntax: _Syntax,
    ) -> None:
        self.line, self.start, self.next_line, self.end = place
        self.width = width
        self.odd = odd
        self._content = content
        self._parts = parts
        self._syntax = syntax

    @property
    def cells(self) -> list[str | None]:
        """The cells; None where there is no value."""
        if self._parts is not None:
            return [self._syntax.cell(part) for part in self._parts]
        if self.width == 1:
            return [self._content.decode() or None]
        return [part or None for part in self._content.decode().split(self._syntax.delimiter)]

    @property
    def plain(self) -> bool:
        """Whether each quote in it begins or ends a cell, or is doubled within one."""
        if self._parts is None:
            return True
        return not self.odd and not any(self._syntax.quote in part[3] for part in self._parts)

    @property
    def blank(self) -> bool:
        """Whether there is nothing on the line."""
        return self.width == 1 and self._parts is None and not self._content.strip()


def rows(text: Buffer, dialect: Dialect, limits: Limits, *, start: int = 0, line: int = 1) -> Iterator[Row]:
    """Yield the rows of UTF-8 text from byte ``start`` on, which is on ``line``.

    Raises:
        FileTooLargeError: a cell has more bytes, or a row more cells, than ``limits`` allow; ``where`` names
            the line.
    """
    syntax = _syntax(dialect)
    quote, separator = syntax.quote, syntax.separator
    size = len(text)
    while start < size:
        match = _LINE.match(text, start)
        assert match is not None  # it matches anything
        end = match.end()
        if match.end(1) - start > limits.field_bytes:
            _check_length(text, start, match.end(1), line, separator, limits)
        content = match[1]
        next_line = line + 1
        parts = None
        odd = 0
        if quote not in content:
            width = content.count(separator) + 1 if separator else 1
        else:
            parts = syntax.parts(content)
            odd = syntax.odd(parts)
            if odd:  # or a cell that goes on in the next line
                parts, end = _parts(text, start, line, syntax, limits)
                odd = syntax.odd(parts)
                next_line = line + max(1, len(_ENDS.findall(text, start, end)))
            elif len(content) > limits.field_bytes:
                for part in parts:
                    _check_cell(part, line, limits)
            width = len(parts)
        if width > limits.columns:
            raise _too_many_cells(line, limits)
        yield Row((line, start, next_line, end), width, odd, content, parts, syntax)
        start, line = end, next_line


def end_of_line(text: Buffer, start: int) -> int:
    """Return where the line that begins at byte ``start`` ends, and another one begins."""
    match = _LINE.match(text, start)
    assert match is not None
    return match.end()


class _Syntax:
    """The patterns of a dialect; a part of a row is (blanks, quoted cell with quotes, blanks, bare cell)."""

    def __init__(self, dialect: Dialect) -> None:
        self.delimiter = dialect.delimiter
        self.quote = dialect.quote.encode()
        self.separator = b"" if dialect.delimiter is None else dialect.delimiter.encode()
        quote, separator = re.escape(self.quote), re.escape(self.separator)
        inner = rb"(?:[^%s\\]++|\\.|%s)*+" if dialect.escape else rb"(?:[^%s]++|%s)*+"
        opened = quote + inner % (quote, quote * 2)
        blanks = b"" if self.separator == b" " else rb" *"
        if not separator:
            bare, end = rb"[^\r\n]*", rb"(?=[\r\n]|\Z)"
        elif len(self.separator) == 1:
            bare, end = rb"[^%s\r\n]*" % separator, rb"(?=[%s\r\n]|\Z)" % separator
        else:
            bare, end = rb"(?:(?!%s)[^\r\n])*" % separator, rb"(?=%s|[\r\n]|\Z)" % separator
        field = rb"(?:(%s)(%s%s)(%s)%s|(%s))" % (blanks, opened, quote, blanks, end, bare)
        self.field = re.compile(field, re.DOTALL)
        self.opened = re.compile(blanks + opened, re.DOTALL)
        self._fields = re.compile(rb"%s(%s|\Z)" % (field, separator or rb"\Z"), re.DOTALL)
        doubled = rb"\\([%s\\])|(%s)%s" if dialect.escape else rb"(%s)%s"
        self._doubled = re.compile(doubled % ((quote,) * (3 if dialect.escape else 2)))
        self._escape = dialect.escape

    def parts(self, content: bytes) -> list[tuple[bytes, ...]]:
        """Return the parts of a row that is all on one line."""
        parts: list[tuple[bytes, ...]] = self._fields.findall(content)
        if len(parts) > 1 and not parts[-2][4]:  # the end of the line was found once more
            parts.pop()
        return parts

    def odd(self, parts: list[tuple[bytes, ...]]) -> int:
        """Return how many cells have quotes that do not enclose them, or blanks around those."""
        return sum(bool(part[0] or part[2] or part[3].lstrip(b" ").startswith(self.quote)) for part in parts)

    def cell(self, part: tuple[bytes, ...]) -> str | None:
        """Return the value of a cell."""
        if not part[1]:
            return part[3].decode() or None
        inner = part[1][1:-1]
        if self.quote in inner or self._escape:
            inner = self._doubled.sub(_undoubled, inner)
        return inner.decode()


@lru_cache(maxsize=64)
def _syntax(dialect: Dialect) -> _Syntax:
    return _Syntax(dialect)


def _parts(
    text: Buffer, start: int, line: int, syntax: _Syntax, limits: Limits
) -> tuple[list[tuple[bytes, ...]], int]:
    """Return the parts of the row at ``start``, in which line ends may be quoted, and where it ends."""
    parts: list[tuple[bytes, ...]] = []
    size = len(text)
    # A cell and its quotes fit, every quote in it doubled; what is longer has a quote that is not closed.
    window = 2 * limits.field_bytes + 2
    while True:
        until = min(size, start + window)
        match = syntax.field.match(text, start, until)
        assert match is not None
        if match[4] is not None and syntax.quote in match[4]:
            opened = syntax.opened.match(text, start, until)
            if opened is not None and opened.end() == until < size:
                raise _too_long(line, limits)
        parts.append(match.groups(b""))
        _check_cell(parts[-1], line, limits)
        if len(parts) > limits.columns:
            raise _too_many_cells(line, limits)
        start = match.end()
        if syntax.separator and text[start : start + len(syntax.separator)] == syntax.separator:
            start += len(syntax.separator)
            continue
        ended = _ENDS.match(text, start)
        return parts, start if ended is None else ended.end()


def _undoubled(match: re.Match[bytes]) -> bytes:
    return match[match.lastindex or 0]


def _check_length(text: Buffer, start: int, end: int, line: int, separator: bytes, limits: Limits) -> None:
    """Refuse a line with a long cell before it is copied."""
    while start < end:
        until = min(end, start + limits.field_bytes + 1)
        found = text.find(separator, start, until) if separator else -1
        if found < 0:
            found = until
        if found - start > limits.field_bytes:
            raise _too_long(line, limits)
        start = found + 1


def _check_cell(part: tuple[bytes, ...], line: int, limits: Limits) -> None:
    if len(part[1]) > limits.field_bytes + 2 or len(part[3]) > limits.field_bytes:
        raise _too_long(line, limits)


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

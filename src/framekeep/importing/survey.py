"""A look at all bytes of a delimited text, to know whether Arrow's reader may have it.

Arrow drops the quotes of a cell that they do not enclose, so what is looked for is a quote that neither
begins nor ends a cell. Works on whole chunks with numpy: below a millisecond per megabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from framekeep.importing.rows import Dialect

_CHUNK = 4 << 20
_NEWLINE, _RETURN = b"\n\r"


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen.

    Attributes:
        quoted: there are quotes.
        regular: each of them begins or ends a cell, or is doubled within one, and Arrow reads it as it is.
        gaps: there are empty lines, perhaps within quotes.
        divided: the delimiter is in the text.
    """

    quoted: bool
    regular: bool
    gaps: bool
    divided: bool


def survey(file: IO[bytes], start: int, dialect: Dialect) -> Survey:
    """Look at the UTF-8 text in ``file`` from byte ``start`` on, where a row begins."""
    quote = dialect.quote.encode()
    delimiter = (dialect.delimiter or "").encode()
    boundary = np.zeros(256, bool)
    boundary[[_NEWLINE, _RETURN, *delimiter]] = True
    after = boundary.copy()
    after[quote[0]] = True
    quotes = 0
    gaps = divided = closed = False  # closed: the byte before the chunk is a quote that ends a cell
    before = b"\n"  # a row begins at the start; an empty line there is one
    for chunk in _chunks(file, start):
        divided = divided or (delimiter != b"" and delimiter in chunk)
        letters = np.frombuffer(before + chunk, np.uint8)
        gaps = gaps or _has_empty_line(letters, b"\r" in chunk or before == b"\r")
        if closed and not after[chunk[0]]:
            return Survey(True, False, gaps, divided)
        closed = False
        if quote in chunk:
            at = np.flatnonzero(letters[1:] == quote[0]) + 1
            opening, closing = at[quotes % 2 :: 2], at[1 - quotes % 2 :: 2]
            previous = letters[opening - 1]
            closed = bool(len(closing)) and closing[-1] == len(letters) - 1
            following = letters[closing[: len(closing) - closed] + 1]
            # What is a quote itself before an opening one has closed the cell: they are one, doubled.
            if not (boundary[previous] | (previous == quote[0])).all() or not after[following].all():
                return Survey(True, False, gaps, divided)
            quotes += len(at)
        before = chunk[-1:]
    # Behind a quoted cell, Arrow takes a last cell that is empty and has no line end for a quoted one, too.
    hanging = quotes > 0 and before == delimiter
    return Survey(quotes > 0, quotes % 2 == 0 and not hanging, gaps, divided)


def _has_empty_line(letters: np.ndarray[Any, np.dtype[np.uint8]], returns: bool) -> bool:
    newline = letters == _NEWLINE
    if not returns:
        return bool((newline[:-1] & newline[1:]).any())
    return_ = letters == _RETURN
    ends = newline | return_
    return bool((ends[:-1] & ends[1:] & ~(return_[:-1] & newline[1:])).any())


def count_lines(file: IO[bytes], start: int, dialect: Dialect) -> int:
    """Return how many lines there are from byte ``start`` on, if a line end within quotes ends no line."""
    quote = dialect.quote.encode()[0]
    lines = quotes = 0
    returned = False  # the byte before the chunk is a carriage return outside of quotes
    last = _NEWLINE
    for chunk in _chunks(file, start):
        letters = np.frombuffer(chunk, np.uint8)
        lines += returned and letters[0] != _NEWLINE
        ends = letters == _NEWLINE
        ends[:-1] |= (letters[:-1] == _RETURN) & (letters[1:] != _NEWLINE)
        at = np.flatnonzero(letters == quote)
        outside = (np.searchsorted(at, np.flatnonzero(ends)) + quotes) % 2 == 0
        lines += int(np.count_nonzero(outside))
        quotes += len(at)
        last = chunk[-1]
        returned = last == _RETURN and quotes % 2 == 0
    return lines + (last != _NEWLINE)


def _chunks(file: IO[bytes], start: int) -> Iterator[bytes]:
    file.seek(start)
    while chunk := file.read(_CHUNK):
        yield chunk

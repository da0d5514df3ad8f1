"""A look at all bytes of a delimited text, to know whether Arrow's reader may have it.

Arrow drops the quotes of a cell that they do not enclose, so what is looked for is a quote that neither
begins nor ends a cell. Works on blocks of the mapped file with numpy: below a millisecond per megabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from framekeep.importing.rows import Buffer, Dialect

_BLOCK = 4 << 20
_NEWLINE, _RETURN = b"\n\r"

Letters = np.ndarray[Any, np.dtype[np.uint8]]


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


def survey(text: Buffer, start: int, dialect: Dialect) -> Survey:
    """Look at the UTF-8 ``text`` from byte ``start`` on, where a row begins; the delimiter is ASCII."""
    letters = np.frombuffer(text, np.uint8)
    quote = ord(dialect.quote)
    delimiter = ord(dialect.delimiter or "\n")
    boundary = np.zeros(256, bool)
    boundary[[_NEWLINE, _RETURN, delimiter]] = True
    after = boundary.copy()
    after[quote] = True
    quotes = 0
    gaps = divided = False
    for begin, end in _blocks(len(letters), start):
        block = letters[begin:end]
        divided = divided or bool((block == delimiter).any())
        gaps = gaps or _has_empty_line(letters[max(begin - 1, start) : end], first=begin == start)
        at = np.flatnonzero(block == quote) + begin
        if not len(at):
            continue
        opening, closing = at[quotes % 2 :: 2], at[1 - quotes % 2 :: 2]
        opening = opening[opening > start]
        closing = closing[closing < len(letters) - 1]
        previous = letters[opening - 1]
        # What is a quote itself before an opening one has closed the cell: they are one, doubled.
        if not (boundary[previous] | (previous == quote)).all() or not after[letters[closing + 1]].all():
            return Survey(True, False, gaps, divided)
        quotes += len(at)
    # Behind a quoted cell, Arrow takes a last cell that is empty and has no line end for a quoted one, too.
    hanging = quotes > 0 and letters[-1] == delimiter
    return Survey(quotes > 0, quotes % 2 == 0 and not hanging, gaps, divided)


def _has_empty_line(letters: Letters, *, first: bool) -> bool:
    """Say whether one line end follows upon another, or, with ``first``, stands at the beginning."""
    if first and len(letters) and letters[0] in (_NEWLINE, _RETURN):
        return True
    pairs = [_NEWLINE << 8 | _NEWLINE]
    if (letters == _RETURN).any():
        pairs += [_RETURN << 8 | _NEWLINE, _RETURN << 8 | _RETURN]  # little-endian: \n\r and \r\r
    for offset in (0, 1):
        twos = letters[offset : offset + (len(letters) - offset) // 2 * 2].view("<u2")
        if any((twos == pair).any() for pair in pairs):
            return True
    return False


def count_lines(text: Buffer, start: int, dialect: Dialect) -> int:
    """Return how many lines there are from byte ``start`` on, if a line end within quotes ends no line."""
    letters = np.frombuffer(text, np.uint8)
    quote = ord(dialect.quote)
    lines = quotes = 0
    for begin, end in _blocks(len(letters), start):
        block = letters[begin:end]
        following = letters[begin + 1 : end + 1]
        ends = block == _NEWLINE
        ends[: len(following)] |= (block[: len(following)] == _RETURN) & (following != _NEWLINE)
        at = np.flatnonzero(block == quote)
        outside = (np.searchsorted(at, np.flatnonzero(ends)) + quotes) % 2 == 0
        lines += int(np.count_nonzero(outside))
        quotes += len(at)
    return lines + (len(letters) > start and letters[-1] != _NEWLINE)


def _blocks(size: int, start: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, size, _BLOCK):
        yield begin, min(begin + _BLOCK, size)

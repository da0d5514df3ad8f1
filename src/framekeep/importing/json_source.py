"""JSON values one after the other out of a file, of which a window is in memory. Nothing is lost on the way.

A number that a float would change keeps its digits, a name that an object has twice is refused, and so are
values that are nested without end. Knows nothing of tables.
"""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

from framekeep.errors import DamagedFileError
from framekeep.importing.model import MIB
from framekeep.importing.types_numbers import survives

_WINDOW = 4 * MIB  # characters
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_TOKEN = 12  # of what may be cut off at the window's end: true, -Infinity, \ud800\udc00


class Exact(float):
    """A number with more digits than a float keeps, or larger than any.

    Attributes:
        literal: as it stands in the file.
    """

    literal: str


class Source:
    """A JSON text that is taken apart from its beginning on.

    Args:
        file: open for reading, without translation of line ends.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._ended = False
        self._dropped = self._lines = self._column = 0  # characters, lines, and characters of the last line
        self.nans = 0  # values that were NaN, and are None
        self._decoder = json.JSONDecoder(
            object_pairs_hook=_members, parse_float=_number, parse_constant=self._constant
        )

    def peek(self) -> str:
        """Return the next character that is no white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None  # it matches anything
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def second(self) -> str:
        """Return the character that is no white space behind the next one; empty at the end."""
        self.peek()
        position = self._at + 1
        while True:
            match = _SPACE.match(self._text, position)
            assert match is not None
            if match.end() < len(self._text):
                return self._text[match.end()]
            if self._ended:
                return ""
            self._fill()
            position = 1

    def skip(self) -> None:
        """Pass over the character that ``peek`` returned."""
        self._at += 1

    def value(self) -> Any:
        """Return the next value.

        Raises:
            DamagedFileError: there is none, or it is not well-formed; ``where`` says the line and the column.
        """
        self.peek()
        nans = self.nans
        while True:
            self.nans = nans  # those of an attempt that failed do not count
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _LONGEST_TOKEN or error.msg.startswith("Unterminated")
                if self._ended or not cut:
                    raise self.damaged(f"it is not well-formed ({error.msg})", error.pos) from None
            except RecursionError:
                raise self.damaged("values are nested too deeply in it") from None
            except _TwiceError as error:
                raise self.damaged(f"an object has the name {error} twice") from None
            except ValueError as error:  # of int(): more digits than it takes
                raise self.damaged("a whole number has too many digits") from error
            else:
                if end < len(self._text) or self._ended:  # else a number may go on
                    self._at = end
                    return value
            self._fill()

    @property
    def taken(self) -> int:
        """How many characters were taken."""
        return self._dropped + self._at

    def damaged(self, why: str, position: int | None = None) -> DamagedFileError:
        """Return the error for what stands at a position in the window; None: where the source is."""
        at = self._at if position is None else position
        line = self._lines + self._text.count("\n", 0, at) + 1
        end = self._text.rfind("\n", 0, at)
        column = at - end if end >= 0 else self._column + at + 1
        where = f"line {line:,}, column {column:,}"
        return DamagedFileError(f"The JSON cannot be read: {why}.", where=where)

    def _fill(self) -> None:
        rest = self._text[self._at :]
        self._lines += self._text.count("\n", 0, self._at)
        self._dropped += self._at
        end = self._text.rfind("\n", 0, self._at)
        self._column = self._at - end - 1 if end >= 0 else self._column + self._at
        more = self._file.read(max(_WINDOW, len(rest)))
        self._ended = not more
        self._text = rest + more
        self._at = 0

    def _constant(self, word: str) -> float | None:
        if word == "NaN":
            self.nans += 1
            return None
        return float(word)


class _TwiceError(Exception):
    """An object has a name twice."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _TwiceError(repr(name[:40]))
            seen.add(name)
    return members


def _number(literal: str) -> float:
    number = float(literal)
    if repr(number) == literal or survives(literal):  # the first settles nearly all, in no time
        return number
    exact = Exact(literal)
    exact.literal = literal
    return exact


def text_of(value: Any) -> str:
    """Return a value as JSON, with every digit that it had."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(name)}: {text_of(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Exact):
        return value.literal
    return json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

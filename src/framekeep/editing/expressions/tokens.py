"""The words of an expression: numbers, texts, names, operators, each with the character it begins at."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from framekeep.errors import InvalidExpressionError

Sort = Literal["number", "text", "name", "quoted", "word", "operator", "end"]

WORDS: Final = frozenset(("and", "or", "not", "is", "in", "missing", "true", "false"))
"""Names with a meaning of their own; a column so called stands in backquotes."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<quoted>`(?:[^`]|``)+`)
    |(?P<name>[^\W\d]\w*)
    |(?P<operator>\*\*|//|==|!=|<>|<=|>=|[-+*/%<>=(),])
    """,
    re.VERBOSE,
)
_DIGITS = 400  # of a number: what is longer is no measurement
_OTHER_NAMES: Final = {"=": "==", "<>": "!="}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression.

    Attributes:
        sort: what it is.
        value: a number's value, a text's or name's characters, an operator.
        position: the character it begins at, counted from 0.
    """

    sort: Sort
    value: int | float | str
    position: int


def tokenize(text: str) -> list[Token]:
    """Return the words of an expression; the last one is its end.

    Raises:
        InvalidExpressionError: a character belongs to no word, or a text or name is not closed.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise InvalidExpressionError(_unknown(text, at), position=at)
        sort = str(found.lastgroup)
        if sort != "space":
            tokens.append(_token(sort, found.group(), at, text[found.end() : found.end() + 1]))
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def _token(sort: str, word: str, at: int, after: str) -> Token:
    if sort == "number":
        if after.isidentifier() or after == ".":
            raise InvalidExpressionError(
                f"The number at character {at} goes on with what is no number.", position=at
            )
        return Token("number", _number(word, at), at)
    if sort == "text":
        return Token("text", word[1:-1].replace(word[0] * 2, word[0]), at)
    if sort == "quoted":
        return Token("quoted", word[1:-1].replace("``", "`"), at)
    if sort == "name":
        return Token("word" if word in WORDS else "name", word, at)
    return Token("operator", _OTHER_NAMES.get(word, word), at)


def _number(word: str, at: int) -> int | float:
    if len(word) > _DIGITS:
        raise InvalidExpressionError(f"The number at character {at} is too long.", position=at)
    if word.isdigit():
        return int(word)
    number = float(word)
    if math.isinf(number):
        raise InvalidExpressionError(f"The number at character {at} is too large.", position=at)
    return number


def _unknown(text: str, at: int) -> str:
    character = text[at]
    if character in "'\"`":
        return f"The quote at character {at} is not closed."
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return f"Character {at}, {shown!r}, has no meaning here."

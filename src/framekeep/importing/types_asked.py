"""Columns of text as the type that somebody asks for, who knows what the cells mean.

Ways of writing a value are taken generously: 007 is an integer if integers are asked for. What is no such
value is never dropped or changed: the column is refused then. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.importing.types_times import ISO, LOCAL, parse_local, spread

_TRUE = ("true", "yes", "y", "t", "1")
_FALSE = ("false", "no", "n", "f", "0")
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+|[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?)([eE][+-]?[0-9]+)?$"
_COMMA = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,3}([ '\x{a0}\x{202f}\x{2019}][0-9]{3})+)?(,[0-9]+)?$"
_UNITS = ("s", "ms", "us", "ns")
_LOCAL_TIME = LOCAL % r"( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?"


class Misfit(Exception):
    """A column has cells that are no value of the type; the text says how many of what.

    Attributes:
        row: of the first of them, counted from 1; 0 if it is not one cell's fault.
    """

    def __init__(self, message: str, row: int = 0) -> None:
        super().__init__(message)
        self.row = row


def cast(text: pa.ChunkedArray, wanted: str) -> pa.ChunkedArray:
    """Return the column as the type ``wanted``, one of the model's TYPES.

    Raises:
        Misfit: it cannot be.
    """
    base, _, form = wanted.partition(":")
    if base == "text":
        return text
    if base == "category":
        return text.dictionary_encode().unify_dictionaries()
    words = pc.drop_null(text.unique())  # what holds for each different word holds for the column
    return spread(text, words, _CASTS[base](_Words(text, words), form))


class _Words:
    """The different words of a column, and where they stand."""

    def __init__(self, text: pa.ChunkedArray, words: pa.Array) -> None:
        self.text = text
        self.words = words
        self.trimmed = pc.utf8_trim_whitespace(words)

    def check(self, good: pa.Array, what: str) -> None:
        """Raise Misfit if not all words are ``good``."""
        bad = self.words.filter(pc.invert(pc.fill_null(good, False)))
        if not len(bad):
            return
        mask = pc.is_in(self.text, value_set=bad)
        count = pc.sum(mask).as_py()
        raise Misfit(
            f"{count:,} {'cell is' if count == 1 else 'cells are'} {what}, "
            f"the first in row {pc.index(mask, True).as_py() + 1:,}",
            pc.index(mask, True).as_py() + 1,
        )


def _integer(column: _Words, _: str) -> pa.Array:
    column.check(pc.match_substring_regex(column.trimmed, _WHOLE), "no whole number")
    digits = pc.replace_substring_regex(column.trimmed, r"^\+?(-?)0*([0-9]+)(\.0*)?$", r"\1\2")
    for kind in (pa.int64(), pa.uint64()):
        try:
            return digits.cast(kind)
        except pa.ArrowInvalid:
            continue
    fits = pa.array((-(1 << 63) <= int(word) < 1 << 63 for word in digits.to_pylist()), pa.bool_())
    column.check(fits, "beyond 64 bits")
    raise AssertionError("a word that fits was not taken")


def _number(column: _Words, form: str) -> pa.Array:
    words = column.trimmed
    if form == "comma":
        column.check(
            pc.and_(pc.match_substring_regex(words, _COMMA), pc.match_substring_regex(words, "[0-9]")),
            "no number with a decimal comma",
        )
        words = pc.replace_substring_regex(words, r"[^0-9,+-]", "")
        words = pc.replace_substring(words, ",", ".")
    else:
        column.check(pc.match_substring_regex(words, _NUMBER), "no number")
        words = pc.replace_substring(words, ",", "")
    numbers = words.cast(pa.float64())
    column.check(pc.is_finite(numbers), "larger than a number can be")
    return numbers


def _boolean(column: _Words, _: str) -> pa.Array:
    words = pc.utf8_lower(column.trimmed)
    truth = pc.is_in(words, value_set=pa.array(_TRUE))
    column.check(pc.or_(truth, pc.is_in(words, value_set=pa.array(_FALSE))), "neither true nor false")
    return truth


def _date(column: _Words, form: str) -> pa.Array:
    instants = _datetime(column, form)
    days = instants.cast(pa.timestamp(instants.type.unit)).cast(pa.date32(), safe=False)
    column.check(pc.equal(days.cast(instants.type), instants), "more than a date: there is a time of day")
    return days


def _datetime(column: _Words, form: str) -> pa.Array:
    """Return timestamps in the coarsest unit that has room for all digits."""
    words = column.trimmed
    local = pc.match_substring_regex(words, _LOCAL_TIME)
    if pc.any(local).as_py():
        words = _turned(column, words, local, form)
    pattern = ISO.pattern.replace(r"\d", "[0-9]")
    column.check(pc.match_substring_regex(words, f"^({pattern})$"), "no date")
    zoned = pc.match_substring_regex(words, r"(Z|:[0-9]{2}[+-][0-9]{2}:?[0-9]{2}|\.[0-9]+[+-][0-9:]+)$")
    if pc.any(zoned).as_py():
        column.check(zoned, "without the time zone that others have")
    digits = pc.utf8_length(pc.replace_substring_regex(words, r"^[^.]*\.?|(Z|[+-][0-9:]*)$", ""))
    most = pc.max(digits).as_py() or 0
    kind = pa.timestamp(_UNITS[-(-most // 3)], "UTC" if pc.any(zoned).as_py() else None)
    try:
        return words.cast(kind)
    except pa.ArrowInvalid:
        column.check(pa.array(map(_exists, words.to_pylist()), pa.bool_()), "no date in the calendar")
        raise Misfit("some are too far away for the number of their digits") from None


def _turned(column: _Words, words: pa.Array, local: pa.Array, form: str) -> pa.Array:
    """Return the words with those such as 31/12/2020 written as ISO 8601."""
    odd = words.filter(local)
    valid = {}
    for order in (form,) if form else ("dmy", "mdy"):
        values = parse_local(odd, order)
        if values is not None:
            valid[order] = values
    if len(valid) == 2:
        raise Misfit("day and month cannot be told apart; ask for date:dmy or date:mdy, or datetime:dmy …")
    if not valid:
        bad = pa.array((_in_order(word, form) for word in words.to_pylist()), pa.bool_())
        column.check(pc.or_(bad, pc.invert(local)), f"no date with {form or 'day and month'} in order")
        raise Misfit("some dates have the day first and some the month")
    ((_, values),) = valid.items()
    return pc.replace_with_mask(words, local, values.cast(pa.timestamp("s")).cast(pa.string()))


def _in_order(word: str, form: str) -> bool:
    orders: Iterable[str] = (form,) if form else ("dmy", "mdy")
    return any(parse_local(pa.array([word]), order) is not None for order in orders)


def _exists(word: str) -> bool:
    try:
        datetime.fromisoformat(word)
    except ValueError:
        return False
    return True


_CASTS: dict[str, Callable[[_Words, str], pa.Array]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
}

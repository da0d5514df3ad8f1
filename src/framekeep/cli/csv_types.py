"""Gives the text columns of a CSV file a type, but only one that loses nothing.

A column becomes numbers, booleans or instants when every cell of it can be turned back into the text it
came from, so far as the text says something: two cells that differ stay different, no digit is lost, and
nothing that only looks like a number (00501, 1E5, +49) becomes one. Everything else stays text. Knows
nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_INTEGER = r"^(0|-?[1-9][0-9]*)$"
_FLOAT = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-][0-9]+|E[+-][0-9]+)?$"
_LOOKS_NUMERIC = r"^\s*[+-]?[0-9]*[.,]?[0-9]+\s*$"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_INSTANTS = (  # one shape for the whole column; the unit is the coarsest that holds every digit
    (f"^{_DAY}$", "s", None),
    *(
        (
            rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{between}[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}{fraction}{zone}$",
            unit,
            tz,
        )
        for between in (" ", "T")
        for fraction, unit in (("", "s"), (r"\.[0-9]{3}", "ms"), (r"\.[0-9]{6}", "us"), (r"\.[0-9]{9}", "ns"))
        for zone, tz in (("", None), ("Z", "UTC"))
    ),
)
_BOOLEANS = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))
_NO_VALUE = ("NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None", ".", "-", "--", "?")
_REASONS = (
    ("leading zeros", r"^-?0[0-9]"),
    ("leading plus signs", r"^\+"),
    ("decimal commas", r"^-?[0-9]+,[0-9]+$"),
    ("spaces around numbers", r"^\s+[0-9.-]|[0-9]\s+$"),
    ("not every cell is a number", r"[^0-9.+-]"),
)
_EXACT_DIGITS = 15  # every decimal of up to 15 digits survives text -> float64 -> text
_MOST_DIGITS = 17  # and no float64 needs more

_NORMAL = 2.3e-308  # the smallest float64 with all its digits, and a little


@dataclass(frozen=True, slots=True)
class Typed:
    """A column with its type.

    Attributes:
        values: the column, with a RangeIndex.
        reason: why a column that looks like numbers stayed text; None when there is nothing to tell.
    """

    values: pd.Series[Any]
    reason: str | None = None


def typed(text: pa.ChunkedArray) -> Typed:
    """Return the column of ``text`` (Arrow strings, null where missing) with the type that loses nothing."""
    words = pc.drop_null(text.unique())  # what holds for each different word holds for the column
    if len(words):
        for attempt in (_integers, _floats, _booleans, _instants):
            values = attempt(text, words)
            if values is not None:
                return Typed(values)
    return Typed(_series(text), _reason(text, words))


def _integers(text: pa.ChunkedArray, words: pa.Array) -> pd.Series[Any] | None:
    if not _all(words, _INTEGER):
        return None
    for kind, nullable in ((pa.int64(), pd.Int64Dtype()), (pa.uint64(), pd.UInt64Dtype())):
        try:
            words.cast(kind)
        except pa.ArrowInvalid:
            continue
        return _series(text.cast(kind), nullable if text.null_count else None)
    return None


def _floats(text: pa.ChunkedArray, words: pa.Array) -> pd.Series[Any] | None:
    if not _all(words, _FLOAT):
        return None
    numbers = words.cast(pa.float64())
    if not pc.all(pc.is_finite(numbers)).as_py() or len(numbers.unique()) < len(words):
        return None  # too large; or two texts would become one value: 1.1 and 1.10 may be two releases
    digits = pc.utf8_length(pc.replace_substring_regex(words, r"^-?(0\.0*)?|[eE].*$|\.", ""))
    close = words.filter(pc.greater(digits, _EXACT_DIGITS))
    if not all(_survives(word) for word in close.to_pylist()):
        return None
    tiny = pc.and_(pc.less(pc.abs(numbers), _NORMAL), pc.match_substring_regex(words, r"^[^eE]*[1-9]"))
    if pc.any(tiny).as_py():  # below the normal range a float64 keeps fewer digits
        return None
    return _series(text.cast(pa.float64()))


def _survives(word: str) -> bool:
    number = Decimal(word)
    digits = len(number.as_tuple().digits)
    return digits <= _MOST_DIGITS and Decimal(f"{float(word):.{digits - 1}e}") == number


def _booleans(text: pa.ChunkedArray, words: pa.Array) -> pd.Series[Any] | None:
    if len(words) > 2 or not any(set(words.to_pylist()) <= set(pair) for pair in _BOOLEANS):
        return None
    truth = pc.equal(pc.utf8_lower(text), "true")
    return _series(truth, pd.BooleanDtype() if truth.null_count else None)


def _instants(text: pa.ChunkedArray, words: pa.Array) -> pd.Series[Any] | None:
    for pattern, unit, tz in _INSTANTS:
        if _all(words, pattern):
            try:
                return _series(text.cast(pa.timestamp(unit, tz)))
            except pa.ArrowInvalid:  # the 30th of February, or outside what the unit can hold
                return None
    return None


def _all(words: pa.Array, pattern: str) -> bool:
    # The first words settle most columns; only those that pass are looked at whole.
    return not any(_some_not(part, pattern) for part in (words[:16], words[16:]))


def _some_not(words: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.invert(pc.match_substring_regex(words, pattern))).as_py())


def _some(words: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(words, pattern)).as_py())


def _series(values: pa.ChunkedArray, dtype: Any = None) -> pd.Series[Any]:
    if dtype is None:
        found: pd.Series[Any] = values.to_pandas()
        return found
    return pd.Series(dtype.__from_arrow__(values))


def _reason(text: pa.ChunkedArray, words: pa.Array) -> str | None:
    """Say why a column in which most cells look like numbers stayed text; else None."""
    if not len(words):
        return None
    looks = pc.sum(pc.match_substring_regex(text, _LOOKS_NUMERIC)).as_py() or 0
    if 2 * looks < len(text) - text.null_count:
        return None
    odd = words.filter(pc.invert(pc.match_substring_regex(words, _LOOKS_NUMERIC)))
    if 0 < len(odd) <= len(_NO_VALUE) and set(odd.to_pylist()) <= set(_NO_VALUE):
        said = sorted(odd.to_pylist())
        options = " ".join(f"--missing '{word}'" for word in said)
        return f"it has the word {' and '.join(said)}; if that means no value, say {options}"
    for reason, pattern in _REASONS:
        if _some(words, pattern):
            return reason
    return "more digits than a number type keeps, or the same number written in different ways"

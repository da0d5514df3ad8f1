"""Gives the text columns of a CSV file a type, but only one that loses nothing.

A column becomes numbers, booleans or instants when every cell of it can be turned back into the text it
came from, so far as the text says something: two cells that differ stay different, no digit is lost, and
nothing that only looks like a number (00501, 1E5, +49) becomes one. Everything else stays text. Knows
nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
_EXACT_DIGITS = 15  # every decimal of up to 15 digits survives text -> float64 -> text
_MOST_DIGITS = 17  # and no float64 needs more


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
    if text.null_count == len(text):
        return Typed(_series(text))
    for attempt in (_integers, _floats, _booleans, _instants):
        values = attempt(text)
        if values is not None:
            return Typed(values)
    return Typed(_series(text), _reason(text))


def _integers(text: pa.ChunkedArray) -> pd.Series[Any] | None:
    if not _all_match(text, _INTEGER):
        return None
    for kind, nullable in ((pa.int64(), pd.Int64Dtype()), (pa.uint64(), pd.UInt64Dtype())):
        try:
            numbers = text.cast(kind)
        except pa.ArrowInvalid:
            continue
        return _series(numbers, nullable if numbers.null_count else None)
    return None


def _floats(text: pa.ChunkedArray) -> pd.Series[Any] | None:
    if not _all_match(text, _FLOAT):
        return None
    numbers = text.cast(pa.float64())
    if not pc.all(pc.is_finite(numbers)).as_py() or not _injective(text, numbers):
        return None
    digits = pc.utf8_length(pc.replace_substring_regex(text, r"^-?(0\.0*)?|[eE].*$|\.", ""))
    close = text.filter(pc.greater(digits, _EXACT_DIGITS))
    if any(not _survives(cell) for cell in close.to_pylist() if cell is not None):
        return None
    tiny = pc.and_(pc.less(pc.abs(numbers), 2.3e-308), pc.match_substring_regex(text, r"^[^eE]*[1-9]"))
    if pc.any(tiny).as_py():  # below the normal range a float64 keeps fewer digits
        return None
    return _series(numbers)


def _survives(cell: str) -> bool:
    mantissa = Decimal(cell)
    digits = len(mantissa.as_tuple().digits)
    return digits <= _MOST_DIGITS and Decimal(f"{float(cell):.{digits - 1}e}") == mantissa


def _booleans(text: pa.ChunkedArray) -> pd.Series[Any] | None:
    found = set(text.unique().to_pylist()) - {None}
    if not any(found <= set(pair) for pair in _BOOLEANS):
        return None
    truth = pc.equal(pc.utf8_lower(text), "true")
    return _series(truth, pd.BooleanDtype() if truth.null_count else None)


def _instants(text: pa.ChunkedArray) -> pd.Series[Any] | None:
    for pattern, unit, tz in _INSTANTS:
        if _all_match(text, pattern):
            try:
                return _series(text.cast(pa.timestamp(unit, tz)))
            except pa.ArrowInvalid:  # the 30th of February, or outside what the unit can hold
                return None
    return None


def _all_match(text: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(text, pattern)).as_py())


def _injective(text: pa.ChunkedArray, values: pa.ChunkedArray) -> bool:
    """Say whether different texts are different values: 1.1 and 1.10 may be two releases."""
    return len(text.unique()) == len(values.unique())


def _series(values: pa.ChunkedArray, dtype: Any = None) -> pd.Series[Any]:
    if dtype is None:
        found: pd.Series[Any] = values.to_pandas()
        return found
    return pd.Series(dtype.__from_arrow__(values))


def _reason(text: pa.ChunkedArray) -> str | None:
    """Say why a column in which most cells look like numbers stayed text."""
    looks = pc.sum(pc.match_substring_regex(text, _LOOKS_NUMERIC)).as_py() or 0
    if 2 * looks < len(text) - text.null_count:
        return None
    return next((reason for reason, found in _reasons() if found(text)), "not every cell is a number")


def _reasons() -> Iterator[tuple[str, Callable[[pa.ChunkedArray], bool]]]:
    def some(pattern: str) -> Callable[[pa.ChunkedArray], bool]:
        return lambda text: bool(pc.any(pc.match_substring_regex(text, pattern)).as_py())

    yield "leading zeros", some(r"^-?0[0-9]")
    yield "leading plus signs", some(r"^\+")
    yield "decimal commas", some(r"^-?[0-9]+,[0-9]+$")
    yield "spaces around numbers", some(r"^\s+[0-9.-]|[0-9]\s+$")
    yield "not every cell is a number", some(r"[^0-9.+-]")
    yield "more digits than a number type keeps, or the same number written in different ways", lambda _: True

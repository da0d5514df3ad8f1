"""Columns of text that are numbers, and why columns that look like numbers are not. Knows nothing of files.

Each chunk is parsed and written again: what comes back as it was has lost nothing. That is the fast way for
nearly all cells; only those written in another way (1.50, 2.00) are looked at one by one, and only once each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

Found = tuple[pa.ChunkedArray, str, str]

_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-][0-9]+|E[+-][0-9]+)?"
_FLOATS = re.compile(_FLOAT)
_LOOKS_NUMERIC = r"\s*[+-]?([0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?|[0-9]*[.,]?[0-9]+)([eE][+-]?[0-9]+)?\s*"
_LOOKS = re.compile(_LOOKS_NUMERIC)
_NO_VALUE = frozenset(
    (
        "NA",
        "N/A",
        "n/a",
        "#N/A",
        "NaN",
        "nan",
        "NULL",
        "null",
        "None",
        "none",
        "NONE",
        ".",
        "-",
        "--",
        "?",
        "",
    )
)
_REASONS = (
    ("leading zeros, which a number has not", r"^\s*-?0[0-9]"),
    ("leading plus signs, which a number has not", r"^\s*\+"),
    (
        "a comma, which may be a decimal sign or divide thousands: ask for the type number:comma or number",
        r",",
    ),
    ("spaces around numbers", r"^\s|\s$"),
    ("an exponent as in 1E5, which may be a name", r"[0-9][eE][0-9]"),
)
_EXACT_DIGITS = 15  # every decimal of up to 15 digits survives text -> float64 -> text
_MOST_DIGITS = 17  # and no float64 needs more
_NORMAL = 2.3e-308  # the smallest float64 with all its digits, and a little


def integers(text: pa.ChunkedArray, sample: Sequence[str]) -> Found | None:
    """Return the column as 64-bit integers, if every cell is one as it is usually written."""
    if not all(map(_INTEGER.fullmatch, sample)):
        return None
    for kind in (pa.int64(), pa.uint64()):
        chunks = []
        for chunk in text.chunks:
            numbers = _parsed(chunk, kind)
            if numbers is None or not _all(pc.equal(numbers.cast(pa.string()), chunk)):
                break
            chunks.append(numbers)
        else:
            return pa.chunked_array(chunks, kind), "integer", "every cell with a value is a whole number"
    return None


def floats(text: pa.ChunkedArray, sample: Sequence[str]) -> Found | None:
    """Return the column as 64-bit floats, if every cell survives it and different ones stay different."""
    if not all(map(_FLOATS.fullmatch, sample)):
        return None
    chunks = []
    usual = []  # the numbers, null where they are written in another way
    others = []  # the words of those
    for chunk in text.chunks:
        numbers = _parsed(chunk, pa.float64())
        if numbers is None or not _all(pc.is_finite(numbers)) or _any(_tiny(numbers)):
            return None
        chunks.append(numbers)
        same = pc.equal(numbers.cast(pa.string()), chunk)
        if not _all(same):
            words = chunk.filter(pc.invert(same)).unique()
            if not _all(pc.match_substring_regex(words, f"^{_FLOAT}$")):
                return None
            others.append(words)
            usual.append(pc.if_else(same, numbers, pa.scalar(None, pa.float64())))
        else:
            usual.append(numbers)
    if others and not _distinct(pa.chunked_array(others), pa.chunked_array(usual)):
        return None
    return pa.chunked_array(chunks, pa.float64()), "number", "every cell with a value is a number"


def _distinct(others: pa.ChunkedArray, usual: pa.ChunkedArray) -> bool:
    """Say whether words survive as floats, and are different ones, from each other and from the ``usual``."""
    words = others.unique()
    numbers = words.cast(pa.float64())
    if len(numbers.unique()) < len(words):
        return False  # two texts would become one value: 1.1 and 1.10 may be two releases
    if _any(pc.is_in(usual, value_set=numbers, skip_nulls=True)):
        return False
    if not all(survives(word) for word in _many_digits(words).to_pylist()):
        return False
    return not _any(pc.and_(pc.equal(numbers, 0.0), pc.match_substring_regex(words, r"^[^eE]*[1-9]")))


def _tiny(numbers: pa.Array) -> pa.Array:
    """Say which numbers are below the normal range, where a float64 keeps fewer digits."""
    return pc.and_(pc.less(pc.abs(numbers), _NORMAL), pc.not_equal(numbers, 0.0))


def _many_digits(words: pa.Array) -> pa.Array:
    digits = pc.utf8_length(pc.replace_substring_regex(words, r"^-?(0\.0*)?|[eE].*$|\.", ""))
    return words.filter(pc.greater(digits, _EXACT_DIGITS))


def rounded(text: pa.ChunkedArray) -> int:
    """Return how many cells of a column that is to be numbers have more digits than a float keeps."""
    words = pc.replace_substring_regex(pc.utf8_trim_whitespace(pc.drop_null(text.unique())), r"^\+|,", "")
    lost = [word for word in _many_digits(words).to_pylist() if not survives(word)]
    plain = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"^\+|,", "")
    return int(pc.sum(pc.is_in(plain, value_set=pa.array(lost, pa.string()))).as_py() or 0) if lost else 0


def survives(word: str) -> bool:
    """Say whether a float keeps all digits of the number in ``word``."""
    try:
        number = Decimal(word)
    except InvalidOperation:  # an exponent beyond all bounds
        return False
    digits = len(number.as_tuple().digits)
    return digits <= _MOST_DIGITS and Decimal(f"{float(word):.{digits - 1}e}") == number


def why_text(text: pa.ChunkedArray, sample: Sequence[str]) -> str | None:
    """Say why a column in which most cells look like numbers stays text; None if it is no such column."""
    if 3 * sum(_LOOKS.fullmatch(word) is not None for word in sample) < len(sample):
        return None
    looks = pc.match_substring_regex(text, f"^{_LOOKS_NUMERIC}$")
    cells = len(text) - text.null_count
    numeric = pc.sum(looks).as_py() or 0
    if 2 * numeric < cells:
        return None
    if numeric < cells:
        odd = pc.invert(looks)
        count = cells - numeric
        words = text.filter(odd).unique().to_pylist() if count else []
        if words == [""]:
            return (
                f"{_cells(count)} empty quotes, the first in row {_first(odd):,}, and others no value at all"
            )
        if set(words) <= _NO_VALUE:
            said = " and ".join(repr(word) for word in sorted(words))
            return (
                f"{_cells(count)} the word {said}, the first in row {_first(odd):,}; if that means no value, "
                f"list it under the missing words"
            )
        return f"{count:,} of {cells:,} cells {_are(count)} no number, the first in row {_first(odd):,}"
    for reason, pattern in _REASONS:
        odd = pc.match_substring_regex(text, pattern)
        count = pc.sum(odd).as_py() or 0
        if count:
            return f"{_cells(count)} {reason} (the first is in row {_first(odd):,})"
    return _why_no_numbers(text)


def _why_no_numbers(text: pa.ChunkedArray) -> str:
    """Say why numbers that are written as usual cannot become numbers."""
    words = pc.drop_null(text.unique())
    if all(map(_INTEGER.fullmatch, words.to_pylist())):
        return "some whole numbers are beyond 64 bits"
    numbers = _parsed(words, pa.float64())
    if numbers is not None and len(numbers.unique()) < len(words):
        return (
            "some numbers are written in different ways, such as 1.1 and 1.10, which may be different names; "
            "if not, ask for the type number"
        )
    return "some numbers have more digits than a number type keeps"


def _parsed(chunk: pa.Array, kind: pa.DataType) -> pa.Array | None:
    try:
        return chunk.cast(kind)
    except pa.ArrowInvalid:
        return None


def _all(truth: pa.Array) -> bool:
    return pc.all(truth).as_py() is not False


def _any(truth: pa.Array) -> bool:
    return pc.any(truth).as_py() is True


def _first(mask: pa.ChunkedArray) -> int:
    return int(pc.index(mask, True).as_py()) + 1


def _cells(count: int) -> str:
    return f"{count:,} {'cell has' if count == 1 else 'cells have'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"

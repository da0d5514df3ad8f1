"""Columns of text that are dates or instants, and why columns that look like dates are not.

ISO 8601 is taken at its word, if the whole column is in one form of it. Day, month and year in another order
are dates only if the column itself shows which is which. Knows nothing of files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

Found = tuple[pa.ChunkedArray, str, str]

ISO = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"((?P<between>[ T])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d{1,9})?(?P<zone>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
LOCAL = r"^(?P<first>[0-9]{1,2})(?P<by>[/.-])(?P<second>[0-9]{1,2})[/.-](?P<year>[0-9]{4})(?P<time>%s)$"
_CLOCK = "( [0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?"
_LOCAL = re.compile(LOCAL % _CLOCK)
_YEAR_FIRST = r"^(?P<year>[0-9]{4})(?P<by>[/.])(?P<first>[0-9]{1,2})[/.](?P<second>[0-9]{1,2})(?P<time>%s)$"
_YEARS = re.compile(_YEAR_FIRST % _CLOCK)
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_UNITS = ("s", "ms", "ms", "ms", "us", "us", "us", "ns", "ns", "ns")  # by the number of digits
_ORDERS = {"dmy": "the day first", "mdy": "the month first", "ymd": "the year first"}


def times(text: pa.ChunkedArray, sample: Sequence[str]) -> Found | None:
    """Return the column as dates or instants, if all cells are such, in one form that shows what is what."""
    matches = [ISO.fullmatch(word) for word in sample]
    if all(matches):
        return _iso(text, [match for match in matches if match])
    for looks, orders in ((_LOCAL, ("dmy", "mdy")), (_YEARS, ("ymd",))):
        if all(map(looks.fullmatch, sample)):
            return _local(text, orders)
    return None


def why_text(text: pa.ChunkedArray, sample: Sequence[str]) -> str | None:
    """Say why a column in which most cells look like dates stays text; None if it is no such column."""
    for looks, orders in ((ISO, ()), (_LOCAL, ("dmy", "mdy")), (_YEARS, ("ymd",))):
        if 2 * sum(looks.fullmatch(word) is not None for word in sample) < len(sample):
            continue
        pattern = re.sub(r"\(\?P<\w+>", "(", looks.pattern.replace(r"\d", "[0-9]")).strip("^$")
        fits = pc.match_substring_regex(text, f"^({pattern})$")
        cells = len(text) - text.null_count
        count = cells - (pc.sum(fits).as_py() or 0)
        if count:
            row = pc.index(fits, False).as_py() + 1
            verb = "is" if count == 1 else "are"
            return f"{count:,} of {cells:,} cells {verb} no date, the first in row {row:,}"
        if orders == ("dmy", "mdy"):
            words = pc.drop_null(text.unique())
            valid = [order for order in orders if parse_local(words, order) is not None]
            if len(valid) == 2:
                return (
                    "day and month cannot be told apart, for none is above 12: "
                    "ask for the type date:dmy or date:mdy"
                )
        return "the dates are in several forms, or some are in no calendar: ask for the type date or datetime"
    return None


def _iso(text: pa.ChunkedArray, matches: Sequence[re.Match[str]]) -> Found | None:
    form = matches[0]
    if form["between"] is None:
        values = _cast(text, pa.date32(), length=len("2020-12-31"))
        return None if values is None else (values, "date", "every cell with a value is a date (ISO 8601)")
    digits = {len(match["fraction"] or ".") - 1 for match in matches}
    most = max(digits)
    zone = _zone(form["zone"])
    kind = pa.timestamp(_UNITS[most], zone)
    if len(digits) == 1 and form["zone"] in (None, "Z"):
        # A text of this length is in this form, if it is one at all, for what the parser takes beside it is
        # shorter or longer: only what stands between day and time is left open.
        length = len(form[0])
        suffix = "Z" if form["zone"] else ""
        values = _cast(text, kind, length=length, between=form["between"], suffix=suffix)
    else:
        values = _cast(text, kind, pattern=_pattern(form, digits, most))
        if values is not None and len(digits) > 1 and _some_zero_fractions(text, most):
            return None  # with and without: the same instant in two ways
    reason = "every cell with a value is a date with a time (ISO 8601)"
    return None if values is None else (values, "datetime", reason)


def _pattern(form: re.Match[str], digits: set[int], most: int) -> str:
    """Return the pattern of instants in the form of ``form``, with one of the numbers of ``digits``."""
    fraction = rf"\.[0-9]{{{most}}}" if most else ""
    if 0 in digits and most:  # as Python writes it: none at all if it is zero
        fraction = rf"({fraction})?"
    seconds = ":[0-9]{2}" if form["seconds"] else ""
    zone = (form["zone"] or "").replace("+", r"\+")
    return f"^{_DAY}{form['between']}[0-9]{{2}}:[0-9]{{2}}{seconds}{fraction}{zone}$"


def _some_zero_fractions(text: pa.ChunkedArray, digits: int) -> bool:
    return pc.any(pc.match_substring_regex(text, rf"\.0{{{digits}}}(Z|[+-]|$)")).as_py() is True


def _zone(offset: str | None) -> str | None:
    """Return the time zone of a column whose first cell ends in ``offset``."""
    if offset is None:
        return None
    if offset == "Z" or offset.strip("+-0:") == "":
        return "UTC"
    return f"{offset[:3]}:{offset[-2:]}"


def _cast(
    text: pa.ChunkedArray,
    kind: pa.DataType,
    *,
    pattern: str = "",
    length: int = 0,
    between: str = "",
    suffix: str = "",
) -> pa.ChunkedArray | None:
    """Return the column as ``kind``; None if not all cells have the pattern, or the length and the marks."""
    chunks = []
    for chunk in text.chunks:
        if pattern and not _all(pc.match_substring_regex(chunk, pattern)):
            return None
        if length and not _all(pc.equal(pc.binary_length(chunk), length)):
            return None
        if between and not _all(pc.equal(pc.find_substring(chunk, between), len("2020-12-31"))):
            return None
        if suffix and not _all(pc.ends_with(chunk, suffix)):
            return None
        try:
            chunks.append(chunk.cast(kind))
        except pa.ArrowInvalid:  # the 30th of February, or outside what the unit can hold
            return None
    return pa.chunked_array(chunks, kind)


def _all(truth: pa.Array) -> bool:
    return pc.all(truth).as_py() is not False


def _local(text: pa.ChunkedArray, orders: Sequence[str]) -> Found | None:
    words = pc.drop_null(text.unique())
    if not _one_form(words, orders):
        return None
    valid = {order: values for order in orders if (values := parse_local(words, order)) is not None}
    if len(valid) != 1:
        return None
    ((order, values),) = valid.items()
    if len(values.unique()) < len(words):
        return None  # 1/2/2021 beside 01/02/2021
    kind = "date" if pa.types.is_date(values.type) else "datetime"
    told = "" if order == "ymd" else "; the other order gives dates that do not exist"
    return (
        spread(text, words, values),
        kind,
        f"every cell with a value is a date{' with a time' if kind == 'datetime' else ''} with "
        f"{_ORDERS[order]}{told}",
    )


def spread(text: pa.ChunkedArray, words: pa.Array, values: pa.Array) -> pa.ChunkedArray:
    """Return the column in which each of the different ``words`` has become one of the ``values``."""
    chunks = [values.take(pc.index_in(chunk, value_set=words)) for chunk in text.chunks]
    return pa.chunked_array(chunks, values.type)


def _one_form(words: pa.Array, orders: Sequence[str]) -> bool:
    """Say whether all words have the same separator, and a time in the same form or none."""
    for by in "/.-":
        for clock in ("", " [0-9]{1,2}:[0-9]{2}", " [0-9]{1,2}:[0-9]{2}:[0-9]{2}"):
            pattern = (_YEAR_FIRST if orders == ("ymd",) else LOCAL) % clock
            pattern = pattern.replace("[/.-]", f"[{by}]").replace("[/.]", f"[{by}]")
            if pc.all(pc.match_substring_regex(words, pattern)).as_py():
                return True
    return False


def parse_local(words: pa.Array, order: str) -> pa.Array | None:
    """Return dates, or instants if there are times, from words such as 31/12/2020 in the given order.

    Args:
        order: dmy, mdy or ymd.

    Returns:
        None if a word is no date in this order.
    """
    pattern = (_YEAR_FIRST if order == "ymd" else LOCAL) % _CLOCK
    pattern = re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)
    parts = pc.extract_regex(words, pattern)
    if parts.null_count:
        return None
    first, second, year, clock = (
        pc.struct_field(parts, name) for name in ("first", "second", "year", "time")
    )
    day, month = (first, second) if order == "dmy" else (second, first)
    dates = pc.binary_join_element_wise(year, pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0"), "-")
    try:
        if pc.all(pc.equal(clock, "")).as_py() is not False:
            return dates.cast(pa.date32())
        clock = pc.replace_substring_regex(clock, "^ ([0-9]:)", r" 0\1")
        clock = pc.if_else(pc.equal(clock, ""), " 00:00", clock)
        return pc.binary_join_element_wise(dates, clock, "").cast(pa.timestamp("s"))
    except pa.ArrowInvalid:
        return None

"""Instants and durations in ISO 8601, one by one and by whole arrays."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import numpy as np

NAT: Final = int(np.iinfo(np.int64).min)
"""The number that NaT is."""
PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_DAY: Final = 86_400
_FIRST: Final = -62_135_596_800
_LAST: Final = 253_402_300_799
"""Seconds from 1970 to the first and the last of the years that Python's datetime has."""


def instant(value: dt.datetime) -> str:
    """Return an instant as ISO 8601; with the offset of its zone, if that is one of whole minutes."""
    offset = value.utcoffset()
    if offset is not None and offset % dt.timedelta(minutes=1):
        # ISO 8601 has no seconds in an offset, so few clients parse them.
        try:
            value = value.astimezone(dt.UTC)
        except OverflowError:
            return str(value)
    return value.isoformat()


def duration(nanoseconds: int) -> str:
    """Return a duration as ISO 8601: ``P1DT2H3M4.5S``, a negative one with the sign before it."""
    sign = "-" if nanoseconds < 0 else ""
    seconds, rest = divmod(abs(nanoseconds), 10**9)
    days, seconds = divmod(seconds, _DAY)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    clock = f"{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}{fraction}S"
    return f"{sign}P{days}DT{clock}"


def instants(array: np.ndarray[Any, Any]) -> list[Any]:
    """Return datetime64 values (s, ms, us or ns) as datetimes, or as texts where Python has no datetime.

    Either way JSON has them as ``datetime.isoformat`` writes them: a fraction of the second has 6 digits, or
    9 if nanoseconds are there; none if it is zero.
    """
    ticks, per = ticks_of(array)
    exact = per == 10**6
    if per > 10**6:
        exact = not (ticks % 1000)[ticks != NAT].any()
    elif not exact:
        exact = bool((near(array) | (ticks == NAT)).all())  # numpy does not see an overflow
    if exact:
        cells: list[Any] = array.astype("M8[us]").tolist()
        if int not in set(map(type, cells)):  # what numpy gives for other years
            return cells
    return instant_texts(array)


def instant_texts(array: np.ndarray[Any, Any]) -> list[Any]:
    """Return datetime64 values (s, ms, us or ns) as ISO 8601, None for NaT."""
    ticks, per = ticks_of(array)
    cells: list[Any] = np.datetime_as_string((ticks // per).view("M8[s]")).tolist()
    rest = ticks % per
    places = np.flatnonzero(rest)
    if len(places):
        width = 6 if per < 10**9 else 9
        scale = 10**width // per
        for i, part in zip(places.tolist(), (rest[places] * scale).tolist(), strict=True):
            digits = f"{part:0{width}d}"
            cells[i] += f".{digits[:6] if digits[6:] == '000' else digits}"
    return _with_missing(cells, ticks)


def zoned_instants(array: np.ndarray[Any, Any], local: np.ndarray[Any, Any]) -> list[Any]:
    """Return instants as ``instants`` does, with their offset from UTC (see ``with_offsets``)."""
    local, offsets = with_offsets(array, local)
    zones = {offset: dt.timezone(dt.timedelta(seconds=offset)) for offset in np.unique(offsets).tolist()}
    return [
        cell and (cell + offset_text(offset) if type(cell) is str else cell.replace(tzinfo=zones[offset]))
        for cell, offset in zip(instants(local), offsets.tolist(), strict=True)
    ]


def with_offsets(
    array: np.ndarray[Any, Any], local: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return what clocks show at instants, and their offsets from UTC in seconds.

    ISO 8601 has no seconds in an offset, so few clients parse them: such instants are given in UTC.

    Args:
        array: datetime64 in UTC.
        local: the same instants as the clocks of their zone show them.
    """
    ticks, per = ticks_of(array)
    offsets = (ticks_of(local)[0] - ticks) // per
    odd = offsets % 60 != 0
    if odd.any():
        return np.where(odd, array, local), np.where(odd, 0, offsets)
    return local, offsets


def near(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which datetime64 values are some days within the years 1 to 9999 and the range of their type."""
    ticks, per = ticks_of(array)
    low, high = max(_FIRST * per, -(2**63)), min(_LAST * per, 2**63 - 1)
    margin = 2 * _DAY * per
    return (ticks >= low + margin) & (ticks <= high - margin)


def offset_text(seconds: int) -> str:
    """Return an offset from UTC as ISO 8601."""
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02d}:{minutes:02d}"


def durations(array: np.ndarray[Any, Any]) -> list[Any]:
    """Return timedelta64 values (s, ms, us or ns) as ``duration`` does."""
    ticks, per = ticks_of(array)
    scale = 10**9 // per
    return _with_missing([duration(tick * scale) for tick in ticks.tolist()], ticks)


def ticks_of(array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], int]:
    """Return the numbers of datetime64 or timedelta64 values, and how many of them are a second."""
    per = PER_SECOND[np.datetime_data(array.dtype)[0]]
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).view("i8"), per


def _with_missing(cells: list[Any], ticks: np.ndarray[Any, Any]) -> list[Any]:
    for i in np.flatnonzero(ticks == NAT).tolist():
        cells[i] = None
    return cells

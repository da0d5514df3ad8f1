"""Dates and times read from text and written as text: ISO 8601, or in the codes of strptime."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.kinds import Mask
from framekeep.editing.values import ISO_INSTANT, zone_and_unit
from framekeep.errors import InvalidEditError

_OFFSET = re.compile(r".*(?:Z|[+-]\d{2}:?\d{2})", re.ASCII)
_CODES = re.compile(r"%(.)", re.DOTALL)


def read_instants(texts: Sequence[str], form: str | None) -> tuple[Any, Mask]:
    """Return texts as instants, in microseconds or finer, and which of them are none.

    With offsets they are in UTC.

    Args:
        texts: what to read.
        form: in the codes of strptime; None for ISO 8601.

    Raises:
        InvalidEditError: some have an offset and some have none; or the form is none, or leaves a part of the
            date to be guessed.
    """
    if form is not None:
        return _in_form(texts, form)
    stripped = [text.strip() for text in texts]
    valid = np.array([ISO_INSTANT.fullmatch(text) is not None for text in stripped], dtype=bool)
    aware = {_has_offset(text) for text, good in zip(stripped, valid, strict=True) if good}
    if len(aware) > 1:
        raise InvalidEditError(
            "Some of the texts have an offset from UTC and some have none, so that they do not go into one "
            "column. Give all of them one, or remove it."
        )
    series = pd.Series(
        [text if good else None for text, good in zip(stripped, valid, strict=True)], dtype=object
    )
    return _finished(pd.to_datetime(series, format="ISO8601", errors="coerce", utc=aware == {True}))


def _has_offset(text: str) -> bool:
    return len(text) > 10 and _OFFSET.fullmatch(text[10:]) is not None


def _in_form(texts: Sequence[str], form: str) -> tuple[Any, Mask]:
    codes = set(_CODES.findall(form))
    whole = codes & set("Yy") and ("j" in codes or (codes & set("mbB") and "d" in codes))
    if not whole:
        raise InvalidEditError(
            "A format of dates must have a year (%Y, %y), a month (%m, %b, %B) and a day (%d), or a year and "
            "its day (%j)."
        )
    series = pd.Series(list(texts), dtype=object).str.strip()
    try:
        return _finished(pd.to_datetime(series, format=form, errors="coerce", exact=True, utc="z" in codes))
    except (ValueError, re.error, OverflowError):
        raise InvalidEditError("The format of dates is not valid.") from None


def _finished(instants: pd.Series[Any]) -> tuple[Any, Mask]:
    array: Any = instants.array
    failed = np.asarray(array.isna(), dtype=bool)
    return (array if zone_and_unit(array.dtype)[1] in ("us", "ns") else array.as_unit("us")), failed


def instants_of(array: Any) -> Any:
    """Return a column of instants as pandas' own array of them, whatever holds it."""
    if not isinstance(array.dtype, pd.ArrowDtype):
        return array
    zone, unit = zone_and_unit(array.dtype)
    return array.astype(f"M8[{unit}]" if zone is None else pd.DatetimeTZDtype(unit, zone))


def wall_times(array: Any) -> npt.NDArray[np.datetime64]:
    """Return instants as the calendar and clock of their zone show them, without it."""
    array = instants_of(array)
    if getattr(array.dtype, "tz", None) is not None:
        array = array.tz_localize(None)
    return np.asarray(array)


def write_instants(array: Any) -> npt.NDArray[Any]:
    """Return instants as text in ISO 8601, None for missing: as dates if none has a time of day or a zone."""
    array = instants_of(array)
    zone = zone_and_unit(array.dtype)[0]
    wall = wall_times(array)
    texts = np.full(len(wall), None, dtype=object)
    there = ~np.isnat(wall)
    if zone is None and bool((wall[there] == wall[there].astype("M8[D]")).all()):
        texts[there] = np.datetime_as_string(wall[there], unit="D")
        return texts
    steps: tuple[tuple[Any, str | None], ...] = (("s", None), ("us", "s"), ("ns", "us"))
    for exact, coarser in steps:
        # As short as each can be without losing anything.
        chosen = there & _is_whole(wall, exact)
        if coarser is not None:
            chosen &= ~_is_whole(wall, coarser)
        if chosen.any():
            texts[chosen] = np.datetime_as_string(wall[chosen].astype(f"M8[{exact}]"), unit=exact)
    if zone is not None:
        offsets = (wall - np.asarray(array.tz_convert(None))).astype("m8[s]").astype(np.int64)
        for offset in np.unique(offsets[there]):
            chosen = there & (offsets == offset)
            texts[chosen] += _written_offset(int(offset))
    return texts


def _is_whole(wall: npt.NDArray[np.datetime64], unit: str) -> Mask:
    whole: Mask = wall == wall.astype(f"M8[{unit}]").astype(wall.dtype)
    return whole


def _written_offset(seconds: int) -> str:
    sign, seconds = ("-" if seconds < 0 else "+"), abs(seconds)
    rest = f":{seconds % 60:02d}" if seconds % 60 else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}{rest}"

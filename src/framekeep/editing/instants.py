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


def write_instants(array: Any) -> list[str | None]:
    """Return instants as text in ISO 8601: as dates alone if none has a time of day or a zone."""
    array = instants_of(array)
    zoned = zone_and_unit(array.dtype)[0] is not None
    wall = wall_times(array)
    dates = not zoned and bool((np.isnat(wall) | (wall == wall.astype("M8[D]"))).all())
    return [
        None if cell is pd.NaT else cell.date().isoformat() if dates else cell.isoformat() for cell in array
    ]

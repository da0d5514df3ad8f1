"""Kinds of the exact value encoding for pandas scalars and offsets, and nested pandas objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

from framekeep.errors import SessionDamagedError
from framekeep.frames.foreign import Allowance
from framekeep.frames.values_kinds import (
    FAMILIES,
    NESTED,
    Kind,
    Node,
    Refused,
    damaged,
    exactly,
    hashes_safely,
    leaf,
    node,
)
from framekeep.frames.values_masked import calendar_build, calendar_parts
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

# --- scalars ------------------------------------------------------------------------------------

leaf([type(pd.NA)], lambda w, _: w.out.append(0x50), {0x50: lambda _: pd.NA})
leaf([type(pd.NaT)], lambda w, _: w.out.append(0x51), {0x51: lambda _: pd.NaT})

_UNITS: Final = ("s", "ms", "us", "ns")


def _unit(value: Any) -> str:
    if value not in _UNITS:
        damaged("an unknown unit of time")
    return str(value)


def _timestamp_parts(value: pd.Timestamp) -> tuple[Any, ...]:
    return int(value.asm8.view(np.int64)), value.unit, value.fold, value.tzinfo


def _timestamp_build(parts: list[Any]) -> Any:
    count, unit, fold, zone = exactly(parts, 4)
    instant: Any = np.datetime64
    value: Any = pd.Timestamp(instant(count, _unit(unit)))
    if zone is not None:
        value = value.tz_localize("UTC").tz_convert(zone)
    return value if value.fold == fold else value.replace(fold=fold)


def _timestamp_same(a: Any, b: Any) -> bool:
    return bool(
        _timestamp_parts(a)[:3] == _timestamp_parts(b)[:3] and a.tzinfo is b.tzinfo and repr(a) == repr(b)
    )


node([pd.Timestamp], Node(0x52, _timestamp_parts, build=_timestamp_build, same=_timestamp_same))


def _timedelta_build(parts: list[Any]) -> Any:
    count, unit = exactly(parts, 2)
    span: Any = np.timedelta64
    return pd.Timedelta(span(count, _unit(unit)))


node(
    [pd.Timedelta],
    Node(
        0x53,
        lambda v: (int(v.asm8.view(np.int64)), v.unit),
        build=_timedelta_build,
        same=lambda a, b: a == b and a.unit == b.unit,
    ),
)


def _period_build(parts: list[Any]) -> Any:
    ordinal, freq = exactly(parts, 2)
    if type(ordinal) is not int or not isinstance(freq, pd.offsets.BaseOffset):
        damaged("not a period")
    period: Any = pd.Period
    return period(ordinal=ordinal, freq=freq)


node(
    [pd.Period],
    Node(
        0x54,
        lambda v: (v.ordinal, v.freq),
        build=_period_build,
        same=lambda a, b: a == b and a.ordinal == b.ordinal and a.freq == b.freq,
    ),
)


def _interval_build(parts: list[Any]) -> Any:
    left, right, closed = exactly(parts, 3)
    return pd.Interval(left, right, closed)


def _interval_same(a: Any, b: Any) -> bool:
    return bool(
        a.closed == b.closed
        and type(a.left) is type(b.left)
        and type(a.right) is type(b.right)
        and (a == b or a.left != a.left)
    )


node(
    [pd.Interval],
    Node(0x55, lambda v: (v.left, v.right, v.closed), build=_interval_build, same=_interval_same),
)

# --- offsets ------------------------------------------------------------------------------------

OFFSETS: Final[dict[str, Any]] = {
    name: getattr(pd.offsets, name)
    for name in (
        "BHalfYearBegin",
        "BHalfYearEnd",
        "BMonthBegin",
        "BMonthEnd",
        "BQuarterBegin",
        "BQuarterEnd",
        "BYearBegin",
        "BYearEnd",
        "BusinessDay",
        "BusinessHour",
        "BusinessMonthBegin",
        "BusinessMonthEnd",
        "CustomBusinessDay",
        "CustomBusinessHour",
        "CustomBusinessMonthBegin",
        "CustomBusinessMonthEnd",
        "DateOffset",
        "Day",
        "Easter",
        "FY5253",
        "FY5253Quarter",
        "HalfYearBegin",
        "HalfYearEnd",
        "Hour",
        "LastWeekOfMonth",
        "Micro",
        "Milli",
        "Minute",
        "MonthBegin",
        "MonthEnd",
        "Nano",
        "QuarterBegin",
        "QuarterEnd",
        "Second",
        "SemiMonthBegin",
        "SemiMonthEnd",
        "Week",
        "WeekOfMonth",
        "YearBegin",
        "YearEnd",
    )
    if hasattr(pd.offsets, name)
}
_OFFSET_NAMES: Final = {each: each.__name__ for each in OFFSETS.values()}


def _offset_parts(value: Any) -> tuple[Any, ...]:
    kwds = {name: value.kwds[name] for name in sorted(value.kwds)}
    calendar = kwds.pop("calendar", None)
    # A ready-made calendar may say something else than the mask beside it, and then it is what counts.
    usual = calendar is None or calendar_parts(calendar) == calendar_parts(
        np.busdaycalendar(kwds["weekmask"], list(kwds["holidays"] or ()))
    )
    name = _OFFSET_NAMES[type(value)]
    return name, value.n, value.normalize, kwds, None if usual else calendar_parts(calendar)


def _offset_build(parts: list[Any]) -> Any:
    name, n, normalize, kwds, calendar = exactly(parts, 5)
    if name not in OFFSETS or type(kwds) is not dict or "calendar" in kwds:
        damaged("an unknown offset")
    if not hashes_safely(kwds.values()):
        damaged("an offset is nested too deep")
    arguments = dict(kwds)
    if normalize:
        arguments["normalize"] = True
    if calendar is not None:
        arguments["calendar"] = calendar_build(list(calendar))
    return OFFSETS[name](n, **arguments)


def offset_same(a: Any, b: Any) -> bool:
    if a != b or _offset_parts(a) != _offset_parts(b) or a.freqstr != b.freqstr:
        return False
    one, two = a.kwds.get("calendar"), b.kwds.get("calendar")
    return one is two if one is None or two is None else calendar_parts(one) == calendar_parts(two)


node(list(OFFSETS.values()), Node(0x56, _offset_parts, build=_offset_build, same=offset_same))


# --- nested pandas objects ----------------------------------------------------------------------

_nested: list[tuple[Callable[[Any], bytes], Callable[[bytes, Allowance | None], object]]] = []


def register_nested(
    dump_frame: Callable[[Any], bytes], load_frame: Callable[[bytes, Allowance | None], object]
) -> None:
    """Say how pandas objects within cells are kept; until then they are refused.

    Args:
        dump_frame: encodes a DataFrame, Series, Index or extension array; raises UnsupportedTypeError
            for what it cannot keep exactly.
        load_frame: the inverse; raises DamagedError for malformed bytes. Its second argument is what may
            still be decoded of bytes that nobody vouches for.
    """
    _nested[:] = [(dump_frame, load_frame)]


MAX_NESTED: Final = 8
"""Frames within cells of frames are encoded recursively; reading must never need more stack than writing."""

_level = threading.local()


@contextmanager
def _one_level(error: Exception) -> Iterator[None]:
    depth = getattr(_level, "depth", 0)
    if depth >= MAX_NESTED:
        raise error
    _level.depth = depth + 1
    try:
        yield
    finally:
        _level.depth = depth


def _write_nested(w: Writer, value: Any) -> None:
    with _one_level(Refused(value, "pandas objects are nested too deep")):
        data = _nested[0][0](value)
    w.out.append(NESTED)
    w.block(data)


def _read_nested(r: Reader) -> object:
    data = bytes(r.block())
    if not _nested:
        damaged("it holds a pandas object within a cell, which nothing here can read")
    with _one_level(SessionDamagedError("a stored value is malformed: pandas objects are nested too deep")):
        return _nested[0][1](data, r.allowance)


_nested_kind = leaf([], _write_nested, {NESTED: _read_nested}, shared=True)


def _nested_family(value: object) -> Kind | None:
    if (
        isinstance(value, (pd.DataFrame, pd.Series, pd.Index, ExtensionArray))
        and type(value).__module__.split(".")[0] == "pandas"
        and _nested
    ):
        return _nested_kind
    return None


FAMILIES.append(_nested_family)

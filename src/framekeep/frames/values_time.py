"""Kinds of the exact value encoding for dates, times and time zones.

Zones of pytz are recognised when it is installed; those of dateutil have a module of their own. A zone is
rebuilt by name from the zone data of the reading machine; one that is not known there is an error, never
another zone.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import Any, Final
from zoneinfo import ZoneInfo

from framekeep.frames.values_kinds import FAMILIES, KINDS, Kind, Node, Refused, damaged, exactly, leaf, node
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

_MICROSECOND: Final = dt.timedelta(microseconds=1)
_START: Final = dt.datetime(1, 1, 1)

# --- date, time, datetime, timedelta ------------------------------------------------------------


def _write_date(w: Writer, value: dt.date) -> None:
    w.out.append(0x30)
    w.out += value.toordinal().to_bytes(4, "little")


leaf([dt.date], _write_date, {0x30: lambda r: dt.date.fromordinal(int.from_bytes(r.take(4), "little"))})


def _time_parts(value: dt.time) -> tuple[int, int, dt.tzinfo | None]:
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return seconds * 1_000_000 + value.microsecond, value.fold, value.tzinfo


def _time_build(parts: list[Any]) -> dt.time:
    micros, fold, zone = exactly(parts, 3)
    rest, micro = divmod(micros, 1_000_000)
    rest, second = divmod(rest, 60)
    hour, minute = divmod(rest, 60)
    return dt.time(hour, minute, second, micro, zone, fold=fold)


node([dt.time], Node(0x31, _time_parts, build=_time_build))


def _micros(value: dt.datetime) -> int:
    return (value.replace(tzinfo=None, fold=0) - _START) // _MICROSECOND


def _write_naive(w: Writer, value: dt.datetime) -> None:
    w.out.append(0x32)
    w.int64((value - _START) // _MICROSECOND)


_naive = leaf([], _write_naive, {0x32: lambda r: _START + dt.timedelta(microseconds=r.int64())})


def _datetime_build(parts: list[Any]) -> dt.datetime:
    micros, fold, zone = exactly(parts, 3)
    return (_START + dt.timedelta(microseconds=micros)).replace(tzinfo=zone, fold=fold)


_aware = node([], Node(0x33, lambda v: (_micros(v), v.fold, v.tzinfo), build=_datetime_build))


def _datetime_kind(value: dt.datetime) -> Kind:
    return _aware if value.tzinfo is not None or value.fold else _naive


KINDS[dt.datetime] = _datetime_kind


def _write_timedelta(w: Writer, value: dt.timedelta) -> None:
    w.out.append(0x34)
    w.out += value.days.to_bytes(4, "little", signed=True)
    w.out += value.seconds.to_bytes(4, "little")
    w.out += value.microseconds.to_bytes(4, "little")


def _read_timedelta(r: Reader) -> dt.timedelta:
    days = int.from_bytes(r.take(4), "little", signed=True)
    seconds, micros = int.from_bytes(r.take(4), "little"), int.from_bytes(r.take(4), "little")
    return dt.timedelta(days, seconds, micros)


leaf([dt.timedelta], _write_timedelta, {0x34: _read_timedelta})

# --- zones of the standard library --------------------------------------------------------------


def _fixed_parts(value: dt.timezone) -> tuple[Any, ...]:
    arguments: tuple[Any, ...] = value.__getinitargs__()  # type: ignore[attr-defined]
    return arguments


node([dt.timezone], Node(0x35, _fixed_parts, build=lambda p: dt.timezone(*p)))

_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*")


def zone_name(name: object) -> str:
    """Return a plain zone name such as ``Europe/Berlin``; refuse whatever might be a path."""
    if type(name) is not str or not _ZONE_NAME.fullmatch(name):
        damaged("not the name of a time zone")
    return name


def _write_zoneinfo(w: Writer, value: ZoneInfo) -> None:
    try:
        value.__reduce__()  # refuses zones that were read from a file object
        name = zone_name(value.key)
    except Exception as error:
        raise Refused(value, "it was not made from a zone name") from error
    w.out.append(0x36)
    w.text(name)


leaf([ZoneInfo], _write_zoneinfo, {0x36: lambda r: ZoneInfo(zone_name(r.text()))})

# --- pytz ---------------------------------------------------------------------------------------


def _pytz() -> Any:
    try:
        import pytz
    except ImportError:
        damaged("it needs the package pytz, which is not installed")
    return pytz


def _pytz_parts(value: Any) -> tuple[Any, ...]:
    kind = type(value).__mro__[1].__name__
    if kind == "DstTzInfo":
        return value.zone, value._utcoffset, value._dst, value._tzname
    return (value.zone,)


def _pytz_build(parts: list[Any]) -> Any:
    zone = _pytz().timezone(zone_name(parts[0]))
    if len(parts) == 1:
        return zone
    _, offset, saved, name = exactly(parts, 4)
    if (zone._utcoffset, zone._dst, zone._tzname) == (offset, saved, name):
        return zone
    return zone._tzinfos[offset, saved, name]


_pytz_zone = node([], Node(0x37, _pytz_parts, build=_pytz_build, same=lambda a, b: a is b))
_pytz_utc = leaf([], lambda w, _: w.out.append(0x38), {0x38: lambda _: _pytz().utc})


def _pytz_fixed_build(parts: list[Any]) -> Any:
    (minutes,) = exactly(parts, 1)
    if type(minutes) is not int:
        damaged("not an offset from UTC")
    return _pytz().FixedOffset(minutes)


_pytz_fixed = node([], Node(0x39, lambda v: (v._minutes,), build=_pytz_fixed_build, same=lambda a, b: a is b))


def _pytz_family(value: object) -> Kind | None:
    pytz = sys.modules.get("pytz")
    if pytz is None or not isinstance(value, dt.tzinfo):
        return None
    if value is pytz.utc:
        return _pytz_utc
    if type(value) is type(pytz.FixedOffset(1)):
        return _pytz_fixed
    if isinstance(value, (pytz.tzinfo.DstTzInfo, pytz.tzinfo.StaticTzInfo)):
        return _pytz_zone
    return None


FAMILIES.append(_pytz_family)

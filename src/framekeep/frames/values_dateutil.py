"""Kinds of the exact value encoding for dateutil: zones, relative differences, weekdays.

Recognised when dateutil is installed. Zones are rebuilt by name from the zone data of the reading machine.
"""

from __future__ import annotations

import datetime as dt
import sys
from struct import pack
from typing import Any, Final

from framekeep.frames.values_kinds import FAMILIES, Kind, Node, damaged, exactly, leaf, node
from framekeep.frames.values_time import zone_name

# --- zones ----------------------------------------------------------------------------------------


def _dateutil() -> Any:
    try:
        import dateutil.tz
    except ImportError:
        damaged("it needs the package python-dateutil, which is not installed")
    return dateutil.tz


_dateutil_utc = leaf([], lambda w, _: w.out.append(0x3A), {0x3A: lambda _: _dateutil().tzutc()})


def _tzoffset_same(a: Any, b: Any) -> bool:
    return bool((a._name, a._offset) == (b._name, b._offset))


def _tzoffset_build(parts: list[Any]) -> Any:
    name, offset = exactly(parts, 2)
    if not isinstance(name, str | None) or type(offset) is not dt.timedelta:
        damaged("not an offset from UTC")
    return _dateutil().tzoffset(name, offset)


_dateutil_offset = node(
    [],
    Node(
        0x3B,
        lambda v: (v._name, v._offset),
        build=_tzoffset_build,
        same=_tzoffset_same,
    ),
)


def _local_parts(value: Any) -> tuple[Any, ...]:
    return value._std_offset, value._dst_offset, value._tznames


def _local_build(parts: list[Any]) -> Any:
    zone = _dateutil().tzlocal()
    if _local_parts(zone) != tuple(parts):
        damaged("it uses the local time zone of a machine in another zone")
    return zone


_dateutil_local = node([], Node(0x3C, _local_parts, build=_local_build, same=lambda a, b: a == b))


def _tzfile_parts(value: Any) -> tuple[Any, ...]:
    name = getattr(value, "_key", None) or str(value._filename)
    tz = _dateutil()
    for root in getattr(tz, "TZPATH", None) or tz.TZPATHS:  # the name of this changed in dateutil 4
        prefix = root.rstrip("/") + "/"
        if name.startswith(prefix):
            return (name[len(prefix) :],)
    return (name,)


def _tzfile_build(parts: list[Any]) -> Any:
    tz = _dateutil()
    zone = tz.gettz(zone_name(*exactly(parts, 1)))
    if type(zone) is not tz.tzfile:
        damaged("it uses a time zone that is not known here")
    return zone


def _tzfile_same(a: Any, b: Any) -> bool:
    return bool(a == b and a._filename == b._filename and repr(a) == repr(b))


_dateutil_file = node([], Node(0x3D, _tzfile_parts, build=_tzfile_build, same=_tzfile_same))


MAX_RULE: Final = 200
"""Characters of a POSIX rule; those of the world have at most 30."""


def _tzstr_parts(value: Any) -> tuple[Any, ...]:
    # What the sign of an offset from GMT meant is not kept by the zone, but told by its offset.
    return value._s, not _rule_same(value, _dateutil().tzstr(value._s))


def _tzstr_build(parts: list[Any]) -> Any:
    rule, posix = exactly(parts, 2)
    if type(rule) is not str or type(posix) is not bool or len(rule) > MAX_RULE:
        damaged("not a rule of a time zone")
    return _dateutil().tzstr(rule, posix)


def _rule_same(a: Any, b: Any) -> bool:
    one, two = vars(a), vars(b)
    return list(one) == list(two) and all(
        type(x) is type(y) and x == y and repr(x) == repr(y)
        for x, y in zip(one.values(), two.values(), strict=True)
    )


_dateutil_rule = node([], Node(0x3E, _tzstr_parts, build=_tzstr_build, same=_rule_same))
_RANGE: Final = ("_std_abbr", "_std_offset", "_dst_abbr", "_dst_offset", "_start_delta", "_end_delta")


def _tzrange_build(parts: list[Any]) -> Any:
    name, offset, summer, saved, start, end = exactly(parts, 6)
    kinds = (str, dt.timedelta, str | None, dt.timedelta, _delta_class(), _delta_class())
    if summer is None:  # dateutil has none of the rules then
        kinds = (*kinds[:4], type(start), type(end))
    if not all(map(isinstance, parts, kinds)):
        damaged("not a rule of a time zone")
    return _dateutil().tzrange(name, offset, summer, saved if summer else None, start, end)


_dateutil_range = node(
    [],
    Node(
        0x3F,
        lambda v: tuple(getattr(v, name, None) for name in _RANGE),
        build=_tzrange_build,
        same=_rule_same,
    ),
)


def _dateutil_family(value: object) -> Kind | None:
    if "dateutil.tz" not in sys.modules or not isinstance(value, dt.tzinfo):
        return None
    tz = _dateutil()
    kinds: dict[type, Kind] = {
        tz.tzutc: _dateutil_utc,
        tz.tzoffset: _dateutil_offset,
        tz.tzlocal: _dateutil_local,
        tz.tzfile: _dateutil_file,
        tz.tzstr: _dateutil_rule,
        tz.tzrange: _dateutil_range,
    }
    return kinds.get(type(value))


FAMILIES.append(_dateutil_family)

# --- relative differences and weekdays ------------------------------------------------------------


def _relative() -> Any:
    try:
        import dateutil.relativedelta
    except ImportError:
        damaged("it needs the package python-dateutil, which is not installed")
    return dateutil.relativedelta


def _delta_class() -> Any:
    return _relative().relativedelta


def _weekday_build(parts: list[Any]) -> Any:
    day, n = exactly(parts, 2)
    if type(day) is not int or not 0 <= day <= 6 or not isinstance(n, int | None):
        damaged("not a weekday")
    return _relative().weekday(day, n)


_weekday = node([], Node(0x59, lambda v: (v.weekday, v.n), build=_weekday_build, same=lambda a, b: a == b))
_ADDED: Final = ("years", "months", "days", "leapdays", "hours", "minutes", "seconds", "microseconds")
_SET: Final = ("year", "month", "day", "weekday", "hour", "minute", "second", "microsecond")


def _delta_parts(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in (*_ADDED, *_SET))


def _delta_build(parts: list[Any]) -> Any:
    parts = exactly(parts, len(_ADDED) + len(_SET))
    plain = (int, float, type(None), _relative().weekday)
    if any(type(part) not in plain for part in parts):
        damaged("not a relative difference")
    return _delta_class()(**dict(zip((*_ADDED, *_SET), parts, strict=True)))


def _delta_same(a: Any, b: Any) -> bool:
    one, two = vars(a), vars(b)
    return one.keys() == two.keys() and all(
        type(x) is type(y) and (pack("<d", x) == pack("<d", y) if type(x) is float else repr(x) == repr(y))
        for x, y in ((one[name], two[name]) for name in one)
    )


_delta = node([], Node(0x5A, _delta_parts, build=_delta_build, shared=True, same=_delta_same))


def _relative_family(value: object) -> Kind | None:
    if not type(value).__module__.startswith("dateutil.") or "dateutil.relativedelta" not in sys.modules:
        return None
    kinds: dict[type, Kind] = {_relative().weekday: _weekday, _delta_class(): _delta}
    return kinds.get(type(value))


FAMILIES.append(_relative_family)

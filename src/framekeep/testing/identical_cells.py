"""Compare two Python values strictly: same types, same bits, all the way down.

Walks with its own stack, so a list nested a hundred thousand deep or one that holds itself is no danger.
Knows no pandas containers: the caller hands in what compares those.
"""

from __future__ import annotations

import array
import collections
import datetime as dt
import decimal
import re
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from framekeep.testing.identical_arrow import arrow_differences

Path: TypeAlias = tuple[Any, ...]
"""``()`` or ``(parent path, step)``: linked, so that a deep path costs nothing until it is told.

A step is a text, or a tuple ``(text, value)`` whose value is shown only then.
"""

Compare: TypeAlias = "Callable[[Walk, Path, Any, Any], bool]"

_MISSING = object()
_PLAIN = frozenset({str, int, bytes, bytearray, dt.date, dt.timedelta, range})
_ITSELF: tuple[type, ...] = (
    type(None), bool, type(...), type(NotImplemented), type(pd.NA), type(pd.NaT), type, types.FunctionType,
    types.BuiltinFunctionType, types.ModuleType,
)  # fmt: skip
_LONGDOUBLE_BYTES = 10 if np.finfo(np.longdouble).nmant == 63 else np.dtype(np.longdouble).itemsize


class Walk:
    """One comparison under way: pairs still to compare, and the differences found so far."""

    def __init__(self, limit: int, compare_pandas: Compare) -> None:
        self.found: list[str] = []
        self._limit = limit
        self._todo: list[tuple[Path, Any, Any]] = []
        self._seen: set[tuple[int, int]] = set()
        self._alive: list[Any] = []  # ids in _seen stay unique only while their objects live
        self._compare_pandas = compare_pandas

    def push(self, path: Path, a: object, b: object) -> None:
        """Compare ``a`` and ``b`` later."""
        self._todo.append((path, a, b))

    def say(self, path: Path, text: str) -> None:
        """Note a difference."""
        if len(self.found) < self._limit:
            self.found.append(f"{_told(path)}: {text}")

    def run(self) -> None:
        """Compare until nothing is left, or enough was found."""
        while self._todo and len(self.found) < self._limit:
            self._one(*self._todo.pop())

    def _one(self, path: Path, a: Any, b: Any) -> None:
        kind = type(a)
        if kind is not type(b):
            self.say(path, f"{_shown(a)} became {_shown(b)}")
        elif kind in _PLAIN:
            if a != b:
                self.say(path, f"{_shown(a)} became {_shown(b)}")
        elif isinstance(a, _ITSELF):
            if a is not b:
                self.say(path, f"{_shown(a)} became {_shown(b)}")
        elif kind is float:
            if struct.pack("d", a) != struct.pack("d", b):
                self.say(path, f"{_shown(a)} became {_shown(b)} (other bits)")
        elif a is not b:
            if (id(a), id(b)) in self._seen:
                return
            self._seen.add((id(a), id(b)))
            self._alive += (a, b)
            self._compound(path, a, b)

    def _compound(self, path: Path, a: Any, b: Any) -> None:
        for kind, compare in _BY_TYPE:
            if isinstance(a, kind):
                compare(self, path, a, b)
                return
        if not self._compare_pandas(self, path, a, b):
            _by_state(self, path, a, b)


def strict_equal(a: object, b: object) -> bool:
    """Tell whether two cell values without pandas containers are identical."""
    walk = Walk(1, lambda *_: False)
    walk.push((), a, b)
    walk.run()
    return not walk.found


def _told(path: Path) -> str:
    steps: list[str] = []
    while path:
        path, step = path
        steps.append(f"{step[0]}({_shown(step[1])})" if isinstance(step, tuple) else str(step))
    shown = steps[::-1] if len(steps) < 20 else [*steps[:-8:-1], " … ", *steps[7::-1]]
    return "".join(shown) or "value"


def _shown(value: Any) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # an int of more digits than Python prints
        text = "…"
    return f"{kind} {text if len(text) < 80 else text[:77] + '…'}"


# --- arrays ---------------------------------------------------------------------------------------


def compare_ndarray(walk: Walk, path: Path, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    """Compare dtype, shape and bits; object cells and structured fields one by one."""
    if type(a) is not type(b):
        walk.say(path, f"{type(a).__name__} became {type(b).__name__}")
        return
    walk.push((path, ".dtype"), a.dtype, b.dtype)
    if a.dtype != b.dtype:
        return
    if a.shape != b.shape:
        walk.say(path, f"shape {a.shape} became {b.shape}")
        return
    if isinstance(a, np.ma.MaskedArray) and isinstance(b, np.ma.MaskedArray):
        compare_ndarray(walk, (path, ".mask"), np.ma.getmaskarray(a), np.ma.getmaskarray(b))
        walk.push((path, ".fill_value"), a.fill_value, b.fill_value)
        a, b = a.filled(), b.filled()
    if a.dtype.names:
        for name in a.dtype.names:
            compare_ndarray(walk, (path, f"[{name!r}]"), a[name], b[name])
    elif a.dtype.kind == "O":
        _object_cells(walk, path, a, b)
    elif a.dtype.kind == "T":
        _object_cells(walk, path, a.astype(object), b.astype(object))
    elif a.size and a.dtype.itemsize:
        _bits(walk, path, a, b)


def _object_cells(walk: Walk, path: Path, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    for position, (left, right) in enumerate(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)):
        if left is right:
            continue
        kind = type(left)
        if kind is type(right) and kind in _PLAIN and left == right:
            continue
        walk.push((path, f"[{position}]"), left, right)


def _bits(walk: Walk, path: Path, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> None:
    if a.dtype.metadata or b.dtype.metadata:
        a, b = a.astype(a.dtype.str), b.astype(b.dtype.str)
    rows = [np.ascontiguousarray(x).reshape(-1).view(np.uint8).reshape(a.size, -1) for x in (a, b)]
    if a.dtype.type in (np.longdouble, np.clongdouble):  # the rest is padding
        parts = 2 if a.dtype.kind == "c" else 1
        used = [slice(None, _LONGDOUBLE_BYTES), slice(-_LONGDOUBLE_BYTES, None)]
        if a.dtype.byteorder == ">":
            used.reverse()
        rows = [x.reshape(a.size * parts, -1)[:, used[0]].reshape(a.size, -1) for x in rows]
    other = (rows[0] != rows[1]).any(axis=1)
    if other.any():
        first = int(other.argmax())
        left, right = a.reshape(-1)[first], b.reshape(-1)[first]
        walk.say((path, f"[{first}]"), f"{_shown(left)} became {_shown(right)} ({int(other.sum())} in all)")


def _scalar(walk: Walk, path: Path, a: np.generic, b: np.generic) -> None:
    compare_ndarray(walk, path, np.asarray(a), np.asarray(b))


def _dtype(walk: Walk, path: Path, a: np.dtype[Any], b: np.dtype[Any]) -> None:
    if a != b or a.byteorder != b.byteorder or repr(a) != repr(b) or a.alignment != b.alignment:
        walk.say(path, f"dtype {a!r} became {b!r}")
    walk.push((path, ".metadata"), dict(a.metadata or {}), dict(b.metadata or {}))


# --- dates and zones ------------------------------------------------------------------------------


def _parts(*names: str) -> Callable[[Walk, Path, Any, Any], None]:
    def compare(walk: Walk, path: Path, a: Any, b: Any) -> None:
        for name in names:
            walk.push((path, f".{name}"), getattr(a, name), getattr(b, name))

    return compare


def _clock(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a.replace(tzinfo=None, fold=0) != b.replace(tzinfo=None, fold=0) or a.fold != b.fold:
        walk.say(path, f"{_shown(a)} fold {a.fold} became {_shown(b)} fold {b.fold}")
    walk.push((path, ".tzinfo"), a.tzinfo, b.tzinfo)


def _zone(walk: Walk, path: Path, a: dt.tzinfo, b: dt.tzinfo) -> None:
    same = repr(a) == repr(b)
    if isinstance(a, zoneinfo.ZoneInfo) and isinstance(b, zoneinfo.ZoneInfo):
        same = same and a.key == b.key
    elif type(a).__module__.startswith("pytz"):
        same = same and all(
            getattr(a, name, None) == getattr(b, name, None)
            for name in ("zone", "_minutes", "_utcoffset", "_dst", "_tzname")
        )
    elif isinstance(a, dt.timezone):
        same = same and a == b
    else:
        same = same and all(_offsets(a, year) == _offsets(b, year) for year in (1900, 1970, 2024, 2100))
    if not same:
        walk.say(path, f"time zone {_shown(a)} became {_shown(b)}")


def _offsets(zone: dt.tzinfo, year: int) -> list[tuple[object, object, object]]:
    moments = [dt.datetime(year, month, 1, 12, tzinfo=zone) for month in range(1, 13)]
    return [(moment.utcoffset(), moment.dst(), moment.tzname()) for moment in moments]


def _offset(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a != b or a.n != b.n or a.normalize != b.normalize or repr(a) != repr(b):
        walk.say(path, f"offset {_shown(a)} became {_shown(b)}")
    walk.push((path, ".kwds"), a.kwds, b.kwds)


# --- containers -----------------------------------------------------------------------------------


def _sequence(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    for position, (left, right) in enumerate(zip(a, b, strict=True)):
        walk.push((path, f"[{position}]"), left, right)
    if isinstance(a, collections.deque):
        walk.push((path, ".maxlen"), a.maxlen, b.maxlen)
    elif type(a) not in (list, tuple):
        walk.push((path, ".__dict__"), getattr(a, "__dict__", None), getattr(b, "__dict__", None))


def _mapping(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    for (left, x), (right, y) in zip(a.items(), b.items(), strict=True):
        walk.push((path, " key"), left, right)
        walk.push((path, ("", left)), x, y)
    if isinstance(a, collections.defaultdict):
        walk.push((path, ".default_factory"), a.default_factory, b.default_factory)
    elif type(a) is not dict:
        walk.push((path, ".__dict__"), getattr(a, "__dict__", None), getattr(b, "__dict__", None))


def _set(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if len(a) != len(b):
        walk.say(path, f"length {len(a)} became {len(b)}")
        return
    theirs = {value: value for value in b}
    unmatched = []
    for value in a:
        partner = theirs.pop(value, _MISSING)
        if partner is _MISSING:
            unmatched.append(value)  # NaN, which equals nothing
        else:
            walk.push((path, " member"), value, partner)
    for left, right in zip(sorted(unmatched, key=_shown), sorted(theirs, key=_shown), strict=True):
        walk.push((path, " member"), left, right)


def _memory(walk: Walk, path: Path, a: memoryview, b: memoryview) -> None:
    if (a.format, a.shape, a.readonly) != (b.format, b.shape, b.readonly) or a.tobytes() != b.tobytes():
        walk.say(path, f"{_shown(a)} became {_shown(b)}")


def _equal(walk: Walk, path: Path, a: Any, b: Any) -> None:
    if a != b or str(a) != str(b):
        walk.say(path, f"{_shown(a)} became {_shown(b)}")


def _bytes_of(walk: Walk, path: Path, a: array.array[Any], b: array.array[Any]) -> None:
    if a.typecode != b.typecode or a.tobytes() != b.tobytes():
        walk.say(path, f"{_shown(a)} became {_shown(b)}")


def _decimal(walk: Walk, path: Path, a: decimal.Decimal, b: decimal.Decimal) -> None:
    if a.as_tuple() != b.as_tuple():
        walk.say(path, f"{_shown(a)} became {_shown(b)}")


def _complex(walk: Walk, path: Path, a: complex, b: complex) -> None:
    if struct.pack("dd", a.real, a.imag) != struct.pack("dd", b.real, b.imag):
        walk.say(path, f"{_shown(a)} became {_shown(b)} (other bits)")


def _arrow_scalar(walk: Walk, path: Path, a: Any, b: Any) -> None:
    left, right = (pa.chunked_array([pa.array([x], type=x.type)]) for x in (a, b))
    for line in arrow_differences(left, right):
        walk.say(path, line)


def _arrow_array(walk: Walk, path: Path, a: Any, b: Any) -> None:
    left, right = (x if isinstance(x, pa.ChunkedArray) else pa.chunked_array([x]) for x in (a, b))
    for line in arrow_differences(left, right):
        walk.say(path, line)


def _by_state(walk: Walk, path: Path, a: Any, b: Any) -> None:
    """Compare what pickle would save of two objects nothing here knows."""
    try:
        left, right = a.__reduce_ex__(4), b.__reduce_ex__(4)
    except TypeError:
        walk.say(path, f"cannot compare {_shown(a)}")
        return
    if isinstance(left, str) or isinstance(right, str):
        walk.push(path, left, right)
        return
    for position, (x, y) in enumerate(zip(left, right, strict=True)):
        lists = position in (3, 4) and x is not None and y is not None
        walk.push((path, f" state {position}"), *((list(x), list(y)) if lists else (x, y)))


_BY_TYPE: tuple[tuple[type | tuple[type, ...], Callable[[Walk, Path, Any, Any], None]], ...] = (
    (pd.Timestamp, lambda w, p, a, b: _parts("_value", "unit", "fold", "tz")(w, p, a, b)),
    (pd.Timedelta, _parts("_value", "unit")),
    (pd.Period, _parts("ordinal", "freq")),
    (pd.Interval, _parts("closed", "left", "right")),
    (pd.tseries.offsets.BaseOffset, _offset),
    ((dt.datetime, dt.time), _clock),
    (dt.tzinfo, _zone),
    (np.generic, _scalar),
    (np.ndarray, compare_ndarray),
    (np.dtype, _dtype),
    (np.busdaycalendar, _parts("weekmask", "holidays")),
    (complex, _complex),
    (decimal.Decimal, _decimal),
    (uuid.UUID, _parts("int", "is_safe")),
    (slice, _parts("start", "stop", "step")),
    (re.Pattern, _parts("pattern", "flags")),
    (array.array, _bytes_of),
    (memoryview, _memory),
    ((list, tuple, collections.deque), _sequence),
    (dict, _mapping),
    ((set, frozenset), _set),
    (pa.Scalar, _arrow_scalar),
    ((pa.Array, pa.ChunkedArray), _arrow_array),
    ((pa.DataType, pa.Field, pa.Schema), lambda w, p, a, b: _equal(w, p, a, b)),
)

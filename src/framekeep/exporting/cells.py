"""One cell as JSON has it, whatever it is: nothing that a frame can hold is refused.

What JSON has no word for becomes the nearest thing any client parses:

- NaN, NaT, NA and the infinities are null;
- integers that a double does not hold (beyond 2^53 - 1) are text, so are decimals, fractions and complex
  numbers;
- instants are ISO 8601 with their offset from UTC, durations ISO 8601 with the sign before them;
- bytes are base64; sets are sorted lists; keys of dicts are text;
- anything else is its ``str``.
"""

from __future__ import annotations

import datetime as dt
import math
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from framekeep.exporting.labels import clean, label_text
from framekeep.exporting.times import PER_SECOND, duration, durations, instant, instants

Json: TypeAlias = Any
"""None, bool, int, float, str, datetime, list or dict with text for keys: what orjson takes."""

SAFE: Final = 2**53 - 1
"""Every integer up to here is a double; beyond, many clients round."""

MAX_DEPTH: Final = 64
"""Deeper and cyclic containers become text: parsers recurse."""
MAX_REPEATED: Final = 10_000
"""With more parts that are there already a cell becomes text: a small one can hold a list a billion times."""

_SECONDS: Final = {"W": 604_800, "D": 86_400, "h": 3600, "m": 60}
_ENDS: Final = {"left": "[)", "right": "(]", "both": "[]", "neither": "()"}


class _TooLarge(Exception):
    """A container is nested too deep, or repeats too much."""


def json_cell(value: object) -> Json:
    """Return a cell as JSON has it."""
    simple = _SIMPLE.get(type(value))
    if simple is not None:
        return simple(value)
    try:
        return _Walk().value(value, 0)
    except _TooLarge as error:
        return f"<{type(value).__name__}: {error}>"


class _Walk:
    """One walk over a cell's parts. Those met again are counted: only by them can JSON outgrow the cell."""

    __slots__ = ("_left", "_seen")

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}  # by id; holding them keeps the ids from being used again
        self._left = MAX_REPEATED

    def value(self, value: Any, depth: int) -> Json:
        """Return a part as JSON has it, at this depth within the cell."""
        simple = _SIMPLE.get(type(value))
        if simple is not None:
            return simple(value)
        parts = self._parts(value)
        if parts is None:
            return _scalar(value)
        if depth >= MAX_DEPTH:
            raise _TooLarge(f"cyclic, or nested more than {MAX_DEPTH} deep")
        if id(value) in self._seen:
            self._left -= 1 + len(value)
            if self._left < 0:
                raise _TooLarge(f"more than {MAX_REPEATED:,} parts are repeated")
        self._seen[id(value)] = value
        if isinstance(parts, Mapping):
            return self._mapping(parts, depth)
        made = [self.value(part, depth + 1) for part in parts]
        if isinstance(value, set | frozenset):
            made.sort(key=_order)
        return made

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Json:
        pairs = [(label_text(key), self.value(part, depth + 1)) for key, part in value.items()]
        made = dict(pairs)
        # Keys that differ but not as text: pairs, so that none is lost.
        return made if len(made) == len(pairs) else [list(pair) for pair in pairs]

    @staticmethod
    def _parts(value: Any) -> Any:
        """Return what a container holds (an iterable or a mapping); None for what is no container."""
        if isinstance(value, list | tuple | set | frozenset | deque | Mapping):
            return value
        if isinstance(value, np.ndarray):
            # Not tolist(): it would make integers of instants.
            return value if value.ndim else None
        if isinstance(value, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
            return value
        if isinstance(value, pa.Array | pa.ChunkedArray):
            return value
        if isinstance(value, pd.DataFrame):
            rows = zip(*(value.iloc[:, i] for i in range(value.shape[1])), strict=True)
            return {"columns": list(value.columns), "rows": list(rows)}
        return None


def _order(value: Json) -> bytes:
    return orjson.dumps(clean(value))


# --- scalars ------------------------------------------------------------------------------------


def _scalar(value: Any) -> Json:
    if isinstance(value, np.ndarray):  # of no dimension
        value = value.item() if value.dtype.kind not in "mM" else value[()]
    for kind, make in _KINDS:
        if isinstance(value, kind):
            return make(value)
    return label_text(value)


def integer(value: int) -> Json:
    """Return an integer, as text if a double does not hold it."""
    value = int(value)
    return value if -SAFE <= value <= SAFE else label_text(value)


def real(value: float) -> Json:
    """Return a float; None if JSON has no word for it."""
    value = float(value)
    return value if math.isfinite(value) else None


def _numpy_float(value: Any) -> Json:
    if not np.isfinite(value):
        return None
    if value.dtype.itemsize < 8:
        return float(str(value))  # the fewest digits that name it, as for a double
    return float(value) if float(value) == value else str(value)


def _complex(value: Any) -> Json:
    return str(complex(value)) if np.isfinite(value) else None


def base64(value: Any) -> str:
    """Return bytes as base64."""
    return b64encode(value).decode("ascii")


def _decimal(value: Decimal) -> Json:
    return str(value) if value.is_finite() else None


def _timestamp(value: Any) -> Json:
    return None if value is pd.NaT else instant(value)


def _timedelta(value: dt.timedelta) -> str:
    return duration(value // dt.timedelta(microseconds=1) * 1000)


def _pandas_timedelta(value: Any) -> str:
    scale = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[value.unit]
    return duration(value._value * scale)


def _numpy_time(value: Any) -> Json:
    if np.isnat(value):
        return None
    unit, count = np.datetime_data(value.dtype)
    make = instants if isinstance(value, np.datetime64) else durations
    if unit in PER_SECOND and count == 1:
        return make(np.array([value]))[0]
    if make is durations and unit in _SECONDS:
        return duration(int(value.astype("i8")) * count * _SECONDS[unit] * 10**9)
    if make is durations and unit in "YM":
        return f"P{value.astype('i8') * count}{unit}"
    return str(value)


def interval(left: Any, right: Any, closed: str) -> str:
    """Return an interval in mathematical notation; its ends are cells, or JSON values already."""
    ends = _ENDS[closed]
    return f"{ends[0]}{_end(left)}, {_end(right)}{ends[1]}"


def _end(value: Any) -> str:
    # An open end is infinite, for which JSON has no word.
    return repr(float(value)) if isinstance(value, float | np.floating) else json_text(json_cell(value))


def _interval(value: Any) -> str:
    return interval(value.left, value.right, value.closed)


def _range(value: Any) -> str:
    return repr(value)


def json_text(value: Json) -> str:
    """Return a JSON value as one text: a text is its own, the rest is JSON."""
    return strict_text(clean(value)) or "null"


def strict_text(value: Json) -> str | None:
    """Return a JSON value as one text, None for None.

    Raises:
        UnicodeError: it holds a lone surrogate, but not as a text by itself: that is returned as it is.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dt.datetime):
        return value.isoformat()
    try:
        return orjson.dumps(value).decode()
    except TypeError as error:
        raise UnicodeError("a lone surrogate is no Unicode") from error


_SIMPLE: Final[dict[type, Callable[[Any], Json]]] = {
    str: lambda value: value,
    bool: lambda value: value,
    type(None): lambda value: None,
    type(pd.NA): lambda value: None,
    type(pd.NaT): lambda value: None,
    int: integer,
    float: real,
    np.float64: real,
    Decimal: _decimal,
    dt.date: dt.date.isoformat,
    dt.datetime: instant,
    pd.Timestamp: _timestamp,
    bytes: base64,
}

_KINDS: Final[tuple[tuple[type | tuple[type, ...], Callable[[Any], Json]], ...]] = (
    (str, str),
    ((np.datetime64, np.timedelta64), _numpy_time),  # numpy holds a duration to be an integer
    ((bool, np.bool_), bool),
    ((int, np.integer), integer),
    (np.floating, _numpy_float),
    (float, real),
    ((complex, np.complexfloating), _complex),
    ((bytes, bytearray, memoryview), base64),
    (Decimal, _decimal),
    (pd.Timedelta, _pandas_timedelta),
    (dt.timedelta, _timedelta),
    (dt.datetime, instant),
    ((dt.date, dt.time), lambda value: value.isoformat()),
    (pd.Interval, _interval),
    (pa.Scalar, lambda value: json_cell(value.as_py())),
    (range, _range),
)

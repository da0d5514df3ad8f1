"""One value read as another type: what a text, a number or any Python value is as a number, a truth, a text.

Owns the forms that are understood, and that nothing is lost: what has no exact counterpart is FAILED. Casts
and the functions of expressions read alike.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from typing import Any, Final

import numpy as np

FAILED: Final = object()
"""There is no such value, or it would not be the same."""

INT64 = range(-(2**63), 2**63)

_TRUE = frozenset(("true", "yes", "t", "y", "1"))
_FALSE = frozenset(("false", "no", "f", "n", "0"))
_LONGEST = 400  # characters of a number: more are no measurement, and slow to read


class NumberForm:
    """How numbers are written in text.

    Args:
        decimal: the decimal mark.
        thousands: what groups three digits; "" for nothing.
    """

    def __init__(self, decimal: str = ".", thousands: str = "") -> None:
        self._decimal, self._thousands = decimal, thousands
        group = re.escape(thousands)
        digits = rf"\d{{1,3}}(?:{group}\d{{3}})+|\d+" if thousands else r"\d+"
        mark = re.escape(decimal)
        self._form = re.compile(
            rf"([+-]?)(?:({digits})(?:{mark}(\d*))?|{mark}(\d+))([eE][+-]?\d{{1,5}})?", re.ASCII
        )

    def parts(self, text: str) -> tuple[str, str, str] | None:
        """Return the digits before (with the sign) and after the decimal mark and the exponent."""
        text = text.strip()
        found = self._form.fullmatch(text) if len(text) <= _LONGEST else None
        if found is None:
            return None
        sign, whole, fraction, bare, exponent = found.groups()
        whole = (whole or "0").replace(self._thousands, "") if self._thousands else whole or "0"
        return sign + whole, fraction or bare or "", exponent or ""


PLAIN = NumberForm()


def integer_of(value: Any, form: NumberForm = PLAIN) -> Any:
    """Return a value as a whole number of 64 bits."""
    number: Any = FAILED
    value = _plain(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        number = int(value) if math.isfinite(value) and value.is_integer() else FAILED
    elif isinstance(value, decimal.Decimal):
        number = _whole_decimal(value)
    elif isinstance(value, str) and (parts := form.parts(value)):
        whole, fraction, exponent = parts
        number = int(whole) if not exponent and not fraction.strip("0") else FAILED
    return number if isinstance(number, int) and number in INT64 else FAILED


def number_of(value: Any, form: NumberForm = PLAIN) -> Any:
    """Return a value as a floating point number; a whole number only if that is exact."""
    value = _plain(value)
    if isinstance(value, bool | float):
        return float(value)
    if isinstance(value, int):
        return _exact_float(value)
    if isinstance(value, decimal.Decimal):
        number = float(value)
        return number if math.isfinite(number) else FAILED
    if isinstance(value, str) and (parts := form.parts(value)):
        whole, fraction, exponent = parts
        if not fraction.strip("0") and not exponent:
            return -0.0 if whole.startswith("-") and not int(whole) else _exact_float(int(whole))
        number = float(f"{whole}.{fraction or 0}{exponent}")
        return number if math.isfinite(number) else FAILED
    return FAILED


def boolean_of(value: Any) -> Any:
    """Return a value as true or false."""
    value = _plain(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | decimal.Decimal):
        return bool(value) if value in (0, 1) else FAILED
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else FAILED
    return FAILED


def text_of_value(value: Any) -> Any:
    """Return a value as text: true, false, dates and times in ISO 8601, others as Python writes them."""
    value = _plain(value)
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 8192:
        return FAILED  # Python refuses to write it in decimal digits
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return FAILED
    try:
        return _unicode(str(value))
    except Exception:  # whatever a value's own __str__ raises
        return FAILED


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    return value


def _exact_float(value: int) -> Any:
    try:
        number = float(value)
    except OverflowError:
        return FAILED
    return number if int(number) == value else FAILED


def _whole_decimal(value: decimal.Decimal) -> Any:
    if not value.is_finite() or value.adjusted() > 20:
        return FAILED
    return int(value) if value == value.to_integral_value() else FAILED


def _unicode(text: str) -> Any:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return FAILED
    return text

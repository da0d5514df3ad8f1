"""Signs, arithmetic, comparisons and logic over vectors.

Owns what each operator means, which is what Python means by it on one row, but for two things: what has no
finite answer (a division by zero, a root of a negative number) is missing, and whole numbers that outgrow 64
bits are an error. ``and`` and ``or`` know three truths: false and missing is false, true or missing is true.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from framekeep.editing.expressions.vectors import (
    NUMERIC,
    RESOLUTION,
    Vector,
    in_one_unit,
    in_unit,
    unit_of,
)
from framekeep.editing.kinds import Kind, Mask
from framekeep.errors import InvalidEditError

Values = npt.NDArray[Any]

_EXACT = 2**53
_MICROSECONDS_OF_DAY = 86_400_000_000
_YEARS: Final = np.array(["0001-01-01", "9999-12-31T23:59:59.999999"], dtype="M8[us]").astype(np.int64)

_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def called(vector: Vector) -> str:
    """Return what a vector's values are called in messages."""
    return "missing" if vector.kind is None else str(vector.kind)


# --- numbers ----------------------------------------------------------------------------------------


def floats(vector: Vector) -> Values:
    """Return numbers as floating point, rounded as Python rounds them."""
    return vector.values.astype(np.float64)


def finite(values: Values, missing: Mask) -> Vector:
    """Return numbers, those that are not finite as missing."""
    return Vector(Kind.NUMBER, values, missing | ~np.isfinite(values))


def within_64_bits(beyond: Mask, missing: Mask) -> None:
    """Raise InvalidEditError if a row that is not missing is beyond 64 bits."""
    rows = np.flatnonzero(beyond & ~missing)
    if rows.size:
        raise InvalidEditError(
            f"whole numbers grow beyond 64 bits, first in row {rows[0]}; compute with number(…) instead"
        )


def sign(vector: Vector, word: str) -> Vector:
    """Return numbers with their sign kept or turned."""
    if vector.kind is None:
        return vector
    if vector.kind not in NUMERIC:
        raise InvalidEditError(f"a sign belongs to numbers, not to {called(vector)}")
    if word == "+":
        return vector
    if vector.kind is Kind.INTEGER:
        within_64_bits(vector.values == -(2**63), vector.missing)
    with np.errstate(over="ignore"):
        return Vector(vector.kind, -vector.values, vector.missing)


def arithmetic(word: str, left: Vector, right: Vector) -> Vector:
    """Return what ``+ - * / // % **`` make of two vectors.

    Raises:
        InvalidEditError: they are not numbers (nor instants, for sums), or outgrow 64 bits.
    """
    missing = left.missing | right.missing
    if left.kind is None or right.kind is None:
        return _nothing_of(word, left, right, missing)
    if Kind.DATETIME in (left.kind, right.kind) and word in "+-":
        return _moved(word, left, right, missing)
    for vector in (left, right):
        if vector.kind not in NUMERIC:
            hint = "; join texts with concat(…)" if vector.kind is Kind.TEXT and word == "+" else ""
            hint = hint or ("; read them with number(…)" if vector.kind is Kind.TEXT else "")
            raise InvalidEditError(f"'{word}' works on numbers, not on {called(vector)}{hint}")
    both = left.kind is Kind.INTEGER and right.kind is Kind.INTEGER
    with np.errstate(all="ignore"):
        if word == "**":
            return finite(np.power(floats(left), floats(right)), missing)
        if word == "/":
            return _quotient(left, right, missing, exact=both)
        if both:
            return _whole(word, left.values, right.values, missing)
        a, b = floats(left), floats(right)
        if word in ("//", "%"):
            missing = missing | (b == 0)
        done = {"+": np.add, "-": np.subtract, "*": np.multiply, "//": np.floor_divide, "%": np.remainder}
        return finite(done[word](a, b), missing)


def _nothing_of(word: str, left: Vector, right: Vector, missing: Mask) -> Vector:
    kind = left.kind or right.kind
    if kind is not None and kind not in NUMERIC and kind is not Kind.DATETIME:
        raise InvalidEditError(f"'{word}' works on numbers, not on {kind}")
    return Vector(None, np.zeros(1), missing)


def _quotient(left: Vector, right: Vector, missing: Mask, *, exact: bool) -> Vector:
    quotient = floats(left) / floats(right)
    if exact:
        # Beyond 2^53 both would be rounded before they are divided.
        a, b = np.broadcast_arrays(left.values, right.values)
        large = (a > _EXACT) | (a < -_EXACT) | (b > _EXACT) | (b < -_EXACT)
        for row in np.flatnonzero(large & (b != 0) & ~missing):
            quotient[row] = int(a[row]) / int(b[row])
    return finite(quotient, missing)


def _whole(word: str, a: Values, b: Values, missing: Mask) -> Vector:
    a, b = np.broadcast_arrays(a, b)
    if word in ("//", "%"):
        missing = missing | (b == 0)
        divisor = np.where(b == 0, 1, b)
        if word == "//":
            within_64_bits((a == -(2**63)) & (b == -1), missing)
            divisor = np.where((a == -(2**63)) & (b == -1), 1, divisor)
            return Vector(Kind.INTEGER, a // divisor, missing)
        return Vector(Kind.INTEGER, np.where(b == -1, 0, a % np.where(b == -1, 1, divisor)), missing)
    if word == "*":
        product = a * b
        odd = ((a == -(2**63)) & (b == -1)) | ((b == -(2**63)) & (a == -1))
        whole = np.where((a == 0) | odd, 1, a)
        beyond = odd | ((a != 0) & (product // whole != b))
        within_64_bits(beyond, missing)
        return Vector(Kind.INTEGER, product, missing)
    if word == "+":
        total = a + b
        beyond = ((a ^ total) & (b ^ total)) < 0
    else:
        total = a - b
        beyond = ((a ^ b) & (a ^ total)) < 0
    within_64_bits(beyond, missing)
    return Vector(Kind.INTEGER, total, missing)


def _moved(word: str, left: Vector, right: Vector, missing: Mask) -> Vector:
    """Return the days between two instants, or an instant some days away."""
    if left.kind is right.kind:
        if word == "+":
            raise InvalidEditError("two dates cannot be added; their difference is a number of days")
        left, right = comparable(left, right)
        ticks = _whole("-", left.values.astype(np.int64), right.values.astype(np.int64), missing)
        day = 86_400 * RESOLUTION[unit_of(left)]
        return Vector(Kind.NUMBER, ticks.values / day, missing)
    instant, days = (left, right) if left.kind is Kind.DATETIME else (right, left)
    if days.kind not in NUMERIC or (word == "-" and instant is right):
        raise InvalidEditError(f"'{word}' works on dates with other dates or numbers of days, not so")
    away = floats(days) * (1 if word == "+" else -1)
    start = instant.values.astype("M8[us]").astype(np.int64)
    rest = instant.values - instant.values.astype("M8[us]")  # nanoseconds stay what they are
    moved = np.rint(away * _MICROSECONDS_OF_DAY) + start
    missing = missing | ~(np.isfinite(moved) & (moved >= _YEARS[0]) & (moved <= _YEARS[1]))
    steps = np.where(missing, 0, np.rint(away * _MICROSECONDS_OF_DAY)).astype(np.int64)
    microseconds = np.where(missing, 0, start + steps).astype("M8[us]")
    values = in_unit(microseconds, "ns") + rest if unit_of(instant) == "ns" else microseconds
    return Vector(Kind.DATETIME, values, missing, instant.zone)


# --- comparisons ------------------------------------------------------------------------------------


def comparable(*vectors: Vector) -> list[Vector]:
    """Return vectors of kinds that go together: of one kind, or numbers and whole numbers as they are.

    Raises:
        InvalidEditError: they do not.
    """
    known = [vector for vector in vectors if vector.kind is not None]
    kinds = {vector.kind for vector in known}
    if kinds & {Kind.MIXED, Kind.OTHER}:
        raise InvalidEditError(
            "a column of values of any type is read with text(…), number(…) or date(…) first"
        )
    if len(kinds) > 1 and not kinds <= set(NUMERIC):
        names = " and ".join(sorted(str(kind) for kind in kinds))
        hint = {
            frozenset((Kind.DATETIME, Kind.TEXT)): "; read the text with date('2020-01-31')",
            frozenset((Kind.NUMBER, Kind.TEXT)): "; read the text with number(…)",
            frozenset((Kind.INTEGER, Kind.TEXT)): "; read the text with number(…)",
        }.get(frozenset(kind for kind in kinds if kind is not None), "")
        raise InvalidEditError(f"{names} do not go together{hint}")
    if kinds == {Kind.DATETIME}:
        if len({vector.zone is None for vector in known}) > 1:
            raise InvalidEditError("dates and times with a zone do not go together with those without one")
        in_unit_now = iter(in_one_unit(*known))
        return [vector if vector.kind is None else next(in_unit_now) for vector in vectors]
    return list(vectors)


def compare(word: str, left: Vector, right: Vector) -> Vector:
    """Return whether two values are equal, or in what order.

    Raises:
        InvalidEditError: they do not go together, or have no order.
    """
    missing = left.missing | right.missing
    left, right = comparable(left, right)
    if left.kind is None or right.kind is None:
        return Vector(Kind.BOOLEAN, np.zeros(1, dtype=bool), missing)
    if Kind.BOOLEAN in (left.kind, right.kind) and word not in ("==", "!="):
        raise InvalidEditError(f"'{word}' does not work on true and false")
    found = np.asarray(_COMPARE[word](left.values, right.values), dtype=bool)
    if left.kind is not right.kind:
        found = _exactly(word, left, right, found, missing)
    return Vector(Kind.BOOLEAN, found, missing)


def _exactly(word: str, left: Vector, right: Vector, found: Mask, missing: Mask) -> Mask:
    """Compare whole numbers with others anew where floating point would round them first."""
    a, b = np.broadcast_arrays(left.values, right.values)
    whole = a if left.kind is Kind.INTEGER else b
    out = found.copy()
    for row in np.flatnonzero(((whole > _EXACT) | (whole < -_EXACT)) & ~missing):
        out[row] = _COMPARE[word](a[row].item(), b[row].item())
    return out


# --- truth ------------------------------------------------------------------------------------------


def truths(vector: Vector, where: str) -> tuple[Mask, Mask]:
    """Return where a vector is true and where it is false; elsewhere it is missing.

    Raises:
        InvalidEditError: it is of another kind.
    """
    if vector.kind not in (Kind.BOOLEAN, None):
        raise InvalidEditError(f"{where} works on true and false, not on {called(vector)}")
    value = vector.values.astype(bool)
    return value & ~vector.missing, ~value & ~vector.missing


def truth_of(true: Mask, false: Mask) -> Vector:
    """Return the vector that is true and false where they say."""
    return Vector(Kind.BOOLEAN, true, ~(true | false))


def negation(vector: Vector) -> Vector:
    """Return ``not``."""
    true, false = truths(vector, "'not'")
    return truth_of(false, true)


def chain(word: str, vectors: Iterable[Vector]) -> Vector:
    """Return ``and`` or ``or`` of vectors, of which only one is held at a time."""
    one: tuple[Mask, Mask] | None = None
    for vector in vectors:
        true, false = truths(vector, f"'{word}'")
        if one is not None:
            true, false = (one[0] | true, one[1] & false) if word == "or" else (one[0] & true, one[1] | false)
        one = true, false
    assert one is not None
    return truth_of(*one)

"""The functions of expressions, by name.

Owns what each one means and how many arguments it takes. What is computed from a missing value is missing,
but for ``coalesce``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.expressions.operators import (
    arithmetic,
    called,
    comparable,
    compare,
    finite,
    floats,
    truths,
    within_64_bits,
)
from framekeep.editing.expressions.vectors import NOTHING, NUMERIC, Vector, objects
from framekeep.editing.instants import read_instants, write_instants
from framekeep.editing.kinds import Kind, Mask
from framekeep.editing.reading import FAILED, number_of, text_of_value
from framekeep.editing.texts import Room, replace_part
from framekeep.editing.values import ISO_INSTANT
from framekeep.errors import InvalidEditError

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function: how many arguments it takes (``most`` None: any number) and what it does."""

    least: int
    most: int | None
    of: Callable[[Sequence[Vector]], Vector]


def _number(vector: Vector, name: str) -> Vector:
    if vector.kind not in (*NUMERIC, None):
        hint = "; read it with number(…)" if vector.kind in (Kind.TEXT, Kind.MIXED, Kind.OTHER) else ""
        raise InvalidEditError(f"{name} works on numbers, not on {called(vector)}{hint}")
    return vector


def _text(vector: Vector, name: str) -> Vector:
    if vector.kind is None:
        return Vector(Kind.TEXT, np.array([""], dtype=object), vector.missing)
    if vector.kind is not Kind.TEXT:
        raise InvalidEditError(f"{name} works on text, not on {called(vector)}; write it with text(…)")
    return vector


def _instant(vector: Vector, name: str) -> Vector:
    if vector.kind is None:
        return Vector(Kind.DATETIME, np.zeros(1, dtype="M8[s]"), vector.missing)
    if vector.kind is not Kind.DATETIME:
        raise InvalidEditError(f"{name} works on dates, not on {called(vector)}; read it with date(…)")
    return vector


# --- numbers ----------------------------------------------------------------------------------------


def _abs(arguments: Sequence[Vector]) -> Vector:
    vector = _number(arguments[0], "abs")
    if vector.kind is Kind.INTEGER:
        within_64_bits(vector.values == -(2**63), vector.missing)
    with np.errstate(over="ignore"):
        return Vector(vector.kind, np.abs(vector.values), vector.missing)


def _round(arguments: Sequence[Vector]) -> Vector:
    vector = _number(arguments[0], "round")
    digits = _digits(arguments[1]) if len(arguments) > 1 else 0
    if vector.kind is None or (vector.kind is Kind.INTEGER and digits >= 0):
        return vector
    if vector.kind is Kind.INTEGER:
        rounded = [round(value, digits) for value in vector.values.tolist()]
        within_64_bits(
            np.array([not -(2**63) <= value < 2**63 for value in rounded], dtype=bool), vector.missing
        )
        return Vector(
            vector.kind,
            objects([0 if abs(v) >= 2**63 else v for v in rounded]).astype(np.int64),
            vector.missing,
        )
    if digits == 0:
        return Vector(vector.kind, np.rint(vector.values), vector.missing)
    return finite(_rounded_to(vector.values, digits), vector.missing)


def _rounded_to(values: Values, digits: int) -> Values:
    """Return numbers rounded as Python rounds them: by the number that they are, not by what is written."""
    if not 0 < digits <= 15:
        return np.array([_rounded(value, digits) for value in values.tolist()], dtype=np.float64)
    with np.errstate(all="ignore"):
        scaled = values * 10.0**digits
        rounded = np.rint(scaled) / 10.0**digits  # a quotient of two exact numbers: the nearest there is
        # Too near to a half, or too large, for the product to say where it belongs.
        doubtful = ~((np.abs(scaled) < 2.0**40) & (np.abs(scaled - np.floor(scaled) - 0.5) > 0.01))
    for row in np.flatnonzero(doubtful):
        rounded[row] = _rounded(values[row].item(), digits)
    return rounded


def _rounded(value: float, digits: int) -> float:
    try:
        return round(value, digits)
    except OverflowError:
        return math.inf


def _digits(vector: Vector) -> int:
    if vector.kind is not Kind.INTEGER or vector.values.shape != (1,) or not -30 <= vector.values[0] <= 30:
        raise InvalidEditError("round(…) takes a whole number from -30 to 30 for the digits")
    return int(vector.values[0])


def _floats(compute: Callable[[Values], Values], name: str) -> Callable[[Sequence[Vector]], Vector]:
    def function(arguments: Sequence[Vector]) -> Vector:
        vector = _number(arguments[0], name)
        with np.errstate(all="ignore"):
            return finite(compute(floats(vector)), vector.missing)

    return function


def _to_whole(compute: Callable[[Values], Values], name: str) -> Callable[[Sequence[Vector]], Vector]:
    def function(arguments: Sequence[Vector]) -> Vector:
        vector = _number(arguments[0], name)
        return (
            vector
            if vector.kind is not Kind.NUMBER
            else Vector(vector.kind, compute(vector.values), vector.missing)
        )

    return function


def _log(arguments: Sequence[Vector]) -> Vector:
    natural = _floats(np.log, "log")
    if len(arguments) == 1:
        return natural(arguments)
    return arithmetic("/", natural(arguments[:1]), natural(arguments[1:]))


# --- choosing ---------------------------------------------------------------------------------------


def one_kind(vectors: Sequence[Vector]) -> list[Vector]:
    """Return vectors as one kind of values.

    Raises:
        InvalidEditError: they do not go together, or a whole number would be rounded to go with others.
    """
    vectors = comparable(*vectors)
    kinds = {vector.kind for vector in vectors} - {None}
    if kinds != set(NUMERIC):
        return vectors
    return [_exact_number(vector) if vector.kind is Kind.INTEGER else vector for vector in vectors]


def _exact_number(vector: Vector) -> Vector:
    rounded = floats(vector)
    for row in np.flatnonzero((np.abs(rounded) >= 2.0**53) & ~vector.missing):
        if int(rounded[row]) != int(vector.values[row]):
            raise InvalidEditError("a whole number beyond 2^53 would be rounded to go with other numbers")
    return Vector(Kind.NUMBER, rounded, vector.missing)


def _choose(chosen: Mask, yes: Vector, no: Vector) -> Vector:
    """Return one vector where ``chosen``, the other one elsewhere; both are of one kind."""
    known = no if yes.kind is None else yes
    other = known if no.kind is None else no
    first = known if yes.kind is None else yes
    return Vector(
        known.kind,
        np.where(chosen, first.values, other.values),
        np.where(chosen, yes.missing, no.missing),
        known.zone,
    )


def _if(arguments: Sequence[Vector]) -> Vector:
    true, false = truths(arguments[0], "if")
    yes, no = one_kind(arguments[1:])
    chosen = _choose(true, yes, no)
    return Vector(chosen.kind, chosen.values, chosen.missing | ~(true | false), chosen.zone)


def _coalesce(arguments: Sequence[Vector]) -> Vector:
    first, *others = one_kind(arguments)
    for other in others:
        first = _choose(~first.missing, first, other)
    return first


def _extreme(word: str, name: str) -> Callable[[Sequence[Vector]], Vector]:
    def function(arguments: Sequence[Vector]) -> Vector:
        first, *others = one_kind(arguments)
        missing = first.missing
        for other in others:
            missing = missing | other.missing
            takes = compare(word, other, first)
            first = _choose(takes.values & ~takes.missing, other, first)
        if first.kind is Kind.BOOLEAN:
            raise InvalidEditError(f"{name} does not work on true and false")
        return Vector(first.kind, first.values, missing, first.zone)

    return function


# --- texts ------------------------------------------------------------------------------------------


def _each_text(kind: Kind, compute: Callable[..., Any], name: str) -> Callable[[Sequence[Vector]], Vector]:
    """Return a function that computes a value of a kind from texts, row by row."""
    dtype = {Kind.TEXT: object, Kind.INTEGER: np.int64, Kind.BOOLEAN: np.bool_}[kind]

    def function(arguments: Sequence[Vector]) -> Vector:
        texts = [_text(vector, name) for vector in arguments]
        missing = texts[0].missing
        for vector in texts[1:]:
            missing = missing | vector.missing
        columns = np.broadcast_arrays(*(vector.values for vector in texts))
        each = map(compute, *(column.tolist() for column in columns))
        found = _bounded(each) if kind is Kind.TEXT else list(each)
        return Vector(kind, objects(found) if dtype is object else np.array(found, dtype=dtype), missing)

    return function


def _bounded(texts: Iterable[str]) -> list[str]:
    """Return texts if there is room for them: rows of a category shared one, now each has its own."""
    room, found = Room(), []
    for text in texts:
        room.take(len(text))
        found.append(text)
    return found


def _replace(arguments: Sequence[Vector]) -> Vector:
    room = Room()
    replace = _each_text(Kind.TEXT, lambda text, old, new: replace_part(text, old, new, room), "replace")
    return replace(arguments)


def _concat(arguments: Sequence[Vector]) -> Vector:
    texts = [_as_text([vector]) for vector in arguments]
    values, missing = texts[0].values, texts[0].missing
    lengths = _lengths(texts[0])
    room = Room()
    for text in texts[1:]:
        lengths = lengths + _lengths(text)
        room.take(int(lengths.sum()), int(lengths.max(initial=0)))
        values, missing = values + text.values, missing | text.missing
    return Vector(Kind.TEXT, values, missing)


def _lengths(vector: Vector) -> Values:
    return np.fromiter(map(len, vector.values), dtype=np.int64, count=len(vector.values))


def _as_text(arguments: Sequence[Vector]) -> Vector:
    [vector] = arguments
    if vector.kind is Kind.DATETIME:
        values = np.where(vector.missing, np.datetime64("NaT"), vector.values)
        array: Any = pd.array(values)
        if vector.zone is not None:
            array = array.tz_localize("UTC").tz_convert(vector.zone)
        return Vector(Kind.TEXT, np.where(vector.missing, "", write_instants(array)), vector.missing)
    if vector.kind is Kind.TEXT or vector.kind is None:
        return _text(vector, "text")
    return _read_each(vector, text_of_value, Kind.TEXT)


def _as_number(arguments: Sequence[Vector]) -> Vector:
    [vector] = arguments
    if vector.kind in (*NUMERIC, Kind.BOOLEAN):
        return Vector(Kind.NUMBER, floats(vector), vector.missing)
    if vector.kind is Kind.DATETIME:
        raise InvalidEditError("number does not work on dates; take year(…), month(…) or a difference")
    return NOTHING if vector.kind is None else _read_each(vector, number_of, Kind.NUMBER)


def _read_each(vector: Vector, read: Callable[[Any], Any], kind: Kind) -> Vector:
    """Return values read one by one, those that cannot be read as missing."""
    gone = np.broadcast_to(vector.missing, vector.values.shape)
    found = [FAILED if missing else read(value) for value, missing in zip(vector.values, gone, strict=True)]
    failed = np.array([value is FAILED for value in found], dtype=bool)
    if kind is Kind.TEXT:
        return Vector(kind, objects(["" if value is FAILED else value for value in found]), failed)
    return Vector(
        kind, np.array([0.0 if value is FAILED else value for value in found], dtype=np.float64), failed
    )


# --- dates ------------------------------------------------------------------------------------------


def _wall(vector: Vector) -> Any:
    """Return instants as the clocks of their zone show them."""
    index = pd.DatetimeIndex(vector.values)
    return (
        index if vector.zone is None else index.tz_localize("UTC").tz_convert(vector.zone).tz_localize(None)
    )


def _part(name: str) -> Callable[[Sequence[Vector]], Vector]:
    def function(arguments: Sequence[Vector]) -> Vector:
        vector = _instant(arguments[0], name)
        return Vector(Kind.INTEGER, np.asarray(getattr(_wall(vector), name), dtype=np.int64), vector.missing)

    return function


def _date(arguments: Sequence[Vector]) -> Vector:
    [vector] = arguments
    if vector.kind in (Kind.DATETIME, None):
        vector = _instant(vector, "date")
        return Vector(
            Kind.DATETIME, np.asarray(_wall(vector)).astype("M8[D]").astype("M8[s]"), vector.missing
        )
    if vector.kind in (*NUMERIC, Kind.BOOLEAN):
        raise InvalidEditError(f"date does not work on {called(vector)}; write it with text(…)")
    missing = np.broadcast_to(vector.missing, vector.values.shape)
    days = [
        _day(str(text_of_value(value))) if not gone else ""
        for value, gone in zip(vector.values, missing, strict=True)
    ]
    instants, failed = read_instants(days, None)
    values = np.where(failed, np.datetime64(0, "s"), np.asarray(instants).astype("M8[s]"))
    return Vector(Kind.DATETIME, values, missing | failed)


def _day(text: str) -> str:
    text = text.strip()
    return text[:10] if ISO_INSTANT.fullmatch(text) else ""


FUNCTIONS: Final[dict[str, Function]] = {
    "abs": Function(1, 1, _abs),
    "round": Function(1, 2, _round),
    "floor": Function(1, 1, _to_whole(np.floor, "floor")),
    "ceil": Function(1, 1, _to_whole(np.ceil, "ceil")),
    "sqrt": Function(1, 1, _floats(np.sqrt, "sqrt")),
    "log": Function(1, 2, _log),
    "exp": Function(1, 1, _floats(np.exp, "exp")),
    "min": Function(2, None, _extreme("<", "min")),
    "max": Function(2, None, _extreme(">", "max")),
    "coalesce": Function(2, None, _coalesce),
    "if": Function(3, 3, _if),
    "length": Function(1, 1, _each_text(Kind.INTEGER, len, "length")),
    "lower": Function(1, 1, _each_text(Kind.TEXT, str.lower, "lower")),
    "upper": Function(1, 1, _each_text(Kind.TEXT, str.upper, "upper")),
    "trim": Function(1, 1, _each_text(Kind.TEXT, str.strip, "trim")),
    "contains": Function(2, 2, _each_text(Kind.BOOLEAN, str.__contains__, "contains")),
    "starts_with": Function(2, 2, _each_text(Kind.BOOLEAN, str.startswith, "starts_with")),
    "ends_with": Function(2, 2, _each_text(Kind.BOOLEAN, str.endswith, "ends_with")),
    "replace": Function(3, 3, _replace),
    "concat": Function(2, None, _concat),
    "year": Function(1, 1, _part("year")),
    "month": Function(1, 1, _part("month")),
    "day": Function(1, 1, _part("day")),
    "hour": Function(1, 1, _part("hour")),
    "date": Function(1, 1, _date),
    "number": Function(1, 1, _as_number),
    "text": Function(1, 1, _as_text),
}
"""Every function of expressions."""

"""Expressions give in each row what plain Python gives for that row alone.

The model is below: each generated expression comes with the function of one row that it stands for.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from framekeep.editing import apply
from framekeep.errors import InvalidExpressionError

sys.path.insert(0, str(Path(__file__).parent))
import programs

Row = dict[str, Any]


class Model(NamedTuple):
    """An expression and what it is worth in a row; None for missing."""

    text: str
    of: Callable[[Row], Any]


class BeyondError(Exception):
    """A whole number outgrows 64 bits: an error in the whole column."""


def whole(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise BeyondError
    return value


def known(function: Callable[..., Any]) -> Callable[..., Any]:
    """Missing in, missing out; no finite answer is missing, too."""

    def wrapped(*values: Any) -> Any:
        if any(value is None for value in values):
            return None
        try:
            result = function(*values)
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        if isinstance(result, complex) or (isinstance(result, float) and not math.isfinite(result)):
            return None
        return whole(result) if type(result) is int else result

    return wrapped


def call(template: str, function: Callable[..., Any], *parts: Model) -> Model:
    wrapped = known(function)
    return Model(
        template.format(*(part.text for part in parts)),
        lambda row: wrapped(*(part.of(row) for part in parts)),
    )


def column(name: str) -> Model:
    return Model(name, lambda row: row[name])


def literal(value: Any) -> Model:
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = "'" + value.replace("'", "''") + "'"
    else:
        text = repr(value)
    return Model(text, lambda row: value)


# --- the kinds ----------------------------------------------------------------------------------------


def _power(a: float, b: float) -> Any:
    return float(a) ** float(b)


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": _power,
}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def rounded(value: float, digits: int) -> float:
    return round(value, digits)


def one_of(draw: Any, *ways: Callable[[], Model]) -> Model:
    """Return what one of the ways makes; the others draw nothing."""
    return ways[draw(st.integers(0, len(ways) - 1))]()


@st.composite
def whole_numbers(draw: Any, depth: int) -> Model:
    if depth == 0:
        return draw(st.sampled_from([column("n"), column("i"), literal(0), literal(7), literal(2**62)]))

    def some() -> Model:
        return draw(whole_numbers(depth - 1))

    def arithmetic() -> Model:
        word = draw(st.sampled_from(["+", "-", "*", "//", "%"]))
        return call(f"({{}} {word} {{}})", ARITHMETIC[word], some(), some())

    return one_of(
        draw,
        arithmetic,
        arithmetic,
        arithmetic,
        lambda: call("(-({}))", lambda x: -x, some()),
        lambda: call("abs({})", abs, some()),
        lambda: call("round({}, -1)", lambda x: round(x, -1), some()),
        lambda: call("length({})", len, draw(texts(depth - 1))),
        lambda: call("min({}, {})", min, some(), some()),
        lambda: call("max({}, {})", max, some(), some()),
        lambda: call("year({})", lambda d: d.year, column("d")),
        lambda: call("month({})", lambda d: d.month, column("d")),
        lambda: call("day({})", lambda d: d.day, column("z")),
        lambda: call("hour({})", lambda d: d.hour, column("z")),
    )


@st.composite
def numbers(draw: Any, depth: int) -> Model:
    if depth == 0:
        return draw(st.sampled_from([column("f"), literal(0.5), literal(2.0), literal(1e-3)]))

    def some(kind: Any = numbers) -> Model:
        return draw(kind(depth - 1))

    def arithmetic() -> Model:
        word = draw(st.sampled_from(list(ARITHMETIC)))
        left, right = draw(
            st.sampled_from([(numbers, numbers), (whole_numbers, numbers), (numbers, whole_numbers)])
        )
        return call(f"({{}} {word} {{}})", ARITHMETIC[word], some(left), some(right))

    def round_to() -> Model:
        digits = draw(st.sampled_from([-1, 1, 2, 5]))
        return call(f"round({{}}, {digits})", lambda x: round(x, digits), some())

    return one_of(
        draw,
        arithmetic,
        arithmetic,
        arithmetic,
        round_to,
        lambda: call("({} / {})", ARITHMETIC["/"], some(whole_numbers), some(whole_numbers)),
        lambda: call("({} ** {})", _power, some(whole_numbers), some(whole_numbers)),
        lambda: call("round({})", lambda x: float(round(x)), some()),
        lambda: call("floor({})", lambda x: float(math.floor(x)), some()),
        lambda: call("ceil({})", lambda x: float(math.ceil(x)), some()),
        lambda: call("sqrt({})", math.sqrt, some()),
        lambda: call("log({})", math.log, some()),
        lambda: call("log({}, 10)", lambda x: math.log(x) / math.log(10), some(whole_numbers)),
        lambda: call("exp({})", math.exp, some()),
        lambda: call("(-({}))", lambda x: -x, some()),
        lambda: call("abs({})", abs, some()),
        lambda: call("number({})", float, some(whole_numbers)),
        lambda: call("number({})", float, some(truths)),
        lambda: call("number({})", as_number, some(texts)),
        lambda: call("({} - {})", lambda x, y: (x - y) / dt.timedelta(days=1), column("d"), column("d")),
    )


def as_number(text: str) -> float | None:
    text = text.strip()
    if not text or set(text) - set("0123456789.+-eE") or not any(map(str.isdigit, text)):
        return None
    if not set(text) & set(".eE") and int(float(text)) != int(text):
        return None  # no float is that whole number
    return float(text)


@st.composite
def texts(draw: Any, depth: int) -> Model:
    if depth == 0:
        return draw(st.sampled_from([column("t"), column("c"), literal("x"), literal("it's"), literal("")]))

    def some(kind: Any = texts) -> Model:
        return draw(kind(depth - 1))

    return one_of(
        draw,
        lambda: call("lower({})", str.lower, some()),
        lambda: call("upper({})", str.upper, some()),
        lambda: call("trim({})", str.strip, some()),
        lambda: call("replace({}, 'x', {})", lambda x, y: x.replace("x", y), some(), some()),
        lambda: call(
            "concat({}, {}, {})", lambda x, y, n: x + y + str(n), some(), some(), some(whole_numbers)
        ),
        lambda: call("text({})", str, some(whole_numbers)),
        lambda: call("text({})", lambda x: str(x).lower(), some(truths)),
        lambda: call("max({}, {})", max, some(), some()),
    )


def both(a: Any, b: Any) -> Any:
    return False if a is False or b is False else None if a is None or b is None else True


def either(a: Any, b: Any) -> Any:
    return True if a is True or b is True else None if a is None or b is None else False


@st.composite
def truths(draw: Any, depth: int) -> Model:
    if depth == 0:
        return draw(st.sampled_from([column("b"), column("k"), literal(True), literal(False)]))

    def some(kind: Any = truths) -> Model:
        return draw(kind(depth - 1))

    def chain(word: str, truth: Callable[[Any, Any], Any]) -> Model:
        a, b = some(), some()
        return Model(f"({a.text} {word} {b.text})", lambda row: truth(a.of(row), b.of(row)))

    def compare() -> Model:
        word = draw(st.sampled_from(list(COMPARE)))
        kinds = [(whole_numbers, whole_numbers), (whole_numbers, numbers), (numbers, numbers), (texts, texts)]
        left, right = draw(st.sampled_from(kinds))
        return call(f"({{}} {word} {{}})", COMPARE[word], some(left), some(right))

    def is_missing() -> Model:
        a = some(draw(st.sampled_from([whole_numbers, numbers, texts, truths])))
        if draw(st.booleans()):
            return Model(f"({a.text} is missing)", lambda row: a.of(row) is None)
        return Model(f"({a.text} is not missing)", lambda row: a.of(row) is not None)

    def membership() -> Model:
        kind = draw(st.sampled_from([whole_numbers, numbers, texts]))
        x, y, z = some(kind), some(kind), some(kind)
        equal = known(lambda p, q: p == q)
        return Model(
            f"({x.text} in ({y.text}, {z.text}))",
            lambda row: either(equal(x.of(row), y.of(row)), equal(x.of(row), z.of(row))),
        )

    return one_of(
        draw,
        compare,
        compare,
        is_missing,
        membership,
        lambda: chain("and", both),
        lambda: chain("or", either),
        lambda: call("(not {})", lambda p: not p, some()),
        lambda: call("contains({}, {})", lambda p, q: q in p, some(texts), some(texts)),
        lambda: call("starts_with({}, {})", str.startswith, some(texts), some(texts)),
        lambda: call("ends_with({}, {})", str.endswith, some(texts), some(texts)),
    )


@st.composite
def chosen(draw: Any, kind: Any, depth: int) -> Model:
    """An expression of a kind, perhaps one of two by a condition, or the first that is there."""
    a = draw(kind(depth))

    def conditional() -> Model:
        b, condition = draw(kind(1)), draw(truths(1))

        def by_condition(row: Row) -> Any:
            yes, no, truth = a.of(row), b.of(row), condition.of(row)  # all of them: each may outgrow 64 bits
            return None if truth is None else yes if truth else no

        return Model(f"if({condition.text}, {a.text}, {b.text})", by_condition)

    def if_true() -> Model:
        condition = draw(truths(1))

        def of(row: Row) -> Any:
            yes, truth = a.of(row), condition.of(row)
            return yes if truth else None

        return Model(f"if({condition.text}, {a.text}, missing)", of)

    def coalesced() -> Model:
        b = draw(kind(1))

        def first(row: Row) -> Any:
            yes, no = a.of(row), b.of(row)
            return no if yes is None else yes

        return Model(f"coalesce({a.text}, {b.text})", first)

    return one_of(draw, lambda: a, lambda: a, conditional, if_true, coalesced)


# --- the property ---------------------------------------------------------------------------------------


def rows_of(frame: pd.DataFrame) -> list[Row]:
    def cell(value: Any) -> Any:
        if pd.isna(value):
            return None
        if isinstance(value, pd.Timestamp):
            return value.to_pydatetime()
        return value.item() if isinstance(value, np.generic) else value

    return [{name: cell(frame[name].iloc[row]) for name in frame.columns} for row in range(len(frame))]


def close(ours: Any, model: Any) -> bool:
    if ours is None or model is None:
        return ours is None and model is None
    if isinstance(model, float) or isinstance(ours, float):
        return math.isclose(ours, model, rel_tol=1e-9, abs_tol=1e-300)
    return type(ours) is type(model) and ours == model


def check_rows(kind: Any, data: st.DataObject) -> None:
    frame = data.draw(programs.tables(min_rows=1, max_rows=4, names=list("nifbktcdz")))
    model = data.draw(chosen(kind, 2))
    rows = rows_of(frame)
    derive = {"op": "derive_column", "name": "q", "expression": model.text}
    try:
        expected = [model.of(row) for row in rows]
    except BeyondError:
        with pytest.raises(InvalidExpressionError, match="64 bits"):
            apply(frame, [derive])
        return
    ours = [row["q"] for row in rows_of(apply(frame, [derive]))]
    assert all(map(close, ours, expected)), (model.text, ours, expected)


KINDS = pytest.mark.parametrize(
    "kind", [whole_numbers, numbers, texts, truths], ids=["whole numbers", "numbers", "texts", "truths"]
)


@KINDS
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_expression_is_worth_what_python_says_of_each_row(kind: Any, data: st.DataObject) -> None:
    check_rows(kind, data)


@pytest.mark.long
@KINDS
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_thousands_of_expressions_are_worth_that(kind: Any, data: st.DataObject) -> None:
    check_rows(kind, data)

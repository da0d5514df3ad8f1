"""The parts that the models of edits are made of: how columns, rows, values and expressions are written.

Owns their bounds, descriptions and examples, which are the API's schema, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Value = bool | int | float | str | None
"""A cell as JSON says it."""

MAX_OPERATIONS = 100
MAX_CELLS = 100_000
MAX_COLUMNS = 10_000
MAX_EXPRESSION = 10_000

Name = Annotated[str, Field(max_length=10_000, description="A column, by its label.", examples=["age"])]
NewName = Annotated[str, Field(min_length=1, max_length=1_000)]


def whole(value: object) -> object:
    """Return a number without a fraction as an integer: JSON has one kind of number, and 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Outermost, so that the bounds stay in the schema.
Whole = BeforeValidator(whole)
Position = Annotated[
    int, Field(ge=0, description="A row, by its position counted from 0.", examples=[3]), Whole
]
Expression = Annotated[
    str,
    Field(
        max_length=MAX_EXPRESSION,
        description=(
            "An expression over one row. Columns by name, or in `backquotes`; numbers, 'texts', true, false, "
            "missing; `+ - * / // % **`, `== != < <= > >=`, `and or not`, `is missing`, `in (…)`; functions "
            "abs, round, floor, ceil, sqrt, log, exp, min, max, coalesce, if, length, lower, upper, trim, "
            "contains, starts_with, ends_with, replace, concat, year, month, day, hour, date, number, text. "
            "What is computed from a missing value is missing."
        ),
    ),
]
Columns = Annotated[
    list[Name] | None,
    Field(
        max_length=MAX_COLUMNS,
        description="The columns to look at; null for every column that this can be done to.",
        examples=[["age", "weight"]],
    ),
]
SomeColumns = Annotated[
    list[Name],
    Field(min_length=1, max_length=MAX_COLUMNS, description="The columns.", examples=[["age", "weight"]]),
]
OnPurpose = Annotated[
    bool,
    Field(description="Whether cells marked as intentionally missing count as missing, too."),
]


class Model(BaseModel):
    """What the models of edits have in common."""

    # Strict: "3" is no row, and 1 is not true.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def plural(things: Sized, noun: str) -> str:
    """Return the noun as it goes with that many things."""
    return noun if len(things) == 1 else f"{noun}s"


def columns_said(names: list[str] | None) -> str:
    """Return how columns are called in a summary."""
    return "all columns" if names is None else listing(names)


def listing(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    listed = list(dict.fromkeys(names))
    shown = ", ".join(short(name) for name in listed[:3])
    return shown if len(listed) <= 3 else f"{shown} and {len(listed) - 3} more"


def short(text: str) -> str:
    """Return a text cut to a length that fits a line."""
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:59]}…"

"""Frames whose cells all follow from one number, their stamp: a frame with parts of two states shows itself.

A frame has the stamp in ``s``, values that follow from it in ``a`` to ``d``, and for each client a column
with the number of the last change that this client made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

CLIENTS = 32
SMALL, LARGE = 16, 60_000
"""Rows. The values of a large frame do not compress: it goes to Redis in several pieces."""

_VALUES = ("a", "b", "c", "d")


def rows_of(number: int) -> int:
    """Return how many rows the frame of a session has, by its number."""
    return LARGE if number % 10 == 5 else SMALL


def steps_back(number: int) -> bool:
    """Say whether clients undo and redo in a session; in the others they set marks."""
    return number % 2 == 1


def own(client: int) -> str:
    """Return the name of a client's column."""
    return f"m{client}"


def token_for(client: int, number: int) -> str:
    """Return the name of a client's change."""
    return f"c{client}.{number}"


def stamp_for(token: str) -> int:
    """Return the stamp that a client's change puts on a frame."""
    client, number = token[1:].split(".")
    return (int(client) + 1) * 1_000_000 + int(number)


def marked(number: int) -> list[int]:
    """Return the rows that a client's change marks: no two changes mark the same."""
    return [row for row in range(SMALL) if number >> row & 1]


def number_marked(rows: Iterable[int]) -> int:
    """Return which change marked these rows."""
    return sum(1 << row for row in rows)


def made(stamp: int, rows: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the columns that follow from a stamp."""
    base = np.random.default_rng(stamp).integers(0, 1 << 52, rows)
    return {"s": np.full(rows, stamp), **{name: base + i for i, name in enumerate(_VALUES)}}


def fresh(rows: int) -> pd.DataFrame:
    """Return a frame with stamp 0."""
    return pd.DataFrame({**made(0, rows), **{own(n): np.zeros(rows, "int64") for n in range(CLIENTS)}})


def stamp(frame: pd.DataFrame, value: int, client: int, number: int) -> None:
    """Put a stamp on a frame, and the number of the change into the client's column."""
    for name, values in made(value, len(frame)).items():
        frame[name] = values
    frame[own(client)] = number


def cells(value: int, client: int, number: int, rows: int) -> list[dict[str, Any]]:
    """Return the same as cells of an operation ``set_cells``."""
    columns = {**made(value, rows), own(client): np.full(rows, number)}
    return [
        {"row": row, "column": name, "value": int(column[row])}
        for name, column in columns.items()
        for row in range(rows)
    ]


def stamp_of(frame: pd.DataFrame) -> int:
    """Return a frame's stamp.

    Raises:
        AssertionError: it is torn.
    """
    value = int(frame["s"].iloc[0])
    for name, values in made(value, len(frame)).items():
        assert np.array_equal(frame[name].to_numpy(), values), f"column {name} is not of stamp {value}: torn"
    numbers = frame[[own(client) for client in range(CLIENTS)]].to_numpy()
    assert (numbers == numbers[0]).all(), "a client's column is torn"
    return value

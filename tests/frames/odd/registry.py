"""The register of odd frames: ``area/type/variant`` -> how to build it, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Fate = Literal["kept", "refused", "either"]
"""kept: comes back identical. refused: UnsupportedTypeError or NotADataFrameError. either: one of these."""


@dataclass(frozen=True, slots=True)
class Odd:
    """One odd frame.

    Attributes:
        name: ``area/type/variant``; the first two parts are a row of the type matrix.
        build: makes the frame afresh, the same each time.
        fate: what the codec must do with it.
        heavy: too big for the tests that go over the whole corpus again and again.
    """

    name: str
    build: Callable[[], Any]
    fate: Fate = "kept"
    heavy: bool = False

    @property
    def row(self) -> str:
        """Name the row of the type matrix this frame belongs to."""
        return "/".join(self.name.split("/")[:2])


CORPUS: dict[str, Odd] = {}


def add(name: str, build: Callable[[], Any], fate: Fate = "kept", *, heavy: bool = False) -> None:
    """Register a frame under a new name."""
    if name in CORPUS:
        raise ValueError(f"two odd frames are called {name!r}")
    if name.count("/") < 2:
        raise ValueError(f"{name!r} is not area/type/variant")
    CORPUS[name] = Odd(name, build, fate, heavy)


def add_column(name: str, make: Callable[[], Any], fate: Fate = "kept", *, heavy: bool = False) -> None:
    """Register a frame of one column ``a`` made of the array or Series that ``make`` returns."""
    add(name, lambda: pd.DataFrame({"a": make()}, copy=False), fate, heavy=heavy)


def objects(*cells: Any) -> pd.Series[Any]:
    """Return an object Series of exactly these cells, whatever pandas would make of them."""
    array = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        array[position] = cell
    return pd.Series(array, dtype=object)


def labels(*cells: Any, name: Any = None) -> pd.Index[Any]:
    """Return a flat object Index of exactly these labels."""
    return pd.Index(objects(*cells).to_numpy(), dtype=object, name=name, tupleize_cols=False)

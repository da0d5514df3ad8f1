"""Rows of a frame, as every writer takes them: labels, arrays and index, and where they stand."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from framekeep.exporting.labels import label_text


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``[offset, offset + len(index))`` of a frame.

    Attributes:
        labels: of the columns.
        dtypes: of the columns, as pandas names them.
        arrays: the cells of the columns: 1-D numpy or pandas extension arrays, one as long as the other.
        index: of the rows.
        offset: position of the first row in the frame.
        total_rows: of the frame.
    """

    labels: Sequence[Hashable]
    dtypes: Sequence[str]
    arrays: Sequence[Any]
    index: pd.Index
    offset: int
    total_rows: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.index)

    @property
    def names(self) -> list[str]:
        """The labels as text."""
        return [label_text(label) for label in self.labels]

    @property
    def numbered(self) -> bool:
        """Whether the index says nothing: it counts from 0, and has no name."""
        index = self.index
        return (
            type(index) is pd.RangeIndex
            and index.name is None
            and index.step == 1
            and index.start == (self.offset if len(index) else index.start)
        )


def indexed(window: Window) -> tuple[list[str], list[Any]]:
    """Return names and arrays of the columns and, unless rows are only numbered, of the index behind them."""
    names, arrays = window.names, list(window.arrays)
    if not window.numbered:
        for i in range(window.index.nlevels):
            level = window.index.get_level_values(i)
            names.append(f"__index_level_{i}__" if level.name is None else label_text(level.name))
            array = level.array
            arrays.append(array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array)
    return names, arrays

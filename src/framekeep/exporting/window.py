"""Rows of a frame, as every writer takes them: labels, arrays and index, and where they stand."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pandas as pd

from framekeep.errors import UnsupportedTypeError
from framekeep.exporting.labels import clean, label_text
from framekeep.once import cached_property

BATCH_BYTES: Final = 2 << 20
"""Bytes of the rows that are written at once; as text and Python objects they are some times that."""
_MOST_ROWS: Final = 65_536
_WORST: Final = 32  # times BATCH_BYTES that a batch may have if every row is of the longest category


@dataclass(frozen=True)
class Heading:
    """What is said of columns above the rows.

    Attributes:
        labels: of the columns.
        dtypes: of the columns, as pandas names them.
        row_bytes: about how many bytes a row has.
    """

    labels: Sequence[Hashable]
    dtypes: Sequence[str]
    row_bytes: float = 0.0

    @cached_property
    def names(self) -> list[str]:
        """The labels as text."""
        return [label_text(label) for label in self.labels]

    @cached_property
    def shown(self) -> list[str]:
        """The names as JSON has them: lone surrogates, which are no Unicode, are U+FFFD."""
        return [clean(name) for name in self.names]

    @cached_property
    def json(self) -> bytes:
        """Names and dtypes as a JSON list."""
        described = zip(self.shown, self.dtypes, strict=True)
        return orjson.dumps([{"name": name, "dtype": clean(dtype)} for name, dtype in described])


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``[offset, offset + len(index))`` of a frame.

    Attributes:
        heading: of the columns.
        arrays: the cells of the columns: 1-D numpy or pandas extension arrays. They may be shared: nothing of
            them is changed.
        index: of the rows.
        offset: position of the first row in the frame.
        total_rows: of the frame.
    """

    heading: Heading
    arrays: Sequence[Any]
    index: pd.Index
    offset: int
    total_rows: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.index)

    def batches(self) -> Iterator[tuple[int, int]]:
        """Yield the rows that are written at once, as ``[start, stop)``."""
        row_bytes = self.heading.row_bytes + 8 * len(self.arrays) + 8
        row_bytes += sum(_longest(array.categories) for array in self.arrays if _worded(array)) / _WORST
        step = max(1, min(_MOST_ROWS, int(BATCH_BYTES / row_bytes)))
        for start in range(0, self.rows, step):
            yield start, min(start + step, self.rows)

    @property
    def numbered(self) -> bool:
        """Whether the index says nothing: it counts from 0, and has no name."""
        index = self.index
        if type(index) is not pd.RangeIndex or index.name is not None or index.step != 1:
            return False
        return not len(index) or index.start == self.offset

    def columns(self, *, unicode: bool = False) -> tuple[list[str], list[Any]]:
        """Return names and arrays of the columns and, unless rows are only numbered, of the index.

        Raises:
            UnsupportedTypeError: ``unicode`` is asked for, and a name is none.
        """
        names, arrays = list(self.heading.names), list(self.arrays)
        if not self.numbered:
            for i, level in enumerate(levels_of(self.index)):
                label = self.index.names[i]
                name = None if label is None else label_text(label)
                names.append(f"__index_level_{i}__" if name is None or name in names else name)
                arrays.append(plain_array(level))
        if unicode:
            _check_unicode(names)
        return names, arrays


def _worded(array: Any) -> bool:
    return isinstance(array, pd.Categorical) and array.categories.dtype.kind in "OU"


def _longest(categories: pd.Index) -> int:
    """Return the length of the longest: a row has a byte for it, and as text all of it."""
    return max((len(each) for each in categories if isinstance(each, str | bytes)), default=0)


def _check_unicode(names: Sequence[str]) -> None:
    for i, name in enumerate(names):
        if clean(name) != name:
            raise UnsupportedTypeError(
                f"The name of column {clean(name)!r} (number {i + 1}) is no Unicode, which a file cannot "
                "hold: rename it, or export as JSON.",
                where=f"column {i + 1}",
                type_name="str",
            )


def levels_of(index: pd.Index) -> list[pd.Index]:
    """Return the labels of each level of an index."""
    if not isinstance(index, pd.MultiIndex):
        return [index]
    bare = index.set_names([None] * index.nlevels)  # a level named 1 would be found as the second
    return [bare.get_level_values(i) for i in range(index.nlevels)]


def plain_array(index: pd.Index) -> Any:
    """Return the labels of a flat index as an array: numpy, where pandas only wraps it."""
    array = index.array
    return array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array

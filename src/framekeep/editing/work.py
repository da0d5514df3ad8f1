"""The table that operations work on: a frame that may be changed, and where its rows and columns came from.

Owns the bookkeeping that lets marks follow their cells. Changes a column at a time and touches no other, so
that what an edit leaves alone is stored without another look at it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.editing.kinds import Kind, Mask, array_of, kind_of, missing_in
from framekeep.editing.labels import Labels, shown
from framekeep.errors import InvalidEditError

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Applied:
    """What operations made of a frame.

    Attributes:
        frame: the result; shares with the frame before it what did not change.
        rows: for each row, its position in the frame before; None when every row is where it was.
        columns: for each column, its position in the frame before, -1 for a new one; None when every column
            is where it was, under its label.
        touched: positions of the columns that an operation set; all others hold what they did.
    """

    frame: pd.DataFrame
    rows: Positions | None
    columns: Positions | None
    touched: frozenset[int]


class Work:
    """A frame in the hands of an operation.

    Args:
        frame: is not changed.
        marked: column position -> row positions of the cells that are missing on purpose.
    """

    def __init__(
        self, frame: pd.DataFrame, marked: Mapping[int, Sequence[int] | Positions] | None = None
    ) -> None:
        self.frame = frame.copy(deep=False)
        self._rows: Positions | None = None
        self._columns = list(range(frame.shape[1]))
        self._moved = False
        self._touched: set[int] = set()
        self._marked = marked or {}
        self._labels: Labels | None = None

    def applied(self) -> Applied:
        """Return the result."""
        columns = np.array(self._columns, dtype=np.int64) if self._moved else None
        touched = frozenset(place for place, source in enumerate(self._columns) if source in self._touched)
        return Applied(self.frame, self._rows, columns, touched)

    # --- looking -----------------------------------------------------------------------------------

    @property
    def labels(self) -> Labels:
        """The names of the columns as they are now."""
        if self._labels is None:
            self._labels = Labels(self.frame.columns)
        return self._labels

    def chosen(self, names: Sequence[str] | None) -> list[int]:
        """Return the positions of the columns named; of all of them for None."""
        return list(range(self.frame.shape[1])) if names is None else self.labels.positions(names)

    def label(self, position: int) -> Hashable:
        """Return the label of a column."""
        label: Hashable = self.frame.columns[position]
        return label

    def name(self, position: int) -> str:
        """Return the label of a column as messages show it."""
        return shown(self.label(position))

    def array(self, position: int) -> Any:
        """Return the array of a column, as ``array_of`` does."""
        return array_of(self.frame.iloc[:, position])

    def kind(self, position: int) -> Kind:
        """Return what kind of values a column holds."""
        return kind_of(self.frame.dtypes.iloc[position])

    def on_purpose(self, position: int) -> Mask:
        """Return which cells of a column are marked as missing on purpose."""
        source = self._columns[position]
        marked = self._marked.get(source, ()) if source >= 0 else ()
        if not len(marked):
            return np.zeros(len(self.frame), dtype=bool)
        rows = np.arange(len(self.frame)) if self._rows is None else self._rows
        return np.isin(rows, np.asarray(marked, dtype=np.int64))

    def missing(self, position: int, *, include_intentional: bool = True) -> Mask:
        """Return which cells of a column are missing, if need be without those missing on purpose."""
        missing = missing_in(self.array(position))
        return missing if include_intentional else missing & ~self.on_purpose(position)

    # --- changing ----------------------------------------------------------------------------------

    def set(self, position: int, array: Any) -> None:
        """Put an array in a column's place."""
        self.frame.isetitem(position, _column(array, self.frame.index))
        self._touched.add(self._columns[position])

    def take(self, positions: Positions) -> None:
        """Keep these rows, in this order.

        The plain row numbers 0, 1, 2 … of a frame say nothing and are numbered anew; any other index keeps
        its labels.
        """
        if len(positions) == len(self.frame) and bool((positions == np.arange(len(positions))).all()):
            return
        index = self.frame.index
        plain = isinstance(index, pd.RangeIndex) and (index.start, index.step, index.name) == (0, 1, None)
        self.frame = _taken(self.frame, positions)
        if plain:
            self.frame.index = pd.RangeIndex(len(positions))
        self._rows = positions if self._rows is None else self._rows[positions]

    def keep(self, wanted: Mask) -> None:
        """Keep the rows that are true in a mask."""
        if not wanted.all():
            self.take(np.flatnonzero(wanted).astype(np.int64))

    def arrange(self, positions: Sequence[int]) -> None:
        """Keep these columns, in this order."""
        if list(positions) == list(range(self.frame.shape[1])):
            return
        self.frame = self.frame.iloc[:, list(positions)]
        self._columns = [self._columns[position] for position in positions]
        self._moved, self._labels = True, None

    def relabel(self, names: Mapping[int, str]) -> None:
        """Give columns other names.

        Raises:
            InvalidEditError: the labels have levels, or two columns would have one name.
        """
        labels = self._flat_labels()
        for position, name in names.items():
            labels[position] = name
        self._check_unique(labels, list(names))
        if labels != self.frame.columns.tolist():
            self.frame.columns = self._index_of(labels)
            self._moved, self._labels = True, None

    def insert(self, place: int, name: str, array: Any) -> None:
        """Insert a new column.

        Raises:
            InvalidEditError: the labels have levels, or a column has that name.
        """
        labels = self._flat_labels()
        labels.insert(place, name)
        self._check_unique(labels, [place])
        before, index = self.frame, self._index_of(labels)
        bare = before.set_axis(range(len(labels) - 1), axis=1)
        new = _column(array, before.index).to_frame()
        # Not insert(): it warns of frames in many blocks, which is what untouched columns are.
        frame: pd.DataFrame = pd.concat([bare.iloc[:, :place], new, bare.iloc[:, place:]], axis=1)
        frame.columns = index
        frame.attrs = before.attrs
        self.frame = frame
        self._columns.insert(place, -1)
        self._moved, self._labels = True, None

    def _flat_labels(self) -> list[Hashable]:
        if isinstance(self.frame.columns, pd.MultiIndex):
            raise InvalidEditError(
                "The columns have labels of several levels, and a name would be none of them. "
                "Replace the table by one with plain labels first."
            )
        return list(self.frame.columns)

    @staticmethod
    def _check_unique(labels: Sequence[Hashable], new: Sequence[int]) -> None:
        named = Labels(labels)
        for position in new:
            name = str(labels[position])
            if named.count(name) > 1:
                raise InvalidEditError(
                    f"There would be two columns called {shown(name)}. Choose another name, or drop one."
                )

    def _index_of(self, labels: list[Hashable]) -> pd.Index:
        before = self.frame.columns
        texts = isinstance(before.dtype, pd.StringDtype) or before.empty
        if texts and all(isinstance(label, str) for label in labels):
            return pd.Index(labels, dtype=before.dtype if not before.empty else "str", name=before.name)
        return pd.Index(labels, dtype=object, name=before.name, tupleize_cols=False)


def _column(array: Any, index: pd.Index) -> Any:
    """Return an array as a column with its own dtype: pandas would take objects that are texts for text."""
    return pd.Series(array, index=index, dtype=array.dtype, copy=False)


def _taken(frame: pd.DataFrame, positions: Positions) -> pd.DataFrame:
    """Return rows of a frame; of columns in the other byte order pandas cannot take any, and numpy can."""
    swapped = [
        place
        for place, dtype in enumerate(frame.dtypes)
        if isinstance(dtype, np.dtype) and not dtype.isnative
    ]
    if not swapped:
        return frame.take(positions)
    native = frame.copy(deep=False)
    for place in swapped:
        native.isetitem(place, np.zeros(len(frame), dtype=bool))
    taken = native.take(positions)
    for place in swapped:
        taken.isetitem(place, array_of(frame.iloc[:, place])[positions])
    return taken

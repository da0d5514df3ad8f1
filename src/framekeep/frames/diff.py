"""What changed between two states of a frame: found by chunk names first, so equal parts cost nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from framekeep.errors import UnsupportedTypeError
from framekeep.frames import values
from framekeep.frames.borrow import arrow_of
from framekeep.frames.manifest import Manifest
from framekeep.frames.node import Node


@dataclass(frozen=True, slots=True)
class CellChange:
    """One changed cell.

    Attributes:
        row: its index label (its position when rows are compared by position).
        before, after: its values.
    """

    row: Any
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column both states have, not with the same content.

    Attributes:
        label: its label.
        dtype_before, dtype_after: its dtypes.
        cells: how many cells differ among the rows both states have (missing equals missing).
        samples: the first of them.
    """

    label: Hashable
    dtype_before: str
    dtype_after: str
    cells: int
    samples: tuple[CellChange, ...]


@dataclass(frozen=True, slots=True)
class FrameDiff:
    """The difference between two states.

    Attributes:
        rows_before, rows_after: lengths.
        rows_added, rows_removed: rows only one state has.
        aligned_by: "label" if rows were matched by index label, "position" otherwise.
        index_changed: whether the indexes differ at all.
        columns_added, columns_removed: labels only one state has.
        columns_changed: those with changed cells or another dtype.
        columns_moved: whether the common columns stand in another order.
        cells_changed: sum over the changed columns.
    """

    rows_before: int
    rows_after: int
    rows_added: int
    rows_removed: int
    aligned_by: str
    index_changed: bool
    columns_added: tuple[Hashable, ...]
    columns_removed: tuple[Hashable, ...]
    columns_changed: tuple[ColumnChange, ...]
    columns_moved: bool
    cells_changed: int


class Columns(Protocol):
    """Gives the arrays of some columns of a manifest, for a window of rows."""

    def __call__(self, manifest: Manifest, places: Sequence[int], start: int, stop: int) -> Sequence[Any]: ...


class Rows(Protocol):
    """Gives the row index of a manifest."""

    def __call__(self, manifest: Manifest) -> pd.Index: ...


def diff(a: Manifest, b: Manifest, columns: Columns, rows: Rows, *, samples: int) -> FrameDiff:
    """Compare two states.

    Args:
        columns, rows: read what must be looked at.
        samples: changed cells given for each column, at most.
    """
    pairs, added, removed = _matched(a.columns, b.columns)
    same_index = a.index.key == b.index.key
    by_label = False
    taken: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None = None
    if not same_index:
        before, after = rows(a), rows(b)
        by_label = _unique(before) and _unique(after) and not isinstance(before, pd.IntervalIndex)
        if by_label:
            where = _positions(before, after)
            kept = np.flatnonzero(where >= 0)
            taken = where[kept], kept
            common = len(kept)
        else:
            common = min(a.rows, b.rows)
    else:
        common = a.rows
    changed: list[ColumnChange] = []
    for i, j in pairs:
        if a.arrays[i].key == b.arrays[j].key and taken is None:
            continue
        change = _column(a, i, b, j, columns, rows, taken, common, samples)
        if change is not None:
            changed.append(change)
    order = [i for i, _ in pairs]
    return FrameDiff(
        rows_before=a.rows,
        rows_after=b.rows,
        rows_added=b.rows - common,
        rows_removed=a.rows - common,
        aligned_by="label" if same_index or by_label else "position",
        index_changed=not same_index,
        columns_added=tuple(b.columns[j] for j in added),
        columns_removed=tuple(a.columns[i] for i in removed),
        columns_changed=tuple(changed),
        columns_moved=order != sorted(order),
        cells_changed=sum(change.cells for change in changed),
    )


def _matched(a: pd.Index, b: pd.Index) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Pair the columns of equal label (the k-th of a repeated one with the k-th), in the order of ``b``."""
    free: defaultdict[Hashable, list[int]] = defaultdict(list)
    for i, label in enumerate(a):
        free[_label_key(label)].append(i)
    for places in free.values():
        places.reverse()
    pairs, added = [], []
    for j, label in enumerate(b):
        places = free[_label_key(label)]
        if places:
            pairs.append((places.pop(), j))
        else:
            added.append(j)
    return pairs, added, sorted(i for places in free.values() for i in places)


def _label_key(label: Hashable) -> Hashable:
    # NaN is a label too, and equal to no NaN; its encoding is.
    try:
        return values.dump(label, where="column labels")
    except UnsupportedTypeError:  # a signed pickle
        return label


def _unique(index: pd.Index) -> bool:
    try:
        return bool(index.is_unique)
    except (TypeError, ValueError):  # labels that have no hash
        return False


def _positions(before: pd.Index, after: pd.Index) -> np.ndarray[Any, Any]:
    """Return the position in ``before`` of each label of ``after``, -1 where there is none."""
    try:
        found: np.ndarray[Any, Any] = before.get_indexer(after)
    except (TypeError, ValueError):  # labels that do not compare
        found = np.full(len(after), -1)
    return found


def _column(
    a: Manifest,
    i: int,
    b: Manifest,
    j: int,
    columns: Columns,
    rows: Rows,
    taken: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None,
    common: int,
    samples: int,
) -> ColumnChange | None:
    left, right = a.arrays[i], b.arrays[j]
    places: list[np.ndarray[Any, Any]] = []
    found: list[CellChange] = []
    count = 0
    if taken is not None:
        x = _take(columns(a, [i], 0, a.rows)[0], taken[0])
        y = _take(columns(b, [j], 0, b.rows)[0], taken[1])
        windows: Iterator[tuple[int, Any, Any]] = iter([(0, x, y)])
    else:
        windows = (
            (start, columns(a, [i], start, stop)[0], columns(b, [j], start, stop)[0])
            for start, stop in _windows(left, right, common)
        )
    for start, x, y in windows:
        different = np.flatnonzero(_differ(x, y))
        count += len(different)
        places.append(different[: max(0, samples - len(found))])
        found.extend(CellChange(int(start + at), _cell(x, at), _cell(y, at)) for at in places[-1])
    if not count and left.name == right.name:
        return None
    labels = _row_labels(b, rows, taken, found, aligned=a.index.key == b.index.key or taken is not None)
    return ColumnChange(b.columns[j], left.name, right.name, count, labels)


def _row_labels(
    b: Manifest,
    rows: Rows,
    taken: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None,
    found: list[CellChange],
    *,
    aligned: bool,
) -> tuple[CellChange, ...]:
    if not aligned or not found:
        return tuple(found)
    index = rows(b)
    at = (lambda row: int(taken[1][row])) if taken is not None else int
    return tuple(CellChange(index[at(cell.row)], cell.before, cell.after) for cell in found)


def _take(array: Any, places: np.ndarray[Any, Any]) -> Any:
    try:
        return array.take(places)
    except pa.ArrowNotImplementedError:  # views of strings and lists
        return np.fromiter(_cells(array), dtype=object, count=len(array))[places]


def _cell(array: Any, at: int) -> Any:
    try:
        return array[int(at)]
    except (OverflowError, ValueError):  # an instant outside of what Python can say
        return arrow_of(array)[int(at)]


def _cells(array: Any) -> Iterator[Any]:
    return (_cell(array, at) for at in range(len(array)))


def _windows(a: Node, b: Node, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the windows of the first ``rows`` rows that may differ."""
    comparable = (
        a.kind == b.kind
        and a.params == b.params
        and len(a.tracks) == len(b.tracks) > 0
        and [child.key for child in a.children] == [child.key for child in b.children]
        and all(
            (x.layout, x.dtype, x.step) == (y.layout, y.dtype, y.step)
            for x, y in zip(a.tracks, b.tracks, strict=True)
        )
        and len({track.step for track in a.tracks}) == 1
    )
    if not comparable:
        step = 1 << 16
        yield from ((start, min(rows, start + step)) for start in range(0, rows, step))
        return
    step = a.tracks[0].step
    names = [
        list(zip(x.digests(), y.digests(), strict=False)) for x, y in zip(a.tracks, b.tracks, strict=True)
    ]
    for k in range(-(-rows // step)):
        if any(pair[k][0] != pair[k][1] for pair in names):
            yield k * step, min(rows, (k + 1) * step)


def _differ(x: Any, y: Any) -> np.ndarray[Any, Any]:
    """Return where two arrays differ, missing equal to missing."""
    plain = type(x) is np.ndarray and type(y) is np.ndarray
    if plain and x.dtype == y.dtype and x.dtype.kind in "biufc":
        unequal: np.ndarray[Any, Any] = x != y
        if x.dtype.kind in "fc":
            unequal &= ~((x != x) & (y != y))
        return unequal
    if _compares(x.dtype) and _compares(y.dtype):
        try:
            p, q = pd.Series(x, copy=False), pd.Series(y, copy=False)
            alike = _true(p.isna() & q.isna()) | _true(p == q)
            if x.dtype.kind in "fc" and y.dtype.kind in "fc":
                alike |= _true(p != p) & _true(q != q)  # NaN that is not missing
        except (TypeError, ValueError, NotImplementedError, ArithmeticError, AttributeError):
            pass  # types that do not compare as arrays are compared cell by cell
        else:
            return ~_exactly(x, y, alike)
    return np.fromiter(
        (not _same(p, q) for p, q in zip(_cells(x), _cells(y), strict=True)), dtype=bool, count=len(x)
    )


def _compares(dtype: Any) -> bool:
    """Whether pandas compares such arrays rightly: cells of objects and of Arrow lists it does not."""
    return str(dtype) != "object" and not (
        isinstance(dtype, pd.ArrowDtype) and pa.types.is_nested(dtype.pyarrow_dtype)
    )


def _true(found: Any) -> np.ndarray[Any, Any]:
    true: np.ndarray[Any, Any] = found.fillna(False).to_numpy(dtype=bool)
    return true


def _exactly(x: Any, y: Any, alike: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return ``alike`` without large integers that equal a float only once they are rounded to one."""
    if {x.dtype.kind, y.dtype.kind} not in ({"i", "f"}, {"u", "f"}):
        return alike
    floats = pd.Series(x if x.dtype.kind == "f" else y).astype("Float64").abs()
    exact: np.ndarray[Any, Any] = alike.copy()
    for at in np.flatnonzero(alike & _true(floats >= 2.0**24)):
        p, q = x[int(at)], y[int(at)]
        exact[at] = pd.isna(p) or getattr(p, "item", lambda p=p: p)() == getattr(q, "item", lambda q=q: q)()
    return exact


def _same(p: Any, q: Any) -> bool:
    if p is q:
        return True
    if type(p) is type(q):
        try:
            return values.dump(p) == values.dump(q)
        except UnsupportedTypeError:
            pass  # a signed pickle: equality is the best there is
    elif pd.api.types.is_list_like(p) or pd.api.types.is_list_like(q):
        return False
    try:
        missing = pd.isna(p), pd.isna(q)
        return all(missing) if any(missing) else bool(p == q)
    except (TypeError, ValueError, ArithmeticError):  # what does not compare, a signalling NaN among it
        return False

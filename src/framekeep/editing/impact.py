"""What operations would change: counts and a few examples, without storing anything.

Owns when a cell counts as changed: missing equals missing, a number equals the same number in another type,
and a category the text that it is; a truth is no number, and a number no text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from framekeep.editing.expressions.operators import compare
from framekeep.editing.expressions.vectors import NUMERIC, Vector, vector_of
from framekeep.editing.kinds import Kind, Mask, array_of, equal_to, kind_of, missing_in
from framekeep.editing.labels import text_of
from framekeep.editing.work import Applied
from framekeep.errors import InvalidEditError


def impact(before: pd.DataFrame, applied: Applied, *, samples: int = 10) -> dict[str, Any]:
    """Return what operations change in a frame.

    Args:
        before: the frame that they were applied to.
        applied: what ``apply_tracked`` made of it.
        samples: examples of changed cells and of removed rows, at most so many of each.

    Returns:
        ``rows_before``, ``rows_after``, ``rows_removed``; ``removed`` (positions of the first rows removed);
        ``rows_moved`` (whether the rows that stay are in another order); ``columns_added``,
        ``columns_removed`` (names), ``columns_renamed`` (``before``, ``after``), ``columns_moved``;
        ``columns_changed`` (for each column with changed cells or another dtype: ``column``, ``cells``,
        ``dtype_before``, ``dtype_after``); ``cells_changed`` in all; ``samples`` (``row``, a position in the
        frame before; ``column``; ``before`` and ``after``, Python's values, None for missing). Columns are
        called by their names after the operations.
    """
    after = applied.frame
    rows = applied.rows
    sources = range(after.shape[1]) if applied.columns is None else applied.columns.tolist()
    kept = [(source, place) for place, source in enumerate(sources) if source >= 0]
    old, new = [text_of(label) for label in before.columns], [text_of(label) for label in after.columns]
    gone = sorted(set(range(len(old))) - {source for source, _ in kept})
    changed, masks = [], []
    for source, place in kept:
        x, y = array_of(before.iloc[:, source]), array_of(after.iloc[:, place])
        if rows is not None:
            x = x[rows]
        mask = changes(x, y) if place in applied.touched else np.zeros(len(after), dtype=bool)
        if mask.any() or x.dtype != y.dtype:
            names = {"dtype_before": str(x.dtype), "dtype_after": str(y.dtype)}
            changed.append({"column": new[place], "cells": int(mask.sum()), **names})
            masks.append((new[place], mask, x, y))
    return {
        "rows_before": len(before),
        "rows_after": len(after),
        "rows_removed": len(before) - len(after),
        "removed": _removed(len(before), rows, samples),
        "rows_moved": rows is not None and bool((np.diff(rows) < 0).any()),
        "columns_added": [new[place] for place, source in enumerate(sources) if source < 0],
        "columns_removed": [old[source] for source in gone],
        "columns_renamed": [
            {"before": old[source], "after": new[place]}
            for source, place in kept
            if old[source] != new[place]
        ],
        "columns_moved": [source for source, _ in kept] != sorted(source for source, _ in kept),
        "columns_changed": changed,
        "cells_changed": sum(each["cells"] for each in changed),
        "samples": _examples(masks, rows, samples),
    }


def changes(before: Any, after: Any) -> Mask:
    """Return which cells of two arrays of one length differ."""
    x, y = missing_in(before), missing_in(after)
    there = ~x & ~y
    changed: Mask = (x != y) | (there & _differing(before, after, there))
    return changed


def _differing(before: Any, after: Any, there: Mask) -> Mask:
    if before.dtype == after.dtype and kind_of(before.dtype) is Kind.TEXT:
        return ~equal_to(before, after)
    try:
        a, b = vector_of(before), vector_of(after)
        if Kind.MIXED not in (a.kind, b.kind) and Kind.OTHER not in (a.kind, b.kind):
            if not _alike(a, b):
                return np.ones(len(there), dtype=bool)
            unequal: Mask = compare("!=", a, b).values
            return np.broadcast_to(unequal, len(there))
    except InvalidEditError:
        pass  # beyond 64 bits, or beyond the finer of two units: looked at one by one
    out = np.zeros(len(there), dtype=bool)
    for row in np.flatnonzero(there):
        out[row] = not same(before[row], after[row])
    return out


def _alike(a: Vector, b: Vector) -> bool:
    return a.kind is b.kind or None in (a.kind, b.kind) or (a.kind in NUMERIC and b.kind in NUMERIC)


def same(a: Any, b: Any) -> bool:
    """Say whether two values that are there are one and the same to whoever reads them."""
    a, b = plain(a), plain(b)
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if type(a) is not type(b):
        return False
    try:
        return bool(a == b)
    except (TypeError, ValueError):  # an array of answers, or no answer
        return a is b


def plain(value: Any) -> Any:
    """Return a cell as Python's own value, None for a missing one."""
    if isinstance(value, np.generic):
        value = value.item() if value.dtype.kind in "biuf" else value
    missing = pd.isna(value)
    return None if isinstance(missing, bool | np.bool_) and missing else value


def _removed(count: int, rows: Any, samples: int) -> list[int]:
    if rows is None:
        return []
    there = np.zeros(count, dtype=bool)
    there[rows] = True
    return [int(row) for row in np.flatnonzero(~there)[:samples]]


def _examples(masks: list[tuple[str, Mask, Any, Any]], rows: Any, samples: int) -> list[dict[str, Any]]:
    masks = [each for each in masks if each[1].any()]
    share = -(-samples // len(masks)) if masks else 0
    found = [
        {
            "row": int(row if rows is None else rows[row]),
            "column": name,
            "before": plain(x[row]),
            "after": plain(y[row]),
        }
        for name, mask, x, y in masks
        for row in np.flatnonzero(mask)[:share]
    ]
    return found[:samples]

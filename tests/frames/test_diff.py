"""Diff: what changed between two states, and what is not looked at to know it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.frames import FrameCodec, FrameDiff


def differ(a: pd.DataFrame, b: pd.DataFrame, **options: int) -> FrameDiff:
    space, codec = Space(), FrameCodec()
    return codec.diff(space.read, space.keep(a), space.keep(b), **options)


def base(rows: int = 200_000) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": np.arange(rows),
            "b": np.arange(rows, dtype="f8"),
            "s": pd.array(["x"] * rows, dtype="str"),
            "c": pd.Categorical(["u", "v"] * (rows // 2)),
        }
    )


def test_equal_states_have_no_difference_and_read_no_chunk() -> None:
    space, codec = Space(), FrameCodec()
    one, two = space.keep(base()), space.keep(base())
    space.asked.clear()
    result = codec.diff(space.read, one, two)
    assert space.asked == []
    assert (result.cells_changed, result.columns_changed, result.index_changed) == (0, (), False)


def test_a_changed_cell_reads_the_two_chunks_that_hold_it() -> None:
    space, codec = Space(), FrameCodec()
    changed = base()
    changed.loc[150_000, "a"] = -1
    one, two = space.keep(base()), space.keep(changed)
    space.asked.clear()
    result = codec.diff(space.read, one, two)
    assert len(space.asked) == 2
    (column,) = result.columns_changed
    assert (column.label, column.cells) == ("a", 1)
    assert (column.samples[0].row, column.samples[0].before, column.samples[0].after) == (
        150_000,
        150_000,
        -1,
    )


def test_columns_added_removed_and_moved_are_told_apart() -> None:
    result = differ(base(10), base(10)[["b", "a", "s"]].assign(new=1))
    assert result.columns_added == ("new",)
    assert result.columns_removed == ("c",)
    assert result.columns_moved
    assert result.columns_changed == ()


def test_rows_are_matched_by_label_when_labels_are_unique() -> None:
    kept = base(10).drop(index=[3, 4])
    kept.loc[7, "a"] = 70
    result = differ(base(10), kept)
    assert (result.rows_removed, result.rows_added, result.aligned_by) == (2, 0, "label")
    assert [(c.label, c.cells, c.samples[0].row) for c in result.columns_changed] == [("a", 1, 7)]


def test_rows_are_matched_by_position_when_a_label_repeats() -> None:
    a = base(4).set_axis([0, 0, 1, 2])
    b = base(4).set_axis([0, 0, 1, 3])
    b.iloc[0, 0] = 9
    result = differ(a, b)
    assert result.aligned_by == "position"
    assert result.cells_changed == 1


def test_missing_equals_missing() -> None:
    a = pd.DataFrame({"f": [np.nan, 1.0], "s": [None, "x"], "i": pd.array([None, 1], dtype="Int64")})
    assert differ(a, a.assign(f=a["f"].copy())).cells_changed == 0
    assert differ(a, a.fillna({"f": 0.0, "s": "", "i": 0})).cells_changed == 3


def test_a_cast_is_a_change_of_the_column_with_no_changed_cell() -> None:
    (column,) = differ(base(10), base(10).astype({"b": "float32"})).columns_changed
    assert (column.dtype_before, column.dtype_after, column.cells) == ("float64", "float32", 0)


def test_samples_are_bounded() -> None:
    result = differ(base(100), base(100).assign(a=-1), samples=3)
    assert result.columns_changed[0].cells == 100
    assert len(result.columns_changed[0].samples) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1, "a", None], [1, "b", None]),
        ([[1], {"k": 1}, None], [[2], {"k": 1}, None]),
        ([np.nan, pd.NA, 2], [np.nan, pd.NA, 3]),
        ([np.array([1, 2]), 1, 2], [np.array([1, 3]), 1, 2]),
    ],
)
def test_objects_are_compared_cell_by_cell(before: list[object], after: list[object]) -> None:
    def frame(cells: list[object]) -> pd.DataFrame:
        array = np.empty(len(cells), dtype=object)
        array[:] = cells
        return pd.DataFrame({"o": array})

    assert differ(frame(before), frame(after)).cells_changed == 1


def test_types_that_do_not_compare_are_different_everywhere() -> None:
    a = pd.DataFrame({"x": pd.date_range("2020", periods=3)})
    assert differ(a, pd.DataFrame({"x": ["a", "b", "c"]})).cells_changed == 3


def test_repeated_labels_are_paired_in_order() -> None:
    a = pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"])
    b = pd.DataFrame([[1, 2, 5], [3, 9, 6]], columns=["x", "x", "x"])
    result = differ(a, b)
    assert result.columns_added == ("x",)
    assert result.cells_changed == 1


def test_nan_labels_are_the_same_column() -> None:
    a = pd.DataFrame([[1, 2]], columns=[np.nan, "b"])
    assert differ(a, a + 1).columns_added == ()

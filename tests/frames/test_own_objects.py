"""Callers share memory, never the objects around it: what one changes in place, no other sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.frames import FrameCodec
from framekeep.testing.identical import assert_identical

KEY = b"a key of sixteen bytes or more"


def frame() -> pd.DataFrame:
    days = pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-03"])
    return pd.DataFrame(
        {
            "s": ["a", None, "c"],
            "a": pd.array([1, None, 3], dtype="int64[pyarrow]"),
            "c": pd.Categorical(["x", "y", "x"]),
            "sp": pd.arrays.SparseArray([0, 0, 5]),
            "m": pd.array([1, None, 3], dtype="Int64"),
            "mb": pd.array([True, None, False], dtype="boolean"),
            "t": days,
            "iv": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
        },
        index=days,
    )


def unhashable_labels() -> pd.Index[Any]:
    labels = np.empty(2, dtype=object)
    labels[:] = [[1], [2]]
    return pd.Index(labels)


def text_cell(df: pd.DataFrame) -> None:
    df["s"].array[0] = "mine"


def arrow_cell(df: pd.DataFrame) -> None:
    df["a"].array[0] = 99


def nullable_cell(df: pd.DataFrame) -> None:
    df["m"].array[0] = 99


def name_of_categories(df: pd.DataFrame) -> None:
    df["c"].cat.categories.name = "mine"


def fill_value(df: pd.DataFrame) -> None:
    sparse: Any = df["sp"].array
    sparse.fill_value = 7


def frequency_of_the_index(df: pd.DataFrame) -> None:
    index: Any = df.index
    index.freq = "D"


def name_of_the_index(df: pd.DataFrame) -> None:
    df.index.name = "mine"
    df.columns.name = "mine"


CHANGES: list[Callable[[pd.DataFrame], None]] = [
    text_cell,
    arrow_cell,
    nullable_cell,
    name_of_categories,
    fill_value,
    frequency_of_the_index,
    name_of_the_index,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_in_place_is_stored_and_reaches_no_other_caller(
    change: Callable[[pd.DataFrame], None],
) -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame(), codec)
    ours, theirs = codec.decode(space.read, manifest), frame()
    change(ours)
    change(theirs)
    assert_identical(ours, theirs)
    assert_identical(codec.decode(space.read, manifest), frame())
    assert_identical(space.give(space.keep(ours, codec)), theirs)


def test_a_page_cannot_rename_the_categories_of_the_next_reader() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame(), codec)
    codec.decode(space.read, manifest)
    codec.page(space.read, manifest, 0, 2)["c"].cat.categories.name = "mine"
    assert_identical(codec.decode(space.read, manifest), frame())


def test_a_label_of_the_rows_that_is_a_list_is_not_shared() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(pd.DataFrame({"a": [1, 2]}, index=unhashable_labels()), codec)
    codec.decode(space.read, manifest).index[0].append("mine")
    assert_identical(codec.decode(space.read, manifest).index, unhashable_labels())


def test_a_label_of_the_columns_that_is_a_list_is_not_shared() -> None:
    space, codec = Space(), FrameCodec()
    source = pd.DataFrame([[1, 2]], columns=unhashable_labels())
    manifest = space.keep(source, codec)
    manifest = codec.manifest(space.read, manifest.digest)
    source.columns[0].append("mine")
    codec.decode(space.read, manifest).columns[0].append("mine")
    assert_identical(codec.decode(space.read, manifest).columns, unhashable_labels())


class Tag:
    """A hashable label that can be changed."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_a_category_that_can_be_changed_is_not_shared() -> None:
    space, codec = Space(), FrameCodec(pickle_key=KEY)
    categories = np.array([Tag("stored")], dtype=object)
    column = pd.Categorical.from_codes([0], pd.Index(categories, dtype=object))
    manifest = space.keep(pd.DataFrame({"c": column}), codec)
    codec.decode(space.read, manifest)["c"].cat.categories[0].text = "mine"
    assert codec.decode(space.read, manifest)["c"].cat.categories[0].text == "stored"


def test_labels_stay_as_stored_when_the_array_they_came_from_changes() -> None:
    space, codec = Space(), FrameCodec()
    labels = np.array([1, 2])
    manifest = space.keep(pd.DataFrame([[1, 2]], columns=pd.Index(labels, copy=False)), codec)
    labels[0] = 99
    assert list(codec.decode(space.read, codec.manifest(space.read, manifest.digest)).columns) == [1, 2]


def test_data_and_mask_of_a_boolean_column_are_not_mistaken_for_each_other() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame(), codec)
    column: Any = codec.decode(space.read, manifest)["mb"].array
    swapped = pd.DataFrame({"mb": pd.arrays.BooleanArray(column._mask, column._data)}, copy=False)
    assert_identical(space.give(space.keep(swapped, codec)), swapped)


@pytest.mark.parametrize("how", ["cumsum", "cumprod", "cummin", "cummax"])
def test_nullable_columns_accumulate(how: str) -> None:
    space = Space()
    source = frame()[["m"]]
    df = space.give(space.keep(source))
    assert_identical(getattr(df, how)(), getattr(source.copy(deep=True), how)())


def test_the_buffers_of_text_cannot_be_written() -> None:
    space = Space()
    column: Any = space.give(space.keep(frame()))["s"].array
    buffers = column.__arrow_array__().chunk(0).buffers()
    assert not any(np.frombuffer(buffer, "u1").flags.writeable for buffer in buffers if buffer is not None)


def test_a_numpy_flag_says_whether_categories_are_ordered() -> None:
    space = Space()
    column = pd.Categorical(["a", "b"], ordered=np.True_)
    assert space.give(space.keep(pd.DataFrame({"c": column})))["c"].cat.ordered is True

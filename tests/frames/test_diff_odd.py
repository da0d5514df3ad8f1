"""Differences between states of odd types: counted exactly, never a raw error."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from odd.corpus import CORPUS
from one_space import Space

from framekeep.errors import FramekeepError
from framekeep.frames import FrameCodec, FrameDiff

KEPT = [odd for odd in CORPUS.values() if odd.fate == "kept" and not odd.heavy]


def diff(before: pd.DataFrame, after: pd.DataFrame, codec: FrameCodec | None = None) -> FrameDiff:
    space, codec = Space(), codec or FrameCodec()
    return codec.diff(space.read, space.keep(before, codec), space.keep(after, codec))


def objects(*cells: object) -> pd.DataFrame:
    return pd.DataFrame({"a": np.fromiter(cells, dtype=object, count=len(cells))})


def arrow(*cells: object, kind: pa.DataType) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(cells, kind)]))})


def column(values: Any, dtype: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.array(values, dtype=dtype)})


PAIRS: dict[str, tuple[pd.DataFrame, pd.DataFrame, int]] = {
    "a ragged list and a string": (objects([1, [2, 3]], 1), objects("x", 1), 1),
    "a signalling NaN and a number": (objects(Decimal("sNaN")), objects(1), 1),
    "a list and a tuple": (objects([1, 2]), objects((1, 2)), 1),
    "a date and an instant": (objects(dt.date(2020, 1, 1)), objects(pd.Timestamp("2020")), 1),
    "None and NaN": (objects(None), objects(float("nan")), 0),
    "Arrow lists": (
        arrow([1, 2], None, [3], kind=pa.list_(pa.int64())),
        arrow([1, 2], None, [4], kind=pa.list_(pa.int64())),
        1,
    ),
    "NaN in Arrow": (
        arrow(float("nan"), 1.0, kind=pa.float64()),
        arrow(float("nan"), 2.0, kind=pa.float64()),
        1,
    ),
    "a large integer and the float next to it": (
        column([2**53 + 1, 2**53, 1], "int64"),
        column([2.0**53, 2.0**53, 1.0], "float64"),
        1,
    ),
    "a large nullable integer and the float next to it": (
        column([2**53 + 1, None], "Int64"),
        column([2.0**53, None], "Float64"),
        1,
    ),
    "a large integer and the short float next to it": (
        column([2**24 + 1, 5], "int64"),
        column([2.0**24, 5.0], "float32"),
        1,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_changed_cells_are_counted_exactly(name: str) -> None:
    before, after, changed = PAIRS[name]
    assert diff(before, after).cells_changed == changed
    assert diff(after, before).cells_changed == changed


def test_labels_without_a_hash_are_compared_by_position() -> None:
    index = pd.Index(np.fromiter([Decimal("sNaN"), 1], dtype=object, count=2))
    found = diff(pd.DataFrame({"a": [1, 2]}, index=index), pd.DataFrame({"a": [1, 3]}, index=index[::-1]))
    assert (found.aligned_by, found.cells_changed) == ("position", 1)


def test_an_instant_that_python_cannot_say_is_shown_as_arrow_has_it() -> None:
    kind = pa.timestamp("s")
    found = diff(arrow(1 << 60, kind=kind), arrow(1 << 61, kind=kind))
    assert found.columns_changed[0].samples[0].after == pa.scalar(1 << 61, kind)


class Label:
    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Label) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


def test_labels_kept_as_signed_pickles_are_matched() -> None:
    labels = pd.Index([Label("a"), Label("b")], dtype=object)
    found = diff(
        pd.DataFrame([[1, 2]], columns=labels),
        pd.DataFrame([[1, 3]], columns=labels),
        FrameCodec(pickle_key=b"a key of sixteen bytes or more"),
    )
    assert (found.cells_changed, found.columns_added) == (1, ())


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "reversed": lambda df: df.iloc[::-1],
    "shortened": lambda df: df.iloc[:-1],
    "renumbered": lambda df: df.reset_index(drop=True),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("change", CHANGES)
def test_every_odd_frame_can_be_compared_with_another(change: str) -> None:
    for odd in KEPT:
        before = odd.build()
        try:
            after = CHANGES[change](before)
            FrameCodec().encode(after)
        except (FramekeepError, pa.ArrowException, TypeError, ValueError, OverflowError):
            continue  # pandas itself cannot
        diff(before, after)


def test_an_empty_page_has_a_chunk_for_arrow_to_work_with() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(arrow([1], [2], kind=pa.list_view(pa.int64())), codec)
    page = codec.page(space.read, manifest, 5, 5)
    assert np.asarray(page["a"].array, dtype=object).tolist() == []

"""A frame above the limit is refused whole: nothing of it is staged, whatever its columns hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.errors import DataFrameTooLargeError
from framekeep.frames import FrameCodec

ROWS = 700_000


def numbers(seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).random(ROWS)


def texts(prefix: str = "") -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.fromiter((f"{prefix}{value!r:40}" for value in numbers()), dtype=object, count=ROWS)


FRAMES: dict[str, tuple[Callable[[], pd.DataFrame], int]] = {
    "numbers": (lambda: pd.DataFrame({i: numbers(i) for i in range(8)}), 44_000_000),
    "an index": (
        lambda: pd.DataFrame({i: numbers(i) for i in range(7)}, index=pd.Index(numbers(99))),
        44_000_000,
    ),
    "labels": (lambda: pd.DataFrame({f"c{i}": numbers(i) for i in range(8)}), 8 * 8 * ROWS + 10),
    "text": (lambda: pd.DataFrame({"s": pd.Series(texts(), dtype="str")}), 32_000_000),
    "objects after numbers": (
        lambda: pd.DataFrame({**{i: numbers(i) for i in range(12)}, "o": pd.Series(texts(), dtype=object)}),
        90_000_000,
    ),
    "categories": (
        lambda: pd.DataFrame({"c": pd.Categorical(texts()), **{i: numbers(i) for i in range(12)}}),
        90_000_000,
    ),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_nothing_of_a_frame_that_is_too_large_is_staged(kind: str) -> None:
    make, limit = FRAMES[kind]
    space = Space()
    with pytest.raises(DataFrameTooLargeError, match="Nothing was stored"):
        FrameCodec(max_frame_bytes=limit).encode(make(), stage=space.stage)
    assert (space.staged, space.blobs) == (0, {})


def test_a_large_frame_below_the_limit_is_staged_as_without_one() -> None:
    make, _ = FRAMES["objects after numbers"]
    space = Space()
    frame = make()
    encoded = FrameCodec(max_frame_bytes=200_000_000, compress=False).encode(frame, stage=space.stage)
    assert encoded.staged
    assert encoded.manifest.digest == FrameCodec().encode(frame).manifest.digest


def test_categories_of_periods_are_measured_without_a_warning() -> None:
    column = pd.Categorical(pd.period_range("2020", periods=3, freq="M"))
    assert FrameCodec(max_frame_bytes=10_000).encode(pd.DataFrame({"c": column})).manifest.rows == 3

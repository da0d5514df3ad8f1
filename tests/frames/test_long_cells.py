"""Cells of many bytes: chunks stay small, and what fits none is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from one_space import Space

from framekeep.errors import UnsupportedTypeError
from framekeep.frames import FrameCodec
from framekeep.testing.identical import assert_identical


def test_long_texts_are_cut_into_chunks_of_about_a_mebibyte() -> None:
    space, source = Space(), pd.DataFrame({"s": [f"{i:05}" * 6000 for i in range(500)]})
    manifest = space.keep(source)
    assert max(ref.nbytes for ref in manifest.arrays[0].tracks[0].refs()) <= 2 << 20
    assert_identical(space.give(manifest), source)


def test_one_long_text_among_short_ones_does_not_make_small_chunks() -> None:
    source = pd.DataFrame({"s": ["x" * (4 << 20), *map(str, range(200_000))]})
    assert len(Space().keep(source).arrays[0].tracks[0].refs()) < 256


def test_a_cell_of_more_than_four_gibibytes_is_refused(tmp_path: Path) -> None:
    size = (1 << 32) + 10
    content = np.memmap(tmp_path / "content", "u1", "w+", shape=(size,))  # a hole: takes no room
    offsets = pa.py_buffer(np.array([0, size], dtype="i8"))
    cell = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(content)])
    frame = pd.DataFrame({"a": pd.arrays.ArrowExtensionArray(cell)})
    with pytest.raises(UnsupportedTypeError, match="4 GiB"):
        FrameCodec().encode(frame)

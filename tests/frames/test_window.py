"""A window is the rows that decode gives, and the chunk around it is read once."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from odd.corpus import CORPUS, Odd
from one_space import Space

from framekeep.errors import SessionDamagedError
from framekeep.frames import FrameCodec
from framekeep.frames.borrow import assemble
from framekeep.testing.identical import assert_identical, differences

KINDS: dict[str, list[Odd]] = defaultdict(list)
for _odd in CORPUS.values():
    if _odd.fate == "kept" and not _odd.heavy:
        KINDS[_odd.row].append(_odd)
ROWS = 65_536


def shown(codec: FrameCodec, space: Space, digest, start: int, stop: int) -> pd.DataFrame:
    manifest = codec.manifest(space.read, digest)
    columns, index = codec.window(space.read, manifest, range(len(manifest.arrays)), start, stop)
    return assemble(columns, index, manifest.columns, copy=True)


def check(frame: pd.DataFrame) -> None:
    space, codec = Space(), FrameCodec()
    digest = space.keep(frame).digest
    start, stop = len(frame) // 3, len(frame) - len(frame) // 4
    expected = codec.page(space.read, codec.manifest(space.read, digest), start, stop - start)
    expected.attrs, expected.flags.allows_duplicate_labels = {}, True
    for warm in (codec, codec, FrameCodec()):  # from what windows keep, too
        assert differences(expected, shown(warm, space, digest, start, stop)) == []
    decoded = codec.decode(space.read, codec.manifest(space.read, digest))
    assert differences(frame, decoded) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_what_decode_gives(kind: str) -> None:
    for odd in KINDS[kind]:
        try:
            check(odd.build())
        except Exception as error:
            error.add_note(odd.name)
            raise


def long_frame(rows: int = 3 * ROWS) -> pd.DataFrame:
    return pd.DataFrame({"n": np.arange(rows), "t": [f"row {i}" for i in range(rows)]})


def test_the_rows_around_a_window_cost_no_reading() -> None:
    frame, space, codec = long_frame(), Space(), FrameCodec()
    digest = space.keep(frame).digest
    assert_identical(shown(codec, space, digest, ROWS + 5, ROWS + 9), frame.iloc[ROWS + 5 : ROWS + 9])
    asked = len(space.asked)
    assert_identical(shown(codec, space, digest, 2 * ROWS - 7, 2 * ROWS), frame.iloc[2 * ROWS - 7 : 2 * ROWS])
    assert len(space.asked) == asked
    shown(codec, space, digest, 0, 3)
    assert len(space.asked) == asked + 2


@pytest.mark.parametrize(
    ("start", "stop"), [(ROWS - 3, ROWS + 3), (0, 3 * ROWS), (3 * ROWS, 3 * ROWS), (5, 5)]
)
def test_a_window_may_cross_the_borders_of_chunks(start: int, stop: int) -> None:
    frame, space, codec = long_frame(), Space(), FrameCodec()
    digest = space.keep(frame).digest
    for _ in range(2):
        assert_identical(shown(codec, space, digest, start, stop), frame.iloc[start:stop])


def test_windows_over_many_borders_are_not_kept() -> None:
    space, codec = Space(), FrameCodec()
    digest = space.keep(long_frame()).digest
    held = []
    for start in range(ROWS - 9, ROWS - 1):
        shown(codec, space, digest, start, start + 10)
        held.append(codec.cache_info()["bytes"])
    assert len(set(held)) == 1


def test_a_window_of_cells_that_can_be_changed_is_not_what_others_get() -> None:
    space, codec = Space(), FrameCodec()
    digest = space.keep(pd.DataFrame({"l": pd.Series([[1], [2]], dtype=object)})).digest
    manifest = codec.manifest(space.read, digest)
    [column], _ = codec.window(space.read, manifest, [0], 0, 2)
    frame = codec.decode(space.read, manifest)
    frame["l"][0].append(99)
    assert column[0] == [1]


def test_damage_names_the_column() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(pd.DataFrame({"fine": [1.0, 2.0], "hurt": [3, 4]}))
    [ref] = manifest.arrays[1].tracks[0].refs()
    space.blobs[ref.digest] = b"\x00" + bytes(16)
    with pytest.raises(SessionDamagedError, match="'hurt'"):
        codec.window(space.read, manifest, [0, 1], 0, 1)


UNION = pa.sparse_union([pa.field("i", pa.int64()), pa.field("t", pa.string())])


@pytest.mark.parametrize("kind", [UNION, pa.struct([("u", UNION)]), pa.list_(UNION)], ids=str)
def test_unions_without_rows_are_kept_again_after_reading(kind: pa.DataType) -> None:
    space = Space()
    frame = pd.DataFrame({"u": pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.nulls(0, kind)]))})
    back = space.give(space.keep(frame))
    assert_identical(space.give(space.keep(back)), frame)

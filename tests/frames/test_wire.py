"""Containers of frames: what goes in comes out, from memory and from files, piece by piece."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from odd.corpus import CORPUS

from framekeep.errors import (
    DamagedFileError,
    DataFrameTooLargeError,
    InvalidInputError,
    NotADataFrameError,
    UnknownFormatError,
    UnsupportedTypeError,
)
from framekeep.frames import FRAME_TYPE, FRAMES_TYPE, FrameCodec, pack, pack_frames, unpack, unpack_frames
from framekeep.testing.identical import assert_identical, differences

INVALID_TO_ARROW = "arrow/struct_of_dictionary/null_rows_only"
KEPT = [name for name, odd in CORPUS.items() if odd.fate == "kept" and name != INVALID_TO_ARROW]


def packed(frame: object, **options: Any) -> bytes:
    return b"".join(pack(frame, **options))


def tall(rows: int = 200_000) -> pd.DataFrame:
    random = np.random.default_rng(5)
    texts = np.array(["a", "bb", "", None], dtype=object)[random.integers(0, 4, rows)]
    return pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "n": random.integers(0, 50, rows),
            "s": pd.array(texts, dtype="str"),
            "o": pd.Series(texts, dtype=object),
            "c": pd.Categorical.from_codes(random.integers(-1, 2, rows), ["u", "v"]),
        }
    )


# --- exactness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEPT)
def test_every_odd_frame_comes_back_identical(name: str) -> None:
    frame = CORPUS[name].build()
    assert differences(frame, unpack(packed(frame), max_bytes=1 << 30)) == []


@pytest.mark.parametrize("name", [name for name, odd in CORPUS.items() if odd.fate == "refused"])
def test_what_a_store_refuses_is_refused_by_name(name: str) -> None:
    with pytest.raises((UnsupportedTypeError, NotADataFrameError)):
        packed(CORPUS[name].build())


def test_arrow_data_that_arrow_calls_invalid_are_refused_by_the_sender() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"column 'a'.*Arrow calls its data invalid"):
        packed(CORPUS[INVALID_TO_ARROW].build())


def test_an_arrow_table_comes_back_with_its_types() -> None:
    table = pa.table({"a": pa.array([1, None], pa.uint8()), "l": pa.array([[1], None], pa.list_(pa.int16()))})
    again = unpack(packed(table))
    assert list(map(str, again.dtypes)) == ["uint8[pyarrow]", "list<item: int16>[pyarrow]"]
    assert again["l"].array._pa_array.to_pylist() == [[1], None]


def test_whatever_gives_an_arrow_stream_is_packed() -> None:
    frame = pl.DataFrame({"a": [1, None], "s": ["x", "ü"]})
    assert pl.from_pandas(unpack(packed(frame))).equals(frame)


@pytest.mark.parametrize("codec", ["auto", "lz4", "snappy", "zstd", "gzip"])
def test_every_codec_is_read(codec: str) -> None:
    assert_identical(unpack(packed(tall(), codec=codec)), tall())


def test_what_is_read_belongs_to_the_caller() -> None:
    frame = unpack(packed(tall(100)))
    frame["x"].array[:] = 0.0  # raises if the memory were lent
    assert frame["x"].sum() == 0


# --- many frames ------------------------------------------------------------------------------------


def test_frames_come_back_by_name_in_order() -> None:
    sheets = {"b": tall(10), "a": pd.DataFrame(), "": tall(3), "日本 \ud800": tall(10)}
    again = unpack_frames(b"".join(pack_frames(sheets)))
    assert list(again) == list(sheets)
    for name, frame in sheets.items():
        assert_identical(again[name], frame)


def test_no_frames_are_a_container_too() -> None:
    assert unpack_frames(b"".join(pack_frames({}))) == {}


def test_what_frames_share_travels_once() -> None:
    one = packed(tall())
    many = b"".join(pack_frames({str(i): tall() for i in range(5)}))
    assert len(many) < len(one) * 1.1


@pytest.mark.parametrize("name", [7, None, "x" * 65_536], ids=["number", "none", "long"])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError, match="name of a frame"):
        b"".join(pack_frames({name: tall(1)}))


def test_one_frame_and_many_are_not_taken_for_each_other() -> None:
    with pytest.raises(UnknownFormatError, match=f"{FRAMES_TYPE} where"):
        unpack(b"".join(pack_frames({"": tall(1)})))
    with pytest.raises(UnknownFormatError, match=f"{FRAME_TYPE} where"):
        unpack_frames(packed(tall(1)))


# --- streams and files ------------------------------------------------------------------------------


def test_a_frame_is_packed_piece_by_piece() -> None:
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(50_000, 40)))
    sizes = [len(piece) for piece in pack(wide)]
    assert len(sizes) >= 20
    assert max(sizes) < sum(sizes) / 8


def test_a_container_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "frame"
    path.write_bytes(packed(tall()))
    with path.open("rb") as file:
        file.seek(7)  # wherever it stands
        assert_identical(unpack(file), tall())


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_a_container_is_read_from_any_memory(kind: Any) -> None:
    assert_identical(unpack(kind(packed(tall(100)))), tall(100))


class Shrinking(io.BytesIO):
    """A file that somebody else cuts while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.reads = getattr(self, "reads", 0) + 1
        return data if self.reads < 20 else data[:-1]


def test_a_file_that_becomes_shorter_is_damage() -> None:
    with pytest.raises(DamagedFileError, match="shorter"):
        unpack(Shrinking(packed(tall(100_000))))


# --- limits -----------------------------------------------------------------------------------------


def test_a_frame_above_the_limit_is_refused_and_one_below_is_not() -> None:
    frame = pd.DataFrame(np.zeros((1000, 1)))
    assert_identical(unpack(packed(frame), max_bytes=8000), frame)
    with pytest.raises(DataFrameTooLargeError, match="MAX_DATAFRAME_SIZE_MB"):
        unpack(packed(frame), max_bytes=7999)


@pytest.mark.parametrize("name", KEPT[::7])
def test_what_a_store_takes_is_read_within_the_same_limit(name: str) -> None:
    frame = CORPUS[name].build()
    size = FrameCodec().encode(frame).manifest.nbytes
    unpack(packed(frame), max_bytes=size)


def test_the_limit_is_for_all_frames_together() -> None:
    frames = {str(i): pd.DataFrame(np.full((1000, 1), i)) for i in range(3)}
    data = b"".join(pack_frames(frames))
    assert len(unpack_frames(data, max_bytes=24_000)) == 3
    with pytest.raises(DataFrameTooLargeError):
        unpack_frames(data, max_bytes=23_999)


def test_a_column_of_short_texts_that_a_store_takes_is_read_within_the_same_limit() -> None:
    texts = np.array([f"{i % 977}" for i in range(300_000)], dtype=object)
    frame = pd.DataFrame({"t": pd.Series(texts, dtype=object)})
    assert_identical(unpack(packed(frame), max_bytes=4_000_000), frame)


# --- pickles ----------------------------------------------------------------------------------------


class Custom:
    """A class nothing but a pickle keeps; importable, as pickle demands."""

    def __init__(self, value: int) -> None:
        self.value = value


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    module = types.ModuleType("custom_cells")
    module.Custom = Custom  # type: ignore[attr-defined]
    monkeypatch.setattr(Custom, "__module__", "custom_cells")
    monkeypatch.setitem(sys.modules, "custom_cells", module)
    return pd.DataFrame({"o": [Custom(1), "text"]})


def test_a_pickle_is_opened_only_with_the_key_that_signed_it(cells: pd.DataFrame) -> None:
    data = packed(cells, pickle_key=b"k" * 32)
    assert unpack(data, pickle_key=b"k" * 32).loc[0, "o"].value == 1
    with pytest.raises(DamagedFileError, match=r"column 'o'.*not signed"):
        unpack(data, pickle_key=b"x" * 32)
    with pytest.raises(DamagedFileError, match=r"column 'o'.*signing key") as caught:
        unpack(data)
    assert caught.value.where == "column 'o'"


def test_nothing_is_pickled_without_a_key(cells: pd.DataFrame) -> None:
    with pytest.raises(UnsupportedTypeError, match="column 'o'"):
        packed(cells)

"""FrameCodec: what it accepts, pages, verifies, stages and refuses."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from one_space import Space

from framekeep.errors import (
    BlobMissing,
    DataFrameTooLargeError,
    NewerFormatError,
    NotADataFrameError,
    SessionDamagedError,
    UnknownColumnError,
    UnsupportedTypeError,
)
from framekeep.frames import FrameCodec
from framekeep.frames.node import REF
from framekeep.names import Digest, digest_of
from framekeep.testing.identical import assert_identical


def tall(rows: int = 200_000) -> pd.DataFrame:
    random = np.random.default_rng(5)
    text = np.array(["a", "bb", "ccc", None], dtype=object)[random.integers(0, 4, rows)]
    frame = pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "n": random.integers(0, 50, rows),
            "s": pd.array(text, dtype="str"),
            "m": pd.array(random.integers(0, 9, rows), dtype="Int64"),
            "c": pd.Categorical.from_codes(random.integers(-1, 2, rows), ["u", "v"]),
            "o": pd.Series(text, dtype=object).to_numpy(),
        },
        index=pd.date_range("2020", periods=rows, freq="min", name="when"),
    )
    return frame.astype({"o": object})


# --- foreign frames -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda table: table,
        lambda table: pl.from_arrow(table),
        lambda table: duckdb.arrow(table),
        lambda table: table.to_batches()[0],
    ],
    ids=["pyarrow", "polars", "duckdb", "batch"],
)
def test_whatever_gives_an_arrow_stream_is_kept_with_its_values(make) -> None:  # type: ignore[no-untyped-def]
    table = pa.table({"a": [1, None, 2**62], "s": ["x", None, "ü"], "f": [1.5, 2.5, None]})
    space, codec = Space(), FrameCodec()
    manifest = space.keep(make(table))
    assert codec.table(space.read, manifest).to_pylist() == table.to_pylist()
    assert list(codec.decode(space.read, manifest).columns) == ["a", "s", "f"]


def test_an_arrow_table_keeps_its_types_and_repeated_names() -> None:
    table = pa.table([pa.array([1], pa.uint8()), pa.array([[2]], pa.list_(pa.int16()))], names=["a", "a"])
    space, codec = Space(), FrameCodec()
    out = codec.table(space.read, space.keep(table))
    assert out.schema.equals(table.schema)
    assert out.equals(table)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], "builtins.list is not a DataFrame"),
        (None, "NoneType"),
        (pd.Series([1]), r"series\.to_frame\(\)"),
        (np.zeros((2, 2)), "numpy.ndarray"),
        (type("Mine", (pd.DataFrame,), {})({"a": [1]}), r"pandas\.DataFrame\(frame\)"),
    ],
)
def test_what_is_not_a_frame_is_refused_with_the_next_step(value: object, says: str) -> None:
    with pytest.raises(NotADataFrameError, match=says):
        FrameCodec().encode(value)


def test_a_type_that_cannot_be_kept_is_named_with_its_column() -> None:
    class Mine:
        pass

    with pytest.raises(UnsupportedTypeError, match=r"column 'bad'.*Mine") as caught:
        FrameCodec().encode(pd.DataFrame({"fine": [1], "bad": [Mine()]}))
    assert caught.value.where == "column 'bad'"
    assert caught.value.type_name.endswith("Mine")


def test_a_frame_over_the_limit_stores_and_stages_nothing() -> None:
    space = Space()
    codec = FrameCodec(max_frame_bytes=1_000_000)
    with pytest.raises(DataFrameTooLargeError, match=r"MAX_DATAFRAME_SIZE_MB"):
        codec.encode(tall(), stage=space.stage)
    assert not space.blobs
    codec.encode(tall(1000), stage=space.stage)


def test_objects_count_with_their_content_against_the_limit() -> None:
    with pytest.raises(DataFrameTooLargeError):
        FrameCodec(max_frame_bytes=1_000_000).encode(pd.DataFrame({"o": np.array(["x" * 2_000_000], object)}))


# --- chunks -------------------------------------------------------------------------------------


def test_equal_data_is_stored_once() -> None:
    space = Space()
    column = np.random.default_rng(1).normal(size=50_000)
    encoded = FrameCodec().encode(pd.DataFrame({"a": column, "b": column, "c": column}))
    assert len(encoded.blobs) == 1 + 1 + 1  # the column, its labels, the manifest
    space.blobs.update(encoded.blobs)


def test_a_changed_cell_costs_one_chunk() -> None:
    space = Space()
    df = tall()
    manifest = space.keep(df)
    df.iloc[70_000, 0] = 0.0
    again = FrameCodec().encode(df, present=manifest.digests)
    assert len(again.blobs) == 2
    assert len(again.manifest.digests - manifest.digests) == 2


def test_a_large_frame_is_staged_in_batches_and_comes_back() -> None:
    space = Space()
    df = pd.DataFrame({f"c{i}": np.random.default_rng(i).normal(size=300_000) for i in range(40)})
    encoded = FrameCodec().encode(df, stage=space.stage)
    assert encoded.staged
    assert space.staged >= 2
    assert sum(map(len, encoded.blobs.values())) < 33 << 20
    space.blobs.update(encoded.blobs)
    assert_identical(space.give(encoded.manifest), df)


def test_a_failure_to_stage_reaches_the_caller() -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    df = pd.DataFrame({f"c{i}": np.random.default_rng(i).normal(size=300_000) for i in range(40)})
    with pytest.raises(OSError, match="No space left"):
        FrameCodec().encode(df, stage=full)


# --- pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "limit"),
    [
        (0, 10),
        (65_530, 12),
        (65_536, 1),
        (100_000, 70_000),
        (199_990, 100),
        (200_000, 5),
        (500_000, 5),
        (7, 0),
    ],
)
def test_a_page_is_the_slice(offset: int, limit: int) -> None:
    df = tall()
    space = Space()
    manifest = space.keep(df)
    for codec in (FrameCodec(), warm := FrameCodec()):
        page = codec.page(space.read, manifest, offset, limit)
        assert_identical(page, df.iloc[offset : offset + limit])
    warm.decode(space.read, manifest)
    assert_identical(warm.page(space.read, manifest, offset, limit), df.iloc[offset : offset + limit])


def test_a_page_reads_only_the_chunks_that_hold_it() -> None:
    space = Space()
    manifest = space.keep(tall())
    space.asked.clear()
    FrameCodec().page(space.read, manifest, 100_000, 10, ["x", "n"])
    assert len(space.asked) == 3  # two columns and the index


def test_a_page_takes_columns_in_the_order_asked() -> None:
    df = tall(100)
    space = Space()
    page = FrameCodec().page(space.read, space.keep(df), 5, 3, ["s", "x"])
    assert_identical(page, df.iloc[5:8][["s", "x"]])


def test_a_repeated_label_gives_each_of_its_columns() -> None:
    df = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    space = Space()
    assert_identical(FrameCodec().page(space.read, space.keep(df), 0, 1, ["a"]), df[["a"]])


@pytest.mark.parametrize("label", ["nope", 1, ("a", "b"), None, [1]])
def test_an_unknown_column_is_named(label: object) -> None:
    space = Space()
    with pytest.raises(UnknownColumnError, match="column"):
        FrameCodec().page(space.read, space.keep(tall(10)), 0, 1, [label])  # type: ignore[list-item]


def test_columns_given_as_one_string_are_refused() -> None:
    space = Space()
    with pytest.raises(UnknownColumnError, match="list of labels"):
        FrameCodec().page(space.read, space.keep(tall(10)), 0, 1, "x")


# --- damage -------------------------------------------------------------------------------------


def chunk_of(space: Space, manifest, column: str) -> Digest:  # type: ignore[no-untyped-def]
    return next(manifest.arrays[list(manifest.columns).index(column)].digests())


@pytest.mark.parametrize("column", ["x", "n", "s", "m", "c", "o"])
def test_a_flipped_byte_is_an_error_that_names_the_column(column: str) -> None:
    space = Space()
    manifest = space.keep(tall(5000))
    name = chunk_of(space, manifest, column)
    blob = bytearray(space.blobs[name])
    blob[len(blob) // 2] ^= 0x10
    space.blobs[name] = bytes(blob)
    with pytest.raises(SessionDamagedError, match=f"column '{column}'") as caught:
        space.give(manifest)
    assert caught.value.where == f"column '{column}'"
    codec = FrameCodec()
    assert [damage.where for damage in codec.verify(space.read, manifest)] == [f"column '{column}'"]


def test_a_missing_chunk_is_reported_and_located() -> None:
    space = Space()
    manifest = space.keep(tall(5000))
    name = chunk_of(space, manifest, "s")
    del space.blobs[name]
    with pytest.raises(BlobMissing) as caught:
        space.give(manifest)
    assert manifest.locate(Digest(caught.value.digests[0])) == "column 's'"
    (damage,) = FrameCodec().verify(space.read, manifest)
    assert damage.where == "column 's'"
    assert "missing" in damage.problem


def test_a_chunk_that_matches_its_checksum_but_not_its_name_is_found_by_verify() -> None:
    space = Space()
    manifest = space.keep(pd.DataFrame({"a": np.arange(200.0)}))
    other = space.keep(pd.DataFrame({"a": np.arange(200.0) + 1}))
    name, wrong = chunk_of(space, manifest, "a"), chunk_of(space, other, "a")
    data = bytearray(space.blobs[manifest.digest])
    ref = next(REF.iter_unpack(bytes(data[-REF.size :])))
    wrong_ref = next(REF.iter_unpack(space.blobs[other.digest][-REF.size :]))
    data[-REF.size :] = REF.pack(ref[0], wrong_ref[1], ref[2], ref[3])
    forged = digest_of(bytes(data))
    space.blobs[forged] = bytes(data)
    space.blobs[name] = space.blobs[wrong]
    codec = FrameCodec()
    (damage,) = codec.verify(space.read, codec.manifest(space.read, forged))
    assert "does not match its name" in damage.problem


def test_a_damaged_manifest_is_an_error_not_a_frame() -> None:
    space = Space()
    manifest = space.keep(tall(100))
    intact = space.blobs[manifest.digest]
    for at in range(0, len(intact), max(1, len(intact) // 50)):
        blob = bytearray(intact)
        blob[at] ^= 0x01
        space.blobs[manifest.digest] = bytes(blob)
        with pytest.raises(SessionDamagedError) as caught:
            space.give(manifest)
        assert caught.value.where == "manifest"


def test_a_manifest_of_a_newer_version_says_so() -> None:
    space = Space()
    manifest = space.keep(tall(100))
    newer = bytearray(space.blobs[manifest.digest])
    newer[3] = 2
    name = digest_of(bytes(newer))
    space.blobs[name] = bytes(newer)
    with pytest.raises(NewerFormatError, match=r"version 2.*Upgrade"):
        FrameCodec().manifest(space.read, name)


# --- codecs and pickles -------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["lz4", "snappy", "zstd", "gzip", "auto"])
def test_what_one_codec_wrote_every_other_reads_and_extends(codec: str) -> None:
    space = Space()
    df = tall(70_000)
    manifest = space.keep(df, FrameCodec(codec=codec))
    other = FrameCodec(codec="zstd" if codec != "zstd" else "lz4")
    assert_identical(space.give(manifest, other), df)
    df.loc[df.index[0], "n"] = 1000
    assert len(other.encode(df, present=manifest.digests).blobs) == 2


class Custom:
    """A class nothing but a pickle keeps; importable, as pickle demands."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is Custom and other.value == self.value

    __hash__ = None  # type: ignore[assignment]


Custom.__module__ = __name__


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("custom_cells")
    module.Custom = Custom  # type: ignore[attr-defined]
    monkeypatch.setattr(Custom, "__module__", "custom_cells")
    monkeypatch.setitem(sys.modules, "custom_cells", module)


@pytest.mark.usefixtures("importable")
def test_signed_pickles_keep_what_has_no_exact_encoding() -> None:
    space = Space()
    df = pd.DataFrame({"o": [Custom(1), "text", None]})
    key = b"k" * 32
    manifest = space.keep(df, FrameCodec(pickle_key=key))
    out = space.give(manifest, FrameCodec(pickle_key=key))
    assert out.loc[0, "o"] == Custom(1)
    assert list(out["o"][1:]) == ["text", None]


@pytest.mark.usefixtures("importable")
def test_a_signed_pickle_is_not_opened_without_the_key_or_with_another() -> None:
    space = Space()
    manifest = space.keep(pd.DataFrame({"o": [Custom(1)]}), FrameCodec(pickle_key=b"k" * 32))
    with pytest.raises((UnsupportedTypeError, SessionDamagedError), match=r"column 'o'.*signing key"):
        space.give(manifest)
    with pytest.raises(SessionDamagedError, match=r"column 'o'.*not signed with this PICKLE_SIGNING_KEY"):
        space.give(manifest, FrameCodec(pickle_key=b"x" * 32))


# --- tables -------------------------------------------------------------------------------------


def test_a_table_has_the_values_the_types_and_the_index() -> None:
    df = tall(1000)
    space = Space()
    table = FrameCodec().table(space.read, space.keep(df))
    assert table.column_names == ["x", "n", "s", "m", "c", "o", "when"]
    assert table.column("n").to_pylist() == df["n"].tolist()
    assert table.column("when").to_pylist() == list(df.index.to_pydatetime())
    assert pa.types.is_dictionary(table.schema.field("c").type)


def test_nan_in_a_numpy_column_stays_nan_in_a_table() -> None:
    space = Space()
    column = FrameCodec().table(space.read, space.keep(pd.DataFrame({"f": [np.nan, 1.0]}))).column("f")
    assert column.null_count == 0
    assert str(column[0].as_py()) == "nan"


def test_a_cyclic_list_in_a_table_is_refused_by_name() -> None:
    ring: list[object] = [1]
    ring.append(ring)
    cells = np.empty(1, dtype=object)
    cells[0] = ring
    space, codec = Space(), FrameCodec()
    manifest = space.keep(pd.DataFrame({"ring": cells}))
    with pytest.raises(UnsupportedTypeError, match=r"column 'ring'.*cyclic"):
        codec.table(space.read, manifest)


def test_a_complex_column_in_a_table_is_refused_by_name() -> None:
    space = Space()
    with pytest.raises(UnsupportedTypeError, match=r"column 'z'.*complex128"):
        FrameCodec().table(space.read, space.keep(pd.DataFrame({"z": [1j]})))


# --- cache --------------------------------------------------------------------------------------


def test_the_cache_keeps_within_its_bytes() -> None:
    space = Space()
    manifest = space.keep(tall())
    codec = FrameCodec(cache_bytes=3_000_000)
    for _ in range(3):
        assert_identical(codec.decode(space.read, manifest), tall())
        assert codec.cache_info()["bytes"] <= 3_000_000


def test_a_second_read_asks_for_no_chunk() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(tall().drop(columns="o"))
    codec.decode(space.read, manifest)
    space.asked.clear()
    codec.decode(space.read, manifest)
    assert space.asked == []


# --- comparing with the state before ------------------------------------------------------------


def odd_numbers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "f": [0.0, np.nan, 1.0],
            "a": pd.array([0.0, 1.0, 2.0], dtype="double[pyarrow]"),
            "l": pd.array([[0.0], [1.0], None], dtype=pd.ArrowDtype(pa.list_(pa.float64()))),
            "m": pd.array([1, None, 3], dtype="Int64"),
            "c": pd.Categorical(["x", "y", "x"]),
            "t": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "s": ["a", None, "b"],
            "b": [True, False, True],
        }
    )


def test_an_equal_copy_is_stored_by_naming_what_is_there() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(odd_numbers())
    codec.decode(space.read, manifest)
    again = codec.encode(odd_numbers(), present=manifest.digests, previous=manifest)
    assert again.manifest.digest == manifest.digest
    assert not again.blobs


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("f", np.array([-0.0, np.nan, 1.0])),
        ("f", np.array([0.0, np.nan, 1.0]).view("u8") ^ np.array([0, 1, 0], "u8")),
        ("a", pd.array([-0.0, 1.0, 2.0], dtype="double[pyarrow]")),
        ("l", pd.array([[-0.0], [1.0], None], dtype=pd.ArrowDtype(pa.list_(pa.float64())))),
        ("m", pd.array([1, 2, 3], dtype="Int64")),
        ("m", pd.array([1, None, 3], dtype="Int32")),
        ("c", pd.Categorical(["x", "y", "x"], categories=["x", "y", "z"])),
        ("c", pd.Categorical(["x", "y", "x"], ordered=True)),
        ("t", pd.to_datetime(["2020-01-01", "2020-01-02", "2021-01-01"])),
        ("t", pd.to_datetime(["2020-01-01", None, "2021-01-01"]).tz_localize("UTC")),
        ("s", pd.array(["a", "", "b"], dtype="str")),
        ("s", pd.array(["a", None, "b"], dtype="string")),
        ("b", np.array([1, 0, 1], dtype="u1")),
    ],
)
def test_the_smallest_difference_is_stored(column: str, value: object) -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(odd_numbers())
    codec.decode(space.read, manifest)
    if isinstance(value, np.ndarray) and value.dtype == np.dtype("u8"):
        value = value.view("f8")
    changed = odd_numbers()
    changed[column] = value
    encoded = codec.encode(changed, present=manifest.digests, previous=manifest)
    space.blobs.update(encoded.blobs)
    assert encoded.manifest.digest != manifest.digest
    assert_identical(space.give(encoded.manifest), changed)


def test_a_copy_of_what_is_not_cached_can_be_written_in_place_and_fills_no_cache() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(odd_numbers())
    df = codec.decode(space.read, manifest, copy=True)
    assert_identical(df, odd_numbers())
    for name in ("f", "m"):
        df[name].array[0] = 5  # the raw arrays are the caller's own
    assert codec.cache_info()["bytes"] < 20_000
    assert_identical(codec.decode(space.read, manifest), odd_numbers())
    assert_identical(codec.decode(space.read, manifest, copy=True), odd_numbers())

"""Borrowed memory: shared by many frames, never changed by any of them."""

from __future__ import annotations

import gc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from one_space import Space
from pandas.api.internals import create_dataframe_from_blocks

from framekeep.frames import FrameCodec
from framekeep.frames.borrow import assemble, borrowed, origin
from framekeep.testing.identical import assert_identical


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "f": [1.5, np.nan, 3.0, -0.0],
            "i": [1, 2, 3, 4],
            "t": pd.to_datetime(["2020-01-01", None, "2021-05-05", "2022-02-02"]),
            "s": ["a", None, "c", "d"],
            "c": pd.Categorical(["x", "y", "x", None]),
            "m": pd.array([1, None, 3, 4], dtype="Int64"),
            "o": np.array(["w", 2, None, 4.0], dtype=object),
            "z": pd.date_range("2020", periods=4, tz="UTC"),
            "p": pd.period_range("2020-01", periods=4, freq="M"),
            "b": [True, False, True, True],
            "a": pd.array([1, 2, None, 4], dtype="int64[pyarrow]"),
        }
    )


def at_cell(df: pd.DataFrame) -> None:
    df.at[0, "f"] = 9.0


def loc_mask(df: pd.DataFrame) -> None:
    df.loc[df["i"] > 2, ["f", "i"]] = 0


def iloc_block(df: pd.DataFrame) -> None:
    df.iloc[1:3, 0:2] = 7


def new_column(df: pd.DataFrame) -> None:
    df["new"] = df["f"] * 2


def replaced_column(df: pd.DataFrame) -> None:
    df["f"] = 1.0


def fillna(df: pd.DataFrame) -> None:
    df.fillna({"f": 0.0, "m": 5}, inplace=True)


def clip(df: pd.DataFrame) -> None:
    df["i"] = df["i"].clip(upper=2)
    df[["f", "i"]] = df[["f", "i"]].clip(upper=1)


def sort(df: pd.DataFrame) -> None:
    df.insert(0, "order", df["i"].sort_values(ascending=False).to_numpy())


def drop(df: pd.DataFrame) -> None:
    del df["s"]
    df.pop("b")


def replace(df: pd.DataFrame) -> None:
    df.replace({"f": {1.5: 2.5}}, inplace=True)


def masked(df: pd.DataFrame) -> None:
    df.loc[0, "m"] = pd.NA
    df[df[["f"]] > 2] = -1.0


def strings(df: pd.DataFrame) -> None:
    df.loc[1, "s"] = "filled"
    df.loc[0, "c"] = "y"
    df.loc[0, "o"] = "other"


def times(df: pd.DataFrame) -> None:
    df.loc[1, "t"] = pd.Timestamp("1999-09-09")
    df.loc[1, "z"] = pd.NaT
    df.loc[1, "p"] = pd.Period("1999-01", "M")
    df.loc[1, "a"] = 9


def arithmetic(df: pd.DataFrame) -> None:
    df["i"] += 1
    part = df[["f", "i"]]
    part += 1
    df[["f", "i"]] = part


def update(df: pd.DataFrame) -> None:
    df.update(pd.DataFrame({"f": [5.0]}, index=[1]))


def rename(df: pd.DataFrame) -> None:
    df.columns = df.columns.str.upper()
    df.index.name = "row"


def through_a_series(df: pd.DataFrame) -> None:
    column = df["f"]
    column.iloc[0] = 77.0
    column += 1


WRITES: list[Callable[[pd.DataFrame], None]] = [
    at_cell,
    loc_mask,
    iloc_block,
    new_column,
    replaced_column,
    fillna,
    clip,
    sort,
    drop,
    replace,
    masked,
    strings,
    times,
    arithmetic,
    update,
    rename,
    through_a_series,
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
@pytest.mark.parametrize("copy", [False, True])
def test_a_decoded_frame_is_written_like_any_other(write: Callable[[pd.DataFrame], None], copy: bool) -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame())
    ours, theirs = codec.decode(space.read, manifest, copy=copy), frame()
    write(ours)
    write(theirs)
    assert_identical(ours, theirs)
    assert_identical(codec.decode(space.read, manifest), frame())


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_a_frame_that_outlives_the_cache_is_written_like_any_other(
    write: Callable[[pd.DataFrame], None],
) -> None:
    space, codec = Space(), FrameCodec()
    ours, theirs = codec.decode(space.read, space.keep(frame())), frame()
    orphan = ours[list(ours.columns)]
    del ours
    codec.clear()
    gc.collect()
    write(orphan)
    write(theirs)
    assert_identical(orphan, theirs)


def test_a_column_that_outlives_its_frame_and_the_cache_can_be_written() -> None:
    space, codec = Space(), FrameCodec()
    column = codec.decode(space.read, space.keep(frame()))["f"]
    codec.clear()
    gc.collect()
    column.iloc[0] = 5.0
    assert column.iloc[0] == 5.0


def test_nothing_can_make_borrowed_memory_writable() -> None:
    lent = borrowed(np.arange(10.0))
    view = lent[2:5].view("i8")
    for array in (lent, view, np.asarray(lent)):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_raw_array_of_a_decoded_column_refuses_writes_and_changes_nothing() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame())
    for name, value in (("f", 9), ("i", 9), ("c", "x")):
        array = codec.decode(space.read, manifest)[name].array
        with pytest.raises(ValueError, match="read-only"):
            array[0] = value
    assert_identical(codec.decode(space.read, manifest), frame())


def test_an_untouched_column_is_recognised_by_its_memory() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame())
    df = codec.decode(space.read, manifest)
    known = [name for name in df.columns if origin(df._get_column_array(df.columns.get_loc(name)))]
    assert known == ["f", "i", "t", "s", "c", "z", "p", "b", "a"]


@pytest.mark.parametrize(
    "change",
    [
        lambda df: df.iloc[::-1],
        lambda df: df.iloc[1:],
        lambda df: df.iloc[:-1],
        lambda df: df.astype({"f": "float32", "i": "float64"}),
        lambda df: df.assign(c=df["c"].cat.rename_categories({"x": "q"})),
        lambda df: df.assign(c=df["c"].cat.as_ordered()),
        lambda df: df.assign(z=df["z"].dt.tz_convert("Asia/Tokyo")),
        lambda df: df.assign(i=df["i"].to_numpy().view("f8")),
        lambda df: df.assign(t=df["i"].to_numpy().view("M8[ns]")),
        lambda df: df.assign(b=~df["b"]),
        lambda df: df.assign(c=df["c"].cat.reorder_categories(["y", "x"])),
    ],
)
def test_memory_in_another_role_is_not_taken_for_the_stored_column(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    space, codec = Space(), FrameCodec()
    df = change(codec.decode(space.read, space.keep(frame())))
    assert_identical(space.give(space.keep(df, codec)), change(frame()))


def test_an_edit_of_one_column_makes_one_chunk_and_a_manifest() -> None:
    space, codec = Space(), FrameCodec()
    manifest = space.keep(frame())
    df = codec.decode(space.read, manifest)
    df.loc[0, "f"] = 5.0
    assert len(codec.encode(df, present=manifest.digests).blobs) == 2


def test_lists_in_cells_are_not_shared_between_callers() -> None:
    space, codec = Space(), FrameCodec()
    cells = np.empty(2, dtype=object)
    cells[:] = [[1], {"k": [2]}]
    manifest = space.keep(pd.DataFrame({"o": cells}))
    first = codec.decode(space.read, manifest)
    first.loc[0, "o"].append("mine")
    first.loc[1, "o"]["k"].append("mine")
    again = codec.decode(space.read, manifest)
    assert again.loc[0, "o"] == [1]
    assert again.loc[1, "o"] == {"k": [2]}
    assert space.give(space.keep(first, codec)).loc[0, "o"] == [1, "mine"]


def test_attrs_are_not_shared_between_callers() -> None:
    space, codec = Space(), FrameCodec()
    df = pd.DataFrame({"a": [1]})
    df.attrs["notes"] = ["stored"]
    manifest = space.keep(df)
    codec.decode(space.read, manifest).attrs["notes"].append("mine")
    assert codec.decode(space.read, manifest).attrs == {"notes": ["stored"]}


def test_a_wide_frame_comes_without_a_fragmentation_warning() -> None:
    space = Space()
    wide = pd.DataFrame(np.zeros((3, 200)), columns=[f"c{i}" for i in range(200)])
    df = space.give(space.keep(wide))
    df["one more"] = 1
    df["and one"] = 2
    assert df.shape == (3, 202)


# --- frames made without pandas looking at each column ----------------------------------------------

KINDS = {
    **{name: frame()[name] for name in frame()},
    "date": pd.Series(pd.date_range("2020", periods=4, freq="D").array),
    "delta": pd.Series(pd.to_timedelta([1, 2, None, 4], "h")),
    "numpy instants": np.array(["2020", "2021", "NaT", "2022"], "M8[ns]"),
    "numpy text": np.array(["a", "b", "c", "d"]),
    "interval": pd.Series(pd.interval_range(0, 4)),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 0, 1, 2])),
    "complex": pd.Series([1j, 2, 3, 4]),
    "python text": pd.Series(["a", None, "c", "d"], dtype=pd.StringDtype("python")),
    "float mask": pd.Series([1, None, 3, 4], dtype="Float32"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_has_the_blocks_that_pandas_would_have_made(kind: str) -> None:
    column = KINDS[kind]
    values = column if isinstance(column, np.ndarray) else column.array
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        values = values.to_numpy()
    labels, index = pd.Index(["x", "y"]), pd.RangeIndex(4)
    for _ in range(2):  # the second one is made as the first was
        made = assemble([values, values], index, labels)
        for place, block in enumerate(made._mgr.blocks):
            rows = values.reshape(1, -1) if isinstance(values, np.ndarray) else values
            [wanted] = create_dataframe_from_blocks(
                [(rows, np.array([0]))], index=index, columns=labels[:1]
            )._mgr.blocks
            assert type(block) is type(wanted)
            assert type(block.values) is type(wanted.values)
            assert (block.values.dtype, block.shape) == (wanted.values.dtype, wanted.shape)
            assert list(block.mgr_locs) == [place]
        made._mgr._verify_integrity()
        assert_identical(made.iloc[:, [1, 0]].copy().set_axis(["x", "y"], axis=1), made)


def test_columns_that_do_not_fit_are_refused_as_by_pandas() -> None:
    assert len(assemble([np.arange(3)], pd.RangeIndex(3), pd.Index(["a"]))) == 3
    with pytest.raises((AssertionError, ValueError)):
        assemble([np.arange(2)], pd.RangeIndex(3), pd.Index(["a"]))
    with pytest.raises((AssertionError, ValueError)):
        assemble([np.arange(3)], pd.RangeIndex(3), pd.Index(["a", "b"]))

"""Arrow and Parquet files hold the values of the frame, or its column is refused by name."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from odds import KINDS, check_each
from pyarrow import ipc, parquet
from windows import table_of, window_of, written

from framekeep.errors import InvalidInputError, UnsupportedTypeError
from framekeep.exporting import columnar
from framekeep.testing.frames import frames

NAMES = ("arrow", "feather", "parquet")


def read(data: bytes, name: str) -> pa.Table:
    if name == "parquet":
        return parquet.ParquetFile(io.BytesIO(data)).read()
    return (ipc.open_file if name == "feather" else ipc.open_stream)(data).read_all()


def same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    return a.equals(b) or repr(a.to_pylist()) == repr(b.to_pylist())


def check(frame: pd.DataFrame) -> None:
    window = window_of(frame)
    try:
        table = table_of(window)
    except UnsupportedTypeError:
        return
    for name in NAMES:
        try:
            data = written(window, name)
        except UnsupportedTypeError:
            continue
        except InvalidInputError:
            assert (name, frame.shape[1]) == ("parquet", 0)
            continue
        back = read(data, name)
        assert (back.num_rows, back.num_columns) == (table.num_rows, table.num_columns)
        assert back.column_names == table.column_names
        assert all(map(same, table.columns, back.columns))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_frame_is_written_or_refused(kind: str) -> None:
    check_each(kind, check)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_frame_is_written_or_refused(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_of_many_frames_is_written_or_refused(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.parametrize("name", NAMES)
def test_bins_and_periods_of_categories_are_written_value_by_value(name: str) -> None:
    binned = pd.cut(pd.Series([1.0, 5.0, None]), [0, 2, 6])
    months = pd.Series(pd.PeriodIndex(["2024-01", "2024-02", None], freq="M")).astype("category")
    back = read(written(window_of(pd.DataFrame({"b": binned, "m": months})), name), name)
    assert [cell and tuple(cell.values()) for cell in back["b"].to_pylist()] == [(0, 2), (2, 6), None]
    assert back["m"].to_pandas().astype(str).tolist()[:2] == ["2024-01", "2024-02"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.timestamp("s"), 2**60),  # Parquet has no seconds, and the milliseconds do not fit
        (pa.decimal128(5, -2), None),
        (pa.binary(0), b""),
        (pa.list_(pa.int8(), 0), []),  # comes back with items
        (pa.dense_union([pa.field("i", pa.int64())]), None),
    ],
    ids=str,
)
def test_what_parquet_would_change_is_refused_with_the_next_step(kind: pa.DataType, value: Any) -> None:
    array = pa.nulls(3, kind) if value is None else pa.array([value, value, None], kind)
    window = window_of(pd.DataFrame({"odd": pd.arrays.ArrowExtensionArray(pa.chunked_array([array]))}))
    with pytest.raises(
        UnsupportedTypeError, match=r"column 'odd' .* export as Arrow, JSON or CSV"
    ) as refusal:
        written(window, "parquet")
    assert refusal.value.type_name == str(kind)


@pytest.mark.parametrize("name", ["arrow", "feather"])
def test_rows_without_columns_are_counted(name: str) -> None:
    assert read(written(window_of(pd.DataFrame(index=range(70_000))), name), name).num_rows == 70_000


def test_rows_without_columns_are_nothing_for_parquet() -> None:
    with pytest.raises(InvalidInputError, match="Parquet does not count rows"):
        written(window_of(pd.DataFrame(index=range(3))), "parquet")


@pytest.mark.parametrize("name", NAMES)
def test_a_large_table_comes_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "BATCH_BYTES", 1 << 20)
    monkeypatch.setattr(columnar, "GROUP_BYTES", 1 << 20)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({f"c{i}": rng.random(100_000) for i in range(10)})
    window = window_of(frame)
    table = table_of(window)
    pieces = list(columnar.columnar(table, name, window))
    assert max(map(len, pieces)) < 2 << 20
    assert len(pieces) >= 8
    assert read(b"".join(pieces), name).equals(table)


LEVELS = pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
ROUND: dict[str, pd.DataFrame] = {
    "numpy": pd.DataFrame({"i": [1, 2], "f": [0.5, np.nan], "b": [True, False], "u": np.array([1, 2], "u1")}),
    "nullable": pd.DataFrame({"i": pd.array([2**60, None], "Int64"), "b": pd.array([True, None], "boolean")}),
    "text": pd.DataFrame({"t": ["a", None], "c": pd.Categorical(["x", "y"], ["y", "x"], ordered=True)}),
    "times": pd.DataFrame(
        {
            "s": np.array(["2024-01-01", "NaT"], dtype="M8[ms]"),
            "z": pd.date_range("2024-01-01", periods=2, tz="Europe/Paris"),
            "d": pd.to_timedelta(["1s", None]),
            "p": pd.period_range("2024-01", periods=2, freq="M"),
        }
    ),
    "a named index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="who")),
    "an index without name": pd.DataFrame({"a": [1, 2]}, index=[5, 7]),
    "a range": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(10, 14, 2)),
    "levels": pd.DataFrame({"a": [1, 2]}, index=LEVELS),
    "labels of numbers": pd.DataFrame([[1, 2.5]], columns=[2019, 2020]),
    "Arrow": pd.DataFrame({"a": pd.array([1, None], dtype="int16[pyarrow]")}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="i4"), "t": pd.Series([], dtype="str")}),
}


@pytest.mark.parametrize("what", ROUND)
@pytest.mark.parametrize("name", NAMES)
def test_pandas_reads_back_the_frame_that_was_exported(name: str, what: str) -> None:
    frame = ROUND[what]
    back = read(written(window_of(frame), name), name).to_pandas()
    pd.testing.assert_frame_equal(back, frame, check_freq=False, check_index_type="equiv")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}),
        pd.DataFrame({"a": [1, 2]}, index=pd.Index([3, 4], name="a")),
        pd.DataFrame({"a": pd.Series([[1], [2]], dtype=pd.ArrowDtype(pa.list_(pa.int64())))}),
    ],
    ids=["names twice", "levels", "sparse", "index like a column", "lists"],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_pandas_cannot_be_told_is_read_all_the_same(name: str, frame: pd.DataFrame) -> None:
    table = read(written(window_of(frame), name), name)
    assert table.to_pylist() == table_of(window_of(frame)).to_pylist()
    table.rename_columns([str(i) for i in range(table.num_columns)]).replace_schema_metadata().to_pandas()

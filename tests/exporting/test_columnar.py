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
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_frame_is_written_or_refused(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.parametrize("name", NAMES)
def test_bins_and_periods_of_categories_are_written_value_by_value(name: str) -> None:
    binned = pd.cut(pd.Series([1.0, 5.0, None]), [0, 2, 6])
    months = pd.Series(pd.PeriodIndex(["2024-01", "2024-02", None], freq="M")).astype("category")
    back = read(written(window_of(pd.DataFrame({"b": binned, "m": months})), name), name)
    assert [cell and tuple(cell.values()) for cell in back["b"].to_pylist()] == [(0, 2), (2, 6), None]
    assert [cell and str(cell) for cell in back["m"].to_pylist()] == ["2024-01", "2024-02", None]


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
    table = table_of(window_of(frame))
    pieces = list(columnar.columnar(table, name))
    assert max(map(len, pieces)) < 2 << 20
    assert len(pieces) >= 8
    assert read(b"".join(pieces), name).equals(table)

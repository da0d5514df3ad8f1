"""A DataFrame on mapped memory has what the Arrow table has, in the dtype to say it, and may be changed."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from framekeep.errors import DamagedFileError, InvalidInputError
from framekeep.importing import dataframes
from framekeep.importing.mapping import Mapping
from framekeep.importing.spool import Place, Spool, Stored

NOON = dt.datetime(2020, 2, 29, 12, 0, 0)


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as made:
        yield made


@pytest.fixture
def spool(file: IO[bytes], tmp_path: Path) -> Spool:
    return Spool(file, tmp_path)


def frame(file: IO[bytes], stored: Stored) -> pd.DataFrame:
    memory = Mapping(file.fileno(), private=True)
    return dataframes.frame(memory.table(stored), memory)


def column(spool: Spool, file: IO[bytes], values: pa.Array | pa.ChunkedArray) -> pd.Series[Any]:
    return frame(file, spool.keep(pa.table({"a": values})))["a"]


CASES = [
    (pa.int64(), [1, 2], "int64", "Int64"),
    (pa.int8(), [1, -2], "int8", "Int8"),
    (pa.uint64(), [1, 2**64 - 1], "uint64", "UInt64"),
    (pa.float64(), [1.5, -0.0], "float64", "float64"),
    (pa.float32(), [1.5, 2.5], "float32", "float32"),
    (pa.float16(), [1.5, 2.5], "float16", "float16"),
    (pa.bool_(), [True, False], "bool", "boolean"),
    (pa.string(), ["", "é"], "str", "str"),
    (pa.large_string(), ["", "é"], "str", "str"),
    (pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31)], "datetime64[s]", "datetime64[s]"),
    (pa.timestamp("us"), [NOON, NOON], "datetime64[us]", "datetime64[us]"),
    (pa.timestamp("ns"), [NOON, NOON], "datetime64[ns]", "datetime64[ns]"),
    (pa.timestamp("ms", "UTC"), [NOON, NOON], "datetime64[ms, UTC]", "datetime64[ms, UTC]"),
    (pa.timestamp("s", "Asia/Tokyo"), [NOON, NOON], "datetime64[s, Asia/Tokyo]", "datetime64[s, Asia/Tokyo]"),
    (pa.duration("ms"), [dt.timedelta(days=1)] * 2, "timedelta64[ms]", "timedelta64[ms]"),
    (pa.time64("us"), [dt.time(1, 2), dt.time(3)], "object", "object"),
    (pa.decimal128(5, 2), [Decimal("1.10"), Decimal("2.00")], "object", "object"),
    (pa.dictionary(pa.int8(), pa.string()), ["x", "y"], "category", "category"),
]  # fmt: skip


def as_arrow(values: pd.Series[Any], kind: pa.DataType) -> list[Any]:
    """Return the values as Arrow sees them, which tells 1 from True and missing from anything."""
    found: list[Any] = pa.Array.from_pandas(values).cast(kind).to_pylist()
    return found


@pytest.mark.parametrize(("kind", "values", "dtype", "nullable"), CASES, ids=[str(case[0]) for case in CASES])
@pytest.mark.parametrize("shape", ["whole", "missing", "pieces", "part", "no rows"])
def test_every_type_keeps_its_values(
    spool: Spool, file: IO[bytes], kind: Any, values: list[Any], dtype: str, nullable: str, shape: str
) -> None:
    array = pa.array(values, pa.string() if pa.types.is_dictionary(kind) else kind).cast(kind)
    nothing = pa.nulls(1, kind)
    given = {
        "whole": pa.chunked_array([array]),
        "missing": pa.chunked_array([pa.concat_arrays([array, nothing, array])]),
        "pieces": pa.chunked_array([array, nothing, array.slice(0, 0), array]),
        "part": pa.chunked_array([pa.concat_arrays([nothing, array, nothing])]).slice(1, 2),
        "no rows": pa.chunked_array([array.slice(0, 0)]),
    }[shape]
    made = column(spool, file, given)
    assert str(made.dtype) == (nullable if given.null_count else dtype)
    assert as_arrow(made, kind) == given.to_pylist()


@pytest.mark.parametrize("case", CASES, ids=[str(case[0]) for case in CASES])
def test_every_column_may_be_changed(spool: Spool, file: IO[bytes], case: Any) -> None:
    kind, values, *_ = case
    made = column(
        spool, file, pa.array(values, pa.string() if pa.types.is_dictionary(kind) else kind).cast(kind)
    )
    made.iloc[0] = made.iloc[1]
    assert made.iloc[0] == made.iloc[1]


def test_no_row_at_all_keeps_its_columns(spool: Spool, file: IO[bytes]) -> None:
    schema = pa.schema([("n", pa.int64()), ("s", pa.string()), ("t", pa.timestamp("s"))])
    made = frame(file, spool.keep(schema.empty_table()))
    assert made.dtypes.astype(str).to_dict() == {"n": "int64", "s": "str", "t": "datetime64[s]"}


def test_repeated_names_stay_apart(spool: Spool, file: IO[bytes]) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"])
    made = frame(file, spool.keep(table))
    assert list(made.columns) == ["a", "a"]
    assert made.iloc[0].tolist() == [1, "x"]


@pytest.mark.parametrize("values", [[1, 2, 3], [1.5, 2.5, None], [1, None, 3]])
def test_numbers_are_not_copied_and_may_be_changed(spool: Spool, file: IO[bytes], values: list[Any]) -> None:
    stored = spool.keep(pa.table({"a": values}))
    made = frame(file, stored)
    block = made["a"].array._data if values[1] is None and values[2] == 3 else made["a"].to_numpy()
    assert block.base is not None
    made.loc[0, "a"] = 9
    assert made["a"].iloc[0] == 9
    assert frame(file, stored)["a"].iloc[0] == values[0]  # the file is as it was


def test_missing_integers_have_the_bytes_that_pandas_gives_them(spool: Spool, file: IO[bytes]) -> None:
    array = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([5, 77], "i8"))]
    )
    assert (
        column(spool, file, array).array._data.tolist() == pd.array([5, None]).astype("Int64")._data.tolist()
    )


# --- what pandas wrote --------------------------------------------------------------------------------


def test_a_frame_that_pandas_wrote_comes_back_as_it_was() -> None:
    wrote = pd.DataFrame(
        {"n": pd.array([1, None], dtype="Int64"), "b": pd.array([None, True], dtype="boolean")},
        index=pd.Index(["x", "y"], name="id"),
    )
    made = dataframes.as_written(pa.Table.from_pandas(wrote))
    pd.testing.assert_frame_equal(made, wrote)


def test_an_arrow_table_that_pandas_did_not_write_stays_one() -> None:
    table = pa.table({"l": [[1], [2]]})
    assert dataframes.as_written(table) is table


@pytest.mark.parametrize(
    "metadata",
    [
        b"\xff",
        b"[]",
        b"{}",
        b'{"index_columns": ["absent"], "columns": [], "column_indexes": []}',
        b'{"index_columns": [], "columns": [{"numpy_type": "x"}], "column_indexes": []}',
        b'{"index_columns": [], "columns": 7, "column_indexes": []}',
        b'{"index_columns":[{"kind":"range","start":0,"stop":9,"step":0}],"columns":[],"column_indexes":[]}',
        b'{"index_columns":[{"kind":"range","start":0,"stop":1e99,"step":1}],"columns":[],"column_indexes":[]}',
    ],
)
def test_what_cannot_be_from_pandas_is_no_crash(metadata: bytes) -> None:
    table = pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": metadata})
    try:
        made = dataframes.as_written(table)
    except DamagedFileError:
        return
    assert made["a"].to_numpy().tolist() == [1, 2]


# --- the spool ----------------------------------------------------------------------------------------


def test_rows_come_in_batches_and_columns_from_elsewhere(spool: Spool, file: IO[bytes]) -> None:
    with spool.segment(pa.schema([("a", pa.string()), ("b", pa.string())])) as segment:
        for _ in range(3):
            segment.write(pa.record_batch({"a": ["x"], "b": ["1"]}))
    typed = Stored.side_by_side([segment.stored.select([0]), spool.keep_column("b", pa.array([1, 1, 1]))])
    table = Mapping(file.fileno()).table(typed)
    assert table.to_pydict() == {"a": ["x"] * 3, "b": [1] * 3}


def test_the_metadata_of_the_schema_comes_along(spool: Spool, file: IO[bytes]) -> None:
    table = pa.table({"a": [1]}).replace_schema_metadata({"k": "v"})
    stored = spool.keep(table)
    assert Mapping(file.fileno()).table(stored).schema.metadata == {b"k": b"v"}


def test_one_segment_is_written_at_a_time(spool: Spool) -> None:
    schema = pa.schema([("a", pa.int64())])
    with spool.segment(schema), pytest.raises(ValueError, match="still written"), spool.segment(schema):
        pass


def test_a_segment_that_failed_is_no_table_but_the_next_one_is(spool: Spool, file: IO[bytes]) -> None:
    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(RuntimeError, match="reader"), spool.segment(schema) as segment:
        raise RuntimeError("the reader gave up")
    with pytest.raises(ValueError, match="still written"):
        _ = segment.stored
    stored = spool.keep(pa.table({"a": [1]}))
    assert Mapping(file.fileno()).table(stored).to_pydict() == {"a": [1]}


def test_tables_of_different_lengths_do_not_stand_side_by_side(spool: Spool) -> None:
    parts = [spool.keep(pa.table({"a": [1]})), spool.keep(pa.table({"b": [1, 2]}))]
    with pytest.raises(ValueError, match="different lengths"):
        Stored.side_by_side(parts)


@pytest.mark.parametrize(
    "wrong",
    [
        Stored(3, (Place(0, 10**9, 0),)),
        Stored(3, (Place(10**9, 64, 0),)),
        Stored(3, (Place(0, 0, 0),)),
        Stored(3, (Place(8, 64, 0),)),
        Stored(3, (Place(0, 16, 0),)),
        Stored(3, (Place(2**62, 2**62, 0),)),
    ],
)
def test_places_that_are_none_are_refused(spool: Spool, file: IO[bytes], wrong: Stored) -> None:
    spool.keep(pa.table({"a": [1, 2, 3]}))
    with pytest.raises(InvalidInputError):
        Mapping(file.fileno()).table(wrong)


def test_a_table_of_another_shape_is_refused(spool: Spool, file: IO[bytes]) -> None:
    (place,) = spool.keep(pa.table({"a": [1, 2, 3]})).columns
    for wrong in (Stored(4, (place,)), Stored(3, (Place(place.offset, place.length, 1),))):
        with pytest.raises(InvalidInputError, match="another shape"):
            Mapping(file.fileno()).table(wrong)


def test_an_empty_file_is_no_spool(file: IO[bytes]) -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        Mapping(file.fileno())

"""Parquet, Arrow and Feather files come as they are: types, index and all; or are refused with the reason."""

from __future__ import annotations

import datetime
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, ipc, parquet

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    PasswordProtectedError,
    UnknownColumnError,
    UnreadableFileError,
    WrongTypeError,
)

from .reading import look, parse, read, smaller

TABLE = pa.table(
    {
        "i": pa.array([1, None, 9007199254740993]),
        "u": pa.array([1, 2, (1 << 64) - 1], pa.uint64()),
        "x": [0.1, None, float("nan")],
        "b": [True, None, False],
        "t": ["01", None, "é😀"],
        "d": [datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)],
        "ts": pa.array([1, None, 3], pa.timestamp("ns", "Europe/Berlin")),
        "c": pa.array(["x", None, "x"]).dictionary_encode(),
        "m": [Decimal("1.10"), None, Decimal("2.00")],
        "l": [[1, 2], None, []],
        "s": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}],
        "y": [b"\0\xff", None, b""],
    }
)
TYPES = [
    "integer", "integer", "number", "boolean", "text", "date", "datetime", "category", "decimal128", "list",
    "struct", "binary",
]  # fmt: skip


def arrow_file(path: Path, table: pa.Table = TABLE, **options: Any) -> Path:
    with ipc.new_file(path, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return path


def arrow_stream(path: Path, table: pa.Table = TABLE, **options: Any) -> Path:
    with ipc.new_stream(path, table.schema, options=ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return path


def parquet_file(path: Path, table: pa.Table = TABLE, **options: Any) -> Path:
    parquet.write_table(table, path, **options)
    return path


# --- as it is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda path: arrow_file(path / "a.arrow"),
        lambda path: arrow_file(path / "a.feather", compression="zstd"),
        lambda path: arrow_stream(path / "a.arrows"),
        lambda path: arrow_stream(path / "a.arrow", compression="lz4"),
        lambda path: parquet_file(path / "a.parquet"),
        lambda path: parquet_file(path / "a.parquet", row_group_size=1, compression="zstd"),
    ],
    ids=["file", "feather", "stream", "lz4", "parquet", "groups"],
)
def test_values_and_types_are_those_of_the_file(tmp_path: Path, write: Any) -> None:
    table = read(write(tmp_path))
    assert table.typed.cast(TABLE.schema).drop_columns("x").equals(TABLE.drop_columns("x"))
    assert str(table["x"]) == str(TABLE["x"].to_pylist())
    assert [report.type for report in table.reports] == TYPES
    assert table.reason("u") == "the file says uint64"
    assert table.text is None


def test_numbers_of_many_row_groups_are_in_one_piece(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", pa.table({"a": range(1000)}), row_group_size=10)
    assert read(path).typed["a"].num_chunks == 1


def test_what_pandas_has_noted_goes_along(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    frame.to_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet")
    assert table.typed.schema.pandas_metadata["index_columns"] == ["key"]
    assert table.typed.to_pandas().equals(frame)


def test_columns_are_told_by_place_not_by_name(tmp_path: Path) -> None:
    nested = pa.array([{"b": 1}, {"b": 2}])
    arrays = [nested, pa.array([3, 4]), pa.array([5, 6]), pa.array([7, 8])]
    table = pa.Table.from_arrays(arrays, names=["a", "a.b", "x", "x"])
    typed = read(parquet_file(tmp_path / "a.parquet", table)).typed
    assert typed.column_names == ["a", "a.b", "x", "x"]
    assert [column.to_pylist() for column in typed.columns[1:]] == [[3, 4], [5, 6], [7, 8]]


def test_columns_of_one_name_are_told(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    parsed, _ = parse(parquet_file(tmp_path / "a.parquet", table))
    assert parsed.notes == ("There are columns of the same name: 'x'.",)


def test_a_table_without_rows_has_its_types(tmp_path: Path) -> None:
    for path in (
        parquet_file(tmp_path / "a.parquet", TABLE.slice(0, 0)),
        arrow_file(tmp_path / "a.arrow", TABLE.slice(0, 0)),
    ):
        table = read(path)
        assert table.shape == (0, 12)
        assert table.typed.schema.field("u").type == pa.uint64()
        assert look(path)[0].first == ()


def test_a_preview_has_five_rows_as_text(tmp_path: Path) -> None:
    table = pa.table({"a": range(9), "l": [[n] * 99 for n in range(9)]})
    for path in (parquet_file(tmp_path / "a.parquet", table), arrow_stream(tmp_path / "a.arrow", table)):
        (preview,) = look(path)
        assert (preview.rows, preview.columns, preview.header) == (9, 2, ("a", "l"))
        assert [row[0] for row in preview.first] == ["0", "1", "2", "3", "4"]
        assert len(preview.first[0][1] or "") == 60


def test_instants_that_python_has_not_are_read(tmp_path: Path) -> None:
    far = pa.table({"a": pa.array([1 << 60], pa.timestamp("us"))})  # in the year 38505
    path = parquet_file(tmp_path / "a.parquet", far)
    assert look(path)[0].first == (("(datetime)",),)
    assert read(path).shape == (1, 1)


# --- types that are asked for -------------------------------------------------------------------------


def test_a_type_that_is_asked_for_is_given(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", pa.table({"a": ["1", "2"], "b": [1, 2]}))
    table = read(path, types={"a": "integer", "b": "text"})
    assert (table["a"], table["b"]) == ([1, 2], ["1", "2"])
    assert all(report.overridden for report in table.reports)


def test_a_type_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", pa.table({"a": ["one"], "l": [[1]]}))
    with pytest.raises(WrongTypeError):
        read(path, types={"a": "integer"})
    with pytest.raises(UnreadableFileError, match="'l'"):
        read(path, types={"l": "text"})
    with pytest.raises(UnknownColumnError, match="'b'"):
        read(path, types={"b": "text"})


# --- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    write = {"parquet": parquet_file, "arrow": arrow_file, "arrows": arrow_stream}[suffix]
    path = write(tmp_path / f"a.{suffix}", pa.table({"a": range(1000)}))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DamagedFileError, match="cut short"):
        read(path)


@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"rows": 99}, "100 rows and 2 columns"),
        ({"columns": 1}, "100 rows and 2 columns"),
        ({"cells": 150}, "100 rows and 2 columns"),
        ({"inflated_bytes": 500}, "once it is unpacked"),
        ({"field_bytes": 9}, "'t' has 10 bytes"),
    ],
)
def test_limits_are_kept(tmp_path: Path, limits: dict[str, int], match: str) -> None:
    table = pa.table({"a": range(100), "t": ["x" * 10] * 100})
    for path in (parquet_file(tmp_path / "a.parquet", table), arrow_file(tmp_path / "a.arrow", table)):
        with pytest.raises(FileTooLargeError, match=match):
            read(path, limits=smaller(**limits))


def test_a_file_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyFileError, match="no columns"):
        read(arrow_file(tmp_path / "a.arrow", pa.table({})))


def test_an_encrypted_file_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100) + b"PARE")
    with pytest.raises(PasswordProtectedError):
        read(tmp_path / "a.parquet")


def test_offsets_beyond_the_text_are_refused(tmp_path: Path) -> None:
    path = arrow_file(tmp_path / "a.arrow", pa.table({"a": ["x" * 777, "x" * 12]}))
    whole = path.read_bytes()
    offsets = b"".join(offset.to_bytes(4, "little") for offset in (0, 777, 789))
    assert whole.count(offsets) == 1
    path.write_bytes(whole.replace(offsets, offsets[:8] + (1 << 30).to_bytes(4, "little")))
    with pytest.raises(DamagedFileError):
        read(path)


def test_text_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    wrong = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    path = arrow_stream(tmp_path / "a.arrows", pa.Table.from_arrays([wrong], names=["a"]))
    with pytest.raises(DamagedFileError):
        read(path)


def test_indices_beyond_the_dictionary_are_refused(tmp_path: Path) -> None:
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 9]), pa.array(["x"]), safe=False)
    path = arrow_file(tmp_path / "a.arrow", pa.Table.from_arrays([wrong], names=["a"]))
    with pytest.raises(DamagedFileError):
        read(path)


def test_an_error_does_not_quote_values(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", pa.table({"a": ["secret", "1"]}))
    with pytest.raises(WrongTypeError) as refused:
        read(path, types={"a": "number"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
def test_a_damaged_byte_gives_a_table_or_a_clear_error(tmp_path: Path, suffix: str) -> None:
    write = {"parquet": parquet_file, "arrow": arrow_file, "arrows": arrow_stream}[suffix]
    path = write(tmp_path / f"a.{suffix}", TABLE.select(["i", "t", "c"]))
    whole = path.read_bytes()
    chance = random.Random(suffix)
    outcomes = set()
    for _ in range(150):
        told = bytearray(whole)
        told[chance.randrange(len(told))] = chance.randrange(256)
        path.write_bytes(told)
        try:
            read(path)
            outcomes.add("read")
        except UnreadableFileError as error:
            outcomes.add(type(error).__name__)
    assert "DamagedFileError" in outcomes


def test_feather_of_the_first_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.feather"
    with pytest.warns(DeprecationWarning, match="Feather V1"):
        feather.write_feather(pd.DataFrame({"a": [1, 2], "t": ["x", None]}), path, version=1)
    assert read(path).typed.to_pydict() == {"a": [1, 2], "t": ["x", None]}

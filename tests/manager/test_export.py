"""Files of a session's frame: of one state, whatever happens to the session meanwhile."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet
from python_calamine import CalamineWorkbook

from framekeep.config import Settings
from framekeep.errors import (
    InvalidInputError,
    SessionNotFoundError,
    UnknownColumnError,
    UnsupportedTypeError,
    VersionNotFoundError,
)
from framekeep.exporting import FORMATS, ExportOptions, format_accepted, format_named, format_of
from framekeep.manager import DataManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[DataManager]:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as made:
        yield made


def frame(rows: int = 4) -> pd.DataFrame:
    return pd.DataFrame({"n": range(rows), "t": [f"row {i}" for i in range(rows)]})


def rows_of(data: bytes, name: str) -> list[list[Any]]:
    """Return the rows of columns "n" and "t" that a file holds."""
    if name == "json":
        return [list(row) for row in json.loads(data)["rows"]]
    if name == "jsonl":
        return [[row["n"], row["t"]] for row in map(json.loads, data.splitlines())]
    if name in ("csv", "tsv"):
        rows = csv.reader(io.StringIO(data.decode(), newline=""), delimiter="\t" if name == "tsv" else ",")
        return [[int(row[0]), row[1]] for row in list(rows)[1:]]
    if name == "xlsx":
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0)
        return [[int(row[0]), row[1]] for row in sheet.to_python()[1:]]
    table = {
        "arrow": lambda: ipc.open_stream(data).read_all(),
        "feather": lambda: ipc.open_file(data).read_all(),
        "parquet": lambda: parquet.ParquetFile(io.BytesIO(data)).read(),
    }[name]()
    return [[row["n"], row["t"]] for row in table.to_pylist()]


EXPECTED = [[i, f"row {i}"] for i in range(4)]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_frame(manager: DataManager, name: str) -> None:
    session = manager.create_session(frame())
    revision, file = manager.export(session, name)
    assert revision == manager.revision(session)
    assert (file.rows, file.columns, file.format.name) == (4, 2, name)
    assert rows_of(b"".join(file), name) == EXPECTED


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_a_part_of_the_frame(manager: DataManager, name: str) -> None:
    session = manager.create_session(frame(100_000).assign(x=1.5))
    _, file = manager.export(session, name, offset=65_534, limit=4, columns=["n", "t"])
    assert file.rows == 4
    assert rows_of(b"".join(file), name) == [[i, f"row {i}"] for i in range(65_534, 65_538)]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_a_version(manager: DataManager, name: str) -> None:
    session = manager.create_session(frame())
    manager.commit_dataframe(session, frame(9), "grow")
    _, file = manager.export(session, name, version=1)
    assert rows_of(b"".join(file), name) == EXPECTED


@pytest.mark.parametrize("name", FORMATS)
def test_what_happens_to_the_session_meanwhile_does_not_show(manager: DataManager, name: str) -> None:
    session = manager.create_session(frame(50_000))
    _, file = manager.export(session, name)
    first = next(file)
    manager.update_dataframe(session, frame(1))
    manager.delete_session(session)
    assert rows_of(first + b"".join(file), name) == [[i, f"row {i}"] for i in range(50_000)]


def test_a_file_holds_nothing_of_the_store(manager: DataManager) -> None:
    session = manager.create_session(frame(50_000))
    _, file = manager.export(session, "csv")
    manager.close()
    assert len(rows_of(b"".join(file), "csv")) == 50_000


def test_the_json_of_a_frame_is_its_page(manager: DataManager) -> None:
    session = manager.create_session(frame().set_index("t"))
    for orient in ("rows", "records"):
        _, file = manager.export(session, "json", options=ExportOptions(orient=orient))
        assert b"".join(file) == manager.get_page_json(session, 0, 4, orient=orient)[1]


def test_formulas_are_neutralized_when_asked(manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame({"a": ["=1"]}))
    _, file = manager.export(session, "csv", options=ExportOptions(neutralize_formulas=True))
    assert b"".join(file) == b'"a"\n"\'=1"\n'


# --- refused before anything is written -----------------------------------------------------------

MIXED = pd.DataFrame({"fine": [1, 2], "odd": pd.Series([1, "x"], dtype=object)})
NO_UNICODE = pd.DataFrame({"fine": [1, 2], "odd": pd.Series(["a", "\ud800"], dtype=object)})


@pytest.mark.parametrize("name", ["arrow", "feather", "parquet"])
def test_cells_that_arrow_has_no_type_for_are_refused_at_once(manager: DataManager, name: str) -> None:
    session = manager.create_session(MIXED)
    with pytest.raises(UnsupportedTypeError, match=r"column 'odd' .* JSON"):
        manager.export(session, name)
    assert manager.export(session, name, columns=["fine"])[1].columns == 1


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("json", "jsonl")])
def test_text_that_is_no_unicode_is_refused_at_once(manager: DataManager, name: str) -> None:
    session = manager.create_session(NO_UNICODE)
    with pytest.raises(UnsupportedTypeError, match=r"column 'odd'"):
        manager.export(session, name)


def test_json_takes_what_the_others_refuse(manager: DataManager) -> None:
    for odd in (MIXED, NO_UNICODE):
        session = manager.create_session(odd)
        for name in ("json", "jsonl"):
            assert json.loads(b"".join(manager.export(session, name)[1]).splitlines()[0])


def test_what_does_not_fit_a_sheet_is_refused_at_once(manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame({"a": np.zeros(1_048_576, dtype="i1")}))
    with pytest.raises(InvalidInputError, match="1,048,576 rows"):
        manager.export(session, "xlsx")
    assert manager.export(session, "xlsx", limit=10)[1].rows == 10


def test_what_is_not_there_is_said_at_once(manager: DataManager) -> None:
    session = manager.create_session(frame())
    with pytest.raises(SessionNotFoundError):
        manager.export("unknown", "csv")
    with pytest.raises(VersionNotFoundError):
        manager.export(session, "csv", version=4)
    with pytest.raises(UnknownColumnError):
        manager.export(session, "csv", columns=["gone"])
    with pytest.raises(InvalidInputError, match="use json, jsonl, csv"):
        manager.export(session, "pickle")
    with pytest.raises(InvalidInputError, match="offset"):
        manager.export(session, "csv", offset=-1)
    with pytest.raises(InvalidInputError, match="orient"):
        manager.export(session, "json", options=ExportOptions(orient="columns"))


# --- the formats' names ---------------------------------------------------------------------------


def test_formats_are_found_by_name_suffix_and_media_type() -> None:
    for each in FORMATS.values():
        assert format_named(each.name.upper()) is each
        assert format_accepted(each.media_type) is format_accepted(each.bare_type.upper()) is each
        assert all(format_of(f"Some.Data{suffix.upper()}") is each for suffix in each.suffixes)
    suffixes = [suffix for each in FORMATS.values() for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert len({each.bare_type for each in FORMATS.values()}) == len(FORMATS)


def test_what_is_no_format_is_refused_or_nothing() -> None:
    assert format_accepted("text/html") is None
    with pytest.raises(InvalidInputError, match=r"the format \.xls is not supported"):
        format_of("old.xls")
    with pytest.raises(InvalidInputError, match="without suffix"):
        format_of("data")
    with pytest.raises(InvalidInputError, match="no format"):
        format_named("html")


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["feather", "parquet"])
def test_a_table_of_arrow_comes_back_as_it_was(manager: DataManager, name: str) -> None:
    table = pa.table({"i": pa.array([2**60, None]), "l": [[1], None], "s": ["a", None]})
    session = manager.create_session(table)  # type: ignore[arg-type]
    data = b"".join(manager.export(session, name)[1])
    source = pa.BufferReader(data)
    back = (parquet.ParquetFile(source).read if name == "parquet" else ipc.open_file(source).read_all)()
    assert back.to_pylist() == table.to_pylist()
    assert back.schema.types == table.schema.types

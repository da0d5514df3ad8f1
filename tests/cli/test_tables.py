"""Files are read without losing anything, or refused with the next step."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest

from framekeep.cli import tables
from framekeep.cli.tables import CsvOptions, UnusableFileError


def no_step(done: float, what: str) -> None:
    """Ignore the progress."""


def read(path: Path, **options: object) -> tables.Loaded:
    return tables.read(path, CsvOptions(**options), no_step)  # type: ignore[arg-type]


@pytest.fixture
def csv(tmp_path: Path):
    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_only_an_empty_cell_without_quotes_has_no_value(csv) -> None:
    frame = read(csv('a,b\n"",\nNA,x\n')).frame
    assert frame["a"].tolist() == ["", "NA"]
    assert frame["b"].isna().tolist() == [True, False]


def test_words_that_mean_missing_are_named_by_the_caller(csv) -> None:
    frame = read(csv("a\n1\nNA\n.\n"), missing=("NA", ".")).frame
    assert frame["a"].tolist() == [1, pd.NA, pd.NA]


def test_a_single_column_keeps_its_empty_lines(csv) -> None:
    assert read(csv("a\n1\n\n2\n")).frame["a"].tolist() == [1, pd.NA, 2]


def test_line_breaks_and_delimiters_inside_quotes_are_kept(csv) -> None:
    assert read(csv('a,b\n"x\ny","1,2"\n')).frame.iloc[0].tolist() == ["x\ny", "1,2"]


def test_repeated_column_names_are_kept(csv) -> None:
    frame = read(csv("a,a\n1,x\n")).frame
    assert list(frame.columns) == ["a", "a"]
    assert frame.iloc[0].tolist() == [1, "x"]


def test_a_header_alone_is_a_table_without_rows(csv) -> None:
    assert read(csv("a,b\n")).frame.shape == (0, 2)


def test_a_byte_order_mark_is_no_part_of_the_first_name(csv) -> None:
    assert list(read(csv(b"\xef\xbb\xbfa,b\n1,2\n")).frame.columns) == ["a", "b"]


def test_tabs_separate_tsv(csv) -> None:
    assert read(csv("a\tb\n1\t2\n", "t.tsv")).frame.shape == (1, 2)


def test_gzip_is_unpacked(csv) -> None:
    assert read(csv(gzip.compress(b"a,b\n1,2\n"), "t.csv.gz")).frame.shape == (1, 2)


def test_another_encoding_can_be_named(csv) -> None:
    assert read(csv("name\nZoë\n".encode("latin-1")), encoding="latin-1").frame["name"].tolist() == ["Zoë"]


def test_utf_16_is_read_when_named(csv) -> None:
    assert read(csv("a,b\nZoë,2\n".encode("utf-16")), encoding="utf-16").frame.iloc[0].tolist() == ["Zoë", 2]


def test_an_encoding_nobody_knows_is_refused(csv) -> None:
    with pytest.raises(UnusableFileError, match="no encoding 'klingon'"):
        read(csv("a\n1\n"), encoding="klingon")


def test_notes_name_the_columns_that_stayed_text(csv) -> None:
    assert read(csv("zip,n\n00501,1\n")).notes == ("zip: kept as text, leading zeros",)


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("", "t.csv", "is empty"),
        ("a;b\n1;2\n", "t.csv", "--delimiter ';'"),
        ("a,b\n1,2\n3\n", "t.csv", "Row #3: Expected 2 columns, got 1"),
        (b"a\n\xff\n", "t.csv", "--encoding latin-1"),
        (b"\xff\n1\n", "t.csv", "--encoding latin-1"),
        ("a\n1\n".encode("utf-16"), "t.csv", "--encoding utf-16"),
        ("a\n1\n".encode("utf-32"), "t.csv", "--encoding utf-32"),
        ("x", "t.parquet", "not a table that can be read"),
        ("x", "t.arrow", "not a table that can be read"),
        ("x", "t.xlsx", "Save the sheet as CSV first"),
        ("x", "t.pkl", "can run any code"),
        ("x", "table", "a name without suffix is not supported"),
    ],
)
def test_refuses_what_it_cannot_read_and_says_what_to_do(csv, content, name: str, says: str) -> None:
    with pytest.raises(UnusableFileError, match=r".") as refusal:
        read(csv(content, name))
    assert says in str(refusal.value)


def test_a_refusal_quotes_no_cells(csv) -> None:
    with pytest.raises(UnusableFileError) as refusal:
        read(csv("a,b\n1,2\nsecret\n"))
    assert "secret" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match=r"There is no file .*gone\.csv"):
        read(tmp_path / "gone.csv")


def test_a_directory_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(UnusableFileError, match="cannot be read"):
        read(tmp_path / "d.csv")


def test_parquet_that_pandas_wrote_comes_back_with_its_index_and_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Categorical(["x", "y"])}, index=pd.Index([5, 7], name="row"))
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "t.parquet").frame, frame)


def test_parquet_that_something_else_wrote_stays_arrow(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([2**60 + 1, None])})
    parquet.write_table(table, tmp_path / "t.parquet")
    found = read(tmp_path / "t.parquet").frame
    assert isinstance(found, pa.Table)
    assert found.equals(table)


def test_integers_with_missing_values_do_not_become_floats(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    table = pa.Table.from_pandas(frame).set_column(0, "a", pa.array([2**60 + 1, None]))
    feather.write_feather(table, tmp_path / "t.feather")
    assert read(tmp_path / "t.feather").frame["a"].tolist() == [2**60 + 1, pd.NA]


def test_arrow_streams_are_read_too(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    assert read(tmp_path / "t.arrow").frame.equals(table)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    table = pa.table({"i": [1, 2], "f": [0.5, None], "s": ["", None], "t": ["00501", 'a,"b"\n']})
    tables.write(table, tmp_path / name)
    found = read(tmp_path / name).frame
    back = found if isinstance(found, pa.Table) else pa.Table.from_pandas(found, preserve_index=False)
    assert back.to_pylist() == table.to_pylist()


def test_a_missing_float_is_an_empty_cell_in_csv(tmp_path: Path) -> None:
    tables.write(pa.table({"f": [np.nan, 1.5], "g": [1.5, 2.5]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == [",1.5", "1.5,2.5"]


def test_categories_are_written_to_csv_as_their_values(tmp_path: Path) -> None:
    tables.write(pa.table({"c": pa.array(["x", "y", "x"]).dictionary_encode()}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == '"c"\n"x"\n"y"\n"x"\n'


def test_what_csv_cannot_hold_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match=r"Try \.parquet or \.arrow"):
        tables.write(pa.table({"l": [[1], [2]]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_exists_is_refused_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    target.touch()
    with pytest.raises(UnusableFileError, match="--force"):
        tables.check_target(target, force=False)
    tables.check_target(target, force=True)


@pytest.mark.parametrize(("name", "says"), [("t.xlsx", "Writable are"), ("nowhere/t.csv", "no directory")])
def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(UnusableFileError, match=says):
        tables.check_target(tmp_path / name, force=False)

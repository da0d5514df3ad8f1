"""Tables are written whole or not at all, or refused with the next step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from framekeep.cli import tables
from framekeep.cli.tables import UnusableFileError
from framekeep.importing import Importer


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    table = pa.table({"i": [1, 2], "f": [0.5, None], "s": ["", None], "t": ["00501", 'a,"b"\n']})
    tables.write(table, tmp_path / name)
    with Importer(scratch=tmp_path) as importer, importer.read(tmp_path / name, name) as file:
        found = file.tables[0].frame
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

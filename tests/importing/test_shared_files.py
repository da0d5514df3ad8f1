"""Real files of other projects, all the way: read in a child, put into a session, and got back; or refused.

What is expected of each is in the manifest that comes with them. Shapes of workbooks are compared in
test_workbook_shared.py, where the manifest counts otherwise than a table does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, Settings
from framekeep.errors import UnreadableFileError
from framekeep.importing import ImportedFile, Importer, ImportOptions, Inspection
from framekeep.importing.model import WORKBOOK_FORMATS
from framekeep.testing.identical import assert_identical

SHARED = Path(__file__).parents[3] / "shared" / "files"
MANIFEST = SHARED / "MANIFEST.json"
FILES: list[dict[str, Any]] = json.loads(MANIFEST.read_text())["files"] if MANIFEST.exists() else []
OTHERWISE = {
    # Its rows are separated by ';' (the years of a table); the manifest counts the commas of its title.
    "messytables/weird_head_padding.csv": (84, 10),
}
pytestmark = pytest.mark.skipif(not FILES, reason=f"there are no files in {SHARED}")


def expected(start: str) -> Any:
    """Return the files of which this is expected, as parameters."""
    return pytest.mark.parametrize(
        "item", [pytest.param(f, id=f["file"]) for f in FILES if f["expected"].startswith(start)]
    )


@pytest.fixture(scope="module")
def importer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Importer]:
    with Importer(scratch=tmp_path_factory.mktemp("scratch")) as made:
        yield made


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataManager]:
    with DataManager(Settings(storage_dir=tmp_path_factory.mktemp("store"))) as made:
        yield made


def read(importer: Importer, item: dict[str, Any]) -> ImportedFile:
    """Read a file as a user does who takes every sheet, with the manifest's hints."""
    path = SHARED / item["file"]
    options = ImportOptions(**item.get("hints", {}))
    opened = importer.open(path, path.name, options)
    if isinstance(opened, Inspection):
        filled = tuple(table.name for table in opened.tables if not table.empty)
        opened = importer.read(path, path.name, ImportOptions(sheets=filled))
    return opened


def check_kept(manager: DataManager, file: ImportedFile) -> None:
    """Put every table into a session, as text and with its types, and compare what comes back."""
    for table in file.tables:
        for frame in (table.text, table.frame):
            if frame is None:
                continue
            assert len(table.columns) == len(frame.columns) or file.format in ("parquet", "arrow")
            session = manager.create_session(frame, "shared")
            back = manager.get_dataframe(session)
            given = frame if isinstance(frame, pd.DataFrame) else frame.to_pandas(types_mapper=pd.ArrowDtype)
            assert_identical(back, given)
            manager.delete_session(session)


def refused_clearly(error: UnreadableFileError, item: dict[str, Any]) -> None:
    assert str(SHARED) not in str(error)
    assert "\n" not in str(error)
    assert str(error).endswith(".")
    assert "its reader failed" not in str(error)


@expected("loads")
def test_what_is_expected_to_load_is_kept_whole(
    importer: Importer, manager: DataManager, item: dict[str, Any]
) -> None:
    with read(importer, item) as file:
        check_kept(manager, file)
        reference = item["reference"]
        if file.format not in WORKBOOK_FORMATS and "rows" in reference:
            (table,) = file.tables
            shape = OTHERWISE.get(item["file"], (reference["rows"], reference["cols"]))
            assert (table.rows, len(table.columns)) == shape


@expected("must be refused")
def test_what_must_be_refused_is_with_a_reason(importer: Importer, item: dict[str, Any]) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read(importer, item)
    refused_clearly(caught.value, item)


@expected("either")
def test_what_may_load_is_kept_whole_or_refused_with_a_reason(
    importer: Importer, manager: DataManager, item: dict[str, Any]
) -> None:
    before = importer.process_id
    try:
        file = read(importer, item)
    except UnreadableFileError as error:
        refused_clearly(error, item)
    else:
        with file:
            check_kept(manager, file)
    assert before in (None, importer.process_id)

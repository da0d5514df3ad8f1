"""Text and JSON from other projects' tests: read to the shape that is expected, cell by cell, or refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from framekeep.errors import UnreadableFileError
from framekeep.importing.model import JSON_FORMATS, TEXT_FORMATS

from .reading import look, parse

SHARED = Path(__file__).parents[3] / "shared" / "files"
MANIFEST = SHARED / "MANIFEST.json"
KINDS = ("csv", "tsv", "txt", "none", "json", "zip", "csv.gz", "tar", "tar.gz", "orc")
FILES: list[dict[str, Any]] = (
    [item for item in json.loads(MANIFEST.read_text())["files"] if item["kind"] in KINDS]
    if MANIFEST.exists()
    else []
)
pytestmark = pytest.mark.skipif(not FILES, reason=f"there are no files in {SHARED}")

# Where we disagree with the reference reader.
OTHERWISE = {
    # It is separated by commas; the tab that the reader was told to use is not in it.
    "messytables/utf-16le_encoded.csv": (327, 19),
    # It is separated by semicolons; the commas are those of a sentence in the title above the table.
    "messytables/weird_head_padding.csv": (84, 10),
}


def expected(start: str) -> Any:
    """Return the files of which this is expected, as parameters."""
    return pytest.mark.parametrize(
        "item", [pytest.param(f, id=f["file"]) for f in FILES if f["expected"].startswith(start)]
    )


@expected("loads")
def test_what_is_expected_to_load_does(item: dict[str, Any]) -> None:
    path = SHARED / item["file"]
    reference = item["reference"]
    (table,) = parse(path)[1]
    (preview,) = look(path)
    assert table.shape == OTHERWISE.get(item["file"], (reference["rows"], reference["cols"]))
    assert preview.columns == table.shape[1]
    assert preview.rows in (None, table.shape[0])


@expected("loads")
def test_what_loads_has_the_cells_that_the_csv_module_finds(item: dict[str, Any]) -> None:
    path = SHARED / item["file"]
    parsed, (table,) = parse(path, typing=False)
    if item["reference"]["ragged"] or item["file"] in OTHERWISE or "Quotes" in " ".join(table.notes):
        pytest.skip("the csv module reads other cells")
    encoding = "utf-8-sig" if parsed.encoding == "utf-8" else parsed.encoding
    with path.open(encoding=encoding, newline="") as file:
        rows = csv.reader(file, delimiter=parsed.delimiter or ",")
        _, *cells = (row or [""] for row in rows if row or table.shape[1] == 1)
    found = zip(*(column.to_pylist() for column in table.typed.columns), strict=True)
    assert [[cell or "" for cell in row] for row in found] == cells


@expected("must be refused")
def test_what_must_be_refused_is(item: dict[str, Any]) -> None:
    with pytest.raises(UnreadableFileError):
        parse(SHARED / item["file"])


@expected("either")
def test_the_others_load_whole_or_are_refused(item: dict[str, Any]) -> None:
    reference = item["reference"]
    try:
        parsed, (table,) = parse(SHARED / item["file"])
    except UnreadableFileError:
        return
    assert parsed.format in (*TEXT_FORMATS, *JSON_FORMATS)
    if "rows" in reference:
        assert table.shape[0] == reference["rows"]
        assert table.shape[1] >= reference["cols"]
    if "not_utf8" in reference or reference.get("encoding") in ("big5", "euc_jp"):
        assert "was read as" in parsed.notes[0]

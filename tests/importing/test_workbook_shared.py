"""Workbooks and files of columns from other projects' tests: read to the shape that is expected, or refused.

A table begins at its first cell, so the shape is that of the cells that the reference reader has found (its
``grid``), less the header. Its ``frame`` counts blank rows and columns before that, too, and takes the first
of those rows for the header.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from framekeep.errors import EmptyFileError, PasswordProtectedError, UnreadableFileError
from framekeep.importing.model import COLUMNAR_FORMATS, STATISTICS_FORMATS, WORKBOOK_FORMATS

from .reading import look, parse

SHARED = Path(__file__).parents[3] / "shared" / "files"
MANIFEST = SHARED / "MANIFEST.json"
KINDS = (*WORKBOOK_FORMATS, *COLUMNAR_FORMATS, *STATISTICS_FORMATS)
FILES: list[dict[str, Any]] = (
    [item for item in json.loads(MANIFEST.read_text())["files"] if item["kind"] in KINDS]
    if MANIFEST.exists()
    else []
)
pytestmark = pytest.mark.skipif(not FILES, reason=f"there are no files in {SHARED}")


def expected(start: str) -> Any:
    """Return the files of which this is expected, as parameters."""
    return pytest.mark.parametrize(
        "item", [pytest.param(f, id=f["file"]) for f in FILES if f["expected"].startswith(start)]
    )


def check_sheets(item: dict[str, Any]) -> None:
    """Read every sheet with cells; compare shapes with those of the reference reader and the previews."""
    path = SHARED / item["file"]
    shapes = {
        sheet["name"]: (max(sheet["grid"][0] - 1, 0), sheet["grid"][1])
        for sheet in item["reference"]["sheets"]
        if sheet["grid"] != [0, 0]
    }
    previews = {preview.name: preview for preview in look(path)}
    assert {name for name, preview in previews.items() if not preview.empty} == set(shapes)
    _, tables = parse(path, sheets=tuple(shapes))
    assert {table.name: table.shape for table in tables} == shapes
    assert {name: (previews[name].rows, previews[name].columns) for name in shapes} == shapes


@expected("loads")
def test_what_is_expected_to_load_does(item: dict[str, Any]) -> None:
    if "sheets" in item["reference"]:
        check_sheets(item)
    else:
        (table,) = parse(SHARED / item["file"])[1]
        assert table.shape == (item["reference"]["rows"], item["reference"]["cols"])


@expected("must be refused")
def test_what_must_be_refused_is(item: dict[str, Any]) -> None:
    kind = PasswordProtectedError if item["why"] == "password-protected" else UnreadableFileError
    with pytest.raises(kind):
        parse(SHARED / item["file"])


@expected("either")
def test_the_others_load_whole_or_are_refused(item: dict[str, Any]) -> None:
    path = SHARED / item["file"]
    try:
        (table, *_) = parse(path)[1]
    except UnreadableFileError as error:
        if isinstance(error, EmptyFileError):
            assert all(sheet["grid"] == [0, 0] for sheet in item["reference"]["sheets"])
        return
    if "sheets" in item["reference"]:
        check_sheets(item)
    else:
        assert table.shape[0] > 0

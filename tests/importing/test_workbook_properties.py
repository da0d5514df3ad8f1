"""Whatever values a column has, its table has them."""

from __future__ import annotations

import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import given, settings
from hypothesis import strategies as st

from .reading import Read, one_sheet, read, text_cell

_LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(-(1 << 63), (1 << 63) - 1),
    "number": st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda x: abs(x) < 1 << 53 and x != int(x)
    ),
    "text": st.text(_LETTERS, min_size=1, max_size=30).filter(lambda text: not text.startswith("=")),
    "boolean": st.booleans(),
    "date": st.dates(datetime.date(1900, 3, 1)),
}


def cell_xml(reference: str, cell: Any) -> str:
    """Return a cell as a program may write it that loses nothing."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        text = escape(cell)
        return f'<c r="{reference}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    if isinstance(cell, bool):
        return f'<c r="{reference}" t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, datetime.date):
        return f'<c r="{reference}" s="1"><v>{(cell - datetime.date(1899, 12, 30)).days}</v></c>'
    return f'<c r="{reference}"><v>{cell!r}</v></c>'


def table_of(cells: list[Any]) -> Read:
    """Write one column, and beside it one of numbers, so that no row is at the end without a value."""
    rows = [f'<row r="1">{text_cell("A1", "a")}{text_cell("B1", "b")}</row>']
    for row, cell in enumerate(cells, 2):
        rows.append(f'<row r="{row}">{cell_xml(f"A{row}", cell)}<c r="B{row}"><v>{row}</v></c></row>')
    with TemporaryDirectory() as directory:
        return read(one_sheet(Path(directory, "a.xlsx"), "".join(rows)))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(KINDS)), st.integers(1, 12))
def test_a_column_of_one_kind_is_that_column(data: st.DataObject, kind: str, rows: int) -> None:
    cells = data.draw(st.lists(st.none() | KINDS[kind], min_size=rows, max_size=rows))
    table = table_of(cells)
    assert table["a"] == cells
    assert table.types()["a"] == (kind if any(cell is not None for cell in cells) else "text")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), *KINDS.values()), min_size=1, max_size=12))
def test_a_column_of_several_kinds_tells_its_cells_apart(cells: list[Any]) -> None:
    table = table_of(cells)
    texts = table["a"] if table.text is None else table.texts("a")
    assert [text is None for text in texts] == [cell is None for cell in cells]
    for cell, text in zip(cells, texts, strict=True):
        if isinstance(cell, bool):
            assert text == str(cell).upper()
        elif isinstance(cell, int):
            assert int(text) == cell
        elif isinstance(cell, float):
            assert float(text) == cell
        elif cell is not None:
            assert text == str(cell)

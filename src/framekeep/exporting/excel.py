"""Excel workbooks of one sheet, a row at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

from framekeep.errors import InvalidInputError
from framekeep.exporting.cells import json_text
from framekeep.exporting.columns import json_column
from framekeep.exporting.window import Window

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384


def workbook(window: Window) -> Iterator[bytes]:
    """Return the pieces of a workbook with one sheet.

    Raises:
        InvalidInputError: more rows or columns than a sheet has.
    """
    names, arrays = window.columns()
    if window.rows + 1 > MAX_ROWS or len(names) > MAX_COLUMNS:
        raise InvalidInputError(
            f"An Excel sheet has {MAX_ROWS:,} rows (with the header) and {MAX_COLUMNS:,} columns at most; "
            f"this table has {window.rows:,} and {len(names):,}. Export fewer, or use CSV or Parquet."
        )

    def pieces() -> Iterator[bytes]:
        import xlsxwriter

        with tempfile.TemporaryFile() as file:
            with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
                sheet = book.add_worksheet("Data")
                for j, name in enumerate(names):
                    sheet.write_string(0, j, name)
                for start, stop in window.batches():
                    columns = [json_column(array[start:stop]) for array in arrays]
                    for i, row in enumerate(zip(*columns, strict=True), start + 1):
                        for j, cell in enumerate(row):
                            if isinstance(cell, bool):
                                sheet.write_boolean(i, j, cell)
                            elif isinstance(cell, int | float):
                                if cell == cell and abs(cell) != float("inf"):
                                    sheet.write_number(i, j, cell)
                            elif cell is not None:
                                sheet.write_string(i, j, json_text(cell))
            file.seek(0)
            while piece := file.read(1 << 16):
                yield piece

    return pieces()

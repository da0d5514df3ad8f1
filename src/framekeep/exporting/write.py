"""The way from a format to its writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from framekeep.exporting.delimited import delimited
from framekeep.exporting.documents import document, lines
from framekeep.exporting.media import Format
from framekeep.exporting.options import ExportOptions
from framekeep.exporting.window import Window

if TYPE_CHECKING:
    import pyarrow as pa


def pieces(
    window: Window, format: Format, options: ExportOptions, table: Callable[[], pa.Table]
) -> Iterator[bytes]:
    """Return a table in a format, as pieces of a file.

    What is refused is refused now; iterating only writes.

    Args:
        window: what to write.
        format: in which format.
        options: how.
        table: gives the window as Arrow, for the formats that are.

    Raises:
        UnsupportedTypeError: the format has no word for a column; names it.
        InvalidInputError: the format has no room for the table.
    """
    if format.name == "json":
        return document(window, window.rows, options.orient)
    if format.name == "jsonl":
        return lines(window)
    if format.name in ("csv", "tsv"):
        delimiter = "\t" if format.name == "tsv" else ","
        return delimited(window, delimiter, neutralize_formulas=options.neutralize_formulas)
    if format.name == "xlsx":
        from framekeep.exporting.excel import workbook

        return workbook(window)
    from framekeep.exporting.columnar import columnar

    return columnar(table(), format.name)

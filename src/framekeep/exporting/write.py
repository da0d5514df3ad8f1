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


class Export(Iterator[bytes]):
    """The pieces of a file, in order; each can be had once.

    Attributes:
        format: what the file is.
        rows: how many it holds.
        columns: how many it holds, those of an index not counted.
    """

    def __init__(self, pieces: Iterator[bytes], format: Format, rows: int, columns: int) -> None:
        self._pieces = pieces
        self.format = format
        self.rows = rows
        self.columns = columns

    def __next__(self) -> bytes:
        return next(self._pieces)


def export(window: Window, format: Format, options: ExportOptions, table: Callable[[], pa.Table]) -> Export:
    """Return a table in a format.

    What is refused is refused now; iterating only writes.

    Args:
        window: what to write.
        format: in which format.
        options: how.
        table: gives the window as Arrow, for the formats that are.

    Raises:
        UnsupportedTypeError: the format cannot hold a column; names it.
        InvalidInputError: the format has no room for the table.
    """
    pieces = _pieces(window, format.name, options, table)
    return Export(pieces, format, window.rows, len(window.arrays))


def _pieces(
    window: Window, name: str, options: ExportOptions, table: Callable[[], pa.Table]
) -> Iterator[bytes]:
    if name == "json":
        return document(window, window.rows, options.orient)
    if name == "jsonl":
        return lines(window)
    if name in ("csv", "tsv"):
        delimiter = "\t" if name == "tsv" else ","
        return delimited(window, delimiter, neutralize_formulas=options.neutralize_formulas)
    if name == "xlsx":
        from framekeep.exporting.excel import workbook

        return workbook(window)
    from framekeep.exporting.columnar import columnar

    return columnar(table(), name, window)

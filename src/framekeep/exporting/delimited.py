"""CSV and TSV, a batch of rows at a time.

Texts are quoted and a missing value is a cell that is empty and not quoted, so the two are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from framekeep.exporting.sink import Sink
from framekeep.exporting.texts import Part, texts_of
from framekeep.exporting.window import Window

_FORMULA: Final = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
"""Spreadsheets run a cell that starts like this; some know the wide forms, too."""
_NUMBER: Final = r"^[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?$"


def delimited(window: Window, delimiter: str, *, neutralize_formulas: bool = False) -> Iterator[bytes]:
    """Return the pieces of a CSV file in UTF-8.

    Args:
        window: what to write.
        delimiter: one character.
        neutralize_formulas: put an apostrophe before texts and headers that a spreadsheet would run. Numbers
            stay as they are.

    Raises:
        UnsupportedTypeError: a text is no Unicode; names its column.
    """
    change = neutral if neutralize_formulas else _unchanged
    names, arrays = window.columns(unicode=True)
    header = change(pa.array(names, pa.large_string()))
    columns = [texts_of(array, f"column {name!r}", change) for name, array in zip(names, arrays, strict=True)]
    return _pieces(window, header.to_pylist(), columns, delimiter)


def _pieces(
    window: Window, header: Sequence[str], columns: Sequence[Part], delimiter: str
) -> Iterator[bytes]:
    if not columns:
        yield b"\n" * (window.rows + 1)
        return
    sink = Sink()
    names, bare = (
        csv.WriteOptions(delimiter=delimiter),
        csv.WriteOptions(delimiter=delimiter, include_header=False),
    )
    for start, stop in window.batches() if window.rows else [(0, 0)]:
        table = pa.Table.from_arrays([part(start, stop) for part in columns], names=list(header))
        csv.write_csv(table, sink, bare if start else names)
        yield from sink.take()


def neutral(texts: pa.Array) -> pa.Array:
    """Return texts with an apostrophe before those that a spreadsheet would run as a formula."""
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        return texts
    mark, nothing = pa.scalar("'", texts.type), pa.scalar("", texts.type)
    runs = pc.and_not(pc.match_substring_regex(texts, _FORMULA), pc.match_substring_regex(texts, _NUMBER))
    return pc.if_else(runs, pc.binary_join_element_wise(mark, texts, nothing), texts)


def _unchanged(texts: pa.Array) -> pa.Array:
    return texts

"""CSV and TSV, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from framekeep.exporting.cells import json_text
from framekeep.exporting.columns import json_column
from framekeep.exporting.options import ExportOptions
from framekeep.exporting.sink import Sink
from framekeep.exporting.window import Window


def delimited(window: Window, delimiter: str, options: ExportOptions, step: int) -> Iterator[bytes]:
    """Return the pieces of a CSV file."""
    names, arrays = window.columns()
    return _pieces(names, arrays, window.rows, delimiter, step)


def _pieces(
    names: Sequence[str], arrays: Sequence[Any], rows: int, delimiter: str, step: int
) -> Iterator[bytes]:
    for start in range(0, max(rows, 1), step):
        sink = Sink()
        columns = [_column(array[start : start + step]) for array in arrays]
        table = pa.Table.from_arrays(columns, names=list(names))
        csv.write_csv(table, sink, csv.WriteOptions(delimiter=delimiter, include_header=start == 0))
        yield from sink.take()


def _column(array: Any) -> pa.Array:
    dtype = getattr(array, "dtype", None)
    if getattr(dtype, "kind", "O") in "iub" and not hasattr(array, "_pa_array"):
        return pa.array(array, from_pandas=True)
    if dtype in ("float64", "float32"):
        made = pa.array(array, from_pandas=True)
        return pc.if_else(pc.is_nan(made), pa.scalar(None, made.type), made)
    return pa.array([None if c is None else json_text(c) for c in json_column(array)], pa.large_string())

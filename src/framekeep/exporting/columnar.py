"""Arrow IPC and Parquet, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pyarrow as pa
from pyarrow import ipc, parquet

from framekeep.errors import UnsupportedTypeError
from framekeep.exporting.sink import Sink


def columnar(table: pa.Table, name: str, step: int) -> Iterator[bytes]:
    """Return the pieces of an Arrow stream ("arrow"), an Arrow file ("feather") or a Parquet file.

    Args:
        step: rows in a batch.

    Raises:
        UnsupportedTypeError: the format has no word for a column's type; names it.
    """
    table = table.unify_dictionaries()
    if name == "parquet":
        for field in table.schema:
            _check_parquet(field)
    return _pieces(table, name, step)


def _pieces(table: pa.Table, name: str, step: int) -> Iterator[bytes]:
    sink = Sink()
    with _writer(sink, name, table.schema) as writer:
        for start in range(0, table.num_rows, step):
            writer.write_table(table.slice(start, step))
            yield sink.take()
    yield sink.take()


def _writer(sink: Sink, name: str, schema: pa.Schema) -> AbstractContextManager[Any]:
    if name == "parquet":
        writer: AbstractContextManager[Any] = parquet.ParquetWriter(sink, schema)
        return writer
    opened: AbstractContextManager[Any] = (ipc.new_file if name == "feather" else ipc.new_stream)(
        sink, schema
    )
    return opened


def _check_parquet(field: pa.Field) -> None:
    try:
        schema = pa.schema([field])
        with parquet.ParquetWriter(pa.BufferOutputStream(), schema) as writer:
            writer.write_table(schema.empty_table())
    except (pa.ArrowException, NotImplementedError) as error:
        raise UnsupportedTypeError(
            f"column {field.name!r} has the type {field.type}, which Parquet cannot hold: export as Arrow or "
            "JSON, or cast the column.",
            where=f"column {field.name!r}",
            type_name=str(field.type),
        ) from error

"""Arrow IPC and Parquet, a batch of rows at a time.

A type that is not plain is tried before anything is written: what does not come back from the format is
refused, by the name of its column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from pyarrow import ipc, parquet

from framekeep.errors import InvalidInputError, UnsupportedTypeError
from framekeep.exporting.notes import noted
from framekeep.exporting.sink import Sink
from framekeep.exporting.window import Window

BATCH_BYTES: Final = 4 << 20
"""Bytes of a batch of an Arrow stream or file: what waits in memory at once."""
GROUP_BYTES: Final = 64 << 20
"""Bytes of a row group of a Parquet file before they are encoded; smaller ones are read slower."""
_MAX_ROWS: Final = 1 << 20

_TITLES: Final = {"arrow": "Arrow IPC", "feather": "Arrow IPC", "parquet": "Parquet"}
_PLAIN: Final = frozenset(
    (
        pa.bool_(),
        *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
        *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float32(), pa.float64()),
        *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
        pa.date32(),
        *(pa.timestamp(unit, zone) for unit in ("ms", "us", "ns") for zone in (None, "UTC")),
    )
)
"""Types that every format here gives back as they are; the others are tried."""


def columnar(table: pa.Table, name: str, window: Window) -> Iterator[bytes]:
    """Return the pieces of an Arrow stream ("arrow"), an Arrow file ("feather") or a Parquet file.

    Args:
        table: the window, as Arrow.
        name: of the format.
        window: the window.

    Raises:
        UnsupportedTypeError: the format cannot hold a column; names it.
        InvalidInputError: rows without columns, for Parquet.
    """
    if name == "parquet" and not table.num_columns and table.num_rows:
        raise InvalidInputError("Parquet does not count rows that have no columns: export as Arrow or JSON.")
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        with_words = _readable(column, keep_words=name != "parquet")
        fields.append(field.with_type(with_words.type))
        columns.append(with_words)
    rows, schema = table.num_rows, pa.schema(fields, table.schema.metadata)
    if columns:
        table = pa.Table.from_arrays(columns, schema=schema).unify_dictionaries()
    table = noted(table, window)
    for field, column in zip(table.schema, table.columns, strict=True):
        if not _plain(field.type):
            _try(field, column, name)
    goal = GROUP_BYTES if name == "parquet" else BATCH_BYTES
    step = max(1, min(_MAX_ROWS, goal * rows // max(1, sum(map(_size, table.columns)))))
    return _pieces(table, rows, name, step)


def _plain(kind: pa.DataType) -> bool:
    return kind in _PLAIN or (
        pa.types.is_dictionary(kind) and kind.value_type in (pa.string(), pa.large_string())
    )


def _size(column: pa.ChunkedArray) -> int:
    # With a union in it, ``nbytes`` may kill the process; this is never less.
    return int(column.nbytes if _plain(column.type) else column.get_total_buffer_size())


def _pieces(table: pa.Table, rows: int, name: str, step: int) -> Iterator[bytes]:
    sink = Sink()
    with _writer(sink, name, table.schema) as writer:
        yield from sink.take()
        for start in range(0, rows, step):
            # Of a table without columns pyarrow's slices have as many rows as were asked for.
            part = table.slice(start, min(step, rows - start))
            writer.write_table(part)
            yield from sink.take()
    yield from sink.take()


def _writer(sink: Any, name: str, schema: pa.Schema) -> Any:
    if name == "parquet":
        return parquet.ParquetWriter(sink, schema)
    return (ipc.new_file if name == "feather" else ipc.new_stream)(sink, schema)


def _readable(column: pa.ChunkedArray, *, keep_words: bool) -> pa.ChunkedArray:
    """Return a column whose dictionary, if it has one, readers know how to take.

    No reader of pyarrow's takes a dictionary of extension values (intervals, periods), and of Parquet's only
    one of texts comes back with its type; others are written value by value.
    """
    kind = column.type
    if not pa.types.is_dictionary(kind):
        return column
    words = kind.value_type
    if pa.types.is_string(words) or pa.types.is_large_string(words):
        if keep_words or not any(chunk.dictionary.null_count for chunk in column.chunks):
            return column
    elif keep_words and not isinstance(words, pa.BaseExtensionType):
        return column
    return pa.chunked_array([_spelled_out(chunk) for chunk in column.chunks], type=words)


def _spelled_out(chunk: pa.DictionaryArray) -> pa.Array:
    words = chunk.dictionary
    if not isinstance(words.type, pa.BaseExtensionType):
        return words.take(chunk.indices)
    return pa.ExtensionArray.from_storage(words.type, words.storage.take(chunk.indices))


def _try(field: pa.Field, column: pa.ChunkedArray, name: str) -> None:
    """Write a column and read it back, a batch at a time.

    Raises:
        UnsupportedTypeError: it cannot be written, or comes back changed.
    """
    schema = pa.schema([field])
    step = max(1, min(_MAX_ROWS, BATCH_BYTES * len(column) // max(1, _size(column))))
    try:
        for start in range(0, max(1, len(column)), step):
            part = column.slice(start, step)
            sink = pa.BufferOutputStream()
            with _writer(sink, name, schema) as writer:
                writer.write_table(pa.Table.from_arrays([part], schema=schema))
            back = _read(sink.getvalue(), name)
            back.validate()
            if not same_values(part, back):
                raise pa.ArrowInvalid("values come back changed")
    except (pa.ArrowException, OSError, TypeError, LookupError, NotImplementedError) as error:
        others = "JSON or CSV" if name != "parquet" else "Arrow, JSON or CSV"
        raise UnsupportedTypeError(
            f"column {field.name!r} has the type {field.type}, which {_TITLES[name]} cannot hold exactly: "
            f"export as {others}, or cast the column.",
            where=f"column {field.name!r}",
            type_name=str(field.type),
        ) from error


def _read(data: pa.Buffer, name: str) -> pa.ChunkedArray:
    source = pa.BufferReader(data)
    if name == "parquet":
        return parquet.ParquetFile(source).read().column(0)
    with (ipc.open_file if name == "feather" else ipc.open_stream)(source) as reader:
        return reader.read_all().column(0)


def same_values(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same values; the words for them may be of another type (a finer unit)."""
    if len(a) != len(b):
        return False
    if a.type == b.type and a.equals(b):
        return True
    # Array.equals holds NaN unequal, and there is none between types: slow, but complete.
    return repr(a.to_pylist()) == repr(b.to_pylist())

"""Kinds of the exact value encoding for what pyarrow makes: scalars, arrays, tables, types and schemas.

Each is an Arrow IPC stream or schema, read back and compared before it is kept. Extension types are refused:
reading one runs what the application registered with Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import pyarrow as pa

from framekeep.frames.arrow_streams import read_batches
from framekeep.frames.values_kinds import FAMILIES, KINDS, Kind, Leaf, Node, Refused, damaged, leaf, node
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer


def _checked(fields: Iterable[Any]) -> None:
    """Refuse fields that Arrow itself fails on later, and such that run what an application registered."""
    for field in fields:
        str(field.name)  # fails when it is not UTF-8
        kind = field.type
        if isinstance(kind, pa.BaseExtensionType):
            damaged("an Arrow extension type")
        _checked(kind.field(i) for i in range(kind.num_fields))
        if pa.types.is_dictionary(kind):
            _checked([pa.field("", kind.value_type)])


# --- schemas --------------------------------------------------------------------------------------


def _read_schema(data: Any) -> Any:
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(data))
    except MemoryError:  # a forged length
        damaged("not an Arrow schema")
    _checked(schema)
    return schema


def _only_field(data: Any) -> Any:
    schema = _read_schema(data)
    if len(schema) != 1 or schema.metadata is not None:
        damaged("not an Arrow type")
    return schema.field(0)


def _only_type(data: Any) -> Any:
    field = _only_field(data)
    if field.name or not field.nullable or field.metadata is not None:
        damaged("not an Arrow type")
    return field.type


def _of_schema(schema: Any) -> bytes:
    data: bytes = schema.serialize().to_pybytes()
    return data


def _same_schema(a: Any, b: Any) -> bool:
    # The text has the order of the metadata, which Arrow's own comparison does not look at.
    return a.equals(b, check_metadata=True) and _text(a) == _text(b)


def _text(value: Any) -> str:
    if isinstance(value, pa.Schema):
        return str(value.to_string(truncate_metadata=False, show_schema_metadata=True))
    return f"{value} {list((value.metadata or {}).items())}" if isinstance(value, pa.Field) else str(value)


# --- data -----------------------------------------------------------------------------------------


def _stream(schema: Any, batches: Iterable[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _column(kind: Any, chunks: Iterable[Any]) -> bytes:
    schema = pa.schema([pa.field("", kind)])
    return _stream(schema, (pa.record_batch([chunk], schema=schema) for chunk in chunks))


def _read_stream(data: Any) -> tuple[Any, list[Any]]:
    """Return the schema and the batches of a stream, every part checked."""
    schema, batches = read_batches(data)
    _checked(schema)
    for batch in batches:
        batch.validate(full=True)
    return schema, batches


def _read_column(data: Any) -> tuple[Any, list[Any]]:
    schema, batches = _read_stream(data)
    if len(schema) != 1:
        damaged("not one Arrow column")
    return schema.field(0).type, [batch.column(0) for batch in batches]


def _only_chunk(data: Any) -> Any:
    _, chunks = _read_column(data)
    if len(chunks) != 1:
        damaged("not an Arrow array")
    return chunks[0]


def _only_scalar(data: Any) -> Any:
    array = _only_chunk(data)
    if len(array) != 1:
        damaged("not an Arrow scalar")
    return array[0]


def _chunked(data: Any) -> Any:
    kind, chunks = _read_column(data)
    return pa.chunked_array(chunks, kind)


def _only_batch(data: Any) -> Any:
    _, batches = _read_stream(data)
    if len(batches) != 1:
        damaged("not an Arrow record batch")
    return batches[0]


def _same_scalar(a: Any, b: Any) -> bool:
    # Arrow holds NaN different from itself; the text tells it from a number.
    return bool(a.type.equals(b.type, check_metadata=True)) and (
        a.equals(b) or (a.is_valid is b.is_valid and repr(a.as_py()) == repr(b.as_py()))
    )


def _same_array(a: Any, b: Any) -> bool:
    if len(a) != len(b) or not a.type.equals(b.type, check_metadata=True):
        return False
    if pa.types.is_dictionary(a.type) and not _same_array(a.dictionary, b.dictionary):
        return False
    return bool(a.equals(b)) or all(map(_same_scalar, a, b))


def _same_chunks(a: Any, b: Any) -> bool:
    return (
        bool(a.type.equals(b.type, check_metadata=True))
        and a.num_chunks == b.num_chunks
        and all(map(_same_array, a.chunks, b.chunks))
    )


def _same_batch(a: Any, b: Any) -> bool:
    return (
        a.num_rows == b.num_rows
        and _same_schema(a.schema, b.schema)
        and all(map(_same_array, a.columns, b.columns))
    )


def _table_build(parts: list[Any]) -> Any:
    schema, *columns = parts
    if type(schema) is not pa.Schema or any(type(column) is not pa.ChunkedArray for column in columns):
        damaged("not an Arrow table")
    table = pa.Table.from_arrays(columns, schema=schema)
    table.validate()
    return table


# --- the kinds ------------------------------------------------------------------------------------


def _kind(
    tag: int, data: Callable[[Any], bytes], read: Callable[[Any], Any], same: Callable[[Any, Any], bool]
) -> Leaf:
    def write(w: Writer, value: Any) -> None:
        try:
            encoded = data(value)
            again = read(encoded)
            exact = type(again) is type(value) and same(value, again)
        except Exception as error:
            raise Refused(value, "Arrow cannot write it") from error
        if not exact:
            raise Refused(value, "Arrow gives back something else")
        w.out.append(tag)
        w.block(encoded)

    def read_block(r: Reader) -> Any:
        return read(bytes(r.block()))

    return leaf([], write, {tag: read_block})


_FIELD: Final = _kind(0x61, lambda v: _of_schema(pa.schema([v])), _only_field, _same_schema)
_SCHEMA: Final = _kind(0x62, _of_schema, _read_schema, _same_schema)
_TYPE: Final = _kind(0x60, lambda v: _of_schema(pa.schema([pa.field("", v)])), _only_type, _same_schema)
_SCALAR: Final = _kind(0x58, lambda v: _column(v.type, [pa.repeat(v, 1)]), _only_scalar, _same_scalar)
_ARRAY: Final = _kind(0x63, lambda v: _column(v.type, [v]), _only_chunk, _same_array)
_CHUNKED: Final = _kind(0x64, lambda v: _column(v.type, v.chunks), _chunked, _same_chunks)
_BATCH: Final = _kind(0x65, lambda v: _stream(v.schema, [v]), _only_batch, _same_batch)

# Not a stream: that would cut all columns at the same rows.
node(
    [pa.Table],
    Node(
        0x66,
        lambda v: (v.schema, *v.columns),
        build=_table_build,
        same=lambda a, b: a.num_rows == b.num_rows and _same_schema(a.schema, b.schema),
    ),
)

KINDS.update(
    {
        pa.Field: _FIELD,
        pa.Schema: _SCHEMA,
        pa.ChunkedArray: _CHUNKED,
        pa.RecordBatch: _BATCH,
    }
)


def _family(value: object) -> Kind | None:
    if isinstance(value, pa.Scalar):
        return _SCALAR
    if isinstance(value, pa.DataType):
        return _TYPE
    return _ARRAY if isinstance(value, pa.Array) else None


FAMILIES.append(_family)

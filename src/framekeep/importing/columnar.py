"""Reads Parquet, Arrow IPC (file and stream) and Feather: files of columns that bring their types.

Everything is checked before it is used: a file that is put together wrongly can bring down what reads it.
What pandas has written beside the columns (its index, its types) goes along: the parent makes a frame of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    FramekeepError,
    PasswordProtectedError,
    UnknownColumnError,
    UnknownFormatError,
)
from framekeep.importing.model import (
    MIB,
    PREVIEW_ROWS,
    ColumnReport,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
    Table,
)
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.types import cast_text

_LISTED = 10
_TOLD = 160
_CELL = 60  # characters of a nested value in a preview


def read_columnar(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool
) -> Parsed:
    """Read a file of columns; one table, with the types that the file has or ``options.types`` asks for.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    with _reading():
        file = _open(path, options)
        _check_shape(file, limits)
        unknown = [name for name in options.types if name not in file.schema.names]
        if unknown:
            raise UnknownColumnError(
                f"A type is asked for the column {unknown[0]!r}, but there is none of this name. "
                f"There are {', '.join(map(repr, file.schema.names[:_LISTED]))}."
            )
        reports = []
        stored: list[Stored] = []
        for position, field in enumerate(file.schema):
            progress(position / len(file.schema), f"Reading the column {field.name!r}")
            column = file.column(position)
            _check_values(column, field, limits)
            report, values = _settled(column, field, options)
            reports.append(report)
            kept = field if values is column else pa.field(field.name, values.type)
            schema = pa.schema([kept], file.schema.metadata)
            stored.append(spool.keep(pa.table([_one_chunk(values)], schema=schema)))
    table = Table("", tuple(reports), Stored.side_by_side(stored))
    return Parsed(format=options.format or "parquet", tables=(table,), notes=_duplicates(file.schema))


def preview_columnar(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress
) -> tuple[Preview, ...]:
    """Return what is seen of the table, without reading more of it than its first rows.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    with _reading():
        file = _open(path, options)
        _check_shape(file, limits)
        first = file.head(PREVIEW_ROWS)
        first.validate(full=True)
        columns = [_cells(column) for column in first.columns]
    rows = tuple(zip(*columns, strict=True))
    names = tuple(file.schema.names)
    return (Preview("", file.rows, len(names), header=names, first=rows, suggested=True),)


@dataclass(slots=True)
class _Parquet:
    """A Parquet file, read a column at a time: more than one never has to be in memory."""

    file: Any
    schema: pa.Schema
    leaves: list[int]  # where each column begins among those that the file is made of

    @property
    def rows(self) -> int:
        return int(self.file.metadata.num_rows)

    @property
    def inflated(self) -> int:
        groups = (self.file.metadata.row_group(n) for n in range(self.file.metadata.num_row_groups))
        return sum(group.total_byte_size for group in groups)

    def column(self, position: int) -> pa.ChunkedArray:
        """Return a column, by position: names may be there twice, and have dots in them."""
        leaves = list(range(self.leaves[position], self.leaves[position + 1]))
        column = self.file.reader.read_all(column_indices=leaves, use_threads=False).column(0)
        column.validate(full=True)
        if len(column) != self.rows:
            name = self.schema.field(position).name
            raise DamagedFileError(
                f"The column {name!r} has {len(column):,} cells, but the file says {self.rows:,}.",
                where=f"column {name!r}",
            )
        return column

    def head(self, rows: int) -> pa.Table:
        for batch in self.file.iter_batches(batch_size=rows, use_threads=False):
            return pa.Table.from_batches([batch])
        return self.schema.empty_table()


@dataclass(slots=True)
class _Arrow:
    """An Arrow file, over its mapped bytes."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    @property
    def inflated(self) -> int:
        return int(self.table.nbytes)

    def column(self, position: int) -> pa.ChunkedArray:
        return self.table.column(position)

    def head(self, rows: int) -> pa.Table:
        return self.table.slice(0, rows)


def _open(path: Path, options: ImportOptions) -> _Parquet | _Arrow:
    if options.format == "parquet":
        from pyarrow import parquet

        file = parquet.ParquetFile(path, memory_map=False)
        schema = file.schema_arrow
        return _Parquet(file, schema, list(accumulate((_leaves(f.type) for f in schema), initial=0)))
    from pyarrow import feather

    with path.open("rb") as start:
        magic = start.read(6)
    if magic.startswith(b"FEA1"):
        with warnings.catch_warnings():  # that nobody should write this format any more
            warnings.simplefilter("ignore", DeprecationWarning)
            table = feather.read_table(path, memory_map=True, use_threads=False)
    elif magic == b"ARROW1":
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            table = reader.read_all()
    else:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            table = stream.read_all()
    table.validate(full=True)  # before anything else looks into it
    return _Arrow(table)


def _check_shape(file: _Parquet | _Arrow, limits: Limits) -> None:
    rows, columns = file.rows, len(file.schema)
    if not columns:
        raise EmptyFileError("The file has no columns.")
    if columns > limits.columns or rows > limits.rows or rows * columns > limits.cells:
        raise FileTooLargeError(
            f"The file has {rows:,} rows and {columns:,} columns; at most {limits.rows:,} rows, "
            f"{limits.columns:,} columns and {limits.cells:,} cells are read. Split it."
        )
    if file.inflated > limits.inflated_bytes:
        raise FileTooLargeError(
            f"The file holds {file.inflated / MIB:,.0f} MB once it is unpacked; at most "
            f"{limits.inflated_bytes / MIB:,.0f} MB are read. Split it."
        )


def _check_values(column: pa.ChunkedArray, field: pa.Field, limits: Limits) -> None:
    if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)) or not len(column):
        return
    longest = pc.max(pc.binary_length(column)).as_py() or 0
    if longest > limits.field_bytes:
        raise FileTooLargeError(
            f"A cell of the column {field.name!r} has {longest:,} bytes of text; at most "
            f"{limits.field_bytes:,} are read.",
            where=f"column {field.name!r}",
        )


def _settled(
    column: pa.ChunkedArray, field: pa.Field, options: ImportOptions
) -> tuple[ColumnReport, pa.ChunkedArray]:
    wanted = options.types.get(field.name)
    if wanted is None:
        reason = f"the file says {str(field.type)[:_CELL]}"
        return ColumnReport(field.name, type_name(field.type), reason, column.null_count), column
    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnknownFormatError(
            f"The column {field.name!r} has values ({str(field.type)[:_CELL]}) that have no other type. "
            f"Ask for none."
        ) from error
    values = text if wanted == "text" else cast_text(text, field.name, wanted)
    kind = wanted.partition(":")[0]
    report = ColumnReport(field.name, kind, "this type was asked for", values.null_count, overridden=True)
    return report, values


def type_name(kind: pa.DataType) -> str:
    """Return what a column of Arrow's type is called, in the words of model.TYPES as far as they go."""
    is_kind = pa.types
    if is_kind.is_integer(kind):
        return "integer"
    if is_kind.is_floating(kind):
        return "number"
    if is_kind.is_boolean(kind):
        return "boolean"
    if is_kind.is_string(kind) or is_kind.is_large_string(kind) or is_kind.is_string_view(kind):
        return "text"
    if is_kind.is_dictionary(kind):
        return "category"
    if is_kind.is_date(kind):
        return "date"
    if is_kind.is_timestamp(kind):
        return "datetime"
    return str(kind).partition("<")[0].partition("[")[0].partition("(")[0]


def _leaves(kind: pa.DataType) -> int:
    """Return how many columns of a Parquet file a column of this type is made of."""
    if isinstance(kind, pa.ExtensionType):
        return _leaves(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _leaves(kind.value_type)
    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaves(kind.field(at).type) for at in range(kind.num_fields))


def _one_chunk(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Put plain numbers and times together, which the parent then need not copy."""
    if values.num_chunks > 1 and pa.types.is_primitive(values.type):
        return pa.chunked_array([values.combine_chunks()])
    return values


def _duplicates(schema: pa.Schema) -> tuple[str, ...]:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if not twice:
        return ()
    return (f"There are columns of the same name: {', '.join(map(repr, twice[:_LISTED]))}.",)


def _cells(column: pa.ChunkedArray) -> list[str | None]:
    try:
        return [_shown(cell) for cell in column.to_pylist()]
    except (ValueError, OverflowError):  # instants that Arrow has and Python has not
        return [_shown(f"({type_name(column.type)})") if cell.is_valid else None for cell in column]


def _shown(cell: Any) -> str | None:
    if cell is None:
        return None
    text = str(cell)
    return text if isinstance(cell, str) or len(text) <= _CELL else f"{text[: _CELL - 1]}…"


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what pyarrow raises into the errors of this package."""
    try:
        yield
    except FramekeepError:
        raise
    except pa.ArrowNotImplementedError as error:
        raise UnknownFormatError(
            f"The file has something that is not read ({_said(error)}). Write it anew without."
        ) from error
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        if "encrypt" in str(error).lower():
            raise PasswordProtectedError("The file is encrypted. Write it without and send that.") from error
        raise DamagedFileError(
            f"The file is cut short or damaged ({_said(error)}). Send it again, or write it anew."
        ) from error


def _said(error: Exception) -> str:
    """Return the first line of pyarrow's message, without the values it may quote."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.partition(", got ")[0].partition(" value: ")[0][:_TOLD]

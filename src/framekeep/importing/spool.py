"""Arrow data on its way from the reading child to the parent: one file without a name, in segments.

A *segment* is an Arrow IPC stream at an offset of the file; a reader appends as many as it likes, one after
the other. A *stored* table says where its columns are: a table can be written in batches of rows, or column
by column, and a column that typing left alone is in the file once though two tables have it. The parent maps
it when the child has ended, and checks every segment before anybody uses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from framekeep.errors import InvalidInputError
from framekeep.importing.model import Checked

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ALIGNMENT = 64  # what Arrow's kernels like best


@dataclass(frozen=True, slots=True)
class Place:
    """Where a column is.

    Attributes:
        offset: of its segment in the file.
        length: of its segment, in bytes.
        position: of the column among those of the segment.
    """

    offset: int
    length: int
    position: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A table in a spool.

    Attributes:
        rows: how many.
        columns: where each is, in order. Names, and the metadata of fields, are in the segments; the metadata
            of the schema is that of the first column's segment.
    """

    rows: int
    columns: tuple[Place, ...]

    def select(self, positions: Sequence[int]) -> Stored:
        """Return the table of the columns at ``positions``; nothing is copied."""
        return Stored(self.rows, tuple(self.columns[position] for position in positions))

    @staticmethod
    def side_by_side(parts: Sequence[Stored]) -> Stored:
        """Return the table that has the columns of all ``parts``, which have the same number of rows."""
        if len({part.rows for part in parts}) != 1:
            raise ValueError("tables of different lengths cannot stand side by side")
        return Stored(parts[0].rows, tuple(place for part in parts for place in part.columns))

    @classmethod
    def from_json(cls, document: object) -> Stored:
        """Return what ``document`` says, or raise InvalidInputError if it says something else."""
        checked = Checked(document, "a stored table")
        places = []
        for item in checked.items("columns"):
            place = Checked(item, "a column's place")
            places.append(Place(place.whole("offset"), place.whole("length"), place.whole("position")))
        if not places:
            raise InvalidInputError("a stored table has no columns.")
        return cls(checked.whole("rows"), tuple(places))


class Segment:
    """A segment while it is written."""

    def __init__(self, writer: pa.RecordBatchWriter, offset: int, width: int) -> None:
        self._writer = writer
        self._offset = offset
        self._width = width
        self._rows = 0
        self._stored: Stored | None = None

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Append rows; the schema is the segment's."""
        self._writer.write(rows)
        self._rows += rows.num_rows

    @property
    def rows(self) -> int:
        """How many rows were written so far."""
        return self._rows

    @property
    def stored(self) -> Stored:
        """The table, once the segment is ended."""
        if self._stored is None:
            raise ValueError("the segment is still written")
        return self._stored

    def end(self, length: int) -> None:
        """Take note that the segment is complete."""
        places = tuple(Place(self._offset, length, position) for position in range(self._width))
        self._stored = Stored(self._rows, places)


class Spool:
    """The file, as the child has it.

    Args:
        file: open for reading and writing bytes, and empty.
        directory: private to the job, where a reader may put files of its own; it goes when the job ends.
    """

    def __init__(self, file: IO[bytes], directory: Path) -> None:
        self._file = file
        self._writing = False
        self.directory = directory

    @contextmanager
    def segment(self, schema: pa.Schema) -> Iterator[Segment]:
        """Append a table in batches of rows; one segment is written at a time.

        Raises:
            OSError: no room on the disk, or more bytes than ``Limits.inflated_bytes``.
        """
        import pyarrow as pa

        if self._writing:
            raise ValueError("another segment is still written")
        self._writing = True
        try:
            offset = self._file.seek(0, os.SEEK_END)
            offset += self._file.write(bytes(-offset % _ALIGNMENT))
            # Not closed: that would close the file. The writer keeps nothing back.
            with pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), schema) as writer:
                segment = Segment(writer, offset, len(schema))
                yield segment
            self._file.flush()
            segment.end(self._file.tell() - offset)
        finally:
            self._writing = False

    def keep(self, table: pa.Table) -> Stored:
        """Append a whole table; a column of numbers that is one chunk is mapped by the parent uncopied."""
        with self.segment(table.schema) as segment:
            segment.write(table)
        return segment.stored

    def keep_column(self, name: str, values: pa.Array | pa.ChunkedArray) -> Stored:
        """Append one column, in one chunk."""
        import pyarrow as pa

        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        return self.keep(pa.table({name: values}))

    def open(self, stored: Stored) -> pa.Table:
        """Return a table over the mapped file: its pages are read, and dropped, as the system likes."""
        return Mapping(self._file.fileno()).table(stored)


class Mapping:
    """A spool in memory; it lives as long as a table or an array over it.

    Args:
        descriptor: of the file, which is not written to from now on.
        private: the process may write to the memory: to its own copy of a page, never to the file.
    """

    def __init__(self, descriptor: int, *, private: bool = False) -> None:
        import mmap

        import pyarrow as pa

        if os.fstat(descriptor).st_size == 0:
            raise InvalidInputError("a spool is empty.")
        self._memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY if private else mmap.ACCESS_READ)
        self._buffer = pa.py_buffer(self._memory)

    def table(self, stored: Stored) -> pa.Table:
        """Return a table, of whose columns nothing is copied.

        Raises:
            InvalidInputError: it is not there, or not of the shape that it is said to have.
        """
        import pyarrow as pa

        segments: dict[tuple[int, int], pa.Table] = {}
        columns = []
        fields = []
        for place in stored.columns:
            key = (place.offset, place.length)
            if key not in segments:
                segments[key] = self._segment(place)
            table = segments[key]
            if place.position >= table.num_columns or table.num_rows != stored.rows:
                raise InvalidInputError("a stored table has another shape than it is said to have.")
            columns.append(table.column(place.position))
            fields.append(table.schema.field(place.position))
        first = segments[stored.columns[0].offset, stored.columns[0].length]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=first.schema.metadata))

    def values(self, column: pa.ChunkedArray) -> np.ndarray[Any, Any] | None:
        """Return a column of numbers or instants (in UTC) as an array over this memory.

        What it has where values are missing is anything. None if the column is not one piece of it.
        """
        import numpy as np
        import pyarrow as pa

        kind = column.type
        dtype = np.dtype(f"M8[{kind.unit}]" if pa.types.is_timestamp(kind) else kind.to_pandas_dtype())
        if len(column) == 0:
            return np.empty(0, dtype)
        pieces = [chunk for chunk in column.chunks if len(chunk)]
        if len(pieces) != 1:
            return None
        values = pieces[0].buffers()[1]
        offset = values.address - self._buffer.address + pieces[0].offset * dtype.itemsize
        if offset < 0 or offset + len(column) * dtype.itemsize > self._buffer.size:
            return None  # unpacked, or filled in: it is elsewhere
        return np.frombuffer(self._memory, dtype, len(column), offset)

    def _segment(self, place: Place) -> pa.Table:
        import pyarrow as pa

        if place.offset + place.length > self._buffer.size:
            raise InvalidInputError("a stored table is not all in its file.")
        try:
            return pa.ipc.open_stream(self._buffer.slice(place.offset, place.length)).read_all()
        except (pa.ArrowException, ValueError, OSError) as error:
            raise InvalidInputError("a stored table is not Arrow data.") from error

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
from typing import IO, TYPE_CHECKING

from framekeep.errors import InvalidInputError
from framekeep.importing.model import Checked

if TYPE_CHECKING:
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
        from framekeep.importing.mapping import Mapping

        return Mapping(self._file.fileno()).table(stored)

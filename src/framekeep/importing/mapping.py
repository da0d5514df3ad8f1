"""A spool's file in this process's memory, where tables and frames stand on it without a copy.

Mapped pages count as the process's memory once it has looked at them, although they are the page cache's. Who
passes over a table once, to store it, can have them taken away behind him (``shedding``), so that a table of
any size costs a few of its columns. In a reading child that is so all the time.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from framekeep.errors import InvalidInputError
from framekeep.importing.spool import Place, Stored

_SHED_EVERY: Final = 0.02
"""Seconds; columns are read at some gigabytes a second, so this is some tens of megabytes."""
_WIDEN_IN_FILE: Final = 1 << 20
"""Bytes of offsets above which a file is worth making."""

_libc: Final = ctypes.CDLL(None)
_clean: Final[weakref.WeakSet[mmap.mmap]] = weakref.WeakSet()
"""All mappings that nobody can have written to."""


def read_only(descriptor: int) -> mmap.mmap:
    """Map a file that is not empty."""
    memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    _clean.add(memory)
    return memory


def shed_for_ever() -> None:
    """Give back what is looked at of mapped files, in this process from now on."""

    def shed() -> None:
        while True:
            time.sleep(_SHED_EVERY)
            for memory in list(_clean):
                memory.madvise(mmap.MADV_DONTNEED)

    threading.Thread(target=shed, name="framekeep-shedding", daemon=True).start()


class Mapping:
    """A spool in memory; it lives as long as a table or an array over it.

    Args:
        descriptor: of the file, which is not written to from now on.
        private: the process may write to the memory: to its own copy of a page, never to the file.
        scratch: a directory for a file without a name; None makes none.
    """

    def __init__(self, descriptor: int, *, private: bool = False, scratch: Path | None = None) -> None:
        if os.fstat(descriptor).st_size == 0:
            raise InvalidInputError("a spool is empty.")
        copied = mmap.ACCESS_COPY
        self._memory = mmap.mmap(descriptor, 0, access=copied) if private else read_only(descriptor)
        self._buffer = pa.py_buffer(self._memory)
        self._scratch = scratch
        self._clean = [] if private else [self._memory]  # nobody can have written to it

    def table(self, stored: Stored) -> pa.Table:
        """Return a table, of whose columns nothing is copied.

        Raises:
            InvalidInputError: it is not there, or not of the shape that it is said to have.
        """
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

    def wide(self, columns: Sequence[pa.ChunkedArray]) -> list[pa.ChunkedArray]:
        """Return columns of text with 64-bit offsets, which is how pandas has them; nothing else is copied.

        The offsets are put into a file, too, where they are no memory of this process's own.
        """
        nbytes = sum(8 * (len(chunk) + 1) for column in columns for chunk in column.chunks)
        if nbytes < _WIDEN_IN_FILE or self._scratch is None:
            return [column.cast(pa.large_string()) for column in columns]
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            for column in columns:
                for chunk in column.chunks:
                    file.write(_offsets(chunk).astype(np.int64).data)
            file.flush()
            memory = read_only(file.fileno())
        self._clean.append(memory)
        offsets, at = pa.py_buffer(memory), 0
        made = []
        for column in columns:
            chunks = []
            for chunk in column.chunks:
                size = 8 * (len(chunk) + 1)
                valid, _, data = chunk.buffers()
                parts = [valid, offsets.slice(at, size), data]
                chunks.append(pa.Array.from_buffers(pa.large_string(), len(chunk), parts, chunk.null_count))
                at += size
            made.append(pa.chunked_array(chunks, pa.large_string()))
        return made

    @contextmanager
    def shedding(self) -> Iterator[None]:
        """Give back, while the block runs, what was looked at of pages that nobody can have written to."""
        done = threading.Event()

        def shed() -> None:
            while not done.wait(_SHED_EVERY):
                for memory in self._clean:
                    memory.madvise(mmap.MADV_DONTNEED)

        thread = threading.Thread(target=shed, name="framekeep-shedding", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _segment(self, place: Place) -> pa.Table:
        if place.offset + place.length > self._buffer.size:
            raise InvalidInputError("a stored table is not all in its file.")
        try:
            return pa.ipc.open_stream(self._buffer.slice(place.offset, place.length)).read_all()
        except (pa.ArrowException, ValueError, OSError) as error:
            raise InvalidInputError("a stored table is not Arrow data.") from error


def give_back() -> None:
    """Give the memory that a pass over a large table has freed back to the system, where it is not kept."""
    pa.default_memory_pool().release_unused()
    if hasattr(_libc, "malloc_trim"):  # glibc's
        _libc.malloc_trim(0)


def _offsets(chunk: pa.StringArray) -> np.ndarray[Any, Any]:
    buffer = chunk.buffers()[1]
    if len(chunk) == 0:  # may have none
        return np.zeros(1, np.int32)
    return np.frombuffer(buffer, np.int32, len(chunk) + 1, 4 * chunk.offset)

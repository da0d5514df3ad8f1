"""The physical layouts of a track: how rows become the bytes of chunks, and back.

- ``raw``: fixed-width numpy values, their bytes as they are.
- ``text``: variable-length bytes (Arrow strings and binaries): end offsets, bytes, validity.
- ``cells``: Python objects, each in the encoding of ``values.py``.
- ``arrow``: any other Arrow array, as an Arrow IPC stream.

``docs/format.md`` has every byte. Each layout has a ``cut_…`` that gives a Track, and a class that collects
the chunks of a row window and gives the array: memory is allocated once and filled chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from framekeep.errors import SessionDamagedError, UnsupportedTypeError
from framekeep.frames import values
from framekeep.frames.arrow_streams import read_batches
from framekeep.frames.borrow import arrow_nbytes, borrowed
from framekeep.frames.foreign import Allowance, check_arrow, check_cells, check_raw
from framekeep.frames.node import Ref, Track
from framekeep.frames.writing import (
    CHUNK_BYTES,
    CHUNK_LIMIT,
    CHUNK_ROWS,
    TOO_LONG,
    ChunkWriter,
    Piece,
    rows_per_chunk,
)
from framekeep.names import Buffer

NumpyArray = np.ndarray[Any, Any]

TEXT_TYPES: Final[dict[str, tuple[Any, np.dtype[Any]]]] = {
    "string": (pa.string(), np.dtype("<i4")),
    "large_string": (pa.large_string(), np.dtype("<i8")),
    "binary": (pa.binary(), np.dtype("<i4")),
    "large_binary": (pa.large_binary(), np.dtype("<i8")),
}
_CELLS_SAMPLE: Final = 1024


# --- writing ------------------------------------------------------------------------------------


def _windows(rows: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def cut_raw(array: NumpyArray, writer: ChunkWriter) -> Track:
    """Cut a 1-D array of a fixed-width dtype; the last chunk may be shorter."""
    dtype = array.dtype
    if dtype.char in "gG":
        array = _without_padding(array)
    step = rows_per_chunk(dtype.itemsize)
    integers = dtype.itemsize if dtype.kind in "iuMm" and dtype.str[0] in "<|" else 0

    def piece(start: int, end: int) -> Piece:
        def parts() -> tuple[Buffer]:
            return (np.ascontiguousarray(array[start:end]).view("u1").data,)

        return Piece(parts, integers)

    table = writer.write((piece(a, b) for a, b in _windows(len(array), step)), array.nbytes)
    return Track("raw", dtype.str, len(array), step, table)


def _without_padding(array: NumpyArray) -> NumpyArray:
    """Return a copy of extended floats, the bytes that hold no value zeroed: equal data has one name."""
    copied = np.array(array, order="C")
    if np.finfo(np.longdouble).nmant == 63:  # x87: ten bytes of sixteen
        padding = slice(0, 6) if copied.dtype.str[0] == ">" else slice(10, 16)
        copied.view("u1").reshape(-1, 16)[:, padding] = 0
    return copied


def is_text(kind: pa.DataType) -> bool:
    """Whether arrays of this Arrow type have the text layout."""
    return str(kind) in TEXT_TYPES


def cut_text(data: pa.ChunkedArray | pa.Array, writer: ChunkWriter) -> Track | None:
    """Cut a string or binary array; None when it is too long for its 32-bit offsets in one piece."""
    array = one_piece(data)
    if array is None:
        return None
    rows, kind = len(array), str(array.type)
    offset_type = TEXT_TYPES[kind][1]
    _, offsets_buffer, bytes_buffer = array.buffers()
    if rows == 0 or offsets_buffer is None:
        return Track("text", kind, rows, CHUNK_ROWS, b"")
    offsets = np.frombuffer(offsets_buffer, offset_type)[array.offset : array.offset + rows + 1]
    content = memoryview(bytes_buffer if bytes_buffer is not None else b"")
    valid = None
    if array.null_count:
        valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    step = _text_step(offsets)

    def piece(start: int, end: int) -> Piece:
        first, last = int(offsets[start]), int(offsets[end])
        if last - first > CHUNK_LIMIT:
            raise UnsupportedTypeError(f"The frame has {TOO_LONG}", type_name=kind)

        def parts() -> list[Buffer]:
            ends = (offsets[start + 1 : end + 1] - offset_type.type(first)).astype("<u4")
            found: list[Buffer] = [ends.view("u1").data, content[first:last]]
            if valid is not None and not valid[start:end].all():
                found.append(np.packbits(valid[start:end], bitorder="little").data)
            return found

        return Piece(parts, aux=last - first)

    nbytes = int(offsets[-1] - offsets[0]) + 4 * rows
    table = writer.write((piece(a, b) for a, b in _windows(rows, step)), nbytes)
    return Track("text", kind, rows, step, table)


def one_piece(data: pa.ChunkedArray | pa.Array) -> pa.Array | None:
    """Return the data as one array; None if it does not fit its own offsets."""
    if isinstance(data, pa.Array):
        return data
    if data.num_chunks == 1:
        return data.chunk(0)
    try:
        return pa.concat_arrays(data.chunks) if data.num_chunks else pa.array([], data.type)
    except pa.ArrowInvalid:
        return None


def _text_step(offsets: NumpyArray) -> int:
    """Return rows a chunk so that the largest chunk is about CHUNK_BYTES.

    A few long cells make no more chunks than of 1,024 rows; for fewer rows, cells must be long on average.
    """
    rows = len(offsets) - 1
    step = CHUNK_ROWS
    least = min(1024, rows_per_chunk(4 + int(offsets[-1] - offsets[0]) / rows))
    while step > least:
        marks = offsets[np.append(np.arange(0, rows, step), rows)]
        if int(np.diff(marks).max()) + 4 * step <= CHUNK_BYTES:
            break
        step //= 2
    return step


def cut_cells(cells: NumpyArray, writer: ChunkWriter, *, where: str, pickler: values.Pickler | None) -> Track:
    """Cut a 1-D object array.

    Raises:
        UnsupportedTypeError: for a cell that has no exact encoding.
    """
    rows = len(cells)
    sample = cells[:: max(1, rows // _CELLS_SAMPLE)][:_CELLS_SAMPLE]
    encoded = values.dump_cells(sample, where=where, pickler=pickler) if rows else b""
    step = max(64, rows_per_chunk(len(encoded) / max(1, len(sample))))

    def piece(start: int, end: int) -> Piece:
        if len(sample) == end - start == rows:
            return Piece(lambda: (encoded,))  # the sample is the column
        return Piece(lambda: (values.dump_cells(cells[start:end], where=where, pickler=pickler),))

    # Encoding holds the interpreter lock, so threads would not help: nbytes 0 keeps it in this one.
    return Track("cells", "", rows, step, writer.write((piece(a, b) for a, b in _windows(rows, step)), 0))


def cut_arrow(data: pa.ChunkedArray, writer: ChunkWriter, *, where: str) -> Track:
    """Cut any Arrow array into IPC streams, each read back and compared before it is kept.

    Raises:
        UnsupportedTypeError: if Arrow's own format does not give it back unchanged.
    """
    rows = len(data)
    step = max(64, rows_per_chunk(arrow_nbytes(data) / max(1, rows)))
    schema = pa.schema([pa.field("", data.type)])

    def piece(start: int, end: int) -> Piece:
        def parts() -> tuple[Buffer]:
            try:
                array = one_piece(data.slice(start, end - start))
                if array is None:
                    raise pa.ArrowInvalid("does not fit one array")
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, schema) as stream:
                    stream.write_batch(pa.record_batch([array], schema=schema))
                encoded = sink.getvalue()
                back = _read_stream(encoded)
                # Not the full check: what lies under a null may point anywhere, in the original too.
                back.validate()
                same = back.type == array.type and same_arrow(array, back)
            except (pa.ArrowException, NotImplementedError) as error:
                raise UnsupportedTypeError(
                    f"{where} has the Arrow type {data.type}, which Arrow's IPC format cannot keep: "
                    f"cast it to a plainer type ({type(error).__name__}).",
                    where=where,
                    type_name=str(data.type),
                ) from error
            if not same:
                raise UnsupportedTypeError(
                    f"{where} has the Arrow type {data.type}, which does not come back unchanged from "
                    "Arrow's IPC format: cast it to a plainer type.",
                    where=where,
                    type_name=str(data.type),
                )
            return (memoryview(encoded),)

        return Piece(parts)

    # An empty array is a chunk too: its dictionary may have values all the same.
    windows = _windows(rows, step) if rows else iter([(0, 0)] if data.num_chunks else [])
    table = writer.write((piece(a, b) for a, b in windows), arrow_nbytes(data))
    return Track("arrow", str(data.type), rows, step, table)


def same_arrow(a: pa.Array, b: pa.Array) -> bool:
    """Whether two arrays of one type hold the same values, NaN equal to NaN."""
    if a.equals(b):
        return True
    # Array.equals holds NaN unequal; comparing through Python objects is slow but complete.
    return len(a) == len(b) and all(_same_scalar(x, y) for x, y in zip(a, b, strict=True))


def _same_scalar(a: Any, b: Any) -> bool:
    if a.equals(b):
        return True
    try:
        return bool(a.is_valid == b.is_valid) and repr(a.as_py()) == repr(b.as_py())
    except (pa.ArrowException, ValueError, NotImplementedError):
        return repr(a) == repr(b)


def _read_stream(encoded: Any) -> pa.Array:
    _, batches = read_batches(encoded)
    if len(batches) != 1 or batches[0].num_columns != 1:
        raise SessionDamagedError("a stored Arrow chunk does not hold exactly one batch of one column")
    return batches[0].column(0)


# --- reading ------------------------------------------------------------------------------------


class Filling(Protocol):
    """The rows ``[start, stop)`` of a track, being filled from chunks in any order and from any thread."""

    def fill(self, first: int, ref: Ref, chunk: Buffer) -> None:
        """Take the bytes of the chunk that starts at row ``first``."""

    def array(self) -> Any:
        """Return the filled array."""


class _Raw:
    def __init__(self, track: Track, start: int, stop: int, own: bool, foreign: Allowance | None) -> None:
        self._track, self._start, self._stop, self._own = track, start, stop, own
        self._foreign = foreign
        self._owner = np.empty(stop - start, dtype=np.dtype(track.dtype))

    def fill(self, first: int, ref: Ref, chunk: Buffer) -> None:
        dtype = self._owner.dtype
        rows = min(self._track.step, self._track.rows - first)
        _expect(len(chunk) == rows * dtype.itemsize)
        low, high = max(first, self._start), min(first + rows, self._stop)
        source = np.frombuffer(chunk, "u1")[(low - first) * dtype.itemsize : (high - first) * dtype.itemsize]
        target = self._owner.view("u1")
        target[(low - self._start) * dtype.itemsize : (high - self._start) * dtype.itemsize] = source

    def array(self) -> NumpyArray:
        if self._foreign is not None:
            check_raw(self._owner)
        return self._owner if self._own else borrowed(self._owner)


class _Text:
    def __init__(self, track: Track, start: int, stop: int, foreign: Allowance | None) -> None:
        self._track, self._start, self._stop, self._foreign = track, start, stop, foreign
        first = start // track.step
        refs = track.refs(first, -(-stop // track.step)) if stop > start else []
        self._first, self._base = first, np.cumsum([0] + [ref.aux for ref in refs])
        rows = stop - start
        kind, offset_type = TEXT_TYPES[track.dtype]
        self._kind, self._rows = kind, rows
        self._offsets = np.zeros(rows + 1, dtype=offset_type)
        self._content = np.empty(int(self._base[-1]), dtype=np.uint8)
        nulls = any(
            ref.nbytes > ref.aux + 4 * min(track.step, track.rows - (first + i) * track.step)
            for i, ref in enumerate(refs)
        )
        self._valid = np.ones(rows, dtype=np.uint8) if nulls else None

    def fill(self, first: int, ref: Ref, chunk: Buffer) -> None:
        track = self._track
        rows = min(track.step, track.rows - first)
        bitmap = -(-rows // 8)
        plain = 4 * rows + ref.aux
        _expect(len(chunk) in (plain, plain + bitmap))
        ends = np.frombuffer(chunk, "<u4", count=rows)
        _expect(int(ends[-1]) == ref.aux)
        base = int(self._base[first // track.step - self._first])
        low, high = max(first, self._start), min(first + rows, self._stop)
        begin = 0 if low == first else int(ends[low - first - 1])
        end = int(ends[high - first - 1])
        _expect(begin <= end <= ref.aux)
        content = np.frombuffer(chunk, "u1", count=end - begin, offset=4 * rows + begin)
        self._content[base + begin : base + end] = content
        at = low - self._start
        self._offsets[at] = base + begin
        np.add(
            ends[low - first : high - first],
            base,
            out=self._offsets[at + 1 : at + 1 + high - low],
            casting="unsafe",
        )
        if len(chunk) > plain:
            packed = np.frombuffer(chunk, "u1", offset=plain)
            bits = np.unpackbits(packed, count=rows, bitorder="little")[low - first : high - first]
            _expect(self._valid is not None)
            assert self._valid is not None
            self._valid[at : at + high - low] = bits

    def array(self) -> pa.Array:
        for part in (self._offsets, self._content):
            part.flags.writeable = False  # so that Arrow's buffers are not writable either
        validity = None
        if self._valid is not None:
            validity = pa.py_buffer(np.packbits(self._valid, bitorder="little").tobytes())
        array = pa.Array.from_buffers(
            self._kind, self._rows, [validity, pa.py_buffer(self._offsets), pa.py_buffer(self._content)]
        )
        if self._foreign is not None:
            check_arrow(array)
        return array


class _Pieces:
    """Layouts whose chunks are arrays of their own: kept apart, cut to the window, joined at the end."""

    def __init__(self, track: Track, start: int, stop: int) -> None:
        self._track, self._start, self._stop = track, start, stop
        self._found: dict[int, Any] = {}

    def fill(self, first: int, ref: Ref, chunk: Buffer) -> None:
        rows = min(self._track.step, self._track.rows - first)
        piece = self._decode(chunk, rows)
        _expect(len(piece) == rows)
        self._found[first] = piece[max(0, self._start - first) : self._stop - first]

    def _decode(self, chunk: Buffer, rows: int) -> Any:
        raise NotImplementedError

    def _pieces(self) -> list[Any]:
        return [self._found[first] for first in sorted(self._found)]


class _Cells(_Pieces):
    def __init__(
        self,
        track: Track,
        start: int,
        stop: int,
        pickler: values.Pickler | None,
        own: bool,
        foreign: Allowance | None,
    ) -> None:
        super().__init__(track, start, stop)
        self._pickler, self._own, self._foreign = pickler, own, foreign

    def _decode(self, chunk: Buffer, rows: int) -> NumpyArray:
        return values.load_cells(bytes(chunk), rows, pickler=self._pickler, allowance=self._foreign)

    def array(self) -> NumpyArray:
        pieces = self._pieces()
        if len(pieces) == 1:
            cells = np.ascontiguousarray(pieces[0])
        else:
            cells = np.concatenate(pieces) if pieces else np.empty(0, dtype=object)
        if self._foreign is not None:
            check_cells(cells)
        return cells if self._own else borrowed(cells)


class _Arrow(_Pieces):
    def __init__(
        self, track: Track, start: int, stop: int, kind: pa.DataType, foreign: Allowance | None
    ) -> None:
        super().__init__(track, start, stop)
        self._kind, self._foreign = kind, foreign

    def _decode(self, chunk: Buffer, rows: int) -> pa.Array:
        try:
            array = _read_stream(bytes(chunk))
        except pa.ArrowException as error:
            raise SessionDamagedError("a stored Arrow chunk cannot be read") from error
        if array.type != self._kind:
            raise SessionDamagedError(
                f"a stored Arrow chunk has type {array.type} where {self._kind} was written; if that is an "
                "extension type, register it with pyarrow first"
            )
        if self._foreign is not None:
            check_arrow(array)
        return array

    def array(self) -> pa.ChunkedArray:
        # Not without any chunk: of a list_view of none pyarrow aborts the process in many functions.
        pieces = self._pieces() or [pa.nulls(0, self._kind)]
        return pa.chunked_array(pieces, type=self._kind)


def filling(
    track: Track,
    start: int,
    stop: int,
    *,
    kind: pa.DataType | None = None,
    pickler: values.Pickler | None = None,
    own: bool = False,
    foreign: Allowance | None = None,
) -> Filling:
    """Return the empty rows ``[start, stop)`` of ``track``, to be filled.

    Args:
        own: give memory that may be written to, instead of borrowed memory.
        kind: the exact Arrow type, for the layout ``arrow``.
        pickler: opens signed pickles, for the layout ``cells``.
        foreign: given when nobody vouches for the chunks; what they hold is then checked.
    """
    makers: dict[str, Callable[[], Filling]] = {
        "raw": lambda: _Raw(track, start, stop, own, foreign),
        "text": lambda: _Text(track, start, stop, foreign),
        "cells": lambda: _Cells(track, start, stop, pickler, own, foreign),
        "arrow": lambda: _Arrow(track, start, stop, kind, foreign),
    }
    maker = makers.get(track.layout)
    if maker is None:
        raise SessionDamagedError(f"a stored manifest names the unknown layout {track.layout!r}")
    return maker()


def _expect(holds: bool) -> None:
    if not holds:
        raise SessionDamagedError("a stored chunk does not have the length its manifest gives")

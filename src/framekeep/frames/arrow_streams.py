"""Opening Arrow IPC streams that may come from anybody: every part is checked, and none is compressed.

Framekeep never writes compressed ones. Their buffers say themselves how large they get, and Arrow believes
it, so a few bytes could ask for all memory.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import pyarrow as pa

from framekeep.frames.values_kinds import damaged

_HEADER: Final = 2
"""Fields of the flatbuffers that Arrow's messages are, by number (``format/Message.fbs``)."""
_DATA_OF_DICTIONARY: Final = 1
_COMPRESSION: Final = 3


def read_batches(data: Any) -> tuple[Any, list[Any]]:
    """Return the schema and the batches of an Arrow buffer; the caller checks the schema and validates them.

    Raises:
        SessionDamagedError: they are compressed, or ask for more memory than there is.
        pyarrow.ArrowException, OSError: the bytes are no stream.
    """
    buffer = pa.py_buffer(data)
    try:
        _refuse_compressed(buffer)
        with pa.ipc.open_stream(buffer) as stream:
            return stream.schema, list(stream)
    except MemoryError:  # a forged length
        damaged("not an Arrow stream")


def _refuse_compressed(buffer: Any) -> None:
    reader = pa.ipc.MessageReader.open_stream(buffer)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary"):
            try:
                compressed = _is_compressed(memoryview(message.metadata), message.type == "dictionary")
            except struct.error:
                damaged("not an Arrow stream")
            if compressed:
                damaged("an Arrow stream is compressed")


def _is_compressed(metadata: memoryview, dictionary: bool) -> bool:
    table = _follow(metadata, 0)
    batch = _child(metadata, table, _HEADER)
    if batch is not None and dictionary:
        batch = _child(metadata, batch, _DATA_OF_DICTIONARY)
    return batch is not None and _child(metadata, batch, _COMPRESSION) is not None


def _child(data: memoryview, table: int, field: int) -> int | None:
    """Return where the table of a field of a table begins; None if it has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    at = 4 + 2 * field
    if at + 2 > size:
        return None
    offset = struct.unpack_from("<H", data, vtable + at)[0]
    return _follow(data, table + offset) if offset else None


def _follow(data: memoryview, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])

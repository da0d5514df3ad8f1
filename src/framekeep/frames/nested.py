"""pandas objects inside cells: each a frame of its own, in one self-contained encoding.

Importing this module teaches ``values.py`` to keep them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from framekeep.errors import SessionDamagedError
from framekeep.frames import arrays, axes, values
from framekeep.frames.arrays import Encoding, Loader
from framekeep.frames.envelope import Envelope
from framekeep.frames.foreign import Allowance
from framekeep.frames.foreign_nodes import check_node
from framekeep.frames.manifest import manifest_bytes, parse
from framekeep.frames.node import Node
from framekeep.frames.reading import Visit, read_serially
from framekeep.frames.writing import ChunkWriter
from framekeep.names import Digest

_KINDS: Final = (pd.DataFrame, pd.Series, pd.Index)
_LENGTHS: Final = struct.Struct("<BIII")
"""Kind, and the lengths of the name, of the manifest and of the chunks."""
_CHUNK: Final = struct.Struct("<16sI")
_FRAME, _SERIES, _INDEX, _ARRAY = range(4)


def dump_nested(value: Any) -> bytes:
    """Return the self-contained encoding of a frame, Series, Index or extension array.

    Raises:
        UnsupportedTypeError: for what cannot be kept exactly, subclasses among it.
    """
    # by_column: cells may be encoded by a task of the pool, which must not wait for it.
    writer = ChunkWriter(Envelope(compress=False), by_column=True)
    to = Encoding(writer, where=f"{type(value).__name__} in a cell")
    index: pd.Index = pd.RangeIndex(0)
    columns: list[Any] = []
    labels: pd.Index = pd.RangeIndex(0)
    name: object = None
    if type(value) is pd.DataFrame:
        kind, index, labels = _FRAME, value.index, value.columns
        columns = [value.iloc[:, i].array for i in range(value.shape[1])]
    elif type(value) is pd.Series:
        kind, index, columns, name = _SERIES, value.index, [value.array], value.name
    elif isinstance(value, pd.Index):
        kind, index = _INDEX, value
    elif isinstance(value, pd.api.extensions.ExtensionArray):
        kind, index, columns = _ARRAY, pd.RangeIndex(len(value)), [value]
    else:
        raise to.refuse(f"{type(value).__module__}.{type(value).__qualname__}")
    if kind != _FRAME:
        labels = pd.RangeIndex(len(columns))
    if kind == _ARRAY and type(value) is pd.arrays.NumpyExtensionArray:
        raise to.refuse("pandas.arrays.NumpyExtensionArray")
    nodes = tuple(arrays.encode(_unwrapped(column), to) for column in columns)
    attrs = getattr(value, "attrs", None)
    flags = getattr(value, "flags", None)
    manifest = manifest_bytes(
        axes.encode(index, to),
        axes.encode(labels, to),
        nodes,
        to.dump(attrs, "attrs") if attrs else None,
        flags is not None and not flags.allows_duplicate_labels,
    )
    chunks = b"".join(
        part for name_, blob in writer.blobs.items() for part in (_CHUNK.pack(name_, len(blob)), blob)
    )
    label = values.dump(name, where=to.where)
    return b"".join((_LENGTHS.pack(kind, len(label), len(manifest), len(chunks)), label, manifest, chunks))


def _unwrapped(array: Any) -> Any:
    return array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array


_AS_LONG: Final = ("index", "interval")
"""Kinds whose children have a row for each of theirs."""


def _check_sizes(node: Node, most: int) -> None:
    """Refuse rows that no chunk fills, and chunks above ``most`` bytes: only the cell vouches for them."""
    for track in node.tracks:
        # Chunks within a cell are not compressed, so none is larger than the cell.
        if track.rows != node.rows or any(max(ref.nbytes, ref.aux) > most for ref in track.refs()):
            raise SessionDamagedError("a pandas object in a cell has a part of another length")
    for child in node.children:
        if node.kind in _AS_LONG and child.rows != node.rows:
            raise SessionDamagedError("a pandas object in a cell has a part of another length")
        _check_sizes(child, most)


def load_nested(data: bytes, foreign: Allowance | None = None) -> object:
    """Return the object that ``dump_nested`` took apart.

    Args:
        foreign: what may still be decoded of bytes that nobody vouches for, which are checked.

    Raises:
        SessionDamagedError: if the bytes are not such an encoding.
    """
    view = memoryview(data)
    if len(view) < _LENGTHS.size:
        raise SessionDamagedError("a pandas object in a cell is cut short")
    kind, *lengths = _LENGTHS.unpack_from(view)
    if _LENGTHS.size + sum(lengths) != len(view) or kind > _ARRAY:
        raise SessionDamagedError("a pandas object in a cell is malformed")
    parts, at = [], _LENGTHS.size
    for length in lengths:
        parts.append(view[at : at + length])
        at += length
    name, parsed, chunks = values.load(parts[0], allowance=foreign), parse(parts[1]), _chunks(parts[2])

    def read(digests: Sequence[Digest], visit: Visit) -> None:
        for i, digest in enumerate(digests):
            if digest not in chunks:
                raise SessionDamagedError("a pandas object in a cell lacks one of its chunks")
            visit(i, chunks[digest])

    def made(node: Node, *, axis: bool = False) -> Any:
        _check_sizes(node, len(view))
        if foreign is not None:
            check_node(node, foreign, axis=axis)
        loader = Loader(foreign=foreign)
        build = (axes.build if axis else arrays.build)(node, loader)
        read_serially(read, loader.jobs)  # cells are decoded by a task of the pool
        return build()

    index = made(parsed.index, axis=True)
    if kind == _INDEX:
        return index
    columns = [made(node) for node in parsed.arrays]
    if kind == _ARRAY:
        return columns[0].copy()
    if kind == _SERIES:
        result: Any = pd.Series(columns[0], index=index, name=name, copy=True)
    else:
        result = pd.DataFrame(dict(enumerate(columns)), index=index, copy=True)
        result.columns = made(parsed.axis, axis=True)
    if parsed.attrs is not None:
        result.attrs = arrays.undump(parsed.attrs, allowance=foreign)
    if parsed.unique_labels:
        result.flags.allows_duplicate_labels = False
    return result


def _chunks(area: memoryview) -> dict[Digest, memoryview]:
    found: dict[Digest, memoryview] = {}
    at = 0
    while at < len(area):
        if at + _CHUNK.size > len(area):
            raise SessionDamagedError("a pandas object in a cell is cut short")
        digest, length = _CHUNK.unpack_from(area, at)
        at += _CHUNK.size
        if at + length > len(area):
            raise SessionDamagedError("a pandas object in a cell is cut short")
        found[Digest(digest)] = area[at : at + length]
        at += length
    return found


values.register_nested(dump_nested, load_nested)

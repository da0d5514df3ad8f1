"""The manifest: one immutable state of a frame, as a list of chunks and how to put them together.

``docs/format.md`` has every byte.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from framekeep.errors import NewerFormatError, SessionDamagedError
from framekeep.frames.node import Node, node_from
from framekeep.names import Buffer, Digest
from framekeep.once import cached_property

MAGIC: Final = b"FKM"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<3sBI")
"""Magic, version, length of the JSON part; the JSON part and the chunk references follow."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """One state of a frame.

    Attributes:
        digest: its name.
        rows: number of rows.
        columns: the column labels.
        index: the node of the row index.
        axis: the node of the column labels.
        arrays: the node of each column.
        attrs: ``DataFrame.attrs``, encoded; None when empty.
        unique_labels: True when the frame forbids duplicate labels (``DataFrame.flags``).
    """

    digest: Digest
    rows: int
    columns: pd.Index
    index: Node
    axis: Node
    arrays: tuple[Node, ...]
    attrs: str | None
    unique_labels: bool

    @cached_property
    def dtypes(self) -> tuple[str, ...]:
        """The dtype of each column, as pandas prints it."""
        return tuple(node.name for node in self.arrays)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the frame's data when decoded."""
        return self.index.nbytes + self.axis.nbytes + sum(node.nbytes for node in self.arrays)

    @cached_property
    def digests(self) -> frozenset[Digest]:
        """The names of every chunk and of the manifest itself: what a space must keep for this state."""
        return frozenset().union([self.digest], *(node.names for node in self.nodes()))

    def nodes(self) -> Iterator[Node]:
        """Yield the index, the column labels and each column."""
        yield self.index
        yield self.axis
        yield from self.arrays

    def places(self) -> Iterator[tuple[str, Node]]:
        """Yield each node with what it is called in an error."""
        yield "index", self.index
        yield "column labels", self.axis
        for label, node in zip(self.columns, self.arrays, strict=True):
            yield place(label), node

    def locate(self, digest: Digest) -> str:
        """Return which part of the frame a chunk belongs to."""
        if digest == self.digest:
            return "manifest"
        return next((where for where, node in self.places() if digest in node.names), "unknown part")


def place(label: object) -> str:
    """Return what a column is called in an error."""
    try:
        text = repr(label)
    except Exception:  # an int of more digits than Python prints, or a label's own repr
        text = f"of type {type(label).__name__}"
    return f"column {text if len(text) <= 80 else text[:77] + '...'}"


def manifest_bytes(
    index: Node, axis: Node, arrays: tuple[Node, ...], attrs: str | None, unique_labels: bool
) -> bytes:
    """Return the bytes of a manifest."""
    nodes = (index, axis, *arrays)
    head = json.dumps({"attrs": attrs, "unique_labels": unique_labels}, separators=(",", ":"))
    text = f"[{head},[{','.join(node.json for node in nodes)}]]".encode()
    return b"".join((_HEAD.pack(MAGIC, VERSION, len(text)), text, *(node.tables for node in nodes)))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A manifest's content before its labels are read."""

    index: Node
    axis: Node
    arrays: tuple[Node, ...]
    attrs: str | None
    unique_labels: bool

    def named(self, digest: Digest, columns: pd.Index) -> Manifest:
        """Return the manifest, its labels read."""
        return Manifest(
            digest,
            self.index.rows,
            columns,
            self.index,
            self.axis,
            self.arrays,
            self.attrs,
            self.unique_labels,
        )


def parse(data: Buffer) -> Parsed:
    """Return what the bytes of a manifest say.

    Raises:
        NewerFormatError: if a newer version wrote it.
        SessionDamagedError: if it has not the documented form.
    """
    view = memoryview(data)
    if len(view) < _HEAD.size:
        raise SessionDamagedError("a stored manifest is too short", where="manifest")
    magic, version, length = _HEAD.unpack_from(view)
    if magic != MAGIC or _HEAD.size + length > len(view):
        raise SessionDamagedError("a stored manifest does not have the documented form", where="manifest")
    if version > VERSION:
        raise NewerFormatError(
            f"A stored frame has manifest version {version}; this version of framekeep reads up to "
            f"{VERSION}. Upgrade framekeep to read it."
        )
    try:
        head, values = json.loads(bytes(view[_HEAD.size : _HEAD.size + length]))
        attrs, unique = head["attrs"], bool(head["unique_labels"])
        table, at, nodes = view[_HEAD.size + length :], 0, list[Any]()
        for value in values:
            node, at = node_from(value, table, at)
            nodes.append(node)
        index, axis, *arrays = nodes
    except (ValueError, TypeError, KeyError) as error:
        raise SessionDamagedError(
            "a stored manifest does not have the documented form", where="manifest"
        ) from error
    if at != len(table) or any(node.rows != index.rows for node in arrays) or axis.rows != len(arrays):
        raise SessionDamagedError("a stored manifest contradicts itself", where="manifest")
    return Parsed(index, axis, tuple(arrays), attrs, unique)

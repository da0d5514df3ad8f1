"""The description of one stored array or axis: what it is, and which chunks hold it.

A *track* is one physical sequence of rows in one layout, cut into chunks. A *node* is a logical array (a
column, an index, a set of categories …): its kind, what is needed to build it again, its tracks, and the
nodes inside it. Nodes are immutable, and equal nodes have equal keys.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from framekeep.errors import SessionDamagedError
from framekeep.names import DIGEST_SIZE, Digest, digest_of
from framekeep.once import cached_property

REF: Final = struct.Struct("<16sQII")
"""A chunk reference: digest, XXH3-64 of the bytes, number of bytes, layout's own number."""


class Ref(NamedTuple):
    """One chunk of a track."""

    digest: Digest
    checksum: int
    nbytes: int
    aux: int


@dataclass(frozen=True)
class Track:
    """Rows in one physical layout.

    Attributes:
        layout: "raw", "text", "cells" or "arrow".
        dtype: numpy dtype string (raw), Arrow type name (text, arrow) or "".
        rows: how many.
        step: rows in a chunk (the last may have fewer).
        table: the packed chunk references.
    """

    layout: str
    dtype: str
    rows: int
    step: int
    table: bytes

    def refs(self, first: int = 0, last: int | None = None) -> list[Ref]:
        """Return the references of chunks ``[first:last]``."""
        end = None if last is None else last * REF.size
        return [
            Ref(Digest(digest), checksum, nbytes, aux)
            for digest, checksum, nbytes, aux in REF.iter_unpack(self.table[first * REF.size : end])
        ]

    def digests(self) -> Iterator[Digest]:
        """Yield the names of the chunks."""
        table = self.table
        for at in range(0, len(table), REF.size):
            yield Digest(table[at : at + DIGEST_SIZE])


@dataclass(frozen=True, eq=False)
class Node:
    """A stored array or axis.

    Attributes:
        kind: which builder makes it again (``arrays.py``, ``axes.py``).
        rows: its length.
        params: what else the builder needs; JSON values only.
        tracks: its physical parts.
        children: arrays or axes inside it.
        name: the pandas dtype as a person reads it ("" for axes).
        nbytes: bytes of the decoded data.
    """

    kind: str
    rows: int
    params: dict[str, Any]
    tracks: tuple[Track, ...] = ()
    children: tuple[Node, ...] = ()
    name: str = ""
    nbytes: int = field(default=0)

    @cached_property
    def json(self) -> str:
        """The node without its chunk references, as compact JSON."""
        shapes = tuple((t.layout, t.dtype, t.rows, t.step, len(t.table) // REF.size) for t in self.tracks)
        params = json.dumps(self.params, separators=(",", ":")) if self.params else "{}"
        head = _head_json(self.kind, self.rows, params, shapes, self.name, self.nbytes)
        return f"{head[:-1]},[{','.join(child.json for child in self.children)}]]"

    @cached_property
    def tables(self) -> bytes:
        """The chunk references of the node and of all within, in order."""
        return b"".join((*(track.table for track in self.tracks), *(child.tables for child in self.children)))

    @cached_property
    def key(self) -> Digest:
        """The name of the content: equal for equal nodes."""
        return digest_of(self.json.encode(), self.tables)

    @cached_property
    def step(self) -> int:
        """Rows in the longest chunks of any track; steps are powers of two, so the others end there too."""
        return max((track.step for track in self.walk()), default=max(1, self.rows))

    @cached_property
    def names(self) -> frozenset[Digest]:
        """The chunk names of the node and of all within."""
        return frozenset(self.digests())

    def walk(self) -> Iterator[Track]:
        """Yield the tracks of the node and of all within."""
        yield from self.tracks
        for child in self.children:
            yield from child.walk()

    def digests(self) -> Iterator[Digest]:
        """Yield the chunk names of the node and of all within."""
        tables = self.tables
        for at in range(0, len(tables), REF.size):
            yield Digest(tables[at : at + DIGEST_SIZE])


@lru_cache(maxsize=1024)
def _head_json(
    kind: str,
    rows: int,
    params: str,
    shapes: tuple[tuple[str, str, int, int, int], ...],
    name: str,
    nbytes: int,
) -> str:
    # The columns of a wide frame differ in their chunks only.
    before, after = json.dumps([[kind, rows], [shapes, name, nbytes]], separators=(",", ":"))[2:-2].split(
        "],[", 1
    )
    return f"[{before},{params},{after}]"


def node_from(value: Any, table: memoryview, at: int) -> tuple[Node, int]:
    """Return the node that a parsed ``Node.json`` and ``table[at:]`` describe, and the next ``at``.

    Raises:
        SessionDamagedError: if the two do not fit.
    """
    try:
        kind, rows, params, shapes, name, nbytes, inner = value
        tracks = []
        for layout, dtype, track_rows, step, count in shapes:
            end = at + count * REF.size
            if count < 0 or end > len(table):
                raise ValueError("too few chunk references")
            tracks.append(Track(layout, dtype, track_rows, step, bytes(table[at:end])))
            at = end
        children = []
        for child in inner:
            node, at = node_from(child, table, at)
            children.append(node)
    except (ValueError, TypeError) as error:
        raise SessionDamagedError("a stored manifest does not have the documented form") from error
    return Node(kind, rows, params, tuple(tracks), tuple(children), name, nbytes), at

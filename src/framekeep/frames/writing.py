"""From rows to chunks: cutting, naming, packing and staging.

A *piece* is the recipe of one chunk: a function that gives its bytes as parts. A chunk that the space holds
already is copied and hashed, not packed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Final, NamedTuple, TypeAlias, TypeVar

import numpy as np

from framekeep.errors import UnsupportedTypeError
from framekeep.frames.envelope import Envelope
from framekeep.frames.node import REF
from framekeep.names import Buffer, Digest, checksum_of, digest_of

T = TypeVar("T")

Stage: TypeAlias = Callable[[Mapping[Digest, bytes]], None]
"""Stores blobs of one space ahead of a commit."""

CHUNK_ROWS: Final = 65_536
CHUNK_BYTES: Final = 1 << 20
STAGE_BYTES: Final = 16 << 20
"""What may wait in memory before it is staged: bounds a create's memory and a writer's hold on the store.

It is there three times: waiting, being stored, and as the store's dirty pages.
"""

CHUNK_LIMIT: Final = (1 << 32) - 1
"""Sizes and offsets within a chunk are unsigned 32-bit."""
TOO_LONG: Final = "cells so large that a chunk would be 4 GiB or more: keep such values outside of the frame."

_PARALLEL_BYTES: Final = 4 << 20
"""Below this a column is hashed in the calling thread: handing it over costs more."""
_AHEAD: Final = 16
"""Chunks under way at once; with 1 MiB chunks this bounds their memory to 16 MiB."""


class Piece(NamedTuple):
    """The recipe of one chunk.

    Attributes:
        parts: gives the chunk's bytes, in order.
        integers: width of its integers in bytes if it is an array of them, else 0.
        aux: the layout's own number, kept in the chunk reference.
    """

    parts: Callable[[], Sequence[Buffer]]
    integers: int = 0
    aux: int = 0


def rows_per_chunk(row_bytes: float) -> int:
    """Return how many rows make a chunk: a power of two, at most CHUNK_ROWS and about CHUNK_BYTES."""
    step = CHUNK_ROWS
    while step > 8 and step * row_bytes > CHUNK_BYTES:
        step //= 2
    return step


@cache
def pool() -> ThreadPoolExecutor:
    """Return this process's pool for hashing, packing and decoding; its tasks never wait for each other."""
    _teach_malloc()
    # The one thread beyond the cores waits for the disk.
    threads = min(8, os.cpu_count() or 1) + 1
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="framekeep")


def start(work: Callable[..., T], *args: object) -> Future[T]:
    """Have the pool do ``work(*args)``; do it here when it takes no more, as while the interpreter exits."""
    try:
        return pool().submit(work, *args)
    except RuntimeError:
        done: Future[T] = Future()
        try:
            done.set_result(work(*args))
        except BaseException as error:
            done.set_exception(error)
        return done


# Threads do not survive a fork, and a process id can come again.
os.register_at_fork(after_in_child=pool.cache_clear)


def _teach_malloc() -> None:
    """Let glibc keep freed chunks instead of giving each back to the kernel.

    Freeing one large block raises its thresholds, as in any program that ever freed one. Until then each copy
    of a chunk is a fresh mapping: 2.7 GB/s measured for page faults, 25 GB/s after.
    """
    np.empty(31 << 20, dtype=np.uint8)  # not touched, so it costs nothing


@dataclass(slots=True)
class ChunkWriter:
    """Turns pieces into chunk references, and keeps or stages the blobs that the space does not hold.

    Args:
        envelope: how chunks are packed.
        present: names the space holds already.
        stage: where blobs go when more than STAGE_BYTES wait; None keeps all in ``blobs``.

    Attributes:
        by_column: whether whole columns are under way in the pool's threads, so that each does all its own
            work, staging too. Else the chunks of one column are.
    """

    envelope: Envelope
    present: frozenset[Digest] = frozenset()
    stage: Stage | None = None
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    staged: bool = False
    _named: set[Digest] = field(default_factory=set)
    _waiting: int = 0
    _staging: Future[None] | None = None
    by_column: bool = False
    _lock: Lock = field(default_factory=Lock)
    _stage_lock: Lock = field(default_factory=Lock)

    def write(self, pieces: Iterable[Piece], nbytes: int) -> bytes:
        """Return the packed references of the chunks made from ``pieces``, about ``nbytes`` bytes in all."""
        if nbytes < _PARALLEL_BYTES or self.by_column:
            return b"".join(self._done(*self._make(piece)) for piece in pieces)
        under_way, table = deque[Future[tuple[bytes, Digest, bytes | None]]](), []
        try:
            for piece in pieces:
                if len(under_way) >= _AHEAD:
                    table.append(self._done(*under_way.popleft().result()))
                under_way.append(start(self._make, piece))
            table.extend(self._done(*future.result()) for future in under_way)
        finally:
            for future in under_way:
                future.cancel()
        return b"".join(table)

    def put(self, data: bytes) -> Digest:
        """Keep the bytes of a record that is not cut (a manifest), as they are; return their name."""
        name = digest_of(data)
        if name not in self.present:
            self._keep(name, data)
        return name

    def _make(self, piece: Piece) -> tuple[bytes, Digest, bytes | None]:
        # Our own copy, also of what is present already: a caller that writes to its frame meanwhile changes
        # what is stored, but cannot make it disagree with its name or its checksum.
        parts = piece.parts()
        data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        if len(data) > CHUNK_LIMIT:
            raise UnsupportedTypeError(f"The frame has {TOO_LONG}", type_name=f"chunk of {len(data)} bytes")
        name = digest_of(data)
        ref = REF.pack(name, checksum_of(data), len(data), piece.aux)
        blob = None if name in self.present else self.envelope.pack(data, integers=piece.integers)
        return ref, name, blob

    def _done(self, ref: bytes, name: Digest, blob: bytes | None) -> bytes:
        if blob is not None:
            self._keep(name, blob)
        return ref

    def _keep(self, name: Digest, blob: bytes) -> None:
        with self._lock:
            if name in self._named:
                return
            self._named.add(name)
            self.blobs[name] = blob
            self._waiting += len(blob)
            if self.stage is None or self._waiting < STAGE_BYTES:
                return
            batch = self.blobs
            self.staged, self.blobs, self._waiting = True, {}, 0
        # The disk works while other chunks are hashed; one batch at a time bounds the memory.
        if self.by_column:
            with self._stage_lock:
                self.stage(batch)
        else:
            self.settle()
            self._staging = start(self.stage, batch)

    def names(self) -> frozenset[Digest]:
        """Return the names of all that was kept or staged."""
        return frozenset(self._named)

    def settle(self) -> None:
        """Wait until what was handed to ``stage`` is stored; raise what it raised."""
        staging, self._staging = self._staging, None
        if staging is not None:
            staging.result()

"""Chunk caches with entries that are known by numbers, for tests."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Sequence

from framekeep.engines.chunk_cache import ChunkCache
from framekeep.names import Digest, digest_of, space

A = space("session", "a")
B = space("session", "b")
LIMIT = 4 << 20


def content(i: int, size: int = 5000) -> bytes:
    return random.Random(i).randbytes(size)


def name(i: int) -> Digest:
    return digest_of(b"%d" % i)


def put(cache: ChunkCache, numbers: Sequence[int], size: int = 5000) -> None:
    cache.put([cache.entry(A, name(i), content(i, size)) for i in numbers])


def got(cache: ChunkCache, numbers: Sequence[int]) -> dict[int, bytes]:
    """Return what the cache has of the entries with these numbers."""
    found: dict[int, bytes] = {}
    for i in numbers:
        cache.read(A, [name(i)], 0, lambda _, buffer, i=i: found.__setitem__(i, bytes(buffer)))  # type: ignore[misc]
    return found


def all_right(cache: ChunkCache, numbers: Sequence[int], size: int = 5000) -> int:
    """Return how many are there, all of them as they were put."""
    found = got(cache, numbers)
    assert found == {i: content(i, size) for i in found}
    return len(found)


def put_at_last(cache: ChunkCache, i: int) -> None:
    """Put an entry among others that write, to whom a put gives way, until it is there and read."""
    deadline = time.monotonic() + 30
    while not all_right(cache, [i]):
        assert time.monotonic() < deadline
        put(cache, [i])


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

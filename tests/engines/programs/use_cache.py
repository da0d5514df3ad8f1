"""Use a chunk cache in some way: use_cache.py DIRECTORY LIMIT WAY.

WAY is ``for-ever`` (reads and puts entries until killed, and ends with an error if one is wrong), ``reading``
(stays inside a visit), ``changing`` (stays inside a change), ``open``. Says ``ready`` when it is so.
"""

import random
import signal
import sys

from framekeep.engines.base import Change
from framekeep.engines.cached import CachedEngine
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.engines.memory import MemoryEngine
from framekeep.names import digest_of, new_revision, space

A = space("session", "a")


def wait(*_: object) -> None:
    print("ready", flush=True)
    signal.pause()


directory, limit, way = sys.argv[1:]
contents = [bytes([i]) * (1 + i * 1999) for i in range(100)]
held = {digest_of(content): content for content in contents}
inner = MemoryEngine()
inner.commit(A, Change(None, new_revision(), b"", held))
engine = CachedEngine(inner, ChunkCache(directory, int(limit)))
digests = list(held)
if way == "reading":
    engine.read(A, digests[:1], lambda i, buffer: None)
    engine.read(A, digests[:1], wait)
if way == "changing":
    engine._cache._file.change(lambda txn: wait(), None, patience=1.0)
if way == "for-ever":
    print("ready", flush=True)
    while True:
        some = random.sample(digests, 30)

        def check(i: int, buffer: memoryview, some: list = some) -> None:
            assert buffer == held[some[i]]

        engine.read(A, some, check)
        if random.random() < 0.1:
            engine.stage(A, {some[0]: held[some[0]]})
        assert engine.counters()["failures"] == 0, engine.counters()
wait()

"""Hold a store open in some way until killed: hold_open.py DIRECTORY WAY.

WAY is ``open``, ``reading`` (stays inside a read), ``writing`` (stays inside a write), ``growing`` (writes
8 MiB first) or ``locked`` (holds the store as if compacting). Says ``ready`` when it is so.
"""

import fcntl
import os
import signal
import sys

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_step import writing
from framekeep.engines.lmdb_store import LOCK_FILE
from framekeep.names import digest_of, new_revision, space


def wait(*_: object) -> None:
    print("ready", flush=True)
    signal.pause()


directory, way = sys.argv[1:]
if way == "locked":
    fcntl.flock(os.open(os.path.join(directory, LOCK_FILE), os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
    wait()
A = space("session", "held")
engine = LmdbEngine(directory, map_size=1 << 20)
contents = [bytes([i]) * (1 << 20) for i in range(8)] if way == "growing" else [b"held"]
blobs = {digest_of(content): content for content in contents}
engine.commit(A, Change(None, new_revision(), b"", blobs))
if way == "reading":
    engine.read(A, list(blobs), wait)
if way == "writing":
    with writing(engine._opened()):
        wait()
wait()

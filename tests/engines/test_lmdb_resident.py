"""Reading and walking much of the store leaves no large part of its file in the process's memory."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import Digest, digest_of, new_revision, space

STATUS = Path("/proc/self/status")
BLOBS, SIZE = 256, 512 << 10

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="the kernel does not say what is resident")


def resident_file_bytes() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssFile"))
    return int(line.split()[1]) << 10


def test_a_large_read_and_a_long_walk_give_the_pages_back(tmp_path: Path) -> None:
    name = space("session", "s")
    with_content = {}
    for _ in range(BLOBS):
        data = os.urandom(SIZE)
        with_content[digest_of(data)] = data
    engine = LmdbEngine(tmp_path)
    try:
        first = new_revision()
        engine.stage(name, with_content)
        gc.collect()  # what other tests mapped is let go of now, or not at all
        before = resident_file_bytes()
        keep = frozenset(with_content)
        engine.commit(name, Change(expected=None, revision=first, body=b"", keep=keep))
        assert resident_file_bytes() - before < BLOBS * SIZE // 2
        seen: list[Digest] = []
        names = list(with_content)
        engine.read(name, names, lambda i, buffer: seen.append(digest_of(buffer)))
        assert seen == names
        assert resident_file_bytes() - before < BLOBS * SIZE // 2
    finally:
        engine.close()

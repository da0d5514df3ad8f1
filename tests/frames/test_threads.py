"""Many threads, and forks while they work."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.frames import FrameCodec
from framekeep.frames.cache import Cache
from framekeep.frames.reading import checked
from framekeep.names import Digest
from framekeep.testing.identical import assert_identical

DEADLINE = 60.0


def in_threads(count: int, work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive(), "a thread waits for ever"
    assert not failures, failures


def test_large_frames_in_cells_are_read_by_many_threads_at_once() -> None:
    space = Space()
    cells = np.empty(130, dtype=object)
    cells[:] = [0] * 130
    cells[[0, 65, 129]] = [pd.DataFrame({"a": np.arange(300_000) + i}) for i in range(3)]
    manifest = space.keep(pd.DataFrame({"first": cells, "second": cells[::-1].copy()}))

    def read() -> None:
        for _ in range(3):
            FrameCodec(cache_bytes=0).decode(space.read, manifest)

    in_threads(2 * (os.cpu_count() or 1) + 4, read)


def test_one_codec_encodes_decodes_evicts_and_clears_in_many_threads() -> None:
    space, codec = Space(), FrameCodec(cache_bytes=300_000)
    sources = [pd.DataFrame({"a": np.arange(20_000.0) + i, "s": [str(i)] * 20_000}) for i in range(3)]
    manifests = [space.keep(source, codec) for source in sources]

    def work() -> None:
        for _ in range(10):
            for source, manifest in zip(sources, manifests, strict=True):
                df = codec.decode(space.read, manifest)
                codec.clear()
                assert_identical(df, source)
                again = codec.encode(df, present=manifest.digests)
                assert again.manifest.digest == manifest.digest
                df.loc[0, "a"] = -1.0

    in_threads(6, work)
    for source, manifest in zip(sources, manifests, strict=True):
        assert_identical(codec.decode(space.read, manifest), source)


class SlowKey(bytes):
    """A key that takes its time to be found, with the interpreter lock released and the cache's held."""

    asked = threading.Event()

    def __hash__(self) -> int:
        self.asked.set()
        return hash(hashlib.pbkdf2_hmac("sha256", b"", b"", 300_000))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_while_a_thread_uses_the_cache_can_use_it() -> None:
    cache = Cache(1000)
    thread = threading.Thread(target=lambda: cache.get(Digest(SlowKey(b"key"))), daemon=True)
    thread.start()
    assert SlowKey.asked.wait(DEADLINE)
    child = os.fork()
    if child == 0:
        signal.alarm(int(DEADLINE) // 3)
        cache.clear()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    thread.join(DEADLINE)


def test_a_child_forked_after_the_pool_was_used_has_a_pool_of_its_own() -> None:
    space = Space()
    source = pd.DataFrame({"a": np.arange(1_000_000)})
    manifest = space.keep(source)
    child = os.fork()
    if child == 0:
        signal.alarm(int(DEADLINE))
        same = space.give(manifest).equals(source)
        os._exit(0 if same and space.keep(source).digest == manifest.digest else 1)
    assert os.waitpid(child, 0)[1] == 0


class WritingPresent(frozenset[Digest]):
    """What a space holds; when it is asked for one name, a frame is written to."""

    target: np.ndarray[tuple[int], np.dtype[np.int64]]
    name: Digest

    def __contains__(self, name: object) -> bool:
        if name == self.name:
            self.target[:] = 2
        return super().__contains__(name)


def test_a_chunk_written_to_between_its_name_and_its_checksum_is_stored_whole() -> None:
    space = Space()
    data = np.ones(1000, dtype=np.int64)
    frame = pd.DataFrame({"a": data}, copy=False)
    stored = space.keep(frame).arrays[0].tracks[0].refs()[0]
    present = WritingPresent(space.blobs)
    present.target, present.name = data, stored.digest
    encoded = FrameCodec().encode(frame, present=present)
    for ref in encoded.manifest.arrays[0].tracks[0].refs():
        checked(ref, (space.blobs | dict(encoded.blobs))[ref.digest])


def test_large_frames_in_cells_of_many_columns_are_encoded() -> None:
    rows, count = 140_000, 2 * (os.cpu_count() or 1) + 4
    cells = np.full(rows, 0, dtype=object)
    cells[7] = pd.DataFrame({"a": np.arange(600_000.0)})
    frame = pd.DataFrame(dict.fromkeys(range(count), cells))
    in_threads(1, lambda: FrameCodec(compress=False).encode(frame))

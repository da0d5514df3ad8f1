"""The chunk cache: what it holds, for how long, and among processes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from framekeep.engines.chunk_cache import ChunkCache
from framekeep.engines.chunk_file import FILE

from .chunks import LIMIT, A, B, all_right, content, got, name, put, ready
from .conftest import in_child

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cache(directory: Path) -> Iterator[ChunkCache]:
    cache = ChunkCache(directory, LIMIT)
    yield cache
    cache.close()


# --- entries ---------------------------------------------------------------------------------------


def test_entries_of_every_size_come_back_equal(cache: ChunkCache) -> None:
    sizes = [0, 1, 15, 100, 2000, 2047, 4048, 4096, 70_000, cache.largest]
    for i, size in enumerate(sizes):
        cache.put([cache.entry(A, name(i), content(i, size))])
        assert got(cache, [i]) == {i: content(i, size)}


def test_entry_beyond_a_fraction_of_the_limit_is_not_held(cache: ChunkCache) -> None:
    put(cache, [1], cache.largest + 1)
    assert got(cache, [1]) == {}
    assert cache.counters()["failures"] == 0


def test_reading_ends_at_the_first_that_is_not_held(cache: ChunkCache) -> None:
    put(cache, [0, 1, 3])
    seen: list[int] = []
    cache.read(A, [name(i) for i in range(4)], 1, lambda i, buffer: seen.append(i))
    assert seen == [1]


def test_same_digest_of_another_space_is_not_held(cache: ChunkCache) -> None:
    put(cache, [1])
    assert cache.held(B, [name(1)]) == set()


def test_buffers_are_read_only_contiguous_and_aligned(cache: ChunkCache) -> None:
    put(cache, [1], 50_000)
    seen: list[tuple[bool, bool, int]] = []

    def visit(i: int, buffer: memoryview) -> None:
        address = np.frombuffer(buffer, "u1").ctypes.data
        seen.append((buffer.readonly, buffer.contiguous, address % 16))

    cache.read(A, [name(1)], 0, visit)
    assert seen == [(True, True, 0)]


def test_dropped_and_not_retained_are_gone(cache: ChunkCache) -> None:
    put(cache, range(6))
    cache.put([cache.entry(B, name(0), b"b")])
    cache.drop(A, [name(0), name(99)])
    assert got(cache, range(6)).keys() == {1, 2, 3, 4, 5}
    cache.retain(A, {name(1), name(2)})
    assert got(cache, range(6)).keys() == {1, 2}
    assert cache.held(B, [name(0)]) == {name(0)}


# --- the bound -------------------------------------------------------------------------------------


def test_oldest_go_first_and_the_bound_holds(cache: ChunkCache, directory: Path) -> None:
    for i in range(3000):
        put(cache, [i])
        assert got(cache, [i])
    there = sorted(got(cache, range(3000)))
    assert there == list(range(there[0], 3000))  # the youngest, without a gap
    assert len(there) * 8192 > LIMIT // 2
    counters = cache.counters()
    assert counters["evictions"] == there[0]
    assert LIMIT // 2 < counters["bytes"] <= LIMIT
    assert (directory / FILE).stat().st_size <= LIMIT
    assert counters["failures"] == 0


def test_bound_holds_for_entries_of_many_sizes(cache: ChunkCache, directory: Path) -> None:
    sizes = random.Random(7)
    for i in range(1500):
        put(cache, [i], sizes.choice([10, 1000, 5000, 60_000, cache.largest]))
        assert cache.held(A, [name(i)]), i
    assert (directory / FILE).stat().st_size <= LIMIT
    assert cache.counters()["failures"] == 0


def test_reader_that_stays_stops_no_reading_and_no_writer(
    cache: ChunkCache, directory: Path, start: Start
) -> None:
    process = start("use_cache.py", directory, LIMIT, "reading")
    ready(process)
    for i in range(3000):
        put(cache, [i])
        all_right(cache, [i, i - 1, i - 100])
    disk = sum(file.stat().st_size for file in directory.iterdir())
    assert disk <= 2 * LIMIT
    put(cache, [1])
    assert got(cache, [1])


def test_writer_that_stays_holds_nobody_up(cache: ChunkCache, directory: Path, start: Start) -> None:
    put(cache, [1])
    process = start("use_cache.py", directory, LIMIT, "changing")
    ready(process)
    put(cache, [2])
    assert got(cache, [1, 2]).keys() == {1}
    process.kill()
    process.wait()
    put(cache, [2])
    assert got(cache, [1, 2]).keys() == {1, 2}


# --- processes -------------------------------------------------------------------------------------


def test_processes_share_what_one_put(cache: ChunkCache, directory: Path, run: Callable[..., str]) -> None:
    put(cache, range(20))
    program = f"""
import sys
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.names import digest_of, space
cache = ChunkCache(sys.argv[1], {LIMIT})
print(len(cache.held(space("session", "a"), [digest_of(b"%d" % i) for i in range(30)])))
"""
    assert run(program, directory) == "20\n"


def test_two_caches_of_one_process_share_a_file(cache: ChunkCache, directory: Path) -> None:
    other = ChunkCache(directory.parent / "x" / ".." / directory.name, LIMIT)
    put(other, [1])
    other.close()
    other.close()
    assert got(cache, [1])


def test_entries_outlive_the_processes(directory: Path) -> None:
    for _ in range(3):
        cache = ChunkCache(directory, LIMIT)
        put(cache, range(10))
        assert cache.counters()["failures"] == 0
        cache.close()
    cache = ChunkCache(directory, LIMIT)
    assert all_right(cache, range(10)) == 10
    cache.close()


def kill_and_look(directory: Path, start: Start, times: int) -> None:
    cache = ChunkCache(directory, 1 << 20)
    for i in range(times):
        processes = [start("use_cache.py", directory, 1 << 20, "for-ever") for _ in range(2)]
        for process in processes:
            ready(process)
        pause = threading.Event()
        pause.wait(random.random() * 0.05)
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
            process.send_signal(signal.SIGKILL)
            process.wait()
        put(cache, [i])
        assert all_right(cache, [i]) == 1
    assert cache.counters()["failures"] == 0
    cache.close()


def test_processes_killed_at_any_instant_harm_nobody(directory: Path, start: Start) -> None:
    kill_and_look(directory, start, 6)


@pytest.mark.long
def test_processes_killed_at_a_hundred_instants_harm_nobody(directory: Path, start: Start) -> None:
    kill_and_look(directory, start, 100)


def test_many_processes_may_make_one_cache(directory: Path, start: Start) -> None:
    processes = [start("use_cache.py", directory, LIMIT, "open") for _ in range(6)]
    for process in processes:
        ready(process)
    inodes = {os.stat(directory / FILE).st_ino}
    for process in processes:
        links = [os.stat(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
        inodes |= {link.st_ino for link in links if link.st_size == LIMIT}
    assert len(inodes) == 1


def test_both_sides_of_a_fork_go_on(cache: ChunkCache) -> None:
    put(cache, [1])

    def check() -> None:
        assert all_right(cache, [1]) == 1
        put(cache, [2])
        assert all_right(cache, [1, 2]) == 2
        assert cache.counters()["failures"] == 0

    assert in_child(check) == ""
    assert all_right(cache, [1, 2]) == 2
    put(cache, [3])
    assert all_right(cache, [1, 2, 3]) == 3


def test_child_forked_inside_a_visit_goes_without(cache: ChunkCache) -> None:
    put(cache, [1])

    def check() -> None:
        assert got(cache, [1]) == {}
        put(cache, [2])

    seen: list[str] = []
    cache.read(A, [name(1)], 0, lambda i, buffer: seen.append(in_child(check)))
    assert seen == [""]
    put(cache, [3])
    assert all_right(cache, [1, 2, 3]) == 2


def test_threads_read_and_put_while_the_process_forks(cache: ChunkCache) -> None:
    over = threading.Event()
    wrong: list[BaseException] = []

    def work(seed: int) -> None:
        numbers = random.Random(seed)
        try:
            while not over.is_set():
                some = numbers.sample(range(200), 5)
                put(cache, some)
                all_right(cache, some)
        except BaseException as e:
            wrong.append(e)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert in_child(lambda: all_right(cache, range(20))) == ""
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert cache.counters()["failures"] == 0

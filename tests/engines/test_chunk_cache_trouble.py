"""The chunk cache in bad places: damage, foreign files, full disks. It never fails nor lies."""

from __future__ import annotations

import logging
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from framekeep.engines import chunk_file, filesystems
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.engines.chunk_file import FILE, LOCK_FILE

from .chunks import LIMIT, A, all_right, content, got, name, put, put_at_last, ready

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def cache(directory: Path) -> Iterator[ChunkCache]:
    cache = ChunkCache(directory, LIMIT)
    yield cache
    cache.close()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "framekeep")
    return lambda: [record.getMessage() for record in caplog.records]


# --- damage ----------------------------------------------------------------------------------------


def test_flipped_bytes_are_never_served_and_never_fail(
    directory: Path, warnings: Callable[[], list[str]]
) -> None:
    numbers = random.Random(1)
    there = 0
    for _ in range(60):
        cache = ChunkCache(directory, LIMIT)
        put(cache, range(100))
        assert all_right(cache, range(100)) == 100
        used = cache.counters()["bytes"]
        cache.close()
        with (directory / FILE).open("r+b") as file:
            for _ in range(20):
                place = numbers.choice([numbers.randrange(used), numbers.randrange(8 << 10)])
                file.seek(place)
                old = file.read(1)
                file.seek(place)
                file.write(bytes([old[0] ^ 1 << numbers.randrange(8)]))
        cache = ChunkCache(directory, LIMIT)
        there += all_right(cache, range(100))
        for _ in range(3):  # a put or a read may be what meets the damage
            put(cache, range(100))
            held = all_right(cache, range(100))
        assert held == 100
        cache.close()
    assert there > 0


def test_damaged_entry_is_forgotten_and_put_anew(cache: ChunkCache, directory: Path) -> None:
    put(cache, [1, 2], 50_000)
    file = (directory / FILE).read_bytes()
    place = file.index(content(1, 50_000)[-100:])
    with (directory / FILE).open("r+b") as damaged:  # while it is open: seen through the map at once
        damaged.seek(place)
        damaged.write(b"damaged")
    assert all_right(cache, [1, 2], 50_000) == 1
    assert cache.counters()["failures"] == 1
    assert cache.held(A, [name(1)]) == set()
    put(cache, [1], 50_000)
    assert all_right(cache, [1, 2], 50_000) == 2


def test_what_the_binding_makes_of_damaged_pages_is_damage(cache: ChunkCache) -> None:
    put(cache, [1])

    def as_a_cursor_that_deletes(env: lmdb.Environment) -> int:
        raise SystemError("<method 'delete' of 'Cursor' objects> returned a result with an exception set")

    assert cache._file.run(as_a_cursor_that_deletes, 7) == 7
    assert all_right(cache, [1]) == 0, "a new file was begun"
    put(cache, [1])
    assert all_right(cache, [1]) == 1


@pytest.mark.parametrize("left", [0, 100, 4096, 100_000])
def test_cut_file_is_begun_anew(cache: ChunkCache, directory: Path, left: int) -> None:
    put(cache, range(100))
    os.truncate(directory / FILE, left)
    assert got(cache, range(100)) == {}
    put(cache, range(100))
    assert all_right(cache, range(100)) == 100


@pytest.mark.parametrize("left", [0, 100, 4096, 100_000])
def test_file_cut_while_nobody_has_it_open_is_begun_anew(directory: Path, left: int) -> None:
    cache = ChunkCache(directory, LIMIT)
    put(cache, range(100))
    cache.close()
    os.truncate(directory / FILE, left)
    cache = ChunkCache(directory, LIMIT)
    all_right(cache, range(100))
    put(cache, range(100))
    assert all_right(cache, range(100)) == 100
    cache.close()


def test_file_from_before_a_restart_is_begun_anew(directory: Path) -> None:
    cache = ChunkCache(directory, LIMIT)
    put(cache, [1])
    cache.close()
    record = (directory / LOCK_FILE).read_text().split("\n")
    record[1] = "another boot"
    (directory / LOCK_FILE).write_text("\n".join(record))
    cache = ChunkCache(directory, LIMIT)
    assert got(cache, [1]) == {}
    put(cache, [1])
    assert got(cache, [1])
    assert cache.counters()["failures"] == 0
    cache.close()


def test_file_thrown_away_is_begun_anew_by_all(cache: ChunkCache, directory: Path, start: Start) -> None:
    process = start("use_cache.py", directory, LIMIT, "for-ever")
    ready(process)
    for i in range(5):
        cache._file.throw_away()
        put_at_last(cache, i)
        assert process.poll() is None
    assert cache.counters()["failures"] == 0


def test_file_whose_lock_file_was_deleted_is_begun_anew_by_all(
    cache: ChunkCache, directory: Path, start: Start
) -> None:
    put(cache, [1])
    (directory / (FILE + "-lock")).unlink()
    process = start("use_cache.py", directory, LIMIT, "for-ever")
    ready(process)
    for i in range(200):
        put_at_last(cache, i)
    assert process.poll() is None
    assert cache.counters()["failures"] == 0


def test_deleted_directory_is_made_anew(cache: ChunkCache, directory: Path) -> None:
    put(cache, [1])
    shutil.rmtree(directory)
    assert got(cache, [1]) == {}
    put(cache, [1])
    assert got(cache, [1])


def test_cache_with_a_smaller_limit_is_begun_anew(directory: Path) -> None:
    cache = ChunkCache(directory, LIMIT)
    put(cache, range(100))
    cache.close()
    cache = ChunkCache(directory, LIMIT // 2)
    assert got(cache, range(100)) == {}
    assert (directory / FILE).stat().st_size == LIMIT // 2
    cache.close()


def test_process_with_a_larger_limit_is_followed(
    cache: ChunkCache, directory: Path, run: Callable[..., str]
) -> None:
    put(cache, [0])
    program = f"""
import sys
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.names import digest_of, space
A = space("session", "a")
cache = ChunkCache(sys.argv[1], {4 * LIMIT})
for i in range(1000, 2000):
    cache.put([cache.entry(A, digest_of(b"%d" % i), b"x" * 10_000)])
print(cache.counters()["failures"], len(cache.held(A, [digest_of(b"%d" % i) for i in range(2000)])) > 600)
"""
    assert run(program, directory) == "0 True\n"
    put(cache, range(10))
    assert all_right(cache, range(10)) == 10
    assert cache.counters()["failures"] == 0


# --- bad places ------------------------------------------------------------------------------------


def useless(directory: Path, warnings: Callable[[], list[str]]) -> str:
    """Return the one warning of a cache that cannot be used, and that harms nobody."""
    cache = ChunkCache(directory, LIMIT)
    for _ in range(3):
        put(cache, [1])
        assert got(cache, [1]) == {}
        cache.drop(A, [name(1)])
        cache.retain(A, ())
    counters = cache.counters()
    assert (counters["failures"], counters["bytes"]) == (1, 0)
    cache.close()
    [warning] = warnings()
    assert counters["error"] in warning
    return warning


def test_foreign_file_is_left_alone(directory: Path, warnings: Callable[[], list[str]]) -> None:
    directory.mkdir(mode=0o700)
    (directory / FILE).write_bytes(b"theirs" * 1000)
    assert "left alone" in useless(directory, warnings)
    assert (directory / FILE).read_bytes() == b"theirs" * 1000


def test_directory_in_place_of_the_file_is_passed_over(
    directory: Path, warnings: Callable[[], list[str]]
) -> None:
    (directory / FILE).mkdir(parents=True)
    useless(directory, warnings)


def test_path_through_a_file_is_passed_over(tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "not a directory" in useless(tmp_path / "file" / "cache", warnings)


def test_directory_that_everybody_can_write_is_passed_over(
    directory: Path, warnings: Callable[[], list[str]]
) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    assert "somebody else" in useless(directory, warnings)
    assert os.listdir(directory) == []


def test_network_file_system_is_passed_over(
    directory: Path, warnings: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystems, "filesystem_of", lambda path, mounts: "nfs4")
    assert "network" in useless(directory, warnings)
    assert not directory.exists()


def test_cache_that_could_not_be_opened_is_tried_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(mode=0o700)
    (directory / FILE).write_bytes(b"theirs")
    monkeypatch.setattr(chunk_file, "RETRY_SECONDS", 0.0)
    cache = ChunkCache(directory, LIMIT)
    put(cache, [1])
    assert got(cache, [1]) == {}
    (directory / FILE).unlink()
    put(cache, [1])
    assert got(cache, [1])
    assert cache.counters()["error"] is None
    cache.close()


def test_directory_and_files_are_for_their_owner_only(cache: ChunkCache, directory: Path) -> None:
    put(cache, [1])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()} == {0o600}


FULL = """
import logging, os, resource, sys
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.names import digest_of, space
logging.basicConfig(stream=sys.stdout, format="%(levelname)s")
A = space("session", "a")
def fill(cache):
    for i in range(200):
        content = bytes([i]) * 40_000
        cache.put([cache.entry(A, digest_of(content), content)])
        cache.read(A, [digest_of(content)], 0, lambda _, buffer: same.add(buffer == content))
same = {True}
"""


def test_largest_file_size_reached_fails_nobody(directory: Path, run: Callable[..., str]) -> None:
    program = f"""{FULL}
cache = ChunkCache(sys.argv[1], 16 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
fill(cache)
print(same, cache.counters()["failures"] > 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
failures = cache.counters()["failures"]
fill(cache)
print(same, cache.counters()["failures"] - failures)
"""
    assert run(program, directory) == "WARNING\n{True} True\n{True} 0\n"


def test_cache_larger_than_a_file_may_be_is_passed_over(directory: Path, run: Callable[..., str]) -> None:
    program = f"""{FULL}
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
cache = ChunkCache(sys.argv[1], 16 << 20)
fill(cache)
print(same, cache.counters()["bytes"])
"""
    assert run(program, directory) == "WARNING\n{True} 0\n"


def test_full_disk_fails_nobody(tmp_path: Path, run: Callable[..., str]) -> None:
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(point)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        program = f"""{FULL}
cache = ChunkCache(sys.argv[1], 16 << 20)
fill(cache)
print(same, cache.counters()["failures"] > 0)
"""
        assert run(program, point / "cache") == "WARNING\n{True} True\n"
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)


def test_cache_in_use_in_another_container_is_passed_over(
    directory: Path, start: Start, warnings: Callable[[], list[str]]
) -> None:
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("making a PID namespace is not permitted here")
    program = str(Path(__file__).parent / "programs" / "use_cache.py")
    other = subprocess.Popen(
        [*unshare, sys.executable, program, str(directory), str(LIMIT), "open"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready(other)
        cache = ChunkCache(directory, LIMIT)
        put(cache, [1])
        assert got(cache, [1]) == {}
        assert "container" in warnings()[0]
        cache.close()
    finally:
        other.kill()
        other.communicate()

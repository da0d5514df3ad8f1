"""The embedded engine in a bad place: full disks, wrong files, cut files, damage. Each has its own error."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from framekeep import errors
from framekeep.engines import lmdb_pages, lmdb_store
from framekeep.engines import lmdb_records as records
from framekeep.engines.base import Change, blobs
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_errors import BY_CLASS, BY_ERRNO, translated
from framekeep.engines.lmdb_step import writing
from framekeep.engines.lmdb_store import FILE
from framekeep.errors import (
    ConfigurationError,
    ForeignStoreError,
    FramekeepError,
    InvalidIdError,
    NewerFormatError,
    StorageFullError,
    StorageReadOnlyError,
    StoreDamagedError,
)
from framekeep.names import Space, digest_of, new_revision, space
from framekeep.testing import ManualClock

A = space("session", "a")
B = space("session", "b")

PREAMBLE = """
import os, resource, sys
from framekeep.engines.base import Change, blobs
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import StorageError
from framekeep.names import digest_of, new_revision, space
A = space("session", "a")
def big(n):
    contents = [bytes([i]) * (1 << 20) for i in range(n)]
    return {digest_of(content): content for content in contents}
"""


# --- no room -------------------------------------------------------------------------------------


FILL = """
def fill(engine):
    first = new_revision()
    engine.commit(A, Change(None, first, b"before", log=[b"before"]))
    try:
        engine.commit(A, Change(first, new_revision(), b"after", big(24), log=[b"after"]))
    except StorageError as e:
        print(type(e).__name__, e.__cause__ is not None)
    head = engine.load(A)
    print(head.body.decode(), engine.log(A))
    print(engine.touch(A, 60.0) == head.revision)
    engine.commit(A, Change(head.revision, new_revision(), b"small", log=[b"small"]))
    print(engine.load(A).body.decode(), engine.health().reachable)
"""
FILLED = "StorageFullError True\nbefore [b'before']\nTrue\nsmall True\n"


def test_largest_file_size_reached_is_full_and_loses_nothing(
    directory: Path, run: Callable[..., str]
) -> None:
    program = f"""{PREAMBLE}{FILL}
resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 20, 16 << 20))
fill(LmdbEngine(sys.argv[1]))
"""
    assert run(program, directory) == FILLED
    engine = LmdbEngine(directory)
    head = engine.load(A)
    assert head is not None
    assert head.body == b"small"
    engine.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "disk"
    point.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(point)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.decode().strip()}")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_full_disk_is_full_and_loses_nothing(small_disk: Path, run: Callable[..., str]) -> None:
    assert run(f"{PREAMBLE}{FILL}\nfill(LmdbEngine(sys.argv[1]))", small_disk / "store") == FILLED


def test_store_opened_on_a_full_disk_is_an_error_and_not_a_crash(
    small_disk: Path, run: Callable[..., str]
) -> None:
    program = f"""{PREAMBLE}
directory = sys.argv[1]
engine = LmdbEngine(directory)
engine.commit(A, Change(None, new_revision(), b""))
engine.close()
for name in os.listdir(directory):
    if name not in ("framekeep.mdb", "framekeep.lock"):
        os.unlink(os.path.join(directory, name))
with open(os.path.join(directory, "..", "fill"), "wb", 0) as fill:
    try:
        while True:
            fill.write(bytes(4096))
    except OSError:
        pass
    try:
        LmdbEngine(directory)
    except StorageError as e:
        print(type(e).__name__)
    fill.truncate(0)
print(LmdbEngine(directory).load(A) is not None)
"""
    assert run(program, small_disk / "store") == "StorageFullError\nTrue\n"


def test_full_disk_fails_no_touch(directory: Path, run: Callable[..., str]) -> None:
    program = f"""{PREAMBLE}
from framekeep.testing import ManualClock
clock = ManualClock()
engine = LmdbEngine(sys.argv[1], clock=clock)
first = new_revision()
engine.commit(A, Change(None, first, b"", ttl=100.0))
size = os.stat(os.path.join(sys.argv[1], "framekeep.mdb")).st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
for i in range(1000):
    try:
        engine.commit(space("session", str(i)), Change(None, new_revision(), b"x" * 1000))
    except StorageError as e:
        print(type(e).__name__)
        break
clock.advance(50.0)
print(engine.touch(A, 100.0) is not None, engine.load(A).ttl)
print(engine.touch(A, 10.0) is not None, engine.load(A).ttl)
print(engine.touch(space("session", "absent"), 10.0))
"""
    assert run(program, directory) == "StorageFullError\nTrue 100.0\nTrue 100.0\nNone\n"


def test_store_that_could_not_be_made_for_want_of_room_is_made_later(
    directory: Path, run: Callable[..., str]
) -> None:
    for size in (0, 100, 4096, 8192, 12_288):
        program = f"""{PREAMBLE}
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
try:
    LmdbEngine(sys.argv[1])
except StorageError as e:
    print(type(e).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
LmdbEngine(sys.argv[1])
"""
        assert run(program, directory / str(size)) == "StorageFullError\n"


def test_commit_that_is_on_disk_is_no_failure_whatever_the_touched_file_does(engine: LmdbEngine) -> None:
    class Full:
        """A transaction on the touched file whose disk is full."""

        def commit(self) -> None:
            raise lmdb_error("DiskError", 28)

        def abort(self) -> None:
            pass

    store = engine._opened()
    with writing(store) as step:
        step.txn.put(b"written", b"x", db=store.dbs[records.META])
        step.held = Full()  # type: ignore[assignment]
    with writing(store) as step:
        assert step.txn.get(b"written", db=store.dbs[records.META]) == b"x"


def test_compacting_without_room_keeps_the_old_file(small_disk: Path, run: Callable[..., str]) -> None:
    program = f"""{PREAMBLE}
engine = LmdbEngine(sys.argv[1])
held = big(9)
engine.commit(A, Change(None, new_revision(), b"body", held))
try:
    engine.compact()
except StorageError as e:
    print(type(e).__name__)
print(len(blobs(engine, A, list(held))), [name for name in os.listdir(sys.argv[1]) if "compact" in name])
"""
    assert run(program, small_disk / "store") == "StorageFullError\n9 []\n"


def test_map_that_cannot_grow_is_full_and_loses_nothing(directory: Path, run: Callable[..., str]) -> None:
    program = f"""{PREAMBLE}{FILL}
engine = LmdbEngine(sys.argv[1], map_size=1 << 20)
held = big(24)
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20), used + (40 << 20)))
big = lambda n: held
fill(engine)
"""
    assert run(program, directory) == FILLED


def test_map_larger_than_the_address_space_is_refused(directory: Path) -> None:
    with pytest.raises(StorageFullError, match="ulimit"):
        LmdbEngine(directory, map_size=1 << 62)


def test_map_grows_as_far_as_needed(engine: LmdbEngine) -> None:
    contents = [bytes([i]) * (1 << 20) for i in range(20)]
    held = {digest_of(content): content for content in contents}
    assert engine.sizes()["map_bytes"] == 1 << 20
    engine.commit(A, Change(None, new_revision(), b"", held))
    assert blobs(engine, A, list(held)) == contents
    assert engine.sizes()["map_bytes"] > 20 << 20


def test_map_of_touched_expiries_grows_too(
    directory: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_store, "TOUCHED_MAP_SIZE", 32 << 10)
    engine = LmdbEngine(directory, clock=clock, durable=False)
    names = [space("session", f"s{i}" + "x" * 100) for i in range(400)]
    for name in names:
        engine.commit(name, Change(None, new_revision(), b"", ttl=100.0))
    clock.advance(5.0)
    assert all(engine.touch(name, 100.0) for name in names)
    assert {engine.load(name).ttl for name in names} == {100.0}  # type: ignore[union-attr]
    clock.advance(100.0)
    assert engine.purge() == 400
    engine.close()


# --- no permission -------------------------------------------------------------------------------


def as_nobody(program: str, directory: Path) -> str:
    """Run a program as a user who may do nothing special, however the tests run."""
    for parent in [directory, *directory.parents]:
        if parent.exists() and not os.stat(parent).st_mode & 0o005 and os.getuid() == 0:
            parent.chmod(parent.stat().st_mode | 0o055)
    drop = "os.setgid(65534); os.setuid(65534)\n" if os.getuid() == 0 else ""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + drop + program, str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


OPEN = """
try:
    LmdbEngine(sys.argv[1])
except StorageError as e:
    print(type(e).__name__)
"""


def test_directory_that_cannot_be_made_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    assert as_nobody(OPEN, tmp_path / "locked" / "store") == "StorageReadOnlyError\n"


def test_directory_that_cannot_be_written_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    assert as_nobody(OPEN, tmp_path / "locked") == "StorageReadOnlyError\n"


def test_file_of_somebody_else_is_read_only(tmp_path: Path) -> None:
    LmdbEngine(tmp_path / "store").close()
    for file in (tmp_path / "store").iterdir():
        file.chmod(0o444)
    (tmp_path / "store").chmod(0o555)
    assert as_nobody(OPEN, tmp_path / "store") == "StorageReadOnlyError\n"


def test_path_through_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.StorageError):
        LmdbEngine(tmp_path / "file" / "store")


def test_files_are_for_their_owner_only(engine: LmdbEngine, directory: Path) -> None:
    assert directory.stat().st_mode & 0o077 == 0
    assert [file.name for file in directory.iterdir() if file.stat().st_mode & 0o077] == []


def test_names_of_new_directories_and_files_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    LmdbEngine(tmp_path / "new" / "store").close()
    assert synced == {str(tmp_path), str(tmp_path / "new"), str(tmp_path / "new" / "store")}


# --- not our file --------------------------------------------------------------------------------


def test_file_that_is_no_lmdb_file_is_foreign_and_left_alone(directory: Path) -> None:
    directory.mkdir()
    for content in (b"hello", b"hello world " * 1000):
        (directory / FILE).write_bytes(content)
        with pytest.raises(ForeignStoreError):
            LmdbEngine(directory)
        assert (directory / FILE).read_bytes() == content


def test_lmdb_file_of_another_program_is_foreign_and_left_alone(directory: Path) -> None:
    directory.mkdir()
    env = lmdb.open(str(directory / FILE), subdir=False, max_dbs=2)
    with env.begin(write=True) as txn:
        txn.put(b"theirs", b"data")
    env.close()
    before = (directory / FILE).read_bytes()
    with pytest.raises(ForeignStoreError, match="did not make"):
        LmdbEngine(directory)
    assert (directory / FILE).read_bytes() == before


def test_lmdb_file_with_a_meta_of_its_own_is_foreign(directory: Path) -> None:
    directory.mkdir()
    env = lmdb.open(str(directory / FILE), subdir=False, max_dbs=2)
    with env.begin(write=True) as txn:
        txn.put(b"kind", b"another store", db=env.open_db(records.META, txn=txn))
    env.close()
    with pytest.raises(ForeignStoreError, match="did not make"):
        LmdbEngine(directory)


def test_directory_in_place_of_the_file_is_an_error(directory: Path) -> None:
    (directory / FILE).mkdir(parents=True)
    with pytest.raises(errors.StorageError):
        LmdbEngine(directory)


def test_newer_format_is_refused_with_its_version(
    engine: LmdbEngine, directory: Path, change_stored: Callable[..., None]
) -> None:
    change_stored(engine, records.META, records.META_WRITER, lambda old: b"9.8.7")
    change_stored(engine, records.META, records.META_FORMAT, lambda old: b"2")
    engine.close()
    with pytest.raises(NewerFormatError, match=r"format 2, made by Framekeep 9\.8\.7"):
        LmdbEngine(directory)


def test_store_says_who_made_it(engine: LmdbEngine) -> None:
    store = engine._opened()
    assert store.main is not None
    with store.main.begin() as txn:
        meta = dict(txn.cursor(db=store.dbs[records.META]))
    assert meta[records.META_FORMAT] == b"1"
    assert meta[records.META_WRITER] == lmdb_store._library_version().encode()


def test_other_durability_in_one_process_is_a_contradiction(engine: LmdbEngine, directory: Path) -> None:
    with pytest.raises(ConfigurationError, match="durable"):
        LmdbEngine(directory, durable=False)


def test_space_without_a_name_or_with_too_long_a_one_is_refused(engine: LmdbEngine) -> None:
    for name in (Space(""), Space("session:" + "x" * 500)):
        with pytest.raises(InvalidIdError):
            engine.load(name)


# --- cut files -----------------------------------------------------------------------------------


def filled(engine: LmdbEngine) -> None:
    contents = [bytes([i]) * (1 << 18) for i in range(8)]
    held = {digest_of(content): content for content in contents}
    engine.commit(A, Change(None, new_revision(), b"", held, ttl=100.0))


@pytest.mark.parametrize("left", [0.9, 0.5, 0.1])
def test_cut_file_is_refused_when_opened(engine: LmdbEngine, directory: Path, left: float) -> None:
    filled(engine)
    engine.close()
    os.truncate(directory / FILE, int((directory / FILE).stat().st_size * left))
    with pytest.raises(StoreDamagedError, match="cut off"):
        LmdbEngine(directory)


@pytest.mark.parametrize("left", [100, 4096, 6000, 8191])
def test_file_cut_inside_its_head_is_refused(engine: LmdbEngine, directory: Path, left: int) -> None:
    engine.close()
    os.truncate(directory / FILE, left)
    with pytest.raises((StoreDamagedError, ForeignStoreError)):
        LmdbEngine(directory)


def test_emptied_file_is_refused_when_opened(engine: LmdbEngine, directory: Path) -> None:
    engine.close()
    os.truncate(directory / FILE, 0)
    with pytest.raises(StoreDamagedError, match="empty"):
        LmdbEngine(directory)
    (directory / FILE).unlink()  # which says that it is meant
    LmdbEngine(directory).close()


@pytest.mark.parametrize("left", [0, 4096, 100_000])
def test_file_cut_while_open_is_an_error_and_not_a_crash(
    engine: LmdbEngine, directory: Path, left: int
) -> None:
    filled(engine)
    os.truncate(directory / FILE, left)
    calls: list[Callable[[], object]] = [
        lambda: engine.load(A),
        lambda: engine.touch(A, 1.0),
        lambda: engine.commit(A, Change(None, new_revision(), b"")),
        lambda: engine.count(),
        lambda: list(engine.spaces()),
        lambda: engine.purge(),
        lambda: engine.compact(),
    ]
    for call in calls:
        with pytest.raises((StoreDamagedError, ForeignStoreError)):
            call()
    assert not engine.health().reachable


def test_file_short_by_unused_pages_only_is_mended(directory: Path) -> None:
    engine = LmdbEngine(directory, map_size=32 << 20)
    # LMDB writes no page that was taken and given back in one transaction.
    filled(engine)
    head = engine.load(A)
    assert head is not None
    engine.commit(A, Change(head.revision, new_revision(), b"", keep=frozenset()))
    store = engine._opened()
    assert store.main is not None
    for _ in range(3):
        with store.main.begin(write=True) as txn:
            txn.put(b"y" * 40, b"y", db=store.dbs[records.BLOBS])
            txn.put(b"x" * 40, b"x" * (4 << 20), db=store.dbs[records.BLOBS])
            txn.delete(b"x" * 40, db=store.dbs[records.BLOBS])
    needed = (store.main.info()["last_pgno"] + 1) * store.main.stat()["psize"]
    if (directory / FILE).stat().st_size >= needed:
        pytest.skip("this LMDB writes unused pages")
    assert engine.load(A) is not None
    assert (directory / FILE).stat().st_size >= needed
    engine.close()
    LmdbEngine(directory).close()


def test_file_deleted_while_open_is_an_error(engine: LmdbEngine, directory: Path) -> None:
    shutil.rmtree(directory)
    with pytest.raises(StoreDamagedError, match="deleted"):
        engine.commit(A, Change(None, new_revision(), b""))


def test_size_needed_is_read_without_mapping(engine: LmdbEngine, directory: Path) -> None:
    filled(engine)
    main = engine._opened().main
    assert main is not None
    assert (
        lmdb_pages.needed_size(str(directory / FILE)) == (main.info()["last_pgno"] + 1) * main.stat()["psize"]
    )
    assert lmdb_pages.needed_size(str(directory / "nothing")) == 0


# --- the table -----------------------------------------------------------------------------------


def test_every_lmdb_error_has_a_meaning() -> None:
    defined = {
        name
        for name, value in vars(lmdb).items()
        if isinstance(value, type) and issubclass(value, lmdb.Error) and value is not lmdb.Error
    }
    assert defined - BY_CLASS.keys() == set()


def test_every_meaning_is_a_framekeep_error_with_a_next_step() -> None:
    for kind, says in (*BY_CLASS.values(), *BY_ERRNO.values()):
        assert issubclass(kind, FramekeepError)
        assert len(says) > 20


def lmdb_error(name: str, code: int) -> lmdb.Error:
    error: lmdb.Error = getattr(lmdb, name)("told to")
    error.code = code  # type: ignore[misc]
    return error


def test_errors_are_translated_by_class_and_by_number() -> None:
    assert type(translated(lmdb_error("DiskError", 28), "p")) is StorageFullError
    assert type(translated(lmdb_error("Error", 13), "p")) is StorageReadOnlyError
    assert type(translated(lmdb_error("Error", 5), "/data/p")) is errors.StorageUnavailableError
    assert type(translated(OSError(30, "x"), "p")) is StorageReadOnlyError
    assert type(translated(lmdb_error("Error", 99_999), "p")) is errors.StorageError
    assert "/some/where" in str(translated(lmdb_error("Error", 0), "/some/where"))


def test_no_lmdb_error_comes_out(engine: LmdbEngine) -> None:
    for name in sorted(BY_CLASS):
        if name in ("MapFullError", "MapResizedError"):
            continue  # handled, not reported
        error = lmdb_error(name, 0)

        def fail(error: lmdb.Error = error) -> None:
            raise error

        with pytest.raises(FramekeepError) as caught:
            engine._opened().run(fail)
        assert caught.value.__cause__ is error
        assert engine.health().reachable

"""The embedded engine among several processes: sharing, forking, being killed."""

from __future__ import annotations

import fcntl
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lmdb import verify

from framekeep.engines import lmdb_records as records
from framekeep.engines import lmdb_store
from framekeep.engines.base import Change, blobs
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import StorageBusyError, StorageError, StorageUnavailableError, StoreDamagedError
from framekeep.names import Digest, Space, digest_of, new_revision, space

from .conftest import in_child

A = space("session", "a")
HELD = space("session", "held")

Start = Callable[..., "subprocess.Popen[str]"]


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_no_change_of_eight_processes_is_lost(engine: LmdbEngine, directory: Path, start: Start) -> None:
    engine.commit(A, Change(None, new_revision(), b"0"))
    writers = [start("count_up.py", directory, 25) for _ in range(8)]
    for writer in writers:
        _, trouble = writer.communicate(timeout=60)
        assert writer.returncode == 0, trouble
    assert engine.log(A) == [b"%d" % n for n in range(1, 201)]


def test_two_engines_of_one_process_share_a_directory(directory: Path) -> None:
    one, two = LmdbEngine(directory), LmdbEngine(directory.parent / "x" / ".." / directory.name)
    one.commit(A, Change(None, new_revision(), b"one"))
    one.close()
    head = two.load(A)
    assert head is not None
    assert head.body == b"one"
    two.close()


def test_closed_store_can_be_opened_again(directory: Path) -> None:
    for _ in range(3):
        engine = LmdbEngine(directory)
        assert engine.health().reachable
        engine.close()


def test_map_grown_by_another_process_is_followed(engine: LmdbEngine, directory: Path, start: Start) -> None:
    ready(start("hold_open.py", directory, "growing"))
    contents = [bytes([i]) * (1 << 20) for i in range(8)]
    assert blobs(engine, HELD, [digest_of(content) for content in contents]) == contents
    engine.commit(A, Change(None, new_revision(), b"mine"))


def test_file_growing_in_another_process_is_never_taken_for_cut(directory: Path, start: Start) -> None:
    engine = LmdbEngine(directory, durable=False)
    writer = start("grow.py", directory, 12_000)
    ready(writer)
    while writer.poll() is None:
        engine.load(A)
    assert writer.returncode == 0, writer.communicate()[1]
    engine.close()


def test_store_can_be_opened_at_any_instant_of_its_growth(directory: Path, start: Start) -> None:
    LmdbEngine(directory, durable=False).close()
    writer = start("grow.py", directory, 6_000)
    while writer.poll() is None:
        engine = LmdbEngine(directory, durable=False, map_size=1 << 20)
        engine.load(A)
        engine.close()
    assert writer.returncode == 0, writer.communicate()[1]


def test_many_processes_may_make_one_store(directory: Path, start: Start) -> None:
    engines = [start("grow.py", directory / str(i % 5), 1) for i in range(20)]
    for process in engines:
        _, trouble = process.communicate(timeout=60)
        assert process.returncode == 0 or "Conflict" in trouble.splitlines()[-1], trouble


def test_who_waits_for_one_that_is_killed_before_the_store_is_made_makes_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    with (directory / lmdb_store.LOCK_FILE).open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)

        def locked(store: lmdb_store.Store, how: int) -> bool:
            if not (got := once(store, how)):
                fcntl.flock(first, fcntl.LOCK_UN)
            return got

        once = lmdb_store.Store._locked
        monkeypatch.setattr(lmdb_store.Store, "_locked", locked)
        LmdbEngine(directory).close()


def test_store_deleted_while_it_is_open_elsewhere_is_not_made_anew(directory: Path, start: Start) -> None:
    ready(start("hold_open.py", directory, "open"))
    (directory / lmdb_store.FILE).unlink()
    with pytest.raises(StoreDamagedError, match="stop the others"):
        LmdbEngine(directory)


def test_touched_expiries_in_use_elsewhere_are_not_replaced(directory: Path, start: Start) -> None:
    ready(start("hold_open.py", directory, "open"))
    [touched] = directory.glob("touched-*.mdb")
    used = touched.stat().st_ino
    with touched.open("r+b") as file:
        file.write(b"rubbish" * 10)
    with pytest.raises(StorageError):
        LmdbEngine(directory)
    assert touched.stat().st_ino == used


def test_store_open_in_another_container_is_refused(directory: Path, start: Start) -> None:
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("making a PID namespace is not permitted here")
    program = str(Path(__file__).parent / "programs" / "hold_open.py")
    other = subprocess.Popen(
        [*unshare, "--kill-child", sys.executable, program, str(directory), "open"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready(other)
        with pytest.raises(StorageBusyError, match="container"):
            LmdbEngine(directory)
    finally:
        other.kill()
        other.communicate()
    LmdbEngine(directory).close()


def test_engine_closed_among_busy_threads_stays_closed(directory: Path) -> None:
    engine = LmdbEngine(directory, durable=False)
    engine.commit(A, Change(None, new_revision(), b""))
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            while True:
                engine.load(A)
                engine.touch(A, 60.0)
        except BaseException as e:
            ended.append(type(e))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    engine.close()
    for worker in workers:
        worker.join()
    assert ended == [StorageUnavailableError] * 4
    again = LmdbEngine(directory)  # nobody has kept the files
    assert again.load(A) is not None
    again.close()


def test_space_that_was_touched_is_there_whoever_purges(directory: Path) -> None:
    engine = LmdbEngine(directory, durable=False)
    over = threading.Event()
    broken: list[str] = []

    def purge() -> None:
        while not over.is_set():
            engine.purge()

    purgers = [threading.Thread(target=purge) for _ in range(2)]
    for purger in purgers:
        purger.start()
    ttl, kept = 0.004, 0
    try:
        for _ in range(1500):
            start = time.time()
            if engine.touch(A, ttl):
                kept += 1
                if engine.load(A) is None and time.time() - start < ttl:
                    broken.append("touched, and gone before its time")
            else:
                engine.commit(A, Change(None, new_revision(), b"", ttl=ttl))
    finally:
        over.set()
        for purger in purgers:
            purger.join()
    engine.close()
    assert broken == []
    assert kept > 0


def test_store_moved_away_is_not_made_anew_after_a_fork(engine: LmdbEngine, directory: Path) -> None:
    engine.commit(A, Change(None, new_revision(), b""))
    directory.rename(directory.with_name("elsewhere"))
    assert in_child(lambda: None) == ""
    with pytest.raises(StoreDamagedError, match="moved"):
        engine.load(A)
    assert not directory.exists()
    directory.with_name("elsewhere").rename(directory)
    assert engine.load(A) is not None


# --- forks ---------------------------------------------------------------------------------------


def test_child_of_a_fork_reads_and_writes(engine: LmdbEngine) -> None:
    first, second = new_revision(), new_revision()
    engine.commit(A, Change(None, first, b"parent"))

    def child() -> None:
        head = engine.load(A)
        assert head is not None
        assert head.body == b"parent"
        engine.commit(A, Change(first, second, b"child"))
        engine.close()

    assert in_child(child) == ""
    head = engine.load(A)
    assert head is not None
    assert (head.revision, head.body) == (second, b"child")


# Python 3.12 warns of forks among threads; here they are the point.
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_many_forks_while_threads_work(engine: LmdbEngine) -> None:
    over = threading.Event()
    failures: list[BaseException] = []
    engine.commit(A, Change(None, new_revision(), b"0"))

    def work() -> None:
        try:
            while not over.is_set():
                engine.touch(A, 60.0)
                engine.load(A)
        except BaseException as e:
            failures.append(e)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(10):
            assert in_child(lambda: engine.load(A)) == ""
    finally:
        over.set()
        for worker in workers:
            worker.join()
    assert failures == []


def test_child_forked_inside_a_read_is_told_so(engine: LmdbEngine) -> None:
    digest = digest_of(b"x")
    engine.commit(A, Change(None, new_revision(), b"", {digest: b"x"}))
    told: list[bool] = []

    def child() -> None:
        with pytest.raises(StorageError, match="forked inside a call"):
            engine.load(A)

    def visit(i: int, buffer: memoryview) -> None:
        assert in_child(child) == ""
        told.append(True)

    engine.read(A, [digest], visit)
    assert told == [True]
    assert engine.load(A) is not None


def test_engine_called_from_its_own_visit_says_so(engine: LmdbEngine) -> None:
    digest = digest_of(b"x")
    engine.commit(A, Change(None, new_revision(), b"", {digest: b"x"}))
    with pytest.raises(RuntimeError, match="visit or signal handler must not"):
        engine.read(A, [digest], lambda i, buffer: engine.load(A))
    assert engine.load(A) is not None


def test_engine_closed_inside_its_own_visit_stays_open(engine: LmdbEngine, directory: Path) -> None:
    digest = digest_of(b"x")
    engine.commit(A, Change(None, new_revision(), b"", {digest: b"x"}))
    with pytest.raises(RuntimeError, match="visit or signal handler must not"):
        engine.read(A, [digest], lambda i, buffer: engine.close())
    assert engine.load(A) is not None
    other = LmdbEngine(directory)  # shares the files, since LMDB forbids to open them twice in one process
    assert other._opened() is engine._opened()
    other.close()


def test_engine_called_by_a_signal_handler_never_hangs(engine: LmdbEngine) -> None:
    called: list[bool] = []

    def handle(*_: object) -> None:
        try:
            engine.load(A)
            called.append(True)
        except RuntimeError:  # in the middle of a call
            called.append(False)

    before = signal.signal(signal.SIGVTALRM, handle)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        while len(called) < 500:
            engine.load(A)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    assert set(called) == {True, False}


def test_buffer_kept_by_a_visit_is_an_error_and_not_a_crash(engine: LmdbEngine) -> None:
    digest = digest_of(b"x")
    engine.commit(A, Change(None, new_revision(), b"", {digest: b"x" * 10_000}))
    views: list[memoryview] = []
    engine.read(A, [digest], lambda i, buffer: views.append(buffer))
    with pytest.raises(ValueError, match="released"):
        bytes(views[0])


# --- being killed --------------------------------------------------------------------------------


def test_readers_that_were_killed_are_cleared_by_purge(
    engine: LmdbEngine, directory: Path, start: Start
) -> None:
    reader = start("hold_open.py", directory, "reading")
    ready(reader)
    main = engine._opened().main
    assert main is not None
    assert str(reader.pid) in main.readers()
    reader.kill()
    reader.wait()
    engine.purge()
    assert str(reader.pid) not in main.readers()


def check_after_kill(directory: Path, begun: dict[str, str], done: dict[str, str]) -> None:
    """Check that acknowledged commits are there, whole, with nothing else."""
    assert verify.verify(str(directory / lmdb_store.FILE), subdir=False) == []
    engine = LmdbEngine(directory)
    for name in done.keys() | begun.keys():
        head = engine.load(Space(name))
        if head is None:
            assert name not in done
            continue
        assert head.revision.hex() in (done.get(name), begun[name])
        (logged,) = struct.unpack("<I", head.body[:4])
        assert len(engine.log(Space(name))) == logged
        digests = [Digest(head.body[i : i + 16]) for i in range(4, len(head.body), 16)]
        assert [digest_of(content) for content in blobs(engine, Space(name), digests)] == digests
    listed = {info.space for info in engine.spaces()}
    assert engine.count() == len(listed)
    assert set(done) <= listed
    engine.close()


def kill_a_writer(start: Start, directory: Path, times: int) -> None:
    rng = random.Random(times)
    begun: dict[str, str] = {}
    done: dict[str, str] = {}
    for seed in range(times):
        writer = start("write_for_ever.py", directory, seed)
        assert writer.stdout is not None
        for _ in range(rng.randrange(2, 30)):
            note(writer.stdout.readline(), begun, done)
        for _ in range(rng.randrange(20_000)):
            pass  # somewhere between two lines
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:
            note(line, begun, done)
        writer.communicate()
        check_after_kill(directory, begun, done)


def note(line: str, begun: dict[str, str], done: dict[str, str]) -> None:
    assert line, "the writer stopped by itself"
    if not line.endswith("\n"):
        return  # killed while saying it; what it says is then less than what happened
    word, name, revision = line.split()
    (begun if word == "begin" else done)[name] = revision


def test_writer_killed_at_random_instants_leaves_whole_states(start: Start, directory: Path) -> None:
    kill_a_writer(start, directory, 20)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_writer_killed_two_hundred_times_leaves_whole_states(start: Start, directory: Path) -> None:
    kill_a_writer(start, directory, 200)


# --- compaction ----------------------------------------------------------------------------------


def filled(engine: LmdbEngine) -> dict[Digest, bytes]:
    """Write 8 MiB, let go of most of it, and return what stays."""
    contents = [bytes([i]) * (1 << 20) for i in range(8)]
    held = {digest_of(content): content for content in contents}
    first, stays = new_revision(), dict([*held.items()][:1])
    engine.commit(A, Change(None, first, b"", held, log=[b"entry"], ttl=100.0))
    engine.commit(A, Change(first, new_revision(), b"body", keep=frozenset(stays)))
    return stays


def test_compact_gives_space_back_and_keeps_everything(engine: LmdbEngine, directory: Path) -> None:
    stays = filled(engine)
    size = (directory / lmdb_store.FILE).stat().st_size
    assert size > 8 << 20
    before, after = engine.compact()
    assert before == size
    assert after == (directory / lmdb_store.FILE).stat().st_size < 2 << 20
    head = engine.load(A)
    assert head is not None
    assert (head.body, head.ttl) == (b"body", pytest.approx(100.0))
    assert engine.log(A) == [b"entry"]
    assert blobs(engine, A, list(stays)) == list(stays.values())
    engine.commit(A, Change(head.revision, new_revision(), b"after"))


def test_compact_is_refused_while_another_process_is_in(
    engine: LmdbEngine, directory: Path, start: Start
) -> None:
    other = start("hold_open.py", directory, "open")
    ready(other)
    with pytest.raises(StorageBusyError, match="another process"):
        engine.compact()
    assert engine.load(HELD) is not None
    other.kill()
    other.wait()
    engine.compact()
    assert engine.load(HELD) is not None


def test_compact_waits_for_the_threads_of_this_process(engine: LmdbEngine) -> None:
    stays = filled(engine)
    failures: list[BaseException] = []
    over = threading.Event()

    def read() -> None:
        try:
            while not over.is_set():
                assert blobs(engine, A, list(stays)) == list(stays.values())
        except BaseException as e:
            failures.append(e)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(5):
            engine.compact()
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert failures == []


def test_remains_of_a_crashed_compaction_do_no_harm(engine: LmdbEngine, directory: Path) -> None:
    filled(engine)
    (directory / lmdb_store.NEW_FILE).write_bytes(b"half a file")
    engine.compact()
    assert engine.load(A) is not None
    assert not (directory / lmdb_store.NEW_FILE).exists()


def test_compaction_killed_at_random_instants_loses_nothing(
    engine: LmdbEngine, directory: Path, start: Start
) -> None:
    stays = filled(engine)
    engine.close()
    rng = random.Random(1)
    for _ in range(8):
        process = start("compact_for_ever.py", directory)
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 6)):
            assert process.stdout.readline() == ".\n"
        for _ in range(rng.randrange(60_000)):
            pass  # somewhere inside
        process.kill()
        process.communicate()
        assert verify.verify(str(directory / lmdb_store.FILE), subdir=False) == []
        engine = LmdbEngine(directory)
        assert blobs(engine, A, list(stays)) == list(stays.values())
        engine.close()


def test_store_held_for_compaction_is_busy(
    directory: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir()
    ready(start("hold_open.py", directory, "locked"))
    monkeypatch.setattr(lmdb_store, "BUSY_SECONDS", 0.0)
    with pytest.raises(StorageBusyError, match="compacted"):
        LmdbEngine(directory)


def test_sizes_tell_what_is_used(engine: LmdbEngine) -> None:
    filled(engine)
    sizes = engine.sizes()
    assert sizes["used_bytes"] < 2 << 20 < 8 << 20 < sizes["file_bytes"] <= sizes["map_bytes"]
    engine.compact()
    sizes = engine.sizes()
    assert sizes["used_bytes"] == sizes["file_bytes"]


def test_space_freed_is_used_again(engine: LmdbEngine) -> None:
    revision = None
    for i in range(40):
        content = bytes([i]) * (1 << 20)
        new, held = new_revision(), {digest_of(content): content}
        engine.commit(A, Change(revision, new, b"", held, frozenset(held)))
        revision = new
    assert engine.sizes()["file_bytes"] < 8 << 20


def test_records_of_one_space_stay_together() -> None:
    assert records.blob_prefix(b"session:a") == records.blob_prefix(b"session:a")
    assert records.blob_prefix(b"session:a") != records.blob_prefix(b"session:b")
    assert len(records.blob_prefix(b"session:a")) == records.PREFIX_SIZE

"""Jobs run in children: whatever one does, the caller gets a table or a clear error, and nothing is left."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framekeep.errors import DamagedFileError, ImportLimitError, ServiceError
from framekeep.importing import Importer, sandbox
from framekeep.importing.model import MIB

from .conftest import LIMITS, Orders, idle, lives, until, written

READERS = "framekeep.testing.readers"


def rows(importer: Importer, path: Path) -> int:
    with importer.read(path, path.name) as file:
        return len(file.tables[0].frame)


def zygote(importer: Importer) -> int:
    pid = importer.process_id
    assert pid is not None
    return pid


# --- a good job -------------------------------------------------------------------------------------


def test_a_table_comes_back(importer: Importer, orders: Orders) -> None:
    with importer.read(orders("nothing", rows=1000), "n.csv") as file:
        assert file.tables[0].frame["a"].tolist() == list(range(1000))


def test_what_a_job_does_is_told_in_order(importer: Importer, orders: Orders) -> None:
    told: list[tuple[float, str]] = []
    importer.read(orders("tell"), "n.csv", progress=lambda done, what: told.append((done, what))).close()
    steps = [each for each in dict.fromkeys(told) if each[1]]
    assert steps == sorted(steps)
    assert steps[-1] == (0.8, "step 4")


def test_jobs_run_side_by_side(importer: Importer, orders: Orders, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    waiting = threading.Event()

    def told(done: float, what: str) -> None:
        if what == "waiting":
            waiting.set()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(importer.read, orders("wait for", path=str(flag)), "n.csv", progress=told)
        assert waiting.wait(60)
        assert rows(importer, orders("nothing")) == 3
        assert not first.done()
        flag.touch()
        first.result().close()


def test_many_jobs_at_once_each_get_their_own_table(importer: Importer, orders: Orders) -> None:
    wanted = list(range(1, 33))
    files = [orders("nothing", rows=count) for count in wanted]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda path: rows(importer, path), files)) == wanted


def test_a_job_too_many_waits_and_says_so(orders: Orders, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    told: set[str] = set()
    started = threading.Event()
    with (
        Importer(limits=LIMITS, scratch=tmp_path, jobs=1, readers=READERS) as importer,
        ThreadPoolExecutor(2) as pool,
    ):
        first = pool.submit(
            importer.read,
            orders("wait for", path=str(flag)),
            "n.csv",
            progress=lambda done, what: started.set() if what == "waiting" else None,
        )
        assert started.wait(60)
        second = pool.submit(
            importer.read, orders("nothing"), "n.csv", progress=lambda done, what: told.add(what)
        )
        until(lambda: "Waiting for other imports" in told)
        assert not second.done()
        flag.touch()
        first.result().close()
        second.result().close()


def test_what_a_library_says_on_stderr_is_no_error(importer: Importer, orders: Orders) -> None:
    assert rows(importer, orders("chatter")) == 3


# --- caps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fill memory", "fill arrow", "map memory", "fill and abort"])
def test_memory_is_capped_however_it_is_taken(importer: Importer, orders: Orders, how: str) -> None:
    with pytest.raises(ImportLimitError, match="more than the 192 MiB of memory"):
        importer.read(orders(how), "n.csv")


def test_a_crash_with_the_memory_all_but_full_is_told_as_out_of_memory(
    importer: Importer, orders: Orders
) -> None:
    with pytest.raises(ImportLimitError, match="192 MiB of memory"):
        importer.read(orders("fill and crash", mib=180), "n.csv")


def test_a_child_that_the_system_kills_is_told_as_out_of_memory(importer: Importer, orders: Orders) -> None:
    with pytest.raises(ImportLimitError, match="192 MiB of memory"):
        importer.read(orders("kill", signal=signal.SIGKILL), "n.csv")


def test_memory_below_the_cap_is_not_refused(importer: Importer, orders: Orders) -> None:
    assert rows(importer, orders("nothing", rows=2_000_000)) == 2_000_000


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_time_is_capped_whether_it_is_used_or_not(orders: Orders, tmp_path: Path, how: str) -> None:
    limits = replace(LIMITS, seconds=0.2)
    with (
        Importer(limits=limits, scratch=tmp_path, readers=READERS) as importer,
        pytest.raises(ImportLimitError, match=r"longer than the 0\.2 s"),
    ):
        importer.read(orders(how), "n.csv")


def test_disk_is_capped(importer: Importer, orders: Orders) -> None:
    with pytest.raises(ImportLimitError, match="64 MiB of disk"):
        importer.read(orders("flood disk"), "n.csv")


def test_a_child_has_its_caps_and_no_more_open_files_than_it_needs(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    facts = report(importer, orders, tmp_path)
    assert facts["caps"]["RLIMIT_CORE"] == 0
    assert facts["caps"]["RLIMIT_FSIZE"] == 64 * MIB
    assert 192 * MIB < facts["caps"]["RLIMIT_DATA"] < 1024 * MIB
    assert facts["oom_score_adj"] == 1000
    assert sorted(facts["files"]) == ["0", "1", "2", "3", "4"]
    assert facts["files"]["0"] == facts["files"]["1"] == "/dev/null"


def test_a_child_sees_no_settings_and_not_the_caller_s_directory(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    facts = report(importer, orders, tmp_path)
    assert "PATH" not in facts["environment"]
    assert os.getcwd() not in (facts["directory"], *facts["path"])


def report(importer: Importer, orders: Orders, tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "facts.json"
    assert rows(importer, orders("report", path=str(path))) == 3
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


# --- deaths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE])
def test_a_child_that_dies_says_by_what_and_what_to_do(
    importer: Importer, orders: Orders, number: signal.Signals
) -> None:
    with pytest.raises(DamagedFileError, match=rf"{number.name}.*save it again"):
        importer.read(orders("kill", signal=number), "n.csv")


def test_a_library_that_reads_nowhere_does_not_kill_the_caller(importer: Importer, orders: Orders) -> None:
    with pytest.raises(DamagedFileError, match="SIGSEGV"):
        importer.read(orders("crash"), "n.csv")


@pytest.mark.parametrize("status", [0, 3])
def test_a_child_that_leaves_without_an_answer_gave_none(
    importer: Importer, orders: Orders, status: int
) -> None:
    with pytest.raises(DamagedFileError, match=f"exit status {status}"):
        importer.read(orders("exit", status=status), "n.csv")


def test_the_next_job_does_not_mind_a_death(importer: Importer, orders: Orders) -> None:
    with pytest.raises(DamagedFileError):
        importer.read(orders("crash"), "n.csv")
    assert rows(importer, orders("nothing")) == 3


def test_a_job_is_done_again_when_the_zygote_dies_under_it(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    assert rows(importer, orders("nothing")) == 3
    before = zygote(importer)
    assert rows(importer, orders("kill zygote", path=str(tmp_path / "done"), times=1)) == 3
    assert zygote(importer) != before


def test_a_job_that_kills_the_zygote_is_not_tried_for_ever(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    with pytest.raises(ServiceError, match="ended twice"):
        importer.read(orders("kill zygote", path=str(tmp_path / "done"), times=9), "n.csv")
    assert (tmp_path / "done").read_bytes() == b".."
    assert rows(importer, orders("nothing")) == 3


def test_a_zygote_that_died_between_jobs_is_replaced(importer: Importer, orders: Orders) -> None:
    assert rows(importer, orders("nothing")) == 3
    before = zygote(importer)
    os.kill(before, signal.SIGKILL)
    assert rows(importer, orders("nothing")) == 3
    assert zygote(importer) != before


def test_a_child_dies_with_its_zygote(importer: Importer, orders: Orders, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(importer.read, orders("hang", path=str(mark)), "n.csv")
        until(lambda: written(mark))
        first = int(mark.read_text())
        mark.unlink()
        os.kill(zygote(importer), signal.SIGKILL)
        until(lambda: not lives(first))
        until(lambda: written(mark))  # it is done again, and ends as well
        os.kill(zygote(importer), signal.SIGKILL)
        with pytest.raises(ServiceError):
            job.result()
        until(lambda: not lives(int(mark.read_text())))


# --- cancelling, closing ----------------------------------------------------------------------------


class Stop(Exception):
    """The caller has seen enough."""


def test_what_the_caller_raises_while_told_ends_the_job(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"

    def told(done: float, what: str) -> None:
        if what == "hanging":
            raise Stop

    with pytest.raises(Stop):
        importer.read(orders("hang", path=str(mark)), "n.csv", progress=told)
    until(lambda: not lives(int(mark.read_text())))


def test_a_caller_is_heard_while_the_child_says_nothing(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    heard = 0

    def told(done: float, what: str) -> None:
        nonlocal heard
        heard += what == "hanging"
        if heard == 3:
            raise Stop

    with pytest.raises(Stop):
        importer.read(orders("hang"), "n.csv", progress=told)


def test_closing_ends_jobs_and_processes(orders: Orders, tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    importer = Importer(limits=LIMITS, scratch=scratch, readers=READERS)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(importer.read, orders("hang", path=str(mark)), "n.csv")
        until(lambda: written(mark))
        main = zygote(importer)
        importer.close()
        with pytest.raises(ServiceError, match="closed"):
            job.result()
    until(lambda: not lives(int(mark.read_text())))
    assert not lives(main)
    assert list(scratch.iterdir()) == []
    importer.close()
    with pytest.raises(ServiceError, match="closed"):
        importer.read(orders("nothing"), "n.csv")


def test_an_importer_that_is_forgotten_ends_its_processes(orders: Orders, tmp_path: Path) -> None:
    importer = Importer(limits=LIMITS, scratch=tmp_path, readers=READERS)
    importer.warm()
    main = zygote(importer)
    del importer
    gc.collect()
    assert not lives(main)


def test_frames_outlive_their_file_and_their_importer(orders: Orders, tmp_path: Path) -> None:
    with (
        Importer(limits=LIMITS, scratch=tmp_path, readers=READERS) as importer,
        importer.read(orders("nothing", rows=100_000), "n.csv") as file,
    ):
        frame = file.tables[0].frame
    frame.loc[0, "a"] = 7  # and may be changed
    assert frame["a"].tolist()[:3] == [7, 1, 2]


# --- nothing is left --------------------------------------------------------------------------------


def test_what_a_reader_leaves_behind_is_removed(importer: Importer, orders: Orders, tmp_path: Path) -> None:
    facts = report(importer, orders, tmp_path)
    assert rows(importer, orders("litter")) == 3
    assert list(Path(facts["directory"]).parent.iterdir()) == []


def test_a_process_that_a_reader_leaves_behind_is_killed(
    importer: Importer, orders: Orders, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    assert rows(importer, orders("leave somebody", path=str(mark))) == 3
    until(lambda: not lives(int(mark.read_text())))


def run_jobs_and_count(orders: dict[str, Path], scratch: Path) -> None:
    def once(importer: Importer) -> None:
        assert rows(importer, orders["nothing"]) == 3
        for order in ("crash", "fill arrow", "say", "raise"):
            with pytest.raises((DamagedFileError, ImportLimitError)):
                importer.read(orders[order], "n.csv")
        importer.inspect(orders["nothing"], "n.csv")
        with pytest.raises(Stop):
            importer.read(orders["hang"], "n.csv", progress=stop)

    def stop(done: float, what: str) -> None:
        raise Stop

    def open_files() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{main}/fd"))

    with Importer(limits=LIMITS, scratch=scratch, jobs=4, readers=READERS) as importer:
        once(importer)
        main = zygote(importer)
        until(lambda: children(main) == [])
        before = open_files()
        for _ in range(5):
            once(importer)
        until(lambda: children(main) == [])
        assert open_files() == before


def test_no_job_leaves_a_descriptor_open(
    in_new_process: Callable[..., object], orders: Orders, tmp_path: Path
) -> None:
    each = {order: orders(order) for order in ("nothing", "crash", "fill arrow", "raise", "hang")}
    in_new_process(run_jobs_and_count, each | {"say": orders("say", text="x\n")}, tmp_path)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_process_that_only_forks_has_no_threads(tmp_path: Path) -> None:
    with Importer(scratch=tmp_path) as importer:  # with the readers that are really used
        importer.warm()
        main = zygote(importer)
        until(lambda: idle(main))
        assert os.listdir(f"/proc/{main}/task") == [str(main)]


ORPHANS = """
import sys
from pathlib import Path
from framekeep.importing import Importer
importer = Importer(scratch=Path(sys.argv[1]), readers="framekeep.testing.readers")
importer.warm()
print(importer.process_id, flush=True)
importer.read(Path(sys.argv[2]), "n.csv")
"""


def test_everything_ends_when_the_caller_is_killed(orders: Orders, tmp_path: Path) -> None:
    scratch, mark = tmp_path / "scratch", tmp_path / "pid"
    scratch.mkdir()
    command = [sys.executable, "-c", ORPHANS, str(scratch), str(orders("hang", path=str(mark)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        main = int(parent.stdout.readline())
        until(lambda: written(mark))
        parent.kill()
    until(lambda: not lives(main) and not lives(int(mark.read_text())))
    until(lambda: list(scratch.iterdir()) == [])


def test_what_two_killed_processes_left_is_removed_by_the_next(orders: Orders, tmp_path: Path) -> None:
    scratch, mark = tmp_path / "scratch", tmp_path / "pid"
    scratch.mkdir()
    command = [sys.executable, "-c", ORPHANS, str(scratch), str(orders("hang", path=str(mark)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        main = int(parent.stdout.readline())
        until(lambda: written(mark))
        os.kill(main, signal.SIGSTOP)  # so that it cannot clean up
        parent.kill()
    os.kill(main, signal.SIGKILL)
    until(lambda: not lives(main) and not lives(int(mark.read_text())))
    left = list(scratch.iterdir())
    assert len(left) == 1
    with Importer(scratch=scratch, readers=READERS) as importer:
        importer.warm()
        assert left[0] not in scratch.iterdir()


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_a_directory_that_another_start_sweeps_away_is_made_again(
    orders: Orders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    made: list[Path] = []

    def swept(before: str) -> None:
        if when == before and len(made) == 1:
            made[0].rmdir()

    def make(**options: Any) -> str:
        made.append(Path(mkdtemp(**options)))
        swept("before it is opened")
        return str(made[-1])

    def lock(descriptor: int, how: int) -> None:
        swept("before it is locked")
        flock(descriptor, how)

    mkdtemp, flock = sandbox.tempfile.mkdtemp, sandbox.fcntl.flock
    monkeypatch.setattr(sandbox.tempfile, "mkdtemp", make)
    monkeypatch.setattr(sandbox.fcntl, "flock", lock)
    with Importer(limits=LIMITS, scratch=tmp_path, readers=READERS) as importer:
        assert rows(importer, orders("nothing")) == 3
        assert [path.exists() for path in made] == [False, True]


def test_an_importer_that_cannot_start_its_reading_process_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(sandbox.tempfile, "TemporaryFile", refuse)
    with (
        Importer(limits=LIMITS, scratch=tmp_path, readers=READERS) as importer,
        pytest.raises(ServiceError, match="Too many open files"),
    ):
        importer.warm()
    assert list(tmp_path.iterdir()) == []


def test_the_directory_of_a_living_importer_is_left_alone(orders: Orders, tmp_path: Path) -> None:
    with Importer(limits=LIMITS, scratch=tmp_path, readers=READERS) as first:
        first.warm()
        with Importer(limits=LIMITS, scratch=tmp_path, readers=READERS) as second:
            assert rows(second, orders("nothing")) == 3
            assert rows(first, orders("nothing")) == 3


FORKED = """
import os, sys
from pathlib import Path
from framekeep.importing import Importer
importer = Importer(scratch=Path(sys.argv[1]), readers="framekeep.testing.readers")
def rows():
    with importer.read(Path(sys.argv[2]), "n.csv") as file:
        return len(file.tables[0].frame)
assert rows() == 3
parents = importer.process_id
pid = os.fork()
if pid == 0:
    assert rows() == 3
    assert importer.process_id != parents
    importer.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert importer.process_id == parents
assert rows() == 3
importer.close()
assert os.listdir(sys.argv[1]) == []
"""


def test_a_forked_process_has_an_importer_of_its_own(orders: Orders, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED]
    subprocess.run([*command, str(scratch), str(orders("nothing"))], check=True)


def test_a_place_that_cannot_be_written_is_named(orders: Orders, tmp_path: Path) -> None:
    with (
        Importer(scratch=tmp_path / "absent", readers=READERS) as importer,
        pytest.raises(ServiceError, match="absent"),
    ):
        importer.read(orders("nothing"), "n.csv")


def test_a_zygote_that_does_not_start_is_told_with_its_last_words(orders: Orders, tmp_path: Path) -> None:
    with (
        Importer(scratch=tmp_path, readers="framekeep.testing.absent") as importer,
        pytest.raises(ServiceError, match=r"No module named 'framekeep\.testing\.absent'"),
    ):
        importer.read(orders("nothing"), "n.csv")

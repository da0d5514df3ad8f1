"""Real processes: one that is killed in the middle, and some that write while it is copied."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from framekeep.connect import InMemoryBackend

from .conftest import everything, people

PROGRAMS = Path(__file__).parent / "programs"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python with these words, away from any .env; what is left of it is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*words: object, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )
        processes.append(process)
        return process  # type: ignore[no-any-return]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def opened(directory: Path) -> closing[InMemoryBackend]:
    return closing(InMemoryBackend(directory))


def moving(start: Start, *more: object, **options: object) -> subprocess.Popen[str]:
    return start("-m", "framekeep.cli", "migrate", "--from", "one", "--to", "two", "--json", *more, **options)


def journal_lines(tmp_path: Path) -> int:
    found = list(tmp_path.glob("*/migrate-*.journal"))
    return found[0].read_bytes().count(b"\n") if found else 0


def test_what_was_killed_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    one = InMemoryBackend(tmp_path / "one")
    ids = [f"s{i}" for i in range(12)]
    for id in ids:
        one.create_session(id, people(60_000), "f", 3600)
    killed = 0
    for lines in (2, 5, 8, 11):
        process, deadline = moving(start), time.monotonic() + 60
        while journal_lines(tmp_path) < lines and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        killed += process.poll() is None
        process.kill()
        process.wait()
        one.commit_dataframe(ids[lines], people(lines), f"after {lines}")  # in use all the while
    assert killed >= 2
    process = moving(start)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    two = InMemoryBackend(tmp_path / "two")
    assert two.list_sessions() == sorted(ids)
    for id in ids:
        assert everything(one.engine, f"session:{id}") == everything(two.engine, f"session:{id}")
        assert two.check(id) == []
    one.close()
    two.close()


def test_a_pass_while_others_write_ends_with_whole_sessions_and_the_last_one_with_equal_ones(
    start: Start, tmp_path: Path
) -> None:
    with opened(tmp_path / "one") as one:
        for i in range(4):
            one.create_session(f"w{i}", people(), "f", 3600)
        for i in range(8):
            one.create_session(f"s{i}", people(20_000), "f", 3600)
        writer = start(PROGRAMS / "write_for_ever.py", tmp_path / "one")
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        for _ in range(3):
            process = moving(start)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, out + err
            with opened(tmp_path / "two") as two:
                assert len(two.list_sessions()) == 12
                for id in two.list_sessions():
                    assert two.check(id) == []
                    # Frame, history and log are of one state.
                    log = two.get_audit_log(id)
                    changes = sum("change" in line for line in log)
                    ids = [version["version_id"] for version in two.get_history(id)]
                    assert max(ids, default=0) == changes
        assert writer.poll() is None
        writer.kill()
        writer.wait()
        process = moving(start)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err
        with opened(tmp_path / "two") as two:
            for id in one.list_sessions():
                assert everything(one.engine, f"session:{id}") == everything(two.engine, f"session:{id}")


def test_writers_on_both_sides_lose_nothing(start: Start, tmp_path: Path) -> None:
    with opened(tmp_path / "one") as one:
        for i in range(4):
            one.create_session(f"w{i}", people(), "f", 3600)
    assert moving(start).wait(60) == 0
    writers = [start(PROGRAMS / "write_for_ever.py", tmp_path / name) for name in ("one", "two")]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
    codes = [moving(start).wait(60) for _ in range(2)]
    for writer in writers:
        assert writer.poll() is None  # a frame that was replaced under it would be a ConflictError
        writer.kill()
        writer.wait()
    assert codes == [5, 5]
    for name in ("one", "two"):
        with opened(tmp_path / name) as backend:
            for i in range(4):
                assert backend.check(f"w{i}") == []
                # Its own changes, without a gap: nothing came from the other side.
                entries = [
                    int(line.rpartition(" ")[2]) for line in backend.get_audit_log(f"w{i}") if "entry" in line
                ]
                assert entries == list(range(i, i + 4 * len(entries), 4))


def test_two_migrations_at_once_do_not_get_in_each_others_way(start: Start, tmp_path: Path) -> None:
    with opened(tmp_path / "one") as one:
        for i in range(6):
            one.create_session(f"s{i}", people(30_000), "f", 3600)
    both = [moving(start, "--journal", tmp_path / f"j{i}") for i in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    with opened(tmp_path / "two") as two:
        assert all(two.check(id) == [] for id in two.list_sessions())
        assert len(two.list_sessions()) == 6


def test_a_full_disk_is_reported_with_its_exit_code_and_the_next_pass_goes_on(
    start: Start, tmp_path: Path
) -> None:
    import resource

    with opened(tmp_path / "one") as one:
        for i in range(4):
            one.create_session(f"s{i}", people(100_000), "f", 3600)

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))

    process = moving(start, preexec_fn=little)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7, out + err
    assert '"storage_full"' in out
    process = moving(start)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    with opened(tmp_path / "two") as two:
        assert all(two.check(f"s{i}") == [] for i in range(4))
        pd.testing.assert_frame_equal(two.get_dataframe("s0"), people(100_000))

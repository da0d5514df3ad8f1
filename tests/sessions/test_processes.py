"""Several processes on one session: nothing acknowledged is lost, nothing is overwritten unawares.

Every change waits for the disk, so how long this takes is the disk's to say: the long form makes 200
rounds of four changes in each process, the default one fewer.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from framekeep import DataManager, Settings
from framekeep.errors import ConflictError

WRITER = Path(__file__).parent / "writer.py"
WRITERS = 8


def start(directory: Path, session: str, number: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), str(directory), session, str(number), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[DataManager]:
    with DataManager(Settings(storage_dir=tmp_path, storage_backend="inmemory", _env_file=None)) as manager:
        yield manager


def created(manager: DataManager, rows: int, columns: int) -> str:
    return manager.create_session(
        pd.DataFrame({f"c{number}": np.zeros(rows, dtype="int64") for number in range(columns)})
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.long)])
def test_changes_of_eight_processes_are_all_there(manager: DataManager, tmp_path: Path, count: int) -> None:
    session = created(manager, count, WRITERS)
    writers = [start(tmp_path, session, number, count) for number in range(WRITERS)]
    ends = [writer.communicate() for writer in writers]
    assert [(writer.returncode, errors) for writer, (_, errors) in zip(writers, ends, strict=True)] == [
        (0, "")
    ] * WRITERS
    metadata, frame = manager.get_metadata(session), manager.get_dataframe(session)
    noted = {line.partition("] ")[2] for line in manager.get_audit_log(session)}
    marks = manager.get_intentional_missing(session)
    for number in range(WRITERS):
        names = {f"w{number}.{i}" for i in range(count)}
        assert {metadata.get(f"w{number}.{i}") for i in range(count)} == set(range(count))
        assert names <= noted
        assert frame[f"c{number}"].tolist() == list(range(1, count + 1))
        assert marks[f"c{number}"] == list(range(count))
    versions = [line for line in manager.get_audit_log(session) if "] Version " in line]
    assert len(versions) == WRITERS * count
    assert manager.check(session) == []


def test_of_two_processes_that_write_one_session_one_gets_the_conflict(
    manager: DataManager, tmp_path: Path
) -> None:
    session = created(manager, 1, 1)
    with pytest.raises(ConflictError), manager.edit(session, "mine") as frame:  # noqa: PT012
        other = start(tmp_path, session, 0, 1)
        assert other.communicate()[1] == ""
        frame["c0"] = -1
    assert manager.get_dataframe(session)["c0"].tolist() == [1]


def test_another_process_sees_the_session(manager: DataManager, tmp_path: Path) -> None:
    session = created(manager, 3, 1)
    code = (
        "import sys; from framekeep import DataManager, Settings\n"
        "with DataManager(Settings(storage_dir=sys.argv[1], _env_file=None)) as manager:\n"
        "    print(len(manager.get_dataframe(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), session]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3\n"


def killed_while_writing(manager: DataManager, tmp_path: Path, times: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(times):
        session = created(manager, 2_000, 1)
        writer = start(tmp_path, session, 0, 2_000)
        assert writer.stdout is not None
        acknowledged = [writer.stdout.readline().split()]  # it is at work now
        deadline = time.monotonic() + dice.random() * 0.25
        while time.monotonic() < deadline:
            acknowledged.append(writer.stdout.readline().split())
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.split() for line in writer.communicate()[0].splitlines()]
        last = {kind: int(i) for kind, i, *_ in acknowledged}
        frame, noted = manager.get_dataframe(session), manager.get_audit_log(session)
        assert f"w0.{last['metadata']}" in manager.get_metadata(session)
        if "audit" in last:
            assert any(line.endswith(f"] w0.{last['audit']}") for line in noted)
        if "column" in last:
            assert frame["c0"].iloc[: last["column"] + 1].tolist() == list(range(1, last["column"] + 2))
        if "marks" in last:
            assert len(manager.get_intentional_missing(session)["c0"]) >= last["marks"] + 1
        check(tmp_path)
        manager.delete_session(session)


def check(directory: Path) -> None:
    """Run the command, as an operator would after a crash."""
    code = "from framekeep.cli.app import main; main()"
    command = [sys.executable, "-c", code, "check", "--storage-dir", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_a_killed_writer_had_acknowledged_is_there(manager: DataManager, tmp_path: Path) -> None:
    killed_while_writing(manager, tmp_path, 20, seed=1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_two_hundred_killed_writers_had_acknowledged_is_there(
    manager: DataManager, tmp_path: Path
) -> None:
    killed_while_writing(manager, tmp_path, 200, seed=2)

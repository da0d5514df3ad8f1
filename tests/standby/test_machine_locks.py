"""Locks among processes use one descriptor of their file, for as long as somebody needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framekeep.engines.base import Change
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import StorageUnavailableError
from framekeep.names import new_revision, space
from framekeep.standby import StandbyEngine
from framekeep.standby.machine_locks import MachineLocks

TRY = """
import sys
from pathlib import Path
from framekeep.standby.machine_locks import MachineLocks
with MachineLocks(Path(sys.argv[1]), 1).attempted(0) as mine:
    print(mine)
"""

FULL = """
import resource, sys
from pathlib import Path
from framekeep.errors import StorageFullError
from framekeep.names import new_revision, space
from framekeep.standby.latest import Latest
from framekeep.standby.markers import _flag
one, revision = space("session", "one"), new_revision()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # as a disk that is full
try:
    _flag(Path(sys.argv[1]) / "flag")
except StorageFullError as error:
    print(error)
latest = Latest(Path(sys.argv[1]) / "latest")
latest.note(one, revision)
print(latest.get(one) == revision)
"""


def opened(path: Path) -> int:
    """Return how many descriptors of a file this process has."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(link) and os.readlink(link) == str(path) for link in links)


def attempted_elsewhere(path: Path) -> str:
    command = [sys.executable, "-c", TRY, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_is_closed_with_the_last_of_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "locks"
    first, second = MachineLocks(path, 1), MachineLocks(path, 2)
    assert opened(path) == 1
    del first
    assert opened(path) == 1
    with second.held(1):
        pass
    del second
    assert opened(path) == 0
    with MachineLocks(path, 1).held(0):
        assert opened(path) == 1


def test_a_lock_is_held_while_others_of_its_file_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "locks"
    with MachineLocks(path, 1).held(0):
        for _ in range(3):
            MachineLocks(path, 2)
        assert attempted_elsewhere(path) == "False"
    assert attempted_elsewhere(path) == "True"


def test_a_lock_that_is_held_outlives_the_closing(tmp_path: Path) -> None:
    path = tmp_path / "locks"
    locks = MachineLocks(path, 1)
    with locks.held(0):
        locks.close()
        locks.close()
        assert attempted_elsewhere(path) == "False"
    assert opened(path) == 0
    assert attempted_elsewhere(path) == "True"
    for use in (locks.held, locks.attempted):
        with pytest.raises(StorageUnavailableError, match="closed"), use(0):
            pass


def test_a_closed_standby_has_none_of_its_files_open(tmp_path: Path) -> None:
    class Closed(MemoryEngine):
        """Answers until it is closed, as Redis does."""

        open = True

        def _spaces(self):  # type: ignore[no-untyped-def]
            if not self.open:
                raise StorageUnavailableError("closed")
            return super()._spaces()

        def close(self) -> None:
            self.open = False

    one, two = space("session", "one"), space("session", "two")
    engine = StandbyEngine(Closed(), tmp_path)
    engine.commit(one, Change(None, new_revision(), b"head", ttl=60.0))
    engine.mirror.wait()
    files = [tmp_path / f"standby.{name}" for name in ("flag", "latest", "lock")]
    assert [opened(file) for file in files] == [1, 1, 1]
    engine.close()
    engine.close()
    assert [opened(file) for file in files] == [0, 0, 0]
    uses: list[Callable[[], object]] = [
        lambda: engine.load(one),
        lambda: engine.touch(one, 9.0),
        lambda: engine.log(one),
        lambda: engine.commit(two, Change(None, new_revision(), b"head")),
        lambda: engine.discard(one),
        lambda: engine.count(),
    ]
    for use in uses:
        with pytest.raises(StorageUnavailableError):
            use()


def test_a_full_disk_is_told_and_does_not_kill(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ended.stdout.splitlines() == [f"There is no room for {tmp_path}/flag (File too large).", "True"]

"""Many clients in several processes on a few sessions, and what they say they did."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stamped

from framekeep import DataManager, Settings
from framekeep.testing.redis_servers import until

_OF_BREAKERS = re.compile(r"Redis( \([^)]*\))? (does not answer|answers again)")
"""What a worker says while a primary is away, and should."""

PROGRAM = Path(__file__).parent / "programs" / "forking.py"
WORKERS, THREADS = 4, 8


@dataclass(frozen=True, slots=True)
class Event:
    """What a client says of one change: see ``programs/crowd_worker.py``."""

    client: int
    number: int
    session: int
    verb: str
    begin: float
    end: float
    outcome: str
    detail: Any

    @property
    def token(self) -> str:
        return stamped.token_for(self.client, self.number)

    @property
    def stamp(self) -> int:
        return stamped.stamp_for(self.token)


class Diary:
    """The file where the clients of a worker write; each line is read once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """Return what was said until now."""
        if self._file.exists():
            with self._file.open("rb") as lines:
                lines.seek(self._read)
                whole, end, _ = lines.read().rpartition(b"\n")
            self._read += len(whole + end)
            self._events += [Event(*json.loads(line)) for line in whole.splitlines()]
        return self._events


def settings_for(reached: dict[str, Any], directory: Path, **more: Any) -> dict[str, Any]:
    """Return the settings of a store of its own, as JSON values.

    Args:
        reached: settings that say where Redis is.
        directory: for what the manager may keep locally.
        more: further settings.
    """
    prefix = f"p{secrets.token_hex(4)}"
    here = {"redis_key_prefix": prefix, "storage_dir": str(directory), "cache_mb": 64}
    return {**reached, **here, **more}


@contextmanager
def manager_on(settings: dict[str, Any]) -> Iterator[DataManager]:
    """Open a manager; never one that fell back to a file."""
    given = {**settings, "storage_fallback_to_memory": False}
    with DataManager(Settings(storage_backend="redis", _env_file=None, **given)) as manager:
        yield manager


class Workers:
    """Processes that are forked and work: see ``programs/forking.py``.

    Attributes:
        directory: where they write.
    """

    def __init__(self, settings: dict[str, Any], directory: Path) -> None:
        self.directory = directory
        self._settings = {**settings, "storage_fallback_to_memory": False}
        with (directory / "complaints").open("wb") as complaints:
            self._program = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    def start(self, task: str, out: str = "nothing", **order: Any) -> int:
        """Start one and return its process id."""
        stdin, stdout = self._program.stdin, self._program.stdout
        assert stdin is not None
        assert stdout is not None
        told = {"task": task, "out": str(self.directory / out), "settings": self._settings, **order}
        stdin.write(json.dumps(told) + "\n")
        stdin.flush()
        return int(stdout.readline())

    def end(self) -> None:
        """Let each finish what it is at.

        Raises:
            AssertionError: one complained.
        """
        for stream in (self._program.stdin, self._program.stdout):
            assert stream is not None
            stream.close()
        code = self._program.wait(60)
        assert (code, self.complaints) == (0, "")

    def kill(self) -> None:
        """End the program that forks them; they end then, too."""
        self._program.kill()
        with self._program:  # closes its pipes
            pass

    @property
    def complaints(self) -> str:
        said = (self.directory / "complaints").read_text().splitlines(keepends=True)
        return "".join(line for line in said if not _OF_BREAKERS.match(line))


@contextmanager
def workers_in(settings: dict[str, Any], directory: Path) -> Iterator[Workers]:
    """Run workers for the block."""
    workers = Workers(settings, directory)
    try:
        yield workers
        workers.end()
    finally:
        workers.kill()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Crowd:
    """WORKERS processes with THREADS clients each."""

    def __init__(self, workers: Workers, sessions: list[str], *, sees_own: bool) -> None:
        names = [f"worker-{n}" for n in range(WORKERS)]
        self._workers = workers
        self._diaries = [Diary(workers.directory / name) for name in names]
        self._pids = []
        for n, name in enumerate(names):
            clients = list(range(n * THREADS, (n + 1) * THREADS))
            order = {"sessions": sessions, "clients": clients, "seed": n, "sees_own": sees_own}
            self._pids.append(workers.start("crowd", name, **order))

    def events(self) -> list[Event]:
        """Return what was said until now."""
        return [event for diary in self._diaries for event in diary.events()]

    def acknowledged(self, since: float = 0.0) -> dict[int, int]:
        """Return how many changes that began after ``since`` each client had acknowledged."""
        done = dict.fromkeys(range(WORKERS * THREADS), 0)
        for event in self.events():
            done[event.client] += event.outcome == "ok" and event.verb != "look" and event.begin > since
        return done

    def work(self, changes: int, since: float = 0.0) -> None:
        """Wait until each client had so many changes acknowledged that began after ``since``.

        However slow a busy machine is, within a minute the slowest of them has one more.
        """

        def done(number: int) -> bool:
            assert all(map(alive, self._pids)), f"workers ended: {self._workers.complaints}"
            return min(self.acknowledged(since).values()) >= number

        for number in range(1, changes + 1):
            until(lambda number=number: done(number), f"not every client got {number} changes through")  # type: ignore[misc]

    def stop(self) -> list[Event]:
        """Let each client finish what it is at; return all events."""
        self._workers.end()
        return self.events()


@contextmanager
def crowd(
    settings: dict[str, Any], directory: Path, sessions: list[str], *, sees_own: bool = True
) -> Iterator[Crowd]:
    """Run a crowd for the block.

    Args:
        sees_own: whether each client must see all it was acknowledged: not while a primary dies.
    """
    workers = Workers(settings, directory)
    try:
        yield Crowd(workers, sessions, sees_own=sees_own)
    finally:
        workers.kill()


def created(manager: DataManager, number: int) -> list[str]:
    """Return new sessions."""
    return [manager.create_session(stamped.fresh(stamped.rows_of(n))) for n in range(number)]

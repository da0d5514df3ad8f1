"""Fixtures of the engine tests: stores, other processes, and a way behind the engine's back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from framekeep.engines.lmdb import LmdbEngine
from framekeep.testing import ManualClock

PROGRAMS = Path(__file__).parent / "programs"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def engine(directory: Path, clock: ManualClock) -> Iterator[LmdbEngine]:
    engine = LmdbEngine(directory, clock=clock, map_size=1 << 20)
    yield engine
    engine.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program of tests/engines/programs, or one given as text; what is left of them is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        file = [str(PROGRAMS / program)] if program.endswith(".py") else ["-c", program]
        process = subprocess.Popen(
            [sys.executable, *file, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def run(start: Start) -> Callable[..., str]:
    """Run a program to its end and return what it said; fails if it failed."""

    def run(program: str, *arguments: object) -> str:
        process = start(program, *arguments)
        said, trouble = process.communicate(timeout=60)
        assert process.returncode == 0, trouble
        return said

    return run


@pytest.fixture
def change_stored() -> Callable[..., None]:
    """Rewrite one stored value behind the engine's back; None deletes it."""

    def change_stored(
        engine: LmdbEngine, database: bytes, key: bytes, change: Callable[[bytes], bytes | None]
    ) -> None:
        store = engine._opened()
        assert store.main is not None
        with store.main.begin(write=True) as txn:
            old = txn.get(key, db=store.dbs[database])
            assert old is not None
            new = change(bytes(old))
            if new is None:
                txn.delete(key, db=store.dbs[database])
            else:
                txn.put(key, new, db=store.dbs[database])

    return change_stored


def in_child(check: Callable[[], object]) -> str:
    """Fork, run ``check`` in the child, and return what went wrong there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        trouble = b""
        try:
            check()
        except BaseException as e:
            trouble = repr(e).encode()
        os.write(writing, trouble)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        trouble = pipe.read()
    os.waitpid(child, 0)
    return trouble.decode()

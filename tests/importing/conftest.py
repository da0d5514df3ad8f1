"""Importers whose readers obey the file, and what tests ask of processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framekeep.importing import Importer, Limits
from framekeep.importing.model import MIB

LIMITS = Limits(memory_bytes=192 * MIB, seconds=60, spool_bytes=64 * MIB)
Orders = Callable[..., Path]


@pytest.fixture(scope="module")
def importer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Importer]:
    """An importer for the tests of a module, whose files say what their reader does."""
    scratch = tmp_path_factory.mktemp("scratch")
    with Importer(limits=LIMITS, scratch=scratch, jobs=4, readers="framekeep.testing.readers") as made:
        yield made
    assert list(scratch.iterdir()) == []


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    """Write a file that says what its reader does."""
    count = 0

    def write(do: str, **more: Any) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / f"order-{count}.csv"
        path.write_text(json.dumps({"do": do, **more}))
        return path

    return write


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until ``condition`` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.002)


def lives(pid: int) -> bool:
    """Say whether a process is there that can still do something."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def idle(pid: int | None) -> bool:
    """Say whether a zygote has loaded what it loads beforehand: it sleeps, and takes no time for a while."""

    def time_taken() -> list[str]:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return facts[10:12] if state == "S" else []

    before = time_taken()
    deadline = time.monotonic() + 0.1
    while before and time_taken() == before:
        if time.monotonic() > deadline:
            return True
    return False


def written(path: Path) -> bool:
    """Say whether a file is there with something in it."""
    return path.exists() and path.stat().st_size > 0

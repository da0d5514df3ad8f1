"""Many users at once on two workers: no error, and no edit of anybody is lost.

Each user keeps a plain pandas frame beside their session; every answer is compared with it, and in the end
the session's frame must equal it exactly (``benchmarks/user.py``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Served, serve

PROJECT = Path(__file__).parents[2]
VERBS = {"create", "page", "edit", "edit again", "replace", "undo", "redo", "profile", "export", "versions",
         "read all", "delete"}  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service of two workers."""
    with serve(tmp_path_factory.mktemp("two"), workers=2) as served:
        yield served


def crowd(served: Served, *arguments: str, patience: float = 100.0) -> dict[str, Any]:
    """Let users work, and return what they went through."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crowd", "127.0.0.1", str(served.port), *arguments],
        cwd=PROJECT, capture_output=True, text=True, timeout=patience, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def loud(served: Served) -> list[Any]:
    """Return log lines that are no information."""
    return served.noise() + [line for line in served.log() if line["level"] != "info"]


def test_twenty_users_find_what_they_did(two: Served) -> None:
    found = crowd(two, "--users", "20", "--steps", "40")
    assert found["errors"] == []
    assert found["lost"] == []
    assert found["samples"].keys() == VERBS
    assert len(found["samples"]["delete"]) == 20
    assert loud(two) == []


def test_a_change_behind_a_users_back_is_noticed(two: Served) -> None:
    found = crowd(two, "--users", "4", "--steps", "5", "--meddle", "2")
    assert sorted(line.partition(",")[0] for line in found["lost"]) == ["user 0", "user 1"]
    assert found["errors"] == []


@pytest.mark.long
def test_two_hundred_users_find_what_they_did_for_a_minute(two: Served) -> None:
    found = crowd(two, "--users", "200", "--seconds", "60", patience=600.0)
    assert found["errors"] == []
    assert found["lost"] == []
    assert loud(two) == []
    for verb, took in sorted(found["samples"].items()):
        took.sort()
        half, most = took[len(took) // 2], took[int(len(took) * 0.95)]
        print(f"{verb}: {len(took)} answers, median {half:.0f} ms, 95 % within {most:.0f} ms")

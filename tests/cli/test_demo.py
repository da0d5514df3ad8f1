"""The demo tells its story to the end, and each of its claims is checked on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from framekeep.cli import flights


def test_the_demo_runs_on_all_the_flights(framekeep) -> None:
    done = framekeep("demo", "--json")
    assert done.code == 0, done.err
    assert (done.json["rows"], done.json["columns"]) == (336_776, 19)
    assert done.json["held_bytes"] < done.json["pickles_bytes"]


def test_the_demo_tells_every_chapter(framekeep) -> None:
    told = framekeep("demo", "--rows", 2000).out
    for chapter in (
        "Keep it", "Change it", "What was done", "Take it back", "Empty on purpose", "A second process",
        "Nobody is overwritten", "Look closer", "What happened", "Gone when it should be",
        "measured just now",
    ):  # fmt: skip
        assert chapter in told


def test_the_demo_does_not_mind_the_settings_of_real_sessions(
    framekeep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_VERSIONS", "1")
    assert framekeep("demo", "--rows", 2000, "--json").code == 0


def test_the_store_can_be_kept_to_look_around_in(framekeep, tmp_path: Path) -> None:
    assert framekeep("demo", "--rows", 2000, "--keep", tmp_path / "kept").code == 0
    framekeep.directory = tmp_path / "kept"
    assert framekeep("check").code == 0
    assert len(framekeep("sessions", "list", "--json").json["sessions"]) == 1


def test_a_directory_that_is_in_use_is_not_taken(framekeep, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    assert framekeep("demo", "--keep", tmp_path).code == 3


def test_without_the_data_the_extra_is_named(framekeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "PACKAGE", "a_package_nobody_has")
    done = framekeep("demo")
    assert done.code == 4
    assert "framekeep[demo]" in done.err


def test_loading_the_flights_warns_of_nothing() -> None:
    program = "from framekeep.cli.flights import flights; assert flights().shape == (336776, 19)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

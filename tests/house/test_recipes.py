"""The Makefile and CI say what they do, and do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ("help", "demo", "test", "test-long", "check", "fmt", "bench", "clean")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_alone_teaches_every_target() -> None:
    said = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert [target for target in TARGETS if f"make {target}" not in said] == []


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_the_readme_or_contributing_names_the_target(target: str) -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "CONTRIBUTING.md"))
    assert f"make {target}" in pages


def test_ci_is_executable_and_runs_the_recipes() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert {"check", "test"} <= set(re.findall(r"make ([a-z-]+)", script.read_text(encoding="utf-8")))


def test_constraints_pin_every_direct_dependency() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    names = {re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-") for requirement in asked}
    names.discard(project["name"])  # an extra that takes in another one
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0].lower().replace("_", "-") for line in pinned if "==" in line}
    assert names - pins == set()


def test_constraints_hold_nothing_but_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [
        line for line in lines if not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", line)
    ] == []

"""No text of the tree names what belongs elsewhere: package registries, this machine, trackers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Put together here, so that this file does not hold what it looks for.
REGISTRY = re.compile(
    r"https?://[^\s)]*(?:/" + r"simple/|/packages/|py" + r"pi\.|pythonhosted|registry\.|npm" + r"js)", re.I
)
REGISTRY_HOST = re.compile(r"\b(?:files\.python" + r"hosted|py" + r"pi)\.org\b", re.I)
TRACKER = re.compile(
    r"(?<!Row)(?:^|[\s(])#[0-9]+\b|\b(?:issue|ticket|pull request|PR) #?[0-9]+\b|\bGH-[0-9]+\b", re.I
)


def texts() -> list[tuple[str, str]]:
    """Return name and text of every text file that is, or will be, committed."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    found = []
    for name in filter(None, listed.split("\0")):
        try:
            found.append((name, (ROOT / name).read_text(encoding="utf-8")))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # bytes, or removed but not yet committed
    return found


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_package_registry_is_named() -> None:
    assert lines_with(REGISTRY) + lines_with(REGISTRY_HOST) == []


def test_no_path_of_this_machine_is_named() -> None:
    places = {str(ROOT), str(Path.home())} | ({str(ROOT.parent)} if len(ROOT.parts) > 2 else set())
    pattern = re.compile("|".join(rf"{re.escape(place)}(?=/|\b)" for place in sorted(places) if place != "/"))
    assert lines_with(pattern) == []


def test_no_tracker_number_is_named() -> None:
    assert lines_with(TRACKER) == []


def test_no_file_grows_over_six_hundred_lines() -> None:
    long = [(name, text.count("\n")) for name, text in texts() if name.endswith(".py")]
    assert [(name, count) for name, count in long if count > 600] == []

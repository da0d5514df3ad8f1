"""Children that are forked while threads of their parent are at work: none of them waits for ever."""

from __future__ import annotations

import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "programs" / "busy_forks.py"


def run(places: Any, kind: str, directory: Path, children: int) -> None:
    ended = subprocess.run(
        [sys.executable, PROGRAM, places[kind].url, directory, f"f{secrets.token_hex(4)}", str(children)],
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.returncode) == (f"{children}\n", 0), ended.stderr


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["valkey", "sentinel", "cluster"])
def test_each_of_many_children_goes_on(places: Any, kind: str, tmp_path: Path) -> None:
    run(places, kind, tmp_path, 200)

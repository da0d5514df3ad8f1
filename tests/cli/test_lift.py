"""--json, --debug and --storage-dir may stand anywhere on the line."""

from __future__ import annotations

import pytest

from framekeep.cli.run import lift


@pytest.mark.parametrize(
    ("line", "lifted"),
    [
        ("history X --json", "--json history X"),
        ("history --storage-dir d X", "--storage-dir d history X"),
        ("history X --storage-dir=d --debug", "--storage-dir=d --debug history X"),
        ("--json sessions list", "--json sessions list"),
        ("import -- --json", "import -- --json"),
        ("history X --json --storage-dir", "--json --storage-dir"),
        ("", ""),
    ],
)
def test_moves_the_shared_options_to_the_front(line: str, lifted: str) -> None:
    assert lift(line.split()) == lifted.split()

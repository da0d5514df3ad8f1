"""Files are written whole or not at all, or refused with the next step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from framekeep.cli import targets
from framekeep.cli.targets import UnusableFileError
from framekeep.errors import InvalidInputError


def test_the_pieces_are_the_file(tmp_path: Path) -> None:
    targets.write([b"a", b"", b"b"], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes() == b"ab"
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_what_fails_on_the_way_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("mine")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is ours
        targets.write(pieces(), tmp_path / "t.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("t.csv", "mine")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UnusableFileError, match=r"t\.csv cannot be written"):
        targets.write([b"x"], tmp_path / "t.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_a_target_that_exists_is_refused_unless_forced(tmp_path: Path) -> None:
    target = tmp_path / "t.csv"
    target.touch()
    with pytest.raises(UnusableFileError, match="--force"):
        targets.checked_target(target, force=False)
    assert targets.checked_target(target, force=True).name == "csv"


@pytest.mark.parametrize(
    ("name", "says"),
    [("t.ods", r"the format \.ods"), ("t", "a name without suffix"), ("nowhere/t.csv", "no directory")],
)
def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        targets.checked_target(tmp_path / name, force=False)

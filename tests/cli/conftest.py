"""Runs command lines as a user does, on a store of the test's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep.cli.app import run
from framekeep.config import Settings
from framekeep.manager import DataManager


@dataclass(frozen=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """A store with its command line."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capture = capture

    def __call__(self, *words: object) -> Result:
        self._capture.readouterr()
        code = run([*map(str, words), "--storage-dir", str(self.directory)])
        said = self._capture.readouterr()
        return Result(code, said.out, said.err)

    def manager(self) -> DataManager:
        return DataManager(Settings(storage_dir=self.directory))


@pytest.fixture
def framekeep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("COLUMNS", "200")
    return CommandLine(tmp_path / "store", capsys)


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame({"id": ["00501", "10001", "94105"], "age": [34.0, None, 210.0]})


@pytest.fixture
def session(framekeep: CommandLine, people: pd.DataFrame) -> str:
    """A session with two versions: ages filled, then a column added."""
    with framekeep.manager() as manager:
        session = manager.create_session(people, "people.csv")
        with manager.edit(session, "Fill ages") as df:
            df["age"] = df["age"].fillna(40)
        with manager.edit(session, "Who is [bold] grown up") as df:
            df["adult"] = df["age"] >= 18
    return session

"""A real service in a thread of the test process, over whichever DataManager a test gives it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "frames"))  # the corpus of odd frames

from live import LiveService
from relay import Relay

from framekeep import Client, DataManager, Settings


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One service for all tests; ``live.serve(manager)`` says whose sessions it serves."""
    with LiveService(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def manager(live: LiveService, tmp_path: Path) -> DataManager:
    """The empty store behind the service of this test."""
    made = DataManager(Settings(storage_dir=tmp_path / "store", _env_file=None))
    live.serve(made)
    return made


@pytest.fixture
def client(live: LiveService, manager: DataManager) -> Iterator[Client]:
    """A client of a service without sessions."""
    with Client(live.url) as made:
        yield made


@pytest.fixture
def relay(live: LiveService, manager: DataManager) -> Iterator[Relay]:
    """A wire to the service that breaks where it is told to."""
    with Relay(live.url) as made:
        yield made


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame({"id": ["00501", "10001", "94105"], "age": [34.0, None, 210.0]})


@pytest.fixture
def session(client: Client, people: pd.DataFrame) -> str:
    """A session that holds three people."""
    return client.new_session(people, "people.csv")

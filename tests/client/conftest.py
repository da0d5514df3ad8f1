"""A real service in a thread of the test process, over whichever DataManager a test gives it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live import LiveService


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """One service for all tests; ``live.serve(manager)`` says whose sessions it serves."""
    with LiveService(tmp_path_factory.mktemp("service")) as service:
        yield service

"""The backend's contract, by way of a service."""

from __future__ import annotations

from pathlib import Path

import pytest
from live import LiveService

from framekeep import Client, DataManager, Settings
from framekeep.testing.backend import BackendContract
from framekeep.testing.clock import ManualClock


class TestClient(BackendContract):
    any_text = False

    @pytest.fixture(autouse=True)
    def _service(self, live: LiveService, tmp_path: Path) -> None:
        self.live = live
        self.directory = tmp_path

    def make_backend(self, clock: ManualClock) -> Client:
        self.live.serve(DataManager(Settings(storage_dir=self.directory, _env_file=None), clock=clock))
        return Client(self.live.url)

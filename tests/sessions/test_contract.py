"""The backend's contract, on every engine there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from framekeep import InMemoryBackend, SessionBackend
from framekeep.engines.memory import MemoryEngine
from framekeep.frames import FrameCodec
from framekeep.testing.backend import BackendContract
from framekeep.testing.clock import ManualClock


class TestOverMemory(BackendContract):
    def make_backend(self, clock: ManualClock) -> SessionBackend:
        return SessionBackend(MemoryEngine(clock=clock), FrameCodec(), clock=clock)


class TestInMemoryBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def make_backend(self, clock: ManualClock) -> SessionBackend:
        return InMemoryBackend(self.directory, clock=clock)

"""The memory engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

from framekeep.engines.base import Engine
from framekeep.engines.memory import MemoryEngine
from framekeep.names import Digest, Space
from framekeep.testing import EngineContract


class TestMemoryEngine(EngineContract):
    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return MemoryEngine(clock=clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        assert isinstance(engine, MemoryEngine)
        del engine._spaces()[space].blobs[digest]

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        assert isinstance(engine, MemoryEngine)
        held = engine._spaces()[space].blobs
        held[digest] = bytes([held[digest][0] ^ 1]) + held[digest][1:]

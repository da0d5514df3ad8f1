"""The embedded engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from framekeep.engines import lmdb_records as records
from framekeep.engines.base import Engine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import Digest, Space
from framekeep.testing import EngineContract


class LmdbHooks(EngineContract):
    durable = False

    @pytest.fixture(autouse=True)
    def _behind(self, change_stored: Callable[..., None]) -> None:
        self.change_stored = change_stored

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return LmdbEngine(self.directory, clock=clock, durable=self.durable, map_size=1 << 20)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = records.blob_prefix(records.space_key(space)) + digest
        self.change_stored(engine, records.BLOBS, key, lambda old: None)

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = records.blob_prefix(records.space_key(space)) + digest
        self.change_stored(engine, records.BLOBS, key, lambda old: bytes([old[0] ^ 1]) + old[1:])


class TestLmdbEngine(LmdbHooks):
    """With a small map, so that growth happens all the time."""


class TestDurableLmdbEngine(LmdbHooks):
    durable = True

"""The embedded engine keeps the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from framekeep.engines import lmdb_records as records
from framekeep.engines.base import Engine
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import Digest, Space
from framekeep.testing import EngineContract


def change_stored(
    engine: Engine, directory: Path, database: bytes, key: bytes, change: Callable[[bytes], bytes | None]
) -> None:
    """Rewrite one stored value behind the engine's back."""
    assert isinstance(engine, LmdbEngine)
    store = engine._opened()
    assert store.main is not None
    with store.main.begin(write=True) as txn:
        old = txn.get(key, db=store.dbs[database])
        assert old is not None
        new = change(bytes(old))
        if new is None:
            txn.delete(key, db=store.dbs[database])
        else:
            txn.put(key, new, db=store.dbs[database])


def flipped(old: bytes) -> bytes:
    return bytes([old[0] ^ 1]) + old[1:]


class LmdbHooks(EngineContract):
    durable = False

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return LmdbEngine(self.directory, clock=clock, durable=self.durable, map_size=1 << 20)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = records.blob_prefix(records.space_key(space)) + digest
        change_stored(engine, self.directory, records.BLOBS, key, lambda old: None)

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        key = records.blob_prefix(records.space_key(space)) + digest
        change_stored(engine, self.directory, records.BLOBS, key, flipped)


class TestLmdbEngine(LmdbHooks):
    """With a small map, so that growth happens all the time."""


class TestDurableLmdbEngine(LmdbHooks):
    durable = True

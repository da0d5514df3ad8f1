"""Transactions on the two files of an embedded store, and what a space is in them.

Owns which records make a space, so that a change leaves none behind. Knows nothing of revisions or of who
may change what.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

import lmdb

from framekeep.engines import lmdb_records as records
from framekeep.engines import lmdb_store
from framekeep.engines.base import Buffer
from framekeep.engines.lmdb_records import BLOBS, DUE, HEADS, LOG, META, STAGED, HeadRecord
from framekeep.engines.lmdb_resident import Resident
from framekeep.errors import BlobMissing, SessionDamagedError
from framekeep.names import Digest

_LOOK = 256 << 10  # bytes that a look at one page of a value maps, roughly


class Step:
    """The write transaction of one change, with the touched file's when expiry has to be decided.

    Attributes:
        txn: the transaction on the durable file.
        held: that on the touched file, once ``hold`` has begun it.
    """

    def __init__(self, store: lmdb_store.Store, txn: lmdb.Transaction[bytes]) -> None:
        self.store = store
        self.txn = txn
        self.held: lmdb.Transaction[bytes] | None = None

    def hold(self) -> lmdb.Transaction[bytes]:
        """Return the touched file's write transaction, begun on first use: no touch until this step ends."""
        if self.held is None:
            self.held = environments(self.store)[1].begin(write=True)
        return self.held

    def head(self, key: bytes) -> HeadRecord | None:
        """Return the head, expired or not."""
        return head_of(self.store, self.txn, key)

    def expiry(self, key: bytes, head: HeadRecord, now: float) -> float:
        """Return when the space expires; if that is about to be decided, touches wait from here on."""
        return head.expiry if head.expiry > now else records.effective_expiry(head, self.hold().get(key))

    def put_head(self, key: bytes, old: HeadRecord | None, new: HeadRecord) -> None:
        """Write the head ``new`` in place of ``old``; None when there is none."""
        dbs = self.store.dbs
        self.txn.put(key, records.pack_head(key, new), db=dbs[HEADS])
        if old is None:
            self._add_to_count(key, 1)
            self.txn.delete(key, db=dbs[STAGED])
        if old is None or old.expiry != new.expiry:
            if old is not None and old.expiry != inf:
                self.txn.delete(records.due_key(old.expiry, key), db=dbs[DUE])
            if new.expiry != inf:
                self.txn.put(records.due_key(new.expiry, key), b"", db=dbs[DUE])

    def put_blobs(self, prefix: bytes, blobs: Mapping[Digest, Buffer]) -> None:
        """Write blobs, in place of those that are there already."""
        cursor = self.txn.cursor(db=self.store.dbs[BLOBS])
        cursor.putmulti(((prefix + digest, blob) for digest, blob in blobs.items()), overwrite=True)

    def keep(
        self, prefix: bytes, keep: frozenset[Digest], blobs: Mapping[Digest, Buffer], *, large: bool
    ) -> Mapping[Digest, Buffer]:
        """Delete the space's blobs that are not in ``keep``; return those of ``blobs`` that are.

        Args:
            large: whether it is a creation, or had so much to write that it was staged.
        """
        present: set[bytes] = set()
        doomed: list[bytes] = []
        cursor = self.txn.cursor(db=self.store.dbs[BLOBS])
        # Not for small changes: a session that is edited again and again is walked each time, and finding its
        # pages anew would take longer than the rest of the commit.
        resident = Resident(self.store.real_path) if large else None
        if cursor.set_range(prefix):
            for name in cursor.iternext(values=False):
                if resident is not None:
                    resident.saw(_LOOK)  # LMDB looks at the first page of a value to give its key
                if not name.startswith(prefix):
                    break
                digest = name[records.PREFIX_SIZE :]
                if digest in keep:
                    present.add(digest)
                else:
                    doomed.append(name)
        missing = [digest for digest in keep - present if digest not in blobs]
        if missing:
            raise BlobMissing(missing)
        for name in doomed:
            self.txn.delete(name, db=self.store.dbs[BLOBS])
        return {digest: blob for digest, blob in blobs.items() if digest in keep}

    def free(self, key: bytes, expiry: float) -> None:
        """Delete a space with all it holds, or what was staged for it; ``expiry`` is its durable one."""
        dbs, prefix = self.store.dbs, records.blob_prefix(key)
        if self.txn.delete(key, db=dbs[HEADS]):
            self._add_to_count(key, -1)
        if expiry != inf:
            self.txn.delete(records.due_key(expiry, key), db=dbs[DUE])
        self.txn.delete(key, db=dbs[STAGED])
        for name in (BLOBS, LOG):
            cursor = self.txn.cursor(db=dbs[name])
            more = cursor.set_range(prefix)
            while more and cursor.key().startswith(prefix):
                more = cursor.delete() and bool(cursor.key())
        if expiry != inf:
            with growing_touched():
                self.hold().delete(key)

    def _add_to_count(self, key: bytes, n: int) -> None:
        meta, name = self.store.dbs[META], records.count_key(key)
        self.txn.put(name, records.pack_count(records.unpack_count(self.txn.get(name, db=meta)) + n), db=meta)


@contextmanager
def writing(store: lmdb_store.Store) -> Iterator[Step]:
    """Commit what the ``with`` block does, on disk when it ends; nothing of it when the block raises."""
    main, _ = environments(store)
    txn = main.begin(write=True)
    step = Step(store, txn)
    try:
        yield step
        txn.commit()
        if step.held is not None:
            with contextlib.suppress(lmdb.Error):  # it only drops rows that mean nothing any more
                step.held.commit()
        store.settle()
    finally:
        # No-ops after a commit.
        txn.abort()
        if step.held is not None:
            step.held.abort()


@contextmanager
def growing_touched() -> Iterator[None]:
    """Tell ``Store.run`` that it is the touched file whose map is full.

    Raises:
        TouchedFull: in place of ``lmdb.MapFullError``.
    """
    try:
        yield
    except lmdb.MapFullError as e:
        raise lmdb_store.TouchedFull from e


def head_of(store: lmdb_store.Store, txn: lmdb.Transaction[Any], key: bytes) -> HeadRecord | None:
    """Return the head of a space, expired or not; its body is an owned copy.

    Raises:
        SessionDamagedError: it is not what was written.
    """
    raw = txn.get(key, db=store.dbs[HEADS])
    return None if raw is None else records.unpack_head(key, raw)


def environments(store: lmdb_store.Store) -> tuple[lmdb.Environment, lmdb.Environment]:
    """Return the durable and the touched environment; call it inside ``Store.run``."""
    assert store.main is not None
    assert store.touched is not None
    return store.main, store.touched


@contextmanager
def reading(
    store: lmdb_store.Store, *, buffers: bool = False
) -> Iterator[tuple[lmdb.Transaction[Any], lmdb.Transaction[bytes]]]:
    """Give read transactions on the durable and the touched file; take the time before, not after.

    The touched file first: its rows count under the head they were made for, so rows that are older than the
    head leave the durable expiry, while newer ones would make a session look expired that was just renewed.
    """
    main, touched = environments(store)
    with touched.begin() as rows, main.begin(buffers=True) if buffers else main.begin() as txn:
        yield txn, rows


def expiry_of(
    txn: lmdb.Transaction[bytes], store: lmdb_store.Store, key: bytes, durable: float, row: Any
) -> float:
    """Return when a space that waits for ``durable`` expires, even if its head cannot be read."""
    raw = txn.get(key, db=store.dbs[HEADS])
    if raw is None:
        return durable
    try:
        return records.effective_expiry(records.unpack_head(key, raw), row)
    except SessionDamagedError:
        return max(durable, records.touched_expiry(row))

"""The machine-wide chunk cache: blobs that one process fetched, for all workers of the machine.

Owns what an entry is, that it is checked, and which ones go when there is no room. A cache promises nothing:
nothing here raises for the state of its file, and all of it may be lost at any time.

An entry is found by its space and its digest, so that spaces share nothing here either. ``index`` maps the
two (32 bytes) to a number that grows with every entry; ``blobs`` maps that number to the entry: 8 bytes
checksum of all the rest, the 32 bytes, the blob's length in 8 bytes, and the blob. The lowest number goes
first.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb

from framekeep.engines import chunk_file
from framekeep.engines.base import Buffer, Visit
from framekeep.engines.chunk_file import BLOBS, INDEX, ChunkFile, Full
from framekeep.engines.lmdb_records import blob_prefix
from framekeep.engines.lmdb_resident import Resident
from framekeep.names import Digest, Space, checksum_of

_HEADER: Final = struct.Struct("<Q32sQ")  # 48 bytes, so that a blob is aligned as its page is
_NUMBER: Final = struct.Struct(">Q")
_KEY: Final = slice(8, 40)

_PATIENCE: Final = 0.02
"""Seconds a put waits for others that write: what is not put now is put by the next reader."""
_DROP_PATIENCE: Final = 0.25
"""Longer, since what is not dropped stays; but it is harmless, so no commit waits for it in earnest."""
_BATCH_BYTES: Final = 16 << 20
_TRIES: Final = 4
"""How often a put is tried that finds no free pages in a row: what goes is free two changes later."""
_FULL_IN_A_ROW: Final = 8
"""After so many, each of which drops an eighth more, somebody holds the pages, and a new file is begun."""


class ChunkCache:
    """Hold blobs in a local file that any number of processes share.

    Args:
        directory: of the file; made (for this user only) when missing. One that belongs to others, or is on a
            network file system, is not used.
        limit_bytes: how large the file gets at most. Give the same to all processes.
    """

    def __init__(self, directory: str | Path, limit_bytes: int) -> None:
        self._file: ChunkFile = chunk_file.acquire(Path(directory), limit_bytes)
        self._closed = False
        size = self._file.size
        # Pages of what was dropped become free only when two later changes are done and nobody reads them.
        self._room = size - size // 4
        self._batch = min(_BATCH_BYTES, size // 32)
        self.largest = size // 16 - _HEADER.size
        self._lock = threading.Lock()
        _caches.add(self)
        self._hits = self._misses = self._evictions = self._full = 0
        self._file.ready()

    def forked(self) -> None:
        """Go on in a child: whoever was counting is not there."""
        self._lock = threading.Lock()

    @property
    def usable(self) -> bool:
        """Whether the file is open, after an attempt to open it if that is due."""
        return not self._closed and self._file.ready()

    # --- reading ---------------------------------------------------------------------------------

    def read(self, space: Space, digests: Sequence[Digest], start: int, visit: Visit) -> None:
        """Visit the blobs of ``digests[start:]`` in order, up to the first that is not held.

        The buffer is the file's memory, lent for the call. What ``visit`` raises comes out.
        """
        if self._closed:
            return
        prefix, spoilt, hits = _prefix(space), [], 0

        def work(env: lmdb.Environment) -> BaseException | None:
            nonlocal hits
            with env.begin(buffers=True) as txn:
                resident = Resident(self._file.path)
                for i in range(start, len(digests)):
                    key = prefix + digests[i]
                    number = txn.get(key, db=self._file.dbs[INDEX])
                    if number is None:
                        break
                    entry = txn.get(bytes(number), db=self._file.dbs[BLOBS])
                    if entry is None or not _sound(key, entry):
                        spoilt.append(key)
                        break
                    resident.saw(len(entry))
                    blob = entry[_HEADER.size :]
                    try:
                        visit(i, blob)
                    except Exception as e:
                        return e  # the caller's own, not the cache's
                    hits += 1
                    blob.release()  # a view kept by mistake is an error then, and no read of reused pages
                    entry.release()
            return None

        failure = self._file.run(work, None)
        with self._lock:
            self._hits += hits
        if spoilt:
            self._file.failures += 1
            self._drop(spoilt)
        if failure is not None:
            raise failure

    def held(self, space: Space, digests: Iterable[Digest]) -> set[Digest]:
        """Return which of ``digests`` are held, as far as the index says."""
        prefix = _prefix(space)

        def work(env: lmdb.Environment) -> set[Digest]:
            with env.begin(db=self._file.dbs[INDEX]) as txn:
                return {digest for digest in digests if txn.get(prefix + digest) is not None}

        return set() if self._closed else self._file.run(work, set())

    # --- changing --------------------------------------------------------------------------------

    def entry(self, space: Space, digest: Digest, blob: Buffer) -> bytes:
        """Return an owned copy of a blob as it is put; ``blob_of`` gives the blob in it."""
        key, length = _prefix(space) + digest, _HEADER.pack(0, b"", len(memoryview(blob)))[-8:]
        return b"".join((checksum_of(key, length, blob).to_bytes(8, "little"), key, length, blob))

    @staticmethod
    def blob_of(entry: bytes) -> memoryview:
        """Return the blob in an entry."""
        return memoryview(entry)[_HEADER.size :]

    def put(self, entries: Iterable[bytes]) -> None:
        """Hold what ``entry`` made, as far as that is quickly done; the oldest go for it."""
        batch: list[bytes] = []
        size = 0
        for entry in entries:
            if len(entry) - _HEADER.size > self.largest:
                continue
            batch.append(entry)
            size += len(entry)
            if size >= self._batch:
                self._put(batch)
                batch, size = [], 0
        if batch:
            self._put(batch)

    def count_misses(self, n: int) -> None:
        """Count blobs that had to be fetched."""
        with self._lock:
            self._misses += n

    def drop(self, space: Space, digests: Collection[Digest]) -> None:
        """Forget blobs of a space."""
        if self._closed:
            return
        prefix = _prefix(space)
        self._drop([prefix + digest for digest in self.held(space, digests)])

    def retain(self, space: Space, digests: Collection[Digest]) -> None:
        """Forget all blobs of a space but these."""
        if self._closed:
            return
        prefix = _prefix(space)

        def work(env: lmdb.Environment) -> list[bytes]:
            doomed: list[bytes] = []
            with env.begin(db=self._file.dbs[INDEX]) as txn:
                cursor = txn.cursor()
                more = cursor.set_range(prefix)
                while more and (key := cursor.key()).startswith(prefix):
                    if key[len(prefix) :] not in digests:
                        doomed.append(key)
                    more = cursor.next()
            return doomed

        self._drop(self._file.run(work, []))

    def _drop(self, keys: Collection[bytes]) -> None:
        if not keys:
            return

        def work(txn: lmdb.Transaction[Any]) -> bool:
            for key in keys:
                number = txn.get(key, db=self._file.dbs[INDEX])
                if number is not None:
                    number = bytes(number)
                    txn.delete(key, db=self._file.dbs[INDEX])
                    if txn.get(number, b"", db=self._file.dbs[BLOBS])[_KEY] == key:  # not with a wrong number
                        txn.delete(number, db=self._file.dbs[BLOBS])
            return True

        try:
            self._file.change(work, False, patience=_DROP_PATIENCE)
        except Full:
            self._when_full()

    def _put(self, batch: Sequence[bytes]) -> None:
        if self._closed:
            return

        def work(txn: lmdb.Transaction[Any]) -> int:
            index, blobs = self._file.dbs[INDEX], self._file.dbs[BLOBS]
            evicted = self._make_room(txn, sum(map(len, batch)))
            cursor = txn.cursor(db=blobs)
            number = _NUMBER.unpack(cursor.key())[0] + 1 if cursor.last() else 0
            for entry in batch:
                if txn.get(entry[_KEY], db=index) is None:
                    txn.put(_NUMBER.pack(number), entry, db=blobs, append=True)
                    txn.put(entry[_KEY], _NUMBER.pack(number), db=index)
                    number += 1
            return evicted

        evicted = 0
        for _ in range(_TRIES):
            try:
                evicted += self._file.change(work, 0, patience=_PATIENCE)
                self._full = 0
                break
            except Full:
                evicted += self._when_full()
        with self._lock:
            self._evictions += evicted

    def _make_room(self, txn: lmdb.Transaction[Any], need: int) -> int:
        """Drop the oldest entries until ``need`` more bytes fit; return how many."""
        index, blobs, dropped = self._file.dbs[INDEX], self._file.dbs[BLOBS], 0
        cursor = txn.cursor(db=blobs)
        while self._used(txn) + need + need // 8 > self._room and cursor.first():
            number, key = bytes(cursor.key()), bytes(cursor.value()[_KEY])
            cursor.delete()
            if txn.get(key, b"", db=index) == number:
                txn.delete(key, db=index)
            dropped += 1
        return dropped

    def _when_full(self) -> int:
        """Let pages become free; return how many entries went for that."""
        self._full += 1
        if self._full > _FULL_IN_A_ROW:
            self._full = 0
            self._file.throw_away()
            return 0
        # Who was killed while reading holds pages until he is found to be dead.
        self._file.run(lambda env: env.reader_check(), 0)
        room = self._room * self._full // _FULL_IN_A_ROW
        try:
            return self._file.change(lambda txn: self._make_room(txn, room), 0, patience=_PATIENCE)
        except Full:
            return 0

    def _used(self, txn: lmdb.Transaction[Any]) -> int:
        """Return the bytes of the pages in use."""
        stats = [txn.stat(db) for db in self._file.dbs.values()]
        pages = sum(each["branch_pages"] + each["leaf_pages"] + each["overflow_pages"] for each in stats)
        return int(pages * stats[0]["psize"])

    # --- telling ---------------------------------------------------------------------------------

    def counters(self) -> dict[str, Any]:
        """Return how the cache does, JSON-ready; never raises.

        Keys: ``hits``, ``misses``, ``hit_ratio`` (None before the first use), ``evictions`` and ``failures``
        of this process since it opened the cache; ``bytes`` in use in the file that all share, and how many
        it may have: ``limit_bytes``; ``error``: why it is passed over at present, or None.
        """

        def used(env: lmdb.Environment) -> int:
            with env.begin() as txn:
                return self._used(txn)

        held = 0 if self._closed else self._file.run(used, 0)
        with self._lock:
            uses = self._hits + self._misses
            return {
                "hits": self._hits,
                "misses": self._misses,
                "hit_ratio": round(self._hits / uses, 4) if uses else None,
                "bytes": held,
                "limit_bytes": self._file.size,
                "evictions": self._evictions,
                "failures": self._file.failures,
                "error": self._file.error,
            }

    def close(self) -> None:
        """Release the file; the last cache of the process on it closes it. Idempotent.

        Raises:
            RuntimeError: from inside a visit; it is still open.
        """
        if not self._closed:
            chunk_file.release(self._file)
            self._closed = True


_caches: weakref.WeakSet[ChunkCache] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for each in list(_caches):
        each.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _prefix(space: Space) -> bytes:
    return blob_prefix(space.encode())


def _sound(key: bytes, entry: memoryview) -> bool:
    """Say whether an entry is the one that was put under ``key``, byte for byte."""
    if len(entry) < _HEADER.size:
        return False
    checksum, named, length = _HEADER.unpack_from(entry)
    return bool(named == key and length == len(entry) - _HEADER.size and checksum_of(entry[8:]) == checksum)

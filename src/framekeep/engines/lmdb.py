"""The embedded engine: spaces in one LMDB file of a local directory, shared by all processes of the machine.

A commit is one LMDB write transaction, on disk (fdatasync) before it returns. Expiry has two halves: a
durable one in the head, and a touched one in a second file that is never synced, so that a read's touch
costs microseconds and waits for no commit. A touch that moves the expiry by more than a tenth of its ttl
beyond the durable one, or before it, is written durably as well: a power cut loses no more than that.
Every stored byte is described in docs/format.md, "The embedded store".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import TypeVar

import lmdb

from framekeep.engines import lmdb_records as records
from framekeep.engines import lmdb_registry, lmdb_store
from framekeep.engines.base import Buffer, Change, Head, Health, SpaceInfo, Visit
from framekeep.engines.lmdb_records import BLOBS, DUE, HEADS, LOG, META, STAGED, HeadRecord
from framekeep.engines.lmdb_resident import Resident
from framekeep.engines.lmdb_step import (
    Step,
    environments,
    expiry_of,
    growing_touched,
    head_of,
    reading,
    writing,
)
from framekeep.errors import (
    BlobMissing,
    Conflict,
    FramekeepError,
    SessionDamagedError,
    StorageFullError,
    StorageUnavailableError,
)
from framekeep.names import Digest, Revision, Space

T = TypeVar("T")

MAP_SIZE = 256 << 20
STAGED_SECONDS = 3600.0
"""How long staged blobs of a space without a head are kept for their commit."""

_BATCH_BYTES = 32 << 20  # of a staging transaction: LMDB holds its dirty pages in memory
_BATCH_SPACES = 64  # of a purging transaction: others wait for its end
_PAGE_SPACES = 256  # of a listing transaction: a long one keeps pages from being reused
_DURABLE_TENTH = 0.1


class LmdbEngine:
    """Keep spaces in a local directory.

    Args:
        directory: made (for this user only) when missing. May be open in any number of processes and
            engines; not on a network file system.
        clock: returns seconds since the epoch; must be the same in all processes.
        durable: whether a commit waits for the disk. Without, a power cut may damage the whole file.
        map_size: address space to start with, in bytes; it grows when needed.

    Raises:
        StorageError: of the kind that says what is wrong with the directory or its files.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        clock: Callable[[], float] = time.time,
        durable: bool = True,
        map_size: int = MAP_SIZE,
    ) -> None:
        self.directory = Path(directory)
        self._clock = clock
        self._store: lmdb_store.Store | None = lmdb_registry.acquire(
            self.directory, durable=durable, map_size=map_size
        )
        self._staged: set[bytes] = set()  # keys that much was staged for and not yet committed

    # --- heads ----------------------------------------------------------------------------------

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired.

        Raises:
            SessionDamagedError: the head is not what was written.
        """
        key, store = records.space_key(space), self._opened()
        return store.run(lambda: self._load(store, key))

    def glance(self, space: Space) -> Head | None:
        """Return the head as it is in mapped memory; None if there is none, or it must be waited for."""
        key, store = records.space_key(space), self._opened()
        return store.run_at_once(lambda: self._load(store, key))

    def guess(self, space: Space) -> Head | None:
        """Return None: a look costs nothing."""
        return None

    def _load(self, store: lmdb_store.Store, key: bytes) -> Head | None:
        now = self._clock()
        with reading(store, buffers=True) as (txn, rows):
            head = head_of(store, txn, key)
            if head is None:
                return None
            expiry = records.effective_expiry(head, rows.get(key))
        if expiry <= now:
            return None
        return Head(head.revision, head.body, None if expiry == inf else expiry - now)

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step, on disk when this returns.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
            SessionDamagedError: the head is not what was written.
            StorageFullError: there is no room; nothing was stored.
        """
        key, store = records.space_key(space), self._opened()
        try:
            store.run(lambda: self._commit(store, key, change), _size(change.blobs) + len(change.body or b""))
        finally:
            self._staged.discard(key)

    def _commit(self, store: lmdb_store.Store, key: bytes, change: Change) -> None:
        with writing(store) as step:
            self._change(step, key, change)

    def _change(self, step: Step, key: bytes, change: Change) -> None:
        """Make a change; one that is refused has freed an expired space at most."""
        prefix, dbs = records.blob_prefix(key), step.store.dbs
        now = self._clock()
        head = step.head(key)
        live = head if head is not None and step.expiry(key, head, now) > now else None
        if live is not None and live.revision == change.revision:
            return
        if (None if live is None else live.revision) != change.expected:
            raise Conflict(f"{key.decode()} is not at the expected revision.")
        if head is not None and live is None:
            step.free(key, head.expiry)
            head = None
        if change.body is None:
            step.free(key, inf if head is None else head.expiry)
            return
        blobs = change.blobs
        if change.keep is not None:
            blobs = step.keep(prefix, change.keep, blobs, large=head is None or key in self._staged)
        step.put_blobs(prefix, blobs)
        logged = 0 if head is None else head.logged
        for position, entry in enumerate(change.log, logged):
            step.txn.put(records.log_key(prefix, position), records.pack_entry(key, entry), db=dbs[LOG])
        expiry, epoch = (inf, records.new_epoch()) if head is None else (head.expiry, head.epoch)
        if change.ttl is not None:
            expiry, epoch = now + change.ttl, records.new_epoch()
        new = HeadRecord(change.revision, expiry, epoch, logged + len(change.log), bytes(change.body))
        step.put_head(key, head, new)

    def commit_each(
        self, spaces: Sequence[Space], choose: Callable[[Space, Revision | None], Change | None]
    ) -> set[Space]:
        """Make a change of each of several spaces, all that are made as one step, on disk when this returns.

        Args:
            spaces: each once.
            choose: gets a space and its revision (None: it is absent or expired) and returns the change to be
                made upon that, if any. It must be quick and not call the engine; it may be asked again.

        Returns:
            those whose change was refused, since a blob was missing or the head is damaged.

        Raises:
            StorageFullError: there is no room; nothing was stored.
        """
        store = self._opened()
        keys = [(space, records.space_key(space)) for space in spaces]

        def work() -> set[Space]:
            refused: set[Space] = set()
            with writing(store) as step:
                for space, key in keys:
                    try:
                        now = self._clock()
                        head = step.head(key)
                        live = head is not None and step.expiry(key, head, now) > now
                        change = choose(space, head.revision if head is not None and live else None)
                        if change is not None:
                            self._change(step, key, change)
                    except (BlobMissing, Conflict, SessionDamagedError):
                        refused.add(space)
            return refused

        return store.run(work)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; return its revision, None when absent or expired.

        A full disk is no error here, since whoever only reads needs no room: the expiry is then kept as well
        as can be.
        """
        key, store = records.space_key(space), self._opened()
        try:
            touched, done = store.run(lambda: self._touch_lightly(store, key, ttl, at))
            return touched if done else store.run(lambda: self._touch_durably(store, key, ttl, at))
        except StorageFullError:
            with suppress(StorageFullError):
                touched, done = store.run(lambda: self._touch_lightly(store, key, ttl, at, durable=False))
                if done and touched is not None:
                    return touched
        head = self.load(space)
        return None if head is None else head.revision

    def _touch_lightly(
        self, store: lmdb_store.Store, key: bytes, ttl: float, at: Revision | None, *, durable: bool = True
    ) -> tuple[Revision | None, bool]:
        """Touch without the durable file; return the revision and whether that was enough.

        Args:
            store: the store.
            key: the space's.
            ttl: seconds from now.
            at: the revision that the space must have; None: any.
            durable: whether a power cut may bring the new expiry forward by no more than a tenth of ``ttl``.
        """
        main, touched = environments(store)
        # The write lock of the touched file is held while deciding, as purge does: one of the two is first.
        with growing_touched(), touched.begin(write=True) as mine:
            with main.begin(buffers=True) as txn:
                head = head_of(store, txn, key)
            if head is None:
                return None, True
            now = self._clock()
            if records.effective_expiry(head, mine.get(key)) <= now:
                return None, True
            if at not in (None, head.revision):
                return head.revision, True
            expiry = now + ttl
            if expiry < head.expiry or (durable and expiry > head.expiry + ttl * _DURABLE_TENTH):
                return None, False
            mine.put(key, records.pack_touch(head.epoch, expiry))
            return head.revision, True

    def _touch_durably(
        self, store: lmdb_store.Store, key: bytes, ttl: float, at: Revision | None
    ) -> Revision | None:
        with writing(store) as step:
            now = self._clock()
            head = step.head(key)
            if head is None or step.expiry(key, head, now) <= now:
                return None
            if at in (None, head.revision):
                step.put_head(key, head, head._replace(expiry=now + ttl, epoch=records.new_epoch()))
            return head.revision

    # --- blobs ----------------------------------------------------------------------------------

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit, in transactions of about 32 MiB.

        Raises:
            StorageFullError: there is no room; some may be stored, to be freed by ``purge``.
        """
        key, store = records.space_key(space), self._opened()
        prefix = records.blob_prefix(key)

        def put(batch: Mapping[Digest, Buffer]) -> None:
            with writing(store) as step:
                now = self._clock()
                head = step.head(key)
                if head is not None and step.expiry(key, head, now) <= now:
                    step.free(key, head.expiry)
                    head = None
                step.put_blobs(prefix, batch)
                if head is None:
                    deadline = records.pack_time(now + STAGED_SECONDS)
                    step.txn.put(key, deadline, db=store.dbs[STAGED])

        self._staged.add(key)
        for batch, size in _batches(blobs):
            store.run(lambda batch=batch: put(batch), size)  # type: ignore[misc]

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order; buffers lie in the map itself.

        Raises:
            BlobMissing: with every missing digest, before the first visit.
        """
        prefix, store = records.blob_prefix(records.space_key(space)), self._opened()

        def work() -> OSError | None:
            main, _ = environments(store)
            with main.begin(db=store.dbs[BLOBS], buffers=True) as txn:
                found = [txn.get(prefix + digest) for digest in digests]
                missing = [d for d, view in zip(digests, found, strict=True) if view is None]
                if missing:
                    raise BlobMissing(missing)
                resident = Resident(store.real_path)
                for i, view in enumerate(found):
                    assert view is not None
                    resident.saw(len(view))
                    try:
                        visit(i, view)
                    except OSError as e:
                        return e  # the caller's own, not the store's
                    view.release()  # a view kept by mistake is an error then, and no read of reused pages
            return None

        failure = store.run(work)
        if failure is not None:
            raise failure

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent.

        Raises:
            SessionDamagedError: an entry is not what was written, or missing.
        """
        key, store = records.space_key(space), self._opened()
        prefix = records.blob_prefix(key)

        def work() -> list[bytes]:
            entries: list[bytes] = []
            now = self._clock()
            # One snapshot for the head and its log: a deletion in between would look like damage.
            with reading(store) as (txn, rows):
                head = head_of(store, txn, key)
                if head is None or records.effective_expiry(head, rows.get(key)) <= now:
                    return []
                for position in range(start, head.logged if stop is None else min(stop, head.logged)):
                    raw = txn.get(records.log_key(prefix, position), db=store.dbs[LOG])
                    if raw is None:
                        raise records.damaged(key, f"log entry {position}")
                    entries.append(records.unpack_entry(key, position, raw))
            return entries

        return store.run(work)

    # --- listing and freeing --------------------------------------------------------------------

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``, those with a damaged head too."""
        start, wanted = b"", prefix.encode()
        while True:
            page, last = self._page(wanted, start)
            yield from page
            if last is None:
                return
            start = last + b"\0"

    def _page(self, wanted: bytes, start: bytes) -> tuple[list[SpaceInfo], bytes | None]:
        """Return some spaces from ``start`` on, and the last key looked at; None at the end."""
        store = self._opened()
        return store.run(lambda: self._page_of(store, wanted, start))

    def _page_of(
        self, store: lmdb_store.Store, wanted: bytes, start: bytes
    ) -> tuple[list[SpaceInfo], bytes | None]:
        now = self._clock()
        page: list[SpaceInfo] = []
        with reading(store, buffers=True) as (txn, rows):
            cursor = txn.cursor(db=store.dbs[HEADS])
            more = cursor.set_range(max(start, wanted)) if start or wanted else cursor.first()
            for _ in range(_PAGE_SPACES):
                if not more:
                    return page, None
                key = bytes(cursor.key())
                if not key.startswith(wanted):
                    return page, None
                try:
                    expiry = records.effective_expiry(records.unpack_head(key, cursor.value()), rows.get(key))
                except SessionDamagedError:
                    expiry = inf  # it has to be seen, to be found
                if expiry > now:
                    page.append(SpaceInfo(Space(key.decode()), None if expiry == inf else expiry - now))
                more = cursor.next()
            return page, key

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``.

        For a whole kind ("session:") or all, looks only at the expired ones that are not yet purged.
        """
        kind, colon, rest = prefix.partition(":")
        if rest or (kind and not colon):
            return sum(1 for _ in self.spaces(prefix))
        store, wanted = self._opened(), prefix.encode()

        def work() -> int:
            main, _ = environments(store)
            with main.begin() as txn:
                cursor, total = txn.cursor(db=store.dbs[META]), 0
                more = cursor.set_range(records.COUNT + wanted)
                while more and cursor.key().startswith(records.COUNT + wanted):
                    total += records.unpack_count(cursor.value())
                    more = cursor.next()
            return total - len(self._expired(store, wanted, None))

        return store.run(work)

    def _expired(
        self, store: lmdb_store.Store, wanted: bytes, limit: int | None
    ) -> list[tuple[float, bytes]]:
        """Return (durable expiry, key) of expired spaces, longest expired first."""
        now = self._clock()
        found: list[tuple[float, bytes]] = []
        with reading(store) as (txn, rows):
            for due in txn.cursor(db=store.dbs[DUE]).iternext(values=False):
                expiry, key = records.unpack_time(due[:8]), due[8:]
                if expiry > now or (limit is not None and len(found) >= limit):
                    break
                if key.startswith(wanted) and expiry_of(txn, store, key, expiry, rows.get(key)) <= now:
                    found.append((expiry, key))
        return found

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces (and abandoned staged blobs); return how many spaces."""
        store, wanted = self._opened(), prefix.encode()
        due = store.run(lambda: self._expired(store, wanted, limit))
        freed = 0
        for i in range(0, len(due), _BATCH_SPACES):
            batch = due[i : i + _BATCH_SPACES]
            freed += store.run(lambda batch=batch: self._free_expired(store, batch))  # type: ignore[misc]
        left = store.run(lambda: self._abandoned(store, wanted, limit - len(due)))
        if left:
            store.run(lambda: self._free_abandoned(store, left))
        store.run(lambda: environments(store)[0].reader_check())
        return freed

    def _free_expired(self, store: lmdb_store.Store, due: Sequence[tuple[float, bytes]]) -> int:
        freed = 0
        with writing(store) as step:
            now = self._clock()
            rows = step.hold()
            for expiry, key in due:
                # Seen without locks, so looked at again.
                if step.txn.get(records.due_key(expiry, key), db=store.dbs[DUE]) is None:
                    continue
                if expiry_of(step.txn, store, key, expiry, rows.get(key)) <= now:
                    step.free(key, expiry)
                    freed += 1
        return freed

    def _abandoned(self, store: lmdb_store.Store, wanted: bytes, limit: int) -> list[bytes]:
        main, _ = environments(store)
        now = self._clock()
        found: list[bytes] = []
        with main.begin() as txn:
            for key, deadline in txn.cursor(db=store.dbs[STAGED]):
                if len(found) >= limit:
                    break
                if key.startswith(wanted) and records.unpack_time(deadline) <= now:
                    found.append(key)
        return found

    def _free_abandoned(self, store: lmdb_store.Store, keys: Sequence[bytes]) -> None:
        with writing(store) as step:
            now = self._clock()
            for key in keys:
                deadline = step.txn.get(key, db=store.dbs[STAGED])
                if deadline is not None and records.unpack_time(deadline) <= now:
                    step.free(key, inf)

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds: for one that is damaged. False when it is not there."""
        key, store = records.space_key(space), self._opened()

        def work() -> bool:
            with writing(store) as step:
                now = self._clock()
                try:
                    head = step.head(key)
                    there = head is not None and step.expiry(key, head, now) > now
                except SessionDamagedError:
                    there = True
                due = [d for d in step.txn.cursor(db=store.dbs[DUE]).iternext(values=False) if d[8:] == key]
                step.free(key, records.unpack_time(due[0][:8]) if due else inf)
            return there

        return store.run(work)

    # --- the file -------------------------------------------------------------------------------

    def compact(self) -> tuple[int, int]:
        """Give free space back to the disk; return the file's size in bytes before and after.

        Raises:
            StorageBusyError: another process has the store open.
            StorageFullError: there is no room for the second file meanwhile.
        """
        return self._opened().compact()

    def check_file(self) -> list[str]:
        """Walk every page of the file, without mapping it; return what does not hold. Others may go on.

        Finds what checksums of records and chunks cannot: damage to LMDB's own pages.

        Raises:
            StoreDamagedError: the file is cut off or unreadable.
        """
        store = self._opened()
        return store.run(lambda: store.problems(environments(store)[0]))

    def sizes(self) -> dict[str, int]:
        """Return ``file_bytes``, how many of them are in use, and the address space: ``map_bytes``."""
        store = self._opened()

        def work() -> dict[str, int]:
            main, _ = environments(store)
            info = main.info()
            with main.begin() as txn:
                stats = [main.stat(), *(txn.stat(db) for db in store.dbs.values())]
            page = stats[0]["psize"]
            used = 2 + sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
            return {
                "file_bytes": (info["last_pgno"] + 1) * page,
                "used_bytes": used * page,
                "map_bytes": info["map_size"],
            }

        return store.run(work)

    def health(self) -> Health:
        """Probe the engine; never raises."""
        start = time.perf_counter()
        try:
            sizes = self.sizes()
        except FramekeepError as e:
            return Health("lmdb", False, (time.perf_counter() - start) * 1000, str(e))
        latency = (time.perf_counter() - start) * 1000
        version = ".".join(map(str, lmdb.version()))
        return Health(
            "lmdb", True, latency, None, {"directory": str(self.directory), "lmdb": version, **sizes}
        )

    def close(self) -> None:
        """Release the files; the last engine of the process on this directory closes them. Idempotent."""
        store, self._store = self._store, None
        if store is not None:
            try:
                lmdb_registry.release(store)
            except RuntimeError:  # from inside a visit: it is still open
                self._store = store
                raise

    def _opened(self) -> lmdb_store.Store:
        if self._store is None:
            raise StorageUnavailableError(f"The engine on {self.directory} is closed.")
        return self._store


def _size(blobs: Mapping[Digest, Buffer]) -> int:
    return sum(blob.nbytes if isinstance(blob, memoryview) else len(blob) for blob in blobs.values())


def _batches(blobs: Mapping[Digest, Buffer]) -> Iterator[tuple[dict[Digest, Buffer], int]]:
    batch: dict[Digest, Buffer] = {}
    size = 0
    for digest, blob in blobs.items():
        batch[digest] = blob
        size += blob.nbytes if isinstance(blob, memoryview) else len(blob)
        if size >= _BATCH_BYTES:
            yield batch, size
            batch, size = {}, 0
    if batch:
        yield batch, size

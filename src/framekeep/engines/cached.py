"""An engine behind the chunk cache of its machine: blobs that any worker fetched are not fetched again.

Wraps any engine. Only ``read`` looks into the cache; a head never comes from it, and whether a blob that a
commit keeps is there is for the inner engine to say. What is given and kept here is told in
docs/design/0009-machine-wide-cache.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from framekeep.engines.base import Buffer, Change, Engine, Head, Health, SpaceInfo, Visit
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.errors import BlobMissing, Conflict, DamagedError
from framekeep.names import Digest, Revision, Space

_GROUP: Final = 64
_GROUP_BYTES: Final = 16 << 20
"""Blobs that are fetched at once: owned copies, so that they can be put after they were visited."""

Admit = Callable[[Digest, memoryview], bool]


class CachedEngine:
    """Read blobs through a local cache; pass all else on.

    Args:
        inner: the engine that holds everything.
        cache: owned from here on, and closed with this.
        admit: says whether a fetched blob may be what its digest names; what is not admitted is given to the
            caller, who will see for himself, but not kept. None: whatever the caller took without an error.

    Attributes:
        inner: the engine itself; whoever wants to know what is stored there, and not only what is there to be
            read, asks it.
    """

    def __init__(self, inner: Engine, cache: ChunkCache, *, admit: Admit | None = None) -> None:
        self.inner = inner
        self._cache = cache
        self._admit = admit

    # --- blobs -----------------------------------------------------------------------------------

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order.

        A visit that raises DamagedError over a cached copy is called again with the inner engine's: what was
        damaged where it was fetched from may be mended there.

        Raises:
            BlobMissing: with every missing digest.
        """
        if not digests or not self._cache.usable:
            self.inner.read(space, digests, visit)  # which also says if it is closed
            return
        position = 0

        def seen(i: int, buffer: memoryview) -> None:
            nonlocal position
            visit(i, buffer)
            position = i + 1

        group, fetched, good = _GROUP, dict[Digest, bytes](), list[bytes]()
        try:
            while position < len(digests):
                digest = digests[position]
                if digest in fetched:
                    blob = self._cache.blob_of(fetched[digest])
                    seen(position, blob)
                    if self._admit is None or self._admit(digest, blob):
                        good.append(fetched[digest])
                    continue
                try:
                    self._cache.read(space, digests, position, seen)
                except DamagedError:
                    self._cache.drop(space, [digests[position]])
                if position < len(digests) and digests[position] not in fetched:
                    self._cache.put(good)
                    good.clear()
                    fetched = self._fetch(space, digests, position, group)
                    largest = max(map(len, fetched.values()))
                    group = max(1, min(_GROUP, _GROUP_BYTES // largest))
        finally:
            self._cache.put(good)

    def _fetch(self, space: Space, digests: Sequence[Digest], start: int, count: int) -> dict[Digest, bytes]:
        """Return entries from the inner engine: the one at ``start``, and what of the next is not held.

        Raises:
            BlobMissing: with every missing digest from ``start`` on.
        """
        first, *following = digests[start : start + count]
        held = self._cache.held(space, following)
        wanted = [first, *(digest for digest in dict.fromkeys(following) if digest not in {first, *held})]
        fetched: dict[Digest, bytes] = {}

        def keep(i: int, buffer: memoryview) -> None:
            fetched[wanted[i]] = self._cache.entry(space, wanted[i], buffer)

        try:
            self.inner.read(space, wanted, keep)
        except BlobMissing as error:
            raise self._all_missing(space, digests[start + count :], error) from error
        self._cache.count_misses(len(wanted))
        return fetched

    def _all_missing(self, space: Space, others: Sequence[Digest], error: BlobMissing) -> BlobMissing:
        """Return the error with the missing ones of ``others`` too."""
        held = self._cache.held(space, others)
        rest = [digest for digest in others if digest not in held]
        missing = dict.fromkeys(error.digests)
        if rest:
            try:
                self.inner.read(space, rest, lambda i, buffer: None)
            except BlobMissing as more:
                missing.update(dict.fromkeys(more.digests))
        return BlobMissing(list(missing))

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step in the inner engine; what it drops or replaces goes here too.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
        """
        try:
            self.inner.commit(space, change)
        except (Conflict, BlobMissing):
            raise  # nothing happened
        except BaseException:
            self._forget(space, change)  # it may have happened
            raise
        self._forget(space, change)

    def _forget(self, space: Space, change: Change) -> None:
        if change.body is None or change.expected is None:
            self._cache.retain(space, ())
        elif change.keep is not None:
            self._cache.retain(space, change.keep - change.blobs.keys())
        elif change.blobs:
            self._cache.drop(space, change.blobs.keys())

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit."""
        try:
            self.inner.stage(space, blobs)
        finally:
            self._cache.drop(space, blobs.keys())

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds; False when it is not there."""
        try:
            return self.inner.discard(space)
        finally:
            self._cache.retain(space, ())

    # --- passed on -------------------------------------------------------------------------------

    def load(self, space: Space) -> Head | None:
        """Return the inner engine's head."""
        return self.inner.load(space)

    def glance(self, space: Space) -> Head | None:
        """Return the inner engine's head, if that means waiting for nobody."""
        return self.inner.glance(space)

    def guess(self, space: Space) -> Head | None:
        """Return the inner engine's guess."""
        return self.inner.guess(space)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; None when it is absent or expired."""
        return self.inner.touch(space, ttl, at)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent."""
        return self.inner.log(space, start, stop)

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``."""
        return self.inner.spaces(prefix)

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``."""
        return self.inner.count(prefix)

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces; return how many. What was cached of them ages out."""
        return self.inner.purge(prefix, limit)

    # --- telling and closing ---------------------------------------------------------------------

    def counters(self) -> Mapping[str, Any]:
        """Return the cache's counters: see ``ChunkCache.counters``."""
        return self._cache.counters()

    def health(self) -> Health:
        """Probe the inner engine, with ``details["local_cache"]``; a cache out of use is no ill health."""
        health = self.inner.health()
        return replace(health, details={**health.details, "local_cache": self.counters()})

    def close(self) -> None:
        """Close the cache and the inner engine. Idempotent."""
        self._cache.close()
        self.inner.close()

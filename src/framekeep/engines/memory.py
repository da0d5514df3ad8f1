"""The memory engine: the seam's meaning in the fewest words.

It is the reference model that every other engine is compared with, and a real engine for tests and for
data that need not outlive the process. It keeps copies of bytes in dictionaries behind one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from framekeep.engines.base import Buffer, Change, Head, Health, SpaceInfo, Visit
from framekeep.errors import BlobMissing, Conflict, StorageUnavailableError
from framekeep.names import Digest, Revision, Space

STAGED_SECONDS = 3600.0
"""How long staged blobs of a space without a head are kept for their commit."""


@dataclass(slots=True)
class _Space:
    """All that a space holds; ``revision`` is None while it has staged blobs but no head."""

    revision: Revision | None = None
    body: bytes = b""
    expiry: float | None = None
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    log: list[bytes] = field(default_factory=list)


class MemoryEngine:
    """Keep spaces in this process's memory.

    Args:
        clock: returns the time in seconds; expiries are counted by it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[Space, _Space] | None = {}

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired."""
        with self._lock:
            now = self._clock()
            held = self._live(space, now)
            if held is None or held.revision is None:
                return None
            return Head(held.revision, held.body, _remaining(held, now))

    def glance(self, space: Space) -> Head | None:
        """Return the head, if there is one: the lock is never held for long."""
        return self.load(space)

    def guess(self, space: Space) -> Head | None:
        """Return None: a look costs nothing."""
        return None

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
        """
        with self._lock:
            now = self._clock()
            held = self._live(space, now)
            if held is not None and held.revision == change.revision:
                return
            if (None if held is None else held.revision) != change.expected:
                raise Conflict(f"{space} is not at the expected revision.")
            if change.body is None:
                self._spaces().pop(space, None)
                return
            held = self._for_writing(space, now)
            kept = held.blobs
            if change.keep is not None:
                missing = [d for d in change.keep if d not in held.blobs and d not in change.blobs]
                if missing:
                    raise BlobMissing(missing)
                kept = {d: b for d, b in held.blobs.items() if d in change.keep}
            for digest, blob in change.blobs.items():
                if change.keep is None or digest in change.keep:
                    kept[digest] = bytes(blob)
            held.blobs = kept
            held.revision, held.body = change.revision, bytes(change.body)
            held.log.extend(bytes(entry) for entry in change.log)
            if change.ttl is not None:
                held.expiry = now + change.ttl
            self._spaces()[space] = held

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit."""
        with self._lock:
            spaces, now = self._spaces(), self._clock()
            if not blobs:
                return
            held = self._for_writing(space, now)
            for digest, blob in blobs.items():
                held.blobs[digest] = bytes(blob)
            if held.revision is None:
                held.expiry = now + STAGED_SECONDS
            spaces[space] = held

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; return its revision, None when absent or expired."""
        with self._lock:
            now = self._clock()
            held = self._live(space, now)
            if held is None:
                return None
            if at in (None, held.revision):
                held.expiry = now + ttl
            return held.revision

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order.

        Raises:
            BlobMissing: with every missing digest, before the first visit.
        """
        with self._lock:
            held = self._spaces().get(space, _Space()).blobs
            found = [held.get(digest) for digest in digests]
        missing = [digest for digest, blob in zip(digests, found, strict=True) if blob is None]
        if missing:
            raise BlobMissing(missing)
        for i, blob in enumerate(found):
            assert blob is not None
            visit(i, memoryview(blob))

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent."""
        with self._lock:
            held = self._live(space, self._clock())
            return [] if held is None else held.log[start:stop]

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``."""
        with self._lock:
            now = self._clock()
            found = [
                SpaceInfo(space, _remaining(held, now))
                for space, held in self._spaces().items()
                if space.startswith(prefix) and self._live(space, now) is not None
            ]
        yield from found

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``."""
        return sum(1 for _ in self.spaces(prefix))

    def discard(self, space: Space) -> bool:
        """Delete a space with all it holds; False when it is not there."""
        with self._lock:
            held = self._spaces().pop(space, None)
            return held is not None and held.revision is not None and not _over(held, self._clock())

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces (and abandoned staged blobs); return how many spaces."""
        with self._lock:
            now = self._clock()
            gone = [s for s, held in self._spaces().items() if s.startswith(prefix) and _over(held, now)]
            freed = [self._spaces().pop(space) for space in gone[:limit]]
            return sum(1 for held in freed if held.revision is not None)

    def health(self) -> Health:
        """Probe the engine; never raises."""
        start = time.perf_counter()
        try:
            with self._lock:
                spaces = len(self._spaces())
        except StorageUnavailableError as e:
            return Health("memory", False, 0.0, str(e))
        return Health("memory", True, (time.perf_counter() - start) * 1000, None, {"spaces": spaces})

    def close(self) -> None:
        """Drop everything; a closed engine raises StorageUnavailableError."""
        with self._lock:
            self._held = None

    def _spaces(self) -> dict[Space, _Space]:
        if self._held is None:
            raise StorageUnavailableError("The memory engine is closed.")
        return self._held

    def _live(self, space: Space, now: float) -> _Space | None:
        held = self._spaces().get(space)
        return None if held is None or held.revision is None or _over(held, now) else held

    def _for_writing(self, space: Space, now: float) -> _Space:
        """Return what the space holds; a blank if that has expired."""
        held = self._spaces().get(space)
        if held is None or (held.revision is not None and _over(held, now)):
            return _Space()
        if held.revision is None:
            return _Space(blobs=held.blobs)
        return held


def _over(held: _Space, now: float) -> bool:
    return held.expiry is not None and held.expiry <= now


def _remaining(held: _Space, now: float) -> float | None:
    return None if held.expiry is None else held.expiry - now

"""The L1 cache: decoded columns and manifests, by the name of their content.

Names never change their meaning, so nothing is ever invalidated; the least recently used goes when the
bytes exceed the bound.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

from framekeep.names import Digest

_OVERHEAD = 512
"""Bytes an entry costs beside its data: objects, key, links."""


class Cache:
    """Least-recently-used values, bounded in bytes; thread-safe.

    Args:
        limit: bytes held at most; a larger value is not held at all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = self.hits = self.misses = 0
        self._entries: OrderedDict[Digest, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Digest) -> Any | None:
        """Return the value, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry[0]

    def peek(self, key: Digest) -> Any | None:
        """Return the value, or None, without counting it as a use."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else entry[0]

    def put(self, key: Digest, value: Any, nbytes: int) -> None:
        """Hold a value of ``nbytes`` bytes, if it fits."""
        cost = nbytes + _OVERHEAD
        if cost > self.limit:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self.bytes -= old[1]
            self._entries[key] = (value, cost)
            self.bytes += cost
            while self.bytes > self.limit:
                _, (_, freed) = self._entries.popitem(last=False)
                self.bytes -= freed

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.bytes = 0

"""The L1 cache: decoded columns and manifests, by the name of their content (or part of it).

Names never change their meaning, so nothing is ever invalidated; the least recently used goes when the
bytes exceed the bound.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock
from typing import Any, Final

_OVERHEAD = 512
"""Bytes an entry costs beside its data: objects, key, links."""

_lock: Final = Lock()
"""One for all caches, so that a fork can wait until none is half changed: the child has them too."""
os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Cache:
    """Least-recently-used values, bounded in bytes; thread-safe.

    Args:
        limit: bytes held at most; a larger value is not held at all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = self.hits = self.misses = 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """Return the value, or None."""
        with _lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return entry[0]

    def get_all(self, keys: Iterable[Hashable]) -> list[Any | None]:
        """Return the values of all keys, None for those that are not held."""
        found: list[Any | None] = []
        with _lock:
            for key in keys:
                entry = self._entries.get(key)
                if entry is None:
                    self.misses += 1
                    found.append(None)
                else:
                    self.hits += 1
                    self._entries.move_to_end(key)
                    found.append(entry[0])
        return found

    def peek(self, key: Hashable) -> Any | None:
        """Return the value, or None, without counting it as a use."""
        with _lock:
            entry = self._entries.get(key)
            return None if entry is None else entry[0]

    def put(self, key: Hashable, value: Any, nbytes: int) -> None:
        """Hold a value of ``nbytes`` bytes, if it fits."""
        cost = nbytes + _OVERHEAD
        if cost > self.limit:
            return
        dropped = []  # freed after the lock is
        with _lock:
            old = self._entries.pop(key, None)
            if old is not None:
                dropped.append(old)
                self.bytes -= old[1]
            self._entries[key] = (value, cost)
            self.bytes += cost
            while self.bytes > self.limit:
                dropped.append(self._entries.popitem(last=False)[1])
                self.bytes -= dropped[-1][1]

    def counters(self) -> dict[str, Any]:
        """Return ``hits``, ``misses``, ``hit_ratio`` (None before any use), ``bytes``, ``limit_bytes``."""
        with _lock:
            hits, misses, held = self.hits, self.misses, self.bytes
        return {
            "hits": hits,
            "misses": misses,
            "hit_ratio": round(hits / (hits + misses), 4) if hits + misses else None,
            "bytes": held,
            "limit_bytes": self.limit,
        }

    def clear(self) -> None:
        """Forget everything."""
        with _lock:
            dropped, self._entries, self.bytes = self._entries, OrderedDict(), 0
        dropped.clear()

"""The heads that this process has seen last: what a guess at a head is made from. Thread-safe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from framekeep.engines.base import Head
from framekeep.names import Space

LIMIT = 256
"""How many heads are remembered."""

LARGEST = 64 << 10
"""Bytes of a body that is still remembered."""


class RecentHeads:
    """A bounded memory of heads; what was seen longest ago is forgotten first.

    Args:
        monotonic: seconds; a time to live that is told shrinks as they pass.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # Each step below is one of dict's own, so threads need no lock: who is late loses a guess.
        self._seen: dict[Space, tuple[Head, float]] = {}

    def saw(self, space: Space, head: Head | None) -> None:
        """Remember a head; None: there is none."""
        self._seen.pop(space, None)
        if head is None or len(head.body) > LARGEST:
            return
        self._seen[space] = (head, self._monotonic())
        if len(self._seen) > LIMIT:
            for oldest in list(self._seen)[: LIMIT // 2]:
                self._seen.pop(oldest, None)

    def guess(self, space: Space) -> Head | None:
        """Return the head that was seen last, unless it must have expired since."""
        head, at = self._seen.get(space, (None, 0.0))
        if head is None or head.ttl is None:
            return head
        left = head.ttl - (self._monotonic() - at)
        return replace(head, ttl=left) if left > 0 else None

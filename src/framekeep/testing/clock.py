"""A clock that stands still until it is told."""

from __future__ import annotations

import threading

START = 1_700_000_000.0


class ManualClock:
    """Return the same time, in seconds since the epoch, until ``advance`` is called."""

    def __init__(self, now: float = START) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move the time; backwards when ``seconds`` is negative."""
        with self._lock:
            self._now += seconds

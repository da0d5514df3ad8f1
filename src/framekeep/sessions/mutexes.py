"""Locks inside one process, so that its threads take turns instead of losing races to each other."""

from __future__ import annotations

import os
import zlib
from threading import Lock


class Mutexes:
    """A few locks that keep the threads of one process from racing each other on one space.

    Correctness never depends on them: compare-and-set decides, also between processes.
    """

    def __init__(self, number: int = 64) -> None:
        self._number = number
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._locks = [Lock() for _ in range(self._number)]

    def of(self, name: str) -> Lock:
        """Return the lock of a space (shared with some others)."""
        if self._pid != os.getpid():  # forked while a thread that is not here held one
            self._renew()
        return self._locks[zlib.crc32(name.encode()) % self._number]

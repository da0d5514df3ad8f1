"""Giving back the mapped pages of the store's file during large reads and long walks.

Pages that are looked at through the map count as this process's memory until the kernel takes them, although
they are the page cache's and shared by all processes (with large folios one look maps up to 2 MiB). A worker
that reads large frames would look, to whoever watches resident memory, as large as the store. Unmapping loses
nothing: the next look finds the page again.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import Final

_BOUND: Final = 16 << 20
_MAPS: Final = Path("/proc/self/maps")
_libc: Final = ctypes.CDLL(None)


class Resident:
    """Counts what one transaction looks at, and unmaps it now and then.

    Belongs to one transaction: while that lives, nothing moves the map.

    Args:
        path: of the file, as the kernel names it (links resolved).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen = 0
        self._areas: list[tuple[int, int]] | None = None

    def saw(self, nbytes: int) -> None:
        """Count bytes that were looked at; unmap all when they are more than 16 MiB."""
        self._seen += nbytes
        if self._seen >= _BOUND:
            self._seen = 0
            self._unmap()

    def _unmap(self) -> None:
        if self._areas is None:
            self._areas = _areas(self._path)
        for start, length in self._areas:
            _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def _areas(path: str) -> list[tuple[int, int]]:
    """Return (address, length) of a file's shared mappings; none where the kernel does not say."""
    try:
        lines = _MAPS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    areas = []
    for line in lines:
        fields = line.split(maxsplit=5)
        # Only shared mappings: of those the file keeps every byte, dirty ones too.
        if len(fields) == 6 and fields[5] == path and fields[1][3] == "s":
            start, end = (int(text, 16) for text in fields[0].split("-"))
            areas.append((start, end - start))
    return areas

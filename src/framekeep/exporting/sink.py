"""A file that is not kept: what is written to it is taken away in pieces."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

_PIECE: Final = 256 << 10
"""Small writes are joined to pieces of about this size; large ones are pieces as they are."""


class Sink(io.RawIOBase):
    """Collects what is written, until somebody takes it."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._parts.append(piece)
        self._size += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._size

    def take(self) -> Iterator[bytes]:
        """Yield what was written since the last time."""
        parts, self._parts = self._parts, []
        small: list[bytes] = []
        size = 0
        for part in parts:
            small.append(part)
            size += len(part)
            if size >= _PIECE:
                yield b"".join(small)
                small, size = [], 0
        if small:
            yield b"".join(small)

"""Engines with one fault each, around any engine.

Each passes every call on and spoils what its name says: the layer above has to cope.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from framekeep.engines.base import Buffer, Change, Engine, Head, Health, SpaceInfo, Visit
from framekeep.errors import BlobMissing, StorageUnavailableError
from framekeep.names import Digest, Revision, Space

T = TypeVar("T")


class InjectedFault(StorageUnavailableError):
    """The failure a fault wrapper was told to make."""

    code = "injected_fault"


class Passing:
    """Pass every call on to ``inner``: the base of the wrappers below and of your own."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner

    def load(self, space: Space) -> Head | None:
        """Pass on."""
        return self.inner.load(space)

    def glance(self, space: Space) -> Head | None:
        """Pass on."""
        return self.inner.glance(space)

    def guess(self, space: Space) -> Head | None:
        """Pass on."""
        return self.inner.guess(space)

    def commit(self, space: Space, change: Change) -> None:
        """Pass on."""
        self.inner.commit(space, change)

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Pass on."""
        self.inner.stage(space, blobs)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Pass on."""
        return self.inner.touch(space, ttl, at)

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Pass on."""
        self.inner.read(space, digests, visit)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Pass on."""
        return self.inner.log(space, start, stop)

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Pass on."""
        return self.inner.spaces(prefix)

    def count(self, prefix: str = "") -> int:
        """Pass on."""
        return self.inner.count(prefix)

    def discard(self, space: Space) -> bool:
        """Pass on."""
        return self.inner.discard(space)

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Pass on."""
        return self.inner.purge(prefix, limit)

    def health(self) -> Health:
        """Pass on."""
        return self.inner.health()

    def close(self) -> None:
        """Pass on."""
        self.inner.close()


class LostReply(Passing):
    """Make commits that happen but whose reply is lost.

    Args:
        inner: the engine.
        lose: how many commits lose their reply before the others pass.
    """

    def __init__(self, inner: Engine, *, lose: int = 1) -> None:
        super().__init__(inner)
        self.lose = lose

    def commit(self, space: Space, change: Change) -> None:
        """Commit, then raise InjectedFault while replies are to be lost."""
        self.inner.commit(space, change)
        if self.lose > 0:
            self.lose -= 1
            raise InjectedFault("The commit happened; its reply was lost.")


class FailAt(Passing):
    """Fail the n-th call (the first is 1) before it reaches the engine; ``calls`` counts them all.

    Args:
        inner: the engine.
        n: which call fails; 0 for none, to count first.
        onwards: whether all later calls fail too.
    """

    def __init__(self, inner: Engine, n: int = 0, *, onwards: bool = False) -> None:
        super().__init__(inner)
        self.n = n
        self.onwards = onwards
        self.calls = 0
        self._lock = threading.Lock()

    def _call(self) -> None:
        with self._lock:
            self.calls += 1
            call = self.calls
        if self.n and (call == self.n or (self.onwards and call > self.n)):
            raise InjectedFault(f"Call {call} was told to fail.")

    def load(self, space: Space) -> Head | None:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().load(space)

    def glance(self, space: Space) -> Head | None:
        """Count, perhaps see nothing, pass on."""
        try:
            self._call()
        except InjectedFault:
            return None
        return super().glance(space)

    def commit(self, space: Space, change: Change) -> None:
        """Count, perhaps fail, pass on."""
        self._call()
        super().commit(space, change)

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Count, perhaps fail, pass on."""
        self._call()
        super().stage(space, blobs)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().touch(space, ttl, at)

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Count, perhaps fail, pass on."""
        self._call()
        super().read(space, digests, visit)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().log(space, start, stop)

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().spaces(prefix)

    def count(self, prefix: str = "") -> int:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().count(prefix)

    def discard(self, space: Space) -> bool:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().discard(space)

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Count, perhaps fail, pass on."""
        self._call()
        return super().purge(prefix, limit)


class VanishedBlob(Passing):
    """Let blobs be gone for readers.

    Args:
        inner: the engine.
        digests: which; the set may be changed at any time.
    """

    def __init__(self, inner: Engine, digests: set[Digest] | None = None) -> None:
        super().__init__(inner)
        self.digests: set[Digest] = set() if digests is None else digests

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Raise BlobMissing for the vanished, with those that are missing anyway."""
        gone = [digest for digest in digests if digest in self.digests]
        if gone:
            raise BlobMissing(gone)
        self.inner.read(space, digests, visit)


class FlippedByte(Passing):
    """Flip one byte of blobs as they are read.

    Args:
        inner: the engine.
        digests: which blobs; None for all. The set may be changed at any time.
        position: which byte, counted from the start (taken modulo the blob's length).
    """

    def __init__(
        self, inner: Engine, digests: set[Digest] | None = None, *, position: int = 0, mask: int = 0x01
    ) -> None:
        super().__init__(inner)
        self.digests = digests
        self.position = position
        self.mask = mask

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Visit with a flipped byte."""

        def flipped(i: int, buffer: memoryview) -> None:
            if (self.digests is None or digests[i] in self.digests) and buffer.nbytes:
                changed = bytearray(buffer)
                changed[self.position % len(changed)] ^= self.mask
                buffer = memoryview(changed).toreadonly()
            visit(i, buffer)

        self.inner.read(space, digests, flipped)

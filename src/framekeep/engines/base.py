"""The seam between session logic and storage: bytes only.

A *space* is the unit of atomicity, of expiry and of Redis slot. It holds one *head* (opaque bytes under
a revision), *blobs* by digest, an append-only *log*, and one expiry. An engine knows nothing of frames,
sessions or versions; whoever implements these methods and passes ``framekeep.testing.EngineContract``
is an engine.

Invariants (tested by the contract):

- I1  The caller names the next revision. If the stored revision already equals ``change.revision``, the
      commit has happened: it succeeds and changes nothing. So a retry after a lost reply is harmless. (An
      engine whose replies can be lost also knows the last revisions before that one: others may have come
      in between.)
- I2  Nothing is visible before the head moves, and everything is after. A crash at any instant leaves
      the old state or the new one.
- I3  Blobs are deleted only by a commit with ``keep`` (or with the space): no clocks, no grace periods.
- I5  No method has a non-atomic default.

All methods may be called from any thread, and by several processes on one store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from framekeep.names import Buffer, Digest, Revision, Space

__all__ = ["WHOLE", "Buffer", "Change", "Engine", "Head", "Health", "SpaceInfo", "Visit", "blobs"]

WHOLE: Final = "whole"
"""All of an engine, beside what its parts are called."""

Visit: TypeAlias = Callable[[int, memoryview], None]
"""Called with a position in the request and a buffer that is valid only during the call."""


@dataclass(frozen=True, slots=True)
class Head:
    """The one mutable thing of a space, as it was at one instant.

    Attributes:
        revision: the name of this state.
        body: opaque bytes of the layer above.
        ttl: seconds until the space expires, by the engine's clock; None if it never does.
        past: some of the revisions before this one, as far as the engine knows them, newest first.
    """

    revision: Revision
    body: bytes
    ttl: float | None
    past: tuple[Revision, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Change:
    """One atomic step of a space.

    Attributes:
        expected: the revision the space must have now; None: the space must not exist (or have expired).
        revision: the caller's fresh unique id for the next state.
        body: the next head; None deletes the space with all it holds.
        blobs: new blobs; one that is there already is replaced, so that a damaged one can be mended.
        keep: None keeps every blob; else exactly these survive, and each of them must exist
            (in the space, staged or not, or in ``blobs``), or the commit raises BlobMissing and does nothing.
        log: entries to append.
        ttl: seconds until the space expires, counted from this commit; None leaves the expiry as it is
            (and a new space without expiry).
    """

    expected: Revision | None
    revision: Revision
    body: bytes | None
    blobs: Mapping[Digest, Buffer] = field(default_factory=dict)
    keep: frozenset[Digest] | None = None
    log: Sequence[bytes] = ()
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """A live space, as listed.

    Attributes:
        space: its name.
        ttl: seconds until it expires; None if it never does.
    """

    space: Space
    ttl: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine is.

    Attributes:
        engine: its name ("memory", "lmdb", "redis").
        reachable: whether a round trip to the stored bytes worked.
        latency_ms: how long that round trip took, in milliseconds.
        error: what is wrong, without secrets; None if nothing is.
        details: further facts, JSON-ready.
        busy: nothing was asked, since this process had no connection to spare.
    """

    engine: str
    reachable: bool
    latency_ms: float
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    busy: bool = False


@runtime_checkable
class Engine(Protocol):
    """What the session layer needs of a store of bytes."""

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired."""
        ...

    def glance(self, space: Space) -> Head | None:
        """Return the head if that means waiting for nobody: no lock that is held for long, no network.

        For an event loop, that must not wait. None says nothing: whether there is no such space, or it only
        cannot be told at once, is what ``load`` says. Never raises for the state of the store.
        """
        ...

    def guess(self, space: Space) -> Head | None:
        """Return the head as it was when it was last seen, without asking anybody; None says nothing.

        It was the space's head once, and may be so no more: for who finds out by the next call anyway, since
        ``commit`` compares revisions and ``touch`` tells one. So it saves a look where that is a round
        trip; where it costs nothing, nobody need guess. Never raises for the state of the store.
        """
        ...

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step, durable when this returns.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
        """
        ...

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit, to bound memory and lock time.

        They are invisible until a head names them. A later commit with ``keep`` either keeps them or frees
        them; those of a space that never gets a head are freed by ``purge``. So a commit that relies on
        staged blobs passes ``keep``, and stages again on BlobMissing.
        """
        ...

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; return its revision, None when absent or expired.

        The revision tells the caller whether that is still the state it has read, without another look; if
        it is to be ``at`` and is not, the expiry stays. Moves the expiry only, never the revision. May be
        weaker than ``commit`` in two ways: after a power
        cut the expiry may be that of an earlier touch or commit; and where there is no room left to write
        it down, it may stay as it was, which is no error: reading goes on when a disk is full.
        """
        ...

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order.

        The buffer is valid only during the call, so that an engine may lend its own memory; ``visit`` must
        be quick and must not call the engine, nor wait for a thread that does. Expiry is not checked here:
        the caller holds a head.

        Raises:
            BlobMissing: with every missing digest, before the first visit or after some.
        """
        ...

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]`` (non-negative positions), oldest first; empty when absent."""
        ...

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``; order is not specified."""
        ...

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``."""
        ...

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces (and abandoned staged blobs); return how many spaces."""
        ...

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds: for one that is damaged. False when it is not there."""
        ...

    def health(self) -> Health:
        """Probe the engine; never raises."""
        ...

    def close(self) -> None:
        """Release what the engine holds; a closed engine raises StorageUnavailableError. Idempotent."""
        ...


def blobs(engine: Engine, space: Space, digests: Sequence[Digest]) -> list[bytes]:
    """Return owned copies of blobs, in order: for few and small ones.

    Raises:
        BlobMissing: with every missing digest.
    """
    found: list[bytes] = [b""] * len(digests)

    def keep(i: int, buffer: memoryview) -> None:
        found[i] = bytes(buffer)

    engine.read(space, digests, keep)
    return found

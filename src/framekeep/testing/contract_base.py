"""Hooks and verbs that the parts of the engine contract share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.base import Change, Engine
from framekeep.engines.base import blobs as read_blobs
from framekeep.errors import BlobMissing
from framekeep.names import Digest, Revision, Space, digest_of, new_revision, space
from framekeep.testing.clock import ManualClock

A = space("session", "a")
B = space("session", "b")


def blob(content: bytes) -> dict[Digest, bytes]:
    """Return one blob under its name."""
    return {digest_of(content): content}


class ContractBase:
    """Hooks of an engine under test, and short verbs for its tests.

    Attributes:
        staged_seconds: after this time staged blobs that no head took may be purged.
        ttl_tolerance: by how many seconds a ttl may differ from the expected one.
    """

    engine: Engine
    clock: ManualClock
    directory: Path
    staged_seconds: float = 3600.0
    ttl_tolerance: float = 0.01

    # --- hooks ----------------------------------------------------------------------------------

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        """Return an empty engine that counts expiries by ``clock``; bytes may go to ``self.directory``."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        """Let time pass for the engine; override it for an engine with a clock of its own."""
        self.clock.advance(seconds)

    def reopen(self, engine: Engine) -> Engine:
        """Close ``engine`` and return another one on the same bytes; skip when nothing outlives it."""
        pytest.skip("nothing outlives this engine")

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        """Remove a stored blob behind the engine's back."""
        pytest.skip("no way behind the engine's back")

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        """Change one byte of a stored blob behind the engine's back."""
        pytest.skip("no way behind the engine's back")

    # --- life of a test -------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _life(self, tmp_path: Path) -> Iterator[None]:
        self.start(tmp_path)
        yield
        self.stop()

    def start(self, directory: Path) -> None:
        """Make what a test uses."""
        self.directory = directory
        self.clock = ManualClock()
        self.engine = self.make_engine(self.clock)

    def stop(self) -> None:
        """Release it; pytest keeps the instance of a test, and what is closed may still hold files."""
        self.engine.close()
        del self.engine

    # --- verbs ----------------------------------------------------------------------------------

    def put(self, space: Space = A, *, expected: Revision | None = None, **change: Any) -> Revision:
        """Commit a change and return its revision."""
        change.setdefault("body", b"body")
        revision: Revision = change.pop("revision", None) or new_revision()
        self.engine.commit(space, Change(expected, revision, **change))
        return revision

    def delete(self, space: Space, expected: Revision | None) -> None:
        """Commit the deletion of a space."""
        self.engine.commit(space, Change(expected, new_revision(), None))

    def contents(self, digests: Sequence[Digest], space: Space = A) -> list[bytes]:
        """Return blobs."""
        return read_blobs(self.engine, space, digests)

    def has(self, blobs: Mapping[Digest, bytes], space: Space = A) -> bool:
        """Return whether all of ``blobs`` can be read."""
        try:
            self.contents(list(blobs), space)
        except BlobMissing:
            return False
        return True

    def revision(self, space: Space = A) -> Revision | None:
        """Return the revision of a space; None when it is absent or expired."""
        head = self.engine.load(space)
        return None if head is None else head.revision

    def ttl(self, space: Space = A) -> float | None:
        """Return how long a space has to live."""
        head = self.engine.load(space)
        assert head is not None
        return head.ttl

    def about(self, seconds: float) -> Any:
        """Return something that equals a ttl of ``seconds``."""
        return pytest.approx(seconds, abs=self.ttl_tolerance)

    def names(self, prefix: str = "") -> set[str]:
        """Return the names of the live spaces."""
        return {info.space for info in self.engine.spaces(prefix)}

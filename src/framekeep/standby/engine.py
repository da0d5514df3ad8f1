"""An engine that goes on, on this machine, while its primary does not answer.

Normally every verb is the primary's, and the mirror follows behind. A space that the primary does not answer
for is served from the mirror, if it is there as this caller knows it; its first local change (or access) puts
a marker, and from then on it is served from here until what came of it is in the primary again. Sessions
that are not here raise StorageUnavailableError, as without this.

A change of which nobody knows whether the primary has made it is made here under the same revision: when it
comes back, that revision tells.

Locks are of the moment: during an outage they are the machine's own, and are not replayed. Replies kept for
requests that are sent twice are spaces as others: who sends one again must not have it carried out again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from framekeep.engines.base import Buffer, Change, Engine, Head, Health, SpaceInfo, Visit
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import (
    BlobMissing,
    BreakerOpenError,
    Conflict,
    StorageOverloadedError,
    StorageUnavailableError,
    TooFewReplicasError,
)
from framekeep.names import Digest, Revision, Space
from framekeep.standby.latest import Latest
from framekeep.standby.markers import REPLIES, Marker, Markers, Sent
from framekeep.standby.mirror import KINDS, Mirror

logger = logging.getLogger("framekeep")

T = TypeVar("T")

_PASSING: Final = "lock:"


class StandbyEngine:
    """Go on with what is mirrored here. Thread-safe.

    Args:
        primary: the engine, behind its guard.
        directory: of the local store; shared by the workers of the machine.
        limit_bytes: room for the mirror.
        clock: seconds since 1970.

    Attributes:
        marked: called when there is something more to be brought back; quick.
    """

    def __init__(
        self,
        primary: Engine,
        directory: Path,
        *,
        limit_bytes: int = 1 << 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.primary = primary
        self.local = LmdbEngine(directory, clock=clock)
        self.markers = Markers(self.local, directory)
        self.latest = Latest(directory / "standby.latest")
        self.mirror = Mirror(primary, self.local, self.markers, limit_bytes, self.latest)
        self._clock = clock
        self.marked: Callable[[], None] = lambda: None

    # --- heads ----------------------------------------------------------------------------------

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired.

        Raises:
            StorageUnavailableError: the primary does not answer, and the space is not here.
        """
        for head in self._from_here(space, lambda: self.local.load(space)):
            return head
        try:
            head = self.primary.load(space)
        except StorageUnavailableError as error:
            return self._held(space, error)
        if head is not None:
            self.mirror.used(space, head)
        elif space.startswith(KINDS) and self.local.load(space) is not None:
            self.mirror.gone(space)
        return head

    def glance(self, space: Space) -> Head | None:
        """Return the head, if that means waiting for nobody."""
        return self.local.glance(space) if self.markers.there(space) else self.primary.glance(space)

    def guess(self, space: Space) -> Head | None:
        """Return the head as it was last seen, if the mirror is there too; None says nothing.

        So a change that is made upon a guess goes on from what is here, should the primary not answer to it.
        """
        if self.markers.there(space):
            return None
        head = self.primary.guess(space)
        return head if head is not None and self.mirror.is_at(space, head.revision) else None

    def _from_here(self, space: Space, ask: Callable[[], T]) -> Iterator[T]:
        """Yield the answer if the space is served from here; nothing if it is not (any more).

        What is here may go while it is looked at, because it has come back; then it is there.
        """
        while self.markers.there(space):
            try:
                answer = ask()
            except BlobMissing:
                if self.markers.there(space):
                    raise
                return
            if self.markers.there(space):
                yield answer
                return

    def _held(self, space: Space, error: StorageUnavailableError) -> Head | None:
        """Return the head of a space that is here; for locks, also that there is none."""
        if isinstance(error, StorageOverloadedError | TooFewReplicasError):
            raise error
        self.mirror.settle(space)
        head = self.local.load(space)
        if head is None and not space.startswith(_PASSING) and not self.markers.there(space):
            raise error
        return head

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step, in the primary or, during an outage, here.

        Raises:
            Conflict: the space's revision is neither ``expected`` nor already ``change.revision``.
            BlobMissing: ``keep`` names a blob that is nowhere.
            StorageUnavailableError: the primary does not answer, and the space is not here as the caller
                knows it; whether the change was made is not known.
        """
        while self.markers.there(space):
            with self.markers.locked(space):
                marker = self.markers.get(space)
                if marker is not None:  # else it has come back meanwhile
                    self._make(marker, change)
                    return
        try:
            self.primary.commit(space, change)
        except StorageOverloadedError:
            raise
        except TooFewReplicasError:
            if space.startswith(REPLIES):  # it is there, and nobody asks for it as for a session
                self.mirror.gone(space)
            raise
        except StorageUnavailableError as error:
            self._commit_here(space, change, error)
        else:
            self.mirror.changed(space, change)

    def _commit_here(self, space: Space, change: Change, error: StorageUnavailableError) -> None:
        if space.startswith(_PASSING):
            self.local.commit(space, change)
            return
        self.mirror.settle(space)
        sent = not isinstance(error, BreakerOpenError)
        with self.markers.locked(space):
            marker = self.markers.get(space)
            head = self.local.load(space)
            expected = None if head is None else head.revision
            if expected == change.revision:
                if marker is None:
                    self._arrived(space, change)
                return
            if expected != change.expected:
                # It may have been made there, or the space is not here as it was there: nobody can say.
                # (A request that was claimed before is not claimed by this, whatever became of it there.)
                known = head is not None and change.expected is None and space.startswith(REPLIES)
                if (sent and not known) or (head is None and marker is None):
                    raise error
                raise Conflict(f"{space} is not at the expected revision.")
            if marker is None:
                marker = self._mark(space, head)
            if not sent:
                self._make(marker, change)
                return
            if marker.base != change.expected or (marker.deleted and head is None):
                raise error
            marker = self.markers.sent(
                self._begun(marker, head, change), Sent(change.revision, marker.logged + len(change.log))
            )
            try:
                self._make(marker, change, begun=True)
            except BlobMissing:
                raise error from None  # made anew it would be another change, and this one may be there

    def _arrived(self, space: Space, change: Change) -> None:
        """Mark a space whose change was mirrored from the primary, which has not acknowledged it.

        It may yet be lost there. What the state before it was is not known here any more.
        """
        logged = len(self.local.log(space))
        marker = Marker(space, self._clock(), change.expected, b"", logged - len(change.log))
        self._marked(replace(marker, sent=(Sent(change.revision, logged),)))

    def _make(self, marker: Marker, change: Change, *, begun: bool = False) -> None:
        """Make a change here, of a space that is marked and locked."""
        if not begun:
            marker = self._begun(marker, self.local.load(marker.space), change)
        if change.body is None and not marker.deleted:
            self.markers.put(replace(marker, deleted=True))
        self.local.commit(marker.space, change)
        self.latest.note(marker.space, None if change.body is None else change.revision)

    def _begun(self, marker: Marker, head: Head | None, change: Change) -> Marker:
        """Return the marker as it has to be before a change is made here."""
        if change.expected is None and (marker.base is not None or marker.sent):
            # Made again: all of its log is new, whatever is there.
            sent = tuple(replace(each, logged=0) for each in marker.sent)
            return self.markers.put(replace(marker, base_body=b"", logged=0, sent=sent))
        at_base = not marker.deleted and (None if head is None else head.revision) == marker.base
        if at_base and marker.sent:  # and then not made here: what is here does not go on from it
            return self.markers.put(replace(marker, sent=()))
        return marker

    def _mark(self, space: Space, head: Head | None) -> Marker:
        """Put a marker: from now on the space is served from here."""
        logged = 0 if head is None else len(self.local.log(space))
        base = None if head is None else head.revision
        body = b"" if head is None else head.body
        expires = None if head is None or head.ttl is None else self._clock() + head.ttl
        return self._marked(Marker(space, self._clock(), base, body, logged, expires=expires))

    def _marked(self, marker: Marker) -> Marker:
        self.markers.put(marker)
        level = logging.DEBUG if marker.space.startswith(REPLIES) else logging.WARNING
        logger.log(level, "Standby: %s goes on on this machine until Redis answers", marker.space)
        self.marked()
        return marker

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; None when it is absent or expired."""
        for touched in self._from_here(space, lambda: self.local.touch(space, ttl, at)):
            return touched
        try:
            touched = self.primary.touch(space, ttl, at)
        except StorageUnavailableError as error:
            head = self._held(space, error)
            if head is None or space.startswith(_PASSING):
                return self.local.touch(space, ttl, at)
            with self.markers.locked(space):
                if not self.markers.there(space):
                    if (head := self.local.load(space)) is None:
                        raise
                    self._mark(space, head)
                return self.local.touch(space, ttl, at)
        if touched is not None and at in (None, touched):
            self.mirror.touched(space, ttl)
        return touched

    # --- blobs and the log ----------------------------------------------------------------------

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit, where that will be made."""
        if not self.markers.there(space):
            try:
                self.primary.stage(space, blobs)
                return
            except (StorageOverloadedError, TooFewReplicasError):
                raise
            except StorageUnavailableError:
                self.mirror.settle(space)
        self.local.stage(space, blobs)

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order."""
        done = 0

        def here() -> None:
            start = done
            self.local.read(space, digests[start:], lambda i, buffer: seen(start + i, buffer))

        def seen(i: int, buffer: memoryview) -> None:
            nonlocal done
            visit(i, buffer)
            done = i + 1

        for _ in self._from_here(space, here):
            return
        start = done
        try:
            self.primary.read(space, digests[start:], lambda i, buffer: seen(start + i, buffer))
        except StorageUnavailableError as error:
            self._held(space, error)
            try:
                here()
            except BlobMissing:
                raise error from None

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent."""
        for entries in self._from_here(space, lambda: self.local.log(space, start, stop)):
            return entries
        try:
            return self.primary.log(space, start, stop)
        except StorageUnavailableError as error:
            self._held(space, error)
            return self.local.log(space, start, stop)

    # --- listing and freeing --------------------------------------------------------------------

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces of the primary and those served from here; during an outage, those here."""
        seen = {marker.space for marker in self._markers(prefix) if self.local.load(marker.space) is None}
        try:
            for info in self.primary.spaces(prefix):
                if info.space not in seen:
                    seen.add(info.space)
                    yield info
        except StorageUnavailableError as error:
            if isinstance(error, StorageOverloadedError):
                raise
            yield from (info for info in self._here(prefix) if info.space not in seen)
            return
        for marker in self._markers(prefix):
            if marker.space not in seen and (head := self.local.load(marker.space)) is not None:
                yield SpaceInfo(marker.space, head.ttl)

    def _here(self, prefix: str) -> Iterator[SpaceInfo]:
        return (info for info in self.local.spaces(prefix) if info.space.startswith((*KINDS, _PASSING)))

    def _markers(self, prefix: str) -> list[Marker]:
        return self.markers.all(prefix) if self.markers.count() else []

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``; those made or deleted here are counted so."""
        try:
            found = self.primary.count(prefix)
        except StorageOverloadedError:
            raise
        except StorageUnavailableError:
            return sum(1 for _ in self._here(prefix))
        for marker in self._markers(prefix):
            live = self.local.load(marker.space) is not None
            found += live - (marker.base is not None)
        return max(0, found)

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces; return how many, during an outage of those here."""
        freed = self.local.purge(prefix, limit)
        try:
            return self.primary.purge(prefix, limit)
        except StorageOverloadedError:
            raise
        except StorageUnavailableError:
            return freed

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds; False when it is not there."""
        while self.markers.there(space):
            with self.markers.locked(space):
                if (marker := self.markers.get(space)) is not None:
                    return self._discard_here(marker)
        try:
            gone = self.primary.discard(space)
        except StorageUnavailableError as error:
            self._held(space, error)
            if space.startswith(_PASSING):
                return self.local.discard(space)
            with self.markers.locked(space):
                marker = self.markers.get(space)
                if marker is None:
                    if (head := self.local.load(space)) is None:
                        raise
                    marker = self._mark(space, head)
                return self._discard_here(marker)
        with self.markers.locked(space):
            if not self.markers.there(space):
                self.local.discard(space)
                self.latest.note(space, None)
        return gone

    def _discard_here(self, marker: Marker) -> bool:
        if not marker.deleted:
            self.markers.put(replace(marker, deleted=True))
        gone = self.local.discard(marker.space)
        self.latest.note(marker.space, None)
        return gone

    # --- telling and closing ---------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return how many spaces are served from here (``pending``), and the room that all take."""
        return {"pending": self.markers.count(), **self.local.sizes()}

    def health(self) -> Health:
        """Probe the primary; ``details["standby"]`` says what is served from here."""
        health = self.primary.health()
        try:
            status = self.status()
        except StorageUnavailableError:  # closed
            return health
        return replace(health, details={**health.details, "standby": status})

    def close(self) -> None:
        """Close the mirror, the local store and the primary. Idempotent."""
        self.mirror.close()
        self.local.close()
        self.markers.close()
        self.latest.close()
        self.primary.close()

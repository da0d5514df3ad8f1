"""The mirror: what this machine's workers have used lately, kept here as well, written behind.

A change that the primary has acknowledged is made again in the local store, from the very bytes that were
given, by a thread; so the caller waits for nothing. What cannot be followed step by step is copied from the
primary. What is least recently used goes when there is no room; what a marker says is served from here stays.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from framekeep.engines.base import Buffer, Change, Engine, Head
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import BlobMissing, Conflict, FramekeepError, StorageUnavailableError
from framekeep.names import Digest, Revision, Space, new_revision
from framekeep.sessions.parts import parts_of
from framekeep.standby.latest import GONE, Latest
from framekeep.standby.markers import REPLIES, Markers
from framekeep.standby.room import going

logger = logging.getLogger("framekeep")

KINDS: Final = ("session:", "temp:", "reply:")
"""What is mirrored."""

_QUEUED_BYTES: Final = 64 << 20
_SOON_BYTES: Final = 8 << 20
"""As many bytes do not wait for more."""
_STEP_BYTES: Final = 32 << 20
"""Of one step of the local store: it holds what it writes in memory."""
_GATHER: Final = 0.25
"""Seconds that changes wait for more: all of them are one step of the local store then."""
_GATHER_MOST: Final = 1.0
_IDLE: Final = 50
"""Changes wait so many times as long as the last step has taken a processor, up to the most: what follows
each other in one session meanwhile is written once, and the mirror takes about a fiftieth of a processor."""
_BLOCKED: Final = 0.05
"""Seconds until one is looked at again that goes on from what another worker is about to mirror."""
_LOOKS: Final = 3
_FRESH: Final = 30.0
"""Seconds after which a space that is only read has its expiry moved here too."""
_KNOWN: Final = 4096
_CLOSING: Final = 5.0
_OTHERS: Final = 0.5
"""Seconds that what is here may stay behind what somebody has read, before it is copied."""
_MACHINE: Final = 2.0
"""The same where a worker of this machine has made that change, and is about to mirror it."""
_SETTLING: Final = 2.0
"""Seconds that an outage waits for what other workers of the machine are about to mirror."""
_POLL: Final = 0.005


@dataclass(slots=True)
class _Behind:
    """What is still to be done for one space."""

    changes: list[Change] = field(default_factory=list)
    copy: bool = False
    size: int = 0
    seen: Head | None = None  # that somebody has read
    due: float = math.inf
    blocked: bool = False
    here: Revision | None = None  # at the last look
    since: float | None = None  # when it was first seen there


class Mirror:
    """Follows the primary. Thread-safe.

    Args:
        primary: what is mirrored.
        local: where to.
        markers: which spaces are served from here, and are left alone.
        limit_bytes: room in the local store.
        latest: what this machine knows of.
    """

    def __init__(
        self, primary: Engine, local: LmdbEngine, markers: Markers, limit_bytes: int, latest: Latest
    ) -> None:
        self._primary = primary
        self._local = local
        self._markers = markers
        self._limit = limit_bytes
        self._latest = latest
        self._changed = threading.Condition()
        self._queue: OrderedDict[Space, _Behind] = OrderedDict()
        self._bytes = 0
        self._busy: frozenset[Space] = frozenset()  # whose changes are being made
        self._working = False
        self._waiting = 0
        self._gather = _GATHER
        self._wakes = 0.0  # when the thread will look by itself; 0: it is about to
        self._ends = 0.0
        self._known: OrderedDict[Space, tuple[Revision, float]] = OrderedDict()
        self._closed = False
        self._thread: threading.Thread | None = None
        _mirrors.add(self)

    def forked(self) -> None:
        """Begin anew in a child: the thread is not there, and what was left to do is the parent's."""
        self._changed = threading.Condition()
        self._queue.clear()
        self._bytes, self._busy, self._thread = 0, frozenset(), None
        self._working, self._waiting, self._wakes = False, 0, 0.0

    # --- what happens in the primary -------------------------------------------------------------

    def changed(self, space: Space, change: Change) -> None:
        """Follow a change that the primary has acknowledged."""
        if not space.startswith(KINDS):
            return
        owned = _owned(change)
        size = _size(owned)
        with self._changed:
            if self._closed:
                return
            self._latest.note(space, None if change.body is None else change.revision)
            behind = self._behind(space)
            if self._bytes + size > _QUEUED_BYTES:
                self._bytes -= behind.size
                behind.changes, behind.size, behind.copy = [], 0, True
            else:
                behind.changes.append(owned)
                behind.size += size
                self._bytes += size
            self._do(behind, self._gather if self._bytes < _SOON_BYTES else 0.0)

    def used(self, space: Space, head: Head) -> None:
        """Have a space here that somebody reads."""
        if not space.startswith(KINDS):
            return
        with self._changed:
            revision, at = self._known.get(space, (None, 0.0))
            behind = self._queue.get(space)
            if behind is not None:
                if behind.copy:
                    behind.seen = head
                    return
                if behind.changes and behind.changes[-1].revision == head.revision:
                    return  # it is on its way
            if self._closed or (revision == head.revision and time.monotonic() - at <= _FRESH):
                return
            behind = self._behind(space)
            behind.copy, behind.seen = True, head
            self._do(behind, _MACHINE if self._latest.get(space) == head.revision else _OTHERS)

    def is_at(self, space: Space, revision: Revision) -> bool:
        """Say whether what is here of a space, or about to be, is this revision."""
        latest = self._latest.get(space)
        if latest is not None:
            return latest == revision  # an outage waits for it, whichever worker mirrors it
        here = self._local.glance(space)
        return here is not None and here.revision == revision

    def touched(self, space: Space, ttl: float) -> None:
        """Have a claim expire here as it does there: nobody reads it while its request is under way."""
        if space.startswith(REPLIES):
            with suppress(FramekeepError):
                self._local.touch(space, ttl)

    def gone(self, space: Space) -> None:
        """Have a space here as the primary has it now, which may be not at all."""
        with self._changed:
            if self._closed:
                return
            behind = self._behind(space)
            behind.copy, behind.seen = True, None  # after what can be followed: an outage may come first
            self._do(behind, _OTHERS)

    def _behind(self, space: Space) -> _Behind:
        return self._queue.setdefault(space, _Behind())

    def _do(self, behind: _Behind, seconds: float) -> None:
        """Have the thread do something in so many seconds, or earlier if it is due earlier."""
        behind.due = min(behind.due, time.monotonic() + (0.0 if self._waiting else seconds))
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="framekeep-mirror", daemon=True)
            self._thread.start()
        if behind.due < self._wakes:  # else it looks in time by itself, and is not woken for each change
            self._wakes = 0.0
            self._changed.notify_all()

    def settle(self, space: Space) -> None:
        """Catch up with what is known of a space on this machine, without asking the primary.

        What other workers are about to mirror is waited for, for a moment.
        """
        with self._changed:
            while space in self._busy:
                self._changed.wait()
            behind = self._queue.pop(space, None)
            if behind is not None:
                self._bytes -= behind.size
        changes = [] if behind is None else behind.changes
        ends = time.monotonic() + _SETTLING
        while True:
            if changes:
                with self._markers.locked(space):
                    if not self._markers.there(space):
                        changes = self._follow({space: changes}).get(space, [])
            latest = self._latest.get(space)
            if self._markers.there(space) or (latest is None and not changes):
                return
            here = self._local.load(space)
            if latest == (GONE if here is None else here.revision):
                return
            if time.monotonic() > ends:  # whoever knew more is no longer there
                self._latest.forget(space)
                return
            time.sleep(_POLL)

    def wait(self) -> None:
        """Return when nothing is left to be done."""
        with self._changed:
            self._waiting += 1
            try:
                self._at_once()
                while self._queue or self._working:
                    self._changed.wait()
            finally:
                self._waiting -= 1

    def close(self) -> None:
        """Do what is left, for a little while, and end."""
        with self._changed:
            if not self._closed:
                self._closed, self._ends = True, time.monotonic() + _CLOSING
            self._at_once()
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSING)

    def _at_once(self) -> None:
        """Let nothing wait any longer."""
        for behind in self._queue.values():
            behind.due = 0.0
        self._wakes = 0.0
        self._changed.notify_all()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._next():
            start = time.thread_time()
            try:
                self._catch_up(batch)
                self._make_room()
            except StorageUnavailableError:
                pass  # closed; or it is copied when somebody uses it again
            except FramekeepError as error:
                logger.warning("Standby: not mirrored: %s", error)
            except Exception:
                logger.exception("Standby: not mirrored")
            finally:
                took = time.thread_time() - start
                with self._changed:
                    self._gather = min(max(_GATHER, _IDLE * took), _GATHER_MOST)
                    self._busy, self._working = frozenset(), False
                    self._changed.notify_all()

    def _next(self) -> dict[Space, _Behind]:
        """Wait for something to do, and return it; nothing: it is over."""
        with self._changed:
            while True:
                now = time.monotonic()
                if self._closed and (not self._queue or now > self._ends):
                    return {}
                first = min((behind.due for behind in self._queue.values()), default=math.inf)
                if first <= now:
                    break
                self._wakes = first
                self._changed.wait(None if first == math.inf else first - now)
            self._wakes = 0.0
            # Once there is a step of the local store, it is for all that has gathered.
            batch: dict[Space, _Behind] = {}
            size = 0
            for space, behind in self._queue.items():
                if behind.due <= now or (behind.changes and not behind.blocked):
                    batch[space] = behind
                    size += behind.size
                    if size >= _STEP_BYTES:
                        break
            for space in batch:
                del self._queue[space]
            self._bytes -= size
            self._busy = frozenset(space for space, behind in batch.items() if behind.changes)
            self._working = True
            return batch

    def _catch_up(self, batch: dict[Space, _Behind]) -> None:
        following = {space: behind.changes for space, behind in batch.items() if behind.changes}
        left: dict[Space, list[Change]] = {}
        try:
            if following:
                left = self._followed(following)
        finally:
            copies = [
                space for space, behind in batch.items() if self._looked(space, behind, left.get(space))
            ]
            with self._changed:
                self._busy = frozenset()
                self._changed.notify_all()
        for space in copies:
            try:
                self._copy(space)
            except StorageUnavailableError:
                pass  # it can be copied when somebody uses it again
            except FramekeepError as error:
                logger.warning("Standby: %s is not mirrored: %s", space, error)

    def _looked(self, space: Space, behind: _Behind, left: list[Change] | None) -> bool:
        """Say whether a space has to be copied now. If it may be later, it is looked at again."""
        if (not left and not behind.copy) or self._markers.there(space):
            return False
        try:
            head = self._local.load(space)
        except FramekeepError:  # damaged: a copy says so
            return True
        here = None if head is None else head.revision
        seen = behind.seen
        if not left and head is not None and seen is not None and here == seen.revision:
            if seen.ttl is not None and head.ttl is not None and head.ttl < seen.ttl - 1.0:
                self._local.touch(space, seen.ttl)
            self._know({space: seen.revision})
            return False
        now = time.monotonic()
        since = now if behind.since is None or behind.here != here else behind.since
        coming = bool(left) or (seen is not None and self._latest.get(space) == seen.revision)
        if self._closed or now - since >= (_MACHINE if coming else _OTHERS) - _POLL:
            return True
        with self._changed:
            newer = self._queue.get(space, _Behind())
            kept = left or []
            size = sum(map(_size, kept))
            self._bytes += size
            due = now + (_BLOCKED if left else _OTHERS)
            self._queue[space] = _Behind(
                kept + newer.changes,
                behind.copy or newer.copy,
                size + newer.size,
                newer.seen if newer.copy else seen,
                min(newer.due, due),
                bool(left),
                here,
                since,
            )
        return False

    def _followed(self, wanted: Mapping[Space, list[Change]]) -> dict[Space, list[Change]]:
        """Make changes here too, all as one step; return those that do not go on from what is here (yet)."""
        with self._markers.free_locked(wanted) as free:
            left = {space: changes for space, changes in wanted.items() if space not in free}
            mine = {space: wanted[space] for space in free if not self._markers.there(space)}
            return left | self._follow(mine)

    def _follow(self, left: dict[Space, list[Change]]) -> dict[Space, list[Change]]:
        spaces = list(left)
        while spaces:
            chosen: dict[Space, tuple[Change | None, list[Change]]] = {}

            def choose(space: Space, revision: Revision | None) -> Change | None:
                run, rest = _run_from(left[space], revision)
                if revision is None and self._latest.get(space) == GONE:
                    run, rest = [], []  # deleted since, by somebody who was here before
                change = _together(run)
                chosen[space] = change, rest  # noqa: B023
                return change

            refused = self._local.commit_each(spaces, choose)
            known: dict[Space, Revision | None] = {}
            for space in refused:
                chosen.pop(space, None)
            for space, (change, rest) in chosen.items():
                left[space] = rest
                if change is not None:
                    known[space] = None if change.body is None else change.revision
            self._know(known)
            spaces = [space for space, (change, rest) in chosen.items() if change is not None and rest]
        return {space: changes for space, changes in left.items() if changes}

    def _copy(self, space: Space) -> None:
        """Have the space here as the primary has it now."""
        before = self._latest.get(space)
        for _ in range(_LOOKS):
            head = self._primary.load(space)
            with self._markers.locked(space):
                if self._markers.there(space):
                    return
                here = self._local.load(space)
                if head is None:
                    if here is not None:
                        self._local.discard(space)
                    self._copied(space, before, None)
                    return
                if here is not None and here.revision == head.revision:
                    if head.ttl is not None:
                        self._local.touch(space, head.ttl)
                    self._copied(space, before, head.revision)
                    return
            try:
                parts = parts_of(self._primary, space, head.body)
                if sum(part.size for part in parts.values()) > self._limit // 2:
                    self._leave(space, head)
                    return
                log = self._primary.log(space)
            except BlobMissing:
                continue
            now = self._primary.load(space)
            if now is None or now.revision != head.revision:
                continue
            with self._markers.locked(space):
                if self._markers.there(space):
                    return
                moved = self._local.load(space)
                if (moved and moved.revision) != (here and here.revision):
                    continue  # another worker of the machine has followed meanwhile, and may be ahead
                if self._take(space, here, head, frozenset(parts), log):
                    self._copied(space, before, head.revision)
                    return

    def _copied(self, space: Space, before: Revision | None, revision: Revision | None) -> None:
        self._know({space: revision})
        if before is not None and before == self._latest.get(space):  # and nobody has changed it meanwhile
            self._latest.note(space, revision)

    def _leave(self, space: Space, head: Head) -> None:
        """Do not have a space here that is too large, nor one that it was before."""
        with self._markers.locked(space):
            if not self._markers.there(space):
                self._local.discard(space)
                self._latest.forget(space)
                self._know({space: head.revision})

    def _take(
        self, space: Space, here: Head | None, head: Head, keep: frozenset[Digest], log: list[bytes]
    ) -> bool:
        known = self._local.log(space)
        if here is not None and log[: len(known)] != known:
            self._local.discard(space)  # another session of that name
            here, known = None, []
        expected = None if here is None else here.revision
        change = Change(expected, head.revision, head.body, {}, keep, log[len(known) :], head.ttl)
        for _ in range(_LOOKS):
            try:
                self._local.commit(space, change)
                return True
            except BlobMissing as error:
                try:
                    self._fetch(space, [Digest(digest) for digest in error.digests])
                except BlobMissing:
                    return False
            except Conflict:
                return False
        return False

    def _fetch(self, space: Space, digests: list[Digest]) -> None:
        for start in range(0, len(digests), 16):
            some = digests[start : start + 16]
            found: dict[Digest, Buffer] = {}

            def keep(
                i: int, buffer: memoryview, some: list[Digest] = some, found: dict[Digest, Buffer] = found
            ) -> None:
                found[some[i]] = bytes(buffer)

            self._primary.read(space, some, keep)
            self._local.stage(space, found)

    def _know(self, known: Mapping[Space, Revision | None]) -> None:
        """Remember which revisions are here; None: a space was deleted."""
        now = time.monotonic()
        with self._changed:
            for space, revision in known.items():
                if revision is None:
                    self._known.pop(space, None)
                    continue
                self._known[space] = (revision, now)
                self._known.move_to_end(space)
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)

    def _make_room(self) -> None:
        """Let go of what is to go first, until there is some room again."""
        if self._local.sizes()["used_bytes"] <= self._limit:
            return
        self._local.purge()
        for spaces in going(self._local, KINDS, self._limit):
            if self._local.sizes()["used_bytes"] <= self._limit * 9 // 10:
                return
            with self._markers.free_locked(spaces) as free:
                mine = [space for space in free if not self._markers.there(space)]
                for space in self._local.commit_each(mine, _let_go):
                    self._local.discard(space)  # damaged
                for space in mine:
                    self._latest.forget(space)
                self._know(dict.fromkeys(mine))


_mirrors: weakref.WeakSet[Mirror] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for mirror in list(_mirrors):
        mirror.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _run_from(changes: list[Change], revision: Revision | None) -> tuple[list[Change], list[Change]]:
    """Return changes that lead on from a revision, up to a deletion, and those that are left then.

    What led to the revision is neither: it has been done.
    """
    made = {change.revision: change for change in changes}
    done: set[Revision] = set()
    passed = revision
    while passed is not None and passed in made and passed not in done:
        done.add(passed)
        passed = made[passed].expected
    following: dict[Revision | None, Change] = {}
    for change in changes:
        if change.revision not in done:
            following.setdefault(change.expected, change)
    run: list[Change] = []
    at: Revision | None = revision
    while at in following:
        change = following.pop(at)
        run.append(change)
        done.add(change.revision)
        if change.body is None:
            break
        at = change.revision
    return run, [change for change in changes if change.revision not in done]


def _together(changes: list[Change]) -> Change | None:
    """Return changes that follow each other as one: what they made and let go in between is never written."""
    if len(changes) < 2:
        return changes[0] if changes else None
    last = changes[-1]
    if last.body is None:
        return Change(changes[0].expected, last.revision, None)
    keep: frozenset[Digest] | None = None
    blobs: dict[Digest, Buffer] = {}
    for change in changes:
        if change.keep is not None:
            keep = change.keep
        elif keep is not None:
            keep |= change.blobs.keys()
        blobs |= change.blobs
        if keep is not None:
            blobs = {digest: blob for digest, blob in blobs.items() if digest in keep}
    return Change(
        changes[0].expected,
        last.revision,
        last.body,
        blobs,
        keep,
        tuple(entry for change in changes for entry in change.log),
        next((change.ttl for change in reversed(changes) if change.ttl is not None), None),
    )


def _owned(change: Change) -> Change:
    """Return a change whose buffers nobody else writes to."""
    blobs: Mapping[Digest, Buffer] = {
        digest: blob if isinstance(blob, bytes) else bytes(blob) for digest, blob in change.blobs.items()
    }
    return Change(
        change.expected, change.revision, change.body, blobs, change.keep, tuple(change.log), change.ttl
    )


def _let_go(space: Space, revision: Revision | None) -> Change | None:
    return None if revision is None else Change(revision, new_revision(), None)


def _size(change: Change) -> int:
    return len(change.body or b"") + sum(len(blob) for blob in change.blobs.values()) + 1024

"""After an outage: what was done here comes into the primary, each session as one step.

A session that nobody else changed is brought forward: its head as it is here, under the revision it has here,
expecting the revision it had when the outage began. One that was changed elsewhere keeps both (``merge``).
Each step may be sent any number of times and happens once, and a marker is removed only after its step: so
replaying may be killed, or lose the primary again, at any instant.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from framekeep.engines.base import Buffer, Change, Engine, Head
from framekeep.errors import BlobMissing, Conflict, FramekeepError, StorageUnavailableError
from framekeep.names import Digest, Revision, Space, digest_of, new_revision
from framekeep.replies import is_kept
from framekeep.sessions import verbs
from framekeep.sessions.head import Session
from framekeep.sessions.parts import parts_of
from framekeep.standby import merge
from framekeep.standby.engine import StandbyEngine
from framekeep.standby.markers import REPLIES, Marker, Sent
from framekeep.timeline import Timeline

if TYPE_CHECKING:
    from framekeep.frames import FrameCodec

T = TypeVar("T")

logger = logging.getLogger("framekeep")

KEPT: Final = "kept:"
EVERY: Final = 1.0
"""Seconds between two looks whether the primary is back."""

_AGAIN: Final = b"An outage is over: deleted elsewhere and changed here, this session is there again"

_TRIES: Final = 20
_BATCH: Final = 16
_SOME: Final = 64
"""In a Cluster they are of all servers, as good as surely."""


class Outcome(StrEnum):
    """What became of a space."""

    UNCHANGED = "unchanged"
    FORWARDED = "forwarded"
    CREATED = "created"
    DELETED = "deleted"
    GONE = "deleted elsewhere"
    RESTORED = "there again"
    KEPT = "kept as versions"
    LEFT = "left as it is"


@dataclass(frozen=True, slots=True)
class Kept:
    """Something an operator should know of: a space that was changed in both places.

    Attributes:
        space: it.
        at: when it was replayed, seconds since 1970.
        since: when its outage began.
        versions: those that hold what was made here; none where nothing had to be kept.
        reason: what happened, in words.
    """

    space: str
    at: float
    since: float
    versions: tuple[int, ...]
    reason: str


class Replayer:
    """Brings what was done during outages into the primary.

    Args:
        engine: the standby.
        codec: how frames become bytes.
        clock: seconds since 1970.
        deleted: asks the primary for the last states of a space that was deleted there, newest first; None
            where it knows of no deletion.
        earlier: asks the primary for the states of a space that its head does not tell of any more.

    Attributes:
        failed: what could not be brought back when it was last tried, and why; without what waits for the
            primary to answer.
    """

    def __init__(
        self,
        engine: StandbyEngine,
        codec: FrameCodec,
        *,
        clock: Callable[[], float] = time.time,
        deleted: Callable[[Space], Sequence[Revision] | None] = lambda space: None,
        earlier: Callable[[Space], Sequence[Revision]] = lambda space: (),
    ) -> None:
        self._engine = engine
        self._deleted = deleted
        self._earlier = earlier
        self.failed: dict[Space, str] = {}
        self._codec = codec
        self._clock = clock
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Look every second, in a thread, whether there is something to bring and the primary is back."""
        self._engine.marked = self._awake
        self._awake()
        _started.add(self)

    def _awake(self) -> None:
        with self._starting:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="framekeep-replay", daemon=True)
                self._thread.start()

    def forked(self) -> None:
        """In a child, where the thread is not, have one as soon as there is something to bring of its own."""
        over = self._ended.is_set()
        self._thread, self._ended, self._starting = None, threading.Event(), threading.Lock()
        if over:
            self._ended.set()

    def pending(self) -> int:
        """Return how many spaces are still to be brought."""
        return self._engine.markers.count()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(10.0)

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                if self._engine.markers.count():
                    self.replay()
            except FramekeepError as error:
                logger.debug("Standby: not replayed yet: %s", error)
            except Exception:
                logger.exception("Standby: replaying failed")

    def replay(self, step: Callable[[int, int], None] | None = None) -> dict[Space, Outcome]:
        """Bring everything; nothing if another process of the machine is at it.

        Args:
            step: told how many of how many spaces are done.

        Raises:
            StorageUnavailableError: the primary does not answer (any more); what is left is brought later.
        """
        done: dict[Space, Outcome] = {}
        with self._engine.markers.alone() as alone:
            if not alone:
                return done
            self._look()
            markers = self._engine.markers.all()
            failed: StorageUnavailableError | None = None
            told, self.failed = self.failed, {}
            for number, marker in enumerate(markers, 1):
                if self._ended.is_set():
                    break
                try:
                    if not done:  # is it back? Nobody is to wait here for the answer
                        self._engine.primary.load(marker.space)
                        logger.info("Standby: Redis answers; %d space(s) are to go back", len(markers))
                    done[marker.space] = self._one(marker.space)
                except StorageUnavailableError as error:
                    failed = failed or error  # in a Cluster, that of others may answer
                except Exception as error:  # the others are not to wait for it
                    self.failed[marker.space] = f"{error}" or type(error).__name__
                    if told.get(marker.space) != self.failed[marker.space]:  # once, and not every second
                        unexpected = None if isinstance(error, FramekeepError) else error
                        logger.error(
                            "Standby: %s could not be brought back: %s",
                            marker.space,
                            self.failed[marker.space],
                            exc_info=unexpected,
                        )
                if step is not None:
                    step(number, len(markers))
                if number % 100 == 0:
                    logger.info("Standby: %d of %d brought back", number, len(markers))
        if done:
            counts = {str(kind): list(done.values()).count(kind) for kind in Outcome if kind in done.values()}
            logger.warning("Standby: %d space(s) are back in Redis: %s", len(done), counts)
        if failed is not None:
            raise failed
        return done

    def _look(self) -> None:
        """Where much waits, ask for some of it first: all of it is not to be read each second of an outage.

        Raises:
            StorageUnavailableError: the primary answers for none of that.
        """
        failed: StorageUnavailableError | None = None
        if self.pending() > _SOME:
            for space in islice(self._engine.markers.spaces(), _SOME):
                try:
                    self._engine.primary.load(space)
                except StorageUnavailableError as error:
                    failed = failed or error
                except FramekeepError:
                    return  # it answers, if nothing good
                else:
                    return
        if failed is not None:
            raise failed

    def _one(self, space: Space) -> Outcome:
        """Bring one space; nobody changes it here meanwhile."""
        engine = self._engine
        with engine.markers.locked(space):
            marker = engine.markers.get(space)
            if marker is None:
                return Outcome.UNCHANGED
            for _ in range(_TRIES):
                here, there = engine.local.load(space), engine.primary.load(space)
                marker = engine.markers.get(space) or marker
                try:
                    outcome = self._bring(marker, here, there)
                except Conflict:
                    continue  # it changes there
                engine.markers.remove(space)  # first: whoever looks now finds what is there
                if outcome in (Outcome.KEPT, Outcome.LEFT, Outcome.GONE):
                    engine.local.discard(space)
                    if there is not None:
                        engine.mirror.used(space, there)  # which brings what is there now
                return outcome
        raise StorageUnavailableError(f"{space} is too busy to be brought back now.")

    def _bring(self, marker: Marker, here: Head | None, there: Head | None) -> Outcome:
        space, local = marker.space, self._engine.local
        if here is None:
            return self._without(marker, there)
        if there is not None:
            there = self._with_past(marker, here, there)
        if there is not None and here.revision in (there.revision, *there.past):
            if there.revision == here.revision and _longer(here.ttl, there.ttl):
                self._engine.primary.touch(space, here.ttl or 0.0)
            if here.revision == marker.base:
                return Outcome.UNCHANGED
            self._confirm(space, there)
            return Outcome.FORWARDED
        if there is None:
            return self._absent(marker, here)
        if here.revision == marker.base:
            return Outcome.UNCHANGED
        if there.revision not in marker.known():
            return self._both(marker, here, there)
        if _made_anew(space, here, there):
            self._forget(space, there)
            self._push(marker, here, None, local.log(space))
            return Outcome.CREATED
        self._push(marker, here, there, local.log(space, marker.known()[there.revision]))
        return Outcome.FORWARDED

    def _with_past(self, marker: Marker, here: Head, there: Head) -> Head:
        """Return the head there with all of its past, if what it tells does not say what has arrived."""
        if {here.revision, marker.base}.isdisjoint((there.revision, *there.past)):
            return replace(there, past=(*there.past, *self._earlier(marker.space)))
        return there

    def _absent(self, marker: Marker, here: Head) -> Outcome:
        """Bring what is not there (any more): it was made here, it was deleted elsewhere, or it was lost.

        A deletion is not undone for the sake of who has only looked at it here. What was used here and has
        expired there lives on: it was used last here.
        """
        space, local = marker.space, self._engine.local
        deleted = self._deleted(space)
        if deleted is None and here.revision == marker.base and self._clock() > marker.remembered:
            self._keep(marker, (), "It was only read here, and is gone there for longer than is known why.")
            return Outcome.LEFT
        if deleted is None or self._is_another(marker, here, deleted):
            self._push(marker, here, None, local.log(space))
            return Outcome.CREATED
        if here.revision == marker.base or here.revision in deleted:
            return Outcome.GONE
        self._keep(marker, (), "It was deleted elsewhere and changed here: it is there again.")
        if space.startswith("session:") and not any(line.endswith(_AGAIN) for line in local.log(space)[-1:]):
            line = verbs.stamped(datetime.fromtimestamp(self._clock(), UTC), _AGAIN.decode())
            local.commit(space, Change(here.revision, new_revision(), here.body, log=[line]))
            here = local.load(space) or here
        self._push(marker, here, None, local.log(space))
        return Outcome.RESTORED

    def _is_another(self, marker: Marker, here: Head, deleted: Sequence[Revision]) -> bool:
        """Say whether what is here is another than what was deleted there: made, or made again, since."""
        if marker.base is not None and not marker.deleted:
            return False
        before = marker.deleted  # what was sent of it then has nothing in the log of what is here
        sent = {revision for revision, logged in marker.known().items() if logged or not before}
        return {here.revision, *sent}.isdisjoint(deleted)

    def _without(self, marker: Marker, there: Head | None) -> Outcome:
        """Replay a deletion. What has only expired here may be in use elsewhere."""
        if there is None:
            if marker.deleted:  # so that it is known of to other machines
                self._engine.primary.commit(marker.space, Change(None, new_revision(), None))
            return Outcome.DELETED
        if not marker.deleted:
            self._keep(marker, (), "It has expired here during the outage; what is there stays.")
            return Outcome.LEFT
        if there.revision in marker.known():
            self._forget(marker.space, there)
            return Outcome.DELETED
        self._keep(marker, (), "It was deleted here during the outage and changed elsewhere: it stays.")
        return Outcome.LEFT

    def _forget(self, space: Space, there: Head) -> None:
        gone = Revision(digest_of(there.revision, b"deleted during an outage"))
        self._engine.primary.commit(space, Change(there.revision, gone, None))

    def _confirm(self, space: Space, there: Head) -> None:
        """Make the state that is there once more: it may be stored and not acknowledged yet (I1).

        Raises:
            TooFewReplicasError: it still is not: what is here may be all that is left of it.
        """
        self._engine.primary.commit(space, Change(there.revision, there.revision, there.body))

    def _push(self, marker: Marker, here: Head, there: Head | None, log: list[bytes]) -> None:
        """Make the local head the primary's, with all that it needs."""
        space, local = marker.space, self._engine.local
        self._engine.markers.sent(marker, Sent(here.revision, len(local.log(space))))
        keep = frozenset(parts_of(local, space, here.body))
        ttl = there.ttl if there is not None and _longer(there.ttl, here.ttl) else here.ttl
        expected = None if there is None else there.revision
        change = Change(expected, here.revision, here.body, {}, keep, log, ttl)
        self._with_blobs(space, lambda: self._engine.primary.commit(space, change))

    def _with_blobs(self, space: Space, commit: Callable[[], T]) -> T:
        for attempt in range(_TRIES):
            try:
                return commit()
            except BlobMissing as error:
                if attempt == _TRIES - 1:
                    raise
                self._stage(space, [Digest(digest) for digest in error.digests])
        raise AssertionError("unreachable")

    def _stage(self, space: Space, digests: list[Digest]) -> None:
        for start in range(0, len(digests), _BATCH):
            some, found = digests[start : start + _BATCH], dict[Digest, Buffer]()

            def take(
                i: int, blob: memoryview, some: list[Digest] = some, found: dict[Digest, Buffer] = found
            ) -> None:
                found[some[i]] = bytes(blob)

            self._engine.local.read(space, some, take)
            self._engine.primary.stage(space, found)

    def _both(self, marker: Marker, here: Head, there: Head) -> Outcome:
        """Keep what is there as it is, and what was made here as versions of it.

        A reply that is kept here takes the place of a claim there: what was done counts.
        """
        space, local, primary = marker.space, self._engine.local, self._engine.primary
        if space.startswith(REPLIES) and not is_kept(there.body):
            if not is_kept(here.body):
                raise Conflict(f"{space} is under way here and elsewhere.")  # whoever does it has it
            self._push(marker, here, there, [])  # what was done counts more than what was only begun
            return Outcome.FORWARDED
        if not space.startswith("session:"):
            self._keep(marker, (), "A temporary storage was replaced elsewhere: that one stays.")
            return Outcome.LEFT
        base = Session.decode(marker.base_body) if marker.base_body else None
        log = primary.log(space)
        logged = arrived(marker, there, log, local.log(space))
        what = merge.made(base, Session.decode(here.body), local.log(space, logged), here.revision)
        if not merge.is_in(what, log):
            if not what.states and not what.lines and not what.metadata and what.ttl is None:
                return Outcome.UNCHANGED
            self._engine.markers.sent(marker, Sent(here.revision, len(local.log(space)), merged=True))
            self._with_blobs(space, lambda: self._merge(space, base, what, here.revision))
        else:
            self._confirm(space, there)
        now = primary.load(space)
        ids = () if now is None else merge.versions(Session.decode(now.body), what)
        self._keep(marker, ids, "It was changed here and elsewhere: both are kept.")
        return Outcome.KEPT

    def _merge(self, space: Space, base: Session | None, what: merge.Made, revision: Revision) -> None:
        """Make what was made here part of what is there.

        Raises:
            BlobMissing: not all that it needs has been staged (or it was freed since).
            Conflict: it changes there.
        """
        primary, local = self._engine.primary, self._engine.local
        there = primary.load(space)
        if there is None:
            raise Conflict(f"{space} is gone.")
        session = Session.decode(there.body)
        after, lines = merge.merged(base, session, what, datetime.fromtimestamp(self._clock(), UTC))
        try:
            keep = {*parts_of(primary, space, there.body)}
        except BlobMissing:
            raise Conflict(f"{space} has moved on.") from None
        added = after.timeline.past[len(session.timeline.past) :]
        if added:
            line = Timeline(added[0].state, added[1:])
            keep |= {*parts_of(local, space, replace(after, timeline=line).encode())}
        name = kept_as(revision)
        change = Change(there.revision, name, after.encode(), {}, frozenset(keep), lines, after.ttl)
        primary.commit(space, change)

    # --- for the operator ------------------------------------------------------------------------

    def _keep(self, marker: Marker, versions: tuple[int, ...], reason: str) -> None:
        if marker.space.startswith(REPLIES):  # the session that it tells of is what is listed
            return
        record = Kept(marker.space, self._clock(), marker.since, versions, reason)
        name = Space(KEPT + marker.space)
        head = self._engine.local.load(name)
        listed = [] if head is None else json.loads(head.body)
        # One that was broken off after this has written it before.
        listed = [
            each
            for each in listed
            if (each["since"], each["reason"]) != (record.since, reason) or {*each["versions"]} - {*versions}
        ]
        body = json.dumps([*listed, asdict(record)]).encode()
        self._engine.local.commit(name, Change(None if head is None else head.revision, new_revision(), body))
        logger.warning("Standby: %s: %s Versions: %s", marker.space, reason, list(versions) or "none")


def arrived(marker: Marker, there: Head, log: Sequence[bytes], local: Sequence[bytes]) -> int:
    """Return how many entries of the log here have come to the primary before, if only with a merge.

    Its past tells. Only where that does not reach back to what both had (it is another session there, or was
    made without such a memory) its log does, whose lines may be alike by chance.
    """
    past = (there.revision, *there.past)
    for sent in reversed(marker.sent):
        if (kept_as(sent.revision) if sent.merged else sent.revision) in past:
            return sent.logged
        if marker.base is not None and marker.base in past:
            continue
        lines = local[marker.logged : sent.logged]
        if sent.merged and merge.tells(sent.revision, log):
            return sent.logged
        if not sent.merged and lines and list(log[marker.logged : sent.logged]) == list(lines):
            return sent.logged
    return marker.logged


def kept_as(revision: Revision) -> Revision:
    """Return the name of the state in the primary that has what was made here up to ``revision``."""
    return Revision(digest_of(revision, b"kept after an outage"))


def _made_anew(space: Space, here: Head, there: Head) -> bool:
    """Say whether what is here is another session than what is there: deleted here, and made again."""
    if not space.startswith("session:"):
        return False
    return Session.decode(here.body).created_at != Session.decode(there.body).created_at


def _longer(one: float | None, other: float | None) -> bool:
    return other is not None and (one is None or one > other)


def kept(local: Engine) -> list[Kept]:
    """Return what operators have not resolved, the oldest first."""
    heads = (local.load(info.space) for info in local.spaces(KEPT))
    records = [record for head in heads if head is not None for record in json.loads(head.body)]
    found = (Kept(**{**record, "versions": tuple(record["versions"])}) for record in records)
    return sorted(found, key=lambda record: record.at)


def resolve(local: Engine, space: Space) -> bool:
    """Take a space off the list; False if it is not on it."""
    return local.discard(Space(KEPT + space))


_started: weakref.WeakSet[Replayer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for replayer in list(_started):
        replayer.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)

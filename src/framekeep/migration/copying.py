"""From engine to engine: a session as it is, byte for byte, under the revision it has.

``lock:`` and ``reply:`` spaces stay behind. A lease belongs to a process that renews it in the store where it
took it: its copy would be held by nobody and keep others out until it ran out (and tokens in the target begin
at the time in milliseconds, so they go on above the source's). A reply belongs to a request that was carried
out in the source: a copied claim would be under way for ever, and a copied answer says of the target what is
true of the source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from framekeep.engines.base import Engine, Head
from framekeep.errors import BlobMissing, Conflict, ConflictError, NotFoundError, SessionDamagedError
from framekeep.migration.arrival import Arrival, Brought, Gone, Moved, Stage, read
from framekeep.migration.report import Outcome
from framekeep.names import Digest, Revision, Space, checked_id, space
from framekeep.sessions.parts import Part, batches, parts_of

KINDS = ("session:", "temp:")
"""What is copied."""

Step = Callable[[float], None]
"""Called with the part of one space that was done since the last call."""

_LOOKS = 50  # so often a space may have changed since the last look


class Copying:
    """Offers what an engine holds.

    Args:
        source: the engine; nothing is written to it.
    """

    def __init__(self, source: Engine) -> None:
        self._source = source

    def spaces(self, only: Collection[str] = ()) -> list[Space]:
        """Return what there is to be copied, sessions first.

        Raises:
            InvalidIdError: one of ``only`` is malformed.
        """
        found = [info.space for kind in KINDS for info in self._source.spaces(kind)]
        if not only:
            return found
        wanted = {checked_id(id) for id in only}
        named = [name for name in found if name.partition(":")[2] in wanted]
        absent = wanted - {name.partition(":")[2] for name in named}
        return named + [space("session", id) for id in sorted(absent)]

    def move(self, name: Space, arrival: Arrival, step: Step, *, asked: bool = False) -> Outcome:
        """Bring one space to where it is to arrive.

        Args:
            name: the space.
            arrival: takes it in.
            step: is told how it goes on.
            asked: whether somebody named it, so that it is an error when it is not there.

        Raises:
            NotFoundError: it was named and is not there.
            ConflictError: it was changed in both stores, or is so busy that it could not be read.
            SessionDamagedError, NewerFormatError: it cannot be read.
        """
        staged: set[Digest] = set()
        for _ in range(_LOOKS):
            head = self._source.load(name)
            if head is None:
                if asked:
                    raise NotFoundError(f"{name} is not in the source (any more).")
                return Outcome.GONE
            try:
                return arrival.receive(_State(self._source, name, head, step, staged))
            except (Moved, Conflict):
                continue
            except Gone:
                return Outcome.GONE
        raise ConflictError(
            f"{name} changed each of the {_LOOKS} times it was looked at. Run this again when it is calmer."
        )


@dataclass(slots=True)
class _State:
    """One state of one space: an ``Offer``."""

    _source: Engine
    space: Space
    _head: Head
    _step: Step
    _staged: set[Digest]

    @property
    def revision(self) -> Revision:
        return self._head.revision

    @property
    def body(self) -> bytes | None:
        return self._head.body

    @property
    def staged(self) -> frozenset[Digest]:
        return frozenset(self._staged)

    def left(self) -> float | None:
        return self._now().ttl

    def lifetime(self) -> float | None:
        return self._now().ttl  # as late as possible: reading took a while

    def _now(self) -> Head:
        now = self._source.load(self.space)
        if now is None:
            raise Gone
        return now

    def log(self) -> Sequence[bytes]:
        entries = self._source.log(self.space)
        if self._now().revision != self.revision:
            raise Moved
        return entries

    def bring(self, stage: Stage, present: frozenset[Digest]) -> Brought:
        try:
            parts = parts_of(self._source, self.space, self._head.body)
            todo = [part for part in parts.values() if part.digest not in present]
            total = sum(part.size for part in todo) or 1
            for batch in batches(todo):
                stage(self._checked(batch))
                self._staged.update(part.digest for part in batch)
                self._step(sum(part.size for part in batch) / total)
        except BlobMissing as error:
            if self._now().revision != self.revision:
                raise Moved from error
            raise SessionDamagedError(
                f"{self.space} is damaged in the source: {len(error.digests)} stored part(s) are missing. "
                "'framekeep check' says which.",
                session_id=self.space.partition(":")[2],
                where="a chunk",
            ) from error
        except SessionDamagedError as error:
            raise SessionDamagedError(
                f"{self.space} is damaged in the source: {error}",
                session_id=self.space.partition(":")[2],
                where=error.where,
            ) from error
        return Brought(self._head.body, parts)

    def _checked(self, batch: Sequence[Part]) -> dict[Digest, bytes]:
        found = read(self._source, self.space, batch)
        for part in batch:
            problem = part.problem(found[part.digest])
            if problem is not None:
                raise SessionDamagedError(f"{part.where}: {problem}", where=part.where)
        return found

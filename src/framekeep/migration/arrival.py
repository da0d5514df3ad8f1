"""The target's side: whether something may come, how it is stored in one step, and that it arrived whole.

Knows nothing of where it comes from. What somebody changed in the target is never overwritten: every commit
expects the revision that was judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from framekeep.engines.base import Buffer, Change, Engine, Head
from framekeep.errors import BlobMissing, Conflict, ConflictError, DamagedError, SessionDamagedError
from framekeep.migration.journal import Journal, Relation
from framekeep.migration.report import Outcome, Overwrite
from framekeep.names import Digest, Revision, Space, new_revision
from framekeep.sessions.parts import Part, batches, parts_of

Stage = Callable[[Mapping[Digest, Buffer]], None]

_STAGINGS = 5  # so often what was stored ahead may be freed by somebody
_SLACK = 1.0  # seconds of an expiry that are not worth a write


class Moved(Exception):
    """The source changed while it was read: look again."""


class Gone(Exception):
    """The source expired or was deleted while it was read."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What an offer came to.

    Attributes:
        body: the head.
        parts: all that it needs.
    """

    body: bytes
    parts: Mapping[Digest, Part]


class Offer(Protocol):
    """One state of one space, as its origin has it."""

    @property
    def space(self) -> Space:
        """Its name."""

    @property
    def revision(self) -> Revision:
        """The name of the state."""

    @property
    def body(self) -> bytes | None:
        """The head, if that is known before the parts are read."""

    @property
    def staged(self) -> frozenset[Digest]:
        """What was staged for the space before, in this pass; somebody may have freed it since."""

    def left(self) -> float | None:
        """Return the seconds to its expiry now; None: it has none of its own. Raises Gone."""

    def lifetime(self) -> float | None:
        """Return the seconds that a copy lives from now on; None for ever. Raises Gone."""

    def log(self) -> Sequence[bytes]:
        """Return the log as it is at ``revision``. Raises Moved."""

    def bring(self, stage: Stage, present: frozenset[Digest]) -> Brought:
        """Stage all parts that are not ``present``, each checked against its name. Raises Moved, Gone."""


class Arrival:
    """Takes what origins offer into one target.

    Args:
        target: the engine.
        journal: which states both stores had.
        overwrite: what may be replaced.
        dry_run: only say what would happen.
    """

    def __init__(
        self,
        target: Engine,
        journal: Journal,
        *,
        overwrite: Overwrite = Overwrite.OLDER,
        dry_run: bool = False,
        revisions: Callable[[], Revision] = new_revision,
    ) -> None:
        self._target = target
        self._journal = journal
        self._overwrite = overwrite
        self._dry_run = dry_run
        self._revisions = revisions

    def receive(self, offer: Offer) -> Outcome:
        """Take in what is offered, if the target does not have it or has it as it was once.

        Raises:
            ConflictError: it was changed in both stores.
            SessionDamagedError: it is damaged in the source, or the target holds a damaged one.
            Conflict: the target changed meanwhile: offer it again.
            Moved, Gone: of the offer.
        """
        there = self._load(offer.space)
        match self._journal.relation(offer.space, offer.revision, there.revision if there else None):
            case Relation.SAME:
                assert there is not None
                self._confirm(offer, there)
                return Outcome.THERE
            case Relation.TARGET_AHEAD:
                return Outcome.NEWER
            case Relation.BOTH_CHANGED:
                kind, _, id = offer.space.partition(":")
                raise ConflictError(
                    f"{'Temporary storage' if kind == 'temp' else 'Session'} {id!r} was changed in both "
                    "stores; neither was touched. Decide which one stays, delete the other, and run this "
                    "again."
                )
            case _ if there is not None and self._overwrite is Overwrite.NEVER:
                return Outcome.KEPT
        if not self._dry_run:
            self._take(offer, there)
        return Outcome.COPIED if there is None else Outcome.UPDATED

    def _load(self, space: Space) -> Head | None:
        try:
            return self._target.load(space)
        except SessionDamagedError as error:
            raise SessionDamagedError(
                f"What the target holds as {space} is damaged, so nobody can say whether it may be replaced. "
                "Delete it there (framekeep sessions rm), and run this again.",
                session_id=space,
                where="head",
            ) from error

    # --- storing ---------------------------------------------------------------------------------

    def _take(self, offer: Offer, there: Head | None) -> None:
        space, log = offer.space, tuple(offer.log())
        logged = 0
        if there is not None:
            held = tuple(self._target.log(space))
            logged = len(held)
            if log[:logged] != held:
                self._start_over(space, there)
                there, logged = None, 0
        present = offer.staged | (frozenset() if there is None else self._present(space, there))
        for _ in range(_STAGINGS):
            brought = offer.bring(lambda batch: self._target.stage(space, batch), present)
            change = Change(
                expected=there.revision if there else None,
                revision=offer.revision,
                body=brought.body,
                keep=frozenset(brought.parts),
                log=log[logged:],
                ttl=offer.lifetime(),
            )
            self._journal.coming(space, offer.revision)
            try:
                self._target.commit(space, change)
            except BlobMissing as error:
                present = frozenset(brought.parts.keys() - set(error.digests))
                continue
            try:
                self._compare(offer, brought.body, log, brought.parts)
            except SessionDamagedError:
                with suppress(Conflict):  # else somebody has gone on from it
                    withdrawn = Change(expected=offer.revision, revision=self._revisions(), body=None)
                    self._target.commit(space, withdrawn)
                raise
            self._journal.arrived(space, offer.revision)
            return
        raise ConflictError(f"What was stored ahead for {space} was freed each time. Run this again.")

    def _start_over(self, space: Space, there: Head) -> None:
        """Delete a copy of a session that was deleted in the source and made anew: a log only grows."""
        gone = Change(expected=there.revision, revision=self._revisions(), body=None)
        self._target.commit(space, gone)

    def _present(self, space: Space, there: Head) -> frozenset[Digest]:
        """Return what the target has already, as far as it can be said; what is wrong, a commit will say."""
        try:
            return frozenset(parts_of(self._target, space, there.body))
        except (BlobMissing, DamagedError):
            return frozenset()

    # --- comparing -------------------------------------------------------------------------------

    def _confirm(self, offer: Offer, there: Head) -> None:
        """See to it that what is there is whole, unless that is known, and lives as long as the source's."""
        space = offer.space
        if self._dry_run:
            return
        if not self._journal.has_arrived(space, offer.revision):
            if offer.body is not None and offer.body != there.body:
                raise _different(space, "head")
            # The same head needs the same parts; a manifest that is damaged is mended first.
            try:
                parts: Mapping[Digest, Part] = parts_of(self._target, space, there.body)
            except (BlobMissing, SessionDamagedError):
                if not self._is_at(space, offer.revision):
                    return
                parts = offer.bring(lambda batch: self._target.stage(space, batch), frozenset()).parts
            self._compare(offer, there.body, tuple(offer.log()), parts)
            self._journal.arrived(space, offer.revision)
        left = offer.left()
        if left is not None and there.ttl is not None and left > there.ttl + _SLACK:
            self._target.touch(space, left)  # reading moves an expiry, and no revision

    def _compare(
        self, offer: Offer, body: bytes, log: tuple[bytes, ...], parts: Mapping[Digest, Part]
    ) -> None:
        """Compare what arrived with what was read, and mend it once.

        Raises:
            SessionDamagedError: it is not the same all the same.
        """
        space = offer.space
        for last in (False, True):
            problems = self._problems(offer, body, log, parts)
            if not problems:
                return
            if last:
                digest, problem = next(iter(problems.items()))
                raise _different(space, parts[digest].where, problem)
            offer.bring(
                lambda batch: self._target.stage(space, batch), frozenset(parts.keys() - problems.keys())
            )

    def _problems(
        self, offer: Offer, body: bytes, log: tuple[bytes, ...], parts: Mapping[Digest, Part]
    ) -> dict[Digest, str]:
        """Return which parts are missing or damaged in the target; none if it has moved on from there."""
        space = offer.space
        there = self._target.load(space)
        if there is None or there.revision != offer.revision:
            return {}
        if there.body != body:
            raise _different(space, "head")
        arrived = tuple(self._target.log(space))
        found: dict[Digest, str] = {}
        for batch in batches(parts.values()):
            found |= self._problems_of(space, batch)
        if (arrived != log or found) and self._is_at(space, offer.revision):
            if arrived != log:
                raise _different(space, "log")
            return found
        return {}

    def _problems_of(self, space: Space, batch: Sequence[Part]) -> dict[Digest, str]:
        found: dict[Digest, str] = {}
        while True:
            wanted = [part for part in batch if part.digest not in found]
            try:
                arrived = read(self._target, space, wanted)
            except BlobMissing as error:
                missing = {Digest(digest) for digest in error.digests}
                found |= dict.fromkeys(missing, "missing")
                if not any(part.digest in missing for part in wanted):
                    raise
                continue
            problems = {part.digest: part.problem(arrived[part.digest]) for part in wanted}
            return found | {digest: text for digest, text in problems.items() if text is not None}

    def _is_at(self, space: Space, revision: Revision) -> bool:
        there = self._target.load(space)
        return there is not None and there.revision == revision


def read(engine: Engine, space: Space, parts: Sequence[Part]) -> dict[Digest, bytes]:
    """Return owned copies of blobs, as they are stored.

    Raises:
        BlobMissing: one or more are not there.
    """
    found: dict[Digest, bytes] = {}

    def visit(i: int, buffer: memoryview) -> None:
        found[parts[i].digest] = bytes(buffer)

    engine.read(space, [part.digest for part in parts], visit)
    return found


def _different(space: Space, where: str, problem: str = "") -> SessionDamagedError:
    said = f" ({problem})" if problem else ""
    return SessionDamagedError(
        f"What arrived of {space} is not what was read: {where}{said}. Run this again; if it stays so, look "
        "at the target's disk or memory.",
        session_id=space.partition(":")[2],
        where=where,
    )

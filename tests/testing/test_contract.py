"""The contract is tested itself: engines broken on purpose are caught, each by the test that names it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from framekeep.engines.base import Buffer, Change, Engine, Head, Health, SpaceInfo, Visit
from framekeep.engines.memory import MemoryEngine, _Space
from framekeep.errors import BlobMissing, Conflict, FramekeepError, StorageUnavailableError
from framekeep.names import Digest, Revision, Space
from framekeep.testing import EngineContract, contract_failures, engine_machine


class LastWriterWins(MemoryEngine):
    """Compares no revision."""

    def commit(self, space: Space, change: Change) -> None:
        head = self.load(space)
        super().commit(space, replace(change, expected=None if head is None else head.revision))


class CheckThenAct(MemoryEngine):
    """Compares and sets in two steps, as if the lock were not held between them."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self._between = threading.Barrier(2)

    def commit(self, space: Space, change: Change) -> None:
        head = self.load(space)
        if head is not None and head.revision == change.revision:
            return
        if (None if head is None else head.revision) != change.expected:
            raise Conflict("checked before")
        if change.expected is None:
            super().commit(space, change)
            return
        try:
            self._between.wait(0.01)  # whoever else has checked is let through as well
        except threading.BrokenBarrierError:
            self._between.reset()
        while True:
            now = self.load(space)
            try:
                super().commit(space, replace(change, expected=None if now is None else now.revision))
            except Conflict:
                continue
            return


class RetryAppendsAgain(MemoryEngine):
    """Does not recognise a change that has happened."""

    def commit(self, space: Space, change: Change) -> None:
        head = self.load(space)
        if head is not None and head.revision == change.revision:
            with self._lock:
                self._spaces()[space].log.extend(change.log)
        super().commit(space, change)


class RetryConflicts(MemoryEngine):
    """Takes a repeated change for somebody else's."""

    def commit(self, space: Space, change: Change) -> None:
        head = self.load(space)
        if head is not None and head.revision == change.revision != change.expected:
            raise Conflict("seen before")
        super().commit(space, change)


class BlobsBeforeCheck(MemoryEngine):
    """Stores the blobs of a change that then conflicts."""

    def commit(self, space: Space, change: Change) -> None:
        if space in self._spaces():
            self.stage(space, change.blobs)
        super().commit(space, change)


class LogBeforeKeep(MemoryEngine):
    """Appends to the log before it finds a kept blob missing."""

    def commit(self, space: Space, change: Change) -> None:
        try:
            super().commit(space, change)
        except BlobMissing:
            self._spaces().get(space, _Space()).log.extend(change.log)
            raise


class KeepTrusts(MemoryEngine):
    """Believes that kept blobs exist."""

    def commit(self, space: Space, change: Change) -> None:
        if change.keep is not None:
            held = self._spaces().get(space, _Space()).blobs
            change = replace(change, keep=frozenset(d for d in change.keep if d in held or d in change.blobs))
        super().commit(space, change)


class KeepFreesNothing(MemoryEngine):
    """Never frees a blob."""

    def commit(self, space: Space, change: Change) -> None:
        held = self._spaces().get(space, _Space()).blobs
        if change.keep is not None:
            change = replace(change, keep=change.keep | frozenset(held))
        super().commit(space, change)


class KeepFreesStaged(MemoryEngine):
    """Frees what was staged, kept or not."""

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        if self.load(space) is not None:
            super().stage(space, blobs)


class DeleteLeavesLog(MemoryEngine):
    """Deletes the head and the blobs only."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.left: dict[Space, list[bytes]] = {}

    def commit(self, space: Space, change: Change) -> None:
        if change.body is None:
            self.left[space] = self.log(space)
        elif self.left.get(space) and self.load(space) is None:
            change = replace(change, log=[*self.left.pop(space), *change.log])
        super().commit(space, change)


class TouchMovesRevision(MemoryEngine):
    """Makes a new state of a touch."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        done = super().touch(space, ttl, at)
        if done is not None:
            held = self._spaces()[space]
            assert held.revision is not None
            held.revision = type(held.revision)(held.revision[::-1])
        return done


class TouchOnlyExtends(MemoryEngine):
    """Keeps the later expiry."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        head = self.load(space)
        return super().touch(space, ttl if head is None or head.ttl is None else max(ttl, head.ttl), at)


class TouchMovesAnyState(MemoryEngine):
    """Moves the expiry of whatever state is there."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        return super().touch(space, ttl)


class TouchRevives(MemoryEngine):
    """Touches what has expired."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        held = self._spaces().get(space)
        if held is None or held.revision is None:
            return None
        held.expiry = self._clock() + ttl
        return held.revision


class TouchNamesAnotherState(MemoryEngine):
    """Returns a revision that the space is not at."""

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        touched = super().touch(space, ttl, at)
        return None if touched is None else Revision(touched[::-1])


class ExpiresTooLate(MemoryEngine):
    """Lets a space live at the instant of its expiry."""

    def _live(self, space: Space, now: float) -> _Space | None:
        return super()._live(space, now - 1e-6)


class ExpiredStaysListed(MemoryEngine):
    """Lists what is not purged yet."""

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        for space, held in list(self._spaces().items()):
            if held.revision is not None and space.startswith(prefix):
                left = None if held.expiry is None else held.expiry - self._clock()
                yield SpaceInfo(space, left)


class ExpiredBlocksCreation(MemoryEngine):
    """Takes an expired head for a head."""

    def commit(self, space: Space, change: Change) -> None:
        held = self._spaces().get(space)
        if change.expected is None and held is not None and held.revision not in (None, change.revision):
            raise Conflict("there is something")
        super().commit(space, change)


class ExpiredIsInherited(MemoryEngine):
    """Builds a new space upon the remains of the expired one."""

    def _for_writing(self, space: Space, now: float) -> _Space:
        return self._spaces().get(space, _Space())


class TtlIsForgotten(MemoryEngine):
    """Takes a change without ttl for one that never expires."""

    def commit(self, space: Space, change: Change) -> None:
        super().commit(space, change)
        if change.ttl is None and space in self._spaces():
            self._spaces()[space].expiry = None


class PurgeTakesTheLiving(MemoryEngine):
    """Purges a little early."""

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        clock = self._clock
        self._clock = lambda: clock() + 15.0
        try:
            return super().purge(prefix, limit)
        finally:
            self._clock = clock


class PurgeIgnoresLimit(MemoryEngine):
    """Purges everything at once."""

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        return super().purge(prefix)


class PurgeForgetsStaged(MemoryEngine):
    """Leaves abandoned staged blobs for ever."""

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        for held in self._spaces().values():
            if held.revision is None:
                held.expiry = None
        return super().purge(prefix, limit)


class StagedIsASpace(MemoryEngine):
    """Counts what was only staged."""

    def count(self, prefix: str = "") -> int:
        return sum(1 for space in self._spaces() if space.startswith(prefix))


class ReadsInItsOwnOrder(MemoryEngine):
    """Visits blobs as they are stored."""

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        places = {digest: i for i, digest in enumerate(digests)}
        order = sorted(digests)
        super().read(space, order, lambda i, buffer: visit(places[order[i]], buffer))


class NamesOneMissing(MemoryEngine):
    """Stops at the first missing blob."""

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        try:
            super().read(space, digests, visit)
        except BlobMissing as e:
            raise BlobMissing(e.digests[:1]) from None


class KeepsCallersBuffer(MemoryEngine):
    """Stores a view of the caller's memory."""

    def commit(self, space: Space, change: Change) -> None:
        super().commit(space, change)
        if change.body is not None:
            self._spaces()[space].blobs.update(change.blobs)  # type: ignore[arg-type]


class LeavesDamaged(MemoryEngine):
    """Does not write a blob that is there already."""

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        held = self._spaces().get(space, _Space()).blobs
        super().stage(space, {digest: blob for digest, blob in blobs.items() if digest not in held})


class LogSlicesFromTheEnd(MemoryEngine):
    """Takes an empty slice for the whole."""

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        return super().log(space, start, stop or None)


class PrefixSpills(MemoryEngine):
    """Deletes every space whose name starts alike."""

    def commit(self, space: Space, change: Change) -> None:
        super().commit(space, change)
        if change.body is None:
            for other in [s for s in self._spaces() if s.startswith(space)]:
                del self._spaces()[other]


class ClosedStaysOpen(MemoryEngine):
    """Goes on after close."""

    def close(self) -> None:
        return


class HealthRaises(MemoryEngine):
    """Lets a probe fail loudly."""

    def health(self) -> Health:
        self._spaces()
        return super().health()


class GlanceIsStale(MemoryEngine):
    """Remembers the first head it saw."""

    def glance(self, space: Space) -> Head | None:
        kept: dict[Space, Head | None] = self.__dict__.setdefault("_kept", {})
        if kept.get(space) is None:
            kept[space] = super().glance(space)
        return kept[space]


class GlanceSeesTheExpired(MemoryEngine):
    """Does not look at the clock."""

    def glance(self, space: Space) -> Head | None:
        held = self._spaces().get(space)
        return None if held is None or held.revision is None else Head(held.revision, held.body, None)


class GuessIsAMixture(MemoryEngine):
    """Remembers the body that was sent last, whatever became of it."""

    def commit(self, space: Space, change: Change) -> None:
        self._sent = change.body
        super().commit(space, change)

    def guess(self, space: Space) -> Head | None:
        head = self.load(space)
        return None if head is None else replace(head, body=self._sent or b"")


class BodyIsText(MemoryEngine):
    """Loses bytes that are not UTF-8."""

    def load(self, space: Space) -> Head | None:
        head = super().load(space)
        return None if head is None else replace(head, body=head.body.decode(errors="ignore").encode())


class ClockMustNotGoBack(MemoryEngine):
    """Orders the log by time."""

    def commit(self, space: Space, change: Change) -> None:
        before = len(self.log(space))
        super().commit(space, change)
        now = self._clock()
        if change.body is not None and before and now < getattr(self, "_last", now):
            log = self._spaces()[space].log
            log[:] = log[before:] + log[:before]
        self._last = now


CAUGHT_BY = {
    LastWriterWins: "test_revision_of_the_past_conflicts",
    CheckThenAct: "test_no_increment_of_many_threads_is_lost",
    RetryAppendsAgain: "test_creation_again_with_the_same_revision_is_success",
    RetryConflicts: "test_same_revision_again_is_success_and_changes_nothing",
    BlobsBeforeCheck: "test_conflict_changes_nothing_at_all",
    LogBeforeKeep: "test_missing_kept_blob_changes_nothing_at_all",
    KeepTrusts: "test_every_missing_kept_blob_is_named",
    KeepFreesNothing: "test_keep_frees_the_others",
    KeepFreesStaged: "test_commit_keeps_staged_blobs",
    DeleteLeavesLog: "test_space_made_again_after_deletion_is_empty",
    TouchMovesRevision: "test_touch_moves_the_expiry_and_nothing_else",
    TouchOnlyExtends: "test_touch_can_shorten",
    TouchMovesAnyState: "test_touch_of_another_state_moves_nothing",
    TouchRevives: "test_expired_space_stays_gone",
    TouchNamesAnotherState: "test_touch_moves_the_expiry_and_nothing_else",
    ExpiresTooLate: "test_space_is_gone_at_the_instant_it_expires",
    ExpiredStaysListed: "test_space_is_gone_at_the_instant_it_expires",
    ExpiredBlocksCreation: "test_space_made_over_an_expired_one_is_empty",
    ExpiredIsInherited: "test_blobs_of_an_expired_space_cannot_be_kept",
    TtlIsForgotten: "test_commit_without_ttl_leaves_the_expiry",
    PurgeTakesTheLiving: "test_purge_frees_what_has_expired_and_nothing_else",
    PurgeIgnoresLimit: "test_purge_obeys_prefix_and_limit",
    PurgeForgetsStaged: "test_abandoned_staged_blobs_are_purged",
    StagedIsASpace: "test_staging_makes_no_space",
    ReadsInItsOwnOrder: "test_blobs_are_visited_in_the_order_asked",
    NamesOneMissing: "test_every_missing_blob_is_named",
    KeepsCallersBuffer: "test_callers_buffers_are_not_kept",
    LeavesDamaged: "test_present_blob_is_replaced",
    LogSlicesFromTheEnd: "test_log_can_be_read_in_slices",
    PrefixSpills: "test_one_name_starting_with_another_is_another_space",
    ClosedStaysOpen: "test_closed_engine_says_so",
    HealthRaises: "test_health_of_a_closed_engine_does_not_raise",
    GlanceIsStale: "test_glance_is_never_out_of_date",
    GlanceSeesTheExpired: "test_glance_sees_nothing_that_expired",
    GuessIsAMixture: "test_guess_was_the_head_once",
    BodyIsText: "test_commit_then_load_gives_revision_and_body",
    ClockMustNotGoBack: "test_clock_set_back_loses_nothing",
}


def contract_of(engine_class: type[MemoryEngine]) -> type[EngineContract]:
    class Case(EngineContract):
        def make_engine(self, clock: Callable[[], float]) -> Engine:
            return engine_class(clock=clock)

    return Case


@pytest.mark.parametrize("broken", CAUGHT_BY, ids=lambda broken: broken.__name__)
def test_broken_engine_is_caught_by_name(broken: type[MemoryEngine]) -> None:
    failures = contract_failures(contract_of(broken))
    assert CAUGHT_BY[broken] in failures
    # It is broken in the one way it says, and not by a slip of its own, which every test would stumble over.
    accidents = {name: e for name, e in failures.items() if not isinstance(e, ON_PURPOSE)}
    assert accidents == {}
    assert len(failures) <= len(TESTS) // 8, sorted(failures)


ON_PURPOSE = (AssertionError, pytest.fail.Exception, FramekeepError)
TESTS = [name for name in dir(EngineContract) if name.startswith("test_")]
NEED_HOOKS = {
    "test_all_is_there_after_opening_again",
    "test_deletion_is_there_after_opening_again",
    "test_dropped_blob_is_missing",
    "test_flipped_blob_harms_no_other",
}
"""What cannot be tested of an engine that keeps nothing, and into which nobody can reach."""


def test_the_list_has_every_broken_engine_and_tests_that_exist() -> None:
    here = {kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, MemoryEngine)}
    assert here - {MemoryEngine} == set(CAUGHT_BY)
    assert set(CAUGHT_BY.values()) <= set(TESTS)
    assert all(set(vars(kind)) & set(dir(Engine)) for kind in CAUGHT_BY), "each changes a method"


def test_good_engine_fails_nothing() -> None:
    assert contract_failures(contract_of(MemoryEngine)) == {}


def test_nothing_else_is_skipped(tmp_path: Path) -> None:
    """A contract that skips what it should test would find every engine good."""
    skipped = set()
    for name in TESTS:
        case = contract_of(MemoryEngine)()
        case.start(tmp_path)
        try:
            getattr(case, name)()
        except pytest.skip.Exception:
            skipped.add(name)
        finally:
            case.stop()
    assert skipped == NEED_HOOKS


def test_an_engine_that_cannot_be_made_is_not_good() -> None:
    class Broken(MemoryEngine):
        def __init__(self, *, clock: Callable[[], float]) -> None:
            raise StorageUnavailableError("never there")

    assert set(contract_failures(contract_of(Broken))) == set(TESTS)


@pytest.mark.parametrize(
    "broken",
    [
        RetryAppendsAgain,
        KeepFreesNothing,
        DeleteLeavesLog,
        ExpiredIsInherited,
        TouchOnlyExtends,
        PrefixSpills,
    ],
)
def test_broken_engine_is_caught_by_the_machine(broken: type[MemoryEngine]) -> None:
    machine = engine_machine(lambda directory, clock: broken(clock=clock))
    many = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=[p for p in settings().phases if p.name == "generate"],
        print_blob=False,
    )
    with pytest.raises(AssertionError, match="the engine gives"):
        run_state_machine_as_test(machine, settings=many)

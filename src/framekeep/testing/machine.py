"""A Hypothesis state machine that drives any engine in step with the memory engine.

    TestMachine = engine_machine(lambda directory, clock: MyEngine(directory, clock=clock)).TestCase

Both engines get the same calls at the same time of one clock; after each call everything that can be
seen of them is compared. An engine may have a clock of its own, which nobody can set. Then ``advance`` lets
time pass for it, and one unit of time is made so long that what passes by itself meanwhile does not count.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from framekeep.engines.base import Change, Engine, Head, blobs
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import BlobMissing, Conflict
from framekeep.names import Digest, Revision, Space, digest_of
from framekeep.testing.clock import ManualClock

MakeEngine = Callable[[Path, Callable[[], float]], Engine]

SPACES = [Space("session:a"), Space("session:aa"), Space("session:b"), Space("temp:a")]
CONTENTS = [b"", b"one", b"two" * 700, b"three" * 3000, b"four", b"five" * 30_000]
BLOBS: dict[Digest, bytes] = {digest_of(content): content for content in CONTENTS}
DIGESTS = list(BLOBS)
PREFIXES = ["", "session:", "session:a", "temp:", "lock:"]
TTLS = [1.0, 10.0, 11.0, 100.0, 5000.0]

_digests = st.lists(st.sampled_from(DIGESTS), max_size=4).map(frozenset)
_space = st.sampled_from(SPACES)


def engine_machine(
    make_engine: MakeEngine,
    *,
    reopen: Callable[[Engine, Path, Callable[[], float]], Engine] | None = None,
    advance: Callable[[Engine, float], None] | None = None,
    unit: float = 1.0,
) -> type[RuleBasedStateMachine]:
    """Return a state machine class for the engines that ``make_engine`` makes.

    Args:
        make_engine: given an empty directory and a clock, returns an empty engine.
        reopen: given an engine, its directory and clock, closes it and returns another on the same bytes;
            None when nothing outlives the engine.
        advance: for an engine with a clock of its own: lets so many seconds pass for it, never negative ones.
            It may free what has expired without being asked.
        unit: seconds of one unit of time; with ``advance``, far more than an example takes.
    """
    tolerance = 0.0005 if advance is None else unit / 4

    class EngineMachine(RuleBasedStateMachine):
        """Call both, compare both."""

        def __init__(self) -> None:
            super().__init__()
            self.clock = ManualClock()
            self.directory = Path(tempfile.mkdtemp())
            self.engine = make_engine(self.directory, self.clock)
            self.model = MemoryEngine(clock=self.clock)
            self.made = 0
            self.changes: dict[Space, Change] = {}

        def teardown(self) -> None:
            self.engine.close()
            shutil.rmtree(self.directory)

        def both(self, call: Callable[[Engine], Any]) -> Any:
            """Return what ``call`` gives on both, the expected errors included."""
            expected, got = _outcome(call, self.model), _outcome(call, self.engine)
            assert got == expected, f"the engine gives {got}, the model {expected}"
            return expected

        def expected(self, space: Space, which: str) -> Revision | None:
            """Return the revision a writer expects who is up to date, or who is not."""
            head = self.model.load(space)
            if which == "current":
                return None if head is None else head.revision
            return None if which == "absent" else Revision(which.encode().ljust(16, b"\0"))

        @rule(
            space=_space,
            which=st.sampled_from(["current"] * 6 + ["absent", "other"]),
            given=_digests,
            kept=st.none() | _digests,
            log=st.lists(st.binary(max_size=20), max_size=3),
            ttl=st.none() | st.sampled_from(TTLS),
            body=st.binary(max_size=40),
        )
        def commit(
            self,
            space: Space,
            which: str,
            given: frozenset[Digest],
            kept: frozenset[Digest] | None,
            log: list[bytes],
            ttl: float | None,
            body: bytes,
        ) -> None:
            self.made += 1
            change = Change(
                self.expected(space, which),
                Revision(self.made.to_bytes(16, "big")),
                body,
                {digest: BLOBS[digest] for digest in given},
                None if kept is None else kept | given,
                log,
                None if ttl is None else ttl * unit,
            )
            if self.both(lambda engine: engine.commit(space, change)) == ("returned", None):
                self.changes[space] = change

        @rule(space=_space, given=_digests)
        def commit_keeping_all(self, space: Space, given: frozenset[Digest]) -> None:
            held = frozenset(d for d in DIGESTS if _holds(self.model, space, d))
            self.commit(space, "current", given, held, [], None, b"kept")

        @rule(space=_space)
        def commit_again(self, space: Space) -> None:
            if space in self.changes:
                self.both(lambda engine: engine.commit(space, self.changes[space]))

        @rule(space=_space, which=st.sampled_from(["current", "current", "absent", "other"]))
        def delete(self, space: Space, which: str) -> None:
            self.made += 1
            change = Change(self.expected(space, which), Revision(self.made.to_bytes(16, "big")), None)
            self.both(lambda engine: engine.commit(space, change))

        @rule(space=_space, given=_digests)
        def stage(self, space: Space, given: frozenset[Digest]) -> None:
            self.both(lambda engine: engine.stage(space, {digest: BLOBS[digest] for digest in given}))

        @rule(space=_space, ttl=st.sampled_from(TTLS))
        def touch(self, space: Space, ttl: float) -> None:
            self.both(lambda engine: engine.touch(space, ttl * unit))

        @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 9.5, 10.0, 99.0, 4000.0, 5000.0, -7.0]))
        def let_time_pass(self, seconds: float) -> None:
            if advance is None:
                self.clock.advance(seconds)
            elif seconds > 0:
                self.clock.advance(seconds * unit)
                advance(self.engine, seconds * unit)
                _free_staged(self.model)

        @rule()
        def let_the_next_one_expire(self) -> None:
            left = [info.ttl for info in self.model.spaces() if info.ttl is not None]
            if left:
                self.let_time_pass(min(left) / unit)

        @rule(prefix=st.sampled_from(PREFIXES))
        def purge(self, prefix: str) -> None:
            expected, freed = self.model.purge(prefix), self.engine.purge(prefix)
            if advance is None:
                assert freed == expected, f"the engine gives {freed}, the model {expected}"
            else:
                assert freed <= expected, f"the engine gives {freed}, the model {expected}"

        @rule(space=_space, start=st.integers(0, 8), stop=st.none() | st.integers(0, 8))
        def read_log(self, space: Space, start: int, stop: int | None) -> None:
            self.both(lambda engine: engine.log(space, start, stop))

        @precondition(lambda self: reopen is not None)
        @rule()
        def open_again(self) -> None:
            assert reopen is not None
            self.engine = reopen(self.engine, self.directory, self.clock)

        @invariant()
        def both_look_alike(self) -> None:
            for space in SPACES:
                seen = self.both(_calling(_head, space, tolerance))
                glanced = _seen(self.engine.glance(space), tolerance)
                assert glanced in (None, seen[1]), f"a glance gives {glanced}, the model {seen[1]}"
                self.both(_calling(_log, space))
                if seen == ("returned", None):
                    continue  # what is left of a space that is gone is nobody's business
                for digest in DIGESTS:
                    self.both(_calling(_blob, space, digest))
            for prefix in PREFIXES:
                self.both(_calling(_listed, prefix, tolerance))

    return EngineMachine


def _outcome(call: Callable[[Engine], Any], engine: Engine) -> tuple[str, Any]:
    try:
        return "returned", call(engine)
    except Conflict:
        return "Conflict", None
    except BlobMissing as e:
        return "BlobMissing", frozenset(e.digests)


def _calling(call: Callable[..., Any], *arguments: Any) -> Callable[[Engine], Any]:
    return lambda engine: call(engine, *arguments)


def _holds(engine: Engine, space: Space, digest: Digest) -> bool:
    return _outcome(_calling(_blob, space, digest), engine)[0] == "returned"


def _blob(engine: Engine, space: Space, digest: Digest) -> list[bytes]:
    return blobs(engine, space, [digest])


def _log(engine: Engine, space: Space) -> list[bytes]:
    return engine.log(space)


def _head(engine: Engine, space: Space, tolerance: float) -> Any:
    return _seen(engine.load(space), tolerance)


def _seen(head: Head | None, tolerance: float) -> Any:
    return None if head is None else (head.revision, head.body, _Left(head.ttl, tolerance))


def _listed(engine: Engine, prefix: str, tolerance: float) -> Any:
    return engine.count(prefix), {info.space: _Left(info.ttl, tolerance) for info in engine.spaces(prefix)}


@dataclass(frozen=True, eq=False)
class _Left:
    """Seconds to live, equal to others that are near enough; None is forever."""

    seconds: float | None
    tolerance: float

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Left):
            return NotImplemented
        if self.seconds is None or other.seconds is None:
            return self.seconds is other.seconds
        return abs(self.seconds - other.seconds) <= self.tolerance

    __hash__ = None  # type: ignore[assignment]


def _free_staged(model: MemoryEngine) -> None:
    """Free what was staged and abandoned, as an engine does that needs not be asked to."""
    for name, held in list(model._spaces().items()):
        if held.revision is None and held.expiry is not None and held.expiry <= model._clock():
            del model._spaces()[name]

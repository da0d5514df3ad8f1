"""An engine behind circuit breakers: when it does not answer, callers are told so at once.

Every verb of an engine may be repeated (I1), so one that was not answered is tried again, briefly. Once a
breaker is open nobody waits for a timeout: StorageUnavailableError comes within microseconds, and says when
to come back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from framekeep.engines.base import WHOLE, Buffer, Change, Engine, Head, Health, SpaceInfo, Visit
from framekeep.engines.breaker import Breaker
from framekeep.errors import (
    BreakerOpenError,
    FramekeepError,
    StorageOverloadedError,
    StorageUnavailableError,
    TooFewReplicasError,
)
from framekeep.names import Digest, Revision, Space

T = TypeVar("T")


class _Passes(list[tuple[Breaker, int]]):
    """The tickets of one call, of the largest part first."""

    def succeeded(self) -> None:
        for breaker, ticket in self:
            breaker.succeeded(ticket)

    def abandoned(self) -> None:
        for breaker, ticket in self:
            breaker.abandoned(ticket)

    def failed(self, waited: float, *, partial: bool) -> None:
        """Note that a part was not answered: the largest said nothing, or it does not serve the smallest."""
        at = len(self) - 1 if partial else 0
        for number, (breaker, ticket) in enumerate(self):
            if number < at:
                breaker.succeeded(ticket)
            elif number > at:
                breaker.abandoned(ticket)
            else:
                breaker.failed(ticket, waited)


class GuardedEngine:
    """Call an engine while it answers. Thread-safe.

    Args:
        inner: the engine.
        make_breaker: makes a breaker, told of what part it is.
        parts_of: names the parts of the engine that a space is in, the largest first: they fail apart. By
            default it has none.
        parts: names all that there are now, or None; what is no part any more is forgotten.
        retries: how often a call that was not answered is repeated.
        backoff: seconds before the first repetition; doubles; half to all of it, at random.
        sleep: waits that many seconds.

    Attributes:
        inner: the engine.
    """

    def __init__(
        self,
        inner: Engine,
        make_breaker: Callable[[str], Breaker] = lambda part: Breaker(),
        *,
        parts_of: Callable[[Space], Sequence[str]] = lambda space: (),
        parts: Callable[[], Collection[str] | None] = lambda: None,
        retries: int = 1,
        backoff: float = 0.05,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.inner = inner
        self._make_breaker = make_breaker
        self._parts_of = parts_of
        self._parts = parts
        self._retries = retries
        self._backoff = backoff
        self._sleep = sleep
        self._jitter = jitter
        self._breakers: dict[str, Breaker] = {}

    # --- verbs ----------------------------------------------------------------------------------

    def load(self, space: Space) -> Head | None:
        """Return the head; None when the space is absent or expired."""
        return self._call(self._parts_of(space), lambda: self.inner.load(space))

    def glance(self, space: Space) -> Head | None:
        """Return the head, if that means waiting for nobody."""
        return self.inner.glance(space)

    def guess(self, space: Space) -> Head | None:
        """Return the inner engine's guess."""
        return self.inner.guess(space)

    def commit(self, space: Space, change: Change) -> None:
        """Make ``change`` as one step."""
        self._call(self._parts_of(space), lambda: self.inner.commit(space, change))

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        """Store blobs ahead of a commit."""
        self._call(self._parts_of(space), lambda: self.inner.stage(space, blobs))

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        """Let the space expire ``ttl`` seconds from now; None when it is absent or expired."""
        return self._call(self._parts_of(space), lambda: self.inner.touch(space, ttl, at))

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        """Call ``visit(i, buffer)`` once for each ``digests[i]``, in order."""
        start = done = 0

        def once(i: int, buffer: memoryview) -> None:
            nonlocal done
            visit(start + i, buffer)
            done = start + i + 1

        def rest() -> None:
            nonlocal start
            start = done
            self.inner.read(space, digests[start:], once)

        self._call(self._parts_of(space), rest)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        """Return log entries ``[start:stop]``, oldest first; empty when absent."""
        return self._call(self._parts_of(space), lambda: self.inner.log(space, start, stop))

    def spaces(self, prefix: str = "") -> Iterator[SpaceInfo]:
        """Yield the live spaces whose name starts with ``prefix``."""
        found = self.inner.spaces(prefix)
        while (info := self._call((), lambda: next(found, None), retries=0)) is not None:
            yield info

    def count(self, prefix: str = "") -> int:
        """Return how many live spaces start with ``prefix``."""
        return self._call((), lambda: self.inner.count(prefix))

    def purge(self, prefix: str = "", limit: int = 1000) -> int:
        """Free at most ``limit`` expired spaces; return how many."""
        return self._call((), lambda: self.inner.purge(prefix, limit), retries=0)

    def discard(self, space: Space) -> bool:
        """Delete a space whatever its head holds; False when it is not there."""
        return self._call(self._parts_of(space), lambda: self.inner.discard(space), retries=0)

    # --- life -----------------------------------------------------------------------------------

    def health(self) -> Health:
        """Probe the inner engine, unless its breaker is open; ``details["breaker"]`` says what that is."""
        start = time.perf_counter()
        breaker = self.breaker()
        ticket = breaker.admit()
        if ticket is None:
            refused = self._refused(breaker)
            passed = (time.perf_counter() - start) * 1000
            return Health("redis", False, passed, str(refused), {"breaker": self.states()})
        try:
            found = self.inner.health()
        except BaseException:
            breaker.abandoned(ticket)
            raise
        if found.busy:
            breaker.abandoned(ticket)  # says something of this process
        elif found.reachable:
            breaker.succeeded(ticket)
        else:
            breaker.failed(ticket, time.perf_counter() - start)
        return replace(found, details={**found.details, "breaker": self.states()})

    def close(self) -> None:
        """Close the inner engine. Idempotent."""
        self.inner.close()

    def breaker(self, part: str = WHOLE) -> Breaker:
        """Return the breaker of a part."""
        found = self._breakers.get(part)
        return self._breakers.setdefault(part, self._make_breaker(part)) if found is None else found

    def states(self) -> dict[str, Any]:
        """Return ``state`` (the worst of all), which ``parts`` are not closed, and whether all answer."""
        parts, breakers = self._parts(), self._breakers.copy()  # other threads add to it
        for part in () if parts is None else breakers.keys() - {WHOLE, *parts}:
            self._breakers.pop(part, None)
            del breakers[part]
        states = {part: breaker.state for part, breaker in sorted(breakers.items())}
        worst = next((state for state in ("open", "half-open") if state in states.values()), "closed")
        return {
            "state": worst,
            "parts": {part: state for part, state in states.items() if state != "closed"},
            "answers": all(breaker.answers for breaker in breakers.values()),
        }

    def _call(self, parts: Sequence[str], verb: Callable[[], T], *, retries: int | None = None) -> T:
        breakers = [self.breaker(part) for part in parts or (WHOLE,)]
        left = self._retries if retries is None else retries
        wait = self._backoff
        unanswered: StorageUnavailableError | None = None
        while True:
            passes = self._admitted(breakers, unanswered)
            start = time.perf_counter()
            try:
                result = verb()
            except StorageOverloadedError:
                passes.abandoned()  # says something of this process
                raise
            except TooFewReplicasError:
                passes.succeeded()
                raise
            except StorageUnavailableError as error:
                # A verb may ask many questions, of which others were answered, and visit what it got.
                waited = time.perf_counter() - start if error.waited is None else error.waited
                passes.failed(waited, partial=error.partial)
                if not left:
                    raise
                unanswered = error
            except FramekeepError:
                passes.succeeded()
                raise
            except BaseException:
                passes.abandoned()
                raise
            else:
                passes.succeeded()
                return result
            left -= 1
            self._sleep(wait * (0.5 + 0.5 * self._jitter()))
            wait *= 2

    def _admitted(self, breakers: Sequence[Breaker], unanswered: StorageUnavailableError | None) -> _Passes:
        passes = _Passes()
        # First, so that none is half open, and says so, for a call that another one refuses.
        shut = next((breaker for breaker in breakers if breaker.retry_after()), None)
        for breaker in breakers:
            ticket = None if shut else breaker.admit()
            if ticket is None:
                passes.abandoned()
                # Once asked, nobody may say that nothing was sent.
                raise unanswered or self._refused(shut or breaker)
            passes.append((breaker, ticket))
        return passes

    def _refused(self, breaker: Breaker) -> BreakerOpenError:
        seconds = breaker.retry_after()
        return BreakerOpenError(
            f"The storage has not answered several times and is left alone for {seconds:.1f} s more. "
            "Nothing was stored; try again then.",
            retry_after=seconds,
        )

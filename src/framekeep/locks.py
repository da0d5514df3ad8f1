"""Locks between threads, processes and machines: a lease in a space of its own, with a fencing token.

Owns how a lease is taken, renewed and given back by compare-and-set. The engine's clock decides when a lease
has run out: the space ``lock:<name>`` outlives its lease by GRACE, so "live" is a remaining time above GRACE,
and the counter of tokens survives between leases.

A lease can run out while its holder is slow. Whoever writes to something outside Framekeep under a lock hands
over the token, so that what comes late can be refused there.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from threading import get_ident
from types import TracebackType

from framekeep.engines.base import Change, Engine, Head
from framekeep.errors import (
    Conflict,
    FramekeepError,
    InvalidInputError,
    LeaseLostError,
    LockTimeoutError,
    NewerFormatError,
    SessionDamagedError,
)
from framekeep.names import Revision, Space, checked_id, new_id, new_revision, space

GRACE = 86_400.0
"""Seconds that a lock's space outlives its lease."""

FORMAT = 1

_MAX_DELAY = 10.0
_DOUBLED = 64  # times; more is not a number at some point


@dataclass(frozen=True, slots=True)
class _Body:
    fence: int
    owner: str | None

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, "fence": self.fence, "owner": self.owner}).encode()

    @classmethod
    def decode(cls, head: Head, name: str) -> _Body:
        try:
            record = json.loads(head.body)
            if record["format"] > FORMAT:
                raise NewerFormatError(f"The lock {name!r} is of a newer Framekeep. Install that one.")
            return cls(int(record["fence"]), record["owner"])
        except (ValueError, KeyError, TypeError) as error:
            raise SessionDamagedError(
                f"The lock {name!r} is damaged.", session_id=name, where="lock"
            ) from error


class Locks:
    """Makes locks on one engine. Thread-safe.

    Args:
        engine: where the leases are.
        ttl: seconds that a lease lasts.
        attempts: how often a lock that is held is tried again.
        delay: seconds before the first retry; doubles each time; half to all of it, at random.
        clock: seconds since 1970, in milliseconds the least that a token may be.
        sleep: waits that many seconds.
        jitter: a random number from 0 to 1.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        ttl: float = 10.0,
        attempts: int = 3,
        delay: float = 0.1,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
        revisions: Callable[[], Revision] = new_revision,
    ) -> None:
        self.engine = engine
        self.ttl = ttl
        self.attempts = attempts
        self.delay = delay
        self.clock = clock
        self.sleep = sleep
        self.jitter = jitter
        self.revisions = revisions

    def lock(self, name: str, *, ttl: float | None = None, attempts: int | None = None) -> Lock:
        """Return the lock of that name: a context manager that gives its lease.

        Args:
            name: an id, for example a session's.
            ttl: seconds that a lease lasts, if not as configured.
            attempts: retries, if not as configured; 0 tries once.

        Raises:
            InvalidIdError, InvalidInputError: an argument is wrong.
        """
        checked_id(name, what="lock name")
        seconds, retries = self.ttl if ttl is None else ttl, self.attempts if attempts is None else attempts
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < seconds <= GRACE:
            raise InvalidInputError(
                f"A lease lasts more than 0 and at most {GRACE:g} seconds, not {seconds!r}."
            )
        if isinstance(retries, bool) or not isinstance(retries, Integral) or retries < 0:
            raise InvalidInputError(f"The attempts of a lock are an integer from 0 up, not {retries!r}.")
        return Lock(self, name, float(seconds), int(retries))


class Lock:
    """One lock. ``with lock as lease`` takes the lease and gives it back; ``acquire`` only takes it."""

    def __init__(self, locks: Locks, name: str, ttl: float, attempts: int) -> None:
        self.name = name
        self._locks = locks
        self._ttl = ttl
        self._attempts = attempts
        self._held: dict[int, list[Lease]] = {}  # by thread: one lock may serve several

    def acquire(self) -> Lease:
        """Take the lease.

        Raises:
            LockTimeoutError: it was held by somebody else at every attempt.
        """
        locks, where = self._locks, space("lock", self.name)
        owner = new_id()
        for attempt in range(self._attempts + 1):
            if attempt:
                backoff = min(_MAX_DELAY, locks.delay * 2.0 ** min(attempt - 1, _DOUBLED))
                locks.sleep(backoff * (0.5 + 0.5 * locks.jitter()))
            token = self._try(where, owner)
            if token is not None:
                return Lease(locks, self.name, owner, token, self._ttl)
        raise LockTimeoutError(
            f"The lock {self.name!r} is held by somebody else and was not free in {self._attempts + 1} "
            "attempt(s). Try again later."
        )

    def _try(self, where: Space, owner: str) -> int | None:
        """Return the token of the lease taken, or None if somebody else has it."""
        locks = self._locks
        head = locks.engine.load(where)
        # Not a count from 1: neither may the tokens of a lock come again that is forgotten after GRACE, nor
        # that of a lease that a failover lost while its holder goes on.
        fence = int(locks.clock() * 1000)
        if head is not None:
            body = _Body.decode(head, self.name)
            if body.owner is not None and _live(head):
                return None
            fence = max(fence, body.fence + 1)
        change = Change(
            expected=head.revision if head else None,
            revision=locks.revisions(),
            body=_Body(fence, owner).encode(),
            ttl=GRACE + self._ttl,
        )
        try:
            locks.engine.commit(where, change)
        except Conflict:
            return None
        return fence

    def __enter__(self) -> Lease:
        lease = self.acquire()
        self._held.setdefault(get_ident(), []).append(lease)
        return lease

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mine = self._held[get_ident()]
        lease = mine.pop()
        if not mine:
            del self._held[get_ident()]
        try:
            lease.release()
        except FramekeepError:
            if kind is None:  # else the block's own error says more; a lease that is not given back runs out
                raise


@dataclass(frozen=True, slots=True)
class Lease:
    """A lock that is held.

    Attributes:
        name: the lock's.
        token: grows with every lease of the lock: what is written with a smaller one came too late.
        ttl: seconds that the lease lasts from its start or last renewal.
    """

    _locks: Locks = field(repr=False)
    name: str
    _owner: str = field(repr=False)
    token: int
    ttl: float

    def renew(self) -> None:
        """Let the lease last its ``ttl`` from now.

        Raises:
            LeaseLostError: it ran out and somebody else took the lock.
        """
        self._replace(_Body(self.token, self._owner), self.ttl)

    def release(self) -> None:
        """Give the lock back.

        Raises:
            LeaseLostError: it ran out before and somebody else took the lock.
        """
        self._replace(_Body(self.token, None), 0.0)

    def _replace(self, body: _Body, ttl: float) -> None:
        locks, where = self._locks, space("lock", self.name)
        while True:
            head = locks.engine.load(where)
            found = None if head is None else _Body.decode(head, self.name)
            if head is None or found != _Body(self.token, self._owner):
                if found is None or found == _Body(self.token, None):
                    raise LeaseLostError(
                        f"The lease of the lock {self.name!r} was given back. Take it again."
                    )
                raise self._lost()
            change = Change(
                expected=head.revision, revision=locks.revisions(), body=body.encode(), ttl=GRACE + ttl
            )
            try:
                locks.engine.commit(where, change)
            except Conflict:
                continue  # lost, or renewed by another thread: the head tells
            return

    def _lost(self) -> LeaseLostError:
        return LeaseLostError(
            f"The lease of the lock {self.name!r} ran out and somebody else took it. What was done since may "
            "have met their changes: check it, and take a longer lease or renew it."
        )


def _live(head: Head) -> bool:
    return head.ttl is None or head.ttl > GRACE

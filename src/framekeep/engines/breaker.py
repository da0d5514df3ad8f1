"""A circuit breaker: whoever does not answer is left alone for a while, and nobody waits for it meanwhile.

Closed, calls pass. After so many failures within a window it opens, and calls are refused at once. After a
cooldown, with jitter so that many processes do not come back together, it is half open: one call may try, and
what becomes of that one closes it or opens it again.
"""

from __future__ import annotations

import math
import os
import random
import time
import weakref
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final, Literal

State = Literal["closed", "open", "half-open"]

_LATEST: Final = 2.0
"""A cooldown lasts up to this many times its length."""

_breakers: weakref.WeakSet[Breaker] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for breaker in list(_breakers):
        breaker.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Breaker:
    """Counts failures and says who may call. Thread-safe.

    A call that is admitted gets a ticket, and hands it back with what became of it: what calls from before
    the breaker opened have to say comes too late to close it.

    Args:
        failures: so many within the window open it; so does a window in which calls only waited.
        window: seconds.
        cooldown: seconds until a call may try again; up to twice as long, at random.
        clock: seconds from any beginning, never backwards.
        jitter: a random number from 0 to 1.
        on_change: told the new state, outside of all locks.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        window: float = 10.0,
        cooldown: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        on_change: Callable[[State], None] | None = None,
    ) -> None:
        self._failures = failures
        self._window = window
        self._cooldown = cooldown
        self._clock = clock
        self._jitter = jitter
        self._on_change = on_change
        self._lock = Lock()
        self._state: State = "closed"
        self._failed: deque[float] = deque(maxlen=failures)
        self._again = 0.0
        self._tickets = 0
        self._trial: int | None = None
        self._silent: float | None = None  # since when nothing was answered
        self._waited = 0.0  # for how long in all, since the last answer
        self._heard = -math.inf  # when a call ended last, with an answer or without
        _breakers.add(self)

    def forked(self) -> None:
        """Go on in a child: whoever was trying is not there."""
        self._lock = Lock()
        if self._trial is not None:
            self._trial, self._state = None, "open"

    @property
    def state(self) -> State:
        """The state as it is now: an open one whose cooldown is over is half open.

        One that nobody has tried for a window since then tells of nothing any more, and counts as closed.
        """
        with self._lock:
            return self._now()

    @property
    def answers(self) -> bool:
        """Whether it is closed and the latest call was answered (or nobody has called for a window)."""
        with self._lock:
            silent = self._silent is not None and self._clock() - self._silent <= self._window
            return self._now() == "closed" and not silent

    def _now(self) -> State:
        over = self._clock() - self._again
        if self._state != "open" or over < 0:
            return self._state
        return "half-open" if over <= self._window else "closed"

    def admit(self) -> int | None:
        """Return the ticket of a call, or None: it is refused."""
        with self._lock:
            if self._state == "closed":
                return 0
            if self._trial is not None or self._clock() < self._again:
                return None
            self._tickets += 1
            ticket = self._trial = self._tickets
            changed = self._to("half-open")
        self._tell(changed)
        return ticket

    def retry_after(self) -> float:
        """Return the seconds until the next call may be admitted; 0 if one may be now."""
        with self._lock:
            if self._state == "closed":
                return 0.0
            left = max(0.0, self._again - self._clock())
            return left if left or self._trial is None else self._cooldown

    def succeeded(self, ticket: int) -> None:
        """Note that a call was answered, if only by a refusal."""
        with self._lock:
            if self._state == "closed" or ticket == self._trial:
                self._silent, self._waited, self._heard = None, 0.0, self._clock()
            if ticket != self._trial:
                return
            self._trial = None
            self._failed.clear()
            changed = self._to("closed")
        self._tell(changed)

    def failed(self, ticket: int, waited: float = 0.0) -> None:
        """Note that a call was not answered, for so many seconds.

        Who waits long cannot fail often: it opens also when calls waited for a whole window in all, and
        nothing was answered.
        """
        with self._lock:
            self._silent = now = self._clock()
            if now - waited - self._heard > self._window:
                self._waited = 0.0
            self._waited += now - max(now - waited, self._heard)  # only once where calls waited side by side
            self._heard = now
            changed: State | None = None
            if ticket == self._trial:
                changed = self._open(now)
            elif self._state == "closed":
                self._failed.append(now)
                often = len(self._failed) == self._failures and now - self._failed[0] <= self._window
                if often or self._waited >= self._window:
                    changed = self._open(now)
        self._tell(changed)

    def abandoned(self, ticket: int) -> None:
        """Note that a call ended without saying anything of the other side: the next one may try at once."""
        with self._lock:
            if ticket != self._trial:
                return
            self._trial = None
            changed = self._to("open")
        self._tell(changed)

    def _open(self, now: float) -> State | None:
        self._trial, self._waited = None, 0.0
        self._failed.clear()
        self._again = now + self._cooldown * (1 + (_LATEST - 1) * self._jitter())
        return self._to("open")

    def _to(self, state: State) -> State | None:
        changed = state != self._state
        self._state = state
        return state if changed else None

    def _tell(self, changed: State | None) -> None:
        if changed is not None and self._on_change is not None:
            self._on_change(changed)

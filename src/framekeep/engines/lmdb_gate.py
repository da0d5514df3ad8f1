"""A gate around an LMDB environment: many operations inside, or one change of the environment itself.

Growing the map, reopening and closing pull the memory from under every open transaction of the process,
so they wait until nobody is inside and keep everybody out meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_INSIDE = "The engine was called from inside its own call: a visit or signal handler must not do that."


class Gate:
    """Let threads in, or shut them out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # a signal handler may run while this thread holds its lock
        self._inside: set[int] = set()
        self._shut = False

    def enter(self) -> None:
        """Go in; wait while the gate is shut.

        Raises:
            RuntimeError: when this thread is inside already (an engine called from its own ``visit``, or
                from a signal handler).
        """
        me = threading.get_ident()
        with self._changed:
            if me in self._inside:
                raise RuntimeError(_INSIDE)
            while self._shut:
                self._changed.wait()
            self._inside.add(me)

    def enter_at_once(self) -> bool:
        """Go in if the gate is open and this thread is outside; else return False."""
        me = threading.get_ident()
        with self._changed:
            if self._shut or me in self._inside:
                return False
            self._inside.add(me)
            return True

    def leave(self) -> None:
        """Go out."""
        with self._changed:
            self._inside.discard(threading.get_ident())
            if self._shut:
                self._changed.notify_all()

    def shut(self, *, timeout: float | None = None) -> bool:
        """Keep others out and wait until the gate is empty; False (and open again) after ``timeout`` seconds.

        Also False, at once, when this thread itself is inside.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if threading.get_ident() in self._inside:
                return False
            if not self._wait(lambda: not self._shut, deadline):
                return False
            self._shut = True
            if not self._wait(lambda: not self._inside, deadline):
                self._shut = False
                self._changed.notify_all()
                return False
            return True

    def open(self) -> None:
        """Let others in again."""
        with self._changed:
            self._shut = False
            self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others out for the length of a ``with`` block.

        Raises:
            RuntimeError: when this thread is inside.
        """
        if not self.shut():
            raise RuntimeError(_INSIDE)
        try:
            yield
        finally:
            self.open()

    def _wait(self, condition: object, deadline: float | None) -> bool:
        assert callable(condition)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return bool(self._changed.wait_for(condition, left))

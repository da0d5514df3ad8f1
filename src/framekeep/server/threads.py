"""Where work runs that may block, so that the event loop never does.

Quick work (heads, pages, small changes) and heavy work (whole frames, files) have threads of their own, so
that a page need not wait behind an upload.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

QUICK = 16
HEAVY = 4


class Threads:
    """Two pools of threads; close them when the service stops."""

    def __init__(self, quick: int = QUICK, heavy: int = HEAVY) -> None:
        self._quick = _Pool(quick, "quick")
        self._heavy = _Pool(heavy, "heavy")

    async def quick(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what takes milliseconds."""
        return await self._quick.run(partial(function, *args, **kwargs))

    async def heavy(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what may take seconds."""
        return await self._heavy.run(partial(function, *args, **kwargs))

    async def each(self, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the parts of an iterator that does heavy work between them."""
        end: Any = object()
        try:
            while (part := await self.heavy(next, parts, end)) is not end:
                yield part
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                await self.heavy(close)

    def close(self) -> None:
        """Do what was asked for until now, and stop."""
        self._quick.close()
        self._heavy.close()


class _Job:
    """Work for a thread, and who waits for it."""

    __slots__ = ("_future", "_loop", "_work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._future.__await__()

    def do(self) -> Callable[[], object]:
        """Do the work and return what tells of it."""
        if self._future.cancelled():
            return lambda: None  # nobody waits any more, and it was not begun
        try:
            found = partial(self._settle, self._work(), None)
        except BaseException as error:  # whatever it is, it belongs to whoever waits
            found = partial(self._settle, None, error)
        return partial(self._tell, found)

    def _tell(self, found: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(found)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self._future.done():
            return
        if error is None:
            self._future.set_result(result)
        else:
            self._future.set_exception(error)


class _Pool:
    """Threads that wait for jobs; the one that waits since last gets the next.

    So one request after the other is answered by one thread, whose stack and caches are warm: an executor's
    threads take turns, and the same page takes 50 microseconds more.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._inboxes: list[SimpleQueue[_Job | None]] = []
        self._idle: list[SimpleQueue[_Job | None]] = []
        self._waiting: deque[_Job] = deque()
        self._closed = False

    async def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        job = _Job(work)
        with self._lock:
            if self._closed:
                raise RuntimeError("The service has stopped.")
            if self._idle:
                self._idle.pop().put(job)
            elif len(self._threads) < self._most:
                self._start(job)
            else:
                self._waiting.append(job)
        result: T = await job
        return result

    def close(self) -> None:
        """Let the threads finish every job, and end."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            threads, self._threads = self._threads, []
        for inbox in idle:
            inbox.put(None)
        for thread in threads:
            thread.join()

    def _start(self, job: _Job) -> None:
        inbox: SimpleQueue[_Job | None] = SimpleQueue()
        inbox.put(job)
        thread = threading.Thread(
            target=self._work, args=(inbox,), name=f"{self._name}-{len(self._threads)}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _work(self, inbox: SimpleQueue[_Job | None]) -> None:
        while (job := inbox.get()) is not None:
            tell = job.do()
            self._get_ready(inbox)  # before telling: whoever is told may ask for more at once
            tell()
            del job, tell  # and what they hold, before waiting for more

    def _get_ready(self, inbox: SimpleQueue[_Job | None]) -> None:
        with self._lock:
            if self._waiting:
                inbox.put(self._waiting.popleft())
            elif self._closed:
                inbox.put(None)
            else:
                self._idle.append(inbox)

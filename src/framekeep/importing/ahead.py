"""Work on several things at once, whose results come in order and are not many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

_Result = TypeVar("_Result")


def in_order(
    work: Callable[..., _Result], jobs: Sequence[tuple[int, ...]], *, small: bool = False
) -> Iterator[_Result]:
    """Yield ``work(*job)`` for each of the jobs, on as many threads as Arrow uses.

    No more results than threads wait to be taken, for each of them takes memory.

    Args:
        small: there is too little to do for threads.
    """
    threads = min(pa.cpu_count(), len(jobs))
    if small or threads < 2:
        yield from (work(*job) for job in jobs)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[_Result]] = deque()
        try:
            for job in _and_then(jobs, threads):
                if job is not None:
                    ahead.append(pool.submit(work, *job))
                if job is None or len(ahead) > threads:
                    yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _and_then(jobs: Iterable[tuple[int, ...]], count: int) -> Iterator[tuple[int, ...] | None]:
    yield from jobs
    yield from [None] * count

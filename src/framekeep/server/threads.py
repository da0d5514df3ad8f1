"""Where work runs that may block, so that the event loop never does.

Quick work (heads, pages, small changes) and heavy work (whole frames, files) have threads of their own, so
that a page need not wait behind an upload.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

QUICK = 16
HEAVY = 4


class Threads:
    """Two pools of threads; close them when the service stops."""

    def __init__(self, quick: int = QUICK, heavy: int = HEAVY) -> None:
        self._quick = ThreadPoolExecutor(quick, "quick")
        self._heavy = ThreadPoolExecutor(heavy, "heavy")

    async def quick(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what takes milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(
            self._quick, partial(function, *args, **kwargs)
        )

    async def heavy(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what may take seconds."""
        return await asyncio.get_running_loop().run_in_executor(
            self._heavy, partial(function, *args, **kwargs)
        )

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
        """Wait for what is running and stop."""
        self._quick.shutdown()
        self._heavy.shutdown()

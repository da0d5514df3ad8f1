"""Rows of stored columns, for readers that change nothing of them: cut from what is kept decoded.

A chunk must be read whole to be checked (I4). So the one that holds the rows is kept, decoded, in the cache,
and the rows around cost no reading, however many the frame has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd

from framekeep.errors import DamagedError
from framekeep.frames import arrays, axes, values
from framekeep.frames.arrays import Build, Loader
from framekeep.frames.borrow import sliced
from framekeep.frames.cache import Cache
from framekeep.frames.manifest import Manifest, place
from framekeep.frames.node import Node
from framekeep.frames.reading import Reader, named

_INDEX: Final = -1
"""The place of the row index, beside those of the columns."""


class _Part(NamedTuple):
    """Rows ``[low, high)`` of a node, being read; they are kept under ``key``, if there is one."""

    where: str
    node: Node
    low: int
    high: int
    key: Hashable | None
    build: Build


class Windows:
    """Gives windows of frames; thread-safe.

    Args:
        cache: of decoded columns, and here of parts of them.
        pickler: opens signed pickles in object cells.
        run: reads what a loader has collected.
    """

    def __init__(
        self, cache: Cache, pickler: values.Pickler | None, run: Callable[[Reader, Loader], None]
    ) -> None:
        self._cache = cache
        self._pickler = pickler
        self._run = run

    def window(
        self, read: Reader, manifest: Manifest, places: Sequence[int], start: int, stop: int
    ) -> tuple[list[Any], pd.Index]:
        """Return the arrays at ``places`` and the index for rows ``[start, stop)``.

        They are shared: who gets them must change nothing of them.

        Raises:
            BlobMissing: a chunk is not in the space.
            SessionDamagedError: a chunk is not what was written; names the column.
        """
        found: dict[int, Any] = {}
        parts: dict[int, _Part] = {}
        loader = Loader(self._pickler)
        for i in (_INDEX, *places):
            if i in found or i in parts:
                continue
            node = manifest.index if i == _INDEX else manifest.arrays[i]
            low, high = _around(node, start, stop)
            array, first = self._cache.get(node.key), 0
            if array is None:
                array, first = self._cache.get((node.key, low, high)), low
            if array is None:
                loader.where = "index" if i == _INDEX else place(manifest.columns[i])
                parts[i] = _part(loader, node, low, high, axis=i == _INDEX)
            else:
                found[i] = _cut(array, start - first, stop - first)
        self._run(read, loader)
        for i, part in parts.items():
            found[i] = _cut(self._made(part, axis=i == _INDEX), start - part.low, stop - part.low)
        return [found[i] for i in places], found[_INDEX]

    def _made(self, part: _Part, *, axis: bool) -> Any:
        try:
            array = part.build()
        except DamagedError as error:
            raise named(error, part.where) from error
        node, rows = part.node, part.high - part.low
        # Whole columns are kept where all find them, but not those that other readers could change.
        shared = rows == node.rows and (axes.shareable(array) if axis else arrays.shareable(node, array))
        if shared:
            self._cache.put(node.key, array, node.nbytes)
        elif part.key is not None:
            self._cache.put(part.key, array, node.nbytes * rows // node.rows)
        return array


def _part(loader: Loader, node: Node, low: int, high: int, *, axis: bool) -> _Part:
    where = loader.where
    try:
        build = (axes.build if axis else arrays.build)(node, loader, low, high)
    except DamagedError as error:
        raise named(error, where) from error
    # Windows that cross the border of chunks are as many as there are pages: they are not kept.
    key = (node.key, low, high) if _around(node, low, low + 1) == (low, high) else None
    return _Part(where, node, low, high, key, build)


def _around(node: Node, start: int, stop: int) -> tuple[int, int]:
    """Return the rows to read for ``[start, stop)``: those of their chunk if it is one, else just them."""
    if node.kind == "sparse":
        return 0, node.rows  # its chunks do not hold rows but what is stored of them
    low = start // node.step * node.step
    high = min(low + node.step, node.rows)
    return (low, high) if stop <= high else (start, stop)


def _cut(array: Any, start: int, stop: int) -> Any:
    if start == 0 and stop == len(array):
        return array
    return array[start:stop] if isinstance(array, pd.Index) else sliced(array, start, stop)

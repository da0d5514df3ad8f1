"""Index and columns: every kind of pandas Index, taken apart and built again.

Labels are encoded by the same code as the cells of a column, so tuples, duplicates, None and mixed labels
need nothing special here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from framekeep.errors import SessionDamagedError
from framekeep.frames import arrays, layouts, values
from framekeep.frames.foreign import checked_axis
from framekeep.frames.node import Node

if TYPE_CHECKING:
    from framekeep.frames.arrays import Build, Encoding, Loader

_CLASSES: Final[dict[str, Any]] = {
    cls.__name__: cls
    for cls in (
        pd.Index,
        pd.DatetimeIndex,
        pd.TimedeltaIndex,
        pd.PeriodIndex,
        pd.IntervalIndex,
        pd.CategoricalIndex,
    )
}


def encode(index: pd.Index, to: Encoding) -> Node:
    """Return the node of an axis, its chunks written.

    Raises:
        UnsupportedTypeError: naming the axis and the type that cannot be kept exactly.
    """
    kind = type(index)
    if kind is pd.RangeIndex:
        return _encode_range(index, to)  # type: ignore[arg-type]
    if kind is pd.MultiIndex:
        return _encode_multi(index, to)
    if _CLASSES.get(kind.__name__) is not kind:
        raise to.refuse(f"{kind.__module__}.{kind.__qualname__}")
    params: dict[str, Any] = {"class": kind.__name__, "name": _name(index.name, to)}
    freq = getattr(index, "freq", None)
    if freq is not None and kind is not pd.PeriodIndex:
        params["freq"] = to.dump(freq, "frequency")
    inner = arrays.encode(index._values, to)  # type: ignore[attr-defined]
    return Node("index", len(index), params, (), (inner,), nbytes=inner.nbytes)


def _name(name: Hashable, to: Encoding) -> str | None:
    return None if name is None else to.dump(name, "name")


def _encode_range(index: pd.RangeIndex, to: Encoding) -> Node:
    params = {
        "start": index.start,
        "stop": index.stop,
        "step": index.step,
        "name": _name(index.name, to),
    }
    return Node("range", len(index), params)


def _encode_multi(index: Any, to: Encoding) -> Node:
    levels = tuple(
        encode(level.rename(None), to.at(f"{to.where}, level {i}")) for i, level in enumerate(index.levels)
    )
    codes = tuple(layouts.cut_raw(np.asarray(code), to.writer) for code in index.codes)
    params = {
        "names": [_name(name, to) for name in index.names],
        "sortorder": index.sortorder,
    }
    size = sum(level.nbytes for level in levels) + sum(code.nbytes for code in index.codes)
    return Node("multi", len(index), params, codes, levels, nbytes=size)


def build(node: Node, load: Loader, start: int = 0, stop: int | None = None) -> Build:
    """Ask ``load`` for what rows ``[start, stop)`` of an axis need; return what makes the Index from it."""
    builder = _BUILDERS.get(node.kind)
    if builder is None:
        raise SessionDamagedError(f"a stored manifest names the unknown kind of axis {node.kind!r}")
    make = builder(node, load, start, node.rows if stop is None else stop)
    if load.foreign is not None:
        return lambda: checked_axis(make())
    return make


def _build_range(node: Node, load: Loader, start: int, stop: int) -> Build:
    params = node.params
    name = _named(params["name"], load)
    index = pd.RangeIndex(params["start"], params["stop"], params["step"], name=name)
    if len(index) != node.rows:
        raise SessionDamagedError("a stored range index does not have the length of its frame")
    return lambda: index if (start, stop) == (0, node.rows) else index[start:stop]


def _named(text: str | None, load: Loader) -> Any:
    return None if text is None else load.value(text)


def _build_index(node: Node, load: Loader, start: int, stop: int) -> Build:
    inner = arrays.build(node.children[0], load, start, stop)
    cls = _CLASSES.get(node.params["class"])
    if cls is None:
        raise SessionDamagedError(f"a stored manifest names the unknown index class {node.params['class']!r}")
    name = _named(node.params["name"], load)
    freq = _named(node.params.get("freq"), load)

    def made() -> pd.Index:
        array = inner()
        index: pd.Index = cls._simple_new(array, name=name)
        if freq is not None:
            # pandas 3.0 keeps it with the array, 3.1 with the index.
            owner: Any = array if hasattr(type(array), "_freq") else index
            owner._freq = freq
        return index

    return made


def _build_multi(node: Node, load: Loader, start: int, stop: int) -> Build:
    codes = [load.track(track, start, stop) for track in node.tracks]
    levels = [build(child, load) for child in node.children]
    names = [_named(name, load) for name in node.params["names"]]
    sortorder = node.params["sortorder"]
    return lambda: pd.MultiIndex(
        levels=[level() for level in levels],
        codes=[code.array() for code in codes],
        names=names,
        sortorder=sortorder,
        verify_integrity=False,
    )


def shareable(index: pd.Index) -> bool:
    """Whether callers may share the index: not when a label can be changed in place."""
    if isinstance(index, pd.MultiIndex):
        return all(shareable(level) for level in index.levels)
    if isinstance(index, pd.CategoricalIndex):
        return shareable(index.categories)
    return index.dtype != np.dtype(object) or values.immutable(index.to_numpy())


_BUILDERS: Final[dict[str, Callable[[Node, Loader, int, int], Build]]] = {
    "range": _build_range,
    "index": _build_index,
    "multi": _build_multi,
}

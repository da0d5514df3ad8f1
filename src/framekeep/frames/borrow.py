"""Memory that many frames share and nobody can change.

A decoded column is kept once, in read-only memory, and every frame that shows it *borrows* it. Two things
follow, and this module owns both:

- pandas must copy such a column before it writes to it, for ever, even when the frame it came from is gone.
  Its copy-on-write does that for a block that somebody else refers to; so one permanent block of ours refers
  to every borrowed one.
- an array in borrowed memory is known to hold what was stored, with no look at its bytes: its memory says
  which column it is (*provenance*). Numpy cannot make the memory writable again, because its owner offers
  no writable buffer.

Only memory is shared. The objects around it (extension arrays, dtypes, indexes) can be changed in place, so
each caller gets his own (``lent``, ``lent_index``).

All use of the internals of pandas frames (blocks, references) is in this file.
"""

from __future__ import annotations

import copyreg
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import internals  # type: ignore[attr-defined]  # the stubs lack it
from pandas.core.dtypes.dtypes import BaseMaskedDtype

from framekeep.frames.node import Node

_frame_of: Any = internals.create_dataframe_from_blocks

_TEXT: Final = frozenset(("string", "large_string", "binary", "large_binary"))

_WIDE: Final = 90
"""Wider frames are handed out in one block a dtype: pandas warns of fragmentation above 100 blocks."""


class Lease:
    """The owner, as numpy sees it, of a piece of borrowed memory."""

    __slots__ = ("__array_interface__", "__weakref__", "address", "dtype", "node", "owner")

    def __init__(self, owner: np.ndarray[Any, Any]) -> None:
        self.owner = owner
        self.address: int = owner.__array_interface__["data"][0]
        self.__array_interface__ = {
            "version": 3,
            "typestr": "|u1",
            "shape": (owner.nbytes,),
            "data": (self.address, True),
        }
        self.node: Node | None = None
        self.dtype: object = None


def borrowed(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a read-only view of a contiguous 1-D array whose memory nobody else writes to from now on."""
    if owner.nbytes == 0 or owner.dtype.hasobject:
        # Objects cannot be described by an array interface of bytes; a flag is all the protection they get.
        view = owner.view()
        view.flags.writeable = False
        return view
    lent: np.ndarray[Any, Any] = np.asarray(Lease(owner)).view(owner.dtype)
    return lent


def _lease(array: np.ndarray[Any, Any]) -> Lease | None:
    base: Any = array.base
    while type(base) is np.ndarray:
        base = base.base
    return base if type(base) is Lease else None


def _memory(values: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Return the numpy arrays that hold all of an array's data; none for another kind of memory."""
    kind = type(values)
    if kind is np.ndarray:
        return (values,)
    if isinstance(values, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray | pd.arrays.PeriodArray):
        return (values._ndarray,)
    if kind is pd.Categorical:
        return (values._codes,)
    if hasattr(values, "_data") and hasattr(values, "_mask"):
        return (values._data, values._mask)
    return ()


_arrow_origin: dict[int, tuple[weakref.ref[Any], Node, object]] = {}
"""By ``id``: Arrow data has no hash. No lock: each access is one step, and a fork may come at any time."""


def mark(values: Any, node: Node) -> None:
    """Record that the borrowed memory of ``values`` holds the column ``node``."""
    data = getattr(values, "_pa_array", None)
    if data is not None:
        key = id(data)
        ref = weakref.ref(data, lambda _: _arrow_origin.pop(key, None))
        _arrow_origin[key] = (ref, node, values.dtype)
        return
    parts = _memory(values)
    lease = _lease(parts[0]) if len(parts) == 1 else None
    if lease is not None:
        lease.node, lease.dtype = node, values.dtype


def origin(values: Any) -> Node | None:
    """Return the stored column that ``values`` is, unchanged and whole; None if its memory does not tell."""
    data = getattr(values, "_pa_array", None)
    if data is not None:
        found = _arrow_origin.get(id(data))
        if found is None or found[0]() is not data or not _same_dtype(found[2], values.dtype):
            return None
        return found[1]
    parts = _memory(values)
    lease = _lease(parts[0]) if len(parts) == 1 else None
    if lease is None or lease.node is None:
        return None
    part = parts[0]
    whole = (
        part.ndim == 1
        and part.__array_interface__["data"][0] == lease.address
        and part.nbytes == lease.owner.nbytes
        and part.flags.c_contiguous
        and part.dtype == lease.owner.dtype
    )
    return lease.node if whole and _same_dtype(lease.dtype, values.dtype) else None


def same_bytes(values: Any, stored: Any) -> bool:
    """Whether an array has the type and, bit for bit, the content of a decoded column.

    False does not mean that they differ: memory that is not contiguous, and types whose memory does not say
    everything, are not compared.
    """
    if type(values) is not type(stored) or len(values) != len(stored):
        return False
    data = getattr(values, "_pa_array", None)
    if data is not None:
        other = stored._pa_array
        if not _same_dtype(values.dtype, stored.dtype) or data.type != other.type:
            return False
        # Only text: for numbers Arrow's equality is not that of bits (0.0 equals -0.0).
        return str(data.type) in _TEXT and bool(data.equals(other))
    if not _same_dtype(values.dtype, stored.dtype):
        return False
    parts, others = _memory(values), _memory(stored)
    return bool(parts) and all(map(_equal, parts, others))


def _equal(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if (
        a.dtype != b.dtype
        or a.ndim != 1
        or a.dtype.hasobject
        or not (a.flags.c_contiguous and b.flags.c_contiguous)
    ):
        return False
    # memcmp, without the interpreter lock; a comparison by numpy would hold NaN unequal.
    return bool(pa.py_buffer(a.view("u1").data).equals(pa.py_buffer(b.view("u1").data)))


def _same_dtype(a: Any, b: Any) -> bool:
    # pandas calls some extension dtypes equal that are not the same (zones, unordered categories).
    if a is b:
        return True
    if type(a) is not type(b):
        return isinstance(a, np.dtype) and isinstance(b, np.dtype) and a == b
    if isinstance(a, pd.StringDtype):
        return bool(a.storage == b.storage and (a.na_value is pd.NA) == (b.na_value is pd.NA))
    if isinstance(a, pd.CategoricalDtype):
        return a.ordered is b.ordered and _same_index(a.categories, b.categories)
    return isinstance(a, np.dtype | pd.ArrowDtype | BaseMaskedDtype) and bool(a == b)


def _same_index(a: Any, b: Any) -> bool:
    """Whether two indexes are views of one, with the same names and frequency."""
    names = zip(a.names, b.names, strict=True)
    return bool(a.is_(b)) and all(x is y for x, y in names) and _freq(a) is _freq(b)


def _freq(index: Any) -> object:
    return getattr(index, "freq", None)


# --- what a caller gets -------------------------------------------------------------------------


def lent(values: Any) -> Any:
    """Return a caller's own array over the memory of a shared one; a copy where pandas needs to write.

    Copied are Python objects, which numpy cannot protect, and nullable arrays: their cumulative functions
    write below the mask.
    """
    kind: Any = type(values)
    if kind is np.ndarray:
        return values.copy() if values.dtype.hasobject else values
    if getattr(values, "_pa_array", None) is not None:
        # Not through view(): pandas 3.0 makes new Arrow data for one, and provenance is lost.
        array = kind.__new__(kind)
        array._pa_array, array._dtype, array._cache = values._pa_array, values._dtype, {}
        return array
    if isinstance(values, pd.Categorical):
        dtype: Any = values.dtype
        dtype = type(dtype)._from_fastpath(lent_index(dtype.categories), dtype.ordered)
        return kind._simple_new(_memory(values)[0], dtype)
    if isinstance(values, pd.arrays.SparseArray):
        return kind._simple_new(values.sp_values, values.sp_index, values.dtype)
    if len(_memory(values)) == 1 or kind is pd.arrays.IntervalArray:
        return values.view()
    return values.copy()


def sliced(values: Any, start: int, stop: int) -> Any:
    """Return rows ``[start, stop)`` of a shared array over the same memory, for who changes nothing of it.

    Slicing by pandas takes ten times as long, which a page of many columns shows.
    """
    kind: Any = type(values)
    if kind is np.ndarray:
        return values[start:stop]
    if getattr(values, "_pa_array", None) is not None:
        array = kind.__new__(kind)
        array._pa_array = values._pa_array.slice(start, stop - start)
        array._dtype, array._cache = values._dtype, {}
        return array
    parts = tuple(part[start:stop] for part in _memory(values))
    if not parts:
        return values[start:stop]
    # A nullable array knows its type from its data.
    return kind._simple_new(*parts) if len(parts) == 2 else kind._simple_new(*parts, values.dtype)


def lent_index(index: pd.Index) -> pd.Index:
    """Return a caller's own view of a shared index: he may name it, or give it a frequency."""
    if isinstance(index, pd.MultiIndex | pd.RangeIndex):
        return index.view()
    array: Any = index._data  # type: ignore[attr-defined]
    if type(array) is np.ndarray:
        return index.view()
    holds_freq = hasattr(array, "_freq")  # pandas 3.0; later the index does
    if isinstance(index, pd.CategoricalIndex) or holds_freq or not _GUARDED:
        kind: Any = type(index)
        own: pd.Index = kind._simple_new(lent(array), name=index.name)
        if holds_freq:
            own._data._freq = array._freq  # type: ignore[attr-defined]
        own._id = index._id  # type: ignore[attr-defined]  # it is a view: ``is_`` says so
        return own
    return index.view()


_GUARDED: Final = hasattr(pd.api.extensions.ExtensionArray, "_readonly")
"""Whether pandas itself keeps the array of an index from being changed."""


def _pin() -> Any:
    frame = _frame_of([(np.zeros((1, 0)), np.array([0]))], index=pd.RangeIndex(0), columns=pd.RangeIndex(1))
    return frame._mgr.blocks[0]


_PIN: Final = _pin()


def _reduced(manager: Any) -> str | tuple[Any, ...]:
    if any(_lease(part) is not None for block in manager.blocks for part in _ends(block.values)):
        manager = manager.copy(deep=True)
    reduced: str | tuple[Any, ...] = manager.__reduce_ex__(2)
    return reduced


def _ends(values: Any) -> tuple[np.ndarray[Any, Any], ...]:
    if isinstance(values, pd.arrays.IntervalArray):
        return *_memory(values._left), *_memory(values._right)  # type: ignore[attr-defined]
    return _memory(values)


# From protocol 5 on (``DataFrame.to_pickle`` uses it) numpy pickles a read-only array as a read-only one, to
# which pandas could not write. So what holds borrowed columns is pickled as a copy.
for _holder in (pd.DataFrame(), pd.Series([], dtype="f8")):
    copyreg.pickle(type(_holder._mgr), _reduced)


def assemble(
    columns: Sequence[Any],
    index: pd.Index,
    labels: pd.Index,
    *,
    copy: bool = False,
    own: bool = False,
) -> pd.DataFrame:
    """Return a frame over borrowed arrays, each copied by pandas when it is first written to.

    Args:
        columns: 1-D arrays of ``len(index)``, in the order of ``labels``.
        copy: True: copy them all now, into one block a dtype.
        own: True: they are not borrowed but the frame's own.
    """
    if copy or len(columns) > _WIDE:
        gathered: pd.DataFrame = _frame_of(list(_gathered(columns)), index=index, columns=labels)
        return gathered
    frame = _of_molds(columns, index, labels)
    if frame is None:
        blocks = [(_flat(values), np.array([i], dtype=np.intp)) for i, values in enumerate(columns)]
        frame = _frame_of(blocks, index=index, columns=labels)
    if not own:
        for block in frame._mgr.blocks:
            block.refs.add_reference(_PIN)
    made: pd.DataFrame = frame
    return made


def _flat(values: Any) -> Any:
    return values.reshape(1, -1) if type(values) is np.ndarray else values


# pandas looks at each column anew, which takes longer than all else that makes a frame. What it makes of a
# kind of array is learned from it once, and then done without it.

_Manager: Final[Any] = type(pd.DataFrame()._mgr)
_PLACES: Final = [type(_PIN.mgr_locs)(slice(i, i + 1)) for i in range(_WIDE)]

_molds: dict[object, tuple[Any, bool] | None] = {}
"""By kind of array: the class of its block, and whether that holds it as a row; None: pandas changes it."""


def _of_molds(columns: Sequence[Any], index: pd.Index, labels: pd.Index) -> Any:
    """Return a frame, a block a column; None if that is for pandas to do, or to refuse."""
    rows = len(index)
    if len(columns) != len(labels):
        return None
    blocks = []
    for values, place in zip(columns, _PLACES, strict=False):
        kind = values.dtype.kind if type(values) is np.ndarray else type(values)
        if kind not in _molds:
            _molds[kind] = _learned(values)
        mold = _molds[kind]
        if mold is None or len(values) != rows:
            return None
        block, row = mold
        blocks.append(block(values.reshape(1, -1) if row else values, placement=place, ndim=2))
    manager = _Manager(tuple(blocks), [labels, index], verify_integrity=False)
    return pd.DataFrame._from_mgr(manager, manager.axes)  # type: ignore[attr-defined]


def _learned(values: Any) -> tuple[Any, bool] | None:
    made = _frame_of(
        [(_flat(values), np.array([0]))], index=pd.RangeIndex(len(values)), columns=pd.RangeIndex(1)
    )
    [block] = made._mgr.blocks
    if type(block.values) is not type(values) or block.values.dtype != values.dtype:
        return None
    return type(block), block.values.ndim == 2


def _gathered(columns: Sequence[Any]) -> Iterator[tuple[Any, np.ndarray[Any, Any]]]:
    """Yield blocks of owned memory, one for each numpy dtype, and a copy of every other array."""
    by_dtype: dict[np.dtype[Any], list[int]] = {}
    for i, values in enumerate(columns):
        if type(values) is np.ndarray:
            by_dtype.setdefault(values.dtype, []).append(i)
        else:
            yield values.copy(), np.array([i], dtype=np.intp)
    for dtype, places in by_dtype.items():
        block = np.empty((len(places), len(columns[places[0]])), dtype=dtype)
        for row, i in enumerate(places):
            block[row] = columns[i]
        yield block, np.array(places, dtype=np.intp)


def column_arrays(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield each column's array (numpy or extension), not copied."""
    manager = frame._mgr
    blocks, block_of, place_of = manager.blocks, manager.blknos, manager.blklocs
    for i in range(len(block_of)):
        yield blocks[block_of[i]].iget(place_of[i])


def arrow_of(values: Any) -> pa.ChunkedArray:
    """Return the Arrow data of an Arrow-backed extension array, not copied."""
    return values._pa_array


def arrow_nbytes(data: pa.ChunkedArray) -> int:
    """Return the bytes of Arrow data; with a union in it, those of the buffers it is a slice of."""
    # Of a union without rows that was read from Arrow's own format, ``nbytes`` kills the process.
    return int(data.get_total_buffer_size() if _holds_union(data.type) else data.nbytes)


def _holds_union(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _holds_union(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _holds_union(kind.value_type)
    return pa.types.is_union(kind) or any(_holds_union(kind.field(i).type) for i in range(kind.num_fields))

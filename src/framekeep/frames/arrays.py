"""Every kind of array pandas can hold in a column, taken apart into tracks and built again.

A kind is one pair of functions: ``_encode_…`` gives the node, ``_build_…`` asks a Loader for the tracks and
returns a function that makes the array once they are filled. What is in neither table has no exact encoding
and is refused by name.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas._libs import sparse

from framekeep.errors import SessionDamagedError, UnsupportedTypeError
from framekeep.frames import axes, layouts, values
from framekeep.frames.borrow import arrow_of, borrowed, mark, origin
from framekeep.frames.foreign import Allowance, check_places, check_zone, checked_array
from framekeep.frames.layouts import Filling, filling
from framekeep.frames.node import Node, Ref, Track
from framekeep.frames.writing import ChunkWriter
from framekeep.names import Digest

# Arrays are made by the constructors pandas itself uses for parts it knows to be valid: the public ones look
# at every value again, and cast some. The stubs do not have them.
_Categorical: Any = pd.Categorical
_CategoricalDtype: Any = pd.CategoricalDtype
_DatetimeArray: Any = pd.arrays.DatetimeArray
_TimedeltaArray: Any = pd.arrays.TimedeltaArray
_PeriodArray: Any = pd.arrays.PeriodArray
_IntervalArray: Any = pd.arrays.IntervalArray
_SparseArray: Any = pd.arrays.SparseArray
_ArrowArray: Any = pd.arrays.ArrowExtensionArray
_DatetimeTZDtype: Any = pd.DatetimeTZDtype
_IntIndex: Any = sparse.IntIndex
_BlockIndex: Any = sparse.BlockIndex

MASKED: Final[dict[str, tuple[type, Any]]] = {
    name: (dtype.construct_array_type(), dtype)
    for name, dtype in (
        (str(dtype), dtype)
        for dtype in (
            pd.Int8Dtype(),
            pd.Int16Dtype(),
            pd.Int32Dtype(),
            pd.Int64Dtype(),
            pd.UInt8Dtype(),
            pd.UInt16Dtype(),
            pd.UInt32Dtype(),
            pd.UInt64Dtype(),
            pd.Float32Dtype(),
            pd.Float64Dtype(),
            pd.BooleanDtype(),
        )
    )
}


class Job(NamedTuple):
    """One chunk to read: where its bytes go, and what it is called in an error."""

    ref: Ref
    first: int
    target: Filling
    where: str


@dataclass(slots=True)
class Loader:
    """Collects the chunks that some nodes need, so that all are read together.

    Attributes:
        pickler: opens signed pickles in object cells; None refuses them by name.
        own: whether arrays may be written to by whoever gets them; else their memory is borrowed.
        foreign: what may still be decoded of chunks that nobody vouches for, which are checked; None for
            those of a store.
        jobs: what to read before the builders run.
    """

    pickler: values.Pickler | None = None
    own: bool = False
    foreign: Allowance | None = None
    jobs: list[Job] = field(default_factory=list)
    where: str = ""

    def track(self, track: Track, start: int, stop: int, kind: pa.DataType | None = None) -> Filling:
        """Ask for rows ``[start, stop)`` of a track."""
        target = filling(
            track, start, stop, kind=kind, pickler=self.pickler, own=self.own, foreign=self.foreign
        )
        first = start // track.step
        last = -(-stop // track.step) if stop > start else first
        if track.rows == 0:
            last = 1  # an empty Arrow column has a chunk
        for i, ref in enumerate(track.refs(first, last)):
            self.jobs.append(Job(ref, (first + i) * track.step, target, self.where))
        return target

    def value(self, text: str) -> Any:
        """Return the value that ``Encoding.dump`` wrote."""
        return undump(text, self.pickler, self.foreign)


Build: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Encoding:
    """What encoding a column needs to know."""

    writer: ChunkWriter
    pickler: values.Pickler | None = None
    where: str = ""

    def at(self, where: str) -> Encoding:
        """Return the same for another place."""
        return Encoding(self.writer, self.pickler, where)

    def dump(self, value: object, what: str = "") -> str:
        """Return a value in JSON-ready form (base64 of its exact encoding)."""
        where = f"{self.where}, {what}" if what else self.where
        return b64encode(values.dump(value, where=where, pickler=self.pickler)).decode("ascii")

    def refuse(self, type_name: str, why: str = "") -> UnsupportedTypeError:
        """Return the error for a type that cannot be kept."""
        reason = why or "cast it to a type of pandas, numpy or pyarrow first"
        return UnsupportedTypeError(
            f"{self.where} has the type {type_name}, which cannot be kept exactly: {reason}.",
            where=self.where,
            type_name=type_name,
        )


def undump(text: str, pickler: values.Pickler | None = None, allowance: Allowance | None = None) -> Any:
    """Return the value that ``Encoding.dump`` wrote."""
    try:
        data = b64decode(text, validate=True)
    except ValueError as error:
        raise SessionDamagedError("a stored manifest holds a malformed value") from error
    return values.load(data, pickler=pickler, allowance=allowance)


def encode(array: Any, to: Encoding) -> Node:
    """Return the node of an array, its chunks written.

    Raises:
        UnsupportedTypeError: naming the column and the type that cannot be kept exactly.
    """
    known = stored(array, to.writer.present)
    if known is not None:
        return known
    if type(array) is np.ndarray:
        return _encode_numpy(array, to)
    encoder = _ENCODERS.get(type(array.dtype))
    if isinstance(array, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray):
        encoder = _encode_times
    if encoder is None:
        kind = type(array.dtype)
        raise to.refuse(f"{kind.__module__}.{kind.__qualname__}")
    return encoder(array, to)


def stored(array: Any, present: frozenset[Digest]) -> Node | None:
    """Return the node of an array whose memory says that it is one of the chunks ``present``."""
    if not present:
        return None
    node = origin(array)
    return node if node is not None and node.names <= present else None


def build(node: Node, load: Loader, start: int = 0, stop: int | None = None) -> Build:
    """Ask ``load`` for what rows ``[start, stop)`` of a node need; return what makes the array from it."""
    builder = _BUILDERS.get(node.kind)
    if builder is None:
        raise SessionDamagedError(f"a stored manifest names the unknown kind {node.kind!r}")
    stop = node.rows if stop is None else stop
    make = builder(node, load, start, stop)
    if load.foreign is not None:
        return lambda: checked_array(node.kind, make())
    if start != 0 or stop != node.rows:
        return make

    def made() -> Any:
        array = make()
        mark(array, node)
        return array

    return made


def shareable(node: Node, array: Any) -> bool:
    """Whether callers may share the decoded array: not when a cell of it can be changed in place."""
    if node.kind == "sparse":
        return node.children[0].kind != "object"
    if node.kind == "categorical":
        return axes.shareable(array.categories)
    return node.kind != "object" or values.immutable(array)


@lru_cache(maxsize=256)
def _name(dtype: np.dtype[Any]) -> str:
    return str(dtype)  # numpy takes 10 µs to say it


# --- numpy --------------------------------------------------------------------------------------


def _encode_numpy(array: np.ndarray[Any, Any], to: Encoding) -> Node:
    dtype = array.dtype
    if dtype == np.dtype(object):
        track = layouts.cut_cells(array, to.writer, where=to.where, pickler=to.pickler)
        encoded = sum(ref.nbytes for ref in track.refs())
        return Node("object", len(array), {}, (track,), name="object", nbytes=array.nbytes + encoded)
    if dtype.kind not in "biufcMm" or dtype.hasobject:
        raise to.refuse(f"numpy {dtype}")
    track = layouts.cut_raw(array, to.writer)
    return Node("numpy", len(array), {}, (track,), name=_name(dtype), nbytes=array.nbytes)


def _build_numpy(node: Node, load: Loader, start: int, stop: int) -> Build:
    return load.track(node.tracks[0], start, stop).array


# --- datetimes, timedeltas, periods -------------------------------------------------------------


def _encode_times(array: Any, to: Encoding) -> Node:
    data = array._ndarray
    params: dict[str, Any] = {}
    kind = "timedelta" if isinstance(array, pd.arrays.TimedeltaArray) else "datetime"
    if isinstance(array.dtype, pd.DatetimeTZDtype):
        params["tz"] = to.dump(array.dtype.tz, "time zone")
    track = layouts.cut_raw(data, to.writer)
    return Node(kind, len(data), params, (track,), name=str(array.dtype), nbytes=data.nbytes)


def _build_times(node: Node, load: Loader, start: int, stop: int) -> Build:
    data = load.track(node.tracks[0], start, stop)
    if node.kind == "timedelta":
        return lambda: _times(_TimedeltaArray, data.array(), None)
    if "tz" not in node.params:
        return lambda: _times(_DatetimeArray, data.array(), None)
    tz = load.value(node.params["tz"])
    if load.foreign is not None:
        check_zone(tz)
    return lambda: _times(_DatetimeArray, data.array(), tz)


def _times(cls: Any, data: np.ndarray[Any, Any], tz: Any) -> Any:
    dtype = data.dtype
    if tz is not None:
        dtype = _DatetimeTZDtype(unit=np.datetime_data(data.dtype)[0], tz=tz)
    return cls._simple_new(data, dtype=dtype)


def _encode_period(array: Any, to: Encoding) -> Node:
    data = array._ndarray
    freq = to.dump(array.dtype.freq, "frequency")
    if pd.PeriodDtype(undump(freq, to.pickler)) != array.dtype:
        raise to.refuse(str(array.dtype))
    track = layouts.cut_raw(data, to.writer)
    return Node("period", len(data), {"freq": freq}, (track,), name=str(array.dtype), nbytes=data.nbytes)


def _build_period(node: Node, load: Loader, start: int, stop: int) -> Build:
    data = load.track(node.tracks[0], start, stop)
    dtype = pd.PeriodDtype(load.value(node.params["freq"]))
    return lambda: _PeriodArray(data.array(), dtype=dtype)


# --- composed arrays ----------------------------------------------------------------------------


def _encode_categorical(array: Any, to: Encoding) -> Node:
    track = layouts.cut_raw(array._codes, to.writer)
    categories = axes.encode(array.categories, to.at(f"{to.where}, categories"))
    return Node(
        "categorical",
        len(array),
        {"ordered": None if array.ordered is None else bool(array.ordered)},
        (track,),
        (categories,),
        name="category",
        nbytes=array.codes.nbytes + categories.nbytes,
    )


def _build_categorical(node: Node, load: Loader, start: int, stop: int) -> Build:
    codes = load.track(node.tracks[0], start, stop)
    categories = axes.build(node.children[0], load)
    ordered = node.params["ordered"]

    def made() -> Any:
        # Not through the constructor: it would look at every category again, and change a None ``ordered``.
        dtype = _CategoricalDtype._from_fastpath(categories(), ordered)
        return _Categorical._simple_new(codes.array(), dtype)

    return made


def _encode_interval(array: Any, to: Encoding) -> Node:
    left = encode(_plain(array._left), to.at(f"{to.where}, left ends"))
    right = encode(_plain(array._right), to.at(f"{to.where}, right ends"))
    return Node(
        "interval",
        len(array),
        {"closed": array.closed},
        (),
        (left, right),
        name=str(array.dtype),
        nbytes=left.nbytes + right.nbytes,
    )


def _plain(ends: Any) -> Any:
    return ends._values if hasattr(ends, "_values") else ends


def _build_interval(node: Node, load: Loader, start: int, stop: int) -> Build:
    left = build(node.children[0], load, start, stop)
    right = build(node.children[1], load, start, stop)

    def made() -> Any:
        ends = left(), right()
        dtype = pd.IntervalDtype(ends[0].dtype, closed=node.params["closed"])
        return _IntervalArray._simple_new(*ends, dtype=dtype)

    return made


def _encode_sparse(array: Any, to: Encoding) -> Node:
    inner = encode(array.sp_values, to.at(f"{to.where}, stored values"))
    index: Any = array.sp_index
    if type(index) is _IntIndex:
        kind, places = "integer", [index.indices]
    elif type(index) is _BlockIndex:
        kind, places = "block", [index.blocs, index.blengths]
    else:
        raise to.refuse(f"Sparse with {type(index).__name__}")
    params = {"kind": kind, "fill": to.dump(array.fill_value, "fill value")}
    children = (inner, *(_encode_numpy(np.asarray(place), to) for place in places))
    size = sum(child.nbytes for child in children)
    return Node("sparse", len(array), params, (), children, name=str(array.dtype), nbytes=size)


def _build_sparse(node: Node, load: Loader, start: int, stop: int) -> Build:
    inner, *places = (build(child, load) for child in node.children)
    fill = load.value(node.params["fill"])

    def made() -> Any:
        stored = inner()
        found = [np.array(place(), dtype=np.int32) for place in places]
        if load.foreign is not None:
            check_places(
                node.rows, len(stored), found[0], found[1] if len(found) > 1 else np.ones_like(found[0])
            )
        index = (_IntIndex if node.params["kind"] == "integer" else _BlockIndex)(node.rows, *found)
        dtype = pd.SparseDtype(stored.dtype, fill)
        array = _SparseArray._simple_new(stored, index, dtype)
        return array[start:stop] if (start, stop) != (0, node.rows) else array

    return made


def _encode_masked(array: Any, to: Encoding) -> Node:
    tracks = (layouts.cut_raw(array._data, to.writer), layouts.cut_raw(array._mask, to.writer))
    size = array._data.nbytes + array._mask.nbytes
    return Node("masked", len(array), {}, tracks, name=str(array.dtype), nbytes=size)


def _build_masked(node: Node, load: Loader, start: int, stop: int) -> Build:
    data, mask = (load.track(track, start, stop) for track in node.tracks)
    found = MASKED.get(node.name)
    if found is None:
        raise SessionDamagedError(f"a stored manifest names the unknown nullable type {node.name!r}")
    cls: Any = found[0]
    return lambda: cls._simple_new(data.array(), mask.array())


# --- strings and Arrow --------------------------------------------------------------------------


def _encode_string(array: Any, to: Encoding) -> Node:
    dtype = array.dtype
    params: dict[str, Any] = {
        "storage": dtype.storage,
        "na": "NA" if dtype.na_value is pd.NA else "nan",
    }
    if dtype.storage == "pyarrow":
        data = arrow_of(array)
        track, more = _arrow_track(data, to)
        params |= more
        size = _arrow_bytes(track)
    else:
        cells = array._ndarray
        track = _text_of_objects(cells, to) or layouts.cut_cells(
            cells, to.writer, where=to.where, pickler=to.pickler
        )
        size = cells.nbytes + sum(ref.nbytes for ref in track.refs())
    return Node("string", len(array), params, (track,), name=str(dtype), nbytes=size)


def _text_of_objects(cells: np.ndarray[Any, Any], to: Encoding) -> Track | None:
    """Cut Python strings as text; None when only the cell encoding keeps them (surrogates, mixed NA)."""
    if not set(map(type, cells)) <= {str, float, type(pd.NA)}:
        return None
    missing = [cell for cell in cells if type(cell) is not str]
    if any(cell is not missing[0] and not (cell != cell and type(cell) is float) for cell in missing):
        return None
    try:
        data = pa.array(cells, pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeError):
        return None
    return layouts.cut_text(data, to.writer)


def _build_string(node: Node, load: Loader, start: int, stop: int) -> Build:
    missing: Any = pd.NA if node.params["na"] == "NA" else np.nan
    dtype: Any = pd.StringDtype(node.params["storage"], na_value=missing)
    data = load.track(node.tracks[0], start, stop, _kind(node))
    cls = dtype.construct_array_type()

    def of_arrow() -> Any:
        filled = data.array()
        chunked = filled if isinstance(filled, pa.ChunkedArray) else pa.chunked_array([filled])
        array = cls.__new__(cls)
        # The constructor casts to large_string; what was stored is kept as it was.
        array._pa_array, array._dtype, array._cache = chunked, dtype, {}
        return array

    def of_objects() -> Any:
        filled = data.array()
        if node.tracks[0].layout == "text":
            cells = filled.to_numpy(zero_copy_only=False)
            if filled.null_count:
                cells[filled.is_null().to_numpy(zero_copy_only=False)] = missing
            filled = cells if load.own else borrowed(cells)
        return cls._simple_new(filled, dtype)

    return of_arrow if node.params["storage"] == "pyarrow" else of_objects


def _arrow_track(data: pa.ChunkedArray, to: Encoding) -> tuple[Track, dict[str, str]]:
    if layouts.is_text(data.type):
        track = layouts.cut_text(data, to.writer)
        if track is not None:
            return track, {}
    schema = pa.schema([pa.field("", data.type)]).serialize().to_pybytes()
    track = layouts.cut_arrow(data, to.writer, where=to.where)
    return track, {"schema": b64encode(schema).decode("ascii")}


def _kind(node: Node) -> pa.DataType | None:
    text = node.params.get("schema")
    if text is None:
        return None
    try:
        kind: pa.DataType = pa.ipc.read_schema(pa.py_buffer(b64decode(text, validate=True))).field(0).type
    except (ValueError, pa.ArrowException) as error:
        raise SessionDamagedError("a stored manifest holds a malformed Arrow schema") from error
    stored = node.tracks[0].dtype
    if str(kind) != stored:
        raise SessionDamagedError(
            f"the stored Arrow type is {stored} but reads as {kind} here; if it is an extension type, "
            "register it with pyarrow first"
        )
    return kind


def _encode_arrow(array: Any, to: Encoding) -> Node:
    data = arrow_of(array)
    track, params = _arrow_track(data, to)
    size = _arrow_bytes(track)
    return Node("arrow", len(array), params, (track,), name=str(array.dtype), nbytes=size)


def _arrow_bytes(track: Track) -> int:
    """Return the size of the decoded data: not what pyarrow says, which depends on slicing and padding."""
    refs = track.refs()
    if track.layout == "text":
        return sum(ref.aux for ref in refs) + (8 if track.dtype.startswith("large_") else 4) * track.rows
    return sum(ref.nbytes for ref in refs)


def _build_arrow(node: Node, load: Loader, start: int, stop: int) -> Build:
    data = load.track(node.tracks[0], start, stop, _kind(node))

    def made() -> Any:
        filled = data.array()
        return _ArrowArray(filled if isinstance(filled, pa.ChunkedArray) else pa.chunked_array([filled]))

    return made


_ENCODERS: Final[dict[type, Callable[[Any, Encoding], Node]]] = {
    pd.CategoricalDtype: _encode_categorical,
    pd.IntervalDtype: _encode_interval,
    pd.PeriodDtype: _encode_period,
    pd.SparseDtype: _encode_sparse,
    pd.StringDtype: _encode_string,
    pd.ArrowDtype: _encode_arrow,
    **{type(dtype): _encode_masked for _, dtype in MASKED.values()},
}

_BUILDERS: Final[dict[str, Callable[[Node, Loader, int, int], Build]]] = {
    "numpy": _build_numpy,
    "object": _build_numpy,
    "datetime": _build_times,
    "timedelta": _build_times,
    "period": _build_period,
    "categorical": _build_categorical,
    "interval": _build_interval,
    "sparse": _build_sparse,
    "masked": _build_masked,
    "string": _build_string,
    "arrow": _build_arrow,
}

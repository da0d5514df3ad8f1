"""What a manifest may say that nobody vouches for, checked before anything is allocated for it.

Every number that will be a length, an offset or a type is compared with the chunks that have to bear it out,
and what they will take is counted. Knows manifests; what the filled arrays must hold is in ``foreign.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

import numpy as np

from framekeep.errors import SessionDamagedError
from framekeep.frames.arrays import MASKED
from framekeep.frames.foreign import Allowance
from framekeep.frames.layouts import TEXT_TYPES
from framekeep.frames.manifest import Parsed
from framekeep.frames.node import Node, Ref, Track
from framekeep.frames.writing import CHUNK_ROWS
from framekeep.names import Digest

_DEPTH: Final = 16
"""How deep parts hold parts: a level of an index of categories of intervals of times is five."""

_ROWS_FREE: Final = 1 << 24
"""Rows that need no bytes (a range, Arrow's nulls): they cost nothing here, but whoever walks over them."""

_PLAIN: Final = frozenset(("numpy", "object", "sparse", "masked", "string", "arrow"))
_ARRAYS: Final = _PLAIN | {"datetime", "timedelta", "period", "categorical", "interval"}
_ENDS: Final = frozenset(("numpy", "datetime", "timedelta"))
_OF_CLASS: Final[dict[str, frozenset[str]]] = {
    "Index": _PLAIN,
    "DatetimeIndex": frozenset(("datetime",)),
    "TimedeltaIndex": frozenset(("timedelta",)),
    "PeriodIndex": frozenset(("period",)),
    "IntervalIndex": frozenset(("interval",)),
    "CategoricalIndex": frozenset(("categorical",)),
}
_AXES: Final = frozenset(("range", "index", "multi"))
_LEVELS: Final = _AXES - {"multi"}

_NUMBERS: Final = "biufc"
_CODES: Final = frozenset(("|i1", "<i2", "<i4", "<i8"))
_TIMES: Final = {
    kind: frozenset(f"<{kind}8[{unit}]" for unit in ("s", "ms", "us", "ns")) for kind in ("M", "m")
}
_TEXTS: Final = frozenset(("string", "large_string", "string_view"))


def checked_nodes(parsed: Parsed, allowance: Allowance) -> dict[Digest, Ref]:
    """Return the chunks that a manifest names, when it can be believed.

    Raises:
        SessionDamagedError: it contradicts itself, or says what no manifest says.
        DataFrameTooLargeError: it asks for more than is allowed.
    """
    check = _Check(allowance)
    check.axis(parsed.index)
    check.axis(parsed.axis)
    for node in parsed.arrays:
        check.array(node)
    if parsed.attrs is not None:
        _encoded(parsed.attrs)
    return check.refs


def check_node(node: Node, allowance: Allowance, *, axis: bool) -> None:
    """Refuse one node of an object in a cell that cannot be believed; raises as ``checked_nodes`` does."""
    check = _Check(allowance, allowance.take_objects)  # the cell's bytes are counted as data already
    (check.axis if axis else check.array)(node)


def _refuse(problem: str) -> NoReturn:
    raise SessionDamagedError(f"a manifest does not have the documented form: {problem}", where="manifest")


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        _refuse(problem)


def _number(value: Any, most: int = (1 << 63) - 1) -> int:
    if type(value) is not int or not 0 <= value <= most:
        _refuse("a number is none or out of range")
    return value


def _encoded(value: Any) -> None:
    _expect(type(value) is str, "a value is not encoded")


class _Check:
    """One walk over nodes; each kind has a method of its name."""

    def __init__(self, allowance: Allowance, take: Callable[[int], None] | None = None) -> None:
        self.refs: dict[Digest, Ref] = {}
        self._allowance, self._take = allowance, take or allowance.take
        self._depth = 0

    def array(self, node: Node, kinds: frozenset[str] = _ARRAYS, rows: int | None = None) -> None:
        self._node(node, kinds, rows)

    def axis(self, node: Node, kinds: frozenset[str] = _AXES) -> None:
        self._node(node, kinds, None)

    def _node(self, node: Node, kinds: frozenset[str], rows: int | None) -> None:
        self._depth += 1
        _expect(self._depth <= _DEPTH, "parts hold parts without end")
        _expect(type(node.kind) is str and node.kind in kinds, "a part is of a wrong kind")
        _expect(type(node.params) is dict, "a part has no parameters")
        _expect(type(node.name) is str, "a type has no name")
        _number(node.nbytes)
        _expect(rows is None or node.rows == rows, "a part has another length than the whole")
        limit = self._allowance.limit
        if limit is not None and _number(node.rows) > max(limit, _ROWS_FREE):
            self._allowance.refuse()
        getattr(self, f"_{node.kind}")(node)
        self._depth -= 1

    @staticmethod
    def _parts(node: Node, tracks: int, children: int, *params: str) -> None:
        fits = len(node.tracks) == tracks and len(node.children) == children
        _expect(fits and set(params) <= node.params.keys(), "it has too few parts or too many")

    # --- arrays ---

    def _numpy(self, node: Node, kinds: str = _NUMBERS) -> None:
        self._parts(node, 1, 0)
        self._raw(node, node.tracks[0], kinds=kinds)

    def _object(self, node: Node) -> None:
        self._parts(node, 1, 0)
        self._track(node, node.tracks[0], "cells")

    def _datetime(self, node: Node) -> None:
        self._parts(node, 1, 0)
        self._raw(node, node.tracks[0], only=_TIMES["M"])
        _encoded(node.params.get("tz", ""))

    def _timedelta(self, node: Node) -> None:
        self._parts(node, 1, 0)
        self._raw(node, node.tracks[0], only=_TIMES["m"])

    def _period(self, node: Node) -> None:
        self._parts(node, 1, 0, "freq")
        self._raw(node, node.tracks[0], only=frozenset(("<i8",)))
        _encoded(node.params["freq"])

    def _categorical(self, node: Node) -> None:
        self._parts(node, 1, 1, "ordered")
        ordered = node.params["ordered"]
        _expect(ordered is None or type(ordered) is bool, "an order is neither there nor not")
        self._raw(node, node.tracks[0], only=_CODES)
        self.axis(node.children[0], _LEVELS)

    def _interval(self, node: Node) -> None:
        self._parts(node, 0, 2, "closed")
        _expect(
            node.params["closed"] in ("left", "right", "both", "neither"), "an interval has no closed side"
        )
        for ends in node.children:
            self.array(ends, _ENDS, node.rows)

    def _sparse(self, node: Node) -> None:
        kind = node.params.get("kind")
        _expect(kind in ("integer", "block"), "sparse places are of an unknown kind")
        self._parts(node, 0, 2 if kind == "integer" else 3, "fill")
        _encoded(node.params["fill"])
        _number(node.rows, (1 << 31) - 1)
        stored, *places = node.children
        if stored.kind == "numpy":
            self._numpy(stored, _NUMBERS + "mM")
        else:
            self.array(stored, frozenset(("object",)))
        for place in places:
            self._parts(place, 1, 0)
            self._raw(place, place.tracks[0], only=frozenset(("<i4",)))

    def _masked(self, node: Node) -> None:
        self._parts(node, 2, 0)
        _expect(node.name in MASKED, "a nullable type is unknown")
        data, mask = node.tracks
        self._raw(node, data, only=frozenset((np.dtype(MASKED[node.name][1].numpy_dtype).str,)))
        self._raw(node, mask, only=frozenset(("|b1",)))

    def _string(self, node: Node) -> None:
        self._parts(node, 1, 0, "storage", "na")
        storage, track = node.params["storage"], node.tracks[0]
        _expect(storage in ("pyarrow", "python"), "a text is kept nowhere")
        _expect(node.params["na"] in ("NA", "nan"), "a text has no word for what is missing")
        _expect(
            track.layout in ("text", "arrow" if storage == "pyarrow" else "cells"), "texts are laid out wrong"
        )
        _expect(track.layout == "cells" or track.dtype in _TEXTS, "texts are of another type")
        self._track(node, track, track.layout)

    def _arrow(self, node: Node) -> None:
        self._parts(node, 1, 0)
        _expect(node.tracks[0].layout in ("text", "arrow"), "Arrow data are laid out wrong")
        self._track(node, node.tracks[0], node.tracks[0].layout)

    # --- axes ---

    def _range(self, node: Node) -> None:
        self._parts(node, 0, 0, "start", "stop", "step", "name")
        numbers = [node.params[name] for name in ("start", "stop", "step")]
        whole = all(type(each) is int and -(1 << 63) <= each < 1 << 63 for each in numbers)
        _expect(whole and numbers[2] != 0, "a range is of no numbers")
        _expect(len(range(*numbers)) == node.rows, "a range has another length")
        self._name(node.params["name"])

    def _index(self, node: Node) -> None:
        self._parts(node, 0, 1, "class", "name")
        label = node.params["class"]
        _expect(type(label) is str and label in _OF_CLASS, "an index is of an unknown class")
        self._name(node.params["name"])
        if "freq" in node.params:
            _expect(label in ("DatetimeIndex", "TimedeltaIndex"), "an index without times has a frequency")
            _encoded(node.params["freq"])
        self.array(node.children[0], _OF_CLASS[label], node.rows)

    def _multi(self, node: Node) -> None:
        names, order = node.params.get("names"), node.params.get("sortorder")
        _expect(type(names) is list and len(names) > 0, "an index of levels has none")
        assert names is not None
        self._parts(node, len(names), len(names), "sortorder")
        _expect(order is None or _number(order, len(names)) >= 0, "an index of levels has no order")
        for name, codes, level in zip(names, node.tracks, node.children, strict=True):
            self._name(name)
            self._raw(node, codes, only=_CODES)
            self.axis(level, _LEVELS)

    @staticmethod
    def _name(value: object) -> None:
        if value is not None:
            _encoded(value)

    # --- tracks ---

    def _raw(self, node: Node, track: Track, *, kinds: str = "", only: frozenset[str] | None = None) -> None:
        _expect(type(track.dtype) is str, "numbers have no type")
        _expect(only is None or track.dtype in only, "numbers have another type")
        try:
            dtype = np.dtype(track.dtype)
        except (TypeError, ValueError, SyntaxError):
            _refuse("numbers have no type")
        # What its own name does not name again (a record, "int", "i8,i8") is no type of a track.
        _expect(dtype.str == track.dtype, "numbers have another type")
        _expect(only is not None or dtype.kind in kinds, "numbers have another type")
        _expect(dtype.kind not in "mM" or track.dtype in _TIMES[dtype.kind], "times have another unit")
        self._track(node, track, "raw", dtype.itemsize)

    def _track(self, node: Node, track: Track, layout: str, itemsize: int = 0) -> None:
        _expect(track.layout == layout and type(track.dtype) is str, "a part is laid out wrong")
        rows, step, refs = _number(track.rows), _number(track.step, CHUNK_ROWS), track.refs()
        _expect(rows == _number(node.rows), "a part has another length than the whole")
        _expect(step > 0 and step & (step - 1) == 0, "chunks have an impossible number of rows")
        wanted = -(-rows // step)
        if layout == "arrow" and rows == 0:
            wanted = min(len(refs), 1)  # an empty column has one, or none if it was in no piece
        _expect(len(refs) == wanted, "it has too few chunks or too many")
        if layout == "text":
            _expect(track.dtype in TEXT_TYPES, "texts are of another type")
            wide = TEXT_TYPES[track.dtype][1].itemsize
            _expect(wide > 4 or sum(ref.aux for ref in refs) < 1 << 31, "texts are too long for their type")
            self._take(rows * wide)
        elif layout == "cells":
            self._take(rows * 8)
        for i, ref in enumerate(refs):
            here = min(step, rows - i * step)
            if layout == "raw":
                _expect(ref.nbytes == here * itemsize, "a chunk has another length")
            elif layout == "text":
                plain = 4 * here + ref.aux
                _expect(ref.nbytes in (plain, plain + -(-here // 8)), "a chunk has another length")
            # As a store counts them: its limit and this one accept the same frames.
            self._take(ref.aux if layout == "text" else ref.nbytes)
            known = self.refs.setdefault(ref.digest, ref)
            _expect(known[:3] == ref[:3], "one chunk has two lengths")

"""Columns of statistics files: their values, and apart from them the codes that stand for "no answer".

SPSS says which numbers or texts are such codes; Stata and SAS have missing values of their own, .a to .z.
Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.importing.rendering import durations_text, is_whole, number_text
from framekeep.importing.statistics_times import Clock, times
from framekeep.importing.types import cast_text

_NONE = pa.scalar(None, pa.string())


@dataclass(slots=True)
class Column:
    """A variable.

    Attributes:
        name: of the variable.
        form: the format it is shown in, such as F8.2 or %td; empty if there is none.
        clock: how its numbers count time; None if they do not.
        ranges: the user-missing codes, as lowest and highest of each range.
    """

    name: str
    form: str = ""
    clock: Clock | None = None
    ranges: Sequence[tuple[Any, Any]] = ()
    _values: list[pa.Array] = field(default_factory=list)
    _codes: list[pa.Array] = field(default_factory=list)
    _settled: pa.ChunkedArray | None = None

    def add(self, cells: Sequence[Any], text: bool) -> None:
        """Append cells as pyreadstat gives them: None where there is no value, letters for tagged ones."""
        if text:
            values = pa.array([cell or None for cell in cells], pa.string())
            codes = pa.nulls(len(cells), pa.string())
        else:
            types = set(map(type, cells))
            tagged = str in types
            numbers = [None if type(cell) is str else cell for cell in cells] if tagged else cells
            values = pa.array(numbers, pa.int64() if types <= {int, str, type(None)} else pa.float64())
            tags = [f".{cell}" if type(cell) is str else None for cell in cells] if tagged else None
            codes = pa.nulls(len(cells), pa.string()) if tags is None else pa.array(tags, pa.string())
        for low, high in self.ranges:
            said = _between(values, low, high)
            if said is not None and pc.any(said).as_py():
                codes = pc.if_else(said.fill_null(False), _as_text(values), codes)
                values = pc.if_else(said, pa.scalar(None, values.type), values)
        self._values.append(values)
        self._codes.append(codes)

    def codes(self) -> Mapping[str, int]:
        """Return how often each user-missing code occurs."""
        counts = pc.value_counts(pc.drop_null(pa.chunked_array(self._codes, pa.string())))
        return {item["values"]: item["counts"] for item in counts.to_pylist()}

    def settle(self, wanted: str | None) -> tuple[pa.ChunkedArray, str, str]:
        """Return the values with their type, what to call that, and why it is that.

        Raises:
            WrongTypeError: the values cannot have the type ``wanted``.
        """
        values, kind, reason = self._find()
        self._settled = values
        if wanted == "text":
            return self._text_of(values), "text", "this type was asked for"
        if wanted is not None:
            cast = cast_text(self._text_of(values), self.name, wanted)
            return cast, wanted.partition(":")[0], "this type was asked for"
        return values, kind, reason

    def text(self) -> pa.ChunkedArray:
        """Return the cells as text, codes included."""
        values = self._find()[0] if self._settled is None else self._settled
        return pc.coalesce(pa.chunked_array(self._codes, pa.string()), self._text_of(values))

    def _find(self) -> tuple[pa.ChunkedArray, str, str]:
        kinds = {chunk.type for chunk in self._values}
        if kinds <= {pa.string()}:
            return pa.chunked_array(self._values, pa.string()), "text", "the file says text"
        one = pa.int64() if kinds == {pa.int64()} else pa.float64()
        numbers = pa.chunked_array([chunk.cast(one) for chunk in self._values], one)
        if numbers.null_count == len(numbers):
            return numbers.cast(pa.float64()), "number", "the file says numbers; no cell has a value"
        if self.clock is not None:
            found = times(numbers, self.clock)
            if found is not None:
                kind = "datetime" if pa.types.is_timestamp(found.type) else self.clock.kind
                return found, kind, f"the file says {self.form}"
            return numbers, "number", f"the file says {self.form}, but not every number is such a time"
        if one == pa.int64() or is_whole(numbers):
            return numbers.cast(pa.int64()), "integer", "every cell with a value is a whole number"
        return numbers, "number", "every cell with a value is a number"

    def _text_of(self, values: pa.ChunkedArray) -> pa.ChunkedArray:
        return pa.chunked_array([_as_text(chunk) for chunk in values.chunks], pa.string())


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_floating(values.type):
        return number_text(values)
    if pa.types.is_duration(values.type):
        return durations_text(values)
    return values.cast(pa.string())


def _between(values: pa.Array, low: Any, high: Any) -> pa.Array | None:
    """Say which values are in a range; None if it is of another kind than they are."""
    if isinstance(low, str) != pa.types.is_string(values.type):
        return None
    if isinstance(low, str):
        return pc.equal(values, low.rstrip()) if low == high else None
    numbers = values.cast(pa.float64())
    return pc.and_(pc.greater_equal(numbers, float(low)), pc.less_equal(numbers, float(high)))

"""Columns out of JSON values: typed as JSON types them, and text where the values are of several kinds.

JSON brings types: a text that looks like a number stays text. Only dates, for which JSON has no type, are
looked for among texts. What is nested stays JSON. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import DamagedFileError, FileTooLargeError
from framekeep.importing import types_times
from framekeep.importing.json_source import Exact, text_of
from framekeep.importing.model import ImportOptions, Limits
from framekeep.importing.types import Typed, cast_text, without

_WORDS = {
    bool: "truth value",
    int: "whole number",
    float: "number",
    Exact: "number with more digits than a number type keeps",
    str: "text",
    dict: "object",
    list: "list",
}
_INTEGER = (pa.int64(), pa.uint64())
_WHOLE = 1 << 53  # up to it, a float holds every whole number
_NONE = type(None)


@dataclass(slots=True)
class _Part:
    """A batch of values of a column.

    Attributes:
        kind: of all of them that are not None; None if there is none, ``object`` if there are several.
        values: the values as Arrow has them; as text if there are several kinds.
        whole: with numbers, which of them are written as whole ones; None if none is.
    """

    kind: type | None
    values: pa.Array
    whole: pa.Array | None = None


@dataclass(slots=True)
class Column:
    """A column while rows come in.

    Attributes:
        parts: what came in.
        counts: how many values there are of each Python type.
        first: the row of the first of each, counted from 0.
    """

    parts: list[_Part] = field(default_factory=list)
    counts: dict[type, int] = field(default_factory=dict)
    first: dict[type, int] = field(default_factory=dict)

    def add(self, values: Sequence[Any], row: int, limits: Limits) -> None:
        """Append values, the first of which is of ``row``.

        Raises:
            DamagedFileError, FileTooLargeError: a value cannot be kept, or is too large.
        """
        kinds = list(map(type, values))
        for kind in set(kinds) - {_NONE}:
            self.counts[kind] = self.counts.get(kind, 0) + kinds.count(kind)
            self.first.setdefault(kind, row + kinds.index(kind))
        self.parts.append(_part(values, set(kinds) - {_NONE}, row, limits))

    def pad(self, count: int) -> None:
        """Append ``count`` missing values."""
        if count:
            self.parts.append(_Part(None, pa.nulls(count)))

    def settle(self, name: str, options: ImportOptions) -> tuple[Typed, pa.ChunkedArray | None]:
        """Return the column with its type; and as text if it got its type from that, and not from JSON.

        Raises:
            WrongTypeError: it cannot have the type that ``options.types`` asks for.
        """
        wanted = options.types.get(name)
        if wanted is not None:
            text = self._text(options)
            values = cast_text(text, name, wanted)
            return Typed(values, wanted.partition(":")[0], "this type was asked for"), text
        kinds = {part.kind for part in self.parts if part.kind is not None}
        if not kinds:
            return Typed(self._text(options), "text", "no cell has a value"), None
        if kinds == {str}:
            text = self._text(options)
            sample = pc.drop_null(text.slice(0, 100)).unique().to_pylist()
            found = types_times.times(text, sample) if options.typing and sample else None
            if found is None:
                return Typed(text, "text", "every value is a text"), None
            return Typed(*found), text
        if kinds == {bool}:
            return Typed(self._joined(pa.bool_()), "boolean", "every value is true or false"), None
        if kinds == {int}:
            for kind in _INTEGER:
                if all(part.kind is None or _fits(part.values, kind) for part in self.parts):
                    return Typed(self._joined(kind), "integer", "every value is a whole number"), None
        if kinds <= {int, float} and all(map(_is_exact, self.parts)):
            return Typed(self._joined(pa.float64()), "number", "every value is a number"), None
        return Typed(self._text(options), "text", self._why_text()), None

    def text_of(self, count: int) -> list[str | None]:
        """Return the first values as text."""
        found: list[str | None] = []
        for part in self.parts:
            found += _as_text(part).slice(0, count - len(found)).to_pylist()
        return found

    def _joined(self, kind: pa.DataType) -> pa.ChunkedArray:
        return pa.chunked_array([part.values.cast(kind) for part in self.parts], kind)

    def _text(self, options: ImportOptions) -> pa.ChunkedArray:
        text = pa.chunked_array([_as_text(part) for part in self.parts], pa.string())
        return without(text, pa.array(options.missing, pa.string())) if options.missing else text

    def _why_text(self) -> str:
        kinds = sorted(self.counts, key=lambda kind: -self.counts[kind])
        if set(kinds) <= {dict, list}:
            return "the values are objects or lists, kept as JSON"
        if set(kinds) == {int}:
            return "some whole numbers are beyond 64 bits"
        if set(kinds) <= {int, float}:
            return "some whole numbers among the others are larger than a number type keeps exactly"
        if set(kinds) <= {int, float, Exact}:
            row = self.first[Exact] + 1
            return f"some numbers have more digits than a number type keeps, the first in row {row:,}"
        said = ", ".join(
            f"{self.counts[kind]:,} {_plural(_WORDS[kind], self.counts[kind])}" for kind in kinds
        )
        rare, row = _WORDS[kinds[-1]], self.first[kinds[-1]] + 1
        return f"the values are of several kinds: {said} (the first {rare} is in row {row:,})"


def _part(values: Sequence[Any], kinds: set[type], row: int, limits: Limits) -> _Part:
    if not kinds:
        return _Part(None, pa.nulls(len(values)))
    if kinds == {str}:
        return _Part(str, _strings(values, row, limits))
    if kinds == {bool}:
        return _Part(bool, pa.array(values, pa.bool_()))
    if kinds == {float}:
        return _Part(float, pa.array(values, pa.float64()))
    if kinds == {int}:
        for kind in _INTEGER:
            try:
                return _Part(int, pa.array(values, kind))
            except (OverflowError, pa.ArrowInvalid):
                continue
    if kinds == {int, float} and all(
        type(value) is not int or -_WHOLE <= value <= _WHOLE for value in values
    ):
        whole = pa.array([type(value) is int for value in values], pa.bool_())
        return _Part(float, pa.array(values, pa.float64()), whole)
    try:
        return _Part(object, _strings([_rendered(value) for value in values], row, limits))
    except RecursionError:
        raise DamagedFileError("Values are nested too deeply.", where=f"from row {row + 1:,} on") from None


def _strings(values: Sequence[str | None], row: int, limits: Limits) -> pa.Array:
    try:
        strings = pa.array(values, pa.string())
    except UnicodeEncodeError:
        at = next(at for at, value in enumerate(values) if value is not None and not is_unicode(value))
        raise DamagedFileError(
            "A text has half a character in it (a surrogate without its pair).", where=f"row {row + at + 1:,}"
        ) from None
    if strings.nbytes > limits.field_bytes:
        long = pc.greater(pc.binary_length(strings), limits.field_bytes)
        if pc.any(long).as_py():
            raise FileTooLargeError(
                f"A value has more than the {limits.field_bytes:,} bytes that are read.",
                where=f"row {row + pc.index(long, True).as_py() + 1:,}",
            )
    return strings


def is_unicode(text: str) -> bool:
    """Say whether a text can be written as UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _rendered(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else text_of(value)


def _as_text(part: _Part) -> pa.Array:
    if part.kind is None or pa.types.is_string(part.values.type):
        return part.values.cast(pa.string())
    if part.kind is not float:
        return part.values.cast(pa.string())  # true and false, as JSON has them; whole numbers
    numbers = [None if value is None else text_of(value) for value in part.values.to_pylist()]
    text = pa.array(numbers, pa.string())
    if part.whole is None:
        return text
    whole = pc.if_else(part.whole, part.values, pa.scalar(None, pa.float64())).cast(pa.int64())
    return pc.if_else(part.whole, whole.cast(pa.string()), text)


def _fits(values: pa.Array, kind: pa.DataType) -> bool:
    if values.type == kind:
        return True
    if not pa.types.is_integer(values.type):
        return False
    try:
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def _is_exact(part: _Part) -> bool:
    """Say whether the numbers of a part are the same as floats."""
    if part.kind is None or pa.types.is_floating(part.values.type):
        return True
    if not pa.types.is_integer(part.values.type):
        return False
    bounds = pc.min_max(part.values).as_py()
    return bool(max(-bounds["min"], bounds["max"]) <= _WHOLE)


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    head, _, tail = word.partition(" ")
    return f"numbers {tail}" if head == "number" and tail else f"{word}s"

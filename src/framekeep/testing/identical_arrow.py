"""Compare two Arrow columns strictly: types with their nullability, nulls, and bits where there is a value.

Not compared: how a column is cut into chunks, offsets, the bytes under a null, and the runs of
run-end encoding. Arrow's own ``equals`` will not do: it finds NaN unequal to itself and ``-0.0`` equal
to ``0.0``.
"""

from __future__ import annotations

import itertools
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

Rows: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
"""Positions within an array, one for each value still to compare."""


def arrow_differences(a: Any, b: Any) -> list[str]:
    """List how ChunkedArray ``b`` differs from ``a``; empty when they are identical."""
    if not a.type.equals(b.type, check_metadata=True):
        return [f"Arrow type {a.type} became {b.type}"]
    if len(a) != len(b):
        return [f"length {len(a)} became {len(b)}"]
    found: list[str] = []
    if pt.is_dictionary(a.type):
        # Unused entries and their order are visible, so they count; cutting into chunks may repeat them.
        left, right = (_dictionary(x) for x in (a, b))
        if left is not None and right is not None:
            if len(left) != len(right):
                return [f"dictionary of {len(left)} values became one of {len(right)}"]
            _compare(found, left, _all(left), right, _all(right), "dictionary")
    for x, y in _aligned(a, b):
        _compare(found, x, _all(x), y, _all(y), "value")
        if found:
            break
    return found


def _dictionary(column: Any) -> Any:
    """Return the entries of a dictionary column as one array; None if Arrow cannot join them."""
    if not column.num_chunks:
        return pa.array([], column.type.value_type)
    first, *others = (chunk.dictionary for chunk in column.chunks)
    for other in others:
        if arrow_differences(pa.chunked_array([first]), pa.chunked_array([other])):
            try:
                return column.unify_dictionaries().chunk(0).dictionary
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                return None
    return first


def _all(array: Any) -> Rows:
    return np.arange(len(array), dtype=np.int64)


def _aligned(a: Any, b: Any) -> list[tuple[Any, Any]]:
    """Cut both columns at each other's chunk borders (without copying)."""
    borders = {0, len(a)}
    for column in (a, b):
        borders.update(np.cumsum([len(chunk) for chunk in column.chunks]).tolist())
    cuts = sorted(int(border) for border in borders)
    pairs = []
    for start, stop in itertools.pairwise(cuts):
        pairs.append(tuple(_piece(column, start, stop) for column in (a, b)))
    return pairs


def _piece(column: Any, start: int, stop: int) -> Any:
    for chunk in column.chunks:
        if start < len(chunk):
            return chunk.slice(start, stop - start)
        start, stop = start - len(chunk), stop - len(chunk)
    raise AssertionError("a border lies outside the column")


def _compare(found: list[str], x: Any, ix: Rows, y: Any, iy: Rows, where: str) -> None:
    """Compare values ``ix`` of array ``x`` with values ``iy`` of ``y``, of the same type and number."""
    kind = x.type
    if isinstance(kind, pa.BaseExtensionType):
        _compare(found, x.storage, ix, y.storage, iy, where)
        return
    if pt.is_run_end_encoded(kind):
        _compare(found, x.values, _runs(x, ix), y.values, _runs(y, iy), where)
        return
    if pt.is_union(kind):
        _union(found, x, ix, y, iy, where)
        return
    valid, other = (_valid(array)[rows] for array, rows in ((x, ix), (y, iy)))
    if not np.array_equal(valid, other):
        found.append(f"{where}: null at other places, first at {int((valid != other).argmax())}")
        return
    ix, iy = ix[valid], iy[valid]
    if pt.is_null(kind) or not len(ix):
        return
    if pt.is_dictionary(kind):
        left, right = (array.indices.to_numpy(zero_copy_only=False) for array in (x, y))
        _compare(found, x.dictionary, _int(left[ix]), y.dictionary, _int(right[iy]), where)
    elif pt.is_struct(kind):
        for number in range(kind.num_fields):
            _compare(found, x.field(number), ix, y.field(number), iy, f"{where}.{kind.field(number).name}")
    elif pt.is_nested(kind):
        _lists(found, x, ix, y, iy, where)
    elif pt.is_boolean(kind):
        _same(found, _bits(x)[ix], _bits(y)[iy], where)
    elif _is_variable(kind):
        left, right = (
            array.cast(pa.large_binary()).take(pa.array(rows)) for array, rows in ((x, ix), (y, iy))
        )
        _same(found, pc.equal(left, right).to_numpy(zero_copy_only=False), np.True_, where)
    else:
        _same(found, _words(x)[ix], _words(y)[iy], where)


def _same(found: list[str], left: Any, right: Any, where: str) -> None:
    other: Any = np.asarray(left != right)
    if other.ndim > 1:
        other = other.any(axis=1)
    if other.any():
        found.append(f"{where}: other bits, first at {int(other.argmax())}, {int(other.sum())} in all")


def _int(values: Any) -> Rows:
    return np.asarray(values).astype(np.int64)


def _valid(array: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def _is_variable(kind: Any) -> bool:
    return bool(
        pt.is_string(kind)
        or pt.is_large_string(kind)
        or pt.is_string_view(kind)
        or pt.is_binary(kind)
        or pt.is_large_binary(kind)
        or pt.is_binary_view(kind)
    )


def _bits(array: Any) -> Any:
    packed = np.frombuffer(array.buffers()[1], np.uint8)
    bits = np.unpackbits(packed, bitorder="little")
    return bits[array.offset : array.offset + len(array)]


def _words(array: Any) -> Any:
    """Return the raw bytes of a fixed-width array, a row each."""
    width = array.type.bit_width // 8
    raw = np.frombuffer(array.buffers()[1], np.uint8)
    return raw[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)


def _lists(found: list[str], x: Any, ix: Rows, y: Any, iy: Rows, where: str) -> None:
    (starts, lengths), (other_starts, other_lengths) = _spans(x, ix), _spans(y, iy)
    if not np.array_equal(lengths, other_lengths):
        found.append(f"{where}: other list lengths, first at {int((lengths != other_lengths).argmax())}")
        return
    within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    left, right = (np.repeat(first, lengths) + within for first in (starts, other_starts))
    _compare(found, x.values, _int(left), y.values, _int(right), f"{where}[]")


def _spans(array: Any, rows: Rows) -> tuple[Rows, Rows]:
    """Return where in ``array.values`` each list starts, and its length."""
    kind = array.type
    if pt.is_fixed_size_list(kind):
        return (rows + array.offset) * kind.list_size, np.full(len(rows), kind.list_size, np.int64)
    offsets = _int(array.offsets.to_numpy(zero_copy_only=False))
    if pt.is_list_view(kind) or pt.is_large_list_view(kind):
        return offsets[rows], _int(array.sizes.to_numpy(zero_copy_only=False))[rows]
    return offsets[rows], offsets[rows + 1] - offsets[rows]


def _runs(array: Any, rows: Rows) -> Rows:
    ends = _int(array.run_ends.to_numpy(zero_copy_only=False))
    return _int(np.searchsorted(ends, rows + array.offset, side="right"))


def _union(found: list[str], x: Any, ix: Rows, y: Any, iy: Rows, where: str) -> None:
    codes, other = (_raw(array, 1, np.int8)[rows] for array, rows in ((x, ix), (y, iy)))
    if not np.array_equal(codes, other):
        found.append(f"{where}: other union member, first at {int((codes != other).argmax())}")
        return
    for position, code in enumerate(x.type.type_codes):
        left, right = ix[codes == code], iy[codes == code]
        if x.type.mode == "dense":
            left, right = (_raw(array, 2, np.int32)[rows] for array, rows in ((x, left), (y, right)))
        _compare(found, x.field(position), left, y.field(position), right, f"{where}<{code}>")


def _raw(array: Any, number: int, dtype: type[np.integer[Any]]) -> Rows:
    """Read a union's buffer; pyarrow's ``type_codes`` and ``offsets`` forget that an array was sliced."""
    values = np.frombuffer(array.buffers()[number], dtype)
    return _int(values[array.offset : array.offset + len(array)])

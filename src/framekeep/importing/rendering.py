"""Values as text, each so that it can be read back; and times in the coarsest unit that holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

EXACT = float(1 << 53)  # below it, a double holds every whole number

_UNITS = (("s", 1_000_000), ("ms", 1_000), ("us", 1))

Cells: TypeAlias = Any  # an Arrow array or chunked array


def is_whole(numbers: Cells) -> bool:
    """Say whether all numbers are whole, and small enough to be told from their neighbours."""
    small = pc.less(pc.abs(numbers), EXACT)
    return all_true(small) and all_true(pc.equal(pc.floor(numbers), numbers))


def number_text(numbers: pa.Array) -> pa.Array:
    """Return doubles as text: whole ones without a fraction, others with the digits that tell them apart."""
    whole = pc.and_(pc.equal(pc.floor(numbers), numbers), pc.less(pc.abs(numbers), EXACT))
    if all_true(whole):
        return numbers.cast(pa.int64()).cast(pa.string())
    if not pc.any(whole).as_py():
        return numbers.cast(pa.string())
    integers = pc.if_else(whole, numbers, pa.scalar(None, pa.float64())).cast(pa.int64())
    return pc.coalesce(integers.cast(pa.string()), numbers.cast(pa.string()))


def duration_text(microseconds: int) -> str:
    """Return a length of time as hours:minutes:seconds, however many hours there are."""
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{'-' if microseconds < 0 else ''}{hours}:{minutes:02}:{seconds:02}{fraction}"


def durations_text(lengths: pa.Array) -> pa.Array:
    """Return lengths of time as text."""
    micro = lengths.cast(pa.duration("us")).cast(pa.int64())
    return pa.array([None if n is None else duration_text(n) for n in micro.to_pylist()], pa.string())


def truth_text(truths: pa.Array) -> pa.Array:
    """Return truth values as a spreadsheet shows them."""
    return pc.if_else(truths, "TRUE", "FALSE")


def coarsest_unit(times: Sequence[Cells]) -> str:
    """Return the coarsest unit in which all the times, which are in microseconds, are whole."""
    for unit, size in _UNITS:
        if all(multiples(cells.cast(pa.int64()), size) for cells in times):
            return unit
    return "us"


def in_coarsest_unit(micro: Cells, kind: Callable[[str], pa.DataType]) -> Cells:
    """Return microseconds, as whole numbers or times, as a type of time in the coarsest unit for them."""
    micro = micro.cast(pa.int64())
    for unit, size in _UNITS:
        if multiples(micro, size):
            return pc.divide(micro, size).cast(kind(unit))
    return micro.cast(kind("us"))


def multiples(numbers: Cells, size: int) -> bool:
    """Say whether whole numbers are all multiples of ``size``."""
    return size == 1 or all_true(pc.equal(pc.multiply(pc.divide(numbers, size), size), numbers))


def all_true(truths: Cells) -> bool:
    """Say whether no cell is false; one without a value is neither."""
    return pc.all(truths).as_py() is not False

"""Exact encoding of Python values: object cells, labels, names, attrs, time zones, offsets.

Every value comes back with the same type and the same bits, or is refused while dumping; nothing is
changed silently. Loading builds values of a fixed list of types and never imports, looks up or runs
anything that the bytes name. The format is in ``docs/format.md``, section "Values".

Within one value, parts that are one object come back as one object, and lists, dicts and the like may
hold themselves. Equal values with equal sharing give equal bytes.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import pathlib
import re
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NoReturn

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.errors import DamagedError, DataFrameTooLargeError, NewerFormatError, UnsupportedTypeError
from framekeep.frames import (  # noqa: F401 - fill the table
    values_arrow,
    values_dateutil,
    values_dtypes,
    values_exceptions,
    values_masked,
    values_numpy,
    values_pandas,
    values_python,
    values_time,
)
from framekeep.frames.foreign import Allowance
from framekeep.frames.values_cells import read_cells, write_cells
from framekeep.frames.values_kinds import VERSION, Pickler, Refused, damaged
from framekeep.frames.values_pandas import OFFSETS, register_nested
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

__all__ = ["Pickler", "dump", "dump_cells", "immutable", "load", "load_cells", "register_nested"]

values_python.name_types()

Data = bytes | bytearray | memoryview


def dump(value: object, *, where: str = "", pickler: Pickler | None = None) -> bytes:
    """Encode one value; the result says everything that is needed to read it.

    Args:
        where: the column or label that holds it, for the error.
        pickler: takes over values that have no exact encoding, if given.

    Raises:
        UnsupportedTypeError: the value, or something in it, has no exact encoding.
    """
    writer = Writer(pickler)
    writer.out.append(VERSION)
    try:
        writer.value(value)
    except (Refused, RecursionError, UnsupportedTypeError) as error:
        _refuse(error, where)
    return bytes(writer.out)


def load(data: Data, *, pickler: Pickler | None = None, allowance: Allowance | None = None) -> Any:
    """Decode one value.

    Args:
        allowance: what the value may take in memory, for bytes that nobody vouches for.

    Raises:
        SessionDamagedError: the bytes are not an encoded value.
        NewerFormatError: a newer version wrote them.
    """
    try:
        reader = _reader(data, pickler, allowance)
        value = reader.value()
        reader.finished()
    except (DamagedError, NewerFormatError, DataFrameTooLargeError, MemoryError):
        raise
    except Exception as error:
        _malformed(error)
    return value


def dump_cells(cells: npt.NDArray[np.object_], *, where: str = "", pickler: Pickler | None = None) -> bytes:
    """Encode the cells of a one-dimensional object array.

    Raises:
        UnsupportedTypeError: a cell, or something in it, has no exact encoding.
    """
    writer = Writer(pickler)
    writer.out.append(VERSION)
    try:
        write_cells(writer, cells)
    except (Refused, RecursionError, UnsupportedTypeError) as error:
        _refuse(error, where)
    return bytes(writer.out)


def load_cells(
    data: Data, n: int, *, pickler: Pickler | None = None, allowance: Allowance | None = None
) -> npt.NDArray[np.object_]:
    """Decode ``n`` cells into a new one-dimensional object array.

    Raises:
        SessionDamagedError: the bytes are not ``n`` encoded cells.
    """
    try:
        reader = _reader(data, pickler, allowance)
        cells = read_cells(reader, n)
        reader.finished()
    except (DamagedError, NewerFormatError, DataFrameTooLargeError, MemoryError):
        raise
    except Exception as error:
        _malformed(error)
    return cells


def _reader(data: Data, pickler: Pickler | None, allowance: Allowance | None) -> Reader:
    reader = Reader(data, pickler, allowance)
    version = reader.byte()
    if version > VERSION:
        raise NewerFormatError(
            f"A stored value has version {version}; this version of framekeep reads up to {VERSION}. "
            "Upgrade framekeep to read it."
        )
    if version != VERSION:
        damaged(f"version {version} of the value format never was")
    return reader


def _malformed(error: Exception) -> NoReturn:
    try:
        damaged(f"{type(error).__name__} while reading it")
    except DamagedError as translated:
        raise translated from error


def _refuse(error: Exception, where: str) -> NoReturn:
    place = f"{where} holds" if where else "there is"
    if isinstance(error, UnsupportedTypeError):
        raise UnsupportedTypeError(
            f"{place} a nested value that cannot be kept: {error}", where=where, type_name=error.type_name
        ) from error
    if not isinstance(error, Refused):
        raise UnsupportedTypeError(
            f"{place} a value that is nested too deep to be kept", where=where, type_name="nested"
        ) from error
    name = f"{error.type.__module__}.{error.type.__qualname__}"
    reason = f": {error.reason}" if error.reason else ""
    raise UnsupportedTypeError(
        f"{place} a value of type {name}, which cannot be kept exactly{reason}; convert it first",
        where=where,
        type_name=name,
    ) from error


IMMUTABLE: Final[frozenset[type]] = frozenset(
    [
        *(type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented), range),
        *(Decimal, Fraction, uuid.UUID, re.Pattern, type),
        *(dt.date, dt.time, dt.datetime, dt.timedelta, dt.timezone),
        *(pd.Timestamp, pd.Timedelta, pd.Period, type(pd.NA), type(pd.NaT)),
        *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
        *(ipaddress.IPv4Interface, ipaddress.IPv6Interface),
        *(pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath),
        *(np.dtype(letter).type for letter in "?bBhHiIlLqQefdgFDGMmSU"),
        *OFFSETS.values(),
    ]
)
"""Types whose values cannot be changed and hold nothing that could be."""


def immutable(cells: npt.NDArray[np.object_]) -> bool:
    """Tell whether the decoded cells may be shared between callers, because none can be changed.

    Tuples, frozensets and intervals count when all they hold, at any depth, is immutable.
    """
    rest: Any = cells
    while True:
        kinds = set(map(type, rest)) - IMMUTABLE
        if not kinds:
            return True
        if not kinds <= {tuple, frozenset, pd.Interval}:
            return False
        inner: list[Any] = []
        for cell in rest:
            if type(cell) is pd.Interval:
                inner += (cell.left, cell.right)
            elif type(cell) in kinds:
                inner += cell
        if len(inner) > _MOST_PARTS:
            return False
        rest = inner


_MOST_PARTS: Final = 10_000_000
"""Tuples that hold one tuple many times over may unfold without end; beyond this they count as mutable."""

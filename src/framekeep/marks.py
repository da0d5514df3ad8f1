"""Intentional missing: cells that are empty on purpose (not asked, not applicable).

Owns the set of marked rows per column, its checks against a frame's labels and rows, and its bytes
(docs/format.md, "Marks"). Knows nothing of sessions or storage.

Inside, a column is its position: so the bytes need no encoding of labels, and marks belong to one frame's
column order. ``carried`` translates them to another frame by label.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.errors import InvalidMarksError, NewerFormatError, SessionDamagedError

Rows = npt.NDArray[np.int64]
"""Sorted unique row positions."""

FORMAT = 1

_HEADER = struct.Struct("<BI")  # format, number of columns
_COLUMN = struct.Struct("<IBBQQ")  # position, layout, bytes of one number, numbers, first row
_DELTAS, _RUNS, _BITMAP = 0, 1, 2


class Marks:
    """Marked rows by column position; immutable.

    Columns without marked rows are not held, so equal marks are equal values and equal bytes.
    """

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[int, Rows] | None = None) -> None:
        self._rows: dict[int, Rows] = {
            position: positions for position, positions in sorted((rows or {}).items()) if len(positions)
        }

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Marks):
            return NotImplemented
        return self._rows.keys() == other._rows.keys() and all(
            np.array_equal(rows, other._rows[position]) for position, rows in self._rows.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def labelled(self, columns: pd.Index) -> dict[Any, list[int]]:
        """Return ``label -> sorted row positions`` for a frame with these column labels."""
        labels = columns.tolist()  # Python's own types, as json wants them
        return {labels[position]: rows.tolist() for position, rows in self._rows.items()}

    def replaced(self, changes: Mapping[Any, Iterable[Any]], columns: pd.Index, rows: int) -> Marks:
        """Return marks in which each named column has exactly the given rows; an empty list clears it.

        Args:
            changes: ``label -> row positions`` in any order, repeated or not.
            columns: the frame's column labels.
            rows: the frame's number of rows.

        Raises:
            InvalidMarksError: a column is unknown or its label ambiguous, or a row is not an integer
                between 0 and ``rows`` - 1.
        """
        if not isinstance(changes, Mapping):
            raise InvalidMarksError(
                f"Marks must be a mapping of column to row positions, not {type(changes).__name__}."
            )
        merged = dict(self._rows)
        for label, positions in changes.items():
            merged[_position(columns, label)] = _checked_rows(label, positions, rows)
        return Marks(merged)

    def carried(self, before: pd.Index, after: pd.Index, rows: int) -> Marks:
        """Return what remains true of these marks on another frame.

        A column is followed by its label; marks of columns that are gone (or whose label is no longer
        unique) and of rows at or after ``rows`` are left out.
        """
        carried: dict[int, Rows] = {}
        for position, marked in self._rows.items():
            place = _find(after, before[position])
            if isinstance(place, int) and isinstance(_find(before, before[position]), int):
                carried[place] = marked[: np.searchsorted(marked, rows)]
        return Marks(carried)

    def encode(self) -> bytes:
        """Return the canonical bytes: the smallest of three layouts for each column."""
        parts = [_HEADER.pack(FORMAT, len(self._rows))]
        for position, rows in self._rows.items():
            parts += _encode_column(position, rows)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Marks:
        """Return the marks that ``encode`` gave these bytes for.

        Raises:
            NewerFormatError: a newer version of Framekeep wrote them.
            SessionDamagedError: the bytes are none of ours.
        """
        if data[:1] > bytes([FORMAT]):
            raise NewerFormatError(
                f"Marks have format {data[0]}; this Framekeep reads up to {FORMAT}. Install a newer one."
            )
        try:
            return cls(_decode_columns(memoryview(data)))
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise SessionDamagedError(
                "The marks of intentional missing are damaged.", where="marks"
            ) from error


def _find(columns: pd.Index, label: Hashable) -> object:
    """Return the position of a label; a slice or mask when it is not unique; None when it is absent."""
    try:
        place = columns.get_loc(label)
    except (KeyError, TypeError, ValueError, pd.errors.InvalidIndexError):
        return None
    return int(place) if isinstance(place, (int, np.integer)) else place


def _position(columns: pd.Index, label: Hashable) -> int:
    place = _find(columns, label)
    if place is None:
        raise InvalidMarksError(f"Marks name the column {label!r}, which the frame does not have.")
    if not isinstance(place, int):
        raise InvalidMarksError(f"Marks name the column {label!r}, which the frame has more than once.")
    return place


def _checked_rows(label: Hashable, positions: Iterable[Any], rows: int) -> Rows:
    if isinstance(positions, (str, bytes, Mapping)) or not isinstance(positions, Iterable):
        raise InvalidMarksError(
            f"Marks of column {label!r} must be a list of row positions, not {type(positions).__name__}."
        )
    if isinstance(positions, (np.ndarray, pd.Series, pd.Index)):
        given = np.asarray(positions)
        if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
            raise InvalidMarksError(
                f"Marks of column {label!r} must be integer row positions in one dimension, not "
                f"{given.ndim}-dimensional {given.dtype}."
            )
        outside = given[(given < 0) | (given >= rows)] if given.size else given
        if outside.size:
            raise _no_such_row(label, int(outside[0]), rows)
        return np.unique(given.astype(np.int64))
    listed = list(positions)
    for row in listed:
        if isinstance(row, (bool, np.bool_)) or not isinstance(row, (int, np.integer)):
            raise InvalidMarksError(
                f"Marks of column {label!r} hold {type(row).__name__} where an integer row position belongs."
            )
        if not 0 <= row < rows:
            raise _no_such_row(label, int(row), rows)
    return np.unique(np.array(listed, dtype=np.int64))


def _no_such_row(label: Hashable, row: int, rows: int) -> InvalidMarksError:
    return InvalidMarksError(
        f"Marks of column {label!r} name row {row}; the frame has {rows} row(s), counted from 0."
    )


def _width(largest: int) -> int:
    return next(width for width in (1, 2, 4, 8) if largest < 1 << (8 * width))


def _encode_column(position: int, rows: Rows) -> list[bytes]:
    first, span = int(rows[0]), int(rows[-1] - rows[0]) + 1
    deltas = np.diff(rows) - 1  # rows skipped before each further row
    breaks = np.flatnonzero(deltas)
    gaps = deltas[breaks]
    lengths = np.diff(np.concatenate(([0], breaks + 1, [len(rows)]))) - 1
    delta_width = _width(int(deltas.max(initial=0)))
    run_width = _width(int(max(gaps.max(initial=0), lengths.max(initial=0))))
    sizes = {
        _RUNS: (2 * len(gaps) + 1) * run_width,
        _DELTAS: len(deltas) * delta_width,
        _BITMAP: (span + 7) // 8,
    }
    layout = min(sizes, key=lambda candidate: sizes[candidate])
    if layout == _RUNS:
        numbers, width = np.concatenate((gaps, lengths)), run_width
    elif layout == _DELTAS:
        numbers, width = deltas, delta_width
    else:
        bits = np.zeros(span, dtype=np.uint8)
        bits[rows - first] = 1
        numbers, width = np.packbits(bits, bitorder="little"), 1
    payload = numbers.astype(f"<u{width}").tobytes()
    return [_COLUMN.pack(position, layout, width, len(numbers), first), payload]


def _decode_columns(data: memoryview) -> dict[int, Rows]:
    version, count = _HEADER.unpack_from(data)
    if version != FORMAT:
        raise ValueError("unknown format of marks")
    at = _HEADER.size
    columns: dict[int, Rows] = {}
    for _ in range(count):
        position, layout, width, length, first = _COLUMN.unpack_from(data, at)
        at += _COLUMN.size
        if width not in (1, 2, 4, 8) or length * width > len(data) - at or position in columns:
            raise ValueError("marks are cut short or out of order")
        numbers = np.frombuffer(data, dtype=f"<u{width}", count=length, offset=at).astype(np.int64)
        at += length * width
        columns[position] = _decode_rows(layout, numbers, first)
    if at != len(data):
        raise ValueError("marks have bytes left over")
    return columns


def _decode_rows(layout: int, numbers: Rows, first: int) -> Rows:
    if layout == _BITMAP:
        bits = np.unpackbits(numbers.astype(np.uint8), bitorder="little")
        return np.flatnonzero(bits).astype(np.int64) + first
    if layout == _DELTAS:
        return np.concatenate(([first], first + np.cumsum(numbers + 1))).astype(np.int64)
    if layout != _RUNS or len(numbers) % 2 == 0:
        raise ValueError("unknown layout of marks")
    gaps, lengths = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :] + 1
    if int(lengths.sum()) > 1 << 31 or (lengths < 1).any():
        raise ValueError("impossible run of marks")
    ends = np.cumsum(lengths)
    shifts = np.concatenate(([0], np.cumsum(gaps)))
    rows: Rows = np.arange(ends[-1], dtype=np.int64) + np.repeat(shifts, lengths) + first
    return rows

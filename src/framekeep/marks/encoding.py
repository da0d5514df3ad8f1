"""The bytes of marks (docs/format.md, "Marks"): format 1, and format 2 when there are reasons.

Owns the layouts of a set of rows and their checks on reading. Knows no frame and no label.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from framekeep.errors import NewerFormatError, SessionDamagedError

Rows = npt.NDArray[np.int64]
"""Sorted unique row positions."""

Reasons = Mapping[int, Mapping[str, Rows]]
"""Column position -> reason -> the marked rows that have it."""

FORMAT = 2
"""The newest format that is read; 1 is still written when there are no reasons."""

_HEADER = struct.Struct("<BI")  # format, number of columns
_POSITION = struct.Struct("<I")
_ROWS = struct.Struct("<BBQQ")  # layout, bytes of one number, numbers, first row
_COUNT = struct.Struct("<I")
_DELTAS, _RUNS, _BITMAP = 0, 1, 2


def encode(rows: Mapping[int, Rows], reasons: Reasons) -> bytes:
    """Return the canonical bytes of marks, given in order of position, with no empty column or reason."""
    parts = [_HEADER.pack(FORMAT if reasons else 1, len(rows))]
    for position, marked in rows.items():
        parts += [_POSITION.pack(position), *_encode_rows(marked)]
        if not reasons:
            continue
        texts = sorted(
            (text.encode("utf-8", "surrogatepass"), some) for text, some in reasons.get(position, {}).items()
        )
        parts.append(_COUNT.pack(len(texts)))
        for encoded, some in texts:
            parts += [_COUNT.pack(len(encoded)), encoded, *_encode_rows(some)]
    return b"".join(parts)


def decode(data: bytes) -> tuple[dict[int, Rows], dict[int, dict[str, Rows]]]:
    """Return the rows and reasons that ``encode`` gave these bytes for.

    Raises:
        NewerFormatError: a newer version of Framekeep wrote them.
        SessionDamagedError: the bytes are none of ours.
    """
    if data[:1] > bytes([FORMAT]):
        raise NewerFormatError(
            f"Marks have format {data[0]}; this Framekeep reads up to {FORMAT}. Install a newer one."
        )
    try:
        return _Reader(memoryview(data)).columns()
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise SessionDamagedError("The marks of intentional missing are damaged.", where="marks") from error


class _Reader:
    """Reads marks from the first byte to the last; ValueError and its like where they make no sense."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def columns(self) -> tuple[dict[int, Rows], dict[int, dict[str, Rows]]]:
        version, count = self._take(_HEADER)
        if version not in (1, FORMAT):
            raise ValueError("unknown format of marks")
        rows: dict[int, Rows] = {}
        reasons: dict[int, dict[str, Rows]] = {}
        for _ in range(count):
            [position] = self._take(_POSITION)
            if position in rows:
                raise ValueError("marks are out of order")
            rows[position] = self._rows()
            if version == FORMAT and (found := self._reasons(rows[position])):
                reasons[position] = found
        if self._at != len(self._data):
            raise ValueError("marks have bytes left over")
        return rows, reasons

    def _reasons(self, marked: Rows) -> dict[str, Rows]:
        found: dict[str, Rows] = {}
        left = marked
        for _ in range(self._take(_COUNT)[0]):
            [length] = self._take(_COUNT)
            text = str(self._bytes(length), "utf-8", "surrogatepass")
            some = self._rows()
            if text in found or not np.isin(some, left, assume_unique=True).all():
                raise ValueError("a reason is there twice, or for a row that is not marked")
            left = np.setdiff1d(left, some, assume_unique=True)
            found[text] = some
        return found

    def _rows(self) -> Rows:
        layout, width, length, first = self._take(_ROWS)
        if width not in (1, 2, 4, 8) or length * width > len(self._data) - self._at:
            raise ValueError("marks are cut short")
        numbers = np.frombuffer(self._bytes(length * width), dtype=f"<u{width}").astype(np.int64)
        return _decode_rows(layout, numbers, first)

    def _take(self, form: struct.Struct) -> tuple[int, ...]:
        fields = form.unpack_from(self._data, self._at)
        self._at += form.size
        return fields

    def _bytes(self, length: int) -> memoryview:
        piece = self._data[self._at : self._at + length]
        if len(piece) != length:
            raise ValueError("marks are cut short")
        self._at += length
        return piece


def _width(largest: int) -> int:
    return next(width for width in (1, 2, 4, 8) if largest < 1 << (8 * width))


def _encode_rows(rows: Rows) -> list[bytes]:
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
    return [_ROWS.pack(layout, width, len(numbers), first), payload]


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

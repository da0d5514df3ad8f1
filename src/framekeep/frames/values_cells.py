"""The columnar form of many values: one code per cell, then one section per code.

Owns the fast paths for the types that fill object columns; every other cell is encoded by itself in
the last section, so both forms share one set of rules.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from framekeep.frames.values_kinds import damaged
from framekeep.frames.values_reader import Reader
from framekeep.frames.values_writer import Writer

Cells = npt.NDArray[np.object_]

NONE, FALSE, TRUE, NA, NAT = 0, 1, 2, 3, 4
INT, FLOAT, STR, BYTES, DECIMAL, DATE, DATETIME, UUID, TIMESTAMP = 16, 17, 18, 19, 20, 21, 22, 23, 24
OTHER: Final = 63

CONSTANTS: Final[dict[int, object]] = {NONE: None, FALSE: False, TRUE: True, NA: pd.NA, NAT: pd.NaT}

_CODES: Final[dict[type, int]] = {
    type(None): NONE,
    type(pd.NA): NA,
    type(pd.NaT): NAT,
    bool: TRUE,
    int: INT,
    float: FLOAT,
    str: STR,
    bytes: BYTES,
    Decimal: DECIMAL,
    dt.date: DATE,
    dt.datetime: DATETIME,
    uuid.UUID: UUID,
    pd.Timestamp: TIMESTAMP,
}

_EPOCH_MICROS: Final = (dt.datetime(1970, 1, 1) - dt.datetime(1, 1, 1)) // dt.timedelta(microseconds=1)
_LAST_MICROS: Final = (dt.datetime.max - dt.datetime(1, 1, 1)) // dt.timedelta(microseconds=1)
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()


class _Codes(dict[type, int]):
    def __missing__(self, key: type) -> int:
        return OTHER


_CODE_OF: Final = _Codes(_CODES)

# --- writing ------------------------------------------------------------------------------------


def write_cells(w: Writer, cells: Cells) -> None:
    """Append the cells of a one-dimensional object array."""
    n = len(cells)
    if not n:
        return
    kinds = set(map(type, cells))
    codes: npt.NDArray[np.uint8]
    if len(kinds) == 1:
        code = _CODE_OF[kinds.pop()]
        if code in CONSTANTS and code != TRUE:
            w.out += bytes((0, code))
            return
        if code == OTHER:
            w.out += bytes((0, code))
            _write_others(w, cells)
            return
        section = _SECTIONS_OUT[code](cells) if code in _WHOLE else None
        if section is not None:
            w.out += bytes((0, code))
            w.out += section
            return
        codes = np.full(n, code, np.uint8)
    else:
        codes = np.fromiter(map(_CODE_OF.__getitem__, map(type, cells)), np.uint8, n)
    places = np.flatnonzero(codes == TRUE)
    codes[places] = np.where(cells[places].astype(np.bool_), TRUE, FALSE)
    sections: list[bytes] = []
    for code in np.unique(codes).tolist():
        if code not in _SECTIONS_OUT:
            continue
        places = np.flatnonzero(codes == code)
        misfits = _MISFITS[code](cells[places]) if code in _MISFITS else None
        if misfits is not None and len(misfits):
            codes[places[misfits]] = OTHER
            places = np.delete(places, misfits)
        if len(places):
            section = _SECTIONS_OUT[code](cells[places])
            assert section is not None
            sections.append(section)
    present = np.unique(codes).tolist()
    w.out.append(0 if len(present) == 1 else 1)
    w.out += bytes(present) if len(present) == 1 else codes.tobytes()
    for section in sections:
        w.out += section
    if OTHER in present:
        _write_others(w, cells[codes == OTHER])


def _write_others(w: Writer, cells: Cells) -> None:
    for cell in cells:
        w.value(cell)


def _ints(cells: Cells) -> bytes | None:
    try:
        return cells.astype("<i8").tobytes()
    except OverflowError:
        return None


def _texts(cells: Cells) -> bytes | None:
    try:
        return _pieces(pa.array(cells, pa.large_string()))
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None


def _pieces(array: Any) -> bytes:
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[: len(array) + 1]
    lengths = np.diff(ends)
    longest = int(lengths.max())
    width = 1 if longest < 1 << 8 else 2 if longest < 1 << 16 else 4 if longest < 1 << 32 else 8
    text = b"" if data is None else memoryview(data)[: int(ends[-1])]
    return b"".join((bytes([width]), lengths.astype(f"<u{width}").tobytes(), text))


def _datetimes(cells: Cells) -> bytes:
    micros: npt.NDArray[np.int64] = pa.array(cells, pa.timestamp("us")).view(pa.int64()).to_numpy()
    return (micros + _EPOCH_MICROS).astype("<i8").tobytes()


def _dates(cells: Cells) -> bytes:
    days: npt.NDArray[np.int32] = pa.array(cells, pa.date32()).view(pa.int32()).to_numpy()
    return (days + _EPOCH_DAY).astype("<u4").tobytes()


def _make_timestamps(counts: npt.NDArray[np.int64], unit: str, zone: dt.tzinfo | None) -> Cells:
    index = pd.DatetimeIndex(counts.view(f"M8[{unit}]"))
    if zone is not None:
        index = index.tz_localize("UTC").tz_convert(zone)
    made: Cells = index.astype(object).to_numpy()
    return made


def _counts(cells: Cells) -> npt.NDArray[np.int64]:
    return np.fromiter([cell.asm8.view(np.int64) for cell in cells], np.int64, len(cells))


def _timestamps(cells: Cells) -> bytes:
    w = Writer()
    w.text(cells[0].unit)
    w.value(cells[0].tzinfo)
    w.out += _counts(cells).astype("<i8").tobytes()
    return bytes(w.out)


def _odd_timestamps(cells: Cells) -> npt.NDArray[np.intp]:
    """Return the positions of those that the first one's unit and zone do not give back exactly."""
    unit, zone = cells[0].unit, cells[0].tzinfo
    try:
        Writer().value(zone)
        again = _make_timestamps(_counts(cells), unit, zone)
    except Exception:  # whatever it is, each of them is then looked at by itself
        return np.arange(len(cells))
    return np.flatnonzero(
        [
            one.unit != unit or one.tzinfo is not two.tzinfo or one.fold != two.fold
            for one, two in zip(cells, again, strict=True)
        ]
    )


_WHOLE: Final = (INT, FLOAT, STR, BYTES, DECIMAL, DATE)
"""Sections that hold every value of their type, or say None."""

_SECTIONS_OUT: Final[dict[int, Callable[[Cells], bytes | None]]] = {
    INT: _ints,
    FLOAT: lambda cells: cells.astype("<f8").tobytes(),
    STR: _texts,
    BYTES: lambda cells: _pieces(pa.array(cells, pa.large_binary())),
    DECIMAL: lambda cells: _pieces(
        pa.array([str(cell).replace("e", "E") for cell in cells], pa.large_string())
    ),
    DATE: _dates,
    DATETIME: _datetimes,
    UUID: lambda cells: b"".join([cell.bytes for cell in cells]),
    TIMESTAMP: _timestamps,
}


def _where(cells: Cells, wrong: Callable[[Any], bool]) -> npt.NDArray[np.intp]:
    return np.flatnonzero(np.fromiter(map(wrong, cells), np.bool_, len(cells)))


def _encodable(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True


_MISFITS: Final[dict[int, Callable[[Cells], npt.NDArray[np.intp]]]] = {
    INT: lambda cells: (
        _where(cells, lambda cell: not -(1 << 63) <= cell < 1 << 63)
        if _ints(cells) is None
        else np.empty(0, np.intp)
    ),
    STR: lambda cells: (
        _where(cells, lambda cell: not _encodable(cell)) if _texts(cells) is None else np.empty(0, np.intp)
    ),
    DATETIME: lambda cells: _where(cells, lambda cell: cell.tzinfo is not None or cell.fold),
    UUID: lambda cells: _where(cells, lambda cell: cell.is_safe is not uuid.SafeUUID.unknown),
    TIMESTAMP: _odd_timestamps,
}
"""Positions of the cells that have the type of a section but do not fit into it."""

# --- reading ------------------------------------------------------------------------------------


def read_cells(r: Reader, n: int) -> Cells:
    """Read ``n`` cells."""
    cells: Cells = np.empty(0, object)
    if not n:
        return cells
    form = r.byte()
    if form == 0:
        code = r.byte()
        if code in CONSTANTS:
            # Nothing but the caller's n says how many there are; the manifest vouches for it.
            cells = np.empty(n, object)
            cells[:] = CONSTANTS[code]
            return cells
        return _section(r, code, n)
    if form != 1:
        damaged("an unknown form of cells")
    codes = np.frombuffer(r.take(n), np.uint8)
    cells = np.empty(n, object)
    for code in np.unique(codes).tolist():
        places = np.flatnonzero(codes == code)
        if code in CONSTANTS:
            cells[places] = CONSTANTS[code]
        else:
            cells[places] = _section(r, code, len(places))
    return cells


def _section(r: Reader, code: int, count: int) -> Cells:
    reader = _SECTIONS_IN.get(code)
    if reader is None:
        damaged(f"an unknown code {code} of cells")
    if r.allowance is not None:
        r.spend(_MEMORY.get(code, 0) * count)
    return reader(r, count)


def _read_texts(r: Reader, count: int, arrow_type: Any) -> Cells:
    width = r.byte()
    if width not in (1, 2, 4, 8):
        damaged("a text has an impossible length")
    lengths = np.frombuffer(r.take(count * width), f"<u{width}")
    left = r.end - r.position
    if int(lengths.max()) > left:
        damaged("it ends too early")
    ends = np.zeros(count + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    if not 0 <= ends[-1] <= left or (width > 2 and (np.diff(ends) < 0).any()):
        damaged("it ends too early")
    data = r.take(int(ends[-1]))
    array = pa.Array.from_buffers(
        arrow_type, count, [None, pa.py_buffer(ends), pa.py_buffer(data)], null_count=0
    )
    if arrow_type == pa.large_string():
        array.validate(full=True)
    made: Cells = array.to_numpy(zero_copy_only=False)
    return made


def _read_datetimes(r: Reader, count: int) -> Cells:
    micros = np.frombuffer(r.take(8 * count), "<i8")
    if micros.min() < 0 or micros.max() > _LAST_MICROS:
        damaged("a datetime is out of range")
    made: Cells = (micros - _EPOCH_MICROS).view("M8[us]").astype(object)
    return made


def _read_dates(r: Reader, count: int) -> Cells:
    days = np.frombuffer(r.take(4 * count), "<u4").astype(np.int64)
    if days.min() < 1 or days.max() > dt.date.max.toordinal():
        damaged("a date is out of range")
    made: Cells = (days - _EPOCH_DAY).view("M8[D]").astype(object)
    return made


def _objects(values: Sequence[Any]) -> Cells:
    return np.fromiter(values, dtype=object, count=len(values))


def _read_uuids(r: Reader, count: int) -> Cells:
    data = bytes(r.take(16 * count))
    return _objects([uuid.UUID(bytes=data[at : at + 16]) for at in range(0, len(data), 16)])


def _read_timestamps(r: Reader, count: int) -> Cells:
    unit, zone = r.text(), r.value()
    counts = np.frombuffer(r.take(8 * count), "<i8").astype(np.int64)
    if unit not in ("s", "ms", "us", "ns") or not isinstance(zone, dt.tzinfo | None):
        damaged("a timestamp has an unknown unit or zone")
    if counts.min() == np.iinfo(np.int64).min:
        damaged("a timestamp is out of range")
    return _make_timestamps(counts, unit, zone)


def _read_others(r: Reader, count: int) -> Cells:
    if count > r.end - r.position:
        damaged("it ends too early")
    return _objects([r.value() for _ in range(count)])


_MEMORY: Final = {
    INT: 32,
    FLOAT: 24,
    STR: 56,
    BYTES: 40,
    DECIMAL: 104,
    DATE: 32,
    DATETIME: 48,
    UUID: 120,
    TIMESTAMP: 120,
}
"""Bytes an object of a section takes in memory, beside its text; others are measured."""

_SECTIONS_IN: Final[dict[int, Callable[[Reader, int], Cells]]] = {
    INT: lambda r, count: np.frombuffer(r.take(8 * count), "<i8").astype(object),
    FLOAT: lambda r, count: np.frombuffer(r.take(8 * count), "<f8").astype(object),
    STR: lambda r, count: _read_texts(r, count, pa.large_string()),
    BYTES: lambda r, count: _read_texts(r, count, pa.large_binary()),
    DECIMAL: lambda r, count: _objects([Decimal(text) for text in _read_texts(r, count, pa.large_string())]),
    DATE: _read_dates,
    DATETIME: _read_datetimes,
    UUID: _read_uuids,
    TIMESTAMP: _read_timestamps,
    OTHER: _read_others,
}

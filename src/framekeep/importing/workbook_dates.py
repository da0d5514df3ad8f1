"""Puts right what the reader makes of times that a calendar, or a clock, does not have.

A number below 0 becomes a time of day there, the 29th of February 1900 the 28th, and the first day of a
workbook that counts from 1904 a time of day. A length of time in an .ods is a time of day or, from 24 hours,
text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.importing.workbook_cells import (
    DATE,
    DURATION,
    INSTANT,
    NUMBER,
    TEXT,
    TIME,
    Block,
    RawColumn,
)
from framekeep.importing.workbook_facts import position

_NO_DAY = datetime.date(1900, 2, 28)  # where the reader puts the 29th, too
_FIRST_DAY = datetime.date(1904, 1, 1)
_DAY = 86_400_000  # milliseconds
_LENGTH = re.compile(r"(-?)PT([0-9]{1,9})H([0-9]{1,2})M([0-9]{1,2}(?:\.[0-9]{1,6})?)0*S")

Serials = Callable[[], Mapping[int, float]]


def keep_dates(columns: Iterable[RawColumn], from_1904: bool, serials: Serials) -> None:
    """Put right the dates of an Excel workbook.

    Args:
        columns: of a sheet.
        from_1904: day 0 is the 1st of January 1904.
        serials: returns what WorkbookFacts.serials does; is called if a column might need it.
    """
    doubtful = [column for column in columns if _doubtful(column)]
    if not doubtful:
        return
    by_column: dict[int, dict[int, float]] = {}
    for cell, number in serials().items():
        row, at = position(cell)
        by_column.setdefault(at, {})[row] = number
    for column in doubtful:
        found = by_column.get(column.column, {})
        for block in column.blocks:
            _no_dates(block, found, from_1904)
        if from_1904 and column.kinds() & {DATE, INSTANT}:
            for block in column.blocks:
                _first_day(block)


def keep_lengths(columns: Iterable[RawColumn]) -> None:
    """Put right the lengths of time of an .ods: if one is longer than a day, all of the column are such."""
    for column in columns:
        if not {TEXT} <= column.kinds() <= {TEXT, TIME}:
            continue
        texts = [block.parts[TEXT] for block in column.blocks if TEXT in block.parts]
        if not all(_LENGTH.fullmatch(text) for part in texts for text in pc.drop_null(part).to_pylist()):
            continue
        for block in column.blocks:
            block.put(DURATION, _lengths(block))


def _doubtful(column: RawColumn) -> bool:
    if TIME in column.kinds():
        return True
    for block in column.blocks:
        for kind in (DATE, INSTANT):
            values = block.parts.get(kind)
            if values is not None and pc.any(pc.equal(values.cast(pa.date32()), pa.scalar(_NO_DAY))).as_py():
                return True
    return False


def _no_dates(block: Block, numbers: Mapping[int, float], from_1904: bool) -> None:
    """Set cells back to their numbers, or to the day that is in no calendar; ``numbers`` are by row."""
    below: dict[int, float] = {}
    no_day: dict[int, str] = {}
    for row, number in numbers.items():
        at = row - block.row
        if 0 <= at < block.length and any(_has(block, kind, at) for kind in (DATE, INSTANT, TIME)):
            if number < 0:
                below[at] = number
            elif not from_1904:
                no_day[at] = _no_day(number)
    if below:
        block.put(NUMBER, below)
    if no_day:
        block.put(TEXT, no_day)


def _no_day(number: float) -> str:
    milliseconds = min(round((number - 60) * _DAY), _DAY - 1)
    if not milliseconds:
        return "1900-02-29"
    return f"1900-02-29 {(datetime.datetime.min + datetime.timedelta(milliseconds=milliseconds)).time()}"


def _first_day(block: Block) -> None:
    times = block.parts.get(TIME)
    if times is not None:
        combine = datetime.datetime.combine
        found = {at: combine(_FIRST_DAY, t) for at, t in enumerate(times.to_pylist()) if t is not None}
        block.put(INSTANT, found)


def _lengths(block: Block) -> dict[int, datetime.timedelta]:
    found = {}
    for at, time in enumerate(block.part(TIME).to_pylist()):
        if time is not None:
            found[at] = datetime.datetime.combine(datetime.date.min, time) - datetime.datetime.min
    for at, text in enumerate(block.part(TEXT).to_pylist()):
        match = None if text is None else _LENGTH.fullmatch(text)
        if match is not None:
            hours, minutes, seconds = int(match[2]), int(match[3]), float(match[4])
            length = datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)
            found[at] = -length if match[1] else length
    return found


def _has(block: Block, kind: str, at: int) -> bool:
    part = block.parts.get(kind)
    return part is not None and part[at].is_valid

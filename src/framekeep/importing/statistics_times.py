"""Dates and times of SPSS, SAS and Stata: numbers there, counted from a day that depends on the program.

A column becomes dates only if each of its numbers is in the years 1 to 9999; else it stays numbers. Knows
nothing of files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.importing.rendering import all_true, in_coarsest_unit, multiples

_DAY = 86_400_000_000  # microseconds
_SECOND = 1_000_000
_UNIX = date(1970, 1, 1).toordinal()
_FIRST = (date.min.toordinal() - _UNIX) * _DAY
_END = (date.max.toordinal() + 1 - _UNIX) * _DAY

# Formats by what comes before their width: DATE11 is DATE. What is not here stays a number.
_DAYS_SPSS = ("DATE", "ADATE", "EDATE", "JDATE", "SDATE", "QYR", "MOYR", "WKYR")
_INSTANTS_SPSS = ("DATETIME", "YMDHMS")
_LENGTHS_SPSS = ("TIME", "DTIME", "MTIME")
_DAYS_SAS = (
    "DATE", "DAY", "DDMMYY", "DOWNAME", "E8601DA", "B8601DA", "IS8601DA", "JULDAY", "JULIAN", "MMDDYY",
    "MMYY", "MONNAME", "MONTH", "MONYY", "NLDATE", "QTR", "QTRR", "WEEKDATE", "WEEKDATX", "WEEKDAY",
    "WORDDATE", "WORDDATX", "YEAR", "YYMM", "YYMMDD", "YYMON", "YYQ", "YYQR",
)  # fmt: skip
_INSTANTS_SAS = ("DATETIME", "DATEAMPM", "DTDATE", "E8601DT", "B8601DT", "IS8601DT", "MDYAMPM", "NLDATM")
_LENGTHS_SAS = ("TIME", "TIMEAMPM", "TOD", "HHMM", "HOUR", "MMSS", "E8601TM", "B8601TM", "IS8601TM", "NLTIME")


@dataclass(frozen=True, slots=True)
class Clock:
    """How a format counts.

    Attributes:
        kind: date, datetime or duration.
        unit: microseconds in one of its units.
        start: the day it counts from, as date.toordinal; None for a duration.
    """

    kind: str
    unit: int
    start: int | None


def clock(program: str, form: str | None) -> Clock | None:
    """Return how the numbers of a variable count time; None if they do not.

    Args:
        program: one of model.STATISTICS_FORMATS.
        form: the variable's format, such as DATE11 or %td.
    """
    if not form:
        return None
    sixties = date(1960, 1, 1).toordinal()
    if program == "dta":
        if re.match(r"%-?td", form) or re.match(r"%-?d", form):
            return Clock("date", _DAY, sixties)
        return Clock("datetime", 1_000, sixties) if re.match(r"%-?tc", form) else None
    name = re.sub(r"[0-9.]+$", "", form.upper())
    if program == "sav":
        begin = date(1582, 10, 14).toordinal()
        if name in _DAYS_SPSS:
            return Clock("date", _SECOND, begin)
        if name in _INSTANTS_SPSS:
            return Clock("datetime", _SECOND, begin)
        return Clock("duration", _SECOND, None) if name in _LENGTHS_SPSS else None
    if name.rstrip("BCDNPSX") in _DAYS_SAS or name in _DAYS_SAS:
        return Clock("date", _DAY, sixties)
    if name in _INSTANTS_SAS:
        return Clock("datetime", _SECOND, sixties)
    return Clock("duration", _SECOND, None) if name in _LENGTHS_SAS else None


def times(numbers: pa.ChunkedArray, how: Clock) -> pa.ChunkedArray | None:
    """Return numbers as times, to the microsecond; None if one of them is not in the years 1 to 9999.

    Args:
        numbers: float64 or int64, null where missing.
    """
    numbers = numbers.cast(pa.float64())
    if not all_true(pc.less(pc.abs(pc.multiply(numbers, float(how.unit))), 9e18)):
        return None
    whole = pc.floor(numbers)  # apart from the rest, so that the product is exact
    rest = pc.round(pc.multiply(pc.subtract(numbers, whole), float(how.unit)))
    micro = pc.add(pc.multiply(whole.cast(pa.int64()), how.unit), rest.cast(pa.int64()))
    if how.start is None:
        return in_coarsest_unit(micro, pa.duration)
    micro = pc.add(micro, (how.start - _UNIX) * _DAY)
    if not all_true(pc.and_(pc.greater_equal(micro, _FIRST), pc.less(micro, _END))):
        return None
    if how.kind == "date" and multiples(micro, _DAY):
        return pc.divide(micro, _DAY).cast(pa.int32()).cast(pa.date32())
    return in_coarsest_unit(micro, pa.timestamp)

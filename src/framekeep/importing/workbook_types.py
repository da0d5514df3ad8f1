"""Gives the columns of a sheet a type, from the kinds of value that their cells have, and says why.

A spreadsheet has one kind of number: a column becomes integers when all of them are whole. What is text there
stays text, though it looks like a number: 00501 is one. Columns with several kinds of value become text, each
cell as it would be alone. Dates and times take the coarsest unit that holds them. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from framekeep.importing.model import ColumnReport, ImportOptions
from framekeep.importing.rendering import (
    coarsest_unit,
    durations_text,
    in_coarsest_unit,
    is_whole,
    number_text,
    truth_text,
)
from framekeep.importing.types import cast_text
from framekeep.importing.workbook_cells import (
    DATE,
    DIGITS,
    DURATION,
    INSTANT,
    NUMBER,
    TEXT,
    TIME,
    TRUTH,
    WORD,
    Block,
    RawColumn,
)
from framekeep.importing.workbook_facts import reference

_WORDS = {
    NUMBER: "number",
    TEXT: "text",
    TRUTH: "truth value",
    DATE: "date",
    INSTANT: "date with a time",
    TIME: "time of day",
    DURATION: "length of time",
}
_NO_VALUE = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", ".", "-", "--", "?", "missing"}


@dataclass(frozen=True, slots=True)
class Found:
    """A column with its type.

    Attributes:
        values: with the type.
        text: the same cells as text; None if ``values`` are that.
        kind: what to call the type.
        reason: one sentence.
    """

    values: pa.ChunkedArray
    text: pa.ChunkedArray | None
    kind: str
    reason: str


def settle(columns: Sequence[RawColumn], name: str, options: ImportOptions) -> tuple[Found, ColumnReport]:
    """Decide the type of a column.

    Args:
        columns: the parts of it, one from each sheet, one below the other.
        name: of the column in the table.
        options: ``typing`` and ``types`` are looked at.

    Raises:
        WrongTypeError: it cannot have the type that ``options.types`` asks for.
    """
    wanted = options.types.get(name)
    valued = [column.without(WORD) for column in columns] if options.missing else columns
    if wanted is not None and wanted != "text":
        text = as_text(valued)
        found = Found(
            cast_text(text, name, wanted), text, wanted.partition(":")[0], "this type was asked for"
        )
    elif wanted is not None or not options.typing:
        reason = "this type was asked for" if wanted else "types were not looked for"
        found = Found(as_text(valued), None, "text", reason)
    else:
        found = _find(valued)
    if any(WORD in column.kinds() for column in columns):
        found = replace(found, text=as_text(columns))
    report = ColumnReport(name, found.kind, found.reason, found.values.null_count, wanted is not None)
    return found, report


def _find(columns: Sequence[RawColumn]) -> Found:
    counts = _counts(columns)
    kinds = set(counts)
    if not kinds:
        return Found(as_text(columns), None, "text", "no cell has a value")
    if kinds <= {NUMBER, DIGITS}:
        return _numbers(columns, counts)
    if kinds == {TEXT}:
        return Found(as_text(columns), None, "text", "every cell with a value is text")
    if kinds == {DATE, INSTANT}:
        return _instants(columns, "every cell with a value is a date, some with a time of day")
    if len(kinds) > 1:
        return Found(as_text(columns), None, "text", _mixed(columns, counts))
    (kind,) = kinds
    reason = f"every cell with a value is a {_WORDS[kind]}"
    if kind == INSTANT:
        return _instants(columns, reason)
    if kind == TIME:
        return Found(_joined(columns, TIME), as_text(columns), "time", reason)
    if kind == DURATION:
        values = _joined(columns, DURATION)
        return Found(in_coarsest_unit(values, pa.duration), as_text(columns), "duration", reason)
    return Found(
        _joined(columns, kind), as_text(columns), {TRUTH: "boolean", DATE: "date"}.get(kind, kind), reason
    )


def _numbers(columns: Sequence[RawColumn], counts: dict[str, int]) -> Found:
    numbers = _joined(columns, NUMBER)
    text = as_text(columns)
    if DIGITS in counts:
        if not is_whole(numbers):
            return Found(text, None, "text", _too_long(columns, counts))
        for kind in (pa.int64(), pa.uint64()):
            try:
                values = text.cast(kind)
            except pa.ArrowInvalid:
                continue
            return Found(values, text, "integer", "every cell with a value is a whole number")
        return Found(text, None, "text", _too_long(columns, counts))
    if is_whole(numbers):
        return Found(numbers.cast(pa.int64()), text, "integer", "every cell with a value is a whole number")
    return Found(numbers, text, "number", "every cell with a value is a number")


def _instants(columns: Sequence[RawColumn], reason: str) -> Found:
    chunks = []
    for block in _blocks(columns):
        chunk = block.part(INSTANT)
        if DATE in block.parts:
            chunk = pc.coalesce(chunk, block.parts[DATE].cast(pa.timestamp("us")))
        chunks.append(chunk)
    values = pa.chunked_array(chunks, pa.timestamp("us"))
    return Found(in_coarsest_unit(values, pa.timestamp), as_text(columns), "datetime", reason)


def as_text(columns: Sequence[RawColumn]) -> pa.ChunkedArray:
    """Return the cells as text, each as it would be alone, but dates and times in one form."""
    blocks = _blocks(columns)
    unit = coarsest_unit([block.parts[INSTANT] for block in blocks if INSTANT in block.parts])
    dates_alone = INSTANT not in {kind for block in blocks for kind in block.parts}
    clock = coarsest_unit([block.parts[TIME] for block in blocks if TIME in block.parts])
    render: dict[str, Callable[[pa.Array], pa.Array]] = {
        NUMBER: number_text,
        TRUTH: truth_text,
        DATE: lambda cells: (cells if dates_alone else cells.cast(pa.timestamp("s"))).cast(pa.string()),
        INSTANT: lambda cells: cells.cast(pa.timestamp(unit)).cast(pa.string()),
        TIME: lambda cells: cells.cast(pa.time32(clock) if clock != "us" else cells.type).cast(pa.string()),
        DURATION: durations_text,
    }
    chunks = []
    for block in blocks:
        rendered = [render[kind](cells) if kind in render else cells for kind, cells in block.parts.items()]
        chunks.append(pc.coalesce(*rendered) if rendered else pa.nulls(block.length, pa.string()))
    return pa.chunked_array(chunks, pa.string())


def _blocks(columns: Sequence[RawColumn]) -> list[Block]:
    return [block for column in columns for block in column.blocks]


def _joined(columns: Sequence[RawColumn], kind: str) -> pa.ChunkedArray:
    chunks = [block.part(kind) for block in _blocks(columns)]
    return pa.chunked_array(chunks) if chunks else pa.chunked_array([pa.nulls(0, pa.string())])


def _counts(columns: Sequence[RawColumn]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for block in _blocks(columns):
        for kind, cells in block.parts.items():
            counts[kind] = counts.get(kind, 0) + len(cells) - cells.null_count
    return {kind: count for kind, count in counts.items() if count}


def _mixed(columns: Sequence[RawColumn], counts: dict[str, int]) -> str:
    """Say which kinds there are, and where the first cell of the rarest is."""
    counts = dict(counts)
    long = counts.pop(DIGITS, 0)
    if long:
        counts[NUMBER] = counts.get(NUMBER, 0) + long
    ordered = sorted(counts, key=lambda kind: -counts[kind])
    said = ", ".join(f"{counts[kind]:,} {_plural(_WORDS[kind], counts[kind])}" for kind in ordered)
    where = _first(columns, (NUMBER, DIGITS) if ordered[-1] == NUMBER else (ordered[-1],))
    words = _no_value_words(columns) if TEXT in counts and ordered[-1] == TEXT else ""
    return f"the cells are of several kinds: {said} (the first {_WORDS[ordered[-1]]} is in {where}){words}"


def _no_value_words(columns: Sequence[RawColumn]) -> str:
    words: set[str] = set()
    for block in _blocks(columns):
        if TEXT in block.parts:
            words |= set(pc.drop_null(block.parts[TEXT].unique()).to_pylist())
            if not {word.lower() for word in words} <= _NO_VALUE:
                return ""
    said = " and ".join(repr(word) for word in sorted(words))
    return f"; if {said} means no value, list it under the missing words"


def _too_long(columns: Sequence[RawColumn], counts: dict[str, int]) -> str:
    return (
        f"{counts[DIGITS]:,} {_plural('number', counts[DIGITS])} (the first in "
        f"{_first(columns, (DIGITS,))}) with more digits than a number type keeps"
    )


def _first(columns: Sequence[RawColumn], kinds: Sequence[str]) -> str:
    for column in columns:
        for block in column.blocks:
            for kind in kinds:
                if kind in block.parts:
                    at = pc.index(pc.is_valid(block.parts[kind]), True).as_py()
                    cell = reference(block.row + at, column.column)
                    return f"{cell} of {column.sheet!r}" if len(columns) > 1 else cell
    return "the sheet"


def _plural(word: str, count: int) -> str:
    if count == 1 or word == "text":
        return word
    head, _, tail = word.partition(" ")
    if head in ("time", "length", "date") and tail:
        return f"{head}s {tail}"
    return f"{word}s"

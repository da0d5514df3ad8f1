"""Gives columns of text a type, but only one that loses nothing; or the one that is asked for.

A column becomes numbers, booleans, dates or instants when every cell of it can be turned back into the text
it came from, so far as the text says something: two cells that differ stay different, no digit is lost, and
nothing that only looks like a number (00501, 1E5, +49) becomes one. Everything else stays text, with the
reason. A type that is asked for may drop how a value was written, such as leading zeros, but never a value.
Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from framekeep.errors import UnknownColumnError, WrongTypeError
from framekeep.importing import types_numbers, types_times
from framekeep.importing.ahead import in_order
from framekeep.importing.model import ColumnReport, ImportOptions
from framekeep.importing.spool import Spool, Stored
from framekeep.importing.types_asked import Misfit, cast

PLAIN = "the cells with a value are text"  # the reason of a column of which there is nothing more to say

_SAMPLE = 256  # cells: what does not fit them is not tried on the rest
_FEW = 200_000  # cells of a table that is not worth threads
_BOOLEANS = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))
_MAYBE_BOOLEAN = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f"})


Found = types_numbers.Found


@dataclass(frozen=True, slots=True)
class Typed:
    """A column with its type.

    Attributes:
        values: None if the text is the column.
        type: one of the model's TYPES, without a form such as ``:dmy``.
        reason: why.
    """

    values: pa.ChunkedArray | None
    type: str
    reason: str


def find_type(text: pa.ChunkedArray) -> Typed:
    """Return the column of ``text`` (strings, null where missing) with the type that loses nothing."""
    sample = _sample(text)
    if not sample:
        return Typed(None, "text", "no cell has a value")
    found = _attempts(text, sample)
    if found is None and text.null_count == 0 and _some_empty(text):
        # Where all that is empty is in quotes, as some programs put everything, nothing is lost without it.
        filled = pa.chunked_array([_filled(chunk) for chunk in text.chunks], pa.string())
        found = _attempts(filled, _sample(filled))
        if found is not None:
            return Typed(found[0], found[1], f"{found[2]}; cells with empty quotes have none")
    return Typed(None, "text", _why_text(text, sample)) if found is None else Typed(*found)


def _attempts(text: pa.ChunkedArray, sample: Sequence[str]) -> Found | None:
    if not sample:
        return None
    for attempt in (types_numbers.integers, types_numbers.floats, _booleans, types_times.times):
        found = attempt(text, sample)
        if found is not None:
            return found
    return None


def _some_empty(text: pa.ChunkedArray) -> bool:
    return any(pc.any(pc.equal(pc.binary_length(chunk), 0)).as_py() for chunk in text.chunks)


def _filled(chunk: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(pc.binary_length(chunk), 0), pa.scalar(None, pa.string()), chunk)


def cast_text(text: pa.ChunkedArray, name: str, wanted: str) -> pa.ChunkedArray:
    """Return the column ``name`` with the type ``wanted``, one of the model's TYPES.

    Raises:
        WrongTypeError: it has cells that are no such value; the text says how many, and ``where`` the first.
    """
    try:
        return cast(text, wanted)
    except Misfit as misfit:
        raise WrongTypeError(
            f"The column {name!r} cannot be {wanted}: {misfit}. Ask for another type, or leave it text.",
            where=f"column {name!r}, row {misfit.row:,}" if misfit.row else f"column {name!r}",
        ) from None


def check_names(options: ImportOptions, names: Sequence[str]) -> None:
    """Raise UnknownColumnError if a type is asked for a column that is not there."""
    unknown = [name for name in options.types if name not in set(names)]
    if unknown:
        listed = ", ".join(repr(name) for name in names[:10])
        raise UnknownColumnError(
            f"A type is asked for the column {unknown[0]!r}, but there is none of this name. "
            f"There are {listed}{' …' if len(names) > 10 else ''}."
        )


def type_columns(
    stored: Stored,
    names: Sequence[str],
    options: ImportOptions,
    spool: Spool,
    done: Callable[[float], None],
) -> tuple[tuple[ColumnReport, ...], Stored]:
    """Give each column of a stored table of text its type, and put those that change into the spool.

    Args:
        options: ``types``, ``typing`` and ``missing`` are looked at.
        done: is told the fraction that is done.

    Returns:
        A report for each column; and the table, which is ``stored`` itself if no column changed.

    Raises:
        UnknownColumnError: a type is asked for a column that is not there.
        WrongTypeError: a column cannot have the type that is asked for.
    """
    check_names(options, names)
    table = spool.open(stored)
    missing = pa.array(options.missing, pa.string()) if options.missing else None
    reports = []
    places = []

    def settle(position: int) -> Typed:
        text = table.column(position)
        if missing is not None:
            text = without(text, missing)
        found = _settle(text, names[position], options)
        changed = text is not table.column(position) and text.null_count > table.column(position).null_count
        return Typed(text, found.type, found.reason) if changed and found.values is None else found

    columns = [(position,) for position in range(len(names))]
    small = table.num_rows * len(names) < _FEW
    for position, found in enumerate(
        (settle(*each) for each in columns) if small else in_order(settle, columns)
    ):
        name = names[position]
        column = table.column(position) if found.values is None else found.values
        reports.append(
            ColumnReport(name, found.type, found.reason, column.null_count, overridden=name in options.types)
        )
        places.append(stored.select([position]) if found.values is None else _keep(spool, name, column))
        done((position + 1) / len(names))
    typed = Stored.side_by_side(places)
    return tuple(reports), stored if typed == stored else typed


def _settle(text: pa.ChunkedArray, name: str, options: ImportOptions) -> Typed:
    wanted = options.types.get(name)
    if wanted == "text":
        return Typed(None, "text", "this type was asked for")
    if wanted is not None:
        values = cast_text(text, name, wanted)
        rounded = types_numbers.rounded(text) if wanted == "number" else 0
        told = f"; {rounded:,} cells have more digits than it keeps" if rounded else ""
        return Typed(values, wanted.partition(":")[0], f"this type was asked for{told}")
    if not options.typing:
        return Typed(None, "text", "types were not looked for")
    return find_type(text)


def _keep(spool: Spool, name: str, values: pa.ChunkedArray) -> Stored:
    if not pa.types.is_string(values.type):
        return spool.keep_column(name, values)
    return spool.keep(pa.table({name: values}))  # in its chunks: together they may pass 2 GiB


def without(text: pa.ChunkedArray, missing: pa.Array) -> pa.ChunkedArray:
    """Return the column with null for the words in ``missing``."""
    nothing = pa.scalar(None, pa.string())
    chunks = [pc.if_else(pc.is_in(chunk, value_set=missing), nothing, chunk) for chunk in text.chunks]
    return pa.chunked_array(chunks, pa.string())


def _sample(text: pa.ChunkedArray) -> list[str]:
    """Return up to a few hundred different cells from all over the column; none if there are none."""
    total = len(text)
    positions = np.unique(np.linspace(0, total - 1, _SAMPLE).astype(np.int64)) if total else np.empty(0, int)
    starts = np.cumsum([0, *(len(chunk) for chunk in text.chunks)])
    found: dict[str, None] = {}
    for position, at in zip(positions, np.searchsorted(starts, positions, "right") - 1, strict=True):
        word = text.chunk(int(at))[int(position - starts[at])].as_py()
        if word is not None:
            found[word] = None
    if not found and text.null_count < total:
        for chunk in text.chunks:
            if chunk.null_count < len(chunk):
                found.update(dict.fromkeys(pc.drop_null(chunk)[:_SAMPLE].to_pylist()))
                break
    return list(found)


def _booleans(text: pa.ChunkedArray, sample: Sequence[str]) -> Found | None:
    for pair in _BOOLEANS:
        if set(sample) <= set(pair):
            truth = pc.equal(text, pair[0])
            other = pc.or_(truth, pc.equal(text, pair[1]))
            if pc.all(other).as_py():
                return truth, "boolean", f"every cell with a value is {pair[0]} or {pair[1]}"
    return None


def _why_text(text: pa.ChunkedArray, sample: Sequence[str]) -> str:
    for reason in (types_times.why_text, types_numbers.why_text):
        found = reason(text, sample)
        if found is not None:
            return found
    if {word.lower() for word in sample} <= _MAYBE_BOOLEAN:
        return "the words may mean true and false, or not; if they do, ask for the type boolean"
    return PLAIN

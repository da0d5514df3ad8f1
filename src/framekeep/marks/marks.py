"""Intentional missing: cells that are empty on purpose (not asked, not applicable).

Owns the set of marked rows per column with their reasons, its checks against a frame's labels and rows, and
what becomes of it on another frame. Its bytes are in ``encoding``. Knows nothing of sessions or storage.

Inside, a column is its position: so the bytes need no encoding of labels, and marks belong to one frame's
column order. ``carried`` translates them to another frame.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from framekeep.errors import InvalidMarksError
from framekeep.marks.encoding import Reasons, Rows, decode, encode

MAX_REASON = 1000
"""Characters of a reason."""

MAX_REASONS = 10_000
"""Different reasons in one column."""

Positions = npt.NDArray[np.int64]
"""For each row (or column) of a frame, the position it had in the frame before; -1 for a new column."""


class Marks:
    """Marked rows by column position, with reasons for some of them; immutable.

    Columns without marked rows are not held, nor reasons without rows: equal marks are equal values and equal
    bytes. A marked row has one reason or none.
    """

    __slots__ = ("_reasons", "_rows")

    def __init__(self, rows: Mapping[int, Rows] | None = None, reasons: Reasons | None = None) -> None:
        self._rows: dict[int, Rows] = {
            position: marked for position, marked in sorted((rows or {}).items()) if len(marked)
        }
        self._reasons: dict[int, dict[str, Rows]] = {}
        for position, texts in sorted((reasons or {}).items()):
            if held := {text: some for text, some in sorted(texts.items()) if len(some)}:
                self._reasons[position] = held

    def __bool__(self) -> bool:
        return bool(self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Marks):
            return NotImplemented
        return (
            _equal(self._rows, other._rows)
            and self._reasons.keys() == other._reasons.keys()
            and all(_equal(texts, other._reasons[position]) for position, texts in self._reasons.items())
        )

    __hash__ = None  # type: ignore[assignment]

    def labelled(self, columns: pd.Index) -> dict[Any, list[int]]:
        """Return ``label -> sorted row positions`` for a frame with these column labels."""
        labels = columns.tolist()  # Python's own types, as json wants them
        return {labels[position]: rows.tolist() for position, rows in self._rows.items()}

    @property
    def positions(self) -> Mapping[int, Rows]:
        """Column position -> sorted row positions."""
        return self._rows

    def reasons(self, columns: pd.Index) -> dict[Any, dict[str, list[int]]]:
        """Return ``label -> reason -> sorted row positions``; rows marked without a reason are left out."""
        labels = columns.tolist()
        return {
            labels[position]: {text: some.tolist() for text, some in texts.items()}
            for position, texts in self._reasons.items()
        }

    def replaced(self, changes: Mapping[Any, Iterable[Any]], columns: pd.Index, rows: int) -> Marks:
        """Return marks in which each named column has exactly the given rows; an empty list clears it.

        Args:
            changes: ``label -> row positions`` in any order, repeated or not; or ``label -> list of
                {"rows": positions, "reason": text or None}``. A reason of None (or none given) leaves each
                row the reason it has; an empty one takes it away.
            columns: the frame's column labels.
            rows: the frame's number of rows.

        Raises:
            InvalidMarksError: a column is unknown or its label ambiguous, a row is not an integer between 0
                and ``rows`` - 1 or stands in two entries, or a reason is not a text of at most MAX_REASON
                characters.
        """
        if not isinstance(changes, Mapping):
            raise InvalidMarksError(
                f"Marks must be a mapping of column to row positions, not {type(changes).__name__}."
            )
        merged, reasons = dict(self._rows), dict(self._reasons)
        for label, given in changes.items():
            position = _position(columns, label)
            merged[position], reasons[position] = _checked_entries(
                label, given, rows, self._reasons.get(position, {})
            )
        return Marks(merged, reasons)

    def carried(
        self,
        before: pd.Index,
        after: pd.Index,
        rows: int,
        *,
        row_sources: Positions | None = None,
        column_sources: Positions | None = None,
    ) -> Marks:
        """Return what remains true of these marks on another frame.

        Args:
            before: column labels of the frame they belong to.
            after: column labels of the other frame.
            rows: rows of the other frame.
            row_sources: for each of these, the position it had before; None: rows are where they were, and
                marks at or after ``rows`` are left out.
            column_sources: for each column, the position it had before, -1 for a new one; None: a column is
                followed by its label, and left out when that is gone or not unique.
        """
        places = _places(self._rows, before, after, column_sources)

        def moved(marked: Rows) -> Rows:
            if row_sources is None:
                return marked[: np.searchsorted(marked, rows)]
            return np.flatnonzero(np.isin(row_sources, marked)).astype(np.int64)

        return Marks(
            {places[at]: moved(marked) for at, marked in self._rows.items() if at in places},
            {
                places[at]: {text: moved(some) for text, some in texts.items()}
                for at, texts in self._reasons.items()
                if at in places
            },
        )

    def encode(self) -> bytes:
        """Return the canonical bytes: the smallest of three layouts for each column."""
        return encode(self._rows, self._reasons)

    @classmethod
    def decode(cls, data: bytes) -> Marks:
        """Return the marks that ``encode`` gave these bytes for.

        Raises:
            NewerFormatError: a newer version of Framekeep wrote them.
            SessionDamagedError: the bytes are none of ours.
        """
        return cls(*decode(data))


def _equal(rows: Mapping[Any, Rows], others: Mapping[Any, Rows]) -> bool:
    return rows.keys() == others.keys() and all(
        np.array_equal(some, others[key]) for key, some in rows.items()
    )


def _places(
    held: Iterable[int], before: pd.Index, after: pd.Index, sources: Positions | None
) -> dict[int, int]:
    """Return where each column held is in the other frame, as far as it is there."""
    if sources is not None:
        return {int(source): place for place, source in enumerate(sources) if source >= 0}
    places = {}
    for position in held:
        place = _find(after, before[position])
        if isinstance(place, int) and isinstance(_find(before, before[position]), int):
            places[position] = place
    return places


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


def _checked_entries(
    label: Hashable, given: Iterable[Any], rows: int, known: Mapping[str, Rows]
) -> tuple[Rows, dict[str, Rows]]:
    """Return the rows to mark in a column and their reasons, given as rows or as entries."""
    entries = list(given) if isinstance(given, (list, tuple)) else []
    if not entries or not isinstance(entries[0], Mapping):
        entries = [{"rows": given}]
    unexplained: list[Rows] = []
    explained: dict[str, list[Rows]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not {"rows"} <= entry.keys() <= {"rows", "reason"}:
            raise InvalidMarksError(
                f"Marks of column {label!r} must be row positions, or entries with 'rows' and 'reason'."
            )
        some, reason = _checked_rows(label, entry["rows"], rows), entry.get("reason")
        into = unexplained if reason is None else explained.setdefault(_checked_reason(label, reason), [])
        into.append(some)
    every = np.sort(np.concatenate([*unexplained, *(some for lists in explained.values() for some in lists)]))
    twice = every[1:][every[1:] == every[:-1]]
    if twice.size:
        raise InvalidMarksError(
            f"Marks of column {label!r} name row {twice[0]} in two entries; a row has one reason."
        )
    nothing: Rows = np.array([], dtype=np.int64)
    as_before = np.concatenate([*unexplained, nothing])
    reasons = {text: np.intersect1d(old, as_before, assume_unique=True) for text, old in known.items()}
    for text, lists in explained.items():
        if text:
            reasons[text] = np.sort(np.concatenate([*lists, reasons.get(text, nothing)]))
    reasons = {text: some for text, some in reasons.items() if len(some)}
    if len(reasons) > MAX_REASONS:
        raise InvalidMarksError(
            f"Marks of column {label!r} would have {len(reasons):,} different reasons; at most "
            f"{MAX_REASONS:,} are kept."
        )
    return every, reasons


def _checked_reason(label: Hashable, reason: object) -> str:
    if not isinstance(reason, str):
        raise InvalidMarksError(
            f"A reason of marks in column {label!r} must be a string, not {type(reason).__name__}."
        )
    if len(reason) > MAX_REASON:
        raise InvalidMarksError(
            f"A reason of marks in column {label!r} has {len(reason):,} characters; at most "
            f"{MAX_REASON:,} are kept."
        )
    return str(reason) if reason.strip() else ""


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

"""Names of columns from cells of a header: every column gets one, and no two the same."""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = 5


def unique_names(cells: Sequence[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names for columns with these header cells, and notes on those that are not as they stand.

    A cell without a name gives ``column_3``, by its position from 1 on; a name that was there before gives
    ``name_2``.
    """
    taken = {cell for cell in cells if cell is not None}
    used: set[str] = set()
    numbers: dict[str, int] = {}
    names = []
    unnamed = []
    repeated = []
    for position, cell in enumerate(cells, 1):
        if cell is None or not cell.strip():
            name = f"column_{position}"
            if name in taken:
                name = _numbered(name, taken, numbers)
            unnamed.append(name)
        elif cell in used:
            name = _numbered(cell, taken, numbers)
            repeated.append(name)
        else:
            name = cell
        used.add(name)
        taken.add(name)
        names.append(name)
    notes = []
    if unnamed:
        notes.append(f"{_columns(unnamed)} without a name in the header: named {_listed(unnamed)}.")
    if repeated:
        notes.append(f"{_columns(repeated)} with a name that another one has: named {_listed(repeated)}.")
    return tuple(names), tuple(notes)


def numbered_names(count: int) -> tuple[str, ...]:
    """Return ``column_1`` to ``column_<count>``."""
    return tuple(f"column_{position}" for position in range(1, count + 1))


def _numbered(name: str, taken: set[str], numbers: dict[str, int]) -> str:
    number = numbers.get(name, 1)
    while True:
        number += 1
        if f"{name}_{number}" not in taken:
            numbers[name] = number
            return f"{name}_{number}"


def _columns(names: Sequence[str]) -> str:
    return "A column" if len(names) == 1 else f"{len(names):,} columns"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} …"

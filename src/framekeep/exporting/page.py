"""A window of a frame as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from framekeep.errors import InvalidInputError
from framekeep.exporting.columns import json_column, json_index
from framekeep.exporting.labels import clean, label_text
from framekeep.exporting.window import Window

ORIENTS: Final = ("rows", "records")


def page_json(window: Window, limit: int, *, orient: str = "rows") -> bytes:
    """Return the document ``{"columns", "index", "rows", "offset", "limit", "total_rows"}``.

    ``columns`` holds the name and the dtype of each; ``index`` the label of each row, and is not there when
    rows are only numbered. ``rows`` is a list for each row, or with ``orient="records"`` an object by name.

    Raises:
        InvalidInputError: unknown orient, or records whose names are not unique.
    """
    before, after = frame_ends(window, limit)
    columns = [json_column(array) for array in window.arrays]
    return before + rows_json(columns, window.heading.names, window.rows, orient) + after


def frame_ends(window: Window, limit: int) -> tuple[bytes, bytes]:
    """Return what stands before the rows of a document, and what stands behind them."""
    before = [b'{"columns":', window.heading.json]
    if not window.numbered:
        names = [None if name is None else label_text(name) for name in window.index.names]
        before += [b',"index_names":', dumped(names), b',"index":', dumped(json_index(window.index))]
    before.append(b',"rows":')
    after = b',"offset":%d,"limit":%d,"total_rows":%d}' % (window.offset, limit, window.total_rows)
    return b"".join(before), after


def rows_json(columns: Sequence[Sequence[Any]], names: Sequence[str], rows: int, orient: str) -> bytes:
    """Return the rows of columns of JSON values, as a JSON list."""
    check_orient(names, orient)
    found: list[Any] = list(zip(*columns, strict=True)) if columns else [()] * rows
    if orient == "records":
        found = [dict(zip(names, row, strict=True)) for row in found]
    return dumped(found)


def record_lines(columns: Sequence[Sequence[Any]], names: Sequence[str], rows: int) -> bytes:
    """Return the rows of columns of JSON values, as an object on a line each."""
    found: list[Any] = list(zip(*columns, strict=True)) if columns else [()] * rows
    return b"".join(dumped(dict(zip(names, row, strict=True)), orjson.OPT_APPEND_NEWLINE) for row in found)


def check_orient(names: Sequence[str], orient: str) -> None:
    """Raise InvalidInputError for an unknown orient, and for records whose names are not unique."""
    if orient not in ORIENTS:
        raise InvalidInputError(f"orient is 'rows' or 'records', not {str(orient)[:40]!r}.")
    if orient == "records" and len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InvalidInputError(
            f"Records need unique names, and two columns are written {twice[:80]!r}: ask for orient=rows, or "
            "rename one."
        )


def dumped(value: Any, option: int = 0) -> bytes:
    """Return the JSON of a value."""
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        # A lone surrogate, which is rare: so it is looked for only now.
        return orjson.dumps(clean(value), option=option)

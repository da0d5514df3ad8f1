"""A whole frame as JSON, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from framekeep.exporting.columns import json_column
from framekeep.exporting.page import check_orient, frame_ends, record_lines, rows_json
from framekeep.exporting.window import Window


def document(window: Window, orient: str, step: int) -> Iterator[bytes]:
    """Return the pieces of the document that ``page_json`` gives for the window."""
    names = window.heading.names
    check_orient(names, orient)
    return _document(window, names, orient, step)


def _document(window: Window, names: list[str], orient: str, step: int) -> Iterator[bytes]:
    before, after = frame_ends(window, window.rows)
    yield before + b"["
    for start in range(0, window.rows, step):
        columns = [json_column(array[start : start + step]) for array in window.arrays]
        rows = rows_json(columns, names, min(step, window.rows - start), orient)[1:-1]
        yield b"," + rows if start else rows
    yield b"]" + after


def lines(window: Window, step: int) -> Iterator[bytes]:
    """Return the pieces of JSON lines: an object for each row; an index that says something is part of it."""
    names, arrays = window.columns()
    check_orient(names, "records")

    def pieces() -> Iterator[bytes]:
        for start in range(0, window.rows, step):
            rows = min(step, window.rows - start)
            yield record_lines([json_column(array[start : start + step]) for array in arrays], names, rows)

    return pieces()

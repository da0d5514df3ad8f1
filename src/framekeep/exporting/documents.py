"""Frames as JSON: a document with what is said of the columns, or an object on a line for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson

from framekeep.errors import InvalidInputError
from framekeep.exporting.columns import json_column, json_index
from framekeep.exporting.labels import clean, label_text
from framekeep.exporting.window import Window

ORIENTS: Final = ("rows", "records")

LARGEST_PAGE: Final = 256 << 20
"""Bytes of a page, which is made as a whole; a category's text may stand in each of its rows."""


def page_json(window: Window, limit: int, *, orient: str = "rows") -> bytes:
    """Return ``{"columns", "index_names", "index", "rows", "offset", "limit", "total_rows"}``.

    ``columns`` has the name and the dtype of each. ``index`` has the label of each row (a list where it has
    several levels); neither it nor its names are there when rows are only numbered. ``rows`` has a list for
    each row, or with ``orient="records"`` an object by name.

    Raises:
        InvalidInputError: unknown orient; records whose names are not unique; more than LARGEST_PAGE.
    """
    pieces: list[bytes] = []
    size = 0
    for piece in document(window, limit, orient):
        size += len(piece)
        if size > LARGEST_PAGE:
            raise InvalidInputError(
                f"The page would have more than {LARGEST_PAGE >> 20} MiB. Ask for fewer rows or columns, or "
                "for all of them as a file."
            )
        pieces.append(piece)
    return b"".join(pieces)


def document(window: Window, limit: int, orient: str) -> Iterator[bytes]:
    """Return the pieces of the document that ``page_json`` gives."""
    names = window.heading.shown
    _check_orient(names, orient)
    return _document(window, names, limit, orient)


def _document(window: Window, names: Sequence[str], limit: int, orient: str) -> Iterator[bytes]:
    yield b'{"columns":' + window.heading.json
    if not window.numbered:
        labels = [None if name is None else label_text(name) for name in window.index.names]
        yield b',"index_names":%b,"index":[' % _dumped(labels)
        yield from _joined(window, lambda start, stop: json_index(window.index[start:stop]))
        yield b"]"
    yield b',"rows":['
    arrays = window.arrays
    if orient == "records":
        yield from _joined(window, lambda start, stop: list(_records(names, arrays, start, stop)))
    else:
        yield from _joined(window, lambda start, stop: list(_rows(arrays, start, stop)))
    yield b'],"offset":%d,"limit":%d,"total_rows":%d}' % (window.offset, limit, window.total_rows)


def lines(window: Window) -> Iterator[bytes]:
    """Return the pieces of JSON lines: an object for each row; an index that says something is part of it.

    Raises:
        InvalidInputError: names are not unique.
    """
    found, arrays = window.columns()
    names = clean(found)
    _check_orient(names, "records")
    return _lines(window, names, arrays)


def _lines(window: Window, names: Sequence[str], arrays: Sequence[Any]) -> Iterator[bytes]:
    for start, stop in window.batches():
        records = _records(names, arrays, start, stop)
        yield b"".join(_dumped(record, orjson.OPT_APPEND_NEWLINE) for record in records)


def _joined(window: Window, make: Callable[[int, int], list[Any]]) -> Iterator[bytes]:
    """Yield the items of a JSON list, a batch at a time."""
    for start, stop in window.batches():
        items = _dumped(make(start, stop))[1:-1]
        yield b"," + items if start else items


def _rows(arrays: Sequence[Any], start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    if not arrays:
        return iter([()] * (stop - start))
    return zip(*(json_column(_part(array, start, stop)) for array in arrays), strict=True)


def _records(names: Sequence[str], arrays: Sequence[Any], start: int, stop: int) -> Iterator[dict[str, Any]]:
    return (dict(zip(names, row, strict=True)) for row in _rows(arrays, start, stop))


def _part(array: Any, start: int, stop: int) -> Any:
    # Slicing takes pandas longer than turning a short column into JSON.
    return array if start == 0 and stop == len(array) else array[start:stop]


def _check_orient(names: Sequence[str], orient: str) -> None:
    """Raise InvalidInputError for an unknown orient, and for records whose names are not unique."""
    if orient not in ORIENTS:
        raise InvalidInputError(f"orient is 'rows' or 'records', not {str(orient)[:40]!r}.")
    if orient == "records" and len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidInputError(
            f"Records need unique names, and two columns are written {twice[:80]!r}: ask for rows as lists "
            "(JSON with orient=rows), or rename one."
        )


def json_values(array: Any) -> list[Any]:
    """Return the cells of a 1-D array as a client finds them that has parsed the JSON."""
    found: list[Any] = orjson.loads(_dumped(json_column(array)))
    return found


def _dumped(value: Any, option: int = 0) -> bytes:
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        # A lone surrogate, which is rare: so it is looked for only now.
        return orjson.dumps(clean(value), option=option)

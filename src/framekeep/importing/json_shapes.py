"""The shapes in which JSON holds a table.

- ``[{"a": 1, "b": 2}, …]`` and the same objects one after the other (JSON lines): a row each;
- ``[[1, 2], …]``: a row each, the first of which may hold the names;
- ``{"columns": ["a", "b"], "data": [[1, 2], …]}``, also with ``rows`` for ``data``, and with an ``index``;
- ``{"a": [1, …], "b": [2, …]}`` and ``{"a": {"0": 1, …}, "b": {"0": 2, …}}``: a column each;
- ``{"items": [{"a": 1, "b": 2}, …]}``: records under a single name.

Other shapes are refused: a table that was guessed is wrong. Knows nothing of files and types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from framekeep.errors import DamagedFileError, EmptyFileError, UnreadableFileError
from framekeep.importing.json_source import Source
from framekeep.importing.model import ImportOptions


@dataclass(slots=True)
class Rows:
    """The rows of a file, as they come.

    Attributes:
        rows: all of them objects, or all of them lists.
        names: of the cells of lists; None if the rows are objects, or have no names.
        notes: on what was found.
    """

    rows: Iterator[Any]
    names: list[str] | None = None
    notes: list[str] = field(default_factory=list)


def find_rows(source: Source, options: ImportOptions) -> Rows:
    """Find out how the JSON holds its rows, which are read as they are asked for.

    Raises:
        EmptyFileError: there are none.
        DamagedFileError: it is not well-formed.
        UnreadableFileError: it is no table.
    """
    lines = options.format == "jsonl"
    start = source.peek()
    if not start:
        raise EmptyFileError("There is nothing but white space in the file.")
    if start == "[" and not (lines and source.second() not in ("[", "{", "]")):
        return _arranged(_elements(source), options)
    value = source.value()
    more = source.peek()
    if start in "[{" and more == start:
        return _arranged(chain([value], _values(source)), options)
    if more:
        raise source.damaged("there is something behind its end")
    if lines and start in "[{":
        return _arranged(iter([value]), options)
    if start == "{":
        return _of_object(value, options)
    raise _no_table("a single value")


def _elements(source: Source) -> Iterator[Any]:
    """Yield the elements of the list that begins here and is all there is."""
    source.skip()
    if source.peek() == "]":
        source.skip()
    else:
        while True:
            yield source.value()
            mark = source.peek()
            if mark not in (",", "]"):
                raise source.damaged("a comma or ] is missing")
            source.skip()
            if mark == "]":
                break
    if source.peek():
        raise source.damaged("there is something behind its end")


def _values(source: Source) -> Iterator[Any]:
    while source.peek():
        yield source.value()


def _arranged(rows: Iterator[Any], options: ImportOptions) -> Rows:
    """Return rows that are objects or lists; of lists, the names may be among them."""
    first = next(rows, None)
    if first is None:
        raise EmptyFileError("There is no row in the file.")
    if isinstance(first, dict):
        return Rows(chain([first], rows))
    if not isinstance(first, list):
        raise _no_table("a list of single values")
    found = Rows(chain([first], rows))
    if options.header is not None:
        above = list(islice(found.rows, options.header + 1))
        if len(above) == options.header + 1 and _are_names(above[-1]):
            found.names = above[-1]
            found.notes.append(f"The names of the columns were taken from row {options.header + 1:,}.")
            if options.header:
                found.notes.append(f"Rows above the names were passed over, as asked: {options.header:,}.")
        else:
            found.rows = chain(above, found.rows)
    return found


def _are_names(row: Any) -> bool:
    return isinstance(row, list) and bool(row) and all(isinstance(cell, str) for cell in row)


def _of_object(value: dict[str, Any], options: ImportOptions) -> Rows:
    """Return the rows of a file that is one object."""
    for name in ("data", "rows"):
        if isinstance(value.get("columns"), list) and isinstance(value.get(name), list):
            return _split(value, name)
    if isinstance(value.get("schema"), dict) and isinstance(value.get("data"), list):
        found = _arranged(iter(value["data"]), options)
        found.notes.append("The schema in the file was passed over.")
        return found
    if value and all(isinstance(column, list) for column in value.values()):
        return _columns(value, options)
    if value and all(isinstance(column, dict) for column in value.values()):
        keys = [list(column) for column in value.values()]
        if all(each == [str(row) for row in range(len(keys[0]))] for each in keys):
            return _columns({name: list(column.values()) for name, column in value.items()}, options)
    raise _no_table("an object, and its members are no columns")


def _split(value: dict[str, Any], member: str) -> Rows:
    """Return the rows of the split form."""
    names = [_name_of(column) for column in value["columns"]]
    rows = value[member]
    found = Rows(iter(rows))
    if all(isinstance(row, list) for row in rows):
        found.names = names
        index = value.get("index")
        if isinstance(index, list) and index != list(range(len(rows))):
            if len(index) != len(rows):
                raise DamagedFileError("The index in the JSON has another length than the rows.")
            found.names = ["index", *names]
            found.rows = iter([[label, *row] for label, row in zip(index, rows, strict=True)])
            found.notes.append("The index is the first column.")
    others = [name for name in value if name not in ("columns", member, "index")]
    total = value.get("total_rows")
    if isinstance(total, int) and total > len(rows):
        found.notes.append(f"The file is a page of a table: {len(rows):,} of {total:,} rows.")
    elif others:
        found.notes.append(f"Beside the table, the file has {_listed(others)}; that was passed over.")
    return found


def _name_of(column: Any) -> str:
    name = column.get("name") if isinstance(column, dict) else column
    if isinstance(name, bool) or not isinstance(name, str | int | float | None):
        raise _no_table("an object whose columns have names that are no texts")
    return "" if name is None else str(name)


def _columns(value: dict[str, list[Any]], options: ImportOptions) -> Rows:
    lengths = {len(column) for column in value.values()}
    if len(value) == 1:
        ((name, rows),) = value.items()
        if rows and all(isinstance(row, dict) for row in rows):
            found = _arranged(iter(rows), options)
            found.notes.append(f"The rows are those under the name {name[:40]!r}.")
            return found
    if len(lengths) > 1:
        raise _no_table("an object of lists that differ in length")
    return Rows(map(list, zip(*value.values(), strict=True)), list(value))


def _no_table(what: str) -> UnreadableFileError:
    return UnreadableFileError(
        f"The JSON is well-formed, but no table: it is {what}. Write a list of objects, one for each row: "
        f'[{{"a": 1, "b": 2}}, …].'
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:40]) for name in names[:5])
    return f"{shown} and {len(names) - 5:,} more" if len(names) > 5 else shown

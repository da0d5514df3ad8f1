"""Writes tables to files: CSV, TSV, Parquet, Arrow and Feather.

The suffix names the format. Knows nothing of sessions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from framekeep.errors import InvalidInputError

if TYPE_CHECKING:
    import pyarrow as pa

TEXT = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".ipc", ".feather")
WRITES = "CSV, TSV, Parquet, Arrow IPC and Feather"


class UnusableFileError(InvalidInputError):
    """The file must not, or cannot, be written."""

    code = "unusable_file"


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        UnusableFileError: unknown format, no such directory, or the file exists and ``force`` is false.
    """
    suffix = path.suffix.lower()
    if suffix not in (*TEXT, *PARQUET, *ARROW):
        what = f"the format {suffix}" if suffix else "a name without suffix"
        raise UnusableFileError(f"{path.name}: {what} is not supported. Writable are {WRITES}.")
    if path.exists() and not force:
        raise UnusableFileError(f"{path} exists. Give another name, or --force to replace it.")
    if not path.parent.is_dir():
        raise UnusableFileError(f"There is no directory {path.parent}.")


def write(table: pa.Table, path: Path) -> None:
    """Write ``table`` to ``path``, whole or not at all.

    Raises:
        UnusableFileError: when the format cannot hold a column, or the file cannot be written.
    """
    import pyarrow as pa

    suffix = path.suffix.lower()
    writer = _write_csv if suffix in TEXT else _write_parquet if suffix in PARQUET else _write_arrow
    try:
        with _replacing(path) as file:
            writer(table, file, TEXT.get(suffix, ","))
    except (pa.ArrowException, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UnusableFileError(
            f"{path.name} cannot hold this table: {_first_line(error)}. Try .parquet or .arrow."
        ) from error
    except OSError as error:
        raise UnusableFileError(f"{path} cannot be written: {_first_line(error)}.") from error


def _write_csv(table: pa.Table, file: IO[bytes], delimiter: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    columns = []
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_floating(column.type):  # a missing number is an empty cell, not the word nan
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        columns.append(column)
    text = pa.Table.from_arrays(columns, names=table.schema.names)
    csv.write_csv(text, file, csv.WriteOptions(delimiter=delimiter))


def _write_parquet(table: pa.Table, file: IO[bytes], delimiter: str) -> None:
    from pyarrow import parquet

    parquet.write_table(table, file)


def _write_arrow(table: pa.Table, file: IO[bytes], delimiter: str) -> None:
    from pyarrow import ipc

    with ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write beside ``path`` and move it there at the end, so that nobody meets half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _first_line(error: BaseException) -> str:
    """Return the first line of a foreign message, without the cells that pyarrow quotes after 'got N'."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    head, got, tail = line.partition(", got ")
    return f"{head}{got}{tail.partition(':')[0]}"

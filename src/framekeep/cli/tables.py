"""Tables in files: reads CSV, TSV, Parquet, Arrow and Feather without losing anything, and writes them.

The suffix names the format. Knows nothing of sessions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from framekeep.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TEXT = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PACKED = (".gz", ".bz2", ".zst")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".ipc", ".feather")
READS = "CSV, TSV (also .gz, .bz2, .zst), Parquet, Arrow IPC and Feather"
WRITES = "CSV, TSV, Parquet, Arrow IPC and Feather"

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

Step = Callable[[float, str], None]

_ELSEWHERE = {
    ".xlsx": "Save the sheet as CSV first.",
    ".xls": "Save the sheet as CSV first.",
    ".ods": "Save the sheet as CSV first.",
    ".pkl": "A pickle can run any code when it is read, so it never is.",
    ".pickle": "A pickle can run any code when it is read, so it never is.",
    ".json": "Turn it into a table first, for example with pandas.read_json, and import that from Python.",
    ".zip": "Unpack it first.",
}


class UnusableFileError(InvalidInputError):
    """The file is missing, not a table that can be read, or must not be written."""

    code = "unusable_file"


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """How a CSV file is written.

    Attributes:
        delimiter: one character; None takes that of the suffix.
        encoding: of the text.
        missing: words that mean "no value", beside a cell that is empty and not quoted.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    missing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read.

    Attributes:
        frame: a DataFrame, or a pyarrow Table where that says more than a DataFrame would.
        notes: what the reader should know, one line each.
    """

    frame: pd.DataFrame | pa.Table
    notes: Sequence[str]


def read(path: Path, options: CsvOptions, step: Step) -> Loaded:
    """Read the table in ``path``.

    Args:
        step: called with the fraction done and a word on what is next, as it gets on.

    Raises:
        UnusableFileError: naming the file and what is wrong with it.
    """
    suffix = _suffix(path)
    known = [*TEXT, *PARQUET, *ARROW]
    if suffix not in known:
        raise _unsupported(path, suffix, f"Readable are {READS}.")
    try:
        if path.stat().st_size == 0:
            raise UnusableFileError(f"{path} is empty.")
        if suffix in TEXT:
            return _read_csv(path, options, suffix, step)
        loaded = Loaded(_read_parquet(path) if suffix in PARQUET else _read_arrow(path), ())
    except FileNotFoundError:
        raise UnusableFileError(f"There is no file {path}.") from None
    except OSError as error:  # ArrowIOError is one
        raise UnusableFileError(f"{path} cannot be read: {_first_line(error)}.") from error
    except UnicodeError as error:
        raise _not_text(path, options.encoding) from error
    except LookupError as error:
        raise UnusableFileError(f"There is no encoding {options.encoding!r}.") from error
    except UnusableFileError:
        raise
    except ValueError as error:  # ArrowInvalid is one
        raise UnusableFileError(f"{path} is not a table that can be read: {_first_line(error)}") from error
    step(1.0, "")
    return loaded


def check_target(path: Path, *, force: bool) -> None:
    """Refuse a file that could not be written, before any work is done.

    Raises:
        UnusableFileError: unknown format, no such directory, or the file exists and ``force`` is false.
    """
    if path.suffix.lower() not in (*TEXT, *PARQUET, *ARROW):
        raise _unsupported(path, path.suffix.lower(), f"Writable are {WRITES}.")
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


def _read_csv(path: Path, options: CsvOptions, suffix: str, step: Step) -> Loaded:
    import pandas as pd
    import pyarrow as pa
    from pyarrow import csv

    from framekeep.cli.csv_types import typed

    delimiter = options.delimiter or TEXT[suffix]
    if len(delimiter) != 1:
        raise UnusableFileError(f"The delimiter must be one character, not {delimiter!r}.")
    if path.suffix.lower() not in PACKED:
        _check_marks(path, options.encoding)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    reading = csv.ReadOptions(encoding=options.encoding)
    one_by_one = csv.ReadOptions(encoding=options.encoding, use_threads=False)  # so that errors name the row
    with csv.open_csv(path, read_options=one_by_one, parse_options=parse) as head:
        names = head.schema.names
    if len(names) == 1:
        _check_delimiter(path, names[0], delimiter)
        # A single column writes a missing value as an empty line; elsewhere such a line is only at the end.
        parse.ignore_empty_lines = False
    converting = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=["", *options.missing],
    )
    try:
        text = csv.read_csv(path, read_options=reading, parse_options=parse, convert_options=converting)
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _not_text(path, options.encoding) from error
        csv.read_csv(path, read_options=one_by_one, parse_options=parse, convert_options=converting)
        raise
    step(0.5, f"Finding types in {path.name}")
    columns: list[pd.Series[Any]] = []
    notes = []
    for name, column in zip(names, text.columns, strict=True):
        found = typed(column)
        columns.append(found.values)
        if found.reason is not None:
            notes.append(f"{name or '(no name)'}: kept as text, {found.reason}")
        step(0.5 / len(names), "")
    frame = pd.DataFrame(dict(enumerate(columns)), copy=False)
    frame.columns = pd.Index(names, dtype="str")
    return Loaded(frame, tuple(notes))


def _not_text(path: Path, encoding: str) -> UnusableFileError:
    return UnusableFileError(
        f"{path} is not {encoding} text. Say what it is: --encoding latin-1, cp1252, utf-16 …"
    )


def _check_marks(path: Path, encoding: str) -> None:
    """Refuse a file whose first bytes say that it is in another encoding."""
    if encoding.lower().replace("-", "").startswith("utf8"):
        with path.open("rb") as file:
            start = file.read(4)
        for mark, name in _BYTE_ORDER_MARKS:
            if start.startswith(mark):
                raise UnusableFileError(f"{path} is {name} text: give --encoding {name}.")


def _check_delimiter(path: Path, header: str, delimiter: str) -> None:
    for other, word in ((";", "';'"), ("\t", "$'\\t'"), ("|", "'|'"), (",", "','")):
        if other != delimiter and other in header:
            raise UnusableFileError(
                f"{path} has one column with {word} in its name: give --delimiter {word} if that separates "
                f"its columns, or rename the column."
            )


def _read_parquet(path: Path) -> pd.DataFrame | pa.Table:
    from pyarrow import parquet

    return _as_written(parquet.ParquetFile(path).read())


def _read_arrow(path: Path) -> pd.DataFrame | pa.Table:
    from pyarrow import feather, ipc

    with path.open("rb") as file:
        start = file.read(6)
    if start == b"ARROW1" or start.startswith(b"FEA1"):
        return _as_written(feather.read_table(path, memory_map=False))
    with ipc.open_stream(path.read_bytes()) as stream:
        return _as_written(stream.read_all())


def _as_written(table: pa.Table) -> pd.DataFrame | pa.Table:
    """Return a DataFrame if pandas wrote the table (index and dtypes are in its metadata), else the table.

    pandas would turn integers and booleans with missing values into floats and objects; they become nullable.
    """
    import pandas as pd
    import pyarrow as pa

    if not table.schema.pandas_metadata:
        return table
    nullable: dict[pa.DataType, Any] = {
        pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(), pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype(),
    }  # fmt: skip
    frame = table.to_pandas()
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if column.null_count and column.type in nullable and name in frame.columns:
            frame[name] = pd.Series(nullable[column.type].__from_arrow__(column), index=frame.index)
    return frame


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


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in PACKED and Path(path.stem).suffix.lower() in TEXT:
        return Path(path.stem).suffix.lower()
    return suffix


def _unsupported(path: Path, suffix: str, supported: str) -> UnusableFileError:
    what = f"the format {suffix}" if suffix else "a name without suffix"
    hint = _ELSEWHERE.get(suffix)
    return UnusableFileError(f"{path.name}: {what} is not supported. {supported}{f' {hint}' if hint else ''}")


def _first_line(error: BaseException) -> str:
    """Return the first line of a foreign message, without the cells that pyarrow quotes after 'got N'."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    head, got, tail = line.partition(", got ")
    return f"{head}{got}{tail.partition(':')[0]}"

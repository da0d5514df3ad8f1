"""What an import hands out: tables on the spool, all checked; or what is seen of a file before it is read.

Nothing here may load pyarrow when it is imported: the zygote imports it too, before it has said how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from framekeep.errors import FileTooLargeError, InvalidInputError
from framekeep.importing import refusals
from framekeep.importing.model import (
    COLUMNAR_FORMATS,
    FORMATS,
    Checked,
    ColumnReport,
    Limits,
    Parsed,
    Preview,
    Table,
)
from framekeep.importing.spool import Stored

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from framekeep.importing.mapping import Mapping as Memory


_LARGE = 1_000_000  # cells


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file before it is read.

    Attributes:
        format: one of ``model.FORMATS``.
        compression: gzip, bzip2, zstd, xz or zip, if the file is packed.
        tables: its sheets; one for a file that is not a workbook.
        notes: one sentence each.
    """

    format: str
    compression: str | None
    tables: tuple[Preview, ...]
    notes: tuple[str, ...]

    @property
    def suggested(self) -> Preview | None:
        """The table to take when nothing is said."""
        return next((table for table in self.tables if table.suggested), None)


class ImportedTable:
    """A table of a file.

    Attributes:
        name: of the sheet; empty where a file holds one table.
        rows: how many.
        columns: what became of each column, in order.
        notes: what the user should know, one sentence each.
    """

    def __init__(self, table: Table, spool: IO[bytes], scratch: Path, *, own_types: bool) -> None:
        self.name = table.name
        self.rows = table.typed.rows
        self.columns: tuple[ColumnReport, ...] = table.columns
        self.notes = table.notes
        self._table = table
        self._spool = spool
        self._scratch = scratch
        self._own_types = own_types

    @property
    def frame(self) -> pd.DataFrame | pa.Table:
        """The table with its types, made anew at each access; an Arrow table where that says more.

        It stands on mapped memory: hold on to it as long as it is wanted, and no longer.

        Raises:
            DamagedFileError: pandas is said to have written the file, and cannot have.
        """
        return self._frame(self._table.typed, self._memory(private=True))

    @property
    def has_text(self) -> bool:
        """Whether typing changed anything."""
        return self._table.text is not None

    @property
    def text(self) -> pd.DataFrame | None:
        """The table as text, before its columns got types, made anew too; None if that is the same table."""
        text = self._table.text
        return None if text is None else self._frame(text, self._memory(private=True))

    @contextmanager
    def lent(self, *, text: bool = False) -> Iterator[pd.DataFrame | pa.Table]:
        """Lend the table for one pass over it, such as storing it, at the cost of a few columns of memory.

        It is read-only, and not to be used after the block.

        Args:
            text: the table as text, if it has one.

        Raises:
            DamagedFileError: as of ``frame``.
        """
        from framekeep.importing import mapping

        memory = self._memory(private=False)
        stored = (self._table.text if text else None) or self._table.typed
        if stored.rows * len(stored.columns) < _LARGE:
            yield self._frame(stored, memory)
            return
        try:
            with memory.shedding():
                yield self._frame(stored, memory)
        finally:
            del memory
            mapping.give_back()

    def _memory(self, *, private: bool) -> Memory:
        from framekeep.importing.mapping import Mapping as Memory

        return Memory(self._spool.fileno(), private=private, scratch=self._scratch)

    def _frame(self, stored: Stored, memory: Memory) -> Any:
        from framekeep.importing import dataframes

        table = memory.table(stored)
        as_read = stored is self._table.typed and self._own_types
        return dataframes.as_written(table) if as_read else dataframes.frame(table, memory)


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that was read. Close it, or use it in a ``with`` statement; frames made before that stay.

    Attributes:
        format: one of ``model.FORMATS``.
        tables: one for each sheet that was read; one for a file that is not a workbook.
        encoding: of a text file.
        delimiter: of a text file.
        compression: gzip, bzip2, zstd, xz or zip, if the file was packed.
        metadata: JSON that the format keeps beside the values.
        notes: on the file as a whole, one sentence each.
    """

    format: str
    tables: tuple[ImportedTable, ...]
    encoding: str | None
    delimiter: str | None
    compression: str | None
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]
    _spool: IO[bytes] = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back, as soon as no frame stands on it; may be called again."""
        self._spool.close()


def inspected(document: Mapping[str, Any]) -> Inspection:
    """Return the inspection that a child answers with.

    Raises:
        DamagedFileError: it is none.
    """
    try:
        found = Checked(Checked(document, "an answer").mapping("found"), "what was found")
        previews = Checked(document, "an answer").items("previews")
        return Inspection(
            _format(found.text("format")),
            found.text_or_none("compression"),
            tuple(Preview.from_json(item) for item in previews),
            found.texts("notes"),
        )
    except InvalidInputError as error:
        raise refusals.nonsense() from error


def imported(document: Mapping[str, Any], spool: IO[bytes], limits: Limits, scratch: Path) -> ImportedFile:
    """Return the file that a child answers with, once every table was looked through.

    Raises:
        DamagedFileError: they are no tables.
        FileTooLargeError: they are more than is allowed.
    """
    try:
        checked = Checked(document, "an answer")
        found = Checked(checked.mapping("found"), "what was found")
        parsed = Parsed.from_json(checked.mapping("parsed"))
        own_types = _format(parsed.format) in COLUMNAR_FORMATS
        cells = 0
        for table in parsed.tables:
            cells += table.typed.rows * len(table.columns)
            _check(table, spool, limits, own_types=own_types)
        if not parsed.tables:
            raise refusals.nonsense()
        if cells > limits.cells:
            raise FileTooLargeError(f"The file has more than the {limits.cells:,} cells that are read.")
        compression = parsed.compression or found.text_or_none("compression")
        return ImportedFile(
            parsed.format,
            tuple(ImportedTable(table, spool, scratch, own_types=own_types) for table in parsed.tables),
            parsed.encoding,
            parsed.delimiter,
            compression,
            parsed.metadata,
            (*found.texts("notes"), *parsed.notes),
            spool,
        )
    except FileTooLargeError:
        raise
    except (InvalidInputError, UnicodeError) as error:
        raise refusals.nonsense() from error


def _check(table: Table, spool: IO[bytes], limits: Limits, *, own_types: bool) -> None:
    """Look through a table's memory: no later use of it can read outside, or find text that is none."""
    names = [column.name for column in table.columns]
    for stored in filter(None, (table.typed, table.text)):
        if stored.rows > limits.rows or len(stored.columns) > limits.columns:
            raise FileTooLargeError(
                f"The file has more than the {limits.rows:,} rows or the {limits.columns:,} columns "
                "that are read."
            )
        if _names(stored, spool, limits, own_types=own_types) != names:
            raise refusals.nonsense()


def _names(stored: Stored, spool: IO[bytes], limits: Limits, *, own_types: bool) -> list[str]:
    import pyarrow as pa

    from framekeep.importing import dataframes
    from framekeep.importing.mapping import Mapping as Memory

    table = Memory(spool.fileno()).table(stored)
    try:
        table.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise refusals.nonsense() from error
    stays_arrow = own_types and not (table.schema.metadata or {}).get(b"pandas")
    if not stays_arrow and dataframes.memory_of(table) > limits.memory_bytes:
        raise FileTooLargeError(
            f"As a table in memory the file takes about {dataframes.memory_of(table) >> 20:,} MiB, more than "
            f"the {limits.memory_bytes >> 20:,} MiB that an import may use. Import a part of it, or raise "
            "IMPORT_MEMORY_MB."
        )
    return list(table.schema.names)


def _format(name: str) -> str:
    if name not in FORMATS:
        raise refusals.nonsense()
    return name

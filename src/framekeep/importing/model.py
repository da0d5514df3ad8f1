"""What is asked of an import and what comes of it: plain values, all of them JSON.

Shared by the readers, which run in a child process, and by the parent, which believes nothing of what a child
says: every ``from_json`` checks the shape of what it is given. Knows no format and does no work.

A reader is one of two functions, called in the child with a private, empty directory around it:

    read(path, options, limits, progress, spool) -> Parsed
    preview(path, options, limits, progress) -> tuple[Preview, ...]

``options.format`` is always set by then (see readers.py). A reader raises what errors.py has under
UnreadableFileError, says *where*, names no path and no cell's value, and looks at ``limits`` before it makes
room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from framekeep.errors import InvalidInputError

if TYPE_CHECKING:
    from framekeep.importing.spool import Stored

Progress = Callable[[float, str], None]  # the fraction done, 0 to 1, and what is done now

TEXT_FORMATS = ("csv", "tsv", "text")
JSON_FORMATS = ("json", "jsonl")
WORKBOOK_FORMATS = ("xlsx", "xlsm", "xlsb", "xls", "ods")
COLUMNAR_FORMATS = ("parquet", "arrow")  # arrow: IPC file and stream, Feather 1 and 2
STATISTICS_FORMATS = ("sav", "dta", "sas7bdat", "xpt")
FORMATS = (*TEXT_FORMATS, *JSON_FORMATS, *WORKBOOK_FORMATS, *COLUMNAR_FORMATS, *STATISTICS_FORMATS)

TYPES = (  # what an override may ask for
    "text",
    "integer",
    "number",
    "number:comma",  # 1.234,5
    "boolean",
    "date",
    "date:dmy",  # 31/12/2020
    "date:mdy",
    "datetime",
    "datetime:dmy",
    "datetime:mdy",
    "category",
)
PREVIEW_ROWS = 5

MIB = 1 << 20

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one import may use. A file that needs more is refused, and nothing of it is stored.

    Attributes:
        memory_bytes: private memory, beside what the interpreter has before it opens the file.
        seconds: from the start of the reading to its end, on the clock on the wall.
        spool_bytes: on the disk, for the columns on their way to the parent.
        inflated_bytes: of a compressed file, once it is unpacked.
        cells: of all tables together.
        rows: of one table.
        columns: of one table.
        sheets: of one workbook.
        field_bytes: of one cell, as UTF-8.
    """

    memory_bytes: int = 4096 * MIB
    seconds: float = 300.0
    spool_bytes: int = 16_384 * MIB
    inflated_bytes: int = 4096 * MIB
    cells: int = 500_000_000
    rows: int = 100_000_000
    columns: int = 16_384
    sheets: int = 1_000
    field_bytes: int = 16 * MIB

    def __post_init__(self) -> None:
        for item in fields(self):
            if getattr(self, item.name) <= 0:
                raise InvalidInputError(f"The import limit {item.name} must be above 0.")

    def to_json(self) -> dict[str, Any]:
        """Return the limits as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Limits:
        """Return the limits that ``to_json`` wrote."""
        return cls(**document)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a file is read; what is None or empty is found out.

    Attributes:
        format: one of FORMATS; None looks at the content, then at the name.
        delimiter: one character between the columns of a text file.
        encoding: of a text file.
        header: the row with the names, counted from 0 among the rows that are not blank and not skipped;
            None: there is none, and the columns are named column_1, column_2 ….
        skip_rows: lines (rows of a sheet) to pass over at the top.
        missing: words that mean "no value", beside a cell that is empty and not quoted.
        types: column name -> one of TYPES, instead of the type that would be found.
        typing: False leaves every column of a text file or a sheet as text.
        sheets: of a workbook; None: the suggested one.
        merge: put the sheets one below the other into one table.
    """

    format: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: int | None = 0
    skip_rows: int = 0
    missing: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    typing: bool = True
    sheets: tuple[str, ...] | None = None
    merge: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InvalidInputError(f"There is no format {self.format!r}. Readable are {', '.join(FORMATS)}.")
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise InvalidInputError(f"The delimiter must be one character, not {self.delimiter!r}.")
        if self.delimiter is not None and self.delimiter in '\r\n"':
            raise InvalidInputError("A line end or a double quote cannot be the delimiter.")
        if self.header is not None and self.header < 0:
            raise InvalidInputError("The header row is counted from 0; None says that there is none.")
        if self.skip_rows < 0:
            raise InvalidInputError("The number of rows to skip cannot be below 0.")
        for column, kind in self.types.items():
            if kind not in TYPES:
                raise InvalidInputError(
                    f"There is no type {kind!r} for the column {column!r}. There are {', '.join(TYPES)}."
                )
        for text in (self.encoding, self.delimiter, *self.missing, *self.types, *(self.sheets or ())):
            if text is not None and not _is_unicode(text):
                raise InvalidInputError("An option of the import holds text that is no Unicode.")
        if self.sheets is not None and not self.sheets:
            raise InvalidInputError("Name at least one sheet, or none for the suggested one.")
        if self.sheets is not None and len(set(self.sheets)) != len(self.sheets):
            raise InvalidInputError("A sheet is named twice.")

    def to_json(self) -> dict[str, Any]:
        """Return the options as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ImportOptions:
        """Return the options that ``to_json`` wrote.

        Raises:
            InvalidInputError: naming the option that has a wrong value.
        """
        checked = Checked(document, "the options")
        return cls(
            format=checked.text_or_none("format"),
            delimiter=checked.text_or_none("delimiter"),
            encoding=checked.text_or_none("encoding"),
            header=checked.whole_or_none("header"),
            skip_rows=checked.whole("skip_rows"),
            missing=checked.texts("missing"),
            types={str(name): str(kind) for name, kind in checked.mapping("types").items()},
            typing=checked.truth("typing"),
            sheets=None if document.get("sheets") is None else checked.texts("sheets"),
            merge=checked.truth("merge"),
        )


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What became of a column.

    Attributes:
        name: as it is in the table.
        type: text, integer, number, boolean, date, datetime, category, or what a format has beyond these.
        reason: why it has this type, one sentence for the user: "every value is a whole number".
        missing: how many cells have no value.
        overridden: the type was asked for.
    """

    name: str
    type: str
    reason: str
    missing: int = 0
    overridden: bool = False

    @classmethod
    def from_json(cls, document: object) -> ColumnReport:
        """Return the report in ``document``, or raise InvalidInputError if it is none."""
        checked = Checked(document, "a column")
        return cls(
            checked.text("name"),
            checked.text("type"),
            checked.text("reason"),
            checked.whole("missing"),
            checked.truth("overridden"),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a reader leaves it.

    Attributes:
        name: of the sheet; empty where a file holds one table.
        columns: one report for each column of ``typed``, in order.
        typed: the table with its types, in the job's spool.
        text: the same columns as text, before they got types; None when typing changed nothing, or when the
            format brings its own types.
        notes: what the user should know, one sentence each.
    """

    name: str
    columns: tuple[ColumnReport, ...]
    typed: Stored
    text: Stored | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: object) -> Table:
        """Return the table in ``document``, or raise InvalidInputError if it is none."""
        from framekeep.importing.spool import Stored

        checked = Checked(document, "a table")
        text = checked.optional("text")
        table = cls(
            name=checked.text("name"),
            columns=tuple(ColumnReport.from_json(item) for item in checked.items("columns")),
            typed=Stored.from_json(checked.mapping("typed")),
            text=None if text is None else Stored.from_json(text),
            notes=checked.texts("notes"),
        )
        if table.text is not None and table.text.rows != table.typed.rows:
            raise InvalidInputError("A table has another number of rows with types than without.")
        return table


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is, by its first bytes and then by its name.

    Attributes:
        format: one of FORMATS.
        compression: gzip, bzip2, zstd, xz or zip, around the format; the reader unpacks it.
        notes: such as that the name's suffix says something else.
    """

    format: str
    compression: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What is seen of a sheet, or of a file's only table, before it is imported.

    Attributes:
        name: of the sheet; empty where a file holds one table.
        rows: below the header; None where counting them means reading them all.
        columns: how many.
        header: the names, as far as ``options.header`` finds them.
        first: up to PREVIEW_ROWS rows as text; None where a cell has no value.
        suggested: the one to take when nothing is said; at most one of a file.
        empty: there is nothing in it.
        hidden: the workbook hides it.
    """

    name: str
    rows: int | None
    columns: int
    header: tuple[str, ...] = ()
    first: tuple[tuple[str | None, ...], ...] = ()
    suggested: bool = False
    empty: bool = False
    hidden: bool = False

    @classmethod
    def from_json(cls, document: object) -> Preview:
        """Return the preview in ``document``, or raise InvalidInputError if it is none."""
        checked = Checked(document, "a preview")
        return cls(
            name=checked.text("name"),
            rows=checked.whole_or_none("rows"),
            columns=checked.whole("columns"),
            header=checked.texts("header"),
            first=tuple(_cells(row) for row in checked.items("first")),
            suggested=checked.truth("suggested"),
            empty=checked.truth("empty"),
            hidden=checked.truth("hidden"),
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    """All that a reader found in a file.

    Attributes:
        format: one of FORMATS.
        tables: one for each sheet that was read; one for a file that is not a workbook.
        encoding: of a text file.
        delimiter: of a text file.
        compression: gzip, bzip2, zstd, xz or zip, if the file was packed.
        metadata: JSON that the format keeps beside the values (labels of variables and of values …).
        notes: on the file as a whole, one sentence each.
    """

    format: str
    tables: tuple[Table, ...]
    encoding: str | None = None
    delimiter: str | None = None
    compression: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: object) -> Parsed:
        """Return what is in ``document``, or raise InvalidInputError if it is something else."""
        checked = Checked(document, "a reader's answer")
        return cls(
            format=checked.text("format"),
            tables=tuple(Table.from_json(item) for item in checked.items("tables")),
            encoding=checked.text_or_none("encoding"),
            delimiter=checked.text_or_none("delimiter"),
            compression=checked.text_or_none("compression"),
            metadata=checked.mapping("metadata"),
            notes=checked.texts("notes"),
        )


def to_json(value: Parsed | Table | Preview | ColumnReport) -> dict[str, Any]:
    """Return a value of this module as JSON; its own ``from_json`` is the way back."""
    return asdict(value)


class Checked:
    """A JSON object from outside, whose members are asked for by their type.

    Args:
        document: what should be an object.
        what: names it in errors.
    """

    def __init__(self, document: object, what: str) -> None:
        if not isinstance(document, Mapping):
            raise InvalidInputError(f"{what} is not a JSON object.")
        self._document = document
        self._what = what

    def text(self, name: str) -> str:
        """Return the text ``name``."""
        return self._typed(name, str)

    def text_or_none(self, name: str) -> str | None:
        """Return the text ``name``, or None if it is absent or null."""
        return None if self.optional(name) is None else self.text(name)

    def whole(self, name: str) -> int:
        """Return the whole number ``name``, which is not below 0."""
        value = self._typed(name, int)
        if isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise InvalidInputError(f"{name!r} of {self._what} is not a whole number from 0 on.")
        return value

    def whole_or_none(self, name: str) -> int | None:
        """Return the whole number ``name``, or None if it is absent or null."""
        return None if self.optional(name) is None else self.whole(name)

    def truth(self, name: str) -> bool:
        """Return the boolean ``name``."""
        return self._typed(name, bool)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return the object ``name``."""
        return self._typed(name, dict)

    def items(self, name: str) -> list[Any]:
        """Return the list ``name``."""
        value = self.optional(name)
        return list(value) if isinstance(value, tuple) else self._typed(name, list)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the list of texts ``name``."""
        values = self.items(name)
        if not all(isinstance(value, str) for value in values):
            raise InvalidInputError(f"{name!r} of {self._what} is not a list of texts.")
        return tuple(values)

    def optional(self, name: str) -> Any:
        """Return the member ``name``, or None."""
        return self._document.get(name)

    def _typed(self, name: str, kind: type[_T]) -> _T:
        value = self._document.get(name)
        if not isinstance(value, kind):
            raise InvalidInputError(f"{name!r} of {self._what} is not {_KINDS[kind]}.")
        return value


_KINDS: dict[type, str] = {
    str: "a text",
    int: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, as for bytes of a command line that are no UTF-8
        return False
    return True


def _cells(row: object) -> tuple[str | None, ...]:
    if not isinstance(row, list | tuple) or not all(cell is None or isinstance(cell, str) for cell in row):
        raise InvalidInputError("A row of a preview is not a list of texts.")
    return tuple(row)

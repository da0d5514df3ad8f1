"""Reads workbooks (.xlsx, .xlsm, .xlsb, .xls, .ods): previews of all sheets, and tables of the chosen ones.

Cells are read by calamine; what it does not tell comes from workbook_facts, which also looks whether a sheet
may be read at all. Formulas give the results that are stored with them. Knows nothing of HTTP and sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    FramekeepError,
    InvalidInputError,
    PasswordProtectedError,
    UnknownFormatError,
)
from framekeep.importing.model import PREVIEW_ROWS, ImportOptions, Limits, Parsed, Preview, Progress
from framekeep.importing.spool import Spool
from framekeep.importing.workbook_dates import keep_dates, keep_lengths
from framekeep.importing.workbook_facts import SheetFacts, open_facts, refuse_spread
from framekeep.importing.workbook_sheet import RawSheet, gather
from framekeep.importing.workbook_tables import first_rows, merge_tables, names_of, single_table

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_LISTED = 20
_TOLD = 200  # characters of what the reader says


def read_workbook(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool
) -> Parsed:
    """Read the sheets that ``options`` name, or the suggested one.

    Returns:
        A table for each sheet; with ``options.merge`` one for all of them.

    Raises:
        InvalidInputError: there is no sheet of that name, or the sheets cannot be merged.
        UnreadableFileError: as its subclasses say.
    """
    with _Book(path, options, limits) as book:
        names = book.chosen()
        raws = []
        tables = []
        cells = 0
        for number, name in enumerate(names):

            def step(part: float, what: str, number: int = number) -> None:
                progress((number + part) / len(names), what)

            raw = book.read(name, step)
            cells += raw.rows * len(raw.columns)
            if cells > limits.cells:
                raise FileTooLargeError(
                    f"The sheets have {cells:,} cells together; at most {limits.cells:,} are read. "
                    f"Import some of them."
                )
            if options.merge:
                raws.append(raw)
            else:
                tables.append(single_table(raw, options, spool, step))
        if options.merge:
            tables.append(merge_tables(raws, options, spool, progress))
        notes = book.notes()
    return Parsed(format=options.format or "xlsx", tables=tuple(tables), notes=notes)


def preview_workbook(
    path: Path, options: ImportOptions, limits: Limits, progress: Progress
) -> tuple[Preview, ...]:
    """Return what is seen of each sheet, in the workbook's order.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    with _Book(path, options, limits) as book:
        suggested = book.suggested()
        previews = []
        for number, name in enumerate(book.names):

            def step(part: float, what: str, number: int = number) -> None:
                progress((number + part) / len(book.names), what)

            previews.append(book.preview(name, name == suggested, step))
    return tuple(previews)


def count_workbook(path: Path, options: ImportOptions, limits: Limits) -> int:
    """Return how many sheets have a value; 2 stands for more than one.

    Raises:
        UnreadableFileError: as its subclasses say.
    """
    with _Book(path, options, limits) as book:
        if len(book.names) == 1:
            return 1  # read, it will say itself if it is empty
        return len(list(islice(filter(book.filled, book.names), 2)))


class _Book:
    """A workbook while it is read."""

    def __init__(self, path: Path, options: ImportOptions, limits: Limits) -> None:
        try:
            from python_calamine import CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum
        except ImportError as error:
            raise UnknownFormatError(
                "Workbooks are read with python-calamine, which is not installed here: "
                "pip install 'framekeep[excel]'."
            ) from error
        self._options = options
        self._limits = limits
        self._facts = open_facts(path, options.format or "xlsx", limits)
        self._known: dict[str, SheetFacts | None] = {}
        self._facts.check()
        with _reading(""), _named(path, options.format or "xlsx") as named:
            self._workbook: CalamineWorkbook = CalamineWorkbook.from_path(named)
        sheets = [item for item in self._workbook.sheets_metadata if item.typ == SheetTypeEnum.WorkSheet]
        self.names = tuple(item.name for item in sheets)
        self._hidden = {item.name for item in sheets if item.visible != SheetVisibleEnum.Visible}
        if not self.names:
            raise EmptyFileError("The workbook has no sheet with cells.")
        if len(self.names) > limits.sheets:
            raise FileTooLargeError(
                f"The workbook has {len(self.names):,} sheets; at most {limits.sheets:,} are read."
            )
        if len(set(self.names)) < len(self.names):
            raise DamagedFileError("The workbook has two sheets of the same name. Rename one of them.")

    def __enter__(self) -> _Book:
        return self

    def __exit__(self, *_: object) -> None:
        self._workbook.close()

    def chosen(self) -> tuple[str, ...]:
        """Return the names of the sheets to read."""
        wanted = self._options.sheets
        if wanted is not None:
            unknown = [name for name in wanted if name not in self.names]
            if unknown:
                raise InvalidInputError(
                    f"The workbook has no sheet {_listed(unknown)}. It has {_listed(self.names)}."
                )
            return wanted
        if self._options.merge:
            filled = tuple(name for name in self.names if self.filled(name) and name not in self._hidden)
            if filled:
                return filled
        name = self.suggested()
        if name is None:
            raise EmptyFileError(f"No sheet of the workbook has a cell with a value ({_listed(self.names)}).")
        return (name,)

    def suggested(self) -> str | None:
        """Return the sheet with the most values, a hidden one if the others are empty; None if all are."""
        filled = [name for name in self.names if self.filled(name)]
        shown = [name for name in filled if name not in self._hidden]
        return max(shown or filled, key=self.filled, default=None)

    def read(self, name: str, progress: Progress) -> RawSheet:
        """Read the cells of a sheet.

        Raises:
            EmptyFileError: it has none with a value.
            FileTooLargeError: it is larger than the limits.
        """
        what = f"Reading the sheet {name!r}"
        progress(0.0, what)
        facts = self._about(name) or SheetFacts()
        progress(0.2, what)
        sheet = self._sheet(name)
        progress(0.6, what)
        with _reading(name):
            raw = gather(
                sheet,
                self._options,
                self._limits,
                facts,
                lambda part: progress(0.6 + 0.2 * part, what),
            )
        rows, columns, limits = raw.rows, len(raw.columns), self._limits
        if rows > limits.rows or columns > limits.columns:
            raise FileTooLargeError(
                f"The sheet {name!r} has {rows:,} rows and {columns:,} columns; at most {limits.rows:,} rows "
                f"and {limits.columns:,} columns are read.",
                where=f"sheet {name!r}",
            )
        if not columns:
            raise EmptyFileError(f"The sheet {name!r} has no cell with a value.", where=f"sheet {name!r}")
        if self._options.format == "ods":
            keep_lengths(raw.columns)
        else:
            keep_dates(raw.columns, self._facts.dates_from_1904, lambda: self._facts.serials(name))
        return raw

    def preview(self, name: str, suggested: bool, progress: Progress) -> Preview:
        """Return what is seen of a sheet."""
        hidden = name in self._hidden
        try:
            raw = self.read(name, progress)
        except EmptyFileError:
            return Preview(name, 0, 0, empty=True, hidden=hidden)
        return Preview(
            name=name,
            rows=raw.rows,
            columns=len(raw.columns),
            header=names_of(raw)[0],
            first=first_rows(raw, PREVIEW_ROWS),
            suggested=suggested,
            hidden=hidden,
        )

    def filled(self, name: str) -> int:
        """Return how many cells of a sheet have a value, about."""
        facts = self._about(name)
        if facts is not None:
            return facts.filled
        sheet = self._sheet(name)
        return sheet.height * sheet.width

    def notes(self) -> tuple[str, ...]:
        """Return what there is to say about the workbook as a whole."""
        unknown = [name for name, facts in self._known.items() if facts is None]
        if not unknown:
            return ()
        return (
            f"Errors such as #N/A could not be told from empty cells in {_listed(unknown)}; "
            f"both have no value now.",
        )

    def _sheet(self, name: str) -> CalamineSheet:
        facts = self._about(name)
        if facts is not None:
            refuse_spread(name, facts.rows, facts.columns, self._limits)
        with _reading(name):
            sheet = self._workbook.get_sheet_by_name(name)
        if sheet.end is not None:
            refuse_spread(name, sheet.end[0] + 1, sheet.width, self._limits)
        return sheet

    def _about(self, name: str) -> SheetFacts | None:
        if name not in self._known:
            try:
                self._known[name] = self._facts.sheet(name)
            except FramekeepError:
                raise
            except Exception:  # a sheet that only its reader understands; that nothing is known is said
                self._known[name] = None
        return self._known[name]


@contextmanager
def _named(path: Path, kind: str) -> Iterator[Path]:
    """Yield a name for the file that ends as its format does: the reader goes by that, whatever is inside."""
    if path.suffix == f".{kind}":
        yield path
        return
    with TemporaryDirectory(dir=".") as directory:  # the job's own, see model.py
        named = Path(directory, f"workbook.{kind}")
        named.symlink_to(path.resolve())
        yield named


@contextmanager
def _reading(sheet: str) -> Iterator[None]:
    """Turn what calamine raises into the errors of this package."""
    from python_calamine import CalamineError, PasswordError

    where = f"sheet {sheet!r}" if sheet else ""
    what = f"The sheet {sheet!r}" if sheet else "The workbook"
    try:
        yield
    except FramekeepError:
        raise
    except PasswordError as error:
        raise PasswordProtectedError(
            "The workbook is password-protected. Remove the password and send it again, without one."
        ) from error
    except (CalamineError, OSError, ValueError, OverflowError) as error:
        raise DamagedFileError(
            f"{what} cannot be read: it is cut short or damaged ({_said(error)}). Open it in a spreadsheet "
            f"program, save it anew, and send that.",
            where=where,
        ) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust code, which cannot be imported
            raise
        raise DamagedFileError(
            f"{what} cannot be read: it is not what its format asks for. Open it in a spreadsheet program, "
            f"save it anew, and send that.",
            where=where,
        ) from error


def _said(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_TOLD]


def _listed(names: Sequence[str]) -> str:
    said = ", ".join(repr(name) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{said} and {more:,} more" if more > 0 else said

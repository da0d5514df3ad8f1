"""The verb ``import``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, Run, described, of, size
from framekeep.errors import InvalidInputError, UnreadableFileError

if TYPE_CHECKING:
    from framekeep.importing import ImportedFile, ImportedTable, Importer, ImportOptions, Inspection
    from framekeep.manager import DataManager

ALL_SHEETS = "*"
_LISTED = 20
_PLAIN = (  # how the reasons of columns begin that nobody would take for anything but text
    "every cell with a value is text",
    "the cells with a value are text",
    "no cell has a value",
    "types were not looked for",
    "the file says",
    "says which sheet",
)


class SheetsToChooseError(InvalidInputError):
    """A workbook has several sheets, and none was named."""

    code = "sheets_to_choose"


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("import", epilog=SHARED_HELP)(import_)


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV and other text, Excel, ODS, Parquet, Arrow, JSON, SPSS, SAS or Stata; also packed.",
        ),
    ],
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", min=1, metavar="SECONDS", help="Keep it this long after its last use."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="WORD", help="A word that means no value, such as NA. Repeat it."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="COLUMN=TYPE", help="The type of a column: zip=text. Repeat it."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Leave every column as text.")] = False,
    sheet: Annotated[
        list[str] | None,
        typer.Option("--sheet", metavar="NAME", help="A sheet to import, '*' for all. Repeat it."),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Put the sheets below each other, into one session.")
    ] = False,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", metavar="CHAR", help="What separates the columns of a text.")
    ] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Of a text.")] = None,
    skip_rows: Annotated[
        int, typer.Option("--skip-rows", min=0, metavar="N", help="Lines above the header.")
    ] = 0,
    no_header: Annotated[bool, typer.Option("--no-header", help="The first row is no header.")] = False,
    kind: Annotated[
        str | None, typer.Option("--format", help="What the file is, when its content does not say.")
    ] = None,
) -> None:
    """Make a session from a file and print the session's id.

    What the file is, its encoding and its delimiter are found out. Nothing is lost on the way: a column gets
    a type only if every cell survives it. 00501 stays text, integers keep every digit, and only an empty cell
    that is not quoted has no value; NA is a word unless you say --missing NA. The columns as text are kept as
    the version before the types: 'framekeep undo' leads there.

    Examples:

        framekeep import patients.csv
        id=$(framekeep import lab.csv --missing NA --type plate=text --ttl 86400)
        framekeep import trial.xlsx --sheet Visits --sheet Labs
    """
    from framekeep.importing import Importer, ImportOptions, Inspection, Limits

    run = of(ctx)
    options = ImportOptions(
        format=kind,
        delimiter=_character(delimiter),
        encoding=encoding,
        header=None if no_header else 0,
        skip_rows=skip_rows,
        missing=tuple(missing or ()),
        types=_types(types or ()),
        typing=not text,
        sheets=tuple(sheet) if sheet else None,
        merge=merge,
    )
    settings = run.settings()
    limits = Limits(memory_bytes=settings.import_memory_mb << 20, seconds=settings.import_timeout_seconds)
    with run.progress(f"Reading {file.name}", total=1.2) as step, Importer(limits=limits) as importer:
        importer.warm()  # while this process loads its own libraries
        from framekeep import manager as _  # noqa: F401 - now, and not when the file is read

        try:
            opened = _opened(importer, file, options, _onwards(step))
        except UnreadableFileError as error:
            raise _located(error, file) from error
        if isinstance(opened, Inspection):
            raise _to_choose(file, opened)
        with opened:
            step(0, "Storing")
            with run.manager(create=True) as kept:
                made = _store(kept, opened, file.name, ttl)
    _tell(run, file, opened, made)


def _opened(
    importer: Importer, file: Path, options: ImportOptions, progress: Callable[[float, str], None]
) -> ImportedFile | Inspection:
    if options.sheets == (ALL_SHEETS,):
        found = importer.inspect(file, file.name, replace(options, sheets=None), progress)
        filled = tuple(table.name for table in found.tables if not table.empty)
        options = replace(options, sheets=filled or None)
    return importer.open(file, file.name, options, progress)


def _store(
    manager: DataManager, file: ImportedFile, filename: str, ttl: float | None
) -> list[Mapping[str, Any]]:
    """Make a session of each table, all of them or none; return what is known of them."""
    made: list[str] = []
    try:
        for table in file.tables:
            made.append(_store_table(manager, file, table, filename, ttl))  # noqa: PERF401 - what was made goes below
        return [manager.get_metadata(session) for session in made]
    except BaseException:
        for session in made:
            manager.delete_session(session)
        raise


def _store_table(
    manager: DataManager, file: ImportedFile, table: ImportedTable, filename: str, ttl: float | None
) -> str:
    from framekeep.importing import TYPES_FOUND

    with table.lent(text=True) as text:
        session = manager.create_session(text, filename, ttl_seconds=ttl)
    try:
        if table.has_text:
            with table.lent() as typed:
                manager.commit_dataframe(session, typed, TYPES_FOUND)
        facts = {"format": file.format, "sheet": table.name, **file.metadata}
        manager.update_metadata(session, {"import": facts})
    except BaseException:
        manager.delete_session(session)
        raise
    return session


def _tell(run: Run, file: Path, opened: ImportedFile, made: Sequence[Mapping[str, Any]]) -> None:
    for note in opened.notes:
        run.note(note)
    documents = []
    for facts, table in zip(made, opened.tables, strict=True):
        notes = [*table.notes, *_kept_as_text(table)]
        of_sheet = f"sheet '{table.name}' of {file.name}" if table.name else file.name
        for note in notes:
            run.note(note)
        rows, columns = facts["shape"]
        run.note(f"{rows:,} rows x {columns:,} columns, {size(facts['bytes'])}, from {of_sheet}.")
        documents.append(
            {
                "session_id": facts["session_id"],
                "session": described(facts),
                "sheet": table.name,
                "columns": [asdict(column) for column in table.columns],
                "notes": [*opened.notes, *notes],
            }
        )
    expires = made[0]["expires_at"]
    run.note(f"Kept until {expires:%Y-%m-%d %H:%M} UTC; every use renews that (--ttl says how long).")

    def render(console: Console) -> None:
        for document in documents:
            console.print(document["session_id"])

    run.emit(documents[0] if len(documents) == 1 else {"sessions": documents}, render)


def _kept_as_text(table: ImportedTable) -> list[str]:
    """Return a line on each column that looks like more than text, and stayed text."""
    return [
        f"{column.name or '(no name)'}: kept as text, {column.reason}"
        for column in table.columns
        if column.type == "text" and not column.overridden and not column.reason.startswith(_PLAIN)
    ]


def _located(error: UnreadableFileError, file: Path) -> UnreadableFileError:
    """Return the error with the file, and the place in it, in its text."""
    text = str(error)
    place = f"{file.name}, {error.where}" if error.where else file.name
    return type(error)(
        text if file.name in text and not error.where else f"{place}: {text}", where=error.where
    )


def _to_choose(file: Path, found: Inspection) -> SheetsToChooseError:
    filled = [table for table in found.tables if not table.empty]
    named = [f"{table.name!r} ({_columns(table.columns)})" for table in filled[:_LISTED]]
    more = f" and {len(filled) - _LISTED} more" if len(filled) > _LISTED else ""
    return SheetsToChooseError(
        f"{file.name} has {len(filled)} sheets: {', '.join(named)}{more}. Say --sheet NAME (several make "
        "several sessions), --sheet '*' for all of them, and --merge to put them into one."
    )


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _onwards(step: Callable[[float, str], None]) -> Callable[[float, str], None]:
    """Turn how far it is into how far it got on."""
    before = 0.0

    def progress(done: float, what: str) -> None:
        nonlocal before
        step(max(0.0, done - before), what)
        before = max(done, before)

    return progress


def _types(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        column, equals, kind = word.rpartition("=")
        if not equals or not column:
            raise InvalidInputError(f"--type takes COLUMN=TYPE, such as zip=text, not {word!r}.")
        found[column] = kind
    return found


def _character(delimiter: str | None) -> str | None:
    """Return the delimiter; a tab may be written as it is spoken of."""
    return "\t" if delimiter in ("\\t", "tab") else delimiter

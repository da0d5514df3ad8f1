"""The verbs ``import`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, described, of, size


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("import", epilog=SHARED_HELP)(import_)
    app.command("export", epilog=SHARED_HELP)(export)


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, Parquet, Arrow IPC or Feather.")],
    ttl: Annotated[
        float | None,
        typer.Option("--ttl", min=1, metavar="SECONDS", help="Keep it this long after its last use."),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            "--missing", metavar="WORD", help="CSV: a word that means no value, such as NA. Repeat it."
        ),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", metavar="CHAR", help="CSV: what separates the columns.")
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="CSV: of the text.")] = "utf-8",
) -> None:
    """Make a session from a file and print the session's id.

    Nothing is lost on the way. In a CSV file a column gets a type only if every cell survives it: 00501 stays
    text, integers keep every digit, and only an empty cell that is not quoted has no value; NA is a word
    unless you say --missing NA.

    Examples:

        framekeep import patients.csv
        id=$(framekeep import lab.csv --missing NA --missing '.' --ttl 86400)
    """
    from framekeep.cli import tables

    run = of(ctx)
    options = tables.CsvOptions(delimiter=delimiter, encoding=encoding, missing=tuple(missing or ()))
    with run.progress(f"Reading {file.name}", total=1.2) as step:
        loaded = tables.read(file, options, step)
        step(0, "Storing")
        with run.manager(create=True) as manager:
            session = manager.create_session(loaded.frame, file.name, ttl_seconds=ttl)
            facts = manager.get_metadata(session)
    shape = facts["shape"]
    for note in loaded.notes:
        run.note(note)
    run.note(f"{shape[0]:,} rows x {shape[1]:,} columns, {size(facts['bytes'])}, from {file.name}.")
    run.note(
        f"Kept until {facts['expires_at']:%Y-%m-%d %H:%M} UTC; every use renews that (--ttl says how long)."
    )

    def render(console: Console) -> None:
        console.print(session)

    run.emit({"session_id": session, "session": described(facts), "notes": list(loaded.notes)}, render)


def export(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session id.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The suffix names the format.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    version: Annotated[
        int | None,
        typer.Option(
            "--version", metavar="ID", help="A version of 'framekeep history', not the current table."
        ),
    ] = None,
) -> None:
    """Write a session's table to a file: CSV, TSV, Parquet, Arrow IPC or Feather.

    Parquet and Arrow keep every type; CSV keeps the text of the values.

    Examples:

        framekeep export SESSION cleaned.parquet
        framekeep export SESSION as-uploaded.csv --version 1
    """
    from framekeep.cli import tables

    run = of(ctx)
    tables.check_target(file, force=force)
    with run.progress(f"Writing {file.name}"), run.manager() as manager:
        table = manager.get_table(session, version="current" if version is None else version)
        tables.write(table, file)
    written = file.stat().st_size

    def render(console: Console) -> None:
        console.print(
            f"Wrote {table.num_rows:,} rows x {table.num_columns:,} columns to {file} ({size(written)})."
        )

    document = {
        "session_id": session,
        "file": str(file),
        "rows": table.num_rows,
        "columns": table.num_columns,
        "bytes": written,
    }
    run.emit(document, render)

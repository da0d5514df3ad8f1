"""The verb ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, of, size


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export", epilog=SHARED_HELP)(export)


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

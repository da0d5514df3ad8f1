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
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME", help="Only this column. Repeat it; the order counts."),
    ] = None,
    neutralize_formulas: Annotated[
        bool,
        typer.Option(
            "--neutralize-formulas",
            help="CSV and TSV: an apostrophe before texts that a spreadsheet would run as a formula.",
        ),
    ] = False,
) -> None:
    """Write a session's table to a file: .csv .tsv .json .jsonl .parquet .arrow .feather .xlsx

    Parquet and Arrow keep every type; CSV and JSON keep the text of the values. What a format cannot hold is
    refused with the name of the column, and no file is left behind.

    Examples:

        framekeep export SESSION cleaned.parquet
        framekeep export SESSION as-uploaded.csv --version 1
        framekeep export SESSION for-excel.csv --column id --column comment --neutralize-formulas
    """
    from framekeep.cli import targets
    from framekeep.exporting import ExportOptions

    run = of(ctx)
    format = targets.checked_target(file, force=force)
    with run.progress(f"Writing {file.name}"), run.manager() as manager:
        _, pieces = manager.export(
            session,
            format.name,
            columns=column,
            version="current" if version is None else version,
            options=ExportOptions(neutralize_formulas=neutralize_formulas),
        )
        targets.write(pieces, file)
    written = file.stat().st_size

    def render(console: Console) -> None:
        console.print(f"Wrote {pieces.rows:,} rows x {pieces.columns:,} columns to {file} ({size(written)}).")

    document = {
        "session_id": session,
        "file": str(file),
        "rows": pieces.rows,
        "columns": pieces.columns,
        "bytes": written,
    }
    run.emit(document, render)

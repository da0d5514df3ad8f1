"""The verb ``demo``."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from framekeep.cli.run import SHARED_HELP, console, of


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo", epilog=SHARED_HELP)(demo)


def demo(
    ctx: typer.Context,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep the store in this new directory, to look around in."
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1000, help="Only so many of the 336,776 flights.")
    ] = None,
) -> None:
    """Take every flight that left New York in 2013 through a whole session, and show the figures.

    Everything is measured there and then, on this machine, beside pickling the whole table.

    Examples:

        framekeep demo
        framekeep demo --keep ./flights && framekeep sessions list --storage-dir ./flights
    """
    from framekeep.cli.demo_story import Story
    from framekeep.cli.flights import flights
    from framekeep.cli.targets import UnusableFileError

    run = of(ctx)
    with ExitStack() as stack:
        if keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framekeep-demo-")))
        elif keep.exists() and any(keep.iterdir()):
            raise UnusableFileError(f"{keep} is not empty. Give --keep the name of a new directory.")
        else:
            directory = keep
        voice = console(markup=True, quiet=run.json)
        frame = flights()
        figures = Story(voice, directory, frame if rows is None else frame.head(rows)).tell()
    run.emit(figures, lambda _: None)

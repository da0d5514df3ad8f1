"""The verb ``config show``."""

from __future__ import annotations

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, of, table

_group = typer.Typer(no_args_is_help=True, help="Show the configuration.")


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.add_typer(_group, name="config")


@_group.command("show", epilog=SHARED_HELP)
def show(ctx: typer.Context) -> None:
    """Show every setting, its value and where that came from. Secrets are hidden.

    Example: MAX_VERSIONS=20 framekeep config show
    """
    run = of(ctx)
    rows = [(row.variable, row.value, row.source) for row in run.settings().describe()]

    def render(console: Console) -> None:
        shown = table("variable", "value", "from")
        for variable, value, source in rows:
            style = "dim" if source == "default" else "bold"
            shown.add_row(variable, str(value), source, style=style)
        console.print(shown)

    run.emit(
        {"settings": [dict(zip(("variable", "value", "source"), row, strict=True)) for row in rows]}, render
    )

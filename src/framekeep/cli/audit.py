"""The verb ``audit``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, of


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("audit", epilog=SHARED_HELP)(audit)


def audit(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session id.")],
    last: Annotated[int, typer.Option("--last", min=0, help="Only the last N entries; 0 is all.")] = 0,
) -> None:
    """Print what was done to a session, oldest first.

    Example: framekeep audit SESSION --last 20
    """
    run = of(ctx)
    with run.manager() as manager:
        entries = manager.get_audit_log(session)
    entries = entries[-last:] if last else entries

    def render(console: Console) -> None:
        for entry in entries:
            console.print(entry, soft_wrap=True)

    run.emit({"session_id": session, "entries": entries}, render)

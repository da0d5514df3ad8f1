"""The verbs ``sessions list``, ``sessions show`` and ``sessions rm``."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, cell, described, instant, of, size, table
from framekeep.errors import DamagedError, SessionNotFoundError

_group = typer.Typer(no_args_is_help=True, help="List, show and delete sessions.")


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(_group, name="sessions")


@_group.command("list", epilog=SHARED_HELP)
def list_(ctx: typer.Context) -> None:
    """List the live sessions. Being listed does not keep a session alive.

    Example: framekeep sessions list --json
    """
    run = of(ctx)
    found: list[dict[str, Any]] = []
    damaged: list[dict[str, str]] = []
    with run.manager() as manager:
        for session in manager.list_sessions():
            try:
                found.append(manager.get_metadata(session, touch=False))
            except SessionNotFoundError:  # it expired meanwhile
                continue
            except DamagedError as error:  # which hides no other
                damaged.append({"session_id": session, "problem": str(error)})

    def render(console: Console) -> None:
        rows = table(
            "session", "from", "rows", "columns", "size", "expires (UTC)", right=("rows", "columns", "size")
        )
        for each in found:
            shape = each["shape"]
            rows.add_row(
                each["session_id"],
                each["filename"],
                f"{shape[0]:,}",
                f"{shape[1]:,}",
                size(each["bytes"]),
                instant(each["expires_at"]),
            )
        for each in damaged:
            rows.add_row(each["session_id"], "(damaged: see framekeep check)", style="red")
        console.print(rows)
        count = len(found) + len(damaged)
        console.print(f"{count} session{'' if count == 1 else 's'}.")

    run.emit({"sessions": [described(each) for each in found], "damaged": damaged}, render)


@_group.command("show", epilog=SHARED_HELP)
def show(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session id.")],
    rows: Annotated[int, typer.Option("--rows", min=0, help="How many of its rows to show.")] = 5,
) -> None:
    """Show a session: its facts, its columns and its first rows.

    Example: framekeep sessions show SESSION --rows 20
    """
    run = of(ctx)
    with run.manager() as manager:
        facts = manager.get_metadata(session)
        page = manager.get_page(session, 0, rows)
        marks = manager.get_intentional_missing(session)
    names, kinds = list(facts["columns"]), described(facts)["dtypes"]
    document = {
        "session": described(facts),
        "rows": [[cell(value) for value in row] for row in page.itertuples(index=False, name=None)],
        "intentional_missing": {str(column): len(positions) for column, positions in marks.items()},
    }

    def render(console: Console) -> None:
        about = table("", "")
        about.show_header = False
        for key, value in facts.items():
            if key not in ("columns", "dtypes"):
                shown = size(value) if key == "bytes" else instant(value)
                about.add_row(key.replace("_", " "), shown)
        console.print(about)
        if not names:
            return
        preview = table("column", "dtype", "empty on purpose", "first rows", right=("empty on purpose",))
        for position, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            cells = ", ".join(str(row[position]) for row in document["rows"])
            count = len(marks.get(name, ()))
            preview.add_row(str(name), kind, f"{count:,}" if count else "", cells[:200])
        console.print(preview)

    run.emit(document, render)


@_group.command("rm", epilog=SHARED_HELP)
def remove(
    ctx: typer.Context,
    sessions: Annotated[list[str], typer.Argument(metavar="SESSION...", help="Session ids.")],
) -> None:
    """Delete sessions with all their versions, damaged ones too. This cannot be undone.

    Example: framekeep sessions rm SESSION
    """
    from framekeep.names import checked_id

    run = of(ctx)
    for session in sessions:
        checked_id(session)  # a slip in the last one must not show when the others are gone
    removed: list[str] = []
    unknown: list[str] = []
    with run.manager() as manager:
        for session in sessions:
            (removed if manager.delete_session(session) else unknown).append(session)

    def render(console: Console) -> None:
        for session in removed:
            console.print(f"Deleted {session}.")

    run.emit({"deleted": removed, "not_found": unknown}, render)
    if unknown:
        run.note(f"Not there: {', '.join(unknown)}.")
        raise typer.Exit(4)

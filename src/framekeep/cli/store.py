"""The verbs ``check`` and ``compact``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.console import Console

from framekeep.cli.exits import exit_code
from framekeep.cli.run import SHARED_HELP, of, size, table
from framekeep.errors import DamagedError


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("check", epilog=SHARED_HELP)(check)
    app.command("compact", epilog=SHARED_HELP)(compact)


def check(
    ctx: typer.Context,
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="SESSION...", help="Only these; all when none is given.")
    ] = None,
) -> None:
    """Walk the store's file, read every chunk of every session and version, and report what is damaged.

    Ends with 0 when all is well and with 9 when damage was found. A session that is damaged does not touch
    the others: restore an earlier version of it, or delete it (framekeep sessions rm). Damage of the store
    itself asks for a backup. Other processes may go on meanwhile.

    Example: framekeep check --json
    """
    from framekeep.cli.inspection import inspect

    run = of(ctx)
    settings = run.settings()
    with run.progress("Opening the store", total=1.0) as step:
        report = inspect(run.store_directory(settings), sessions or (), step)
    if report.refusal is not None:
        raise report.refusal

    def render(console: Console) -> None:
        if report.findings:
            found = table("session", "where", "problem")
            for finding in report.findings:
                found.add_row(finding.session or "(the store)", finding.where, finding.problem)
            console.print(found)
        count = f"{len(report.sessions)} session{'' if len(report.sessions) == 1 else 's'} read to the end"
        damaged = {finding.session for finding in report.findings}
        console.print(f"{count}, {len(damaged)} damaged." if damaged else f"{count}, no damage.")

    document = {
        "sessions": report.sessions,
        "damage": [dataclasses.asdict(finding) for finding in report.findings],
        "ok": not report.findings,
    }
    run.emit(document, render)
    if report.findings:
        raise typer.Exit(exit_code(DamagedError))


def compact(ctx: typer.Context) -> None:
    """Free what expired sessions held, and give the space back to the disk.

    No other process may have the store open meanwhile. The file is replaced in one step: when the power
    fails, the old one is still there.

    Example: framekeep compact
    """
    run = of(ctx)
    with run.progress("Compacting"), run.manager() as manager:
        sessions = manager.cleanup_expired_sessions()
        temporary = manager.cleanup_expired_temp_storage()
        before, after = manager.compact()

    def render(console: Console) -> None:
        if sessions or temporary:
            console.print(f"Freed {sessions} expired session(s) and {temporary} temporary storage(s).")
        console.print(f"{size(before)} before, {size(after)} after.")

    document = {
        "expired_sessions": sessions,
        "expired_temporary_storages": temporary,
        "bytes_before": before,
        "bytes_after": after,
    }
    run.emit(document, render)

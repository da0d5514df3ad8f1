"""The verbs ``history``, ``undo``, ``redo``, ``restore`` and ``diff``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framekeep.cli.run import SHARED_HELP, Run, cell, instant, of, table
from framekeep.errors import InvalidInputError

if TYPE_CHECKING:
    from framekeep.frames import FrameDiff

Session = Annotated[str, typer.Argument(metavar="SESSION", help="A session id.")]
CURRENT = "current"


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for verb in (history, undo, redo, restore, diff):
        app.command(verb.__name__, epilog=SHARED_HELP)(verb)


def history(ctx: typer.Context, session: Session) -> None:
    """Show the versions of a session, oldest first, and where it stands among them.

    A version is the state before an action; undo steps back to the newest one above "now", redo takes the
    first one below.

    Example: framekeep history SESSION
    """
    run = of(ctx)
    with run.manager() as manager:
        versions = manager.get_history(session)
        facts = manager.get_metadata(session)

    def render(console: Console) -> None:
        shown = table(
            "version",
            "action that followed",
            "rows",
            "columns",
            "made (UTC)",
            right=("version", "rows", "columns"),
        )
        now = ("now", "", f"{facts['shape'][0]:,}", f"{facts['shape'][1]:,}", "")
        stood = False
        for version in versions:
            if version["undone"] and not stood:
                shown.add_row(*now, style="bold")
                stood = True
            shown.add_row(
                str(version["version_id"]),
                version["action_summary"],
                f"{version['rows']:,}",
                f"{version['columns']:,}",
                instant(version["created_at"]),
                style="dim" if version["undone"] else None,
            )
        if not stood:
            shown.add_row(*now, style="bold")
        console.print(shown)

    document = {"session_id": session, "current_version": facts["current_version"], "versions": versions}
    run.emit(document, render)


def undo(ctx: typer.Context, session: Session) -> None:
    """Step back to the newest version. Frame and marks return together; redo steps forward again.

    Example: framekeep undo SESSION
    """
    run = of(ctx)
    with run.manager() as manager:
        version = manager.undo(session)
    _moved(run, session, "Undone", version)


def redo(ctx: typer.Context, session: Session) -> None:
    """Step forward again, to where the last undo came from.

    Example: framekeep redo SESSION
    """
    run = of(ctx)
    with run.manager() as manager:
        version = manager.redo(session)
    _moved(run, session, "Done again", version)


def restore(
    ctx: typer.Context,
    session: Session,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="As 'history' numbers them.")],
) -> None:
    """Step straight to a version, back or forth. Nothing is lost: undo and redo lead on from there.

    Example: framekeep restore SESSION 2
    """
    run = of(ctx)
    with run.manager() as manager:
        found = manager.restore(session, version)
    _moved(run, session, f"At version {version}, before", found)


def diff(
    ctx: typer.Context,
    session: Session,
    before: Annotated[str, typer.Argument(metavar="A", help="A version's number, or 'current'.")],
    after: Annotated[str, typer.Argument(metavar="B", help="A version's number, or 'current'.")] = CURRENT,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Changed cells shown per column.")] = 3,
) -> None:
    """Compare two versions: columns and rows added and removed, cells changed.

    A version is the state before its action, so the second example shows what the action of version 1 did.

    Examples:

        framekeep diff SESSION 1
        framekeep diff SESSION 1 2 --samples 10
    """
    run = of(ctx)
    with run.progress("Comparing"), run.manager() as manager:
        found = manager.diff_versions(session, _state(before), _state(after), samples=samples)

    def render(console: Console) -> None:
        console.print(sentence(found))
        if not found.columns_changed:
            return
        row = "row" if found.aligned_by == "label" else "row (by position)"
        shown = table("column", "cells changed", row, "before", "after", right=("cells changed",))
        for column in found.columns_changed:
            name, count = str(column.label), f"{column.cells:,}"
            if column.dtype_before != column.dtype_after:
                shown.add_row(name, count, "", column.dtype_before, column.dtype_after)
                name = count = ""
            for sample in column.samples:
                values = (_short(value) for value in (sample.row, sample.before, sample.after))
                shown.add_row(name, count, *values)
                name = count = ""
        console.print(shown)

    run.emit({"session_id": session, "a": before, "b": after, **_document(found)}, render)


def sentence(found: FrameDiff) -> str:
    """Return a difference in words."""
    parts = [
        f"{_count(len(names), 'column')} {what}: {', '.join(str(name) for name in names)}"
        for what, names in (("added", found.columns_added), ("removed", found.columns_removed))
        if names
    ]
    parts += [
        f"{_count(count, 'row')} {what}"
        for what, count in (("added", found.rows_added), ("removed", found.rows_removed))
        if count
    ]
    if found.columns_changed:
        columns = _count(len(found.columns_changed), "column")
        parts.append(f"{_count(found.cells_changed, 'cell')} changed in {columns}")
    if found.columns_moved:
        parts.append("columns in another order")
    if found.index_changed and not (found.rows_added or found.rows_removed):
        parts.append("another index")
    return "; ".join(parts) + "." if parts else "No difference."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _document(found: FrameDiff) -> dict[str, Any]:
    """Return a difference for JSON: labels and cells as text where JSON has no such value."""
    document = dataclasses.asdict(found)
    for column in document["columns_changed"]:
        column["label"] = cell(column["label"])
        column["samples"] = [{key: cell(value) for key, value in each.items()} for each in column["samples"]]
    for key in ("columns_added", "columns_removed"):
        document[key] = [cell(label) for label in document[key]]
    return document


def _moved(run: Run, session: str, said: str, version: Mapping[str, Any]) -> None:
    def render(console: Console) -> None:
        summary = version["action_summary"]
        console.print(f"{said}: {summary}. Now {version['rows']:,} rows x {version['columns']:,} columns.")

    run.emit({"session_id": session, "version": version}, render)


def _state(text: str) -> int | str:
    if text == CURRENT:
        return text
    if not text.isascii() or not text.isdigit():
        raise InvalidInputError(f"A state is a version number or '{CURRENT}', not {text[:40]!r}.")
    return int(text)

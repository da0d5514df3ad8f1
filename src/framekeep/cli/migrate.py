"""The verb ``migrate``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from framekeep.cli.exits import exit_code
from framekeep.cli.run import SHARED_HELP, of, table
from framekeep.errors import InvalidInputError
from framekeep.migration.report import Outcome, Overwrite, Report

if TYPE_CHECKING:
    from framekeep.config import Settings
    from framekeep.engines.base import Engine
    from framekeep.migration.passes import Origin
    from framekeep.migration.places import Place

_WORDS = {
    Outcome.COPIED: "copied",
    Outcome.UPDATED: "copied again: changed in the source",
    Outcome.THERE: "there already",
    Outcome.NEWER: "left alone: changed in the target only",
    Outcome.KEPT: "left alone: --overwrite never",
    Outcome.GONE: "expired or deleted in the source meanwhile",
}


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("migrate", epilog=SHARED_HELP)(migrate)


def migrate(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Option("--from", metavar="SOURCE", help="Where the sessions are. Nothing is changed there."),
    ],
    target: Annotated[str, typer.Option("--to", metavar="TARGET", help="Where they go.")],
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ID", help="Only this one; may be repeated.")
    ] = None,
    overwrite: Annotated[
        Overwrite,
        typer.Option(
            help="What in the target may be replaced: an older state of the source's that was copied before, "
            "or nothing."
        ),
    ] = Overwrite.OLDER,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
    trust_pickles: Annotated[
        bool, typer.Option("--trust-pickles", help="Open pickle files. They can run any code as you.")
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            help="Where it is remembered what both stores had. Keep it until the migration is over.",
            show_default="beside the embedded store, or in STORAGE_DIR",
        ),
    ] = None,
) -> None:
    """Copy sessions and temporary storages to another store, while both are in use.

    SOURCE and TARGET are a directory with an embedded store, a URL of Redis (redis://, rediss://, unix://,
    redis+sentinel://, redis+cluster://), or 'redis' for the Redis of the settings. SOURCE may also be
    pickles:DIR, a directory with sessions/ID/current.pkl, versions/N.pkl and meta.json.

    Run it as often as you like: what is there and equal is skipped, what changed in the source is copied
    again, what changed in the target is left alone. What changed in both is reported, and neither is touched.
    The source is never changed. Each session is compared with what was read when it has arrived. After an
    interruption the next run goes on.

    Examples:

        framekeep migrate --from .framekeep --to redis --dry-run
        framekeep migrate --from .framekeep --to redis://localhost:6379/0
        framekeep migrate --from redis --to .framekeep
        framekeep migrate --from pickles:/var/app/data --to .framekeep --trust-pickles

    Ends with 0 when all is in the target; else with the highest exit code of what was reported: 3 cannot be
    read, 4 not there, 5 changed in both, 6 or 7 the store, 8 of a newer version, 9 damaged. docs/migrate.md
    has the whole way, and the way back.
    """
    from framekeep.migration.arrival import Arrival
    from framekeep.migration.journal import Journal
    from framekeep.migration.passes import migrate as migrate_all
    from framekeep.migration.places import Kind, journal_path, place

    run = of(ctx)
    settings = run.settings()
    here, there = place(source, settings), place(target, settings)
    if here.identity == there.identity:
        raise InvalidInputError(f"Source and target are both {here.shown}. Give two different stores.")
    if here.kind is Kind.PICKLES and not (trust_pickles or dry_run):
        raise InvalidInputError(
            "A pickle file can run any code when it is opened. If you know who wrote these, add "
            "--trust-pickles; --dry-run opens none."
        )
    with ExitStack() as stack:
        with run.progress("Opening the stores"):
            engine = _target(stack, there, settings, dry_run=dry_run)
            origin = _source(stack, here, settings, dry_run=dry_run)
            remembered = stack.enter_context(
                Journal(
                    journal or journal_path((here, there), settings),
                    between=(here.identity, there.identity),
                    target=there.identity,
                    read_only=dry_run,
                )
            )
            names = origin.spaces(only or ())
        arrival = Arrival(engine, remembered, overwrite=overwrite, dry_run=dry_run)
        with run.progress("Moving", total=len(names)) as step:
            report = migrate_all(origin, arrival, names, asked=bool(only), progress=step)
    document = {"from": here.shown, "to": there.shown, "dry_run": dry_run, **report.to_json()}
    run.emit(document, lambda console: _render(console, report, dry_run=dry_run))
    if report.errors:
        raise typer.Exit(max(exit_code(error) for error in report.errors))


def _source(stack: ExitStack, here: Place, settings: Settings, *, dry_run: bool) -> Origin:
    from framekeep.migration.places import Kind, open_engine

    if here.kind is not Kind.PICKLES:
        from framekeep.migration.copying import Copying

        engine = open_engine(here, settings, create=False)
        stack.callback(engine.close)
        return Copying(engine)
    from framekeep.connect import codec_for
    from framekeep.migration.pickle_reader import PickleReader
    from framekeep.migration.pickles import Pickles

    reader = None
    if not dry_run:
        reader = stack.enter_context(
            PickleReader(
                memory_bytes=settings.import_memory_mb << 20,
                seconds=settings.import_timeout_seconds,
                max_frame_bytes=settings.max_frame_bytes,
            )
        )
    return Pickles(here.path, codec_for(settings), reader, ttl=settings.redis_session_ttl_seconds)


def _target(stack: ExitStack, there: Place, settings: Settings, *, dry_run: bool) -> Engine:
    from framekeep.migration.places import is_empty, open_engine

    if dry_run and is_empty(there):
        from framekeep.engines.memory import MemoryEngine

        return MemoryEngine()
    engine = open_engine(there, settings, create=True)
    stack.callback(engine.close)
    return engine


def _render(console: Console, report: Report, *, dry_run: bool) -> None:
    counts = table("", "sessions", "temporary storages", right=("sessions", "temporary storages"))
    for outcome, words in _WORDS.items():
        sessions, temporary = (report.outcomes[kind][outcome] for kind in ("session", "temp"))
        if sessions or temporary:
            counts.add_row(words, f"{sessions:,}", f"{temporary:,}")
    if counts.row_count:
        console.print(counts)
    if report.problems:
        problems = table("not moved", "why")
        for problem in report.problems:
            problems.add_row(problem.space.partition(":")[2], str(problem.error))
        console.print(problems)
    if report.stopped is not None:
        console.print(f"Stopped, {report.not_reached:,} not reached: {report.stopped}")
        console.print(
            "What has arrived stays; run this again when that is mended, and it goes on from there."
        )
    elif report.problems:
        console.print(f"{len(report.problems):,} could not be moved; all else is in the target.")
    elif dry_run:
        console.print("Nothing was written: this was a dry run.")
    else:
        console.print("All is in the target.")

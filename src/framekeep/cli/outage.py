"""The verbs ``outage list``, ``outage resolve`` and ``outage replay``: what happened while Redis was away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from framekeep.cli.exits import exit_code
from framekeep.cli.run import SHARED_HELP, NoStoreError, Run, instant, of, table
from framekeep.errors import InvalidInputError, NotFoundError, StorageBusyError, StorageUnavailableError

if TYPE_CHECKING:
    from framekeep.engines.lmdb import LmdbEngine

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="DIR",
        help="Another standby of this machine, as 'outage list' names it.",
        show_default="the standby of the store that the settings name",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    group = typer.Typer(
        no_args_is_help=True,
        help="What was done on this machine while Redis did not answer, and what became of it. Look with "
        "'list', take what you want with 'framekeep restore', then 'resolve'. docs/outages.md has all of it.",
        epilog=SHARED_HELP,
    )
    group.command("list", epilog=SHARED_HELP)(list_)
    group.command("resolve", epilog=SHARED_HELP)(resolve)
    group.command("replay", epilog=SHARED_HELP)(replay)
    app.add_typer(group, name="outage")


def list_(ctx: typer.Context, source: From = None) -> None:
    """List what waits to go back to Redis, and what was changed in both places.

    Waiting: sessions that are served from this machine until they are in Redis again. Kept: sessions that
    were changed here and elsewhere; Redis's state is current, and what was made here is in the versions named
    (framekeep restore SESSION VERSION takes one). Look at them, then take them off the list with resolve.

    Other standbys: of other stores that this machine has used, or of this one under another address. What
    waits there is brought back by a service with those settings, or by 'framekeep outage replay --from DIR'.

    Example: framekeep outage list --json
    """
    from framekeep.standby.markers import REPLIES, Marker, Markers
    from framekeep.standby.replay import Kept, kept
    from framekeep.standby.stores import others

    run = of(ctx)
    settings = run.settings()
    directory = _directory(run, source)
    elsewhere = [] if source else others(settings.storage_dir.absolute(), directory)
    waiting: list[Marker] = []
    records: list[Kept] = []
    if not elsewhere or _is_one(directory):  # where only others have one, that is the answer
        with _standby(directory) as local:
            waiting = Markers(local, directory).all()
            records = kept(local)

    def render(console: Console) -> None:
        sessions = [marker for marker in waiting if not marker.space.startswith(REPLIES)]
        if sessions:
            shown = table("waiting", "served from here since (UTC)")
            for marker in sessions:
                shown.add_row(marker.space, instant(_when(marker.since)))
            console.print(shown)
        if records:
            shown = table("kept", "versions", "came back (UTC)", "why")
            for record in records:
                versions = ", ".join(map(str, record.versions))
                shown.add_row(record.space, versions, instant(_when(record.at)), record.reason)
            console.print(shown)
        replies = f" (and {len(waiting) - len(sessions)} replies)" if len(waiting) > len(sessions) else ""
        console.print(f"{len(sessions)} waiting{replies}, {len(records)} kept in both states.")
        if elsewhere:
            shown = table("other standby", "of", "waiting", "kept", right=("waiting", "kept"))
            for each in elsewhere:
                what = each.problem or str(each.store or "not known")
                shown.add_row(str(each.directory), what, str(each.waiting), str(each.kept))
            console.print(shown)
            console.print("Theirs: framekeep outage list --from DIR, and so with resolve and replay.")

    document = {
        "waiting": [{"space": marker.space, "since": _when(marker.since)} for marker in waiting],
        "kept": [
            {
                "space": record.space,
                "versions": list(record.versions),
                "since": _when(record.since),
                "at": _when(record.at),
                "reason": record.reason,
            }
            for record in records
        ],
        "others": [
            {
                "directory": str(each.directory),
                "store": None if each.store is None else str(each.store),
                "waiting": each.waiting,
                "kept": each.kept,
                "problem": each.problem,
            }
            for each in elsewhere
        ],
    }
    run.emit(document, render)


def resolve(
    ctx: typer.Context,
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="SESSION...", help="As 'outage list' names them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    source: From = None,
) -> None:
    """Take sessions off the list of those that were changed in both places. Their versions stay.

    Example: framekeep outage resolve SESSION
    """
    from framekeep.names import Space
    from framekeep.standby.replay import kept
    from framekeep.standby.replay import resolve as take_off

    run = of(ctx)
    if bool(sessions) == everything:
        raise InvalidInputError("Name the sessions, or give --all.")
    with _standby(_directory(run, source)) as local:
        listed = {record.space for record in kept(local)}
        wanted = listed if everything else {_space(session) for session in sessions or ()}
        absent = sorted(wanted - listed)
        if absent:
            raise NotFoundError(f"{absent[0]} is not on the list. See 'framekeep outage list'.")
        for space in sorted(wanted):
            take_off(local, Space(space))

    run.emit({"resolved": sorted(wanted)}, lambda console: console.print(f"{len(wanted)} resolved."))


def replay(ctx: typer.Context, source: From = None) -> None:
    """Bring back now what waits, instead of when a worker does it. Needs Redis, as the settings say.

    A worker does it by itself, soon after Redis answers; this is for a machine whose service has been
    stopped. Ends with 6 when something is left.

    With --from, what waits in another standby goes to the store that the settings name: for a store that has
    moved, or is reached under another name. Make sure that it is that one: what waits is then in it.

    Examples: framekeep outage replay; framekeep outage replay --from .framekeep/standby-2f6c0a9d11be
    """
    from framekeep.connect import returning, store_of
    from framekeep.standby.stores import in_use, look

    run = of(ctx)
    settings = run.settings()
    directory, own = _directory(run, source), _directory(run, None)
    if not _is_one(directory):
        raise _none(directory)
    if not settings.redis_enabled or (directory == own and not settings.storage_fallback_to_memory):
        raise InvalidInputError(
            "Set REDIS_ENABLED=true, and STORAGE_FALLBACK_TO_MEMORY as the service has it."
        )
    if directory != own:
        if in_use(directory):
            raise StorageBusyError(
                f"A service has {directory} open, and brings back what is there to its own store. "
                "Stop it first."
            )
        found = look(directory)
        run.note(f"From {directory} ({found.store or 'a store not known'}) to {store_of(settings)}")
    with (
        closing(returning(settings, directory)) as backend,
        run.progress("Bringing back") as bar,
    ):
        replayer = backend.replayer
        assert replayer is not None
        done = replayer.replay(lambda number, total: bar(1, f"Brought back {number} of {total}"))
        failed, left = replayer.failed, replayer.pending()

    counts: dict[str, Any] = {}
    for outcome in done.values():
        counts[str(outcome)] = counts.get(str(outcome), 0) + 1

    def render(console: Console) -> None:
        for outcome, count in sorted(counts.items()):
            console.print(f"{count} {outcome}")
        for space, why in sorted(failed.items()):
            console.print(f"{space} could not be brought back: {why}")
        if left and not failed:
            console.print(f"{left} left: another process of this machine is bringing back.")
        else:
            console.print(f"{left} left." if left else "Nothing is left to bring back.")

    run.emit(
        {
            "outcomes": {str(space): str(outcome) for space, outcome in done.items()},
            "failed": {str(space): why for space, why in failed.items()},
            "left": left,
        },
        render,
    )
    if left:
        raise typer.Exit(exit_code(StorageUnavailableError))


def _directory(run: Run, source: Path | None) -> Path:
    """Return where a standby is.

    Raises:
        NoStoreError: there is none in the directory that was named.
    """
    from framekeep.connect import standby_directory

    if source is None:
        return standby_directory(run.settings()).absolute()
    directory = source.expanduser().absolute()
    if not _is_one(directory):
        raise NoStoreError(
            f"There is no standby in {directory}. 'framekeep outage list' names those there are."
        )
    return directory


def _is_one(directory: Path) -> bool:
    from framekeep.engines.lmdb_store import FILE

    return (directory / FILE).exists()


def _none(directory: Path) -> NoStoreError:
    from framekeep.engines.lmdb_store import FILE

    text = f"There is no standby in {directory}: with these settings, this machine has not been through an "
    text += "outage."
    if any(directory.parent.glob(f"standby*/{FILE}")):
        text += " 'framekeep outage list' names other standbys that hold something, for --from."
    return NoStoreError(text)


@contextmanager
def _standby(directory: Path) -> Iterator[LmdbEngine]:
    """Open a standby.

    Raises:
        NoStoreError: there is none.
    """
    from framekeep.engines.lmdb import LmdbEngine

    if not _is_one(directory):
        raise _none(directory)
    local = LmdbEngine(directory)
    try:
        yield local
    finally:
        local.close()


def _space(session: str) -> str:
    return session if ":" in session else f"session:{session}"


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

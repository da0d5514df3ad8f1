"""What every verb needs: the options given anywhere on the line, the store, and where words go.

Results go to stdout (one JSON document with ``--json``), everything else to stderr.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framekeep.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    import typer
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
    from rich.text import Text

    from framekeep.config import Settings
    from framekeep.manager import DataManager

SHARED_HELP = "Also, anywhere on the line: --storage-dir DIR, --json, --debug."

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_FLAGS = ("--json", "--debug")
_VALUED = "--storage-dir"


class NoStoreError(NotFoundError):
    """There is no store in the directory."""

    code = "no_store"


class MissingExtraError(ConfigurationError):
    """A verb needs libraries that are not installed."""

    code = "missing_extra"


def missing_extra(extra: str, error: ModuleNotFoundError) -> MissingExtraError:
    """Return the error of a verb whose libraries are not installed."""
    return MissingExtraError(
        f"This needs {error.name or 'a library'}, which is not installed: pip install 'framekeep[{extra}]'."
    )


def lift(argv: Sequence[str]) -> list[str]:
    """Return ``argv`` with the options that belong to every verb moved to the front.

    So that ``framekeep history ID --json`` means the same as ``framekeep --json history ID``, without each
    verb declaring them. What follows ``--`` is left alone.
    """
    front: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in _FLAGS or word.startswith(f"{_VALUED}="):
            front.append(word)
        elif word == _VALUED:
            value = next(words, None)
            if value is None:
                return [*front, word]  # so that the complaint is about this option
            front += [word, value]
        else:
            rest.append(word)
    return front + rest


@dataclass(frozen=True, slots=True)
class Run:
    """One invocation.

    Attributes:
        json: whether stdout gets one JSON document instead of words.
        debug: whether errors come with their traceback.
        storage_dir: the directory given on the command line, if any.
    """

    json: bool = False
    debug: bool = False
    storage_dir: Path | None = None

    def settings(self, **given: Any) -> Settings:
        """Return the settings of this invocation, with what else was given on its command line.

        Raises:
            ConfigurationError: naming the variable that is wrong.
        """
        from framekeep.config import Settings

        if self.storage_dir is not None:
            given["storage_dir"] = self.storage_dir
        return Settings(**given)

    @contextmanager
    def manager(self, *, create: bool = False) -> Iterator[DataManager]:
        """Open the store for the block.

        Args:
            create: make a store where there is none; only a verb that writes the first session does.

        Raises:
            NoStoreError: when there is none and ``create`` is false.
        """
        from framekeep.manager import DataManager

        settings = self.settings()
        if not create:
            self.store_directory(settings)
        library = logging.getLogger("framekeep")
        library.addFilter(_not_raised)
        try:
            opened = DataManager(settings)
        finally:
            library.removeFilter(_not_raised)
        with opened as manager:
            yield manager

    def store_directory(self, settings: Settings) -> Path:
        """Return the directory of the store.

        Raises:
            NoStoreError: when sessions are kept there and there is no store in it.
        """
        from framekeep.engines.lmdb_store import FILE

        directory = settings.storage_dir
        if not settings.redis_enabled and not (directory / FILE).exists():
            raise NoStoreError(
                f"There is no store in {directory}. Make one with 'framekeep import FILE', "
                "or say where it is with --storage-dir DIR."
            )
        return directory

    def emit(self, document: object, render: Callable[[Console], None]) -> None:
        """Print the result: ``document`` with ``--json``, else what ``render`` draws."""
        try:
            if self.json:
                sys.stdout.write(json.dumps(plain(document), indent=2, allow_nan=False) + "\n")
            else:
                render(stdout())
            sys.stdout.flush()
        except BrokenPipeError:
            fall_silent()

    def note(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        stderr().print(text, style="dim")

    @contextmanager
    def progress(self, what: str, total: float | None = None) -> Iterator[Callable[[float, str], None]]:
        """Show a bar on stderr while the block runs, when stderr is a terminal.

        Yields:
            ``step(advance, what)``: moves the bar and renames what is being done ("" keeps the name).
        """
        bar = _bar()
        with bar:
            task = bar.add_task(what, total=total)

            def step(advance: float, what: str = "") -> None:
                bar.update(task, advance=advance)
                if what:
                    bar.update(task, description=what)

            yield step


def _not_raised(record: logging.LogRecord) -> bool:
    """Say whether a log line is of no error: that is raised as well, and the command line tells of it."""
    return record.levelno < logging.ERROR


def of(ctx: typer.Context) -> Run:
    """Return the invocation a verb runs in."""
    run = ctx.obj
    assert isinstance(run, Run)
    return run


def fall_silent() -> None:
    """Send the rest of stdout nowhere: whoever read it (``| head``) has seen enough, which is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stdout() -> Console:
    """Return a console for results. Tables are not folded to 80 columns when stdout is a pipe or a file."""
    found = console()
    return found if found.is_terminal else console(width=200)


def stderr() -> Console:
    """Return a console for everything that is not the result."""
    return console(stderr=True, soft_wrap=True)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table with these headings; those in ``right`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: instants are ISO 8601, missing is null, keys are text."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, datetime | date) and not hasattr(value, "to_numpy"):
        return value.isoformat()
    return cell(value)


def cell(value: Any) -> Any:
    """Return a cell or label for JSON: missing is null, and what JSON does not have is text."""
    if isinstance(value, tuple):
        return str(value)
    if hasattr(value, "item"):  # numpy scalars
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    text = str(value)
    if text in ("nan", "NaT", "<NA>"):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else text


def described(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's metadata for JSON: ``columns`` and ``dtypes`` are parallel lists."""
    dtypes = facts["dtypes"]
    kinds = list(dtypes.values()) if isinstance(dtypes, Mapping) else list(dtypes)
    return {**facts, "columns": [cell(label) for label in facts["columns"]], "dtypes": kinds}


def size(count: float) -> str:
    """Return a number of bytes for reading: '512 B', '1.4 MB' (powers of ten, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def instant(value: object) -> str:
    """Return an instant for reading, in UTC to the second; '' for None."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else str(value)


def printable(text: str) -> str:
    """Return ``text`` with control characters and lone surrogates written out.

    A file name must not steer the terminal, and a cell that is no Unicode must not stop the listing.
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def console(*, markup: bool = False, **options: Any) -> Console:
    """Return a console that is safe to print users' words on."""
    from rich.console import Console

    class Plain(Console):
        """Prints users' words as they are: [s] is no style, and control characters do nothing."""

        def render_str(self, text: str, **styles: Any) -> Text:
            return super().render_str(printable(text), **styles)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # and not rich's exit code 1

    return Plain(highlight=False, markup=markup, **options)


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    shown = console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
        disable=not shown.is_terminal,
    )

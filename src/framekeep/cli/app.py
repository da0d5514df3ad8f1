"""The ``framekeep`` command: wires the verbs and turns errors into one line and an exit code."""

from __future__ import annotations

import io
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from framekeep.cli import (
    audit,
    config,
    demo,
    exports,
    imports,
    migrate,
    outage,
    serve,
    sessions,
    store,
    versions,
)
from framekeep.cli.exits import INTERRUPTED, OK, UNEXPECTED, exit_code
from framekeep.cli.run import Run, fall_silent, lift, printable
from framekeep.errors import FramekeepError

app = typer.Typer(
    name="framekeep",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"framekeep {version('framekeep')}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 2 wrong command line, 3 wrong request, 4 not there, 5 somebody was faster, "
    "6 to 8 the store, 9 damage found, 10 a wrong setting, 1 unexpected. All of them: docs/cli.md."
)
def root(
    ctx: typer.Context,
    storage_dir: Annotated[
        Path | None,
        typer.Option(
            "--storage-dir", metavar="DIR", help="The store's directory.", show_default="STORAGE_DIR"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep DataFrames in sessions: every change a version, every step undone in a moment.

    Start here:

        framekeep demo                  a whole session on 336,776 real flights
        framekeep import patients.csv   makes a session and prints its id
        framekeep sessions list         which sessions there are
        framekeep history SESSION       what was done to one
        framekeep undo SESSION          step back; redo steps forward again
        framekeep export SESSION out.parquet

    SESSION is an id as 'import' prints it. --storage-dir, --json and --debug may stand anywhere on the line.
    """
    ctx.obj = Run(json=as_json, debug=debug, storage_dir=storage_dir)


demo.add_to(app)
serve.add_to(app)
imports.add_to(app)
exports.add_to(app)
sessions.add_to(app)
versions.add_to(app)
audit.add_to(app)
store.add_to(app)
migrate.add_to(app)
outage.add_to(app)
config.add_to(app)


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises, prints one line per error to stderr."""
    words = lift(argv)
    try:
        app(args=words, prog_name="framekeep")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else UNEXPECTED
    except BrokenPipeError:
        fall_silent()
        return OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        return _report(error, as_json="--json" in words, debug="--debug" in words)
    return OK


def _report(error: Exception, *, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    code = exit_code(error)
    text = printable(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, FramekeepError):
        text = f"{type(error).__name__}: {text} (unexpected; --debug shows where)"
    print(f"framekeep: {text}", file=sys.stderr)
    if as_json:
        kind = error.code if isinstance(error, FramekeepError) else "unexpected"
        document = {"error": {"code": kind, "message": text, "exit_code": code}}
        print(json.dumps(document, indent=2))
    return code


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode is no reason to stop
    sys.exit(run(sys.argv[1:]))

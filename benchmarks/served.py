"""Real ``framekeep serve`` processes to measure: each on a free port, with a store of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.line import Address, Line, request

PATIENCE = 60.0
"""Seconds that starting and stopping may take."""

PROJECT = Path(__file__).resolve().parents[1]

_LISTENS = re.compile(r"http://([0-9.]+):([0-9]+)")


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of memory of some processes, what they share counted once.

    Attributes:
        total: with files that are mapped, as far as they are in memory (the kernel can drop those).
        private: without.
    """

    total: int
    private: int


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs.

    Attributes:
        place: its directory; the store is in ``store``.
        process: the one that was started; workers and readers of files are its descendants.
        address: where it listens.
    """

    place: Path
    process: subprocess.Popen[bytes]
    address: Address

    def line(self) -> Line:
        """Return a new connection."""
        return Line(self.address)

    def weight(self) -> Weight:
        """Return the memory of all its processes."""
        total = private = 0
        root = psutil.Process(self.process.pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(OSError):  # it ended meanwhile
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                found = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
                total += int(found["Pss"]) << 10
                private += int(found["Pss_Anon"]) << 10
        return Weight(total, private)

    def complaints(self) -> list[str]:
        """Return what it logged that is no information: warnings, errors, and lines that are no log lines."""
        found = []
        for line in (self.place / "log").read_text().splitlines():
            try:
                if json.loads(line)["level"] == "info":
                    continue
            except (ValueError, KeyError):
                pass
            found.append(line)
        return found


@contextmanager
def serving(
    place: Path, *, workers: int = 1, module: str = "framekeep.cli", **settings: object
) -> Iterator[Served]:
    """Run a service for the block, with default settings but for those given.

    Args:
        place: a new directory on the disk to measure; what is put in ``store`` before is found there.
        workers: how many processes serve.
        module: what is run: the command line, or a module whose ``main`` serves more.
        settings: by their names, as in ``Settings``.

    Raises:
        RuntimeError: it did not start, or did not end with 0; its log is in the message.
    """
    place.mkdir(parents=True, exist_ok=True)
    variables = {
        "STORAGE_DIR": place / "store",
        "SERVE_PORT": 0,
        "SERVE_WORKERS": workers,
        **{name.upper(): value for name, value in settings.items()},
    }
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve"],
            cwd=PROJECT,
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        address = _listening(place / "log", process)
        with Line(address, PATIENCE) as line:
            line.ask(request("GET", "/health/ready")).expect(200)
        yield Served(place, process, address)
        process.terminate()
        if process.wait(PATIENCE) != 0:
            raise RuntimeError(f"The service ended with {process.returncode}:\n{_tail(place / 'log')}")
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listening(log: Path, process: subprocess.Popen[bytes]) -> Address:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if found := _LISTENS.search(log.read_text()):
            return found[1], int(found[2])
        time.sleep(0.01)
    raise RuntimeError(f"The service did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text()[-4000:]

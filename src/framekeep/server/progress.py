"""How far an upload is: small files beside the store, so that any worker can answer.

Written at most a few times a second, each file whole or not at all; old ones are swept away. An upload goes
on when there is no room for telling of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from framekeep.names import new_id

EVERY = 0.2
"""Seconds between two writings."""

KEPT = 3600.0
"""Seconds that a file stays."""


class Progress:
    """The progress of one upload.

    Args:
        path: its file; None keeps none.
        monotonic: seconds, for the time between two writings.
    """

    def __init__(self, path: Path | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._next = 0.0

    def received(self, seen: int, total: int | None) -> None:
        """Say how many bytes came, of how many."""
        self._tell({"state": "receiving", "bytes_received": seen, "bytes_total": total})

    def reading(self, fraction: float, what: str) -> None:
        """Say how far the reading of the file is, from 0 to 1."""
        self._tell({"state": "reading", "fraction": round(min(max(fraction, 0.0), 1.0), 3), "what": what})

    def storing(self) -> None:
        """Say that the table is being stored."""
        self._tell({"state": "storing"}, now=True)

    def done(self, result: dict[str, Any]) -> None:
        """Say that it is done, and what came of it."""
        self._tell({"state": "done", **result}, now=True)

    def failed(self, code: str, detail: str) -> None:
        """Say that it failed, and why."""
        self._tell({"state": "failed", "code": code, "detail": detail}, now=True)

    def _tell(self, document: dict[str, Any], *, now: bool = False) -> None:
        if self._path is None or (not now and self._monotonic() < self._next):
            return
        self._next = self._monotonic() + EVERY
        beside = self._path.with_name(f".{new_id()}")
        try:
            beside.write_text(json.dumps(document), encoding="utf-8")
            os.replace(beside, self._path)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any] | None:
    """Return what an upload's file says; None if there is none."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return document


def sweep(directory: Path, now: float) -> None:
    """Remove files that nobody has written to for KEPT seconds."""
    for path in directory.iterdir():
        try:
            if path.is_file() and now - path.stat().st_mtime > KEPT:
                path.unlink()
        except FileNotFoundError:
            continue  # another worker was faster

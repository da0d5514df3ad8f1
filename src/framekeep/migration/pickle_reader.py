"""Frames of pickle files, opened by another process (pickle_child.py); this one never opens a pickle."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from framekeep.errors import (
    DamagedFileError,
    ImportLimitError,
    NotADataFrameError,
    ServiceError,
    UnsupportedTypeError,
)

if TYPE_CHECKING:
    import pandas as pd

CHILD = ("-P", "-m", "framekeep.migration.pickle_child")
"""What Python is asked to run: without the working directory, which is no place to import from."""

_START = 60.0  # seconds beyond one file's, for the process to start
_SAID = 4096
_SPARE = 64 << 20
_ENDED = {
    "SIGKILL": "it was killed; memory may have run out",
    "SIGXCPU": "it took more time than it may",
    "SIGSEGV": "it crashed (SIGSEGV)",
}


class PickleReader:
    """Reads one file after the other, each in a child of its own. Not thread-safe.

    Args:
        memory_bytes: private memory that opening one file may take.
        seconds: for one file.
        max_frame_bytes: of a frame; a larger one is refused.
    """

    def __init__(self, *, memory_bytes: int, seconds: float, max_frame_bytes: int) -> None:
        self._limits = {
            "memory": memory_bytes,
            "seconds": seconds,
            "out": 2 * max_frame_bytes + _SPARE,
        }
        self._max_frame_bytes = max_frame_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="framekeep-pickles-")

    def frame(self, path: Path) -> pd.DataFrame:
        """Return the frame of a pickle file.

        Raises:
            UnsupportedTypeError: a value cannot be kept exactly; names its column.
            NotADataFrameError: the pickle holds something else.
            DamagedFileError: it cannot be opened.
            ImportLimitError: opening it took more memory or time than it may.
            DataFrameTooLargeError: the frame is too large.
            ServiceError: the process cannot be started.
        """
        from framekeep.frames.wire import unpack

        scratch = Path(self._directory.name)
        out, said = scratch / "frame", scratch / "said"
        out.unlink(missing_ok=True)
        said.unlink(missing_ok=True)
        order = {"pickle": str(path.absolute()), "out": str(out), "said": str(said)}
        verdict = self._ask(order)
        if verdict != {"ended": "itself", "status": 0}:
            raise self._error(path.name, verdict, said)
        try:
            with out.open("rb") as file:
                return unpack(file, max_bytes=self._max_frame_bytes)
        except OSError as error:
            raise DamagedFileError(f"{path.name} was opened, but gave no frame.") from error

    def _ask(self, order: Mapping[str, str]) -> Mapping[str, Any]:
        for last in (False, True):
            process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                # Not as text with an encoding: a path need be none.
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
                patience = (self._limits["seconds"] + _START) * 1000
                poll = select.poll()
                poll.register(process.stdout, select.POLLIN)
                if poll.poll(patience) and (line := process.stdout.readline(_SAID)):
                    found = json.loads(line)
                    if isinstance(found, dict):
                        return found
            except (OSError, ValueError):
                pass
            self._end()
            if last:
                break
        # The pickle did it, so others may be well: they get another process.
        return {"ended": "SIGKILL"}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            command = [sys.executable, *CHILD, json.dumps({**self._limits, "parent": os.getpid()})]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError as error:
                raise ServiceError(
                    f"The process that opens pickles cannot be started: {error.strerror}."
                ) from error
        return self._process

    def _error(self, name: str, verdict: Mapping[str, Any], said: Path) -> Exception:
        ended = verdict.get("ended")
        seconds, memory = self._limits["seconds"], int(self._limits["memory"]) >> 20
        if ended == "late":
            return ImportLimitError(
                f"Opening {name} took more than {seconds:g} s. Raise IMPORT_TIMEOUT_SECONDS if it may."
            )
        if ended != "itself":
            why = _ENDED.get(str(ended), f"it ended by {ended}"[:40])
            return DamagedFileError(f"{name} could not be opened: {why}.")
        told: Any = {}
        with contextlib.suppress(OSError, ValueError), said.open("rb") as file:
            told = json.loads(file.read(_SAID))
        code = told.get("code") if isinstance(told, dict) else None
        message = str(told.get("message", "")) if code else ""
        match code:
            case "memory":
                return ImportLimitError(
                    f"Opening {name} took more than {memory} MiB of memory. Raise IMPORT_MEMORY_MB if it may."
                )
            case "unsupported_type":
                return UnsupportedTypeError(f"{name}: {message}")
            case "not_a_dataframe":
                return NotADataFrameError(f"{name}: {message}")
            case None:
                return DamagedFileError(
                    f"{name} ended the process that opened it (status {verdict.get('status')})."
                )
        return DamagedFileError(f"{name} could not be opened ({message}).")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def close(self) -> None:
        """End the process and remove what it wrote."""
        self._end()
        self._directory.cleanup()

    def __enter__(self) -> PickleReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

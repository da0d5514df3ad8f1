"""The parent of several workers, which replaces those that died or hang.

uvicorn's waits for what a worker answers, and not for its death: one that was killed while it was asked, most
likely because it took too much memory and was busy, was replaced only when its patience was over.
"""

from __future__ import annotations

import pickle
from functools import partial
from multiprocessing.connection import wait

from uvicorn.supervisors.multiprocess import Multiprocess, Process


class Supervisor(Multiprocess):
    """Replaces a worker as soon as it is dead."""

    def keep_subprocess_alive(self) -> None:
        """Look after all workers."""
        for process in self.processes:
            process.ping = partial(_answers, process)  # type: ignore[method-assign]
        super().keep_subprocess_alive()


def _answers(process: Process, timeout: float = 5) -> bool:
    """Say whether a worker answers in time; no, as soon as it has died."""
    try:
        process.parent_conn.send(b"ping")
        if process.parent_conn in wait([process.parent_conn, process.process.sentinel], timeout):
            process.parent_conn.recv()
            return True
    except (OSError, EOFError, pickle.UnpicklingError):
        pass
    return False

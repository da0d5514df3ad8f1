"""The parent of several workers, which replaces those that died, hang or cannot start.

uvicorn's ends the service when one worker cannot start, whatever the others do: one that was killed while
Redis was away took them all with it. It also waits for what a worker answers, and not for its death: one that
was killed while it was asked, most likely because it took too much memory and was busy, was replaced only
when its patience was over.
"""

from __future__ import annotations

import logging
import pickle
import socket
import time
from multiprocessing.connection import wait

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

logger = logging.getLogger("uvicorn.error")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until a worker that could not start is tried again; twice as many each time."""

_GLANCE = 0.5
"""Seconds between two looks for a signal while a worker is waited for."""


class Supervisor(Multiprocess):
    """Replaces a worker as soon as it is dead; one that cannot start, later, and later.

    Attributes:
        failed: no worker could start.
    """

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._served = False  # some worker has started
        self._pauses: dict[int, float] = {}  # the next one of a place in ``processes``
        self._waits: dict[int, float] = {}  # until when a place stays empty

    def keep_subprocess_alive(self) -> None:
        """Look after all workers."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            alive = process.process.is_alive()
            if place in self._waits and not alive:
                if self._served and time.monotonic() >= self._waits[place]:
                    del self._waits[place]
                    self._start(place)
                continue
            self._waits.pop(place, None)  # SIGHUP has put another one there
            if not (alive and self._answers(place, process)):
                process.kill()
                process.join()
                if process.exitcode == STARTUP_FAILURE:
                    self._put_off(place, process)
                else:
                    logger.info(f"Child process [{process.pid}] died")
                    self._start(place)
        if self.processes and not self._served and len(self._waits) == len(self.processes):
            logger.error("No worker could start, stopping the parent process.")
            self.failed = True
            self.should_exit.set()

    def handle_ttou(self) -> None:
        """Have one worker less."""
        super().handle_ttou()
        for known in (self._pauses, self._waits):
            known.pop(len(self.processes), None)

    def _start(self, place: int) -> None:
        self.processes[place] = Process(self.config, self.sockets)
        self.processes[place].start()

    def _put_off(self, place: int, process: Process) -> None:
        pause = self._pauses.get(place, FIRST_PAUSE)
        self._pauses[place] = min(2 * pause, LONGEST_PAUSE)
        self._waits[place] = time.monotonic() + pause
        logger.error(f"Child process [{process.pid}] could not start. It is tried again in {pause:g} s.")

    def _answers(self, place: int, process: Process) -> bool:
        """Say whether a worker answers in time: no, as soon as it is dead; yes, if a signal comes first."""
        ends = time.monotonic() + self.config.timeout_worker_healthcheck
        try:
            process.parent_conn.send(b"ping")
            while (left := ends - time.monotonic()) > 0:
                ready = wait([process.parent_conn, process.process.sentinel], min(left, _GLANCE))
                if process.parent_conn in ready:
                    if process.parent_conn.recv():
                        self._served = True
                        self._pauses.pop(place, None)
                    return True
                if ready:
                    return False
                if self.signal_queue:
                    return True
        except (OSError, EOFError, pickle.UnpicklingError):
            pass
        return False

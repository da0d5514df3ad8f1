"""The parent of several workers, which replaces those that died, hang or cannot start.

In place of uvicorn's ``Multiprocess``. That ends the service when one worker cannot start, whatever the
others do, and one that dies while it starts it starts at once, for ever. While it waits for a worker to
answer, to start or to end, it hears no signal and looks after no other one. And when it is killed, its
workers go on without it, with the address in their hands.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
import time
from math import inf
from multiprocessing import parent_process
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Process

logger = logging.getLogger("uvicorn.error")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds until a worker that could not start is tried again; twice as many each time."""

LAST_PATIENCE = 60.0
"""Seconds beyond those for requests in flight that a worker has to end: work in its threads is finished."""

_LOOK: Final = 0.5
"""Seconds between two looks at the workers."""

_STOP: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_SIGNALS: Final = (*_STOP, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2)


class Supervisor:
    """Replaces a worker as soon as it is dead; one that cannot start, later, and later.

    SIGHUP replaces all workers, one after the other; SIGTTIN and SIGTTOU make them one more and one less.

    Attributes:
        failed: no worker could start.
    """

    def __init__(self, config: Config, sockets: list[socket.socket]) -> None:
        self.failed = False
        self._config = config
        self._sockets = sockets
        self._workers: list[Worker] = []
        self._leaving: list[Worker] = []  # they have been asked to end
        self._renewed: list[Worker] = []  # those that SIGHUP is still to replace
        self._fresh: Worker | None = None  # and what takes the place of the first of them, when it serves
        self._served = False  # some worker has started
        self._signals: SimpleQueue[int] = SimpleQueue()  # may be put into while it is got from

    def run(self) -> None:
        """Serve until a signal says to stop, or no worker can start."""
        for each in _SIGNALS:
            signal.signal(each, self._heard)
        logger.info(f"Started parent process [{os.getpid()}]")
        self._workers = [self._start() for _ in range(self._config.workers)]
        while not self.failed:
            try:
                number = self._signals.get(timeout=_LOOK)
            except Empty:
                self._look()
                continue
            if number in _STOP:
                logger.info(f"Received {signal.Signals(number).name}, exiting.")
                break
            self._obey(number)
        self._stop()
        logger.info(f"Stopping parent process [{os.getpid()}]")

    def _heard(self, number: int, frame: FrameType | None) -> None:
        self._signals.put(number)

    def _obey(self, number: int) -> None:
        match number:
            case signal.SIGHUP:
                logger.info("Received SIGHUP, restarting processes.")
                self._renewed = list(self._workers)
            case signal.SIGTTIN:
                logger.info("Received SIGTTIN, increasing the number of processes.")
                self._workers.append(self._start())
            case signal.SIGTTOU if len(self._workers) > 1:
                logger.info("Received SIGTTOU, decreasing number of processes.")
                self._dismiss(self._workers.pop())
            case signal.SIGTTOU:
                logger.info("Already reached one process, cannot decrease the number of processes anymore.")

    def _look(self) -> None:
        """Look after all workers; waits for nobody."""
        patience = self._config.timeout_worker_healthcheck
        for place, worker in enumerate(self._workers):
            if worker.again == inf:
                if worker.well(patience):
                    self._served |= worker.started
                    continue
                worker.bury()
                if not worker.started:
                    told = f"could not start. It is tried again in {worker.pause:g} s."
                    logger.error(f"Child process [{worker.pid}] {told}")
            if self._served and time.monotonic() >= worker.again:
                self._workers[place] = self._start(FIRST_PAUSE if worker.started else 2 * worker.pause)
        self._leaving = [worker for worker in self._leaving if not worker.gone(0.0)]
        self._renew(patience)
        if not self._served and all(worker.again < inf for worker in self._workers):
            logger.error("No worker could start, stopping the parent process.")
            self.failed = True

    def _renew(self, patience: float) -> None:
        """Do what can be done for SIGHUP now."""
        self._renewed = [worker for worker in self._renewed if worker in self._workers]
        if self._fresh is None:
            if self._renewed and not self._leaving:
                self._fresh = self._start()
        elif not self._fresh.well(patience):
            self._fresh.bury()
            self._fresh = None
            self._renewed.clear()
            logger.error("The new worker could not start; the others stay as they are.")
        elif self._fresh.started:
            if self._renewed:
                old = self._renewed.pop(0)
                self._workers[self._workers.index(old)] = self._fresh
                self._dismiss(old)
            else:  # who was to be replaced is not there any more
                self._dismiss(self._fresh)
            self._fresh = None

    def _start(self, pause: float = FIRST_PAUSE) -> Worker:
        worker = Worker(self._config, self._sockets, min(pause, LONGEST_PAUSE))
        worker.start()
        return worker

    def _dismiss(self, worker: Worker) -> None:
        if worker.pid is not None:
            worker.dismiss((self._config.timeout_graceful_shutdown or 0) + LAST_PATIENCE)
            self._leaving.append(worker)

    def _stop(self) -> None:
        """Have all workers end; they are given time for what is in flight, but not for ever."""
        for worker in [*self._workers, *([] if self._fresh is None else [self._fresh])]:
            self._dismiss(worker)
        for worker in self._leaving:
            while not worker.gone(_LOOK):
                pass


class Worker(Process):
    """One worker. It ends when its parent is dead.

    Args:
        pause: seconds until it is tried again, should it not start.

    Attributes:
        started: it has said that it serves.
        again: when another one takes its place; never while it is not known to be dead.
    """

    def __init__(self, config: Config, sockets: list[socket.socket], pause: float) -> None:
        super().__init__(config, sockets)
        self.pause = pause
        self.started = False
        self.again = inf
        self._asked: float | None = None  # since when an answer is waited for
        self._ends = inf  # when it is killed

    def start(self) -> None:
        """Start it, if the system has the memory and the processes: else it is as one that has died."""
        try:
            super().start()
        except OSError as error:
            logger.error(f"No child process can be started: {error.strerror}.")
            self.parent_conn.close()  # it would be long until the interpreter does, and there may be many
            self.child_conn.close()

    def well(self, patience: float) -> bool:
        """Say whether it lives, and has answered within ``patience`` seconds."""
        if not self.process.is_alive():
            return False
        try:
            if self._asked is None:
                self.parent_conn.send(b"ping")
                self._asked = time.monotonic()
            if self.parent_conn.poll():
                self.started |= self.parent_conn.recv()
                self._asked = None
        except (OSError, EOFError, pickle.UnpicklingError):
            return False
        return self._asked is None or time.monotonic() - self._asked < patience

    def bury(self) -> None:
        """Make sure that it is dead, and say when there is to be another one."""
        self.again = time.monotonic() + (0.0 if self.started else self.pause)
        if self.pid is not None:
            self.kill()
            self.join()
            if self.exitcode != STARTUP_FAILURE:
                logger.info(f"Child process [{self.pid}] died")

    def dismiss(self, patience: float) -> None:
        """Ask it to end within ``patience`` seconds."""
        self._ends = time.monotonic() + patience
        self.terminate()

    def gone(self, patience: float) -> bool:
        """Say whether it ends within ``patience`` seconds; it is killed when its time is over."""
        self.process.join(patience)
        if not self.process.is_alive():
            return True
        if time.monotonic() >= self._ends:
            logger.error(f"Child process [{self.pid}] does not end, and is killed.")
            self.kill()
            self._ends = inf
        return False

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; in the worker."""
        self._server = self.server  # here, or the thread that answers the parent might make another one
        threading.Thread(target=_end_with_parent, daemon=True).start()
        super().target(sockets)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

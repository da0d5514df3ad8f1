"""The process that children are forked from: ``python -m framekeep.importing.zygote``. Knows no format.

It has the libraries loaded and nothing else to do, so that a child that reads a file is there in a few
milliseconds. It is single-threaded, because a fork of a process with threads may inherit a lock that nobody
will ever release: the libraries' own threads start in the child, after the fork.

The parent holds a *leash* for each job, one end of a socket pair. When it lets go (because it does not want
the job any more, or because it was killed) the child is killed; when a child has ended, the verdict goes back
through it. Nobody else knows a child's pid, so nobody can kill a stranger who got the same number.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import orjson

MESSAGE_BYTES = 65_536
TAIL_BYTES = 4_096  # of what a child says on stderr; a dying library speaks last


@dataclass(slots=True)
class Job:
    """A child at work.

    Attributes:
        pid: of the child, and its process group.
        leash: the parent's hold on it.
        errors: what the child says on stderr.
        directory: the child's own; removed with it.
        deadline: on the monotonic clock.
        late: it was killed because of the deadline.
        tail: the end of what came on stderr.
    """

    pid: int
    leash: socket.socket
    errors: int
    directory: str
    deadline: float
    late: bool = False
    tail: bytearray = field(default_factory=bytearray)

    def kill(self) -> None:
        """Kill the child and what it started; it is not reaped yet, so the number is its own."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)

    def listen(self) -> bool:
        """Take in what is there of stderr, all but the tail of which is dropped; False at its end."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.errors, MESSAGE_BYTES):
                self.tail += piece
                del self.tail[:-TAIL_BYTES]
            return False
        return True


class Zygote:
    """Forks a child for each job that comes through ``control``, until that is closed.

    Args:
        control: where the parent sends jobs.
        readers: the module with the functions that read; what it lists as ``PRELOADED`` is loaded one at a
            time while there is nothing to do, so that no job waits for all of it.
    """

    def __init__(self, control: socket.socket, readers: str) -> None:
        self._control = control
        self._readers = readers
        self._jobs: dict[int, Job] = {}
        self._unloaded = ["framekeep.importing.child", *getattr(import_module(readers), "PRELOADED", ())]
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        # A child's end wakes the poll.
        self._woken, waking = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waking, False)
        self._poll.register(self._woken, select.POLLIN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Serve jobs until the parent closes its end, then kill what is left."""
        while True:
            ready = dict(self._poll.poll(self._patience()))
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, MESSAGE_BYTES)
            for job in list(self._jobs.values()):
                if job.errors in ready and not job.listen():
                    self._poll.unregister(job.errors)
                if job.leash.fileno() in ready:
                    job.kill()
                    self._poll.unregister(job.leash)
            self._end_late_jobs()
            self._reap()
            if self._control.fileno() in ready and not self._accept():
                break
            if not ready and self._unloaded:
                self._load(self._unloaded.pop(0))
        for job in self._jobs.values():
            job.kill()
        while self._jobs:
            self._reap(last=True)

    def _patience(self) -> float | None:
        """Return the milliseconds to wait at most."""
        if self._unloaded:
            return 0
        deadlines = [job.deadline for job in self._jobs.values() if not job.late]
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None

    def _load(self, name: str) -> None:
        # A library that is not installed, or does not load, fails the job that needs it, with a better text.
        with contextlib.suppress(Exception):
            import_module(name)
        if not self._unloaded:
            gc.collect()
            gc.freeze()  # children would copy every page whose objects their collector looks at

    def _accept(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 3)
        if not message:
            return False
        if len(descriptors) != 3:  # this process may open no more files; letting go tells the parent
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        request = orjson.loads(message)
        channel, leash_end, spool = descriptors
        leash = socket.socket(fileno=leash_end)
        errors, said = os.pipe()
        os.set_blocking(errors, False)
        own = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _tell(leash, {"unforked": error.strerror})
            leash.close()
            os.close(errors)
        else:
            if pid == 0:
                _become_child(own, channel, spool, said, self._readers, request)
            with contextlib.suppress(OSError):  # both sides do this: either may be first
                os.setpgid(pid, pid)
            deadline = time.monotonic() + request["limits"]["seconds"]
            self._jobs[pid] = Job(pid, leash, errors, request["directory"], deadline)
            self._poll.register(leash, select.POLLIN)
            self._poll.register(errors, select.POLLIN)
        for descriptor in (channel, spool, said):
            os.close(descriptor)
        return True

    def _end_late_jobs(self) -> None:
        now = time.monotonic()
        for job in self._jobs.values():
            if not job.late and job.deadline <= now:
                job.late = True
                job.kill()

    def _reap(self, *, last: bool = False) -> None:
        """Put away children that have ended; ``last`` waits for them, and tells nobody."""
        while self._jobs:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | (0 if last else os.WNOHANG))
            if ended is None:
                return
            job = self._jobs.pop(ended.si_pid)
            job.kill()  # its group: a process that it may have left behind
            _, status, used = os.wait4(job.pid, 0)
            job.listen()
            for watched in (job.errors, job.leash):
                with contextlib.suppress(KeyError):
                    self._poll.unregister(watched)
            os.close(job.errors)
            shutil.rmtree(job.directory, ignore_errors=True)
            verdict = {
                "status": status,
                "late": job.late,
                "peak_bytes": used.ru_maxrss * 1024,
                "said": job.tail.decode("utf-8", "replace"),
            }
            if not last:
                _tell(job.leash, verdict)
            job.leash.close()


def _tell(leash: socket.socket, verdict: object) -> None:
    with contextlib.suppress(OSError):  # the parent let go of it
        leash.send(orjson.dumps(verdict), socket.MSG_DONTWAIT)


def _become_child(
    zygote: int, channel: int, spool: int, said: int, readers: str, request: dict[str, Any]
) -> None:
    """Turn the forked process into a job's child; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        os.dup2(said, 2)
        from framekeep.importing import child

        status = child.run(zygote, channel, spool, readers, request["limits"], request["directory"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def main(arguments: Sequence[str]) -> None:
    """Serve the parent.

    Args:
        arguments: the descriptor of the socket that leads to it, the module of the readers, and the directory
            in which jobs have theirs: it goes with this process, as the parent may not be there to remove it.
    """
    # Readers see no settings and no secrets. One thread: OpenBLAS would start its own when numpy is loaded,
    # and jemalloc another when pyarrow is. The system's allocator gives memory back, and asks for no more
    # than it needs, so that a cap on memory means what it says.
    os.environ.clear()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=int(arguments[0])) as control:
        Zygote(control, arguments[1]).serve()
    shutil.rmtree(arguments[2], ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])

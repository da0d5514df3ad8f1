"""Runs jobs in children: the parent's side. Knows no format, and believes nothing that a child says.

One zygote (see zygote.py) is started with the first job, and again when it dies; it ends when the parent lets
go, however that happens. Each job has a channel to its child, a leash to the zygote, a file without a name
for what is read (see spool.py) and a directory that goes with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from framekeep.errors import ServiceError, StorageFullError
from framekeep.importing import refusals
from framekeep.importing.model import Limits, Progress

_LOG = logging.getLogger(__name__)
_PREFIX = "framekeep-import-"
_HEARTBEAT = 0.2  # seconds; how soon a caller who raises from his progress function is heard
_GRACE = 5.0  # seconds for the zygote to end when it is asked to
_BACKSTOP = 60.0  # seconds beyond a job's, for the zygote to start, and to end the child that is late
_MOST_SAID = 64 << 20  # bytes of one job's answer
_MOST_TOLD = 4 << 20  # bytes of what is said on the way to it
_PIECE = 1 << 20


class _ZygoteGone(Exception):
    """The zygote died during a job."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child came back with.

    Attributes:
        document: what it says; unchecked.
        spool: the file with the tables, which nobody else has open.
    """

    document: Mapping[str, Any]
    spool: IO[bytes]


class Sandbox:
    """Runs jobs in children, several at once. Thread-safe; a process forked from this one starts anew.

    Args:
        limits: of each job.
        scratch: a directory on a disk with room for what is read; None: where temporary files go.
        jobs: how many run at once; more wait.
        readers: the module whose functions read; see readers.py.
    """

    def __init__(self, *, limits: Limits, scratch: Path | None, jobs: int, readers: str) -> None:
        self.limits = limits
        self.scratch = Path(tempfile.gettempdir()) if scratch is None else scratch
        self._readers = readers
        self._free = threading.Semaphore(jobs)
        self._lock = threading.Lock()
        self._zygote: _Zygote | None = None
        self._closed = False

    def warm(self) -> None:
        """Start the zygote, if it is not there, and do not wait for it."""
        self._living()

    def run(self, task: str, path: Path, filename: str, options: object, progress: Progress) -> Answer:
        """Run one job to its end.

        Args:
            task: what the child is to do.
            path: of the file; a regular one.
            filename: what the user calls it.
            options: JSON.
            progress: called when the child gets on, and at least a few times a second; what it raises ends
                the job.

        Raises:
            UnreadableFileError: the file cannot be read, or not within the limits.
            StorageFullError: no room for it on the scratch disk.
            ServiceError: the children cannot be started, or this is closed.
        """
        called = filename.encode("utf-8", "replace").decode()  # which no path need be
        order = {"task": task, "path": str(path.absolute()), "filename": called, "options": options}
        while not self._free.acquire(timeout=_HEARTBEAT):
            progress(0.0, "Waiting for other imports")
        try:
            for last in (False, True):
                zygote = self._living()
                try:
                    return zygote.run(order, self.limits, progress)
                except _ZygoteGone:
                    # Reading changes nothing, so it can be done again.
                    reason = self._bury(zygote)
                    if last:
                        raise ServiceError(
                            f"The reading process ended twice in the middle of an import{reason}. "
                            "Try again; if it happens again, look at the machine's memory."
                        ) from None
        finally:
            self._free.release()
        raise AssertionError

    def close(self) -> None:
        """End all jobs and the zygote; may be called again."""
        with self._lock:
            self._closed = True
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    @property
    def pid(self) -> int | None:
        """The zygote's, if there is one."""
        zygote = self._zygote
        return None if zygote is None else zygote.process.pid

    def _living(self) -> _Zygote:
        with self._lock:
            if self._closed:
                raise ServiceError("This importer is closed. Make a new one.")
            if self._zygote is not None and self._zygote.parent != os.getpid():
                self._zygote.forget()  # it is the process's that this one was forked from
                self._zygote = None
            if self._zygote is None:
                self._zygote = _Zygote(self.scratch, self._readers)
            return self._zygote

    def _bury(self, zygote: _Zygote) -> str:
        """Put a dead zygote away; return ": <its last words>", or nothing."""
        with self._lock:
            if self._zygote is zygote:
                self._zygote = None
            words = zygote.last_words()
            zygote.close()
        return words


class _Zygote:
    """A zygote, seen from the parent."""

    def __init__(self, scratch: Path, readers: str) -> None:
        self.parent = os.getpid()
        self._directory = _Directory(scratch)
        with contextlib.ExitStack() as undo:
            undo.callback(self._directory.remove)
            try:
                self._errors = undo.enter_context(tempfile.TemporaryFile(dir=self._directory.path))
                self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                undo.enter_context(self._control)
                with theirs:
                    arguments = (str(theirs.fileno()), readers, str(self._directory.path))
                    self.process = subprocess.Popen(
                        [sys.executable, "-P", "-m", "framekeep.importing.zygote", *arguments],
                        pass_fds=[theirs.fileno(), self._directory.descriptor],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=self._errors,
                        start_new_session=True,  # an interrupt from the terminal is for the parent alone
                    )
            except OSError as error:
                raise ServiceError(f"The reading process cannot be started: {error.strerror}.") from error
            undo.pop_all()
        self._sending = threading.Lock()
        self._running: set[Path] = set()  # the directories of jobs
        self._end = weakref.finalize(
            self, _end, self.parent, self._control, self.process, self._directory, self._errors, self._running
        )

    def close(self) -> None:
        """End it and all of its jobs."""
        self._end()

    def forget(self) -> None:
        """Close what a forked process has of it, and leave it to its parent."""
        self._end.detach()
        self._control.close()
        self._errors.close()
        self._directory.forget()
        self.process.returncode = 0  # so that nobody here waits for a stranger's child

    def last_words(self) -> str:
        """Return ": <last line of stderr>" of a zygote that ends, or nothing."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        if self._errors.closed:
            return ""
        lines = os.pread(self._errors.fileno(), _PIECE, 0).decode("utf-8", "replace").splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def run(self, order: Mapping[str, Any], limits: Limits, progress: Progress) -> Answer:
        """Run one job to its end; see Sandbox."""
        spool: IO[bytes] | None = None
        directory = self._directory.new()
        self._running.add(directory)
        try:
            spool = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - goes to the caller
            channel, child_end = socket.socketpair()
            leash, zygote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            request = {"limits": limits.to_json(), "directory": str(directory)}
            with channel, leash:
                with child_end, zygote_end:
                    self._send(request, [child_end.fileno(), zygote_end.fileno(), spool.fileno()])
                try:
                    return Answer(
                        _Conversation(channel, leash, limits, progress, self.process).hold(order), spool
                    )
                finally:
                    # Not only closed: another process may have been forked with a copy of it.
                    leash.shutdown(socket.SHUT_RDWR)
        except BaseException:
            if spool is not None:
                spool.close()
            raise
        finally:
            self._running.discard(directory)
            shutil.rmtree(directory, ignore_errors=True)

    def _send(self, request: Mapping[str, Any], descriptors: list[int]) -> None:
        try:
            with self._sending:
                socket.send_fds(self._control, [orjson.dumps(request)], descriptors)
        except OSError as error:
            raise _ZygoteGone from error


class _Conversation:
    """One job's talk with its child and the zygote."""

    def __init__(
        self,
        channel: socket.socket,
        leash: socket.socket,
        limits: Limits,
        progress: Progress,
        process: subprocess.Popen[bytes],
    ) -> None:
        self._channel = channel
        self._leash = leash
        self._limits = limits
        self._progress = progress
        self._process = process
        self._told = 0
        self._unread = bytearray()
        self._at: tuple[float, str] = (0.0, "")
        self._final: dict[str, Any] | None = None

    def hold(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give the order and return the child's answer, once the child has ended.

        Not before: a file that is mapped must not be in the hands of a process that may cut it short.
        """
        deadline = time.monotonic() + self._limits.seconds + _BACKSTOP
        self._order(json.dumps(order).encode() + b"\n", deadline)  # orjson refuses a path that is no UTF-8
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._leash, select.POLLIN)
        while True:
            ready = dict(poll.poll(_HEARTBEAT * 1000))
            if self._channel.fileno() in ready and not self._listen():
                poll.unregister(self._channel)
            if self._leash.fileno() in ready:
                verdict = self._leash.recv(_PIECE)
                if not verdict:
                    raise _ZygoteGone
                while self._listen():
                    pass
                return self._judge(orjson.loads(verdict))
            if time.monotonic() > deadline:
                self._process.kill()  # it should have ended the child; its own end does
                raise refusals.too_much_time(self._limits)
            self._progress(*self._at)

    def _order(self, order: bytes, deadline: float) -> None:
        # A child that died before it read the order has a verdict, which says more than this.
        self._channel.settimeout(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(OSError):
            self._channel.sendall(order)
        self._channel.setblocking(False)

    def _listen(self) -> bool:
        """Take in what there is; False if there is nothing more for now, or for ever."""
        try:
            piece = self._channel.recv(_PIECE)
        except BlockingIOError:
            return False
        except ConnectionError:
            return False
        self._unread += piece
        if len(self._unread) > _MOST_SAID:
            raise refusals.nonsense()
        if b"\n" in piece:
            *lines, self._unread = self._unread.split(b"\n")
            for line in lines:
                self._take(bytes(line))
        return bool(piece)

    def _take(self, line: bytes) -> None:
        try:
            document = orjson.loads(line)
        except ValueError:
            raise refusals.nonsense() from None
        if not isinstance(document, dict):
            raise refusals.nonsense()
        if "progress" not in document:
            self._final = document
            return
        self._told += len(line)
        if self._told > _MOST_TOLD:
            raise refusals.nonsense()
        match document["progress"]:
            case [int() | float() as done, str() as what]:
                self._at = (min(max(float(done), 0.0), 1.0), what)
            case _:
                raise refusals.nonsense()

    def _judge(self, verdict: Mapping[str, Any]) -> Mapping[str, Any]:
        if verdict.get("said"):
            _LOG.debug("reader's stderr: %s", verdict["said"])
        final = self._final
        if final is not None and "error" in final:
            raise refusals.said(final["error"], self._limits)
        if final is None or verdict.get("status") != 0:
            raise refusals.died(verdict, self._limits)
        answer = final.get("answer")
        if not isinstance(answer, dict):
            raise refusals.nonsense()
        return answer


class _Directory:
    """The zygote's directory, whose lock says that somebody is alive who uses it.

    The zygote inherits the lock, so the directory is not taken for a dead one's before both have gone.
    """

    def __init__(self, scratch: Path) -> None:
        try:
            _sweep(scratch)
            while True:
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
                try:
                    self.descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue  # the sweep of another process, which starts as well, was faster
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
                if self.path.exists():  # still there: from here on, no sweep takes it
                    break
                os.close(self.descriptor)
        except OSError as error:
            raise ServiceError(
                f"Imports cannot put temporary files in {scratch}: {error.strerror}."
            ) from error
        self._jobs = 0
        self._lock = threading.Lock()

    def new(self) -> Path:
        """Make a directory for a job."""
        with self._lock:
            self._jobs += 1
            directory = self.path / f"job-{self._jobs}"
        try:
            directory.mkdir(mode=0o700)
        except FileNotFoundError as error:
            raise _ZygoteGone from error  # closed, or swept by a stranger
        except OSError as error:
            raise StorageFullError(
                f"Imports have no room for temporary files in {self.path.parent}: {error.strerror}."
            ) from error
        return directory

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.forget()

    def forget(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _sweep(scratch: Path) -> None:
    """Remove what processes left behind that were killed, parent and zygote both."""
    for path in scratch.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # somebody lives there
        finally:
            os.close(descriptor)


def _end(
    parent: int,
    control: socket.socket,
    process: subprocess.Popen[bytes],
    directory: _Directory,
    errors: IO[bytes],
    running: set[Path],
) -> None:
    if os.getpid() != parent:
        return
    with contextlib.suppress(OSError):
        control.shutdown(socket.SHUT_RDWR)
    control.close()
    if not running:  # so there is nobody to put away, and it may be busy loading a library for a while
        process.kill()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    errors.close()
    directory.remove()

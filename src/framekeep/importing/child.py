"""The process that reads one file and ends. The parent checks all it says, and trusts nothing of it.

It takes its caps before it looks at the file: private memory, processor time, bytes written, open files, no
core dump; and it is the first that the system kills when memory runs out. It is no jail: it keeps what a file
can do *by being read* (exhaust, hang, abort) away from the parent, and is not made for code that breaks out.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from framekeep.errors import InvalidInputError, UnreadableFileError
from framekeep.importing import mapping
from framekeep.importing.model import WORKBOOK_FORMATS, ImportOptions, Limits
from framekeep.importing.spool import Spool

_CHANNEL, _SPOOL, _FIRST_FREE = 3, 4, 5
_BEHIND = 5  # so that whoever asks for a page need not wait for a file to be read
_OPEN_FILES = 256
_THREADS = 4  # of Arrow; each has a stack that counts as memory
_TEXT_CHARACTERS = 2_000
_PROGRESS_EVERY = 0.05  # seconds
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_libc = ctypes.CDLL(None, use_errno=True)

_NO_ROOM = ("Cannot allocate memory", "can't start new thread", "bad_alloc")  # memory, in other words
# Made beforehand: when it is wanted there is no memory to make it.
_OUT_OF_MEMORY = b'{"error":{"code":"memory"}}\n'


def run(zygote: int, channel: int, spool: int, readers: str, limits: dict[str, Any], directory: str) -> int:
    """Do one job, in a process that was just forked for it; return its exit status.

    Args:
        zygote: the pid of the process it was forked from.
        channel: descriptor of the socket on which the order comes and the answer goes.
        spool: descriptor of the empty file for the tables.
        readers: the module whose ``find``, ``count``, ``preview`` and ``read`` are called.
        limits: of the import.
        directory: empty, and nobody else's.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        return 1
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _keep_only(channel, spool)
    os.chdir(directory)
    allowed = Limits.from_json(limits)
    mapping.shed_for_ever()
    _cap(allowed)
    with socket.socket(fileno=_CHANNEL) as parent, os.fdopen(_SPOOL, "r+b") as file:
        order = json.loads(_line(parent))
        says = _Voice(parent)
        try:
            answer = _perform(order, allowed, import_module(readers), says, Spool(file, Path(directory)))
            says.line({"answer": answer})
            return 0
        except MemoryError:
            pass  # and leave the block first: the error holds what filled the memory
        except BaseException as error:
            says.line({"error": _described(error, order)})
            return 0
        parent.sendall(_OUT_OF_MEMORY)
    return 0


def _keep_only(channel: int, spool: int) -> None:
    """Close all files but these two and 0 to 2, so that there is no way to the zygote or to other jobs."""
    import fcntl

    kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in (channel, spool)]
    for descriptor, target in zip(kept, (_CHANNEL, _SPOOL), strict=True):
        os.dup2(descriptor, target, inheritable=False)
    os.closerange(_FIRST_FREE, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _cap(limits: Limits) -> None:
    os.nice(_BEHIND)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[5]) * resource.getpagesize()
    seconds = int(limits.seconds * (os.cpu_count() or 1)) + 1
    for kind, most in (
        (resource.RLIMIT_DATA, taken + limits.memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits.spool_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    pa.set_cpu_count(min(pa.cpu_count(), _THREADS))
    pa.set_io_thread_count(2)


def _perform(order: dict[str, Any], limits: Limits, readers: Any, says: _Voice, spool: Spool) -> object:
    path, task = Path(order["path"]), order["task"]
    options = ImportOptions.from_json(order["options"])
    found = readers.find(path, order["filename"], options, limits)
    options = replace(options, format=found.format)
    answer: dict[str, object] = {"found": asdict(found)}
    if found.format not in WORKBOOK_FORMATS and (options.sheets is not None or options.merge):
        raise InvalidInputError(f"A {found.format} file has no sheets to choose or to merge. Name none.")
    choice = task == "open" and options.sheets is None and not options.merge
    if task == "inspect" or (choice and readers.count(path, options, limits) > 1):
        previews = readers.preview(path, options, limits, says.progress)
        return answer | {"previews": [asdict(preview) for preview in previews]}
    parsed = readers.read(path, options, limits, says.progress, spool)
    return answer | {"parsed": asdict(parsed)}


def _described(error: BaseException, order: dict[str, Any]) -> dict[str, str]:
    if isinstance(error, InvalidInputError):
        where = error.where if isinstance(error, UnreadableFileError) else ""
        message = _text(str(error)).replace(order["path"], order["filename"])
        return {"code": error.code, "message": message, "where": _text(where)}
    if isinstance(error, OSError) and error.errno in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
        return {"code": "spool" if error.errno == errno.EFBIG else "disk"}
    if getattr(error, "errno", None) == errno.ENOMEM or any(word in str(error) for word in _NO_ROOM):
        return {"code": "memory"}
    traceback.print_exc()
    place = traceback.extract_tb(error.__traceback__)[-1:]
    at = f"{Path(place[0].filename).name}:{place[0].lineno}" if place else "?"
    return {"code": "unexpected", "message": f"{type(error).__name__} in {at}"}


def _text(text: str) -> str:
    return text[:_TEXT_CHARACTERS].encode("utf-8", "replace").decode()


def _line(parent: socket.socket) -> bytes:
    pieces = []
    while piece := parent.recv(1 << 20):
        pieces.append(piece)
        if piece.endswith(b"\n"):
            return b"".join(pieces)
    sys.exit("the order is cut off")


class _Voice:
    """What the child tells the parent: progress, and at last the answer or the error."""

    def __init__(self, parent: socket.socket) -> None:
        self._parent = parent
        self._said = (0.0, "")

    def progress(self, done: float, what: str) -> None:
        """Say how far it is; not more often than somebody would look."""
        last, last_what = self._said
        now = time.monotonic()
        if what != last_what or now - last >= _PROGRESS_EVERY:
            self._said = (now, what)
            self.line({"progress": [min(max(float(done), 0.0), 1.0), _text(what)]})

    def line(self, document: object) -> None:
        """Say ``document``."""
        self._parent.sendall(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))

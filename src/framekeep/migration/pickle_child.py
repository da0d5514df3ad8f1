"""The process that opens pickles: ``python -m framekeep.migration.pickle_child``.

A pickle is a program: opening it runs whatever it says. So this process forks a child for each file, with
caps on memory, processor time, bytes written and open files; the child opens the pickle, takes the frame
apart and writes it as a container, of which whoever asked believes nothing. That keeps what a pickle can do
*by accident* (exhaust, hang, abort) away from others. It is no jail: a pickle made with intent runs with the
user's rights, which is why somebody has to say --trust-pickles.

Asked on stdin and answering on stdout, a JSON line each. It has the libraries loaded, so that a child is
there in a few milliseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import select
import signal
import sys
import zlib
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_OPEN_FILES = 256
_TEXT = 500
_COMPRESSIONS = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_ZLIB = b"\x78"
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Answer one order after the other until stdin ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    limits = json.loads(sys.argv[1])
    if os.getppid() != limits["parent"]:
        return
    import framekeep.frames.wire  # noqa: F401 - now, and not in each child

    for line in sys.stdin:
        sys.stdout.write(json.dumps(_carry_out(json.loads(line), limits)) + "\n")
        sys.stdout.flush()


def _carry_out(order: dict[str, str], limits: dict[str, Any]) -> dict[str, Any]:
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = _child(me, order, limits)
        finally:
            os._exit(status)  # whatever the pickle left to be done at exit is not done
    late = False
    watched = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        late = not poll.poll(limits["seconds"] * 1000)
    finally:
        os.close(watched)
        for kill in (os.killpg, os.kill):  # not reaped yet, so the number is its own
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if late:
        return {"ended": "late"}
    if os.WIFSIGNALED(status):
        return {"ended": signal.Signals(os.WTERMSIG(status)).name}
    return {"ended": "itself", "status": os.WEXITSTATUS(status)}


def _child(parent: int, order: dict[str, str], limits: dict[str, Any]) -> int:
    os.setsid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what a pickle prints is no answer
        os.dup2(nothing, standard)
    os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    _cap(limits)
    said: dict[str, str] | None = None
    try:
        _convert(order["pickle"], order["out"])
        return 0
    except MemoryError:
        pass  # and leave the block first: the error holds what filled the memory
    except BaseException as error:
        said = _described(error)
    with open(order["said"], "w") as file:
        json.dump(said or {"code": "memory"}, file)
    return 2


def _cap(limits: dict[str, Any]) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[5]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_DATA, taken + limits["memory"]),
        (resource.RLIMIT_CPU, int(limits["seconds"] * (os.cpu_count() or 1)) + 1),
        (resource.RLIMIT_FSIZE, limits["out"]),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error says more


def _convert(path: str, out: str) -> None:
    from framekeep.frames.wire import pack

    frame = _unpickled(path)
    with open(out, "wb") as file:
        for piece in pack(frame):
            file.write(piece)


def _unpickled(path: str) -> object:
    """Open a pickle, compressed or not, written by this pandas or an older one."""
    import pandas as pd

    with open(path, "rb") as file:
        begin = file.read(8)
        if begin.startswith(_ZLIB):
            file.seek(0)
            plain = io.BytesIO(zlib.decompress(file.read()))
            return pd.read_pickle(plain, compression=None)  # noqa: S301 - what this process is for
    compression: Any = next((name for magic, name in _COMPRESSIONS if begin.startswith(magic)), None)
    return pd.read_pickle(path, compression=compression)  # noqa: S301 - what this process is for


def _described(error: BaseException) -> dict[str, str]:
    from framekeep.errors import InvalidInputError

    if isinstance(error, InvalidInputError):
        text = str(error)
        return {"code": error.code, "message": text[:_TEXT].encode("utf-8", "replace").decode()}
    told = isinstance(error, ImportError | AttributeError)  # names of modules and classes, not of data
    message = f"{type(error).__name__}{f': {error}' if told else ''}"
    return {"code": "unreadable", "message": message[:_TEXT].encode("utf-8", "replace").decode()}


if __name__ == "__main__":
    main()

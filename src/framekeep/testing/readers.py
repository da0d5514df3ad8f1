"""Readers that do what a file tells them to: for tests of what stands between a reader and the process.

A file is JSON, ``{"do": NAME, ...}``; ``Importer(readers="framekeep.testing.readers")`` obeys it. So a test
can have a reader that hangs, eats memory or dies, and whatever a broken one could say.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from framekeep.errors import DamagedFileError
from framekeep.importing.model import (
    ColumnReport,
    Found,
    ImportOptions,
    Limits,
    Parsed,
    Preview,
    Progress,
    Table,
)
from framekeep.importing.spool import Spool, Stored

PRELOADED = ("framekeep.testing.no_such_module", "pandas")
_CHANNEL = 3


def find(path: Path, filename: str, options: ImportOptions, limits: Limits) -> Found:
    """Say that it is text."""
    return Found("csv", notes=(f"called {filename}",))


def count(path: Path, options: ImportOptions, limits: Limits) -> int:
    """Say that there is one table."""
    return 1


def preview(path: Path, options: ImportOptions, limits: Limits, progress: Progress) -> tuple[Preview, ...]:
    """Show the order itself."""
    return (Preview("", None, 1, ("do",), ((json.loads(path.read_bytes())["do"],),), suggested=True),)


def read(path: Path, options: ImportOptions, limits: Limits, progress: Progress, spool: Spool) -> Parsed:
    """Do what the file says, then return a table of one column."""
    order = json.loads(path.read_bytes())
    if order["do"] == "texts":
        return _texts(order["rows"], spool)
    if order["do"] == "type":
        text = spool.keep(pa.table({"a": ["01", "2", "3"]}))
        return parsed(spool.keep(pa.table({"a": [1, 2, 3]})), text)
    _DEEDS[order["do"]](order, progress, spool)
    rows = order.get("rows", 3)
    stored = spool.keep(pa.table({"a": pa.array(range(rows), pa.int64())}))
    return parsed(stored)


def parsed(typed: Stored, text: Stored | None = None) -> Parsed:
    """Return what a reader says of one table with the column ``a``."""
    return Parsed("csv", (Table("", (ColumnReport("a", "integer", "told so"),), typed, text),))


def _texts(rows: int, spool: Spool) -> Parsed:
    """Return a table of numbers whose text is in pieces, one of them empty."""
    numbers = pa.array(np.arange(rows))
    cells = numbers.cast(pa.string())
    half = rows // 2
    with spool.segment(pa.schema([("a", pa.string())])) as segment:
        for start, stop in ((0, 1), (1, 1), (1, half), (half, rows)):
            segment.write(pa.record_batch({"a": cells[start:stop]}))
    return parsed(spool.keep_column("a", numbers), segment.stored)


def _nothing(order: Any, progress: Progress, spool: Spool) -> None:
    pass


def _tell(order: Any, progress: Progress, spool: Spool) -> None:
    for step in range(5):
        progress(step / 5, f"step {step}")


def _hang(order: Any, progress: Progress, spool: Spool) -> None:
    """Wait for ever, with this process's pid in the file at ``path``."""
    if "path" in order:
        Path(order["path"]).write_text(str(os.getpid()))
    progress(0.5, "hanging")
    while True:
        signal.pause()


def _spin(order: Any, progress: Progress, spool: Spool) -> None:
    while True:
        pass


def _wait_for(order: Any, progress: Progress, spool: Spool) -> None:
    """Go on when there is a file at ``path``."""
    progress(0.5, "waiting")
    while not os.path.exists(order["path"]):
        time.sleep(0.002)


def _fill_memory(order: Any, progress: Progress, spool: Spool) -> None:
    taken = []
    while True:
        taken.append(bytearray(os.urandom(1 << 10)) * (1 << 10))


def _fill_arrow(order: Any, progress: Progress, spool: Spool) -> None:
    taken = []
    while True:
        taken.append(pa.allocate_buffer(16 << 20))


def _fill_and_abort(order: Any, progress: Progress, spool: Spool) -> None:
    """Do as Rust does when there is no memory."""
    os.write(2, b"memory allocation of 68719476736 bytes failed\n")
    os.abort()


def _fill_and_crash(order: Any, progress: Progress, spool: Spool) -> None:
    """Do as C does that asked for memory, and did not look whether it got it."""
    taken = [bytearray(os.urandom(1 << 10)) * (1 << 10) for _ in range(order["mib"])]
    ctypes.string_at(len(taken) * 0)


def _raise(order: Any, progress: Progress, spool: Spool) -> None:
    raise DamagedFileError("The file is cut short.", where="line 17")


def _name_path(order: Any, progress: Progress, spool: Spool) -> None:
    raise DamagedFileError(f"{order['path']} is cut short.")


def _stumble(order: Any, progress: Progress, spool: Spool) -> None:
    raise KeyError("a secret value of a cell")


def _crash(order: Any, progress: Progress, spool: Spool) -> None:
    ctypes.string_at(0)


def _kill(order: Any, progress: Progress, spool: Spool) -> None:
    os.kill(os.getpid(), order["signal"])


def _exit(order: Any, progress: Progress, spool: Spool) -> None:
    os._exit(order.get("status", 0))


def _kill_zygote(order: Any, progress: Progress, spool: Spool) -> None:
    """Kill the zygote, unless the file at ``path`` says that this was done ``times`` times."""
    done = Path(order["path"])
    if not done.exists() or len(done.read_bytes()) < order["times"]:
        with done.open("ab") as file:
            file.write(b".")
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()


def _chatter(order: Any, progress: Progress, spool: Spool) -> None:
    for _ in range(64):
        os.write(2, b"a library complains\n" * 4096)
    os.close(2)


def _say(order: Any, progress: Progress, spool: Spool) -> None:
    """Say the bytes of ``text`` instead of an answer, and leave."""
    line = order["text"].encode() * order.get("times", 1)
    socket.socket(fileno=_CHANNEL).sendall(line)
    os._exit(0)


def _answer(order: Any, progress: Progress, spool: Spool) -> None:
    """Answer with ``answer`` over a good spool."""
    spool.keep(pa.table({"a": [1, 2, 3]}))
    line = json.dumps({"answer": order["answer"]}).encode() + b"\n"
    socket.socket(fileno=_CHANNEL).sendall(line)
    os._exit(0)


def _poison(order: Any, progress: Progress, spool: Spool) -> None:
    """Answer with text whose bytes are no UTF-8, or whose offsets lead out of it."""
    buffers = {
        "utf-8": [pa.py_buffer(_int32(0, 2, 4)), pa.py_buffer(b"\xff\xff\xc3\x28")],
        "offsets": [pa.py_buffer(_int32(0, 1 << 30, 4)), pa.py_buffer(b"abcd")],
        "negative": [pa.py_buffer(_int32(0, -5, 4)), pa.py_buffer(b"abcd")],
    }[order["how"]]
    column = pa.StringArray.from_buffers(2, buffers[0], buffers[1])
    says = parsed(spool.keep(pa.table({"a": column})))
    from dataclasses import asdict

    answer = {"found": asdict(Found("csv")), "parsed": asdict(says)}
    socket.socket(fileno=_CHANNEL).sendall(json.dumps({"answer": answer}).encode() + b"\n")
    spool._file.flush()
    os._exit(0)


def _int32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, sys.byteorder, signed=True) for value in values)


def _flood_disk(order: Any, progress: Progress, spool: Spool) -> None:
    with spool.segment(pa.schema([("a", pa.int64())])) as segment:
        batch = pa.record_batch({"a": pa.array(range(1 << 17))})
        while True:
            segment.write(batch)


def _litter(order: Any, progress: Progress, spool: Spool) -> None:
    (spool.directory / "left").mkdir()
    (spool.directory / "left" / "behind.bin").write_bytes(bytes(1 << 20))


def _leave_somebody(order: Any, progress: Progress, spool: Spool) -> None:
    """Start a process that outlives this one, and write its pid to ``path``."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    Path(order["path"]).write_text(str(pid))


def _report(order: Any, progress: Progress, spool: Spool) -> None:
    """Write what this process has and may do to ``path``."""
    import resource

    caps = ("RLIMIT_DATA", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CPU")
    facts = {
        "pid": os.getpid(),
        "zygote": os.getppid(),
        "files": {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                  if os.path.islink(f"/proc/self/fd/{name}")},
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "caps": {name: resource.getrlimit(getattr(resource, name))[0] for name in caps},
        "oom_score_adj": int(Path("/proc/self/oom_score_adj").read_text()),
        "path": sys.path,
    }  # fmt: skip
    Path(order["path"]).write_text(json.dumps(facts))


def _map_memory(order: Any, progress: Progress, spool: Spool) -> None:
    """Take memory as a library does that asks the system directly."""
    taken = []
    while True:
        taken.append(mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


_DEEDS: dict[str, Callable[[Any, Progress, Spool], None]] = {
    "answer": _answer,
    "chatter": _chatter,
    "crash": _crash,
    "fill and abort": _fill_and_abort,
    "fill and crash": _fill_and_crash,
    "fill arrow": _fill_arrow,
    "fill memory": _fill_memory,
    "flood disk": _flood_disk,
    "hang": _hang,
    "kill": _kill,
    "kill zygote": _kill_zygote,
    "exit": _exit,
    "leave somebody": _leave_somebody,
    "litter": _litter,
    "map memory": _map_memory,
    "name path": _name_path,
    "nothing": _nothing,
    "poison": _poison,
    "raise": _raise,
    "report": _report,
    "say": _say,
    "spin": _spin,
    "stumble": _stumble,
    "tell": _tell,
    "wait for": _wait_for,
}

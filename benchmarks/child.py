"""Measurements that need a process of their own: first reads, peak memory, bytes in use.

``run`` starts ``python -m benchmarks.child TASK ARGUMENTS`` (JSON in, one line of JSON out). All imports are
done before anything is timed or weighed.
"""

from __future__ import annotations

import gc
import json
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from ctypes import CDLL
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import lmdb
import pandas as pd
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet  # the Parquet design must not pay for its import

import framekeep.manager
from benchmarks.baselines import FileBlobs, ParquetStore, PickleStore
from benchmarks.frames import data_bytes, mixed, readings
from framekeep import DataManager, Settings

MAX_MB = 8_000
"""MAX_DATAFRAME_SIZE_MB of the benchmarks: the frame of ten million rows has 4,200 MB."""


def settings(store: Path, **changes: Any) -> Settings:
    """Return the settings of all measurements: the defaults but for place and size limit."""
    return Settings(storage_dir=store, max_dataframe_size_mb=MAX_MB, **changes)


def run(task: str, **arguments: object) -> dict[str, Any]:
    """Run one task in a new process and return its answer.

    Memory tasks are weighed from here meanwhile, so that the weighing costs them nothing.

    Raises:
        RuntimeError: the process failed; its error output is in the message.
    """
    command = [sys.executable, "-m", "benchmarks.child", task, json.dumps(arguments, default=str)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = process.stdout.readline()
    answer: dict[str, Any] = {}
    if line == "ready\n":
        sampled = _weigh(process)
        line = process.stdout.readline()
        answer["peak_private"] = sampled
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{task} failed in its own process:\n{errors}")
    return {**json.loads(line), **answer}


def _weigh(process: subprocess.Popen[str]) -> int:
    """Let the process go on; return the most private bytes (no file behind them) it had until it answered."""
    assert process.stdin is not None
    assert process.stdout is not None
    weighed = psutil.Process(process.pid)
    before = _private(weighed)
    process.stdin.write("go\n")
    process.stdin.flush()
    most = before
    while not select.select([process.stdout], [], [], 0.001)[0]:
        most = max(most, _private(weighed))
    return most


def _private(process: psutil.Process) -> int:
    memory = process.memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


# --- what runs in the child -----------------------------------------------------------------------------


def first_get(*, store: str, session: str, copy: bool) -> dict[str, Any]:
    """Open the store, then time the first read of a session in this process."""
    start = perf_counter()
    manager = DataManager(settings(Path(store)))
    opened = perf_counter()
    frame = manager.get_dataframe(session, copy=copy)
    read = perf_counter()
    total = float(frame["f2"].sum())
    return {"open_ms": (opened - start) * 1e3, "ms": (read - opened) * 1e3, "sum": total}


def first_pickle(*, path: str) -> dict[str, Any]:
    """Time pickle.load of a file."""
    start = perf_counter()
    with Path(path).open("rb") as file:
        frame = pickle.load(file)
    took = perf_counter() - start
    return {"ms": took * 1e3, "sum": float(frame["f2"].sum())}


def first_parquet(*, root: str, session: str) -> dict[str, Any]:
    """Time the Parquet design's get."""
    design = ParquetStore(FileBlobs(Path(root)))
    start = perf_counter()
    frame = design.get(session)
    took = perf_counter() - start
    return {"ms": took * 1e3, "sum": float(frame["f2"].sum())}


def pages(*, store: str, session: str, offsets: list[int], limit: int) -> dict[str, Any]:
    """Time the first page in this process, one in each of several other places, and the last thrice more."""
    manager = DataManager(settings(Path(store)))
    first, *elsewhere = [_page(manager, session, offset, limit) for offset in offsets]
    again = [_page(manager, session, offsets[-1], limit) for _ in range(3)]
    return {"first": first, "elsewhere": elsewhere, "again": again}


def _page(manager: DataManager, session: str, offset: int, limit: int) -> float:
    gc.collect()
    start = perf_counter()
    page = manager.get_page(session, offset, limit)
    took = perf_counter() - start
    if len(page) != limit:
        raise RuntimeError(f"a page of {limit} rows at {offset} has {len(page)}")
    return took * 1e3


def create(*, store: str, rows: int, kind: str = "mixed") -> dict[str, Any]:
    """Build a frame here, so that its memory goes with this process, and keep it in a session."""
    frame = FRAMES[kind](rows)
    manager = DataManager(settings(Path(store)))
    start = perf_counter()
    session = manager.create_session(frame, "mixed.csv")
    took = perf_counter() - start
    manager.close()
    return {"session": session, "ms": took * 1e3, "frame_bytes": data_bytes(frame)}


def used_bytes(*, store: str) -> dict[str, Any]:
    """Count the pages in use in each LMDB file of a store: branch, leaf and overflow pages of each table."""
    used = file = 0
    for path in Path(store).rglob("*.mdb"):
        if path.name.endswith("lock.mdb"):
            continue
        subdir = path.name == "data.mdb"
        place = str(path.parent if subdir else path)
        with lmdb.open(place, subdir=subdir, readonly=True, create=False, max_dbs=64) as env:
            with env.begin() as txn:
                names = [bytes(key) for key, _ in txn.cursor()]
            tables = []
            for name in names:
                with suppress(lmdb.IncompatibleError):  # a plain value beside the tables
                    tables.append(env.open_db(name, create=False))
            with env.begin() as txn:
                stats = [env.stat(), *(txn.stat(table) for table in tables)]
            pages = sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats)
            used += pages * stats[0]["psize"]
        file += path.stat().st_blocks * 512
    return {"used": used, "file": file}


def memory(*, design: str, operation: str, rows: int, root: str, session: str) -> dict[str, Any]:
    """Weigh one create or get: most resident bytes during it, and what there was just before."""
    call, undo = _operation(design, operation, rows, Path(root), session)
    gc.collect()
    pa.default_memory_pool().release_unused()
    CDLL("libc.so.6").malloc_trim(0)  # what building the frame left free must not hide what the call takes
    exact = _reset_peak()
    me = psutil.Process()
    before_resident, before_private = me.memory_info().rss, _private(me)
    print("ready", flush=True)
    sys.stdin.readline()
    kept = call()
    peak = _peak() if exact else None
    undo(kept)
    return {
        "before_resident": before_resident,
        "before_private": before_private,
        "peak_resident": peak,
    }


def _operation(
    design: str, operation: str, rows: int, root: Path, session: str
) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """Return what to weigh, and what to do with its result afterwards."""

    def nothing(_: object) -> None:
        return None

    if design == "framekeep":
        manager = DataManager(settings(root))
        if operation != "create":
            return lambda: manager.get_dataframe(session, copy=operation == "get copy"), nothing
        frame = mixed(rows)
        return lambda: manager.create_session(frame, "mixed.csv"), manager.delete_session
    store: PickleStore | ParquetStore
    store = PickleStore(root) if design == "pickle" else ParquetStore(FileBlobs(root))
    if operation != "create":
        return lambda: store.get(session), nothing
    frame = mixed(rows)
    return lambda: store.create("weighed", frame), lambda _: store.delete("weighed")


def _reset_peak() -> bool:
    """Let VmHWM start anew; False where the kernel does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


FRAMES: dict[str, Callable[[int], pd.DataFrame]] = {"mixed": mixed, "readings": readings}

TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "first_get": first_get,
    "first_pickle": first_pickle,
    "first_parquet": first_parquet,
    "pages": pages,
    "create": create,
    "used_bytes": used_bytes,
    "memory": memory,
}


def main() -> None:
    """Do the task named in the arguments and print its answer."""
    # The lazy parts of framekeep and pandas are imported now: a first read is timed, not an import.
    assert framekeep.manager
    pd.DataFrame({"warm": [1.0]}).copy()
    task, arguments = sys.argv[1], cast(dict[str, Any], json.loads(sys.argv[2]))
    print(json.dumps(TASKS[task](**arguments)), flush=True)


if __name__ == "__main__":
    main()

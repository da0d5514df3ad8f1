"""Rows about uploads: how much memory one takes, and whether others are answered meanwhile."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.arena import Arena
from benchmarks.child import settings
from benchmarks.frames import mixed
from benchmarks.line import SESSIONS, Answer, request
from benchmarks.report import Bar, Row
from benchmarks.served import Served, Weight, serving
from benchmarks.timing import Figure
from framekeep import DataManager
from framekeep.frames import FRAME_TYPE, pack

MEGABYTE = 1_000_000
ROOM: dict[str, Any] = {"max_upload_size_mb": 2_000, "max_dataframe_size_mb": 2_000}

_WEIGHED_EVERY = 0.02  # seconds
_ASKED_EVERY = 0.005
_STILL = 1 << 20  # bytes by which an idle service may differ from itself


def memory(arena: Arena) -> None:
    """Measure the peak memory of an upload of a CSV of 100 MB, as a multiple of the frame it becomes.

    Weighed is the service with all its processes (worker, the reader's parent, its children), what they
    share counted once, beyond what it had when it was idle and had taken a small upload. "Private" has no
    file behind it; "all" counts mapped files too, as far as they are in memory, which the kernel can drop.
    """
    path, small = arena.root / "upload.csv", arena.root / "small.csv"
    rows = write_csv(path, (4 if arena.quick else 100) * MEGABYTE)
    write_csv(small, 50_000)
    extra: dict[str, list[float]] = {"private": [], "all": []}
    note = ""
    for run in range(1 if arena.quick else 3):
        place = arena.root / f"service-memory-{run}"
        with serving(place, **ROOM) as service, service.line() as line:
            line.upload(small, small.name).expect(201)
            before = _settled(service)
            with beside(lambda: line.upload(path, path.name)) as upload:
                peak = _heaviest(service, upload)
            session = upload.result().expect(201).json()["session_id"]
        frame, arrow = _sizes(place / "store", session)
        note = f"frame {frame / MEGABYTE:.0f} MB, as Arrow {arrow / MEGABYTE:.0f} MB"
        shutil.rmtree(place)
        extra["private"].append((peak.private - before.private) / frame)
        extra["all"].append((peak.total - before.total) / frame)
    for what, found in extra.items():
        text = f"peak extra memory of an upload, CSV of {path.stat().st_size / MEGABYTE:.0f} MB, {what}"
        bar = None if arena.quick else Bar(3.0, relative=False)
        arena.add(Row("service-memory", text, rows, Figure.of(found, "x frame"), bar=bar, note=note))
    path.unlink()


def health(arena: Arena) -> None:
    """Measure how long /health takes while 450 MB are received, read and stored, in each of three forms.

    It is asked every 5 ms, on a connection of its own; the upload comes from a thread of this process, which
    sends from disk.
    """
    size = (10 if arena.quick else 450) * MEGABYTE
    bar = None if arena.quick else Bar(50.0, relative=False)
    place = arena.root / "service-health"
    with serving(place, **ROOM) as service:
        for form, write in {"CSV": write_csv, "Parquet": write_parquet, "container": write_container}.items():
            path = arena.root / f"large.{form.lower()}"
            rows = write(path, size)
            with beside(lambda: _send(service, form, path)) as upload:  # noqa: B023 - it ends with the block
                took = _asked(service, upload)
            session = upload.result().expect(201).json()["session_id"]
            with service.line() as line:
                line.ask(request("DELETE", f"{SESSIONS}/{session}")).expect(200)
            text = f"/health while a {form} of {path.stat().st_size / MEGABYTE:.0f} MB is stored"
            found = {
                "median": took,
                "99 % within": [quantiles(took, n=100, method="inclusive")[98]],
                "all within": [max(took)],
            }
            for what, samples in found.items():
                figure = Figure.of(samples)
                held = bar if what == "all within" else None
                arena.add(Row("service-health", f"{text}, {what}", rows, figure, bar=held))
            path.unlink()
    shutil.rmtree(place)


def write_csv(path: Path, size: int) -> int:
    """Write the mixed frame as CSV of about ``size`` bytes; return its rows."""
    return _sized(path, size, lambda table: pyarrow.csv.write_csv(table, path))


def write_parquet(path: Path, size: int) -> int:
    """Write the mixed frame as Parquet of about ``size`` bytes, not compressed; return its rows."""
    return _sized(
        path,
        size,
        lambda table: pyarrow.parquet.write_table(
            table, path, compression="none", use_dictionary=False, row_group_size=65_536
        ),
    )


def write_container(path: Path, size: int) -> int:
    """Write the mixed frame in the exact container, of about ``size`` bytes; return its rows."""

    def write(table: pa.Table) -> None:
        with path.open("wb") as file:
            file.writelines(pack(table.to_pandas()))

    return _sized(path, size, write)


def _sized(path: Path, size: int, write: Callable[[pa.Table], None]) -> int:
    sample = min(10_000, size // 600)
    write(pa.Table.from_pandas(mixed(sample)))
    rows = int(size / path.stat().st_size * sample)
    write(pa.Table.from_pandas(mixed(rows)))
    return rows


class Beside(threading.Thread):
    """Work in a thread, whose answer or error is fetched."""

    def __init__(self, work: Callable[[], Answer]) -> None:
        super().__init__()
        self._work = work
        self._found: list[Answer] = []
        self._failed: list[BaseException] = []

    def run(self) -> None:
        """Do it."""
        try:
            self._found.append(self._work())
        except BaseException as error:  # it is raised where the answer is fetched
            self._failed.append(error)

    def result(self) -> Answer:
        """Wait for it and return the answer."""
        self.join()
        for error in self._failed:
            raise error
        return self._found[0]


@contextmanager
def beside(work: Callable[[], Answer]) -> Iterator[Beside]:
    """Do work in a thread while the block runs, and wait for it at its end."""
    thread = Beside(work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def _send(service: Served, form: str, path: Path) -> Answer:
    with service.line() as line:
        if form == "container":
            return line.send("POST", SESSIONS, path, FRAME_TYPE)
        return line.upload(path, path.name)


def _settled(service: Served, patience: float = 30.0) -> Weight:
    """Return what an idle service weighs, once it does not change any more."""
    deadline = time.monotonic() + patience
    before = service.weight()
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = service.weight()
        if abs(now.total - before.total) < _STILL:
            return now
        before = now
    return before


def _heaviest(service: Served, task: Beside) -> Weight:
    total = private = 0
    while task.is_alive():
        now = service.weight()
        total, private = max(total, now.total), max(private, now.private)
        time.sleep(_WEIGHED_EVERY)
    return Weight(total, private)


def _asked(service: Served, task: Beside) -> list[float]:
    """Return how long each answer took, in milliseconds, while the task went on."""
    took = []
    asking = request("GET", "/health")
    with service.line() as line:
        line.ask(asking)
        while task.is_alive():
            start = time.perf_counter()
            line.ask(asking).expect(200)
            took.append((time.perf_counter() - start) * 1e3)
            time.sleep(_ASKED_EVERY)
    return took


def _sizes(store: Path, session: str) -> tuple[int, int]:
    """Return the bytes of a session's frame: in pandas, everything counted, and in Arrow."""
    with DataManager(settings(store)) as manager:
        frame: Any = manager.get_dataframe(session)
        return int(frame.memory_usage(deep=True).sum()), pa.Table.from_pandas(frame).nbytes

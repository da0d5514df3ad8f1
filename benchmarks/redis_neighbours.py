"""Rows about what others in the same Redis notice while a client stores and reads frames of 450 MB.

Redis does one thing at a time, so one long command is a pause for everybody. Three processes run beside this
one: the server, ``python -m benchmarks.redis_neighbours`` that works and ``python -m benchmarks.ping`` that
asks. On two cores they also wait for processors: who works hashes and decodes in several threads.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

import pandas as pd

from benchmarks.arena import Arena
from benchmarks.child import MAX_MB
from benchmarks.frames import mixed
from benchmarks.redis_baseline import WholeFrames
from benchmarks.redis_frames import TTL, bare_client, served
from benchmarks.report import Bar, Row
from benchmarks.served import PROJECT
from benchmarks.timing import Figure
from framekeep.connect import RedisBackend
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.frames import FrameCodec

ROWS = 1_080_000
"""Of the mixed frame: 450 MB of data."""

LONG = 10.0  # milliseconds: the bar

DESIGNS = {"framekeep": "Framekeep", "whole": "whole frames (Parquet + snappy)"}


def neighbours(arena: Arena) -> None:
    """Measure PING on a connection of its own, one after the other, while a client stores, reads and deletes.

    Each read is with nothing cached. The bar is held against the 99th percentile of the answers; the note
    says how long the longest took, and which share of the time was spent in answers of more than 10 ms.
    """
    rows = arena.sizes[0] if arena.quick else ROWS
    seconds = arena.effort * (0.1 if arena.quick else 1.0)
    found: dict[str, list[float]] = {}
    notes: dict[str, str] = {}
    with served(arena, "redis-neighbours") as running:
        port = str(running.port)
        found["nobody"] = _pings(port, seconds / 4)
        for design in DESIGNS:
            with _working(running.url, design, rows) as done:
                found[design] = _pings(port, seconds)
            notes[design] = (
                f"{done['rounds']} rounds of store, read, delete; {done['megabytes']:,.0f} MB each"
            )
    text = "PING, 99 % within"
    quiet = _figure(found["nobody"])
    arena.add(
        Row("redis-neighbours", f"{text}, while nobody else asks", 0, quiet, note=_told(found["nobody"]))
    )
    for design, name in DESIGNS.items():
        bar = Bar(LONG, relative=False) if design == "framekeep" else None
        note = f"{_told(found[design])}; {notes[design]}"
        figure = _figure(found[design])
        operation = f"{text}, beside {name}"
        arena.add(Row("redis-neighbours", operation, rows, figure, quiet, "nobody else asks", bar, note=note))


def _figure(took: list[float]) -> Figure:
    """Return the 99th percentile in place of the median."""
    return Figure(_percentile(took, 99), min(took), max(took), len(took))


def _percentile(took: list[float], percent: int) -> float:
    return quantiles(took, n=100, method="inclusive")[percent - 1] if len(took) > 1 else took[0]


def _told(took: list[float]) -> str:
    long = sum(each for each in took if each > LONG) / sum(took)
    return (
        f"half within {_percentile(took, 50):.2f} ms, the longest {max(took):.1f} ms, "
        f"{long:.1%} of the time in answers beyond {LONG:g} ms, {len(took):,} answers"
    )


def _pings(port: str, seconds: float) -> list[float]:
    command = [sys.executable, "-m", "benchmarks.ping", port, str(seconds)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the client that asks PING failed:\n{done.stderr[-4000:]}")
    found: list[float] = json.loads(done.stdout)
    return found


@contextmanager
def _working(url: str, design: str, rows: int) -> Iterator[dict[str, Any]]:
    """Let a process work for the block; what it did is in the dictionary afterwards."""
    command = [sys.executable, "-m", "benchmarks.redis_neighbours", url, design, str(rows)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    done: dict[str, Any] = {}
    try:
        ready = process.stdout.readline() == "works\n"
        if ready:
            yield done
        said, complaints = process.communicate()  # the end of its input tells it to stop
        if not ready or process.returncode != 0:
            raise RuntimeError(f"the client that works failed:\n{complaints[-4000:]}")
        done.update(json.loads(said))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


# --- what runs in a process of its own ----------------------------------------------------------------------


def work(url: str, design: str, rows: int) -> dict[str, Any]:
    """Store, read and delete a frame until the input ends."""
    frame = mixed(rows)
    store, read, delete = _verbs(url, design)
    print("works", flush=True)
    rounds = 0
    while not rounds or not select.select([sys.stdin], [], [], 0)[0]:
        store(frame)
        if len(read()) != rows:
            raise RuntimeError("another frame was read")
        delete()
        rounds += 1
    return {"rounds": rounds, "megabytes": float(frame.memory_usage(index=False, deep=True).sum()) / 1e6}


def _verbs(
    url: str, design: str
) -> tuple[Callable[[pd.DataFrame], object], Callable[[], pd.DataFrame], Callable[[], object]]:
    options = RedisOptions(url, socket_timeout=60.0)
    if design == "whole":
        whole = WholeFrames(bare_client(options))
        return (
            lambda frame: whole.create("neighbour", frame),
            lambda: whole.get("neighbour"),
            lambda: whole.delete("neighbour"),
        )
    engine = RedisEngine(options)

    def backend() -> RedisBackend:
        return RedisBackend(engine, codec=FrameCodec(max_frame_bytes=MAX_MB << 20))

    return (
        lambda frame: backend().create_session("neighbour", frame, "mixed.csv", TTL),
        lambda: backend().get_dataframe("neighbour"),
        lambda: backend().delete_session("neighbour"),
    )


def main() -> None:
    """Work as the arguments say; what was done goes to stdout as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_neighbours", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("design", choices=DESIGNS)
    parser.add_argument("rows", type=int)
    options = parser.parse_args()
    print(json.dumps(work(options.url, options.design, options.rows)))


if __name__ == "__main__":
    main()

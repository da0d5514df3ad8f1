"""What all rows share: a directory, one store, the frames, the floors, and the list of rows found so far."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from benchmarks.baselines import FileBlobs, ParquetStore, PickleStore
from benchmarks.child import settings
from benchmarks.frames import data_bytes, mixed
from benchmarks.machine import Floors, floors
from benchmarks.report import Row
from framekeep import DataManager


@dataclass(slots=True)
class Arena:
    """One run of the benchmarks.

    Attributes:
        root: an empty directory on the disk to measure.
        sizes: rows of the frames, ascending.
        huge: rows of the frame for pages only; None leaves that row out.
        effort: how many rounds for cheap things; expensive ones take a part of it.
        quick: whether only small things are measured.
        rows: what was measured so far.
    """

    root: Path
    sizes: tuple[int, ...]
    huge: int | None
    effort: int
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    frames: dict[int, pd.DataFrame] = field(default_factory=dict)
    floors: dict[int, Floors] = field(default_factory=dict)
    _managers: list[DataManager] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("store", "pickle", "zlib", "parquet"):
            (self.root / name).mkdir()

    @property
    def store(self) -> Path:
        """Where Framekeep's store is."""
        return self.root / "store"

    @property
    def manager(self) -> DataManager:
        """Framekeep with its default settings, opened once."""
        if not self._managers:
            self._managers.append(DataManager(settings(self.store)))
        return self._managers[0]

    @property
    def pickle(self) -> PickleStore:
        """The pickle-file design."""
        return PickleStore(self.root / "pickle")

    @property
    def zlib(self) -> PickleStore:
        """The pickle-file design with zlib."""
        return PickleStore(self.root / "zlib", compress=True)

    @property
    def parquet(self) -> ParquetStore:
        """The whole-frame Parquet design on files."""
        return ParquetStore(FileBlobs(self.root / "parquet"))

    def frame(self, rows: int) -> pd.DataFrame:
        """Return the mixed frame of that size, built once; callers do not change it."""
        if rows not in self.frames:
            self.frames[rows] = mixed(rows)
        return self.frames[rows]

    def floor(self, rows: int) -> Floors:
        """Return the floors for that size, measured once."""
        if rows not in self.floors:
            self.floors[rows] = floors(self.root, data_bytes(self.frame(rows)), rows)
        return self.floors[rows]

    def rounds(self, rows: int, *, heavy: bool = False) -> int:
        """Return how often to measure: less for large frames, least for work on all of them."""
        if rows <= 100_000:
            return self.effort
        return max(3, self.effort // 6) if heavy else max(5, self.effort // 2)

    @property
    def processes(self) -> int:
        """Return how many new processes to start for each thing measured in one."""
        return max(1, self.effort // 4)

    def add(self, row: Row) -> None:
        """Take a row and show it."""
        self.rows.append(row)
        ratio = "" if row.ratio is None else f"  {row.ratio:.3f}x"
        figure = f"{row.ours.median:.3f} {row.ours.unit}"
        print(f"  {row.operation} [{row.rows:,}]: {figure}{ratio} {row.verdict}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Close the store."""
        for manager in self._managers:
            manager.close()
        self._managers.clear()

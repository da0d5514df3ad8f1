"""What an import costs in memory, from the file to both versions in the store, over all its processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
from pyarrow import csv

from framekeep import DataManager, Settings
from framekeep.importing import ImportedFile, Importer

from .conftest import idle, until

MILLION = 1_000_000


def decimals() -> pa.Table:
    """Numbers of several kinds, and a text: the most text for the least memory."""
    dice, rows = np.random.default_rng(0), 1_200_000
    columns: dict[str, object] = {f"f{i}": dice.normal(size=rows).round(4) for i in range(6)}
    columns |= {f"i{i}": dice.integers(0, MILLION, rows) for i in range(4)}
    return pa.table(columns | {"s": dice.integers(0, 1000 * MILLION, rows).astype(str)})


def small_integers() -> pa.Table:
    """Cells of one or two digits, which take eight bytes each."""
    dice = np.random.default_rng(1)
    return pa.table({f"i{i}": dice.integers(0, 100, 2_200_000) for i in range(16)})


def words() -> pa.Table:
    """Text that stays text."""
    dice = np.random.default_rng(2)
    return pa.table(
        {f"t{i}": [f"word {n} of text" for n in dice.integers(0, MILLION, 900_000)] for i in range(5)}
    )


@contextmanager
def peak() -> Iterator[list[int]]:
    """Give a list that has the largest PSS above that at the start, in bytes, when the block ends."""
    own = psutil.Process()

    def used() -> int:
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue  # it has just ended
        return total

    done, start, found = threading.Event(), used(), [0]

    def watch() -> None:
        while not done.wait(0.01):
            found[0] = max(found[0], used() - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@pytest.mark.long
@pytest.mark.parametrize("made", [decimals, small_integers, words])
def test_a_csv_of_100_mb_costs_at_most_three_times_its_frame(
    tmp_path: Path, made: Callable[[], pa.Table]
) -> None:
    path = tmp_path / "big.csv"
    csv.write_csv(made(), path)
    assert 90e6 < path.stat().st_size < 130e6
    pa.default_memory_pool().release_unused()
    with (
        Importer(scratch=tmp_path) as importer,
        DataManager(Settings(storage_dir=tmp_path / "store")) as manager,
    ):
        (tmp_path / "small.csv").write_text("a,b\n1,x\n")
        keep(importer, manager, tmp_path / "small.csv")  # so that what is loaded once is loaded
        until(lambda: idle(importer.process_id))
        with peak() as found:
            session = keep(importer, manager, path)
        assert found[0] < 3 * manager.get_dataframe(session).memory_usage(deep=True).sum()


def keep(importer: Importer, manager: DataManager, path: Path) -> str:
    """Put a file into a session, as text and then with its types; return the session's id."""
    opened = importer.open(path, path.name)
    assert isinstance(opened, ImportedFile)
    with opened:
        (table,) = opened.tables
        with table.lent(text=True) as text:
            session = manager.create_session(text, path.name)
        if table.has_text:
            with table.lent() as typed:
                manager.commit_dataframe(session, typed, "typed")
    return session

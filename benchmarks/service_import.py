"""Rows about Excel: a workbook read by the importer, and uploaded, beside pandas with openpyxl."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xlsxwriter

from benchmarks.arena import Arena
from benchmarks.line import SESSIONS, Line, request
from benchmarks.report import Bar, Row
from benchmarks.served import serving
from benchmarks.timing import Competitor, race
from framekeep.importing import Importer

ROWS = 50_000
COLUMNS = 20

_EPOCH = dt.datetime(2020, 1, 1)


def excel(arena: Arena) -> None:
    """Measure a workbook of one sheet, 50,000 x 20: six whole, six broken numbers, five texts, three dates.

    "Read" is ``Importer.read`` to the frame, in a child process, as always. "Uploaded" is the request from
    its first byte to the answer: received, read, types found, both forms stored. Ours and openpyxl's frame
    have the same values, which is checked. Files are in the page cache, and the reader's process runs.
    """
    rows = 500 if arena.quick else ROWS
    path = arena.root / "table.xlsx"
    write_workbook(path, rows)
    wanted = _by_pandas(path, "openpyxl")
    small = arena.root / "small.xlsx"
    write_workbook(small, 10)
    with (
        Importer(scratch=arena.root) as importer,
        serving(arena.root / "service-import") as service,
        service.line() as line,
    ):
        _by_us(importer, small)
        _same(_by_us(importer, path), wanted)
        _delete(line, _upload(line, small))
        figures = race(
            [
                Competitor("read", lambda _: _by_us(importer, path)),
                Competitor("upload", lambda _: _upload(line, path), restore=lambda id: _delete(line, id)),
                Competitor("openpyxl", lambda _: _by_pandas(path, "openpyxl")),
                Competitor("calamine", lambda _: _by_pandas(path, "calamine")),
            ],
            max(2, arena.effort // 4),
        )
    text = f".xlsx of {rows:,} x {COLUMNS} ({path.stat().st_size / 1e6:.1f} MB)"
    for name, what in (("read", "read by Importer"), ("upload", "uploaded over HTTP")):
        for engine in ("openpyxl", "calamine"):
            bar = Bar(1 / 5) if engine == "openpyxl" and not arena.quick else None
            against = f"pandas.read_excel, {engine}"
            arena.add(
                Row("service-excel", f"{text}, {what}", rows, figures[name], figures[engine], against, bar)
            )


def write_workbook(path: Path, rows: int, *, seed: int = 9) -> None:
    """Write the sheet; what is in it is made from the seed."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {}
    for i in range(6):
        columns[f"i{i}"] = rng.integers(0, (100, 5_000, 10**6)[i % 3], rows).tolist()
    for i in range(6):
        columns[f"f{i}"] = np.round(rng.standard_normal(rows) * 12 + 50, (2, 6, 12)[i % 3]).tolist()
    for i in range(5):
        columns[f"s{i}"] = [f"word-{k:05d}" for k in rng.integers(0, (50, 5_000)[i % 2], rows).tolist()]
    for i in range(3):
        days = rng.integers(0, 900, rows).tolist()
        columns[f"d{i}"] = [_EPOCH + dt.timedelta(days=day, seconds=(i % 2) * 3600) for day in days]
    with xlsxwriter.Workbook(
        str(path), {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
    ) as book:
        sheet = book.add_worksheet("Readings")
        sheet.write_row(0, 0, list(columns))
        for number, row in enumerate(zip(*columns.values(), strict=True), start=1):
            sheet.write_row(number, 0, row)


def _by_us(importer: Importer, path: Path) -> pd.DataFrame:
    with importer.read(path, path.name) as found:
        frame = found.tables[0].frame
    assert isinstance(frame, pd.DataFrame)
    return frame


def _by_pandas(path: Path, engine: Any) -> pd.DataFrame:
    return pd.read_excel(path, engine=engine)


def _upload(line: Line, path: Path) -> str:
    return str(line.upload(path, path.name).expect(201).json()["session_id"])


def _delete(line: Line, session: object) -> None:
    line.ask(request("DELETE", f"{SESSIONS}/{session}")).expect(200)


def _same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, check_exact=True)

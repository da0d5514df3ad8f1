"""How fast a workbook is imported, from the file to the frame, against what pandas does with openpyxl."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import xlsxwriter

from framekeep.importing import Importer

ROWS, TIMES = 50_000, 5


def mixed(path: Path) -> Path:
    """Write 50,000 rows of 20 columns: whole numbers, fractions, texts, dates, and numbers among texts."""
    chance = random.Random(1)
    words = ["north", "south", "east", "west", "a longer text with some words"]
    start = datetime.datetime(2020, 1, 1)
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("Data")
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        names = ("whole", "number", "text", "day", "mixed")
        sheet.write_row(0, 0, [f"{name}{group}" for group in range(4) for name in names])
        for row in range(1, ROWS + 1):
            for left in range(0, 20, 5):
                sheet.write_number(row, left, chance.randrange(10**6))
                sheet.write_number(row, left + 1, chance.gauss(0, 1000))
                sheet.write_string(row, left + 2, f"{chance.choice(words)} {chance.randrange(5000)}")
                sheet.write_datetime(row, left + 3, start + datetime.timedelta(chance.randrange(2000)), day)
                if chance.random() < 0.5:
                    sheet.write_string(row, left + 4, f"x{chance.randrange(100)}")
                else:
                    sheet.write_number(row, left + 4, chance.randrange(1000))
    return path


def seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_workbook_is_imported_five_times_as_fast_as_with_openpyxl(tmp_path: Path) -> None:
    path = mixed(tmp_path / "mixed.xlsx")
    with Importer(scratch=tmp_path) as importer:

        def ours() -> None:
            with importer.read(path, "mixed.xlsx") as file:
                assert file.tables[0].frame.shape == (ROWS, 20)

        def theirs() -> None:
            assert pd.read_excel(path, engine="openpyxl").shape == (ROWS, 20)

        ours()  # what is loaded once is loaded now
        measured = [(seconds(ours), seconds(theirs), seconds(ours)) for _ in range(2)]
    mine = min(time for first, _, second in measured for time in (first, second))
    assert min(openpyxl for _, openpyxl, _ in measured) > TIMES * mine

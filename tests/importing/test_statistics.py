"""SPSS, Stata and SAS files: values, labels, codes for missing answers, dates of all three."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyreadstat
import pytest

from framekeep.errors import (
    DamagedFileError,
    FileTooLargeError,
    UnknownColumnError,
    UnknownFormatError,
    UnreadableFileError,
    WrongTypeError,
)
from framekeep.importing.statistics_times import Clock, clock, times

from .reading import look, parse, read, smaller

FRAME = pd.DataFrame({"n": [1.0, 2.0, 3.0], "x": [0.5, np.nan, 1.5], "t": ["a", "", "é"]})


def sav(path: Path, frame: pd.DataFrame = FRAME, **options: Any) -> Path:
    pyreadstat.write_sav(frame, path, **options)
    return path


def dta(path: Path, frame: pd.DataFrame = FRAME, **options: Any) -> Path:
    pyreadstat.write_dta(frame, path, **options)
    return path


def xpt(path: Path, frame: pd.DataFrame = FRAME, **options: Any) -> Path:
    pyreadstat.write_xport(frame, path, **options)
    return path


WRITERS = [pytest.param(write, write.__name__, id=write.__name__) for write in (sav, dta, xpt)]


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_values_are_read_with_types(tmp_path: Path, write: Any, suffix: str) -> None:
    table = read(write(tmp_path / f"a.{suffix}"))
    assert table.typed.to_pydict() == {"n": [1, 2, 3], "x": [0.5, None, 1.5], "t": ["a", None, "é"]}
    assert table.types() == {"n": "integer", "x": "number", "t": "text"}
    assert table.text is None


@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_dates_are_those_of_the_calendar(tmp_path: Path, write: Any, suffix: str) -> None:
    days = [datetime.date(2024, 2, 29), None, datetime.date(1600, 1, 1)]
    moments = [datetime.datetime(2024, 1, 2, 3, 4, 5), None, datetime.datetime(1900, 1, 1)]
    table = read(write(tmp_path / f"a.{suffix}", pd.DataFrame({"d": days, "m": moments})))
    assert (table["d"], table["m"]) == (days, moments)
    assert table.types() == {"d": "date", "m": "datetime"}
    assert table.reason("d").startswith("the file says ")


def test_a_packed_spss_file_is_read(tmp_path: Path) -> None:
    assert read(sav(tmp_path / "a.zsav", compress=True))["n"] == [1, 2, 3]


def test_labels_are_metadata(tmp_path: Path) -> None:
    path = sav(
        tmp_path / "a.sav",
        file_label="A survey",
        column_labels={"n": "How many?"},
        variable_value_labels={"n": {1.0: "one", 2.0: "two"}, "t": {"a": "first"}},
        variable_measure={"n": "ordinal"},
    )
    metadata = parse(path)[0].metadata
    assert metadata["label"] == "A survey"
    assert metadata["labels"] == {"n": "How many?"}
    assert metadata["value_labels"] == {"n": {"1": "one", "2": "two"}, "t": {"a": "first"}}
    assert metadata["measures"]["n"] == "ordinal"
    assert metadata["formats"]["n"] == "F8.2"


def test_codes_for_missing_answers_are_no_values_but_stay_in_the_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30.0, 98.0, 99.0, 41.5, np.nan], "t": ["x", "no", "y", "no", "z"]})
    path = sav(
        tmp_path / "a.sav", frame, missing_ranges={"age": [{"lo": 98, "hi": 99}], "t": ["no"]}
    )  # fmt: skip
    parsed, (table,) = parse(path)
    assert table["age"] == [30.0, None, None, 41.5, None]
    assert table["t"] == ["x", None, "y", None, "z"]
    assert table.texts("age") == ["30", "98", "99", "41.5", None]
    assert table.texts("t") == ["x", "no", "y", "no", "z"]
    assert parsed.metadata["user_missing"]["age"] == [{"lowest": 98.0, "highest": 99.0}]
    assert parsed.metadata["user_missing_cells"] == {"age": {"98": 1, "99": 1}, "t": {"no": 2}}
    assert table.notes[0] == "'age': no value where a code for a missing answer was (98, 99), in 2 cells."


def test_a_range_without_a_bound_is_json(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [-5.0, 1.0]})
    path = sav(tmp_path / "a.sav", frame, missing_ranges={"a": [{"lo": -1.7976931348623157e308, "hi": 0}]})
    parsed, (table,) = parse(path)
    assert table["a"] == [None, 1]
    assert parsed.metadata["user_missing"]["a"] == [{"lowest": None, "highest": 0.0}]


def test_missing_values_of_stata_stay_in_the_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, "a", "z", None], "b": [1.0, 2.0, 3.0, 4.0]})
    parsed, (table,) = parse(dta(tmp_path / "a.dta", frame, missing_user_values={"a": ["a", "z"]}))
    assert table["a"] == [1, None, None, None]
    assert table.texts("a") == ["1", ".a", ".z", None]
    assert table.texts("b") == ["1", "2", "3", "4"]
    assert parsed.metadata["user_missing_cells"] == {"a": {".a": 1, ".z": 1}}


def test_times_of_day_are_lengths_of_time(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": [datetime.time(1, 2, 3), None]})
    table = read(sav(tmp_path / "a.sav", frame))
    assert table["t"] == [datetime.timedelta(hours=1, minutes=2, seconds=3), None]


def test_a_preview_has_five_rows_as_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": np.arange(9.0), "d": [datetime.date(2024, 1, n + 1) for n in range(9)]})
    (preview,) = look(sav(tmp_path / "a.sav", frame))
    assert (preview.rows, preview.columns, preview.header) == (9, 2, ("n", "d"))
    assert preview.first[4] == ("4", "2024-01-05")
    assert len(preview.first) == 5


def test_many_rows_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framekeep.importing.statistics._CELLS_AT_ONCE", 14)
    frame = pd.DataFrame({"n": np.arange(40.0), "t": [str(n) for n in range(40)]})
    table = read(sav(tmp_path / "a.sav", frame))
    assert table["n"] == list(range(40))
    assert table["t"] == [str(n) for n in range(40)]


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    table = read(dta(tmp_path / "a.dta", FRAME.iloc[:0]))
    assert table.shape == (0, 3)


# --- types that are asked for, and what is refused ----------------------------------------------------


def test_a_type_that_is_asked_for_is_given(tmp_path: Path) -> None:
    table = read(sav(tmp_path / "a.sav"), types={"n": "text", "x": "number"})
    assert table["n"] == ["1", "2", "3"]
    assert table.types()["n"] == "text"


def test_a_type_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongTypeError, match="'t'"):
        read(sav(tmp_path / "a.sav"), types={"t": "integer"})
    with pytest.raises(UnknownColumnError, match="'q'"):
        read(sav(tmp_path / "b.sav"), types={"q": "integer"})


@pytest.mark.parametrize("limits", [{"rows": 2}, {"columns": 2}, {"cells": 8}])
@pytest.mark.parametrize(("write", "suffix"), WRITERS)
def test_limits_are_kept(tmp_path: Path, write: Any, suffix: str, limits: dict[str, int]) -> None:
    with pytest.raises(FileTooLargeError, match=r"has (3 rows and )?3 columns"):
        read(write(tmp_path / f"a.{suffix}"), limits=smaller(**limits))


@pytest.mark.parametrize(("write", "suffix"), WRITERS[:2])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, write: Any, suffix: str, part: float) -> None:
    path = write(tmp_path / f"a.{suffix}", pd.DataFrame({"n": np.arange(1000) * 1.1}))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UnreadableFileError, match="damaged"):
        read(path)


def test_rubbish_with_the_right_start_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sav").write_bytes(b"$FL2" + b"\xff" * 500)
    with pytest.raises(DamagedFileError, match="damaged"):
        read(tmp_path / "a.sav")


# --- how programs count time --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "form", "number", "value"),
    [
        ("sav", "DATE11", 13_797_216_000.0, datetime.date(2020, 1, 1)),
        ("sav", "EDATE10", 13_797_216_000.0, datetime.date(2020, 1, 1)),
        ("sav", "DATETIME20", 13_797_216_000.25, datetime.datetime(2020, 1, 1, 0, 0, 0, 250_000)),
        ("sav", "DTIME10", 90_000.0, datetime.timedelta(hours=25)),
        ("dta", "%td", 0.0, datetime.date(1960, 1, 1)),
        ("dta", "%tdD_m_Y", -1.0, datetime.date(1959, 12, 31)),
        ("dta", "%tc", 1_893_459_723_000.0, datetime.datetime(2020, 1, 1, 1, 2, 3)),
        ("sas7bdat", "MMDDYY10.", 21_915.0, datetime.date(2020, 1, 1)),
        ("xpt", "DATETIME", 1.5, datetime.datetime(1960, 1, 1, 0, 0, 1, 500_000)),
        ("xpt", "TIME8", 3_723.0, datetime.timedelta(seconds=3723)),
    ],
)
def test_numbers_are_times(program: str, form: str, number: float, value: Any) -> None:
    counted = clock(program, form)
    assert counted is not None
    found = times(pa.chunked_array([[number, None]], pa.float64()), counted)
    assert found is not None
    assert found.to_pylist() == [value, None]


@pytest.mark.parametrize(
    ("program", "form"), [("dta", "%tm"), ("dta", "%tC"), ("sav", "F8.2"), ("xpt", None)]
)
def test_other_numbers_are_numbers(program: str, form: str | None) -> None:
    assert clock(program, form) is None


@pytest.mark.parametrize("number", [1e15, -1e12, float("inf"), float("nan")])
def test_a_time_outside_the_calendar_leaves_numbers(number: float) -> None:
    counted = Clock("date", 86_400_000_000, datetime.date(1960, 1, 1).toordinal())
    assert times(pa.chunked_array([[0.0, number]]), counted) is None


def test_a_date_with_a_time_is_an_instant() -> None:
    counted = clock("sav", "DATE11")
    assert counted is not None
    found = times(pa.chunked_array([[13_797_216_060.0]]), counted)
    assert found is not None
    assert found.to_pylist() == [datetime.datetime(2020, 1, 1, 0, 1)]


def test_a_reader_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sav(tmp_path / "a.sav")
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(UnknownFormatError, match=r"pip install 'framekeep\[statistics\]'"):
        read(path)

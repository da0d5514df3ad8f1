"""The benchmark runner works from end to end, on a tiny frame; figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
GROUPS = {"create", "edit", "update", "kinds", "get", "first", "bytes", "memory", "undo", "page"}
UNITS = {"ms", "MB", "x frame"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run ``--quick`` on 300 rows and return what it wrote."""
    place = tmp_path_factory.mktemp("bench")
    out = place / "report.json"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--rows", "300", "--effort", "2"]
    done = subprocess.run(
        [*command, "--place", str(place / "disk"), "--out", str(out)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    found["printed"] = done.stdout
    found["left"] = [p.name for p in (place / "disk").iterdir()]
    return found


def test_every_operation_of_the_bars_table_has_rows(report: dict[str, Any]) -> None:
    assert {row["group"] for row in report["rows"]} == GROUPS


def test_each_row_has_a_figure_with_unit_and_samples(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        figure = row["ours"]
        assert figure["unit"] in UNITS, row["operation"]
        assert figure["samples"] >= 1, row["operation"]
        assert figure["best"] <= figure["median"] <= figure["worst"], row["operation"]


def test_a_ratio_stands_where_a_baseline_does(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        assert (row["ratio"] is None) == (row["baseline"] is None), row["operation"]
        assert bool(row["against"]) == (row["baseline"] is not None), row["operation"]


def test_verdicts_are_counted(report: dict[str, Any]) -> None:
    verdicts = [row["verdict"] for row in report["rows"]]
    assert set(verdicts) <= {"PASS", "MISS", ""}
    assert report["passed"] == verdicts.count("PASS")
    assert report["missed"] == verdicts.count("MISS")


def test_the_machine_is_described_without_names_or_paths(report: dict[str, Any]) -> None:
    machine = report["machine"]
    assert machine["cores"] >= 1
    assert "pandas" in machine["packages"]
    assert "/" not in json.dumps({k: v for k, v in machine.items() if k != "cpu"})


def test_the_table_is_printed_with_every_operation(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        assert row["operation"] in report["printed"]


def test_codecs_are_measured_for_each_kind_of_column(report: dict[str, Any]) -> None:
    kinds = {figure["kind"] for figure in report["codecs"]}
    assert kinds == {"float64", "int64", "str", "datetime64", "bool", "category", "all"}


def test_nothing_is_left_on_the_disk(report: dict[str, Any]) -> None:
    assert report["left"] == []

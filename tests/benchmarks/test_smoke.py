"""The benchmark runner works from end to end, on a tiny frame; figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
STORE = ("create", "edit", "kinds", "get", "first", "bytes", "memory", "undo", "page", "codecs")
REDIS = ("redis-frames", "redis-neighbours", "redis-scale")
OUTAGE = ("redis-outage",)
SERVICE = ("service-pages", "service-excel", "service-memory", "service-health", "service-users")
UNITS = {"ms", "s", "MB", "x frame", "x strict", "errors", "lost edits", "a second"}


@pytest.fixture(
    scope="module", params=[STORE, SERVICE, REDIS, OUTAGE], ids=["store", "service", "redis", "outage"]
)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run ``--quick`` on 300 rows, some of the groups at a time, and return what it wrote."""
    place = tmp_path_factory.mktemp("bench")
    out = place / "report.json"
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--rows", "300", "--effort", "2"]
    command += ["--only", *request.param]
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


def test_every_group_has_rows(report: dict[str, Any]) -> None:
    wanted = {*report["groups"]} - {"codecs"}
    if "edit" in wanted:
        wanted.add("update")  # measured with it
    assert {row["group"] for row in report["rows"]} == wanted


def test_no_group_is_left_out() -> None:
    asked = [sys.executable, "-c", "from benchmarks.run import GROUPS; print(*GROUPS)"]
    groups = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert sorted(groups.split()) == sorted(STORE + REDIS + OUTAGE + SERVICE)


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
    wanted = {"float64", "int64", "str", "datetime64", "bool", "category", "all"}
    kinds = {figure["kind"] for figure in report["codecs"]}
    assert kinds == (wanted if "codecs" in report["groups"] else set())


def test_nothing_is_left_on_the_disk(report: dict[str, Any]) -> None:
    assert report["left"] == []

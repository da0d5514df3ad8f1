"""The report: rows, verdicts, and how they are shown as text, JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.timing import Figure

SCHEMA = 1

BEGIN = "<!-- figures:begin (written by python -m benchmarks.run) -->"
END = "<!-- figures:end -->"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row must reach.

    Attributes:
        limit: the greatest value that passes.
        relative: whether ``limit`` is a multiple of the baseline, or an absolute value in the row's unit.
    """

    limit: float
    relative: bool = True

    def text(self, unit: str) -> str:
        """Say the bar in words."""
        if not self.relative:
            return f"≤ {self.limit:g} {unit}"
        return f"≤ 1/{1 / self.limit:.0f}" if self.limit < 0.4 else f"≤ {self.limit:g}x"


@dataclass(frozen=True, slots=True)
class Floor:
    """The physical limit of a row: what it is and how much, in the row's unit."""

    what: str
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        group: the operation of the bars table it belongs to ("undo", "edit", "create" …).
        operation: what was done.
        rows: rows of the frame; 0 when the row compares sizes.
        ours: what Framekeep took.
        baseline: what ``against`` took; None when the bar is absolute.
        against: what the baseline is.
        bar: None when the row is for information.
        floor: the physical limit; None when there is none worth naming.
        note: anything a reader must know.
    """

    group: str
    operation: str
    rows: int
    ours: Figure
    baseline: Figure | None = None
    against: str = ""
    bar: Bar | None = None
    floor: Floor | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Median over median of the baseline."""
        return None if self.baseline is None else self.ours.median / self.baseline.median

    @property
    def verdict(self) -> str:
        """PASS, MISS, or "" for a row without bar."""
        if self.bar is None:
            return ""
        value = self.ratio if self.bar.relative else self.ours.median
        if value is None:
            raise ValueError(f"a relative bar needs a baseline: {self.operation}")
        return "PASS" if value <= self.bar.limit else "MISS"

    @property
    def distance(self) -> float | None:
        """Median over the physical limit."""
        return None if self.floor is None else self.ours.median / self.floor.value


HEADINGS = ("operation", "rows", "Framekeep", "baseline", "ratio", "bar", "", "physical limit", "distance")


def cells(row: Row) -> tuple[str, ...]:
    """Return the texts of a row, parallel to HEADINGS."""
    ratio = row.ratio
    return (
        row.operation + (f" ({row.note})" if row.note else ""),
        f"{row.rows:,}" if row.rows else "",
        _figure(row.ours),
        f"{_figure(row.baseline)} {row.against}" if row.baseline else "",
        "" if ratio is None else _ratio(ratio),
        row.bar.text(row.ours.unit) if row.bar else "",
        row.verdict,
        f"{_number(row.floor.value)} {row.ours.unit}: {row.floor.what}" if row.floor else "",
        "" if row.distance is None else f"{row.distance:.1f}x",
    )


def text(rows: Sequence[Row]) -> str:
    """Return the report as aligned columns."""
    lines = [HEADINGS, *(cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> list[str]:
    """Return the report as a Markdown table."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    for row in rows:
        shown = list(cells(row))
        shown[6] = f"**{shown[6]}**" if shown[6] else ""
        lines.append("| " + " | ".join(shown) + " |")
    return lines


def record(rows: Sequence[Row], **facts: object) -> dict[str, Any]:
    """Return the report as JSON-ready values: ``facts`` beside the rows."""
    return {
        "schema": SCHEMA,
        **facts,
        "passed": sum(r.verdict == "PASS" for r in rows),
        "missed": sum(r.verdict == "MISS" for r in rows),
        "rows": [{**asdict(r), "ratio": r.ratio, "verdict": r.verdict, "distance": r.distance} for r in rows],
    }


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def write_figures(path: Path, lines: Sequence[str]) -> None:
    """Replace what stands between the markers of a Markdown page.

    Raises:
        ValueError: the page has no markers.
    """
    page = path.read_text()
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path.name} has no place for figures: it needs {BEGIN!r} and {END!r}")
    before, rest = page.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    path.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


def _figure(figure: Figure) -> str:
    if figure.samples == 1:
        return f"{_number(figure.median)} {figure.unit}"
    return f"{_number(figure.median)} {figure.unit} (min {_number(figure.best)})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(ratio: float) -> str:
    return f"1/{1 / ratio:.0f}" if ratio < 0.1 else f"{ratio:.2f}x"

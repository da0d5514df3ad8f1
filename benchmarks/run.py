"""Measure every bar in one run: ``python -m benchmarks.run`` (``make bench``).

Prints the table, writes benchmarks/results/latest.json and the figures in docs/benchmarks.md. ``--quick``
takes the small frame only, some seconds, and leaves the page alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from benchmarks import (
    codecs,
    reads,
    redis_frames,
    redis_neighbours,
    redis_outage,
    redis_scale,
    report,
    service_import,
    service_pages,
    service_upload,
    service_users,
    space,
    writes,
)
from benchmarks.arena import Arena
from benchmarks.machine import describe

HERE = Path(__file__).resolve().parent
SMALL, LARGE, HUGE = 10_000, 1_000_000, 10_000_000

BY_SIZE: dict[str, Callable[[Arena, int], None]] = {
    "create": writes.create,
    "edit": writes.edit,
    "kinds": writes.edit_kinds,
    "get": reads.warm,
    "first": reads.first,
    "bytes": space.versions,
    "memory": space.memory,
    "redis-frames": redis_frames.frames,
}
TOGETHER: dict[str, Callable[[Arena], None]] = {
    "undo": writes.undo,
    "page": reads.pages,
    "redis-neighbours": redis_neighbours.neighbours,
    "redis-outage": redis_outage.outage,
    "redis-scale": redis_scale.scale,
    "service-pages": service_pages.pages,
    "service-excel": service_import.excel,
    "service-memory": service_upload.memory,
    "service-health": service_upload.health,
    "service-users": service_users.users,
}
GROUPS = (*BY_SIZE, *TOGETHER, "codecs")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0 when everything was measured, whether the bars are met or not."""
    options = _options(arguments)
    sizes = (options.rows or SMALL,) if options.quick else (SMALL, LARGE)
    huge = None if options.quick or options.no_huge else HUGE
    wanted = options.only or list(GROUPS)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch directory is removed
    options.place.mkdir(parents=True, exist_ok=True)
    started = perf_counter()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.place) as scratch:
        machine = describe(Path(scratch))
        arena = Arena(Path(scratch), sizes, huge, options.effort, options.quick)
        try:
            figures = _measure(arena, wanted)
        finally:
            arena.close()
        floors = {str(rows): asdict(arena.floors[rows]) for rows in sorted(arena.floors)}
    facts = report.record(
        arena.rows,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        mode="quick" if options.quick else "full",
        groups=wanted,
        seconds=round(perf_counter() - started, 1),
        machine={**machine, "load_average_at_end": round(os.getloadavg()[0], 2)},
        floors=floors,
        codecs=[asdict(f) for f in figures],
    )
    print(report.text(arena.rows))
    missed = [r for r in arena.rows if r.verdict == "MISS"]
    print(f"\n{facts['passed']} bars passed, {facts['missed']} missed, {facts['seconds']} s")
    for row in missed:
        print(f"  MISS  {row.operation}, {row.rows:,} rows")
    report.write_json(options.out, facts)
    if not options.quick and wanted == list(GROUPS):
        report.write_figures(options.docs, _page(arena.rows, facts, figures))
    return 0


def _measure(arena: Arena, wanted: Sequence[str]) -> list[codecs.CodecFigure]:
    for rows in arena.sizes:
        arena.floor(rows)
        for name, by_size in BY_SIZE.items():
            if name in wanted:
                _say(f"{name}, {rows:,} rows")
                by_size(arena, rows)
    for name, together in TOGETHER.items():
        if name in wanted:
            _say(name)
            together(arena)
    if "codecs" not in wanted:
        return []
    _say("codecs")
    return codecs.measure(min(arena.sizes[-1], 131_072), rounds=2)


def _page(
    rows: Sequence[report.Row], facts: dict[str, object], figures: list[codecs.CodecFigure]
) -> list[str]:
    machine = facts["machine"]
    assert isinstance(machine, dict)
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"Measured {facts['measured_at']} in {facts['seconds']} s: {machine['cpu']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"{machine['file_system']}, load {machine['load_average_at_start']} at the start "
        f"and {machine['load_average_at_end']} at the end. "
        f"Python {machine['python']}, {packages}.",
        "",
        f"**{facts['passed']} bars passed, {facts['missed']} missed.** Figures are medians.",
        "",
        *report.markdown(rows),
        "",
        "### Codecs",
        "",
        "Ratio · megabytes a second to compress / to decompress, one thread, chunks of 512 KiB.",
        "",
        *codecs.table(figures),
    ]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small frame only")
    parser.add_argument("--rows", type=int, help="rows of the small frame with --quick (default 10,000)")
    parser.add_argument("--no-huge", action="store_true", help="leave out pages of ten million rows")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="some groups; leaves the page alone")
    parser.add_argument("--effort", type=int, default=20, help="rounds of the cheap measurements")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latest.json")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument(
        "--place",
        type=Path,
        default=HERE.parent / ".framekeep",
        help="directory on the disk to measure; everything written there is removed",
    )
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Rows about many users at once: no error, no lost edit, and how long each verb takes."""

from __future__ import annotations

from statistics import quantiles

from benchmarks import crowd
from benchmarks.arena import Arena
from benchmarks.report import Bar, Row
from benchmarks.served import serving
from benchmarks.timing import Figure
from benchmarks.user import ROWS

WORKERS = 2
NONE = Bar(0.0, relative=False)


def users(arena: Arena) -> None:
    """Let 200 users work for a minute against two workers, each in a session of their own.

    Nobody pauses: each asks as soon as the answer is there, so what an answer takes is mostly the wait for
    the others. They read pages, edit by one or two operations, replace the table, step back and forth,
    profile, export and list versions, over two connections each, and compare every answer with a plain pandas
    frame of their own; in the end the session's frame must equal it exactly. Some edits stand on an ETag,
    some are sent twice under one key. The users' own work takes processors too, and is not in the figures.
    """
    number = 20 if arena.quick else 200
    seconds = arena.effort * (0.25 if arena.quick else 3.0)
    with serving(arena.root / "service-users", workers=WORKERS) as service:
        outcome = crowd.run(service.address, number, seconds=seconds)
        complaints = service.complaints()
    diary = outcome.diary
    text = f"{number} users on {WORKERS} workers for {seconds:g} s"
    rate = outcome.requests / outcome.seconds
    for what, found in (("errors", diary.errors + complaints), ("lost edits", diary.lost)):
        note = "; ".join(line[:200] for line in found[:3])
        figure = Figure.of([len(found)], what)
        arena.add(Row("service-users", f"{text}: {what}", ROWS, figure, bar=NONE, note=note))
    arena.add(Row("service-users", f"{text}: answers", ROWS, Figure.of([rate], "a second")))
    for verb, took in sorted(diary.samples.items()):
        cuts = quantiles(took, n=100, method="inclusive") if len(took) > 1 else took * 99
        note = f"95 % within {cuts[94]:,.0f} ms, 99 % within {cuts[98]:,.0f} ms, {len(took):,} answers"
        arena.add(Row("service-users", f"{text}: {verb}", ROWS, Figure.of(took), note=note))

"""Times competitors in turns, so that a noisy moment of the machine hits all of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any


@dataclass(frozen=True, slots=True)
class Competitor:
    """One thing to time.

    Attributes:
        name: unique in its race.
        run: what is timed; gets what ``prepare`` returned.
        prepare: untimed work before each run; gets the number of the round.
        restore: untimed work after each run; gets what ``run`` returned.
        rounds: how many rounds it takes part in, spread evenly over the race; None: all.
    """

    name: str
    run: Callable[[Any], object]
    prepare: Callable[[int], object] = lambda _: None
    restore: Callable[[object], object] = lambda _: None
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one competitor.

    Attributes:
        median: the median of the samples; verdicts use it.
        best: the least of the samples.
        worst: the greatest of the samples.
        samples: how many there are.
        unit: of all of them: "ms", "MB", "x frame" …
    """

    median: float
    best: float
    worst: float
    samples: int
    unit: str = "ms"

    @classmethod
    def of(cls, samples: Sequence[float], unit: str = "ms") -> Figure:
        """Summarise samples."""
        return cls(median(samples), min(samples), max(samples), len(samples), unit)


def race(competitors: Sequence[Competitor], rounds: int) -> dict[str, Figure]:
    """Run all competitors ``rounds`` times in turns and return milliseconds by name.

    Each round starts with another competitor. Cyclic garbage is collected before each run and not during it.
    """
    samples: dict[str, list[float]] = {c.name: [] for c in competitors}
    for number in range(rounds):
        shift = number % len(competitors)
        for competitor in (*competitors[shift:], *competitors[:shift]):
            wanted = min(competitor.rounds or rounds, rounds)
            if number * wanted // rounds != (number - 1) * wanted // rounds:
                samples[competitor.name].append(once(competitor, number))
    return {name: Figure.of(found) for name, found in samples.items()}


def once(competitor: Competitor, number: int) -> float:
    """Run one competitor once and return milliseconds."""
    prepared = competitor.prepare(number)
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        result = competitor.run(prepared)
        took = perf_counter() - start
    finally:
        gc.enable()
    del prepared
    competitor.restore(result)
    return took * 1e3

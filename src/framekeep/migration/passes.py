"""One pass over all there is: what cannot be moved stops nothing else, and the next pass goes on there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from framekeep.errors import FramekeepError, NewerFormatError, ServiceError, SessionDamagedError, StorageError
from framekeep.migration.arrival import Arrival
from framekeep.migration.report import Outcome, Problem, Report
from framekeep.names import Space

Progress = Callable[[float, str], None]
"""Called with how many were done since the last call (also parts of one), and what is being done."""


class Origin(Protocol):
    """Where sessions come from."""

    def spaces(self, only: Collection[str] = ()) -> list[Space]:
        """Return what there is to be moved; with ``only``, of these ids, whether they are there or not."""

    def move(
        self, name: Space, arrival: Arrival, step: Callable[[float], None], *, asked: bool = False
    ) -> Outcome:
        """Bring one space to where it is to arrive."""


def migrate(
    origin: Origin,
    arrival: Arrival,
    names: Sequence[Space],
    *,
    asked: bool = False,
    progress: Progress = lambda advance, what: None,
) -> Report:
    """Go over everything once; return what became of it.

    Args:
        origin: where it comes from.
        arrival: where it goes.
        names: what to move, of the origin's ``spaces()``.
        asked: whether somebody named these, so that one that is not there is an error.
        progress: called as it goes on.
    """
    report = Report()
    for reached, name in enumerate(names):
        try:
            _move(origin, arrival, name, report, progress, asked=asked)
        except FramekeepError as error:
            if not _stops(error):
                raise
            report.stopped, report.not_reached = error, len(names) - reached
            break
    return report


def _move(
    origin: Origin, arrival: Arrival, name: Space, report: Report, progress: Progress, *, asked: bool
) -> None:
    done = 0.0

    def step(part: float) -> None:
        nonlocal done
        part = min(part, 1.0 - done)  # of a space that is read twice
        done += part
        progress(part, "")

    id = name.partition(":")[2].encode("ascii", "backslashreplace").decode()
    progress(0.0, f"Moving {id[:128]}")
    try:
        report.count(name, origin.move(name, arrival, step, asked=asked))
    except FramekeepError as error:
        if _stops(error):
            raise
        report.problems.append(Problem(name, error))
    except Exception as error:
        if asked:
            raise  # whoever names one gets to see where
        unexpected = FramekeepError(
            f"{type(error).__name__}, which is unexpected: 'framekeep --debug migrate' with --only {id} "
            "shows where. Please report it."
        )
        report.problems.append(Problem(name, unexpected))
    progress(1.0 - done, "")


def _stops(error: FramekeepError) -> bool:
    """Say whether an error is of a store, and not of one session: all that follow would meet it."""
    of_one = isinstance(error, SessionDamagedError | NewerFormatError)
    return isinstance(error, StorageError | ServiceError) and not of_one

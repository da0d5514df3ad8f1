"""What one pass did: how many of each kind, what could not be moved and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from framekeep.errors import FramekeepError
from framekeep.names import Space


class Overwrite(StrEnum):
    """What may be replaced in the target."""

    NEVER = "never"
    OLDER = "older"


class Outcome(StrEnum):
    """What became of one session or temporary storage."""

    COPIED = "copied"
    UPDATED = "updated"
    THERE = "already_there"
    NEWER = "newer_in_target"
    KEPT = "kept_in_target"
    GONE = "gone_from_source"


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be moved.

    Attributes:
        space: it.
        error: why; its class says what a script may do about it.
    """

    space: Space
    error: FramekeepError

    def to_json(self) -> dict[str, str]:
        """Return it for JSON."""
        kind, _, id = self.space.partition(":")
        return {"kind": kind, "id": id, "code": self.error.code, "reason": str(self.error)}


@dataclass(slots=True)
class Report:
    """What one pass did.

    Attributes:
        outcomes: by kind of space, how many had each outcome.
        problems: what could not be moved; all else went on.
        stopped: why the pass ended early; None if it went through.
        not_reached: how many it did not come to.
    """

    outcomes: dict[str, Counter[Outcome]] = field(
        default_factory=lambda: {"session": Counter(), "temp": Counter()}
    )
    problems: list[Problem] = field(default_factory=list)
    stopped: FramekeepError | None = None
    not_reached: int = 0

    @property
    def errors(self) -> list[FramekeepError]:
        """Everything that went wrong."""
        return [problem.error for problem in self.problems] + ([self.stopped] if self.stopped else [])

    def count(self, space: Space, outcome: Outcome) -> None:
        """Count one."""
        self.outcomes[space.partition(":")[0]][outcome] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the report for JSON; every outcome is there, also those nobody had."""

        def counts(kind: str) -> dict[str, int]:
            return {str(outcome): self.outcomes[kind][outcome] for outcome in Outcome}

        stopped = self.stopped
        return {
            "sessions": counts("session"),
            "temporary_storages": counts("temp"),
            "not_moved": [problem.to_json() for problem in self.problems],
            "stopped": None if stopped is None else {"code": stopped.code, "reason": str(stopped)},
            "not_reached": self.not_reached,
            "ok": not self.errors,
        }

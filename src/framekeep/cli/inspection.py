"""Checks a store from a process of its own, so that a store that kills its reader is a finding, not a crash.

A file damaged badly enough makes the mapped-memory engine crash (SIGBUS, SIGSEGV) rather than fail. So
``python -m framekeep.cli.inspection`` walks the file without mapping it, then reads the sessions one after
the other, and says on stdout, a JSON line each, which one it begins and what it found; ``inspect`` runs it,
and when it dies goes on behind the session that killed it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from framekeep import errors
from framekeep.errors import DamagedError, FramekeepError, SessionNotFoundError, StoreDamagedError

if TYPE_CHECKING:
    from framekeep.engines.lmdb import LmdbEngine

READER = ("-m", "framekeep.cli.inspection")
"""What Python is asked to run, before the question."""

_SAID = 20  # of what does not hold in the file; one broken page can make hundreds


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of damage.

    Attributes:
        session: its session; "" for the store itself.
        where: the column, index or record; "" when that cannot be said.
        problem: what is wrong, in words.
    """

    session: str
    where: str
    problem: str


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        sessions: the sessions read to their end.
        findings: the damage.
        refusal: why the check could not be made at all; None if it was.
    """

    sessions: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    refusal: FramekeepError | None = None


def inspect(directory: Path, only: Sequence[str], step: Callable[[float, str], None]) -> Report:
    """Check the sessions ``only`` (all when empty) of the store in ``directory``.

    Args:
        step: called with the fraction of the sessions done and the session that comes next.
    """
    report = Report()
    done: set[str] = set()
    while True:
        killed, last = _one_process(directory, only, done, report, step)
        if killed is None:
            return report
        if last is None or last in done:
            report.findings.append(Finding("", "", f"{killed} before it reached a session"))
            return report
        report.findings.append(Finding(last, "", f"{killed} while reading this session"))
        done.add(last)


def _one_process(
    directory: Path,
    only: Sequence[str],
    done: set[str],
    report: Report,
    step: Callable[[float, str], None],
) -> tuple[str | None, str | None]:
    """Run one reader; return how it was killed (None: it ended by itself) and the session it was in."""
    question = {"directory": str(directory), "only": list(only), "skip": sorted(done), "file": not done}
    asked = json.dumps(question)
    command = [sys.executable, *READER, asked]
    current: str | None = None
    ended = False
    total = 1
    with (
        tempfile.TemporaryFile("w+", errors="replace") as complaints,  # a pipe nobody reads could fill up
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as reader,
    ):
        assert reader.stdout is not None
        for line in reader.stdout:
            if not line.endswith("\n"):
                break
            event: dict[str, Any] = json.loads(line)
            match event["event"]:
                case "file":
                    step(0, "Checking the file")
                case "sessions":
                    total = max(1, event["count"] + len(done))
                case "begin":
                    current = event["session"]
                    step(0, f"Checking {current}")
                case "end":
                    done.add(event["session"])
                    report.sessions.append(event["session"])
                    report.findings += [Finding(event["session"], w, p) for w, p in event["damage"]]
                    current = None
                    step(1 / total, "")
                case "store":
                    report.findings.append(Finding("", "", event["problem"]))
                case "refused":
                    report.refusal = getattr(errors, event["kind"], FramekeepError)(event["message"])
                case "finished":
                    ended = True
        reader.wait()
        complaints.seek(0)
        said = complaints.read().strip().splitlines()
    if ended:
        return None, None
    if reader.returncode < 0:
        return f"its reader was killed by {signal.Signals(-reader.returncode).name}", current
    return f"its reader stopped ({said[-1] if said else f'exit {reader.returncode}'})", current


def _events(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Read the store and yield what there is to say."""
    from framekeep.config import Settings
    from framekeep.engines.lmdb import LmdbEngine
    from framekeep.manager import DataManager

    skip = set(asked["skip"])
    # A cache's good copy would hide damage of what is stored.
    with DataManager(Settings(storage_dir=asked["directory"], local_cache_mb=0)) as manager:
        engine = manager.backend.engine
        if asked["file"] and isinstance(engine, LmdbEngine):
            yield {"event": "file"}
            problems = _problems(engine)
            yield from ({"event": "store", "problem": problem} for problem in problems[:_SAID])
            if len(problems) > _SAID:
                yield {"event": "store", "problem": f"and {len(problems) - _SAID} more like these"}
        sessions = asked["only"] or manager.list_sessions()
        sessions = [session for session in sessions if session not in skip]
        yield {"event": "sessions", "count": len(sessions)}
        for session in sessions:
            yield {"event": "begin", "session": session}
            try:
                damage = [(found.where, found.problem) for found in manager.check(session)]
            except StoreDamagedError:
                raise
            except DamagedError as error:
                damage = [(getattr(error, "where", ""), str(error))]
            except SessionNotFoundError:
                if asked["only"]:
                    raise
                damage = []  # it expired since it was listed
            yield {"event": "end", "session": session, "damage": damage}


def _problems(engine: LmdbEngine) -> list[str]:
    """Return what does not hold in the store's file; sessions may be whole all the same."""
    try:
        return [f"the file's structure does not hold: {problem}" for problem in engine.check_file()]
    except StoreDamagedError as error:
        return [str(error)]


def main() -> None:
    """Read what ``inspect`` asked for and say what was found."""

    def say(**event: Any) -> None:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()  # what is still in the buffer dies with the process

    try:
        for event in _events(json.loads(sys.argv[1])):
            say(**event)
    except DamagedError as error:
        say(event="store", problem=str(error))
    except FramekeepError as error:
        say(event="refused", kind=type(error).__name__, message=str(error))
    say(event="finished")


if __name__ == "__main__":
    main()

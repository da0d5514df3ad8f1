"""Many users at once: ``python -m benchmarks.crowd HOST PORT --users 20 --steps 30``; JSON on stdout.

``run`` starts several such processes, because the users' own work takes a processor, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.line import Address
from benchmarks.served import PROJECT
from benchmarks.user import Diary, User


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        seconds: from the first request to the last.
        diary: what the users went through.
    """

    seconds: float = 0.0
    diary: Diary = field(default_factory=Diary)

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(len(found) for found in self.diary.samples.values())

    def add(self, told: dict[str, Any]) -> None:
        """Add what a process printed."""
        self.seconds = max(self.seconds, told["seconds"])
        for verb, found in told["samples"].items():
            self.diary.samples.setdefault(verb, []).extend(found)
        self.diary.errors += told["errors"]
        self.diary.lost += told["lost"]


def run(address: Address, users: int, *, seconds: float, processes: int = 2, pause: float = 0.0) -> Outcome:
    """Let users work for some seconds, with pauses of so many seconds on average between two steps.

    Raises:
        RuntimeError: a process of users failed; what it said is in the message.
    """
    shares = [users // processes + (n < users % processes) for n in range(processes)]
    host, port = address
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crowd", host, str(port), "--users", str(share),
             "--first", str(sum(shares[:n])), "--seconds", str(seconds), "--pause", str(pause)],
            cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n, share in enumerate(shares)
    ]  # fmt: skip
    outcome = Outcome()
    for process in running:
        said, complaints = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"users failed:\n{complaints[-4000:]}")
        outcome.add(json.loads(said))
    return outcome


async def _live(options: argparse.Namespace) -> dict[str, Any]:
    diary = Diary()
    address = (options.host, options.port)
    start = time.monotonic()

    def goes_on(done: int) -> bool:
        if options.steps is not None:
            return bool(done < options.steps)
        return bool(time.monotonic() - start < options.seconds)

    await asyncio.gather(
        *(
            User(address, options.first + number, diary).live(
                goes_on, meddled=number < options.meddle, pause=options.pause
            )
            for number in range(options.users)
        )
    )
    return {"seconds": time.monotonic() - start, **asdict(diary)}


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first user; seeds what they do")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two steps, on average")
    parser.add_argument("--steps", type=int, help="steps of each user, in place of seconds")
    parser.add_argument(
        "--meddle", type=int, default=0, help="how many sessions are changed unknown to their user"
    )
    print(json.dumps(asyncio.run(_live(parser.parse_args()))))


if __name__ == "__main__":
    main()

"""Two machines with a standby each before one primary that can be taken away."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep.engines.base import Change, Head
from framekeep.engines.breaker import Breaker
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import StorageUnavailableError, TooFewReplicasError
from framekeep.frames import FrameCodec
from framekeep.names import Revision, Space
from framekeep.sessions import SessionBackend
from framekeep.standby import Replayer, StandbyEngine
from framekeep.testing import ManualClock

sys.path.insert(0, str(Path(__file__).parent))  # for ``scenes``


class Primary(MemoryEngine):
    """An engine that several machines reach, or do not; one that may do a thing and lose its reply.

    It knows past revisions, as an engine does whose replies may be lost.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.down = False
        self.lose = 0
        self.few = False  # whether no replica is there: changes are made, and not acknowledged
        self.fail_after: int | None = None
        self.past: dict[Space, tuple[Revision, ...]] = {}
        self.ever: dict[Space, tuple[Revision, ...]] = {}

    def _asked(self) -> None:
        if self.fail_after is not None:
            self.fail_after -= 1
            self.down = self.down or self.fail_after < 0
        if self.down:
            raise StorageUnavailableError("the primary is down")

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name == "load":

            def load(space: Space) -> Head | None:
                self._asked()
                head = found(space)
                return None if head is None else replace(head, past=self.past.get(space, ()))

            return load
        if name in ("stage", "touch", "read", "log", "spaces", "count", "purge"):

            def asked(*args: Any, **more: Any) -> Any:
                self._asked()
                return found(*args, **more)

            return asked
        return found

    def commit(self, space: Space, change: Change) -> None:
        self._asked()
        with self._lock:
            now = self._spaces().get(space)
            before = None if now is None else now.revision
        if change.revision in self.past.get(space, ()):
            return self._replicated()
        super().commit(space, change)
        if before is not None and before != change.revision:
            self.past[space] = (before, *self.past.get(space, ()))[:16]
            self.ever[space] = (before, *self.ever.get(space, ()))
        if self.lose:
            self.lose -= 1
            raise StorageUnavailableError("the reply was lost")
        return self._replicated()

    def discard(self, space: Space) -> bool:
        self._asked()
        gone = super().discard(space)
        self._replicated()
        return gone

    def earlier(self, space: Space) -> tuple[Revision, ...]:
        self._asked()
        return self.ever.get(space, ())

    def _replicated(self) -> None:
        if self.few:
            raise TooFewReplicasError("no replica has it")


@dataclass
class Machine:
    """One machine's view: its standby, its backend, and how its changes come back."""

    engine: StandbyEngine
    backend: SessionBackend
    replayer: Replayer

    def settled(self) -> None:
        self.engine.mirror.wait()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_800_000_000.0)


@pytest.fixture
def primary(clock: ManualClock) -> Primary:
    return Primary(clock)


@pytest.fixture
def machine(primary: Primary, clock: ManualClock, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Make a machine of that name; the same name again is another process of it."""
    made: list[Machine] = []

    def machine(name: str) -> Machine:
        guarded = GuardedEngine(
            primary,
            lambda part: Breaker(failures=2, cooldown=0.001, jitter=lambda: 0.0),
            retries=0,
            sleep=lambda seconds: None,
        )
        engine = StandbyEngine(guarded, tmp_path / name, limit_bytes=64 << 20, clock=clock)
        backend = SessionBackend(engine, FrameCodec(), clock=clock)
        replayer = Replayer(engine, FrameCodec(), clock=clock, earlier=primary.earlier)
        made.append(Machine(engine, backend, replayer))
        return made[-1]

    yield machine
    primary.down = False
    for each in made:
        each.replayer.close()
        each.engine.mirror.close()
        each.engine.local.close()


@pytest.fixture
def here(machine: Callable[[str], Machine]) -> Machine:
    return machine("here")


@pytest.fixture
def elsewhere(machine: Callable[[str], Machine]) -> Machine:
    return machine("elsewhere")


def frame(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value, 2, 3], "b": ["x", "y", None]})


def large() -> pd.DataFrame:
    """Return a frame whose parts go ahead of its commit."""
    big = pd.DataFrame({"x": pd.Series(range(3_000_000)).sample(frac=1.0, random_state=1).to_numpy()})
    big["y"] = big["x"] * 3 + 1
    big["z"] = big["x"].astype("float64").pow(0.5)
    return big


def values(backend: Any, session: str = "s", **more: Any) -> list[int]:
    return [int(value) for value in backend.get_dataframe(session, **more)["a"]]


def counts(backend: Any, *entries: str) -> list[int]:
    log = "\n".join(backend.get_audit_log("s"))
    return [log.count(entry) for entry in entries]


def brought_back(machine: Any) -> None:
    """Replay until nothing is left: breakers may be open for a moment."""
    deadline = time.monotonic() + 20.0
    while machine.engine.status()["pending"]:
        assert time.monotonic() < deadline
        with suppress(StorageUnavailableError):
            machine.replayer.replay()


@pytest.fixture
def session(here: Any, elsewhere: Any) -> str:
    """A session that both machines have mirrored."""
    here.backend.create_session("s", frame(1), "f.csv", 3600.0)
    elsewhere.backend.get_dataframe("s")
    here.settled()
    elsewhere.settled()
    return "s"

"""Two stores, and what goes from one to the other."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.connect import InMemoryBackend
from framekeep.engines.base import Change, Engine, Visit
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.frames import FrameCodec
from framekeep.migration.arrival import Arrival
from framekeep.migration.copying import Copying
from framekeep.migration.journal import Journal
from framekeep.migration.passes import migrate
from framekeep.migration.report import Outcome, Overwrite, Report
from framekeep.names import Buffer, Digest, Space, space
from framekeep.sessions import SessionBackend
from framekeep.sessions.parts import parts_of
from framekeep.testing import ManualClock
from framekeep.testing.faults import Passing


@dataclass
class Pair:
    """Two stores with one journal; ``there`` and ``back`` make a pass each."""

    one: Engine
    two: Engine
    journal: Path
    clock: ManualClock
    a: SessionBackend = field(init=False)
    b: SessionBackend = field(init=False)

    def __post_init__(self) -> None:
        self.a = SessionBackend(self.one, FrameCodec(), clock=self.clock)
        self.b = SessionBackend(self.two, FrameCodec(), clock=self.clock)

    def there(self, **options: Any) -> Report:
        return self.between(self.one, self.two, "two", **options)

    def back(self, **options: Any) -> Report:
        return self.between(self.two, self.one, "one", **options)

    def between(
        self,
        source: Engine,
        target: Engine,
        called: str,
        *,
        only: tuple[str, ...] = (),
        overwrite: Overwrite = Overwrite.OLDER,
        dry_run: bool = False,
        remember: bool = True,
    ) -> Report:
        path = self.journal if remember else None
        with Journal(path, between=("one", "two"), target=called, read_only=dry_run) as journal:
            origin = Copying(source)
            arrival = Arrival(target, journal, overwrite=overwrite, dry_run=dry_run)
            return migrate(origin, arrival, origin.spaces(only), asked=bool(only))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory to lmdb", "lmdb to memory", "lmdb to lmdb"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Pair]:
    kinds = request.param.split(" to ")

    def engine(kind: str, name: str) -> Engine:
        return MemoryEngine(clock=clock) if kind == "memory" else LmdbEngine(tmp_path / name, clock=clock)

    made = Pair(engine(kinds[0], "one"), engine(kinds[1], "two"), tmp_path / "journal", clock)
    yield made
    made.one.close()
    made.two.close()


@pytest.fixture
def memories(tmp_path: Path, clock: ManualClock) -> Pair:
    return Pair(MemoryEngine(clock=clock), MemoryEngine(clock=clock), tmp_path / "journal", clock)


def people(rows: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(rows)
    return pd.DataFrame({"name": [f"n{i}" for i in range(rows)], "age": rng.random(rows) * 90})


def outcomes(report: Report, kind: str = "session") -> dict[Outcome, int]:
    return {outcome: count for outcome, count in report.outcomes[kind].items() if count}


def everything(engine: Engine, space: str) -> tuple[Any, ...]:
    """Return head and log of a space."""
    head = engine.load(space)  # type: ignore[arg-type]
    assert head is not None
    return head.revision, head.body, tuple(engine.log(space))  # type: ignore[arg-type]


Legacy = Callable[..., Path]


@pytest.fixture
def legacy(tmp_path: Path) -> Legacy:
    """Write a session as the old application did; ``legacy("id", current, {1: frame}, meta)``."""
    root = tmp_path / "old"

    def write(
        id: str,
        current: object = None,
        versions: dict[int, object] | None = None,
        meta: object = None,
        pack: Callable[[object], bytes] = lambda frame: pickle.dumps(frame, protocol=5),
    ) -> Path:
        directory = root / "sessions" / id
        (directory / "versions").mkdir(parents=True, exist_ok=True)
        if current is not None:
            (directory / "current.pkl").write_bytes(current if isinstance(current, bytes) else pack(current))
        for number, frame in (versions or {}).items():
            (directory / "versions" / f"{number}.pkl").write_bytes(pack(frame))
        if meta is not None:
            text = meta if isinstance(meta, str) else json.dumps(meta)
            (directory / "meta.json").write_text(text)
        return root

    return write


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[InMemoryBackend]:
    made = InMemoryBackend(tmp_path / "new")
    yield made
    made.close()


def rich(pair: Pair, id: str = "s") -> None:
    """Make a session with versions on both sides of the cursor, marks, metadata and a log."""
    pair.a.create_session(id, people(), "people.csv", 3600)
    pair.a.commit_dataframe(id, people(4), "more")
    pair.a.commit_dataframe(id, people(5), "still more")
    pair.a.set_intentional_missing(id, "age", [1, 2], reason="not asked")
    pair.a.commit_dataframe(id, people(6), "too many")
    pair.a.undo(id)
    pair.a.update_metadata(id, {"who": "Ä", "n": [1, {"x": None}]})
    pair.a.add_audit_entry(id, "looked at")


class At(Passing):
    """Do something once, when a call of that name comes by, before it is passed on."""

    def __init__(self, inner: Engine, call: str, what: Callable[[], object]) -> None:
        super().__init__(inner)
        self._call, self._what = call, what

    def _now(self, call: str) -> None:
        if call == self._call:
            self._call = ""
            self._what()

    def commit(self, space: Space, change: Change) -> None:
        self._now("commit")
        super().commit(space, change)

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        self._now("stage")
        super().stage(space, blobs)

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        self._now("read")
        super().read(space, digests, visit)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        self._now("log")
        return super().log(space, start, stop)


def a_chunk(pair: Pair, id: str) -> Digest:
    name = space("session", id)
    head = pair.one.load(name)
    assert head is not None
    found = parts_of(pair.one, name, head.body).values()
    return next(part.digest for part in found if part.ref is not None and "column number" in part.where)


class Spoiling(Passing):
    """Store other bytes than were given, ``times`` times."""

    def __init__(self, inner: Engine, times: int) -> None:
        super().__init__(inner)
        self.times = times

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        if self.times > 0:
            self.times -= 1
            blobs = {digest: bytes(blob)[:-1] + b"\xff\x00" for digest, blob in blobs.items()}
        super().stage(space, blobs)

"""Random outages over two machines with two workers each: whatever was acknowledged is somewhere, and once.

On one server, with Sentinels and on a Cluster; with replicas, the outages are failovers, too, and what is
acknowledged is what REDIS_MIN_REPLICAS of them have.

What that means for each verb, when all is over and Redis holds everything:

- an audit entry: one line of the log has its token, be it as it was or marked as made during the outage;
- a commit or an edit: one line of the log says so; and where nobody undoes (a change behind an undo gives up
  what was undone, as ever), its state is the current one or that of a version;
- metadata: the key has its value;
- undo: the log has as many lines of undoing as were acknowledged, or more by those nobody knows of;
- a new session or temporary storage: it is there, with what it was made of; a deleted session is not.

A change that failed, or whose worker was killed, may be there once or not at all; never twice.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scenes import MACHINES, OnCluster, OneServer, WithSentinels, told_by

from framekeep import DataManager, Settings
from framekeep.connect import standby_directory
from framekeep.engines.lmdb import LmdbEngine
from framekeep.standby.markers import Markers
from framekeep.standby.merge import LABEL
from framekeep.standby.replay import kept
from framekeep.testing.redis_servers import until

PROGRAM = Path(__file__).parent / "programs" / "outage_workers.py"
SCENES: dict[str, type[OneServer | WithSentinels | OnCluster]] = {
    "one server": OneServer,
    "sentinels": WithSentinels,
    "cluster": OnCluster,
}
WORKERS = 2
PATIENCE = 90.0
PATIENT = {"redis_socket_timeout": 30.0, "redis_socket_connect_timeout": 30.0, "redis_wait_timeout": 20.0}


@dataclass
class Change:
    """What a client was at, and what it was told."""

    client: str
    verb: str
    session: str
    token: str
    outcome: str = "unknown"
    detail: Any = None

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass
class Told:
    """What the workers of a schedule wrote down."""

    changes: dict[str, Change] = field(default_factory=dict)
    back: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    done: int = 0

    def read(self, file: Path) -> None:
        if not file.exists():
            return
        whole, _, _ = file.read_bytes().rpartition(b"\n")
        for line in whole.splitlines():
            match json.loads(line):
                case ["begin", client, verb, session, token]:
                    self.changes[token] = Change(client, verb, session, token)
                case ["end", token, outcome, detail]:
                    self.changes[token].outcome, self.changes[token].detail = outcome, detail
                case ["back", counts]:
                    self.back.update(counts)
                case ["complaint", text]:
                    self.complaints.append(text)
                case ["done"]:
                    self.done += 1


@dataclass
class Figures:
    """What came of all schedules in a place."""

    place: str
    outages: Counter[str]
    schedules: int = 0
    acknowledged: int = 0
    failed: int = 0
    unknown: int = 0
    killed: int = 0
    kept: int = 0
    back: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        came = ", ".join(f"{count} {what}" for what, count in sorted(self.back.items()))
        errors = ", ".join(f"{count} {name}" for name, count in self.errors.most_common())
        outages = ", ".join(f"{count} {kind}" for kind, count in self.outages.most_common())
        return (
            f"{self.place}: {self.schedules} schedules with {self.outages.total()} outages ({outages}): "
            f"{self.acknowledged} changes acknowledged, {self.failed} calls failed ({errors}), "
            f"{self.unknown} unknown, {self.killed} workers killed; spaces back: {came}; "
            f"{self.kept} versions {LABEL}; 0 lost, 0 twice"
        )


class Stage:
    """A scene, what forks the workers of its machines, and what came of the schedules there."""

    def __init__(self, kind: str, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.scene = SCENES[kind](directory / "redis", stack)
        self.figures = Figures(kind, self.scene.happened)
        self._forks = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        stack.callback(self._end)

    def _end(self) -> None:
        self._forks.kill()
        self._forks.communicate()

    def fork(self, order: dict[str, Any]) -> int:
        stdin, stdout = self._forks.stdin, self._forks.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        return int(stdout.readline())


class Schedule:
    """One run: workers at work, outages and deaths at random, and the verdict."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.scene = stage, stage.scene
        self.dice = random.Random(f"outage {seed}")
        self.seed = seed
        self.prefix = f"p{secrets.token_hex(4)}"
        self.directory = stage.directory / f"schedule-{seed}"
        self.directory.mkdir()
        self.pids: dict[str, int] = {}
        self.files: dict[str, list[Path]] = {}
        self.lives = 0

    def settings(self, machine: str) -> dict[str, Any]:
        return {
            "redis_url": self.scene.url_of(machine),
            "redis_key_prefix": self.prefix,
            "storage_dir": str(self.stage.directory / machine),
            "breaker_failures": 3,
            "breaker_cooldown_seconds": 0.2,
            "max_versions": 100_000,
            "cache_mb": 16,
            **self.scene.settings(),
        }

    def run(self) -> None:
        settings = Settings(
            storage_backend="redis",
            _env_file=None,
            **{**self.settings("east"), "redis_url": self.scene.url, **PATIENT},
            storage_fallback_to_memory=False,
        )
        try:
            self.scene.settle()
            with DataManager(settings) as manager:
                first = pd.DataFrame({"stamp": ["first"] * 20, "n": range(20)})
                self.sessions = [manager.create_session(first) for _ in range(2)]
                self.homes = {name: [manager.create_session(first) for _ in range(2)] for name in MACHINES}
            for machine in MACHINES:
                for number in range(WORKERS):
                    self.start(f"{machine}-{number}")
            until(lambda: len(self.told().changes) > 40, "the workers begin")
            for _ in range(self.dice.randint(1, 3)):
                self.outage()
                time.sleep(self.dice.random() * 0.6)
            for file in self.current():
                Path(f"{file}.stop").touch()
            try:
                until(lambda: self.told().done == len(self.pids), "the workers finish", PATIENCE)
                self.scene.settle()
                until(lambda: not self.pending(), "all comes back", PATIENCE)
            except TimeoutError as error:
                raise TimeoutError(f"seed {self.seed}: {error}\n{self.stacks()}") from None
            with DataManager(settings) as manager:
                self.judge(manager)
        finally:
            for files in self.files.values():
                for file in files:
                    Path(f"{file}.stop").touch()
                    Path(f"{file}.end").touch()
            for pid in self.pids.values():
                until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "a worker ends")  # type: ignore[misc]

    # --- what happens ----------------------------------------------------------------------------

    def start(self, worker: str) -> None:
        self.lives += 1
        name = f"{worker}-{self.lives}"
        out = self.directory / name
        self.files.setdefault(worker, []).append(out)
        machine = worker.partition("-")[0]
        order = {
            "settings": self.settings(machine),
            "worker": name,
            "shared": self.sessions,
            "home": self.homes[machine],
            "seed": self.seed,
            "out": str(out),
            "own": f"{self.prefix}.",
        }
        self.pids[worker] = self.stage.fork(order)

    def kill(self) -> None:
        worker = self.dice.choice(sorted(self.pids))
        pid = self.pids[worker]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists(), "a killed worker is gone")
        self.stage.figures.killed += 1
        self.start(worker)

    def outage(self) -> None:
        """Take Redis away for a while; meanwhile or soon after, somebody may die."""
        deaths = self.dice.choice([0, 0, 1, 2])
        with self.scene.away(self.dice) as meanwhile:
            ends = time.monotonic() + self.dice.choice([0.05, 0.3, 1.0]) + self.dice.random() * 0.4
            while time.monotonic() < ends:
                time.sleep(0.05)
                if deaths and self.dice.random() < 0.2:
                    deaths -= 1
                    self.kill()
                meanwhile()
        if deaths and self.dice.random() < 0.5:
            time.sleep(self.dice.random() * 1.2)  # while it comes back
            self.kill()

    # --- what was said, and what is there ----------------------------------------------------------

    def current(self) -> list[Path]:
        return [files[-1] for files in self.files.values()]

    def told(self) -> Told:
        told = Told()
        for files in self.files.values():
            for file in files:
                told.read(file)
        return told

    def stacks(self) -> str:
        """Return what each server says, and what each worker is at, as far as it still lives."""
        told = [f"{told_by(server)}" for server in self.scene.servers] + self.told().complaints
        for worker, pid in self.pids.items():
            out = self.files[worker][-1]
            lines = out.read_text().splitlines()[-3:] if out.exists() else []
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGUSR1)
                time.sleep(0.5)
                stacks = Path(f"{out}.stacks")
                told.append(f"{out.name} {lines}:\n{stacks.read_text() if stacks.exists() else 'not begun'}")
            else:
                told.append(f"{out.name} {lines}: is dead")
        return "\n\n".join(told)

    def pending(self) -> int:
        found = 0
        for machine in MACHINES:
            with self.local(machine) as local:
                found += Markers(local, local.directory).count()
        return found

    def local(self, machine: str) -> Any:
        told = Settings(storage_backend="redis", _env_file=None, **self.settings(machine))
        return closing(LmdbEngine(standby_directory(told)))

    def judge(self, manager: DataManager) -> None:
        told = self.told()
        figures = self.stage.figures
        wrong: list[str] = [f"complaint: {text}" for text in told.complaints]
        for change in told.changes.values():
            if change.outcome == "wrong" or (change.outcome == "failed" and not change.detail[1]):
                wrong.append(f"{change}")
            if change.outcome == "failed":
                figures.errors[change.detail[0]] += 1
        by_session: dict[str, list[Change]] = {}
        for change in told.changes.values():
            by_session.setdefault(change.session, []).append(change)
        for session, changes in by_session.items():
            if not session.startswith("never-"):
                wrong += [f"{session}: {what}" for what in self.lost(manager, session, changes)]
        wrong += self.unlisted(manager)
        outcomes = Counter(change.outcome for change in told.changes.values() if change.verb != "read")
        figures.schedules += 1
        figures.acknowledged += outcomes["ok"]
        figures.failed += outcomes["failed"]
        figures.unknown += outcomes["unknown"]
        figures.back += told.back
        assert wrong == [], f"seed {self.seed}: {len(wrong)} wrong:\n" + "\n".join(wrong[:20])

    def unlisted(self, manager: DataManager) -> Iterator[str]:
        """Yield what is wrong with the list for the operator."""
        mine = {*self.sessions, *(session for home in self.homes.values() for session in home)}
        for machine in MACHINES:
            with self.local(machine) as local:
                records = [record for record in kept(local) if record.space.startswith("session:")]
            for record in records:
                session = record.space.removeprefix("session:")
                if session not in mine:
                    continue
                labelled = {
                    v["version_id"] for v in manager.get_history(session) if LABEL in v["action_summary"]
                }
                self.stage.figures.kept += len(record.versions)
                if session != self.sessions[-1] and not {*record.versions} <= labelled:
                    yield f"{record} names versions that are not labelled"

    def lost(self, manager: DataManager, session: str, changes: list[Change]) -> Iterator[str]:
        """Yield what is wrong with one session."""
        backend = manager.backend
        if changes[0].verb == "temp":
            [change] = changes
            if change.ok:
                [stamp] = set(backend.get_temp_storage(session)["sheets"]["one"]["stamp"])
                if stamp != change.token:
                    yield f"{change} is {stamp}"
            return
        ends = [change for change in changes if change.verb in ("delete", "again")]
        if not backend.session_exists(session):
            if not session.startswith(self.prefix) or (not ends and any(c.ok for c in changes)):
                yield f"it is gone, with {changes}"
            if any(c.verb == "again" and c.ok for c in ends):
                yield f"it was made again, and is gone: {ends}"
            return
        # One that was not acknowledged and is there counts as somebody else's: what it led to is not deleted.
        doubtful = any(
            c.outcome in ("failed", "unknown") and c.verb not in ("read", "again") for c in changes
        )
        if any(c.verb == "delete" and c.ok for c in ends) and not doubtful:
            yield f"it was deleted, and is there: {ends}"
        log = backend.get_audit_log(session)
        if ends:  # of what it was before, nothing has to be left
            changes = [c for c in ends if c.verb == "again"]
            if any(c.ok for c in changes) and len(log) != 1 and not doubtful:
                yield f"it was made again, and its log is {log}"
        states = {set_of(backend.get_dataframe(session))}
        states |= {
            set_of(backend.get_dataframe(session, version=v["version_id"]))
            for v in backend.get_history(session)
        }
        metadata = backend.get_metadata(session)
        lines = Counter(token for line in log for token in told_in(line))
        undone = sum("] Undid version" in line for line in log)
        for change in changes:
            match change.verb:
                case "audit" | "commit" | "edit":
                    count = lines[change.token]
                    if count > 1 or (change.ok and not count):
                        yield f"{change} is logged {count} times"
                    held = change.token in states or change.verb == "audit" or session == self.sessions[-1]
                    if change.ok and not held:
                        yield f"{change} is no version"
                case "metadata" if change.ok and metadata.get(change.token) != change.token:
                    yield f"{change} is not there"
                case "create" | "again" if change.ok and change.token not in states:
                    yield f"{change} has other data: {states}"
        undos = Counter(change.outcome for change in changes if change.verb == "undo")
        if not undos["ok"] <= undone <= undos["ok"] + undos["failed"] + undos["unknown"]:
            yield f"{undone} lines tell of undoing, of {undos}"
        if damage := backend.check(session):
            yield f"damaged: {damage}"


def set_of(frame: Any) -> str:
    [stamp] = set(frame["stamp"])
    return str(stamp)


def told_in(line: str) -> list[str]:
    """Return the token of the entry or version that a line of the log tells of."""
    return re.findall(r"\] entry <(.*)>$", line) + re.findall(r"\] Version \d+: <(.*)>\. Rows", line)


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(request.param, tmp_path, stack)


def each_of(*numbers: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("stage", "schedules"), list(zip(SCENES, numbers, strict=True)), indirect=["stage"], ids=list(SCENES)
    )


@pytest.mark.timeout(240)
@each_of(3, 1, 1)
def test_a_few_schedules(stage: Stage, schedules: int, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(schedules):
        Schedule(stage, seed).run()
    with capsys.disabled():
        print(f"\n{stage.figures}")


@pytest.mark.long
@pytest.mark.timeout(3600)
@each_of(60, 40, 40)
def test_many_schedules(stage: Stage, schedules: int, capsys: pytest.CaptureFixture[str]) -> None:
    first = int(os.environ.get("FRAMEKEEP_TEST_SEED", "1000"))
    for seed in range(first, first + int(os.environ.get("FRAMEKEEP_TEST_SCHEDULES", schedules))):
        Schedule(stage, seed).run()
        with capsys.disabled():
            print(f"\n{stage.figures}")

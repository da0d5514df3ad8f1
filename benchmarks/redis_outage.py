"""Rows about outages of Redis: what the standby costs while there is none, and what comes after one.

One ``valkey-server`` on this machine; it, the service's workers and the users share the processors, so what
the mirror takes of those is in every answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import pandas as pd
import psutil  # type: ignore[import-untyped]

from benchmarks import crowd
from benchmarks.arena import Arena
from benchmarks.line import SESSIONS, Address, Line, request
from benchmarks.redis_frames import served
from benchmarks.report import Bar, Row
from benchmarks.served import Served, serving
from benchmarks.timing import Figure
from benchmarks.user import ROWS, Diary, new_frame
from framekeep import DataManager, Settings
from framekeep.connect import RedisBackend
from framekeep.errors import BreakerOpenError, StorageUnavailableError
from framekeep.standby import Replayer, StandbyEngine
from framekeep.testing.redis_servers import Server, server, until

GROUP = "redis-outage"
WORKERS = 2
RECOVERED = 1000
COOLDOWN = 600.0
"""Seconds: a breaker that opens stays open while refused calls are timed."""

PAUSE = 0.25
"""Seconds between two steps of users who pause, on average: the processors are not saturated then."""
REST = 1.5
"""Seconds after a turn: longer than the mirror lets changes gather."""

MIRROR = Bar(1.10, relative=False)
REFUSED = Bar(5.0, relative=False)
NONE = Bar(0.0, relative=False)
CHANGE = "changed during the outage"


def outage(arena: Arena) -> None:
    """Measure the mirror's price, the return from an outage, and refused calls."""
    _service(arena)
    _recovery(arena)
    _refused(arena)


# --- in normal times ---------------------------------------------------------------------------------------


def _service(arena: Arena) -> None:
    """Let users work against two services on one Redis in turns, one with a standby; then take Redis away.

    The users do what they do in service-users, and the same in both. Each round has a turn of either, and
    begins with the other one; what is compared are the two turns of a round, so that what else the machine
    does is in both. Figures are medians of the rounds. After each turn the mirror does what it has left.
    """
    users = 4 if arena.quick else 20
    rounds = 2 if arena.quick else arena.effort
    seconds = 0.5 if arena.quick else 4.0
    with served(arena, "redis-outage") as running:
        common: dict[str, Any] = {
            "workers": WORKERS,
            "redis_enabled": True,
            "redis_url": running.url,
            "breaker_cooldown_seconds": COOLDOWN,
        }
        with (
            serving(
                arena.root / "outage-standby",
                storage_fallback_to_memory=True,
                redis_key_prefix="standby",
                **common,
            ) as standby,
            serving(
                arena.root / "outage-strict",
                storage_fallback_to_memory=False,
                redis_key_prefix="strict",
                **common,
            ) as strict,
        ):
            for service in (standby, strict):
                crowd.run(service.address, users, seconds=seconds / 4)  # what only the first ones pay
            for pause in (0.0, PAUSE):
                turns: dict[str, list[_Turn]] = {"standby": [], "strict": []}
                for number in range(rounds):
                    pair = [("standby", standby), ("strict", strict)]
                    for name, service in pair if number % 2 else reversed(pair):
                        turns[name].append(_turn(service, users, seconds, pause))
                complaints = standby.complaints() + strict.complaints()
                paused = f"pausing for {pause:g} s, " if pause else ""
                text = f"{users} users on {WORKERS} workers, {paused}{rounds} rounds of {seconds:g} s"
                _price(arena, text, turns["standby"], turns["strict"], complaints)
            refused = _refused_by_service(arena, running, strict.address)
    note = f"99 % within, in place of the median; {_told(refused)}"
    figure = _percentile_figure(refused)
    arena.add(Row(GROUP, "a refused request (503), breaker open, strict", 0, figure, bar=REFUSED, note=note))


@dataclass(frozen=True, slots=True)
class _Turn:
    """What came of one turn.

    Attributes:
        diary: what the users went through.
        rate: answers a second.
        cpu: milliseconds of processor time that the service took for an answer, its threads' included.
    """

    diary: Diary
    rate: float
    cpu: float

    def within(self, percent: int) -> float:
        """Return the milliseconds within which so many of all answers came, whatever the verb."""
        return _percentile([each for took in self.diary.samples.values() for each in took], percent)


def _turn(service: Served, users: int, seconds: float, pause: float) -> _Turn:
    before = _processor_time(service)
    outcome = crowd.run(service.address, users, seconds=seconds, pause=pause)
    time.sleep(REST)
    spent = (_processor_time(service) - before) * 1e3
    return _Turn(outcome.diary, outcome.requests / outcome.seconds, spent / outcome.requests)


def _processor_time(service: Served) -> float:
    root = psutil.Process(service.process.pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def _price(arena: Arena, text: str, ours: list[_Turn], base: list[_Turn], complaints: list[str]) -> None:
    diaries = [turn.diary for turn in (*ours, *base)]
    for what, found in (
        ("errors", [line for diary in diaries for line in diary.errors] + complaints),
        ("lost edits", [line for diary in diaries for line in diary.lost]),
    ):
        note = "; ".join(line[:200] for line in found[:3])
        figure = Figure.of([len(found)], what)
        arena.add(Row(GROUP, f"{text}: {what}", ROWS, figure, bar=NONE, note=note))
    measures: tuple[tuple[str, str, Callable[[_Turn], float], Bar | None], ...] = (
        ("half of all answers within", "ms", lambda turn: turn.within(50), MIRROR),
        ("95 % of all answers within", "ms", lambda turn: turn.within(95), None),
        ("answers", "a second", lambda turn: turn.rate, None),
        ("the service's processor time for an answer", "ms", lambda turn: turn.cpu, None),
    )
    for what, unit, measure, bar in measures:
        pairs = [(measure(one), measure(other)) for one, other in zip(ours, base, strict=True)]
        ratios = [one / other for one, other in pairs]
        mirrored, strict = median(one for one, _ in pairs), median(other for _, other in pairs)
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        note = (
            f"median of the rounds' ratios, half of them from {low:.2f} to {high:.2f}; "
            f"mirrored {mirrored:,.2f}, strict {strict:,.2f} {unit}"
        )
        figure = Figure.of(ratios, "x strict")
        arena.add(Row(GROUP, f"{text}, mirrored: {what}", ROWS, figure, bar=bar, note=note))


# --- coming back -------------------------------------------------------------------------------------------


def _recovery(arena: Arena) -> None:
    """Change sessions once each while Redis is away, and time how they come back.

    The time begins when Redis answers again and has two parts: until the breaker tries it (it does by itself,
    within twice BREAKER_COOLDOWN_SECONDS), and the replay.
    """
    number = 20 if arena.quick else RECOVERED
    with server(arena.root / "redis-recovery", config={"appendonly": "yes"}) as running:
        with closing(_manager(arena, running, "recovery", standby=True)) as manager:
            backend = manager.backend
            assert isinstance(backend, RedisBackend)
            engine = backend.engine
            assert isinstance(engine, StandbyEngine)
            assert backend.replayer is not None
            backend.replayer.close()  # what is timed is one that is asked, not one that looks every second
            sessions = [manager.create_session(_frame(n), f"{n}.csv") for n in range(number)]
            engine.mirror.wait()
            running.stop()
            start = perf_counter()
            for n, session in enumerate(sessions):
                manager.commit_dataframe(session, _changed(n), CHANGE)
                manager.add_audit_entry(session, CHANGE)
            local = Figure.of([(perf_counter() - start) * 1e3 / number])
            if manager.storage_state() != ("standby", "outage") or engine.status()["pending"] != number:
                raise RuntimeError(f"no outage: {manager.storage_state()}, {engine.status()}")
            running.start()
            waited, took, steps, lines = _replayed(manager, engine, number)
        wrong = _wrong(arena, running, sessions)
    text = f"{number:,} sessions changed during an outage"
    seconds = Figure.of([took], "s")
    progress = f"{len(steps):,} steps told, {len(lines)} lines logged" + (f": {lines[-1]}" if lines else "")
    arena.add(Row(GROUP, f"{text}: the two changes of one", ROWS, local))
    arena.add(Row(GROUP, f"{text}: all back", ROWS, seconds, note=progress))
    rate = Figure.of([number / took], "a second")
    arena.add(Row(GROUP, f"{text}: back", ROWS, rate))
    whole = Figure.of([waited + took], "s")
    note = f"of which {waited:.1f} s until the breaker lets Redis be tried"
    arena.add(Row(GROUP, f"{text}: from Redis answering to normal", ROWS, whole, note=note))
    figure = Figure.of([len(wrong)], "errors")
    arena.add(Row(GROUP, f"{text}: wrong", ROWS, figure, bar=NONE, note="; ".join(wrong[:3])))


def _replayed(
    manager: DataManager, engine: StandbyEngine, number: int
) -> tuple[float, float, list[tuple[int, int]], list[str]]:
    """Return seconds until the replay began and that it took, the steps it told, and the lines it logged."""
    steps: list[tuple[int, int]] = []
    first = engine.markers.all()[0].space

    def tried() -> bool:
        with suppress(StorageUnavailableError):  # the breaker is still open
            engine.primary.load(first)
            return True
        return False

    answering = perf_counter()
    until(tried, "the breaker does not let Redis be tried")
    start = perf_counter()
    with _logged("framekeep", "brought back") as lines:
        Replayer(engine, manager.backend.codec).replay(lambda done, of: steps.append((done, of)))
        if manager.storage_state() != ("standby", "normal"):
            raise RuntimeError(f"not back: {manager.storage_state()}, {engine.status()}")
        took = perf_counter() - start
    if steps != [(done, number) for done in range(1, number + 1)]:
        raise RuntimeError(f"it told {steps[-1:]} last, not {number} of {number}")
    return start - answering, took, steps, lines


def _wrong(arena: Arena, running: Server, sessions: list[str]) -> list[str]:
    """Return what is not right with the sessions, as another machine finds them in Redis."""
    wrong = []
    with closing(_manager(arena, running, "elsewhere", standby=False)) as manager:
        for n, session in enumerate(sessions):
            history = manager.get_history(session)
            log = manager.get_audit_log(session)
            if not manager.get_dataframe(session).equals(_changed(n)):
                wrong.append(f"{n}: the frame")
            if not manager.get_dataframe(session, version=history[0]["version_id"]).equals(_frame(n)):
                wrong.append(f"{n}: the version")
            if len(history) != 1 or sum(CHANGE in line for line in log) != 2:
                wrong.append(f"{n}: {len(history)} versions, log {log}")
    return wrong


# --- while it is away --------------------------------------------------------------------------------------


def _refused(arena: Arena) -> None:
    """Time calls that are refused because the breaker is open."""
    number = 50 * arena.effort
    with (
        served(arena, "redis-refused") as running,
        closing(_manager(arena, running, "refused", standby=False)) as manager,
    ):
        session = manager.create_session(_frame(0), "refused.csv")
        held = manager.get_dataframe(session, copy=True)
        running.stop()
        calls: dict[str, Callable[[], object]] = {
            "get_dataframe": lambda: manager.get_dataframe(session),
            "commit_dataframe": lambda: manager.commit_dataframe(session, held, CHANGE),
            "lock": lambda: manager.lock("refused").__enter__(),
        }
        while not _is_refused(calls["get_dataframe"]):
            pass
        found = {name: [_unavailable(call) for _ in range(number)] for name, call in calls.items()}
    for name, took in found.items():
        note = f"99 % within, in place of the median; {_told(took)}"
        text = f"a refused {name}, breaker open, strict"
        arena.add(Row(GROUP, text, ROWS, _percentile_figure(took), bar=REFUSED, note=note))


def _is_refused(call: Callable[[], object]) -> bool:
    """Say whether a call is refused without asking Redis."""
    try:
        call()
    except BreakerOpenError:
        return True
    except StorageUnavailableError:
        return False
    raise RuntimeError("Redis is there")


def _unavailable(call: Callable[[], object]) -> float:
    start = perf_counter()
    try:
        call()
    except StorageUnavailableError:
        return (perf_counter() - start) * 1e3
    raise RuntimeError("a call was answered although there is no server")


def _refused_by_service(arena: Arena, running: Server, address: Address) -> list[float]:
    """Stop Redis, and time requests to the one worker that a connection comes to."""
    running.stop()
    asked = request("GET", f"{SESSIONS}/{'0' * 32}/data")
    with Line(address) as line:
        until(lambda: b"left alone" in line.ask(asked).expect(503).body, "the breaker does not open")
        found = []
        for _ in range(50 * arena.effort):
            start = perf_counter()
            line.ask(asked).expect(503)
            found.append((perf_counter() - start) * 1e3)
    return found


# --- what all of them need ---------------------------------------------------------------------------------


def _manager(arena: Arena, running: Server, name: str, *, standby: bool) -> DataManager:
    return DataManager(
        Settings(
            storage_dir=arena.root / f"outage-{name}",
            redis_enabled=True,
            redis_url=running.url,
            storage_fallback_to_memory=standby,
            **({} if standby else {"breaker_cooldown_seconds": COOLDOWN}),
        )
    )


def _frame(number: int) -> pd.DataFrame:
    return new_frame(number)


def _changed(number: int) -> pd.DataFrame:
    return _frame(number).assign(total=float(number))


@contextmanager
def _logged(name: str, wanted: str) -> Iterator[list[str]]:
    """Collect the lines of a logger that have some text in them, for the block."""
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if wanted in (text := record.getMessage()):
                lines.append(text)

    logger, handler = logging.getLogger(name), Collecting()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _percentile(took: list[float], percent: int) -> float:
    return quantiles(took, n=100, method="inclusive")[percent - 1] if len(took) > 1 else took[0]


def _percentile_figure(took: list[float]) -> Figure:
    return Figure(_percentile(took, 99), min(took), max(took), len(took))


def _told(took: list[float]) -> str:
    return f"half within {_percentile(took, 50):.2f} ms, the longest {max(took):.2f} ms, {len(took):,} calls"

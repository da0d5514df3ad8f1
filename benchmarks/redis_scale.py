"""Rows about many sessions in Redis: no verb takes longer because others are there.

Two servers of the same kind: one with few sessions, one with very many and, beside them, keys that are not
Framekeep's. Each verb is timed on both in turns, in a session of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from statistics import quantiles
from time import perf_counter
from typing import Any

import pandas as pd

from benchmarks.arena import Arena
from benchmarks.child import settings
from benchmarks.frames import mixed
from benchmarks.line import request
from benchmarks.redis_frames import SESSION, TTL, options_of
from benchmarks.report import Bar, Row
from benchmarks.served import PROJECT, serving
from benchmarks.timing import Competitor, Figure, race
from framekeep.connect import RedisBackend, codec_for
from framekeep.engines.base import Change, blobs
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.frames import FrameCodec
from framekeep.names import Digest, new_revision, space
from framekeep.testing.redis_servers import Server, server

ROWS = 1_000
FEW, MANY, FOREIGN = 100, 100_000, 1_000_000
MANY_QUICK, FOREIGN_QUICK = 1_000, 10_000
FILLERS = 2
PAGE = 100
COPIED = "copied"

BAR = Bar(1.2)
LISTED = 20.0  # milliseconds within which GET / answers 95 times of 100

_seeds = count(1)


def scale(arena: Arena) -> None:
    """Measure each verb among few sessions and among very many, beside foreign keys."""
    rows = min(ROWS, arena.sizes[0])
    many, foreign = (MANY_QUICK, FOREIGN_QUICK) if arena.quick else (MANY, FOREIGN)
    with (
        _filled(arena, "redis-few", rows, FEW, 0) as few,
        _filled(arena, "redis-many", rows, many, foreign) as full,
    ):
        _verbs(arena, rows, few, full, f"among {many:,} sessions and {foreign:,} other keys")
        _front(arena, few, full, f"{many:,} sessions")


@contextmanager
def _filled(arena: Arena, name: str, rows: int, sessions: int, foreign: int) -> Iterator[Server]:
    """Run a server with so many sessions, and keys that are not ours, for the block."""
    with server(arena.root / name, config={"enable-debug-command": "yes"}) as running:
        with closing(_backend(arena, running)) as backend:
            backend.create_session(SESSION, mixed(rows), "mixed.csv", TTL)
            backend.create_session(COPIED, pd.DataFrame({"a": range(10)}), "copied.csv", TTL)
        if foreign:
            with running.client(socket_timeout=600.0) as client:
                client.execute_command("DEBUG", "POPULATE", foreign, "foreign", 16)
        _fill_with_processes(running.url, sessions - 2)
        with closing(_backend(arena, running)) as backend:
            found = backend.get_active_sessions_count()
        if found != sessions:
            raise RuntimeError(f"there are {found} sessions, not {sessions}")
        yield running


def _fill_with_processes(url: str, sessions: int) -> None:
    share = -(-sessions // FILLERS) if sessions > FEW else sessions
    command = [sys.executable, "-m", "benchmarks.redis_scale", url]
    fillers = [
        subprocess.Popen(
            [*command, str(first), str(min(share, sessions - first))], cwd=PROJECT, stderr=subprocess.PIPE
        )
        for first in range(0, sessions, share)
    ]
    for filler in fillers:
        _, complaints = filler.communicate()
        if filler.returncode != 0:
            raise RuntimeError(f"the server could not be filled:\n{complaints.decode()[-4000:]}")


def _backend(arena: Arena, running: Server) -> RedisBackend:
    """Return a backend that caches no frames: each verb asks Redis for all it needs."""
    codec = codec_for(settings(arena.store, cache_mb=0))
    return RedisBackend(RedisEngine(options_of(running)), codec=codec)


def _fill(url: str, first: int, number: int) -> None:
    """Commit copies of a small session: all their keys are as if each had been uploaded."""
    with closing(RedisEngine(RedisOptions(url, socket_timeout=60.0))) as engine:
        name = space("session", COPIED)
        head = engine.load(name)
        assert head is not None
        codec = FrameCodec()
        with closing(RedisBackend(engine, codec=codec)) as backend:
            loaded = backend._heads.load(COPIED).session
            digests: list[Digest] = sorted(backend._heads.source(COPIED).live(loaded.timeline))
            parts = dict(zip(digests, blobs(engine, name, digests), strict=True))
            log = engine.log(name)
            for n in range(first, first + number):
                change = Change(None, new_revision(), head.body, parts, log=log, ttl=TTL)
                engine.commit(space("session", f"filler-{n}"), change)


def _verbs(arena: Arena, rows: int, few: Server, full: Server, where: str) -> None:
    with ExitStack() as stack:
        backends = {
            name: stack.enter_context(closing(_backend(arena, running)))
            for name, running in (("few", few), ("many", full))
        }
        frame = mixed(rows)
        for verb in _competitors(backends["few"], frame):
            competitors = [
                Competitor(name, found.run, found.prepare, found.restore)
                for name, backend in backends.items()
                for found in _competitors(backend, frame)
                if found.name == verb.name
            ]
            figures = race(competitors, arena.effort * 5)
            ours, base = figures["many"], figures["few"]
            text, against = f"{verb.name}, {where}", f"among {FEW} sessions"
            arena.add(Row("redis-scale", text, rows, ours, base, against, BAR))


def _competitors(backend: RedisBackend, frame: pd.DataFrame) -> list[Competitor]:
    """Return the verbs; each leaves the session as the next run needs it."""

    def made(_: int) -> str:
        session = f"made-{next(_seeds)}"
        backend.create_session(session, frame, "made.csv", TTL)
        return session

    def edit(value: Any) -> None:
        with backend.edit(SESSION, "edit") as handed:
            handed["f0"] = value

    def create(session: Any) -> Any:
        backend.create_session(session, frame, "made.csv", TTL)
        return session

    def page(place: Any) -> object:
        return backend.get_page(SESSION, place, PAGE)

    def checkpoint(_: int) -> object:
        return backend.checkpoint(SESSION, "checkpoint")

    last = max(1, len(frame) - PAGE)
    plain: dict[str, Callable[[Any], object]] = {
        "get_dataframe": lambda _: backend.get_dataframe(SESSION),
        "get_metadata": lambda _: backend.get_metadata(SESSION),
        "get_active_sessions_count": lambda _: backend.get_active_sessions_count(),
        "session_exists": lambda _: backend.session_exists(SESSION),
    }
    return [
        *(Competitor(name, run) for name, run in plain.items()),
        Competitor(f"page of {PAGE} rows", page, lambda number: number * (PAGE + 1) % last),
        Competitor("edit of one column", edit, lambda _: float(next(_seeds))),
        Competitor("undo", lambda _: backend.undo(SESSION), checkpoint),
        Competitor("add_audit_entry", lambda _: backend.add_audit_entry(SESSION, "entry")),
        Competitor("create_session", create, lambda _: f"made-{next(_seeds)}", backend.delete_session),
        Competitor("delete_session", backend.delete_session, made),
    ]


def _front(arena: Arena, few: Server, full: Server, where: str) -> None:
    """Measure ``GET /``, which counts the sessions: the 95th percentile in place of the median."""
    took: dict[str, list[float]] = {}
    for name, running in (("few", few), ("many", full)):
        given = {"storage_backend": "redis", "redis_url": running.url, "storage_fallback_to_memory": "false"}
        with serving(arena.root / f"service-{name}", **given) as service, service.line() as line:
            took[name] = []
            for number in range(-20, arena.effort * 50):
                start = perf_counter()
                line.ask(request("GET", "/")).expect(200)
                if number >= 0:
                    took[name].append((perf_counter() - start) * 1e3)
    figures = {name: _figure(found) for name, found in took.items()}
    bar = Bar(LISTED, relative=False)
    against = f"{FEW} sessions"
    text = f"GET /, 95 % within, {where}"
    arena.add(Row("redis-scale", text, 0, figures["many"], figures["few"], against, bar))


def _figure(took: list[float]) -> Figure:
    return Figure(quantiles(took, n=100, method="inclusive")[94], min(took), max(took), len(took))


if __name__ == "__main__":
    _fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

"""Rows about one session in Redis, beside whole frames in the same Redis.

One thread asks one ``valkey-server`` on this machine that saves nothing, so a round trip is as short as it
ever gets: over a network, whoever moves more bytes or asks more often loses more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pandas as pd
import redis

from benchmarks.arena import Arena
from benchmarks.child import settings
from benchmarks.frames import replacement
from benchmarks.redis_baseline import WholeFrames
from benchmarks.report import Bar, Floor, Row
from benchmarks.timing import Competitor, Figure, race
from framekeep.connect import RedisBackend, codec_for
from framekeep.engines.base import Visit
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.engines.redis_keys import Keys
from framekeep.engines.redis_topology import Topology
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Space, space
from framekeep.testing.redis_servers import Server, server

SESSION = "measured"
TTL = 3600.0
STEPS = 5
"""As many as there are versions."""
PATIENCE = 60.0
"""Seconds to wait for a reply: a string of 350 MB takes more than the default on a busy machine."""

PLAIN = "whole frames"
BEST = "whole frames at their best"

_seeds = count(1)


@dataclass(frozen=True, slots=True)
class Ground:
    """One server with a session in it, by both designs.

    Attributes:
        arena: what is measured there.
        rows: of the session's frame.
        frame: that frame.
        options: how the server is reached, by all.
        client: redis-py's, with the same options as the engine's own.
        engine: Framekeep's, connected.
        backend: on that engine; its caches fill as they do in a service.
        whole: the design of whole frames.
        best: the same, as good as it can be.
    """

    arena: Arena
    rows: int
    frame: pd.DataFrame
    options: RedisOptions
    client: redis.Redis
    engine: RedisEngine
    backend: RedisBackend
    whole: WholeFrames
    best: WholeFrames

    def codec(self) -> FrameCodec:
        """Return a codec that has nothing cached."""
        return codec_for(settings(self.arena.store))

    def add(
        self,
        operation: str,
        figure: Figure,
        base: Figure,
        against: str,
        bar: Bar | None = None,
        limit: Floor | None = None,
    ) -> None:
        """Add a row with a ratio."""
        self.arena.add(Row("redis-frames", operation, self.rows, figure, base, against, bar, limit))


@contextmanager
def served(arena: Arena, name: str) -> Iterator[Server]:
    """Run a server for the block, in a directory of its own."""
    with server(arena.root / name) as running:
        yield running


def options_of(running: Server) -> RedisOptions:
    """Return how a server is reached by what is measured."""
    return RedisOptions(running.url, socket_timeout=PATIENCE)


def bare_client(options: RedisOptions) -> redis.Redis:
    """Return a client of redis-py with the very options that the engine gives to its own."""
    client = Topology(options).client
    assert isinstance(client, redis.Redis)
    return client


def frames(arena: Arena, rows: int) -> None:
    """Measure all verbs on a frame of this size, in a session of its own."""
    with served(arena, f"redis-{rows}") as running:
        options = options_of(running)
        client = bare_client(options)
        engine = RedisEngine(options)
        whole, best = WholeFrames(client), WholeFrames(client, at_best=True)
        frame = arena.frame(rows)
        with closing(RedisBackend(engine, codec=codec_for(settings(arena.store)))) as backend:
            ground = Ground(arena, rows, frame, options, client, engine, backend, whole, best)
            backend.create_session(SESSION, frame, "mixed.csv", TTL)
            whole.create(SESSION, frame)
            for design in (backend.get_dataframe, whole.get):
                pd.testing.assert_frame_equal(design(SESSION), frame)
            _warm(ground)
            _cold(ground)
            _create(ground)
            _bytes_held(ground)
            _edit(ground)
            _undo(ground)
        client.close()


def _warm(ground: Ground) -> None:
    """Measure a read by a process that has read the session, beside two PINGs and a copy of the frame."""
    backend, client = ground.backend, ground.client
    held = backend.get_dataframe(SESSION, copy=True)

    def bare(_: object) -> pd.DataFrame:
        client.ping()
        client.ping()
        return held.copy(deep=True)

    figures = race(
        [
            Competitor("get", lambda _: backend.get_dataframe(SESSION)),
            Competitor("copy", lambda _: backend.get_dataframe(SESSION, copy=True)),
            Competitor("bare", bare),
            Competitor("ping", lambda _: client.ping()),
            Competitor("whole", lambda _: ground.whole.get(SESSION), rounds=_few(ground)),
        ],
        ground.arena.rounds(ground.rows) * 2,
    )
    bar = Bar(1.0) if _small(ground) else None
    floor, base = figures["bare"], "two PINGs + df.copy()"
    ground.add("get_dataframe, warm (copy-on-write)", figures["get"], floor, base, bar)
    ground.add("get_dataframe(copy=True), warm", figures["copy"], floor, base, bar)
    ground.add("get_dataframe, warm (copy-on-write)", figures["get"], figures["whole"], f"{PLAIN}: get")
    ground.arena.add(Row("redis-frames", "for comparison: one PING", ground.rows, figures["ping"]))


def _cold(ground: Ground) -> None:
    """Measure a read with nothing cached, beside one GET of as many bytes and decoding chunks in memory."""
    key = Keys("framekeep").of(space("session", SESSION)).blobs
    kept: dict[Any, Any] = ground.client.hgetall(key)
    size = sum(len(blob) for blob in kept.values())
    ground.client.set("string", bytes(size), ex=int(TTL))
    manifest = ground.backend.codec.manifest(_reader(kept), _newest(ground))

    def ours(_: object) -> pd.DataFrame:
        return RedisBackend(ground.engine, codec=ground.codec()).get_dataframe(SESSION)

    def decoded(_: object) -> pd.DataFrame:
        codec = ground.codec()
        return codec.decode(_reader(kept), codec.manifest(_reader(kept), manifest.digest))

    def bare(_: object) -> pd.DataFrame:
        ground.client.get("string")
        return decoded(None)

    pd.testing.assert_frame_equal(ours(None), ground.frame)
    figures = race(
        [
            Competitor("ours", ours),
            Competitor("bare", bare),
            Competitor("string", lambda _: ground.client.get("string")),
            Competitor("decoded", decoded),
            Competitor("whole", lambda _: ground.whole.get(SESSION)),
        ],
        ground.arena.rounds(ground.rows, heavy=True),
    )
    ground.client.unlink("string")
    text, bar = "get_dataframe, nothing cached", Bar(1.5) if _small(ground) else None
    against = f"GET of a string of {size / 1e6:,.1f} MB + decode of chunks in memory"
    ground.add(text, figures["ours"], figures["bare"], against, bar)
    ground.add(text, figures["ours"], figures["whole"], f"{PLAIN}: get")
    for name, what in (("string", "that GET alone"), ("decoded", "that decode alone")):
        ground.arena.add(Row("redis-frames", f"for comparison: {what}", ground.rows, figures[name]))


def _create(ground: Ground) -> None:
    """Measure storing a frame that nothing is known of."""
    backend = ground.backend

    def fresh(_: int) -> pd.DataFrame:
        return ground.frame.copy(deep=True)

    figures = race(
        [
            Competitor(
                "ours",
                lambda frame: backend.create_session("new", frame, "mixed.csv", TTL),
                fresh,
                lambda _: backend.delete_session("new"),
            ),
            Competitor(
                "whole",
                lambda frame: ground.whole.create("new", frame),
                fresh,
                lambda _: ground.whole.delete("new"),
            ),
        ],
        ground.arena.rounds(ground.rows, heavy=True),
    )
    bar = Bar(1.2) if _small(ground) else None
    ground.add("create_session", figures["ours"], figures["whole"], f"{PLAIN}: create", bar)


def _bytes_held(ground: Ground) -> None:
    """Measure what Redis says that the session's keys take, after five versions and after one state."""
    keys = Keys("framekeep").of(space("session", SESSION))
    ours = [keys.head, keys.blobs, keys.log]
    before = _usage(ground.client, ours)
    whole_before = _usage(ground.client, ground.whole.keys(SESSION))
    current = ground.frame
    for seed, column in enumerate(("f0", "f1", "f3", "f4", "f6")):
        values = replacement("f", ground.rows, seed=seed)
        with ground.backend.edit(SESSION, f"new {column}") as frame:
            frame[column] = values
        changed = current.copy(deep=False)
        changed[column] = values
        ground.whole.edit(SESSION, current, changed, f"new {column}")
        current = changed
    pd.testing.assert_frame_equal(ground.backend.get_dataframe(SESSION), current)
    pd.testing.assert_frame_equal(ground.whole.get(SESSION), current)
    if len(ground.backend.get_history(SESSION)) != 5:
        raise RuntimeError("five versions wanted")
    bar = Bar(1.2)
    cases = (
        ("bytes in Redis after 5 versions, five float columns", before, _usage(ground.client, ours), bar),
        (
            f"for comparison: {PLAIN} after 5 versions",
            whole_before,
            _usage(ground.client, ground.whole.keys(SESSION)),
            None,
        ),
    )
    for text, one, after, limit in cases:
        ground.add(text, Figure.of([after / 1e6], "MB"), Figure.of([one / 1e6], "MB"), "one state", limit)


def _edit(ground: Ground) -> None:
    """Measure one changed column; sessions hold five versions already, so each run drops the oldest.

    Whole frames are given the frame before, and are not charged for reading it; ``edit()`` is.
    """
    backend, whole, best = ground.backend, ground.whole, ground.best

    def values(_: int) -> Any:
        return replacement("f", ground.rows, seed=next(_seeds))

    def changed(_: int) -> pd.DataFrame:
        after = ground.frame.copy(deep=True)
        after["f0"] = values(0)
        return after

    def assign(new: Any) -> None:
        with backend.edit(SESSION, "new values") as frame:
            frame["f0"] = new

    few = _few(ground)
    ours = [
        Competitor("edit", assign, values),
        Competitor("commit", lambda after: backend.commit_dataframe(SESSION, after, "new values"), changed),
    ]
    race(ours, 3)
    figures = race(
        [
            *ours,
            Competitor(
                "whole",
                lambda after: whole.edit(SESSION, ground.frame, after, "new values"),
                changed,
                rounds=few,
            ),
            Competitor(
                "best",
                lambda after: best.edit(SESSION, ground.frame, after, "new values"),
                changed,
                rounds=few,
            ),
        ],
        ground.arena.rounds(ground.rows),
    )
    edit, commit = 'edit(): df["f0"] = values', "commit_dataframe, a frame the user built"
    bar = Bar(1 / 4) if ground.rows < 1_000_000 else Bar(1 / 20)
    ground.add(edit, figures["edit"], figures["whole"], f"{PLAIN}: SET version + SET current", bar)
    ground.add(edit, figures["edit"], figures["best"], f"{BEST}: COPY + SET current")
    ground.add(commit, figures["commit"], figures["whole"], f"{PLAIN}: SET version + SET current")


def _undo(ground: Ground) -> None:
    """Measure undo, without the frame and with it: like beside like."""
    backend, whole, best = ground.backend, ground.whole, ground.best

    def back_by(name: str, design: WholeFrames, verb: Any) -> Competitor:
        def prepare(_: int) -> None:
            design.checkpoint(SESSION)

        return Competitor(name, lambda _: verb(SESSION), prepare, rounds=_few(ground))

    def on(_: object) -> None:
        backend.redo(SESSION)

    def all_on(_: object) -> None:
        for _ in range(STEPS):
            on(_)

    def steps(verb: Any) -> None:
        for _ in range(STEPS):
            verb(SESSION)

    def checkpoints(_: int) -> None:
        for _ in range(STEPS):
            whole.checkpoint(SESSION)

    figures = race(
        [
            Competitor("head", lambda _: backend.undo(SESSION), restore=on),
            Competitor("frame", lambda _: backend.undo_last_change(SESSION), restore=on),
            Competitor("frames", lambda _: steps(backend.undo_last_change), restore=all_on),
            Competitor(
                "whole frames", lambda _: steps(whole.undo_with_frame), checkpoints, rounds=_few(ground)
            ),
            back_by("whole", whole, whole.undo),
            back_by("whole frame", whole, whole.undo_with_frame),
            back_by("best", best, best.undo),
            Competitor("ping", lambda _: ground.client.ping()),
        ],
        ground.arena.effort * 2,
    )
    bar = Bar(1 / 10) if ground.rows < 1_000_000 else Bar(1 / 100)
    head, both = "undo, moving the head", "undo_last_change: undo, and the frame"
    limit = Floor("two PINGs: load, commit", 2 * figures["ping"].median)
    text = f"{PLAIN}: GET version + SET current"
    # The verb of the protocol returns the frame, so that is what is compared.
    ground.add(both, figures["frame"], figures["whole frame"], f"{text} + decode", bar, limit)
    row = f"{both}, {STEPS} in a row"
    ground.add(row, figures["frames"], figures["whole frames"], f"{text} + decode", bar)
    ground.add(head, figures["head"], figures["whole frame"], f"{text} + decode")
    ground.add(head, figures["head"], figures["whole"], text)
    ground.add(head, figures["head"], figures["best"], f"{BEST}: RENAME, no frame")


def _reader(kept: dict[Any, Any]) -> Any:
    """Return a reader of chunks that are in this process's memory already."""

    def read(digests: list[Digest], visit: Visit) -> None:
        for i, digest in enumerate(digests):
            visit(i, memoryview(kept[digest]))

    return read


def _newest(ground: Ground) -> Digest:
    head = ground.engine.load(Space(f"session:{SESSION}"))
    assert head is not None
    from framekeep.sessions.head import Session

    return Session.decode(head.body).timeline.current.frame


def _usage(client: redis.Redis, keys: list[str]) -> int:
    """Return the bytes that the keys take, exactly (every field is counted)."""
    return sum(int(client.memory_usage(key, samples=0) or 0) for key in keys)


def _small(ground: Ground) -> bool:
    return ground.rows < 1_000_000


def _few(ground: Ground) -> int:
    return ground.arena.rounds(ground.rows, heavy=True)

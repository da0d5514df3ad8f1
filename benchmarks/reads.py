"""Rows about reading: warm, first in a process, by page."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]

from benchmarks import child
from benchmarks.arena import Arena
from benchmarks.child import settings
from benchmarks.report import Bar, Floor, Row
from benchmarks.timing import Competitor, Figure, race
from framekeep import DataManager

PAGE = 100
CHUNK = 65_536


def warm(arena: Arena, rows: int) -> None:
    """Measure ``get_dataframe`` in a process that has read the session, beside ``df.copy(deep=True)``.

    The copy is taken of the frame as ``get_dataframe`` gave it. "then a write to every column" pays for every
    copy that copy-on-write puts off; its baseline is a deep copy with the same writes.
    """
    manager = arena.manager
    session = manager.create_session(arena.frame(rows), "mixed.csv")
    arena.pickle.create("warm", arena.frame(rows))
    arena.parquet.create("warm", arena.frame(rows))
    held = manager.get_dataframe(session, copy=True)
    pd.testing.assert_frame_equal(held, arena.frame(rows))

    def write_all(frame: Any) -> object:
        for position in range(frame.shape[1]):
            frame.iat[0, position] = frame.iat[1, position]
        return frame

    heavy = arena.rounds(rows, heavy=True)
    bare = DataManager(settings(arena.store, cache_mb=0))
    figures = race(
        [
            Competitor("get", lambda _: manager.get_dataframe(session)),
            Competitor("copy", lambda _: manager.get_dataframe(session, copy=True)),
            Competitor("written", lambda _: write_all(manager.get_dataframe(session))),
            Competitor("uncached", lambda _: bare.get_dataframe(session), rounds=heavy),
            Competitor("deep", lambda _: held.copy(deep=True)),
            Competitor("deep written", lambda _: write_all(held.copy(deep=True))),
            Competitor("pickle", lambda _: arena.pickle.get("warm"), rounds=heavy),
            Competitor("parquet", lambda _: arena.parquet.get("warm"), rounds=heavy),
        ],
        arena.rounds(rows),
    )
    limit = Floor("memcpy of the frame's bytes", arena.floor(rows).copy_frame)
    deep = figures["deep"]
    bar = Bar(2.0)
    add = arena.add
    add(Row("get", "get_dataframe, warm (copy-on-write)", rows, figures["get"], deep, "df.copy()", bar))
    add(Row("get", "get_dataframe(copy=True), warm", rows, figures["copy"], deep, "df.copy()", bar, limit))
    add(
        Row(
            "get",
            "get_dataframe, then a write to every column",
            rows,
            figures["written"],
            figures["deep written"],
            "df.copy() and the same writes",
            bar,
        )
    )
    text = "get_dataframe, nothing cached (CACHE_MB=0)"
    add(Row("get", text, rows, figures["uncached"], figures["pickle"], "pickle files: get"))
    bare.close()
    for name in ("pickle", "parquet"):
        add(
            Row(
                "get",
                "get_dataframe, warm (copy-on-write)",
                rows,
                figures["get"],
                figures[name],
                f"{name} files: get",
            )
        )
    manager.delete_session(session)
    arena.pickle.delete("warm")
    arena.parquet.delete("warm")


def first(arena: Arena, rows: int) -> None:
    """Measure the first ``get_dataframe`` of a new process, files in the page cache, imports done."""
    frame, manager = arena.frame(rows), arena.manager
    session = manager.create_session(frame, "mixed.csv")
    path = arena.root / "first.pkl"
    with path.open("wb") as file:
        pickle.dump(frame, file, protocol=5)
    arena.parquet.create("first", frame)
    wanted = float(frame["f2"].sum())
    found: dict[str, list[float]] = {}

    def take(name: str, task: str, **arguments: object) -> None:
        answer = child.run(task, **arguments)
        if answer["sum"] != wanted:
            raise RuntimeError(f"{name} read another frame")
        found.setdefault(name, []).append(answer["ms"])
        if "open_ms" in answer:
            found.setdefault("open", []).append(answer["open_ms"])

    for _ in range(arena.processes):
        take("get", "first_get", store=arena.store, session=session, copy=False)
        take("pickle", "first_pickle", path=path)
        take("copy", "first_get", store=arena.store, session=session, copy=True)
        take("parquet", "first_parquet", root=arena.root / "parquet", session="first")
    figures = {name: Figure.of(samples) for name, samples in found.items()}
    floor = arena.floor(rows)
    limit = Floor("read from the page cache + XXH3", floor.read_frame + floor.check_frame)
    bar = Bar(0.6) if rows >= 1_000_000 else None
    load = figures["pickle"]
    add = arena.add
    text = "get_dataframe, first in a process"
    add(Row("first", text, rows, figures["get"], load, "pickle.load", bar, limit))
    add(Row("first", f"{text}, copy=True", rows, figures["copy"], load, "pickle.load"))
    add(Row("first", text, rows, figures["get"], figures["parquet"], "parquet files: get"))
    add(Row("first", "opening the store before it", rows, figures["open"]))
    path.unlink()
    manager.delete_session(session)
    arena.parquet.delete("first")


def pages(arena: Arena) -> None:
    """Measure 100 rows from the middle, all columns, at each size and at the huge one.

    In new processes, so that nothing is cached but pages of the file. "first" includes reading head and
    manifest; "elsewhere" is each time in other chunks than before; "again" repeats the last.
    """
    manager = arena.manager
    sessions = {rows: manager.create_session(arena.frame(rows), "mixed.csv") for rows in arena.sizes}
    sizes = list(arena.sizes)
    if arena.huge is not None:
        need = arena.huge * 1_100
        if psutil.virtual_memory().available < need:
            print(f"no memory for {arena.huge:,} rows ({need / 1e9:.0f} GB): left out", flush=True)
        else:
            sessions[arena.huge] = child.run("create", store=arena.store, rows=arena.huge)["session"]
            sizes.append(arena.huge)
    found: dict[tuple[int, str], list[float]] = {}
    for _ in range(arena.processes):
        for rows in sizes:
            answer = child.run(
                "pages", store=arena.store, session=sessions[rows], offsets=_offsets(rows), limit=PAGE
            )
            found.setdefault((rows, "first"), []).append(answer["first"])
            found.setdefault((rows, "elsewhere"), []).extend(answer["elsewhere"])
            found.setdefault((rows, "again"), []).extend(answer["again"])
    figures = {key: Figure.of(samples) for key, samples in found.items() if samples}
    texts = {
        "first": "100 rows, first read of the process",
        "elsewhere": "100 rows of other chunks",
        "again": "the same 100 rows again",
    }
    for rows in sizes:
        floor = arena.floor(arena.sizes[-1])
        chunk = min(rows, CHUNK) / arena.sizes[-1] * floor.check_frame
        for what, text in texts.items():
            if (rows, what) not in figures:
                continue
            limit = Floor("XXH3 of the chunks that hold them", chunk) if what == "elsewhere" else None
            bar = Bar(5.0, relative=False)
            arena.add(Row("page", text, rows, figures[rows, what], bar=bar, floor=limit))
    if arena.huge in sizes and len(arena.sizes) > 1:
        large = arena.sizes[-1]
        for what in ("first", "elsewhere"):
            mine, other = figures[sizes[-1], what], figures[large, what]
            against = f"the same at {large:,} rows"
            arena.add(Row("page", texts[what], sizes[-1], mine, other, against, Bar(1.5)))
    if arena.huge in sessions:
        manager.delete_session(sessions.pop(arena.huge))
    _whole_frame_pages(arena)
    for session in sessions.values():
        manager.delete_session(session)


def _whole_frame_pages(arena: Arena) -> None:
    """Add what the designs take for the same page: they read the whole frame."""
    rows = arena.sizes[-1]
    arena.pickle.create("page", arena.frame(rows))
    session = arena.manager.create_session(arena.frame(rows), "mixed.csv")
    middle = rows // 2

    def cut(frame: Any) -> pd.DataFrame:
        return pd.DataFrame(frame.iloc[middle : middle + PAGE])

    wanted = cut(arena.frame(rows)).reset_index(drop=True)
    got = arena.manager.get_page(session, middle, min(PAGE, rows - middle)).reset_index(drop=True)
    pd.testing.assert_frame_equal(got, wanted)
    arena.manager.get_dataframe(session)
    figures = race(
        [
            Competitor("ours", lambda _: arena.manager.get_page(session, middle, PAGE)),
            Competitor("pickle", lambda _: cut(arena.pickle.get("page"))),
        ],
        arena.rounds(rows, heavy=True),
    )
    text = "100 rows, after get_dataframe in the same process"
    arena.add(Row("page", text, rows, figures["ours"], figures["pickle"], "pickle files: get, then iloc"))
    arena.pickle.delete("page")
    arena.manager.delete_session(session)


def _offsets(rows: int) -> list[int]:
    """Return places around the middle, each in chunks of its own, none across a border."""
    middle = rows // 2
    if rows <= CHUNK:
        return [middle]
    block = middle // CHUNK
    blocks = [b for b in range(block - 3, block + 4) if b >= 0 and (b + 1) * CHUNK <= rows]
    blocks.sort(key=lambda b: (abs(b - block), b))
    return [int(np.clip(b * CHUNK + CHUNK // 2, 0, rows - PAGE)) for b in blocks]

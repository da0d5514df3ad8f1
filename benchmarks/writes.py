"""Rows about writing: create, edit one column, update with a whole frame, undo."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.arena import Arena
from benchmarks.frames import replacement
from benchmarks.report import Bar, Floor, Row
from benchmarks.timing import Competitor, race

_seeds = count(1)

DESIGN = "pickle files: version + update"
KINDS = {"f0": "float64", "i2": "int64", "s1": "str", "d0": "datetime64", "b0": "bool", "c0": "category"}


def create(arena: Arena, rows: int) -> None:
    """Measure ``create_session`` beside a bare pickle.dump + fsync and both designs.

    Each run gets a fresh deep copy, so that nothing can be known of its memory beforehand.
    """
    frame, manager = arena.frame(rows), arena.manager
    path = arena.root / "dump.pkl"

    def fresh(_: int) -> pd.DataFrame:
        return frame.copy(deep=True)

    def dump(value: Any) -> None:
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=5)
            file.flush()
            os.fsync(file.fileno())

    figures = race(
        [
            Competitor(
                "ours",
                lambda value: manager.create_session(value, "mixed.csv"),
                fresh,
                lambda session: manager.delete_session(str(session)),
            ),
            Competitor("dump", dump, fresh, lambda _: path.unlink()),
            _design("pickle", arena.pickle.create, arena.pickle.delete, fresh),
            _design("parquet", arena.parquet.create, arena.parquet.delete, fresh),
        ],
        arena.rounds(rows, heavy=True),
    )
    floor = arena.floor(rows)
    limit = Floor("hash + write the same bytes + fdatasync", floor.hash_frame + floor.write_frame)
    bar = Bar(0.8) if rows >= 1_000_000 else None
    ours = figures["ours"]
    arena.add(Row("create", "create_session", rows, ours, figures["dump"], "pickle.dump + fsync", bar, limit))
    for name in ("pickle", "parquet"):
        arena.add(Row("create", "create_session", rows, ours, figures[name], f"{name} files: create"))


def edit(arena: Arena, rows: int) -> None:
    """Measure one changed column, through ``edit()`` and as a whole frame, beside the designs.

    The pickle-file design's time is ``create_version(before)`` + ``update(after)``; reading the frame first,
    which it needs and ``edit()`` includes, is not charged to it. Sessions hold five versions before the clock
    starts, so the oldest is dropped in each run.
    """
    frame, manager = arena.frame(rows), arena.manager
    sessions = {
        name: manager.create_session(frame, "mixed.csv") for name in ("set", "loc", "own", "got", "two")
    }
    current: dict[str, pd.DataFrame] = {}
    arena.pickle.create("kind", frame)
    arena.pickle.create("plain", frame)
    arena.parquet.create("plain", frame)
    mask = np.zeros(rows, bool)
    mask[rows // 3 : rows // 3 + max(1, rows // 100)] = True

    def values(_: int) -> Any:
        return replacement("f", rows, seed=next(_seeds))

    def changed(_: int) -> pd.DataFrame:
        after = frame.copy(deep=True)
        after["f0"] = values(0)
        return after

    def changed_of_ours(_: int) -> Any:
        after = manager.get_dataframe(sessions["got"])
        after["f0"] = values(0)
        return after

    def assign(new: Any) -> None:
        with manager.edit(sessions["set"], "new values") as df:
            df["f0"] = new

    def assign_some(value: Any) -> None:
        with manager.edit(sessions["loc"], "new values") as df:
            df.loc[mask, "f0"] = value

    def commit(name: str) -> Callable[[Any], None]:
        def run(after: Any) -> None:
            manager.commit_dataframe(sessions[name], after, "new values")
            current[name] = after

        return run

    def two_calls(pair: Any) -> None:
        manager.create_version(sessions["two"], pair[0], "new values")
        manager.update_dataframe(sessions["two"], pair[1])

    def whole(after: Any) -> None:
        arena.pickle.create_version("plain", frame, "new values")
        arena.pickle.update("plain", after)

    def linked(after: Any) -> None:
        arena.pickle.link_version("kind", "new values")
        arena.pickle.update("kind", after)

    def parquet(after: Any) -> None:
        arena.parquet.create_version("plain", frame, "new values")
        arena.parquet.update("plain", after)

    heavy = arena.rounds(rows, heavy=True)
    ours = [
        Competitor("set", assign, values),
        Competitor("loc", assign_some, lambda _: float(next(_seeds))),
        Competitor("own", commit("own"), changed),
        Competitor("got", commit("got"), changed_of_ours),
        Competitor("two", two_calls, lambda n: (manager.get_dataframe(sessions["two"]), changed(n))),
    ]
    race(ours, 6)
    figures = race(
        [
            *ours,
            Competitor("pickle", whole, changed, rounds=heavy),
            Competitor("link", linked, changed, rounds=heavy),
            Competitor("parquet", parquet, changed, rounds=heavy),
        ],
        arena.rounds(rows),
    )
    for name in ("own", "got"):
        _same(manager.get_dataframe(sessions[name]), current[name])
    floor = arena.floor(rows)
    column = Floor("hash + write one column + fdatasync", floor.hash_column + floor.write_column)
    passing = Floor("one comparing pass over the frame, then the column", floor.compare_frame + column.value)
    large = rows >= 1_000_000
    fast, full = (Bar(1 / 50), Bar(1 / 10)) if large else (Bar(1 / 5), Bar(1 / 3))
    base = figures["pickle"]
    table = [
        ("edit", 'edit(): df["f0"] = values', "set", fast, column),
        ("edit", 'edit(): df.loc[mask, "f0"] = value', "loc", fast, column),
        ("update", "commit_dataframe, a frame the user built", "own", full, passing),
        ("update", "commit_dataframe, a frame from get_dataframe", "got", full, passing),
        ("update", "create_version + update_dataframe", "two", None, None),
    ]
    for group, text, name, bar, limit in table:
        arena.add(Row(group, text, rows, figures[name], base, DESIGN, bar, limit))
    best = "pickle files at their best: link + update"
    arena.add(Row("edit", 'edit(): df["f0"] = values', rows, figures["set"], figures["link"], best))
    arena.add(Row("update", table[2][1], rows, figures["own"], figures["link"], best))
    arena.add(
        Row(
            "update", table[2][1], rows, figures["own"], figures["parquet"], "parquet files: version + update"
        )
    )
    for session in sessions.values():
        manager.delete_session(session)
    for name in ("kind", "plain"):
        arena.pickle.delete(name)
    arena.parquet.delete("plain")


def edit_kinds(arena: Arena, rows: int) -> None:
    """Measure ``edit()`` of one whole column of each kind."""
    manager = arena.manager
    session = manager.create_session(arena.frame(rows), "mixed.csv")

    def assign(column: str) -> Callable[[object], None]:
        def run(new: Any) -> None:
            with manager.edit(session, "new values") as df:
                df[column] = new

        return run

    def prepare(column: str) -> Callable[[int], object]:
        return lambda _: replacement(column[0], rows, seed=next(_seeds))

    figures = race([Competitor(c, assign(c), prepare(c)) for c in KINDS], arena.rounds(rows))
    for column, kind in KINDS.items():
        arena.add(Row("kinds", f"edit(): one column, {kind}", rows, figures[column]))
    manager.delete_session(session)


def undo(arena: Arena) -> None:
    """Measure ``undo`` (the head alone) and ``undo_last_change`` (with the frame), all sizes in one race."""
    manager = arena.manager
    competitors = []
    sessions = []
    for rows in arena.sizes:
        frame = arena.frame(rows)
        session = manager.create_session(frame, "mixed.csv")
        sessions.append(session)
        for k in range(5):
            with manager.edit(session, f"change {k}") as df:
                df[f"f{k}"] = replacement("f", rows, seed=next(_seeds))
        manager.undo(session)
        store = arena.pickle
        name = f"undo{rows}"
        store.create(name, frame)
        heavy = arena.rounds(rows, heavy=True)
        competitors += [
            _undo(f"{rows} head", session, manager.undo, manager.redo),
            _undo(f"{rows} frame", session, manager.undo_last_change, manager.redo),
            Competitor(
                f"{rows} pickle",
                lambda _, s=store, n=name: s.undo(n),  # type: ignore[misc]
                lambda _, s=store, n=name: s.link_version(n, "change"),  # type: ignore[misc]
                rounds=heavy,
            ),
        ]
    figures = race(competitors, arena.effort * 2)
    smallest = arena.sizes[0]
    for rows in arena.sizes:
        limit = Floor("one fdatasync", arena.floor(rows).fdatasync)
        head, whole, design = (figures[f"{rows} {what}"] for what in ("head", "frame", "pickle"))
        bar, base = Bar(2.0, relative=False), "pickle files: undo"
        arena.add(Row("undo", "undo, moving the head", rows, head, design, base, bar, limit))
        arena.add(Row("undo", "undo_last_change, with the frame", rows, whole, design, base))
    if len(arena.sizes) > 1:
        largest = arena.sizes[-1]
        arena.add(
            Row(
                "undo",
                "undo, large beside small",
                largest,
                figures[f"{largest} head"],
                figures[f"{smallest} head"],
                f"the same at {smallest:,} rows",
                Bar(2.0),
            )
        )
    for session in sessions:
        manager.delete_session(session)
    for rows in arena.sizes:
        arena.pickle.delete(f"undo{rows}")


def _undo(name: str, session: str, back: Callable[[str], object], on: Callable[[str], object]) -> Competitor:
    return Competitor(name, lambda _: back(session), restore=lambda _: on(session))


def _design(
    name: str,
    make: Callable[[str, pd.DataFrame], None],
    delete: Callable[[str], None],
    prepare: Callable[[int], object],
) -> Competitor:
    return Competitor(name, lambda frame: make("new", frame), prepare, lambda _: delete("new"))


def _same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, wanted)

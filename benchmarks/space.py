"""Rows about size: bytes held by versions, peak memory."""

from __future__ import annotations

from benchmarks import child
from benchmarks.arena import Arena
from benchmarks.baselines import FrameStore
from benchmarks.child import settings
from benchmarks.frames import replacement
from benchmarks.report import Bar, Floor, Row
from benchmarks.timing import Figure
from framekeep import DataManager

CASES = {
    "five float columns": ("f0", "f1", "f3", "f4", "f6"),
    "one column of each of five kinds": ("f0", "i2", "s1", "d0", "c0"),
}


def versions(arena: Arena, rows: int) -> None:
    """Measure the bytes in use after five versions, each with one of 50 columns changed, beside those of one.

    A store of its own per case. Floats of full precision are the hardest case: their bytes do not shrink.
    """
    frame = arena.frame(rows)
    megabyte = 1e6
    for case, columns in CASES.items():
        place = arena.root / f"versions-{'-'.join(columns)}"
        with DataManager(settings(place)) as manager:
            session = manager.create_session(frame, "mixed.csv")
        one = child.run("used_bytes", store=place)
        with DataManager(settings(place)) as manager:
            for seed, column in enumerate(columns):
                with manager.edit(session, f"new {column}") as df:
                    df[column] = replacement(column[0], rows, seed=seed)
            kept = len(manager.get_history(session))
            if kept < len(columns):
                raise RuntimeError(f"{len(columns)} versions wanted, {kept} kept")
        after = child.run("used_bytes", store=place)
        share = sum(arena.frame(rows)[c].memory_usage(index=False, deep=True) for c in columns)
        arena.add(
            Row(
                "bytes",
                f"bytes in use after 5 versions, {case}",
                rows,
                Figure.of([after["used"] / megabyte], "MB"),
                Figure.of([one["used"] / megabyte], "MB"),
                "one version",
                Bar(1.15),
                Floor("one version + the changed columns as they are", (one["used"] + share) / megabyte),
                f"file on disk {after['file'] / megabyte:,.1f} MB, {one['file'] / megabyte:,.1f} MB before",
            )
        )
    _designs(arena, rows, columns=CASES["five float columns"])


def _designs(arena: Arena, rows: int, *, columns: tuple[str, ...]) -> None:
    """Add what the two designs hold in the same case, and zlib's at sizes where it ends today."""
    frame = arena.frame(rows)
    stores: dict[str, FrameStore] = {"pickle files": arena.pickle, "parquet files": arena.parquet}
    if rows <= 100_000:
        stores["pickle files, zlib"] = arena.zlib
    for name, store in stores.items():
        store.create("bytes", frame)
        one = store.stored_bytes("bytes")
        current = frame
        for seed, column in enumerate(columns):
            after = current.copy(deep=False)
            after[column] = replacement(column[0], rows, seed=seed)
            store.create_version("bytes", current, "new")
            store.update("bytes", after)
            current = after
        held = store.stored_bytes("bytes")
        store.delete("bytes")
        arena.add(
            Row(
                "bytes",
                f"for comparison: {name} after 5 versions",
                rows,
                Figure.of([held / 1e6], "MB"),
                Figure.of([one / 1e6], "MB"),
                "one version",
            )
        )


def memory(arena: Arena, rows: int) -> None:
    """Measure peak extra memory of create and get in new processes, as a multiple of the frame's bytes.

    Resident memory counts the store's file as far as it is mapped, which the kernel can drop at any time and
    which all processes share (a design that calls read() fills the same page cache uncounted); private memory
    does not. The bar is held against both.
    """
    frame = arena.frame(rows)
    size = arena.floor(rows).frame_bytes
    session = arena.manager.create_session(frame, "mixed.csv")
    arena.pickle.create("memory", frame)
    arena.parquet.create("memory", frame)
    places = {
        "framekeep": (arena.store, session),
        "pickle": (arena.root / "pickle", "memory"),
        "parquet": (arena.root / "parquet", "memory"),
    }
    cases = [("framekeep", op) for op in ("create", "get", "get copy")]
    cases += [(design, op) for design in ("pickle", "parquet") for op in ("create", "get")]
    for design, operation in cases:
        place, name = places[design]
        found = [
            child.run("memory", design=design, operation=operation, rows=rows, root=place, session=name)
            for _ in range(min(2, arena.processes))
        ]
        call = {"create": "create_session", "get": "get_dataframe", "get copy": "get_dataframe(copy=True)"}
        ours = design == "framekeep"
        who = call[operation] if ours else f"{design} files, {operation}"
        for what in ("private", "resident"):
            if any(a[f"peak_{what}"] is None for a in found):
                continue
            extra = [(a[f"peak_{what}"] - a[f"before_{what}"]) / size for a in found]
            arena.add(
                Row(
                    "memory",
                    f"peak extra memory, {what}: {who}",
                    rows,
                    Figure.of(extra, "x frame"),
                    bar=Bar(1.3, relative=False) if ours and rows >= 1_000_000 else None,
                    floor=None if operation == "create" else Floor("the frame itself", 1.0),
                )
            )
    arena.manager.delete_session(session)
    arena.pickle.delete("memory")
    arena.parquet.delete("memory")

"""Rows about pages over HTTP: end to end through uvicorn, on a connection that stays open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from time import perf_counter

import psutil  # type: ignore[import-untyped]

from benchmarks import child, readymade
from benchmarks.arena import Arena
from benchmarks.child import MAX_MB
from benchmarks.line import SESSIONS, Line, request
from benchmarks.reads import CHUNK, PAGE
from benchmarks.report import Bar, Row
from benchmarks.served import serving
from benchmarks.timing import Figure

READY = "ready-made bytes, same process"


def pages(arena: Arena) -> None:
    """Measure 100 rows of 50 columns as JSON, at each size, beside an endpoint that has the bytes ready.

    All requests go over one connection and take turns, page and ready-made. "Again" asks for one page over
    and over, that of the middle; both endpoints return the same bytes, which is checked. "Moving" asks for
    other rows of the same chunks each time, so that no page is known and no chunk is read.
    """
    place = arena.root / "service-pages"
    sizes = [*arena.sizes, arena.huge] if arena.huge is not None and _has_room(arena.huge) else [*arena.sizes]
    sessions = {
        rows: child.run("create", store=place / "store", rows=rows, kind="readings")["session"]
        for rows in sizes
    }
    with (
        serving(place, module="benchmarks.readymade", max_dataframe_size_mb=MAX_MB) as service,
        service.line() as line,
    ):
        for rows, session in sessions.items():
            _one_size(arena, line, rows, session)
        if len(sizes) > 1:
            _large_beside_small(arena, line, {rows: sessions[rows] for rows in sizes[-2:]})
    shutil.rmtree(place)


def _one_size(arena: Arena, line: Line, rows: int, session: str) -> None:
    middle = max(0, rows // 2 - PAGE // 2)
    page, ready = _page(session, middle), request("GET", readymade.PATH)
    body = line.ask(page).expect(200).body
    line.ask(request("PUT", readymade.PATH, body)).expect(204)
    if line.ask(ready).expect(200).body != body:
        raise RuntimeError("what is ready-made is not the page")
    figures = _turns(line, {"page": lambda: page, "ready": lambda: ready}, arena.effort * 50)
    text = f"100 x 50 as JSON over HTTP ({len(body) >> 10} kB), again"
    arena.add(Row("service-pages", text, rows, figures["page"], figures["ready"], READY, Bar(1.5)))
    places = count()
    first, width = middle // CHUNK * CHUNK, min(rows, CHUNK) - PAGE

    def moving() -> bytes:
        return _page(session, first + next(places) * (PAGE + 1) % width)

    figures = _turns(line, {"page": moving, "ready": lambda: ready}, arena.effort * 25)
    text = "100 x 50 as JSON over HTTP, moving"
    arena.add(Row("service-pages", text, rows, figures["page"], figures["ready"], READY))


def _large_beside_small(arena: Arena, line: Line, sessions: Mapping[int, str]) -> None:
    small, large = sessions
    asked = {str(rows): partial(_page, session, rows // 2 - PAGE // 2) for rows, session in sessions.items()}
    figures = _turns(line, asked, arena.effort * 50)
    text = "100 x 50 as JSON over HTTP, again"
    against = f"the same at {small:,} rows"
    arena.add(Row("service-pages", text, large, figures[str(large)], figures[str(small)], against, Bar(1.2)))


def _page(session: str, offset: int) -> bytes:
    return request("GET", f"{SESSIONS}/{session}/data?offset={offset}&limit={PAGE}")


def _turns(line: Line, asked: Mapping[str, Callable[[], bytes]], rounds: int) -> dict[str, Figure]:
    """Ask in turns, each round beginning with another; return milliseconds by name."""
    names = list(asked)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-20, rounds):
        shift = number % len(names)
        for name in (*names[shift:], *names[:shift]):
            message = asked[name]()
            start = perf_counter()
            answer = line.ask(message)
            took = perf_counter() - start
            answer.expect(200)
            if number >= 0:
                samples[name].append(took * 1e3)
    return {name: Figure.of(found) for name, found in samples.items()}


def _has_room(rows: int) -> bool:
    need = rows * 1_300
    if psutil.virtual_memory().available >= need:
        return True
    print(f"no memory for {rows:,} rows ({need / 1e9:.0f} GB): left out", flush=True)
    return False

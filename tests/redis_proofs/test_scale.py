"""No verb asks Redis for more because other sessions are there: the server counts its commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamped
from redis import Redis

from crowd import manager_on, settings_for
from framekeep import DataManager
from framekeep.engines.base import Change, blobs
from framekeep.names import new_revision, space
from framekeep.testing import redis_keyspace

FEW = 10
ROWS = 200


def fill(manager: DataManager, number: int) -> None:
    """Add sessions: copies of a real one, which is the first."""
    engine, backend = manager.backend.engine, manager.backend
    first = manager.create_session(stamped.fresh(stamped.SMALL))
    name = space("session", first)
    head = engine.load(name)
    assert head is not None
    digests = sorted(backend._heads.source(first).live(backend._heads.load(first).session.timeline))
    parts = dict(zip(digests, blobs(engine, name, digests), strict=True))
    for n in range(number - 1):
        change = Change(None, new_revision(), head.body, parts, log=engine.log(name), ttl=3600.0)
        engine.commit(space("session", f"filler-{n}"), change)
    assert manager.get_active_sessions_count() == number


def commands(client: Redis, verb: Callable[[], object]) -> dict[str, int]:
    """Return how often each command ran on the server during a verb, inside scripts too."""

    def calls() -> dict[str, int]:
        return {name: stats["calls"] for name, stats in client.info("commandstats").items()}

    before = calls()
    verb()
    asked = {name: number - before.get(name, 0) for name, number in calls().items()}
    return {name.removeprefix("cmdstat_"): n for name, n in asked.items() if n and "info" not in name}


def counted(manager: DataManager, client: Redis) -> dict[str, dict[str, int]]:
    """Return what each verb asks for; each is done once before, so that scripts and connections are there."""
    session = manager.create_session(stamped.fresh(ROWS))
    left: list[str] = []

    def edit() -> None:
        with manager.edit(session, "edit", 3) as frame:
            frame["a"] = frame["a"] + 1

    verbs: dict[str, Callable[[], object]] = {
        "create": lambda: left.append(manager.create_session(stamped.fresh(ROWS))),
        "delete": lambda: manager.delete_session(left.pop()),
        "edit": edit,
        "undo": lambda: manager.undo(session),
        "redo": lambda: manager.redo(session),
        "get_dataframe": lambda: manager.get_dataframe(session),
        "get_page": lambda: manager.get_page(session, 50, 100),
        "get_metadata": lambda: manager.get_metadata(session),
        "update_metadata": lambda: manager.update_metadata(session, {"k": 1}),
        "add_audit_entry": lambda: manager.add_audit_entry(session, "entry"),
        "get_history": lambda: manager.get_history(session),
        "session_exists": lambda: manager.session_exists(session),
        "get_active_sessions_count": manager.get_active_sessions_count,
        "get_backend_health": manager.get_backend_health,
        "lock": lambda: manager.lock(session).acquire().release(),
    }
    for _ in range(5):
        edit()
    for verb in verbs.values():
        verb()

    def least(verb: Callable[[], object]) -> dict[str, int]:
        # An access moves the expiry if the last one is some time ago: how long, a busy machine decides.
        tries = []
        for _ in range(2):
            manager.touch_session(session)
            tries.append(commands(client, verb))
        return min(tries, key=lambda asked: sum(asked.values()))

    found = {name: least(verb) for name, verb in verbs.items()}
    manager.delete_session(session)
    return found


@pytest.fixture
def stores(places: Any, tmp_path: Path) -> Iterator[tuple[DataManager, DataManager]]:
    """Two stores on one server; nothing is cached, so that all is asked for."""
    settings = [settings_for(places.settings("valkey"), tmp_path, cache_mb=0) for _ in range(2)]
    with manager_on(settings[0]) as few, manager_on(settings[1]) as many:
        yield few, many
        for manager in (few, many):
            redis_keyspace.remove(manager.backend.engine)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("sessions", "foreign"), [(2_000, 2_000), pytest.param(20_000, 100_000, marks=pytest.mark.long)]
)
def test_no_verb_asks_for_more_among_many_sessions_and_foreign_keys(
    stores: tuple[DataManager, DataManager], places: Any, sessions: int, foreign: int
) -> None:
    few, many = stores
    fill(few, FEW)
    with places["valkey"].client() as client:
        expected = counted(few, client)
        fill(many, sessions)
        client.mset({f"foreign-{n}": b"x" for n in range(foreign)})
        try:
            found = counted(many, client)
            again = counted(few, client)
        finally:
            client.unlink(*(f"foreign-{n}" for n in range(foreign)))
    assert found == expected
    assert again == expected
    walking = {"scan", "keys", "dbsize", "smembers", "hgetall", "sort"}
    assert not [verb for verb, asked in found.items() if asked.keys() & walking]

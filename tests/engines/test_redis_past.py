"""Every revision that a space ever had is known of, by its head or before that."""

from __future__ import annotations

from typing import Any

import pytest

from framekeep.engines.base import Change
from framekeep.engines.redis_past import earlier
from framekeep.names import Revision, new_revision, space

A = space("session", "a")


@pytest.mark.parametrize("number", [1, 16, 17, 31, 32, 33, 48, 49, 200])
def test_all_revisions_are_known_of(redis_engine: Any, place: str, number: int) -> None:
    engine = redis_engine(place)
    made: list[Revision] = []
    for _ in range(number):
        made.append(new_revision())
        engine.commit(A, Change(made[-2] if made[1:] else None, made[-1], b"head", ttl=60))
    head = engine.load(A)
    assert min(number - 1, 16) <= len(head.past) <= 31
    assert [head.revision, *head.past, *earlier(engine, A)] == made[::-1]
    for revision in (head.revision, *head.past):  # has happened, and happens no more
        engine.commit(A, Change(new_revision(), revision, b"never", log=[b"never"]))
    assert (engine.load(A).body, engine.log(A)) == (b"head", [])
    engine.commit(A, Change(made[-1], new_revision(), None))
    assert earlier(engine, A) == ()
    engine.commit(A, Change(None, new_revision(), b"anew", ttl=60))
    assert (engine.load(A).past, earlier(engine, A)) == ((), ())

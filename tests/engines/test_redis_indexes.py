"""The indexes of a store in Redis: they go after their spaces, and stop nobody while they are freed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from framekeep.engines.base import Change
from framekeep.engines.redis import RedisEngine
from framekeep.names import Space, new_revision, space
from framekeep.testing import redis_keyspace

Connect = Callable[..., RedisEngine]


@pytest.mark.parametrize("ttl", [None, 3_000_000.0])
def test_an_index_goes_after_its_last_space_when_that_has_been_deleted(
    redis_engine: Connect, ttl: float | None
) -> None:
    engine = redis_engine("valkey")
    lasting, revision = space("temp", "owner.lasting"), new_revision()
    others = (space("temp", f"owner.{i}") for i in range(10_000))
    indexes = engine._keys.of(lasting).indexes
    brief = next(other for other in others if engine._keys.of(other).indexes == indexes)
    engine.commit(lasting, Change(None, revision, b"head", ttl=ttl))
    engine.commit(brief, Change(None, new_revision(), b"head", ttl=60))
    engine.commit(lasting, Change(revision, new_revision(), None))
    client = engine._opened().client
    for index in indexes:
        assert 0 < client.ttl(index) <= 60 + 86_400
    assert redis_keyspace.without_expiry(engine) == []


def test_an_index_lasts_while_a_space_in_it_never_expires(redis_engine: Connect) -> None:
    engine = redis_engine("valkey")
    lasting, revision = space("temp", "owner.lasting"), new_revision()
    others = (space("temp", f"owner.{i}") for i in range(10_000))
    indexes = engine._keys.of(lasting).indexes
    brief = next(other for other in others if engine._keys.of(other).indexes == indexes)
    engine.commit(lasting, Change(None, new_revision(), b"head"))
    engine.commit(brief, Change(None, revision, b"head", ttl=60))
    engine.commit(brief, Change(revision, new_revision(), None))
    assert set(redis_keyspace.without_expiry(engine)) >= {index.encode() for index in indexes}


def _expired(engine: RedisEngine, number: int) -> str:
    """Let so many sessions have expired, all in one index; return its key."""
    index = engine._keys.indexes("session:")[0]
    names = {f"session:gone{i}": 1000 + i for i in range(number)}
    for start in range(0, number, 1000):
        engine._opened().client.zadd(index, dict(list(names.items())[start : start + 1000]))
    return index


def _longest(engine: RedisEngine, call: Callable[[], object]) -> int:
    """Return the microseconds of the longest command in a call; the shortest of five times."""
    client = engine._opened().client
    found = []
    for _ in range(5):
        client.slowlog_reset()
        call()
        found.append(max(each["duration"] for each in client.slowlog_get(1000)))
    return min(found)


def test_a_purge_looks_at_what_it_frees_and_not_at_all_that_has_expired(redis_engine: Connect) -> None:
    engine = redis_engine("valkey")
    index = _expired(engine, 50_000)
    client = engine._opened().client
    before = client.config_get("slowlog-log-slower-than")
    client.config_set("slowlog-log-slower-than", 0)
    try:
        all_of_it = "return #redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf')"
        looking = _longest(engine, lambda: client.eval(all_of_it, 1, index))
        purging = _longest(engine, lambda: engine.purge("session:", 10))
    finally:
        client.config_set("slowlog-log-slower-than", before["slowlog-log-slower-than"])
    assert purging < looking / 4


@pytest.mark.parametrize("limit", [1, 999, 1000, 1001, 2500, 5000])
def test_a_purge_frees_what_has_the_prefix_up_to_its_limit(redis_engine: Connect, limit: int) -> None:
    engine = redis_engine("valkey")
    index = _expired(engine, 2500)
    client = engine._opened().client
    client.zadd(index, {f"session:other{i}": i for i in range(1500)})
    assert engine.purge("session:gone", limit) == min(limit, 2500)
    assert client.zcount(index, "-inf", "+inf") == 4000 - min(limit, 2500)
    assert engine.purge("session:gone", 5000) == 2500 - min(limit, 2500)
    assert client.zcard(index) == 1500


@pytest.mark.parametrize("number", [0, 1, 999, 1000, 1001, 2500])
def test_a_change_may_bring_any_number_of_log_entries(redis_engine: Connect, number: int) -> None:
    engine = redis_engine("valkey")
    name, first = Space("session:logged"), new_revision()
    entries = [b"%d" % i for i in range(number)]
    engine.commit(name, Change(None, first, b"head", log=entries, ttl=60))
    engine.commit(name, Change(first, new_revision(), b"head", log=entries, ttl=60))
    assert engine.log(name) == entries * 2


def test_a_name_that_is_none_of_ours_is_not_listed(redis_engine: Connect) -> None:
    engine = redis_engine("valkey")
    one = space("session", "one")
    engine.commit(one, Change(None, new_revision(), b"head", ttl=60))
    [index] = engine._keys.of(one).indexes
    engine._opened().client.zadd(index, {b"session:\x89bad": 9e15, "session:\u00fc".encode(): 9e15})
    assert [info.space for info in engine.spaces("session:")] == [one]

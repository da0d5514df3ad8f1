"""A change that is sent again after it was stored: it is known, whatever has become of the server since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from framekeep.engines import scripts
from framekeep.engines.base import Change
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import StorageFullError, TooFewReplicasError
from framekeep.names import Digest, digest_of, new_revision, space
from framekeep.testing.redis_servers import Server, server

A = space("session", "a")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def engine(running: Server) -> Iterator[RedisEngine]:
    engine = RedisEngine(RedisOptions(running.url))
    yield engine
    engine.close()


def some(number: int, size: int) -> dict[Digest, bytes]:
    return {digest_of(content): content for content in (bytes([i]) * size for i in range(number))}


SMALL, LARGE = some(2, 100), some(4, 700_000)


@pytest.mark.parametrize("blobs", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_stored_is_not_said_to_have_found_no_room(
    running: Server, engine: RedisEngine, blobs: dict[Digest, bytes]
) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"made"], ttl=600))
    change = Change(first, new_revision(), b"next", blobs, frozenset(blobs), log=[b"changed"], ttl=600)
    engine.commit(A, change)
    with running.client() as operator:
        operator.config_set("maxmemory", 1)
        engine.commit(A, change)
        with pytest.raises(StorageFullError, match="nothing was stored"):
            engine.commit(A, Change(change.revision, new_revision(), b"other"))
        operator.config_set("maxmemory", 0)
    assert engine.log(A) == [b"made", b"changed"]


def test_without_room_nobody_says_that_replicas_have_it(running: Server, engine: RedisEngine) -> None:
    change = Change(None, new_revision(), b"head", log=[b"made"], ttl=600)
    engine.commit(A, change)
    waiting = RedisEngine(RedisOptions(running.url), min_replicas=1, replica_timeout=0.05)
    with running.client() as operator:
        operator.config_set("maxmemory", 1)
        with pytest.raises(TooFewReplicasError, match="it is stored"):
            waiting.commit(A, change)
    waiting.close()


def test_what_is_stored_leaves_nothing_when_it_is_sent_again(running: Server, engine: RedisEngine) -> None:
    change = Change(None, new_revision(), b"head", LARGE, frozenset(LARGE), ttl=600)
    engine.commit(A, change)
    engine.commit(A, Change(change.revision, new_revision(), b"next", keep=frozenset(), ttl=600))
    engine.commit(A, change)
    with running.client() as operator:
        assert operator.hlen(engine._keys.of(A).blobs) == 0


def test_a_script_that_is_forgotten_each_time_is_sent_whole(
    running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a server that keeps no scripts: what is loaded under its name is not found under it."""
    never = replace(scripts.COMMIT, sha="0" * 40)
    monkeypatch.setattr(scripts, "COMMIT", never)
    waiting = RedisEngine(RedisOptions(running.url), min_replicas=1, replica_timeout=0.05)
    change = Change(None, new_revision(), b"head", ttl=600)
    with pytest.raises(TooFewReplicasError, match="it is stored"):
        waiting.commit(A, change)
    head = waiting.load(A)
    assert head is not None
    assert head.revision == change.revision
    waiting.close()

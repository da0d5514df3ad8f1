"""REDIS_MIN_REPLICAS: a change is acknowledged when replicas have it, in every topology."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import RedisBackend
from framekeep.engines import scripts
from framekeep.engines.base import Change, Head, blobs
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import ConfigurationError, Conflict, StorageUnavailableError, TooFewReplicasError
from framekeep.names import Digest, Space, digest_of, new_revision, space
from framekeep.testing.redis_servers import Server, cluster, sentinels, server, until

A = space("session", "a")
FRAME = pd.DataFrame({"a": [1, 2, 3]})

Connect = Callable[..., RedisEngine]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[RedisEngine] = []

    def connect(url: str, **options: Any) -> RedisEngine:
        options = {"min_replicas": 1, "replica_timeout": 20.0, "socket_timeout": 30.0} | options
        limits = {key: options.pop(key) for key in list(options) if key in RedisOptions.__slots__}
        made.append(RedisEngine(RedisOptions(url, **limits), **options))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "primary", config={"repl-diskless-sync-delay": 0}) as running:
        yield running


@pytest.fixture
def replica(primary: Server, tmp_path: Path) -> Iterator[Server]:
    """A server that becomes the primary's replica with ``follow``."""
    with server(tmp_path / "replica") as running:
        yield running
        running.resume()


def follow(replica: Server, primary: Server) -> None:
    with replica.client() as operator, primary.client() as asked:
        operator.execute_command("REPLICAOF", "127.0.0.1", primary.port)
        asked.set("a write", "to wait for", px=1000)
        until(lambda: asked.wait(1, 1000), "the replica has it")


def large(n: int = 4) -> dict[Digest, bytes]:
    contents = [bytes([i]) * 700_000 for i in range(n)]
    return {digest_of(content): content for content in contents}


def test_without_a_replica_a_change_is_not_acknowledged(
    primary: Server, replica: Server, connect: Connect
) -> None:
    hurried, engine = connect(primary.url, replica_timeout=0.1), connect(primary.url)
    changes = [Change(None, new_revision(), b"head", log=[b"made"], ttl=60)]
    changes.append(
        Change(changes[0].revision, new_revision(), b"next", large(), frozenset(large()), [b"two"])
    )
    changes.append(Change(changes[1].revision, new_revision(), None))
    for change in changes[:2]:
        for _ in range(2):
            with pytest.raises(StorageUnavailableError, match="Only 0 of 1 replicas") as caught:
                hurried.commit(A, change)
            assert caught.value.retryable
    follow(replica, primary)
    engine.commit(A, changes[1])
    assert engine.log(A) == [b"made", b"two"]
    assert blobs(engine, A, list(large())) == list(large().values())
    with replica.client() as there:
        assert there.llen(engine._keys.of(A).log) == 2


def test_a_deletion_is_waited_for_too(primary: Server, replica: Server, connect: Connect) -> None:
    hurried, engine = connect(primary.url, replica_timeout=0.1), connect(primary.url)
    first = new_revision()
    connect(primary.url, min_replicas=0).commit(A, Change(None, first, b"head", ttl=60))
    gone = Change(first, new_revision(), None)
    with pytest.raises(StorageUnavailableError, match="Only 0 of 1"):
        hurried.commit(A, gone)
    assert connect(primary.url, min_replicas=0).load(A) is None
    with pytest.raises(StorageUnavailableError, match="Only 0 of 1"):
        hurried.discard(A)
    follow(replica, primary)
    engine.commit(A, gone)
    assert not engine.discard(A)
    with pytest.raises(Conflict):
        engine.commit(A, Change(first, new_revision(), None))


def test_a_change_refused_is_told_at_once_and_needs_no_replica(primary: Server, connect: Connect) -> None:
    engine = connect(primary.url, replica_timeout=0.001)
    with pytest.raises(Conflict):
        engine.commit(A, Change(new_revision(), new_revision(), b"head"))
    plain = connect(primary.url, min_replicas=0)
    assert plain.load(A) is None
    assert plain.touch(A, 1.0) is None


def test_a_replica_that_stands_still_is_not_counted(
    primary: Server, replica: Server, connect: Connect
) -> None:
    follow(replica, primary)
    hurried, engine = connect(primary.url, replica_timeout=0.1), connect(primary.url)
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"one"], ttl=60))
    replica.pause()
    change = Change(first, new_revision(), b"next", log=[b"two"])
    with pytest.raises(StorageUnavailableError, match="Only 0 of 1"):
        hurried.commit(A, change)
    assert engine.log(A) == [b"one", b"two"], "it is there, as the message says"
    replica.resume()
    until(lambda: _acknowledged(engine, change), "the replica has it")
    assert engine.log(A) == [b"one", b"two"]


def _acknowledged(engine: RedisEngine, change: Change) -> bool:
    try:
        engine.commit(A, change)
    except StorageUnavailableError:
        return False
    return True


def test_two_replicas_are_more_than_one(primary: Server, replica: Server, connect: Connect) -> None:
    follow(replica, primary)
    engine = connect(primary.url, min_replicas=2, replica_timeout=3.0)
    with pytest.raises(StorageUnavailableError, match="Only 1 of 2"):
        engine.commit(A, Change(None, new_revision(), b"head", ttl=60))


def test_scripts_forgotten_by_the_server_are_sent_anew(
    primary: Server, replica: Server, connect: Connect
) -> None:
    follow(replica, primary)
    engine = connect(primary.url)
    revision = None
    with primary.client() as operator:
        for i in range(3):
            operator.script_flush()
            change = Change(revision, new_revision(), b"head", large(), frozenset(large()), [b"%d" % i], 60)
            engine.commit(A, change)
            revision = change.revision
        assert operator.script_exists(scripts.COMMIT.sha) == [True]
    assert engine.log(A) == [b"0", b"1", b"2"]


def test_sessions_work_with_a_replica(primary: Server, replica: Server, connect: Connect) -> None:
    follow(replica, primary)
    backend = RedisBackend(connect(primary.url))
    backend.create_session("a", FRAME, "a.csv", 60)
    backend.commit_dataframe("a", FRAME * 2, "Double")
    backend.undo("a")
    there = RedisBackend(connect(replica.url, min_replicas=0))
    pd.testing.assert_frame_equal(there.engine.load(A) and backend.get_dataframe("a"), FRAME)
    assert backend.delete_session("a")
    assert there.engine.load(A) is None


def test_who_waits_for_replicas_hears_of_them(primary: Server, connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_WAIT_TIMEOUT .* below REDIS_SOCKET_TIMEOUT"):
        connect(primary.url, replica_timeout=5.0, socket_timeout=5.0)
    connect(primary.url, replica_timeout=5.0, socket_timeout=5.0, min_replicas=0)


def test_with_sentinels(tmp_path: Path, connect: Connect) -> None:
    with sentinels(tmp_path / "sentinels", replicas=2) as setup:
        engine = connect(setup.url)
        first, second = new_revision(), new_revision()
        engine.commit(A, Change(None, first, b"head", log=[b"one"], ttl=600))
        setup.failover()
        change = Change(first, second, b"next", log=[b"two"])
        until(lambda: _acknowledged(engine, change), "a replica of the new primary has it")
        assert engine.log(A) == [b"one", b"two"]
        gone = Change(second, new_revision(), None)
        until(lambda: _acknowledged(engine, gone), "a replica of the new primary has it")
        assert engine.load(A) is None


def test_in_a_cluster(tmp_path: Path, connect: Connect) -> None:
    with cluster(tmp_path / "cluster") as setup:
        engine = connect(setup.url)
        names = [space("session", f"s{i}") for i in range(12)]
        made = {name: new_revision() for name in names}
        for name in names:
            engine.commit(name, Change(None, made[name], b"head", log=[b"one"], ttl=600))
        assert engine.count() == 12

        # A primary makes way for its replica: what it is asked then, it answers with MOVED.
        head = engine._keys.of(names[0]).head
        _swap(setup, head)
        for name in names:
            engine.commit(name, _next(made, name))

        # And one dies: nobody answers where it was.
        setup.kill_primary_of(head)
        hurried = connect(setup.url, replica_timeout=0.1)
        alone = connect(setup.url, min_replicas=0)
        for name in names:
            change = Change(made[name], new_revision(), b"last", log=[b"three"])
            if setup.primary_of(engine._keys.of(name).head) is not setup.primary_of(head):
                engine.commit(name, change)
            else:  # it has no replica any more
                with pytest.raises(StorageUnavailableError, match="Only 0 of 1"):
                    hurried.commit(name, change)
            assert alone.log(name) == [b"one", b"two", b"three"]
            assert alone.log(name) == engine.log(name)


def _swap(setup: Any, key: str) -> None:
    """Have the replica of the primary that has ``key`` take its place, in good order."""
    before = setup.primary_of(key)
    for each in setup.servers:
        with each.client() as operator:
            info = operator.info("replication")
            if info["role"] == "slave" and info["master_port"] == before.port:
                operator.execute_command("CLUSTER", "FAILOVER")
    until(lambda: setup.primary_of(key) is not before, "the replica has taken over")
    with setup.primary_of(key).client() as operator:
        operator.set(f"{{{key.partition('}')[0][1:]}}}", "to wait for", px=1000)
        until(lambda: operator.wait(1, 1000), "the former primary follows")


def _next(made: dict[Any, Any], name: Any) -> Change:
    before, made[name] = made[name], new_revision()
    return Change(before, made[name], b"moved", log=[b"two"])


@pytest.mark.parametrize("place", ["sentinel", "cluster"])
def test_one_that_was_replaced_and_does_not_know_it_does_not_say_what_is_absent(
    tmp_path: Path, connect: Connect, place: str
) -> None:
    with sentinels(tmp_path) if place == "sentinel" else cluster(tmp_path) as setup:
        engine = connect(setup.url, replica_timeout=0.3, socket_timeout=5.0)
        assert engine.load(A) is None
        assert engine.touch(A, 60.0) is None
        former = setup.primary if place == "sentinel" else setup.primary_of(engine._keys.of(A).head)
        for each in setup.servers:
            if each is not former:
                each.pause()
        with former.client() as client:
            client.client_kill_filter(_type="replica")  # as when they have gone to another one
        try:
            for ask in (lambda: engine.load(A), lambda: engine.touch(A, 60.0)):
                with pytest.raises(
                    TooFewReplicasError, match="another server may have taken its place"
                ) as told:
                    ask()
                assert told.value.retryable
        finally:
            for each in setup.servers:
                each.resume()


def test_a_replica_is_not_asked_what_is_absent(primary: Server, replica: Server, connect: Connect) -> None:
    follow(replica, primary)
    with pytest.raises(StorageUnavailableError, match="is a replica"):
        connect(replica.url).load(A)


def test_what_is_there_is_read_without_replicas(primary: Server, connect: Connect) -> None:
    connect(primary.url, min_replicas=0).commit(A, change := Change(None, new_revision(), b"head", ttl=60))
    engine = connect(primary.url, replica_timeout=0.1)
    found = engine.load(A)
    assert found is not None
    assert found.revision == change.revision == engine.touch(A, 60.0)


class Disagreeing(RedisEngine):
    """Asks one server where it loads, and another one where it moves an expiry."""

    def load(self, space: Space) -> Head | None:
        return Head(new_revision(), b"head", 60.0)


def test_servers_that_do_not_agree_are_not_asked_for_ever(primary: Server) -> None:
    engine = Disagreeing(RedisOptions(primary.url), min_replicas=1)
    try:
        with pytest.raises(StorageUnavailableError, match="do not agree on session:a"):
            engine.touch(A, 60.0)
    finally:
        engine.close()

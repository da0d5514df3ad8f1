"""A slot that moves from one node of a Cluster to another while its spaces are in use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.base import Change, blobs
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import SessionDamagedError, StorageUnavailableError
from framekeep.names import Revision, Space, digest_of, new_revision, space
from framekeep.testing.redis_servers import ClusterSetup, Server, cluster, until

BLOBS = {digest_of(content): content for content in (bytes([i]) * 50_000 for i in range(4))}


class Slot:
    """The slot of some spaces, and how it moves: with commands that every Redis and Valkey has."""

    def __init__(self, setup: ClusterSetup, engine: RedisEngine, name: Space) -> None:
        key = engine._keys.of(name).head
        self.source: Server = setup.primary_of(key)
        self.target: Server = next(each for each in setup.primaries() if each is not self.source)
        with setup.client() as client:
            self.number: int = client.keyslot(key)

    def begin(self) -> None:
        self._ask(self.target, "SETSLOT", self.number, "IMPORTING", self._name(self.source))
        self._ask(self.source, "SETSLOT", self.number, "MIGRATING", self._name(self.target))

    def move(self, limit: int) -> int:
        """Move so many keys; return how many there were."""
        found = self._ask(self.source, "GETKEYSINSLOT", self.number, limit)
        if found:
            with self.source.client() as operator:
                operator.migrate("127.0.0.1", self.target.port, found, 0, 30_000)
        return len(found)

    def end(self) -> None:
        for each in (self.target, self.source):
            self._ask(each, "SETSLOT", self.number, "NODE", self._name(self.target))

    def move_at_once(self) -> None:
        """Move it as Valkey 9 does: the slot changes hands when all of it has arrived."""
        name = self._name(self.target)
        self._ask(self.source, "MIGRATESLOTS", "SLOTSRANGE", self.number, self.number, "NODE", name)

    def _name(self, node: Server) -> str:
        return str(self._ask(node, "MYID"), "ascii")

    def _ask(self, node: Server, verb: str, *words: str | int) -> Any:
        with node.client() as operator:
            return operator.execute_command(f"CLUSTER {verb}", *words)


@pytest.fixture(params=[("valkey", 0), ("valkey", 1), ("redis", 1)], ids=lambda p: f"{p[0]}-{p[1]}-replicas")
def setup(
    request: pytest.FixtureRequest, tmp_path: Path, binary_of: Callable[[str], str]
) -> Iterator[tuple[ClusterSetup, RedisEngine]]:
    """A Cluster, and an engine that waits for as many replicas as each primary has."""
    program, replicas = request.param
    with cluster(
        tmp_path / "cluster", binary=binary_of(f"{program}-server"), primaries=2, replicas=replicas
    ) as running:
        options = RedisOptions(running.url, socket_timeout=30.0)
        engine = RedisEngine(options, min_replicas=replicas, replica_timeout=20.0)
        yield running, engine
        engine.close()


def neighbours(engine: RedisEngine) -> Iterator[Space]:
    """Yield names of one slot."""
    tag = engine._keys.of(space("session", "n0")).head[:14]
    for i in range(100_000):
        name = space("session", f"n{i}")
        if engine._keys.of(name).head.startswith(tag):
            yield name


def make(engine: RedisEngine, name: Space) -> Revision:
    revision = new_revision()
    engine.commit(name, Change(None, revision, b"head", BLOBS, log=[b"0"], ttl=600))
    return revision


def test_what_has_moved_is_reached_before_the_cluster_says_so(
    setup: tuple[ClusterSetup, RedisEngine],
) -> None:
    running, engine = setup
    names = neighbours(engine)
    name, other = next(names), next(names)
    first, second, third = make(engine, name), new_revision(), new_revision()
    slot = Slot(running, engine, name)
    slot.begin()
    while slot.move(100):
        pass
    engine.commit(name, Change(first, second, b"next", log=[b"1"], ttl=600))
    engine.commit(name, Change(first, second, b"next", log=[b"1"], ttl=600))
    assert engine.touch(name, 300) == second
    # The servers take keys that are not there for keys that have not arrived.
    with pytest.raises(StorageUnavailableError, match="does not serve all slots just now"):
        make(engine, other)
    slot.end()
    engine.commit(name, Change(second, third, b"last", log=[b"2"], ttl=600))
    make(engine, other)
    assert engine.log(name) == [b"0", b"1", b"2"]
    assert blobs(engine, name, list(BLOBS)) == list(BLOBS.values())
    assert {info.space for info in engine.spaces("session:")} == {name, other}
    assert engine.count("session:") == 2
    engine.commit(name, Change(third, new_revision(), None))
    assert engine.load(name) is None


def test_where_a_slot_has_moved_is_believed_to_who_says_so(
    setup: tuple[ClusterSetup, RedisEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked which server has what may not have heard of it yet."""
    running, engine = setup
    name = next(neighbours(engine))
    first, second = make(engine, name), new_revision()
    slot = Slot(running, engine, name)
    slot.begin()
    while slot.move(100):
        pass
    slot.end()
    monkeypatch.setattr(engine._opened(), "renew", lambda: None)
    engine.commit(name, Change(first, second, b"next", log=[b"1"], ttl=600))
    assert engine.log(name) == [b"0", b"1"]


def test_changes_go_on_while_keys_move_and_each_happens_once(
    setup: tuple[ClusterSetup, RedisEngine],
) -> None:
    running, engine = setup
    names = neighbours(engine)
    used = [next(names) for _ in range(4)]
    made = {name: make(engine, name) for name in used}
    slot, over = Slot(running, engine, used[0]), threading.Event()
    done: dict[Space, int] = dict.fromkeys(used, 0)
    refused: list[str] = []

    def write(name: Space) -> None:
        revision = made[name]
        while not over.is_set() or done[name] < 5:
            change = Change(revision, new_revision(), b"head", log=[b"%d" % (done[name] + 1)], ttl=600)
            while True:
                try:
                    engine.commit(name, change)
                    break
                except StorageUnavailableError as error:
                    refused.append(str(error))
            revision, done[name] = change.revision, done[name] + 1

    threads = [threading.Thread(target=write, args=[name], daemon=True) for name in used]
    for thread in threads:
        thread.start()
    slot.begin()
    while slot.move(1):
        pass
    slot.end()
    over.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert [each for each in refused if "does not serve all slots just now" not in each] == []
    for name in used:
        assert engine.log(name) == [b"%d" % i for i in range(done[name] + 1)]
        assert blobs(engine, name, list(BLOBS)) == list(BLOBS.values())
    assert engine.count("session:") == len(used)


def test_a_slot_that_moves_at_once_refuses_nobody(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", primaries=2, replicas=0) as running:
        engine = RedisEngine(RedisOptions(running.url, socket_timeout=30.0))
        names = neighbours(engine)
        made = {name: make(engine, name) for name in (next(names) for _ in range(3))}
        slot, over = Slot(running, engine, next(iter(made))), threading.Event()
        failures: list[Exception] = []

        def live() -> None:
            try:
                while not over.is_set():
                    name = next(names)
                    made[name] = make(engine, name)
                    engine.commit(name, Change(made[name], new_revision(), b"next", log=[b"1"], ttl=600))
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        slot.move_at_once()
        key = engine._keys.of(next(iter(made))).head
        until(lambda: running.primary_of(key) is slot.target, "the slot has moved")
        over.set()
        thread.join(60)
        assert (thread.is_alive(), failures) == (False, [])
        assert engine.count("session:") == len(made)
        for name in made:
            assert engine.log(name)[:1] == [b"0"]
            assert blobs(engine, name, list(BLOBS)) == list(BLOBS.values())
        engine.close()


@pytest.mark.parametrize(("left", "damaged"), [(5_000, False), (60_000, True), (None, True)])
def test_a_log_that_outlives_its_head_by_the_time_of_a_move_is_no_damage(
    redis_engine: Callable[..., RedisEngine], left: int | None, damaged: bool
) -> None:
    """As after MIGRATE, which passes on the time that is left: keys that took longer expire later."""
    engine, name = redis_engine("valkey"), space("session", "a")
    make(engine, name)
    keys, client = engine._keys.of(name), engine._opened().client
    client.delete(keys.head)  # it expired
    if left is None:
        client.persist(keys.log)
    else:
        client.pexpire(keys.log, left)
    if damaged:
        with pytest.raises(SessionDamagedError):
            engine.load(name)
    else:
        assert engine.load(name) is None
    make(engine, name)
    assert engine.log(name) == [b"0"]

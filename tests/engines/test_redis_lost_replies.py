"""A connection that breaks after the server has done what was asked: each change happens exactly once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import RedisBackend
from framekeep.engines import scripts
from framekeep.engines.base import Change, blobs
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.engines.scripts import Script
from framekeep.errors import Conflict, SessionNotFoundError, StorageUnavailableError
from framekeep.names import Digest, Revision, digest_of, new_revision, space
from framekeep.testing import redis_keyspace
from framekeep.testing.redis_servers import Server, server, until

A = space("session", "a")


class Wire:
    """Stands between clients and a server, and cuts the connection behind the answer to a planned command.

    Attributes:
        port: where it listens.
        cuts: what was cut, in order.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._plan: list[tuple[bytes, Callable[[], None]]] = []
        self.cuts: list[bytes] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._start(self._accept)

    def lose(self, script: Script, times: int = 1, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Lose the next answers to a script; ``meanwhile`` is done after the first, before that is known."""
        sha = script.sha.encode()
        self._plan += [(sha, meanwhile if i == 0 else lambda: None) for i in range(times)]

    def close(self) -> None:
        for each in [self._listening, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(30)

    def _start(self, run: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=run, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            self._sockets += [client, there]
            self._start(self._serve, client, there)

    def _serve(self, client: socket.socket, there: socket.socket) -> None:
        """Hand requests on and answers back, in turns: the client asks one thing at a time."""
        answering = threading.Event()
        self._start(self._answer, client, there, answering)
        try:
            while data := client.recv(1 << 16):
                if self._plan and self._plan[0][0] in data:
                    answering.set()
                there.sendall(data)
        except OSError:
            pass
        finally:
            _end(there)

    def _answer(self, client: socket.socket, there: socket.socket, losing: threading.Event) -> None:
        try:
            while data := there.recv(1 << 16):
                if losing.is_set() and not data.startswith(b"-NOSCRIPT"):
                    sha, meanwhile = self._plan.pop(0)
                    self.cuts.append(sha)
                    meanwhile()
                    break
                losing.clear()
                client.sendall(data)
        except OSError:
            pass
        finally:
            _end(client)
            _end(there)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wire(places: Any) -> Iterator[Wire]:
    running: Server = places["valkey"]
    with running.client() as operator:
        for script in (scripts.COMMIT, scripts.FORGET, scripts.STAGE, scripts.TOUCH, scripts.LOAD):
            operator.script_load(script.source)
    wire = Wire(running.port)
    yield wire
    wire.close()


@pytest.fixture
def straight(redis_engine: Callable[..., RedisEngine]) -> RedisEngine:
    """An engine that nothing comes between."""
    return redis_engine("valkey")


@pytest.fixture
def engine(wire: Wire, straight: RedisEngine) -> Iterator[RedisEngine]:
    """An engine on the same store, by way of the wire."""
    url = f"redis://127.0.0.1:{wire.port}/0"
    engine = RedisEngine(RedisOptions(url, health_check_interval=0), prefix=straight._keys.prefix)
    yield engine
    engine.close()


def follow(engine: RedisEngine, revision: Revision, times: int) -> Revision:
    """Commit so many changes after ``revision``; return the last revision."""
    for i in range(times):
        engine.commit(A, Change(revision, next := new_revision(), b"later", log=[b"later %d" % i]))
        revision = next
    return revision


def large(n: int = 4) -> dict[Digest, bytes]:
    contents = [bytes([i]) * 700_000 for i in range(n)]
    return {digest_of(content): content for content in contents}


def test_a_creation_happens_once(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    wire.lose(scripts.COMMIT)
    engine.commit(A, Change(None, revision := new_revision(), b"head", log=[b"made"], ttl=60))
    assert len(wire.cuts) == 1
    head = straight.load(A)
    assert head is not None
    assert (head.revision, straight.log(A), straight.count()) == (revision, [b"made"], 1)


def test_a_change_happens_once(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"made"], ttl=60))
    wire.lose(scripts.COMMIT)
    engine.commit(A, Change(first, new_revision(), b"next", log=[b"changed"]))
    assert (len(wire.cuts), straight.log(A)) == (1, [b"made", b"changed"])


@pytest.mark.parametrize("others", [1, 15, 16])
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_change_is_known_behind_those_of_others(
    wire: Wire, engine: RedisEngine, straight: RedisEngine, others: int, size: str
) -> None:
    first, second = new_revision(), new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"made"], ttl=60))
    wire.lose(scripts.COMMIT, meanwhile=lambda: follow(straight, second, others) and None)
    held = large() if size == "large" else {}
    change = Change(first, second, b"next", held, frozenset(held), log=[b"changed"])
    engine.commit(A, change)
    assert len(wire.cuts) == 1
    told = [b"made", b"changed", *(b"later %d" % i for i in range(others))]
    assert straight.log(A) == told
    engine.commit(A, change)  # and so when the caller asks again
    assert straight.log(A) == told


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_change_behind_more_others_than_a_head_tells_of_is_not_known_any_more(
    wire: Wire, engine: RedisEngine, straight: RedisEngine, size: str
) -> None:
    first, second = new_revision(), new_revision()
    engine.commit(A, Change(None, first, b"head", ttl=60))
    wire.lose(scripts.COMMIT, meanwhile=lambda: follow(straight, second, 33) and None)
    held = large() if size == "large" else {}
    with pytest.raises(Conflict):
        engine.commit(A, Change(first, second, b"next", held, frozenset(held), log=[b"changed"]))
    assert len(straight.log(A)) == 34, "it has happened, and once"


def test_a_caller_who_is_told_of_the_failure_may_ask_again(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"made"], ttl=60))
    change = Change(first, new_revision(), b"next", large(), frozenset(large()), log=[b"changed"])
    wire.lose(scripts.COMMIT, times=2)
    with pytest.raises(StorageUnavailableError) as caught:
        engine.commit(A, change)
    assert caught.value.retryable
    engine.commit(A, change)
    assert straight.log(A) == [b"made", b"changed"]
    assert blobs(straight, A, list(large())) == list(large().values())


def test_a_deletion_happens_once(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", ttl=60))
    wire.lose(scripts.FORGET)
    engine.commit(A, Change(first, new_revision(), None))
    assert (len(wire.cuts), straight.load(A)) == (1, None)


def test_a_deletion_is_known_when_the_space_was_made_anew(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", ttl=60))
    again = Change(None, new_revision(), b"anew", log=[b"anew"], ttl=60)
    wire.lose(scripts.FORGET, meanwhile=lambda: straight.commit(A, again))
    engine.commit(A, Change(first, new_revision(), None))
    head = straight.load(A)
    assert head is not None
    assert (len(wire.cuts), head.body, straight.log(A)) == (1, b"anew", [b"anew"])


def test_a_deletion_does_not_hit_what_others_made_of_the_space(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", ttl=60))
    follow(straight, first, 1)
    wire.lose(scripts.FORGET)
    with pytest.raises(Conflict):
        engine.commit(A, Change(first, new_revision(), None))
    assert straight.load(A) is not None


def test_a_discard_happens_once_and_says_that_it_did(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    wire.lose(scripts.FORGET)
    assert engine.discard(A)
    assert (len(wire.cuts), straight.load(A)) == (1, None)
    wire.lose(scripts.FORGET)
    assert not engine.discard(A)


def test_a_discard_does_not_hit_what_was_made_after_it(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    again = Change(None, new_revision(), b"anew", ttl=60)
    wire.lose(scripts.FORGET, meanwhile=lambda: straight.commit(A, again))
    assert engine.discard(A)
    assert straight.load(A) is not None


def test_a_touch_may_happen_twice(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    engine.commit(A, Change(None, revision := new_revision(), b"head", ttl=60))
    wire.lose(scripts.TOUCH)
    assert engine.touch(A, 90) == revision
    head = straight.load(A)
    assert head is not None
    assert len(wire.cuts) == 1
    assert head.ttl == pytest.approx(90, abs=5)


def test_a_touch_is_told_that_the_space_is_gone(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    wire.lose(scripts.TOUCH, meanwhile=lambda: straight.discard(A) and None)
    assert engine.touch(A, 90) is None
    assert {key.rpartition(b":")[2] for _, key in redis_keyspace.keys(straight)} == {b"d"}


def test_staging_may_happen_twice(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    held = large()
    wire.lose(scripts.STAGE, times=1)
    engine.stage(A, held)
    engine.commit(A, Change(None, new_revision(), b"head", keep=frozenset(held), ttl=60))
    assert blobs(straight, A, list(held)) == list(held.values())
    assert len(wire.cuts) == 1


def test_staging_that_another_commit_freed_is_done_again(
    wire: Wire, engine: RedisEngine, straight: RedisEngine
) -> None:
    """Between the last piece and the commit somebody else commits, and what is staged goes."""
    first, second = new_revision(), new_revision()
    engine.commit(A, Change(None, first, b"head", ttl=60))
    held = large()

    def freed() -> None:
        straight.commit(A, Change(first, second, b"theirs", keep=frozenset()))

    wire.lose(scripts.STAGE, meanwhile=freed)
    with pytest.raises(Conflict):
        engine.commit(A, Change(first, new_revision(), b"ours", held, frozenset(held)))
    engine.commit(A, Change(second, new_revision(), b"ours", held, frozenset(held)))
    assert blobs(straight, A, list(held)) == list(held.values())


def test_a_read_is_made_again(wire: Wire, engine: RedisEngine) -> None:
    engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    wire.lose(scripts.LOAD)
    head = engine.load(A)
    assert head is not None
    assert (len(wire.cuts), head.body) == (1, b"head")


def test_verbs_of_a_session_happen_once(wire: Wire, engine: RedisEngine, straight: RedisEngine) -> None:
    backend, other = RedisBackend(engine), RedisBackend(straight)
    frame = pd.DataFrame({"a": [1, 2, 3]})
    wire.lose(scripts.COMMIT)
    backend.create_session("s", frame, "f.csv", 60)
    wire.lose(scripts.COMMIT)
    assert backend.create_version("s", frame, "first") == 1
    wire.lose(scripts.COMMIT, meanwhile=lambda: other.add_audit_entry("s", "theirs"))
    backend.add_audit_entry("s", "ours")
    wire.lose(scripts.COMMIT, meanwhile=lambda: other.undo("s") and None)
    assert backend.commit_dataframe("s", frame + 1, "second") == 2
    assert len(wire.cuts) == 4
    told = [line.partition("] ")[2] for line in other.get_audit_log("s")]
    assert [told.count(line) for line in ("ours", "theirs")] == [1, 1]
    assert len(told) == 6
    pd.testing.assert_frame_equal(other.get_dataframe("s"), frame)
    assert other.check("s") == []
    wire.lose(scripts.FORGET)
    assert backend.delete_session("s")
    with pytest.raises(SessionNotFoundError):
        other.get_dataframe("s")
    assert len(wire.cuts) == 5


def test_with_replicas_each_change_happens_once(tmp_path: Path) -> None:
    with server(tmp_path / "primary") as primary, server(tmp_path / "replica") as replica:
        with replica.client() as operator, primary.client() as asked:
            operator.execute_command("REPLICAOF", "127.0.0.1", primary.port)
            asked.set("a write", "to wait for", px=1000)
            until(lambda: asked.wait(1, 1000), "the replica has it")
            for script in (scripts.COMMIT, scripts.FORGET):
                asked.script_load(script.source)
        wire, straight = Wire(primary.port), RedisEngine(RedisOptions(primary.url))
        reached = RedisOptions(f"redis://127.0.0.1:{wire.port}", socket_timeout=30)
        engine = RedisEngine(reached, min_replicas=1, replica_timeout=20)
        first, second, third = new_revision(), new_revision(), new_revision()
        wire.lose(scripts.COMMIT)
        engine.commit(A, Change(None, first, b"head", log=[b"made"], ttl=60))
        wire.lose(scripts.COMMIT, meanwhile=lambda: follow(straight, second, 3) and None)
        engine.commit(A, Change(first, second, b"next", large(), frozenset(large()), [b"changed"]))
        assert straight.log(A) == [b"made", b"changed", b"later 0", b"later 1", b"later 2"]
        last = straight.load(A)
        assert last is not None
        again = Change(None, third, b"anew", ttl=60)
        wire.lose(scripts.FORGET, meanwhile=lambda: straight.commit(A, again))
        engine.commit(A, Change(last.revision, new_revision(), None))
        head = straight.load(A)
        assert head is not None
        assert (head.revision, len(wire.cuts)) == (third, 3)
        wire.lose(scripts.FORGET)
        assert engine.discard(A)
        assert straight.load(A) is None
        for each in (engine, straight, wire):
            each.close()

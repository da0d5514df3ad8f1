"""Redis that refuses: rights, room, wrong types, wrong servers. Each has its own error; nothing is torn."""

from __future__ import annotations

import http.server
import inspect
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions as foreign

from framekeep import RedisBackend
from framekeep.engines import scripts
from framekeep.engines.base import Change, blobs
from framekeep.engines.guarded import GuardedEngine
from framekeep.engines.redis import FORMAT, RedisEngine, RedisOptions
from framekeep.engines.redis_errors import translated
from framekeep.errors import (
    Conflict,
    ForeignStoreError,
    FramekeepError,
    InvalidIdError,
    NewerFormatError,
    SessionDamagedError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from framekeep.names import Digest, digest_of, new_revision, space
from framekeep.testing import redis_keyspace
from framekeep.testing.redis_servers import Server, server, until

A = space("session", "a")
B = space("session", "b")
SECRET = "correct-horse-battery"
MIB = 1 << 20

Connect = Callable[..., RedisEngine]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Return an engine on a server, or on a URL; all are closed."""
    made: list[RedisEngine] = []

    def connect(to: Server | str, *, prefix: str = "framekeep", **options: Any) -> RedisEngine:
        url = to if isinstance(to, str) else to.url
        made.append(RedisEngine(RedisOptions(url, **options), prefix=prefix))
        return made[-1]

    yield connect
    for each in made:
        each.close()


@pytest.fixture
def either(binary: str, tmp_path: Path) -> Iterator[Server]:
    """A server of each make."""
    with server(tmp_path / "server", binary=binary) as running:
        yield running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "server") as running:
        yield running


def large(n: int, size: int = MIB) -> dict[Digest, bytes]:
    contents = [bytes([i]) * size for i in range(n)]
    return {digest_of(content): content for content in contents}


def seen(engine: RedisEngine) -> Any:
    """Return what can be seen of a store but for the time that is left."""
    listed = sorted(info.space for info in engine.spaces())
    heads = {name: engine.load(name) for name in listed}
    return (
        {name: head and (head.revision, head.body) for name, head in heads.items()},
        {name: engine.log(name) for name in listed},
        engine.count(),
    )


# --- rights --------------------------------------------------------------------------------------


def limited(running: Server, *words: str) -> dict[str, Any]:
    """Make a user with these words of an ACL, and return how to be it."""
    with running.client() as operator:
        operator.execute_command("ACL", "SETUSER", "one", "reset", "on", f">{SECRET}", *words)
    return {"username": "one", "password": SECRET}


@pytest.mark.parametrize(
    "words",
    [
        ("~{framekeep:*", "+@all", "-evalsha", "-eval"),
        ("~{framekeep:*", "+@all", "-evalsha"),
        ("~{other:*", "+@all"),
        ("+@all",),
        ("~{framekeep:*", "+@all", "-hmget"),
        ("~{framekeep:*",),
        ("~{framekeep:*", "+@all", "-@scripting"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_user_who_may_too_little_is_told_where_to_look(
    either: Server, connect: Connect, words: tuple[str, ...]
) -> None:
    engine = connect(either, **limited(either, *words))
    with pytest.raises(StorageUnavailableError, match=r"REDIS_USERNAME, .* and the user's ACL") as caught:
        engine.load(A)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    health = engine.health()
    assert not health.reachable
    assert "REDIS_USERNAME" in str(health.error)
    assert SECRET not in str(health)


def test_a_script_that_may_not_write_says_so(either: Server, connect: Connect) -> None:
    engine = connect(either, **limited(either, "~{framekeep:*", "+@all", "-hset"))
    with pytest.raises(StorageUnavailableError, match="ACL"):
        engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    assert engine.load(A) is None


def test_a_user_without_info_works_and_health_says_what_it_misses(either: Server, connect: Connect) -> None:
    engine = connect(either, **limited(either, "~{framekeep:*", "+@all", "-info"))
    engine.commit(A, Change(None, new_revision(), b"head", ttl=60))
    health = engine.health()
    assert (health.reachable, health.error) == (True, None)
    assert "INFO" in health.details["warnings"][0]
    assert health.details["topology"] == "single"


def test_rights_that_are_taken_away_are_seen_by_health(running: Server, connect: Connect) -> None:
    engine = connect(running, **limited(running, "~{framekeep:*", "+@all"))
    assert engine.health().error is None
    with running.client() as operator:
        operator.execute_command("ACL", "SETUSER", "one", "resetkeys", "~{other:*")
    assert "REDIS_USERNAME" in str(engine.health().error)


@pytest.mark.parametrize(
    "given",
    [{}, {"password": SECRET}, {"username": "nobody", "password": SECRET}, {"password": ""}],
    ids=["none", "wrong", "unknown user", "empty"],
)
def test_who_is_not_let_in_is_told_so(tmp_path: Path, connect: Connect, given: dict[str, str]) -> None:
    with server(tmp_path / "server", password="the right one") as running:
        engine = connect(running, **given)
        with pytest.raises(StorageUnavailableError, match="does not let this user in") as caught:
            engine.load(A)
        assert "REDIS_PASSWORD" in str(engine.health().error)
        assert SECRET not in "".join(traceback.format_exception(caught.value)) + str(engine.health())


def test_a_password_that_changes_is_found_out(running: Server, connect: Connect) -> None:
    engine = connect(running, **limited(running, "~{framekeep:*", "+@all"))
    assert engine.load(A) is None
    with running.client() as operator:
        operator.execute_command("ACL", "SETUSER", "one", "resetpass", ">another")
        operator.execute_command("CLIENT", "KILL", "USER", "one")
    with pytest.raises(StorageUnavailableError, match="REDIS_PASSWORD"):
        engine.load(A)


# --- room ----------------------------------------------------------------------------------------


def test_a_commit_without_room_changes_nothing(either: Server, connect: Connect) -> None:
    engine = connect(either)
    held, first = large(2, 1000), new_revision()
    engine.commit(A, Change(None, first, b"before", held, log=[b"one"], ttl=60))
    before = seen(engine)
    with either.client() as operator:
        operator.config_set("maxmemory", 1)
        second = Change(first, new_revision(), b"after", large(4, 999), log=[b"two"], ttl=90)
        for refused, change in ((A, second), (B, Change(None, new_revision(), b"new", ttl=60))):
            with pytest.raises(StorageFullError, match="maxmemory"):
                engine.commit(refused, change)
        with pytest.raises(StorageFullError):
            engine.stage(A, large(3, 998))
        assert seen(engine) == before
        assert operator.hlen(engine._keys.of(A).blobs) == len(held)
        assert blobs(engine, A, list(held)) == list(held.values())
        assert engine.touch(A, 120) == first
        head = engine.load(A)
        assert head is not None
        assert head.ttl == pytest.approx(120, abs=5)
        assert engine.health().error is None
        operator.config_set("maxmemory", 0)
    engine.commit(A, second)
    assert engine.log(A) == [b"one", b"two"]


def test_a_value_larger_than_the_server_takes_is_no_server_that_does_not_answer(
    either: Server, connect: Connect
) -> None:
    engine = connect(either)
    with either.client() as operator:
        operator.config_set("proto-max-bulk-len", 1 << 20)
        huge = b"\1" * ((1 << 20) + 1)
        for blob in ({digest_of(huge): huge}, {}):
            change = Change(None, new_revision(), huge, blob, ttl=60)

            def named(change: Change = change) -> bool:
                # The server closes without reading on: its answer may be lost with what it has not read.
                with pytest.raises((StorageFullError, StorageUnavailableError)) as caught:
                    engine.commit(A, change)
                return "proto-max-bulk-len" in str(caught.value)

            until(named, "the answer to come through")
            assert engine.load(A) is None
        operator.config_set("proto-max-bulk-len", 512 << 20)
    engine.commit(A, change)


def test_deleting_makes_room(either: Server, connect: Connect) -> None:
    engine = connect(either)
    first, second = new_revision(), new_revision()
    for name, revision in ((A, first), (B, second)):
        engine.commit(name, Change(None, revision, b"head", large(2), frozenset(large(2)), ttl=60))
    with either.client() as operator:
        operator.config_set("maxmemory", 1)
        engine.commit(A, Change(first, new_revision(), None))
        assert engine.discard(B)
        assert engine.count() == 0
        assert engine.purge() == 0
        left = [key for _, key in redis_keyspace.keys(engine)]
        assert sorted(left) == sorted(engine._keys.of(each).deleted.encode() for each in (A, B))
        assert redis_keyspace.without_expiry(engine) == []


def test_room_that_ends_in_the_middle_leaves_the_old_state(either: Server, connect: Connect) -> None:
    engine = connect(either)
    held, first = large(1, 1000), new_revision()
    engine.commit(A, Change(None, first, b"before", held, log=[b"one"], ttl=60))
    before, new = seen(engine), large(24)
    change = Change(first, new_revision(), b"after", new, frozenset(new), [b"two"], 60)
    with either.client() as operator:
        operator.config_set("maxmemory", operator.info("memory")["used_memory"] + 8 * MIB)
        with pytest.raises(StorageFullError):
            engine.commit(A, change)
        staged = operator.hlen(engine._keys.of(A).blobs) - len(held)
        assert 0 < staged < len(new), "it was not in the middle"
        assert seen(engine) == before
        assert blobs(engine, A, list(held)) == list(held.values())
        # What was stored ahead goes with the next commit that says what stays, once there is room for that.
        operator.config_set("maxmemory", operator.info("memory")["used_memory"] + MIB)
        engine.commit(A, Change(first, second := new_revision(), b"small", keep=frozenset(held)))
        assert operator.hlen(engine._keys.of(A).blobs) == len(held)
        operator.config_set("maxmemory", 0)
    with pytest.raises(Conflict):
        engine.commit(A, change)
    engine.commit(A, Change(second, new_revision(), b"after", new, frozenset(new), [b"two"], 60))
    assert blobs(engine, A, list(new)) == list(new.values())
    assert engine.log(A) == [b"one", b"two"]


# --- keys that are not ours, and formats that are not ours (yet) ------------------------------------


@pytest.mark.parametrize("which", ["head", "blobs", "log"])
def test_a_key_of_another_type_is_somebody_elses(either: Server, connect: Connect, which: str) -> None:
    engine = connect(either)
    engine.commit(B, Change(None, new_revision(), b"head", log=[b"one"], ttl=60))
    with either.client() as operator:
        key = getattr(engine._keys.of(A), which)
        operator.set(key, "theirs")
        digest = digest_of(b"x")
        change = Change(None, new_revision(), b"head", {digest: b"x"}, log=[b"one"], ttl=60)
        calls: dict[str, list[Callable[[], object]]] = {
            "head": [
                lambda: engine.load(A), lambda: engine.commit(A, change), lambda: engine.touch(A, 1.0),
                lambda: engine.log(A), lambda: engine.commit(A, Change(None, new_revision(), None)),
            ],
            "blobs": [
                lambda: engine.stage(A, change.blobs), lambda: engine.read(A, [digest], lambda i, b: None)
            ],
            "log": [],
        }  # fmt: skip
        for call in calls[which]:
            with pytest.raises(ForeignStoreError, match="REDIS_KEY_PREFIX"):
                call()
            assert operator.get(key) == b"theirs"
    head = engine.load(B)
    assert head is not None
    assert engine.log(B) == [b"one"]


def test_a_head_that_somebody_spoilt_is_no_outage(either: Server, connect: Connect) -> None:
    guarded = GuardedEngine(connect(either), retries=0)
    first = new_revision()
    guarded.commit(A, Change(None, first, b"", log=[b"one"], ttl=60.0))
    with either.client() as operator:
        [head] = operator.keys("*session:a:h")
        operator.hset(head, "n", "many")
    for _ in range(10):
        with pytest.raises(SessionDamagedError):
            guarded.commit(A, Change(first, new_revision(), b"", log=[b"two"]))
    assert guarded.states()["answers"]
    guarded.discard(A)
    assert guarded.load(A) is None


def test_an_index_of_another_type_is_somebody_elses(running: Server, connect: Connect) -> None:
    engine = connect(running)
    with running.client() as operator:
        for key in engine._keys.indexes("session:"):
            operator.set(key, "theirs")
    for call in (engine.count, lambda: list(engine.spaces()), engine.purge):
        with pytest.raises(ForeignStoreError, match="REDIS_KEY_PREFIX"):
            call()


def test_a_newer_format_is_left_alone(either: Server, connect: Connect) -> None:
    engine = connect(either)
    first = new_revision()
    engine.commit(A, Change(None, first, b"head", log=[b"one"], ttl=60))
    with either.client() as operator:
        operator.hset(engine._keys.of(A).head, "f", FORMAT + 1)
        before = operator.hgetall(engine._keys.of(A).head)
        for call in (
            lambda: engine.load(A),
            lambda: engine.commit(A, Change(first, new_revision(), b"next")),
            lambda: engine.commit(A, Change(first, new_revision(), b"next", large(3))),
            lambda: engine.commit(A, Change(first, new_revision(), None)),
        ):
            with pytest.raises(NewerFormatError, match=f"format {FORMAT + 1}"):
                call()
        assert operator.hgetall(engine._keys.of(A).head) == before
        backend = RedisBackend(engine)
        with pytest.raises(NewerFormatError):
            backend.get_metadata("a")
        assert engine.discard(A)


# --- servers that cannot --------------------------------------------------------------------------


def test_a_replica_takes_no_writes(either: Server, connect: Connect) -> None:
    engine = connect(either)
    engine.commit(A, Change(None, revision := new_revision(), b"head", ttl=60))
    with either.client() as operator:
        operator.execute_command("REPLICAOF", "127.0.0.1", "1")
        head = engine.load(A)
        assert head is not None
        for call in (
            lambda: engine.commit(A, Change(revision, new_revision(), b"next")),
            lambda: engine.commit(A, Change(revision, new_revision(), None)),
            lambda: engine.stage(A, large(1)),
            lambda: engine.touch(A, 60),
        ):
            with pytest.raises(StorageUnavailableError, match="is a replica"):
                call()
        health = engine.health()
        assert any("takes no writes" in warning for warning in health.details["warnings"])
        operator.execute_command("REPLICAOF", "NO", "ONE")
    engine.commit(A, Change(revision, new_revision(), b"next"))


def test_a_server_that_cannot_save_is_read_and_not_written(either: Server, connect: Connect) -> None:
    engine = connect(either)
    engine.commit(A, Change(None, revision := new_revision(), b"head", ttl=60))
    (either.directory / "dump.rdb").mkdir()  # where its file should go
    with either.client() as operator:
        operator.config_set("save", "3600 1")
        operator.bgsave()
        until(lambda: operator.info("persistence")["rdb_last_bgsave_status"] == "err", "a snapshot fails")
    with pytest.raises(StorageReadOnlyError, match="MISCONF"):
        engine.commit(A, Change(revision, new_revision(), b"next"))
    head = engine.load(A)
    assert head is not None
    assert head.body == b"head"
    health = engine.health()
    assert not health.reachable, "PING is refused too"
    assert "MISCONF" in str(health.error)


def test_a_server_that_is_loading_is_waited_for_by_its_callers(tmp_path: Path, connect: Connect) -> None:
    slow = {"key-load-delay": 10_000, "loading-process-events-interval-bytes": 1024}
    with server(tmp_path / "server", config=slow) as running:
        engine = connect(running)
        engine.commit(A, Change(None, new_revision(), b"head", ttl=600))
        for i in range(100):
            engine.commit(space("temp", f"t{i}"), Change(None, new_revision(), b"x" * 2000, ttl=600))
        with running.client() as operator:
            operator.save()
        running.kill()
        running.launch()
        messages = set()

        def answers() -> bool:
            try:
                return engine.load(A) is not None
            except StorageUnavailableError as error:
                messages.add(str(error))
                return False

        until(answers, "the server has loaded")
        assert any("is loading its data" in message for message in messages), messages


def test_protected_mode_is_named(running: Server, connect: Connect) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but its own")
        address = probe.getsockname()[0]
    with running.client() as operator:
        operator.config_set("bind", f"127.0.0.1 {address}")
    engine = connect(f"redis://{address}:{running.port}")
    with pytest.raises(StorageUnavailableError, match=r"protected mode.* REDIS_PASSWORD"):
        engine.load(A)


def test_a_server_without_a_command_we_need_is_named_too_old(tmp_path: Path, connect: Connect) -> None:
    without = {"rename-command": 'EVALSHA ""'}
    with server(tmp_path / "server", config=without) as running:
        engine = connect(running)
        with pytest.raises(StorageUnavailableError, match="Is it Redis 7 or newer"):
            engine.load(A)
        assert "Is it Redis 7 or newer" in str(engine.health().error)


def test_a_server_that_does_not_understand_our_scripts_is_too_old() -> None:
    """Redis 6.2 says so; it is on no machine that runs the tests."""
    said = "Error compiling script (new function): user_script:1: unexpected symbol near '#'"
    with pytest.raises(StorageUnavailableError) as caught, translated("here:6379"):
        raise foreign.ResponseError(said)
    assert str(caught.value) == (
        "Redis at here:6379 is too old: it does not understand our scripts. Redis 7 or newer, or Valkey 8 or "
        "newer, is needed."
    )


def test_a_database_that_the_server_does_not_have(running: Server, connect: Connect) -> None:
    engine = connect(running, db=999)
    with pytest.raises(StorageUnavailableError, match="DB index is out of range"):
        engine.load(A)


# --- what is no Redis -----------------------------------------------------------------------------


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_web_server_is_no_redis(connect: Connect) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            engine = connect(f"redis://127.0.0.1:{web.server_port}", socket_timeout=2.0, password=SECRET)
            with pytest.raises(StorageUnavailableError, match="does not speak as Redis does") as caught:
                engine.load(A)
            assert SECRET not in "".join(traceback.format_exception(caught.value))
            assert "does not speak as Redis does" in str(engine.health().error)
        finally:
            web.shutdown()
            thread.join()


@pytest.mark.parametrize("again", [True, False])
def test_a_port_that_says_nothing_is_given_up_in_time(connect: Connect, again: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = connect(
            f"redis://127.0.0.1:{silent.getsockname()[1]}", socket_timeout=0.3, retry_on_timeout=again
        )
        took: list[float] = []
        limit = (2 if again else 1) * 0.3 + 1.5
        while len(took) < 5 and (not took or min(took) >= limit):  # a busy machine makes any one slow
            start = time.monotonic()
            with pytest.raises(StorageUnavailableError, match="REDIS_SOCKET_TIMEOUT"):
                engine.load(A)
            took.append(time.monotonic() - start)
    assert 0.25 < min(took) < limit


def test_a_port_that_hangs_up_is_given_up(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:

        def hang_up() -> None:
            try:
                while True:
                    rude.accept()[0].close()
            except OSError:
                return

        thread = threading.Thread(target=hang_up)
        thread.start()
        engine = connect(f"redis://127.0.0.1:{rude.getsockname()[1]}")
        with pytest.raises(StorageUnavailableError, match="not available"):
            engine.load(A)
        rude.shutdown(socket.SHUT_RDWR)
        thread.join()


# --- names and neighbours -------------------------------------------------------------------------


HOSTILE = [
    "a:h", "a}", "{a", "*", "a*", "?", "[a]", "a b", "a\r\nDEL x", "a\0b", "../a", "a/b", "", ":", "a:",
    "ü", "x" * 129, "-a", ".a", "a..b", "session:a", "framekeep:00", "a\n", 7, None, b"a",
]  # fmt: skip


@pytest.mark.parametrize("id", HOSTILE, ids=range(len(HOSTILE)))
def test_no_id_reaches_a_key_that_is_not_its_own(
    places: Any, redis_engine: Callable[..., RedisEngine], id: Any
) -> None:
    import pandas as pd

    engine = redis_engine("valkey")
    backend = RedisBackend(engine)
    frame = pd.DataFrame({"a": [1]})
    calls: list[Callable[[], object]] = [
        lambda: backend.create_session(id, frame, "f", 60),
        lambda: backend.get_dataframe(id),
        lambda: backend.update_dataframe(id, frame),
        lambda: backend.delete_session(id),
        lambda: backend.session_exists(id),
        lambda: backend.touch_session(id, 60),
        lambda: backend.get_audit_log(id),
        lambda: backend.create_temp_storage(id, {"s": frame}, "f"),
        lambda: backend.get_temp_storage(id),
        lambda: backend.delete_temp_storage(id),
    ]
    for call in calls:
        with pytest.raises(InvalidIdError):
            call()
    assert list(redis_keyspace.keys(engine)) == []


def test_stores_of_two_prefixes_do_not_see_each_other(running: Server, connect: Connect) -> None:
    ours, theirs = connect(running, prefix="one"), connect(running, prefix="one.more")
    revision = new_revision()
    ours.commit(A, Change(None, revision, b"ours", large(1, 10), log=[b"ours"], ttl=60))
    assert (theirs.load(A), theirs.log(A), theirs.count(), list(theirs.spaces())) == (None, [], 0, [])
    assert not theirs.discard(A)
    assert theirs.touch(A, 1.0) is None
    theirs.commit(A, Change(None, new_revision(), b"theirs", ttl=60))
    redis_keyspace.remove(theirs)
    head = ours.load(A)
    assert head is not None
    assert (head.body, ours.log(A), ours.count()) == (b"ours", [b"ours"], 1)


def test_a_database_is_a_store_of_its_own(running: Server, connect: Connect) -> None:
    url = f"redis://127.0.0.1:{running.port}/3"
    connect(url, db=5).commit(A, Change(None, new_revision(), b"head", ttl=60))
    assert connect(url).load(A) is None
    assert connect(url.replace("/3", "/5")).load(A) is not None
    with running.client(db=5) as operator:
        assert operator.dbsize() > 0


# --- all of redis-py's errors ----------------------------------------------------------------------


ERRORS = [
    kind
    for _, kind in inspect.getmembers(foreign, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == foreign.__name__
    and kind not in (foreign.ChildDeadlockedError, foreign.IncorrectPolicyType)  # slips of a program
]  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_is_one_of_ours(kind: type[Exception]) -> None:
    error = kind("1 127.0.0.1:1") if issubclass(kind, foreign.AskError) else kind("text")
    with pytest.raises(FramekeepError, match="here"), translated("here"):
        raise error


def test_no_script_is_named_as_another() -> None:
    made = [getattr(scripts, name) for name in dir(scripts) if name.isupper()]
    assert len({script.sha for script in made}) == len(made) > 5

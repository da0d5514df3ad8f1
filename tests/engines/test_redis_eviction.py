"""Keys that Redis evicted, or somebody deleted: a precise error, never a wrong frame, and others unharmed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from redis import Redis

from framekeep import RedisBackend
from framekeep.engines.base import Change
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import (
    SessionDamagedError,
    SessionNotFoundError,
    StorageError,
    TempStorageNotFoundError,
)
from framekeep.names import Space, new_revision, space
from framekeep.testing import redis_keyspace
from framekeep.testing.redis_servers import server

FRAME = pd.DataFrame({"age": np.arange(50.0), "name": [f"n{i}" for i in range(50)]})
NEXT = FRAME.assign(age=FRAME["age"] * 2)


class Store:
    """A store with two sessions, ``a`` and ``b``, each with a version and marks, seen from behind."""

    def __init__(self, connect: Callable[[], RedisEngine]) -> None:
        self._connect = connect
        self.engine = connect()
        self.backend = RedisBackend(self.engine)
        for id in "ab":
            self.backend.create_session(id, FRAME, f"{id}.csv", 600)
            self.backend.set_intentional_missing(id, "age", [3])
            self.backend.commit_dataframe(id, NEXT, "Double")

    def another(self) -> RedisBackend:
        """Return the backend of a worker that has seen nothing."""
        return RedisBackend(self._connect())

    @property
    def operator(self) -> Redis:
        return self.engine._opened().client  # type: ignore[return-value]

    def keys(self, name: str = "session:a") -> Any:
        return self.engine._keys.of(Space(name))

    def is_well(self, id: str) -> bool:
        backend = self.another()
        pd.testing.assert_frame_equal(backend.get_dataframe(id), NEXT)
        pd.testing.assert_frame_equal(backend.get_dataframe(id, version=1), FRAME)
        return backend.check(id) == [] and len(backend.get_audit_log(id)) == 2


def frame_or_damage(
    backend: RedisBackend, id: str, version: int | str = "current"
) -> pd.DataFrame | SessionDamagedError | None:
    """Return the frame, or the error; None for a session that is gone."""
    try:
        return backend.get_dataframe(id, version=version)
    except SessionDamagedError as error:
        return error
    except SessionNotFoundError:
        return None


@pytest.fixture
def store(redis_engine: Callable[..., RedisEngine]) -> Store:
    prefix = f"t{secrets.token_hex(4)}"
    return Store(lambda: redis_engine("valkey", prefix=prefix))


def test_a_head_that_is_gone(store: Store) -> None:
    store.operator.delete(store.keys().head)
    for backend in (store.backend, store.another()):
        for call in (
            lambda b: b.get_dataframe("a"), lambda b: b.get_metadata("a"), lambda b: b.undo("a"),
            lambda b: b.update_dataframe("a", FRAME), lambda b: b.add_audit_entry("a", "x"),
            lambda b: b.session_exists("a"),
            lambda b: b.create_session("a", FRAME, "f", 60), lambda b: b.touch_session("a", 60),
        ):  # fmt: skip
            with pytest.raises(SessionDamagedError, match="head") as caught:
                call(backend)
            assert (caught.value.session_id, caught.value.where) == ("a", "head")
    assert [(each.where, "head is missing" in each.problem) for each in store.backend.check("a")] == [
        ("head", True)
    ]
    assert store.is_well("b")


@pytest.mark.parametrize("field", ["f", "r", "b"])
def test_a_head_that_lost_a_field(store: Store, field: str) -> None:
    store.operator.hdel(store.keys().head, field)
    with pytest.raises(SessionDamagedError) as caught:
        store.another().get_dataframe("a")
    assert (caught.value.session_id, caught.value.where) == ("a", "head")
    assert store.another().check("a")[0].where == "head"
    assert store.is_well("b")
    assert store.backend.delete_session("a")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff" * 100])
def test_a_head_that_is_not_what_was_written(store: Store, body: bytes) -> None:
    store.operator.hset(store.keys().head, "b", body)
    with pytest.raises(SessionDamagedError) as caught:
        store.another().get_dataframe("a")
    assert caught.value.session_id == "a"
    assert store.another().check("a") != []
    assert store.is_well("b")
    assert store.another().delete_session("a")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff" * 100])
def test_a_head_that_is_not_what_was_written_and_was_seen_before(store: Store, body: bytes) -> None:
    """Who knows the state by its revision reads that state, and the next change mends the head."""
    store.operator.hset(store.keys().head, "b", body)
    with pytest.raises(SessionDamagedError):
        store.another().get_dataframe("a")
    pd.testing.assert_frame_equal(store.backend.undo_last_change("a"), FRAME)
    pd.testing.assert_frame_equal(store.another().redo_last_change("a"), NEXT)
    assert store.another().check("a") == []


def test_a_head_that_does_not_know_how_long_its_log_is(store: Store) -> None:
    store.operator.hset(store.keys().head, "n", "many")
    with pytest.raises(SessionDamagedError) as caught:
        store.another().get_audit_log("a")
    assert (caught.value.session_id, caught.value.where) == ("a", "log")
    pd.testing.assert_frame_equal(store.another().get_dataframe("a"), NEXT)
    assert store.is_well("b")


def test_blobs_that_are_gone(store: Store) -> None:
    store.operator.delete(store.keys().blobs)
    backend = store.another()
    for call in (
        lambda: backend.get_dataframe("a"), lambda: backend.get_page("a", 0, 5),
        lambda: backend.get_metadata("a"),
        lambda: backend.update_dataframe("a", FRAME), lambda: backend.commit_dataframe("a", FRAME, "Halve"),
        lambda: backend.get_intentional_missing("a"),
    ):  # fmt: skip
        with pytest.raises(SessionDamagedError, match=r"Session 'a'.*missing") as caught:
            call()
        assert caught.value.session_id == "a"
    found = backend.check("a")
    assert {each.where.partition(":")[0] for each in found} >= {"current", "version 1"}
    assert store.is_well("b")


def test_each_blob_that_is_gone_is_named(store: Store) -> None:
    key = store.keys().blobs
    held = store.operator.hgetall(key)
    assert len(held) > 5
    for digest, blob in held.items():
        store.operator.hdel(key, digest)
        backend = store.another()
        found = [each.where for each in backend.check("a")]
        assert found, digest
        for version, title, frame in (("current", "current", NEXT), (1, "version 1", FRAME)):
            read = frame_or_damage(backend, "a", version)
            if isinstance(read, SessionDamagedError):
                assert read.session_id == "a"
                assert read.where.startswith(("current: ", "version 1: ")), read.where
                assert any(each.startswith(title) for each in found)
            else:
                pd.testing.assert_frame_equal(read, frame)
        store.operator.hset(key, digest, blob)
    assert store.is_well("a")


def test_a_log_that_is_gone(store: Store) -> None:
    store.operator.delete(store.keys().log)
    backend = store.another()
    with pytest.raises(SessionDamagedError, match=r"0 of 2 entries") as caught:
        backend.get_audit_log("a")
    assert (caught.value.session_id, caught.value.where) == ("a", "log")
    assert [each.where for each in backend.check("a")] == ["log"]
    pd.testing.assert_frame_equal(backend.get_dataframe("a"), NEXT)
    backend.add_audit_entry("a", "one more")  # does not hide that others are missing
    with pytest.raises(SessionDamagedError, match=r"1 of 3 entries"):
        backend.get_audit_log("a")
    assert store.is_well("b")


@pytest.mark.parametrize("which", ["head", "blobs", "log", "indexes"])
def test_what_is_damaged_can_be_deleted_and_made_anew(store: Store, which: str) -> None:
    key = getattr(store.keys(), which)
    store.operator.delete(*([key] if isinstance(key, str) else key))
    assert store.backend.delete_session("a")
    assert not store.backend.delete_session("a")
    assert not store.backend.session_exists("a")
    left = {key for _, key in redis_keyspace.keys(store.engine) if b"session:a:" in key}
    assert left <= {store.keys().deleted.encode()}
    assert store.backend.list_sessions() == ["b"]
    store.backend.create_session("a", NEXT, "a.csv", 600)
    assert len(store.backend.get_audit_log("a")) == 1
    assert store.is_well("b")


def test_an_index_that_is_gone_heals_with_the_next_access(store: Store) -> None:
    assert store.backend.list_sessions() == ["a", "b"]
    store.operator.delete(*store.keys().indexes, *store.keys("session:b").indexes)
    assert (store.backend.list_sessions(), store.backend.get_active_sessions_count()) == ([], 0)
    redis_keyspace.age(store.engine, 5)  # an access that hardly moves the expiry is not written down
    pd.testing.assert_frame_equal(store.backend.get_dataframe("a"), NEXT)
    assert (store.backend.list_sessions(), store.backend.get_active_sessions_count()) == (["a"], 1)
    store.backend.add_audit_entry("b", "seen")
    assert (store.backend.list_sessions(), store.backend.get_active_sessions_count()) == (["a", "b"], 2)
    assert redis_keyspace.without_expiry(store.engine) == []


def test_an_index_that_names_what_is_gone_is_only_a_list(store: Store) -> None:
    """Keys deleted behind our back stay listed until they would have expired."""
    keys = store.keys()
    store.operator.delete(keys.head, keys.blobs, keys.log)
    with pytest.raises(SessionNotFoundError):
        store.backend.get_dataframe("a")
    assert "b" in store.backend.list_sessions()
    redis_keyspace.age(store.engine, 601)
    assert (store.backend.list_sessions(), store.backend.cleanup_expired_sessions()) == ([], 2)


def test_a_temporary_storage_that_lost_a_key(store: Store) -> None:
    store.backend.create_temp_storage("t", {"one": FRAME}, "book.xlsx")
    keys = store.keys("temp:t")
    blobs = store.operator.hgetall(keys.blobs)
    store.operator.delete(keys.blobs)
    with pytest.raises(StorageError):
        store.another().get_temp_storage("t")
    store.operator.hset(keys.blobs, mapping=blobs)
    pd.testing.assert_frame_equal(store.another().get_temp_storage("t")["sheets"]["one"], FRAME)
    store.operator.delete(keys.head)
    with pytest.raises((SessionDamagedError, TempStorageNotFoundError)):
        store.another().get_temp_storage("t")
    store.backend.create_temp_storage("t", {"one": NEXT}, "book.xlsx")
    pd.testing.assert_frame_equal(store.another().get_temp_storage("t")["sheets"]["one"], NEXT)


def test_eviction_never_gives_a_wrong_frame(tmp_path: Path) -> None:
    """A server that evicts, and more sessions than it holds."""
    with server(tmp_path / "server", config={"maxmemory-policy": "allkeys-random"}) as running:
        engine = RedisEngine(RedisOptions(running.url))
        backend = RedisBackend(engine)
        with running.client() as operator:
            operator.config_set("maxmemory", operator.info("memory")["used_memory"] + (3 << 20))
            frames = {}
            for i in range(60):
                noise = np.random.default_rng(i).normal(size=10_000)
                frames[f"s{i}"] = pd.DataFrame({"v": noise, "i": np.full(10_000, i)})
                backend.create_session(f"s{i}", frames[f"s{i}"], "f.csv", 600)
            assert operator.info("stats")["evicted_keys"] > 0
            operator.config_set("maxmemory-policy", "noeviction")
            operator.config_set("maxmemory", 0)
        seen = {"well": 0, "damaged": 0, "gone": 0}
        for id, frame in frames.items():
            reader = RedisBackend(engine)
            read = frame_or_damage(reader, id)
            if read is None:
                seen["gone"] += 1
            elif isinstance(read, SessionDamagedError):
                seen["damaged"] += 1
                assert read.session_id == id
                assert reader.check(id) != []
            else:
                seen["well"] += 1
                pd.testing.assert_frame_equal(read, frame)
            assert reader.delete_session(id) == (read is not None)
        assert seen["well"] > 0
        assert seen["damaged"] + seen["gone"] > 10, seen
        engine.close()


def test_health_warns_of_eviction(tmp_path: Path) -> None:
    config = {"maxmemory": "100mb", "maxmemory-policy": "volatile-lru"}
    with server(tmp_path / "server", config=config) as running:
        engine = RedisEngine(RedisOptions(running.url))
        health = engine.health()
        engine.close()
    assert any("volatile-lru" in warning for warning in health.details["warnings"])


def test_a_head_that_comes_back_is_not_believed_with_the_log_of_another(store: Store) -> None:
    """A space made over leftovers starts with an empty log."""
    name = space("temp", "left")
    store.engine.commit(name, Change(None, new_revision(), b"head", log=[b"old", b"older"], ttl=600))
    store.operator.delete(store.keys("temp:left").head)
    store.engine.commit(name, Change(None, new_revision(), b"anew", log=[b"new"], ttl=600))
    assert store.engine.log(name) == [b"new"]

"""Which store a standby stands for: what makes another one of it, and what does not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, Settings
from framekeep.connect import standby_directory, store_of
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.lmdb_store import FILE
from framekeep.errors import SessionNotFoundError, StorageUnavailableError
from framekeep.standby.stores import RECORD, directory_of, look, others, record
from framekeep.testing.redis_servers import Server, server, until

FRAME = pd.DataFrame({"a": [1, 2, 3]})
PLAIN = "redis://redis.example:6379/0"


def settings(url: str, **more: Any) -> Settings:
    return Settings(**{"_env_file": None, "redis_enabled": True, "redis_url": url, **more})


def made(directory: Path, url: str, **more: Any) -> Path:
    """Make the standby of a store."""
    store = store_of(settings(url, **more))
    found = directory_of(directory, store)
    LmdbEngine(found).close()
    record(found, store)
    return found


def found(directory: Path, url: str, members: frozenset[str] = frozenset(), **more: Any) -> Path:
    return standby_directory(settings(url, storage_dir=directory, **more), members)


def test_all_who_open_a_new_standby_at_once_write_down_what_it_stands_for(tmp_path: Path) -> None:
    store = store_of(settings(PLAIN))
    with ThreadPoolExecutor(8) as pool:
        for number in range(50):
            directory = tmp_path / str(number)
            directory.mkdir()
            list(pool.map(record, [directory] * 8, [store] * 8))
            assert [path.name for path in directory.iterdir()] == [RECORD]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("redis://somebody:secret@redis.example:6379/0", {}),
        ("rediss://redis.example:6379/0", {}),
        ("redis://REDIS.example.", {}),
        (PLAIN, {"redis_password": "secret", "redis_username": "somebody"}),
        (PLAIN, {"redis_socket_timeout": 2.0, "redis_retry_on_timeout": False}),
        ("redis://redis.example:6379/7", {"redis_db": 0}),
    ],
    ids=str,
)
def test_one_store_said_otherwise(tmp_path: Path, url: str, more: dict[str, Any]) -> None:
    assert found(tmp_path, url, **more) == made(tmp_path, PLAIN)


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("redis://redis.example:6380/0", {}),
        ("redis://other.example:6379/0", {}),
        ("redis://redis.example:6379/1", {}),
        (PLAIN, {"redis_db": 1}),
        (PLAIN, {"redis_key_prefix": "other"}),
        ("redis+cluster://redis.example:6379", {}),
        ("redis+sentinel://redis.example:6379/name", {}),
        ("unix:///redis.example", {}),
    ],
    ids=str,
)
def test_another_store(tmp_path: Path, url: str, more: dict[str, Any]) -> None:
    assert found(tmp_path, url, **more) != made(tmp_path, PLAIN)


def test_localhost_is_this_machine(tmp_path: Path) -> None:
    assert found(tmp_path, "redis://127.0.0.1") == made(tmp_path, "redis://localhost:6379/0")


def test_sockets_are_told_apart_by_their_path(tmp_path: Path) -> None:
    there = made(tmp_path, "unix:///run/redis/redis.sock")
    assert found(tmp_path, "unix:///run/redis//redis.sock") == there
    assert found(tmp_path, "unix:///run/redis/redis.sock?db=1") != there
    assert found(tmp_path, "unix:///run/other/redis.sock") != there


def test_one_sentinel_that_was_named_before_is_enough(tmp_path: Path) -> None:
    there = made(tmp_path, "redis+sentinel://a:1,b:2,c:3/name/0")
    assert found(tmp_path, "redis+sentinel://c:3,b:2,a:1/name/0") == there
    assert found(tmp_path, "redis+sentinel://d:4,c:3/name/0") == there
    assert found(tmp_path, "redis+sentinel://d:4/name/0") != there
    assert found(tmp_path, "redis+sentinel://a:1,b:2,c:3/other/0") != there
    assert found(tmp_path, "redis+sentinel://a:1,b:2,c:3/name/1") != there


def test_seeds_of_a_cluster_may_change(tmp_path: Path) -> None:
    there = made(tmp_path, "redis+cluster://a:1,b:2")
    assert found(tmp_path, "redis+cluster://b:2,c:3") == there
    assert made(tmp_path, "redis+cluster://b:2,c:3") == there  # and now c is known too
    assert found(tmp_path, "redis+cluster://c:3") == there
    assert found(tmp_path, "redis+cluster://d:4") != there
    assert found(tmp_path, "redis+cluster://d:4", frozenset({"d:4", "a:1"})) == there, "as the Cluster says"
    assert found(tmp_path, "redis+cluster://d:4", frozenset({"d:4", "e:5"})) != there


def test_a_damaged_record_is_made_anew_by_who_has_the_same_settings(tmp_path: Path) -> None:
    there = made(tmp_path, PLAIN)
    for text in ("", "{}", "[]", '{"format": 99}', '{"format": 1, "hosts": 3}'):
        (there / RECORD).write_text(text, encoding="utf-8")
        assert look(there).store is None
        assert found(tmp_path, "redis://other.example") != there
        assert made(tmp_path, PLAIN) == there
        assert look(there).store == store_of(settings(PLAIN))


def test_the_record_holds_no_secret(tmp_path: Path) -> None:
    there = made(tmp_path, "redis://somebody:hunter2@redis.example/0", redis_password="hunter2")
    text = (there / RECORD).read_text(encoding="utf-8")
    assert json.loads(text) == {
        "format": 1,
        "kind": "single",
        "hosts": ["redis.example:6379"],
        "name": "",
        "db": 0,
        "prefix": "framekeep",
    }
    assert "hunter2" not in str(look(there))


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    there = made(tmp_path, PLAIN)
    (there / FILE).write_bytes(b"no store")
    [other] = others(tmp_path)
    assert other.directory == there
    assert other.problem


# --- on real servers ---------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    with server(tmp_path / "one") as one, server(tmp_path / "two") as two:
        yield one, two


def on(running: Server, directory: Path, db: int = 0) -> Settings:
    return settings(
        f"redis://127.0.0.1:{running.port}/{db}",
        storage_dir=directory / "store",
        redis_socket_timeout=5.0,
        breaker_failures=2,
        breaker_cooldown_seconds=0.05,
    )


@pytest.mark.parametrize("which", ["server", "database"])
def test_two_stores_of_a_machine_are_not_mixed(
    two: tuple[Server, Server], tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = two
    first = on(one, tmp_path)
    second = on(other, tmp_path) if which == "server" else on(one, tmp_path, db=1)
    with DataManager(second) as theirs:
        kept = theirs.create_session(FRAME * 2)
        with DataManager(first) as ours:
            session = ours.create_session(FRAME)
            for each in (ours, theirs):
                each.backend.engine.mirror.wait()  # type: ignore[attr-defined]
            one.kill()
            ours.commit_dataframe(session, FRAME * 10, "ten")
            if which == "database":
                with pytest.raises(StorageUnavailableError):
                    theirs.get_dataframe(session)
                assert theirs.get_dataframe(kept)["a"].tolist() == [2, 4, 6]
            else:
                with pytest.raises(SessionNotFoundError):
                    theirs.get_dataframe(session)
            assert session not in theirs.list_sessions()
        # The other service starts anew while that waits, and does not take it.
        if which == "server":
            caplog.clear()
            with caplog.at_level(logging.WARNING), DataManager(second) as theirs_again:
                assert theirs_again.storage_state() == ("standby", "normal")
                assert theirs_again.list_sessions() == [kept]
            [told] = [line for line in caplog.messages if "does not bring back" in line]
            assert told.startswith("Standby: 1 session(s) wait in ")
            assert f"127.0.0.1:{one.port}" in told
        one.start()
        with DataManager(first) as ours:
            until(lambda: ours.storage_state() == ("standby", "normal"), "it is back")
            assert ours.get_dataframe(session)["a"].tolist() == [10, 20, 30]
        assert session not in theirs.list_sessions()


def test_who_goes_back_to_the_embedded_engine_is_told_of_what_waits(
    two: tuple[Server, Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, _ = two
    with DataManager(on(one, tmp_path)) as manager:
        session = manager.create_session(FRAME)
        manager.backend.engine.mirror.wait()  # type: ignore[attr-defined]
        one.kill()
        manager.commit_dataframe(session, FRAME * 10, "ten")
    with caplog.at_level(logging.WARNING):
        embedded = Settings(_env_file=None, storage_dir=tmp_path / "store")
        with DataManager(embedded) as manager:
            assert manager.list_sessions() == []
    assert any("1 session(s) wait in" in line for line in caplog.messages)


def test_a_cluster_is_known_by_any_of_its_servers(places: Any, tmp_path: Path) -> None:
    from framekeep.connect import redis_engine

    cluster = places["cluster"]
    engine = redis_engine(cluster.url)
    members = sorted(engine.members())
    engine.close()
    assert len(members) >= 3
    for seed in (members[0], members[-1]):
        asked = settings(f"redis+cluster://{seed}", storage_dir=tmp_path / "store", redis_key_prefix="seeds")
        with DataManager(asked):
            pass
    assert len(list((tmp_path / "store").glob("standby-*"))) == 1

"""To Redis and back, by the command line, with real servers that fill up and go away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from framekeep.cli.app import run
from framekeep.connect import InMemoryBackend, RedisBackend
from framekeep.testing.redis_servers import Server, cluster, server

from .conftest import everything, people

Migrate = Callable[..., int]


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("valkey"), config={"enable-debug-command": "local"}) as made:
        yield made


@pytest.fixture
def redis(valkey: Server) -> Server:
    client = valkey.client()
    client.flushall()
    client.config_set("maxmemory", 0)
    client.close()
    return valkey


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Migrate:
    monkeypatch.chdir(tmp_path)

    def go(source: str, target: str, *more: str) -> int:
        return run(["migrate", "--from", source, "--to", target, *more])

    return go


@pytest.fixture
def here(tmp_path: Path) -> Iterator[InMemoryBackend]:
    backend = InMemoryBackend(tmp_path / "one")
    for i in range(6):
        backend.create_session(f"s{i}", people(100 * i), "f.csv", 3600)
        backend.commit_dataframe(f"s{i}", people(200 * i + 1), "more")
    backend.set_intentional_missing("s1", "age", [0], reason="not asked")
    backend.create_temp_storage("t", {"a": people(9)}, "book.xlsx", 600)
    yield backend
    backend.close()


def same(one: InMemoryBackend | RedisBackend, two: InMemoryBackend | RedisBackend) -> None:
    assert one.list_sessions() == two.list_sessions()
    for id in one.list_sessions():
        assert everything(one.engine, f"session:{id}") == everything(two.engine, f"session:{id}")
        assert two.check(id) == []


def test_to_redis_and_back_while_both_are_in_use(go: Migrate, here: InMemoryBackend, redis: Server) -> None:
    assert go("one", redis.url) == 0
    with closing(RedisBackend(redis.url)) as there:
        same(here, there)
        pd.testing.assert_frame_equal(there.get_temp_storage("t")["sheets"]["a"], people(9))
        here.commit_dataframe("s1", people(7), "before the switch")
        assert go("one", redis.url) == 0
        same(here, there)
        there.commit_dataframe("s2", people(8), "after the switch")
        there.create_session("new", people(3), "f", 3600)
        assert go(redis.url, "one") == 0
        same(there, here)
        here.commit_dataframe("s3", people(1), "here")
        there.commit_dataframe("s3", people(2), "there")
        assert go("one", redis.url) == 5
        assert (len(here.get_dataframe("s3")), len(there.get_dataframe("s3"))) == (1, 2)


def test_every_key_of_a_copy_expires(go: Migrate, here: InMemoryBackend, redis: Server) -> None:
    assert go("one", redis.url) == 0
    client = redis.client()
    keys = client.keys()
    assert len(keys) > 6
    assert [key for key in keys if client.pttl(key) < 0] == []
    client.close()


def test_from_one_redis_to_another(
    go: Migrate,
    here: InMemoryBackend,
    redis: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    binary_of: Callable[[str], str],
) -> None:
    with server(tmp_path / "other", binary=binary_of("redis-server"), password="a-secret") as other:
        url = other.url.replace("redis://", "redis://:a-secret@")
        assert go("one", redis.url) == 0
        assert go(redis.url, url, "--storage-dir", "kept") == 0
        [journal] = tmp_path.glob("kept/*.journal")
        assert "a-secret" not in journal.read_text()
        with closing(RedisBackend(url)) as there:
            same(here, there)
        # The settings' credentials are for the settings' Redis, however it is spelled, and for no other.
        monkeypatch.setenv("REDIS_URL", other.url)
        monkeypatch.setenv("REDIS_PASSWORD", "a-secret")
        assert go(redis.url, "redis", "--storage-dir", "kept") == 0
        assert go(redis.url, other.url, "--storage-dir", "kept") == 0
        assert [path.name for path in tmp_path.glob("kept/*.journal")] == [journal.name]


def test_to_a_cluster(go: Migrate, here: InMemoryBackend, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", replicas=0) as servers:
        assert go("one", servers.url) == 0
        with closing(RedisBackend(servers.url)) as there:
            same(here, there)
            there.undo("s1")
        assert go(servers.url, "one") == 0
        assert len(here.get_dataframe("s1")) == 100


def test_a_full_redis_is_reported_and_the_next_pass_goes_on(
    go: Migrate, here: InMemoryBackend, redis: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    here.create_session("large", people(400_000), "f", 3600)
    client = redis.client()
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (3 << 20))
    assert go("one", redis.url) == 7
    assert "not reached" in capsys.readouterr().out
    client.config_set("maxmemory", 0)
    client.close()
    assert go("one", redis.url) == 0
    with closing(RedisBackend(redis.url)) as there:
        same(here, there)


def test_a_redis_that_is_not_there_is_reported(
    go: Migrate, here: InMemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go("one", "redis://:a-secret@127.0.0.1:1/0") == 6
    said = capsys.readouterr()
    assert "a-secret" not in said.out + said.err
    assert go("redis://:a-secret@127.0.0.1:1/0", "two") == 6


def test_a_redis_that_dies_in_the_middle_is_reported_and_the_next_pass_goes_on(
    here: InMemoryBackend, tmp_path: Path
) -> None:
    for i in range(30):
        here.create_session(f"m{i}", people(50_000), "f", 3600)
    with server(tmp_path / "dies", config={"appendonly": "yes"}) as dying:
        words = ["-m", "framekeep.cli", "migrate", "--from", "one", "--to", dying.url, "--json"]
        process = subprocess.Popen([sys.executable, *words], cwd=tmp_path, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while not any(path.read_bytes().count(b"\n") > 20 for path in tmp_path.glob("one/*.journal")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.001)
        dying.kill()
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 6, out
        assert b'"storage_unavailable"' in out
        dying.start()
        here.commit_dataframe("m3", people(5), "meanwhile")
        again = subprocess.run([sys.executable, *words], cwd=tmp_path, stdout=subprocess.PIPE, check=False)
        assert again.returncode == 0, again.stdout
        with closing(RedisBackend(dying.url)) as there:
            same(here, there)

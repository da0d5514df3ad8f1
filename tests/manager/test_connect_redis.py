"""Which backend the settings get when Redis is asked for; what is said about it; and no password anywhere."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, RedisBackend, Settings
from framekeep.connect import InMemoryBackend, connect
from framekeep.errors import BackendStartError, ConfigurationError, StorageUnavailableError
from framekeep.testing.redis_servers import Server, server, until

SECRET = "correct-horse-battery"
FRAME = pd.DataFrame({"a": [1, 2, 3]})

HEALTH = {
    "status", "backend_type", "backend_class", "engine", "reachable", "latency_ms", "active_sessions",
    "redis_enabled", "redis_available", "redis_info", "error",
}  # fmt: skip
INFO = {"version", "used_memory_mb", "connected_clients", "total_commands_processed", "role", "topology"}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a password."""
    with server(tmp_path_factory.mktemp("redis") / "server", password=SECRET) as running:
        yield running


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, which it may kill."""
    with server(tmp_path / "server", password=SECRET) as running:
        yield running


def settings(directory: Path, **values: Any) -> Settings:
    return Settings(_env_file=None, storage_dir=directory / "store", **values)


def on(running: Server, directory: Path, **values: Any) -> Settings:
    given = {"redis_enabled": True, "redis_url": f"redis://:{SECRET}@127.0.0.1:{running.port}/0"}
    return settings(directory, **given | values)


def nobody() -> str:
    """Return a URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    return f"redis://someone:{SECRET}@127.0.0.1:{port}/0"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "framekeep"]


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("fallback", [True, False])
def test_redis_that_is_not_asked_for_is_not_used(
    redis: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, answers: bool, fallback: bool
) -> None:
    asked = on(redis, tmp_path, redis_enabled=False, storage_fallback_to_memory=fallback)
    if not answers:
        asked = settings(tmp_path, redis_url=nobody(), storage_fallback_to_memory=fallback)
    with caplog.at_level(logging.DEBUG), DataManager(asked) as manager:
        assert (manager.get_backend_type(), manager.is_redis_enabled()) == ("inmemory", False)
        assert manager.get_backend_health()["status"] == "healthy"
    assert lines(caplog) == ["Storage backend: InMemoryBackend"]


@pytest.mark.parametrize("fallback", [True, False])
@pytest.mark.parametrize("asking", [{"redis_enabled": True}, {"storage_backend": "redis"}], ids=str)
def test_redis_that_answers_is_used(
    redis: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, fallback: bool, asking: dict[str, Any]
) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{redis.port}/0"
    asked = settings(tmp_path, redis_url=url, storage_fallback_to_memory=fallback, **asking)
    with caplog.at_level(logging.DEBUG), DataManager(asked) as manager:
        assert isinstance(manager.backend, RedisBackend)
        assert (manager.get_backend_type(), manager.is_redis_enabled()) == ("redis", True)
        session = manager.create_session(FRAME)
        pd.testing.assert_frame_equal(manager.get_dataframe(session), FRAME)
        manager.delete_session(session)
    connected, chosen = lines(caplog)[:2]
    assert connected.startswith(f"Redis: Connected to 127.0.0.1:{redis.port} (valkey ")
    assert chosen == "Storage backend: RedisBackend"
    assert SECRET not in caplog.text
    assert not (tmp_path / "store" / "framekeep.mdb").exists()


def test_redis_that_does_not_answer_is_replaced_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = settings(tmp_path, redis_enabled=True, redis_url=nobody())
    with caplog.at_level(logging.DEBUG), DataManager(asked) as manager:
        assert isinstance(manager.backend, InMemoryBackend)
        assert manager.get_backend_type() == "inmemory"
        health = manager.get_backend_health()
        session = manager.create_session(FRAME)
        pd.testing.assert_frame_equal(manager.get_dataframe(session), FRAME)
    warned, chosen = lines(caplog)[:2]
    assert warned.startswith("Falling back to InMemoryBackend: RedisBackend is not available: ")
    assert next(record.levelname for record in caplog.records if record.name == "framekeep") == "WARNING"
    assert "Connection refused" in warned
    assert chosen == "Storage backend: InMemoryBackend"
    assert health["status"] == "degraded"
    assert "Falling back to InMemoryBackend" in health["error"]
    assert (health["redis_enabled"], health["redis_available"], health["redis_info"]) == (True, False, None)
    assert SECRET not in caplog.text + str(health)


def test_redis_that_does_not_answer_stops_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = nobody()
    asked = settings(tmp_path, redis_enabled=True, redis_url=url, storage_fallback_to_memory=False)
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(RuntimeError, match=r"Failed to initialize RedisBackend: .*refused") as caught,
    ):
        DataManager(asked)
    assert isinstance(caught.value, BackendStartError)
    assert "STORAGE_FALLBACK_TO_MEMORY" in str(caught.value)
    assert any(line.startswith("Failed to initialize RedisBackend: ") for line in lines(caplog))
    assert "Storage backend:" not in caplog.text
    whole = "".join(traceback.format_exception(caught.value))
    assert SECRET not in whole + repr(caught.value) + caplog.text
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis_password": "not-" + SECRET},
        {"redis_username": "nobody"},
        {"redis_db": 999},
        {"redis_url": f"redis+sentinel://:{SECRET}@127.0.0.1:1/mymaster"},
        {"redis_url": f"redis+cluster://:{SECRET}@127.0.0.1:1"},
        {"redis_url": f"rediss://:{SECRET}@127.0.0.1:PORT", "redis_socket_timeout": 1.0},
        {"redis_url": f"redis+cluster://:{SECRET}@127.0.0.1:PORT"},
        {"redis_url": f"unix://:{SECRET}@/nowhere/redis.sock"},
        {"redis_url": f"redis://:{SECRET}@nowhere.invalid"},
    ],
    ids=str,
)
def test_whatever_keeps_redis_from_answering_is_a_reason_to_fall_back(
    redis: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    if "redis_url" in wrong:
        wrong = {**wrong, "redis_url": wrong["redis_url"].replace("PORT", str(redis.port))}
    with caplog.at_level(logging.DEBUG), DataManager(on(redis, tmp_path, **wrong)) as manager:
        assert manager.get_backend_type() == "inmemory"
        assert manager.get_backend_health()["status"] == "degraded"
        assert SECRET not in str(manager.get_backend_health()) + repr(manager) + repr(manager.backend)
    assert "Falling back to InMemoryBackend" in caplog.text
    assert SECRET not in caplog.text
    with pytest.raises(BackendStartError) as caught:
        connect(on(redis, tmp_path, storage_fallback_to_memory=False, **wrong))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("fallback", [True, False])
def test_a_malformed_url_is_no_reason_to_fall_back(tmp_path: Path, fallback: bool) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:port/0"
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        DataManager(
            settings(tmp_path, redis_enabled=True, redis_url=url, storage_fallback_to_memory=fallback)
        )
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("prefix", ["", "a b", "a:b", "a{b", "a}b", "a*", "ü", "x" * 65, "a\n"])
def test_a_prefix_that_would_break_the_names_of_keys_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_KEY_PREFIX"):
        settings(tmp_path, redis_key_prefix=prefix)


def test_rights_that_are_missing_are_found_out_at_the_start(redis: Server, tmp_path: Path) -> None:
    with redis.client() as operator:
        operator.execute_command("ACL", "SETUSER", "guest", "reset", "on", f">{SECRET}", "~{other:*", "+@all")
    asked = on(redis, tmp_path, redis_username="guest", storage_fallback_to_memory=False)
    with pytest.raises(RuntimeError, match=r"Failed to initialize .* REDIS_USERNAME.* ACL") as caught:
        DataManager(asked)
    assert SECRET not in str(caught.value)


# --- health ---------------------------------------------------------------------------------------


def test_health_of_redis_has_every_key(redis: Server, tmp_path: Path) -> None:
    with DataManager(on(redis, tmp_path)) as manager:
        session = manager.create_session(FRAME)
        health = manager.get_backend_health()
        manager.delete_session(session)
    assert set(health) >= HEALTH
    assert {key: health[key] for key in HEALTH - {"latency_ms", "redis_info"}} == {
        "status": "healthy", "backend_type": "redis", "backend_class": "RedisBackend", "engine": "redis",
        "reachable": True, "active_sessions": 1, "redis_enabled": True, "redis_available": True,
        "error": None,
    }  # fmt: skip
    assert 0 < health["latency_ms"] < 1000
    info = health["redis_info"]
    assert set(info) == INFO
    assert (info["role"], info["topology"]) == ("master", "single")
    assert info["version"].split(".")[0].isdigit()
    assert 0 < info["used_memory_mb"] < 1000
    assert info["connected_clients"] >= 1
    assert info["total_commands_processed"] > 0
    assert SECRET not in json.dumps(health)


def test_health_of_the_embedded_engine_has_every_key(tmp_path: Path) -> None:
    with DataManager(settings(tmp_path)) as manager:
        manager.create_session(FRAME)
        health = manager.get_backend_health()
    assert set(health) >= HEALTH
    assert {key: health[key] for key in HEALTH - {"latency_ms"}} == {
        "status": "healthy", "backend_type": "inmemory", "backend_class": "InMemoryBackend", "engine": "lmdb",
        "reachable": True, "active_sessions": 1, "redis_enabled": False, "redis_available": False,
        "redis_info": None, "error": None,
    }  # fmt: skip
    json.dumps(health)


def test_health_says_that_redis_died_and_that_it_is_back(mortal: Server, tmp_path: Path) -> None:
    with DataManager(on(mortal, tmp_path, storage_fallback_to_memory=False)) as manager:
        session = manager.create_session(FRAME)
        mortal.kill()
        health = manager.get_backend_health()
        assert set(health) >= HEALTH
        assert (health["status"], health["reachable"], health["mode"]) == ("unhealthy", False, "strict")
        assert (health["redis_enabled"], health["redis_available"]) == (True, False)
        assert (health["redis_info"] or {}) == {}
        assert health["active_sessions"] is None or health["active_sessions"] == 0
        assert "RedisBackend is not available" in health["error"]
        assert SECRET not in json.dumps(health)
        with pytest.raises(StorageUnavailableError) as caught:
            manager.get_dataframe(session)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert manager.get_backend_type() == "redis", "a running process does not change its backend"
        mortal.start()
        assert manager.get_backend_health()["status"] == "healthy"


def test_with_a_standby_work_goes_on_and_health_says_so(mortal: Server, tmp_path: Path) -> None:
    with DataManager(on(mortal, tmp_path)) as manager:
        session = manager.create_session(FRAME)
        assert (manager.get_backend_health()["mode"], manager.storage_state()) == (
            "standby",
            ("standby", "normal"),
        )
        mortal.kill()
        assert manager.get_backend_health()["error"].startswith(
            "Sessions used here lately are served from this"
        )
        with manager.edit(session, "while it is away") as df:
            df["a"] = [7, 8, 9]
        health = manager.get_backend_health()
        assert (health["status"], health["reachable"], health["redis_available"]) == (
            "degraded",
            False,
            False,
        )
        assert "1 session(s) are served from this machine" in health["error"]
        assert manager.get_backend_type() == "redis"
        assert SECRET not in json.dumps(health)
    # A process that starts meanwhile goes on where the others are, and splits nothing.
    with DataManager(on(mortal, tmp_path)) as manager:
        assert manager.get_backend_type() == "redis"
        assert manager.storage_state() == ("standby", "outage"), "it was away just now"
        assert manager.get_dataframe(session)["a"].tolist() == [7, 8, 9]
        mortal.start()
        until(lambda: manager.storage_state() == ("standby", "normal"), "what was done here is in Redis")
        assert manager.get_backend_health()["status"] == "healthy"
    with DataManager(on(mortal, tmp_path / "another machine")) as other:
        assert other.get_dataframe(session)["a"].tolist() == [7, 8, 9]


def test_a_user_without_info_has_a_health(redis: Server, tmp_path: Path) -> None:
    with redis.client() as operator:
        rights = ("~{framekeep:*", "+@all", "-info")
        operator.execute_command("ACL", "SETUSER", "shy", "reset", "on", f">{SECRET}", *rights)
    with DataManager(on(redis, tmp_path, redis_username="shy")) as manager:
        health = manager.get_backend_health()
    assert (health["status"], health["redis_available"]) == ("healthy", True)
    assert health["redis_info"]["topology"] == "single"


def test_closing_the_manager_closes_its_connections(redis: Server, tmp_path: Path) -> None:
    with redis.client() as operator:

        def ours() -> int:
            return len([each for each in operator.client_list() if each["name"] == "framekeep"])

        before = ours()
        with DataManager(on(redis, tmp_path)) as manager:
            manager.create_session(FRAME)
            assert ours() > before
        until(lambda: ours() == before, "its connections are closed")


def test_a_start_that_failed_leaves_no_connection(redis: Server, tmp_path: Path) -> None:
    with redis.client() as operator:
        operator.execute_command("ACL", "SETUSER", "half", "reset", "on", f">{SECRET}", "~{other:*", "+@all")
        with pytest.raises(BackendStartError):
            connect(on(redis, tmp_path, redis_username="half", storage_fallback_to_memory=False))
        until(lambda: not [c for c in operator.client_list() if c["user"] == "half"], "they are closed")


# --- a process -------------------------------------------------------------------------------------


def start(directory: Path, **values: str) -> subprocess.Popen[str]:
    """Start ``framekeep serve`` with these settings and no others."""
    directory.mkdir(exist_ok=True)
    ours = {variable.name for variable in Settings.variables()}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        [sys.executable, "-m", "framekeep.cli", "serve", "--port", "0"],
        cwd=directory,
        env=clean | {"STORAGE_DIR": str(directory / "store")} | values,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_service_without_redis_and_without_fallback_ends_with_a_code(tmp_path: Path) -> None:
    process = start(
        tmp_path / "in", REDIS_ENABLED="true", REDIS_URL=nobody(), STORAGE_FALLBACK_TO_MEMORY="false"
    )
    said, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, 1, None)
    assert "Failed to initialize RedisBackend" in said
    assert "Traceback" not in said
    assert SECRET not in said


@pytest.mark.parametrize("answers", [True, False])
def test_a_service_says_which_backend_it_has(redis: Server, tmp_path: Path, answers: bool) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:{redis.port}/0" if answers else nobody()
    process = start(tmp_path / "in", REDIS_ENABLED="true", REDIS_URL=url)
    said: list[str] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "Application startup complete" in line:
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    log = "".join(said) + rest
    expected = (
        ["Redis: Connected", "Storage backend: RedisBackend"]
        if answers
        else ["Falling back to InMemoryBackend", "Storage backend: InMemoryBackend"]
    )
    for line in expected:
        assert line in log
    assert SECRET not in log
    assert process.returncode == 0


def test_who_does_not_answer_is_asked_again_by_the_client_alone(
    redis: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DataManager(on(redis, tmp_path, storage_fallback_to_memory=False)) as manager:
        guard = manager.backend.guard  # type: ignore[attr-defined]
        asked: list[object] = []

        def silent(space: object) -> None:
            asked.append(space)
            raise StorageUnavailableError("no answer")

        monkeypatch.setattr(guard.inner, "load", silent)
        with pytest.raises(StorageUnavailableError, match="no answer"):
            manager.get_metadata("somebody")
        assert len(asked) == 1

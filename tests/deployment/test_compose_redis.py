"""The command and the configuration of the compose file's Redis, run by real servers as they stand there."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from container import CONF, MOUNTED, PASSWORD, started


@pytest.fixture
def run(binary: str, tmp_path: Path, composed: dict[str, Any]) -> Callable[..., Any]:
    return lambda: started(tmp_path / "container", composed["services"]["redis"], binary)


def test_the_configuration_is_mounted_where_the_command_reads_it(composed: dict[str, Any]) -> None:
    service = composed["services"]["redis"]
    assert f"./deploy/redis.conf:{MOUNTED}:ro" in service["volumes"]
    assert MOUNTED in service["command"][-1]


def test_the_server_takes_the_configuration(run: Callable[..., Any]) -> None:
    written = dict(re.findall(r"(?m)^([a-z-]+) (.+)$", CONF.read_text(encoding="utf-8")))
    assert {"appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save"} <= set(written)
    with run() as container, container.client(decode_responses=True) as client:
        found = {name: client.config_get(name)[name] for name in written}
    wanted = {**written, "save": "", "maxmemory": str(1 << 30)}
    assert found == wanted
    assert (found["appendonly"], found["maxmemory-policy"]) == ("yes", "noeviction")


@pytest.mark.parametrize("password", [None, "wrong", PASSWORD.partition(" ")[0]])
def test_it_asks_for_the_password(run: Callable[..., Any], password: str | None) -> None:
    with (
        run() as container,
        container.client(password=password) as client,
        pytest.raises((redis.AuthenticationError, redis.ResponseError)),
    ):
        client.ping()


def test_no_list_of_processes_shows_the_password(run: Callable[..., Any]) -> None:
    with run() as container:
        shown = Path(f"/proc/{container.process.pid}/cmdline").read_bytes()
        assert PASSWORD.encode() not in shown
        assert b"redis-server" in shown  # the server itself, and no shell in front of it
        assert PASSWORD not in container.log()


def test_a_stopped_server_has_written_all_down(run: Callable[..., Any]) -> None:
    with run() as container:
        with container.client() as client:
            client.hset("{framekeep:00}:session:a:h", "r", "1")
        assert container.stop() == 0
        container.start()
        with container.client() as client:
            assert client.hget("{framekeep:00}:session:a:h", "r") == b"1"


def test_a_killed_server_keeps_what_it_acknowledged(run: Callable[..., Any]) -> None:
    with run() as container:
        with container.client() as client:
            for number in range(100):
                client.hset("{framekeep:00}:session:a:h", f"f{number}", "1")
        container.stop(signal.SIGKILL)
        container.start()
        with container.client() as client:
            assert client.hlen("{framekeep:00}:session:a:h") == 100


def test_a_full_server_refuses_and_forgets_nothing(run: Callable[..., Any]) -> None:
    with run() as container, container.client() as client:
        client.config_set("maxmemory", 8 << 20)
        client.set("{framekeep:00}:first", b"1", ex=3600)
        large = {f"{{framekeep:00}}:{number}": bytes(1 << 20) for number in range(16)}
        with client.pipeline(transaction=False) as pipe:
            for name, value in large.items():
                pipe.set(name, value, ex=3600)
            answers = pipe.execute(raise_on_error=False)
        assert isinstance(answers[-1], redis.exceptions.OutOfMemoryError)
        assert client.get("{framekeep:00}:first") == b"1"
        assert client.info("stats")["evicted_keys"] == 0


def test_its_health_check_tells_a_server_that_answers(
    run: Callable[..., Any], binary_of: Callable[[str], str]
) -> None:
    binary_of("redis-cli")
    with run() as container:
        assert container.healthy()
        container.environment["REDIS_PASSWORD"] = "wrong"
        assert not container.healthy()
        container.environment["REDIS_PASSWORD"] = PASSWORD
        container.stop()
        assert not container.healthy()

"""The compose file's service beside its Redis: the environment that stands there, and real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from container import PASSWORD, Container, started

from framekeep.testing.redis_servers import until

KEY = "a-key-of-a-test-0001"
HEADERS = {"authorization": f"Bearer {KEY}"}


def environment(service: dict[str, Any], **given: str) -> dict[str, str]:
    """Return a service's environment as Compose would fill it in."""

    def filled(found: re.Match[str]) -> str:
        name, how, other = found.groups()
        value = given.get(name, "")
        assert value or how == ":-", f"{name} is not given: {other}"
        return value or other

    return {
        name: re.sub(r"\$\{([A-Z_]+)(:[-?])([^}]*)\}", filled, value)
        for name, value in service["environment"].items()
    }


@dataclass
class Service:
    """The service, as it runs here."""

    process: subprocess.Popen[bytes]
    url: str
    check: list[str]

    def get(self, path: str) -> httpx2.Response:
        with httpx2.Client(base_url=self.url, trust_env=False, timeout=60) as client:
            return client.get(path, headers=HEADERS)

    def healthy(self) -> bool:
        """Run its health check."""
        kind, program, option, code = self.check
        assert (kind, program, option) == ("CMD", "python", "-c")
        code = code.replace("8000", self.url.rpartition(":")[2])
        return (
            subprocess.run(
                [sys.executable, option, code], capture_output=True, timeout=60, check=False
            ).returncode
            == 0
        )


@contextmanager
def serving(directory: Path, service: dict[str, Any], port: int, **given: str) -> Iterator[Service]:
    told = environment(service, REDIS_PASSWORD=PASSWORD, API_KEYS=KEY, **given)
    told |= {"STORAGE_DIR": str(directory / "store"), "SERVE_PORT": "0"}
    told["REDIS_URL"] = told["REDIS_URL"].replace("//redis:6379", f"//127.0.0.1:{port}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "framekeep.cli", "serve", "--host", "0.0.0.0"],
            cwd=directory,
            env={"PATH": os.environ["PATH"], **told},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def listening() -> str | None:
        text = (directory / "log").read_text(encoding="utf-8")
        assert process.poll() is None, text
        found = re.search(r"http://0\.0\.0\.0:(\d+)", text)
        return f"http://127.0.0.1:{found[1]}" if found else None

    try:
        made = Service(process, until(listening, "the service listens"), service["healthcheck"]["test"])
        until(made.healthy, "the service is healthy")
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def kept(tmp_path: Path, composed: dict[str, Any], binary_of: Callable[[str], str]) -> Iterator[Container]:
    """The Redis of the compose file."""
    with started(tmp_path / "redis", composed["services"]["redis"], binary_of("valkey-server")) as container:
        yield container


def upload(service: Service) -> str:
    with httpx2.Client(base_url=service.url, trust_env=False, timeout=60) as client:
        done = client.post(
            "/api/v1/upload?filename=people.csv", content=b"id,age\n1,34\n2,51\n", headers=HEADERS
        )
    assert done.status_code in (200, 201), done.text
    return str(done.json()["session_id"])


def test_sessions_are_in_redis_and_outlast_the_service(
    kept: Container, composed: dict[str, Any], tmp_path: Path
) -> None:
    service = composed["services"]["framekeep"]
    with serving(tmp_path, service, kept.port) as first:
        found = first.get("/health/storage").json()
        assert (found["status"], found["backend_type"], found["redis_available"]) == (
            "healthy",
            "redis",
            True,
        )
        assert PASSWORD not in str(found)
        session = upload(first)
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    with serving(tmp_path, service, kept.port) as second:
        assert second.get(f"/api/v1/sessions/{session}").status_code == 200
    assert PASSWORD not in (tmp_path / "log").read_text(encoding="utf-8")


def test_sessions_outlast_redis(kept: Container, composed: dict[str, Any], tmp_path: Path) -> None:
    with serving(tmp_path, composed["services"]["framekeep"], kept.port) as service:
        session = upload(service)
        assert kept.stop() == 0
        until(lambda: not service.healthy(), "the health check sees that Redis is gone")
        assert service.get("/health").status_code == 200  # alive all the same: to restart it would not help
        kept.start()
        until(service.healthy, "the health check sees that Redis is back")
        assert service.get(f"/api/v1/sessions/{session}").status_code == 200


def test_the_rollback_works_while_redis_is_down(
    kept: Container, composed: dict[str, Any], tmp_path: Path
) -> None:
    service = composed["services"]["framekeep"]
    with serving(tmp_path, service, kept.port) as before:
        session = upload(before)
    kept.stop()
    with serving(tmp_path, service, kept.port, REDIS_ENABLED="false") as back:
        found = back.get("/health/storage").json()
        assert (found["status"], found["backend_type"]) == ("healthy", "inmemory")
        assert back.get(f"/api/v1/sessions/{session}").status_code == 404
        meanwhile = upload(back)
    kept.start()
    with serving(tmp_path, service, kept.port) as again:
        assert again.get(f"/api/v1/sessions/{session}").status_code == 200
        assert again.get(f"/api/v1/sessions/{meanwhile}").status_code == 404


def test_it_does_not_start_on_a_redis_that_is_down(
    kept: Container, composed: dict[str, Any], tmp_path: Path
) -> None:
    kept.stop()
    with (
        pytest.raises(AssertionError, match="Failed to initialize RedisBackend"),
        serving(tmp_path, composed["services"]["framekeep"], kept.port),
    ):
        pass


def test_compose_itself_asks_for_secrets(composed: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="REDIS_PASSWORD is not given"):
        environment(composed["services"]["redis"])


def test_a_policy_that_deletes_sessions_is_a_warning(
    kept: Container, composed: dict[str, Any], tmp_path: Path
) -> None:
    with kept.client() as operator:
        operator.config_set("maxmemory-policy", "allkeys-lru")
    with serving(tmp_path, composed["services"]["framekeep"], kept.port):
        text = (tmp_path / "log").read_text(encoding="utf-8")
    assert "maxmemory-policy is allkeys-lru" in text

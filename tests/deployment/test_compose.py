"""docker-compose.yml: what it promises, read; that its server starts is in test_compose_redis.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from compose import faults, seconds, size
from dockerfile import stages

from framekeep.config import Settings

ROOT = Path(__file__).parents[2]
DEFAULTS = {variable.name: variable.default for variable in Settings.variables()}
PASSWORD = "a-password-of-a-test"
KEY = "a-key-of-a-test-0001"


def test_the_services_are_as_they_should_be(composed: dict[str, Any]) -> None:
    assert set(composed["services"]) == {"redis", "redis-ui", "framekeep"}
    assert faults(composed) == []


@pytest.mark.parametrize(
    ("service", "key", "value", "fault"),
    [
        ("redis", "image", "redis:latest", "not pinned"),
        ("redis-ui", "image", "redis/redisinsight", "not pinned"),
        ("redis", "ports", ["6379:6379"], "loopback"),
        ("redis-ui", "ports", ["0.0.0.0:5540:5540"], "loopback"),
        ("redis", "ports", [6379], "loopback"),
        ("redis", "mem_limit", None, "mem_limit"),
        ("framekeep", "restart", None, "restart"),
        ("framekeep", "restart", "no", "restart"),
        ("redis", "user", None, "root"),
        ("redis", "user", "0:0", "root"),
        ("redis", "user", "redis", "root"),
        ("framekeep", "user", "0:0", "owner"),
        ("redis", "cap_drop", None, "capabilities"),
        ("redis", "cap_add", ["SYS_ADMIN"], "capabilities"),
        ("redis-ui", "security_opt", None, "no-new-privileges"),
        ("framekeep", "privileged", True, "host"),
        ("framekeep", "network_mode", "host", "host"),
        ("redis-ui", "volumes", ["/var/run/docker.sock:/var/run/docker.sock:ro"], "host"),
        ("redis", "volumes", ["./deploy/redis.conf:/usr/local/etc/redis/redis.conf"], "written"),
        ("redis", "volumes", ["elsewhere:/data"], "declared"),
        ("redis", "environment", {"REDIS_PASSWORD": "hunter2"}, "secret"),
        ("redis", "environment", {"REDIS_PASSWORD": "${REDIS_PASSWORD:-hunter2}"}, "secret"),
        ("framekeep", "environment", {"API_KEYS": "${API_KEYS}"}, "secret"),
        ("framekeep", "environment", {"REDIS_URL": "redis://:hunter2@redis:6379/0"}, "clear"),
        ("redis", "command", ["redis-server", "--requirepass", "$REDIS_PASSWORD"], "argument"),
        ("redis", "command", ["sh", "-c", "redis-server - <<END\nrequirepass hunter2\nEND"], "clear"),
        ("redis", "healthcheck", {"disable": True}, "healthcheck"),
        ("redis", "healthcheck", {"test": ["CMD-SHELL", "redis-cli -a x ping"]}, "argument"),
        ("redis-ui", "healthcheck", {"test": ["CMD", "true"], "interval": "1s"}, "retries"),
    ],
)
def test_what_they_should_not_be_is_seen(
    composed: dict[str, Any], service: str, key: str, value: object, fault: str
) -> None:
    if value is None:
        del composed["services"][service][key]
    else:
        composed["services"][service][key] = value
    assert [each for each in faults(composed) if fault in each] != []


def test_the_data_of_all_three_is_on_volumes(composed: dict[str, Any]) -> None:
    mounted = {
        name: {str(volume).split(":")[1] for volume in service["volumes"]}
        for name, service in composed["services"].items()
    }
    assert "/data" in mounted["redis"]
    assert "/data" in mounted["redis-ui"]
    assert composed["services"]["framekeep"]["environment"]["STORAGE_DIR"] in mounted["framekeep"]


def test_the_service_uses_redis_and_can_be_rolled_back(composed: dict[str, Any]) -> None:
    environment = composed["services"]["framekeep"]["environment"]
    assert environment["REDIS_ENABLED"] == "${REDIS_ENABLED:-true}"
    port = composed["services"]["redis"]["ports"][0].rpartition(":")[2]
    assert environment["REDIS_URL"] == f"redis://redis:{port}/0"


def test_what_it_sets_are_settings(composed: dict[str, Any]) -> None:
    assert set(composed["services"]["framekeep"]["environment"]) - set(DEFAULTS) == set()


def test_what_starts_waits_for_redis(composed: dict[str, Any]) -> None:
    for name in ("redis-ui", "framekeep"):
        assert composed["services"][name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_redis_has_room_for_rewriting_its_file(composed: dict[str, Any]) -> None:
    conf = (ROOT / "deploy" / "redis.conf").read_text(encoding="utf-8")
    limit = re.search(r"^maxmemory (\S+)$", conf, re.M)
    assert limit is not None
    assert size(composed["services"]["redis"]["mem_limit"]) >= 2 * size(limit[1])


def test_the_service_has_room_for_what_its_settings_allow(composed: dict[str, Any]) -> None:
    asked = sum(int(DEFAULTS[name]) for name in ("IMPORT_MEMORY_MB", "CACHE_MB", "MAX_DATAFRAME_SIZE_MB"))
    assert size(composed["services"]["framekeep"]["mem_limit"]) >= asked << 20


def test_requests_in_flight_are_finished_before_it_is_killed(composed: dict[str, Any]) -> None:
    grace = seconds(composed["services"]["framekeep"]["stop_grace_period"])
    assert grace > float(DEFAULTS["SERVE_SHUTDOWN_SECONDS"])


def test_the_service_listens_where_it_is_published_and_checked(composed: dict[str, Any]) -> None:
    service = composed["services"]["framekeep"]
    port = service["environment"]["SERVE_PORT"]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"'127.0.0.1', {port}," in service["healthcheck"]["test"][-1]
    assert "/health/ready" in service["healthcheck"]["test"][-1]
    assert stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))[-1].all("EXPOSE")[0].text == port


def test_the_pages_name_the_version_of_the_package(composed: dict[str, Any]) -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, re.M)
    assert version is not None
    assert composed["services"]["framekeep"]["image"] == f"framekeep:{version[1]}"


def test_what_is_asked_of_the_environment_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    example = (ROOT / ".env.redis.example").read_text(encoding="utf-8")
    asked = set(re.findall(r"\$\{([A-Z_]+)", text))
    assert {"REDIS_PASSWORD", "API_KEYS"} <= asked
    assert asked - set(re.findall(r"(?m)^#?([A-Z_]+)=", example)) == set()


# --- docker compose itself, where it is ---------------------------------------------------------------


def compose() -> list[str] | None:
    """Return the command of Compose 2: docker's plugin, a program, or the one in a Python package."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]) is not None:
            said = subprocess.run(
                [*words, "version", "--short"], capture_output=True, text=True, timeout=60, check=False
            )
            if said.returncode == 0 and int(said.stdout.strip().lstrip("v").partition(".")[0]) >= 2:
                return words
    package = find_spec("compose")
    for place in (package and package.submodule_search_locations) or ():
        binary = Path(place) / "docker-compose"
        if os.access(binary, os.X_OK):
            return [str(binary)]
    return None


COMPOSE = compose()
needs_compose = pytest.mark.skipif(COMPOSE is None, reason="docker compose is not installed")


def configured(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose config`` on a copy, so that no .env of the tree is read."""
    for name in ("docker-compose.yml", "Dockerfile"):
        shutil.copy(ROOT / name, tmp_path / name)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables
    return subprocess.run(
        [*(COMPOSE or ()), "config", "--format", "json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@needs_compose
def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    done = configured(tmp_path, REDIS_PASSWORD=PASSWORD, API_KEYS=KEY)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert services["framekeep"]["environment"]["REDIS_ENABLED"] == "true"
    assert services["redis"]["environment"]["REDIS_PASSWORD"] == PASSWORD
    assert {port["host_ip"] for each in services.values() for port in each["ports"]} == {"127.0.0.1"}


@needs_compose
@pytest.mark.parametrize("missing", ["REDIS_PASSWORD", "API_KEYS"])
def test_docker_compose_refuses_to_start_without_secrets(tmp_path: Path, missing: str) -> None:
    given = {"REDIS_PASSWORD": PASSWORD, "API_KEYS": KEY}
    assert configured(tmp_path, **given).returncode == 0
    for wrong in ({**given, missing: ""}, {name: given[name] for name in given if name != missing}):
        done = configured(tmp_path, **wrong)
        assert done.returncode != 0
        assert missing in done.stderr


@needs_compose
def test_the_example_and_two_secrets_are_enough(tmp_path: Path) -> None:
    example = (ROOT / ".env.redis.example").read_text(encoding="utf-8")
    for name, value in (("REDIS_PASSWORD", PASSWORD), ("API_KEYS", KEY)):
        example = re.sub(rf"(?m)^#{name}=$", f"{name}={value}", example)
    (tmp_path / ".env").write_text(example, encoding="utf-8")
    done = configured(tmp_path)
    assert done.returncode == 0, done.stderr
    environment = json.loads(done.stdout)["services"]["framekeep"]["environment"]
    assert environment["REDIS_URL"] == "redis://redis:6379/0"  # not the example's localhost
    assert environment["STORAGE_FALLBACK_TO_MEMORY"] == "false"
    assert environment["API_KEYS"] == KEY


@needs_compose
def test_the_rollback_is_one_variable(tmp_path: Path) -> None:
    done = configured(tmp_path, REDIS_PASSWORD=PASSWORD, API_KEYS=KEY, REDIS_ENABLED="false")
    assert json.loads(done.stdout)["services"]["framekeep"]["environment"]["REDIS_ENABLED"] == "false"

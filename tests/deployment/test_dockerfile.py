"""The image: what its file promises, read; that its commands work is in test_image.py."""

from __future__ import annotations

import http.server
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dockerfile import faults, sent, stages

from framekeep.config import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8")
HEALTHY = next(each.listed for each in stages(TEXT)[-1].all("HEALTHCHECK")) or []


def test_the_image_is_as_it_should_be() -> None:
    assert faults(TEXT) == []


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        ("FROM python:3.11-slim\n", "FROM python:latest\n", "not pinned"),
        ("FROM python:3.11-slim\n", "FROM python\n", "not pinned"),
        ("COPY src ./src", "ADD src ./src", "ADD"),
        ("USER 10001:10001", "USER root", "USER"),
        ("USER 10001:10001", "USER framekeep", "USER"),
        ("USER 10001:10001", "USER 10001:10001\nUSER 0:0", "USER"),
        ("USER 10001:10001\n", "", "USER"),
        ('ENTRYPOINT ["framekeep", "serve"', 'ENTRYPOINT framekeep serve ["', "exec form"),
        ("HEALTHCHECK", "LABEL", "HEALTHCHECK: missing"),
        ('CMD ["python", "-c"', "CMD python -c ", "exec form"),
        ("ENV PATH=", "ENV REDIS_PASSWORD=hunter2 PATH=", "secret"),
        ("WORKDIR /src\n", "WORKDIR /src\nARG API_KEYS\n", "secret"),
        ("RUN pip install -c constraints.txt", "RUN pip install", "not pinned"),
        ("PIP_NO_CACHE_DIR=1", "PIP_QUIET=1", "cache"),
        ("WORKDIR /src\n", "WORKDIR /src\nRUN apt-get update && apt-get install gcc\n", "lists"),
        ("USER 10001", "RUN apt-get update && apt-get install gcc\nUSER 10001", "compiles"),
        ("COPY --from=build /opt/framekeep", "COPY . ", "more than"),
        ("VOLUME [", "LABEL [", "volume"),
        ("STORAGE_DIR=/var/lib/framekeep", "STORAGE_DIR=/opt/framekeep", "volume"),
    ],
)
def test_what_it_should_not_be_is_seen(was: str, becomes: str, fault: str) -> None:
    assert was in TEXT
    changed = TEXT.replace(was, becomes)
    assert [each for each in faults(changed) if fault in each] != []


def test_it_builds_on_a_python_that_the_package_takes() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        least = tomllib.load(file)["project"]["requires-python"].removeprefix(">=")
    versions = {stage.image.partition(":")[2].partition("-")[0] for stage in stages(TEXT)}
    assert len(versions) == 1  # what was installed for one Python does not run on another
    assert [int(part) for part in versions.pop().split(".")] >= [int(part) for part in least.split(".")]


def test_the_service_is_installed_with_its_extras() -> None:
    runs = [each.text for each in stages(TEXT)[0].all("RUN")]
    assert [text for text in runs if "[server,redis]" in text and "--only-binary :all:" in text] != []


def test_the_user_owns_the_volume_and_not_the_program() -> None:
    last = stages(TEXT)[-1]
    uid, gid = last.all("USER")[-1].text.split(":")
    made = [each.text for each in last.all("RUN") if "install --directory" in each.text]
    place = last.environment()["STORAGE_DIR"]
    assert f"--owner {uid} --group {gid} --mode 0700 {place}" in made[0]
    assert f"--gid {gid}" in made[0]
    assert f"--uid {uid}" in made[0]
    assert "--chown" not in TEXT


def test_the_builder_gets_what_is_copied() -> None:
    first = stages(TEXT)[0]
    copied = [word for each in first.all("COPY") for word in each.words[:-1]]
    assert {"constraints.txt", "pyproject.toml", "src"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists() or not sent(name, IGNORE)] == []
    assert sent("src/framekeep/py.typed", IGNORE)
    assert [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src" / "framekeep").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not sent(str(path.relative_to(ROOT)), IGNORE)
    ] == []


@pytest.mark.parametrize(
    "path",
    [
        *(".env", ".git/config", ".venv/bin/python", ".framekeep/framekeep.mdb", "dump.rdb", "notes.key"),
        *("tests/house/x.py", "docs/deploy.md", "src/framekeep/__pycache__/config.cpython-311.pyc"),
    ],
)
def test_the_builder_gets_nothing_else(path: str) -> None:
    assert not sent(path, IGNORE)


# --- the health check, run as the engine would -------------------------------------------------------


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the status that its server has."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.status, server.asked = 200, []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def checked(port: int, **variables: str) -> int:
    assert HEALTHY[0] == "python"
    environment = {**os.environ, "SERVE_PORT": str(port), **variables}
    return subprocess.run(
        [sys.executable, *HEALTHY[1:]], env=environment, capture_output=True, timeout=60, check=False
    ).returncode


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False), (500, False)])
def test_the_health_check_is_what_the_service_answers(
    answering: http.server.ThreadingHTTPServer, status: int, healthy: bool
) -> None:
    answering.status = status  # type: ignore[attr-defined]
    assert (checked(answering.server_port) == 0) is healthy
    assert answering.asked == ["/health"]  # type: ignore[attr-defined]


def test_without_a_service_the_health_check_fails(answering: http.server.ThreadingHTTPServer) -> None:
    port = answering.server_port
    answering.shutdown()
    answering.server_close()
    assert checked(port) != 0


def test_a_proxy_of_the_environment_is_not_asked(answering: http.server.ThreadingHTTPServer) -> None:
    assert (
        checked(answering.server_port, http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9") == 0
    )


def test_the_health_check_asks_where_the_service_listens_by_default() -> None:
    port = {variable.name: variable.default for variable in Settings.variables()}["SERVE_PORT"]
    assert f"or {port}" in HEALTHY[-1]
    assert stages(TEXT)[-1].all("EXPOSE")[0].text == port


def test_its_patience_is_shorter_than_its_time_limit() -> None:
    text = stages(TEXT)[-1].all("HEALTHCHECK")[0].text
    limit = re.search(r"--timeout=(\d+)s", text)
    patience = re.search(r"timeout=(\d+)\)", text)
    assert limit is not None
    assert patience is not None
    assert int(patience[1]) < int(limit[1])

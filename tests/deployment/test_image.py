"""The Dockerfile's own commands, carried out without a container: in directories of the test's own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from dockerfile import Stage, sent, stages

from framekeep.testing.redis_servers import until

ROOT = Path(__file__).parents[2]
KEY = "a-key-of-a-test-0001"

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # installs 50 packages


@dataclass
class Image:
    """What the build made."""

    directory: Path
    last: Stage

    def environment(self, **variables: str) -> dict[str, str]:
        given = {name: self.placed(value) for name, value in self.last.environment().items()}
        given["PATH"] = given["PATH"].replace("$PATH", os.environ["PATH"])
        return given | variables

    def placed(self, text: str) -> str:
        """Return a command with the image's places as they are here."""
        return re.sub(
            r"(?<![\w.])/(opt/framekeep|dist|src|var/lib/framekeep)\b", rf"{self.directory}/\1", text
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Do what the first stage says, on a fresh Python with nothing but pip, with what the builder gets."""
    directory = tmp_path_factory.mktemp("image")
    first, last = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    made = Image(directory, last)
    venv.create(directory / "python", with_pip=True)
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    (directory / "opt").mkdir()
    work = directory / "src"
    work.mkdir()
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
        },
        **first.environment(),
        "PATH": f"{directory / 'python' / 'bin'}:{os.environ['PATH']}",
    }
    for each in first.instructions:
        if each.name == "COPY":
            for name in each.words[:-1]:
                assert sent(name, ignore)
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, work / name)
        if each.name == "RUN":
            done = subprocess.run(
                ["/bin/sh", "-c", made.placed(each.text)],
                cwd=work, env=environment, capture_output=True, text=True, timeout=800, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{each.text}\n{done.stdout}{done.stderr}"
    return made


@pytest.fixture
def store(image: Image) -> Iterator[Path]:
    place = Path(image.environment()["STORAGE_DIR"])
    place.mkdir(parents=True, mode=0o700)
    yield place
    shutil.rmtree(place)


def run(image: Image, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=image.directory / "opt" / "framekeep", env=image.environment(**variables),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def program(image: Image, name: str) -> str:
    found = shutil.which(name, path=image.environment()["PATH"])
    assert found is not None
    assert Path(found).is_relative_to(image.directory)
    return found


def test_the_command_is_there(image: Image) -> None:
    done = run(image, program(image, "framekeep"), "--version")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert done.returncode == 0, done.stderr
    assert version[1] in done.stdout


def test_what_is_installed_is_what_is_pinned(image: Image) -> None:
    code = "from importlib.metadata import distributions as d; [print(x.name, x.version) for x in d()]"
    listed = run(image, program(image, "python"), "-c", code).stdout.splitlines()
    found = dict(line.lower().replace("_", "-").split() for line in listed)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
    assert {"redis", "hiredis", "uvicorn", "fastapi"} <= set(found)
    assert {name: version for name, version in found.items() if pins.get(name) != version} == {
        "framekeep": found["framekeep"]
    }


def test_the_python_is_not_the_tests_own(image: Image) -> None:
    code = "import framekeep, sys; print(framekeep.__file__)"
    assert run(image, program(image, "python"), "-c", code).stdout.startswith(str(image.directory))
    assert not sys.prefix.startswith(str(image.directory))


def test_the_scripts_for_redis_are_in_the_wheel(image: Image) -> None:
    installed = image.directory / "opt" / "framekeep"
    here = {path.name for path in (ROOT / "src" / "framekeep" / "engines" / "scripts").glob("*.lua")}
    assert here != set()
    assert {
        path.name for path in installed.glob("lib/python*/site-packages/framekeep/engines/scripts/*.lua")
    } == here


def test_without_keys_it_refuses_to_start(image: Image, store: Path) -> None:
    entry = image.last.all("ENTRYPOINT")[-1].listed or []
    done = run(image, program(image, entry[0]), *entry[1:], SERVE_PORT="0")
    assert done.returncode != 0
    assert "API_KEYS" in done.stdout + done.stderr


def test_it_serves_is_healthy_and_stops(image: Image, store: Path, tmp_path: Path) -> None:
    entry = image.last.all("ENTRYPOINT")[-1].listed or []
    said = tmp_path / "log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [program(image, entry[0]), *entry[1:]],
            cwd=image.directory / "opt" / "framekeep",
            env=image.environment(SERVE_PORT="0", API_KEYS=KEY),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:

        def port() -> str | None:
            text = said.read_text(encoding="utf-8")
            assert process.poll() is None, text
            found = re.search(r"http://0\.0\.0\.0:(\d+)", text)
            return found[1] if found else None

        at = until(port, "the service says where it listens")
        check = image.last.all("HEALTHCHECK")[-1].listed or []

        def healthy() -> bool:
            return run(image, program(image, check[0]), *check[1:], SERVE_PORT=at).returncode == 0

        until(healthy, "the service is healthy")
        with httpx2.Client(base_url=f"http://127.0.0.1:{at}", trust_env=False) as client:
            assert client.get("/api/v1/sessions").status_code == 401
            listed = client.get("/api/v1/sessions", headers={"authorization": f"Bearer {KEY}"})
            assert listed.status_code == 200
        assert list(store.iterdir()) != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not healthy()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()

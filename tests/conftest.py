"""For every suite: Redis in every topology, each server started once by a test process; and new processes."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.redis import RedisEngine
from framekeep.engines.redis_topology import RedisOptions
from framekeep.testing import redis_keyspace, redis_servers

PLACES = ("valkey", "redis", "unix", "tls", "sentinel", "cluster")
"""Where a store in Redis can be."""


OTHER_SERVER = os.environ.get("FRAMEKEEP_REDIS_SERVER")
"""The path of a server of any version that serves in all places, in place of Valkey and redis-server."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a test named after a set: in the next process it may have another order, and xdist stops."""
    if not hasattr(item, "callspec"):
        return
    for value in item.callspec.params.values():
        if isinstance(value, set | frozenset) and len(value) > 1 and repr(value) in item.name:
            raise pytest.UsageError(f"{item.nodeid} is named after a set: name it with ids=")


def path_of(program: str) -> str:
    """Return where a program is; without it, skip the test, or fail it where all is to be tested."""
    if program.endswith("-server") and OTHER_SERVER is not None:
        return OTHER_SERVER
    if program == "valkey-server":
        return redis_servers.valkey_binary()
    if (path := shutil.which(program)) is None:
        wanted = f"{program} is not installed: apt install redis-server"
        (pytest.fail if os.environ.get("FRAMEKEEP_REQUIRE_REDIS") else pytest.skip)(wanted)
    return path


class Places:
    """Servers by what they are called in PLACES."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._started: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return the server, the servers with Sentinels, or the Cluster; skip without its program."""
        if name not in self._started:
            self._started[name] = self._stack.enter_context(self._start(name, self._directory / name))
        return self._started[name]

    def _start(self, name: str, directory: Path) -> Any:
        match name:
            case "valkey":
                return redis_servers.server(directory, binary=path_of("valkey-server"))
            case "redis":
                return redis_servers.server(directory, binary=path_of("redis-server"))
            case "unix":
                password = "a secret of tests"
                return redis_servers.server(directory, binary=OTHER_SERVER, unix=True, password=password)
            case "tls":
                binary = path_of("redis-server")  # Valkey, as the tests have it, has no TLS
                if OTHER_SERVER is not None and not redis_servers.has_tls(binary):
                    pytest.skip(f"{binary} has no TLS")
                return redis_servers.server(directory, binary=binary, tls=True)
            case "sentinel":
                return redis_servers.sentinels(directory, binary=OTHER_SERVER)
            case "cluster":
                return redis_servers.cluster(directory, binary=OTHER_SERVER)
        raise KeyError(name)

    def _reached(self, name: str) -> dict[str, Any]:
        """Return how a place is reached."""
        found = self[name]
        given: dict[str, Any] = {"url": found.url}
        if getattr(found, "password", None):
            given["password"] = found.password
        if getattr(found, "tls", None):
            given |= found.tls.client_options()
        return given

    def options(self, name: str, **more: Any) -> RedisOptions:
        """Return it for an engine."""
        return RedisOptions(**{**self._reached(name), **more})

    def settings(self, name: str) -> dict[str, str]:
        """Return it as settings."""
        return {f"redis_{key}": value for key, value in self._reached(name).items()}


@pytest.fixture(scope="session")
def binary_of() -> Callable[[str], str]:
    """Return what says where valkey-server, redis-server or redis-cli is; without it, the test is skipped.

    It fails instead when FRAMEKEEP_REQUIRE_REDIS is set.
    """
    return path_of


@pytest.fixture(params=["valkey-server", "redis-server"])
def binary(request: pytest.FixtureRequest, binary_of: Callable[[str], str]) -> str:
    """The path of a server of each make."""
    return binary_of(request.param)


@pytest.fixture(scope="session")
def in_new_process() -> Callable[..., object]:
    """Return what calls a function of a test module in a process of its own.

    For what is said of a whole process, its descriptors, threads or memory: here, those of other tests would
    count, and the garbage collector closes files when it likes.
    """

    def call(function: Callable[..., object], *given: object) -> object:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(function, *given).result()

    return call


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """All of PLACES."""
    with ExitStack() as stack:
        yield Places(tmp_path_factory.mktemp("redis"), stack)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """Each of PLACES."""
    return str(request.param)


@pytest.fixture
def redis_engine(places: Places) -> Iterator[Callable[..., RedisEngine]]:
    """Return an engine on a place; on a store of the test's own unless it names a prefix. All are removed."""
    made: list[RedisEngine] = []
    stores: set[tuple[str, str]] = set()

    def engine(name: str, *, prefix: str | None = None, **more: Any) -> RedisEngine:
        prefix = prefix or f"t{secrets.token_hex(4)}"
        options = {key: more.pop(key) for key in list(more) if key in RedisOptions.__slots__}
        made.append(RedisEngine(places.options(name, **options), prefix=prefix, **more))
        stores.add((name, prefix))
        return made[-1]

    yield engine
    for each in made:
        each.close()
    for name, prefix in stores:
        last = RedisEngine(places.options(name), prefix=prefix)
        redis_keyspace.remove(last)
        last.close()

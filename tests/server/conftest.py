"""One service for each (test process, store, number of workers); tests keep apart by sessions of their own.

``make test`` runs the suite against SERVICES, ``make test-long`` against MORE: together, against every place.
``FRAMEKEEP_TEST_SERVICES=lmdb-1,cluster-2`` runs it against these only; ``all`` against every one at once.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serving import KEYS, Endpoint, Served, new_session, serve

from framekeep.engines.redis import RedisEngine
from framekeep.testing import redis_keyspace

SERVICES = ("lmdb-1", "lmdb-4", "valkey-2", "cluster-2")
MORE = ("memory-1", "redis-1", "unix-1", "tls-2", "sentinel-2")
"""Those that differ from the others by their start or their connection only.

memory: a service whose Redis was not there when it started, and that may do without.
"""
AWAY = {"redis_enabled": True, "redis_url": "redis://127.0.0.1:1", "storage_fallback_to_memory": True}
FALLING = "Falling back to InMemoryBackend: RedisBackend is not available: "

ASKED = os.environ.get("FRAMEKEEP_TEST_SERVICES", "")
CHOSEN = SERVICES + MORE if ASKED == "all" else tuple(ASKED.split(",")) if ASKED else SERVICES
LATER = () if ASKED else tuple(pytest.param(name, marks=pytest.mark.long) for name in MORE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module, name: str) -> Generator[None, Any, Any]:
    """Leave out the long form of the cases made from the document where it is not asked for.

    Making them takes seconds in each process that collects tests.
    """
    made = yield
    wanted = name != "test_an_operation_at_length" or collector.config.option.markexpr != "not long"
    return made if wanted else []


@pytest.fixture(scope="session", params=CHOSEN + LATER)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, places: Any
) -> Iterator[Served]:
    """A service whose log, in the end, holds nothing unexpected. One with several workers has keys.

    One with its sessions in Redis leaves no key there that never expires.
    """
    store, workers = request.param.split("-")
    settings: dict[str, object] = {"api_keys": ",".join(KEYS)} if workers != "1" else {}
    prefix = f"t{secrets.token_hex(4)}"
    if store == "memory":
        settings |= AWAY
    elif store != "lmdb":
        settings |= {**places.settings(store), "redis_enabled": True, "redis_key_prefix": prefix}
    with serve(tmp_path_factory.mktemp("service"), workers=int(workers), settings=settings) as found:
        with found.client() as http:
            kept_in = http.get("/health/storage").json()["backend_type"]
        assert kept_in == ("inmemory" if store in ("lmdb", "memory") else "redis")
        yield found
    assert_quiet(found, [FALLING] if store == "memory" else [])
    if store not in ("lmdb", "memory"):
        engine = RedisEngine(places.options(store), prefix=prefix)
        assert redis_keyspace.without_expiry(engine) == []
        assert list(redis_keyspace.keys(engine)) != []
        redis_keyspace.remove(engine)
        engine.close()


@pytest.fixture(scope="session")
def guarded(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with keys."""
    if served.key is not None:
        yield served
        return
    with serve(tmp_path_factory.mktemp("guarded"), settings={"api_keys": ",".join(KEYS)}) as found:
        yield found
    assert_quiet(found)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service with little patience, and with endpoints that fail."""
    with serve(tmp_path_factory.mktemp("odd"), program="odd_service.py") as found:
        yield found


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service that takes little, and that one web page may call."""
    settings = {
        "max_upload_size_mb": 1,
        "max_dataframe_size_mb": 1,
        "cors_origins": "https://app.example.com",
    }
    with serve(tmp_path_factory.mktemp("narrow"), settings=settings) as found:
        yield found
    assert_quiet(found)


def assert_quiet(served: Served, expected: Sequence[str] = ()) -> None:
    """Check that the log holds these warnings, by how they begin, no others, and nothing but log lines."""
    assert served.noise() == []
    told = [line for line in served.log() if line["level"] not in ("info", "debug")]
    for begin in expected:
        assert told, begin
        assert str(told.pop(0)["event"]).startswith(begin)
    assert told == []


@pytest.fixture(scope="session")
def http(served: Served) -> httpx2.Client:
    """A client of the service; with several workers, every request goes to another one."""
    return served.client()


@pytest.fixture(scope="session")
def unused_keys(guarded: Served) -> Iterator[str]:
    """Keys of the guarded service that nobody has used."""
    return iter(KEYS[1:])


@pytest.fixture
def alone(guarded: Served, unused_keys: Iterator[str]) -> Iterator[httpx2.Client]:
    """A client whose key nobody else has used."""
    with guarded.client(next(unused_keys)) as client:
        yield client


@pytest.fixture
def people() -> pd.DataFrame:
    return pd.DataFrame({"id": ["00501", "10001", "94105"], "age": [34.0, None, 210.0]})


@pytest.fixture
def session(http: httpx2.Client, people: pd.DataFrame) -> str:
    """A session of the test's own that holds three people."""
    return new_session(http, people)


@pytest.fixture
def own(http: httpx2.Client, session: str) -> Endpoint:
    """The endpoints of a session of the test's own."""
    return Endpoint(http, session)

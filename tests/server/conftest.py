"""One service for each (test process, number of workers); tests keep apart by sessions of their own.

``FRAMEKEEP_TEST_WORKERS=2`` runs the suite against that many workers only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serving import KEYS, Endpoint, Served, new_session, serve

ASKED = os.environ.get("FRAMEKEEP_TEST_WORKERS")
WORKERS = [int(ASKED)] if ASKED else [1, 4]


@pytest.fixture(scope="session", params=WORKERS, ids=lambda count: f"{count}-workers")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose log, in the end, holds nothing unexpected. The one with several workers has keys."""
    settings = {"api_keys": ",".join(KEYS)} if request.param > 1 else {}
    with serve(tmp_path_factory.mktemp("service"), workers=request.param, settings=settings) as found:
        yield found
    assert_quiet(found)


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


def assert_quiet(served: Served) -> None:
    assert served.noise() == []
    assert [line for line in served.log() if line["level"] not in ("info", "debug")] == []


@pytest.fixture(scope="session")
def http(served: Served) -> httpx2.Client:
    """A client of the service; with several workers, every request goes to another one."""
    return served.client()


@pytest.fixture(scope="session")
def unused_keys(guarded: Served) -> Iterator[str]:
    """Keys of the guarded service that nobody has used."""
    return iter(KEYS[1:])


@pytest.fixture
def alone(guarded: Served, unused_keys: Iterator[str]) -> httpx2.Client:
    """A client whose key nobody else has used."""
    return guarded.client(next(unused_keys))


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

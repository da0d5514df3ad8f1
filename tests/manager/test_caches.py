"""The two caches between a reader and Redis, and what is told of them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, Settings
from framekeep.engines.redis import RedisEngine
from framekeep.testing import redis_keyspace


@pytest.fixture
def settings(places: Any, tmp_path: Path) -> Iterator[Settings]:
    """A store on a real server, with a cache for the machine."""
    prefix = f"t{secrets.token_hex(4)}"
    yield Settings(
        _env_file=None,
        redis_enabled=True,
        redis_key_prefix=prefix,
        storage_dir=tmp_path,
        local_cache_mb=64,
        storage_fallback_to_memory=False,  # a mirror would read too
        **places.settings("valkey"),
    )
    engine = RedisEngine(places.options("valkey"), prefix=prefix)
    redis_keyspace.remove(engine)
    engine.close()


def people() -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{i:05}" for i in range(1000)], "age": range(1000)})


def blobs_read(places: Any) -> int:
    """Return how often the server was asked for blobs."""
    with places["valkey"].client() as client:
        return int(client.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0))


def test_what_one_worker_fetched_no_other_fetches(settings: Settings, places: Any) -> None:
    with DataManager(settings) as writer, DataManager(settings) as one, DataManager(settings) as two:
        session = writer.create_session(people())
        assert one.get_dataframe(session).equals(people())  # not read by the writer: it has what it wrote
        before = blobs_read(places)
        assert two.get_dataframe(session).equals(people())
        assert blobs_read(places) - before <= 1  # heads are read with HMGET too, by a script
        machine = two.get_backend_health()["caches"]["machine"]
    assert machine["hits"] > 0
    assert machine["hit_ratio"] == 1.0
    assert 0 < machine["bytes"] <= machine["limit_bytes"]


def test_hits_and_misses_of_a_process_are_told(tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as manager:
        assert manager.get_backend_health()["caches"]["process"]["hit_ratio"] is None
        session = manager.create_session(people())
        for _ in range(4):
            manager.get_dataframe(session)
        caches = manager.get_backend_health()["caches"]
    process = caches["process"]
    assert caches["machine"] is None
    assert process["hits"] > process["misses"] > 0
    assert process["hit_ratio"] == round(process["hits"] / (process["hits"] + process["misses"]), 4)
    assert 0 < process["bytes"] <= process["limit_bytes"]


def test_a_cache_that_cannot_be_used_stops_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.storage_dir.mkdir(exist_ok=True)
    (settings.storage_dir / "chunks").write_text("not a directory")
    with caplog.at_level(logging.INFO, "framekeep"), DataManager(settings) as manager:
        session = manager.create_session(people())
        with DataManager(settings) as other:
            assert other.get_dataframe(session).equals(people())
        health = manager.get_backend_health()
    assert health["status"] == "healthy"
    assert health["caches"]["machine"]["error"]
    assert [record.levelname for record in caplog.records if "cache" in record.getMessage()].count(
        "WARNING"
    ) == 1

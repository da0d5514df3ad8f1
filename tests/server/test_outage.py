"""A service whose Redis does not answer for a while: what is refused, what goes on, what answers say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pandas as pd
import pytest
from serving import KEYS, Endpoint, Served, new_session, refused, serve, until

from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.standby.markers import Markers
from framekeep.testing import redis_servers
from framekeep.testing.fault_proxy import FaultProxy

NOWHERE = "redis://127.0.0.1:1"


class Away:
    """A service before a Redis that can be taken away.

    Attributes:
        served: the service.
        http: a client of it; each request may go to another worker.
        proxy: between it and Redis.
        redis: the server.
    """

    def __init__(self, served: Served, proxy: FaultProxy, redis: redis_servers.Server) -> None:
        self.served, self.proxy, self.redis = served, proxy, redis
        self.http = served.client()

    @property
    def standby(self) -> Path:
        [found] = self.served.store.glob("standby-*")
        return found

    def mirrored(self, sessions: int) -> None:
        """Wait until so many sessions are here as they are there."""

        def there() -> bool:
            with (
                closing(LmdbEngine(self.standby)) as local,
                closing(RedisEngine(RedisOptions(self.redis.url))) as primary,
            ):
                spaces = [info.space for info in primary.spaces("session:")]
                heads = [(primary.load(space), local.load(space)) for space in spaces]
            same = [
                one is not None and other is not None and one.revision == other.revision
                for one, other in heads
            ]
            return len(same) == sessions and all(same)

        until(there, "the sessions are mirrored")

    def everywhere(self, header: str | None) -> bool:
        """Say whether all workers tell of the storage what they should."""
        answers = [self.http.get("/health/ready") for _ in range(3 * self.served.workers)]
        return all(answer.headers.get("framekeep-storage") == header for answer in answers)


@contextmanager
def service(directory: Path, workers: int, **settings: object) -> Iterator[Away]:
    with (
        redis_servers.server(directory / "redis") as redis,
        FaultProxy(redis.url) as proxy,
        serve(
            directory / "service",
            workers=workers,
            settings={
                "redis_enabled": True,
                "redis_url": proxy.url,
                "redis_socket_timeout": 0.3,
                "redis_socket_connect_timeout": 0.3,
                "breaker_failures": 2,
                "breaker_cooldown_seconds": 0.5,
                "api_keys": KEYS[0],
                **settings,
            },
        ) as served,
    ):
        # One that is still starting when Redis goes does not start, without a standby.
        begun = "Application startup complete."
        until(
            lambda: sum(line.get("event") == begun for line in served.log()) == workers, "all workers start"
        )
        yield Away(served, proxy, redis)
        assert served.noise() == []
        assert [line for line in served.log() if line.get("event") == "unexpected"] == []


def table(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value, 2, 3], "b": ["x", "y", None]})


def assert_refused(answer: httpx2.Response) -> str:
    """Return the code of a problem that says to come back."""
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["retryable"] is True
    assert int(answer.headers["retry-after"]) >= 1
    return str(answer.json()["code"])


# --- strict ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_strict_does_not_start_without_redis_and_says_why_once(tmp_path: Path, workers: str) -> None:
    settings = {"redis_enabled": True, "redis_url": NOWHERE, "storage_fallback_to_memory": False}
    code, said = refused(tmp_path, settings, "--workers", workers)
    assert code == 6
    [line] = said.splitlines()
    assert line.startswith("framekeep: Failed to initialize RedisBackend: RedisBackend is not available: ")


@pytest.mark.parametrize(("fault", "workers"), [("refuse", 1), ("black_hole", 2)])
def test_strict_refuses_and_then_goes_on(tmp_path: Path, fault: str, workers: int) -> None:
    asked = {"storage_fallback_to_memory": False, "breaker_cooldown_seconds": 2.0}
    with service(tmp_path, workers, **asked) as away:
        own = Endpoint(away.http, new_session(away.http, table(1)))
        assert "framekeep-storage" not in own.get("/data").headers
        getattr(away.proxy, fault)()
        until(lambda: assert_refused(own.get("/data")) == "breaker_open", "the breaker opens")
        until(lambda: away.everywhere("strict; outage"), "all workers say so")
        for asking in (
            lambda: own.get("/data"),
            lambda: own.get("/versions"),
            lambda: own.put(table(2)),
            lambda: own.post("/audit", json={"entry": "never"}),
            lambda: away.http.get("/api/v1/sessions"),
            lambda: away.http.post("/api/v1/upload", files={"file": ("f.csv", b"a,b\n1,2\n", "text/csv")}),
        ):
            assert_refused(asking())
        assert away.http.get("/health").status_code == 200
        ready = away.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        storage = away.http.get("/health/storage")
        assert (storage.status_code, storage.json()["mode"], storage.json()["state"]) == (
            503,
            "strict",
            "outage",
        )

        away.proxy.heal()
        until(lambda: away.http.get("/health/ready").status_code == 200, "it is ready again")
        until(lambda: away.everywhere(None), "no worker says that anything is wrong")
        assert own.rows() == [[1, "x"], [2, "y"], [3, None]]
        assert not any("never" in line for line in own.get("/audit").json()["entries"])
        assert away.http.get("/health/storage").json()["state"] == "normal"


def test_refusals_take_no_time(tmp_path: Path) -> None:
    with service(tmp_path, 1, storage_fallback_to_memory=False, breaker_cooldown_seconds=30.0) as away:
        own = Endpoint(away.http, new_session(away.http, table(1)))
        away.proxy.black_hole()
        until(lambda: assert_refused(own.get("/data")) == "breaker_open", "the breaker opens")
        took = []
        for _ in range(100):
            start = time.perf_counter()
            assert_refused(own.get("/data"))
            took.append(time.perf_counter() - start)
        assert sorted(took)[50] < 0.1  # a timeout is 0.3 s


# --- standby -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "workers"), [("black_hole", 1), ("refuse", 2), ("killed", 2)])
def test_standby_goes_on_and_brings_it_back(tmp_path: Path, fault: str, workers: int) -> None:
    with service(tmp_path, workers) as away:
        own = Endpoint(away.http, new_session(away.http, table(1)))
        assert own.rows()[0] == [1, "x"]
        assert "framekeep-storage" not in own.get("/data").headers
        away.mirrored(1)
        away.redis.client().config_set("appendonly", "yes")
        if fault == "killed":
            until(
                lambda: not away.redis.client().info("persistence")["aof_rewrite_in_progress"],
                "it is written",
            )
            away.redis.kill()
        else:
            getattr(away.proxy, fault)()

        until(lambda: away.everywhere("standby; outage"), "all workers say so")
        assert own.get("/data").headers["framekeep-storage"] == "standby; outage"
        assert own.put(table(10), summary="ten").status_code == 200
        for _ in range(2 * workers):  # whichever worker answers
            assert own.rows()[0] == [10, "x"]
        assert own.post("/undo").status_code == 200
        assert own.rows()[0] == [1, "x"]
        assert own.post("/redo").status_code == 200
        assert own.post("/audit", json={"entry": "during the outage"}).status_code == 201
        file = {"file": ("new.csv", b"a,b\n7,z\n", "text/csv")}
        uploaded = away.http.post("/api/v1/upload", files=file)
        assert uploaded.status_code in (200, 201), uploaded.text
        new = Endpoint(away.http, uploaded.json()["session_id"])
        for _ in range(2 * workers):
            assert new.rows() == [[7, "z"]]
        assert_refused(Endpoint(away.http, "x" * 32).get("/data"))
        ready = away.http.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        storage = away.http.get("/health/storage")
        found = storage.json()
        assert (storage.status_code, found["mode"], found["state"]) == (200, "standby", "outage")
        assert (found["status"], found["redis_enabled"], found["redis_available"]) == (
            "degraded",
            True,
            False,
        )
        assert away.http.get("/health").status_code == 200
        listed = {each["session_id"] for each in away.http.get("/api/v1/sessions").json()["sessions"]}
        assert {own.id, new.id} <= listed

        if fault == "killed":
            away.redis.start()
        away.proxy.heal()
        until(lambda: away.http.get("/health/storage").json()["state"] == "normal", "it is as it was")
        until(lambda: away.everywhere(None), "no worker says that anything is wrong")
        with closing(LmdbEngine(away.standby)) as local:
            assert Markers(local, away.standby).count() == 0
        for _ in range(2 * workers):
            assert own.rows()[0] == [10, "x"]
            assert new.rows() == [[7, "z"]]
        entries = own.get("/audit").json()["entries"]
        assert sum("during the outage" in entry for entry in entries) == 1
        with closing(RedisEngine(RedisOptions(away.redis.url))) as primary:  # and not only here
            assert primary.count("session:") == 2


def test_a_service_that_starts_during_an_outage_goes_on_with_what_is_there(tmp_path: Path) -> None:
    with service(tmp_path, 1) as away:
        own = Endpoint(away.http, new_session(away.http, table(1)))
        away.mirrored(1)
        away.proxy.refuse()
        until(lambda: away.everywhere("standby; outage"), "it says so")
        assert own.put(table(10)).status_code == 200
        away.served.stop()
        settings = {"redis_enabled": True, "redis_url": away.proxy.url, "api_keys": KEYS[0]}
        with serve(tmp_path / "service", settings=settings) as again:
            assert Endpoint(again.client(), own.id).rows()[0] == [10, "x"]
            assert again.noise() == []
            away.proxy.heal()

            def back() -> bool:
                return bool(again.client().get("/health/storage").json()["state"] == "normal")

            until(back, "it is as it was")
            assert Endpoint(again.client(), own.id).rows()[0] == [10, "x"]

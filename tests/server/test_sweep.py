"""What has expired is freed, by the service itself and when it is asked."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, new_session, until

from framekeep.config import Settings
from framekeep.frames import FRAMES_TYPE, pack_frames
from framekeep.manager import DataManager
from framekeep.names import new_id


@pytest.fixture
def behind(odd: Served) -> Iterator[DataManager]:
    """A manager on the service's store whose clock is an hour behind: to it, nothing has expired."""
    settings = Settings(storage_dir=odd.store, _env_file=None)
    with DataManager(settings, clock=lambda: time.time() - 3600) as manager:
        yield manager


def test_a_session_that_expired_is_not_there(odd: Served, people: pd.DataFrame) -> None:
    own = Endpoint(odd.client(), new_session(odd.client(), people, ttl_seconds=0.01))
    until(lambda: own.get(params={"touch": "false"}).status_code == 404, "it expires")
    for path in ("", "/data", "/versions", "/audit", "/missing"):
        assert own.get(path).json()["code"] == "session_not_found"
    assert own.id not in [each["session_id"] for each in odd.client().get(SESSIONS).json()["sessions"]]


def test_the_service_frees_sessions_that_expired(
    odd: Served, behind: DataManager, people: pd.DataFrame
) -> None:
    short, long = (new_session(odd.client(), people, ttl_seconds=ttl) for ttl in (0.01, 3600))
    until(lambda: not behind.session_exists(short), "it is freed")
    assert behind.session_exists(long)


def test_the_service_frees_temporary_storage_that_expired(odd: Served, people: pd.DataFrame) -> None:
    path = f"/api/v1/temporary/{new_id()}"
    with odd.client() as http:
        http.put(
            path,
            params={"ttl_seconds": 0.01},
            content=b"".join(pack_frames({"a": people})),
            headers={"content-type": FRAMES_TYPE},
        )
        until(lambda: http.get(path).status_code == 404, "it expires")


@pytest.mark.parametrize("place", ["", "progress"])
def test_the_service_removes_files_that_were_left_behind(odd: Served, place: str) -> None:
    directory = odd.store / "scratch" / place
    old, young = directory / f"upload-old-{place}", directory / f"upload-young-{place}"
    for file in (old, young):
        file.write_bytes(b"x")
    hours_ago = time.time() - 2 * 3600
    os.utime(old, (hours_ago, hours_ago))
    until(lambda: not old.exists(), "it is removed")
    assert young.exists()
    young.unlink()


def test_what_expired_is_freed_when_it_is_asked_for(served: Served, people: pd.DataFrame) -> None:
    with served.client() as http:
        own = Endpoint(http, new_session(http, people, ttl_seconds=0.01))
        until(lambda: own.get(params={"touch": "false"}).status_code == 404, "it expires")
        freed = http.post("/api/v1/cleanup")
        assert freed.status_code == 200
        assert freed.json().keys() == {"sessions", "temporary"}
        assert freed.json()["sessions"] >= 1
        assert http.post("/api/v1/cleanup").json()["sessions"] == 0


def test_touching_in_time_keeps_a_session(odd: Served, people: pd.DataFrame) -> None:
    own = Endpoint(odd.client(), new_session(odd.client(), people, ttl_seconds=30))
    own.post("/touch", params={"ttl_seconds": 3600})
    assert own.get().status_code == 200

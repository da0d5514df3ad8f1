"""Redis is taken away under load, and comes back: those who use the service do not notice more than a wait.

The users are those of the benchmarks: each compares all answers with a model, stands on ETags, sends requests
twice under one key, and finds in the end exactly what was edited.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from benchmarks.served import serving

from benchmarks import crowd
from framekeep.testing import redis_servers

USERS = 6
PAUSE = 0.1
"""Seconds between two steps of a user, on average."""
QUICK: dict[str, Any] = {
    "redis_socket_timeout": 0.6,
    "redis_socket_connect_timeout": 0.6,
    "breaker_cooldown_seconds": 0.5,
}
DEFAULT: dict[str, Any] = {}
LONG = pytest.mark.long
MAKE = {
    "server": redis_servers.server,
    "sentinels": redis_servers.sentinels,
    "cluster": redis_servers.cluster,
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("settings", "away"),
    [pytest.param(QUICK, 6.0, id="6 s"), pytest.param(DEFAULT, 20.0, id="20 s", marks=LONG)],
)
@pytest.mark.parametrize(
    ("place", "how"),
    [
        ("server", "killed"),
        pytest.param("server", "paused", marks=LONG),
        pytest.param("sentinels", "killed", marks=LONG),
        ("sentinels", "paused"),
        pytest.param("cluster", "killed", marks=LONG),
        ("cluster", "paused"),
    ],
)
def test_it_is_a_non_event(
    tmp_path: Path, place: str, how: str, settings: dict[str, Any], away: float
) -> None:
    durable = {"appendonly": "yes", "appendfsync": "always"}
    with MAKE[place](tmp_path / "redis", config=durable) as setup:
        servers = [setup] if place == "server" else [*setup.servers, *getattr(setup, "sentinels", ())]
        common = {"redis_enabled": True, "redis_url": setup.url, "storage_fallback_to_memory": True}
        with serving(tmp_path / "service", workers=2, **common, **settings) as service:
            found: list[crowd.Outcome] = []
            seconds = 3.0 + away + 8.0
            users = threading.Thread(
                target=lambda: found.append(crowd.run(service.address, USERS, seconds=seconds, pause=PAUSE))
            )
            users.start()
            time.sleep(4.0)  # they are at work
            for each in servers:
                (each.kill if how == "killed" else each.pause)()
            time.sleep(away)
            for each in servers:
                (each.start if how == "killed" else each.resume)()
            users.join()
            said = service.complaints()
    [outcome] = found
    assert (outcome.diary.errors, outcome.diary.lost) == ([], [])
    assert outcome.requests > 100
    assert any("goes on on this machine" in line for line in said)  # there was an outage
    assert any("are back in Redis" in line for line in said)
    assert not [line for line in said if '"error"' in line or "Traceback" in line]

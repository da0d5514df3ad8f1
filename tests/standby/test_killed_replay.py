"""Replaying is killed with kill -9 before and after each thing that it does: all comes back, and once."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.redis import RedisEngine
from framekeep.errors import StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend
from framekeep.standby import StandbyEngine
from framekeep.standby.markers import Markers
from framekeep.standby.merge import LABEL
from framekeep.standby.replay import kept

PROGRAM = Path(__file__).parent / "programs" / "killed_replay.py"
MOST = 400


class Switch:
    """An engine that can be taken away."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.down = False

    def __getattr__(self, name: str) -> Any:
        if self.down and name not in ("close", "guess"):  # those ask nobody
            raise StorageUnavailableError("away")
        return getattr(self._inner, name)


def frame(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value, 2, 3], "b": ["x", "y", None]})


def value(backend: SessionBackend, session: str, **more: Any) -> int:
    return int(backend.get_dataframe(session, **more)["a"].iloc[0])


@pytest.fixture
def prefix() -> str:
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
def elsewhere(redis_engine: Callable[..., RedisEngine], prefix: str) -> SessionBackend:
    return SessionBackend(redis_engine("valkey", prefix=prefix), FrameCodec())


def outage(redis: RedisEngine, elsewhere: SessionBackend, directory: Path) -> None:
    """Do something of every kind on a machine, while others do something of their own."""
    switch: Any = Switch(redis)
    engine = StandbyEngine(switch, directory)
    here = SessionBackend(engine, FrameCodec())
    for session in ("forward", "both", "gone", "again", "read"):
        here.create_session(session, frame(1), "f.csv", 3600.0)
    here.create_temp_storage("sheets", {"one": frame(1)}, "book", 3600.0)
    engine.mirror.wait()
    switch.down = True
    for session in ("forward", "both"):
        here.commit_dataframe(session, frame(10), "ten")
        here.add_audit_entry(session, "an entry")
        here.commit_dataframe(session, frame(20), "twenty")
        here.update_metadata(session, {"note": "during"})
    here.create_session("new", frame(7), "new.csv", 3600.0)
    here.add_audit_entry("new", "an entry")
    here.create_temp_storage("sheets", {"one": frame(2)}, "book", 3600.0)
    here.delete_session("gone")
    here.delete_session("again")
    here.create_session("again", frame(8), "again.csv", 3600.0)
    here.touch_session("read", 3600.0)
    switch.down = False
    elsewhere.commit_dataframe("both", frame(99), "ninety-nine")
    engine.mirror.close()
    engine.local.close()


def replayed(url: str, prefix: str, directory: Path, last: int) -> bool:
    """Replay in a process that is killed at a point; say whether it came to its end."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), url, prefix, str(directory), str(last)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode == 0


def verdict(backend: SessionBackend, directory: Path) -> None:
    assert value(backend, "forward") == 20
    assert [v["action_summary"] for v in backend.get_history("forward")] == ["ten", "twenty"]
    assert value(backend, "both") == 99
    made = [v for v in backend.get_history("both") if LABEL in v["action_summary"]]
    assert [v["action_summary"] for v in made] == [f"ten ({LABEL})", f"twenty ({LABEL})"]
    assert [value(backend, "both", version=v["version_id"]) for v in made] == [10, 20]
    for session in ("forward", "both"):
        log = Counter(line.rpartition("] ")[2] for line in backend.get_audit_log(session))
        assert (log["an entry"], log["Version 1: ten. Rows: 3, columns: 2"]) == (1, 1)
        assert log["Version 2: twenty. Rows: 3, columns: 2"] == 1
        assert backend.get_metadata(session)["note"] == "during"
        assert backend.check(session) == []
    assert value(backend, "new") == 7
    assert len(backend.get_audit_log("new")) == 2
    assert not backend.session_exists("gone")
    assert value(backend, "again") == 8
    assert len(backend.get_audit_log("again")) == 1
    assert value(backend, "read") == 1
    assert int(backend.get_temp_storage("sheets")["sheets"]["one"]["a"].iloc[0]) == 2
    local = LmdbEngine(directory)
    assert Markers(local, directory).count() == 0
    [record] = kept(local)
    assert (record.space, record.versions) == ("session:both", tuple(v["version_id"] for v in made))
    local.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("point", [9, 50, 81])
def test_killed_once(
    redis_engine: Callable[..., RedisEngine],
    elsewhere: Any,
    prefix: str,
    places: Any,
    tmp_path: Path,
    point: int,
) -> None:
    outage(redis_engine("valkey", prefix=prefix), elsewhere, tmp_path / "here")
    url = places.settings("valkey")["redis_url"]
    assert not replayed(url, prefix, tmp_path / "here", point)
    assert replayed(url, prefix, tmp_path / "here", MOST)
    verdict(elsewhere, tmp_path / "here")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_everywhere(
    redis_engine: Callable[..., RedisEngine], places: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = places.settings("valkey")["redis_url"]
    for point in range(MOST):
        prefix, here = f"t{secrets.token_hex(4)}", tmp_path / "here"
        backend = SessionBackend(redis_engine("valkey", prefix=prefix), FrameCodec())
        outage(redis_engine("valkey", prefix=prefix), backend, here)
        whole = replayed(url, prefix, here, point)
        assert whole or replayed(url, prefix, here, MOST)
        verdict(backend, here)
        shutil.rmtree(here)
        if whole:
            break
    else:
        pytest.fail("replaying has no end")
    with capsys.disabled():
        print(f"\nkilled at {point} points of one replay")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_killed_again_and_again(
    redis_engine: Callable[..., RedisEngine], elsewhere: Any, prefix: str, places: Any, tmp_path: Path
) -> None:
    """Each life gets a little further than the one before it."""
    outage(redis_engine("valkey", prefix=prefix), elsewhere, tmp_path / "here")
    url = places.settings("valkey")["redis_url"]
    for last in range(1, MOST, 3):
        if replayed(url, prefix, tmp_path / "here", last):
            break
    else:
        pytest.fail("replaying has no end")
    verdict(elsewhere, tmp_path / "here")

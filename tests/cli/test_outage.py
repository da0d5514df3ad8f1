"""``framekeep outage``: what waits, what was changed in both places, and bringing it back by hand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import DataManager, RedisBackend
from framekeep.config import Settings
from framekeep.connect import redis_engine
from framekeep.names import Space
from framekeep.testing.fault_proxy import FaultProxy

FRAME = pd.DataFrame({"a": [1, 2, 3]})


class Machine:
    """A machine with a standby, and a Redis that can be taken away from it."""

    def __init__(self, proxy: FaultProxy, settings: Settings, elsewhere: RedisBackend, server: Any) -> None:
        self.proxy, self.settings, self.elsewhere, self.server = proxy, settings, elsewhere, server

    def redis(self) -> Any:
        """Return a client of the server itself."""
        return self.server.client()

    def outage(self) -> tuple[str, str]:
        """Change one session here and one in both places; return both. Redis stays away."""
        with DataManager(self.settings) as manager:
            mine, both = manager.create_session(FRAME), manager.create_session(FRAME)
            manager.backend.engine.mirror.wait()  # type: ignore[attr-defined]
            self.proxy.refuse()
            for session in (mine, both):
                manager.commit_dataframe(session, FRAME * 10, "ten [b]times[/b]")
        self.elsewhere.commit_dataframe(both, FRAME * 7, "seven times")
        return mine, both


@pytest.fixture
def machine(places: Any, framekeep: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    url, prefix = places.settings("valkey")["redis_url"], f"t{secrets.token_hex(4)}"
    with FaultProxy(url) as proxy:
        given = {
            "redis_enabled": True,
            "redis_url": proxy.url,
            "redis_key_prefix": prefix,
            "redis_socket_timeout": 2.0,
            "breaker_failures": 2,
            "breaker_cooldown_seconds": 0.05,
        }
        for name, value in given.items():
            monkeypatch.setenv(name.upper(), str(value))
        settings = Settings(storage_dir=framekeep.directory)
        there = RedisBackend(redis_engine(url, Settings(**{**given, "redis_url": url})))
        yield Machine(proxy, settings, there, places["valkey"])
        there.close()


def test_a_machine_without_a_standby_says_so(framekeep: Any) -> None:
    for words in (("list",), ("resolve", "x"), ("replay",)):
        result = framekeep("outage", *words)
        assert (result.code, result.out) == (4, "")
        assert "has not been through an outage" in result.err


def test_what_waits_is_listed_without_redis(framekeep: Any, machine: Machine) -> None:
    mine, both = machine.outage()
    listed = framekeep("outage", "list", "--json")
    assert listed.code == 0
    assert {each["space"] for each in listed.json["waiting"]} == {f"session:{mine}", f"session:{both}"}
    assert listed.json["kept"] == []
    words = framekeep("outage", "list")
    assert mine in words.out
    assert "2 waiting, 0 kept in both states." in words.out


def test_replaying_needs_redis(framekeep: Any, machine: Machine) -> None:
    machine.outage()
    assert framekeep("outage", "replay").code == 6
    assert len(framekeep("outage", "list", "--json").json["waiting"]) == 2


def test_replaying_needs_a_standby_in_the_settings(
    framekeep: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.outage()
    machine.proxy.heal()
    monkeypatch.setenv("STORAGE_FALLBACK_TO_MEMORY", "false")
    result = framekeep("outage", "replay")
    assert result.code == 3
    assert "STORAGE_FALLBACK_TO_MEMORY" in result.err


def test_it_comes_back_and_is_listed_until_it_is_resolved(framekeep: Any, machine: Machine) -> None:
    mine, both = machine.outage()
    machine.proxy.heal()
    replayed = framekeep("outage", "replay", "--json")
    assert replayed.code == 0, replayed.err
    assert replayed.json == {
        "outcomes": {f"session:{mine}": "forwarded", f"session:{both}": "kept as versions"},
        "failed": {},
        "left": 0,
    }
    again = framekeep("outage", "replay")
    assert (again.code, again.out) == (0, "Nothing is left to bring back.\n")

    listed = framekeep("outage", "list", "--json").json
    assert listed["waiting"] == []
    [record] = listed["kept"]
    assert record["space"] == f"session:{both}"
    [version] = record["versions"]
    assert f"session:{both}" in framekeep("outage", "list").out
    assert machine.elsewhere.get_dataframe(both)["a"].tolist() == [7, 14, 21]
    assert machine.elsewhere.get_dataframe(both, version=version)["a"].tolist() == [10, 20, 30]
    assert machine.elsewhere.get_dataframe(mine)["a"].tolist() == [10, 20, 30]
    assert framekeep("restore", both, version).code == 0
    assert machine.elsewhere.get_dataframe(both)["a"].tolist() == [10, 20, 30]

    assert framekeep("outage", "resolve", mine).code == 4
    assert framekeep("outage", "resolve", both, mine).code == 4
    assert len(framekeep("outage", "list", "--json").json["kept"]) == 1
    assert framekeep("outage", "resolve", both).code == 0
    assert framekeep("outage", "list", "--json").json["kept"] == []
    assert framekeep("outage", "resolve", both).code == 4


def test_all_are_resolved_at_once(framekeep: Any, machine: Machine) -> None:
    _, both = machine.outage()
    machine.proxy.heal()
    assert framekeep("outage", "replay").code == 0
    assert framekeep("outage", "resolve").code == 3
    assert framekeep("outage", "resolve", both, "--all").code == 3
    assert framekeep("outage", "resolve", "--all", "--json").json == {"resolved": [f"session:{both}"]}
    assert framekeep("outage", "resolve", "--all").code == 0


def test_what_waits_belongs_to_one_store(
    framekeep: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.outage()
    machine.proxy.heal()
    monkeypatch.setenv("REDIS_KEY_PREFIX", "another")
    with DataManager(Settings(storage_dir=framekeep.directory)) as manager:
        assert manager.backend.list_sessions() == []
    listed = framekeep("outage", "list", "--json").json
    assert (listed["waiting"], listed["kept"]) == ([], [])
    assert framekeep("outage", "replay", "--json").json == {"outcomes": {}, "failed": {}, "left": 0}


def other(framekeep: Any) -> dict[str, Any]:
    """Return the one other standby that is listed."""
    [found] = framekeep("outage", "list", "--json").json["others"]
    assert isinstance(found, dict)
    return found


def test_what_waits_elsewhere_on_the_machine_is_told(
    framekeep: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.outage()
    monkeypatch.setenv("REDIS_DB", "3")  # another store, of which there is no standby
    found = other(framekeep)
    assert (found["waiting"], found["kept"], found["problem"]) == (2, 0, None)
    assert "database 0" in found["store"]
    words = framekeep("outage", "list")
    assert "0 waiting, 0 kept in both states." in words.out
    assert found["directory"] in words.out
    assert "--from DIR" in words.out
    replayed = framekeep("outage", "replay")
    assert replayed.code == 4
    assert "for --from" in replayed.err
    theirs = framekeep("outage", "list", "--from", found["directory"], "--json").json
    assert (len(theirs["waiting"]), theirs["others"]) == (2, [])


def test_what_waits_goes_to_a_store_that_has_moved(
    framekeep: Any, machine: Machine, places: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, both = machine.outage()
    moved = places.settings("valkey")["redis_url"]  # the same server, under its other address
    monkeypatch.setenv("REDIS_URL", moved)
    directory = other(framekeep)["directory"]
    replayed = framekeep("outage", "replay", "--from", directory, "--json")
    assert replayed.code == 0, replayed.err
    assert replayed.json["outcomes"] == {
        f"session:{mine}": "forwarded",
        f"session:{both}": "kept as versions",
    }
    assert machine.elsewhere.get_dataframe(mine)["a"].tolist() == [10, 20, 30]
    assert (other(framekeep)["waiting"], other(framekeep)["kept"]) == (0, 1)
    assert framekeep("outage", "resolve", both).code == 4
    assert framekeep("outage", "resolve", both, "--from", directory).code == 0
    assert framekeep("outage", "list").code == 4


def test_a_standby_that_a_service_has_open_is_left_to_it(
    framekeep: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.outage()
    [directory] = framekeep.directory.glob("standby-*")
    with DataManager(machine.settings):
        monkeypatch.setenv("REDIS_DB", "3")
        result = framekeep("outage", "replay", "--from", directory)
    assert result.code == 6
    assert "Stop it first" in result.err


def test_a_directory_that_is_no_standby_is_refused(framekeep: Any, tmp_path: Path) -> None:
    for words in (("list",), ("resolve", "x"), ("replay",)):
        result = framekeep("outage", *words, "--from", tmp_path)
        assert (result.code, result.out) == (4, "")
        assert "names those there are" in result.err


def test_what_cannot_be_brought_back_is_told(
    framekeep: Any, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, both = machine.outage()
    machine.elsewhere.engine.discard(Space(f"session:{mine}"))
    with machine.redis() as operator:
        head = machine.elsewhere.engine._keys.of(Space(f"session:{mine}")).head  # type: ignore[attr-defined]
        operator.hset(head, mapping={"f": "99", "r": b"0" * 16, "b": b"", "n": 0, "p": b""})
        operator.expire(head, 600)
        machine.proxy.heal()
        result = framekeep("outage", "replay", "--json")
        operator.delete(head)
    assert result.code == 6
    assert result.json["outcomes"] == {f"session:{both}": "kept as versions"}
    assert "newer Framekeep" in result.json["failed"][f"session:{mine}"]
    assert result.json["left"] == 1
    assert framekeep("outage", "replay").code == 0


def test_the_page_names_the_verbs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for verb in ("list", "resolve", "replay"):
        assert f"`outage {verb}" in page

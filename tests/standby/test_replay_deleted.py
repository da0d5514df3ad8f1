"""Deleted elsewhere, expired, or lost with Redis: what becomes of a session that was read or changed here.

Two machines before a real server that saves nothing, so that it comes back empty when it is killed. Nothing
is brought back but on demand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from framekeep import RedisBackend, Settings
from framekeep.connect import returning
from framekeep.engines.base import Change
from framekeep.errors import SessionNotFoundError, StorageUnavailableError, TempStorageNotFoundError
from framekeep.names import Space, new_revision
from framekeep.standby.replay import Kept, Outcome, kept
from framekeep.testing import redis_keyspace
from framekeep.testing.fault_proxy import FaultProxy
from framekeep.testing.redis_servers import Server, server, until

S = Space("session:s")
HOUR = 3600.0


def frame(value: int) -> pd.DataFrame:
    return pd.DataFrame({"a": [value, 2, 3]})


@dataclass
class Machine:
    """One of the machines."""

    proxy: FaultProxy
    backend: RedisBackend

    @property
    def engine(self) -> Any:
        return self.backend.engine

    def value(self) -> int:
        return int(self.backend.get_dataframe("s")["a"].iloc[0])

    def cut_off(self) -> None:
        self.engine.mirror.wait()
        self.proxy.refuse()

    def back(self) -> dict[Space, Outcome]:
        """Reach Redis again, and bring back."""
        self.proxy.heal()
        assert self.backend.replayer is not None
        done: dict[Space, Outcome] = {}

        def brought() -> bool:
            with suppress(StorageUnavailableError):  # breakers may be open for a moment
                done.update(self.backend.replayer.replay())  # type: ignore[union-attr]
            return not self.engine.status()["pending"]

        until(brought, "all is back")
        return done

    def kept(self) -> list[Kept]:
        return kept(self.engine.local)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def later() -> list[float]:
    """Seconds that machines are ahead of the time."""
    return [0.0]


@pytest.fixture
def machine(redis: Server, tmp_path: Path, later: list[float]) -> Iterator[Callable[[str], Machine]]:
    made: list[Machine] = []

    def machine(name: str) -> Machine:
        proxy = FaultProxy(redis.url).__enter__()
        settings = Settings(
            _env_file=None,
            redis_enabled=True,
            redis_url=proxy.url,
            redis_socket_timeout=5.0,
            breaker_failures=2,
            breaker_cooldown_seconds=0.02,
        )
        backend = returning(settings, tmp_path / name, clock=lambda: time.time() + later[0])
        made.append(Machine(proxy, backend))
        return made[-1]

    yield machine
    for each in made:
        each.backend.close()
        each.proxy.__exit__(None, None, None)


@pytest.fixture
def here(machine: Callable[[str], Machine]) -> Machine:
    return machine("here")


@pytest.fixture
def elsewhere(machine: Callable[[str], Machine]) -> Machine:
    return machine("elsewhere")


@pytest.fixture
def session(here: Machine, later: list[float]) -> str:
    here.backend.create_session("s", frame(1), "f.csv", HOUR)
    here.backend.commit_dataframe("s", frame(5), "five")
    here.engine.mirror.wait()
    later[0] = 10.0  # so that reading it moves its expiry
    return "s"


def read(here: Machine) -> None:
    assert here.value() == 5
    assert here.engine.status()["pending"] == 1


def change(here: Machine) -> None:
    here.backend.commit_dataframe("s", frame(10), "ten")


class Killed(BaseException):
    """What ends a replay that is broken off."""


def break_off(here: Machine, where: object, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach Redis again, and bring back up to some point."""

    def killed(*_: object) -> None:
        raise Killed

    assert here.backend.replayer is not None
    here.proxy.heal()
    until(lambda: here.engine.health().reachable, "its breakers have closed")
    with monkeypatch.context() as patch:
        patch.setattr(where, point, killed)
        with pytest.raises(Killed):
            here.backend.replayer.replay()


# --- deleted elsewhere ---------------------------------------------------------------------------------


def test_deleted_elsewhere_and_read_here_stays_deleted(
    here: Machine, elsewhere: Machine, session: str, redis: Server
) -> None:
    here.cut_off()
    read(here)
    assert elsewhere.backend.delete_session("s")
    assert here.back() == {S: Outcome.GONE}
    assert not elsewhere.backend.session_exists("s")
    with pytest.raises(SessionNotFoundError):
        here.value()
    assert here.kept() == []
    here.proxy.refuse()
    with pytest.raises(StorageUnavailableError):  # nor is it here any more
        here.value()
    assert gone_there(redis, here)


def test_deleted_elsewhere_before_it_was_read_here_stays_deleted(
    here: Machine, elsewhere: Machine, session: str
) -> None:
    here.engine.mirror.wait()
    assert elsewhere.backend.delete_session("s")
    here.cut_off()
    read(here)  # nobody has told this machine
    assert here.back() == {S: Outcome.GONE}
    assert not elsewhere.backend.session_exists("s")


def test_changed_and_deleted_elsewhere_and_read_here_stays_deleted(
    here: Machine, elsewhere: Machine, session: str
) -> None:
    here.cut_off()
    read(here)
    for value in range(20, 45):  # more than are remembered
        elsewhere.backend.commit_dataframe("s", frame(value), "there")
    assert elsewhere.backend.delete_session("s")
    assert here.back() == {S: Outcome.GONE}
    assert not elsewhere.backend.session_exists("s")


def test_deleted_elsewhere_and_changed_here_is_there_again(
    here: Machine, elsewhere: Machine, session: str
) -> None:
    here.cut_off()
    change(here)
    assert elsewhere.backend.delete_session("s")
    assert here.back() == {S: Outcome.RESTORED}
    assert elsewhere.value() == here.value() == 10
    log = "\n".join(elsewhere.backend.get_audit_log("s"))
    assert log.count("ten") == log.count("there again") == 1
    [record] = here.kept()
    assert record.space == S
    assert "deleted elsewhere" in record.reason
    elsewhere.backend.undo("s")
    assert elsewhere.value() == 5


def test_deleted_and_made_again_here_is_a_new_one_and_nobody_deleted_it_elsewhere(
    here: Machine, elsewhere: Machine, session: str
) -> None:
    assert here.backend.delete_session("s")  # Redis knows of that
    here.cut_off()
    here.backend.create_session("s", frame(30), "again.csv", HOUR)
    assert here.back() == {S: Outcome.CREATED}
    assert len(elsewhere.backend.get_audit_log("s")) == 1
    assert here.kept() == []


def test_so_is_one_whose_deletion_was_not_answered(here: Machine, elsewhere: Machine, session: str) -> None:
    here.engine.mirror.wait()
    here.proxy.drop_replies(None)
    assert here.backend.delete_session("s")
    here.cut_off()
    here.backend.create_session("s", frame(30), "again.csv", HOUR)
    assert here.back() == {S: Outcome.CREATED}
    assert len(elsewhere.backend.get_audit_log("s")) == 1
    assert here.kept() == []


def test_so_it_is_when_coming_back_is_broken_off(
    here: Machine, elsewhere: Machine, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.cut_off()
    change(here)
    assert elsewhere.backend.delete_session("s")
    for where, point in (
        (here.backend.replayer, "_push"),
        (here.backend.replayer, "_keep"),
        (here.engine.markers, "remove"),
    ):
        break_off(here, where, point, monkeypatch)
    here.back()
    assert elsewhere.value() == 10
    assert len(here.kept()) == 1
    log = "\n".join(elsewhere.backend.get_audit_log("s"))
    assert log.count("ten") == log.count("there again") == 1


def test_made_unanswered_and_made_again_here_is_a_new_one_also_when_coming_back_is_broken_off(
    here: Machine, elsewhere: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = here.engine.primary.commit

    def lost(space: Space, change: Change) -> None:
        commit(space, change)
        raise StorageUnavailableError("the reply was lost")

    with monkeypatch.context() as patch:
        patch.setattr(here.engine.primary, "commit", lost)
        here.backend.create_session("s", frame(1), "f.csv", HOUR)
    here.proxy.refuse()
    assert here.backend.delete_session("s")
    here.backend.create_session("s", frame(30), "again.csv", HOUR)
    break_off(here, here.backend.replayer, "_push", monkeypatch)  # the first one is deleted
    assert here.back() == {S: Outcome.CREATED}
    assert len(elsewhere.backend.get_audit_log("s")) == 1
    assert elsewhere.value() == 30
    assert here.kept() == []


def made_again_and_back_but_not_known_to_be(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here.cut_off()
    assert here.backend.delete_session("s")
    here.backend.create_session("s", frame(30), "again.csv", HOUR)
    break_off(here, here.engine.markers, "remove", monkeypatch)


def test_made_again_here_and_deleted_elsewhere_once_it_had_come_back_stays_deleted(
    here: Machine, elsewhere: Machine, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_again_and_back_but_not_known_to_be(here, monkeypatch)
    assert elsewhere.value() == 30
    assert elsewhere.backend.delete_session("s")
    assert here.back() == {S: Outcome.GONE}
    assert not elsewhere.backend.session_exists("s")


def test_made_again_here_deleted_elsewhere_once_it_had_come_back_and_changed_here_is_there_again(
    here: Machine, elsewhere: Machine, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_again_and_back_but_not_known_to_be(here, monkeypatch)
    assert elsewhere.backend.delete_session("s")
    change(here)
    assert here.back() == {S: Outcome.RESTORED}
    assert elsewhere.value() == 10
    assert len(here.kept()) == 1


def test_what_had_come_back_and_was_deleted_then_stays_deleted(
    here: Machine, elsewhere: Machine, session: str
) -> None:
    here.cut_off()
    change(here)
    marker = here.engine.markers.get(S)
    here.back()
    assert elsewhere.value() == 10
    assert elsewhere.backend.delete_session("s")
    here.engine.markers.put(marker)  # as if it had been killed before it removed it
    assert here.back() == {S: Outcome.GONE}
    assert not elsewhere.backend.session_exists("s")


def test_a_temporary_storage_deleted_elsewhere_stays_deleted(
    here: Machine, elsewhere: Machine, later: list[float]
) -> None:
    here.backend.create_temp_storage("t", {"one": frame(1)}, "book.xlsx", HOUR)
    here.engine.mirror.wait()
    later[0] = 10.0
    here.cut_off()
    here.backend.get_temp_storage("t")
    assert elsewhere.backend.delete_temp_storage("t")
    here.back()
    with pytest.raises(TempStorageNotFoundError):
        elsewhere.backend.get_temp_storage("t")


@pytest.mark.parametrize("first", ["deleted", "read"])
def test_deleted_on_a_machine_that_was_cut_off_too_and_lost_by_redis(
    here: Machine, elsewhere: Machine, session: str, redis: Server, first: str
) -> None:
    elsewhere.value()
    elsewhere.cut_off()
    here.cut_off()
    assert elsewhere.backend.delete_session("s")
    read(here)
    with redis.client() as operator:
        operator.flushall()
    for each in (elsewhere, here) if first == "deleted" else (here, elsewhere):
        each.back()
    for each in (elsewhere, here):
        assert not each.backend.session_exists("s")


# --- Redis came back empty -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [read, change])
def test_redis_came_back_empty(
    here: Machine, elsewhere: Machine, session: str, redis: Server, what: Callable[[Machine], None]
) -> None:
    here.engine.mirror.wait()
    redis.kill()
    what(here)
    redis.start()
    with redis.client() as operator:
        assert operator.dbsize() == 0
    assert here.back() == {S: Outcome.CREATED}
    assert elsewhere.value() == here.value() == (5 if what is read else 10)
    elsewhere.backend.undo("s")
    assert here.kept() == []


# --- expired ---------------------------------------------------------------------------------------------


def gone_there(redis: Server, here: Machine) -> bool:
    with redis.client() as operator:
        return not operator.exists(here.engine.primary.inner._keys.of(S).head)


@pytest.mark.parametrize("what", [read, change])
def test_expired_there_and_used_here_lives_on(
    here: Machine, elsewhere: Machine, redis: Server, what: Callable[[Machine], None]
) -> None:
    here.backend.create_session("s", frame(5), "f.csv", 3.0)
    here.cut_off()
    what(here)
    until(lambda: here.value() > 0 and gone_there(redis, here), "it has expired there")
    assert here.back() == {S: Outcome.CREATED}
    assert elsewhere.value() == (5 if what is read else 10)


@pytest.mark.parametrize("what", [read, change])
def test_expired_there_is_not_deleted_there_though_one_of_that_name_was(
    here: Machine, elsewhere: Machine, redis: Server, what: Callable[[Machine], None]
) -> None:
    here.backend.create_session("s", frame(1), "f.csv", HOUR)
    elsewhere.backend.delete_session("s")
    here.backend.create_session("s", frame(5), "f.csv", 3.0)
    here.cut_off()
    what(here)
    until(lambda: here.value() > 0 and gone_there(redis, here), "it has expired there")
    assert here.back() == {S: Outcome.CREATED}
    assert elsewhere.value() == (5 if what is read else 10)
    assert not here.kept()


def test_expired_in_both_places_is_gone(
    here: Machine, elsewhere: Machine, session: str, redis: Server, later: list[float]
) -> None:
    here.cut_off()
    change(here)
    later[0] = 2 * HOUR
    with redis.client() as operator:
        operator.flushall()  # as if it had expired
    here.back()
    assert not elsewhere.backend.session_exists("s")
    assert here.kept() == []


def test_gone_for_longer_than_deletions_are_remembered_and_read_here_does_not_come_back(
    here: Machine, elsewhere: Machine, redis: Server, later: list[float]
) -> None:
    here.backend.create_session("s", frame(5), "f.csv", 10 * 24 * HOUR)
    here.cut_off()
    for _ in range(2):
        later[0] += 9 * 24 * HOUR
        assert here.value() == 5
    with redis.client() as operator:
        operator.flushall()
    assert here.back() == {S: Outcome.LEFT}
    assert not elsewhere.backend.session_exists("s")
    [record] = here.kept()
    assert "only read here" in record.reason


# --- what is remembered ----------------------------------------------------------------------------------


def test_a_deletion_is_known_until_the_session_would_have_expired_and_a_day_more(
    here: Machine, session: str, redis: Server
) -> None:
    revision = here.engine.load(S).revision
    assert here.backend.delete_session("s")
    engine = here.engine.primary.inner
    assert engine.deleted(S)[0] == revision
    keys = engine._keys.of(S)
    with redis.client() as operator:
        assert 24 * HOUR + HOUR - 60 < operator.pttl(keys.deleted) / 1000 <= 24 * HOUR + HOUR
    here.backend.create_session("s", frame(7), "f.csv", HOUR)
    assert engine.deleted(S) is None
    assert engine.deleted(Space("session:never")) is None
    assert redis_keyspace.without_expiry(engine) == []


def test_deletions_of_locks_are_forgotten_soon(here: Machine, redis: Server) -> None:
    lock, revision = Space("lock:s"), new_revision()
    here.engine.commit(lock, Change(None, revision, b"mine", ttl=10.0))
    here.engine.commit(lock, Change(revision, new_revision(), None))
    with redis.client() as operator:
        left = operator.pttl(here.engine.primary.inner._keys.of(lock).deleted)
    assert 0 < left <= 60_000


def test_a_marker_says_until_when_a_deletion_is_remembered(here: Machine, session: str) -> None:
    here.cut_off()
    read(here)
    marker = here.engine.markers.get(S)
    assert marker.remembered == pytest.approx(marker.since + 25 * HOUR, abs=120)
    assert replace(marker, expires=None).remembered == marker.since + 24 * HOUR

"""What may come in between: other workers, others elsewhere, a lost reply, a death, an expiry, a fork."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from framekeep.engines.base import Change
from framekeep.names import Space, new_revision
from framekeep.sessions.parts import parts_of
from framekeep.standby.markers import Markers
from framekeep.standby.mirror import Mirror
from framekeep.standby.replay import Outcome
from framekeep.testing import ManualClock
from framekeep.testing.redis_process import until

from .conftest import brought_back, counts, frame, values

S = Space("session:s")
FORKING = Path(__file__).parent / "programs" / "forking.py"


# --- workers of one machine ----------------------------------------------------------------------------


def test_locks_hold_between_two_engines_of_one_process(machine: Callable[[str], Any]) -> None:
    one, other = machine("here"), machine("here")
    inside: list[str] = []

    def second() -> None:
        with other.engine.markers.locked(S):
            inside.append("second")

    thread = threading.Thread(target=second)
    with one.engine.markers.locked(S):
        thread.start()
        thread.join(0.2)
        inside.append("first")
    thread.join(10.0)
    assert inside == ["first", "second"]


def test_only_one_of_a_machine_replays(machine: Callable[[str], Any]) -> None:
    one, other = machine("here"), machine("here")
    with one.engine.markers.alone() as first, other.engine.markers.alone() as second:
        assert (first, second) == (True, False)
    with other.engine.markers.alone() as again:
        assert again


def test_who_reads_while_a_session_comes_back_finds_it(
    machine: Callable[[str], Any],
    here: Any,
    elsewhere: Any,
    primary: Any,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = machine("here")
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    found: list[int] = []
    discard = here.engine.local.discard

    def looked(space: Space) -> bool:
        gone: bool = discard(space)
        if space == S:
            found.extend(values(other.backend))
        return gone

    monkeypatch.setattr(here.engine.local, "discard", looked)
    assert here.replayer.replay() == {S: Outcome.KEPT}
    assert found == [99, 2, 3]


def test_who_has_just_looked_whether_a_session_is_here_looks_again(
    machine: Callable[[str], Any],
    here: Any,
    elsewhere: Any,
    primary: Any,
    session: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = machine("here")
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    there = other.engine.markers.there

    mine = threading.current_thread()

    def slow(space: Space) -> bool:
        found: bool = there(space)
        if threading.current_thread() is mine:  # and not the mirror's, which holds the space
            here.replayer.replay()
        return found

    for look in (
        lambda: values(other.backend)[0],
        lambda: other.engine.touch(S, 3600.0) is not None,
        lambda: len(other.backend.get_audit_log("s")) > 1,
    ):
        monkeypatch.setattr(other.engine.markers, "there", slow)
        assert look()
        monkeypatch.undo()
        here.settled()
        primary.down = True
        here.backend.commit_dataframe("s", frame(10), "ten")
        primary.down = False
        elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")


def test_a_damaged_session_is_discarded_while_it_is_still_to_be_mirrored(
    here: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mirror, "_run", lambda mirror: None)
    here.backend.add_audit_entry("s", "not mirrored yet")
    primary.down = True
    thread = threading.Thread(target=here.engine.discard, args=(S,), daemon=True)
    thread.start()
    thread.join(10.0)
    assert not thread.is_alive()
    primary.down = False
    here.replayer.replay()
    assert primary.load(S) is None


def test_what_was_acknowledged_last_is_seen_when_redis_goes(
    here: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mirror, "_run", lambda mirror: None)  # the thread has not come to it yet
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.backend.get_metadata("s")
    here.backend.commit_dataframe("s", frame(20), "twenty")
    primary.down = True
    assert values(here.backend) == [20, 2, 3]
    here.backend.commit_dataframe("s", frame(30), "thirty")
    primary.down = False
    assert here.replayer.replay() == {S: Outcome.FORWARDED}


def test_a_mirrored_deletion_does_not_delete_what_was_made_since(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = machine("here")
    run = Mirror._run
    monkeypatch.setattr(Mirror, "_run", lambda mirror: None)
    here.backend.delete_session("s")
    monkeypatch.setattr(Mirror, "_run", run)
    other.backend.create_session("s", frame(7), "again.csv", 3600.0)
    other.settled()
    assert here.engine.load(S) is not None  # starts the thread
    here.settled()
    primary.down = True
    assert values(other.backend) == [7, 2, 3]


def test_a_deleted_session_is_not_listed_until_it_is_back(here: Any, primary: Any, session: str) -> None:
    here.backend.create_session("q", frame(1), "q.csv", 3600.0)
    here.settled()
    primary.down = True
    here.backend.delete_session("s")
    here.backend.create_session("n", frame(1), "n.csv", 3600.0)
    primary.down = False
    assert here.backend.list_sessions() == ["n", "q"]
    assert here.backend.get_active_sessions_count() == 2


def test_one_that_others_deleted_is_not_kept_here(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    elsewhere.backend.delete_session("s")
    assert not here.backend.session_exists("s")
    here.settled()
    assert here.engine.local.load(S) is None


def test_one_too_large_for_the_mirror_is_not_copied_each_time(here: Any, primary: Any, session: str) -> None:
    here.engine.mirror._limit = 100
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.engine.mirror.gone(S)  # it is to be copied
    here.settled()
    read, reads = primary.read, []

    def counted(*args: Any) -> None:
        reads.append(args)
        read(*args)

    primary.read = counted
    for _ in range(5):
        here.backend.get_metadata("s")
        here.settled()
    assert len(reads) <= 2
    assert here.engine.local.load(S) is None


def test_workers_mirror_what_they_change_in_turns_without_copying(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str
) -> None:
    other = machine("here")
    read, reads = primary.read, []

    def counted(*args: Any) -> None:
        if threading.current_thread().name == "framekeep-mirror":
            reads.append(args)
        read(*args)

    primary.read = counted
    for number in range(20):
        worker = (here, other)[number % 2]
        worker.backend.commit_dataframe("s", frame(100 + number), f"change {number}")
    here.settled()
    other.settled()
    assert reads == []
    primary.down = True
    for worker in (here, other):
        assert values(worker.backend) == [119, 2, 3]
        assert counts(worker.backend, *(f": change {number}." for number in range(20))) == [1] * 20


def test_what_another_worker_has_still_to_mirror_is_waited_for(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str
) -> None:
    other = machine("here")
    here.backend.commit_dataframe("s", frame(10), "ten")
    other.backend.commit_dataframe("s", frame(20), "twenty")
    here.backend.commit_dataframe("s", frame(30), "thirty")
    primary.down = True  # at once: none of it may have been mirrored
    assert values(other.backend) == [30, 2, 3]
    other.backend.commit_dataframe("s", frame(40), "forty")
    primary.down = False
    assert other.replayer.replay() == {S: Outcome.FORWARDED}


def test_what_a_dead_worker_had_still_to_mirror_is_not_waited_for_for_ever(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = machine("here")
    dead = machine("here")
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "_run", lambda mirror: None)
        dead.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = True
    assert values(other.backend) == [1, 2, 3]
    other.backend.commit_dataframe("s", frame(40), "forty")
    primary.down = False
    assert other.replayer.replay() == {S: Outcome.KEPT}
    assert values(other.backend) == [10, 2, 3]


def test_what_a_dead_worker_had_still_to_mirror_is_copied_by_who_reads_it(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = machine("here")
    dead = machine("here")
    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "_run", lambda mirror: None)
        dead.backend.commit_dataframe("s", frame(10), "ten")
    assert values(other.backend) == [10, 2, 3]
    other.settled()
    primary.down = True
    assert values(other.backend) == [10, 2, 3]


def test_a_session_made_and_deleted_by_two_workers_does_not_come_back(
    machine: Callable[[str], Any], here: Any, primary: Any
) -> None:
    other = machine("here")
    for number in range(5):
        here.backend.create_session(f"n{number}", frame(1), "n.csv", 3600.0)
        here.backend.commit_dataframe(f"n{number}", frame(2), "two")
        assert other.backend.delete_session(f"n{number}")
    here.settled()
    other.settled()
    assert [info.space for info in here.engine.local.spaces("session:")] == []


def test_a_mirror_that_has_much_to_do_lets_more_gather(
    here: Any, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count()
    monkeypatch.setattr(time, "thread_time", lambda: 0.02 * next(steps))  # that long for each step
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.settled()
    start = time.monotonic()
    before = here.engine.local.load(S)
    here.backend.commit_dataframe("s", frame(20), "twenty")
    until(lambda: here.engine.local.load(S).revision != before.revision, "it is not mirrored")
    assert time.monotonic() - start > 0.9


def test_closing_mirrors_what_was_acknowledged(
    machine: Callable[[str], Any], here: Any, primary: Any, session: str
) -> None:
    here.backend.commit_dataframe("s", frame(10), "ten")
    here.engine.mirror.close()
    other = machine("here")
    primary.down = True
    assert values(other.backend) == [10, 2, 3]


def test_one_that_is_only_read_does_not_expire_here(
    here: Any, primary: Any, clock: ManualClock, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framekeep.standby.mirror._FRESH", 0.0)
    for seconds in (1800.0, 1700.0):
        clock.advance(seconds)
        for _ in range(2):  # the first one moves the expiry there, the second one sees that
            assert values(here.backend) == [1, 2, 3]
            here.settled()
    clock.advance(200.0)
    primary.down = True
    assert values(here.backend) == [1, 2, 3]


# --- others elsewhere ------------------------------------------------------------------------------------


def test_parts_of_kept_versions_are_not_freed_by_others(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    primary.down = True
    here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    elsewhere.backend.commit_dataframe("s", frame(99), "ninety-nine")
    stage, cleared = primary.stage, []

    def staged(space: Space, blobs: Any) -> None:
        stage(space, blobs)
        if not cleared:
            cleared.append(space)
            head = primary.load(S)
            keep = frozenset(parts_of(primary, S, head.body))
            primary.commit(S, Change(head.revision, new_revision(), head.body, keep=keep))

    primary.stage = staged
    here.replayer.replay()
    assert cleared
    made = [v for v in elsewhere.backend.get_history("s") if "outage" in v["action_summary"]]
    assert [values(elsewhere.backend, version=v["version_id"])[0] for v in made] == [10]


def test_one_that_expired_here_is_not_deleted_where_it_is_in_use(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock, session: str
) -> None:
    clock.advance(100.0)
    primary.down = True
    here.backend.get_dataframe("s")  # which moves its expiry here only
    primary.down = False
    clock.advance(3000.0)
    elsewhere.backend.get_dataframe("s")
    clock.advance(1000.0)
    assert here.replayer.replay() == {S: Outcome.LEFT}
    assert values(elsewhere.backend) == [1, 2, 3]


@pytest.mark.parametrize("changed", [False, True])
def test_an_expiry_that_others_moved_does_not_come_earlier(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock, session: str, changed: bool
) -> None:
    clock.advance(100.0)
    primary.down = True
    here.backend.get_dataframe("s")  # which moves its expiry here only
    if changed:
        here.backend.commit_dataframe("s", frame(10), "ten")
    primary.down = False
    clock.advance(3000.0)
    elsewhere.backend.get_dataframe("s")
    here.replayer.replay()
    assert primary.load(S).ttl == pytest.approx(3600.0, abs=5.0)


@pytest.mark.parametrize("elsewhere_too", [False, True])
def test_one_deleted_and_made_again_is_a_new_one(
    here: Any, elsewhere: Any, primary: Any, clock: ManualClock, session: str, elsewhere_too: bool
) -> None:
    here.backend.add_audit_entry("s", "of the old one")
    here.settled()
    primary.down = True
    clock.advance(1.0)
    here.backend.delete_session("s")
    here.backend.create_session("s", frame(7), "again.csv", 3600.0)
    here.backend.add_audit_entry("s", "of the new one")
    wanted = here.backend.get_audit_log("s")
    primary.down = False
    if elsewhere_too:
        elsewhere.backend.add_audit_entry("s", "of elsewhere")
    brought_back(here)
    if elsewhere_too:
        assert counts(elsewhere.backend, "of the old one", "of elsewhere", "of the new one") == [1, 1, 1]
        assert counts(elsewhere.backend, "again.csv") == [1]
    else:
        assert elsewhere.backend.get_audit_log("s") == wanted
        assert values(elsewhere.backend) == [7, 2, 3]


def test_metadata_of_another_session_of_that_name_does_not_stop_it(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    here.backend.update_metadata("s", {"k": 1})
    here.backend.create_session("q", frame(1), "q.csv", 3600.0)
    here.settled()
    primary.down = True
    here.backend.update_metadata("s", {"k": 2})
    here.backend.add_audit_entry("q", "waits behind it")
    primary.down = False
    elsewhere.backend.delete_session("s")
    elsewhere.backend.create_session("s", frame(7), "again.csv", 3600.0)
    assert here.replayer.replay() == {S: Outcome.KEPT, Space("session:q"): Outcome.FORWARDED}
    assert counts(elsewhere.backend, "Metadata 'k' was 2 there") == [1]


def test_one_that_cannot_be_brought_back_keeps_no_other(
    here: Any, elsewhere: Any, primary: Any, session: str
) -> None:
    here.backend.create_session("q", frame(1), "q.csv", 3600.0)
    here.settled()
    primary.down = True
    here.backend.add_audit_entry("s", "first")
    here.backend.add_audit_entry("q", "second")
    primary.down = False
    markers: Markers = here.engine.markers
    marker = markers.get(S)
    assert marker is not None
    elsewhere.backend.add_audit_entry("s", "elsewhere")
    markers.put(replace(marker, base_body=b"no session"))
    assert here.replayer.replay() == {Space("session:q"): Outcome.FORWARDED}
    assert here.engine.status()["pending"] == 1


def test_a_time_to_live_set_here_is_kept(here: Any, elsewhere: Any, primary: Any, session: str) -> None:
    primary.down = True
    here.backend.touch_session("s", 9000.0)
    primary.down = False
    elsewhere.backend.add_audit_entry("s", "elsewhere")
    here.replayer.replay()
    assert primary.load(S).ttl == pytest.approx(9000.0, abs=5.0)


# --- forks ---------------------------------------------------------------------------------------------


def test_a_child_of_a_process_that_was_mirroring_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FORKING), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["made", "replayed"]), done.stderr


def test_a_child_of_a_process_that_was_trying_tries_itself() -> None:
    program = """
import os
from framekeep.engines.breaker import Breaker
breaker = Breaker(failures=1, cooldown=0.001, jitter=lambda: 0.0)
breaker.failed(breaker.admit())
while breaker.admit() is None:
    pass
with breaker._lock:
    child = os.fork()
    if not child:
        os._exit(0 if breaker.admit() else 7)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("verb", ["read", "edit"])
def test_a_head_older_than_what_was_missing_is_no_damage(
    machine: Callable[[str], Any], elsewhere: Any, primary: Any, here: Any, session: str, verb: str
) -> None:
    """The state that was loaded is dropped there, then the primary goes, and here it is whole."""
    worker, read = machine("here"), primary.read

    def dropped_and_gone(space: Space, digests: Any, visit: Any) -> None:
        primary.read = read
        elsewhere.backend.update_dataframe("s", frame(7))
        try:
            read(space, digests, visit)
        finally:
            primary.down = True

    primary.read = dropped_and_gone
    if verb == "read":
        assert int(worker.backend.get_dataframe("s")["a"].iloc[0]) == 1
    else:
        worker.backend.commit_dataframe("s", frame(8), "eight")
        assert int(worker.backend.get_dataframe("s")["a"].iloc[0]) == 8


def test_one_session_that_somebody_has_locked_keeps_no_other_waiting(here: Any) -> None:
    here.backend.create_session("one", frame(1), "f.csv", 3600.0)
    here.backend.create_session("two", frame(2), "f.csv", 3600.0)
    here.settled()

    def last(name: str) -> str:
        return str(here.engine.local.log(Space(f"session:{name}"))[-1], "ascii")

    for name, other in (("one", "two"), ("two", "one")):
        # As who brings it back has it locked, while Redis does not answer him.
        with here.engine.markers.locked(Space(f"session:{name}")):
            here.backend.add_audit_entry(name, "to be waited for")
            here.backend.add_audit_entry(other, "free")
            until(lambda other=other: last(other).endswith("] free"), "it is mirrored")  # type: ignore[misc]
            with here.engine.markers.locked(Space(f"session:{other}")):
                pass
        here.settled()
        assert last(name).endswith("] to be waited for")

"""Locks between processes on Redis: one holder at a time, tokens that grow, and leases that run out."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from lock_holder import now
from redis import Redis

from framekeep.engines.redis import RedisEngine
from framekeep.errors import LockTimeoutError
from framekeep.locks import Locks
from framekeep.testing import redis_keyspace
from framekeep.testing.redis_servers import until

PROGRAM = Path(__file__).parent / "programs" / "lock_holder.py"
LONG = pytest.mark.long

Line = list[Any]


class Holder:
    """A process that holds a lock, or wants to."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def heard(self) -> Line:
        """Return the next line it says."""
        assert self.process.stdout is not None
        line: Line = json.loads(self.process.stdout.readline())
        return line

    def asked(self, word: str) -> Line:
        """Say a word to it and return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.heard()

    def end(self) -> list[Line]:
        """Return what it says until it ends."""
        said, errors = self.process.communicate(timeout=600)
        assert (self.process.returncode, errors) == (0, "")
        return [json.loads(line) for line in said.splitlines()]


class Ring:
    """A lock of one name on a Redis, and a plain key that it guards."""

    def __init__(self, places: Any, place: str) -> None:
        self.options = {"url": places[place].url}
        self.prefix = f"k{secrets.token_hex(4)}"
        self.engine = RedisEngine(places.options(place), prefix=self.prefix)
        self.name, self.key = "ring", f"guarded-{self.prefix}"
        self.port = guard(places, place, self.key)
        self.client = Redis(port=self.port)

    def order(self, task: str, **more: Any) -> dict[str, Any]:
        given = {"ttl": 10.0, "attempts": 30, "delay": 0.002, **more}
        here = {"options": self.options, "prefix": self.prefix, "name": self.name}
        return {"task": task, **here, "key": self.key, "port": self.port, **given}

    def locks(self, **more: Any) -> Locks:
        return Locks(self.engine, **{"ttl": 10.0, "attempts": 0, "delay": 0.002, **more})

    @contextmanager
    def holder(self, **more: Any) -> Iterator[Holder]:
        holder = Holder(self.order("hold", **more))
        try:
            yield holder
        finally:
            holder.process.kill()
            holder.process.communicate()


def guard(places: Any, place: str, key: str) -> int:
    """Return the port of a server that may hold the plain key: in a Cluster, of the one with its slot."""
    setup = places[place]
    if place == "cluster":
        return int(setup.primary_of(key).port)
    return int(setup.primary.port if place == "sentinel" else setup.port)


@pytest.fixture
def ring(places: Any, request: pytest.FixtureRequest) -> Iterator[Ring]:
    ring = Ring(places, getattr(request, "param", "valkey"))
    yield ring
    assert redis_keyspace.without_expiry(ring.engine) == []
    redis_keyspace.remove(ring.engine)
    ring.client.unlink(ring.key)
    ring.client.close()
    ring.engine.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("ring", "rounds"),
    [
        ("valkey", 8),
        ("cluster", 4),
        pytest.param("valkey", 100, marks=LONG),
        pytest.param("redis", 100, marks=LONG),
        pytest.param("sentinel", 100, marks=LONG),
        pytest.param("cluster", 100, marks=LONG),
    ],
    indirect=["ring"],
)
def test_no_two_hold_the_lock_at_once_and_tokens_grow(ring: Ring, rounds: int) -> None:
    processes, threads = 4, 4
    holders = [Holder(ring.order("contend", rounds=rounds, threads=threads)) for _ in range(processes)]
    lines = [line for holder in holders for line in holder.end()]
    leases = sorted((line for line in lines if line != ["waited"]), key=lambda line: line[1])
    assert len(leases) == processes * threads * rounds
    assert not any(refused for *_, refused in leases)
    for (token, _, end, _), (later, begin, _, _) in pairwise(leases):
        assert end <= begin, "two held it at once"
        assert token < later
    assert int(ring.client.get(ring.key) or 0) == leases[-1][0]
    took = leases[-1][2] - leases[0][1]
    print(f"{len(leases)} leases in {took:.1f} s, {lines.count(['waited'])} times somebody gave up")


def test_after_a_holder_was_killed_the_next_gets_the_lock_when_the_lease_has_run_out(ring: Ring) -> None:
    ttl = 1.0
    with ring.holder(ttl=ttl) as holder:
        token, taken = holder.heard()
        holder.process.send_signal(signal.SIGKILL)
        holder.process.wait()
        with pytest.raises(LockTimeoutError):
            ring.locks().lock(ring.name).acquire()
        lease = ring.locks(attempts=1000, delay=0.01).lock(ring.name).acquire()
        waited = now(ring.client) - taken
        assert lease.token > token
        assert ttl - 0.5 < waited < ttl + 30  # taken shortly before it was said
        lease.release()


def test_a_lease_that_is_renewed_outlives_its_time(ring: Ring) -> None:
    ttl = 2.0
    with ring.holder(ttl=ttl) as holder:
        token, taken = holder.heard()
        latest = taken
        while latest - taken < 1.5 * ttl:
            renewed, at = holder.asked("renew")
            assert (renewed, at - latest < ttl) == ("done", True)  # else the machine stood still
            latest = at
            with pytest.raises(LockTimeoutError):
                ring.locks().lock(ring.name).acquire()
        assert holder.asked("write")[0] == "done"
        assert holder.asked("release")[0] == "done"
        lease = ring.locks().lock(ring.name).acquire()
        assert lease.token > token
        lease.release()


def test_a_holder_that_slept_too_long_is_told_and_what_it_writes_is_refused(ring: Ring) -> None:
    with ring.holder(ttl=0.5) as holder:
        token, _ = holder.heard()
        holder.process.send_signal(signal.SIGSTOP)
        lease = ring.locks(attempts=1000, delay=0.01).lock(ring.name).acquire()
        assert lease.token > token
        ring.client.set(ring.key, lease.token, px=600_000)
        holder.process.send_signal(signal.SIGCONT)
        assert holder.asked("write")[0] == "refused"
        assert holder.asked("renew")[0] == "LeaseLostError"
        assert holder.asked("release")[0] == "LeaseLostError"
        lease.renew()  # it is still the other's
        lease.release()


def test_a_lease_that_ran_out_and_nobody_took_can_be_renewed(ring: Ring) -> None:
    with ring.holder(ttl=0.2) as holder:
        _, taken = holder.heard()
        until(lambda: now(ring.client) - taken > 0.5, "time stands still")
        assert holder.asked("renew")[0] == "done"
        with pytest.raises(LockTimeoutError):
            ring.locks().lock(ring.name).acquire()


def test_those_who_wait_ask_less_and_less_often(ring: Ring) -> None:
    slept: list[float] = []
    with ring.holder() as holder:
        holder.heard()
        waiting = ring.locks(attempts=5, delay=0.1, sleep=slept.append, jitter=lambda: 1.0)
        with pytest.raises(LockTimeoutError, match="6 attempt"):
            waiting.lock(ring.name).acquire()
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6]

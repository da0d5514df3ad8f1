"""Several workers: those that die, hang or cannot start, and what the others do meanwhile."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from multiprocessing import util
from pathlib import Path

import httpx2
import pandas as pd
import pytest
from serving import PATIENCE, PROGRAMS, SESSIONS, Served, new_session, refused, serve, until
from uvicorn import Config

from framekeep.server.run import WORKER_PATIENCE
from framekeep.server.supervisor import Worker
from framekeep.testing import redis_servers


def victim_of(served: Served) -> int:
    """Return the process of a worker, when all have started."""
    until(lambda: len(served.started()) == served.workers, "all workers have started")
    return max(served.started())


def children(served: Served) -> set[int]:
    """Return the processes that the parent has started, and that are there."""
    task = Path("/proc") / str(served.process.pid) / "task" / str(served.process.pid) / "children"
    return {int(pid) for pid in task.read_text().split()}


def runs(pid: int) -> bool:
    """Say whether a child is a worker's program by now, and not still a copy of its parent."""
    return b"spawn_main" in (Path("/proc") / str(pid) / "cmdline").read_bytes()


def lives(pid: int) -> bool:
    """Say whether a process is there, and not only its number."""
    try:
        return "\nState:\tZ" not in (Path("/proc") / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def answers(http: httpx2.Client, path: str) -> httpx2.Response | None:
    """Return what a worker answers; None if it is the one that has just died."""
    try:
        return http.get(path)
    except httpx2.TransportError:
        return None


def test_a_worker_that_is_killed_while_it_hangs_is_missed_at_once(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served:
        victim = victim_of(served)
        os.kill(victim, signal.SIGSTOP)
        time.sleep(1.5)  # it is asked twice a second how it is
        os.kill(victim, signal.SIGKILL)
        died = f"Child process [{victim}] died"
        until(lambda: any(died == line["event"] for line in served.log()), "missed", WORKER_PATIENCE / 2)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    with serve(tmp_path, workers=2) as served, served.client() as http:
        session = new_session(http, people)
        os.kill(victim_of(served), signal.SIGKILL)

        def again() -> bool:
            found = answers(http, f"{SESSIONS}/{session}/data")
            return found is not None and len(found.json()["rows"]) == 3

        until(again, "another one answers")
        until(lambda: len(served.started()) == 3, "a third worker has started")
        assert served.stop() == 0


def test_a_service_that_ends_does_not_wait_for_what_a_worker_answers(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served:
        victim = victim_of(served)
        os.kill(victim, signal.SIGSTOP)
        time.sleep(1.5)  # now it is asked how it is
        served.process.send_signal(signal.SIGTERM)
        told = f"Terminated child process [{victim}]"
        until(lambda: any(told == line["event"] for line in served.log()), "ending", WORKER_PATIENCE / 2)
        os.kill(victim, signal.SIGCONT)
        assert served.process.wait(60) == 0


def test_while_one_worker_cannot_start_the_others_serve_and_it_is_tried_again(tmp_path: Path) -> None:
    with redis_servers.server(tmp_path / "redis") as redis:
        settings = {"redis_enabled": True, "redis_url": redis.url, "storage_fallback_to_memory": False}
        with serve(tmp_path / "service", workers=2, settings=settings) as served, served.client() as http:
            victim = victim_of(served)
            redis.kill()
            os.kill(victim, signal.SIGKILL)
            told = "could not start. It is tried again in"
            until(lambda: sum(told in line["event"] for line in served.log()) >= 2, "it cannot start")
            answer = until(lambda: answers(http, "/health/ready"), "the other one answers")
            assert answer.status_code == 503
            assert http.get("/health").status_code == 200
            redis.start()
            until(lambda: len(served.started()) == 3, "it starts")
            until(lambda: (found := answers(http, "/health/ready")) and found.is_success, "it is ready")
            assert served.stop() == 0


def test_where_no_worker_can_start_the_service_ends(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "scratch").write_text("in the way of a directory")
    code, said = refused(tmp_path, {}, "--workers", "2")
    assert code != 0
    assert "The service could not start" in said


def test_where_all_workers_die_at_the_start_the_service_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "several_workers.py")],
        cwd=tmp_path,
        env={**os.environ, "STORAGE_DIR": str(tmp_path / "store"), "DYING": "yes"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode != 0
    assert "No worker could start" in done.stderr


def test_a_worker_that_the_system_does_not_let_be_is_tried_again(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2, program="several_workers.py", settings={"scarce": "yes"}) as served:
        os.kill(victim_of(served), signal.SIGKILL)
        told = "No child process can be started: Resource temporarily unavailable."
        until(lambda: any(told == line["event"] for line in served.log()), "it cannot be started")
        until(lambda: len(served.started()) == 3, "it is started")
        assert served.stop() == 0
        assert served.noise() == []


def test_a_worker_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def scarce(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    monkeypatch.setattr(util, "spawnv_passfds", scarce)
    config, before = Config("nothing:app", log_config=None), descriptors()
    workers = [Worker(config, [], 1.0) for _ in range(3)]
    for worker in workers:
        worker.start()
        assert not worker.well(1.0)
    assert descriptors() == before


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served:
        victim_of(served)
        served.process.kill()
        served.process.wait()
        until(lambda: not any(lives(pid) for pid in served.started()), "the workers end")
        assert sum(line["event"] == "Application shutdown complete." for line in served.log()) == 2


def test_sighup_replaces_all_workers_while_the_service_answers(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served, served.client() as http:
        victim_of(served)
        before = served.started()
        served.process.send_signal(signal.SIGHUP)

        def replaced() -> bool:
            found = answers(http, "/health")
            assert found is None or found.is_success
            return len(served.started()) == 4 and not any(lives(pid) for pid in before)

        until(replaced, "all are replaced")
        assert all(lives(pid) for pid in served.started() - before)
        assert served.stop() == 0
        assert not any(lives(pid) for pid in served.started())


def test_a_service_that_replaces_its_workers_can_be_stopped(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served:
        victim_of(served)
        before = children(served)
        served.process.send_signal(signal.SIGHUP)
        # Stopped before it is a program of its own, it would hold up the call that makes it.
        [fresh] = until(lambda: set(filter(runs, children(served) - before)), "a new worker is begun with")
        os.kill(fresh, signal.SIGSTOP)
        served.process.send_signal(signal.SIGTERM)
        told = f"Terminated child process [{fresh}]"
        until(lambda: any(told == line["event"] for line in served.log()), "ending", WORKER_PATIENCE / 2)
        os.kill(fresh, signal.SIGCONT)
        assert served.process.wait(60) == 0
        assert served.noise() == []


def test_workers_become_more_and_fewer(tmp_path: Path) -> None:
    with serve(tmp_path, workers=2) as served:
        victim_of(served)
        before = served.started()
        served.process.send_signal(signal.SIGTTIN)
        until(lambda: len(served.started()) == 3, "one more")
        served.process.send_signal(signal.SIGTTOU)
        until(lambda: {pid for pid in served.started() if lives(pid)} == before, "one less")
        assert served.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGTTOU])
def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    with serve(tmp_path, workers=2, program="several_workers.py") as served:
        victim = victim_of(served)  # the last one, which SIGTTOU is for
        os.kill(victim, signal.SIGSTOP)
        served.process.send_signal(how)
        until(lambda: not lives(victim), "it is killed")
        assert (served.process.wait(PATIENCE) if how is signal.SIGTERM else served.stop()) == 0
        assert not lives(victim)

"""SIGTERM: what is in flight is finished, then the service ends with 0; what never comes is cut off."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pytest
from serving import SESSIONS, body_of, client, new_session, serve, until

from framekeep.config import Settings
from framekeep.frames import FRAME_TYPE, pack
from framekeep.manager import DataManager

HEADERS = {"content-type": FRAME_TYPE}


def kept(store: Path, session_id: str) -> pd.DataFrame:
    with DataManager(Settings(storage_dir=store, _env_file=None)) as manager:
        return manager.get_dataframe(session_id)


@pytest.mark.parametrize("workers", [1, 4])
def test_an_upload_whose_body_is_coming_is_finished(
    tmp_path: Path, people: pd.DataFrame, workers: int
) -> None:
    body = body_of(people)
    with serve(tmp_path, workers=workers) as served:
        stopped = threading.Event()

        def halves() -> Iterator[bytes]:
            yield body[:100]
            until(lambda: served.scratch(), "the first half has come")
            served.process.send_signal(signal.SIGTERM)
            until(lambda: any("hutting down" in line["event"] for line in served.log()), "the service stops")
            stopped.set()
            yield body[100:]

        with served.client() as http:
            made = http.post(SESSIONS, content=halves(), headers=HEADERS)
        assert stopped.is_set()
        assert made.status_code == 201
        assert served.stop() == 0
        assert served.scratch() == []
    pd.testing.assert_frame_equal(kept(served.store, made.json()["session_id"]), people)


def test_an_upload_that_is_being_stored_is_finished(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((500_000, 6)), columns=list("abcdef"))
    with serve(tmp_path) as served:

        def body() -> Iterator[bytes]:
            yield from pack(frame)
            served.process.send_signal(signal.SIGTERM)

        with served.client() as http:
            made = http.post(SESSIONS, content=body(), headers=HEADERS)
        assert made.status_code == 201
        assert served.stop() == 0
        assert served.scratch() == []
    assert kept(served.store, made.json()["session_id"]).shape == (500_000, 6)


def test_an_upload_that_is_being_read_is_finished(tmp_path: Path) -> None:
    with serve(tmp_path) as served:

        def body() -> Iterator[bytes]:
            yield b"n,word,half\n"
            for _ in range(40):
                yield b"1,some words,0.5\n" * 5000
            served.process.send_signal(signal.SIGTERM)

        with served.client() as http:
            made = http.post("/api/v1/upload", content=body())
        assert (made.status_code, made.json()["rows"]) == (201, 200_000)
        assert served.stop() == 0
        assert served.scratch() == []


def test_a_download_is_finished(tmp_path: Path) -> None:
    with serve(tmp_path) as served, served.client() as http:
        session = new_session(http, pd.DataFrame({"n": np.arange(400_000)}))
        with http.stream("GET", f"{SESSIONS}/{session}/data.jsonl") as answer:
            parts = answer.iter_raw()
            body = next(parts)
            served.process.send_signal(signal.SIGTERM)
            until(lambda: any("hutting down" in line["event"] for line in served.log()), "the service stops")
            body += b"".join(parts)
        assert body.count(b"\n") == 400_000
        assert served.stop() == 0


def test_connections_that_idle_do_not_hold_it_up(tmp_path: Path) -> None:
    with serve(tmp_path) as served, client(served.url) as http:
        http.get("/health")
        assert served.stop() == 0
        with pytest.raises(httpx2.TransportError):
            http.get("/health")


def test_a_request_that_never_ends_is_cut_off(tmp_path: Path, people: pd.DataFrame) -> None:
    body = body_of(people)
    over = threading.Event()
    answers: list[httpx2.Response] = []
    with serve(tmp_path, settings={"serve_shutdown_seconds": 1}) as served:

        def half() -> Iterator[bytes]:
            yield body[:100]
            until(lambda: served.scratch(), "the first half has come")
            served.process.send_signal(signal.SIGTERM)
            over.wait(60)

        def ask() -> None:
            with client(served.url) as http:
                answers.append(http.post(SESSIONS, content=half(), headers=HEADERS))

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert served.process.wait(30) == 0
        finally:
            over.set()
            thread.join(60)
        assert served.scratch() == []
    assert (answers[0].status_code, answers[0].json()["code"]) == (503, "service_stops")
    assert answers[0].json()["retryable"] is True


def test_ctrl_c_ends_the_service_with_0(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        assert served.stop(signal.SIGINT) == 0
        assert served.noise() == []

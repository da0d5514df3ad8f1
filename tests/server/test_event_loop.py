"""Blocking work never runs on the event loop: while something large is at work, others are answered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, new_session, serve

from framekeep.frames import FRAME_TYPE, pack

ENOUGH = 10
"""Answers during one piece of work. Were it on the event loop, there would be one: the first after it."""


def answers_during(served: Served, work: Callable[[httpx2.Client], object]) -> list[float]:
    """Return how long each of as many requests took as were answered while other work went on, in seconds."""
    done = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            with served.client() as http:
                work(http)
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    with served.client() as asking:
        asking.get("/health")
        thread = threading.Thread(target=run)
        thread.start()
        took = []
        while not done.is_set():
            start = time.perf_counter()
            assert asking.get("/health").status_code == 200
            took.append(time.perf_counter() - start)
        thread.join()
    assert failures == []
    return took


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service of one process, with room for large things."""
    settings = {"max_upload_size_mb": 1000, "max_dataframe_size_mb": 1000}
    with serve(tmp_path_factory.mktemp("one"), settings=settings) as served:
        yield served


@pytest.fixture(scope="module")
def large(one: Served) -> str:
    """The id of a session of 16 MB."""
    frame = pd.DataFrame(np.random.default_rng(0).random((400_000, 5)), columns=list("abcde"))
    with one.client() as http:
        return new_session(http, frame)


def store(megabytes: int) -> Callable[[httpx2.Client], None]:
    """Return work that stores a frame of that size."""

    def work(http: httpx2.Client) -> None:
        frame = pd.DataFrame(np.random.default_rng(0).random((megabytes * 12_500, 10)))
        frame.columns = [f"c{n}" for n in range(10)]
        made = http.post(SESSIONS, content=pack(frame), headers={"content-type": FRAME_TYPE})
        assert made.status_code == 201, made.text

    return work


def test_a_frame_is_stored(one: Served) -> None:
    assert len(answers_during(one, store(40))) >= ENOUGH


def test_a_file_is_read(one: Served) -> None:
    body = b"n,word,half\n" + b"12,some words,0.5\n" * 250_000
    took = answers_during(one, lambda http: http.post("/api/v1/upload", content=body).raise_for_status())
    assert len(took) >= ENOUGH


@pytest.mark.parametrize("path", ["/data.csv", "/data.parquet", "/data.json?whole=true", "/data.framekeep"])
def test_a_file_is_written(one: Served, large: str, path: str) -> None:
    took = answers_during(one, lambda http: Endpoint(http, large).get(path).raise_for_status())
    assert len(took) >= ENOUGH


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_file_is_packed(one: Served, large: str, coding: str) -> None:
    def work(http: httpx2.Client) -> None:
        with Endpoint(http, large).stream("/data.csv", headers={"accept-encoding": coding}) as answer:
            for _ in answer.iter_raw():
                pass

    assert len(answers_during(one, work)) >= ENOUGH


def test_an_edit_is_made(one: Served, large: str) -> None:
    operations = [
        {"op": "derive_column", "name": "x", "expression": "a + b * c", "overwrite": True},
        {"op": "sort_rows", "by": [{"column": "x"}]},
    ]
    body = {"operations": operations}
    took = answers_during(
        one,
        lambda http: (
            Endpoint(http, large).post("/edits", json=body, params={"dry_run": "true"}).raise_for_status()
        ),
    )
    assert len(took) >= ENOUGH


def test_many_cells_are_set(one: Served, large: str) -> None:
    cells = [{"row": row, "column": "a", "value": row + 0.5} for row in range(100_000)]
    body = json.dumps({"operations": [{"op": "set_cells", "cells": cells}]}).encode()
    headers = {"content-type": "application/json"}
    took = answers_during(
        one,
        lambda http: Endpoint(http, large).post("/edits", content=body, headers=headers).raise_for_status(),
    )
    assert len(took) >= ENOUGH


def test_a_profile_is_made(one: Served, large: str) -> None:
    took = answers_during(one, lambda http: Endpoint(http, large).get("/profile").raise_for_status())
    assert len(took) >= 1


def test_a_profile_of_many_columns_is_written(one: Served) -> None:
    with one.client() as http:
        own = new_session(http, pd.DataFrame(np.random.default_rng(0).random((200, 1500))))

    def work(http: httpx2.Client) -> None:
        for _ in range(2):  # the first computes it
            assert http.get(f"{SESSIONS}/{own}/profile?bins=200&top=100").status_code == 200

    assert len(answers_during(one, work)) >= ENOUGH


@pytest.mark.long
def test_a_frame_of_450_megabytes_is_stored(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        alone = sorted(answers_during(served, lambda http: [http.get("/health") for _ in range(2000)]))
        took = sorted(answers_during(served, store(450)))
    late = took[int(len(took) * 0.99)]
    print(
        f"{len(took)} answers while 450 MB were stored: median {took[len(took) // 2] * 1000:.1f} ms, "
        f"99 % within {late * 1000:.1f} ms, all within {took[-1] * 1000:.1f} ms"
    )
    # The bar is 50 ms. On a machine that is busy with other things it is as late as it is without any work.
    assert late < max(0.05, 5 * alone[-1])

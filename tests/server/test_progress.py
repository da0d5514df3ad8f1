"""How far an upload is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import Endpoint, Served, until

from framekeep.names import new_id
from framekeep.server.progress import Progress

UPLOAD = "/api/v1/upload"


def progress(http: httpx2.Client, id: str) -> httpx2.Response:
    return http.get(f"{UPLOAD}/progress/{id}")


def test_an_upload_that_is_done_says_what_came_of_it(http: httpx2.Client) -> None:
    id = new_id()
    made = http.post(UPLOAD, content=b"a,b\n1,2\n", params={"progress_id": id})
    assert progress(http, id).json() == {"state": "done", "session_id": made.json()["session_id"]}


def test_an_upload_that_failed_says_why(http: httpx2.Client) -> None:
    id = new_id()
    refused = http.post(UPLOAD, content=b"%PDF-1.7", params={"progress_id": id})
    found = progress(http, id).json()
    assert (found["state"], found["code"]) == ("failed", "unknown_format")
    assert found["detail"] == refused.json()["detail"]


def test_an_upload_that_is_coming_says_how_much_has_come(http: httpx2.Client) -> None:
    id, go_on, size = new_id(), threading.Event(), 8 << 20
    line = b"some words,1\n"

    def body() -> Iterator[bytes]:
        sent = 0
        while sent < size:
            yield line * 5000
            sent += len(line) * 5000
        go_on.wait(60)
        yield line

    found: list[httpx2.Response] = []
    thread = threading.Thread(
        target=lambda: found.append(http.post(UPLOAD, content=body(), params={"progress_id": id}))
    )
    thread.start()
    try:
        coming = until(lambda: _receiving(http, id), "some of it has come")
        assert 0 < coming["bytes_received"] <= size + len(line) * 5000
        assert coming["bytes_total"] is None
    finally:
        go_on.set()
        thread.join(60)
    assert found[0].status_code == 201
    assert progress(http, id).json()["state"] == "done"


def _receiving(http: httpx2.Client, id: str) -> dict[str, Any] | None:
    answer = progress(http, id)
    if answer.status_code == 404:
        return None
    document: dict[str, Any] = answer.json()
    return document if document.get("bytes_received") else None


def test_any_worker_knows(served: Served, http: httpx2.Client) -> None:
    id = new_id()
    http.post(UPLOAD, content=b"a,b\n1,2\n", params={"progress_id": id})
    assert {progress(http, id).json()["state"] for _ in range(20)} == {"done"}
    if served.workers > 1:
        assert len({line["pid"] for line in served.log() if line["event"] == "request"}) > 1


def test_an_upload_that_never_began_is_a_404(http: httpx2.Client) -> None:
    missing = progress(http, new_id())
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_upload")


@pytest.mark.parametrize("id", ["a..b", "-x", "x" * 65, "%2e%2e%2fx", "a/b"])
def test_an_id_that_is_none_is_refused(http: httpx2.Client, id: str) -> None:
    assert progress(http, id).status_code in (404, 422)


def test_an_upload_of_somebody_else_is_not_told(
    guarded: Served, alone: httpx2.Client, unused_keys: Iterator[str]
) -> None:
    id = new_id()
    alone.post(UPLOAD, content=b"a,b\n1,2\n", params={"progress_id": id})
    assert progress(alone, id).status_code == 200
    with guarded.client(next(unused_keys)) as other:
        assert progress(other, id).status_code == 404


def test_two_uploads_under_one_id_are_both_stored(http: httpx2.Client) -> None:
    id = new_id()
    made = [http.post(UPLOAD, content=b"a,b\n1,2\n", params={"progress_id": id}).json() for _ in range(2)]
    assert progress(http, id).json()["session_id"] == made[1]["session_id"]
    assert all(Endpoint(http, each["session_id"]).rows() == [[1, 2]] for each in made)


def test_an_upload_goes_on_when_its_progress_cannot_be_kept(tmp_path: Path) -> None:
    taken = tmp_path / "taken.json"
    (taken / "something").mkdir(parents=True)
    for path in (taken, tmp_path / "gone" / "x.json"):
        Progress(path).done({"session_id": "x"})
    assert [path.name for path in tmp_path.iterdir()] == ["taken.json"]

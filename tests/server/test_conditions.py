"""Conditional requests: ETag, If-Match (412 with what changed), If-None-Match (304)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, body_of, new_session

from framekeep.frames import FRAME_TYPE

OTHER = '"0123456789abcdef0123456789abcdef"'
FRAME = body_of(pd.DataFrame({"a": [1]}))
FRAME_HEADERS = {"content-type": FRAME_TYPE}

CHANGES: dict[str, dict[str, Any]] = {
    "PUT /data": {"content": FRAME, "headers": FRAME_HEADERS},
    "PUT /data?summary=x": {"content": FRAME, "headers": FRAME_HEADERS},
    "POST /versions": {"json": {"summary": "x"}},
    "POST /versions?summary=x": {"content": FRAME, "headers": FRAME_HEADERS},
    "POST /undo": {},
    "POST /redo": {},
    "POST /versions/1/restore": {},
    "PUT /missing": {"json": {"columns": {"age": [0]}}},
    "PUT /missing/column?name=age": {"json": {"rows": [0]}},
    "PATCH ": {"json": {"metadata": {"a": 1}}},
    "DELETE ": {},
}

READS = ["/data", "/data.csv", "/data.parquet", "/data?whole=true", "/versions", "/missing", "/profile"]


@pytest.fixture
def steps(own: Endpoint, people: pd.DataFrame) -> Endpoint:
    """A session that can undo and redo."""
    own.put(people.head(2), summary="Two")
    own.put(people.head(1), summary="One")
    own.post("/undo")
    return own


def change(own: Endpoint, which: str, tag: str | None) -> httpx2.Response:
    method, _, path = which.partition(" ")
    options = {**CHANGES[which]}
    headers = {**options.pop("headers", {}), **({} if tag is None else {"if-match": tag})}
    return own(method, path, headers=headers, **options)


# --- If-Match -------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", CHANGES)
def test_a_change_on_the_state_that_was_read_is_made(steps: Endpoint, which: str) -> None:
    assert change(steps, which, steps.etag()).status_code in (200, 201)


@pytest.mark.parametrize("which", CHANGES)
def test_a_change_on_another_state_is_a_412_and_nothing_happens(steps: Endpoint, which: str) -> None:
    before = (
        steps.etag(),
        steps.get("/versions").json(),
        steps.get("/audit").json(),
        steps.get().json()["metadata"],
    )
    refused = change(steps, which, OTHER)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    after = (
        steps.etag(),
        steps.get("/versions").json(),
        steps.get("/audit").json(),
        steps.get().json()["metadata"],
    )
    assert after == before


def test_a_412_says_what_changed(steps: Endpoint, people: pd.DataFrame) -> None:
    read = steps.etag()
    steps.put(people.tail(1), summary="The last one")
    problem = change(steps, "PUT /data", read).json()
    assert problem["current_etag"] == steps.etag()
    assert (problem["current_version"], problem["shape"]) == (3, [1, 2])
    assert any("The last one" in entry for entry in problem["recent_changes"])


def test_a_412_has_the_tag_of_the_current_state(steps: Endpoint) -> None:
    assert change(steps, "PUT /data", OTHER).headers["etag"] == steps.etag()


@pytest.mark.parametrize("which", CHANGES)
def test_a_star_matches_every_session_there_is(steps: Endpoint, which: str) -> None:
    assert change(steps, which, "*").status_code in (200, 201)


@pytest.mark.parametrize("tag", ["", "abc", '"', "'x'", '"a" "b"', f"{OTHER}, {OTHER}", "W/", '"\\"'])
def test_an_if_match_that_is_no_tag_is_refused(steps: Endpoint, tag: str) -> None:
    before = steps.etag()
    refused = change(steps, "PUT /data", tag)
    assert refused.status_code in (400, 412)
    assert steps.etag() == before


@pytest.mark.parametrize("tag", ['""', '"xyz"', '"00"', '"' + "0" * 5000 + '"'])
def test_a_tag_that_no_state_ever_had_is_a_412(steps: Endpoint, tag: str) -> None:
    assert change(steps, "PUT /data", tag).status_code == 412


def test_a_weak_tag_does_not_match(steps: Endpoint) -> None:
    assert change(steps, "PUT /data", f"W/{steps.etag()}").status_code == 412


def test_if_match_of_a_session_that_is_not_there_is_a_404(http: httpx2.Client) -> None:
    missing = change(Endpoint(http, "nobody"), "POST /undo", OTHER)
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")


def test_of_several_who_change_what_they_read_one_succeeds(own: Endpoint) -> None:
    read = own.etag()

    def put(number: int) -> int:
        return own.put(
            pd.DataFrame({"n": [number]}), headers={"if-match": read}, summary=str(number)
        ).status_code

    with ThreadPoolExecutor(6) as threads:
        statuses = sorted(threads.map(put, range(6)))
    assert statuses == [200] + [412] * 5
    assert len(own.get("/versions").json()["versions"]) == 1


def test_who_reads_again_after_a_412_loses_no_change_of_anybody(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": [0]})))

    def add(_: int) -> None:
        for _ in range(200):
            page = own.get("/data")
            frame = pd.DataFrame({"n": [page.json()["rows"][0][0] + 1]})
            if own.put(frame, headers={"if-match": page.headers["etag"]}).status_code == 200:
                return
        raise AssertionError("not once in 200 times")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(12)))
    assert own.rows() == [[12]]


# --- If-None-Match --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READS)
def test_what_the_client_has_is_not_sent_again(own: Endpoint, path: str) -> None:
    first = own.get(path)
    again = own.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", READS)
def test_what_changed_is_sent(own: Endpoint, path: str) -> None:
    tag = own.get(path).headers["etag"]
    own.put(pd.DataFrame({"id": ["x"], "age": [1.0]}), summary="Other")
    assert own.get(path, headers={"if-none-match": tag}).status_code == 200


@pytest.mark.parametrize("form", ["*", "W/{tag}", '"other", {tag}', '"a,b", W/{tag} , "c"'])
def test_a_tag_among_others_or_weak_is_enough(own: Endpoint, form: str) -> None:
    header = form.format(tag=own.etag())
    assert own.get("/data", headers={"if-none-match": header}).status_code == 304


@pytest.mark.parametrize("header", ["", "abc", '"', OTHER, "W/", '"' * 101, "\xff"])
def test_another_tag_or_none_at_all_gives_the_data(own: Endpoint, header: str) -> None:
    answer = own.get("/data", headers={"if-none-match": header.encode("latin-1")})  # type: ignore[dict-item]
    assert answer.status_code == 200


def test_data_that_are_not_there_are_a_404_whatever_the_client_has(http: httpx2.Client) -> None:
    assert http.get(f"{SESSIONS}/nobody/data", headers={"if-none-match": "*"}).status_code == 404


def test_reading_does_not_change_the_tag(own: Endpoint) -> None:
    tags = {own.get(path).headers["etag"] for path in READS * 2}
    assert len(tags) == 1


def test_the_metadata_have_the_tag_of_the_data(own: Endpoint) -> None:
    assert own.get().headers["etag"] == own.etag()


def test_tags_are_strong_and_quoted(own: Endpoint) -> None:
    assert own.etag()[0] == own.etag()[-1] == '"'


def test_undo_leads_to_a_state_with_a_tag_of_its_own(own: Endpoint) -> None:
    first = own.etag()
    own.put(pd.DataFrame({"a": [1]}), summary="x")
    second = own.etag()
    own.post("/undo")
    assert len({first, second, own.etag()}) == 3


def test_a_tag_names_the_state_that_is_described_with_it(own: Endpoint) -> None:
    """Somebody else changes the data all the while: a tag of a later state would hide that from If-Match."""
    done = threading.Event()

    def change() -> None:
        rows = 0
        while not done.is_set():
            rows = rows % 50 + 1
            own.put(pd.DataFrame({"n": range(rows)}))

    shapes: dict[str, set[int]] = {}
    with ThreadPoolExecutor(1) as threads:
        changing = threads.submit(change)
        for _ in range(300):
            answer = own.get("")
            shapes.setdefault(answer.headers["etag"], set()).add(answer.json()["shape"][0])
            page = own.get("/data", params={"limit": 0})
            shapes.setdefault(page.headers["etag"], set()).add(page.json()["total_rows"])
        done.set()
        changing.result()
    assert [tag for tag, rows in shapes.items() if len(rows) > 1] == []

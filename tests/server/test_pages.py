"""Plain requests for a page are answered on a shorter way than others, and as those are."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from conftest import Endpoint
from framekeep.server.pages import plain

LIKE = ("etag", "content-type", "cache-control", "vary", "content-length")


def asking(query: str, *headers: tuple[str, str], id: str = "abc") -> Request:
    return Request(
        {
            "type": "http",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "path_params": {"session_id": id},
        }
    )


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", (0, 100)),
        ("offset=5", (5, 100)),
        ("limit=7", (0, 7)),
        ("offset=5&limit=7", (5, 7)),
        ("limit=10000&offset=999999999999999", (999_999_999_999_999, 10_000)),
        ("offset=1&offset=2", (2, 100)),
    ],
)
def test_a_page_is_plain_when_nothing_but_its_place_is_said(query: str, asked: tuple[int, int]) -> None:
    assert plain(asking(query)) == asked


@pytest.mark.parametrize("accept", ["*/*", "application/json"])
def test_a_page_is_plain_when_json_is_taken(accept: str) -> None:
    assert plain(asking("limit=1", ("accept", accept))) == (0, 1)


@pytest.mark.parametrize(
    "query",
    ["limit=10001", "limit=-1", "limit=", "limit", "limit=1.0", "limit=+1", "limit=1&", "&", "offset=%31",
     "offset=1234567890123456", "offset=\u0661", "columns=a", "limit=1&version=2", "orient=records"],
)  # fmt: skip
def test_what_is_wrong_or_says_more_is_left_to_the_documented_way(query: str) -> None:
    assert plain(asking(query)) is None


@pytest.mark.parametrize(
    "header", [("accept", "text/csv"), ("accept", "text/csv, */*;q=0.1"), ("if-none-match", '"0"')]
)
def test_other_forms_and_conditions_are_left_to_it_too(header: tuple[str, str]) -> None:
    assert plain(asking("limit=1", header)) is None


@pytest.mark.parametrize("id", ["", "-a", "a b", "a\n", "\u00e9", "x" * 129])
def test_malformed_ids_are_left_to_it_too(id: str) -> None:
    assert plain(asking("", id=id)) is None


@pytest.mark.parametrize(
    "query", ["", "offset=1", "limit=1&offset=1", "limit=0", "offset=7", "offset=2&offset=0"]
)
def test_both_ways_lead_to_the_same_answer(own: Endpoint, query: str) -> None:
    short, long = own.get(f"/data?{query}"), own.get(f"/data?{query}&version=current")
    assert short.status_code == long.status_code == 200
    assert short.content == long.content
    assert {name: short.headers[name] for name in LIKE} == {name: long.headers[name] for name in LIKE}


def test_both_ways_refuse_an_unknown_session_alike(own: Endpoint) -> None:
    own("DELETE")
    short, long = own.get("/data").json(), own.get("/data?version=current").json()
    assert short.pop("request_id") != long.pop("request_id")
    assert short == long
    assert short["code"] == "session_not_found"


def test_what_is_wrong_is_said(own: Endpoint) -> None:
    for query in ("limit=10001", "limit=x", "offset=-1"):
        found = own.get(f"/data?{query}")
        assert (found.status_code, found.json()["code"]) == (422, "invalid_request")


def test_a_page_follows_a_change_of_the_data(own: Endpoint) -> None:
    before = own.get("/data?limit=2")
    answer = own.post("/edits", json={"operations": [{"op": "filter_rows", "rows": [0], "action": "drop"}]})
    assert answer.status_code == 200, answer.text
    after = own.get("/data?limit=2")
    assert before.json()["rows"][1:] == after.json()["rows"][:1]
    assert before.headers["etag"] != after.headers["etag"]

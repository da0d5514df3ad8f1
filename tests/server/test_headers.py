"""Headers that every answer has, names of files, and who may call from a web page."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, new_session

PAGE = "https://app.example.com"
STRANGER = "https://evil.example.com"

ANSWERS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/", {}),
    ("GET", "/health", {}),
    ("GET", "/openapi.json", {}),
    ("GET", SESSIONS, {}),
    ("GET", "/nothing", {}),
    ("DELETE", "/health", {}),
    ("POST", SESSIONS, {"content": b"x"}),
    ("GET", "/docs", {}),
]


# --- security -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "options"), ANSWERS, ids=lambda given: str(given)[:20])
def test_every_answer_has_the_headers_that_keep_browsers_from_guessing(
    http: httpx2.Client, method: str, path: str, options: dict[str, Any]
) -> None:
    headers = http.request(method, path, **options).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "x-request-id" in headers


def test_what_is_no_page_may_load_nothing(http: httpx2.Client, own: Endpoint) -> None:
    for answer in (http.get("/"), own.get("/data"), own.get("/data.csv"), own.get("/audit.csv")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_no_header_comes_twice_or_says_what_runs_here(http: httpx2.Client, own: Endpoint) -> None:
    for answer in (http.get("/"), own.get("/data"), own.get("/data.csv"), http.get("/nothing")):
        names = [name.lower() for name, _ in answer.headers.multi_items()]
        assert sorted(names) == sorted(set(names))
        assert "server" not in names
        assert "x-powered-by" not in names


def test_data_are_not_kept_by_caches_that_do_not_ask(own: Endpoint) -> None:
    assert own.get("/data").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/health", "/data", "/data.csv", "/versions", "/nothing"])
def test_head_says_what_get_would_say(http: httpx2.Client, own: Endpoint, path: str) -> None:
    ask = own if path.startswith(("/data", "/versions")) else http.request
    full, head = ask("GET", path), ask("HEAD", path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    own_words = ("date", "x-request-id", "content-length", "transfer-encoding")
    said = [{k: v for k, v in each.headers.items() if k not in own_words} for each in (full, head)]
    assert said[0] == said[1]


# --- names of files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("penguins.csv", "penguins.csv"),
        ("Größe 2026.xlsx", "Größe 2026.csv"),
        ("表\U0001f40d.parquet", "表\U0001f40d.csv"),
        ('a"b;c\\d%20.csv', "d%20.csv"),
        ("archive.tar.gz", "archive.csv"),
        ("no suffix", "no suffix.csv"),
        (".csv", None),
        ("x" * 255, "x" * 255 + ".csv"),
        ("version 1.2.3 final", None),
        ("rtl-\u202egpj.csv", None),
    ],
)
def test_a_file_is_named_after_where_its_data_came_from(
    http: httpx2.Client, filename: str, name: str | None
) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"a": [1]}), filename=filename))
    given = own.get("/data.csv").headers["content-disposition"]
    assert given.isascii()
    assert given.startswith('attachment; filename="')
    plain, _, extended = given.partition("; filename*=UTF-8''")
    found = unquote(extended) if extended else plain.removeprefix('attachment; filename="').removesuffix('"')
    assert found.endswith(".csv")
    assert name is None or found == name
    assert not set(plain.removeprefix('attachment; filename="').removesuffix('"')) & set('"\\/%')


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("/data.json", ".json"), ("/data.xlsx", ".xlsx"), ("/data.ndjson", ".jsonl"),
     ("/data.feather", ".arrow"), ("/data.arrows", ".arrows"), ("/data.framekeep", ".framekeep")],
)  # fmt: skip
def test_a_file_is_named_by_its_form(own: Endpoint, path: str, suffix: str) -> None:
    assert own.get(path).headers["content-disposition"] == f'attachment; filename="people{suffix}"'


def test_what_is_read_and_not_downloaded_has_no_file_name(own: Endpoint) -> None:
    assert "content-disposition" not in own.get("/data", headers={"accept": "text/csv"}).headers


# --- web pages of others --------------------------------------------------------------------------


def preflight(http: httpx2.Client, origin: str, method: str = "PUT") -> httpx2.Response:
    asked = "authorization,content-type,if-match,if-none-match,idempotency-key,x-request-id"
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": asked,
    }
    return http.request("OPTIONS", f"{SESSIONS}/x/data", headers=headers)


def allowed(answer: httpx2.Response) -> list[str]:
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_web_pages_of_others_are_let_in_nowhere_by_default(http: httpx2.Client) -> None:
    assert allowed(http.get(SESSIONS, headers={"origin": PAGE})) == []
    assert allowed(preflight(http, PAGE)) == []
    assert preflight(http, PAGE).status_code == 405


def test_a_page_that_is_let_in_may_read_answers(narrow: Served) -> None:
    with narrow.client() as http:
        answer = http.get(SESSIONS, headers={"origin": PAGE})
        exposed = {
            each.strip().lower() for each in answer.headers["access-control-expose-headers"].split(",")
        }
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert {"etag", "location", "x-request-id", "content-disposition", "retry-after"} <= exposed
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_page_that_is_let_in_may_send_what_the_service_understands(narrow: Served, method: str) -> None:
    with narrow.client() as http:
        answer = preflight(http, PAGE, method)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert method in answer.headers["access-control-allow-methods"]


def test_a_page_that_is_let_in_may_read_errors(narrow: Served) -> None:
    with narrow.client() as http:
        for answer in (
            http.get("/nothing", headers={"origin": PAGE}),
            http.get(f"{SESSIONS}/nobody", headers={"origin": PAGE}),
            http.post(
                "/api/v1/upload",
                content=b"x" * (3 << 20),
                headers={"origin": PAGE, "content-type": "text/csv"},
            ),
        ):
            assert answer.status_code >= 400
            assert answer.headers.get("access-control-allow-origin") == PAGE, answer.text


def test_another_page_is_not_let_in(narrow: Served) -> None:
    with narrow.client() as http:
        assert "access-control-allow-origin" not in http.get(SESSIONS, headers={"origin": STRANGER}).headers
        assert preflight(http, STRANGER).status_code == 400


def test_caches_are_told_that_answers_differ_by_page(narrow: Served) -> None:
    with narrow.client() as http:
        assert "origin" in http.get(SESSIONS, headers={"origin": PAGE}).headers["vary"].lower()

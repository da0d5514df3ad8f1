"""Every error is a problem document: a status, a code, whether to try again, a request id, and no secrets."""

from __future__ import annotations

import inspect
import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, new_session, serve, until

from framekeep import errors
from framekeep.server.problems import answer, status_of

MEMBERS = {"type", "title", "status", "detail", "code", "retryable", "request_id"}
SECRET = "a-value-that-nobody-may-see"


def all_errors() -> list[type[errors.FramekeepError]]:
    return [
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, errors.FramekeepError)
    ]


def assert_problem(answer: httpx2.Response) -> dict[str, Any]:
    """Check that an answer is a problem, and return it."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert problem.keys() >= MEMBERS
    assert problem["status"] == answer.status_code
    assert problem["title"] == HTTPStatus(answer.status_code).phrase
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"[a-z0-9_]+", problem["code"])
    assert isinstance(problem["retryable"], bool)
    assert problem["detail"].strip()
    for trace in ("Traceback", 'File "', ".py", "/site-packages", "0x7f", SECRET):
        assert trace not in answer.text, answer.text
    return problem


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_class_of_error_has_a_status(kind: type[errors.FramekeepError]) -> None:
    assert 400 <= status_of(kind) < 600
    assert HTTPStatus(status_of(kind)).phrase


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_who_may_try_again_is_told_so_by_status_and_member_alike(kind: type[errors.FramekeepError]) -> None:
    status = status_of(kind)
    if kind.retryable and not issubclass(kind, errors.EngineSignal):
        assert status in (409, 503)
    if issubclass(kind, errors.InvalidInputError | errors.NotFoundError | errors.AuthenticationError):
        assert 400 <= status < 500


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in all_errors()]
    assert sorted(codes) == sorted(set(codes))


# --- what nobody asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api/v1", "/api/v1/", "/api/v1/sessions/", "/api/v2/sessions", "/health/", "/x//y", "/%00",
     "/é", "/api/v1/sessions/x/data.csv/more", "/../etc/passwd", "/api/v1/sessions/..%2f..%2fetc/data"],
)  # fmt: skip
def test_an_address_that_there_is_not_is_a_404(http: httpx2.Client, path: str) -> None:
    missing = http.get(path)
    assert missing.status_code in (404, 422)
    assert_problem(missing)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/", {"GET", "HEAD"}),
        ("DELETE", SESSIONS, {"GET", "HEAD", "POST"}),
        ("POST", f"{SESSIONS}/x", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("PATCH", f"{SESSIONS}/x/data", {"GET", "HEAD", "PUT"}),
        ("GET", f"{SESSIONS}/x/undo", {"POST"}),
        ("PROPFIND", "/health", {"GET", "HEAD"}),
        ("OPTIONS", SESSIONS, {"GET", "HEAD", "POST"}),
        ("TRACE", "/health", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_there_is_not_is_a_405_that_names_those_there_are(
    http: httpx2.Client, method: str, path: str, allowed: set[str]
) -> None:
    refused = http.request(method, path)
    assert refused.status_code == 405
    assert assert_problem(refused)["code"] == "method_not_allowed"
    assert set(refused.headers["allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{]",
        b'{"metadata": }',
        b"\xff\xfe",
        b"\x00",
        b"[" * 100_000,
        b'{"metadata": {"a": "' + b"x" * 100,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_a_body_that_is_no_json_is_a_problem(own: Endpoint, body: bytes) -> None:
    refused = own("PATCH", content=body, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422)
    assert_problem(refused)


def test_a_body_that_is_no_json_says_so(own: Endpoint) -> None:
    refused = own("PATCH", content=b'{"metadata": {"a": 1,}}', headers={"content-type": "application/json"})
    assert (refused.status_code, assert_problem(refused)["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_json_that_does_not_say_it_is_json_is_a_problem(own: Endpoint, kind: str) -> None:
    refused = own("PATCH", content=b'{"metadata": {}}', headers={"content-type": kind})
    assert refused.status_code in (415, 422)
    assert_problem(refused)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/data?offset=x", {}, 422),
        ("GET", "/data", {"headers": {"accept": "image/png"}}, 406),
        ("GET", "/data?version=99", {}, 404),
        ("GET", "/data?columns=x", {}, 422),
        ("GET", "/data.pickle", {}, 422),
        ("PUT", "/data", {"content": b"x", "headers": {"content-type": "image/png"}}, 415),
        ("PUT", "/data", {"content": b"x", "headers": {"content-type": "text/csv", "if-match": "x"}}, 400),
        ("POST", "/undo", {"headers": {"if-match": '"x"'}}, 412),
        ("POST", "/undo", {}, 409),
        ("PATCH", "", {"json": {"other": SECRET}}, 422),
        ("PATCH", "", {"json": {"metadata": SECRET}}, 422),
        ("POST", "/touch?ttl_seconds=nan", {}, 422),
        ("PUT", "/missing", {"json": {"columns": {"age": [SECRET]}}}, 422),
        ("POST", "/audit", {"json": {"entry": {"x": SECRET}}}, 422),
        ("GET", "/profile?bins=0", {}, 422),
    ],
)
def test_what_is_refused_is_a_problem(
    own: Endpoint, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    refused = own(method, path, **options)
    assert refused.status_code == status, refused.text
    assert_problem(refused)


def test_what_is_refused_in_several_places_lists_them(own: Endpoint) -> None:
    refused = own("PUT", "/missing", json={"columns": {"age": [-1, -2]}, "more": 1})
    found = assert_problem(refused)["errors"]
    assert len(found) >= 3
    assert all(each.keys() == {"loc", "msg", "type"} for each in found)


def test_what_is_refused_is_not_sent_back_at_length(own: Endpoint) -> None:
    for body in ({"x" * 1_000_000: 1}, {f"key {n}": n for n in range(5000)}, {"metadata": "x" * 1_000_000}):
        refused = own("PATCH", json=body)
        assert refused.status_code == 422
        assert len(refused.text) < 10_000


def test_a_value_of_a_query_is_not_sent_back(own: Endpoint) -> None:
    assert_problem(own.get("/data", params={"offset": SECRET}))
    assert_problem(own.get("/data", params={"orient": SECRET}))


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("GET", "/data?colums=age", {}),
        ("GET", "/data?limit=1&limits=2", {}),
        ("POST", "/edits?dryrun=true", {"json": {"operations": [{"op": "drop_missing"}]}}),
        ("POST", "/undo?=", {}),
        ("GET", "/versions?" + "x" * 5000, {}),
    ],
)
def test_a_parameter_that_there_is_not_is_refused_and_nothing_is_done(
    own: Endpoint, method: str, path: str, options: dict[str, Any]
) -> None:
    before = own.etag()
    refused = own(method, path, **options)
    assert (refused.status_code, assert_problem(refused)["code"]) == (422, "unknown_parameter")
    assert len(refused.text) < 1000
    assert own.etag() == before


def test_the_parameters_that_there_are_are_named(own: Endpoint) -> None:
    refused = own.post("/edits?dryrun=true", json={"operations": []})
    assert "dry_run" in refused.json()["detail"]


# --- request ids ----------------------------------------------------------------------------------


def test_every_request_has_an_id_of_its_own(http: httpx2.Client) -> None:
    assert len({http.get("/health").headers["x-request-id"] for _ in range(10)}) == 10


def test_a_client_may_name_its_request(http: httpx2.Client) -> None:
    answer = http.get("/nothing", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == assert_problem(answer)["request_id"] == "mine-1"


@pytest.mark.parametrize("id", ["", "x" * 65, "a b", "<script>", "é", "a\tb"])
def test_an_odd_request_id_is_replaced(http: httpx2.Client, id: str) -> None:
    answer = http.get("/health", headers={"x-request-id": id.encode("latin-1")})  # type: ignore[dict-item]
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


def test_the_log_has_the_request_under_its_id_and_nothing_of_its_values(
    served: Served, own: Endpoint
) -> None:
    id = own.get("/data", params={"columns": SECRET}).headers["x-request-id"]
    (line,) = until(lambda: [each for each in served.log() if each.get("request_id") == id], "it is logged")
    assert (line["method"], line["path"], line["status"]) == ("GET", f"{SESSIONS}/{{session_id}}/data", 422)
    assert line["ms"] >= 0
    assert SECRET not in str(line)


# --- what should never happen ---------------------------------------------------------------------


def test_what_nobody_expected_is_a_500_that_says_its_request_id_only(odd: Served) -> None:
    http = odd.client()
    answer = http.get("/broken")
    assert answer.status_code == 500
    assert assert_problem(answer)["code"] == "unexpected"
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert http.get("/health").status_code == 200


def test_what_nobody_expected_is_in_the_log_with_its_trace(odd: Served) -> None:
    id = odd.client().get("/broken").headers["x-request-id"]
    lines = until(lambda: [each for each in odd.log() if each.get("request_id") == id], "it is logged")
    (line,) = [each for each in lines if each["event"] == "unexpected"]
    assert "in broken" in line["exception"]


def test_an_answer_that_breaks_off_does_not_look_whole(odd: Served) -> None:
    with pytest.raises(httpx2.TransportError):
        odd.client().get("/half")


def test_a_damaged_session_is_a_500_that_names_it_and_harms_no_other(
    tmp_path: Path, people: pd.DataFrame
) -> None:
    with serve(tmp_path) as served:
        http = served.client()
        healthy = Endpoint(http, new_session(http, people))
        marker = "a cell that is looked for in the file"
        damaged = Endpoint(http, new_session(http, pd.DataFrame({"a": [marker + str(n) for n in range(9)]})))
        assert served.stop() == 0
        file = tmp_path / "store" / "framekeep.mdb"
        content = file.read_bytes()
        if marker.encode() not in content:
            pytest.skip("the chunk was compressed")
        file.write_bytes(content.replace(marker.encode(), marker.upper().encode()))
    with serve(tmp_path) as served:
        http = served.client()
        damaged, healthy = Endpoint(http, damaged.id), Endpoint(http, healthy.id)
        problem = assert_problem(damaged.get("/data"))
        assert (problem["status"], problem["code"]) == (500, "session_damaged")
        assert damaged.id in problem["detail"]
        assert "where" in problem
        assert healthy.rows()[0] == ["00501", 34.0]


def test_a_problem_needs_no_request(people: pd.DataFrame) -> None:
    made = answer("id", errors.StorageBusyError("The store is busy."))
    assert (made.status_code, made.headers["retry-after"]) == (503, "1")


def test_too_little_memory_is_told_as_a_413() -> None:
    said = answer("r", MemoryError("Unable to allocate 200. GiB"))
    assert said.status_code == 413
    assert json.loads(said.body)["code"] == "too_much_memory"
    assert b"200" not in said.body

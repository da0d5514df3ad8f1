"""What is too large, too slow, cut short or made to hurt is refused as it streams in, and leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, body_of, head, new_session, raw, until

from framekeep.frames import FRAME_TYPE, FRAMES_TYPE

MIB = 1 << 20
UPLOAD = "/api/v1/upload"
JSON = {"content-type": "application/json"}


def pieces(size: int, piece: bytes = b"x" * 65536) -> Iterator[bytes]:
    for _ in range(size // len(piece)):
        yield piece


# --- too large ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind", "variable"),
    [
        ("POST", UPLOAD, "text/csv", "MAX_UPLOAD_SIZE_MB"),
        ("POST", UPLOAD, "application/octet-stream", "MAX_UPLOAD_SIZE_MB"),
        ("POST", SESSIONS, FRAME_TYPE, "MAX_DATAFRAME_SIZE_MB"),
        ("POST", SESSIONS, "text/csv", "MAX_DATAFRAME_SIZE_MB"),
        ("PUT", f"{SESSIONS}/x", "application/vnd.apache.parquet", "MAX_DATAFRAME_SIZE_MB"),
        ("PUT", f"{SESSIONS}/x/data", FRAME_TYPE, "MAX_DATAFRAME_SIZE_MB"),
        ("PUT", "/api/v1/temporary/x", FRAMES_TYPE, "MAX_DATAFRAME_SIZE_MB"),
    ],
)
@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
def test_a_file_or_frame_that_is_too_large_is_refused(
    narrow: Served, method: str, path: str, kind: str, variable: str, declared: bool
) -> None:
    size = 3 * MIB
    body: Any = b"x" * size if declared else pieces(size)
    with narrow.client() as http:
        refused = http.request(method, path, content=body, headers={"content-type": kind})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert variable in refused.json()["detail"]
    assert narrow.scratch() == []


def test_a_body_that_is_called_two_things_is_what_it_is_called_first(served: Served, session: str) -> None:
    kinds = ("content-type: application/json", "content-type: text/csv")
    keys = (f"authorization: Bearer {served.key}",) if served.key else ()
    with raw(served) as opened:
        opened.send(head(f"{SESSIONS}/{session}/versions", *kinds, f"content-length: {3 * MIB}", *keys))
        assert opened.status() == 413


def test_a_declared_size_that_is_too_large_is_refused_before_anything_is_sent(narrow: Served) -> None:
    with raw(narrow) as http:
        http.send(head(UPLOAD, "content-type: text/csv", f"content-length: {10**12}", "expect: 100-continue"))
        assert http.status() == 413


def test_an_endless_body_is_refused_while_it_streams(narrow: Served) -> None:
    with raw(narrow) as http:
        http.send(head(UPLOAD, "content-type: text/csv", "transfer-encoding: chunked"))
        chunk = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        sent = 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 1 << 30:
                http.send(chunk)
                sent += 65536
        assert sent < 64 * MIB  # what lies in the buffers of both ends
    assert narrow.scratch() == []


SPACIOUS = b"a,b\n1,2\n"  # and blank lines, which make a file large and a frame not


def test_a_file_of_exactly_the_limit_is_taken(narrow: Served) -> None:
    body = SPACIOUS.ljust(MIB, b"\n")
    with narrow.client() as http:
        for content, status in ((body, 201), (body + b"\n", 413)):
            answer = http.post(UPLOAD, content=content, headers={"content-type": "text/csv"})
            assert answer.status_code == status, answer.text


def test_the_form_around_a_file_does_not_count(narrow: Served) -> None:
    with narrow.client() as http:
        made = http.post(
            UPLOAD, files={"file": ("a.csv", SPACIOUS.ljust(MIB, b"\n"))}, data={"note": "x" * 1000}
        )
    assert made.status_code == 201, made.text


def test_a_frame_that_is_small_when_sent_and_large_when_kept_is_refused(narrow: Served) -> None:
    frame = pd.DataFrame({"n": np.zeros(1_000_000)})
    body = body_of(frame)
    with narrow.client() as http:
        refused = http.post(SESSIONS, content=body, headers={"content-type": FRAME_TYPE})
    assert refused.status_code == 413, refused.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", ""),
        ("POST", "/audit"),
        ("POST", "/versions"),
        ("POST", "/edits"),
        ("PUT", "/missing"),
        ("PUT", "/missing/column?name=age"),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x+json", None])
def test_a_document_that_is_too_large_is_refused_whatever_it_is_called(
    own: Endpoint, method: str, path: str, kind: str | None
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    refused = own(method, path, content=pieces(17 * MIB, b" " * (1 << 20)), headers=headers)
    # What says by its type that it is no document is refused for that, before it is read.
    expected = (
        ("body_too_large",)
        if kind == "application/json"
        else ("body_too_large", "not_json", "unknown_format")
    )
    assert refused.json()["code"] in expected or (path == "/versions" and refused.status_code == 422)


def test_documents_that_hold_cells_may_be_larger_than_others(own: Endpoint) -> None:
    edit = b'{"operations": [{"op": "drop_missing"}]' + b" " * (15 * MIB) + b"}"
    assert own.post("/edits", content=edit, headers=JSON).status_code == 200
    entry = b'{"entry": "x"' + b" " * (3 * MIB) + b"}"
    assert own.post("/audit", content=entry, headers=JSON).status_code == 413


def test_the_service_goes_on_after_all_that(narrow: Served) -> None:
    with narrow.client() as http:
        assert http.get("/health/ready").status_code == 200


# --- too slow -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (UPLOAD, "text/csv"),
        (UPLOAD, "multipart/form-data; boundary=b"),
        (SESSIONS, FRAME_TYPE),
        (SESSIONS, "text/csv"),
    ],
)
def test_a_body_that_does_not_come_is_a_408(odd: Served, path: str, kind: str) -> None:
    with raw(odd) as http:
        http.send(head(path, f"content-type: {kind}", "content-length: 1000"), b"--b\r\n")
        assert http.status() == 408
        answer = http.rest()
    assert b'"code":"body_timeout"' in answer
    assert b'"retryable":true' in answer
    assert b"connection: close" in answer
    until(lambda: odd.scratch() == [], "what had come is gone")


def test_a_document_that_does_not_come_is_a_408(odd: Served, people: pd.DataFrame) -> None:
    own = Endpoint(odd.client(), new_session(odd.client(), people))
    with raw(odd) as http:
        http.send(head(f"{own.path}/audit", "content-type: application/json", "content-length: 1000"), b"{")
        assert http.status() == 408


def test_a_slow_body_that_keeps_coming_is_taken(odd: Served, people: pd.DataFrame) -> None:
    body = body_of(people)
    with raw(odd) as http:
        http.send(head(SESSIONS, f"content-type: {FRAME_TYPE}", f"content-length: {len(body)}"))
        for start in range(0, len(body), 100):
            http.send(body[start : start + 100])
        assert http.status() == 201


# --- cut short ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind"), [(UPLOAD, "text/csv"), (SESSIONS, FRAME_TYPE), (SESSIONS, "text/csv")]
)
def test_a_client_that_goes_away_leaves_nothing(
    alone: httpx2.Client, guarded: Served, path: str, kind: str
) -> None:
    key = alone.headers["authorization"]
    with raw(guarded) as http:
        http.send(
            head(path, f"content-type: {kind}", "content-length: 10000000", f"authorization: {key}"),
            b"a,b\n1,2\n" * 200_000,
        )
        until(lambda: guarded.scratch(), "the body is being taken")
    until(lambda: guarded.scratch() == [], "the body is gone")
    assert alone.get(SESSIONS).json()["total"] == 0


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "a" * 30_000},
        {"accept": ",;=" * 10_000},
        {"accept": "text/csv," * 3000},
        {"accept": ";q=1,,;;=,*/*;q=9.9.9"},
        {"accept-encoding": "gzip;q=1.2.3, zstd;q=., br;q=-1, *;q=NaN"},
        {"accept-encoding": ";" * 5000},
        {"if-none-match": '"' * 20_001},
        {"if-none-match": "W/" * 10_000},
        {"content-type": "text/csv; " + "a=b;" * 4000},
        {"accept": "a/b" + " " * 30_000 + "x"},
        {"accept": "a/b;" + "q" * 30_000},
        {"accept-encoding": "gzip" + " " * 30_000 + "x"},
        {"accept-encoding": "a" * 30_000},
        {"if-none-match": '"a"' + " " * 30_000 + "x"},
        {"authorization": "Bearer " + "x" * 30_000},
        {"x-request-id": "x" * 30_000},
        {"cookie": "a=b;" * 5000},
        {"range": "bytes=0-1"},
        {f"x-{n}": "y" for n in range(500)},
    ],
    ids=lambda headers: f"{next(iter(headers))}-{len(str(headers))}",
)
def test_headers_made_to_hurt_do_no_harm(served: Served, own: Endpoint, headers: dict[str, str]) -> None:
    if served.key is not None and "authorization" in headers:
        assert own.get("/data", headers=headers).status_code == 401
    else:
        assert own.get("/data", headers=headers).status_code in (200, 406)


@pytest.mark.parametrize("name", ["x-long", "accept", "content-type", "authorization", "if-match"])
def test_headers_that_are_too_long_are_a_431(own: Endpoint, name: str) -> None:
    refused = own.get("/data", headers={name: "x" * 40_000})
    assert (refused.status_code, refused.json()["code"]) == (431, "headers_too_large")


def test_an_address_that_is_too_long_is_a_414(served: Served) -> None:
    with raw(served) as http:
        http.send(head(f"{SESSIONS}?cursor={'x' * 62_000}", "connection: close", method="GET"))
        assert http.status() == 414
        assert b'"code":"address_too_long"' in http.rest()


def test_an_address_may_name_many_columns(http: httpx2.Client) -> None:
    names = [f"column number {n}" for n in range(2000)]
    own = Endpoint(http, new_session(http, pd.DataFrame([[0] * 2000], columns=names)))
    assert len(own.rows(columns=names)[0]) == 2000

"""HTTP on one connection: what comes before a request is bounded; other protocols are passed over."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from serving import Served, head, raw

UPLOAD = "/api/v1/upload"


# --- what is no request, or never one ---------------------------------------------------------------


def test_bytes_that_are_no_http_are_refused_like_everything_else(served: Served) -> None:
    with raw(served) as http:
        http.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert http.status() == 400
        headers, _, body = http.rest().partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in headers
    problem = json.loads(body)
    assert problem["code"] == "malformed_request"
    assert f"x-request-id: {problem['request_id']}".encode() in headers


@pytest.mark.parametrize("part", [b"x" * 65536, b"x: y\r\n" * 10_000], ids=["one", "many"])
def test_headers_without_an_end_are_refused_while_they_come(served: Served, part: bytes) -> None:
    with raw(served) as http:
        http.send(b"GET /health HTTP/1.1\r\nhost: test\r\nx: ")
        sent = 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 1 << 28:
                http.send(part)
                sent += len(part)
        assert sent < 64 << 20  # what lies in the buffers of both ends
    with served.client() as client:
        assert client.get("/health").status_code == 200


def test_headers_that_do_not_come_are_a_408(odd: Served) -> None:
    with raw(odd) as http:
        http.send(b"GET /health HTTP/1.1\r\nhost: te")
        assert http.status() == 408
        assert b'"code":"headers_timeout"' in http.rest()


def test_a_connection_on_which_nothing_comes_is_closed(odd: Served) -> None:
    with raw(odd) as http:
        assert http.rest() == b""


def test_a_connection_that_is_in_use_is_kept(odd: Served) -> None:
    with raw(odd) as http:
        for _ in range(3):
            http.send(head("/health", method="GET"))
            assert http.status() == 200
            length = 0
            while (line := http.line()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            assert http.read(length) == b'{"status":"ok"}'


# --- offers of other protocols --------------------------------------------------------------------


OFFERS = {
    "h2c": [
        "connection: Upgrade, HTTP2-Settings",
        "upgrade: h2c",
        "http2-settings: AAMAAABkAAQAoAAAAAIAAAAA",
    ],
    "websocket": [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: eA==",
        "sec-websocket-version: 13",
    ],
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("cut", [10, 90, 300, 10_000])
def test_the_body_of_a_request_that_offers_another_protocol_is_not_lost(
    served: Served, offer: str, cut: int
) -> None:
    body = b"a,b\n" + b"1,2\n" * 100
    key = [] if served.key is None else [f"authorization: Bearer {served.key}"]
    whole = (
        head(UPLOAD, "content-type: text/csv", f"content-length: {len(body)}", *key, *OFFERS[offer]) + body
    )
    with raw(served) as http:
        http.send(whole[:cut])
        http.send(whole[cut:], head("/health", "connection: close", method="GET"))
        assert http.status() == 201
        answer = http.rest()
    assert b'"rows":100' in answer
    assert b"HTTP/1.1 200 OK" in answer  # and the request behind it is answered, too


def test_a_service_is_no_proxy(served: Served) -> None:
    with raw(served) as http:
        http.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
        assert http.status() == 400

"""Answers in gzip or zstd, when the client takes them and it pays."""

from __future__ import annotations

import gzip
import zlib

import httpx2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from serving import Endpoint, new_session


@pytest.fixture
def wide(http: httpx2.Client) -> Endpoint:
    """A session whose pages are worth compressing."""
    return Endpoint(
        http, new_session(http, pd.DataFrame({"word": ["the same words"] * 20_000, "n": range(20_000)}))
    )


def raw(own: Endpoint, path: str, coding: str | None) -> tuple[httpx2.Response, bytes]:
    """Return an answer and its bytes as they were sent."""
    headers = {} if coding is None else {"accept-encoding": coding}
    with own.stream(path, headers=headers) as answer:
        return answer, b"".join(answer.iter_raw())


def unpacked(coding: str | None, sent: bytes) -> bytes:
    match coding:
        case "gzip":
            return gzip.decompress(sent)
        case "zstd":
            return pa.CompressedInputStream(pa.BufferReader(sent), "zstd").read()
    return sent


PATHS = [
    "/data",
    "/data?limit=10000",
    "/data.csv",
    "/data.jsonl",
    "/data.json?whole=true",
    "/data.arrows",
    "/audit",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_is_unpacked_is_what_is_sent_to_others(wide: Endpoint, path: str, coding: str) -> None:
    answer, sent = raw(wide, path, coding)
    _, plain = raw(wide, path, "identity")
    assert unpacked(answer.headers.get("content-encoding"), sent) == plain


@pytest.mark.parametrize("path", PATHS[:-1])
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_is_worth_it_is_packed(wide: Endpoint, path: str, coding: str) -> None:
    answer, sent = raw(wide, path, coding)
    assert answer.headers["content-encoding"] == coding
    assert len(sent) * 2 < len(unpacked(coding, sent))


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("identity", None),
        ("", None),
        ("br", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0", None),
        ("gzip;q=0", None),
        ("GZIP", "gzip"),
        ("x-gzip", None),
    ],
)
def test_the_client_says_which_packing_it_takes(
    wide: Endpoint, accepted: str | None, coding: str | None
) -> None:
    answer, sent = raw(wide, "/data", "identity" if accepted is None else accepted)
    assert answer.headers.get("content-encoding") == coding
    assert unpacked(coding, sent).startswith(b'{"columns"')


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_is_small_is_sent_as_it_is(own: Endpoint, coding: str) -> None:
    answer, sent = raw(own, "/data", coding)
    assert "content-encoding" not in answer.headers
    assert sent.startswith(b'{"columns"')


@pytest.mark.parametrize("path", ["/data.parquet", "/data.xlsx", "/data.framekeep"])
def test_what_is_packed_already_is_sent_as_it_is(wide: Endpoint, path: str) -> None:
    answer, _ = raw(wide, path, "gzip, zstd")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("coding", ["gzip", "zstd", "identity"])
def test_the_length_that_is_said_is_the_length_that_is_sent(wide: Endpoint, coding: str) -> None:
    answer, sent = raw(wide, "/data", coding)
    assert int(answer.headers["content-length"]) == len(sent)


def test_answers_differ_by_what_is_accepted_and_say_so(wide: Endpoint) -> None:
    answer, _ = raw(wide, "/data", "gzip")
    vary = {each.strip().lower() for each in answer.headers["vary"].split(",")}
    assert vary == {"accept", "accept-encoding"}


def test_a_packed_answer_has_the_tag_of_the_state(wide: Endpoint) -> None:
    answer, _ = raw(wide, "/data", "gzip")
    assert answer.headers["etag"] == wide.etag()


def test_a_packed_file_comes_piece_by_piece(http: httpx2.Client) -> None:
    frame = pd.DataFrame({"n": np.random.default_rng(0).integers(0, 2**60, 300_000)})
    own = Endpoint(http, new_session(http, frame))
    unpacker = zlib.decompressobj(31)
    with own.stream("/data.csv", headers={"accept-encoding": "gzip"}) as answer:
        first = unpacker.decompress(next(answer.iter_raw(1000)))
    # With what has come, the client can begin: nothing waits for the end of the file.
    assert first.startswith((b'"n"\n', b"n\n"))


def test_an_error_is_packed_like_everything_else(wide: Endpoint) -> None:
    answer, sent = raw(wide, "/data?columns=" + "&columns=".join(["word"] * 30 + ["nothing"]), "gzip")
    assert answer.status_code == 422
    assert b"unknown_column" in unpacked(answer.headers.get("content-encoding"), sent)


def test_nothing_that_did_not_change_is_packed(wide: Endpoint) -> None:
    answer = wide.get("/data", headers={"accept-encoding": "gzip", "if-none-match": wide.etag()})
    assert (answer.status_code, "content-encoding" in answer.headers) == (304, False)

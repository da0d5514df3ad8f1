"""Who may use the service, and whose session is whose."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import KEYS, SESSIONS, Endpoint, Served, body_of, new_session, refused

from framekeep.config import Settings
from framekeep.errors import ConfigurationError
from framekeep.frames import FRAME_TYPE, FRAMES_TYPE, pack_frames
from framekeep.server.run import check_address, listening

OPEN = ["/", "/health", "/health/ready", "/health/storage", "/metrics", "/docs", "/redoc", "/openapi.json"]

EVERYTHING: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("PATCH", "", {"json": {"metadata": {"a": 1}}}),
    ("POST", "/touch", {}),
    ("GET", "/data", {}),
    ("GET", "/data.csv", {}),
    ("GET", "/data.framekeep", {}),
    ("PUT", "/data", {"content": body_of(pd.DataFrame({"a": [1]})), "headers": {"content-type": FRAME_TYPE}}),
    ("GET", "/versions", {}),
    ("GET", "/versions/1", {}),
    ("POST", "/versions", {"json": {"summary": "x"}}),
    ("POST", "/versions/1/restore", {}),
    ("GET", "/diff?from=1", {}),
    ("POST", "/undo", {}),
    ("POST", "/redo", {}),
    ("GET", "/missing", {}),
    ("PUT", "/missing", {"json": {"columns": {"age": [0]}}}),
    ("PUT", "/missing/column?name=age", {"json": {"rows": [0]}}),
    ("GET", "/audit", {}),
    ("GET", "/audit.csv", {}),
    ("POST", "/audit", {"json": {"entry": "x"}}),
    ("GET", "/profile", {}),
    ("DELETE", "", {}),
]


@pytest.fixture
def other(guarded: Served, unused_keys: Iterator[str]) -> Iterator[httpx2.Client]:
    """A client with another key than ``alone``."""
    with guarded.client(next(unused_keys)) as client:
        yield client


@pytest.fixture
def nobody(guarded: Served) -> Iterator[httpx2.Client]:
    """A client without a key."""
    with guarded.client() as client:
        del client.headers["authorization"]
        yield client


# --- who is asking --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OPEN)
def test_some_pages_need_no_key(nobody: httpx2.Client, path: str) -> None:
    assert nobody.get(path).status_code == 200


@pytest.mark.parametrize(("method", "path", "options"), EVERYTHING, ids=lambda given: str(given)[:30])
def test_nothing_of_a_session_is_had_without_a_key(
    nobody: httpx2.Client,
    alone: httpx2.Client,
    people: pd.DataFrame,
    method: str,
    path: str,
    options: dict[str, Any],
) -> None:
    own = Endpoint(nobody, new_session(alone, people))
    denied = own(method, path, **options)
    assert (denied.status_code, denied.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", SESSIONS), ("POST", SESSIONS), ("POST", "/api/v1/upload"), ("POST", "/api/v1/cleanup"),
     ("GET", "/api/v1/temporary/x"), ("DELETE", "/api/v1/temporary/x"), ("GET", "/api/v1/upload/progress/x"),
     ("GET", "/api/v1/upload/x"), ("DELETE", "/api/v1/upload/x")],
)  # fmt: skip
def test_nothing_else_is_had_without_a_key(nobody: httpx2.Client, method: str, path: str) -> None:
    assert nobody.request(method, path).status_code == 401


def test_a_401_says_how_to_authenticate(nobody: httpx2.Client) -> None:
    denied = nobody.get(SESSIONS)
    assert denied.headers["www-authenticate"] == 'Bearer realm="framekeep"'
    assert "Authorization: Bearer" in denied.json()["detail"]


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", f"Basic {KEYS[0]}", KEYS[0],
     f"Bearer {KEYS[0][:-1]}", f"Bearer {KEYS[0]}x",
     f"Bearer {KEYS[0].upper()}", f"Bearer {KEYS[0]} {KEYS[1]}",
     f"Bearer {KEYS[0]},{KEYS[1]}", "Bearer é\xff"],
)  # fmt: skip
def test_what_is_no_key_is_a_401(nobody: httpx2.Client, sent: str) -> None:
    denied = nobody.get(SESSIONS, headers={"authorization": sent.encode("latin-1")})  # type: ignore[dict-item]
    assert denied.status_code == 401
    assert KEYS[0] not in denied.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(nobody: httpx2.Client, scheme: str) -> None:
    assert nobody.get(SESSIONS, headers={"authorization": f"{scheme} {KEYS[0]}"}).status_code == 200


def test_an_upload_without_a_key_is_refused_before_it_is_read(nobody: httpx2.Client) -> None:
    read = 0

    def body() -> Iterator[bytes]:
        nonlocal read
        for _ in range(400):
            read += 1
            yield b"x" * 100_000

    with suppress(httpx2.TransportError):  # the service has answered and hung up while we were still sending
        assert nobody.post("/api/v1/upload", content=body()).status_code == 401
    assert nobody.get("/health").status_code == 200


def test_no_key_is_ever_logged(guarded: Served, alone: httpx2.Client, nobody: httpx2.Client) -> None:
    alone.get(SESSIONS)
    nobody.get(SESSIONS, headers={"authorization": "Bearer a-wrong-key-of-somebody"})
    text = (guarded.directory / "log").read_text(encoding="utf-8")
    assert not any(key in text for key in KEYS)
    assert "a-wrong-key-of-somebody" not in text


# --- whose ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "options"), EVERYTHING, ids=lambda given: str(given)[:30])
def test_a_session_of_somebody_else_is_not_there(
    alone: httpx2.Client,
    other: httpx2.Client,
    people: pd.DataFrame,
    method: str,
    path: str,
    options: dict[str, Any],
) -> None:
    own = Endpoint(alone, new_session(alone, people))
    own.post("/versions", json={"summary": "x"})
    before = (own.etag(), own.get("/audit").json())
    missing = Endpoint(other, own.id)(method, path, **options)
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")
    assert (own.etag(), own.get("/audit").json()) == before


def test_a_session_of_somebody_else_looks_like_one_that_never_was(
    alone: httpx2.Client, other: httpx2.Client, people: pd.DataFrame
) -> None:
    theirs = new_session(alone, people)
    never = theirs[:-1] + ("x" if theirs[-1] != "x" else "y")
    answers = [other.get(f"{SESSIONS}/{id}").json() for id in (theirs, never)]
    for answer, id in zip(answers, (theirs, never), strict=True):
        answer["detail"] = answer["detail"].replace(id, "…")
        del answer["request_id"]
    assert answers[0] == answers[1]


def test_each_key_lists_its_own_sessions_only(
    alone: httpx2.Client, other: httpx2.Client, people: pd.DataFrame
) -> None:
    mine, theirs = new_session(alone, people), new_session(other, people)
    assert [each["session_id"] for each in alone.get(SESSIONS).json()["sessions"]] == [mine]
    assert [each["session_id"] for each in other.get(SESSIONS).json()["sessions"]] == [theirs]
    assert (alone.get("/").json()["active_sessions"], other.get(SESSIONS).json()["total"]) == (1, 1)


def test_two_keys_may_have_sessions_of_the_same_id(
    alone: httpx2.Client, other: httpx2.Client, people: pd.DataFrame
) -> None:
    id = new_session(alone, people)
    headers = {"content-type": FRAME_TYPE}
    assert other.put(f"{SESSIONS}/{id}", content=body_of(people.head(1)), headers=headers).status_code == 201
    assert len(Endpoint(alone, id).rows()) == 3
    assert len(Endpoint(other, id).rows()) == 1


def test_temporary_storage_of_somebody_else_is_not_there(
    alone: httpx2.Client, other: httpx2.Client, people: pd.DataFrame
) -> None:
    path = f"/api/v1/temporary/{new_session(alone, people)}"
    alone.put(path, content=b"".join(pack_frames({"a": people})), headers={"content-type": FRAMES_TYPE})
    assert [other.get(path).status_code, other.delete(path).status_code] == [404, 404]
    assert alone.get(path).status_code == 200


def test_under_what_name_a_session_is_stored_is_never_said(
    alone: httpx2.Client, people: pd.DataFrame
) -> None:
    own = Endpoint(alone, new_session(alone, people))
    answers = [own(method, path, **options) for method, path, options in EVERYTHING]
    answers += [own.get(), own("DELETE"), alone.get(SESSIONS), own.post("/undo"), alone.get("/")]
    answers += [alone.get("/api/v1/temporary/nothing"), alone.get("/api/v1/upload/nothing")]
    stored = re.compile(rb"k_[0-9a-f]{16}")
    assert [answer.content for answer in answers if stored.search(answer.content)] == []
    assert [answer.headers for answer in answers if stored.search(str(answer.headers).encode())] == []


def test_an_id_may_not_reach_into_the_sessions_of_another_key(
    served: Served, guarded: Served, alone: httpx2.Client, other: httpx2.Client, people: pd.DataFrame
) -> None:
    id = new_session(alone, people)
    # The tag of a key is no secret worth guessing: prefixed ids stay below the caller's own tag.
    assert other.get(f"{SESSIONS}/k_0123456789abcdef.{id}").status_code == 404


@pytest.mark.parametrize("length", [109, 110, 128])
def test_the_longest_ids_are_refused_rather_than_cut(
    alone: httpx2.Client, people: pd.DataFrame, length: int
) -> None:
    made = alone.put(
        f"{SESSIONS}/{'i' * length}", content=body_of(people), headers={"content-type": FRAME_TYPE}
    )
    assert made.status_code == (201 if length <= 109 else 422), made.text


# --- where the service listens --------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "[::]", "no.such.host.invalid"])
def test_a_public_address_needs_keys(host: str) -> None:
    with pytest.raises(ConfigurationError, match="API_KEYS"):
        check_address(Settings(serve_host=host, _env_file=None))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_address(Settings(serve_host=host, _env_file=None))


def test_a_public_address_with_keys_is_fine() -> None:
    check_address(Settings(serve_host="0.0.0.0", api_keys=KEYS[0], _env_file=None))


def test_a_service_on_a_public_address_without_keys_does_not_start(tmp_path: Path) -> None:
    code, said = refused(tmp_path, {}, "--host", "0.0.0.0")
    assert code == 10
    assert "API_KEYS" in said
    assert "Traceback" not in said


def test_a_service_on_a_port_that_is_taken_does_not_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = refused(tmp_path, {}, "--port", str(taken.getsockname()[1]))
    assert code == 10
    assert "SERVE_PORT" in said


def test_a_service_whose_store_cannot_be_opened_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "framekeep.mdb").write_bytes(b"something else" * 1000)
    code, said = refused(tmp_path, {}, "--workers", "2")
    assert code == 8
    assert "Traceback" not in said


def test_a_free_port_is_the_same_on_every_address_of_a_host() -> None:
    sockets = listening("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
    finally:
        for each in sockets:
            each.close()

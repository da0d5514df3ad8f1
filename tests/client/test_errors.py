"""What a service tells of trouble is raised as the library's own errors; what no Framekeep says is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from live import LiveService
from relay import CUT_ANSWER, LOSE_ANSWER, Relay

from framekeep import Client, errors
from framekeep.client.problems import error_of
from framekeep.errors import (
    ConflictError,
    FramekeepError,
    InvalidEditError,
    InvalidInputError,
    NotFoundError,
    ServiceError,
    SessionExistsError,
    StorageUnavailableError,
    WrongTypeError,
)


def below(kind: type[FramekeepError]) -> list[type[FramekeepError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in below(child))]


CLASSES = [
    kind
    for kind in below(FramekeepError)
    if kind.__module__ == errors.__name__
    and not issubclass(kind, errors.EngineSignal)
    and kind not in (FramekeepError, ServiceError)
]


def problem(code: str, detail: str = "What failed.", status: int = 422, **more: Any) -> bytes:
    document = {"title": "x", "status": status, "detail": detail, "code": code, "request_id": "r", **more}
    return json.dumps(document).encode()


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_of_the_library_comes_back_by_its_code(kind: type[FramekeepError]) -> None:
    error, code = error_of(400, problem(kind.code), "s1")
    assert (type(error), str(error), code) == (kind, "What failed.", kind.code)


def test_what_an_error_says_beside_its_text_comes_back() -> None:
    error, _ = error_of(422, problem("wrong_type", where="column 'age'"), None)
    assert isinstance(error, WrongTypeError)
    assert error.where == "column 'age'"
    error, _ = error_of(422, problem("invalid_edit", operation=2), None)
    assert isinstance(error, InvalidEditError)
    assert error.operation == 2


def test_a_condition_that_failed_is_a_conflict_that_names_the_session() -> None:
    error, _ = error_of(412, problem("precondition_failed", status=412), "s1")
    assert type(error) is ConflictError
    assert "'s1'" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInputError),
        (401, errors.AuthenticationError),
        (404, NotFoundError),
        (409, ConflictError),
        (418, InvalidInputError),
        (500, ServiceError),
        (503, ServiceError),
    ],
)
def test_a_code_of_a_later_version_is_taken_by_its_status(status: int, kind: type[FramekeepError]) -> None:
    error, _ = error_of(status, problem("of_tomorrow", status=status), None)
    assert type(error) is kind


def test_what_went_wrong_in_the_service_says_the_status() -> None:
    error, _ = error_of(500, problem("unexpected", "It is in the log.", 500), None)
    assert isinstance(error, ServiceError)
    assert error.status == 500
    assert "It is in the log." in str(error)


def test_a_detail_without_end_is_cut() -> None:
    error, _ = error_of(422, problem("invalid_input", "x" * 1_000_000), None)
    assert len(str(error)) < 5000


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"code": 5, "detail": "x"}', b"\xff"])
@pytest.mark.parametrize("status", [400, 404, 500])
def test_what_is_no_problem_document_is_no_framekeep(body: bytes, status: int) -> None:
    error, _ = error_of(status, body, None)
    assert isinstance(error, ServiceError)
    assert error.status == status


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_with_nobody_behind_it_is_a_service_that_is_away(status: int) -> None:
    error, _ = error_of(status, b"<html>Bad Gateway</html>", None)
    assert type(error) is StorageUnavailableError
    assert error.retryable


# --- over the wire --------------------------------------------------------------------------------------


def test_two_clients_do_not_overwrite_each_other_unawares(
    client: Client, live: LiveService, session: str, people: pd.DataFrame
) -> None:
    with Client(live.url) as other:
        revision, frame = client.get_dataframe_at(session)
        other.update_dataframe(session, people.head(2))
        with pytest.raises(ConflictError, match=session):
            client.update_dataframe(session, frame, expected_revision=revision)
    assert len(client.get_dataframe(session)) == 2


def test_a_session_that_exists_is_told_from_a_conflict(
    client: Client, session: str, people: pd.DataFrame
) -> None:
    with pytest.raises(SessionExistsError, match=session):
        client.create_session(session, people, "x", 60.0)


def answered(body: bytes, kind: str = "application/json", status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}"
    return f"{head}connection: close\r\n\r\n".encode() + body


CALLS: dict[str, Callable[[Client], object]] = {
    "get_dataframe": lambda c: c.get_dataframe("s"),
    "get_metadata": lambda c: c.get_metadata("s"),
    "get_history": lambda c: c.get_history("s"),
    "undo": lambda c: c.undo("s"),
    "new_session": lambda c: c.new_session(pd.DataFrame({"a": [1]})),
    "commit_dataframe": lambda c: c.commit_dataframe("s", pd.DataFrame({"a": [1]}), "x"),
    "list_sessions": lambda c: c.list_sessions(),
    "get_active_sessions_count": lambda c: c.get_active_sessions_count(),
    "get_intentional_missing": lambda c: c.get_intentional_missing("s"),
    "get_audit_log": lambda c: c.get_audit_log("s"),
    "get_temp_storage": lambda c: c.get_temp_storage("t"),
    "cleanup_expired_sessions": lambda c: c.cleanup_expired_sessions(),
    "diff_versions": lambda c: c.diff_versions("s", 1),
    "check": lambda c: c.check("s"),
    "profile": lambda c: c.profile("s"),
    "apply_operations": lambda c: c.apply_operations("s", []),
    "export": lambda c: c.export("s", "csv"),
    "delete_temp_storage": lambda c: c.delete_temp_storage("t"),
}
ETAG = 'etag: "00112233445566778899aabbccddeeff"\r\n'
NAMES = "columns versions sessions entries damage profiles version_id shape created_at"
ANSWERS = {
    "a page": answered(b"<html>It works!</html>", "text/html"),
    "no JSON": answered(b"{"),
    "other JSON": answered(b"[1, 2]"),
    "JSON without what is asked": answered(b'{"hello": "world"}', more=ETAG),
    "JSON of other types": answered(
        json.dumps(dict.fromkeys(NAMES, "?") | {"total": []}).encode(), more=ETAG
    ),
    "a redirect": answered(b"", status="302 Found", more="location: http://127.0.0.1:9/\r\n"),
    "a container that is none": answered(b"FKW?" * 9, "application/vnd.framekeep.frame", more=ETAG),
    "another encoding": answered(b"xx", more="content-encoding: gzip\r\n"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("call", CALLS)
def test_what_no_framekeep_answers_is_a_service_error(call: str, answer: str) -> None:
    with Relay() as relay, Client(relay.url, retries=0) as client:
        relay.answers.append(ANSWERS[answer])
        with pytest.raises(ServiceError):
            CALLS[call](client)


@pytest.mark.parametrize("tag", ["", "etag: W/xyz\r\n", 'etag: "00"\r\n'])
def test_a_state_that_is_none_is_a_service_error(tag: str) -> None:
    with Relay() as relay, Client(relay.url, retries=0) as client:
        relay.answers.append(answered(b"{}", more=tag))
        with pytest.raises(ServiceError, match="state"):
            client.revision("s")


@pytest.mark.parametrize("answer", ["a page", "a redirect"])
def test_a_deletion_that_no_framekeep_answered_did_not_happen(answer: str) -> None:
    with Relay() as relay, Client(relay.url, retries=0) as client:
        relay.answers.append(ANSWERS[answer])
        with pytest.raises(ServiceError):
            client.delete_session("s")


def test_a_redirect_is_not_followed() -> None:
    with Relay() as relay, Relay() as elsewhere, Client(relay.url, "secret-key", retries=0) as client:
        relay.answers.append(answered(b"", status="307 x", more=f"location: {elsewhere.url}/\r\n"))
        with pytest.raises(ServiceError):
            client.list_sessions()
        assert elsewhere.requests == []


def test_nobody_who_listens_is_a_service_that_cannot_be_reached() -> None:
    with Relay() as relay:
        url = relay.url
    with Client(url, retries=0) as client:
        with pytest.raises(StorageUnavailableError, match=f"{url} cannot be reached"):
            client.list_sessions()
        health = client.health_check()
    assert (health["status"], health["reachable"]) == ("unhealthy", False)
    assert "cannot be reached" in health["error"]


def test_an_answer_that_does_not_come_in_time_says_how_long_was_waited() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout=0.05, retries=0) as client, pytest.raises(StorageUnavailableError) as caught:
            client.list_sessions()
    assert "did not answer within 0.05 s" in str(caught.value)


@pytest.mark.parametrize("action", [LOSE_ANSWER, CUT_ANSWER])
def test_a_connection_that_breaks_each_time_is_told(relay: Relay, action: str) -> None:
    with Client(relay.url, retries=1) as client:
        relay.plan(*[action] * 2)
        with pytest.raises(StorageUnavailableError, match="broke the connection"):
            client.list_sessions()
    assert len(relay.requests) == 2


def test_a_client_that_is_closed_says_so(client: Client) -> None:
    client.close()
    client.close()
    with pytest.raises(StorageUnavailableError, match="closed"):
        client.list_sessions()

"""A request that got no answer is sent again, and is carried out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from relay import CUT_ANSWER, LOSE_ANSWER, LOSE_REQUEST, Relay

from framekeep import Client, DataManager
from framekeep.client.connection import Connection
from framekeep.errors import ConflictError, StorageUnavailableError
from framekeep.testing.identical import assert_identical

FRAME = pd.DataFrame({"a": [1, 2, 3]})


@pytest.fixture
def shaky(relay: Relay) -> Client:
    """A client behind a wire that breaks; it does not wait between attempts."""
    client = Client(relay.url)
    client._connection._sleep = lambda seconds: None
    return client


CHANGES: dict[str, tuple[Callable[[Client], Any], Callable[[DataManager], Any], Any]] = {
    "new_session": (lambda c: c.new_session(FRAME), lambda m: len(m.list_sessions()), 2),
    "create_session": (
        lambda c: c.create_session("fresh", FRAME, "x", 60.0),
        lambda m: m.list_sessions(),
        ["fresh", "s"],
    ),
    "commit_dataframe": (
        lambda c: c.commit_dataframe("s", FRAME.head(1), "x"),
        lambda m: len(m.get_history("s")),
        3,
    ),
    "create_version": (lambda c: c.create_version("s", FRAME, "x"), lambda m: len(m.get_history("s")), 3),
    "checkpoint": (lambda c: c.checkpoint("s", "x"), lambda m: len(m.get_history("s")), 3),
    "update_dataframe": (
        lambda c: c.update_dataframe("s", FRAME.head(1), expected_revision=c.revision("s")),
        lambda m: m.get_metadata("s")["shape"],
        (1, 1),
    ),
    "undo": (lambda c: c.undo("s"), lambda m: m.get_metadata("s")["shape"], (2, 1)),
    "delete_session": (lambda c: c.delete_session("s"), lambda m: m.list_sessions(), []),
    "add_audit_entry": (lambda c: c.add_audit_entry("s", "x"), lambda m: len(m.get_audit_log("s")), 4),
    "set_intentional_missing": (
        lambda c: c.set_intentional_missing("s", "a", [0]),
        lambda m: m.get_intentional_missing("s"),
        {"a": [0]},
    ),
    "create_temp_storage": (
        lambda c: c.create_temp_storage("t", {"a": FRAME}, "x"),
        lambda m: list(m.get_temp_storage("t")["sheets"]),
        ["a"],
    ),
    "apply_operations": (
        lambda c: c.apply_operations("s", [{"op": "drop_columns", "columns": ["a"]}]),
        lambda m: len(m.get_history("s")),
        3,
    ),
}


@pytest.mark.parametrize("broken", [LOSE_REQUEST, LOSE_ANSWER, CUT_ANSWER])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_answer_got_lost_is_made_once(
    shaky: Client, relay: Relay, manager: DataManager, change: str, broken: str
) -> None:
    manager.backend.create_session("s", FRAME, "x", 600.0)
    manager.commit_dataframe("s", FRAME.head(2), "first")
    manager.commit_dataframe("s", FRAME.head(3), "second")
    call, found, wanted = CHANGES[change]
    if change == "update_dataframe":
        relay.plan("pass")  # asking for the revision
    relay.plan(broken)
    given = call(shaky)
    assert found(manager) == wanted
    assert given is not False  # a deletion that was carried out says so, although the second finds nothing


def test_all_attempts_have_one_key_and_each_call_its_own(shaky: Client, relay: Relay) -> None:
    relay.plan(LOSE_ANSWER, LOSE_ANSWER)
    shaky.new_session(FRAME)
    first = relay.keys()
    assert len(first) == 3
    assert len(set(first)) == 1
    shaky.new_session(FRAME)
    assert relay.keys()[-1] not in first


def test_a_frame_whose_bytes_break_off_is_fetched_again(
    shaky: Client, relay: Relay, manager: DataManager
) -> None:
    manager.backend.create_session("s", FRAME, "x", 600.0)
    relay.plan(CUT_ANSWER)
    assert_identical(shaky.get_dataframe("s"), FRAME)


def test_an_upload_is_sent_again_from_its_start(
    shaky: Client, relay: Relay, manager: DataManager, tmp_path: Any
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    relay.plan(LOSE_REQUEST, LOSE_ANSWER)
    assert shaky.upload(path)["rows"] == 1
    assert len(manager.list_sessions()) == 1


def test_what_is_refused_is_not_sent_again(shaky: Client, relay: Relay) -> None:
    with pytest.raises(LookupError):
        shaky.get_dataframe("nope")
    assert len(relay.requests) == 1


def test_a_service_that_is_busy_is_asked_again(shaky: Client, relay: Relay) -> None:
    busy = b'{"code": "storage_busy", "detail": "x"}'
    relay.answers.append(
        b"HTTP/1.1 503 x\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(busy), busy)
    )
    assert shaky.list_sessions() == []


def test_a_request_that_is_still_being_carried_out_is_waited_for(relay: Relay) -> None:
    waited: list[float] = []
    connection = Connection(relay.url, None, timeout=5.0, retries=0, socket=None, sleep=waited.append)
    under_way = b'{"code": "request_under_way", "detail": "Wait."}'
    answer = b"HTTP/1.1 409 x\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    answer += b"content-length: %d\r\n\r\n%s" % (len(under_way), under_way)
    relay.answers.extend([answer] * 4)
    assert connection.ask("POST", "/api/v1/cleanup").document() == {"sessions": 0, "temporary": 0}
    assert waited == [1.0] * 4
    relay.answers.extend([answer] * 6)
    with pytest.raises(ConflictError, match="Wait"):
        connection.ask("POST", "/api/v1/cleanup")
    connection.close()
    assert len(waited) == 4 + 5


def test_the_waits_between_attempts_grow(relay: Relay) -> None:
    waited: list[float] = []
    connection = Connection(relay.url, None, timeout=5.0, retries=3, socket=None, sleep=waited.append)
    relay.plan(*[LOSE_REQUEST] * 3)
    connection.ask("GET", "/health")
    connection.close()
    assert waited == pytest.approx([0.1, 0.4, 1.6])


def test_nothing_is_tried_again_when_that_is_not_wanted(relay: Relay) -> None:
    relay.plan(LOSE_REQUEST)
    with Client(relay.url, retries=0) as client, pytest.raises(StorageUnavailableError, match="broke"):
        client.list_sessions()
    assert len(relay.requests) == 1

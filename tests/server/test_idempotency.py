"""``Idempotency-Key``: a change that is sent twice is carried out once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served, body_of, new_session

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import StorageFullError, StorageUnavailableError
from framekeep.frames import FRAME_TYPE
from framekeep.names import new_id
from framekeep.replies import Replies
from framekeep.server.access import Keys
from framekeep.server.idempotency import Idempotency
from framekeep.server.threads import Threads
from framekeep.testing import ManualClock

FRAME = body_of(pd.DataFrame({"a": [1]}))


@pytest.fixture
def key() -> dict[str, str]:
    return {"idempotency-key": new_id()}


def create(http: httpx2.Client, key: dict[str, str], body: bytes = FRAME, **query: str) -> httpx2.Response:
    return http.post(SESSIONS, content=body, params=query, headers={"content-type": FRAME_TYPE, **key})


def entries(own: Endpoint) -> list[str]:
    return list(own.get("/audit").json()["entries"])


# --- replay ---------------------------------------------------------------------------------------


def test_what_is_sent_twice_is_answered_twice_and_done_once(own: Endpoint, key: dict[str, str]) -> None:
    first = own.post("/audit", json={"entry": "x"}, headers=key)
    again = own.post("/audit", json={"entry": "x"}, headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert len(entries(own)) == 2


def test_a_replay_says_that_it_is_one(own: Endpoint, key: dict[str, str]) -> None:
    answers = [own.post("/audit", json={"entry": "x"}, headers=key) for _ in range(2)]
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]


def test_a_replay_has_the_headers_that_say_where_and_which_state(
    http: httpx2.Client, key: dict[str, str]
) -> None:
    first, again = create(http, key), create(http, key)
    assert first.headers["location"] == again.headers["location"]
    assert first.headers["etag"] == again.headers["etag"]
    assert again.headers["content-type"] == "application/json"


def test_a_replay_has_a_request_id_of_its_own(http: httpx2.Client, key: dict[str, str]) -> None:
    assert create(http, key).headers["x-request-id"] != create(http, key).headers["x-request-id"]


def test_a_session_under_an_id_that_is_put_twice_is_made_once(
    http: httpx2.Client, key: dict[str, str]
) -> None:
    address, headers = f"{SESSIONS}/{new_id()}", {"content-type": FRAME_TYPE, **key}
    answers = [http.put(address, content=FRAME, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert http.put(address, content=FRAME, headers={"content-type": FRAME_TYPE}).status_code == 409


def test_data_that_are_put_twice_make_one_version(own: Endpoint, key: dict[str, str]) -> None:
    for _ in range(2):
        own.put(pd.DataFrame({"n": [1]}), headers=key, summary="one")
    assert len(own.get("/versions").json()["versions"]) == 1


def test_a_deletion_that_is_sent_twice_is_answered_twice(own: Endpoint, key: dict[str, str]) -> None:
    answers = [own("DELETE", headers=key) for _ in range(2)]
    assert [(each.status_code, each.json()) for each in answers] == [(200, {"deleted": True})] * 2


def test_metadata_that_are_sent_twice_are_merged_once(own: Endpoint, key: dict[str, str]) -> None:
    first = own("PATCH", json={"metadata": {"a": 1}}, headers=key)
    own("PATCH", json={"metadata": {"a": 2}})
    assert own("PATCH", json={"metadata": {"a": 1}}, headers=key).json() == first.json()
    assert own.get("").json()["metadata"] == {"a": 2}


def test_undo_that_is_sent_twice_is_one_step(own: Endpoint, key: dict[str, str]) -> None:
    for number in range(3):
        own.put(pd.DataFrame({"n": [number]}), summary=str(number))
    first = own.post("/undo", headers=key).json()
    assert own.post("/undo", headers=key).json() == first
    assert own.rows() == [[1]]


def test_a_replay_is_what_was_answered_then_whatever_happened_since(
    own: Endpoint, key: dict[str, str]
) -> None:
    first = own.post("/versions", json={"summary": "x"}, headers=key)
    own.post("/undo")
    assert own.post("/versions", json={"summary": "x"}, headers=key).json() == first.json()
    assert len(own.get("/versions").json()["versions"]) == 1


def test_a_replay_comes_even_when_the_session_is_gone(own: Endpoint, key: dict[str, str]) -> None:
    own.post("/versions", json={"summary": "x"}, headers=key)
    own("DELETE")
    assert own.post("/versions", json={"summary": "x"}, headers=key).status_code == 201


def test_without_a_key_everything_is_done_each_time(own: Endpoint) -> None:
    for _ in range(2):
        own.post("/audit", json={"entry": "x"})
    assert len(entries(own)) == 3


def test_a_body_sent_in_other_pieces_is_the_same_request(http: httpx2.Client, key: dict[str, str]) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(FRAME), 50):
            yield FRAME[start : start + 50]

    first = create(http, key)
    again = http.post(SESSIONS, content=pieces(), headers={"content-type": FRAME_TYPE, **key})
    assert again.json() == first.json()


def test_a_large_body_may_be_sent_twice(http: httpx2.Client, key: dict[str, str]) -> None:
    body = body_of(pd.DataFrame({"n": range(500_000)}))
    assert create(http, key, body).json() == create(http, key, body).json()


# --- another request under the same key -----------------------------------------------------------


def test_another_body_under_the_same_key_is_refused(own: Endpoint, key: dict[str, str]) -> None:
    own.post("/audit", json={"entry": "x"}, headers=key)
    refused = own.post("/audit", json={"entry": "y"}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert len(entries(own)) == 2


def test_another_address_under_the_same_key_is_refused(
    http: httpx2.Client, own: Endpoint, people: pd.DataFrame, key: dict[str, str]
) -> None:
    other = Endpoint(http, new_session(http, people))
    own.post("/audit", json={"entry": "x"}, headers=key)
    refused = other.post("/audit", json={"entry": "x"}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


def test_another_query_under_the_same_key_is_refused(http: httpx2.Client, key: dict[str, str]) -> None:
    create(http, key, filename="a.csv")
    assert create(http, key, filename="b.csv").json()["code"] == "idempotency_key_reused"


def test_a_body_that_goes_on_is_another_one(own: Endpoint, key: dict[str, str]) -> None:
    own.post("/audit", content=b'{"entry": "x"}', headers={**key, "content-type": "application/json"})
    refused = own.post(
        "/audit", content=b'{"entry": "x"}  ', headers={**key, "content-type": "application/json"}
    )
    assert refused.json()["code"] == "idempotency_key_reused"


# --- at once --------------------------------------------------------------------------------------


def test_of_the_same_request_sent_at_once_one_is_carried_out(own: Endpoint, key: dict[str, str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: own.post("/audit", json={"entry": "x"}, headers=key), range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"request_under_way"}
    assert any(answer.status_code == 201 for answer in answers)
    assert len(entries(own)) == 2


def test_who_is_told_to_wait_has_the_answer_when_trying_again(
    http: httpx2.Client, key: dict[str, str]
) -> None:
    body = body_of(pd.DataFrame({"n": range(300_000)}))

    def insist(_: int) -> str:
        for _ in range(1000):
            answer = create(http, key, body)
            if answer.status_code == 201:
                return str(answer.json()["session_id"])
            assert (answer.status_code, answer.json()["retryable"]) == (409, True)
            assert answer.headers["retry-after"] == "1"
        raise AssertionError("never answered")

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(insist, range(4)))) == 1


# --- failures -------------------------------------------------------------------------------------


def test_what_failed_may_be_sent_again(own: Endpoint, key: dict[str, str]) -> None:
    assert own.post("/undo", headers=key).status_code == 409
    own.put(pd.DataFrame({"a": [1]}), summary="x")
    assert own.post("/undo", headers=key).status_code == 200


def test_what_failed_may_be_mended_under_the_same_key(own: Endpoint, key: dict[str, str]) -> None:
    assert own.post("/audit", json={"entry": ""}, headers=key).status_code == 422
    assert own.post("/audit", json={"entry": "x"}, headers=key).status_code == 201
    assert len(entries(own)) == 2


def test_an_upload_that_broke_off_may_be_sent_again(http: httpx2.Client, key: dict[str, str]) -> None:
    def cut() -> Iterator[bytes]:
        yield FRAME[:100]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        http.post(SESSIONS, content=cut(), headers={"content-type": FRAME_TYPE, **key})
    for _ in range(1000):  # until the service has seen that the first will not go on
        answer = create(http, key)
        if answer.status_code != 409:
            break
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 256, "é", "a\tb"])
def test_a_key_that_is_none_is_refused(own: Endpoint, wrong: str) -> None:
    headers = {"idempotency-key": wrong.encode("latin-1")}
    refused = own.post("/audit", json={"entry": "x"}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_header")
    assert len(entries(own)) == 1


def test_an_address_that_there_is_not_keeps_no_reply(http: httpx2.Client, key: dict[str, str]) -> None:
    assert [http.post("/nothing", headers=key).status_code for _ in range(2)] == [404, 404]


# --- whose ----------------------------------------------------------------------------------------


def test_a_key_belongs_to_who_sends_it(
    guarded: Served, unused_keys: Iterator[str], key: dict[str, str]
) -> None:
    one, two = guarded.client(next(unused_keys)), guarded.client(next(unused_keys))
    first, second = create(one, key), create(two, key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["session_id"] != second.json()["session_id"]
    assert "idempotent-replayed" not in second.headers


def test_who_is_not_known_gets_no_replay(guarded: Served, alone: httpx2.Client, key: dict[str, str]) -> None:
    create(alone, key)
    with guarded.client() as nobody:
        del nobody.headers["authorization"]
        assert create(nobody, key).status_code == 401


def test_who_is_not_known_leaves_no_trace(guarded: Served, key: dict[str, str]) -> None:
    with guarded.client("a-key-that-nobody-has") as nobody:
        answers = [nobody.post("/nothing", headers=key) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [401, 401]


def test_of_two_authorizations_the_first_counts_for_replays_too(
    guarded: Served, unused_keys: Iterator[str], key: dict[str, str]
) -> None:
    one, two = guarded.client(next(unused_keys)), guarded.client(next(unused_keys))
    create(one, key)
    both = [("authorization", client.headers["authorization"]) for client in (two, one)]
    headers = [*both, ("content-type", FRAME_TYPE), *key.items()]
    with httpx2.Client(trust_env=False) as bare:
        made = bare.post(f"{guarded.url}{SESSIONS}", content=FRAME, headers=headers)
    assert made.status_code == 201
    assert "idempotent-replayed" not in made.headers


# --- taking long, and no room ---------------------------------------------------------------------


async def asked(app: Any, key: bytes = b"k", *, more: bool = False) -> tuple[list[Any], Any]:
    """Send one request to an application, or only a part of its body; return what it sent."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"idempotency-key", key)],
             "state": {"request_id": "r"}}  # fmt: skip
    await app(scope, receive, send)
    return sent, sent[0]["status"]


async def answers_ok(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_what_takes_longer_than_the_lease_is_carried_out_once() -> None:
    renewals, calls = 0, 0

    class Renewed(MemoryEngine):
        def touch(self, space: Any, ttl: float, at: Any = None) -> Any:
            nonlocal renewals
            found = super().touch(space, ttl, at)
            renewals += 1
            return found

    clock, threads = ManualClock(), Threads()
    replies = Replies(Renewed(clock=clock), lease=0.3)

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        for _ in range(4):
            before = renewals
            while renewals == before:
                await asyncio.sleep(0.005)
            clock.advance(0.25)
            _, status = await asked(app)
            assert status == 409
        await answers_ok(send)

    app = Idempotency(slow, replies=lambda: replies, threads=lambda: threads, keys=Keys)

    async def both() -> list[int]:
        return [(await asked(app))[1] for _ in range(2)]

    assert asyncio.run(both()) == [200, 200]
    assert calls == 1
    threads.close()


def test_what_was_done_is_answered_when_there_is_no_room_for_the_reply() -> None:
    class Full(MemoryEngine):
        def commit(self, space: Any, change: Any) -> None:
            if change.expected is not None:
                raise StorageFullError("The disk is full.")
            super().commit(space, change)

    replies, threads = Replies(Full()), Threads()

    async def quick(scope: Any, receive: Any, send: Any) -> None:
        await answers_ok(send)

    app = Idempotency(quick, replies=lambda: replies, threads=lambda: threads, keys=Keys)
    assert asyncio.run(asked(app))[1] == 200
    assert asyncio.run(asked(app))[1] == 409
    threads.close()


@pytest.mark.parametrize(
    ("reads", "more", "then"),
    [(True, False, 409), (True, True, 200), (False, False, 409), (False, True, 409)],
)
def test_what_is_cut_off_is_not_done_beside_what_may_still_be_going_on(
    reads: bool, more: bool, then: int
) -> None:
    replies, threads = Replies(MemoryEngine()), Threads()
    begun = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if reads:
            await receive()
        if not begun.is_set():
            begun.set()
            await asyncio.Event().wait()
        await answers_ok(send)

    app = Idempotency(slow, replies=lambda: replies, threads=lambda: threads, keys=Keys)

    async def cut_off_and_again() -> int:
        first = asyncio.create_task(asked(app, more=more))
        await begun.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return (await asked(app))[1]

    assert asyncio.run(cut_off_and_again()) == then
    threads.close()


def test_an_error_is_told_also_when_the_claim_cannot_be_given_back() -> None:
    class Away(MemoryEngine):
        def commit(self, space: Any, change: Any) -> None:
            if change.expected is not None:
                raise StorageUnavailableError("The storage does not answer.")
            super().commit(space, change)

    replies, threads = Replies(Away()), Threads()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    app = Idempotency(broken, replies=lambda: replies, threads=lambda: threads, keys=Keys)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(asked(app))
    threads.close()


def test_what_ended_is_told_also_when_the_service_has_stopped_meanwhile() -> None:
    replies, threads = Replies(MemoryEngine()), Threads()
    begun = asyncio.Event()

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            threads.close()

    app = Idempotency(cut, replies=lambda: replies, threads=lambda: threads, keys=Keys)

    async def cut_off() -> None:
        task = asyncio.create_task(asked(app, more=True))
        await begun.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cut_off())


def test_what_was_done_is_answered_when_the_service_has_stopped_meanwhile() -> None:
    refused = asyncio.Event()

    class Stopping(Threads):
        async def quick(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super().quick(function, *args, **kwargs)
            except RuntimeError:
                refused.set()
                raise

    replies, threads = Replies(MemoryEngine(clock=ManualClock()), lease=0.001), Stopping()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        threads.close()
        await refused.wait()  # the claim could not be renewed
        await answers_ok(send)

    app = Idempotency(late, replies=lambda: replies, threads=lambda: threads, keys=Keys)
    assert asyncio.run(asked(app))[1] == 200

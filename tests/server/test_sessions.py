"""Sessions: create from a frame, list, look at, change metadata, delete, keep alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, body_of, new_session, until

from framekeep.frames import FRAME_TYPE, unpack

FRAME = {"content-type": FRAME_TYPE}


def at(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    assert found.tzinfo is not None
    return found


# --- create ---------------------------------------------------------------------------------------


def test_a_created_session_is_where_its_location_says(http: httpx2.Client, people: pd.DataFrame) -> None:
    made = http.post(SESSIONS, content=body_of(people), headers=FRAME)
    assert made.status_code == 201
    assert http.get(made.headers["location"]).json()["session_id"] == made.json()["session_id"]


def test_a_created_session_says_its_shape_and_state(http: httpx2.Client, people: pd.DataFrame) -> None:
    made = http.post(SESSIONS, content=body_of(people), headers=FRAME)
    document = made.json()
    assert (document["shape"], document["version_id"]) == ([3, 2], None)
    assert document["etag"] == made.headers["etag"]
    assert Endpoint(http, document["session_id"]).etag() == document["etag"]


def test_ids_cannot_be_guessed(http: httpx2.Client, people: pd.DataFrame) -> None:
    ids = {new_session(http, people) for _ in range(5)}
    assert len(ids) == 5
    assert min(map(len, ids)) >= 32


def test_a_frame_comes_back_exactly_as_it_was_sent(http: httpx2.Client) -> None:
    frame = pd.DataFrame(
        {"n": pd.array([1, None, 2**62], "Int64"), "at": pd.to_datetime(["2026-01-01", None, "1999-12-31"])},
        index=pd.Index(["x", "y", "z"], name="key"),
    )
    own = Endpoint(http, new_session(http, frame))
    answer = own.get("/data", headers={"accept": FRAME_TYPE})
    pd.testing.assert_frame_equal(unpack(answer.content), frame)


def test_a_session_can_be_created_under_an_id_of_choice(http: httpx2.Client, people: pd.DataFrame) -> None:
    chosen = f"chosen-{new_session(http, people)[:12].strip('-_.')}"
    made = http.put(f"{SESSIONS}/{chosen}", content=body_of(people), headers=FRAME)
    assert (made.status_code, made.json()["session_id"]) == (201, chosen)
    assert made.headers["location"] == f"{SESSIONS}/{chosen}"


def test_an_id_that_is_taken_is_refused_and_the_session_stays(
    http: httpx2.Client, own: Endpoint, people: pd.DataFrame
) -> None:
    before = own.etag()
    refused = http.put(own.path, content=body_of(people.head(1)), headers=FRAME)
    assert (refused.status_code, refused.json()["code"]) == (409, "session_exists")
    assert own.etag() == before


@pytest.mark.parametrize("id", ["-leading", ".leading", "a..b", "a b", "a%2Fb", "é", "a" * 129, "%00"])
def test_a_malformed_id_is_refused_for_what_it_is(http: httpx2.Client, people: pd.DataFrame, id: str) -> None:
    refused = http.put(f"{SESSIONS}/{id}", content=body_of(people), headers=FRAME)
    assert refused.status_code in (404, 422)
    assert refused.json()["code"] in ("no_such_address", "invalid_request", "invalid_id")


@pytest.mark.parametrize("kind", ["application/json", "image/png", "text/plain", "", "x" * 300])
def test_a_body_that_holds_no_frame_is_refused_with_the_types_that_do(http: httpx2.Client, kind: str) -> None:
    refused = http.post(SESSIONS, content=b"{}", headers={"content-type": kind})
    assert refused.status_code == 415
    assert "text/csv" in refused.json()["detail"]
    assert len(refused.text) < 1500


@pytest.mark.parametrize(
    "damage", [b"", b"\x00" * 64, b"FRAMEKEEP but not really"], ids=["empty", "zeros", "words"]
)
def test_a_body_that_is_no_container_is_refused(http: httpx2.Client, damage: bytes) -> None:
    refused = http.post(SESSIONS, content=damage, headers=FRAME)
    assert (refused.status_code, refused.json()["code"]) == (415, "unknown_format")


def test_a_container_that_is_cut_short_is_refused(http: httpx2.Client, people: pd.DataFrame) -> None:
    whole = body_of(people)
    for length in range(1, len(whole), max(1, len(whole) // 20)):
        refused = http.post(SESSIONS, content=whole[:length], headers=FRAME)
        assert refused.status_code in (415, 422), (length, refused.text)


def test_the_file_name_is_kept(http: httpx2.Client, people: pd.DataFrame) -> None:
    own = Endpoint(http, new_session(http, people, filename="Größe 2026 - 表.csv"))
    assert own.get().json()["filename"] == "Größe 2026 - 表.csv"


def test_a_file_name_is_kept_without_directories_and_control_characters(
    http: httpx2.Client, people: pd.DataFrame
) -> None:
    own = Endpoint(http, new_session(http, people, filename="..\\..\\x/../a\r\nb\x00.csv"))
    assert own.get().json()["filename"] == "ab.csv"


# --- look at --------------------------------------------------------------------------------------


def test_what_is_known_of_a_session(own: Endpoint) -> None:
    facts = own.get().json()
    assert facts["session_id"] == own.id
    assert (facts["filename"], facts["shape"], facts["current_version"]) == ("people.csv", [3, 2], 0)
    assert facts["columns"] == [{"name": "id", "dtype": "str"}, {"name": "age", "dtype": "float64"}]
    assert facts["bytes"] > 0
    assert facts["metadata"] == {}
    assert at(facts["created_at"]) <= at(facts["last_accessed"]) < at(facts["expires_at"])


def settled(expires_at: Callable[[], str]) -> datetime:
    """Return an expiry as most of several answers have it.

    It is a time and a rest of seconds, and a busy machine may stop a service between looking at the two.
    """
    return sorted(at(expires_at()) for _ in range(5))[2]


def expiry(own: Endpoint) -> datetime:
    """Return when a session expires, without keeping it alive."""
    return settled(lambda: str(own.get(params={"touch": "false"}).json()["expires_at"]))


def test_looking_keeps_a_session_alive_unless_told_not_to(own: Endpoint) -> None:
    first = expiry(own)
    later = time.monotonic() + 0.4
    until(lambda: time.monotonic() > later, "the clock goes on")
    untouched = expiry(own)
    touched = at(own.get().json()["expires_at"])
    assert abs((untouched - first).total_seconds()) < 0.2
    assert (touched - first).total_seconds() > 0.3


def test_labels_that_are_not_text_have_their_text_form(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({1: [1], ("a", 2): [2]})))
    assert [column["name"] for column in own.get().json()["columns"]] == ["1", "('a', 2)"]


def test_labels_that_repeat_are_all_listed(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame([[1, "x"]], columns=["a", "a"])))
    assert own.get().json()["columns"] == [{"name": "a", "dtype": "int64"}, {"name": "a", "dtype": "str"}]


def test_a_session_that_is_not_there_is_a_404_that_names_it(http: httpx2.Client) -> None:
    missing = http.get(f"{SESSIONS}/nobody")
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")
    assert "nobody" in missing.json()["detail"]


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_are_merged(own: Endpoint) -> None:
    own("PATCH", json={"metadata": {"study": "A-17", "n": 1}})
    answer = own("PATCH", json={"metadata": {"n": 2, "deep": {"a": [1, None, True]}}})
    assert answer.status_code == 200
    assert own.get().json()["metadata"] == {"study": "A-17", "n": 2, "deep": {"a": [1, None, True]}}


def test_metadata_do_not_change_the_state_of_the_data(own: Endpoint) -> None:
    before = own.etag()
    own("PATCH", json={"metadata": {"study": "A-17"}})
    assert own.etag() == before


@pytest.mark.parametrize("key", ["session_id", "filename", "shape", "current_version"])
def test_metadata_cannot_set_what_the_service_fills(own: Endpoint, key: str) -> None:
    refused = own("PATCH", json={"metadata": {key: "mine"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_metadata")


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata": {"a": NaN}}',
        b'{"metadata": {"a": 1e999}}',
        b'{"metadata": {"a": "\\ud800"}}',
        b'{"metadata": {"\\udfff": 1}}',
        b'{"metadata": {"a": ' + b"9" * 4000 + b"}}",
        b'{"metadata": {"a": ' + b"9" * 5000 + b"}}",
        b'{"metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
        b'{"metadata": {"a":' + b"[" * 400 + b"]" * 400 + b"}}",
        b'{"metadata": {"a":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"metadata": ' + b"[" * 100_000,
        b'{"metadata": {"a": 1}, "other": 2}',
        b'{"metadata": []}',
        b'{"metadata": null}',
        b"[]",
        b"null",
        b"",
    ],
    ids=lambda body: f"{body[:26].decode()}-{len(body)}",
)
def test_metadata_that_are_no_json_are_refused_and_nothing_is_kept(own: Endpoint, body: bytes) -> None:
    refused = own("PATCH", content=body, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422), refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert own.get().json()["metadata"] == {}


def test_metadata_may_be_a_mebibyte_in_all(own: Endpoint) -> None:
    assert own("PATCH", json={"metadata": {"a": "x" * 600_000}}).status_code == 200
    refused = own("PATCH", json={"metadata": {"b": "x" * 600_000}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_metadata")


# --- keep alive, delete ---------------------------------------------------------------------------


def test_touching_gives_a_session_the_time_that_is_asked_for(own: Endpoint) -> None:
    facts = own.post("/touch", params={"ttl_seconds": 7200}).json()
    left = (at(facts["expires_at"]) - at(facts["last_accessed"])).total_seconds()
    assert left == pytest.approx(7200, abs=60)


def test_a_session_is_created_with_the_time_that_is_asked_for(
    http: httpx2.Client, people: pd.DataFrame
) -> None:
    facts = Endpoint(http, new_session(http, people, ttl_seconds=120)).get().json()
    assert (at(facts["expires_at"]) - at(facts["last_accessed"])).total_seconds() == pytest.approx(
        120, abs=60
    )


@pytest.mark.parametrize("ttl", ["0", "-1", "nan", "inf", "1e300", "soon"])
def test_a_time_to_live_that_is_none_is_refused(own: Endpoint, ttl: str) -> None:
    assert own.post("/touch", params={"ttl_seconds": ttl}).status_code == 422


def test_a_deleted_session_is_gone_with_all_it_held(own: Endpoint) -> None:
    own.post("/versions", json={"summary": "x"})
    assert own("DELETE").json() == {"deleted": True}
    for path in ("", "/data", "/versions", "/missing", "/audit", "/profile"):
        assert own.get(path).status_code == 404, path


def test_deleting_what_is_not_there_is_a_404(own: Endpoint) -> None:
    own("DELETE")
    again = own("DELETE")
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


# --- list -----------------------------------------------------------------------------------------


def pages(http: httpx2.Client, limit: int) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        answer = http.get(SESSIONS, params={"limit": limit, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        cursor = found[-1]["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 1000])
def test_walking_through_the_pages_gives_each_session_once(
    alone: httpx2.Client, people: pd.DataFrame, limit: int
) -> None:
    made = sorted(new_session(alone, people) for _ in range(5))
    listed = [each["session_id"] for page in pages(alone, limit) for each in page["sessions"]]
    assert listed == made


def test_every_page_says_how_many_there_are(alone: httpx2.Client, people: pd.DataFrame) -> None:
    for _ in range(3):
        new_session(alone, people)
    assert [page["total"] for page in pages(alone, 2)] == [3, 3]


def test_a_page_of_no_sessions_counts_them(alone: httpx2.Client, people: pd.DataFrame) -> None:
    new_session(alone, people)
    assert alone.get(SESSIONS, params={"limit": 0}).json() == {
        "sessions": [],
        "total": 1,
        "next_cursor": None,
    }


def test_a_cursor_leads_on_when_its_session_is_gone(alone: httpx2.Client, people: pd.DataFrame) -> None:
    made = sorted(new_session(alone, people) for _ in range(3))
    cursor = alone.get(SESSIONS, params={"limit": 1}).json()["next_cursor"]
    alone.delete(f"{SESSIONS}/{made[0]}")
    rest = alone.get(SESSIONS, params={"cursor": cursor}).json()["sessions"]
    assert [each["session_id"] for each in rest] == made[1:]


def test_listing_keeps_nobody_alive(alone: httpx2.Client, people: pd.DataFrame) -> None:
    own = Endpoint(alone, new_session(alone, people))
    before = expiry(own)
    later = time.monotonic() + 0.4
    until(lambda: time.monotonic() > later, "the clock goes on")
    listed = settled(lambda: str(alone.get(SESSIONS).json()["sessions"][0]["expires_at"]))
    assert abs((listed - before).total_seconds()) < 0.2


def test_what_answers_says_how_many_sessions_the_caller_has(
    alone: httpx2.Client, people: pd.DataFrame
) -> None:
    new_session(alone, people)
    document = alone.get("/").json()
    assert (document["name"], document["docs"], document["active_sessions"]) == ("framekeep", "/docs", 1)


# --- checking ---------------------------------------------------------------------------------------


def test_a_sound_session_has_no_damage(own: Endpoint) -> None:
    assert own.get("/check").json() == {"damage": []}


def test_a_session_that_is_not_there_cannot_be_checked(http: httpx2.Client) -> None:
    missing = http.get(f"{SESSIONS}/nobody/check")
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")


def test_checking_keeps_nobody_alive(own: Endpoint) -> None:
    before = expiry(own)
    later = time.monotonic() + 0.4
    until(lambda: time.monotonic() > later, "the clock goes on")
    own.get("/check")
    again = expiry(own)
    assert abs((again - before).total_seconds()) < 0.2


@pytest.mark.parametrize(
    ("labels", "plain"),
    [(["a", "b"], True), (["a", "a"], True), (["a", 7], False), ([("a", 1), ("a", 2)], False)],
    ids=["texts", "one twice", "a number", "levels"],
)
def test_names_that_are_not_the_labels_themselves_are_told(
    http: httpx2.Client, labels: list[Any], plain: bool
) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame([[1, 2]], columns=labels)))
    assert own.get("").json()["plain_names"] is plain

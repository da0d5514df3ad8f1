"""Versions: list, checkpoint, read one, restore, compare; undo and redo."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import Endpoint, body_of, new_session

from framekeep.frames import FRAME_TYPE


@pytest.fixture
def steps(own: Endpoint) -> Endpoint:
    """A session with two versions: three people, then two, then one."""
    own.put(frame("10001", "94105"), summary="Drop the first")
    own.put(frame("94105"), summary="Drop the second")
    return own


def frame(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids)})


def ids(own: Endpoint, **query: Any) -> list[str]:
    return [row[0] for row in own.rows(**query)]


def history(own: Endpoint) -> list[tuple[int, str, bool]]:
    found = own.get("/versions").json()["versions"]
    return [(each["version_id"], each["action_summary"], each["undone"]) for each in found]


# --- list and read --------------------------------------------------------------------------------


def test_a_new_session_has_no_versions(own: Endpoint) -> None:
    assert own.get("/versions").json() == {"versions": [], "current_version": 0}


def test_versions_are_listed_oldest_first_with_what_came_next(steps: Endpoint) -> None:
    assert history(steps) == [(1, "Drop the first", False), (2, "Drop the second", False)]


def test_a_version_says_the_shape_of_its_state(steps: Endpoint) -> None:
    found = steps.get("/versions").json()
    assert [(each["rows"], each["columns"]) for each in found["versions"]] == [(3, 2), (2, 1)]
    assert found["current_version"] == 2
    assert all(datetime.fromisoformat(each["created_at"]).tzinfo for each in found["versions"])


def test_one_version_is_the_same_as_in_the_list(steps: Endpoint) -> None:
    assert steps.get("/versions/2").json() == steps.get("/versions").json()["versions"][1]


@pytest.mark.parametrize("path", ["/versions/9", "/versions/2147483647"])
def test_a_version_that_there_is_not_is_a_404(steps: Endpoint, path: str) -> None:
    missing = steps.get(path)
    assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")


@pytest.mark.parametrize("id", ["0", "-1", "x", "1.5", "2147483648", "9" * 5000])
def test_what_can_be_no_version_is_refused(steps: Endpoint, id: str) -> None:
    assert steps.get(f"/versions/{id}").status_code == 422
    assert steps.post(f"/versions/{id}/restore").status_code == 422


def test_reading_a_version_moves_nothing(steps: Endpoint) -> None:
    before = steps.etag()
    assert ids(steps, version=1) == ["00501", "10001", "94105"]
    assert ids(steps, version=2) == ["10001", "94105"]
    assert (ids(steps), steps.etag()) == (["94105"], before)


def test_the_list_has_the_state_of_the_data_as_its_tag(steps: Endpoint) -> None:
    assert steps.get("/versions").headers["etag"] == steps.etag()


# --- undo and redo --------------------------------------------------------------------------------


def test_undo_leads_back_step_by_step(steps: Endpoint) -> None:
    first = steps.post("/undo").json()
    assert (first["version_id"], first["action_summary"], first["rows"]) == (2, "Drop the second", 2)
    assert ids(steps) == ["10001", "94105"]
    steps.post("/undo")
    assert ids(steps) == ["00501", "10001", "94105"]


def test_redo_does_again_what_was_undone(steps: Endpoint) -> None:
    steps.post("/undo")
    again = steps.post("/redo").json()
    assert (again["version_id"], again["action_summary"], again["rows"]) == (2, "Drop the second", 1)
    assert ids(steps) == ["94105"]


def test_undone_versions_stay_listed_and_say_so(steps: Endpoint) -> None:
    steps.post("/undo")
    assert history(steps) == [(1, "Drop the first", False), (2, "Drop the second", True)]
    assert steps.get("/versions").json()["current_version"] == 1


def test_a_change_after_undo_drops_what_was_undone(steps: Endpoint) -> None:
    steps.post("/undo")
    steps.put(frame("x"), summary="Something else")
    assert [summary for _, summary, _ in history(steps)] == ["Drop the first", "Something else"]
    assert steps.post("/redo").json()["code"] == "nothing_to_redo"


@pytest.mark.parametrize("step", ["undo", "redo"])
def test_a_step_that_there_is_not_is_a_409(own: Endpoint, step: str) -> None:
    refused = own.post(f"/{step}")
    assert (refused.status_code, refused.json()["code"]) == (409, f"nothing_to_{step}")
    assert refused.json()["retryable"] is False


def test_a_step_says_which_state_it_led_to(steps: Endpoint) -> None:
    answer = steps.post("/undo")
    assert answer.headers["etag"] == answer.json()["etag"] == steps.etag()


def test_undo_and_redo_of_many_changes_lead_to_every_state(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, frame("0")))
    for number in range(1, 6):
        own.put(frame(str(number)), summary=f"Make it {number}")
    back = [ids(own)] + [own.post("/undo") and ids(own) for _ in range(5)]
    forth = [own.post("/redo") and ids(own) for _ in range(5)]
    assert back == [[str(number)] for number in (5, 4, 3, 2, 1, 0)]
    assert forth == [[str(number)] for number in (1, 2, 3, 4, 5)]


# --- restore --------------------------------------------------------------------------------------


def test_restore_leads_to_a_version_and_redo_on_from_there(steps: Endpoint) -> None:
    answer = steps.post("/versions/1/restore")
    assert (answer.json()["version_id"], answer.json()["rows"]) == (1, 3)
    assert ids(steps) == ["00501", "10001", "94105"]
    steps.post("/redo")
    assert ids(steps) == ["10001", "94105"]


def test_a_version_that_there_is_not_cannot_be_restored(steps: Endpoint) -> None:
    missing = steps.post("/versions/9/restore")
    assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")


# --- checkpoint -----------------------------------------------------------------------------------


def test_a_checkpoint_keeps_the_current_state(own: Endpoint) -> None:
    answer = own.post("/versions", json={"summary": "Before the visit"})
    assert (answer.status_code, answer.json()["version_id"], answer.json()["shape"]) == (201, 1, [3, 2])
    assert answer.headers["etag"] == answer.json()["etag"] == own.etag()
    assert history(own) == [(1, "Before the visit", False)]


def test_a_checkpoint_can_be_returned_to(own: Endpoint) -> None:
    own.post("/versions", json={"summary": "Before"})
    own.put(frame("x"))
    own.post("/undo")
    assert ids(own) == ["00501", "10001", "94105"]


def test_a_frame_can_be_kept_as_a_version_beside_the_current_one(own: Endpoint) -> None:
    answer = own.post(
        "/versions",
        params={"summary": "As it was"},
        content=body_of(frame("older")),
        headers={"content-type": FRAME_TYPE},
    )
    assert (answer.status_code, answer.json()["version_id"], answer.json()["shape"]) == (201, 1, [3, 2])
    assert ids(own, version=1) == ["older"]
    assert ids(own) == ["00501", "10001", "94105"]


def test_a_frame_without_a_summary_is_no_version(own: Endpoint) -> None:
    refused = own.post("/versions", content=body_of(frame("x")), headers={"content-type": FRAME_TYPE})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "summary" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b'{"summary": ""}', 422), (b"{}", 422), (b'{"summary": 1}', 422),
        (b'{"summary": "x", "and": 1}', 422), (b'{"summary": "' + b"x" * 1001 + b'"}', 422),
        (b'{"summary": "\\ud800"}', 400), (b"[" * 100_000, 400), (b"\xff", 400),
    ],
    ids=lambda given: repr(given)[:24],
)  # fmt: skip
def test_a_checkpoint_that_says_nothing_is_refused(own: Endpoint, body: bytes, status: int) -> None:
    refused = own.post("/versions", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == status, refused.text
    assert own.get("/versions").json()["versions"] == []


def test_versions_beyond_the_number_kept_are_dropped_oldest_first(own: Endpoint) -> None:
    for number in range(4):
        own.put(frame(str(number)), summary=f"Make it {number}", max_versions=2)
    assert [version for version, _, _ in history(own)] == [3, 4]


# --- compare --------------------------------------------------------------------------------------


def test_a_comparison_says_which_cells_differ(own: Endpoint) -> None:
    own.put(pd.DataFrame({"id": ["00501", "10001", "94105"], "age": [34.0, None, 21.0]}), summary="Fix")
    found = own.get("/diff", params={"from": "1"}).json()
    assert (found["cells_changed"], found["rows_before"], found["rows_after"]) == (1, 3, 3)
    (column,) = found["columns_changed"]
    assert (column["column"], column["cells"]) == ("age", 1)
    assert column["samples"] == [{"row": 2, "column": "age", "before": 210.0, "after": 21.0}]


def test_a_comparison_says_which_columns_came_and_went(own: Endpoint) -> None:
    own.put(pd.DataFrame({"id": ["00501", "10001", "94105"], "size": [1, 2, 3]}), summary="Other")
    found = own.get("/diff", params={"from": "1", "to": "current"}).json()
    assert (found["columns_added"], found["columns_removed"]) == (["size"], ["age"])


def test_equal_states_do_not_differ(own: Endpoint) -> None:
    own.post("/versions", json={"summary": "x"})
    found = own.get("/diff", params={"from": "1"}).json()
    assert (found["cells_changed"], found["columns_changed"], found["rows_added"]) == (0, [], 0)


def test_samples_are_as_many_as_asked_for(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": range(50)})))
    own.put(pd.DataFrame({"n": range(100, 150)}), summary="Add")
    (column,) = own.get("/diff", params={"from": "1", "samples": 3}).json()["columns_changed"]
    assert (column["cells"], len(column["samples"])) == (50, 3)


def test_samples_of_odd_cells_are_json(http: httpx2.Client) -> None:
    before = pd.DataFrame({"odd": pd.Series([b"\xff", 2**70, float("inf"), "\ud800", None], dtype=object)})
    own = Endpoint(http, new_session(http, before))
    own.put(pd.DataFrame({"odd": pd.Series([1, 2, 3, 4, 5], dtype=object)}), summary="Numbers")
    answer = own.get("/diff", params={"from": "1"})
    assert answer.status_code == 200, answer.text
    assert [each["after"] for each in answer.json()["columns_changed"][0]["samples"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("query", [{}, {"from": "x"}, {"from": "1", "samples": 101}, {"from": "1", "to": ""}])
def test_a_comparison_with_what_is_no_version_is_refused(own: Endpoint, query: dict[str, Any]) -> None:
    assert own.get("/diff", params=query).status_code == 422


def test_a_comparison_with_a_version_that_there_is_not_is_a_404(own: Endpoint) -> None:
    missing = own.get("/diff", params={"from": "3"})
    assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")

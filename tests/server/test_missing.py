"""Intentional missing: get, set one column or several, with reasons; marks travel with versions."""

from __future__ import annotations

from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import Endpoint, new_session

NOTHING: tuple[Any, Any] = ({}, {})


def marks(answer: httpx2.Response) -> tuple[Any, Any]:
    assert answer.status_code == 200, answer.text
    return answer.json()["columns"], answer.json()["reasons"]


def put(own: Endpoint, columns: dict[str, Any]) -> httpx2.Response:
    return own("PUT", "/missing", json={"columns": columns})


def put_column(own: Endpoint, name: str, **body: Any) -> httpx2.Response:
    return own("PUT", "/missing/column", params={"name": name}, json=body)


def test_a_new_session_has_no_marks(own: Endpoint) -> None:
    assert marks(own.get("/missing")) == NOTHING


def test_rows_can_be_marked(own: Endpoint) -> None:
    answer = put(own, {"age": [2, 1]})
    assert marks(answer) == marks(own.get("/missing")) == ({"age": [1, 2]}, {})


def test_several_columns_are_marked_in_one_step_with_reasons(own: Endpoint) -> None:
    marked = put(own, {"age": [{"rows": [1], "reason": "not asked"}, {"rows": [0, 2]}], "id": [0]})
    assert marks(marked) == ({"age": [0, 1, 2], "id": [0]}, {"age": {"not asked": [1]}})


def test_one_column_can_be_marked(own: Endpoint) -> None:
    marked = put_column(own, "age", rows=[1], reason="not asked")
    assert marks(marked) == ({"age": [1]}, {"age": {"not asked": [1]}})


def test_exactly_the_rows_that_are_given_are_marked(own: Endpoint) -> None:
    put(own, {"age": [0, 1], "id": [2]})
    assert put(own, {"age": [2]}).json()["columns"] == {"age": [2], "id": [2]}


def test_a_whole_number_may_be_written_as_json_likes(own: Endpoint) -> None:
    body = b'{"columns": {"age": [1.0, 2e0]}}'
    answer = own("PUT", "/missing", content=body, headers={"content-type": "application/json"})
    assert marks(answer) == ({"age": [1, 2]}, {})


def test_an_empty_list_clears_a_column(own: Endpoint) -> None:
    put(own, {"age": [0, 1]})
    assert marks(put(own, {"age": []})) == NOTHING


def test_marks_are_a_state_of_the_data(own: Endpoint) -> None:
    before = own.etag()
    answer = put(own, {"age": [1]})
    assert answer.headers["etag"] == own.get("/missing").headers["etag"] == own.etag() != before


def test_marks_travel_with_versions(own: Endpoint) -> None:
    put_column(own, "age", rows=[1], reason="not asked")
    own.post("/versions", json={"summary": "Forget it"})
    put(own, {"age": []})
    own.post("/undo")
    assert own.get("/missing").json()["reasons"] == {"age": {"not asked": [1]}}


def test_labels_that_are_not_text_are_named_by_their_text_form(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({1: [None, 2], "a": [3, 4]})))
    assert put(own, {"1": [0]}).json()["columns"] == {"1": [0]}


def test_an_empty_reason_takes_reasons_away(own: Endpoint) -> None:
    put(own, {"age": [{"rows": [0], "reason": "not asked"}]})
    assert put(own, {"age": [{"rows": [0], "reason": ""}]}).json()["reasons"] == {}


def test_marks_say_whether_their_names_are_the_labels(own: Endpoint, http: httpx2.Client) -> None:
    assert put(own, {"age": [0]}).json()["plain_names"] is True
    numbered = Endpoint(http, new_session(http, pd.DataFrame({7: [None, 1.0]})))
    assert put(numbered, {"7": [0]}).json()["plain_names"] is False


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"height": [0]}, "unknown_column"),
        ({"age": [3]}, "invalid_marks"),
        ({"age": [2**40]}, "invalid_marks"),
        ({"age": [-1]}, "invalid_request"),
        ({"age": ["1"]}, "invalid_request"),
        ({"age": [1.5]}, "invalid_request"),
        ({"age": [True]}, "invalid_request"),
        ({"age": [10**400]}, "invalid_request"),
        ({"age": "1"}, "invalid_request"),
        ({"age": None}, "invalid_request"),
        ({"age": [{"rows": [0], "reason": "x" * 1001}]}, "invalid_request"),
        ({"age": [{"reason": "x"}]}, "invalid_request"),
        ({"age": [{"rows": [0], "why": "x"}]}, "invalid_request"),
        ({"age": [0, {"rows": [1]}]}, "invalid_request"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_wrong_marks_are_refused_and_nothing_is_marked(
    own: Endpoint, columns: dict[str, Any], code: str
) -> None:
    refused = put(own, {"id": [0], **columns})
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert marks(own.get("/missing")) == NOTHING


@pytest.mark.parametrize("name", ["\\ud800", "a\\u0000b", "x" * 100_000])
def test_odd_names_of_columns_are_refused(own: Endpoint, name: str) -> None:
    body = f'{{"columns": {{"{name}": [0]}}}}'
    refused = own("PUT", "/missing", content=body, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422), refused.text
    assert len(refused.text) < 2000


def test_a_reason_that_is_no_text_is_refused(own: Endpoint) -> None:
    body = b'{"rows": [0], "reason": "\\udc80"}'
    answer = own(
        "PUT",
        "/missing/column",
        params={"name": "age"},
        content=body,
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_marks_of_a_session_that_is_not_there(http: httpx2.Client) -> None:
    assert put(Endpoint(http, "nobody"), {"age": [0]}).status_code == 404
    assert Endpoint(http, "nobody").get("/missing").status_code == 404


def test_many_columns_are_marked_in_seconds(http: httpx2.Client) -> None:
    names = [f"c{number}" for number in range(10_000)]
    own = Endpoint(http, new_session(http, pd.DataFrame([[None] * len(names)], columns=names)))
    answer = own("PUT", "/missing", json={"columns": {name: [0] for name in names}}, timeout=30)
    assert len(answer.json()["columns"]) == len(names)

"""Edits: several operations, one version; dry, what they would do. (What each does is tested elsewhere.)"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import Endpoint, new_session

DROP = {"op": "drop_missing", "columns": ["age"]}
DERIVE = {"op": "derive_column", "name": "old", "expression": "age > 99"}

EACH: dict[str, dict[str, Any]] = {
    "set_cells": {"cells": [{"row": 1, "column": "age", "value": 41}]},
    "fill_missing": {"columns": ["age"], "method": "mean"},
    "drop_missing": {"columns": ["age"]},
    "drop_duplicates": {"columns": ["age"], "keep": "none"},
    "drop_columns": {"columns": ["age"]},
    "rename_columns": {"names": {"age": "years"}},
    "reorder_columns": {"columns": ["age"]},
    "cast": {"columns": ["age"], "to": "text"},
    "replace_values": {"columns": ["age"], "replacements": [{"from": 210, "to": None}]},
    "trim_text": {"columns": ["id"]},
    "change_case": {"columns": ["id"], "to": "upper"},
    "filter_rows": {"where": "age > 99"},
    "sort_rows": {"by": [{"column": "age", "descending": True}]},
    "derive_column": {"name": "old", "expression": "age > 99"},
}


def edit(own: Endpoint, *operations: Any, summary: str | None = None, **query: Any) -> httpx2.Response:
    body: dict[str, Any] = {"operations": list(operations)}
    if summary is not None:
        body["summary"] = summary
    return own.post("/edits", json=body, params=query)


@pytest.mark.parametrize("op", EACH)
def test_every_operation_of_the_vocabulary_is_taken(own: Endpoint, op: str) -> None:
    answer = edit(own, {"op": op, **EACH[op]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["dry_run"] is False
    assert answer.headers["etag"] == answer.json()["etag"] == own.etag()


@pytest.mark.parametrize("op", EACH)
def test_a_dry_run_says_the_same_and_stores_nothing(own: Endpoint, op: str) -> None:
    before = (own.etag(), own.get("/audit").json(), own.get("/versions").json())
    dry = edit(own, {"op": op, **EACH[op]}, dry_run="true").json()
    assert (own.etag(), own.get("/audit").json(), own.get("/versions").json()) == before
    done = edit(own, {"op": op, **EACH[op]}).json()
    assert dry["dry_run"] is True
    assert (dry["impact"], dry["shape"], dry["summary"]) == (done["impact"], done["shape"], done["summary"])


def test_several_operations_are_one_version(own: Endpoint) -> None:
    answer = edit(own, DROP, DERIVE, summary="The old ones")
    assert (answer.json()["version_id"], answer.json()["shape"]) == (1, [2, 3])
    assert own.rows() == [["00501", 34.0, False], ["94105", 210.0, True]]
    assert [each["action_summary"] for each in own.get("/versions").json()["versions"]] == ["The old ones"]


def test_an_edit_can_be_undone_and_done_again(own: Endpoint) -> None:
    edit(own, DROP)
    after = own.rows()
    own.post("/undo")
    assert len(own.rows()) == 3
    own.post("/redo")
    assert own.rows() == after


def test_without_a_summary_the_version_says_what_was_done(own: Endpoint) -> None:
    said = edit(own, DROP, DERIVE).json()["summary"]
    assert own.get("/versions").json()["versions"][0]["action_summary"] == said
    assert said


def test_the_impact_says_how_many_rows_and_cells(own: Endpoint) -> None:
    impact = edit(
        own, {"op": "fill_missing", "columns": ["age"], "method": "value", "value": 7}, DROP
    ).json()["impact"]
    assert (impact["rows_before"], impact["rows_after"], impact["cells_changed"]) == (3, 3, 1)
    assert impact["samples"] == [{"row": 1, "column": "age", "before": None, "after": 7.0}]


def test_an_edit_that_changes_nothing_makes_no_version(own: Endpoint) -> None:
    before = own.etag()
    answer = edit(own, {"op": "trim_text", "columns": ["id"]})
    assert (answer.status_code, answer.json()["version_id"]) == (200, None)
    assert (own.etag(), own.get("/versions").json()["versions"]) == (before, [])


def test_marks_follow_their_rows(own: Endpoint) -> None:
    own("PUT", "/missing", json={"columns": {"age": [1]}})
    edit(
        own,
        {"op": "sort_rows", "by": [{"column": "id", "descending": True}]},
        {"op": "filter_rows", "rows": [1]},
    )
    assert own.get("/missing").json()["columns"] == {"age": [0]}


def test_one_operation_that_fails_and_none_is_carried_out(own: Endpoint) -> None:
    before = (own.etag(), own.rows())
    refused = edit(own, DROP, {"op": "drop_columns", "columns": ["height"]})
    assert (refused.status_code, refused.json()["operation"]) == (422, 1)
    assert "height" in refused.json()["detail"]
    assert (own.etag(), own.rows()) == before


def test_an_expression_that_is_wrong_says_where(own: Endpoint) -> None:
    refused = edit(own, {"op": "filter_rows", "where": "age > > 3"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_expression")
    assert (refused.json()["operation"], refused.json()["position"]) == (0, 6)


def test_a_cast_that_would_lose_values_is_refused_without_telling_them(own: Endpoint) -> None:
    edit(own, {"op": "derive_column", "name": "x", "expression": "concat('secret-', id)"})
    refused = edit(own, {"op": "cast", "columns": ["x"], "to": "number"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_edit")
    assert "secret-" not in refused.text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{}", b'{"operations": []}', b'{"operations": {}}', b'{"operations": null}',
        b'{"operations": [1]}', b'{"operations": [{}]}', b'{"operations": [{"op": "eval"}]}',
        b'{"operations": [{"op": "drop_missing", "x": 1}]}', b'{"operations": [{"op": "drop_columns"}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": -1, "column": "age", "value": 1}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": true, "column": "age", "value": 1}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": 9, "column": "age", "value": 1}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": 1e999, "column": "age", "value": 1}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": 0, "column": "age", "value": NaN}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": 0, "column": "age", "value": [1]}]}]}',
        b'{"operations": [{"op": "set_cells", "cells": [{"row": 0, "column": "age", "value": "x"}]}]}',
        b'{"operations": [{"op": "rename_columns", "names": {"age": "id"}}]}',
        b'{"operations": [{"op": "rename_columns", "names": {"\\ud800": "x"}}]}',
        b'{"operations": [{"op": "rename_columns", "names": {"age": "\\ud800"}}]}',
        b'{"operations": [{"op": "cast", "columns": ["age"], "to": "object"}]}',
        b'{"operations": [{"op": "filter_rows", "where": ""}]}',
        b'{"operations": [{"op": "filter_rows", "where": "__import__(\'os\')"}]}',
        b'{"operations": [{"op": "filter_rows", "where": "' + b"(" * 5000 + b'"}]}',
        b'{"operations": [{"op": "filter_rows", "where": "' + b"not " * 2400 + b'true"}]}',
        b'{"operations": [{"op": "derive_column", "name": "x", "expression": "' + b"x" * 10_001 + b'"}]}',
        b'{"operations": [{"op": "derive_column", "name": "", "expression": "1"}]}',
        b'{"operations": [' + b'{"op": "drop_missing"},' * 100 + b'{"op": "drop_missing"}]}',
        b'{"summary": "", "operations": [{"op": "drop_missing"}]}',
        b'{"summary": "\\ud800", "operations": [{"op": "drop_missing"}]}',
        b'{"operations": [{"op": "sort_rows", "by": []}]}',
        b'{"operations": ' + b"[" * 100_000,
    ],
    ids=lambda body: f"{body[:60].decode()}-{len(body)}",
)  # fmt: skip
def test_what_is_no_edit_is_refused_and_nothing_changes(own: Endpoint, body: bytes) -> None:
    before = own.etag()
    refused = own.post("/edits", content=body, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422), refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert len(refused.text) < 10_000
    assert own.etag() == before


def test_a_body_that_is_no_json_says_where(own: Endpoint) -> None:
    body = b'{"operations":\n[{"op": "drop_missing",}]}'
    refused = own.post("/edits", content=body, headers={"content-type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed_json")
    assert "line 2, column" in refused.json()["detail"]


def test_what_an_edit_changed_is_json_whatever_the_cells_are(http: httpx2.Client) -> None:
    odd = pd.Series([b"\xff", 2**70, "\ud800", float("inf"), (1, {"a": float("nan")})], dtype=object)
    own = Endpoint(http, new_session(http, pd.DataFrame({"odd": odd, "n": range(5)})))
    cells = [{"row": row, "column": "odd", "value": "x"} for row in range(5)]
    answer = edit(own, {"op": "set_cells", "cells": cells}, dry_run="true")
    assert answer.status_code == 200, answer.text
    json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


def test_an_edit_on_the_state_that_was_read(own: Endpoint) -> None:
    read = own.etag()
    body = {"operations": [DROP]}
    assert own.post("/edits", json=body, headers={"if-match": read}).status_code == 200
    refused = own.post("/edits", json=body, headers={"if-match": read})
    assert (refused.status_code, refused.json()["current_etag"]) == (412, own.etag())


def test_a_dry_run_on_another_state_is_a_412(own: Endpoint) -> None:
    read = own.etag()
    edit(own, DROP)
    headers = {"if-match": read}
    refused = own.post("/edits", json={"operations": [DROP]}, params={"dry_run": "true"}, headers=headers)
    assert refused.status_code == 412


def test_an_edit_that_is_sent_twice_is_made_once(own: Endpoint) -> None:
    body = {"operations": [{"op": "filter_rows", "rows": [0], "action": "drop"}]}
    answers = [own.post("/edits", json=body, headers={"idempotency-key": own.id}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(own.rows()) == 2


def test_edits_at_once_lose_nothing(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": range(10)})))

    def drop_first(_: int) -> None:
        for _ in range(500):
            if edit(own, {"op": "filter_rows", "rows": [0], "action": "drop"}).status_code == 200:
                return
        raise AssertionError("not once in 500 times")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(drop_first, range(6)))
    assert own.rows() == [[6], [7], [8], [9]]


def test_an_edit_of_a_session_that_is_not_there(http: httpx2.Client) -> None:
    missing = edit(Endpoint(http, "nobody"), DROP)
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")

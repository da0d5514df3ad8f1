"""The audit log: read it as JSON or CSV, add to it."""

from __future__ import annotations

import csv
import io
import re

import httpx2
import pandas as pd
import pytest
from serving import Endpoint, new_session

STAMP = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\] ")


def entries(own: Endpoint) -> list[str]:
    return [STAMP.sub("", line, count=1) for line in own.get("/audit").json()["entries"]]


def rows_of(answer: httpx2.Response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def test_the_log_begins_with_the_creation(own: Endpoint) -> None:
    document = own.get("/audit").json()
    assert document["initial_rows"] == 3
    assert len(document["entries"]) == 1
    assert STAMP.match(document["entries"][0])
    assert "'people.csv'" in document["entries"][0]


def test_changes_are_logged_in_their_order(own: Endpoint) -> None:
    own.put(pd.DataFrame({"a": [1]}), summary="Only a")
    own.post("/undo")
    assert ["Only a" in entry for entry in entries(own)] == [False, True, True]


def test_reading_logs_nothing(own: Endpoint) -> None:
    own.rows()
    own.get("/versions")
    own.get("/missing")
    assert len(entries(own)) == 1


def test_an_entry_can_be_added(own: Endpoint) -> None:
    answer = own.post("/audit", json={"entry": "Checked against the paper forms"})
    assert (answer.status_code, answer.json()["entries"]) == (201, own.get("/audit").json()["entries"])
    assert entries(own)[-1] == "Checked against the paper forms"


@pytest.mark.parametrize("entry", ["", "x" * 10_001, 1, None, ["x"]])
def test_an_entry_that_is_none_is_refused(own: Endpoint, entry: object) -> None:
    assert own.post("/audit", json={"entry": entry}).status_code == 422
    assert len(entries(own)) == 1


def test_an_entry_that_is_no_unicode_is_refused(own: Endpoint) -> None:
    body = b'{"entry": "\\ud800"}'
    refused = own.post("/audit", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422, refused.text


def test_an_entry_may_have_lines_and_any_characters(own: Endpoint) -> None:
    text = 'first\nsecond\t\x00\x1b[31m "quoted", 表 \U0001f40d ]'
    own.post("/audit", json={"entry": text})
    assert entries(own)[-1] == text


def test_adding_an_entry_does_not_change_the_state_of_the_data(own: Endpoint) -> None:
    before = own.etag()
    own.post("/audit", json={"entry": "x"})
    assert own.etag() == before


@pytest.mark.parametrize(("path", "accept"), [("/audit", "text/csv"), ("/audit.csv", "*/*")])
def test_the_log_can_be_had_as_csv(own: Endpoint, path: str, accept: str) -> None:
    own.post("/audit", json={"entry": 'one, "two"\nthree'})
    answer = own.get(path, headers={"accept": accept})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    header, first, second = rows_of(answer)
    assert (header, second[1]) == (["time", "entry"], 'one, "two"\nthree')
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first[0])


def test_csv_neutralizes_formulas_unless_told_not_to(own: Endpoint) -> None:
    own.post("/audit", json={"entry": "=1+1"})
    assert rows_of(own.get("/audit.csv"))[-1][1] == "'=1+1"
    as_it_is = own.get("/audit.csv", params={"neutralize_formulas": "false"})
    assert rows_of(as_it_is)[-1][1] == "=1+1"


def test_the_csv_has_a_file_name(own: Endpoint) -> None:
    assert own.get("/audit.csv").headers["content-disposition"].startswith("attachment; filename=")


def test_the_log_of_a_session_that_is_not_there(http: httpx2.Client) -> None:
    nobody = Endpoint(http, "nobody")
    assert [nobody.get(path).status_code for path in ("/audit", "/audit.csv")] == [404, 404]
    assert nobody.post("/audit", json={"entry": "x"}).status_code == 404


def test_a_session_has_a_log_of_its_own(http: httpx2.Client, own: Endpoint, people: pd.DataFrame) -> None:
    other = Endpoint(http, new_session(http, people))
    own.post("/audit", json={"entry": "mine"})
    assert "mine" not in entries(other)

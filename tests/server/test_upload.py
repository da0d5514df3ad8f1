"""Uploads: one table becomes a session, a workbook of several sheets waits."""

from __future__ import annotations

import gzip
import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx2
import openpyxl
import pandas as pd
import pytest
from serving import SESSIONS, Endpoint, Served

from framekeep.frames import FRAMES_TYPE, pack_frames
from framekeep.names import new_id

UPLOAD = "/api/v1/upload"
CSV = b"zip,age\n00501,34\n10001,\n94105,210\n"


def upload(http: httpx2.Client, body: bytes, filename: str = "people.csv", **query: Any) -> httpx2.Response:
    return http.post(UPLOAD, content=body, params={"filename": filename, **query})


def session_of(http: httpx2.Client, answer: httpx2.Response) -> Endpoint:
    assert answer.status_code == 201, answer.text
    return Endpoint(http, answer.json()["session_id"])


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


BOOK = workbook(
    Visits=[["id", "age"], ["a", 34], ["b", 210], ["c", None]],
    More=[["id", "age"], ["d", 5]],
    Notes=[["text"], ["hello"]],
)


# --- one table ------------------------------------------------------------------------------------


def test_a_file_becomes_a_session(http: httpx2.Client) -> None:
    answer = upload(http, CSV)
    document = answer.json()
    assert answer.headers["location"] == f"{SESSIONS}/{document['session_id']}"
    assert (document["kind"], document["filename"], document["format"], document["rows"]) == (
        "session",
        "people.csv",
        "csv",
        3,
    )
    assert session_of(http, answer).get().json()["filename"] == "people.csv"


def test_what_the_columns_became_is_said_with_reasons(http: httpx2.Client) -> None:
    zip_code, age = upload(http, CSV).json()["columns"]
    assert (zip_code["name"], zip_code["type"], zip_code["missing"]) == ("zip", "text", 0)
    assert (age["name"], age["type"], age["missing"]) == ("age", "integer", 1)
    assert zip_code["reason"]
    assert age["reason"]


def test_nothing_is_lost_by_finding_types(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, CSV))
    assert own.rows() == [["00501", 34], ["10001", None], ["94105", 210]]


def test_the_text_of_the_columns_is_the_version_before(http: httpx2.Client) -> None:
    answer = upload(http, CSV)
    own = session_of(http, answer)
    assert own.rows(version=answer.json()["text_version"]) == [
        ["00501", "34"],
        ["10001", None],
        ["94105", "210"],
    ]
    own.post("/undo")
    assert own.rows()[0] == ["00501", "34"]


def test_types_can_be_asked_for(http: httpx2.Client) -> None:
    answer = upload(http, CSV, types=json.dumps({"age": "text"}))
    assert [column["type"] for column in answer.json()["columns"]] == ["text", "text"]
    assert [column["overridden"] for column in answer.json()["columns"]] == [False, True]


def test_types_can_be_left_alone(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, CSV, typing="false"))
    assert own.rows()[0] == ["00501", "34"]
    assert own.post("/undo").json()["code"] == "nothing_to_undo"


def test_a_form_and_a_raw_body_are_the_same(http: httpx2.Client) -> None:
    raw = session_of(http, upload(http, CSV))
    form = session_of(http, http.post(UPLOAD, files={"file": ("people.csv", CSV, "text/csv")}))
    assert raw.rows() == form.rows()
    assert form.get().json()["filename"] == "people.csv"


def test_how_a_text_is_written_can_be_said(http: httpx2.Client) -> None:
    body = "Größe;Ort\n1;Köln\n-;Nürnberg\n".encode("latin-1")
    answer = upload(http, body, encoding="latin-1", delimiter=";", missing=["-"])
    assert (answer.json()["encoding"], answer.json()["delimiter"]) == ("iso8859-1", ";")
    assert session_of(http, answer).rows() == [[1, "Köln"], [None, "Nürnberg"]]


def test_how_a_text_is_written_is_found_out(http: httpx2.Client) -> None:
    body = ("Größe;Ort\n" + "1;Köln\n2;Nürnberg\n" * 50).encode("cp1252")
    answer = upload(http, body)
    assert answer.json()["delimiter"] == ";"
    assert session_of(http, answer).rows()[0] == [1, "Köln"]


def test_rows_above_the_header_can_be_passed_over(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, b"made by,a program\n" + CSV, skip_rows=1))
    assert own.rows()[0] == ["00501", 34]


def test_a_file_without_a_header(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, b"a,1\nb,2\n", header=-1))
    assert own.rows() == [["a", 1], ["b", 2]]


def test_a_packed_file(http: httpx2.Client) -> None:
    answer = upload(http, gzip.compress(CSV, mtime=0), "people.csv.gz")
    assert answer.json()["compression"] == "gzip"
    assert session_of(http, answer).rows()[0] == ["00501", 34]


@pytest.mark.parametrize("form", ["parquet", "feather", "json", "xlsx"])
def test_other_formats(http: httpx2.Client, form: str) -> None:
    frame = pd.DataFrame({"zip": ["00501", "10001"], "n": [1, 2]})
    file = io.BytesIO()
    match form:
        case "parquet":
            frame.to_parquet(file)
        case "feather":
            frame.to_feather(file)
        case "json":
            file.write(frame.to_json(orient="records").encode())
        case "xlsx":
            frame.to_excel(file, index=False)
    own = session_of(http, upload(http, file.getvalue(), f"table.{form}"))
    assert own.rows() == [["00501", 1], ["10001", 2]]


def test_a_session_lives_as_long_as_asked_for(http: httpx2.Client) -> None:
    facts = session_of(http, upload(http, CSV, ttl_seconds=120)).get().json()
    left = datetime.fromisoformat(facts["expires_at"]) - datetime.fromisoformat(facts["last_accessed"])
    assert left.total_seconds() == pytest.approx(120, abs=60)


# --- what is no table -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "filename", "status", "code"),
    [
        (b"", "a.csv", 422, "empty_file"),
        (b"%PDF-1.7\n" + b"x" * 100, "a.pdf", 415, "unknown_format"),
        (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00.", "a.pkl", 415, "unknown_format"),
        (b"PK\x03\x04" + b"\x00" * 200, "a.xlsx", 422, "damaged_file"),
        (BOOK[: len(BOOK) // 2], "a.xlsx", 422, "damaged_file"),
        (b"PAR1" + b"\x00" * 50 + b"PAR1", "a.parquet", 422, "damaged_file"),
        (gzip.compress(CSV * 100, mtime=0)[:-20], "a.csv.gz", 422, "damaged_file"),
        (b'{"a": [1, 2', "a.json", 422, "damaged_file"),
        (b'a,b\n1,2\n1,2,3,4,"x\n', "a.csv", 422, "damaged_file"),
    ],
    # Names of their own: the workers of a test run must agree on them, and archives hold the time.
    ids=[
        "nothing",
        "pdf",
        "pickle",
        "zeros",
        "half a workbook",
        "half a parquet",
        "half a gzip",
        "json",
        "quote",
    ],
)
def test_what_is_no_table_is_refused_for_what_it_is_and_nothing_is_stored(
    alone: httpx2.Client, guarded: Served, body: bytes, filename: str, status: int, code: str
) -> None:
    refused = upload(alone, body, filename)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert alone.get(SESSIONS).json()["total"] == 0
    assert guarded.scratch() == []


def test_a_place_in_the_file_is_named(http: httpx2.Client) -> None:
    refused = upload(http, b"a,b\n1,2\n3,4,5,6\n7,8\n")
    assert refused.status_code == 422
    assert "3" in refused.json()["where"]


def test_cells_are_not_told(http: httpx2.Client) -> None:
    for body in (b"a,b\nsecret,2\nsecret,secret,secret,secret\n", b'{"a": secret}', b"secret\x00secret"):
        answer = upload(http, body, "a.json" if body.startswith(b"{") else "a.csv")
        assert answer.status_code >= 400
        assert "secret" not in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {"types": "[]"}, {"types": "{"}, {"types": '{"a": 1}'}, {"types": "[" * 10_000},
        {"types": '{"age": "money"}'},
        {"delimiter": ""}, {"delimiter": "ab"}, {"encoding": "x" * 41}, {"encoding": "klingon"},
        {"header": "-2"},
        {"header": "x"}, {"skip_rows": "-1"}, {"skip_rows": "9" * 30}, {"typing": "perhaps"}, {"merge": "2"},
        {"format": "pickle"}, {"format": "x" * 21}, {"filename": "x" * 256}, {"ttl_seconds": "-1"},
        {"progress_id": "../x"}, {"progress_id": "x" * 65}, {"sheet": "No such sheet", "format": "xlsx"},
    ],
    ids=lambda query: str(query)[:40],
)  # fmt: skip
def test_wrong_options_are_refused(http: httpx2.Client, query: dict[str, Any]) -> None:
    refused = upload(http, CSV, **query)
    assert 400 <= refused.status_code < 500, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert len(refused.text) < 3000


def test_uploads_at_once_are_all_taken(http: httpx2.Client) -> None:
    def one(number: int) -> list[Any]:
        return session_of(http, upload(http, b"n,word\n%d,x\n" % number)).rows()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(16))) == [[[number, "x"]] for number in range(16)]


# --- workbooks ------------------------------------------------------------------------------------


@pytest.fixture
def waiting(http: httpx2.Client) -> str:
    """The id of a workbook that waits for a choice."""
    return str(upload(http, BOOK, "trial.xlsx").json()["temp_id"])


def select(http: httpx2.Client, temp_id: str, *sheets: str, **more: Any) -> httpx2.Response:
    return http.post(f"{UPLOAD}/{temp_id}/select-sheets", json={"sheets": list(sheets), **more})


def test_a_workbook_of_several_sheets_waits_with_previews(http: httpx2.Client) -> None:
    answer = upload(http, BOOK, "trial.xlsx")
    document = answer.json()
    assert (answer.status_code, document["kind"], document["suggested"]) == (201, "workbook", "Visits")
    assert answer.headers["location"] == f"{UPLOAD}/{document['temp_id']}"
    visits = document["sheets"][0]
    assert (visits["name"], visits["rows"], visits["columns"], visits["header"]) == (
        "Visits",
        3,
        2,
        ["id", "age"],
    )
    assert visits["first"] == [["a", "34"], ["b", "210"], ["c", None]]
    assert [sheet["suggested"] for sheet in document["sheets"]] == [True, False, False]


def test_previews_have_five_rows(http: httpx2.Client) -> None:
    book = workbook(One=[["n"], *([n] for n in range(20))], Two=[["m"], [1]])
    assert len(upload(http, book, "a.xlsx").json()["sheets"][0]["first"]) == 5


def test_a_waiting_workbook_can_be_looked_at_again(http: httpx2.Client, waiting: str) -> None:
    found = http.get(f"{UPLOAD}/{waiting}").json()
    assert ([sheet["name"] for sheet in found["sheets"]], found["filename"]) == (
        ["Visits", "More", "Notes"],
        "trial.xlsx",
    )


def test_a_sheet_becomes_a_session(http: httpx2.Client, waiting: str) -> None:
    answer = select(http, waiting, "Visits")
    assert answer.status_code == 201, answer.text
    (made,) = answer.json()["sessions"]
    assert (made["sheet"], made["rows"]) == ("Visits", 3)
    assert Endpoint(http, made["session_id"]).rows() == [["a", 34], ["b", 210], ["c", None]]


def test_several_sheets_become_several_sessions(http: httpx2.Client, waiting: str) -> None:
    made = select(http, waiting, "Notes", "Visits").json()["sessions"]
    assert [each["sheet"] for each in made] == ["Notes", "Visits"]


def test_compatible_sheets_can_be_merged(http: httpx2.Client, waiting: str) -> None:
    (made,) = select(http, waiting, "Visits", "More", merge=True).json()["sessions"]
    assert [row[:2] for row in Endpoint(http, made["session_id"]).rows(columns=["id", "age"])] == [
        ["a", 34],
        ["b", 210],
        ["c", None],
        ["d", 5],
    ]


def test_sheets_that_do_not_fit_together_are_not_merged_and_still_wait(
    http: httpx2.Client, waiting: str
) -> None:
    refused = select(http, waiting, "Visits", "Notes", merge=True)
    assert refused.status_code == 422, refused.text
    assert http.get(f"{UPLOAD}/{waiting}").status_code == 200


def test_a_sheet_that_there_is_not_is_refused_with_those_there_are(http: httpx2.Client, waiting: str) -> None:
    refused = select(http, waiting, "Vists")
    assert refused.status_code == 422
    assert "Visits, More, Notes" in refused.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [{}, {"sheets": []}, {"sheets": "Visits"}, {"sheets": [1]}, {"sheets": ["Visits"], "merge": "yes"}, []],
)
def test_a_choice_that_is_none_is_refused(http: httpx2.Client, waiting: str, body: Any) -> None:
    assert http.post(f"{UPLOAD}/{waiting}/select-sheets", json=body).status_code == 422


def test_a_chosen_workbook_no_longer_waits(http: httpx2.Client, waiting: str) -> None:
    select(http, waiting, "Visits")
    for answer in (http.get(f"{UPLOAD}/{waiting}"), select(http, waiting, "Visits")):
        assert (answer.status_code, answer.json()["code"]) == (404, "temp_storage_not_found")


def test_a_choice_that_is_sent_twice_is_made_once(http: httpx2.Client, waiting: str) -> None:
    path, headers = f"{UPLOAD}/{waiting}/select-sheets", {"idempotency-key": waiting}
    answers = [http.post(path, json={"sheets": ["Visits"]}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


def test_a_workbook_can_be_let_go_of(http: httpx2.Client, waiting: str) -> None:
    gone = http.delete(f"{UPLOAD}/{waiting}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert http.delete(f"{UPLOAD}/{waiting}").status_code == 404


def test_sheets_can_be_chosen_with_the_upload(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, BOOK, "trial.xlsx", sheet="Notes"))
    assert own.rows() == [["hello"]]


def test_a_workbook_of_one_sheet_becomes_a_session_at_once(http: httpx2.Client) -> None:
    own = session_of(http, upload(http, workbook(Only=[["a"], [1]]), "a.xlsx"))
    assert own.rows() == [[1]]


def test_a_waiting_workbook_is_no_temporary_storage_of_frames_to_others(
    guarded: Served, alone: httpx2.Client
) -> None:
    temp_id = upload(alone, BOOK, "trial.xlsx").json()["temp_id"]
    with guarded.client() as other:
        assert other.get(f"{UPLOAD}/{temp_id}").status_code == 404
        assert select(other, temp_id, "Visits").status_code == 404
        assert other.delete(f"{UPLOAD}/{temp_id}").status_code == 404
    assert alone.get(f"{UPLOAD}/{temp_id}").status_code == 200


def test_of_choices_at_once_one_is_made(alone: httpx2.Client) -> None:
    temp_id = upload(alone, BOOK, "trial.xlsx").json()["temp_id"]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: select(alone, temp_id, "Visits", "More"), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 404, 404, 404]
    made = [each["session_id"] for answer in answers for each in answer.json().get("sessions", ())]
    listed = alone.get(SESSIONS).json()["sessions"]
    assert sorted(each["session_id"] for each in listed) == sorted(made)


@pytest.mark.parametrize(
    "facts",
    [
        "{}",
        "[]",
        "nonsense",
        "[" * 100_000,
        '{"format":"xlsx","notes":[],"options":{},"sheets":[{"name":"a"}]}',
    ],
)
def test_frames_that_pretend_to_be_a_workbook_are_none(http: httpx2.Client, facts: str) -> None:
    temp_id = new_id()
    frames = {
        "file": pd.DataFrame({"byte": pd.Series([97], dtype="uint8")}),
        "facts": pd.DataFrame({"json": [facts]}),
    }
    kept = http.put(
        f"/api/v1/temporary/{temp_id}",
        content=b"".join(pack_frames(frames)),
        headers={"content-type": FRAMES_TYPE},
    )
    assert kept.status_code == 201, kept.text
    path = f"{UPLOAD}/{temp_id}"
    for answer in (http.get(path), select(http, temp_id, "a"), http.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (404, "temp_storage_not_found")

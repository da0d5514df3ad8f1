"""A session's data: a page or all of it, in each form; and replacing it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx2
import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from serving import Endpoint, body_of, new_session

from framekeep.frames import FRAME_TYPE, unpack
from framekeep.testing.identical import assert_identical

ARROW = "application/vnd.apache.arrow.stream"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def numbers(http: httpx2.Client) -> Endpoint:
    """A session of 250 rows and three columns."""
    frame = pd.DataFrame({"n": range(250), "half": np.arange(250) / 2, "word": [f"w{n}" for n in range(250)]})
    return Endpoint(http, new_session(http, frame))


# --- pages ----------------------------------------------------------------------------------------


def test_a_page_says_what_it_is_a_page_of(numbers: Endpoint) -> None:
    page = numbers.get("/data", params={"offset": 10, "limit": 2}).json()
    assert page == {
        "columns": [
            {"name": "n", "dtype": "int64"},
            {"name": "half", "dtype": "float64"},
            {"name": "word", "dtype": "str"},
        ],
        "rows": [[10, 5.0, "w10"], [11, 5.5, "w11"]],
        "offset": 10,
        "limit": 2,
        "total_rows": 250,
    }


def test_a_page_has_a_hundred_rows_unless_said_otherwise(numbers: Endpoint) -> None:
    assert len(numbers.rows()) == 100


def test_the_pages_together_are_the_frame(numbers: Endpoint) -> None:
    rows = [row for offset in range(0, 250, 60) for row in numbers.rows(offset=offset, limit=60)]
    assert rows == [[n, n / 2, f"w{n}"] for n in range(250)]


@pytest.mark.parametrize(("offset", "limit"), [(250, 10), (10**9, 1), (2**53 - 1, 10_000), (0, 0)])
def test_a_page_beyond_the_end_or_of_no_rows_is_empty(numbers: Endpoint, offset: int, limit: int) -> None:
    page = numbers.get("/data", params={"offset": offset, "limit": limit}).json()
    assert (page["rows"], page["total_rows"]) == ([], 250)


@pytest.mark.parametrize(
    "query",
    [
        {"offset": -1}, {"offset": "x"}, {"offset": "1.5"}, {"offset": 2**53}, {"offset": "9" * 5000},
        {"limit": -1}, {"limit": 10_001}, {"limit": "all"},
        {"version": "latest"}, {"version": "-1"}, {"version": "1" * 30}, {"orient": "columns"},
        {"whole": "perhaps"}, {"neutralize_formulas": "2"},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_parameter_is_refused_by_its_name(own: Endpoint, query: dict[str, Any]) -> None:
    refused = own.get("/data", params=query)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert next(iter(query)) in refused.json()["detail"]


def test_columns_come_in_the_order_that_is_asked_for(numbers: Endpoint) -> None:
    page = numbers.get("/data", params={"columns": ["word", "n"], "limit": 1}).json()
    assert ([column["name"] for column in page["columns"]], page["rows"]) == (["word", "n"], [["w0", 0]])


def test_a_column_that_is_not_there_is_refused_by_name(own: Endpoint) -> None:
    refused = own.get("/data", params={"columns": ["id", "height"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_column")
    assert "height" in refused.json()["detail"]


def test_labels_that_are_not_text_are_asked_for_by_their_text_form(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({1: [1], 2.5: [2], ("a", None): [3]})))
    assert own.rows(columns=["('a', None)", "2.5"]) == [[3, 2]]


def test_a_name_that_two_labels_have_is_refused(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame([[1, 2]], columns=pd.Index([1, 1.0], dtype=object))))
    assert own.get("/data", params={"columns": "1"}).status_code in (200, 422)
    assert own.get("/data").json()["rows"] == [[1, 2]]


def test_rows_may_be_objects(own: Endpoint) -> None:
    assert own.rows(orient="records", limit=1) == [{"id": "00501", "age": 34.0}]


def test_objects_need_names_that_are_unique(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame([[1, 2]], columns=["a", "a"])))
    refused = own.get("/data", params={"orient": "records"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


def test_an_index_that_is_more_than_a_count_comes_along(http: httpx2.Client) -> None:
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key"))
    page = Endpoint(http, new_session(http, frame)).get("/data").json()
    assert (page["index"], page["index_names"]) == (["x", "y"], ["key"])


def test_any_client_can_parse_the_cells(http: httpx2.Client) -> None:
    frame = pd.DataFrame(
        {
            "float": [float("nan"), float("inf")],
            "large": [2**53 + 1, -(2**63)],
            "instant": pd.to_datetime(["2026-11-28T19:04:00", None]).tz_localize("Europe/Berlin"),
            "bytes": pd.Series([b"\xff\x00", None], dtype=object),
            "mixed": pd.Series([1, "one"], dtype=object),
        }
    )
    text = Endpoint(http, new_session(http, frame)).get("/data").text
    rows = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["rows"]
    assert rows[0] == [None, "9007199254740993", "2026-11-28T19:04:00+01:00", "/wA=", 1]
    assert rows[1] == [None, "-9223372036854775808", None, None, "one"]


def test_a_frame_without_columns_and_one_without_rows_have_pages(http: httpx2.Client) -> None:
    for frame, rows in ((pd.DataFrame(index=range(3)), [[], [], []]), (pd.DataFrame({"a": []}), [])):
        page = Endpoint(http, new_session(http, frame)).get("/data").json()
        assert (page["rows"], page["total_rows"]) == (rows, len(frame))


def test_all_rows_can_be_had_in_one_document(numbers: Endpoint) -> None:
    document = numbers.get("/data", params={"whole": "true"}).json()
    assert [row[0] for row in document["rows"]] == list(range(250))
    assert document["total_rows"] == 250


# --- forms ----------------------------------------------------------------------------------------


def parsed(form: str, body: bytes) -> list[list[Any]]:
    """Return the rows of a file as any reader of that form would."""
    match form:
        case "json":
            return list(json.loads(body)["rows"])
        case "jsonl" | "ndjson":
            return [list(json.loads(line).values()) for line in body.splitlines()]
        case "csv":
            return [list(row) for row in csv.reader(io.StringIO(body.decode()))][1:]
        case "tsv":
            return [list(row) for row in csv.reader(io.StringIO(body.decode()), delimiter="\t")][1:]
        case "arrows":
            return frame_rows(pa.ipc.open_stream(body).read_pandas())
        case "arrow" | "feather":
            return frame_rows(pa.feather.read_feather(io.BytesIO(body)))
        case "parquet":
            return frame_rows(pa.parquet.read_table(pa.BufferReader(body)).to_pandas())
        case "xlsx":
            rows = openpyxl.load_workbook(io.BytesIO(body), read_only=True).active.iter_rows(values_only=True)
            return [list(row) for row in rows][1:]
        case "framekeep":
            return frame_rows(unpack(body))
    raise AssertionError(form)


def frame_rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [[None if pd.isna(cell) else cell for cell in row] for row in frame.itertuples(index=False)]


FORMS = [
    "json",
    "jsonl",
    "ndjson",
    "csv",
    "tsv",
    "arrows",
    "arrow",
    "feather",
    "parquet",
    "xlsx",
    "framekeep",
]
TYPES = {
    "application/json": "json",
    "application/x-ndjson": "jsonl",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    ARROW: "arrows",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
    EXCEL: "xlsx",
    FRAME_TYPE: "framekeep",
}


def people_of(form: str, body: bytes) -> list[list[Any]]:
    rows = parsed(form, body)
    if form in ("csv", "tsv"):  # where a number may be written in several ways
        return [[id, float(age) if age else None] for id, age in rows]
    return rows


PEOPLE = [["00501", 34.0], ["10001", None], ["94105", 210.0]]


@pytest.mark.parametrize("form", FORMS)
def test_a_suffix_gives_the_data_in_its_form(own: Endpoint, form: str) -> None:
    answer = own.get(f"/data.{form}")
    assert answer.status_code == 200, answer.text
    assert people_of(form, answer.content) == PEOPLE


@pytest.mark.parametrize("form", FORMS)
def test_a_suffix_gives_the_file_a_name(own: Endpoint, form: str) -> None:
    given = own.get(f"/data.{form}").headers.get("content-disposition", "")
    assert given.startswith('attachment; filename="people.')


@pytest.mark.parametrize("kind", TYPES)
def test_accept_gives_the_data_in_its_form(own: Endpoint, kind: str) -> None:
    answer = own.get("/data", headers={"accept": kind})
    assert answer.headers["content-type"].partition(";")[0] == kind
    assert people_of(TYPES[kind], answer.content) == PEOPLE


def test_the_form_depends_on_accept_and_the_answer_says_so(own: Endpoint) -> None:
    assert "accept" in own.get("/data").headers["vary"].lower()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv"),
        ("application/json;q=0, */*", "application/x-ndjson"),
        ("TEXT/CSV", "text/csv"),
        ("", "application/json"),
    ],
)
def test_the_best_liked_form_is_sent(own: Endpoint, accept: str, kind: str) -> None:
    answer = own.get("/data", headers={"accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize("accept", ["image/png", "text/csv;q=0", "text/html", "nonsense"])
def test_a_form_that_there_is_not_is_a_406_that_names_those_there_are(own: Endpoint, accept: str) -> None:
    refused = own.get("/data", headers={"accept": accept})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert "text/csv" in refused.json()["detail"]


def test_an_unknown_suffix_is_refused(own: Endpoint) -> None:
    assert own.get("/data.pickle").status_code in (404, 422)


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "arrows", "jsonl", "json"])
def test_a_file_may_be_of_some_rows_and_columns(numbers: Endpoint, form: str) -> None:
    answer = numbers.get(f"/data.{form}", params={"offset": 5, "limit": 2, "columns": ["word"]})
    assert parsed(form, answer.content) == [["w5"], ["w6"]]


def test_only_pages_of_json_have_a_number_of_rows_at_most(own: Endpoint) -> None:
    for path, more in (("/data.csv", {}), ("/data.framekeep", {}), ("/data", {"whole": True})):
        assert own.get(path, params={"limit": 10_001, **more}).status_code == 200
    refused = own.get("/data", params={"limit": 10_001})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_the_exact_container_may_be_of_some_rows_and_columns(http: httpx2.Client) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], 7: pd.to_datetime([4, 5, 6]), "c": ["x", None, "y"]})
    own = Endpoint(http, new_session(http, frame))
    part = own.get("/data.framekeep", params={"offset": 1, "limit": 1, "columns": ["c", "7"]})
    assert_identical(unpack(part.content), frame.iloc[1:2][["c", 7]])
    assert_identical(unpack(own.get("/data.framekeep", params={"limit": 0}).content), frame.iloc[:0])


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "framekeep", "json"])
def test_a_file_of_a_session_that_is_not_there_is_a_404(http: httpx2.Client, form: str) -> None:
    missing = http.get(f"/api/v1/sessions/nobody/data.{form}")
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")


def test_csv_can_neutralize_formulas(http: httpx2.Client) -> None:
    own = Endpoint(
        http, new_session(http, pd.DataFrame({"=a": ["=1+1", "@x", "-5+x", "plain"], "n": [-1, 2, 3, 4]}))
    )
    as_it_is = parsed("csv", own.get("/data.csv").content)
    made_safe = parsed("csv", own.get("/data.csv", params={"neutralize_formulas": "true"}).content)
    assert [row[0] for row in as_it_is] == ["=1+1", "@x", "-5+x", "plain"]
    assert made_safe == [["'=1+1", "-1"], ["'@x", "2"], ["'-5+x", "3"], ["plain", "4"]]


@pytest.mark.parametrize("form", ["csv", "parquet", "xlsx", "json?whole=true"])
def test_a_small_file_says_its_length(own: Endpoint, form: str) -> None:
    answer = own.get(f"/data.{form}")
    assert int(answer.headers["content-length"]) == len(answer.content) > 0


def test_a_large_file_is_sent_while_it_is_made(http: httpx2.Client) -> None:
    frame = pd.DataFrame({"a": np.arange(200_000)})
    answer = Endpoint(http, new_session(http, frame)).get("/data.csv")
    assert "content-length" not in answer.headers
    assert len(answer.content.splitlines()) == 200_001


def test_a_large_file_is_whole(http: httpx2.Client) -> None:
    rows = 200_000
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": range(rows), "word": ["some words"] * rows})))
    found = parsed("csv", own.get("/data.csv").content)
    assert (len(found), found[-1]) == (rows, [f"{rows - 1}", "some words"])


def test_a_large_file_that_nobody_reads_to_the_end_harms_nobody(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": np.arange(500_000)})))
    for _ in range(6):  # more than there are threads for heavy work
        with http.stream("GET", f"{own.path}/data.csv") as answer:
            next(answer.iter_raw())
    assert parsed("csv", own.get("/data.csv", params={"limit": 1}).content) == [["0"]]


# --- replacing ------------------------------------------------------------------------------------


def test_data_can_be_replaced(own: Endpoint) -> None:
    answer = own.put(pd.DataFrame({"a": [1, 2]}))
    assert (answer.status_code, answer.json()["shape"], answer.json()["version_id"]) == (200, [2, 1], None)
    assert own.rows() == [[1], [2]]


def test_replaced_data_have_another_state_and_the_answer_says_which(own: Endpoint) -> None:
    before = own.etag()
    answer = own.put(pd.DataFrame({"a": [1]}))
    assert answer.headers["etag"] == answer.json()["etag"] == own.etag() != before


def test_data_that_are_replaced_with_a_summary_can_be_had_again(own: Endpoint) -> None:
    answer = own.put(pd.DataFrame({"a": [1]}), summary="Only a")
    assert answer.json()["version_id"] == 1
    assert own.post("/undo").json()["action_summary"] == "Only a"
    assert own.rows()[0] == ["00501", 34.0]


def test_a_version_can_be_read_where_it_stands(own: Endpoint) -> None:
    own.put(pd.DataFrame({"a": [1]}), summary="Only a")
    assert own.rows(version=1)[0] == ["00501", 34.0]
    assert own.rows() == [[1]]


@pytest.mark.parametrize("form", ["", ".csv", ".framekeep", ".parquet"])
def test_a_version_that_there_is_not_is_a_404(own: Endpoint, form: str) -> None:
    missing = own.get(f"/data{form}", params={"version": 7})
    assert (missing.status_code, missing.json()["code"]) == (404, "version_not_found")


def test_a_summary_that_says_nothing_is_refused(own: Endpoint) -> None:
    assert own.put(pd.DataFrame({"a": [1]}), summary="").status_code == 422


def test_a_refused_body_leaves_the_data_as_they_were(own: Endpoint) -> None:
    before = own.etag()
    cut = body_of(pd.DataFrame({"a": [1]}))[:-5]
    assert own("PUT", "/data", content=cut, headers={"content-type": FRAME_TYPE}).status_code == 422
    assert own.etag() == before


def test_data_of_a_session_that_is_not_there_cannot_be_replaced(http: httpx2.Client) -> None:
    missing = Endpoint(http, "nobody").put(pd.DataFrame({"a": [1]}))
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")

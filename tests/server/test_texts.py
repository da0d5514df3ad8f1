"""Whatever the library keeps can be read over HTTP: texts that are no Unicode, labels that are no text."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from serving import Endpoint, Served

from framekeep.config import Settings
from framekeep.frames import unpack
from framekeep.manager import DataManager

HALF = "half \ud83d of a pair"
SHOWN = "half \ufffd of a pair"


def frame(text: str) -> pd.DataFrame:
    cells = {0: pd.Series([text, None], dtype=object), 1: [1, 2]}
    return pd.DataFrame(cells).set_axis(pd.Index([HALF, 1], dtype=object), axis=1)


@pytest.fixture
def library(narrow: Served) -> Iterator[DataManager]:
    """A manager in this process on the store of a service."""
    with DataManager(Settings(storage_dir=narrow.store, _env_file=None)) as manager:
        yield manager


@pytest.fixture
def odd_texts(narrow: Served, library: DataManager) -> Endpoint:
    """A session every text of which holds half of a surrogate pair."""
    session = library.create_session(frame(HALF), HALF)
    library.update_metadata(session, {HALF: {HALF: [HALF]}})
    library.add_audit_entry(session, HALF)
    library.set_intentional_missing(session, HALF, [1], reason=HALF)
    library.commit_dataframe(session, frame(HALF + "!"), HALF)
    library.set_intentional_missing(session, HALF, [1], reason=HALF)
    return Endpoint(narrow.client(), session)


def test_a_session_made_by_the_library_is_served(
    narrow: Served, library: DataManager, people: pd.DataFrame
) -> None:
    own = Endpoint(narrow.client(), library.create_session(people, "people.csv"))
    assert own.rows()[0] == ["00501", 34.0]


def test_metadata_and_names(odd_texts: Endpoint) -> None:
    facts = odd_texts.get().json()
    assert facts["filename"] == SHOWN
    assert facts["metadata"] == {SHOWN: {SHOWN: [SHOWN]}}
    assert [column["name"] for column in facts["columns"]] == [SHOWN, "1"]


@pytest.mark.parametrize("path", ["/data", "/data?whole=true", "/data.jsonl", "/data?orient=records"])
def test_data(odd_texts: Endpoint, path: str) -> None:
    answer = odd_texts.get(path)
    assert answer.status_code == 200, answer.text
    assert SHOWN in answer.text


@pytest.mark.parametrize("form", ["csv", "arrows", "parquet", "xlsx"])
def test_files_hold_them_or_are_refused_with_the_column(odd_texts: Endpoint, form: str) -> None:
    answer = odd_texts.get(f"/data.{form}")
    assert answer.status_code == 200 or answer.json()["code"] == "unsupported_type", answer.text


def test_the_exact_container_holds_them(odd_texts: Endpoint) -> None:
    found = unpack(odd_texts.get("/data.framekeep").content)
    assert (found.columns[0], found.iloc[0, 0]) == (HALF, HALF + "!")


def test_keys_that_would_become_one_stay_two(
    narrow: Served, library: DataManager, people: pd.DataFrame
) -> None:
    session = library.create_session(people)
    library.update_metadata(session, {f"a{chr(0xD800)}": 1, f"a{chr(0xD801)}": 2})
    metadata = Endpoint(narrow.client(), session).get().json()["metadata"]
    assert metadata == {"a\ufffd": 1, "a\\ud801": 2}


def test_versions(odd_texts: Endpoint) -> None:
    (version,) = odd_texts.get("/versions").json()["versions"]
    assert version["action_summary"] == odd_texts.get("/versions/1").json()["action_summary"] == SHOWN


def test_steps(odd_texts: Endpoint) -> None:
    assert odd_texts.post("/undo").json()["action_summary"] == SHOWN
    assert odd_texts.post("/redo").json()["action_summary"] == SHOWN


def test_comparisons(odd_texts: Endpoint) -> None:
    (column,) = odd_texts.get("/diff", params={"from": "1"}).json()["columns_changed"]
    assert (column["column"], column["samples"][0]["before"]) == (SHOWN, SHOWN)


def test_marks(odd_texts: Endpoint) -> None:
    found = odd_texts.get("/missing").json()
    assert (found["columns"], found["reasons"]) == ({SHOWN: [1]}, {SHOWN: {SHOWN: [1]}})


@pytest.mark.parametrize("path", ["/audit", "/audit.csv"])
def test_the_audit_log(odd_texts: Endpoint, path: str) -> None:
    answer = odd_texts.get(path)
    assert answer.status_code == 200, answer.text
    assert SHOWN in answer.text or "\\ud83d" in answer.text


def test_profiles(odd_texts: Endpoint) -> None:
    assert odd_texts.get("/profile").status_code == 200


def test_columns_are_found_by_what_is_shown(odd_texts: Endpoint) -> None:
    assert odd_texts.rows(columns=[SHOWN]) == [[SHOWN + "!"], [None]]


def test_a_412_says_what_changed(odd_texts: Endpoint) -> None:
    refused = odd_texts.post("/undo", headers={"if-match": '"0123456789abcdef0123456789abcdef"'})
    assert refused.status_code == 412, refused.text
    assert any(SHOWN in entry for entry in refused.json()["recent_changes"])


def test_edits(odd_texts: Endpoint) -> None:
    operations = [{"op": "cast", "columns": ["1"], "to": "text"}, {"op": "drop_columns", "columns": ["1"]}]
    answer = odd_texts.post("/edits", json={"operations": operations}, params={"dry_run": "true"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["impact"]["columns_removed"] == ["1"]


def test_the_list_of_sessions(narrow: Served, odd_texts: Endpoint) -> None:
    found = narrow.client().get("/api/v1/sessions").json()["sessions"]
    assert SHOWN in [each["filename"] for each in found]

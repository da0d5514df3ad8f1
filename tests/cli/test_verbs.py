"""Each verb does what its help says, in words and in JSON."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from framekeep.connect import InMemoryBackend

# --- export -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.parquet", "out.arrow", "out.feather"])
def test_an_exported_table_can_be_imported_again(framekeep, session: str, people, name: str) -> None:
    assert framekeep("export", session, name).code == 0
    again = framekeep("import", name).out.strip()
    with framekeep.manager() as manager:
        back = manager.get_dataframe(again)
    assert back["id"].tolist() == people["id"].tolist()
    assert [float(age) for age in back["age"]] == [34.0, 40.0, 210.0]


@pytest.mark.parametrize("name", ["out.parquet", "out.feather"])
def test_an_exported_frame_comes_back_as_it_was(framekeep, name: str) -> None:
    frame = pd.DataFrame(
        {"n": [1, 2], "m": pd.array([1, None], dtype="Int64"), "c": pd.Categorical(["x", None])},
        index=pd.Index(["a", "b"], name="who"),
    )
    with framekeep.manager() as manager:
        session = manager.create_session(frame)
    assert framekeep("export", session, name).code == 0
    again = framekeep("import", name).out.strip()
    with framekeep.manager() as manager:
        pd.testing.assert_frame_equal(manager.get_dataframe(again), frame)


def test_export_does_not_replace_a_file_unasked(framekeep, session: str, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    assert framekeep("export", session, "out.csv").code == 3
    assert (tmp_path / "out.csv").read_text() == "mine"
    assert framekeep("export", session, "out.csv", "--force").code == 0


def test_export_says_what_it_wrote(framekeep, session: str) -> None:
    said = framekeep("export", session, "out.parquet", "--json").json
    assert (said["rows"], said["columns"]) == (3, 3)


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.xlsx"])
def test_export_writes_what_else_the_suffix_names(framekeep, session: str, tmp_path: Path, name: str) -> None:
    assert framekeep("export", session, name).code == 0
    assert (tmp_path / name).stat().st_size > 0


def test_export_takes_columns_a_version_and_care_for_formulas(framekeep, tmp_path: Path) -> None:
    with framekeep.manager() as manager:
        session = manager.create_session(pd.DataFrame({"a": [1], "b": ["=1"], "c": [2]}))
        manager.commit_dataframe(session, pd.DataFrame({"z": [0]}), "replace")
    options = ("--version", 1, "--column", "b", "--column", "a", "--neutralize-formulas")
    assert framekeep("export", session, "out.csv", *options).code == 0
    assert (tmp_path / "out.csv").read_text() == '"b","a"\n"\'=1",1\n'


def test_export_refuses_a_column_that_is_not_there_and_leaves_no_file(
    framekeep, session: str, tmp_path: Path
) -> None:
    refused = framekeep("export", session, "out.csv", "--column", "ages")
    assert (refused.code, "'ages'" in refused.err) == (3, True)
    assert not (tmp_path / "out.csv").exists()


# --- sessions ---------------------------------------------------------------------------------------


def test_list_shows_the_live_sessions(framekeep, session: str) -> None:
    done = framekeep("sessions", "list")
    assert session in done.out
    assert "people.csv" in done.out
    assert "1 session." in done.out


def test_being_listed_does_not_keep_a_session_alive(framekeep, people: pd.DataFrame) -> None:
    with closing(InMemoryBackend(framekeep.directory, clock=lambda: time.time() - 600)) as long_ago:
        long_ago.create_session("unused", people, "people.csv", 3600.0)
    framekeep("sessions", "list", "--json")
    expires = framekeep("sessions", "list", "--json").json["sessions"][0]["expires_at"]
    left = datetime.fromisoformat(expires).timestamp() - time.time()
    assert left < 3300, "a use would make it 3600 again"


def test_show_tells_facts_columns_and_first_rows(framekeep, session: str) -> None:
    done = framekeep("sessions", "show", session, "--rows", 2)
    assert "(3, 3)" in done.out
    assert "00501, 10001" in done.out
    assert "94105" not in done.out


def test_show_counts_the_cells_that_are_empty_on_purpose(framekeep, session: str) -> None:
    with framekeep.manager() as manager:
        manager.set_intentional_missing(session, "age", [1])
    assert framekeep("sessions", "show", session, "--json").json["intentional_missing"] == {"age": 1}


def test_show_names_a_dtype_in_full(framekeep) -> None:
    with framekeep.manager() as manager:
        session = manager.create_session(pd.DataFrame({"t": pd.array(["2021-01-02"], dtype="datetime64[s]")}))
    assert "datetime64[s]" in framekeep("sessions", "show", session).out


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        pd.DataFrame([[1, float("inf")]], columns=[1, float("nan")]),
        pd.DataFrame({"o": [1, "x", None, [float("nan")], 1j, "\ud800"]}, dtype=object),
        pd.DataFrame(),
        pd.DataFrame(index=range(3)),
    ],
    ids=["repeated labels", "tuples", "numbers as labels", "objects", "nothing", "no columns"],
)
def test_any_table_can_be_shown_in_words_and_in_json(framekeep, frame: pd.DataFrame) -> None:
    with framekeep.manager() as manager:
        session = manager.create_session(frame, "odd")
    assert framekeep("sessions", "show", session).code == 0
    facts = framekeep("sessions", "show", session, "--json").json["session"]
    assert facts["shape"] == list(frame.shape)
    assert len(facts["columns"]) == len(facts["dtypes"]) == frame.shape[1]


def test_rm_deletes_and_says_what_was_not_there(framekeep, session: str) -> None:
    done = framekeep("sessions", "rm", session, "gone", "--json")
    assert done.json == {"deleted": [session], "not_found": ["gone"]}
    assert done.code == 4
    with framekeep.manager() as manager:
        assert manager.list_sessions() == []


# --- versions ---------------------------------------------------------------------------------------


def test_history_shows_versions_and_where_the_session_stands(framekeep, session: str) -> None:
    framekeep("undo", session)
    lines = [line.split() for line in framekeep("history", session).out.splitlines() if line.strip()]
    assert [words[0] for words in lines[2:]] == ["1", "now", "2"]


def test_history_prints_summaries_as_they_are(framekeep, session: str) -> None:
    assert "Who is [bold] grown up" in framekeep("history", session).out


def test_undo_and_redo_move_by_one(framekeep, session: str) -> None:
    assert framekeep("undo", session).out == "Undone: Who is [bold] grown up. Now 3 rows x 2 columns.\n"
    assert framekeep("redo", session, "--json").json["version"]["version_id"] == 2
    with framekeep.manager() as manager:
        assert "adult" in manager.get_dataframe(session)


def test_restore_goes_straight_to_a_version(framekeep, session: str, people) -> None:
    assert framekeep("restore", session, 1).code == 0
    with framekeep.manager() as manager:
        pd.testing.assert_frame_equal(manager.get_dataframe(session), people)


def test_diff_names_what_changed(framekeep, session: str) -> None:
    done = framekeep("diff", session, 1)
    assert "1 column added: adult; 1 cell changed in 1 column." in done.out
    assert "40.0" in done.out


def test_diff_in_json_counts_and_samples(framekeep, session: str) -> None:
    found = framekeep("diff", session, 1, 2, "--json").json
    assert found["cells_changed"] == 1
    assert found["columns_changed"][0]["samples"] == [{"row": 1, "before": None, "after": 40.0}]


def test_diff_of_a_state_with_itself_is_none(framekeep, session: str) -> None:
    assert framekeep("diff", session, 1, 1).out == "No difference.\n"


def test_audit_prints_what_was_done(framekeep, session: str) -> None:
    lines = framekeep("audit", session).out.splitlines()
    assert "Session created from 'people.csv'" in lines[0]
    assert framekeep("audit", session, "--last", 1, "--json").json["entries"] == lines[-1:]


def test_control_characters_do_not_reach_the_terminal(framekeep, session: str) -> None:
    with framekeep.manager() as manager:
        manager.add_audit_entry(session, "look \x1b[31mred")
    assert "look \\x1b[31mred" in framekeep("audit", session).out


# --- the store --------------------------------------------------------------------------------------


def test_compact_says_what_it_gave_back(framekeep, session: str) -> None:
    with framekeep.manager() as manager:
        big = manager.create_session(pd.DataFrame({"n": range(300_000)}).sample(frac=1, random_state=1))
        manager.delete_session(big)
    found = framekeep("compact", "--json").json
    assert found["bytes_after"] < found["bytes_before"] / 4
    with framekeep.manager() as manager:
        assert manager.list_sessions() == [session]


def test_config_shows_value_and_source(framekeep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_VERSIONS", "20")
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    done = framekeep("config", "show", "--json")
    rows = {row["variable"]: (row["value"], row["source"]) for row in done.json["settings"]}
    assert rows["MAX_VERSIONS"] == ("20", "environment")
    assert rows["STORAGE_DIR"] == (str(framekeep.directory), "argument")
    assert "hunter2" not in done.out
    assert "hunter2" not in framekeep("config", "show").out

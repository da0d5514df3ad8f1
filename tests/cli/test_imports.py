"""``framekeep import``: any file becomes a session, or is refused with the place and the next step."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

HISTORY = "Found the types of the columns"


def frame(framekeep, session: str, version: int | str = "current") -> pd.DataFrame:
    with framekeep.manager() as manager:
        return manager.get_dataframe(session.strip(), version=version, copy=True)


def imported(framekeep, *words: object) -> pd.DataFrame:
    done = framekeep("import", *words)
    assert done.code == 0, done.err
    return frame(framekeep, done.out)


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    path = tmp_path / "trial.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"id": [1, 2], "v": [0.5, 1.5]}).to_excel(book, sheet_name="Visits", index=False)
        pd.DataFrame({"id": [3], "v": [2.5]}).to_excel(book, sheet_name="More", index=False)
        pd.DataFrame().to_excel(book, sheet_name="Empty", index=False)
    return path


# --- what comes out -----------------------------------------------------------------------------------


def test_the_session_s_id_is_printed_alone(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("zip,n\n00501,1\n")
    done = framekeep("import", "p.csv")
    with framekeep.manager() as manager:
        assert manager.list_sessions() == [done.out.strip()]
        assert manager.get_dataframe(done.out.strip())["zip"].tolist() == ["00501"]


def test_the_text_of_the_columns_is_the_version_before_their_types(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("n,when\n1.0,2020-01-01\n2.0,2020-01-02\n")
    session = framekeep("import", "p.csv").out.strip()
    assert [row["action_summary"] for row in framekeep("history", session, "--json").json["versions"]] == [
        HISTORY
    ]
    assert frame(framekeep, session).dtypes.astype(str).tolist() == ["float64", "datetime64[s]"]
    assert framekeep("undo", session).code == 0
    before = frame(framekeep, session)
    assert before.dtypes.astype(str).tolist() == ["str", "str"]
    assert before.iloc[0].tolist() == ["1.0", "2020-01-01"]


def test_a_table_that_is_text_has_no_version_before_it(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\nx,y\n")
    session = framekeep("import", "p.csv").out.strip()
    assert framekeep("history", session, "--json").json["versions"] == []


def test_what_stayed_text_and_looks_like_numbers_is_told_on_stderr(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("zip,n,name\n00501,1,Ann\n")
    said = framekeep("import", "p.csv").err
    assert "zip: kept as text, " in said
    assert "name: kept as text" not in said


def test_json_has_the_session_and_every_column_with_its_reason(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("zip,n\n00501,1\n")
    document = framekeep("import", "p.csv", "--json").json
    assert document["session"]["shape"] == [1, 2]
    assert [column["type"] for column in document["columns"]] == ["text", "integer"]
    assert all(column["reason"] for column in document["columns"])
    assert document["session"]["import"]["format"] == "csv"


def test_a_session_is_kept_as_long_as_asked(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a\n1\n")
    facts = framekeep("import", "p.csv", "--ttl", 86400, "--json").json["session"]
    alive = datetime.fromisoformat(facts["expires_at"]) - datetime.fromisoformat(facts["created_at"])
    assert 86390 < alive.total_seconds() < 86410


# --- options ------------------------------------------------------------------------------------------


def test_words_that_mean_missing_are_named_by_the_caller(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\n1,x\nNA,x\n.,x\n")
    assert imported(framekeep, "p.csv", "--missing", "NA", "--missing", ".")["a"].tolist() == [
        1,
        pd.NA,
        pd.NA,
    ]


def test_a_type_can_be_asked_for(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a=b,n\n007,1\n")
    made = imported(framekeep, "p.csv", "--type", "a=b=integer", "--type", "n=text")
    assert made.iloc[0].tolist() == [7, "1"]


def test_no_type_at_all_can_be_asked_for(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\n1,2020-01-01\n")
    assert imported(framekeep, "p.csv", "--text").iloc[0].tolist() == ["1", "2020-01-01"]


def test_delimiter_and_encoding_can_be_said(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes("a,b\tc\nZoë,1\t2\n".encode("latin-1"))
    made = imported(framekeep, "p.csv", "--delimiter", "tab", "--encoding", "latin-1")
    assert (list(made.columns), made.iloc[0].tolist()) == (["a,b", "c"], ["Zoë,1", 2])


def test_lines_above_the_header_are_passed_over(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("report of May\na,b\n1,2\n")
    assert imported(framekeep, "p.csv", "--skip-rows", 1).columns.tolist() == ["a", "b"]


def test_a_table_without_header_is_given_names(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("1,2\n3,4\n")
    made = imported(framekeep, "p.csv", "--no-header")
    assert made.columns.tolist() == ["column_1", "column_2"]
    assert len(made) == 2


def test_a_format_can_be_said(framekeep, tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text('{"a": 1}\n{"a": 2}\n')
    assert imported(framekeep, "data.txt", "--format", "jsonl")["a"].tolist() == [1, 2]


def test_what_is_packed_is_unpacked(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert imported(framekeep, "p.csv.gz").iloc[0].tolist() == [1, 2]


# --- workbooks ----------------------------------------------------------------------------------------


def test_a_workbook_of_several_sheets_asks_which(framekeep, workbook: Path) -> None:
    done = framekeep("import", workbook.name)
    assert done.code == 3
    assert "'Visits' (2 columns), 'More' (2 columns)" in done.err
    assert "--sheet NAME" in done.err
    assert not framekeep.directory.exists()


def test_one_sheet_becomes_one_session(framekeep, workbook: Path) -> None:
    document = framekeep("import", workbook.name, "--sheet", "More", "--json").json
    assert document["sheet"] == "More"
    assert frame(framekeep, document["session_id"])["id"].tolist() == [3]


@pytest.mark.parametrize("words", [("--sheet", "Visits", "--sheet", "More"), ("--sheet", "*")])
def test_several_sheets_become_several_sessions(framekeep, workbook: Path, words: tuple[str, ...]) -> None:
    sessions = framekeep("import", workbook.name, *words).out.split()
    assert [frame(framekeep, session)["id"].tolist() for session in sessions] == [[1, 2], [3]]


def test_sheets_are_merged_into_one_session(framekeep, workbook: Path) -> None:
    assert imported(framekeep, workbook.name, "--merge")["id"].tolist() == [1, 2, 3]


def test_a_sheet_that_is_not_there_is_refused(framekeep, workbook: Path) -> None:
    done = framekeep("import", workbook.name, "--sheet", "Absent")
    assert done.code == 3
    assert "Absent" in done.err


def test_a_file_without_sheets_has_none_to_choose(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a\n1\n")
    done = framekeep("import", "p.csv", "--sheet", "Data")
    assert done.code == 3
    assert "no sheets" in done.err


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (b"", "t.csv", "t.csv is empty"),
        (b"a\n1\n", "absent.csv", "There is no file absent.csv"),
        (b"PK\x05\x06" + bytes(18), "t.xlsx", "t.xlsx"),
        (b"\x80\x04\x95", "t.pkl", "pickle"),
        (bytes(range(256)) * 8, "t.csv", "t.csv"),
        (b"PAR1 and no more", "t.parquet", "t.parquet"),
    ],
)
def test_what_is_no_table_is_refused_and_makes_no_store(
    framekeep, tmp_path: Path, content: bytes, name: str, says: str
) -> None:
    (tmp_path / "t.csv" if name == "absent.csv" else tmp_path / name).write_bytes(content)
    done = framekeep("import", name)
    assert done.code == 3
    assert says in done.err
    assert done.err.count("\n") == 1
    assert not framekeep.directory.exists()


def test_a_refusal_says_the_place_and_no_cell(framekeep, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("a,b\n" + "1,2\n" * 50 + "secret,1,2\n" + "1,2\n" * 50)
    done = framekeep("import", "p.csv")
    assert done.code == 3
    assert "p.csv, line 52" in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("word", ["zip", "=text", "zip=money"])
def test_a_type_that_is_none_is_refused(framekeep, tmp_path: Path, word: str) -> None:
    (tmp_path / "p.csv").write_text("zip\n1\n")
    assert framekeep("import", "p.csv", "--type", word).code == 3


def test_a_sheet_that_cannot_be_stored_takes_the_others_with_it(
    framekeep, workbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pd.ExcelWriter(workbook) as book:
        pd.DataFrame({"n": [1]}).to_excel(book, sheet_name="Small", index=False)
        pd.DataFrame({"n": ["x" * 30_000] * 60}).to_excel(book, sheet_name="Large", index=False)
    monkeypatch.setenv("MAX_DATAFRAME_SIZE_MB", "1")
    done = framekeep("import", workbook.name, "--sheet", "*")
    assert done.code == 3
    with framekeep.manager() as manager:
        assert manager.list_sessions() == []

"""Files by way of a service: sent piece by piece with their progress, received piece by piece."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow.parquet
import pytest
from relay import CUT_ANSWER, Relay

from framekeep import Client, DataManager
from framekeep.errors import (
    EmptyFileError,
    InvalidInputError,
    StorageUnavailableError,
    TempStorageNotFoundError,
    UnknownColumnError,
    UnknownFormatError,
    WrongTypeError,
)
from framekeep.exporting import FORMATS


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("zip;age\n00501;34\n10001;\n", encoding="utf-8")
    return path


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    made = openpyxl.Workbook()
    first = made.active
    assert first is not None
    first.title = "Visits"
    for row in (["id", "age"], [1, 34], [2, 35]):
        first.append(row)
    second = made.create_sheet("Doses")
    for row in (["id", "dose"], [1, 0.5]):
        second.append(row)
    path = tmp_path / "trial.xlsx"
    made.save(path)
    return path


# --- uploads ----------------------------------------------------------------------------------------


def test_a_file_becomes_a_session(client: Client, table: Path) -> None:
    made = client.upload(table)
    assert (made["kind"], made["rows"], made["filename"]) == ("session", 2, "people.csv")
    assert client.get_dataframe(made["session_id"])["age"].tolist()[0] == 34


def test_how_a_file_is_read_can_be_said(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes("title\nZ|G\n007|größe\n-|x\n".encode("latin-1"))
    made = client.upload(
        path,
        filename="other.csv",
        delimiter="|",
        encoding="latin-1",
        skip_rows=1,
        missing=["-"],
        types={"Z": "text"},
        ttl_seconds=60.0,
    )
    frame = client.get_dataframe(made["session_id"])
    assert frame["Z"].isna().tolist() == [False, True]
    assert frame.loc[0, "Z"] == "007"
    assert frame.loc[0, "G"] == "größe"
    assert client.get_metadata(made["session_id"])["filename"] == "other.csv"


def test_a_file_without_names_is_read(client: Client, table: Path) -> None:
    assert client.upload(table, header=None, typing=False)["rows"] == 3


def test_an_open_file_is_sent_from_where_it_stands(client: Client, table: Path) -> None:
    with table.open("rb") as file:
        file.readline()
        assert client.upload(file, header=None)["rows"] == 2
    assert client.upload(io.BytesIO(b"a,b\n1,2\n"), filename="memory.csv")["filename"] == "memory.csv"


def test_an_upload_tells_how_much_was_sent(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 300_000)
    told: list[tuple[int, int | None]] = []
    client.upload(path, progress=lambda sent, total: told.append((sent, total)), progress_id="mine")
    sent = [each for each, _ in told]
    assert sent == sorted(sent)
    assert len(sent) > 3
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    assert client.get_upload_progress("mine")["state"] == "done"


def test_a_workbook_waits_for_the_choice_of_sheets(client: Client, workbook: Path) -> None:
    waiting = client.upload(workbook)
    assert (waiting["kind"], [sheet["name"] for sheet in waiting["sheets"]]) == (
        "workbook",
        ["Visits", "Doses"],
    )
    assert client.get_upload(waiting["temp_id"])["suggested"] == waiting["suggested"]
    assert datetime.fromisoformat(waiting["expires_at"]).tzinfo is not None
    made = client.select_sheets(waiting["temp_id"], ["Doses", "Visits"], types={"id": "text"})
    assert [session["sheet"] for session in made] == ["Doses", "Visits"]
    assert client.get_dataframe(made[1]["session_id"])["id"].tolist() == ["1", "2"]


def test_sheets_can_be_chosen_at_once(client: Client, workbook: Path) -> None:
    assert client.upload(workbook, sheets=["Doses"])["rows"] == 1


def test_a_workbook_that_waits_can_be_let_go(client: Client, workbook: Path) -> None:
    waiting = client.upload(workbook)["temp_id"]
    client.discard_upload(waiting)
    with pytest.raises(TempStorageNotFoundError):
        client.get_upload(waiting)


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [(b"", "a.csv", EmptyFileError), (b"%PDF-1.7\n" + b"x" * 99, "a.csv", UnknownFormatError)],
)
def test_a_file_that_cannot_be_read_says_why(
    client: Client, manager: DataManager, content: bytes, name: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        client.upload(io.BytesIO(content), filename=name)
    assert manager.list_sessions() == []


def test_a_type_that_does_not_fit_names_the_column(client: Client, table: Path) -> None:
    with pytest.raises(WrongTypeError) as caught:
        client.upload(table, types={"zip": "date"})
    assert "zip" in str(caught.value)


def test_sheets_that_are_one_text_are_refused(client: Client) -> None:
    with pytest.raises(InvalidInputError, match="list"):
        client.select_sheets("t", "Visits")


def test_a_file_that_is_not_there_is_an_error_of_this_machine(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "nothing.csv")


# --- exports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_what_the_manager_writes(
    client: Client, manager: DataManager, session: str, form: str
) -> None:
    revision, pieces = client.export(session, form)
    wanted, parts = manager.export(session, form)
    content = b"".join(pieces)
    assert revision == wanted
    if form != "xlsx":  # it has the time in it
        assert content == b"".join(parts)
    assert content


def test_a_file_may_be_of_some_rows_and_columns(client: Client, session: str) -> None:
    _, pieces = client.export(session, "parquet", offset=1, limit=1, columns=["id"])
    assert pyarrow.parquet.read_table(io.BytesIO(b"".join(pieces))).to_pydict() == {"id": ["10001"]}


def test_formulas_can_be_neutralized(client: Client) -> None:
    session = client.new_session(pd.DataFrame({"a": ["=1+1"]}))
    _, pieces = client.export(session, "csv", neutralize_formulas=True)
    assert b"'=1+1" in b"".join(pieces)


def test_a_file_comes_piece_by_piece(client: Client) -> None:
    session = client.new_session(pd.DataFrame(np.random.default_rng(1).normal(size=(100_000, 8))))
    _, pieces = client.export(session, "csv")
    sizes = [len(piece) for piece in pieces]
    assert sum(sizes) > 10_000_000
    assert max(sizes) <= 1 << 20


def test_a_file_may_be_left_half_read(client: Client) -> None:
    session = client.new_session(pd.DataFrame(np.random.default_rng(1).normal(size=(100_000, 8))))
    for _ in range(30):  # more than there are connections
        _, pieces = client.export(session, "csv")
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
    assert client.session_exists(session)


def test_a_file_that_breaks_off_says_so(relay: Relay, manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame({"a": range(1000)}))
    with Client(relay.url, retries=2) as client:
        relay.plan(CUT_ANSWER)
        _, pieces = client.export(session, "csv")
        with pytest.raises(StorageUnavailableError, match="broke"):
            list(pieces)


@pytest.mark.parametrize("form", ["exe", "", None, 5])
def test_a_format_that_is_none_is_refused(client: Client, session: str, form: str) -> None:
    with pytest.raises(InvalidInputError, match="csv"):
        client.export(session, form)


def test_an_unknown_column_is_refused_before_anything_is_received(client: Client, session: str) -> None:
    with pytest.raises(UnknownColumnError, match="weight"):
        client.export(session, "csv", columns=["weight"])

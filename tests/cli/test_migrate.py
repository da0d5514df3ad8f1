"""``migrate``: in words, in JSON, and by exit code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pandas as pd
import pytest

from framekeep.config import Settings
from framekeep.manager import DataManager


def other(tmp_path: Path) -> DataManager:
    return DataManager(Settings(storage_dir=tmp_path / "other"))


def test_sessions_move_and_the_source_stays(framekeep, session: str, tmp_path: Path) -> None:
    done = framekeep("migrate", "--from", "store", "--to", "other")
    assert done.code == 0, done.err
    assert "All is in the target." in done.out
    with framekeep.manager() as here, other(tmp_path) as there:
        pd.testing.assert_frame_equal(here.get_dataframe(session), there.get_dataframe(session))
        assert there.get_history(session) == here.get_history(session)


def test_json_has_every_count_and_nothing_else_on_stdout(framekeep, session: str) -> None:
    said = framekeep("migrate", "--from", "store", "--to", "other", "--json").json
    assert said["sessions"] == {
        "copied": 1,
        "updated": 0,
        "already_there": 0,
        "newer_in_target": 0,
        "kept_in_target": 0,
        "gone_from_source": 0,
    }
    assert (said["ok"], said["not_moved"], said["stopped"]) == (True, [], None)
    again = framekeep("migrate", "--from", "store", "--to", "other", "--json").json
    assert again["sessions"]["already_there"] == 1


def test_a_dry_run_makes_nothing(framekeep, session: str, tmp_path: Path) -> None:
    done = framekeep("migrate", "--from", "store", "--to", "other", "--dry-run")
    assert (done.code, "dry run" in done.out) == (0, True)
    assert not (tmp_path / "other").exists()
    assert list(tmp_path.rglob("*.journal")) == []


def test_what_changed_in_both_is_five_and_named(framekeep, session: str, tmp_path: Path) -> None:
    framekeep("migrate", "--from", "store", "--to", "other")
    with framekeep.manager() as here, other(tmp_path) as there:
        for manager in (here, there):
            manager.commit_dataframe(session, pd.DataFrame({"x": [1]}), "mine")
    done = framekeep("migrate", "--from", "store", "--to", "other")
    assert done.code == 5
    assert session in done.out
    assert "changed in both" in done.out
    said = framekeep("migrate", "--from", "store", "--to", "other", "--json")
    assert (said.code, said.json["ok"]) == (5, False)
    assert [(row["id"], row["code"]) for row in said.json["not_moved"]] == [(session, "conflict")]


def test_back_and_forth_through_one_journal(framekeep, session: str, tmp_path: Path) -> None:
    framekeep("migrate", "--from", "store", "--to", "other")
    with other(tmp_path) as there:
        there.commit_dataframe(session, pd.DataFrame({"x": [1]}), "after the switch")
    back = framekeep("migrate", "--from", "other", "--to", "store", "--json")
    assert (back.code, back.json["sessions"]["updated"]) == (0, 1)
    with framekeep.manager() as here:
        assert list(here.get_dataframe(session).columns) == ["x"]


def test_only_and_overwrite(framekeep, session: str) -> None:
    done = framekeep("migrate", "--from", "store", "--to", "other", "--only", "nobody")
    assert (done.code, "nobody" in done.out) == (4, True)
    done = framekeep("migrate", "--from", "store", "--to", "other", "--only", session)
    assert done.code == 0
    with framekeep.manager() as here:
        here.commit_dataframe(session, pd.DataFrame({"x": [1]}), "more")
    said = framekeep("migrate", "--from", "store", "--to", "other", "--overwrite", "never", "--json").json
    assert said["sessions"]["kept_in_target"] == 1


def pickled(tmp_path: Path, id: str, content: bytes) -> None:
    directory = tmp_path / "old" / "sessions" / id
    directory.mkdir(parents=True)
    (directory / "current.pkl").write_bytes(content)


def test_pickles_are_opened_only_when_somebody_says_so(framekeep, tmp_path: Path) -> None:
    pickled(tmp_path, "p", pickle.dumps(pd.DataFrame({"x": [1]})))
    refused = framekeep("migrate", "--from", "pickles:old", "--to", "store")
    assert (refused.code, "--trust-pickles" in refused.err) == (3, True)
    looked = framekeep("migrate", "--from", "pickles:old", "--to", "store", "--dry-run", "--json")
    assert (looked.code, looked.json["sessions"]["copied"]) == (0, 1)
    assert not (tmp_path / "store").exists()
    done = framekeep("migrate", "--from", "pickles:old", "--to", "store", "--trust-pickles")
    assert done.code == 0, done.out
    with framekeep.manager() as manager:
        assert manager.list_sessions() == ["p"]


def test_a_pickle_that_cannot_be_read_is_three_and_named(framekeep, tmp_path: Path) -> None:
    pickled(tmp_path, "p", pickle.dumps(pd.DataFrame({"x": [1]})))
    pickled(tmp_path, "q", b"nothing")
    done = framekeep("migrate", "--from", "pickles:old", "--to", "store", "--trust-pickles")
    assert done.code == 3
    assert "current.pkl" in done.out
    with framekeep.manager() as manager:
        assert manager.list_sessions() == ["p"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--from", "store", "--to", "./store"], 3),
        (["--from", "nothing", "--to", "other"], 4),
        (["--from", "store", "--to", "pickles:x"], 3),
        (["--from", "store", "--to", "http://x"], 3),
        (["--from", "pickles:nothing", "--to", "other", "--trust-pickles"], 3),
        (["--from", "store", "--to", "other", "--only", "../x"], 3),
        (["--from", "store", "--to", "other", "--overwrite", "always"], 2),
        (["--from", "store"], 2),
        (["--from", "store", "--to", "other", "--journal", "store"], 7),
    ],
)
def test_a_wrong_command_line_is_refused(framekeep, session: str, words: list[str], code: int) -> None:
    done = framekeep("migrate", *words)
    assert done.code == code, done.out + done.err
    assert done.err


def test_a_damaged_source_is_nine(framekeep, session: str) -> None:
    path = framekeep.directory / "framekeep.mdb"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    assert framekeep("migrate", "--from", "store", "--to", "other").code == 9


def test_help_teaches(framekeep) -> None:
    said = framekeep("migrate", "--help").out
    for word in ("--dry-run", "pickles:DIR", "redis+sentinel", "changed in both", "docs/migrate.md"):
        assert word in said

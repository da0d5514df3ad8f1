"""The stores of all released formats open, whole and unchanged."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from framekeep import DataManager, Settings
from framekeep.testing.identical import assert_identical

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import content_1  # noqa: E402 - beside this file

CENTURY = 100 * 365.25 * 86400.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[DataManager]:
    with tarfile.open(HERE / "store_1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as manager:
        yield manager


def test_every_session_is_there_and_undamaged(manager: DataManager) -> None:
    assert manager.list_sessions() == ["objects", "tall", "typed"]
    assert [manager.check(session) for session in manager.list_sessions()] == [[], [], []]


def test_frames_come_back_as_they_were(manager: DataManager) -> None:
    assert_identical(manager.get_dataframe("typed"), content_1.typed())
    assert_identical(manager.get_dataframe("objects"), content_1.objects())


def test_versions_marks_and_the_cursor_are_where_they_were(manager: DataManager) -> None:
    before, now = content_1.tall(), content_1.tall()
    now.loc[now.index[:10], "noise"] = 0.0
    assert_identical(manager.get_dataframe("tall"), now)
    assert [(v["version_id"], v["action_summary"], v["undone"]) for v in manager.get_history("tall")] == [
        (1, "zero the noise", False),
        (2, "drop a column", True),
    ]
    assert manager.get_intentional_missing("tall") == {"small": [0, 5, 69_999], "word": [1]}
    assert_identical(manager.redo_last_change("tall"), content_1.tall().drop(columns="same"))
    assert_identical(manager.restore_version("tall", 1), before)


def test_metadata_and_audit_log_are_as_they_were(manager: DataManager) -> None:
    facts = manager.get_metadata("typed")
    assert (facts["owner"], facts["tags"], facts["filename"]) == ("ünïcode", [1, 2.5, None], "typed.parquet")
    log = manager.get_audit_log("tall")
    assert "Initial rows: 70000" in log[0]
    assert log[-1].endswith("looked at by hand")


def test_temporary_storage_is_as_it_was(manager: DataManager) -> None:
    sheets = manager.get_temp_storage("upload")["sheets"]
    assert_identical(sheets["Sheet 1"], content_1.typed(3))
    assert_identical(sheets["Sheet 2"], content_1.objects())


def test_the_store_can_be_written_on(manager: DataManager) -> None:
    with manager.edit("typed", "one more") as df:
        df["more"] = 1
    assert_identical(manager.get_dataframe("typed"), content_1.typed().assign(more=1))
    assert manager.check("typed") == []


def test_reasons_of_marks_are_as_they_were(tmp_path: Path) -> None:
    with tarfile.open(HERE / "store_marks_2.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as manager:
        assert manager.check("survey") == []
        assert manager.get_missing_reasons("survey") == {"age": {"skipped": [1, 2, 3]}}
        manager.undo("survey")
        assert manager.get_intentional_missing("survey") == {"age": [1, 2], "sex": [1, 3]}
        assert manager.get_missing_reasons("survey") == {
            "age": {"nicht gefragt (Überhang)": [2], "refused": [1]}
        }

"""DataManager: ids, defaults from the settings, several of them on one store, and its end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import framekeep
from framekeep import DataManager, Settings
from framekeep.errors import (
    ConfigurationError,
    ConflictError,
    DataFrameTooLargeError,
    FramekeepError,
    InvalidInputError,
    InvalidMetadataError,
    LockTimeoutError,
    SessionNotFoundError,
    StorageUnavailableError,
    TempStorageNotFoundError,
    UnsupportedTypeError,
    VersionNotFoundError,
)
from framekeep.testing.clock import ManualClock


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in Settings.variables():
        monkeypatch.delenv(variable.name, raising=False)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def manager(tmp_path: Path, clock: ManualClock) -> Iterator[DataManager]:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path), clock=clock) as manager:
        yield manager


def frame(rows: int = 3) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(rows), "b": [f"x{row}" for row in range(rows)]})


# --- ids and defaults -------------------------------------------------------------------------------


def test_ids_are_long_and_never_the_same(manager: DataManager) -> None:
    ids = {manager.create_session(frame(1)) for _ in range(20)}
    assert len(ids) == 20
    assert {len(id) for id in ids} == {32}


def test_the_filename_is_kept(manager: DataManager) -> None:
    assert manager.get_metadata(manager.create_session(frame(), "trial.csv"))["filename"] == "trial.csv"


def test_sessions_live_as_long_as_the_settings_say(manager: DataManager, clock: ManualClock) -> None:
    session = manager.create_session(frame())
    clock.advance(3599)
    manager.get_history(session)
    clock.advance(3600)
    with pytest.raises(SessionNotFoundError):
        manager.get_history(session)


def test_a_session_may_live_shorter(manager: DataManager, clock: ManualClock) -> None:
    session = manager.create_session(frame(), ttl_seconds=5)
    clock.advance(5)
    assert not manager.session_exists(session)


def test_touch_goes_back_to_the_configured_time(manager: DataManager, clock: ManualClock) -> None:
    session = manager.create_session(frame(), ttl_seconds=5)
    manager.touch_session(session)
    clock.advance(3599)
    assert manager.session_exists(session)


def test_temporary_storage_lives_as_long_as_the_settings_say(
    manager: DataManager, clock: ManualClock
) -> None:
    temp_id = manager.create_temp_storage({"sheet": frame()}, "book.xlsx")
    found = manager.get_temp_storage(temp_id)
    assert found["expires_at"] - found["created_at"] == timedelta(seconds=1800)
    clock.advance(1800)
    with pytest.raises(TempStorageNotFoundError):
        manager.get_temp_storage(temp_id)


def test_the_number_of_versions_comes_from_the_settings(tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path, max_versions=2)) as manager:
        session = manager.create_session(frame())
        for rows in range(4, 8):
            manager.commit_dataframe(session, frame(rows), "grow")
        assert [entry["version_id"] for entry in manager.get_history(session)] == [3, 4]
        for rows in range(4, 8):
            manager.create_version(session, frame(rows), "grow", 3)
        assert len(manager.get_history(session)) == 3


def test_a_frame_over_the_limit_is_refused_and_nothing_stored(tmp_path: Path) -> None:
    large = pd.DataFrame({"a": np.zeros(200_000)})
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path, max_dataframe_size_mb=1)) as manager:
        session = manager.create_session(frame())
        for call in (
            lambda: manager.create_session(large),
            lambda: manager.update_dataframe(session, large),
            lambda: manager.create_temp_storage({"sheet": large}, "x"),
        ):
            with pytest.raises(DataFrameTooLargeError):
                call()
        assert manager.list_sessions() == [session]
        pd.testing.assert_frame_equal(manager.get_dataframe(session), frame())


# --- what goes in and out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [pl.DataFrame({"a": [1, 2], "b": ["x", None]}), pa.table({"a": [1, 2], "b": ["x", None]})],
    ids=["polars", "pyarrow"],
)
def test_other_frames_are_taken(manager: DataManager, foreign: object) -> None:
    session = manager.create_session(foreign)  # type: ignore[arg-type]
    assert manager.get_table(session).column("b").to_pylist() == ["x", None]


def test_a_whole_session(manager: DataManager) -> None:
    session = manager.create_session(frame(), "trial.csv")
    with manager.edit(session, "add one") as df:
        df["a"] += 1
    manager.set_intentional_missing(session, "b", [0])
    manager.update_metadata(session, {"step": 2})
    assert manager.get_page(session, 1, 1)["a"].tolist() == [2]
    assert manager.diff_versions(session, 1) is not None
    assert manager.undo_last_change(session)["a"].tolist() == [0, 1, 2]
    assert manager.redo_last_change(session)["a"].tolist() == [1, 2, 3]
    assert manager.get_intentional_missing(session) == {"b": [0]}
    assert manager.restore_version(session, 1)["a"].tolist() == [0, 1, 2]
    manager.add_audit_entry(session, "looked at")
    assert len(manager.get_audit_log(session)) == 6
    assert manager.get_initial_row_count(session) == 3
    assert manager.check(session) == []
    assert manager.delete_session(session)


def test_without_a_key_what_only_a_pickle_keeps_is_refused(manager: DataManager) -> None:
    with pytest.raises(UnsupportedTypeError, match="odd"):
        manager.create_session(pd.DataFrame({"odd": [SimpleNamespace(number=1)]}))


def test_with_a_key_it_is_kept_and_without_it_refused_by_name(tmp_path: Path) -> None:
    keyed = Settings(
        _env_file=None, storage_dir=tmp_path, serialization_method="pickle", pickle_signing_key="k" * 16
    )
    value = SimpleNamespace(number=1)
    with DataManager(keyed) as manager:
        session = manager.create_session(pd.DataFrame({"odd": [value], "even": [2]}))
        assert manager.get_dataframe(session)["odd"].tolist() == [value]
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as keyless:
        with pytest.raises(FramekeepError, match="odd"):
            keyless.get_dataframe(session)
        assert keyless.get_page(session, 0, 1, ["even"])["even"].tolist() == [2]


# --- several at once --------------------------------------------------------------------------------


def test_two_managers_of_one_process_share_a_directory(manager: DataManager, tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path), clock=manager.backend._clock) as second:
        session = manager.create_session(frame())
        with second.edit(session, "add one") as df:
            df["a"] += 1
        assert manager.get_dataframe(session)["a"].tolist() == [1, 2, 3]
        manager.undo(session)
        assert second.get_dataframe(session)["a"].tolist() == [0, 1, 2]
    assert manager.get_dataframe(session)["a"].tolist() == [0, 1, 2]


def test_threads_lose_nothing(manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame({f"c{number}": [0] for number in range(4)}))

    def work(number: int) -> None:
        for i in range(10):
            manager.update_metadata(session, {f"{number}.{i}": i})
            manager.add_audit_entry(session, f"{number}.{i}")
            while True:
                try:
                    with manager.edit(session, "x") as df:
                        df[f"c{number}"] += 1
                    break
                except ConflictError:
                    continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert manager.get_dataframe(session).iloc[0].tolist() == [10] * 4
    found = manager.get_metadata(session)
    assert all(f"{number}.{i}" in found for number in range(4) for i in range(10))
    assert len(manager.get_audit_log(session)) == 1 + 4 * 20


def test_a_manager_works_on_both_sides_of_a_fork(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "forking.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.stderr) == ("child [] 1\nparent 0 1 []\n", "")


def test_a_lock_excludes_another_manager(manager: DataManager, tmp_path: Path) -> None:
    with (
        DataManager(Settings(_env_file=None, storage_dir=tmp_path), clock=manager.backend._clock) as second,
        manager.lock("nightly") as lease,
    ):
        with pytest.raises(LockTimeoutError):
            second.lock("nightly", attempts=0).acquire()
        assert lease.token > 0


def test_compact_gives_space_back(manager: DataManager) -> None:
    rng = np.random.default_rng(1)
    session = manager.create_session(pd.DataFrame({"a": rng.random(400_000)}))
    manager.delete_session(session)
    before, after = manager.compact()
    assert after < before / 2


# --- the end ----------------------------------------------------------------------------------------

CALLS: list[Callable[[DataManager], object]] = [
    lambda m: m.create_session(frame()),
    lambda m: m.get_dataframe("s"),
    lambda m: m.get_table("s"),
    lambda m: m.get_page("s", 0, 1),
    lambda m: m.get_page_json("s", 0, 1),
    lambda m: m.export("s", "csv"),
    lambda m: m.profile("s"),
    lambda m: m.update_dataframe("s", frame()),
    lambda m: m.delete_session("s"),
    lambda m: m.session_exists("s"),
    lambda m: m.touch_session("s"),
    lambda m: m.list_sessions(),
    lambda m: m.revision("s"),
    lambda m: m.get_metadata("s"),
    lambda m: m.update_metadata("s", {}),
    lambda m: m.edit("s", "x"),
    lambda m: m.commit_dataframe("s", frame(), "x"),
    lambda m: m.create_version("s", frame(), "x"),
    lambda m: m.undo("s"),
    lambda m: m.redo("s"),
    lambda m: m.restore("s", 1),
    lambda m: m.undo_last_change("s"),
    lambda m: m.redo_last_change("s"),
    lambda m: m.restore_version("s", 1),
    lambda m: m.get_history("s"),
    lambda m: m.diff_versions("s", 1),
    lambda m: m.get_intentional_missing("s"),
    lambda m: m.set_intentional_missing("s", "a", []),
    lambda m: m.set_intentional_missing_batch("s", {}),
    lambda m: m.add_audit_entry("s", "x"),
    lambda m: m.get_audit_log("s"),
    lambda m: m.get_initial_row_count("s"),
    lambda m: m.create_temp_storage({}, "x"),
    lambda m: m.get_temp_storage("s"),
    lambda m: m.delete_temp_storage("s"),
    lambda m: m.lock("s"),
    lambda m: m.cleanup_expired_sessions(),
    lambda m: m.cleanup_expired_temp_storage(),
    lambda m: m.get_active_sessions_count(),
    lambda m: m.check("s"),
    lambda m: m.compact(),
    lambda m: m.get_backend_type(),
    lambda m: m.is_redis_enabled(),
    lambda m: m.get_backend_health(),
]


def test_every_call_after_close_says_that_it_is_closed(manager: DataManager) -> None:
    manager.close()
    manager.close()
    for call in CALLS:
        with pytest.raises(StorageUnavailableError, match="closed"):
            call(manager)


def test_an_edit_that_outlives_its_manager_stores_nothing(manager: DataManager) -> None:
    session = manager.create_session(frame())
    with pytest.raises(StorageUnavailableError), manager.edit(session, "late") as df:  # noqa: PT012
        manager.close()
        df["a"] = 0


def test_a_closed_store_can_be_opened_again(tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as first:
        session = first.create_session(frame())
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as second:
        pd.testing.assert_frame_equal(second.get_dataframe(session), frame())


# --- the package ------------------------------------------------------------------------------------


def test_importing_framekeep_imports_nothing_heavy() -> None:
    code = (
        "import sys, framekeep; framekeep.errors.FramekeepError\n"
        "sys.exit(bool({'pandas', 'pyarrow', 'numpy', 'lmdb', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", [name for name in framekeep.__all__ if name != "errors"])
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(framekeep, name) is not None
    assert name in dir(framekeep)


def test_errors_are_there_by_name() -> None:
    assert framekeep.SessionNotFoundError is SessionNotFoundError
    assert issubclass(framekeep.ConflictError, FramekeepError)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = framekeep.nonsense  # type: ignore[attr-defined]


# --- reading a version ------------------------------------------------------------------------------


def test_a_version_is_read_without_stepping_to_it(manager: DataManager) -> None:
    session = manager.create_session(frame())
    manager.commit_dataframe(session, frame(5), "two more rows")
    manager.commit_dataframe(session, frame(7), "two more again")
    before = manager.revision(session)
    assert [len(manager.get_dataframe(session, version=number)) for number in (1, 2)] == [3, 5]
    assert manager.get_table(session, version=1).num_rows == 3
    assert manager.get_page(session, 2, 9, ["a"], version=2)["a"].tolist() == [2, 3, 4]
    assert len(manager.get_dataframe(session)) == 7
    assert manager.revision(session) == before


def test_a_version_that_is_not_there_is_an_error(manager: DataManager) -> None:
    session = manager.create_session(frame())
    for read in (
        lambda: manager.get_dataframe(session, version=9),
        lambda: manager.get_table(session, version=9),
        lambda: manager.get_page(session, 0, 1, version=9),
    ):
        with pytest.raises(VersionNotFoundError, match="9"):
            read()


def test_every_change_of_the_data_can_expect_a_revision(manager: DataManager) -> None:
    df = pd.DataFrame({"a": [1]})
    session = manager.create_session(df)
    manager.commit_dataframe(session, pd.DataFrame({"a": [2]}), "x")
    old = manager.revision(session)
    manager.commit_dataframe(session, pd.DataFrame({"a": [3]}), "x")
    changes: list[Callable[[], object]] = [
        lambda: manager.update_dataframe(session, df, expected_revision=old),
        lambda: manager.create_version(session, df, "x", expected_revision=old),
        lambda: manager.commit_dataframe(session, df, "x", expected_revision=old),
        lambda: manager.undo(session, expected_revision=old),
        lambda: manager.restore(session, 1, expected_revision=old),
    ]
    for change in changes:
        with pytest.raises(ConflictError):
            change()


def test_a_manager_takes_its_settings_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_DIR", str(tmp_path / "here"))
    (tmp_path / ".env").write_text("MAX_VERSIONS=2\nSTORAGE_DIR=elsewhere\n")
    with DataManager() as manager:
        session = manager.create_session(pd.DataFrame({"a": [0]}))
        for i in range(4):
            manager.commit_dataframe(session, pd.DataFrame({"a": [i]}), "x")
        assert len(manager.get_history(session)) == 2
    assert (tmp_path / "here").is_dir()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("settings", ["some-directory", {"storage_dir": "x"}])
def test_what_is_no_settings_is_refused_with_the_way_to_say_it(settings: Any) -> None:
    with pytest.raises(ConfigurationError, match="Settings"):
        DataManager(settings)


def test_apply_puts_what_a_function_makes_in_place(manager: DataManager) -> None:
    session = manager.create_session(frame(5))
    assert manager.apply(session, "even rows", lambda df: df[df["a"] % 2 == 0]) == 1
    assert manager.get_dataframe(session)["a"].tolist() == [0, 2, 4]
    assert manager.apply(session, "nothing", lambda df: df) is None
    assert len(manager.undo_last_change(session)) == 5


def test_apply_of_a_function_that_returns_nothing_is_refused(manager: DataManager) -> None:
    session = manager.create_session(frame())
    with pytest.raises(InvalidInputError, match="in-place"):
        manager.apply(session, "forgot to return", lambda df: None)
    assert manager.get_history(session) == []


def test_metadata_beyond_a_mebibyte_are_refused(manager: DataManager) -> None:
    session = manager.create_session(frame())
    manager.update_metadata(session, {"half": "x" * 600_000})
    with pytest.raises(InvalidMetadataError, match="1,048,576"):
        manager.update_metadata(session, {"other half": "x" * 600_000})
    assert "other half" not in manager.get_metadata(session)

"""The conformance suite of a backend: the 27 methods of ``StorageBackend`` and what goes beyond them.

Subclass ``BackendContract`` in a test module and give it backends::

    class TestMyBackend(BackendContract):
        def make_backend(self, clock):
            return SessionBackend(MyEngine(clock=clock), FrameCodec(), clock=clock)

Each backend starts empty. A backend whose storage has a clock of its own overrides ``advance``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from framekeep.errors import (
    ConflictError,
    InvalidIdError,
    InvalidInputError,
    InvalidMarksError,
    InvalidMetadataError,
    NotADataFrameError,
    NothingToRedoError,
    NothingToUndoError,
    SessionExistsError,
    SessionNotFoundError,
    TempStorageNotFoundError,
    UnknownColumnError,
    UnsupportedTypeError,
    VersionNotFoundError,
)
from framekeep.sessions import SessionBackend, StorageBackend
from framekeep.testing.clock import ManualClock

try:
    import pytest
except ImportError as error:  # pragma: no cover - without pytest there is nothing to subclass for
    raise ImportError("framekeep.testing.backend needs pytest: pip install 'framekeep[dev]'") from error

TTL = 3600.0
START = datetime(2026, 11, 25, 8, 44, 32, tzinfo=UTC)


def sample(rows: int = 4) -> pd.DataFrame:
    """Return a small mixed frame."""
    return pd.DataFrame(
        {
            "age": np.arange(rows, dtype="float64"),
            "sex": ["f", "m"] * (rows // 2) + ["f"] * (rows % 2),
            "seen": pd.date_range("2026-01-01", periods=rows),
        }
    )


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Say whether two frames are equal, labels and dtypes included."""
    try:
        pd.testing.assert_frame_equal(a, b, check_freq=False)
    except AssertionError:
        return False
    return True


class BackendContract:
    """What every backend does. Each test has one behaviour."""

    def make_backend(self, clock: ManualClock) -> SessionBackend:
        """Return an empty backend that goes by ``clock``."""
        raise NotImplementedError

    def advance(self, clock: ManualClock, seconds: float) -> None:
        """Let that much time pass for the backend."""
        clock.advance(seconds)

    @pytest.fixture
    def clock(self) -> ManualClock:
        """A clock that stands at START."""
        return ManualClock(START.timestamp())

    @pytest.fixture
    def backend(self, clock: ManualClock) -> Iterator[SessionBackend]:
        """An empty backend."""
        backend = self.make_backend(clock)
        yield backend
        backend.close()

    @pytest.fixture
    def session(self, backend: SessionBackend) -> str:
        """A session of ``sample()`` that lives for TTL."""
        backend.create_session("s1", sample(), "trial.csv", TTL)
        return "s1"

    def test_it_is_a_storage_backend(self, backend: SessionBackend) -> None:
        assert isinstance(backend, StorageBackend)

    # --- sessions ----------------------------------------------------------------------------------

    def test_a_created_session_gives_its_frame_back(self, backend: SessionBackend, session: str) -> None:
        assert same(backend.get_dataframe(session), sample())

    def test_an_id_is_taken_once(self, backend: SessionBackend, session: str) -> None:
        with pytest.raises(SessionExistsError, match="s1"):
            backend.create_session(session, sample(2), "other.csv", TTL)
        assert same(backend.get_dataframe(session), sample())

    def test_the_id_of_an_expired_session_is_free(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, TTL)
        backend.create_session(session, sample(2), "other.csv", TTL)
        assert len(backend.get_dataframe(session)) == 2
        assert len(backend.get_audit_log(session)) == 1

    def test_a_frame_may_be_changed_by_its_reader(self, backend: SessionBackend, session: str) -> None:
        frame = backend.get_dataframe(session)
        frame.loc[0, "age"] = 99.0
        frame["new"] = 1
        assert same(backend.get_dataframe(session), sample())

    def test_a_copy_may_be_changed_by_its_reader(self, backend: SessionBackend, session: str) -> None:
        frame = backend.get_dataframe(session, copy=True)
        frame.loc[0, "age"] = 99.0
        assert same(backend.get_dataframe(session), sample())

    def test_a_stored_frame_is_apart_from_the_callers(self, backend: SessionBackend) -> None:
        frame = sample()
        backend.create_session("s2", frame, "x", TTL)
        frame.loc[0, "age"] = 99.0
        assert same(backend.get_dataframe("s2"), sample())

    def test_update_replaces_the_frame(self, backend: SessionBackend, session: str) -> None:
        backend.update_dataframe(session, sample(7))
        assert same(backend.get_dataframe(session), sample(7))

    def test_update_makes_no_version(self, backend: SessionBackend, session: str) -> None:
        backend.update_dataframe(session, sample(7))
        assert backend.get_history(session) == []

    @pytest.mark.parametrize(
        "frame",
        [
            pd.DataFrame(),
            pd.DataFrame(index=range(3)),
            pd.DataFrame(columns=["a", "b"]),
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            pd.DataFrame({"o": [1, "x", None, 2**80]}, dtype=object),
        ],
        ids=["0x0", "rows only", "columns only", "repeated label", "objects"],
    )
    def test_frames_of_odd_shapes_are_kept(self, backend: SessionBackend, frame: pd.DataFrame) -> None:
        backend.create_session("s2", frame, "x", TTL)
        assert same(backend.get_dataframe("s2"), frame)

    @pytest.mark.parametrize("argument", [None, 5, "frame", [1, 2], {"a": [1]}, np.zeros((2, 2))], ids=repr)
    def test_what_is_no_frame_is_refused_and_nothing_stored(
        self, backend: SessionBackend, session: str, argument: Any
    ) -> None:
        for call in (
            lambda: backend.create_session("s2", argument, "x", TTL),
            lambda: backend.update_dataframe(session, argument),
            lambda: backend.create_version(session, argument, "x"),
            lambda: backend.commit_dataframe(session, argument, "x"),
        ):
            with pytest.raises(NotADataFrameError):
                call()
        assert not backend.session_exists("s2")
        assert same(backend.get_dataframe(session), sample())

    def test_a_value_that_cannot_be_kept_is_refused_by_column(
        self, backend: SessionBackend, session: str
    ) -> None:
        with pytest.raises(UnsupportedTypeError, match="thing"):
            backend.update_dataframe(session, pd.DataFrame({"thing": [object()]}))
        assert same(backend.get_dataframe(session), sample())

    def test_a_deleted_session_is_gone(self, backend: SessionBackend, session: str) -> None:
        assert backend.delete_session(session) is True
        assert backend.session_exists(session) is False
        with pytest.raises(SessionNotFoundError):
            backend.get_dataframe(session)

    def test_deleting_what_is_not_there_says_so(self, backend: SessionBackend) -> None:
        assert backend.delete_session("unknown") is False

    def test_sessions_are_listed_and_counted(self, backend: SessionBackend, clock: ManualClock) -> None:
        backend.create_session("b", sample(), "x", TTL)
        backend.create_session("a", sample(), "x", 10.0)
        backend.create_temp_storage("t", {}, "x")
        assert (backend.list_sessions(), backend.get_active_sessions_count()) == (["a", "b"], 2)
        self.advance(clock, 10.0)
        assert (backend.list_sessions(), backend.get_active_sessions_count()) == (["b"], 1)

    # --- ids and other arguments -------------------------------------------------------------------

    @pytest.mark.parametrize(
        "bad",
        ["", "../etc", "a/b", "a b", "a:b", "a*", ".hidden", "-dash", "a..b", "x" * 129, "ü", "a\n", 7, None],
        ids=repr,
    )
    def test_a_malformed_id_is_refused_everywhere(self, backend: SessionBackend, bad: Any) -> None:
        for call in (
            lambda: backend.create_session(bad, sample(), "x", TTL),
            lambda: backend.get_dataframe(bad),
            lambda: backend.update_dataframe(bad, sample()),
            lambda: backend.delete_session(bad),
            lambda: backend.session_exists(bad),
            lambda: backend.touch_session(bad, TTL),
            lambda: backend.get_metadata(bad),
            lambda: backend.undo_last_change(bad),
            lambda: backend.edit(bad, "x"),
            lambda: backend.create_temp_storage(bad, {}, "x"),
            lambda: backend.get_temp_storage(bad),
            lambda: backend.delete_temp_storage(bad),
        ):
            with pytest.raises(InvalidIdError):
                call()

    def test_an_unknown_id_is_not_found_anywhere(self, backend: SessionBackend) -> None:
        for call in (
            lambda: backend.get_dataframe("nope"),
            lambda: backend.get_table("nope"),
            lambda: backend.get_page("nope", 0, 1),
            lambda: backend.update_dataframe("nope", sample()),
            lambda: backend.touch_session("nope", TTL),
            lambda: backend.get_metadata("nope"),
            lambda: backend.update_metadata("nope", {}),
            lambda: backend.create_version("nope", sample(), "x"),
            lambda: backend.commit_dataframe("nope", sample(), "x"),
            lambda: backend.undo_last_change("nope"),
            lambda: backend.redo_last_change("nope"),
            lambda: backend.restore_version("nope", 1),
            lambda: backend.get_history("nope"),
            lambda: backend.diff_versions("nope", 1),
            lambda: backend.get_intentional_missing("nope"),
            lambda: backend.set_intentional_missing("nope", "age", [1]),
            lambda: backend.set_intentional_missing_batch("nope", {}),
            lambda: backend.add_audit_entry("nope", "x"),
            lambda: backend.get_audit_log("nope"),
            lambda: backend.get_initial_row_count("nope"),
            lambda: backend.revision("nope"),
            lambda: backend.check("nope"),
            lambda: backend.edit("nope", "x").__enter__(),
        ):
            with pytest.raises(SessionNotFoundError, match="nope"):
                call()

    @pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "10", None, True], ids=repr)
    def test_a_time_to_live_is_a_positive_number(
        self, backend: SessionBackend, session: str, ttl: Any
    ) -> None:
        calls: list[Callable[[], object]] = [
            lambda: backend.create_session("s2", sample(), "x", ttl),
            lambda: backend.touch_session(session, ttl),
            lambda: backend.create_temp_storage("t", {}, "x", ttl),
        ]
        for call in calls:
            with pytest.raises(InvalidInputError):
                call()

    def test_texts_are_strings(self, backend: SessionBackend, session: str) -> None:
        wrong: Any = 5
        for call in (
            lambda: backend.create_session("s2", sample(), wrong, TTL),
            lambda: backend.create_version(session, sample(), wrong),
            lambda: backend.commit_dataframe(session, sample(), wrong),
            lambda: backend.edit(session, wrong),
            lambda: backend.add_audit_entry(session, wrong),
            lambda: backend.create_temp_storage("t", {}, wrong),
        ):
            with pytest.raises(InvalidInputError):
                call()

    # --- expiry --------------------------------------------------------------------------------------

    def test_a_session_is_gone_at_its_expiry_for_every_reader(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, TTL)
        assert backend.session_exists(session) is False
        for call in (
            lambda: backend.get_dataframe(session),
            lambda: backend.get_metadata(session),
            lambda: backend.undo(session),
            lambda: backend.get_audit_log(session),
        ):
            with pytest.raises(SessionNotFoundError):
                call()

    @pytest.mark.parametrize(
        "access",
        [
            lambda b: b.get_dataframe("s1"),
            lambda b: b.get_table("s1"),
            lambda b: b.get_page("s1", 0, 1),
            lambda b: b.get_metadata("s1"),
            lambda b: b.get_history("s1"),
            lambda b: b.get_intentional_missing("s1"),
            lambda b: b.get_audit_log("s1"),
            lambda b: b.get_initial_row_count("s1"),
            lambda b: b.update_dataframe("s1", sample()),
            lambda b: b.update_metadata("s1", {"a": 1}),
            lambda b: b.update_metadata("s1", {}),
            lambda b: b.create_version("s1", sample(), "x"),
            lambda b: b.set_intentional_missing("s1", "age", [1]),
            lambda b: b.set_intentional_missing("s1", "age", []),
            lambda b: b.add_audit_entry("s1", "x"),
        ],
        ids=[
            "get_dataframe",
            "get_table",
            "get_page",
            "get_metadata",
            "get_history",
            "get_intentional_missing",
            "get_audit_log",
            "get_initial_row_count",
            "update_dataframe",
            "update_metadata",
            "update_metadata with nothing",
            "create_version",
            "set_intentional_missing",
            "set_intentional_missing to what is",
            "add_audit_entry",
        ],
    )
    def test_a_read_or_write_moves_the_expiry(
        self, backend: SessionBackend, session: str, clock: ManualClock, access: Any
    ) -> None:
        self.advance(clock, TTL - 10)
        access(backend)
        self.advance(clock, TTL - 10)
        assert backend.session_exists(session)
        self.advance(clock, 10)
        assert not backend.session_exists(session)

    def test_listing_does_not_move_the_expiry(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, TTL - 10)
        backend.list_sessions()
        backend.get_active_sessions_count()
        backend.session_exists(session)
        backend.check(session)
        self.advance(clock, 10)
        assert not backend.session_exists(session)

    def test_touch_makes_its_time_the_sessions_own(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        backend.touch_session(session, 10.0)
        self.advance(clock, 9)
        backend.get_history(session)
        self.advance(clock, 9)
        assert backend.session_exists(session)
        self.advance(clock, 1)
        assert not backend.session_exists(session)

    def test_cleanup_counts_what_it_frees(self, backend: SessionBackend, clock: ManualClock) -> None:
        for number in range(3):
            backend.create_session(f"s{number}", sample(), "x", 10.0)
        backend.create_session("stays", sample(), "x", TTL)
        backend.create_temp_storage("t", {"a": sample()}, "x", 10.0)
        self.advance(clock, 10)
        assert (backend.cleanup_expired_sessions(), backend.cleanup_expired_sessions()) == (3, 0)
        assert (backend.cleanup_expired_temp_storage(), backend.cleanup_expired_temp_storage()) == (1, 0)
        assert backend.list_sessions() == ["stays"]

    # --- metadata ------------------------------------------------------------------------------------

    def test_metadata_describe_the_session(self, backend: SessionBackend, session: str) -> None:
        found = backend.get_metadata(session)
        assert {key: found[key] for key in ("session_id", "filename", "shape", "columns", "dtypes")} == {
            "session_id": "s1",
            "filename": "trial.csv",
            "shape": (4, 3),
            "columns": ["age", "sex", "seen"],
            "dtypes": {"age": "float64", "sex": "str", "seen": str(sample()["seen"].dtype)},
        }
        assert found["bytes"] > 0
        assert found["current_version"] == 0

    def test_metadata_tell_the_instants(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, 60)
        backend.get_dataframe(session)
        self.advance(clock, 40)
        found = backend.get_metadata(session)
        expected = (START, START + timedelta(seconds=60), START + timedelta(seconds=100 + TTL))
        instants = (found["created_at"], found["last_accessed"], found["expires_at"])
        for got, wanted in zip(instants, expected, strict=True):
            assert got.tzinfo is not None
            assert abs(got - wanted) < timedelta(seconds=1)

    def test_metadata_of_repeated_labels_list_the_dtypes(self, backend: SessionBackend) -> None:
        backend.create_session("s2", pd.DataFrame([[1, 2.0]], columns=["a", "a"]), "x", TTL)
        assert backend.get_metadata("s2")["dtypes"] == ["int64", "float64"]

    def test_metadata_follow_the_frame(self, backend: SessionBackend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        found = backend.get_metadata(session)
        assert (found["shape"], found["current_version"]) == ((9, 3), 1)
        backend.undo(session)
        found = backend.get_metadata(session)
        assert (found["shape"], found["current_version"]) == ((4, 3), 0)

    def test_the_callers_metadata_are_merged(self, backend: SessionBackend, session: str) -> None:
        backend.update_metadata(session, {"step": 1, "tags": ["a", {"b": None}]})
        backend.update_metadata(session, {"step": 2, "ü": 0.1})
        found = backend.get_metadata(session)
        assert (found["step"], found["tags"], found["ü"]) == (2, ["a", {"b": None}], 0.1)

    def test_metadata_change_neither_revision_nor_redo(self, backend: SessionBackend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        before = backend.revision(session)
        backend.update_metadata(session, {"step": 1})
        backend.add_audit_entry(session, "looked at")
        assert backend.revision(session) == before
        backend.redo(session)

    @pytest.mark.parametrize(
        "value",
        [
            float("nan"),
            float("inf"),
            {1},
            (1,),
            b"x",
            np.float64(1),
            START,
            object(),
            {"a": {2: 3}},
            10**5000,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_metadata_that_are_not_json_are_refused(
        self, backend: SessionBackend, session: str, value: Any
    ) -> None:
        with pytest.raises(InvalidMetadataError, match="key"):
            backend.update_metadata(session, {"good": 1, "key": value})
        assert "good" not in backend.get_metadata(session)

    def test_metadata_nested_without_end_are_refused(self, backend: SessionBackend, session: str) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(InvalidMetadataError, match="nested"):
            backend.update_metadata(session, {"key": endless})

    @pytest.mark.parametrize("metadata", [None, [("a", 1)], "a", {1: 2}], ids=repr)
    def test_metadata_are_a_mapping_with_string_keys(
        self, backend: SessionBackend, session: str, metadata: Any
    ) -> None:
        with pytest.raises(InvalidMetadataError):
            backend.update_metadata(session, metadata)

    def test_metadata_do_not_overwrite_what_framekeep_fills(
        self, backend: SessionBackend, session: str
    ) -> None:
        with pytest.raises(InvalidMetadataError, match="filename"):
            backend.update_metadata(session, {"filename": "x"})

    # --- versions ------------------------------------------------------------------------------------

    def test_a_version_is_what_undo_brings_back(self, backend: SessionBackend, session: str) -> None:
        assert backend.create_version(session, sample(), "grow") == 1
        backend.update_dataframe(session, sample(9))
        assert same(backend.undo_last_change(session), sample())
        assert same(backend.get_dataframe(session), sample())

    def test_redo_brings_the_change_back(self, backend: SessionBackend, session: str) -> None:
        backend.create_version(session, sample(), "grow")
        backend.update_dataframe(session, sample(9))
        backend.undo_last_change(session)
        assert same(backend.redo_last_change(session), sample(9))

    def test_commit_is_a_version_of_what_was_and_the_new_frame(
        self, backend: SessionBackend, session: str
    ) -> None:
        assert backend.commit_dataframe(session, sample(9), "grow") == 1
        assert same(backend.get_dataframe(session), sample(9))
        assert same(backend.undo_last_change(session), sample())

    def test_undo_redo_and_restore_tell_the_version(self, backend: SessionBackend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        for told, rows in (
            (backend.undo(session), 4),
            (backend.redo(session), 9),
            (backend.restore(session, 1), 4),
        ):
            assert (told["version_id"], told["action_summary"], told["rows"]) == (1, "grow", rows)

    def test_undo_with_nothing_to_undo_is_refused(self, backend: SessionBackend, session: str) -> None:
        with pytest.raises(NothingToUndoError) as caught:
            backend.undo_last_change(session)
        assert isinstance(caught.value, ValueError)

    def test_redo_with_nothing_to_redo_is_refused(self, backend: SessionBackend, session: str) -> None:
        with pytest.raises(NothingToRedoError):
            backend.redo_last_change(session)

    def test_a_new_change_clears_what_could_be_redone(self, backend: SessionBackend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        backend.update_dataframe(session, sample(5))
        with pytest.raises(NothingToRedoError):
            backend.redo(session)

    def test_five_versions_are_kept_the_oldest_dropped_first(
        self, backend: SessionBackend, session: str
    ) -> None:
        for number in range(8):
            backend.commit_dataframe(session, sample(number + 5), f"to {number + 5}")
        assert [version["version_id"] for version in backend.get_history(session)] == [4, 5, 6, 7, 8]
        for _ in range(5):
            frame = backend.undo_last_change(session)
        assert same(frame, sample(7))
        with pytest.raises(NothingToUndoError):
            backend.undo(session)

    @pytest.mark.parametrize("maximum", [0, 1, 3, 20])
    def test_any_number_of_versions_can_be_kept(
        self, backend: SessionBackend, session: str, maximum: int
    ) -> None:
        for number in range(6):
            backend.create_version(session, sample(number), "x", maximum)
        assert len(backend.get_history(session)) == min(6, maximum)

    @pytest.mark.parametrize("maximum", [-1, 1.5, "5", None, True], ids=repr)
    def test_the_number_of_versions_is_checked(
        self, backend: SessionBackend, session: str, maximum: Any
    ) -> None:
        with pytest.raises(InvalidInputError):
            backend.create_version(session, sample(), "x", maximum)

    def test_restore_brings_a_version_back_and_loses_none(
        self, backend: SessionBackend, session: str
    ) -> None:
        for number in range(3):
            backend.commit_dataframe(session, sample(number + 5), "grow")
        assert same(backend.restore_version(session, 2), sample(5))
        assert [entry["undone"] for entry in backend.get_history(session)] == [False, True, True]
        for _ in range(2):
            frame = backend.redo_last_change(session)
        assert same(frame, sample(7))

    @pytest.mark.parametrize("version", [1, 99])
    def test_a_version_that_is_not_kept_is_not_found(
        self, backend: SessionBackend, session: str, version: int
    ) -> None:
        for _ in range(3):
            backend.create_version(session, sample(), "x", 2)
        with pytest.raises(VersionNotFoundError):
            backend.restore_version(session, version)

    @pytest.mark.parametrize("version", [-1, 1.0, "1", None, True], ids=repr)
    def test_a_version_id_is_checked(self, backend: SessionBackend, session: str, version: Any) -> None:
        with pytest.raises(InvalidInputError):
            backend.restore_version(session, version)

    def test_history_describes_the_state_before_each_action(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        self.advance(clock, 5)
        backend.commit_dataframe(session, sample(2), "shrink")
        first, second = backend.get_history(session)
        assert (first["version_id"], first["action_summary"], first["rows"]) == (1, "grow", 4)
        assert (second["version_id"], second["action_summary"], second["rows"]) == (2, "shrink", 9)
        assert second["created_at"] - first["created_at"] == timedelta(seconds=5)
        assert json.dumps([{**first, "created_at": ""}])

    def test_history_stays_the_same_through_undo_but_for_what_is_undone(
        self, backend: SessionBackend, session: str
    ) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.commit_dataframe(session, sample(2), "shrink")
        before = backend.get_history(session)
        backend.undo(session)
        after = backend.get_history(session)
        assert [entry.pop("undone") for entry in before] == [False, False]
        assert [entry.pop("undone") for entry in after] == [False, True]
        assert before == after

    # --- edit ----------------------------------------------------------------------------------------

    def test_an_edit_commits_what_changed_as_one_version(self, backend: SessionBackend, session: str) -> None:
        step = backend.edit(session, "double")
        with step as frame:
            frame["age"] *= 2
            frame.loc[0, "sex"] = "x"
        assert step.version_id == 1
        wanted = sample().assign(age=sample()["age"] * 2)
        wanted.loc[0, "sex"] = "x"
        assert same(backend.get_dataframe(session), wanted)
        assert same(backend.undo_last_change(session), sample())

    def test_an_edit_that_changes_nothing_makes_no_version(
        self, backend: SessionBackend, session: str
    ) -> None:
        before = backend.revision(session)
        step = backend.edit(session, "look")
        with step as frame:
            frame["age"] = frame["age"] + 0
        assert step.version_id is None
        assert backend.revision(session) == before
        assert len(backend.get_audit_log(session)) == 1

    def test_an_edit_that_raises_changes_nothing(self, backend: SessionBackend, session: str) -> None:
        with pytest.raises(ZeroDivisionError), backend.edit(session, "fail") as frame:  # noqa: PT012
            frame["age"] = 0.0
            _ = 1 // 0
        assert same(backend.get_dataframe(session), sample())
        assert backend.get_history(session) == []

    def test_an_edit_can_replace_the_frame(self, backend: SessionBackend, session: str) -> None:
        step = backend.edit(session, "drop")
        with step as frame:
            step.replace(frame[frame["age"] > 1].reset_index(drop=True))
        assert len(backend.get_dataframe(session)) == 2

    def test_an_edit_does_not_overwrite_a_change_made_meanwhile(
        self, backend: SessionBackend, session: str
    ) -> None:
        with pytest.raises(ConflictError), backend.edit(session, "slow") as frame:  # noqa: PT012
            backend.update_dataframe(session, sample(9))
            frame["age"] = 0.0
        assert same(backend.get_dataframe(session), sample(9))

    def test_an_edit_goes_with_metadata_audit_and_time_to_live_changed_meanwhile(
        self, backend: SessionBackend, session: str
    ) -> None:
        with backend.edit(session, "slow") as frame:
            backend.update_metadata(session, {"a": 1})
            backend.add_audit_entry(session, "meanwhile")
            backend.touch_session(session, 77.0)
            frame["age"] = 0.0
        assert backend.get_metadata(session)["a"] == 1
        assert "meanwhile" in backend.get_audit_log(session)[1]
        assert backend.get_dataframe(session)["age"].eq(0.0).all()

    def test_an_edit_is_used_once(self, backend: SessionBackend, session: str) -> None:
        step = backend.edit(session, "x")
        with step:
            pass
        with pytest.raises(InvalidInputError, match="once"):
            step.__enter__()
        with pytest.raises(InvalidInputError, match="inside"):
            step.replace(sample())

    def test_a_change_that_expects_an_older_revision_is_refused(
        self, backend: SessionBackend, session: str
    ) -> None:
        revision = backend.revision(session)
        backend.update_dataframe(session, sample(5), expected_revision=revision)
        for call in (
            lambda: backend.update_dataframe(session, sample(6), expected_revision=revision),
            lambda: backend.commit_dataframe(session, sample(6), "x", expected_revision=revision),
            lambda: backend.create_version(session, sample(6), "x", expected_revision=revision),
        ):
            with pytest.raises(ConflictError, match="s1"):
                call()
        assert same(backend.get_dataframe(session), sample(5))

    # --- intentional missing -------------------------------------------------------------------------

    def test_a_session_starts_without_marks(self, backend: SessionBackend, session: str) -> None:
        assert backend.get_intentional_missing(session) == {}

    def test_marks_are_given_back_sorted(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [3, 0, 3])
        assert backend.get_intentional_missing(session) == {"age": [0, 3]}

    def test_marks_replace_those_of_their_column_only(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing_batch(session, {"age": [0], "sex": iter([1, 2])})
        backend.set_intentional_missing(session, "age", [3])
        assert backend.get_intentional_missing(session) == {"age": [3], "sex": [1, 2]}
        backend.set_intentional_missing(session, "age", [])
        assert backend.get_intentional_missing(session) == {"sex": [1, 2]}

    def test_marks_of_a_column_or_row_that_is_not_there_are_refused_as_a_whole(
        self, backend: SessionBackend, session: str
    ) -> None:
        for changes in ({"age": [0], "weight": [0]}, {"sex": [0], "age": [4]}, {"age": [-1]}):
            with pytest.raises(InvalidMarksError):
                backend.set_intentional_missing_batch(session, changes)
        assert backend.get_intentional_missing(session) == {}

    def test_marks_travel_with_versions(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        backend.commit_dataframe(session, sample(9), "grow")
        backend.set_intentional_missing(session, "age", [8])
        backend.undo(session)
        assert backend.get_intentional_missing(session) == {"age": [0]}
        backend.redo(session)
        assert backend.get_intentional_missing(session) == {"age": [8]}

    def test_marks_follow_the_frame_as_far_as_it_goes(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing_batch(session, {"age": [0, 3], "sex": [1], "seen": [2]})
        backend.commit_dataframe(session, sample(3)[["sex", "age"]], "cut")
        assert backend.get_intentional_missing(session) == {"age": [0], "sex": [1]}
        backend.undo(session)
        assert backend.get_intentional_missing(session) == {"age": [0, 3], "sex": [1], "seen": [2]}

    def test_new_marks_clear_what_could_be_redone(self, backend: SessionBackend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        backend.set_intentional_missing(session, "age", [0])
        with pytest.raises(NothingToRedoError):
            backend.redo(session)

    def test_marks_that_are_set_already_change_nothing(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        before = backend.revision(session)
        backend.set_intentional_missing(session, "age", [0])
        assert backend.revision(session) == before

    # --- audit ---------------------------------------------------------------------------------------

    def test_the_audit_log_begins_with_the_creation(self, backend: SessionBackend, session: str) -> None:
        assert backend.get_audit_log(session) == [
            "[2026-11-25 08:44:32 UTC] Session created from 'trial.csv'. Initial rows: 4, columns: 3"
        ]

    def test_an_entry_is_stamped_and_appended(
        self, backend: SessionBackend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, 61)
        backend.add_audit_entry(session, "Größe geprüft \ud800")
        assert backend.get_audit_log(session)[1:] == ["[2026-11-25 08:45:33 UTC] Größe geprüft \ud800"]

    def test_every_verb_leaves_its_entry(self, backend: SessionBackend, session: str) -> None:
        backend.create_version(session, sample(), "first")
        backend.update_dataframe(session, sample(9))
        backend.commit_dataframe(session, sample(2), "second")
        backend.undo_last_change(session)
        backend.redo_last_change(session)
        backend.restore_version(session, 1)
        found = [line.partition("] ")[2] for line in backend.get_audit_log(session)[1:]]
        assert found == [
            "Version 1 created: first",
            "Data updated. Rows: 9, columns: 3",
            "Version 2: second. Rows: 2, columns: 3",
            "Undid version 2: second",
            "Redid version 2: second",
            "Restored version 1: first",
        ]

    def test_a_deletion_is_recorded_in_the_log_of_the_program(
        self, backend: SessionBackend, session: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", logger="framekeep"):
            backend.delete_session(session)
        assert "Session s1 deleted" in caplog.text

    def test_the_initial_row_count_stays(self, backend: SessionBackend, session: str) -> None:
        backend.update_dataframe(session, sample(9))
        assert backend.get_initial_row_count(session) == 4

    # --- temporary storage ---------------------------------------------------------------------------

    def test_sheets_come_back_in_order(self, backend: SessionBackend, clock: ManualClock) -> None:
        backend.create_temp_storage("t", {"b": sample(), "a": sample(2), "c": sample()}, "book.xlsx")
        found = backend.get_temp_storage("t")
        assert {**found, "sheets": list(found["sheets"])} == {
            "temp_id": "t",
            "filename": "book.xlsx",
            "sheets": ["b", "a", "c"],
            "created_at": START,
            "expires_at": found["expires_at"],
        }
        assert abs(found["expires_at"] - START - timedelta(seconds=1800)) < timedelta(seconds=1)
        assert same(found["sheets"]["a"], sample(2))
        assert same(found["sheets"]["b"], sample())

    def test_a_new_upload_replaces_the_sheets(self, backend: SessionBackend) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "one.xlsx")
        backend.create_temp_storage("t", {"b": sample(2)}, "two.xlsx")
        found = backend.get_temp_storage("t")
        assert (found["filename"], list(found["sheets"])) == ("two.xlsx", ["b"])

    def test_temporary_storage_expires_although_it_is_read(
        self, backend: SessionBackend, clock: ManualClock
    ) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "x", 100)
        self.advance(clock, 99)
        backend.get_temp_storage("t")
        self.advance(clock, 1)
        with pytest.raises(TempStorageNotFoundError, match="'t'"):
            backend.get_temp_storage("t")

    def test_temporary_storage_can_be_deleted(self, backend: SessionBackend) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "x")
        assert (backend.delete_temp_storage("t"), backend.delete_temp_storage("t")) == (True, False)
        with pytest.raises(TempStorageNotFoundError):
            backend.get_temp_storage("t")

    def test_a_sheet_that_is_no_frame_is_refused_and_nothing_kept(self, backend: SessionBackend) -> None:
        wrong: Any = [1]
        with pytest.raises(NotADataFrameError):
            backend.create_temp_storage("t", {"a": sample(), "b": wrong}, "x")
        with pytest.raises(TempStorageNotFoundError):
            backend.get_temp_storage("t")

    @pytest.mark.parametrize("sheets", [None, [sample()], {1: sample()}], ids=["None", "list", "int name"])
    def test_sheets_are_a_mapping_with_string_names(self, backend: SessionBackend, sheets: Any) -> None:
        with pytest.raises(InvalidInputError):
            backend.create_temp_storage("t", sheets, "x")

    def test_a_session_and_a_temporary_storage_may_share_an_id(
        self, backend: SessionBackend, session: str
    ) -> None:
        backend.create_temp_storage(session, {"a": sample(2)}, "x")
        backend.delete_session(session)
        assert len(backend.get_temp_storage(session)["sheets"]["a"]) == 2

    # --- tables, pages, differences ------------------------------------------------------------------

    def test_the_frame_is_given_as_a_table(self, backend: SessionBackend, session: str) -> None:
        table = backend.get_table(session)
        assert (table.num_rows, table.column_names) == (4, ["age", "sex", "seen"])
        assert table.column("sex").to_pylist() == ["f", "m", "f", "m"]

    @pytest.mark.parametrize(("offset", "limit"), [(0, 2), (1, 2), (3, 10), (4, 1), (100, 1), (0, 0)])
    def test_a_page_is_that_part_of_the_frame(
        self, backend: SessionBackend, session: str, offset: int, limit: int
    ) -> None:
        page = backend.get_page(session, offset, limit, ["seen", "age"])
        assert same(page, sample().iloc[offset : offset + limit][["seen", "age"]])

    def test_a_page_of_an_unknown_column_is_refused(self, backend: SessionBackend, session: str) -> None:
        with pytest.raises(UnknownColumnError, match="weight"):
            backend.get_page(session, 0, 1, ["weight"])

    @pytest.mark.parametrize(("offset", "limit"), [(-1, 1), (0, -1), (0.5, 1), ("0", 1), (None, 1)])
    def test_offset_and_limit_are_checked(
        self, backend: SessionBackend, session: str, offset: Any, limit: Any
    ) -> None:
        with pytest.raises(InvalidInputError):
            backend.get_page(session, offset, limit)

    def test_versions_can_be_compared(self, backend: SessionBackend, session: str) -> None:
        changed = sample()
        changed.loc[1, "age"] = 50.0
        backend.commit_dataframe(session, changed.drop(columns="seen"), "change")
        assert backend.diff_versions(session, 1, 1) is not None
        assert backend.diff_versions(session, 1, "current") != backend.diff_versions(session, 1, 1)

    @pytest.mark.parametrize(("which", "error"), [(9, VersionNotFoundError), ("now", InvalidInputError)])
    def test_only_kept_versions_can_be_compared(
        self, backend: SessionBackend, session: str, which: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            backend.diff_versions(session, which)

    # --- health --------------------------------------------------------------------------------------

    def test_a_healthy_backend_says_so(self, backend: SessionBackend, session: str) -> None:
        health = backend.health_check()
        assert (health["status"], health["reachable"], health["error"]) == ("healthy", True, None)
        assert health["active_sessions"] == 1
        assert health["latency_ms"] >= 0
        assert health["backend_type"] in ("inmemory", "redis")
        assert json.dumps(health)

    def test_a_closed_backend_is_unhealthy_and_raises_nothing(self, backend: SessionBackend) -> None:
        backend.close()
        health = backend.health_check()
        assert (health["status"], health["reachable"]) == ("unhealthy", False)
        assert health["error"]

    def test_a_sound_session_has_no_damage(self, backend: SessionBackend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        assert backend.check(session) == []

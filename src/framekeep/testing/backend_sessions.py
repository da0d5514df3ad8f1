"""Sessions: their life, their ids, their expiry: a part of ``BackendContract``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.errors import (
    InvalidIdError,
    InvalidInputError,
    NotADataFrameError,
    SessionExistsError,
    SessionNotFoundError,
    UnsupportedTypeError,
)
from framekeep.sessions import StorageBackend
from framekeep.testing.backend_base import TTL, Backend, BackendTests, same, sample
from framekeep.testing.clock import ManualClock


class SessionTests(BackendTests):
    """Sessions: their life, their ids, their expiry."""

    def test_it_is_a_storage_backend(self, backend: Backend) -> None:
        assert isinstance(backend, StorageBackend)

    # --- sessions ----------------------------------------------------------------------------------

    def test_a_created_session_gives_its_frame_back(self, backend: Backend, session: str) -> None:
        assert same(backend.get_dataframe(session), sample())

    def test_an_id_is_taken_once(self, backend: Backend, session: str) -> None:
        with pytest.raises(SessionExistsError, match="s1"):
            backend.create_session(session, sample(2), "other.csv", TTL)
        assert same(backend.get_dataframe(session), sample())

    def test_the_id_of_an_expired_session_is_free(
        self, backend: Backend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, TTL)
        backend.create_session(session, sample(2), "other.csv", TTL)
        assert len(backend.get_dataframe(session)) == 2
        assert len(backend.get_audit_log(session)) == 1

    def test_a_frame_may_be_changed_by_its_reader(self, backend: Backend, session: str) -> None:
        frame = backend.get_dataframe(session)
        frame.loc[0, "age"] = 99.0
        frame["new"] = 1
        assert same(backend.get_dataframe(session), sample())

    def test_a_copy_may_be_changed_by_its_reader(self, backend: Backend, session: str) -> None:
        frame = backend.get_dataframe(session, copy=True)
        frame.loc[0, "age"] = 99.0
        assert same(backend.get_dataframe(session), sample())

    def test_a_stored_frame_is_apart_from_the_callers(self, backend: Backend) -> None:
        frame = sample()
        backend.create_session("s2", frame, "x", TTL)
        frame.loc[0, "age"] = 99.0
        assert same(backend.get_dataframe("s2"), sample())

    def test_update_replaces_the_frame(self, backend: Backend, session: str) -> None:
        backend.update_dataframe(session, sample(7))
        assert same(backend.get_dataframe(session), sample(7))

    def test_update_makes_no_version(self, backend: Backend, session: str) -> None:
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
    def test_frames_of_odd_shapes_are_kept(self, backend: Backend, frame: pd.DataFrame) -> None:
        backend.create_session("s2", frame, "x", TTL)
        assert same(backend.get_dataframe("s2"), frame)

    @pytest.mark.parametrize("argument", [None, 5, "frame", [1, 2], {"a": [1]}, np.zeros((2, 2))], ids=repr)
    def test_what_is_no_frame_is_refused_and_nothing_stored(
        self, backend: Backend, session: str, argument: Any
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

    def test_a_value_that_cannot_be_kept_is_refused_by_column(self, backend: Backend, session: str) -> None:
        with pytest.raises(UnsupportedTypeError, match="thing"):
            backend.update_dataframe(session, pd.DataFrame({"thing": [object()]}))
        assert same(backend.get_dataframe(session), sample())

    def test_a_deleted_session_is_gone(self, backend: Backend, session: str) -> None:
        assert backend.delete_session(session) is True
        assert backend.session_exists(session) is False
        with pytest.raises(SessionNotFoundError):
            backend.get_dataframe(session)

    def test_deleting_what_is_not_there_says_so(self, backend: Backend) -> None:
        assert backend.delete_session("unknown") is False

    def test_sessions_are_listed_and_counted(self, backend: Backend, clock: ManualClock) -> None:
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
    def test_a_malformed_id_is_refused_everywhere(self, backend: Backend, bad: Any) -> None:
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

    def test_an_unknown_id_is_not_found_anywhere(self, backend: Backend) -> None:
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
    def test_a_time_to_live_is_a_positive_number(self, backend: Backend, session: str, ttl: Any) -> None:
        calls: list[Callable[[], object]] = [
            lambda: backend.create_session("s2", sample(), "x", ttl),
            lambda: backend.touch_session(session, ttl),
            lambda: backend.create_temp_storage("t", {}, "x", ttl),
        ]
        for call in calls:
            with pytest.raises(InvalidInputError):
                call()

    def test_texts_are_strings(self, backend: Backend, session: str) -> None:
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

    # --- expiry ------------------------------------------------------------------------------------

    def test_a_session_is_gone_at_its_expiry_for_every_reader(
        self, backend: Backend, session: str, clock: ManualClock
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
        self, backend: Backend, session: str, clock: ManualClock, access: Any
    ) -> None:
        self.advance(clock, TTL - 10)
        access(backend)
        self.advance(clock, TTL - 10)
        assert backend.session_exists(session)
        self.advance(clock, 10)
        assert not backend.session_exists(session)

    def test_listing_does_not_move_the_expiry(
        self, backend: Backend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, TTL - 10)
        backend.list_sessions()
        backend.get_active_sessions_count()
        backend.session_exists(session)
        backend.check(session)
        backend.get_metadata(session, touch=False)
        self.advance(clock, 10)
        assert not backend.session_exists(session)

    def test_touch_makes_its_time_the_sessions_own(
        self, backend: Backend, session: str, clock: ManualClock
    ) -> None:
        backend.touch_session(session, 10.0)
        self.advance(clock, 9)
        backend.get_history(session)
        self.advance(clock, 9)
        assert backend.session_exists(session)
        self.advance(clock, 1)
        assert not backend.session_exists(session)

    def test_cleanup_counts_what_it_frees(self, backend: Backend, clock: ManualClock) -> None:
        for number in range(3):
            backend.create_session(f"s{number}", sample(), "x", 10.0)
        backend.create_session("stays", sample(), "x", TTL)
        backend.create_temp_storage("t", {"a": sample()}, "x", 10.0)
        self.advance(clock, 10)
        assert (backend.cleanup_expired_sessions(), backend.cleanup_expired_sessions()) == (3, 0)
        assert (backend.cleanup_expired_temp_storage(), backend.cleanup_expired_temp_storage()) == (1, 0)
        assert backend.list_sessions() == ["stays"]

"""Marks, temporary storage, tables and pages: a part of ``BackendContract``."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from framekeep.errors import (
    ConflictError,
    InvalidInputError,
    InvalidMarksError,
    NotADataFrameError,
    NothingToRedoError,
    TempStorageNotFoundError,
    UnknownColumnError,
    VersionNotFoundError,
)
from framekeep.testing.backend_base import START, Backend, BackendTests, same, sample
from framekeep.testing.clock import ManualClock


class PartTests(BackendTests):
    """Marks, temporary storage, tables and pages."""

    # --- intentional missing -----------------------------------------------------------------------

    def test_a_session_starts_without_marks(self, backend: Backend, session: str) -> None:
        assert backend.get_intentional_missing(session) == {}

    def test_marks_are_given_back_sorted(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [3, 0, 3])
        assert backend.get_intentional_missing(session) == {"age": [0, 3]}

    def test_marks_replace_those_of_their_column_only(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing_batch(session, {"age": [0], "sex": iter([1, 2])})
        backend.set_intentional_missing(session, "age", [3])
        assert backend.get_intentional_missing(session) == {"age": [3], "sex": [1, 2]}
        backend.set_intentional_missing(session, "age", [])
        assert backend.get_intentional_missing(session) == {"sex": [1, 2]}

    def test_marks_of_a_column_or_row_that_is_not_there_are_refused_as_a_whole(
        self, backend: Backend, session: str
    ) -> None:
        for changes in ({"age": [0], "weight": [0]}, {"sex": [0], "age": [4]}, {"age": [-1]}):
            with pytest.raises(InvalidMarksError):
                backend.set_intentional_missing_batch(session, changes)
        assert backend.get_intentional_missing(session) == {}

    def test_marks_travel_with_versions(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        backend.commit_dataframe(session, sample(9), "grow")
        backend.set_intentional_missing(session, "age", [8])
        backend.undo(session)
        assert backend.get_intentional_missing(session) == {"age": [0]}
        backend.redo(session)
        assert backend.get_intentional_missing(session) == {"age": [8]}

    def test_marks_follow_the_frame_as_far_as_it_goes(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing_batch(session, {"age": [0, 3], "sex": [1], "seen": [2]})
        backend.commit_dataframe(session, sample(3)[["sex", "age"]], "cut")
        assert backend.get_intentional_missing(session) == {"age": [0], "sex": [1]}
        backend.undo(session)
        assert backend.get_intentional_missing(session) == {"age": [0, 3], "sex": [1], "seen": [2]}

    def test_new_marks_clear_what_could_be_redone(self, backend: Backend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        backend.set_intentional_missing(session, "age", [0])
        with pytest.raises(NothingToRedoError):
            backend.redo(session)

    def test_marks_that_are_set_already_change_nothing(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        before = backend.revision(session)
        backend.set_intentional_missing(session, "age", [0])
        assert backend.revision(session) == before

    def test_a_mark_may_have_a_reason(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [3, 0], reason="not asked")
        assert backend.get_intentional_missing(session) == {"age": [0, 3]}
        assert backend.get_missing_reasons(session) == {"age": {"not asked": [0, 3]}}

    def test_marks_without_a_reason_have_none(self, backend: Backend, session: str) -> None:
        assert backend.get_missing_reasons(session) == {}
        backend.set_intentional_missing(session, "age", [1])
        assert backend.get_missing_reasons(session) == {}

    def test_reasons_are_given_for_many_columns_at_once(self, backend: Backend, session: str) -> None:
        marks: Any = {
            "age": [{"rows": [0], "reason": "refused"}, {"rows": iter([2, 1]), "reason": "not asked"}],
            "sex": [3],
            "seen": [{"rows": [1]}],
        }
        backend.set_intentional_missing_batch(session, marks)
        assert backend.get_intentional_missing(session) == {"age": [0, 1, 2], "sex": [3], "seen": [1]}
        assert backend.get_missing_reasons(session) == {"age": {"refused": [0], "not asked": [1, 2]}}

    def test_a_row_that_stays_marked_keeps_its_reason(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0, 1], reason="not asked")
        backend.set_intentional_missing(session, "age", [1, 2])
        assert backend.get_missing_reasons(session) == {"age": {"not asked": [1]}}

    def test_an_empty_reason_takes_reasons_away(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0, 1], reason="not asked")
        backend.set_intentional_missing(session, "age", [0, 1], reason="")
        assert backend.get_missing_reasons(session) == {}
        assert backend.get_intentional_missing(session) == {"age": [0, 1]}

    def test_reasons_travel_with_versions(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0], reason="first")
        backend.commit_dataframe(session, sample(9), "grow")
        backend.set_intentional_missing(session, "age", [0], reason="second")
        backend.undo(session)
        assert backend.get_missing_reasons(session) == {"age": {"first": [0]}}
        backend.redo(session)
        assert backend.get_missing_reasons(session) == {"age": {"second": [0]}}

    @pytest.mark.parametrize(
        "entries",
        [
            [{"rows": [0], "reason": 1}],
            [{"rows": [0], "reason": "x" * 1001}],
            [{"rows": [0], "reason": "x"}, {"rows": [0, 1], "reason": "y"}],
            [{"rows": [0], "why": "x"}],
            [{"reason": "x"}],
            [{"rows": [4], "reason": "x"}],
            [{"rows": [0]}, 1],
        ],
        ids=["number", "long", "row twice", "other key", "no rows", "no such row", "mixed"],
    )
    def test_reasons_that_make_no_sense_are_refused(
        self, backend: Backend, session: str, entries: Any
    ) -> None:
        with pytest.raises(InvalidMarksError):
            backend.set_intentional_missing_batch(session, {"sex": [0], "age": entries})
        assert backend.get_intentional_missing(session) == {}

    def test_marks_may_stand_on_a_revision(self, backend: Backend, session: str) -> None:
        before = backend.revision(session)
        backend.set_intentional_missing(session, "age", [0], expected_revision=before)
        with pytest.raises(ConflictError, match=session):
            backend.set_intentional_missing(session, "age", [1], expected_revision=before)
        with pytest.raises(ConflictError, match=session):
            backend.set_intentional_missing_batch(session, {"age": [1]}, expected_revision=before)
        assert backend.get_intentional_missing(session) == {"age": [0]}

    # --- temporary storage -------------------------------------------------------------------------

    def test_sheets_come_back_in_order(self, backend: Backend, clock: ManualClock) -> None:
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

    def test_a_new_upload_replaces_the_sheets(self, backend: Backend) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "one.xlsx")
        backend.create_temp_storage("t", {"b": sample(2)}, "two.xlsx")
        found = backend.get_temp_storage("t")
        assert (found["filename"], list(found["sheets"])) == ("two.xlsx", ["b"])

    def test_temporary_storage_expires_although_it_is_read(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "x", 100)
        self.advance(clock, 99)
        backend.get_temp_storage("t")
        self.advance(clock, 1)
        with pytest.raises(TempStorageNotFoundError, match="'t'"):
            backend.get_temp_storage("t")

    def test_temporary_storage_can_be_deleted(self, backend: Backend) -> None:
        backend.create_temp_storage("t", {"a": sample()}, "x")
        assert (backend.delete_temp_storage("t"), backend.delete_temp_storage("t")) == (True, False)
        with pytest.raises(TempStorageNotFoundError):
            backend.get_temp_storage("t")

    def test_a_sheet_that_is_no_frame_is_refused_and_nothing_kept(self, backend: Backend) -> None:
        wrong: Any = [1]
        with pytest.raises(NotADataFrameError):
            backend.create_temp_storage("t", {"a": sample(), "b": wrong}, "x")
        with pytest.raises(TempStorageNotFoundError):
            backend.get_temp_storage("t")

    @pytest.mark.parametrize("sheets", [None, [sample()], {1: sample()}], ids=["None", "list", "int name"])
    def test_sheets_are_a_mapping_with_string_names(self, backend: Backend, sheets: Any) -> None:
        with pytest.raises(InvalidInputError):
            backend.create_temp_storage("t", sheets, "x")

    def test_a_session_and_a_temporary_storage_may_share_an_id(self, backend: Backend, session: str) -> None:
        backend.create_temp_storage(session, {"a": sample(2)}, "x")
        backend.delete_session(session)
        assert len(backend.get_temp_storage(session)["sheets"]["a"]) == 2

    # --- tables, pages, differences ----------------------------------------------------------------

    def test_the_frame_is_given_as_a_table(self, backend: Backend, session: str) -> None:
        table = backend.get_table(session)
        assert (table.num_rows, table.column_names) == (4, ["age", "sex", "seen"])
        assert table.column("sex").to_pylist() == ["f", "m", "f", "m"]

    @pytest.mark.parametrize(("offset", "limit"), [(0, 2), (1, 2), (3, 10), (4, 1), (100, 1), (0, 0)])
    def test_a_page_is_that_part_of_the_frame(
        self, backend: Backend, session: str, offset: int, limit: int
    ) -> None:
        page = backend.get_page(session, offset, limit, ["seen", "age"])
        assert same(page, sample().iloc[offset : offset + limit][["seen", "age"]])

    def test_a_page_of_an_unknown_column_is_refused(self, backend: Backend, session: str) -> None:
        with pytest.raises(UnknownColumnError, match="weight"):
            backend.get_page(session, 0, 1, ["weight"])

    @pytest.mark.parametrize(("offset", "limit"), [(-1, 1), (0, -1), (0.5, 1), ("0", 1), (None, 1)])
    def test_offset_and_limit_are_checked(
        self, backend: Backend, session: str, offset: Any, limit: Any
    ) -> None:
        with pytest.raises(InvalidInputError):
            backend.get_page(session, offset, limit)

    def test_versions_can_be_compared(self, backend: Backend, session: str) -> None:
        changed = sample()
        changed.loc[1, "age"] = 50.0
        backend.commit_dataframe(session, changed.drop(columns="seen"), "change")
        assert backend.diff_versions(session, 1, 1) is not None
        assert backend.diff_versions(session, 1, "current") != backend.diff_versions(session, 1, 1)

    @pytest.mark.parametrize(("which", "error"), [(9, VersionNotFoundError), ("now", InvalidInputError)])
    def test_only_kept_versions_can_be_compared(
        self, backend: Backend, session: str, which: Any, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            backend.diff_versions(session, which)

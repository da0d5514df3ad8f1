"""Versions, undo, redo, restore, edits and differences: a part of ``BackendContract``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from framekeep.errors import (
    ConflictError,
    InvalidInputError,
    NothingToRedoError,
    NothingToUndoError,
    VersionNotFoundError,
)
from framekeep.testing.backend_base import Backend, BackendTests, same, sample
from framekeep.testing.clock import ManualClock


class VersionTests(BackendTests):
    """Versions, undo, redo, restore, edits and differences."""

    # --- versions ----------------------------------------------------------------------------------

    def test_a_version_is_what_undo_brings_back(self, backend: Backend, session: str) -> None:
        assert backend.create_version(session, sample(), "grow") == 1
        backend.update_dataframe(session, sample(9))
        assert same(backend.undo_last_change(session), sample())
        assert same(backend.get_dataframe(session), sample())

    def test_redo_brings_the_change_back(self, backend: Backend, session: str) -> None:
        backend.create_version(session, sample(), "grow")
        backend.update_dataframe(session, sample(9))
        backend.undo_last_change(session)
        assert same(backend.redo_last_change(session), sample(9))

    def test_commit_is_a_version_of_what_was_and_the_new_frame(self, backend: Backend, session: str) -> None:
        assert backend.commit_dataframe(session, sample(9), "grow") == 1
        assert same(backend.get_dataframe(session), sample(9))
        assert same(backend.undo_last_change(session), sample())

    def test_undo_redo_and_restore_tell_the_version(self, backend: Backend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        for told, rows in (
            (backend.undo(session), 4),
            (backend.redo(session), 9),
            (backend.restore(session, 1), 4),
        ):
            assert (told["version_id"], told["action_summary"], told["rows"]) == (1, "grow", rows)

    def test_undo_with_nothing_to_undo_is_refused(self, backend: Backend, session: str) -> None:
        with pytest.raises(NothingToUndoError) as caught:
            backend.undo_last_change(session)
        assert isinstance(caught.value, ValueError)

    def test_redo_with_nothing_to_redo_is_refused(self, backend: Backend, session: str) -> None:
        with pytest.raises(NothingToRedoError):
            backend.redo_last_change(session)

    def test_a_new_change_clears_what_could_be_redone(self, backend: Backend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        backend.update_dataframe(session, sample(5))
        with pytest.raises(NothingToRedoError):
            backend.redo(session)

    def test_five_versions_are_kept_the_oldest_dropped_first(self, backend: Backend, session: str) -> None:
        for number in range(8):
            backend.commit_dataframe(session, sample(number + 5), f"to {number + 5}")
        assert [version["version_id"] for version in backend.get_history(session)] == [4, 5, 6, 7, 8]
        for _ in range(5):
            frame = backend.undo_last_change(session)
        assert same(frame, sample(7))
        with pytest.raises(NothingToUndoError):
            backend.undo(session)

    @pytest.mark.parametrize("maximum", [0, 1, 3, 20])
    def test_any_number_of_versions_can_be_kept(self, backend: Backend, session: str, maximum: int) -> None:
        for number in range(6):
            backend.create_version(session, sample(number), "x", maximum)
        assert len(backend.get_history(session)) == min(6, maximum)

    @pytest.mark.parametrize("maximum", [-1, 1.5, "5", None, True], ids=repr)
    def test_the_number_of_versions_is_checked(self, backend: Backend, session: str, maximum: Any) -> None:
        with pytest.raises(InvalidInputError):
            backend.create_version(session, sample(), "x", maximum)

    def test_restore_brings_a_version_back_and_loses_none(self, backend: Backend, session: str) -> None:
        for number in range(3):
            backend.commit_dataframe(session, sample(number + 5), "grow")
        assert same(backend.restore_version(session, 2), sample(5))
        assert [entry["undone"] for entry in backend.get_history(session)] == [False, True, True]
        for _ in range(2):
            frame = backend.redo_last_change(session)
        assert same(frame, sample(7))

    @pytest.mark.parametrize("version", [1, 99])
    def test_a_version_that_is_not_kept_is_not_found(
        self, backend: Backend, session: str, version: int
    ) -> None:
        for _ in range(3):
            backend.create_version(session, sample(), "x", 2)
        with pytest.raises(VersionNotFoundError):
            backend.restore_version(session, version)

    @pytest.mark.parametrize("version", [-1, 1.0, "1", None, True], ids=repr)
    def test_a_version_id_is_checked(self, backend: Backend, session: str, version: Any) -> None:
        with pytest.raises(InvalidInputError):
            backend.restore_version(session, version)

    def test_history_describes_the_state_before_each_action(
        self, backend: Backend, session: str, clock: ManualClock
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
        self, backend: Backend, session: str
    ) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        backend.commit_dataframe(session, sample(2), "shrink")
        before = backend.get_history(session)
        backend.undo(session)
        after = backend.get_history(session)
        assert [entry.pop("undone") for entry in before] == [False, False]
        assert [entry.pop("undone") for entry in after] == [False, True]
        assert before == after

    # --- edit --------------------------------------------------------------------------------------

    def test_an_edit_commits_what_changed_as_one_version(self, backend: Backend, session: str) -> None:
        step = backend.edit(session, "double")
        with step as frame:
            frame["age"] *= 2
            frame.loc[0, "sex"] = "x"
        assert step.version_id == 1
        wanted = sample().assign(age=sample()["age"] * 2)
        wanted.loc[0, "sex"] = "x"
        assert same(backend.get_dataframe(session), wanted)
        assert same(backend.undo_last_change(session), sample())

    def test_an_edit_that_changes_nothing_makes_no_version(self, backend: Backend, session: str) -> None:
        before = backend.revision(session)
        step = backend.edit(session, "look")
        with step as frame:
            frame["age"] = frame["age"] + 0
        assert step.version_id is None
        assert backend.revision(session) == before
        assert len(backend.get_audit_log(session)) == 1

    def test_an_edit_that_raises_changes_nothing(self, backend: Backend, session: str) -> None:
        with pytest.raises(ZeroDivisionError), backend.edit(session, "fail") as frame:  # noqa: PT012
            frame["age"] = 0.0
            _ = 1 // 0
        assert same(backend.get_dataframe(session), sample())
        assert backend.get_history(session) == []

    def test_an_edit_can_replace_the_frame(self, backend: Backend, session: str) -> None:
        step = backend.edit(session, "drop")
        with step as frame:
            step.replace(frame[frame["age"] > 1].reset_index(drop=True))
        assert len(backend.get_dataframe(session)) == 2

    def test_an_edit_does_not_overwrite_a_change_made_meanwhile(self, backend: Backend, session: str) -> None:
        with pytest.raises(ConflictError), backend.edit(session, "slow") as frame:  # noqa: PT012
            backend.update_dataframe(session, sample(9))
            frame["age"] = 0.0
        assert same(backend.get_dataframe(session), sample(9))

    def test_an_edit_goes_with_metadata_audit_and_time_to_live_changed_meanwhile(
        self, backend: Backend, session: str
    ) -> None:
        with backend.edit(session, "slow") as frame:
            backend.update_metadata(session, {"a": 1})
            backend.add_audit_entry(session, "meanwhile")
            backend.touch_session(session, 77.0)
            frame["age"] = 0.0
        assert backend.get_metadata(session)["a"] == 1
        assert "meanwhile" in backend.get_audit_log(session)[1]
        assert backend.get_dataframe(session)["age"].eq(0.0).all()

    def test_an_edit_is_used_once(self, backend: Backend, session: str) -> None:
        step = backend.edit(session, "x")
        with step:
            pass
        with pytest.raises(InvalidInputError, match="once"):
            step.__enter__()
        with pytest.raises(InvalidInputError, match="inside"):
            step.replace(sample())

    def test_a_change_that_expects_an_older_revision_is_refused(self, backend: Backend, session: str) -> None:
        revision = backend.revision(session)
        backend.update_dataframe(session, sample(5), expected_revision=revision)
        for call in (
            lambda: backend.update_dataframe(session, sample(6), expected_revision=revision),
            lambda: backend.commit_dataframe(session, sample(6), "x", expected_revision=revision),
            lambda: backend.create_version(session, sample(6), "x", expected_revision=revision),
            lambda: backend.undo(session, expected_revision=revision),
            lambda: backend.redo(session, expected_revision=revision),
            lambda: backend.restore(session, 1, expected_revision=revision),
            lambda: backend.checkpoint(session, "x", expected_revision=revision),
            lambda: backend.apply(session, "x", lambda df: df.head(1), expected_revision=revision),
            lambda: backend.edit(session, "x", expected_revision=revision).__enter__(),
        ):
            with pytest.raises(ConflictError, match="s1"):
                call()
        assert same(backend.get_dataframe(session), sample(5))

    def test_a_checkpoint_keeps_the_state_that_is_there(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [2])
        assert backend.checkpoint(session, "before the cleaning") == 1
        assert same(backend.get_dataframe(session), sample())
        backend.update_dataframe(session, sample(9))
        assert same(backend.undo_last_change(session), sample())
        assert backend.get_intentional_missing(session) == {"age": [2]}
        assert [entry["action_summary"] for entry in backend.get_history(session)] == ["before the cleaning"]

    def test_a_checkpoint_keeps_to_the_number_of_versions(self, backend: Backend, session: str) -> None:
        for number in range(4):
            backend.checkpoint(session, str(number), 2, expected_revision=backend.revision(session))
        assert [entry["version_id"] for entry in backend.get_history(session)] == [3, 4]
        with pytest.raises(InvalidInputError):
            backend.checkpoint(session, "x", -1)

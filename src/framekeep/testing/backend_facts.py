"""What is told of a session: metadata, audit log, health: a part of ``BackendContract``."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.errors import InvalidInputError, InvalidMetadataError
from framekeep.testing.backend_base import START, TTL, Backend, BackendTests, sample
from framekeep.testing.clock import ManualClock


class FactTests(BackendTests):
    """What is told of a session: metadata, audit log, health."""

    # --- metadata ----------------------------------------------------------------------------------

    def test_metadata_describe_the_session(self, backend: Backend, session: str) -> None:
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

    def test_metadata_tell_the_instants(self, backend: Backend, session: str, clock: ManualClock) -> None:
        self.advance(clock, 60)
        backend.get_dataframe(session)
        self.advance(clock, 40)
        found = backend.get_metadata(session)
        expected = (START, START + timedelta(seconds=60), START + timedelta(seconds=100 + TTL))
        instants = (found["created_at"], found["last_accessed"], found["expires_at"])
        for got, wanted in zip(instants, expected, strict=True):
            assert got.tzinfo is not None
            assert abs(got - wanted) < timedelta(seconds=1)

    def test_metadata_that_are_only_looked_at_tell_the_expiry_as_it_is(
        self, backend: Backend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, 100)
        found = backend.get_metadata(session, touch=False)
        assert abs(found["expires_at"] - START - timedelta(seconds=TTL)) < timedelta(seconds=1)

    def test_metadata_of_repeated_labels_list_the_dtypes(self, backend: Backend) -> None:
        backend.create_session("s2", pd.DataFrame([[1, 2.0]], columns=["a", "a"]), "x", TTL)
        assert backend.get_metadata("s2")["dtypes"] == ["int64", "float64"]

    def test_metadata_follow_the_frame(self, backend: Backend, session: str) -> None:
        backend.commit_dataframe(session, sample(9), "grow")
        found = backend.get_metadata(session)
        assert (found["shape"], found["current_version"]) == ((9, 3), 1)
        backend.undo(session)
        found = backend.get_metadata(session)
        assert (found["shape"], found["current_version"]) == ((4, 3), 0)

    def test_the_callers_metadata_are_merged(self, backend: Backend, session: str) -> None:
        backend.update_metadata(session, {"step": 1, "tags": ["a", {"b": None}]})
        backend.update_metadata(session, {"step": 2, "ü": 0.1})
        found = backend.get_metadata(session)
        assert (found["step"], found["tags"], found["ü"]) == (2, ["a", {"b": None}], 0.1)

    def test_metadata_that_were_given_out_are_the_callers_own(self, backend: Backend, session: str) -> None:
        given = {"tags": ["a"]}
        backend.update_metadata(session, given)
        given["tags"].append("mine")
        backend.get_metadata(session)["tags"].append("mine too")
        assert backend.get_metadata(session)["tags"] == ["a"]

    def test_metadata_change_neither_revision_nor_redo(self, backend: Backend, session: str) -> None:
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
    def test_metadata_that_are_not_json_are_refused(self, backend: Backend, session: str, value: Any) -> None:
        with pytest.raises(InvalidMetadataError, match="key"):
            backend.update_metadata(session, {"good": 1, "key": value})
        assert "good" not in backend.get_metadata(session)

    def test_metadata_nested_without_end_are_refused(self, backend: Backend, session: str) -> None:
        endless: list[Any] = []
        endless.append(endless)
        with pytest.raises(InvalidMetadataError, match="nested"):
            backend.update_metadata(session, {"key": endless})

    @pytest.mark.parametrize("metadata", [None, [("a", 1)], "a", {1: 2}], ids=repr)
    def test_metadata_are_a_mapping_with_string_keys(
        self, backend: Backend, session: str, metadata: Any
    ) -> None:
        with pytest.raises(InvalidMetadataError):
            backend.update_metadata(session, metadata)

    def test_metadata_do_not_overwrite_what_framekeep_fills(self, backend: Backend, session: str) -> None:
        with pytest.raises(InvalidMetadataError, match="filename"):
            backend.update_metadata(session, {"filename": "x"})

    # --- audit -------------------------------------------------------------------------------------

    def test_the_audit_log_begins_with_the_creation(self, backend: Backend, session: str) -> None:
        assert backend.get_audit_log(session) == [
            "[2026-11-25 08:44:32 UTC] Session created from 'trial.csv'. Initial rows: 4, columns: 3"
        ]

    def test_an_entry_is_stamped_and_appended(
        self, backend: Backend, session: str, clock: ManualClock
    ) -> None:
        self.advance(clock, 61)
        backend.add_audit_entry(session, "Größe geprüft")
        assert backend.get_audit_log(session)[1:] == ["[2026-11-25 08:45:33 UTC] Größe geprüft"]

    def test_an_entry_with_half_a_surrogate_pair_is_kept_or_refused(
        self, backend: Backend, session: str
    ) -> None:
        entry = "half a pair: \ud800"
        if not self.any_text:
            with pytest.raises(InvalidInputError):
                backend.add_audit_entry(session, entry)
            return
        backend.add_audit_entry(session, entry)
        assert backend.get_audit_log(session)[1].endswith(entry)

    def test_every_verb_leaves_its_entry(self, backend: Backend, session: str) -> None:
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
        self, backend: Backend, session: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO", logger="framekeep"):
            backend.delete_session(session)
        assert "Session s1 deleted" in caplog.text

    def test_the_initial_row_count_stays(self, backend: Backend, session: str) -> None:
        backend.update_dataframe(session, sample(9))
        assert backend.get_initial_row_count(session) == 4

    # --- health ------------------------------------------------------------------------------------

    def test_a_healthy_backend_says_so(self, backend: Backend, session: str) -> None:
        health = backend.health_check()
        assert (health["status"], health["reachable"], health["error"]) == ("healthy", True, None)
        assert health["active_sessions"] == 1
        assert health["latency_ms"] >= 0
        assert health["backend_type"] in ("inmemory", "redis")
        assert json.dumps(health)

    def test_a_closed_backend_is_unhealthy_and_raises_nothing(self, backend: Backend) -> None:
        backend.close()
        health = backend.health_check()
        assert (health["status"], health["reachable"]) == ("unhealthy", False)
        assert health["error"]

    def test_a_sound_session_has_no_damage(self, backend: Backend, session: str) -> None:
        backend.set_intentional_missing(session, "age", [0])
        backend.commit_dataframe(session, sample(9), "grow")
        backend.undo(session)
        assert backend.check(session) == []

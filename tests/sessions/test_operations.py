"""Operations of the editing vocabulary on a session: one version, marks that follow, nothing when dry."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import ConflictError, InvalidEditError
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend

FRAME = pd.DataFrame({"age": [41.0, None, 17.0, None], "sex": ["f", "m", "F", "m"]})
FILL: list[dict[str, Any]] = [{"op": "fill_missing", "columns": ["age"], "method": "value", "value": 1.0}]
SORT: list[dict[str, Any]] = [{"op": "sort_rows", "by": [{"column": "sex", "descending": True}]}]


@pytest.fixture
def backend() -> SessionBackend:
    made = SessionBackend(MemoryEngine(), FrameCodec())
    made.create_session("s", FRAME, "x.csv", 60)
    return made


def test_several_operations_are_one_version(backend: SessionBackend) -> None:
    done = backend.apply_operations("s", [*FILL, *SORT], "Tidy")
    assert [version["action_summary"] for version in backend.get_history("s")] == ["Tidy"]
    assert (done.version_id, done.shape, done.revision) == (1, (4, 2), backend.revision("s"))
    pd.testing.assert_frame_equal(backend.undo_last_change("s"), FRAME)


def test_a_version_without_a_summary_says_what_was_done(backend: SessionBackend) -> None:
    assert backend.apply_operations("s", FILL).summary == "Fill missing in age by a value"


def test_a_dry_run_stores_nothing_and_says_the_same(backend: SessionBackend) -> None:
    before = backend.revision("s")
    dry = backend.apply_operations("s", FILL, dry_run=True)
    assert (backend.revision("s"), backend.get_history("s"), dry.version_id) == (before, [], None)
    wet = backend.apply_operations("s", FILL)
    assert dry.impact == wet.impact
    assert dry.impact["cells_changed"] == 2


def test_cells_that_are_empty_on_purpose_are_not_filled(backend: SessionBackend) -> None:
    backend.set_intentional_missing("s", "age", [1])
    backend.apply_operations("s", FILL)
    assert backend.get_dataframe("s")["age"].isna().tolist() == [False, True, False, False]


def test_marks_follow_their_rows(backend: SessionBackend) -> None:
    backend.set_intentional_missing("s", "age", [3], reason="not asked")
    backend.apply_operations("s", SORT)
    frame = backend.get_dataframe("s")
    assert frame["sex"].tolist() == ["m", "m", "f", "F"]
    assert backend.get_missing_reasons("s") == {"age": {"not asked": [1]}}
    backend.undo("s")
    assert backend.get_intentional_missing("s") == {"age": [3]}


def test_operations_that_change_nothing_are_no_version(backend: SessionBackend) -> None:
    before = backend.revision("s")
    nothing = [{"op": "filter_rows", "where": "age > 0 or age is missing"}]
    done = backend.apply_operations("s", nothing)
    assert (done.version_id, done.revision, backend.get_history("s")) == (None, before, [])


def test_an_operation_that_cannot_be_carried_out_changes_nothing(backend: SessionBackend) -> None:
    before = backend.revision("s")
    with pytest.raises(InvalidEditError) as caught:
        backend.apply_operations("s", [*FILL, {"op": "drop_columns", "columns": ["nope"]}])
    assert (caught.value.operation, backend.revision("s")) == (1, before)


def test_operations_on_data_that_changed_meanwhile_are_refused(backend: SessionBackend) -> None:
    before = backend.revision("s")
    backend.apply_operations("s", FILL)
    for dry_run in (False, True):
        with pytest.raises(ConflictError):
            backend.apply_operations("s", SORT, expected_revision=before, dry_run=dry_run)


def test_a_discarded_edit_commits_nothing(backend: SessionBackend) -> None:
    before = backend.revision("s")
    step = backend.edit("s", "x")
    with step as frame:
        frame["age"] = 0.0
        step.discard()
    assert (step.version_id, backend.revision("s")) == (None, before)

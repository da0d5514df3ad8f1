"""A verb that changes data says which state it led to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import ConflictError
from framekeep.frames import FrameCodec
from framekeep.names import Revision
from framekeep.sessions import SessionBackend


@pytest.fixture
def backend() -> SessionBackend:
    made = SessionBackend(MemoryEngine(), FrameCodec())
    made.create_session("s", pd.DataFrame({"a": [1.0, 2.0]}), "x.csv", 60)
    made.commit_dataframe("s", pd.DataFrame({"a": [1.0, 3.0]}), "first")
    made.undo("s")
    return made


OTHER = pd.DataFrame({"a": [7.0, 8.0]})
VERBS: dict[str, Callable[..., Any]] = {
    "update": lambda b, **k: b.update_dataframe("s", OTHER, **k),
    "create_version": lambda b, **k: b.create_version("s", OTHER, "x", **k),
    "commit": lambda b, **k: b.commit_dataframe("s", OTHER, "x", **k),
    "checkpoint": lambda b, **k: b.checkpoint("s", "x", **k),
    "redo": lambda b, **k: b.redo("s", **k),
    "restore": lambda b, **k: b.restore("s", 1, **k),
    "marks": lambda b, **k: b.set_intentional_missing("s", "a", [1], **k),
    "batch of marks": lambda b, **k: b.set_intentional_missing_batch("s", {"a": [1]}, **k),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_tells_the_revision_it_led_to(backend: SessionBackend, verb: str) -> None:
    before, told = backend.revision("s"), list[Revision]()
    if verb == "restore":
        backend.redo("s")
        before = backend.revision("s")
    VERBS[verb](backend, on_revision=told.append)
    assert told == [backend.revision("s")]
    assert told != [before]


def test_a_change_that_changes_nothing_tells_the_revision_that_stays(backend: SessionBackend) -> None:
    before, told = backend.revision("s"), list[Revision]()
    backend.set_intentional_missing("s", "a", [], on_revision=told.append)
    assert told == [before]


def test_a_refused_change_tells_nothing(backend: SessionBackend) -> None:
    told = list[Revision]()
    with pytest.raises(ConflictError):
        backend.undo("s", expected_revision=Revision(bytes(16)), on_revision=told.append)
    assert told == []


def test_an_edit_knows_the_revision_it_left(backend: SessionBackend) -> None:
    before = backend.revision("s")
    step = backend.edit("s", "x")
    with step as frame:
        assert step.revision == before
        frame["a"] = 0.0
    assert step.revision == backend.revision("s") != before


def test_an_edit_of_nothing_leaves_the_revision(backend: SessionBackend) -> None:
    before = backend.revision("s")
    step = backend.edit("s", "x")
    with step:
        pass
    assert step.revision == before


def test_a_session_that_changed_is_not_deleted(backend: SessionBackend) -> None:
    before = backend.revision("s")
    backend.checkpoint("s", "x")
    with pytest.raises(ConflictError):
        backend.delete_session("s", expected_revision=before)
    assert backend.delete_session("s", expected_revision=backend.revision("s"))

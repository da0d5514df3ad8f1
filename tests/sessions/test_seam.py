"""What the session layer asks of its engine: no more than it must, and nothing twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from framekeep.engines.base import Visit
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import NothingToUndoError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Space
from framekeep.sessions import SessionBackend, StorageBackend
from framekeep.testing.faults import InjectedFault, LostReply, Passing

SIGNATURES = {
    "create_session": "session_id, dataframe, filename, ttl_seconds",
    "get_dataframe": "session_id",
    "update_dataframe": "session_id, dataframe",
    "delete_session": "session_id",
    "session_exists": "session_id",
    "touch_session": "session_id, ttl_seconds",
    "list_sessions": "",
    "get_metadata": "session_id",
    "update_metadata": "session_id, metadata",
    "create_version": "session_id, dataframe, action_summary, max_versions=5",
    "undo_last_change": "session_id",
    "redo_last_change": "session_id",
    "restore_version": "session_id, version_id",
    "get_history": "session_id",
    "get_intentional_missing": "session_id",
    "set_intentional_missing": "session_id, column, row_indices",
    "set_intentional_missing_batch": "session_id, columns_data",
    "add_audit_entry": "session_id, entry",
    "get_audit_log": "session_id",
    "get_initial_row_count": "session_id",
    "create_temp_storage": "temp_id, sheets_dict, filename, ttl_seconds=1800",
    "get_temp_storage": "temp_id",
    "delete_temp_storage": "temp_id",
    "cleanup_expired_sessions": "",
    "cleanup_expired_temp_storage": "",
    "get_active_sessions_count": "",
    "health_check": "",
}
"""The public API that callers were promised: names and order."""


@pytest.mark.parametrize("kind", [StorageBackend, SessionBackend])
def test_names_and_order_of_parameters_are_as_promised(kind: type) -> None:
    def positional(name: str) -> str:
        _, *parameters = inspect.signature(getattr(kind, name)).parameters.values()
        return ", ".join(
            p.name if p.default is p.empty else f"{p.name}={p.default}"
            for p in parameters
            if p.kind is p.POSITIONAL_OR_KEYWORD
        )

    assert len(SIGNATURES) == 27
    assert {name: positional(name) for name in SIGNATURES} == SIGNATURES


def frame(start: int) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(start, start + 5), "b": np.arange(5) * 1.5})


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def backend(engine: MemoryEngine) -> SessionBackend:
    """A backend with a session of three states, the second of which is current."""
    backend = SessionBackend(engine, FrameCodec())
    backend.create_session("s", frame(0), "x", 3600)
    backend.commit_dataframe("s", frame(1), "one")
    backend.set_intentional_missing("s", "a", [1])
    backend.commit_dataframe("s", frame(2), "two")
    backend.undo("s")
    return backend


class Blind(Passing):
    """Reads no blob."""

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        raise AssertionError("a blob was read")


@pytest.mark.parametrize(
    "move",
    [
        lambda b: b.undo("s"),
        lambda b: b.redo("s"),
        lambda b: b.restore("s", 1),
        lambda b: b.get_history("s"),
        lambda b: b.update_metadata("s", {"a": 1}),
        lambda b: b.add_audit_entry("s", "x"),
        lambda b: b.touch_session("s", 7),
        lambda b: b.revision("s"),
    ],
    ids=["undo", "redo", "restore", "history", "metadata", "audit", "touch", "revision"],
)
def test_what_moves_the_head_reads_no_blob(
    engine: MemoryEngine, backend: SessionBackend, move: Callable[[SessionBackend], object]
) -> None:
    move(SessionBackend(Blind(engine), FrameCodec()))


def edited(backend: SessionBackend) -> None:
    with backend.edit("s", "mine") as df:
        df["a"] = df["a"] + 1


@pytest.mark.parametrize(
    ("verb", "entries"),
    [
        (lambda b: b.update_dataframe("s", frame(7)), 1),
        (lambda b: b.create_version("s", frame(7), "mine"), 1),
        (lambda b: b.commit_dataframe("s", frame(7), "mine"), 1),
        (edited, 1),
        (lambda b: b.undo("s"), 1),
        (lambda b: b.undo_last_change("s"), 1),
        (lambda b: b.redo("s"), 1),
        (lambda b: b.restore("s", 1), 1),
        (lambda b: b.add_audit_entry("s", "mine"), 1),
        (lambda b: b.update_metadata("s", {"mine": 1}), 0),
        (lambda b: b.set_intentional_missing("s", "b", [2]), 0),
    ],
    ids=[
        "update",
        "version",
        "commit",
        "edit",
        "undo",
        "undo_last",
        "redo",
        "restore",
        "audit",
        "meta",
        "marks",
    ],
)
def test_a_change_whose_reply_is_lost_raises_and_is_made_once(
    engine: MemoryEngine, backend: SessionBackend, verb: Callable[[SessionBackend], object], entries: int
) -> None:
    before, head = len(backend.get_audit_log("s")), engine.load(Space("session:s"))
    with pytest.raises(InjectedFault):
        verb(SessionBackend(LostReply(engine), FrameCodec()))
    after = engine.load(Space("session:s"))
    assert head is not None
    assert after is not None
    assert after.body != head.body or entries
    assert len(backend.get_audit_log("s")) == before + entries
    assert backend.check("s") == []


def test_a_deletion_whose_reply_is_lost_is_made(engine: MemoryEngine, backend: SessionBackend) -> None:
    with pytest.raises(InjectedFault):
        SessionBackend(LostReply(engine), FrameCodec()).delete_session("s")
    assert not backend.session_exists("s")


def test_a_version_of_zero_kept_cannot_be_undone(backend: SessionBackend) -> None:
    assert backend.commit_dataframe("s", frame(8), "mine", 0) == 3
    assert backend.get_history("s") == []
    with pytest.raises(NothingToUndoError):
        backend.undo("s")
    assert backend.commit_dataframe("s", frame(9), "next", 1) == 4
    assert backend.undo("s")["version_id"] == 4


def test_a_lower_maximum_drops_what_is_left_of_the_cursor_and_the_redo_with_it(
    backend: SessionBackend,
) -> None:
    backend.redo("s")
    backend.commit_dataframe("s", frame(3), "three")
    backend.undo("s")
    backend.commit_dataframe("s", frame(4), "four", 1)
    assert [version["version_id"] for version in backend.get_history("s")] == [4]
    backend.undo("s")
    assert backend.get_dataframe("s")["a"].tolist() == frame(2)["a"].tolist()
    assert backend.get_intentional_missing("s") == {"a": [1]}

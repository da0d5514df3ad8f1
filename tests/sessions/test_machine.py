"""A backend in step with the most naive model there is: a list of deep-copied frames and a position."""

from __future__ import annotations

import copy
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from framekeep.connect import InMemoryBackend
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import (
    InvalidMarksError,
    NothingToRedoError,
    NothingToUndoError,
    SessionNotFoundError,
    VersionNotFoundError,
)
from framekeep.frames import FrameCodec
from framekeep.sessions import SessionBackend
from framekeep.testing.clock import ManualClock

TTL = 100.0
LABELS = ["a", "b", "c", 7]

COLUMNS = st.one_of(
    st.builds(lambda n: lambda rows: np.arange(rows) + n, st.integers(0, 3)),
    st.builds(lambda n: lambda rows: np.linspace(n, n + 1, rows), st.integers(0, 3)),
    st.builds(
        lambda n: lambda rows: pd.array([f"x{i % (n + 1)}" for i in range(rows)], dtype="str"),
        st.integers(0, 3),
    ),
    st.builds(lambda n: lambda rows: [None if i == n else i for i in range(rows)], st.integers(0, 3)),
)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 5))
    labels = draw(st.lists(st.sampled_from(LABELS), unique=True, max_size=4))
    return pd.DataFrame(
        {label: pd.Series(draw(COLUMNS)(rows)) for label in labels},
        index=range(rows),
        columns=pd.Index(labels),
    )


@dataclass
class Point:
    """A frame with its marks: column -> row -> reason, if there is one."""

    frame: pd.DataFrame
    marks: dict[Any, dict[int, str | None]] = field(default_factory=dict)

    def followed_by(self, frame: pd.DataFrame) -> Point:
        kept = {
            label: {row: reason for row, reason in rows.items() if row < len(frame)}
            for label, rows in self.marks.items()
            if label in frame.columns
        }
        return Point(frame.copy(deep=True), {label: rows for label, rows in kept.items() if rows})

    def reversed(self) -> Point:
        last = len(self.frame) - 1
        turned = {
            label: {last - row: reason for row, reason in rows.items()} for label, rows in self.marks.items()
        }
        return Point(self.frame.iloc[::-1].copy(deep=True), turned)

    def rows(self) -> dict[Any, list[int]]:
        return {label: sorted(rows) for label, rows in self.marks.items()}

    def reasons(self) -> dict[Any, dict[str, list[int]]]:
        found: dict[Any, dict[str, list[int]]] = {}
        for label, rows in self.marks.items():
            for row, reason in sorted(rows.items()):
                if reason:
                    found.setdefault(label, {}).setdefault(reason, []).append(row)
        return found


@dataclass
class Model:
    """The session as a child would keep it: everything copied, nothing shared."""

    line: list[Point]
    ids: list[int] = field(default_factory=list)
    at: int = 0
    next_id: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)
    log: int = 1
    ttl: float = TTL
    left: float = TTL

    @property
    def now(self) -> Point:
        return self.line[self.at]

    def version(self, before: Point, maximum: int) -> None:
        self.line = [*self.line[: self.at], before, self.now]
        self.ids = [*self.ids[: self.at], self.next_id]
        self.next_id += 1
        drop = max(0, len(self.ids) - maximum)
        self.line, self.ids = self.line[drop:], self.ids[drop:]
        self.at = len(self.ids)

    def replace(self, point: Point) -> None:
        self.line = [*self.line[: self.at], point]
        self.ids = self.ids[: self.at]


class BackendMachine(RuleBasedStateMachine):
    """Drives one session; ``open`` makes the backend."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.backend = self.open()
        self.model: Model | None = None

    def open(self) -> SessionBackend:
        raise NotImplementedError

    def alive(self) -> bool:
        return self.model is not None

    def accessed(self, entries: int = 0) -> Model:
        assert self.model is not None
        self.model.left = self.model.ttl
        self.model.log += entries
        return self.model

    @initialize(frame=frames())
    def start(self, frame: pd.DataFrame) -> None:
        self.backend.create_session("s", frame, "x", TTL)
        self.model = Model([Point(frame.copy(deep=True))])

    @precondition(lambda self: self.model is None)
    @rule(frame=frames())
    def create_again(self, frame: pd.DataFrame) -> None:
        self.start(frame)

    @precondition(alive)
    @rule(frame=frames())
    def update(self, frame: pd.DataFrame) -> None:
        self.backend.update_dataframe("s", frame)
        model = self.accessed(1)
        model.replace(model.now.followed_by(frame))

    @precondition(alive)
    @rule(frame=frames(), maximum=st.integers(0, 4))
    def create_version(self, frame: pd.DataFrame, maximum: int) -> None:
        model = self.accessed(1)
        assert self.backend.create_version("s", frame, "x", maximum) == model.next_id
        model.version(model.now.followed_by(frame), maximum)

    @precondition(alive)
    @rule(frame=frames(), maximum=st.integers(0, 4))
    def commit(self, frame: pd.DataFrame, maximum: int) -> None:
        model = self.accessed(1)
        assert self.backend.commit_dataframe("s", frame, "x", maximum) == model.next_id
        after = model.now.followed_by(frame)
        model.version(copy.deepcopy(model.now), maximum)
        model.replace(after)

    @precondition(alive)
    @rule(number=st.integers(0, 3), label=st.sampled_from(LABELS))
    def edit(self, number: int, label: Any) -> None:
        model = self.accessed()
        step = self.backend.edit("s", "x", 5)
        with step as frame:
            frame[label] = number
        after = model.now.frame.copy(deep=True)
        after[label] = number
        if step.version_id is None:
            pd.testing.assert_frame_equal(after, model.now.frame)
            return
        model.log += 1
        point = model.now.followed_by(after)
        model.version(copy.deepcopy(model.now), 5)
        model.replace(point)

    @precondition(alive)
    @rule(verb=st.sampled_from(["undo", "undo_last_change"]))
    def undo(self, verb: str) -> None:
        assert self.model is not None
        if self.model.at == 0:
            with pytest.raises(NothingToUndoError):
                getattr(self.backend, verb)("s")
            return
        getattr(self.backend, verb)("s")
        self.accessed(1).at -= 1

    @precondition(alive)
    @rule(verb=st.sampled_from(["redo", "redo_last_change"]))
    def redo(self, verb: str) -> None:
        assert self.model is not None
        if self.model.at == len(self.model.ids):
            with pytest.raises(NothingToRedoError):
                getattr(self.backend, verb)("s")
            return
        getattr(self.backend, verb)("s")
        self.accessed(1).at += 1

    @precondition(alive)
    @rule(back=st.integers(0, 6), verb=st.sampled_from(["restore", "restore_version"]))
    def restore(self, back: int, verb: str) -> None:
        assert self.model is not None
        id = max(0, self.model.next_id - back)
        if id not in self.model.ids:
            with pytest.raises(VersionNotFoundError):
                getattr(self.backend, verb)("s", id)
            return
        getattr(self.backend, verb)("s", id)
        model = self.accessed(1)
        model.at = model.ids.index(id)

    @precondition(alive)
    @rule(maximum=st.integers(0, 4))
    def checkpoint(self, maximum: int) -> None:
        model = self.accessed(1)
        assert self.backend.checkpoint("s", "x", maximum) == model.next_id
        model.version(copy.deepcopy(model.now), maximum)

    @precondition(alive)
    @rule()
    def reverse(self) -> None:
        """Turn the rows round, and say so."""
        model = self.accessed()
        step = self.backend.edit("s", "x", 5)
        with step as frame:
            step.replace(frame.iloc[::-1], rows=range(len(frame))[::-1])
        point = model.now.reversed()
        if step.version_id is None:
            assert len(point.frame) < 2 or not len(point.frame.columns)
            return
        model.log += 1
        model.version(copy.deepcopy(model.now), 5)
        model.replace(point)

    @precondition(alive)
    @rule(
        label=st.sampled_from(LABELS),
        rows=st.lists(st.integers(0, 5), max_size=4),
        reason=st.sampled_from([None, None, "", "not asked", "refused"]),
    )
    def mark(self, label: Any, rows: list[int], reason: str | None) -> None:
        assert self.model is not None
        now = self.model.now
        if label not in now.frame.columns or any(row >= len(now.frame) for row in rows):
            with pytest.raises(InvalidMarksError):
                self.backend.set_intentional_missing("s", label, rows, reason=reason)
            return
        self.backend.set_intentional_missing("s", label, rows, reason=reason)
        model = self.accessed()
        known = now.marks.get(label, {})
        marks = {
            **now.marks,
            label: {row: known.get(row) if reason is None else reason or None for row in rows},
        }
        marks = {key: value for key, value in marks.items() if value}
        if marks != now.marks:
            model.replace(Point(now.frame, marks))

    @precondition(alive)
    @rule(key=st.sampled_from("xyz"), value=st.none() | st.integers() | st.text(max_size=3))
    def describe(self, key: str, value: Any) -> None:
        self.backend.update_metadata("s", {key: value})
        self.accessed().metadata[key] = value

    @precondition(alive)
    @rule()
    def note(self) -> None:
        self.backend.add_audit_entry("s", "noted")
        self.accessed(1)

    @precondition(alive)
    @rule(ttl=st.sampled_from([20.0, TTL, 500.0]))
    def touch(self, ttl: float) -> None:
        self.backend.touch_session("s", ttl)
        assert self.model is not None
        self.model.ttl = ttl
        self.accessed()

    @precondition(alive)
    @rule()
    def delete(self) -> None:
        assert self.backend.delete_session("s")
        self.model = None

    @rule(seconds=st.sampled_from([1.0, 19.0, 60.0, 99.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.model is not None:
            self.model.left -= seconds
            if self.model.left <= 0:
                self.model = None

    @rule()
    def clean(self) -> None:
        self.backend.cleanup_expired_sessions()

    @rule()
    def forget(self) -> None:
        """Another process would start with empty caches."""
        self.backend.codec.clear()

    @invariant()
    def agrees(self) -> None:
        assert self.backend.session_exists("s") == (self.model is not None)
        if self.model is None:
            with pytest.raises(SessionNotFoundError):
                self.backend.get_dataframe("s")
            return
        model = self.accessed()
        pd.testing.assert_frame_equal(
            self.backend.get_dataframe("s"), model.now.frame, check_column_type="exact"
        )
        assert self.backend.get_intentional_missing("s") == model.now.rows()
        assert self.backend.get_missing_reasons("s") == model.now.reasons()
        history = self.backend.get_history("s")
        assert [(entry["version_id"], entry["rows"], entry["undone"]) for entry in history] == [
            (id, len(model.line[place].frame), place >= model.at) for place, id in enumerate(model.ids)
        ]
        found = self.backend.get_metadata("s")
        assert {key: value for key, value in found.items() if key in "xyz"} == model.metadata
        assert found["shape"] == model.now.frame.shape
        assert len(self.backend.get_audit_log("s")) == model.log

    def teardown(self) -> None:
        if self.model is not None:
            assert self.backend.check("s") == []
            for id in self.model.ids:  # no version's parts were dropped too early
                frame = self.backend.restore_version("s", id)
                pd.testing.assert_frame_equal(frame, self.model.line[self.model.ids.index(id)].frame)
        self.backend.close()


class OverMemory(BackendMachine):
    def open(self) -> SessionBackend:
        return SessionBackend(MemoryEngine(clock=self.clock), FrameCodec(), clock=self.clock)


class OverLmdb(BackendMachine):
    def open(self) -> SessionBackend:
        self.directory = tempfile.mkdtemp()
        return InMemoryBackend(self.directory, clock=self.clock)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.directory)


TestOverMemory = OverMemory.TestCase
TestOverMemory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOverLmdb = OverLmdb.TestCase
TestOverLmdb.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.long
class TestLongOverLmdb(OverLmdb.TestCase):  # type: ignore[name-defined, misc]
    settings = settings(
        max_examples=400, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )

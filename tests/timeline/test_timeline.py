"""The timeline against a naive model: a list of states with a cursor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.errors import NothingToRedoError, NothingToUndoError, VersionNotFoundError
from framekeep.names import Digest, digest_of
from framekeep.timeline import State, Timeline

AT = datetime(2026, 11, 25, 8, 44, 32, tzinfo=UTC)


def state(number: int, marks: int | None = None) -> State:
    return State(
        digest_of(b"frame %d" % number),
        None if marks is None else digest_of(b"marks %d" % marks),
        number,
        2,
        number * 16,
    )


def committed(count: int, max_versions: int = 5) -> Timeline:
    """A timeline of states 0 … count, the last of which is current."""
    line = Timeline(state(0))
    for number in range(1, count + 1):
        line = line.commit(state(number), f"action {number}", at=AT, max_versions=max_versions)
    return line


def kept(line: Timeline) -> list[int]:
    return [version.id for version, _ in line.versions()]


# --- versions ---------------------------------------------------------------------------------------


def test_create_version_keeps_the_given_state_and_leaves_the_current_one() -> None:
    line = Timeline(state(0)).create_version(state(7), "fill", at=AT, max_versions=5)
    assert line.current == state(0)
    assert line.version(1).state == state(7)


def test_versions_are_numbered_from_one() -> None:
    assert kept(committed(3)) == [1, 2, 3]


def test_oldest_versions_are_dropped_first() -> None:
    assert kept(committed(8, max_versions=5)) == [4, 5, 6, 7, 8]


def test_no_versions_are_kept_with_a_maximum_of_zero() -> None:
    line = committed(3, max_versions=0)
    assert kept(line) == []
    assert line.next_id == 4


def test_a_lower_maximum_drops_at_once() -> None:
    line = committed(5).create_version(state(9), "x", at=AT, max_versions=2)
    assert kept(line) == [5, 6]


def test_an_id_is_never_used_again() -> None:
    line, _ = committed(3).undo()
    assert kept(line.commit(state(9), "other", at=AT, max_versions=5)) == [1, 2, 4]


def test_a_commit_keeps_what_was_current() -> None:
    line = committed(1)
    assert line.current == state(1)
    assert line.version(1).state == state(0)


def test_a_version_that_was_dropped_is_not_found() -> None:
    with pytest.raises(VersionNotFoundError, match=r"Version 1 was dropped\. Kept versions: 2, 3"):
        committed(3, max_versions=2).version(1)


def test_a_version_that_never_was_is_not_found() -> None:
    with pytest.raises(VersionNotFoundError, match="no version 9"):
        committed(3).version(9)


# --- undo, redo, restore ----------------------------------------------------------------------------


def test_undo_brings_back_the_newest_version() -> None:
    line, version = committed(3).undo()
    assert (line.current, version.id, version.summary) == (state(2), 3, "action 3")


def test_undo_of_nothing_is_refused() -> None:
    with pytest.raises(NothingToUndoError):
        Timeline(state(0)).undo()


def test_redo_of_nothing_is_refused() -> None:
    with pytest.raises(NothingToRedoError):
        committed(2).redo()


def test_redo_is_the_mirror_of_undo() -> None:
    line = committed(3)
    assert line.undo()[0].redo()[0] == line


def test_undo_of_a_created_version_keeps_the_current_state_for_redo() -> None:
    line = Timeline(state(0)).create_version(state(7), "fill", at=AT, max_versions=5).update(state(8))
    undone, _ = line.undo()
    assert undone.current == state(7)
    assert undone.redo()[0].current == state(8)


def test_a_new_change_clears_what_could_be_redone() -> None:
    undone = committed(3).undo()[0]
    for changed in (
        undone.update(state(9)),
        undone.commit(state(9), "x", at=AT, max_versions=5),
        undone.create_version(state(9), "x", at=AT, max_versions=5),
    ):
        assert changed.future == ()


def test_restore_goes_back_and_redo_leads_forward_again() -> None:
    line = committed(4)
    restored, version = line.restore(2)
    assert (restored.current, version.id) == (state(1), 2)
    for _ in range(3):
        restored, _ = restored.redo()
    assert restored == line


def test_restore_goes_forward_to_an_undone_version() -> None:
    line = committed(4).restore(1)[0].restore(3)[0]
    assert line.current == state(2)
    assert kept(line) == [1, 2, 3, 4]


def test_restore_of_the_version_that_is_current_already_changes_nothing() -> None:
    line = committed(4).restore(2)[0]
    assert line.restore(2)[0] == line


def test_restore_of_a_dropped_version_is_refused() -> None:
    with pytest.raises(VersionNotFoundError):
        committed(4, max_versions=2).restore(1)


def test_the_cursor_names_the_version_that_undo_would_bring_back() -> None:
    line = committed(2)
    assert [line.cursor_id, line.undo()[0].cursor_id, line.undo()[0].undo()[0].cursor_id] == [2, 1, 0]


def test_live_names_frames_and_marks_of_every_state() -> None:
    line = Timeline(state(0, marks=1)).commit(state(1, marks=2), "x", at=AT, max_versions=5).undo()[0]
    expected = {state(0, 1).frame, state(1, 2).frame, state(0, 1).marks, state(1, 2).marks}
    assert line.live() == expected


# --- in step with a model ---------------------------------------------------------------------------


@dataclass
class Model:
    """States in order, the ids between them, and a position: undo and redo as a child would write them."""

    states: list[State]
    ids: list[int] = field(default_factory=list)
    at: int = 0
    next_id: int = 1

    def commit(self, new: State, maximum: int) -> None:
        self.create(self.states[self.at], maximum)
        self.states[self.at] = new

    def create(self, before: State, maximum: int) -> None:
        current = self.states[self.at]
        self.states = [*self.states[: self.at], before, current]
        self.ids = [*self.ids[: self.at], self.next_id]
        self.next_id += 1
        drop = max(0, len(self.ids) - maximum)
        self.states, self.ids = self.states[drop:], self.ids[drop:]
        self.at = len(self.ids)

    def update(self, new: State) -> None:
        self.states = [*self.states[: self.at], new]
        self.ids = self.ids[: self.at]


STATES = st.builds(state, st.integers(0, 6), st.none() | st.integers(0, 3))
ACTIONS = st.one_of(
    st.tuples(st.just("commit"), STATES, st.integers(0, 4)),
    st.tuples(st.just("create"), STATES, st.integers(0, 4)),
    st.tuples(st.just("update"), STATES),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
    st.tuples(st.just("restore"), st.integers(0, 12)),
)


def apply(line: Timeline, model: Model, action: tuple) -> Timeline:  # type: ignore[type-arg]
    match action:
        case ("commit", new, maximum):
            model.commit(new, maximum)
            return line.commit(new, "x", at=AT, max_versions=maximum)
        case ("create", before, maximum):
            model.create(before, maximum)
            return line.create_version(before, "x", at=AT, max_versions=maximum)
        case ("update", new):
            model.update(new)
            return line.update(new)
        case ("undo",):
            if model.at == 0:
                with pytest.raises(NothingToUndoError):
                    line.undo()
                return line
            model.at -= 1
            return line.undo()[0]
        case ("redo",):
            if model.at == len(model.ids):
                with pytest.raises(NothingToRedoError):
                    line.redo()
                return line
            model.at += 1
            return line.redo()[0]
        case ("restore", id):
            if id not in model.ids:
                with pytest.raises(VersionNotFoundError):
                    line.restore(id)
                return line
            model.at = model.ids.index(id)
            return line.restore(id)[0]
    raise AssertionError(action)


@given(STATES, st.lists(ACTIONS, max_size=30))
def test_every_sequence_agrees_with_the_model(first: State, actions: list) -> None:  # type: ignore[type-arg]
    line, model = Timeline(first), Model([first])
    for action in actions:
        line = apply(line, model, action)
        assert line.current == model.states[model.at]
        assert list(line.states()) == model.states
        assert [(version.id, version.state, undone) for version, undone in line.versions()] == [
            (id, model.states[place], place >= model.at) for place, id in enumerate(model.ids)
        ]
        live: set[Digest] = {known.frame for known in model.states}
        live |= {known.marks for known in model.states if known.marks is not None}
        assert line.live() == live
        assert line.next_id == model.next_id

"""What happens when somebody else is faster: nothing is lost, nothing is overwritten unawares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from framekeep.engines.base import Buffer, Change, Visit
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import (
    ConflictError,
    InvalidInputError,
    InvalidMarksError,
    SessionDamagedError,
    SessionExistsError,
    SessionNotFoundError,
)
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Revision, Space
from framekeep.sessions import SessionBackend
from framekeep.testing.faults import Passing, VanishedBlob


class Interrupted(Passing):
    """Lets others act just before a commit, touch, read or log reaches the engine, once each."""

    def __init__(self, inner: MemoryEngine) -> None:
        super().__init__(inner)
        self.before_commit: list[Callable[[], object]] = []
        self.before_touch: list[Callable[[], object]] = []
        self.before_read: list[Callable[[], object]] = []
        self.before_log: list[Callable[[], object]] = []

    def commit(self, space: Space, change: Change) -> None:
        if self.before_commit:
            self.before_commit.pop(0)()
        super().commit(space, change)

    def touch(self, space: Space, ttl: float, at: Revision | None = None) -> Revision | None:
        if self.before_touch:
            self.before_touch.pop(0)()
        return super().touch(space, ttl, at)

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        if self.before_read:
            self.before_read.pop(0)()
        super().read(space, digests, visit)

    def log(self, space: Space, start: int = 0, stop: int | None = None) -> list[bytes]:
        if self.before_log:
            self.before_log.pop(0)()
        return super().log(space, start, stop)


@pytest.fixture
def engine() -> Iterator[MemoryEngine]:
    engine = MemoryEngine()
    yield engine
    engine.close()


@pytest.fixture
def between(engine: MemoryEngine) -> Interrupted:
    return Interrupted(engine)


@pytest.fixture
def slow(between: Interrupted) -> SessionBackend:
    """A backend that is overtaken."""
    return SessionBackend(between, FrameCodec(cache_bytes=0), patience=2.0)


@pytest.fixture
def quick(engine: MemoryEngine) -> SessionBackend:
    """The one that overtakes it."""
    return SessionBackend(engine, FrameCodec())


def frame(start: int, rows: int = 5) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(start, start + rows), "b": np.arange(rows) * 1.5})


@pytest.fixture
def session(quick: SessionBackend) -> str:
    quick.create_session("s", frame(0), "x", 3600)
    quick.commit_dataframe("s", frame(1), "one")
    quick.commit_dataframe("s", frame(2), "two")
    return "s"


def long_ago(engine: Passing) -> None:
    """Make the last access half an hour old, so that the next one moves the expiry."""
    engine.inner.touch(Space("session:s"), 1800.0)


# Each with a way to see whether it is there.
COMMUTING = {
    "metadata": (
        lambda b: b.update_metadata("s", {"mine": 1}),
        lambda b: b.get_metadata("s").get("mine") == 1,
    ),
    "audit": (lambda b: b.add_audit_entry("s", "mine"), lambda b: "mine" in b.get_audit_log("s")[-1]),
    "marks": (
        lambda b: b.set_intentional_missing("s", "b", [1]),
        lambda b: b.get_intentional_missing("s").get("b") == [1],
    ),
    "ttl": (lambda b: b.touch_session("s", 77), lambda b: b.engine.load(Space("session:s")).ttl <= 77),
}
OF_FRAMES: dict[str, Callable[[SessionBackend], object]] = {
    "update": lambda b: b.update_dataframe("s", frame(7)),
    "version": lambda b: b.create_version("s", frame(7), "mine"),
    "commit": lambda b: b.commit_dataframe("s", frame(7), "mine"),
    "undo": lambda b: b.undo("s"),
    "restore": lambda b: b.restore("s", 1),
}


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(mine, theirs) for mine in COMMUTING for theirs in [*COMMUTING, *OF_FRAMES] if mine != theirs],
)
def test_a_commuting_change_goes_through_whatever_came_first(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str, mine: str, theirs: str
) -> None:
    change, seen = COMMUTING[mine]
    other = COMMUTING[theirs][0] if theirs in COMMUTING else OF_FRAMES[theirs]
    between.before_commit.append(lambda: other(quick))
    change(slow)
    assert seen(quick)
    if theirs in COMMUTING and mine != "audit":
        assert COMMUTING[theirs][1](quick)


@pytest.mark.parametrize("mine", OF_FRAMES)
@pytest.mark.parametrize("theirs", ["metadata", "audit", "ttl"])
def test_a_change_of_the_frame_goes_with_what_does_not_touch_it(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str, mine: str, theirs: str
) -> None:
    before = quick.revision(session)
    between.before_commit.append(lambda: COMMUTING[theirs][0](quick))
    OF_FRAMES[mine](slow)
    assert quick.revision(session) != before
    if theirs == "metadata":
        assert quick.get_metadata(session)["mine"] == 1


@pytest.mark.parametrize("mine", OF_FRAMES)
@pytest.mark.parametrize("theirs", [*OF_FRAMES, "marks"])
def test_a_change_of_the_frame_does_not_overwrite_another(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str, mine: str, theirs: str
) -> None:
    other = COMMUTING[theirs][0] if theirs in COMMUTING else OF_FRAMES[theirs]
    after: list[object] = []

    def overtake() -> None:
        other(quick)
        after.append((quick.get_history(session), quick.revision(session), quick.get_audit_log(session)))

    between.before_commit.append(overtake)
    with pytest.raises(ConflictError, match="'s'"):
        OF_FRAMES[mine](slow)
    found = (quick.get_history(session), quick.revision(session), quick.get_audit_log(session))
    assert [found] == after


def test_marks_are_checked_against_the_frame_that_came_first(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    between.before_commit.append(lambda: quick.update_dataframe("s", frame(0, rows=2)))
    with pytest.raises(InvalidMarksError, match="row 4"):
        slow.set_intentional_missing("s", "a", [4])


def test_a_deleted_session_stays_deleted(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    between.before_commit.append(lambda: quick.delete_session("s"))
    with pytest.raises(SessionNotFoundError):
        slow.update_metadata("s", {"a": 1})
    assert not quick.session_exists("s")


def test_of_two_creators_one_wins(slow: SessionBackend, quick: SessionBackend, between: Interrupted) -> None:
    between.before_commit.append(lambda: quick.create_session("new", frame(1), "quick", 60))
    with pytest.raises(SessionExistsError):
        slow.create_session("new", frame(2), "slow", 60)
    assert quick.get_metadata("new")["filename"] == "quick"


def test_a_deletion_goes_through_although_the_session_changes(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    between.before_commit.append(lambda: quick.add_audit_entry("s", "x"))
    assert slow.delete_session("s")
    assert not quick.session_exists("s")


def test_a_session_too_busy_for_too_long_is_a_conflict(
    engine: MemoryEngine, between: Interrupted, quick: SessionBackend, session: str
) -> None:
    impatient = SessionBackend(between, FrameCodec(), patience=0.0)
    between.before_commit += [lambda: quick.add_audit_entry("s", "x")] * 5
    with pytest.raises(ConflictError, match="busy"):
        impatient.add_audit_entry("s", "mine")


@pytest.mark.parametrize("seconds", [77, 7_000_000])
@pytest.mark.parametrize(
    "access",
    [
        lambda b: b.get_dataframe("s"),
        lambda b: b.touch_session("s", 3600),
        lambda b: b.update_metadata("s", {}),
    ],
    ids=["read", "touch", "nothing"],
)
def test_a_new_time_to_live_outlasts_an_access_that_began_before(
    slow: SessionBackend,
    quick: SessionBackend,
    between: Interrupted,
    session: str,
    access: Callable[[SessionBackend], object],
    seconds: float,
) -> None:
    long_ago(between)
    between.before_touch.append(lambda: quick.touch_session("s", seconds))
    access(slow)
    head = quick.engine.load(Space("session:s"))
    assert head is not None
    assert head.ttl == pytest.approx(seconds, abs=60)


def test_an_access_to_a_session_that_ends_meanwhile_is_told_so(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    long_ago(between)
    between.before_touch.append(lambda: quick.delete_session("s"))
    with pytest.raises(SessionNotFoundError):
        slow.get_metadata("s")


def test_an_edit_that_changed_nothing_conflicts_with_nobody(
    slow: SessionBackend, quick: SessionBackend, session: str
) -> None:
    step = slow.edit("s", "only looked")
    with step:
        quick.update_dataframe("s", frame(9))
    assert step.version_id is None
    assert quick.get_dataframe("s")["a"].tolist() == frame(9)["a"].tolist()


@pytest.mark.parametrize("wrong", [b"", b"short", "00" * 8, 7])
@pytest.mark.parametrize(
    "change",
    [
        lambda b, wrong: b.update_dataframe("s", frame(9), expected_revision=wrong),
        lambda b, wrong: b.undo("s", expected_revision=wrong),
    ],
    ids=["update", "undo"],
)
def test_what_is_no_revision_is_refused_as_such(
    quick: SessionBackend, session: str, change: Callable[[SessionBackend, object], object], wrong: object
) -> None:
    before = quick.revision("s")
    with pytest.raises(InvalidInputError, match="revision"):
        change(quick, wrong)
    assert quick.revision("s") == before


# --- readers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [
        lambda b: b.get_dataframe("s")["a"].tolist(),
        lambda b: b.get_table("s").column("a").to_pylist(),
        lambda b: b.get_page("s", 0, 5)["a"].tolist(),
    ],
    ids=["frame", "table", "page"],
)
def test_a_reader_whose_chunks_were_dropped_reads_what_came_after(
    slow: SessionBackend,
    quick: SessionBackend,
    between: Interrupted,
    session: str,
    read: Callable[[SessionBackend], list[int]],
) -> None:
    # Twice: the manifest and the chunks are read apart, and each may be overtaken.
    between.before_read += [
        lambda: quick.commit_dataframe("s", frame(40), "x", 0),
        lambda: quick.commit_dataframe("s", frame(50), "x", 0),
    ]
    assert read(slow) == [50, 51, 52, 53, 54]


def test_marks_dropped_meanwhile_are_read_anew(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    quick.set_intentional_missing("s", "a", [1])
    between.before_read.append(lambda: quick.set_intentional_missing("s", "a", [2]))
    assert slow.get_intentional_missing("s") == {"a": [2]}


def test_a_reader_of_a_session_deleted_meanwhile_is_told_so(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    between.before_read.append(lambda: quick.delete_session("s"))
    with pytest.raises(SessionNotFoundError):
        slow.get_dataframe("s")


def test_the_log_of_a_session_deleted_meanwhile_is_not_found(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted, session: str
) -> None:
    between.before_log.append(lambda: quick.delete_session("s"))
    with pytest.raises(SessionNotFoundError):
        slow.get_audit_log("s")


def test_sheets_replaced_meanwhile_are_read_anew(
    slow: SessionBackend, quick: SessionBackend, between: Interrupted
) -> None:
    quick.create_temp_storage("t", {"a": frame(1)}, "one")
    between.before_read.append(lambda: quick.create_temp_storage("t", {"b": frame(2)}, "two"))
    assert list(slow.get_temp_storage("t")["sheets"]) == ["b"]


# --- staged blobs -----------------------------------------------------------------------------------


class Forgetful(Passing):
    """Loses what was staged so many times, as a purge by somebody else would."""

    def __init__(self, inner: MemoryEngine, times: int) -> None:
        super().__init__(inner)
        self.times = times

    def stage(self, space: Space, blobs: Mapping[Digest, Buffer]) -> None:
        if self.times > 0:
            self.times -= 1
        else:
            super().stage(space, blobs)


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    """A frame that is staged: more than 32 MiB that do not compress."""
    rng = np.random.default_rng(7)
    return pd.DataFrame({f"c{i}": rng.random(500_000) for i in range(10)})


def forgetful(engine: MemoryEngine, times: int) -> SessionBackend:
    return SessionBackend(Forgetful(engine, times), FrameCodec())


def test_a_creation_whose_staged_parts_were_freed_stages_them_again(
    engine: MemoryEngine, large: pd.DataFrame
) -> None:
    forgetful(engine, 1).create_session("big", large, "x", 60)
    assert SessionBackend(engine, FrameCodec()).check("big") == []


def test_an_update_whose_staged_parts_were_freed_stages_them_again(
    engine: MemoryEngine, quick: SessionBackend, session: str, large: pd.DataFrame
) -> None:
    forgetful(engine, 1).update_dataframe("s", large)
    assert quick.check("s") == []
    assert len(quick.get_dataframe("s")) == 500_000


def test_parts_that_are_freed_every_time_end_in_an_error(
    engine: MemoryEngine, quick: SessionBackend, session: str, large: pd.DataFrame
) -> None:
    with pytest.raises(ConflictError, match="freed"):
        forgetful(engine, 1000).update_dataframe("s", large)
    assert quick.get_dataframe("s")["a"].tolist() == [2, 3, 4, 5, 6]


# --- lost for real ----------------------------------------------------------------------------------


@pytest.fixture
def holed(engine: MemoryEngine) -> VanishedBlob:
    return VanishedBlob(engine)


def lose_column(holed: VanishedBlob, backend: SessionBackend, column: str) -> None:
    manifest = backend._heads.source("s").manifest(backend._heads.load("s").session.timeline.current.frame)
    place = list(manifest.columns).index(column)
    holed.digests |= set(manifest.arrays[place].digests())


def test_a_missing_chunk_names_session_and_column(
    holed: VanishedBlob, quick: SessionBackend, session: str
) -> None:
    lose_column(holed, quick, "b")
    with pytest.raises(SessionDamagedError, match=r"'s'.*column 'b'") as caught:
        SessionBackend(holed, FrameCodec()).get_dataframe("s")
    assert (caught.value.session_id, caught.value.where) == ("s", "current: column 'b'")


def test_other_sessions_are_unharmed_by_a_missing_chunk(
    holed: VanishedBlob, quick: SessionBackend, session: str
) -> None:
    quick.create_session("other", pd.DataFrame({"z": [1.0]}), "x", 60)
    lose_column(holed, quick, "b")
    assert SessionBackend(holed, FrameCodec()).get_dataframe("other")["z"].tolist() == [1.0]


def test_check_names_every_state_that_misses_a_chunk(
    holed: VanishedBlob, quick: SessionBackend, session: str
) -> None:
    lose_column(holed, quick, "b")
    found = SessionBackend(holed, FrameCodec()).check("s")
    assert sorted(damage.where for damage in found) == [
        "current: column 'b'",
        "version 1: column 'b'",
        "version 2: column 'b'",
    ]


def test_missing_marks_are_named(holed: VanishedBlob, quick: SessionBackend, session: str) -> None:
    quick.set_intentional_missing("s", "a", [1])
    marks = quick._heads.load("s").session.timeline.current.marks
    assert marks is not None
    holed.digests.add(marks)
    broken = SessionBackend(holed, FrameCodec())
    with pytest.raises(SessionDamagedError, match="marks"):
        broken.get_intentional_missing("s")
    assert [damage.where for damage in broken.check("s")] == ["current: marks"]


def test_a_missing_part_of_an_old_version_does_not_stop_a_commit_that_keeps_it(
    holed: VanishedBlob, quick: SessionBackend, session: str
) -> None:
    lose_column(holed, quick, "a")
    SessionBackend(holed, FrameCodec()).add_audit_entry("s", "still here")
    assert "still here" in quick.get_audit_log("s")[-1]


def test_a_missing_sheet_names_the_temporary_storage(holed: VanishedBlob, quick: SessionBackend) -> None:
    quick.create_temp_storage("t", {"a": frame(1)}, "x")
    broken = SessionBackend(holed, FrameCodec())
    manifest = quick.codec.encode(frame(1)).manifest
    holed.digests |= set(manifest.arrays[0].digests())
    with pytest.raises(SessionDamagedError, match="'t'"):
        broken.get_temp_storage("t")

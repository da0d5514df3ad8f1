"""Flipped bytes and failing engines under a backend."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from framekeep.engines.base import Change
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import SessionDamagedError, StorageUnavailableError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Space, new_revision
from framekeep.sessions import SessionBackend
from framekeep.testing.faults import FailAt


def frame(start: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(6) + start, "b": list("uvwxyz")})


@pytest.fixture
def engine() -> MemoryEngine:
    engine = MemoryEngine()
    backend = SessionBackend(engine, FrameCodec())
    backend.create_session("s", frame(), "x", 3600)
    backend.commit_dataframe("s", frame(1.0), "one")
    backend.create_session("other", frame(5.0), "x", 3600)
    return engine


def flip(engine: MemoryEngine, digest: Digest) -> None:
    """Change one byte of a stored blob, past the engine."""
    held = engine._spaces()[Space("session:s")].blobs
    blob = bytearray(held[digest])
    blob[-1] ^= 1
    held[digest] = bytes(blob)


def digest_of_column(engine: MemoryEngine, column: str) -> Digest:
    backend = SessionBackend(engine, FrameCodec())
    manifest = backend._heads.source("s").manifest(backend._heads.load("s").session.timeline.current.frame)
    return next(iter(manifest.arrays[list(manifest.columns).index(column)].digests()))


@pytest.mark.parametrize("column", ["a", "b"])
def test_a_flipped_byte_names_session_and_column(engine: MemoryEngine, column: str) -> None:
    flip(engine, digest_of_column(engine, column))
    with pytest.raises(SessionDamagedError, match=rf"'s'.*'{column}'") as caught:
        SessionBackend(engine, FrameCodec()).get_dataframe("s")
    assert caught.value.session_id == "s"


def test_a_flipped_byte_harms_no_other_session(engine: MemoryEngine) -> None:
    flip(engine, digest_of_column(engine, "a"))
    pd.testing.assert_frame_equal(SessionBackend(engine, FrameCodec()).get_dataframe("other"), frame(5.0))


def test_undo_leads_out_of_a_damaged_state(engine: MemoryEngine) -> None:
    flip(engine, digest_of_column(engine, "a"))
    backend = SessionBackend(engine, FrameCodec())
    pd.testing.assert_frame_equal(backend.undo_last_change("s"), frame())


def test_check_tells_the_damaged_state_and_column(engine: MemoryEngine) -> None:
    flip(engine, digest_of_column(engine, "a"))
    [damage] = SessionBackend(engine, FrameCodec()).check("s")
    assert damage.where == "current: column 'a'"


@pytest.mark.parametrize("column", ["a", "b"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_damaged_state_is_mended_by_writing_its_data_again(
    engine: MemoryEngine, column: str, lost: bool
) -> None:
    digest = digest_of_column(engine, column)
    if lost:
        del engine._spaces()[Space("session:s")].blobs[digest]
    else:
        flip(engine, digest)
    backend = SessionBackend(engine, FrameCodec())
    with pytest.raises(SessionDamagedError):
        backend.get_dataframe("s")
    backend.update_dataframe("s", frame(1.0))
    pd.testing.assert_frame_equal(SessionBackend(engine, FrameCodec()).get_dataframe("s"), frame(1.0))
    assert backend.check("s") == []


def test_a_flipped_manifest_is_named(engine: MemoryEngine) -> None:
    backend = SessionBackend(engine, FrameCodec())
    flip(engine, backend._heads.load("s").session.timeline.current.frame)
    broken = SessionBackend(engine, FrameCodec())
    with pytest.raises(SessionDamagedError, match="'s'"):
        broken.get_metadata("s")
    assert [damage.where for damage in broken.check("s")] == ["current: manifest"]


def test_flipped_marks_are_named(engine: MemoryEngine) -> None:
    backend = SessionBackend(engine, FrameCodec())
    backend.set_intentional_missing("s", "a", [1, 2])
    marks = backend._heads.load("s").session.timeline.current.marks
    assert marks is not None
    flip(engine, marks)
    with pytest.raises(SessionDamagedError, match=r"'s'.*marks"):
        backend.get_intentional_missing("s")
    assert [damage.where for damage in backend.check("s")] == ["current: marks"]


def test_a_space_that_is_no_session_of_ours_is_damaged_by_name(engine: MemoryEngine) -> None:
    engine.commit(Space("session:odd"), Change(None, new_revision(), b"hello"))
    with pytest.raises(SessionDamagedError, match="'odd'"):
        SessionBackend(engine, FrameCodec()).get_dataframe("odd")


VERBS = {
    "create": lambda b: b.create_session("new", frame(), "x", 60),
    "update": lambda b: b.update_dataframe("s", frame(9.0)),
    "version": lambda b: b.create_version("s", frame(9.0), "x"),
    "commit": lambda b: b.commit_dataframe("s", frame(9.0), "x"),
    "undo": lambda b: b.undo("s"),
    "metadata": lambda b: b.update_metadata("s", {"a": 1}),
    "marks": lambda b: b.set_intentional_missing("s", "a", [1]),
    "audit": lambda b: b.add_audit_entry("s", "x"),
    "delete": lambda b: b.delete_session("s"),
    "temporary": lambda b: b.create_temp_storage("t", {"a": frame()}, "x"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_fails_anywhere_leaves_the_old_state_or_the_new(engine: MemoryEngine, verb: str) -> None:
    def seen(backend: SessionBackend) -> object:
        if not backend.session_exists("s"):
            return None
        found = backend.get_metadata("s")
        told = {key: found.get(key) for key in ("columns", "current_version", "a")}
        marks, log = backend.get_intentional_missing("s"), backend.get_audit_log("s")
        return told, backend.get_dataframe("s").to_dict("list"), backend.get_history("s"), marks, len(log)

    sound = SessionBackend(engine, FrameCodec())
    before = seen(sound)
    for call in range(1, 20):
        failing = SessionBackend(FailAt(engine, call), FrameCodec())
        try:
            VERBS[verb](failing)
        except StorageUnavailableError:
            assert seen(sound) == before
            assert sound.list_sessions() == ["other", "s"]
        else:
            break
    else:
        pytest.fail("the verb never came to its end")
    assert not sound.session_exists("s") or sound.check("s") == []


def test_a_damaged_entry_of_the_audit_log_is_named_and_all_else_is_read(engine: MemoryEngine) -> None:
    backend = SessionBackend(engine, FrameCodec())
    engine._spaces()[Space("session:s")].log[0] = b"\xff" + backend.get_audit_log("s")[0].encode()
    with pytest.raises(SessionDamagedError, match="'s'") as caught:
        backend.get_audit_log("s")
    assert (caught.value.session_id, caught.value.where) == ("s", "log")
    pd.testing.assert_frame_equal(backend.get_dataframe("s"), frame(1.0))

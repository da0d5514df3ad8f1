"""The shipped fault wrappers do what their names say."""

from __future__ import annotations

import subprocess
import sys

import pytest

import framekeep.testing
from framekeep.engines.base import Change, Engine, blobs
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import BlobMissing, StorageUnavailableError
from framekeep.names import Digest, digest_of, new_revision, space
from framekeep.testing import FailAt, FlippedByte, InjectedFault, LostReply, ManualClock, VanishedBlob

A = space("session", "a")
HELD = {digest_of(b"one"): b"one", digest_of(b"two"): b"two"}


@pytest.fixture
def engine() -> Engine:
    engine = MemoryEngine(clock=ManualClock())
    engine.commit(A, Change(None, new_revision(), b"body", HELD, log=[b"entry"]))
    return engine


def test_wrappers_are_engines(engine: Engine) -> None:
    for wrapped in (LostReply(engine), FailAt(engine), VanishedBlob(engine), FlippedByte(engine)):
        assert isinstance(wrapped, Engine)


def test_lost_reply_commits_and_raises(engine: Engine) -> None:
    head = engine.load(A)
    assert head is not None
    change = Change(head.revision, new_revision(), b"new", log=[b"once"])
    lossy = LostReply(engine, lose=2)
    for _ in range(2):
        with pytest.raises(InjectedFault):
            lossy.commit(A, change)
    lossy.commit(A, change)
    assert engine.log(A) == [b"entry", b"once"]


def test_fail_at_counts_every_call(engine: Engine) -> None:
    counting = FailAt(engine)
    counting.load(A)
    counting.touch(A, 1.0)
    counting.log(A)
    counting.stage(A, {})
    blobs(counting, A, [])
    counting.commit(A, Change(None, new_revision(), None)) if counting.load(A) is None else None
    list(counting.spaces())
    counting.count()
    counting.purge()
    assert counting.calls == 9


def test_fail_at_fails_that_call_before_it_happens(engine: Engine) -> None:
    failing = FailAt(engine, 2)
    assert failing.load(A) is not None
    with pytest.raises(StorageUnavailableError):
        failing.touch(A, 1.0)
    head = failing.load(A)
    assert head is not None
    assert head.ttl is None


def test_fail_at_onwards_fails_all_later_calls(engine: Engine) -> None:
    failing = FailAt(engine, 2, onwards=True)
    failing.load(A)
    for _ in range(3):
        with pytest.raises(InjectedFault):
            failing.load(A)


def test_vanished_blob_is_missing_and_others_are_not(engine: Engine) -> None:
    one, two = HELD
    vanished = VanishedBlob(engine, {one})
    assert blobs(vanished, A, [two]) == [b"two"]
    with pytest.raises(BlobMissing) as caught:
        blobs(vanished, A, [two, one])
    assert caught.value.digests == (one,)


def test_flipped_byte_changes_one_byte_of_the_chosen_blob(engine: Engine) -> None:
    one, two = HELD
    flipping = FlippedByte(engine, {one}, position=4, mask=0x80)
    assert blobs(flipping, A, [one, two]) == [b"o\xeee", b"two"]
    assert blobs(engine, A, [one]) == [b"one"]


def test_flipped_byte_leaves_an_empty_blob_alone(engine: Engine) -> None:
    empty: dict[Digest, bytes] = {digest_of(b""): b""}
    engine.stage(A, empty)
    assert blobs(FlippedByte(engine), A, list(empty)) == [b""]


def test_manual_clock_stands_still_until_told() -> None:
    clock = ManualClock(100.0)
    assert clock() == clock() == 100.0
    clock.advance(-1.5)
    assert clock() == 98.5


def test_every_public_name_can_be_imported() -> None:
    for name in framekeep.testing.__all__:
        assert getattr(framekeep.testing, name) is not None
    with pytest.raises(AttributeError):
        framekeep.testing.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("missing", "name"), [("pytest", "EngineContract"), ("hypothesis", "engine_machine")]
)
def test_missing_test_library_names_the_extra(missing: str, name: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from framekeep.testing import LostReply\n"
        f"try:\n    from framekeep.testing import {name}\n"
        "except ImportError as e:\n    print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "framekeep[dev]" in done.stdout
    assert missing in done.stdout

"""An engine behind a chunk cache keeps the contract of the engine inside, and its promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from framekeep.engines import lmdb_records as records
from framekeep.engines.base import Change, Engine, Visit, blobs
from framekeep.engines.cached import CachedEngine
from framekeep.engines.chunk_cache import ChunkCache
from framekeep.engines.lmdb import LmdbEngine
from framekeep.engines.memory import MemoryEngine
from framekeep.errors import BlobMissing, SessionDamagedError
from framekeep.frames import FrameCodec
from framekeep.names import Digest, Space, digest_of, new_revision, space
from framekeep.sessions import SessionBackend
from framekeep.testing import EngineContract, ManualClock, engine_machine
from framekeep.testing.faults import LostReply, Passing

A = space("session", "a")
B = space("session", "b")
LIMIT = 32 << 20


# --- the contract --------------------------------------------------------------------------------


class CachedHooks(EngineContract):
    def make_inner(self, clock: Callable[[], float]) -> Engine:
        raise NotImplementedError

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return CachedEngine(self.make_inner(clock), ChunkCache(self.directory / "cache", LIMIT))


class TestCachedMemoryEngine(CachedHooks):
    def make_inner(self, clock: Callable[[], float]) -> Engine:
        return MemoryEngine(clock=clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        del memory_of(engine)._spaces()[space].blobs[digest]

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        held = memory_of(engine)._spaces()[space].blobs
        held[digest] = bytes([held[digest][0] ^ 1]) + held[digest][1:]


class TestCachedLmdbEngine(CachedHooks):
    @pytest.fixture(autouse=True)
    def _behind(self, change_stored: Callable[..., None]) -> None:
        self.change_stored = change_stored

    def make_inner(self, clock: Callable[[], float]) -> Engine:
        return LmdbEngine(self.directory / "store", clock=clock, durable=False, map_size=1 << 20)

    def reopen(self, engine: Engine) -> Engine:
        engine.close()
        return self.make_engine(self.clock)

    def drop_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        self.change_blob(engine, space, digest, lambda old: None)

    def flip_blob(self, engine: Engine, space: Space, digest: Digest) -> None:
        self.change_blob(engine, space, digest, lambda old: bytes([old[0] ^ 1]) + old[1:])

    def change_blob(
        self, engine: Engine, space: Space, digest: Digest, change: Callable[[bytes], bytes | None]
    ) -> None:
        assert isinstance(engine, CachedEngine)
        key = records.blob_prefix(records.space_key(space)) + digest
        self.change_stored(engine.inner, records.BLOBS, key, change)


class TestTinyCache(TestCachedMemoryEngine):
    """With so little room that most blobs are not held, or not for long."""

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        return CachedEngine(self.make_inner(clock), ChunkCache(self.directory / "cache", 256 << 10))


class TestUnusableCache(TestCachedMemoryEngine):
    """With a directory that cannot be made."""

    def make_engine(self, clock: Callable[[], float]) -> Engine:
        (self.directory / "file").write_bytes(b"")
        return CachedEngine(self.make_inner(clock), ChunkCache(self.directory / "file" / "cache", LIMIT))


def memory_of(engine: Engine) -> MemoryEngine:
    assert isinstance(engine, CachedEngine)
    assert isinstance(engine.inner, MemoryEngine)
    return engine.inner


def make_cached(directory: Path, clock: Callable[[], float]) -> Engine:
    return CachedEngine(MemoryEngine(clock=clock), ChunkCache(directory, LIMIT))


TestCachedMachine = engine_machine(make_cached).TestCase
TestCachedMachine.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


# --- what is fetched -----------------------------------------------------------------------------


class Asked(Passing):
    """Note what is read of the engine inside."""

    def __init__(self, inner: Engine) -> None:
        super().__init__(inner)
        self.asked: list[list[Digest]] = []

    def read(self, space: Space, digests: Sequence[Digest], visit: Visit) -> None:
        self.asked.append(list(digests))
        super().read(space, digests, visit)


@pytest.fixture
def asked() -> Asked:
    return Asked(MemoryEngine(clock=ManualClock()))


@pytest.fixture
def cached(asked: Asked, tmp_path: Path) -> Iterator[CachedEngine]:
    engine = CachedEngine(asked, ChunkCache(tmp_path / "cache", LIMIT))
    yield engine
    engine.close()


def some(n: int, size: int = 3000) -> dict[Digest, bytes]:
    contents = [b"%06d" % i * (size // 6) for i in range(n)]
    return {digest_of(content): content for content in contents}


def store(engine: Engine, held: Mapping[Digest, bytes], name: Space = A) -> None:
    engine.commit(name, Change(None, new_revision(), b"", held))


def test_what_was_read_is_not_fetched_again(cached: CachedEngine, asked: Asked) -> None:
    held = some(10)
    store(cached, held)
    for _ in range(3):
        assert blobs(cached, A, list(held)) == list(held.values())
    assert asked.asked == [list(held)]
    counters = cached.counters()
    assert (counters["hits"], counters["misses"], counters["failures"]) == (20, 10, 0)


def test_only_what_is_missing_is_fetched_in_one_request(cached: CachedEngine, asked: Asked) -> None:
    held = some(40)
    digests = list(held)
    store(cached, held)
    blobs(cached, A, digests[::2])
    seen: list[int] = []
    cached.read(A, digests, lambda i, buffer: seen.append(i))
    assert seen == list(range(40))
    assert asked.asked == [digests[::2], digests[1::2]]


@pytest.mark.parametrize("known", [(), (0,), (1, 2), (0, 3, 5), (5,), (0, 1, 2, 3, 4, 5)])
def test_order_and_repetition_are_kept_whatever_is_known(
    cached: CachedEngine, asked: Asked, known: Sequence[int]
) -> None:
    held = some(6)
    digests = list(held)
    store(cached, held)
    blobs(cached, A, [digests[i] for i in known])
    order = [digests[i] for i in (5, 0, 0, 3, 1, 5, 2, 4, 3)]
    seen: list[tuple[int, bytes]] = []
    cached.read(A, order, lambda i, buffer: seen.append((i, bytes(buffer))))
    assert seen == [(i, held[digest]) for i, digest in enumerate(order)]
    assert len(asked.asked) <= 2


def test_large_reads_are_fetched_in_groups_of_bounded_bytes(cached: CachedEngine, asked: Asked) -> None:
    held = some(200, 1 << 19)
    store(cached, held)
    assert blobs(cached, A, list(held)) == list(held.values())
    sizes = [len(group) for group in asked.asked]
    assert sizes[0] == 64  # nothing is known yet
    assert all(20 < size <= 32 for size in sizes[1:-1])  # 16 MiB
    assert sum(sizes) == 200


def test_every_missing_blob_of_a_long_request_is_named(cached: CachedEngine) -> None:
    held = some(300, 60)
    gone = list(held)[::7]
    store(cached, {digest: content for digest, content in held.items() if digest not in gone})
    with pytest.raises(BlobMissing) as caught:
        blobs(cached, A, list(held))
    assert list(caught.value.digests) == gone


def test_spaces_share_nothing(cached: CachedEngine) -> None:
    held = some(3)
    store(cached, held)
    blobs(cached, A, list(held))
    with pytest.raises(BlobMissing):
        blobs(cached, B, list(held))


def test_blob_that_is_too_large_is_passed_through(cached: CachedEngine, asked: Asked) -> None:
    content = b"x" * (LIMIT // 8)
    store(cached, {digest_of(content): content})
    for _ in range(2):
        assert blobs(cached, A, [digest_of(content)]) == [content]
    assert len(asked.asked) == 2


def test_exception_of_a_visit_comes_out_of_a_hit_and_of_a_miss(cached: CachedEngine) -> None:
    held = some(4)
    store(cached, held)

    def visit(i: int, buffer: memoryview) -> None:
        if i == 2:
            raise OSError("mine")

    for _ in range(3):
        with pytest.raises(OSError, match=r"^mine$"):
            cached.read(A, list(held), visit)
    assert blobs(cached, A, list(held)) == list(held.values())
    assert cached.counters()["failures"] == 0


def test_view_kept_of_cached_memory_is_an_error(cached: CachedEngine) -> None:
    held = some(1)
    store(cached, held)
    blobs(cached, A, list(held))
    kept: list[memoryview] = []
    cached.read(A, list(held), lambda i, buffer: kept.append(buffer))
    with pytest.raises(ValueError, match="released"):
        bytes(kept[0])


# --- what is dropped -----------------------------------------------------------------------------


def test_what_a_commit_does_not_keep_is_gone_here_too(cached: CachedEngine) -> None:
    held = some(4)
    digests = list(held)
    first, second = new_revision(), new_revision()
    cached.commit(A, Change(None, first, b"", held))
    blobs(cached, A, digests)
    cached.commit(A, Change(first, second, b"", keep=frozenset(digests[:1])))
    for digest in digests[1:]:
        with pytest.raises(BlobMissing):
            blobs(cached, A, [digest])
    assert blobs(cached, A, digests[:1]) == [held[digests[0]]]


def test_commit_whose_reply_was_lost_drops_all_the_same(tmp_path: Path) -> None:
    inner = MemoryEngine()
    cached = CachedEngine(LostReply(inner, lose=1), ChunkCache(tmp_path, LIMIT))
    held = some(2)
    revision = new_revision()
    inner.commit(A, Change(None, revision, b"", held))
    blobs(cached, A, list(held))
    with pytest.raises(Exception, match="lost"):
        cached.commit(A, Change(revision, new_revision(), None))
    with pytest.raises(BlobMissing):
        blobs(cached, A, list(held))
    cached.close()


def test_conflict_drops_nothing(cached: CachedEngine, asked: Asked) -> None:
    held = some(2)
    store(cached, held)
    blobs(cached, A, list(held))
    with pytest.raises(Exception, match="revision"):
        store(cached, {})
    blobs(cached, A, list(held))
    assert len(asked.asked) == 1


# --- damage in the engine inside ------------------------------------------------------------------


def judging(held: Mapping[Digest, bytes], digests: Sequence[Digest], seen: list[bytes]) -> Visit:
    """Return a visit that refuses what is not what was stored, as the layer above does."""

    def visit(i: int, buffer: memoryview) -> None:
        if bytes(buffer) != held[digests[i]]:
            raise SessionDamagedError("damaged")
        seen.append(bytes(buffer))

    return visit


def test_damage_that_was_refused_is_not_kept(cached: CachedEngine, asked: Asked) -> None:
    held = some(3)
    digests = list(held)
    store(asked, {**held, digests[1]: b"damaged"})
    for _ in range(2):
        with pytest.raises(SessionDamagedError):
            cached.read(A, digests, judging(held, digests, []))
    store_again(asked, held)  # by another machine
    seen: list[bytes] = []
    cached.read(A, digests, judging(held, digests, seen))
    assert seen == list(held.values())


def test_damage_that_was_kept_is_fetched_again_when_it_is_refused(cached: CachedEngine, asked: Asked) -> None:
    held = some(3)
    digests = list(held)
    store(asked, {**held, digests[1]: b"damaged"})
    blobs(cached, A, digests)  # looks at nothing
    with pytest.raises(SessionDamagedError):
        cached.read(A, digests, judging(held, digests, []))
    blobs(cached, A, digests)
    store_again(asked, held)  # by another machine
    seen: list[bytes] = []
    cached.read(A, digests, judging(held, digests, seen))
    assert seen == list(held.values())
    assert blobs(cached, A, digests) == seen


def store_again(engine: Engine, held: Mapping[Digest, bytes]) -> None:
    head = engine.load(A)
    assert head is not None
    engine.commit(A, Change(head.revision, new_revision(), b"", held))


def test_only_what_is_admitted_is_kept(asked: Asked, tmp_path: Path) -> None:
    cached = CachedEngine(
        asked, ChunkCache(tmp_path, LIMIT), admit=lambda digest, blob: digest_of(blob) == digest
    )
    held = some(3)
    digests = list(held)
    store(asked, {**held, digests[1]: b"damaged"})
    assert blobs(cached, A, digests)[1] == b"damaged"
    store_again(asked, held)  # by another machine
    assert blobs(cached, A, digests) == list(held.values())
    assert asked.asked == [digests, digests[1:2]]
    cached.close()


# --- telling and closing ---------------------------------------------------------------------------


def test_health_tells_of_the_cache(cached: CachedEngine) -> None:
    store(cached, some(2))
    blobs(cached, A, list(some(2)))
    health = cached.health()
    assert (health.engine, health.reachable) == ("memory", True)
    told = json.loads(json.dumps(dict(health.details)))["local_cache"]
    assert told.keys() >= {"hits", "misses", "bytes", "limit_bytes", "evictions", "failures", "error"}
    assert (told["hits"], told["misses"], told["hit_ratio"]) == (0, 2, 0.0)
    assert 0 < told["bytes"] <= told["limit_bytes"] == LIMIT


def test_unusable_cache_is_no_ill_health_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cached = CachedEngine(MemoryEngine(), ChunkCache(tmp_path / "file" / "cache", LIMIT))
    health = cached.health()
    assert health.reachable
    assert health.details["local_cache"]["failures"] == 1
    assert "not a directory" in health.details["local_cache"]["error"]
    cached.close()
    assert not cached.health().reachable


def test_closed_engine_serves_nothing_from_its_cache(cached: CachedEngine) -> None:
    held = some(2)
    store(cached, held)
    blobs(cached, A, list(held))
    cached.close()
    with pytest.raises(Exception, match="closed"):
        blobs(cached, A, list(held))
    cached.counters()


def test_engine_called_from_its_own_visit_harms_nothing(cached: CachedEngine) -> None:
    held = some(2)
    digests = list(held)
    store(cached, held)
    blobs(cached, A, digests)
    seen: list[bytes] = []
    cached.read(A, digests, lambda i, buffer: seen.extend(blobs(cached, A, [digests[i]])))
    assert seen == list(held.values())
    with pytest.raises(RuntimeError):
        cached.read(A, digests, lambda i, buffer: cached.close())
    assert blobs(cached, A, digests) == seen


# --- under sessions --------------------------------------------------------------------------------


def test_sessions_over_a_cache_read_what_another_machine_wrote(tmp_path: Path) -> None:
    inner = Asked(MemoryEngine())
    here = CachedEngine(inner, ChunkCache(tmp_path, LIMIT))
    writer = SessionBackend(inner, FrameCodec())
    frame = pd.DataFrame({"a": range(70_000), "b": ["x", "y"] * 35_000})
    writer.create_session("a", frame, "a.csv", 60.0)
    for wanted in (1, 0):  # two workers, one after the other
        inner.asked.clear()
        worker = SessionBackend(here, FrameCodec())
        pd.testing.assert_frame_equal(worker.get_dataframe("a"), frame)
        assert (len(inner.asked) > 0) == (wanted == 1)
    here.close()

"""The engine contract: blobs, what a commit keeps, staging, damage."""

from __future__ import annotations

import contextlib

import pytest

from framekeep.engines.base import Buffer
from framekeep.errors import BlobMissing, DamagedError
from framekeep.names import Digest, digest_of
from framekeep.testing.contract_base import A, B, ContractBase, blob


class BlobContract(ContractBase):
    """What ``read``, ``stage`` and ``keep`` mean."""

    def test_blobs_are_visited_in_the_order_asked(self) -> None:
        held = {digest_of(b"%d" % i): b"%d" % i for i in range(20)}
        self.put(blobs=held)
        order = sorted(held)[::-1]
        seen: list[tuple[int, bytes]] = []
        self.engine.read(A, order, lambda i, buffer: seen.append((i, bytes(buffer))))
        assert seen == [(i, held[digest]) for i, digest in enumerate(order)]

    def test_blob_asked_twice_is_visited_twice(self) -> None:
        held = blob(b"held")
        self.put(blobs=held)
        assert self.contents([*held, *held]) == [b"held", b"held"]

    def test_reading_nothing_visits_nothing(self) -> None:
        self.put()
        assert self.contents([]) == []

    def test_visited_buffers_are_contiguous_bytes_that_cannot_be_written(self) -> None:
        held = blob(b"held")
        self.put(blobs=held)
        seen: list[tuple[bool, bool, str, int]] = []
        self.engine.read(
            A, list(held), lambda i, b: seen.append((b.readonly, b.contiguous, b.format, b.nbytes))
        )
        assert seen == [(True, True, "B", 4)]

    def test_every_missing_blob_is_named(self) -> None:
        held = blob(b"held")
        self.put(blobs=held)
        gone = [digest_of(b"%d" % i) for i in range(3)]
        with pytest.raises(BlobMissing) as caught:
            self.contents([gone[0], *held, gone[1], gone[2]])
        assert set(caught.value.digests) == set(gone)

    def test_blobs_of_an_absent_space_are_missing(self) -> None:
        digest = digest_of(b"x")
        with pytest.raises(BlobMissing) as caught:
            self.contents([digest])
        assert caught.value.digests == (digest,)

    def test_exception_of_a_visit_comes_out(self) -> None:
        held = blob(b"held")
        self.put(blobs=held)

        def visit(i: int, buffer: memoryview) -> None:
            raise OSError("mine")

        with pytest.raises(OSError, match=r"^mine$"):
            self.engine.read(A, list(held), visit)
        assert self.has(held)

    def test_blobs_of_any_size_come_back_equal(self) -> None:
        sizes = [0, 1, 15, 16, 100, 2047, 2048, 4096, 5000, 65_536, 1_000_003, 3 << 20]
        held = {digest_of(b"%d" % n): bytes([n % 251]) * n for n in sizes}
        self.put(blobs=held)
        assert self.contents(list(held)) == list(held.values())

    def test_many_small_blobs_in_one_commit(self) -> None:
        held = {digest_of(b"%d" % i): b"%d" % i for i in range(3000)}
        self.put(blobs=held)
        assert self.contents(list(held)) == list(held.values())

    def test_buffers_of_every_kind_are_taken(self) -> None:
        buffers: list[Buffer] = [b"x", bytearray(b"x"), memoryview(b"x")]
        held: dict[Digest, Buffer] = {digest_of(b"%d" % i): buffer for i, buffer in enumerate(buffers)}
        self.put(blobs=held)
        self.engine.stage(B, held)
        assert self.contents(list(held)) == [b"x", b"x", b"x"]

    def test_callers_buffers_are_not_kept(self) -> None:
        mine, staged = bytearray(b"mine"), bytearray(b"mine")
        digest, other = digest_of(b"1"), digest_of(b"2")
        self.put(blobs={digest: mine})
        self.engine.stage(A, {other: staged})
        mine[:], staged[:] = b"gone", b"gone"
        assert self.contents([digest, other]) == [b"mine", b"mine"]

    def test_present_blob_is_replaced(self) -> None:
        digest = digest_of(b"held")
        first = self.put(blobs={digest: b"damaged"})
        second = self.put(expected=first, blobs={digest: b"mended"})
        assert self.contents([digest]) == [b"mended"]
        self.put(expected=second, blobs={digest: b"mended too"}, keep=frozenset([digest]))
        assert self.contents([digest]) == [b"mended too"]
        self.engine.stage(A, {digest: b"mended ahead"})
        assert self.contents([digest]) == [b"mended ahead"]

    # --- keep -----------------------------------------------------------------------------------

    def test_without_keep_every_blob_stays(self) -> None:
        one, two = blob(b"one"), blob(b"two")
        first = self.put(blobs=one)
        self.put(expected=first, blobs=two)
        assert self.contents([*one, *two]) == [b"one", b"two"]

    def test_keep_frees_the_others(self) -> None:
        one, two, three = blob(b"one"), blob(b"two"), blob(b"three")
        first = self.put(blobs={**one, **two})
        self.put(expected=first, blobs=three, keep=frozenset({*two, *three}))
        assert [self.has(b) for b in (one, two, three)] == [False, True, True]

    def test_keep_of_nothing_frees_all(self) -> None:
        one = blob(b"one")
        first = self.put(blobs=one)
        self.put(expected=first, keep=frozenset())
        assert not self.has(one)

    def test_keep_in_one_space_frees_nothing_in_another(self) -> None:
        one = blob(b"one")
        a = self.put(A, blobs=one)
        self.put(B, blobs=one)
        self.put(A, expected=a, keep=frozenset())
        assert self.has(one, B)

    def test_given_blob_that_is_not_kept_is_not_stored(self) -> None:
        one, two = blob(b"one"), blob(b"two")
        self.put(blobs={**one, **two}, keep=frozenset(one))
        assert [self.has(b) for b in (one, two)] == [True, False]

    def test_every_missing_kept_blob_is_named(self) -> None:
        gone = {digest_of(b"%d" % i) for i in range(5)}
        with pytest.raises(BlobMissing) as caught:
            self.put(keep=frozenset(gone))
        assert set(caught.value.digests) == gone
        assert self.engine.load(A) is None

    def test_kept_blob_of_another_space_is_missing(self) -> None:
        one = blob(b"one")
        self.put(B, blobs=one)
        with pytest.raises(BlobMissing):
            self.put(A, keep=frozenset(one))

    # --- staging --------------------------------------------------------------------------------

    def test_staging_makes_no_space(self) -> None:
        self.engine.stage(A, blob(b"staged"))
        assert self.engine.load(A) is None
        assert self.engine.count() == 0
        assert self.names() == set()
        assert not self.engine.touch(A, 60.0)
        assert self.engine.log(A) == []

    def test_staging_nothing_does_nothing(self) -> None:
        self.put(ttl=10.0)
        self.advance(10.0)
        self.engine.stage(A, {})
        self.engine.stage(B, {})
        assert self.engine.purge() == 1

    def test_staging_leaves_the_head_alone(self) -> None:
        revision = self.put(ttl=100.0)
        self.engine.stage(A, blob(b"staged"))
        assert self.revision() == revision
        assert self.ttl() == self.about(100.0)

    def test_commit_keeps_staged_blobs(self) -> None:
        staged, given = blob(b"staged"), blob(b"given")
        self.engine.stage(A, staged)
        self.put(blobs=given, keep=frozenset({*staged, *given}))
        assert self.contents([*staged, *given]) == [b"staged", b"given"]

    def test_commit_frees_staged_blobs_it_does_not_keep(self) -> None:
        staged, other = blob(b"staged"), blob(b"other")
        self.engine.stage(A, {**staged, **other})
        self.put(keep=frozenset(staged))
        assert [self.has(b) for b in (staged, other)] == [True, False]

    def test_big_stage_comes_back_equal(self) -> None:
        staged = {digest_of(b"%d" % i): bytes([i]) * (1 << 20) for i in range(80)}
        self.engine.stage(A, staged)
        self.put(keep=frozenset(staged))
        for digest, content in staged.items():
            assert self.contents([digest]) == [content]

    def test_staged_blobs_taken_by_a_head_are_not_purged(self) -> None:
        staged = blob(b"staged")
        self.engine.stage(A, staged)
        self.put(keep=frozenset(staged))
        self.advance(self.staged_seconds * 2)
        self.engine.purge()
        assert self.has(staged)

    def test_abandoned_staged_blobs_are_purged(self) -> None:
        staged = blob(b"staged")
        self.engine.stage(A, staged)
        self.advance(self.staged_seconds * 2)
        assert self.engine.purge() == 0
        assert not self.has(staged)
        with pytest.raises(BlobMissing):
            self.put(keep=frozenset(staged))

    def test_fresh_staged_blobs_are_not_purged(self) -> None:
        staged = blob(b"staged")
        self.engine.stage(A, staged)
        self.advance(1.0)
        self.engine.purge()
        self.put(keep=frozenset(staged))
        assert self.has(staged)

    # --- damage ---------------------------------------------------------------------------------

    def test_dropped_blob_is_missing(self) -> None:
        one, two = blob(b"one"), blob(b"two")
        revision = self.put(blobs={**one, **two})
        self.drop_blob(self.engine, A, *one)
        assert [self.has(b) for b in (one, two)] == [False, True]
        with pytest.raises(BlobMissing) as caught:
            self.put(expected=revision, keep=frozenset({*one, *two}))
        assert caught.value.digests == tuple(one)

    def test_flipped_blob_harms_no_other(self) -> None:
        one, two = blob(b"one" * 1000), blob(b"two" * 1000)
        self.put(blobs={**one, **two})
        self.flip_blob(self.engine, A, *one)
        assert self.contents(list(two)) == list(two.values())
        digest: Digest = next(iter(one))
        with contextlib.suppress(DamagedError):
            assert self.contents([digest]) != [one[digest]]  # seen by the layer above, which has checksums

"""The engine contract: expiry, touching, purging, and clocks that are wrong."""

from __future__ import annotations

import pytest

from framekeep.errors import BlobMissing, Conflict
from framekeep.names import space
from framekeep.testing.contract_base import A, B, ContractBase, blob


class ExpiryContract(ContractBase):
    """What ``ttl``, ``touch`` and ``purge`` mean."""

    def test_space_without_ttl_never_expires(self) -> None:
        revision = self.put()
        self.advance(10 * 365 * 86_400.0)
        assert self.revision() == revision
        assert self.engine.purge() == 0

    def test_space_is_gone_at_the_instant_it_expires(self) -> None:
        held = blob(b"held")
        revision = self.put(blobs=held, log=[b"entry"], ttl=10.0)
        self.advance(9.0)
        assert self.revision() == revision
        assert self.ttl() == self.about(1.0)
        self.advance(1.0)
        assert self.engine.load(A) is None
        assert self.engine.log(A) == []
        assert not self.engine.touch(A, 60.0)
        assert self.engine.count() == self.engine.count("session:") == self.engine.count("session:a") == 0
        assert self.names() == set()

    def test_glance_sees_nothing_that_expired(self) -> None:
        revision = self.put(ttl=10.0)
        self.engine.touch(A, 20.0)
        self.advance(15.0)
        head = self.engine.glance(A)
        assert head is None or (head.revision, head.ttl) == (revision, self.about(5.0))
        self.advance(5.0)
        assert self.engine.glance(A) is None

    def test_expired_space_stays_gone(self) -> None:
        self.put(ttl=10.0)
        self.advance(11.0)
        self.engine.touch(A, 100.0)
        assert self.engine.load(A) is None

    def test_change_of_an_expired_space_conflicts(self) -> None:
        revision = self.put(ttl=10.0)
        self.advance(10.0)
        with pytest.raises(Conflict):
            self.put(expected=revision)
        with pytest.raises(Conflict):
            self.delete(A, revision)

    def test_space_made_over_an_expired_one_is_empty(self) -> None:
        held = blob(b"held")
        self.put(blobs=held, log=[b"old"], ttl=10.0)
        self.advance(10.0)
        revision = self.put(log=[b"new"])
        assert self.revision() == revision
        assert self.engine.log(A) == [b"new"]
        assert not self.has(held)
        assert self.ttl() is None
        assert self.engine.count("session:") == 1

    def test_blobs_of_an_expired_space_cannot_be_kept(self) -> None:
        held = blob(b"held")
        self.put(blobs=held, ttl=10.0)
        self.advance(10.0)
        with pytest.raises(BlobMissing):
            self.put(keep=frozenset(held))

    def test_staging_revives_nothing(self) -> None:
        old, new = blob(b"old"), blob(b"new")
        self.put(blobs=old, log=[b"old"], ttl=10.0)
        self.advance(10.0)
        self.engine.stage(A, new)
        assert self.engine.load(A) is None
        self.put(keep=frozenset(new))
        assert self.has(new)
        assert not self.has(old)
        assert self.engine.log(A) == []

    def test_commit_without_ttl_leaves_the_expiry(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(40.0)
        self.put(expected=first)
        assert self.ttl() == self.about(60.0)

    def test_commit_with_ttl_counts_from_now(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(40.0)
        second = self.put(expected=first, ttl=100.0)
        assert self.ttl() == self.about(100.0)
        self.put(expected=second, ttl=5.0)
        assert self.ttl() == self.about(5.0)

    def test_touch_of_an_absent_space_is_false(self) -> None:
        assert not self.engine.touch(A, 60.0)
        assert self.engine.load(A) is None

    def test_touch_moves_the_expiry_and_nothing_else(self) -> None:
        revision = self.put(body=b"body", log=[b"entry"], ttl=100.0)
        self.advance(3.0)
        assert self.engine.touch(A, 100.0) == revision
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body, head.ttl) == (revision, b"body", self.about(100.0))
        assert self.engine.log(A) == [b"entry"]

    def test_touch_of_another_state_moves_nothing(self) -> None:
        first = self.put(ttl=100.0)
        second = self.put(expected=first, ttl=100.0)
        self.advance(3.0)
        for ttl in (10.0, 10_000.0, 103.0):
            assert self.engine.touch(A, ttl, first) == second
            assert self.ttl() == self.about(97.0)
        for ttl in (100.0, 10.0, 10_000.0):
            assert self.engine.touch(A, ttl, second) == second
            assert self.ttl() == self.about(ttl)
        assert self.engine.touch(B, 10.0, second) is None

    def test_touch_can_shorten(self) -> None:
        self.put(ttl=100.0)
        assert self.engine.touch(A, 10.0)
        assert self.ttl() == self.about(10.0)
        self.advance(10.0)
        assert self.engine.load(A) is None

    def test_touch_can_shorten_what_a_touch_has_extended(self) -> None:
        self.put(ttl=100.0)
        self.advance(5.0)
        for ttl in (100.0, 97.0, 50.0):
            assert self.engine.touch(A, ttl)
            assert self.ttl() == self.about(ttl)

    def test_touch_can_extend_far(self) -> None:
        self.put(ttl=10.0)
        assert self.engine.touch(A, 10_000.0)
        self.advance(9_999.0)
        assert self.ttl() == self.about(1.0)

    def test_touch_gives_an_expiry_to_a_space_without(self) -> None:
        self.put()
        assert self.engine.touch(A, 10.0)
        assert self.ttl() == self.about(10.0)
        self.advance(10.0)
        assert self.engine.load(A) is None

    def test_touched_space_slides_for_ever(self) -> None:
        revision = self.put(ttl=100.0)
        for step in (1, 1, 5, 9, 30, 99, 1, 60, 99, 99, 2, 2, 2, 2, 2, 2, 2):
            self.advance(float(step))
            assert self.engine.touch(A, 100.0)
            assert self.ttl() == self.about(100.0)
        self.advance(99.0)
        assert self.revision() == revision
        self.advance(1.0)
        assert self.engine.load(A) is None

    def test_touched_expiry_outlives_a_commit_without_ttl(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.put(expected=first)
        assert self.ttl() == self.about(100.0)

    def test_commit_with_ttl_outdoes_an_earlier_touch(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.put(expected=first, ttl=98.0)
        assert self.ttl() == self.about(98.0)

    def test_touch_of_a_deleted_space_does_not_reach_its_successor(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.delete(A, first)
        self.put(ttl=10.0)
        assert self.ttl() == self.about(10.0)
        self.advance(10.0)
        assert self.engine.load(A) is None

    def test_touched_space_accepts_its_revision(self) -> None:
        first = self.put(ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.advance(97.0)
        second = self.put(expected=first)
        assert self.revision() == second
        assert self.ttl() == self.about(3.0)

    # --- purging --------------------------------------------------------------------------------

    def test_purge_frees_what_has_expired_and_nothing_else(self) -> None:
        held = blob(b"held")
        self.put(A, blobs=held, ttl=10.0)
        b = self.put(B, blobs=held, ttl=20.0)
        self.advance(10.0)
        assert self.engine.purge() == 1
        assert not self.has(held, A)
        assert self.has(held, B)
        assert self.revision(B) == b
        assert self.engine.purge() == 0

    def test_purge_spares_what_was_touched(self) -> None:
        revision = self.put(ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.advance(97.0)
        assert self.engine.purge() == 0
        assert self.engine.count("session:") == 1
        assert self.revision() == revision
        self.advance(3.0)
        assert self.engine.count("session:") == 0
        assert self.engine.purge() == 1

    def test_purge_obeys_prefix_and_limit(self) -> None:
        for i in range(5):
            self.put(space("session", f"s{i}"), ttl=10.0)
            self.put(space("temp", f"t{i}"), ttl=5.0)
        self.advance(10.0)
        assert self.engine.purge("session:", limit=2) == 2
        assert self.engine.purge("session:") == 3
        assert self.engine.purge("session:") == 0
        assert self.engine.purge("temp:", limit=4) == 4
        assert self.engine.purge() == 1

    def test_purge_of_many(self) -> None:
        for i in range(150):
            self.put(space("session", f"s{i}"), ttl=10.0)
        last = self.put(A, ttl=20.0)
        self.advance(10.0)
        assert self.engine.purge() == 150
        assert self.names() == {A}
        assert self.revision() == last

    def test_space_made_after_a_purge_is_empty(self) -> None:
        held = blob(b"held")
        self.put(blobs=held, log=[b"old"], ttl=10.0)
        self.advance(10.0)
        self.engine.purge()
        self.put(log=[b"new"], ttl=30.0)
        assert self.engine.log(A) == [b"new"]
        assert not self.has(held)
        assert self.ttl() == self.about(30.0)

    def test_clock_set_back_loses_nothing(self) -> None:
        first = self.put(log=[b"1"], ttl=100.0)
        self.advance(-3600.0)
        second = self.put(expected=first, log=[b"2"])
        assert self.engine.touch(A, 100.0)
        assert self.ttl() == self.about(100.0)
        third = self.put(expected=second, log=[b"3"], ttl=50.0)
        assert self.revision() == third
        assert self.engine.log(A) == [b"1", b"2", b"3"]
        assert self.engine.purge() == 0
        assert self.engine.count("session:") == 1

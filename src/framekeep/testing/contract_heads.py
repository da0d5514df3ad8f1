"""The engine contract: heads, compare-and-set, logs, listing."""

from __future__ import annotations

import pytest

from framekeep.engines.base import Change, Engine, Head
from framekeep.errors import BlobMissing, Conflict
from framekeep.names import Space, digest_of, new_revision, space
from framekeep.testing.contract_base import A, B, ContractBase, blob


class HeadContract(ContractBase):
    """What ``load``, ``commit``, ``log``, ``spaces`` and ``count`` mean while nothing expires."""

    def test_it_has_every_method_of_an_engine(self) -> None:
        assert isinstance(self.engine, Engine)

    def test_absent_space_loads_as_none(self) -> None:
        assert self.engine.load(A) is None

    def test_commit_then_load_gives_revision_and_body(self) -> None:
        revision = self.put(body=bytes(range(256)) * 40)
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body, head.ttl) == (revision, bytes(range(256)) * 40, None)

    def test_body_may_be_empty(self) -> None:
        self.put(body=b"")
        head = self.engine.load(A)
        assert head is not None
        assert head.body == b""

    def test_commit_replaces_the_body(self) -> None:
        first = self.put(body=b"one")
        second = self.put(expected=first, body=b"two")
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body) == (second, b"two")

    def test_glance_is_never_out_of_date(self) -> None:
        assert self.engine.glance(A) is None
        revision = None
        for number in range(5):
            revision = self.put(expected=revision, body=b"%d" % number)
            assert self.engine.glance(A) in (None, self.engine.load(A))
        self.delete(A, revision)
        assert self.engine.glance(A) is None

    def test_guess_was_the_head_once(self) -> None:
        assert self.engine.guess(A) is None
        been: list[Head | None] = [None]
        revision = None
        for number in range(5):
            revision = self.put(expected=revision, body=b"%d" % number)
            assert self.engine.guess(A) in been or self.engine.guess(A) == self.engine.load(A)
            been.append(self.engine.load(A))
            assert self.engine.guess(A) in been
            with pytest.raises(Conflict):
                self.put(expected=new_revision(), body=b"never")
            assert self.engine.guess(A) in been
            assert self.engine.guess(B) is None
        self.delete(A, revision)
        assert self.engine.guess(A) in been
        self.put(body=b"another")
        assert self.engine.guess(A) in [*been, self.engine.load(A)]

    def test_wrong_expected_revision_conflicts(self) -> None:
        revision = self.put()
        with pytest.raises(Conflict):
            self.put(expected=new_revision())
        assert self.revision() == revision

    def test_expecting_absence_of_an_existing_space_conflicts(self) -> None:
        revision = self.put()
        with pytest.raises(Conflict):
            self.put(expected=None)
        assert self.revision() == revision

    def test_expecting_a_revision_of_an_absent_space_conflicts(self) -> None:
        with pytest.raises(Conflict):
            self.put(expected=new_revision())
        assert self.engine.load(A) is None

    def test_revision_of_the_past_conflicts(self) -> None:
        first = self.put()
        second = self.put(expected=first)
        with pytest.raises(Conflict):
            self.put(expected=first)
        assert self.revision() == second

    def test_conflict_changes_nothing_at_all(self) -> None:
        old, new = blob(b"old"), blob(b"new")
        revision = self.put(body=b"old", blobs=old, log=[b"old"], ttl=100.0)
        with pytest.raises(Conflict):
            self.put(
                expected=new_revision(), body=b"new", blobs=new, keep=frozenset(new), log=[b"new"], ttl=9.0
            )
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body, head.ttl) == (revision, b"old", self.about(100.0))
        assert self.engine.log(A) == [b"old"]
        assert self.has(old)
        assert not self.has(new)

    def test_same_revision_again_is_success_and_changes_nothing(self) -> None:
        first = self.put()
        change = Change(first, new_revision(), b"two", log=[b"entry"], ttl=50.0)
        self.engine.commit(A, change)
        self.advance(10)
        self.engine.commit(A, change)
        assert self.engine.log(A) == [b"entry"]
        assert self.ttl() == self.about(40.0)

    def test_creation_again_with_the_same_revision_is_success(self) -> None:
        change = Change(None, new_revision(), b"one", log=[b"entry"])
        self.engine.commit(A, change)
        self.engine.commit(A, change)
        assert self.engine.log(A) == [b"entry"]

    def test_discarded_space_is_gone_with_all_it_held(self) -> None:
        one = digest_of(b"one")
        self.put(blobs={one: b"one"}, log=[b"entry"])
        assert self.engine.discard(A)
        assert not self.engine.discard(A)
        assert self.engine.load(A) is None
        assert self.engine.count() == 0
        self.put()
        assert self.engine.log(A) == []
        assert not self.has({one: b"one"})

    def test_deleted_space_is_gone_with_all_it_held(self) -> None:
        held = blob(b"held")
        revision = self.put(blobs=held, log=[b"entry"], ttl=60.0)
        self.delete(A, revision)
        assert self.engine.load(A) is None
        assert self.engine.log(A) == []
        assert not self.has(held)
        assert self.engine.count() == 0
        assert self.names() == set()

    def test_deleting_with_a_wrong_revision_conflicts(self) -> None:
        revision = self.put()
        for expected in (None, new_revision()):
            with pytest.raises(Conflict):
                self.delete(A, expected)
        assert self.revision() == revision

    def test_deleting_an_absent_space_does_nothing(self) -> None:
        self.delete(A, None)
        assert self.engine.load(A) is None
        with pytest.raises(Conflict):
            self.delete(A, new_revision())

    def test_space_made_again_after_deletion_is_empty(self) -> None:
        held = blob(b"held")
        self.delete(A, self.put(blobs=held, log=[b"old"], ttl=60.0))
        self.put(log=[b"new"])
        assert self.engine.log(A) == [b"new"]
        assert not self.has(held)
        assert self.ttl() is None

    def test_spaces_do_not_share_anything(self) -> None:
        same = blob(b"same")
        a = self.put(A, body=b"a", blobs=same, log=[b"a"])
        b = self.put(B, body=b"b", blobs=same, log=[b"b"])
        self.delete(A, a)
        assert self.revision(B) == b
        assert self.contents(list(same), B) == [b"same"]
        assert self.engine.log(B) == [b"b"]
        assert not self.has(same, A)

    def test_one_name_starting_with_another_is_another_space(self) -> None:
        longer = Space(A + "a")
        held = blob(b"held")
        self.put(longer, blobs=held, log=[b"longer"], ttl=100.0)
        self.delete(A, self.put(A, blobs=held, log=[b"shorter"], ttl=100.0))
        assert self.engine.log(longer) == [b"longer"]
        assert self.has(held, longer)

    # --- the log --------------------------------------------------------------------------------

    def test_log_of_an_absent_space_is_empty(self) -> None:
        assert self.engine.log(A) == []

    def test_log_keeps_the_order_of_appending(self) -> None:
        revision, expected = None, []
        for i in range(12):
            entries = [b"%d.%d" % (i, j) for j in range(i % 3)]
            revision = self.put(expected=revision, log=entries)
            expected += entries
        assert self.engine.log(A) == expected

    def test_log_entries_are_any_bytes(self) -> None:
        entries = [b"", b"\x00\xff" * 50, "grüße\n".encode(), b"x" * 100_000, b""]
        self.put(log=entries)
        assert self.engine.log(A) == entries

    def test_log_can_be_read_in_slices(self) -> None:
        entries = [b"%d" % i for i in range(300)]
        self.put(log=entries)
        for start, stop in (
            (0, 1),
            (10, 20),
            (299, None),
            (300, None),
            (0, 0),
            (5, 3),
            (290, 1000),
            (1000, 2000),
        ):
            assert self.engine.log(A, start, stop) == entries[start:stop]

    # --- listing --------------------------------------------------------------------------------

    def test_spaces_lists_by_prefix(self) -> None:
        temp = space("temp", "a")
        for name in (A, B, temp):
            self.put(name)
        assert self.names() == {A, B, temp}
        assert self.names("session:") == {A, B}
        assert self.names("session:b") == {B}
        assert self.names("lock:") == set()

    def test_count_agrees_with_the_list(self) -> None:
        revisions = {
            name: self.put(name, ttl=60.0) for name in (A, B, space("temp", "a"), space("temp", "ab"))
        }
        self.put(A, expected=revisions[A])
        self.delete(B, revisions[B])
        for prefix, expected in (
            ("", 3),
            ("session:", 1),
            ("temp:", 2),
            ("temp:a", 2),
            ("temp:ab", 1),
            ("t", 2),
        ):
            assert self.engine.count(prefix) == expected, prefix
            assert len(self.names(prefix)) == expected, prefix

    def test_spaces_tells_the_ttl(self) -> None:
        self.put(A, ttl=60.0)
        self.put(B)
        self.advance(10)
        assert {info.space: info.ttl for info in self.engine.spaces()} == {A: self.about(50.0), B: None}

    def test_many_spaces_are_all_listed(self) -> None:
        names = {space("session", f"s{i}") for i in range(520)}
        for name in names:
            self.put(name)
        assert self.names("session:") == names
        assert self.engine.count("session:") == 520

    def test_listing_goes_on_while_spaces_change(self) -> None:
        revisions = {space("session", f"s{i:04}"): None for i in range(300)}
        for name in revisions:
            self.put(name, revision=new_revision())
        seen = []
        for info in self.engine.spaces():
            seen.append(info.space)
            if len(seen) == 1:
                self.put(space("session", "zz"))
                self.put(space("session", "0"))
        assert set(revisions) <= set(seen)
        assert len(seen) == len(set(seen))

    def test_missing_kept_blob_changes_nothing_at_all(self) -> None:
        old, new, nowhere = blob(b"old"), blob(b"new"), blob(b"nowhere")
        revision = self.put(body=b"old", blobs=old, log=[b"old"])
        with pytest.raises(BlobMissing) as caught:
            self.put(
                expected=revision, body=b"new", blobs=new, keep=frozenset({*new, *nowhere}), log=[b"new"]
            )
        assert caught.value.digests == tuple(nowhere)
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body) == (revision, b"old")
        assert self.engine.log(A) == [b"old"]
        assert self.has(old)
        assert not self.has(new)

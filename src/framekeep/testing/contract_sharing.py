"""The engine contract: threads, closing, opening again, health."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable

import pytest

from framekeep.engines.base import Change
from framekeep.errors import BlobMissing, Conflict, StorageUnavailableError
from framekeep.names import Digest, digest_of, new_revision
from framekeep.testing.contract_base import A, ContractBase, blob


def in_threads(*tasks: Callable[[], None]) -> None:
    """Run ``tasks`` at once and raise the first exception of any."""
    failures: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class SharingContract(ContractBase):
    """What holds when many use one engine, and when it is closed."""

    def test_no_increment_of_many_threads_is_lost(self) -> None:
        self.put(body=b"0")

        def count_up() -> None:
            done = 0
            while done < 15:
                head = self.engine.load(A)
                assert head is not None
                number = int(head.body) + 1
                try:
                    self.put(expected=head.revision, body=b"%d" % number, log=[b"%d" % number])
                except Conflict:
                    continue
                done += 1

        in_threads(*[count_up] * 6)
        assert self.engine.log(A) == [b"%d" % n for n in range(1, 91)]

    def test_one_of_many_creators_wins(self) -> None:
        won: list[bytes] = []

        def create() -> None:
            with contextlib.suppress(Conflict):
                won.append(self.put(expected=None))

        in_threads(*[create] * 8)
        assert won == [self.revision()]

    def test_head_and_blobs_are_seen_together(self) -> None:
        """A blob may only be missing when the head that named it is no longer the head."""
        contents = [b"%d" % i * 3000 for i in range(60)]
        first = self.put(body=digest_of(contents[0]), blobs=blob(contents[0]))
        over = threading.Event()

        def write() -> None:
            try:
                revision = first
                for content in contents[1:]:
                    new = blob(content)
                    revision = self.put(
                        expected=revision, body=digest_of(content), blobs=new, keep=frozenset(new)
                    )
            finally:
                over.set()

        def read() -> None:
            while not over.is_set():
                head = self.engine.load(A)
                assert head is not None
                try:
                    [content] = self.contents([Digest(head.body)])
                except BlobMissing:
                    assert self.revision() != head.revision
                else:
                    assert digest_of(content) == head.body

        in_threads(write, read, read)

    def test_closing_again_does_nothing(self) -> None:
        self.engine.close()
        self.engine.close()

    def test_closed_engine_says_so(self) -> None:
        engine = self.engine
        engine.close()
        calls: list[Callable[[], object]] = [
            lambda: engine.load(A),
            lambda: engine.commit(A, Change(None, new_revision(), b"")),
            lambda: engine.stage(A, blob(b"x")),
            lambda: engine.touch(A, 1.0),
            lambda: engine.read(A, [], lambda i, b: None),
            lambda: engine.log(A),
            lambda: list(engine.spaces()),
            lambda: engine.count(),
            lambda: engine.purge(),
        ]
        for call in calls:
            with pytest.raises(StorageUnavailableError):
                call()

    def test_health_of_an_open_engine(self) -> None:
        health = self.engine.health()
        assert health.engine
        assert health.reachable
        assert health.error is None
        assert 0 <= health.latency_ms < 10_000
        json.dumps(dict(health.details))

    def test_health_of_a_closed_engine_does_not_raise(self) -> None:
        self.engine.close()
        health = self.engine.health()
        assert not health.reachable
        assert health.error

    def test_all_is_there_after_opening_again(self) -> None:
        held = blob(b"held")
        revision = self.put(body=b"body", blobs=held, log=[b"one", b"two"], ttl=100.0)
        self.advance(5.0)
        self.engine.touch(A, 100.0)
        self.engine = self.reopen(self.engine)
        head = self.engine.load(A)
        assert head is not None
        assert (head.revision, head.body, head.ttl) == (revision, b"body", self.about(100.0))
        assert self.contents(list(held)) == [b"held"]
        assert self.engine.log(A) == [b"one", b"two"]
        assert self.engine.count("session:") == 1

    def test_deletion_is_there_after_opening_again(self) -> None:
        self.delete(A, self.put(blobs=blob(b"held"), ttl=10.0))
        self.engine = self.reopen(self.engine)
        assert self.engine.load(A) is None
        assert self.engine.count() == 0

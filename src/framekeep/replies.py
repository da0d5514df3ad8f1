"""Replies kept for a while, so that a request that is sent twice is carried out once.

Owns how a request is claimed, answered and given back by compare-and-set, in a space ``reply:<id>`` of its
own. Knows nothing of HTTP: a reply is bytes with a status and a few words.

A claim has a lease, which its holder renews while it works. When the holder dies, the next who sends the
request is told that it is under way until the lease has run out, and then carries it out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from framekeep.engines.base import Change, Engine
from framekeep.errors import Conflict, SessionDamagedError, StorageError, TooFewReplicasError
from framekeep.names import Revision, Space, checked_id, new_revision, space

FORMAT = 1

LEASE = 300.0
"""Seconds after the last renewal until another may carry a request out."""

KEPT = 86_400.0
"""Seconds that a reply is kept."""

LARGEST = 1 << 20
"""Bytes of a reply's body that are kept; a larger one is carried out again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered.

    Attributes:
        fingerprint: of the request; a request under the same key with another one is another request.
        status: of the answer.
        headers: of the answer, lower case.
        body: of the answer.
    """

    fingerprint: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry a request out: ``keep`` its reply, or ``release`` it to be tried again.

    Attributes:
        lease: seconds within which it must be renewed.
    """

    _engine: Engine
    _space: Space
    _revision: Revision
    _revisions: Callable[[], Revision]
    lease: float

    def renew(self) -> None:
        """Let the lease begin anew. Not beside ``keep``: its reply would live as long as a lease."""
        self._engine.touch(self._space, self.lease)

    def keep(self, reply: Reply) -> None:
        """Keep the reply for KEPT seconds; one larger than LARGEST is not kept."""
        if len(reply.body) > LARGEST:
            self.release()
            return
        record = {
            "format": FORMAT,
            "fingerprint": reply.fingerprint,
            "status": reply.status,
            "headers": dict(reply.headers),
            "body": b64encode(reply.body).decode(),
        }
        self._commit(json.dumps(record).encode(), KEPT)

    def release(self) -> None:
        """Let the next one carry the request out."""
        self._commit(None, None)

    def _commit(self, body: bytes | None, ttl: float | None) -> None:
        change = Change(expected=self._revision, revision=self._revisions(), body=body, ttl=ttl)
        with suppress(Conflict):  # the lease ran out, and somebody else has claimed it
            self._engine.commit(self._space, change)


class Replies:
    """Keeps replies on one engine. Thread-safe."""

    def __init__(
        self, engine: Engine, *, lease: float = LEASE, revisions: Callable[[], Revision] = new_revision
    ) -> None:
        self._engine = engine
        self._lease = lease
        self._revisions = revisions

    def claim(self, id: str) -> Claim | Reply | None:
        """Return the right to carry the request out, or its reply; None while somebody else is at it."""
        name = space("reply", checked_id(id, what="reply id"))
        body = json.dumps({"format": FORMAT}).encode()
        while True:
            revision = self._revisions()
            try:
                self._engine.commit(
                    name, Change(expected=None, revision=revision, body=body, ttl=self._lease)
                )
            except Conflict:
                head = self._engine.load(name)
                if head is None:
                    continue  # it expired or was released in between
                return _decoded(head.body, id)
            except TooFewReplicasError:  # and yet it is there, where it would be waited for
                with suppress(StorageError):
                    self._claimed(name, revision).release()
                raise
            return self._claimed(name, revision)

    def _claimed(self, name: Space, revision: Revision) -> Claim:
        return Claim(self._engine, name, revision, self._revisions, self._lease)


def is_kept(body: bytes) -> bool:
    """Say whether the head of a space says what was answered, and not only that it is under way."""
    try:
        return "status" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _decoded(body: bytes, id: str) -> Reply | None:
    try:
        record = json.loads(body)
        if "status" not in record:
            return None
        return Reply(
            record["fingerprint"], int(record["status"]), record["headers"], b64decode(record["body"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SessionDamagedError(
            f"The kept reply {id!r} is damaged.", session_id=id, where="reply"
        ) from error

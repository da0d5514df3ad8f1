"""Which spaces went their own way here during an outage, and from which state on.

A marker is a space of the local store, written before the first local change and removed when what came of it
is in the primary. While there is one, its space is served from here. It holds what replaying needs to know of
the state that both had: so however often replaying breaks off, it begins again with the same facts.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from framekeep.engines.base import Change, Engine
from framekeep.engines.redis_keys import DELETED_SECONDS, WAITED_SECONDS
from framekeep.errors import SessionDamagedError, StorageError, StorageFullError
from framekeep.names import Revision, Space, new_revision
from framekeep.standby.machine_locks import MachineLocks

FORMAT: Final = 1
PREFIX: Final = "outage:"
REPLIES: Final = "reply:"
"""What is of interest to no operator."""

_LOCKS: Final = 1024
_FLAG: Final = _LOCKS + 1


@dataclass(frozen=True, slots=True)
class Sent:
    """A state of here that was sent to the primary; whether it arrived is not known.

    Attributes:
        revision: the state's.
        logged: entries of the log here that it came with.
        merged: not as it is, but as versions of what was there.
    """

    revision: Revision
    logged: int
    merged: bool = False


@dataclass(frozen=True, slots=True)
class Marker:
    """What is known of a space since it is served from here.

    Attributes:
        space: it.
        since: seconds since 1970.
        base: the last revision that was known to be the primary's; None: it was made here.
        base_body: its head's body.
        logged: entries of the log at ``base``.
        deleted: it was deleted here (or that was begun).
        sent: what may have arrived in the primary since, oldest first.
        expires: when the space would have expired at ``base``, seconds since 1970; None: never, or not known.
    """

    space: Space
    since: float
    base: Revision | None
    base_body: bytes = b""
    logged: int = 0
    deleted: bool = False
    sent: tuple[Sent, ...] = ()
    expires: float | None = None

    @property
    def remembered(self) -> float:
        """Up to when the primary knows for certain if the space was deleted there, seconds since 1970."""
        left = 0.0 if self.expires is None else max(0.0, self.expires - self.since)
        return self.since + min(left, WAITED_SECONDS) + DELETED_SECONDS

    def known(self) -> dict[Revision, int]:
        """Return the revisions that what is here goes on from, each with its number of log entries."""
        found = {} if self.base is None else {self.base: self.logged}
        return {**found, **{each.revision: each.logged for each in self.sent if not each.merged}}

    def encode(self) -> bytes:
        """Return the marker's bytes."""
        record = {
            "format": FORMAT,
            "since": self.since,
            "base": self.base.hex() if self.base else None,
            "body": b64encode(self.base_body).decode(),
            "logged": self.logged,
            "deleted": self.deleted,
            "sent": [[each.revision.hex(), each.logged, each.merged] for each in self.sent],
            "expires": self.expires,
        }
        return json.dumps(record).encode()

    @classmethod
    def decode(cls, space: Space, data: bytes) -> Marker:
        """Return the marker of some bytes.

        Raises:
            SessionDamagedError: they are none.
        """

        try:
            record: dict[str, Any] = json.loads(data)
            base, expires = record["base"], record["expires"]
            return cls(
                space,
                float(record["since"]),
                None if base is None else Revision(bytes.fromhex(base)),
                b64decode(record["body"]),
                int(record["logged"]),
                bool(record["deleted"]),
                tuple(
                    Sent(Revision(bytes.fromhex(revision)), int(logged), bool(merged))
                    for revision, logged, merged in record["sent"]
                ),
                None if expires is None else float(expires),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise SessionDamagedError(f"The marker of {space} is damaged.", where="outage") from error


class Markers:
    """The markers in the local store. Thread-safe; all changes of one space's are made under its lock.

    Args:
        local: the store.
        directory: of the file whose bytes are the locks, and of one that says whether there are any markers.
    """

    def __init__(self, local: Engine, directory: Path) -> None:
        self._local = local
        self._locks = MachineLocks(directory / "standby.lock", _LOCKS + 2)
        self._flag: mmap.mmap | bytearray = _flag(directory / "standby.flag")
        with self._locks.held(_FLAG):
            self._flag[0] = int(self.count() > 0)

    def locked(self, space: Space) -> AbstractContextManager[None]:
        """Keep all other threads and processes of the machine from this space (and a few others)."""
        return self._locks.held(_lock(space))

    @contextmanager
    def free_locked(self, spaces: Collection[Space]) -> Iterator[set[Space]]:
        """Keep all others from those of several spaces that nobody has locked now, and give these.

        Who has one locked may be waiting for the primary: nobody waits for that with other locks in hand.
        """
        with ExitStack() as held:
            numbers = {_lock(space) for space in spaces}
            mine = {number for number in numbers if held.enter_context(self._locks.attempted(number))}
            yield {space for space in spaces if _lock(space) in mine}

    def alone(self) -> AbstractContextManager[bool]:
        """Keep others of the machine from replaying, if none of them is at it; say whether."""
        return self._locks.attempted(_LOCKS)

    def there(self, space: Space) -> bool:
        """Say whether a space is served from here; in normal times by a look at one byte."""
        return self._flag[0] != 0 and self._local.load(_of(space)) is not None

    def get(self, space: Space) -> Marker | None:
        """Return the marker of a space."""
        head = self._local.load(_of(space))
        return None if head is None else Marker.decode(space, head.body)

    def put(self, marker: Marker) -> Marker:
        """Write a marker, in place of the one that is there; return it."""
        head = self._local.load(_of(marker.space))
        change = Change(None if head is None else head.revision, new_revision(), marker.encode())
        if head is not None:
            self._local.commit(_of(marker.space), change)
            return marker
        with self._locks.held(_FLAG):  # so that nobody lowers it in between
            self._flag[0] = 1
            self._local.commit(_of(marker.space), change)
        return marker

    def sent(self, marker: Marker, sent: Sent) -> Marker:
        """Note what is about to be sent, or may have been; return the marker."""
        others = tuple(each for each in marker.sent if each != sent)
        return self.put(replace(marker, sent=(*others, sent)))

    def remove(self, space: Space) -> None:
        """Remove a marker: the primary has all there was."""
        self._local.discard(_of(space))
        with self._locks.held(_FLAG):
            self._flag[0] = int(self.count() > 0)

    def spaces(self, prefix: str = "") -> Iterator[Space]:
        """Yield the spaces that are served from here and whose names start with ``prefix``."""
        return (Space(info.space.removeprefix(PREFIX)) for info in self._local.spaces(PREFIX + prefix))

    def all(self, prefix: str = "") -> list[Marker]:
        """Return all markers, the oldest first and those of replies last; one that is damaged is left out.

        Args:
            prefix: what the names of their spaces start with.
        """
        found = []
        for space in self.spaces(prefix):
            try:
                marker = self.get(space)
            except StorageError:
                continue
            if marker is not None:
                found.append(marker)
        return sorted(found, key=lambda marker: (marker.space.startswith(REPLIES), marker.since))

    def count(self) -> int:
        """Return how many spaces are served from here."""
        return self._local.count(PREFIX)

    def close(self) -> None:
        """Let go of the files. Idempotent."""
        self._flag = bytearray(1)  # whoever looks at the mapped one just now still may
        self._locks.close()


def _flag(path: Path) -> mmap.mmap:
    """Return a byte that all processes of the machine share: 0 while there is no marker at all."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, 1)  # really: a hole on a full disk would kill who writes to it
        return mmap.mmap(file, 1)
    except OSError as error:
        raise StorageFullError(f"There is no room for {path} ({error.strerror}).") from error
    finally:
        os.close(file)


def _lock(space: Space) -> int:
    return zlib.crc32(space.encode()) % _LOCKS


def _of(space: Space) -> Space:
    return Space(PREFIX + space)

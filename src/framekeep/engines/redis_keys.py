"""What the keys of a store in Redis are called.

A space has three: its head, its blobs and its log. All names begin with a hash tag, ``{prefix:xx}``, where
``xx`` is one of 64 shards, taken from a checksum of the space's name. So a space is in one slot of a Cluster,
and the index that lists it is in the same slot: one script changes both, in every topology.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import get_args

from framekeep.names import Kind, Space

SHARDS = 64
"""Into how many slots the spaces of one store go at most. Part of the format: never change it."""

DELETED_SECONDS = 86_400.0
"""How long it is known that a session was deleted, once its time is over: others may hold copies."""

WAITED_SECONDS = 30 * 86_400.0
"""How much of the time that it had left to live is waited for at most, before that."""

KINDS: tuple[str, ...] = get_args(Kind)

_RESENT = 60.0  # seconds that the deletion of a lock or reply is known, so that it may be sent twice


@dataclass(frozen=True, slots=True)
class SpaceKeys:
    """The keys of one space.

    Attributes:
        head: hash of ``f`` format, ``r`` revision, ``b`` body, ``n`` length of log, ``p`` past revisions.
        blobs: hash of digest to blob.
        log: list of entries.
        deleted: for a while after its deletion, the name of that change and the revisions that it deleted.
        indexes: sorted sets of names by expiry that this one is in.
    """

    head: str
    blobs: str
    log: str
    deleted: str
    indexes: tuple[str, ...]


class Keys:
    """Makes names of keys.

    Args:
        prefix: what all of them begin with, in braces: letters, digits, ``_``, ``-``, ``.``.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.tags = tuple(f"{{{prefix}:{shard:02x}}}" for shard in range(SHARDS))

    def tag_of(self, space: Space) -> str:
        """Return the hash tag of a space."""
        return self.tags[zlib.crc32(space.encode()) % SHARDS]

    def of(self, space: Space) -> SpaceKeys:
        """Return the keys of a space."""
        tag = self.tag_of(space)
        start = f"{tag}:{space}"
        indexes = tuple(f"{tag}:index:{group}" for group in groups_of(space))
        return SpaceKeys(f"{start}:h", f"{start}:b", f"{start}:l", f"{start}:d", indexes)

    def indexes(self, group: str) -> list[str]:
        """Return the keys of the indexes of a group, one for each shard."""
        return [f"{tag}:index:{group}" for tag in self.tags]


def remembered(space: str) -> tuple[int, int]:
    """Return how long it is known that a space was deleted, and how much of its life is waited for before.

    Both in milliseconds.
    """
    copied = space.startswith(("session:", "temp:"))
    known, waited = (DELETED_SECONDS, WAITED_SECONDS) if copied else (_RESENT, 0.0)
    return round(known * 1000), round(waited * 1000)


def groups_of(space: str) -> tuple[str, ...]:
    """Return the groups a space is listed in: its kind, and its owner if its id says one (``owner.rest``)."""
    kind, _, id = space.partition(":")
    owner, dot, _ = id.partition(".")
    return (f"{kind}:", f"{kind}:{owner}.") if dot else (f"{kind}:",)


def groups_for(prefix: str) -> list[str]:
    """Return the smallest groups that hold every space whose name starts with ``prefix``."""
    kind, colon, _ = prefix.partition(":")
    return [groups_of(prefix)[-1]] if colon else [f"{known}:" for known in KINDS if known.startswith(kind)]

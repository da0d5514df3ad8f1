"""What a space in Redis was before what its head tells: who comes back late asks whether he was there."""

from __future__ import annotations

from typing import Any

from framekeep.engines.redis import RedisEngine
from framekeep.engines.redis_wire import digests_of
from framekeep.names import Revision, Space


def earlier(engine: RedisEngine, space: Space) -> tuple[Revision, ...]:
    """Return the revisions of a space that are too old for ``Head.past``, newest first.

    Those that a head told before this was asked are here or in its past.
    """
    key = engine._keys.of(space).head
    with engine._connected() as topology:
        pages = int(topology.client.hget(key, "e") or 0)
        if not pages:
            return ()
        found: list[Any] = topology.client.hmget(key, [f"e{page}" for page in range(pages, 0, -1)])
    return tuple(map(Revision, digests_of(b"".join(each or b"" for each in found))))

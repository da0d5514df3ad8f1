"""How many spaces the indexes of a store in Redis hold, in one round trip to each server.

An index has its spaces in the order of their expiry (docs/format.md): the expired ones are at its near end.
"""

from __future__ import annotations

from collections.abc import Sequence

from framekeep.engines.redis_topology import Topology
from framekeep.engines.redis_wire import time_of


def held(topology: Topology, indexes: Sequence[str]) -> list[tuple[int, int]]:
    """Return of each index how many spaces it holds, and how many of these have expired.

    These may be more than it holds, when a replica that lags behind answers in place of its primary.
    Not how many live: for that Redis takes steps into the index, of which there are more in a large one.
    """
    now = topology.of_primaries(time_of)
    pipe = topology.client.pipeline(transaction=False)
    for key in indexes:
        pipe.zcard(key)  # first: what is purged in between counts as live once, and is not taken off twice
        pipe.zcount(key, "-inf", f"{now * 1000:.3f}")
    found = pipe.execute()
    return list(zip(found[::2], found[1::2], strict=True))

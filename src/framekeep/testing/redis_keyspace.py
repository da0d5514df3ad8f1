"""A look behind the back of a store in Redis: its keys, their expiry, and the passing of time.

Redis has a clock of its own, which tests cannot set. So time is let pass by bringing every expiry nearer.
"""

from __future__ import annotations

from collections.abc import Iterator

from redis import Redis

from framekeep.engines.base import Engine
from framekeep.engines.redis import RedisEngine

_AGE = """
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
elseif left >= 0 then
  redis.call('PEXPIRE', KEYS[1], left - ARGV[1])
end
if redis.call('TYPE', KEYS[1]).ok == 'zset' then
  local found = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 1, #found, 2 do
    redis.call('ZINCRBY', KEYS[1], -ARGV[1], found[i])
  end
end
"""


def redis_of(engine: Engine) -> RedisEngine:
    """Return the Redis engine inside of whatever has been put around it."""
    while not isinstance(engine, RedisEngine):
        engine = getattr(engine, "inner", None) or engine.primary  # type: ignore[attr-defined]
    return engine


def keys(engine: Engine) -> Iterator[tuple[Redis, bytes]]:
    """Yield each key of the engine's store with a client of the server that has it."""
    redis = redis_of(engine)
    for primary in redis._opened().primaries():
        for key in primary.scan_iter(match=f"{{{redis._keys.prefix}:*", count=1000):
            yield primary, key


def age(engine: Engine, seconds: float) -> None:
    """Bring every expiry of the store nearer by ``seconds``, as if they had passed; negative: farther."""
    milliseconds = round(seconds * 1000)
    for primary, key in list(keys(engine)):
        primary.eval(_AGE, 1, key, milliseconds)


def without_expiry(engine: Engine) -> list[bytes]:
    """Return the keys of the store that never expire."""
    return [key for primary, key in keys(engine) if primary.pttl(key) == -1]


def remove(engine: Engine) -> None:
    """Delete the store."""
    for primary, key in list(keys(engine)):
        primary.unlink(key)

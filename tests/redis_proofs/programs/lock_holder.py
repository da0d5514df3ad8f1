"""Holds a lock: ``lock_holder.py ORDER``, ORDER in JSON. Prints lines of JSON; times are Redis's, in seconds.

``"task": "contend"``: so many threads take the lock ``rounds`` times each, write their token under a key of
plain Redis, refused there if a greater one was written, and print ``[token, begin, end, refused]``.
``"hold"``: takes it, prints ``[token, begin]`` and then, for each line of stdin, does as that says ("renew",
"write", "release") and prints what came of it: "done", "refused" or the error's name.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any

from redis import Redis

from framekeep.engines.redis import RedisEngine, RedisOptions
from framekeep.errors import FramekeepError, LockTimeoutError
from framekeep.locks import Locks

FENCED = """
local token, greatest = tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[1]) or '0')
if token < greatest then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000)
return 1
"""
"""What a resource does that is guarded by a lock."""


def now(client: Redis) -> float:
    """Return the server's time."""
    seconds, micros = client.time()
    return float(seconds + micros / 1e6)


def told(*values: Any) -> None:
    os.write(1, json.dumps(values).encode() + b"\n")


def contend(order: dict[str, Any], locks: Locks, client: Redis) -> None:
    dice = random.Random(order["seed"])
    for _ in range(order["rounds"]):
        while True:
            try:
                lease = locks.lock(order["name"]).acquire()
                break
            except LockTimeoutError:
                told("waited")
        begin = now(client)
        written = client.eval(FENCED, 1, order["key"], lease.token)
        time.sleep(dice.random() * 0.004)  # what it is held for
        renewed = dice.random() < 0.3
        if renewed:
            lease.renew()
        end = now(client)
        lease.release()
        told(lease.token, begin, end, not written)


def hold(order: dict[str, Any], locks: Locks, client: Redis) -> None:
    lease = locks.lock(order["name"]).acquire()
    told(lease.token, now(client))
    for line in sys.stdin:
        try:
            match line.strip():
                case "renew":
                    lease.renew()
                    told("done", now(client))
                case "release":
                    lease.release()
                    told("done", now(client))
                case "write":
                    written = client.eval(FENCED, 1, order["key"], lease.token)
                    told("done" if written else "refused", now(client))
        except FramekeepError as error:
            told(type(error).__name__, now(client))


def main(order: dict[str, Any]) -> None:
    engine = RedisEngine(RedisOptions(**order["options"]), prefix=order["prefix"])
    locks = Locks(engine, ttl=order["ttl"], attempts=order["attempts"], delay=order["delay"])
    client = Redis(port=order["port"])
    if order["task"] == "hold":
        hold(order, locks, client)
        return
    threads = [
        threading.Thread(target=contend, args=({**order, "seed": n}, locks, client))
        for n in range(order["threads"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

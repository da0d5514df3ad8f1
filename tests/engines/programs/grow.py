"""Let a store grow by many small commits: grow.py DIRECTORY TIMES."""

import random
import sys

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import digest_of, new_revision, space

rng = random.Random(1)
engine = LmdbEngine(sys.argv[1], durable=False)
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    content = rng.randbytes(rng.randrange(1000, 20_000))
    engine.commit(space("session", f"s{i}"), Change(None, new_revision(), b"", {digest_of(content): content}))
engine.close()

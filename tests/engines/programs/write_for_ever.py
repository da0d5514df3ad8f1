"""Write to three sessions until killed: write_for_ever.py DIRECTORY SEED.

Says ``begin SPACE REVISION`` before and ``done SPACE REVISION`` after each commit. The body of a head is
the number of log entries, then the digests of the blobs that have to be there.
"""

import random
import struct
import sys

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.names import Digest, digest_of, new_revision, space

SPACES = [space("session", name) for name in "abc"]
rng = random.Random(int(sys.argv[2]))
engine = LmdbEngine(sys.argv[1], map_size=1 << 20)
while True:
    name = rng.choice(SPACES)
    head = engine.load(name)
    held: list[Digest] = []
    logged = 0
    if head is not None:
        logged = struct.unpack("<I", head.body[:4])[0]
        held = [Digest(head.body[i : i + 16]) for i in range(4, len(head.body), 16)]
    contents = [rng.randbytes(rng.choice([10, 3000, 200_000])) for _ in range(rng.randrange(5))]
    new = {digest_of(content): content for content in contents}
    kept = [*rng.sample(held, min(len(held), rng.randrange(12))), *new]
    entries = [rng.randbytes(30) for _ in range(rng.randrange(3))]
    if rng.random() < 0.3:
        engine.stage(name, new)
        new = {}
    body = struct.pack("<I", logged + len(entries)) + b"".join(kept)
    revision = new_revision()
    expected = None if head is None else head.revision
    print("begin", name, revision.hex(), flush=True)
    engine.commit(name, Change(expected, revision, body, new, frozenset(kept), entries, ttl=3600.0))
    print("done", name, revision.hex(), flush=True)
    if rng.random() < 0.2:
        engine.touch(name, 3600.0)

"""Count up the number in a session's body TIMES times: count_up.py DIRECTORY TIMES."""

import sys

from framekeep.engines.base import Change
from framekeep.engines.lmdb import LmdbEngine
from framekeep.errors import Conflict
from framekeep.names import new_revision, space

A = space("session", "a")
engine = LmdbEngine(sys.argv[1], map_size=1 << 20)
done = 0
while done < int(sys.argv[2]):
    head = engine.load(A)
    assert head is not None
    number = b"%d" % (int(head.body) + 1)
    try:
        engine.commit(A, Change(head.revision, new_revision(), number, log=[number]))
    except Conflict:
        continue
    done += 1
engine.close()

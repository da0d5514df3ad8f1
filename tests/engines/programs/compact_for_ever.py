"""Compact a store until killed, saying ``.`` before and after each time: compact_for_ever.py DIRECTORY."""

import sys

from framekeep.engines.lmdb import LmdbEngine

engine = LmdbEngine(sys.argv[1])
while True:
    print(".", flush=True)
    engine.compact()

"""Change the sessions w0 to w3 of a store, one after the other, until killed: write_for_ever.py DIRECTORY."""

import sys
from itertools import count

import pandas as pd

from framekeep.connect import InMemoryBackend

backend = InMemoryBackend(sys.argv[1])
for n in count():
    id = f"w{n % 4}"
    backend.commit_dataframe(id, pd.DataFrame({"n": range(n % 50 + 1)}), f"change {n}")
    backend.add_audit_entry(id, f"entry {n}")
    if n == 8:
        print("writing", flush=True)

"""The demo's second process: ``python -m framekeep.cli.demo_worker DIRECTORY SESSION``.

Reads the session, changes a column as a version, and says on stdout what it saw and how long that took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from framekeep.config import Settings
from framekeep.manager import DataManager


def settings(directory: Path) -> Settings:
    """Return the demo's settings, whatever the environment says of real sessions."""
    return Settings(storage_dir=directory, storage_backend="inmemory", redis_enabled=False, max_versions=5)


def main() -> None:
    """Do it."""
    import pandas as pd

    directory, session = Path(sys.argv[1]), sys.argv[2]
    pd.DataFrame({"imported": [1]})  # what pandas does once is not what is measured
    with DataManager(settings(directory)) as manager:
        started = time.perf_counter()
        frame = manager.get_dataframe(session)
        read = time.perf_counter()
        with manager.edit(session, "Kilometres") as df:
            df["distance"] = df["distance"] * 1.609344
        edited = time.perf_counter()
        kilometres = float(manager.get_dataframe(session)["distance"].sum())
    facts = {
        "pid": os.getpid(),
        "rows": len(frame),
        "kilometres": kilometres,
        "read_ms": (read - started) * 1000,
        "edit_ms": (edited - read) * 1000,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()

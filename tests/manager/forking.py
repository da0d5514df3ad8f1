"""A program that forks with an open manager, as servers that load the app before their workers do.

Prints what each side saw. In a process of its own, so that no thread of the test runner is forked along.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import pandas as pd

from framekeep import DataManager, Settings


def main(directory: str) -> None:
    # Large enough that encoding and decoding use threads, which do not exist in the child.
    frame = pd.DataFrame({f"c{i}": np.arange(300_000) + i for i in range(6)})
    with DataManager(Settings(storage_dir=directory, _env_file=None)) as manager:
        session = manager.create_session(frame)
        manager.get_dataframe(session)
        child = os.fork()
        if child == 0:
            with manager.edit(session, "in the child") as df:
                df += 1
            second = manager.create_session(frame * 2)
            print("child", manager.check(second), manager.get_dataframe(session)["c0"][0], flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        manager.add_audit_entry(session, "in the parent")
        print("parent", status, manager.get_dataframe(session)["c0"][0], manager.check(session))


if __name__ == "__main__":
    main(sys.argv[1])

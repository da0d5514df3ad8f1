"""A writer in a process of its own: ``writer.py DIRECTORY SESSION NUMBER COUNT``.

Makes COUNT rounds of changes, each until it is acknowledged, and prints a line for each acknowledged one.
"""

from __future__ import annotations

import sys

from framekeep import DataManager, Settings
from framekeep.errors import ConflictError


def main(directory: str, session_id: str, number: int, count: int) -> None:
    with DataManager(Settings(storage_dir=directory, storage_backend="inmemory", _env_file=None)) as manager:
        for i in range(count):
            manager.update_metadata(session_id, {f"w{number}.{i}": i})
            print("metadata", i, flush=True)
            manager.add_audit_entry(session_id, f"w{number}.{i}")
            print("audit", i, flush=True)
            conflicts = 0
            while True:
                try:
                    with manager.edit(session_id, f"w{number}.{i}", 2) as frame:
                        frame.loc[i, f"c{number}"] = i + 1
                    break
                except ConflictError:
                    conflicts += 1
            print("column", i, conflicts, flush=True)
            manager.set_intentional_missing(session_id, f"c{number}", range(i + 1))
            print("marks", i, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

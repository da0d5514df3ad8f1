"""Write the store that a released version leaves for all later ones: ``python tests/formats/write.py 1``.

The archive is committed and never written again; a new format gets a new one beside it.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from importlib import import_module
from pathlib import Path

from framekeep import DataManager, Settings

HERE = Path(__file__).parent
CENTURY = 100 * 365.25 * 86400.0


def write(version: str) -> Path:
    """Write the archive of a format's store."""
    sys.path.insert(0, str(HERE))
    content = import_module(f"content_{version}")
    target = HERE / f"store_{version}.tar.xz"
    with tempfile.TemporaryDirectory() as directory:
        with DataManager(
            Settings(storage_dir=Path(directory), redis_session_ttl_seconds=int(CENTURY))
        ) as manager:
            backend = manager.backend
            backend.create_session("typed", content.typed(), "typed.parquet", CENTURY)
            backend.create_session("objects", content.objects(), "objects.csv", CENTURY)
            backend.create_session("tall", content.tall(), "tall.csv", CENTURY)
            backend.update_metadata("typed", {"owner": "ünïcode", "tags": [1, 2.5, None]})
            backend.set_intentional_missing_batch("tall", {"small": [0, 5, 69_999], "word": [1]})
            with backend.edit("tall", "zero the noise") as df:
                df.loc[df.index[:10], "noise"] = 0.0
            backend.commit_dataframe("tall", content.tall().drop(columns="same"), "drop a column")
            backend.undo("tall")
            backend.add_audit_entry("tall", "looked at by hand")
            backend.create_temp_storage(
                "upload", {"Sheet 1": content.typed(3), "Sheet 2": content.objects()}, "book.xlsx", CENTURY
            )
            manager.compact()
        with tarfile.open(target, "w:xz", preset=9) as archive:
            archive.add(Path(directory) / "framekeep.mdb", "framekeep.mdb")
    return target


if __name__ == "__main__":
    print(write(sys.argv[1]))

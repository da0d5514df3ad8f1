"""Write the store that a released version leaves for all later ones: ``python tests/formats/write.py 1``.

The archives are committed and never written again; a new format gets a new one beside them. ``marks_2`` is
a store whose marks have reasons.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from importlib import import_module
from pathlib import Path

import pandas as pd

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
        _pack(directory, target)
    return target


def write_marks_2() -> Path:
    """Write the archive of a store whose marks are of format 2."""
    target = HERE / "store_marks_2.tar.xz"
    with tempfile.TemporaryDirectory() as directory:
        with DataManager(Settings(storage_dir=Path(directory))) as manager:
            backend = manager.backend
            frame = pd.DataFrame({"age": [31.0, None, None, None], "sex": ["f", None, "m", None]})
            backend.create_session("survey", frame, "survey.csv", CENTURY)
            backend.set_intentional_missing_batch(
                "survey",
                {
                    "age": [
                        {"rows": [1], "reason": "refused"},
                        {"rows": [2], "reason": "nicht gefragt (Überhang)"},
                    ],
                    "sex": [{"rows": [1, 3]}],
                },
            )
            backend.checkpoint("survey", "marked")
            backend.set_intentional_missing("survey", "age", [1, 2, 3], reason="skipped")
            manager.compact()
        _pack(directory, target)
    return target


def _pack(directory: str, target: Path) -> None:
    with tarfile.open(target, "w:xz", preset=9) as archive:
        archive.add(Path(directory) / "framekeep.mdb", "framekeep.mdb")


if __name__ == "__main__":
    print(write_marks_2() if sys.argv[1] == "marks_2" else write(sys.argv[1]))

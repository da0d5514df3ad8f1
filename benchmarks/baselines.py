"""The two designs Framekeep is measured against, written as a careful engineer would write them.

``PickleStore`` is the first user's store: whole frames as pickle files. ``ParquetStore`` keeps whole frames
as Parquet with snappy in anything that holds named bytes: ``FileBlobs`` here, Redis where that is measured.
Both make each write durable (temporary file, fsync, rename) and no more than that: no fsync of the
directory, no second copy, no avoidable rewrite.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

MAX_VERSIONS = 5


class FrameStore(Protocol):
    """What the benchmarks ask of a baseline."""

    def create(self, session_id: str, frame: pd.DataFrame) -> None:
        """Store a new session, durable on return."""
        ...

    def get(self, session_id: str) -> pd.DataFrame:
        """Return the current frame, owned by the caller."""
        ...

    def update(self, session_id: str, frame: pd.DataFrame) -> None:
        """Replace the current frame, durable on return."""
        ...

    def create_version(self, session_id: str, frame: pd.DataFrame, summary: str) -> int:
        """Keep ``frame`` as a version, durable on return; drop the oldest beyond MAX_VERSIONS."""
        ...

    def undo(self, session_id: str) -> pd.DataFrame:
        """Make the newest version current and return it."""
        ...

    def delete(self, session_id: str) -> None:
        """Forget the session."""
        ...

    def stored_bytes(self, session_id: str) -> int:
        """Return the bytes the session holds."""
        ...


def write_durably(path: Path, write: Callable[[io.BufferedWriter], object]) -> None:
    """Write a file so that ``path`` is the old content or the new, and the new once this returns."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class PickleStore:
    """current.pkl, versions/<n>.pkl and meta.json in one directory per session, pickle protocol 5.

    With ``compress`` the pickles go through zlib (level 6), as the first user's did: smaller and far slower,
    so the bars are measured against the plain form.
    """

    def __init__(self, root: Path, *, compress: bool = False) -> None:
        self._root = root
        self._compress = compress

    def create(self, session_id: str, frame: pd.DataFrame) -> None:
        """Store a new session."""
        (self._root / session_id / "versions").mkdir(parents=True)
        self._dump(self._current(session_id), frame)
        self._write_meta(session_id, {"next": 1, "versions": [], "rows": len(frame)})

    def get(self, session_id: str) -> pd.DataFrame:
        """Unpickle the current frame."""
        return self._load(self._current(session_id))

    def update(self, session_id: str, frame: pd.DataFrame) -> None:
        """Pickle the new current frame."""
        self._dump(self._current(session_id), frame)
        self._write_meta(session_id, {**self._meta(session_id), "rows": len(frame)})

    def create_version(self, session_id: str, frame: pd.DataFrame, summary: str) -> int:
        """Pickle ``frame`` as the next version."""
        number = int(self._meta(session_id)["next"])
        self._dump(self._version(session_id, number), frame)
        self._list_version(session_id, number, summary)
        return number

    def link_version(self, session_id: str, summary: str) -> int:
        """Make the current file the next version by a hard link: no pickling at all.

        The first user's code did not do this; it is the best this design could do, so it is reported too.
        """
        number = int(self._meta(session_id)["next"])
        os.link(self._current(session_id), self._version(session_id, number))
        self._list_version(session_id, number, summary)
        return number

    def undo(self, session_id: str) -> pd.DataFrame:
        """Rename the newest version to current and load it."""
        meta = self._meta(session_id)
        number = meta["versions"].pop()["id"]
        self._version(session_id, number).replace(self._current(session_id))
        self._write_meta(session_id, meta)
        return self.get(session_id)

    def delete(self, session_id: str) -> None:
        """Remove the directory."""
        shutil.rmtree(self._root / session_id)

    def stored_bytes(self, session_id: str) -> int:
        """Return the size of all files."""
        return sum(f.stat().st_size for f in (self._root / session_id).rglob("*") if f.is_file())

    def _list_version(self, session_id: str, number: int, summary: str) -> None:
        meta = self._meta(session_id)
        meta["versions"].append({"id": number, "summary": summary})
        meta["next"] = number + 1
        dropped = meta["versions"][:-MAX_VERSIONS]
        meta["versions"] = meta["versions"][-MAX_VERSIONS:]
        self._write_meta(session_id, meta)
        for version in dropped:
            self._version(session_id, version["id"]).unlink()

    def _current(self, session_id: str) -> Path:
        return self._root / session_id / "current.pkl"

    def _version(self, session_id: str, number: int) -> Path:
        return self._root / session_id / "versions" / f"{number}.pkl"

    def _dump(self, path: Path, frame: pd.DataFrame) -> None:
        if self._compress:
            packed = zlib.compress(pickle.dumps(frame, protocol=5))
            write_durably(path, lambda file: file.write(packed))
        else:
            write_durably(path, lambda file: pickle.dump(frame, file, protocol=5))

    def _load(self, path: Path) -> pd.DataFrame:
        if self._compress:
            return cast(pd.DataFrame, pickle.loads(zlib.decompress(path.read_bytes())))
        with path.open("rb") as file:
            return cast(pd.DataFrame, pickle.load(file))

    def _meta(self, session_id: str) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads((self._root / session_id / "meta.json").read_bytes()))

    def _write_meta(self, session_id: str, meta: dict[str, Any]) -> None:
        body = json.dumps(meta).encode()
        write_durably(self._root / session_id / "meta.json", lambda file: file.write(body))


class Blobs(Protocol):
    """Named bytes: what ``ParquetStore`` needs of files or of Redis."""

    def set(self, key: str, value: memoryview) -> None:
        """Store ``value`` under ``key``, durable on return (as far as the store is)."""
        ...

    def get(self, key: str) -> bytes | memoryview:
        """Return the value; KeyError when there is none."""
        ...

    def delete(self, keys: list[str]) -> None:
        """Forget the keys that exist."""
        ...

    def size(self, key: str) -> int:
        """Return the bytes of the value; 0 when there is none."""
        ...


class FileBlobs:
    """``Blobs`` as one file per key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def set(self, key: str, value: memoryview) -> None:
        """Write the file durably."""
        write_durably(self._root / key, lambda file: file.write(value))

    def get(self, key: str) -> bytes:
        """Read the file."""
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, keys: list[str]) -> None:
        """Unlink the files."""
        for key in keys:
            (self._root / key).unlink(missing_ok=True)

    def size(self, key: str) -> int:
        """Return the size of the file."""
        path = self._root / key
        return path.stat().st_size if path.exists() else 0


class ParquetStore:
    """Whole frames as Parquet bytes (pyarrow, snappy by default), a JSON value beside them."""

    def __init__(self, blobs: Blobs, *, codec: str = "snappy") -> None:
        self._blobs = blobs
        self._codec = codec

    def create(self, session_id: str, frame: pd.DataFrame) -> None:
        """Store a new session."""
        self._blobs.set(f"{session_id}.current", self._pack(frame))
        self._write_meta(session_id, {"next": 1, "versions": []})

    def get(self, session_id: str) -> pd.DataFrame:
        """Decode the current frame."""
        return self._unpack(self._blobs.get(f"{session_id}.current"))

    def update(self, session_id: str, frame: pd.DataFrame) -> None:
        """Encode and store the new current frame."""
        self._blobs.set(f"{session_id}.current", self._pack(frame))

    def create_version(self, session_id: str, frame: pd.DataFrame, summary: str) -> int:
        """Encode and store ``frame`` as the next version."""
        meta = self._meta(session_id)
        number = int(meta["next"])
        self._blobs.set(f"{session_id}.{number}", self._pack(frame))
        meta["versions"].append({"id": number, "summary": summary})
        meta["next"] = number + 1
        dropped = meta["versions"][:-MAX_VERSIONS]
        meta["versions"] = meta["versions"][-MAX_VERSIONS:]
        self._write_meta(session_id, meta)
        self._blobs.delete([f"{session_id}.{v['id']}" for v in dropped])
        return number

    def undo(self, session_id: str) -> pd.DataFrame:
        """Copy the newest version's bytes to current and decode them."""
        meta = self._meta(session_id)
        number = meta["versions"].pop()["id"]
        packed = self._blobs.get(f"{session_id}.{number}")
        self._blobs.set(f"{session_id}.current", memoryview(packed))
        self._write_meta(session_id, meta)
        self._blobs.delete([f"{session_id}.{number}"])
        return self._unpack(packed)

    def delete(self, session_id: str) -> None:
        """Delete every value of the session."""
        numbers = [v["id"] for v in self._meta(session_id)["versions"]]
        self._blobs.delete([f"{session_id}.{x}" for x in ("current", "meta", *numbers)])

    def stored_bytes(self, session_id: str) -> int:
        """Return the bytes of all values."""
        numbers = [v["id"] for v in self._meta(session_id)["versions"]]
        return sum(self._blobs.size(f"{session_id}.{x}") for x in ("current", "meta", *numbers))

    def _pack(self, frame: pd.DataFrame) -> memoryview:
        buffer = io.BytesIO()
        frame.to_parquet(buffer, engine="pyarrow", compression=self._codec)  # type: ignore[call-overload]
        return buffer.getbuffer()

    def _unpack(self, packed: bytes | memoryview) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(packed), engine="pyarrow")

    def _meta(self, session_id: str) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(bytes(self._blobs.get(f"{session_id}.meta"))))

    def _write_meta(self, session_id: str, meta: dict[str, Any]) -> None:
        self._blobs.set(f"{session_id}.meta", memoryview(json.dumps(meta).encode()))

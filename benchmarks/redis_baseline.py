"""The design that Framekeep on Redis is measured against, written as a careful engineer would write it.

A whole frame is Parquet with snappy under one key; a version is another such key. Bytes go through redis-py
with hiredis, and all that a verb changes goes in one transaction. No locks, no audit log, no check of what is
read: these would make it slower.
"""

from __future__ import annotations

import json
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import redis

MAX_VERSIONS = 5
SECONDS = 3600
"""How long a session lives after it was last written."""


class WholeFrames:
    """Whole frames in Redis.

    ``at_best`` is the most this design could do, with a server that copies and renames keys by itself: the
    frame that becomes a version is not encoded and sent a second time, and undo moves no bytes.

    Args:
        client: of redis-py, returning bytes.
        at_best: whether versions are made with COPY and taken back with RENAME.
        codec: of Parquet.
    """

    def __init__(self, client: redis.Redis, *, at_best: bool = False, codec: str = "snappy") -> None:
        self._client = client
        self._at_best = at_best
        self._codec = codec

    def create(self, session: str, frame: pd.DataFrame) -> None:
        """Store a new session."""
        packed = self.pack(frame)
        pipe = self._client.pipeline()
        pipe.set(self._current(session), packed, ex=SECONDS)
        self._write_meta(pipe, session, {"next": 1, "versions": []})
        pipe.execute()

    def get(self, session: str) -> pd.DataFrame:
        """Return the current frame."""
        return self.unpack(self._bytes(self._current(session)))

    def edit(self, session: str, before: pd.DataFrame, after: pd.DataFrame, summary: str) -> None:
        """Keep ``before`` as a version and make ``after`` current; drop the oldest beyond MAX_VERSIONS."""
        meta = self._meta(session)
        version = self._version(session, meta["next"])
        meta["versions"].append({"id": meta["next"], "summary": summary})
        meta["next"] += 1
        dropped, meta["versions"] = meta["versions"][:-MAX_VERSIONS], meta["versions"][-MAX_VERSIONS:]
        pipe = self._client.pipeline()
        if self._at_best:
            pipe.copy(self._current(session), version, replace=True)
        else:
            pipe.set(version, self.pack(before), ex=SECONDS)
        pipe.set(self._current(session), self.pack(after), ex=SECONDS)
        self._write_meta(pipe, session, meta)
        for old in dropped:
            pipe.unlink(self._version(session, old["id"]))
        pipe.execute()

    def checkpoint(self, session: str) -> None:
        """Make the current frame a version without encoding it, so that there is something to undo."""
        meta = self._meta(session)
        pipe = self._client.pipeline()
        pipe.copy(self._current(session), self._version(session, meta["next"]), replace=True)
        meta["versions"].append({"id": meta["next"], "summary": "checkpoint"})
        self._write_meta(pipe, session, {**meta, "next": meta["next"] + 1})
        pipe.execute()

    def undo(self, session: str) -> bytes | None:
        """Make the newest version current; return its bytes, None if they never left the server."""
        meta = self._meta(session)
        version = self._version(session, meta["versions"].pop()["id"])
        packed = None if self._at_best else self._bytes(version)
        pipe = self._client.pipeline()
        if packed is None:
            pipe.rename(version, self._current(session))
        else:
            pipe.set(self._current(session), packed, ex=SECONDS)
            pipe.unlink(version)
        self._write_meta(pipe, session, meta)
        pipe.execute()
        return packed

    def undo_with_frame(self, session: str) -> pd.DataFrame:
        """Make the newest version current and return it."""
        packed = self.undo(session)
        return self.get(session) if packed is None else self.unpack(packed)

    def delete(self, session: str) -> None:
        """Forget the session."""
        self._client.unlink(*self.keys(session))

    def keys(self, session: str) -> list[str]:
        """Return the keys of a session."""
        versions = [self._version(session, version["id"]) for version in self._meta(session)["versions"]]
        return [self._current(session), f"whole:{session}:meta", *versions]

    def pack(self, frame: pd.DataFrame) -> bytes:
        """Return the frame as Parquet."""
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(frame), sink, compression=self._codec)
        return cast(bytes, sink.getvalue().to_pybytes())

    @staticmethod
    def unpack(packed: bytes) -> pd.DataFrame:
        """Return the frame that ``pack`` was given."""
        return cast(pd.DataFrame, pq.read_table(pa.BufferReader(packed)).to_pandas())

    def _bytes(self, key: str) -> bytes:
        found = self._client.get(key)
        if found is None:
            raise KeyError(key)
        return cast(bytes, found)

    def _meta(self, session: str) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self._bytes(f"whole:{session}:meta")))

    def _write_meta(self, pipe: Any, session: str, meta: dict[str, Any]) -> None:
        pipe.set(f"whole:{session}:meta", json.dumps(meta), ex=SECONDS)

    @staticmethod
    def _current(session: str) -> str:
        return f"whole:{session}:current"

    @staticmethod
    def _version(session: str, number: int) -> str:
        return f"whole:{session}:version:{number}"

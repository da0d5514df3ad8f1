"""One space of blobs in a dict: what the frames layer needs of an engine, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from framekeep.errors import BlobMissing
from framekeep.frames import FrameCodec, Manifest, Visit
from framekeep.names import Digest


class Space:
    """Blobs by digest, and what was asked of them."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.asked: list[Digest] = []
        self.staged = 0

    def read(self, digests: Sequence[Digest], visit: Visit) -> None:
        self.asked.extend(digests)
        missing = [digest for digest in digests if digest not in self.blobs]
        if missing:
            raise BlobMissing(missing)
        for i, digest in enumerate(digests):
            visit(i, memoryview(self.blobs[digest]))

    def stage(self, blobs: Mapping[Digest, bytes]) -> None:
        self.staged += 1
        self.blobs.update({digest: bytes(blob) for digest, blob in blobs.items()})

    def keep(self, frame: object, codec: FrameCodec | None = None) -> Manifest:
        """Encode a frame into the space."""
        codec = codec or FrameCodec()
        encoded = codec.encode(frame, present=frozenset(self.blobs), stage=self.stage)
        self.blobs.update(encoded.blobs)
        return encoded.manifest

    def give(self, manifest: Manifest, codec: FrameCodec | None = None) -> pd.DataFrame:
        """Decode a frame as a process does that never saw it."""
        codec = codec or FrameCodec()
        return codec.decode(self.read, codec.manifest(self.read, manifest.digest))

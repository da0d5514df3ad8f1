"""What was found damaged is written again, also where a column is known to be unchanged."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.errors import BlobMissing
from framekeep.frames import FrameCodec
from framekeep.testing.identical import assert_identical


def test_a_missing_chunk_of_a_column_in_the_cache_is_written_again() -> None:
    space, codec = Space(), FrameCodec()
    shared, last = np.arange(65_536), np.arange(10)
    frame = pd.DataFrame({"a": np.append(shared, last), "b": np.append(shared, last + 1)})
    manifest = space.keep(frame, codec)
    codec.page(space.read, manifest, 0, len(frame), ["a"])
    del space.blobs[manifest.arrays[0].tracks[0].refs()[0].digest]
    with pytest.raises(BlobMissing):
        codec.page(space.read, manifest, 0, len(frame), ["b"])
    frame["b"] = -1
    encoded = codec.encode(frame, present=manifest.digests, previous=manifest)
    space.blobs.update(encoded.blobs)
    assert_identical(space.give(encoded.manifest), frame)

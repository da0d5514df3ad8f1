"""Frames as the writers get them: kept by a codec, and decoded by one that never saw them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from one_space import Space

from framekeep.exporting import ExportOptions, Heading, Window, export, format_named, page_json
from framekeep.frames import FrameCodec
from framekeep.frames.tables import table_from


def window_of(frame: pd.DataFrame, start: int = 0, stop: int | None = None) -> Window:
    """Return rows ``[start, stop)`` of a frame, after it was kept.

    Raises:
        UnsupportedTypeError: it is not kept.
    """
    space = Space()
    digest = space.keep(frame, FrameCodec()).digest
    codec = FrameCodec()
    manifest = codec.manifest(space.read, digest)
    end = manifest.rows if stop is None else stop
    places = range(len(manifest.arrays))
    arrays, index = codec.window(space.read, manifest, places, start, end)
    row_bytes = sum(node.nbytes for node in manifest.arrays) / max(1, manifest.rows)
    heading = Heading(manifest.columns.tolist(), manifest.dtypes, row_bytes)
    return Window(heading, arrays, index, start, manifest.rows)


def table_of(window: Window) -> pa.Table:
    """Return a window as Arrow."""
    return table_from(window.heading.labels, window.arrays, window.index)


def written(window: Window, name: str, **options: Any) -> bytes:
    """Return the file of a window."""
    return b"".join(export(window, format_named(name), ExportOptions(**options), lambda: table_of(window)))


def page(window: Window, orient: str = "rows") -> bytes:
    """Return the JSON page of a window."""
    return page_json(window, window.rows, orient=orient)

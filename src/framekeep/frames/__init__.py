"""Frames as chunks: exact, deduplicated, checked. No I/O, no clock, no environment.

The way in is ``FrameCodec``; the other modules are its parts.
"""

from framekeep.frames import nested as _nested  # noqa: F401 - teaches cells to hold pandas objects
from framekeep.frames.codec import Damage, Encoded, FrameCodec
from framekeep.frames.containers import FRAME_TYPE, FRAMES_TYPE
from framekeep.frames.diff import CellChange, ColumnChange, FrameDiff
from framekeep.frames.manifest import Manifest
from framekeep.frames.reading import Reader, Visit
from framekeep.frames.wire import pack, pack_frames, unpack, unpack_frames
from framekeep.frames.writing import Stage

__all__ = [
    "FRAMES_TYPE",
    "FRAME_TYPE",
    "CellChange",
    "ColumnChange",
    "Damage",
    "Encoded",
    "FrameCodec",
    "FrameDiff",
    "Manifest",
    "Reader",
    "Stage",
    "Visit",
    "pack",
    "pack_frames",
    "unpack",
    "unpack_frames",
]

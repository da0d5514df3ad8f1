"""Frames as chunks: exact, deduplicated, checked. No I/O, no clock, no environment.

The way in is ``FrameCodec``; the other modules are its parts.
"""

from framekeep.frames.codec import Damage, Encoded, FrameCodec
from framekeep.frames.manifest import Manifest
from framekeep.frames.reading import Reader, Visit
from framekeep.frames.writing import Stage

__all__ = ["Damage", "Encoded", "FrameCodec", "Manifest", "Reader", "Stage", "Visit"]

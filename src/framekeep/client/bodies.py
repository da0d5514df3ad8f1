"""Frames as bodies of requests and answers: the exact container, both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from framekeep.client.connection import Body
from framekeep.errors import InvalidInputError, ServiceError, UnreadableFileError
from framekeep.frames import FRAME_TYPE, FRAMES_TYPE, pack, pack_frames, unpack, unpack_frames

if TYPE_CHECKING:
    import pandas as pd


def frame_body(frame: object) -> Body:
    """Return the body that sends a frame.

    Raises:
        NotADataFrameError, UnsupportedTypeError: already here, where the frame is small.
    """
    return _body(FRAME_TYPE, lambda: pack(frame))


def frames_body(frames: object) -> Body:
    """Return the body that sends frames by name; raises as ``frame_body`` does."""
    if not isinstance(frames, Mapping):
        raise InvalidInputError(f"Sheets must be a mapping of name to frame, not {type(frames).__name__}.")
    taken = dict(frames)
    return _body(FRAMES_TYPE, lambda: pack_frames(taken))


def _body(media_type: str, packed: Callable[[], Iterator[bytes]]) -> Body:
    # The first piece is made before anything is sent: of a frame that is refused the service hears nothing.
    begun = packed()
    first = [(next(begun), begun)]

    def pieces() -> Iterator[bytes]:
        if not first:
            return packed()
        piece, rest = first.pop()
        return chain([piece], rest)

    return Body(media_type, pieces)


def read_frame(file: BinaryIO) -> pd.DataFrame:
    """Return the frame of an answer.

    Raises:
        ServiceError: it is damaged.
    """
    try:
        return unpack(file)
    except UnreadableFileError as error:
        raise ServiceError(f"The service sent a frame that cannot be read: {error}") from error


def read_frames(file: BinaryIO) -> dict[str, pd.DataFrame]:
    """Return the frames of an answer by name; raises as ``read_frame`` does."""
    try:
        return unpack_frames(file)
    except UnreadableFileError as error:
        raise ServiceError(f"The service sent frames that cannot be read: {error}") from error

"""What goes over the wire to Redis and comes back: heads, digests, times, and blobs in bounded pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

from framekeep.engines.base import Buffer, Head
from framekeep.errors import NewerFormatError, SessionDamagedError
from framekeep.names import DIGEST_SIZE, Digest, Revision, Space

FORMAT = 1

PIECE = 1 << 20
"""Bytes sent with one command, roughly."""


def head_of(space: Space, found: Sequence[Any]) -> Head | None:
    """Return the head that a script has told; None: it has told of none."""
    if not found:
        return None
    if len(found) == 1:
        raise damaged(space, "head", "its head is missing, and its log is there")
    if None in found or not found[0].isdigit():
        raise damaged(space, "head", "a part of its head is missing")
    check_format(found[0])
    past = tuple(map(Revision, digests_of(found[4] or b"")))
    return Head(Revision(found[1]), found[2], None if found[3] < 0 else found[3] / 1000, past)


def check_format(found: bytes) -> None:
    if int(found) > FORMAT:
        raise NewerFormatError(
            f"This was written by a newer Framekeep (format {int(found)}; this one reads {FORMAT}). "
            "Install that one."
        )


def damaged(space: Space, where: str, what: str) -> SessionDamagedError:
    return SessionDamagedError(
        f"{space} is damaged: {what}. Redis has evicted it (see maxmemory-policy), or somebody deleted keys.",
        session_id=space.partition(":")[2],
        where=where,
    )


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def time_of(primaries: Sequence[Redis]) -> float:
    """Return the time of the servers; the earliest: what has just expired counts for an instant longer."""
    times = [primary.time() for primary in primaries]
    return min(seconds + micros / 1e6 for seconds, micros in times)


def digests_of(joined: bytes) -> list[Digest]:
    return [Digest(joined[i : i + DIGEST_SIZE]) for i in range(0, len(joined), DIGEST_SIZE)]


def _size(blob: Buffer) -> int:
    return blob.nbytes if isinstance(blob, memoryview) else len(blob)


def beyond(blobs: Mapping[Digest, Buffer], limit: int) -> dict[Digest, Buffer]:
    """Return what of ``blobs`` does not fit into ``limit`` bytes."""
    beyond: dict[Digest, Buffer] = {}
    size = 0
    for digest, blob in blobs.items():
        size += _size(blob)
        if size > limit:
            beyond[digest] = blob
    return beyond


def pieces(blobs: Mapping[Digest, Buffer]) -> Iterator[list[tuple[Digest, Buffer]]]:
    """Yield blobs in pieces of about 1 MiB."""
    piece: list[tuple[Digest, Buffer]] = []
    size = 0
    for digest, blob in blobs.items():
        if piece and size + _size(blob) > PIECE:
            yield piece
            piece, size = [], 0
        piece.append((digest, blob))
        size += _size(blob)
    if piece:
        yield piece

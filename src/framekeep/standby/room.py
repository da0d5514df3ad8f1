"""What of the mirror goes first where there is no room.

What expires first was not used for longest: each use moves the expiry. That says nothing of a session beside
a reply, which is kept for longer than most sessions are: in time replies would take all of the room. So they
have a share of it. Those beyond go before any session, the others after all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from framekeep.engines.base import Engine, SpaceInfo
from framekeep.errors import StorageError
from framekeep.names import Space
from framekeep.standby.markers import REPLIES

SHARE: Final = 8
"""Replies may take one such part of the room."""

_OVERHEAD: Final = 512  # of a small space, roughly
_AT_ONCE: Final = 256


def going(local: Engine, kinds: tuple[str, ...], limit_bytes: int) -> Iterator[tuple[Space, ...]]:
    """Yield what may go, first what is to go first; several at once where each is small."""
    replies = sorted(local.spaces(REPLIES), key=_left)
    staying = _staying(local, replies, limit_bytes // SHARE)
    others = [info for kind in kinds if kind != REPLIES for info in local.spaces(kind)]
    yield from _together(replies[: len(replies) - staying])
    yield from ((info.space,) for info in sorted(others, key=_left))
    yield from _together(replies[len(replies) - staying :])


def _staying(local: Engine, replies: list[SpaceInfo], share: int) -> int:
    """Return how many of the latest replies are within their share."""
    for number, info in enumerate(reversed(replies)):
        with suppress(StorageError):
            head = local.load(info.space)
            share -= _OVERHEAD + (0 if head is None else len(head.body))
        if share < 0:
            return number
    return len(replies)


def _left(info: SpaceInfo) -> float:
    return info.ttl or 0.0


def _together(infos: list[SpaceInfo]) -> Iterator[tuple[Space, ...]]:
    for start in range(0, len(infos), _AT_ONCE):
        yield tuple(info.space for info in infos[start : start + _AT_ONCE])

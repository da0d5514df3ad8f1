"""Verifying everything a session needs, against the names of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from framekeep.errors import BlobMissing, DamagedError, SessionDamagedError
from framekeep.names import space
from framekeep.sessions.source import Source, titled
from framekeep.timeline import State

if TYPE_CHECKING:
    from framekeep.frames import Damage
    from framekeep.sessions.heads import Heads


def check(heads: Heads, session_id: str) -> list[Damage]:
    """Return what is damaged in a session, by state and part: ``current: column 'a'``.

    Does not move the expiry. Damage of one state hides nothing of the others.

    Raises:
        SessionNotFoundError: there is no such session.
        NewerFormatError: a newer version of Framekeep wrote it.
    """
    from framekeep.frames import Damage

    while True:
        try:
            loaded = heads.load(session_id)
        except DamagedError as error:
            return [Damage("head", str(error))]
        source = heads.source(session_id)
        found = [
            Damage(f"{title}: {damage.where}", damage.problem)
            for title, state in titled(loaded.session.timeline)
            for damage in _state(heads, source, state)
        ]
        found += _guarded("log", lambda: heads.engine.log(space("session", session_id)) and [])
        # What looks missing may have been dropped by a writer while it was being verified.
        if not found or heads.load(session_id).revision == loaded.revision:
            return found


def _state(heads: Heads, source: Source, state: State) -> list[Damage]:
    return [
        *_guarded("manifest", lambda: heads.codec.verify(source.chunks, source.manifest(state.frame))),
        *_guarded("marks", lambda: source.marks(state.marks) and []),
    ]


def _guarded(part: str, verify: Callable[[], object]) -> list[Damage]:
    from framekeep.frames import Damage

    try:
        found = verify()
    except BlobMissing:
        return [Damage(part, "missing")]
    except SessionDamagedError as error:
        return [Damage(error.where or part, str(error))]
    return found if isinstance(found, list) else []

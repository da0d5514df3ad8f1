"""A session that was changed here during an outage and elsewhere as well: both are kept.

The primary's state stays current. Each state that was made here becomes a version of the session, labelled
as such; what was logged here is logged there too, marked as of the outage; metadata that nobody else changed
is taken over. The caller has brought the blobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from framekeep.names import Revision
from framekeep.sessions import verbs
from framekeep.sessions.head import Session
from framekeep.timeline import State, Version

LABEL: Final = "made during the outage"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a session here.

    Attributes:
        states: made here, oldest first, each with what was done to get there.
        metadata: keys that were set here.
        lines: the log's entries of that time.
        token: names this outage of this session.
        ttl: the time to live if that was changed here.
    """

    states: tuple[tuple[str, State], ...]
    metadata: dict[str, object]
    lines: tuple[bytes, ...]
    token: str
    ttl: float | None = None


def made(base: Session | None, here: Session, lines: Sequence[bytes], revision: Revision) -> Made:
    """Return what is in ``here`` and was not in ``base``."""
    known = set() if base is None else set(base.timeline.states())
    found: list[tuple[str, State]] = []
    summary = ""
    line = here.timeline
    # A past version holds the state before its action: the action before it made that state.
    chain = [(version.summary, version.state) for version in line.past] + [("", line.current)]
    chain += [(version.summary, version.state) for version in reversed(line.future)]
    for position, (action, state) in enumerate(chain):
        if position > len(line.past):
            summary = action  # a future version holds the state after its action
        if state not in known:
            known.add(state)
            found.append((summary or "Data updated", state))
        summary = action
    before = {} if base is None else dict(base.metadata)
    changed = {key: value for key, value in here.metadata.items() if before.get(key, ...) != value}
    ttl = None if base is not None and here.ttl == base.ttl else here.ttl
    return Made(tuple(found), changed, tuple(lines), token_of(revision), ttl)


def merged(base: Session | None, session: Session, what: Made, at: datetime) -> tuple[Session, list[bytes]]:
    """Return the primary's session with what was made here, and the lines for its log."""
    line = session.timeline
    there = set(line.states())
    past, number = list(line.past), line.next_id
    for summary, state in what.states:
        if state not in there:
            past.append(Version(number, f"{summary} ({LABEL})", at, state))
            number += 1
    before = {} if base is None else base.metadata
    missing = object()
    mine = {k: v for k, v in what.metadata.items() if session.metadata.get(k) == before.get(k)}
    lost = sorted(
        key
        for key, value in what.metadata.items()
        if key not in mine and session.metadata.get(key, missing) != value
    )
    ids = [version.id for version in past[len(line.past) :]]
    audit = [verbs.stamped(at, f"{_first(ids)} [{what.token}]")]
    audit += [b"[%s] " % LABEL.capitalize().encode() + entry for entry in what.lines]
    audit += [
        verbs.stamped(at, f"Metadata {key!r} was {what.metadata[key]!r} there; the other value stays")
        for key in lost
    ]
    # Not dropped by retention now, and the way forward stays: nothing is lost by coming back.
    after = replace(line, past=tuple(past), next_id=number)
    ttl = session.ttl if what.ttl is None or (base is not None and session.ttl != base.ttl) else what.ttl
    return replace(session, timeline=after, metadata={**session.metadata, **mine}, ttl=ttl), audit


def versions(session: Session, what: Made) -> tuple[int, ...]:
    """Return the versions that hold what was made here."""
    states = {state for _, state in what.states}
    found = (version for version, _ in session.timeline.versions())
    return tuple(v.id for v in found if v.state in states and v.summary.endswith(f"({LABEL})"))


def is_in(what: Made, log: Sequence[bytes]) -> bool:
    """Say whether a log of the primary's tells that this was merged."""
    return any(line.endswith(f"[{what.token}]".encode()) for line in log)


def tells(revision: Revision, log: Sequence[bytes]) -> bool:
    """Say so of what was made here up to ``revision``."""
    return any(line.endswith(f"[{token_of(revision)}]".encode()) for line in log)


def token_of(revision: Revision) -> str:
    """Return what names, in a log, what was made here up to ``revision``."""
    return revision.hex()[:12]


def _first(ids: Sequence[int]) -> str:
    if not ids:
        return "An outage is over: what was done to this session meanwhile on one machine is logged below"
    versions = f"version {ids[0]}" if len(ids) == 1 else f"versions {ids[0]} to {ids[-1]}"
    return f"An outage is over: changed here and elsewhere; what was {LABEL} is kept as {versions}"

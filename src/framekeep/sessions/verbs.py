"""What each verb does to a session: pure transitions with their audit lines and the answers' shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from framekeep.names import Digest
from framekeep.sessions.arguments import checked_size
from framekeep.sessions.head import Session
from framekeep.sessions.heads import Step
from framekeep.sessions.source import Source, named
from framekeep.timeline import State, Timeline, Version

Now = Callable[[], datetime]


def stamped(now: datetime, text: str) -> bytes:
    """Return an audit line: ``[2026-11-25 08:44:32 UTC] text``."""
    # surrogatepass: whatever text came in comes back.
    return f"[{now:%Y-%m-%d %H:%M:%S} UTC] {text}".encode("utf-8", "surrogatepass")


def unstamped(line: bytes) -> str:
    """Return an audit line as text."""
    return line.decode("utf-8", "surrogatepass")


# --- transitions that bring a frame -----------------------------------------------------------------


def update(now: Now) -> Callable[[Session, State], Step[None]]:
    """Replace the current state."""

    def transition(session: Session, state: State) -> Step[None]:
        audit = stamped(now(), f"Data updated. Rows: {state.rows}, columns: {state.columns}")
        return Step(replace(session, timeline=session.timeline.update(state)), None, [audit])

    return transition


def create_version(summary: str, now: Now, max_versions: int) -> Callable[[Session, State], Step[int]]:
    """Keep a state as the newest version; the result is its id."""

    def transition(session: Session, state: State) -> Step[int]:
        at, line = now(), session.timeline
        after = line.create_version(state, summary, at=at, max_versions=max_versions)
        audit = stamped(at, f"Version {line.next_id} created: {summary}")
        return Step(replace(session, timeline=after), line.next_id, [audit])

    return transition


def commit_version(summary: str, now: Now, max_versions: int) -> Callable[[Session, State], Step[int]]:
    """Keep the current state as a version and make the new one current; the result is the version's id."""

    def transition(session: Session, state: State) -> Step[int]:
        at, line = now(), session.timeline
        after = line.commit(state, summary, at=at, max_versions=max_versions)
        audit = stamped(
            at, f"Version {line.next_id}: {summary}. Rows: {state.rows}, columns: {state.columns}"
        )
        return Step(replace(session, timeline=after), line.next_id, [audit])

    return transition


def commit_changes(summary: str, now: Now, max_versions: int) -> Callable[[Session, State], Step[int | None]]:
    """Do so if the new state differs from the current one; else change nothing, and the result is None."""
    commit = commit_version(summary, now, max_versions)

    def transition(session: Session, state: State) -> Step[int | None]:
        if state == session.timeline.current:
            return Step(session, None)
        step = commit(session, state)
        return Step(step.session, step.result, step.audit)

    return transition


def checkpoint(summary: str, now: Now, max_versions: int) -> Callable[[Session], Step[int]]:
    """Keep the current state as the newest version; the result is its id."""
    keep = create_version(summary, now, max_versions)
    return lambda session: keep(session, session.timeline.current)


# --- transitions that move the cursor ----------------------------------------------------------------


def cursor(
    move: Callable[[Timeline], tuple[Timeline, Version]], said: str, now: Now
) -> Callable[[Session], Step[dict[str, Any]]]:
    """Move the cursor; the result describes the version, its shape being that of the state now current."""

    def transition(session: Session) -> Step[dict[str, Any]]:
        line, version = move(session.timeline)
        audit = stamped(now(), f"{said} version {version.id}: {version.summary}")
        result = described(replace(version, state=line.current))
        return Step(replace(session, timeline=line), result, [audit])

    return transition


def described(version: Version) -> dict[str, Any]:
    """Return what callers see of a version."""
    return {
        "version_id": version.id,
        "action_summary": version.summary,
        "created_at": version.created_at,
        "rows": version.state.rows,
        "columns": version.state.columns,
        "bytes": version.state.nbytes,
    }


# --- transitions that commute ------------------------------------------------------------------------


def merge(metadata: Mapping[str, Any]) -> Callable[[Session, Source], Step[None]]:
    """Merge the caller's metadata."""

    def transition(session: Session, _: Source) -> Step[None]:
        if not metadata:
            return Step(session, None)
        merged = {**session.metadata, **metadata}
        checked_size(merged)
        return Step(replace(session, metadata=merged), None)

    return transition


def append(line: bytes) -> Callable[[Session, Source], Step[None]]:
    """Append an audit line."""
    return lambda session, _: Step(session, None, [line])


def live_for(ttl: float) -> Callable[[Session, Source], Step[None]]:
    """Change the time to live."""
    return lambda session, _: Step(replace(session, ttl=ttl), None)


def mark(changes: Mapping[Any, Iterable[Any]]) -> Callable[[Session, Source], Step[None]]:
    """Set the marks of some columns of the current state; marks that are set already change nothing."""

    def transition(session: Session, source: Source) -> Step[None]:
        line = session.timeline
        manifest = source.manifest(line.current.frame)
        marks = source.marks(line.current.marks).replaced(changes, manifest.columns, manifest.rows)
        digest: Digest | None
        digest, new = named(marks)
        if digest == line.current.marks:
            return Step(session, None)
        return Step(
            replace(session, timeline=line.update(replace(line.current, marks=digest))), None, blobs=new
        )

    return transition

"""What a session's head says, and its bytes (docs/format.md, "The session head").

Owns the record behind a session and behind a temporary storage. Pure: knows no engine and no clock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from framekeep.errors import NewerFormatError, SessionDamagedError
from framekeep.names import Digest, Revision
from framekeep.timeline import State, Timeline, Version

FORMAT = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Session:
    """One session, but for the bytes of its frames and its audit log.

    Attributes:
        filename: where the data came from, as the caller named it.
        created_at: aware, UTC.
        ttl: seconds from an access to the expiry.
        initial_rows: rows of the frame it was created with.
        lineage: the revision that last changed the timeline: what a frame's change is computed from.
        timeline: its states.
        metadata: the caller's own JSON values.
    """

    filename: str
    created_at: datetime
    ttl: float
    initial_rows: int
    lineage: Revision
    timeline: Timeline
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the head's body."""
        line = self.timeline
        return _dump(
            {
                "format": FORMAT,
                "filename": self.filename,
                "created": _micros(self.created_at),
                "ttl": self.ttl,
                "initial_rows": self.initial_rows,
                "lineage": self.lineage.hex(),
                "next": line.next_id,
                "current": _state(line.current),
                "past": [_version(version) for version in line.past],
                "future": [_version(version) for version in line.future],
                "metadata": self.metadata,
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> Session:
        """Return the session of a head's body.

        Raises:
            NewerFormatError: a newer version of Framekeep wrote it.
            SessionDamagedError: the bytes are none of ours.
        """
        return _load(body, cls._from)

    @classmethod
    def _from(cls, record: dict[str, Any]) -> Session:
        return cls(
            filename=record["filename"],
            created_at=_instant(record["created"]),
            ttl=record["ttl"],
            initial_rows=record["initial_rows"],
            lineage=Revision(bytes.fromhex(record["lineage"])),
            timeline=Timeline(
                current=_read_state(record["current"]),
                past=tuple(_read_version(row) for row in record["past"]),
                future=tuple(_read_version(row) for row in record["future"]),
                next_id=record["next"],
            ),
            metadata=record["metadata"],
        )


@dataclass(frozen=True, slots=True)
class Sheets:
    """One temporary storage.

    Attributes:
        filename: the workbook, as the caller named it.
        created_at: aware, UTC.
        sheets: name and manifest of each sheet, in order.
    """

    filename: str
    created_at: datetime
    sheets: tuple[tuple[str, Digest], ...]

    def encode(self) -> bytes:
        """Return the head's body."""
        return _dump(
            {
                "format": FORMAT,
                "filename": self.filename,
                "created": _micros(self.created_at),
                "sheets": [[name, digest.hex()] for name, digest in self.sheets],
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> Sheets:
        """Return the sheets of a head's body; raises as ``Session.decode`` does."""
        return _load(body, cls._from)

    @classmethod
    def _from(cls, record: dict[str, Any]) -> Sheets:
        return cls(
            filename=record["filename"],
            created_at=_instant(record["created"]),
            sheets=tuple((name, Digest(bytes.fromhex(digest))) for name, digest in record["sheets"]),
        )


def _dump(record: Mapping[str, Any]) -> bytes:
    # Not as escapes: two surrogates in a row would come back as the one character they stand for.
    text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _load(body: bytes, build: Callable[[dict[str, Any]], _T]) -> _T:
    try:
        record = json.loads(str(body, "utf-8", "surrogatepass"))
        version = record["format"]
        if isinstance(version, int) and version > FORMAT:
            raise NewerFormatError(
                f"The head has format {version}; this Framekeep reads up to {FORMAT}. Install a newer one."
            )
        return build(record)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise SessionDamagedError("The head is damaged.", where="head") from error


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _state(state: State) -> list[Any]:
    marks = None if state.marks is None else state.marks.hex()
    return [state.frame.hex(), marks, state.rows, state.columns, state.nbytes]


def _read_state(row: list[Any]) -> State:
    frame, marks, rows, columns, nbytes = row
    return State(
        frame=Digest(bytes.fromhex(frame)),
        marks=None if marks is None else Digest(bytes.fromhex(marks)),
        rows=rows,
        columns=columns,
        nbytes=nbytes,
    )


def _version(version: Version) -> list[Any]:
    return [version.id, version.summary, _micros(version.created_at), _state(version.state)]


def _read_version(row: list[Any]) -> Version:
    id, summary, created, state = row
    return Version(id, summary, _instant(created), _read_state(state))

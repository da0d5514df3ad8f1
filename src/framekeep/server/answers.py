"""The shapes of answers: what the OpenAPI document says of them. No logic."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from framekeep.server.unicode import unicode

_ID = "Xq3kV9bN2mR7tYp0LsA4dE8fGhJ1cZuW"
_AT = "2026-11-28T19:04:00Z"

PLAIN_NAMES = (
    "Whether every name is the column's label itself; else some are text forms of labels that are no text, "
    "which the exact container has."
)


Shape = Annotated[
    tuple[int, int],
    # Not pydantic's prefixItems, which many a generator of clients does not know.
    WithJsonSchema({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
    Field(description="Rows, columns."),
]


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": values})


class Answer(BaseModel):
    """What all answers have in common: their texts are Unicode."""

    @model_validator(mode="before")
    @classmethod
    def _unicode(cls, given: Any) -> Any:
        return unicode(given)


class Root(Answer):
    """What answers here."""

    model_config = _example(name="framekeep", version="0.1.0", docs="/docs", active_sessions=3)
    name: str
    version: str
    docs: str = Field(description="Where the endpoints are described.")
    active_sessions: int = Field(description="Live sessions of whoever asks.")


class Alive(Answer):
    """The process is there."""

    model_config = _example(status="ok")
    status: Literal["ok"] = "ok"


class Ready(Answer):
    """Whether requests can be served."""

    model_config = _example(status="ready", error=None)
    status: Literal["ready", "degraded", "not ready"] = Field(
        description="degraded: what this machine holds is served, while Redis does not answer or was not "
        "there at the start."
    )
    error: str | None = Field(None, description="What is missing.")


class StorageHealth(Answer):
    """How the storage is."""

    model_config = ConfigDict(
        extra="ignore",  # paths and sizes are for the operator's own command line
        json_schema_extra={
            "example": {
                "status": "healthy",
                "backend_type": "inmemory",
                "backend_class": "InMemoryBackend",
                "engine": "lmdb",
                "reachable": True,
                "latency_ms": 0.05,
                "active_sessions": 3,
                "mode": "embedded",
                "state": "normal",
                "redis_enabled": False,
                "redis_available": False,
                "redis_info": None,
                "error": None,
                "caches": {
                    "process": {
                        "hits": 90,
                        "misses": 10,
                        "hit_ratio": 0.9,
                        "bytes": 1_204_224,
                        "limit_bytes": 536_870_912,
                    },
                    "machine": None,
                },
            }
        },
    )
    status: Literal["healthy", "degraded", "unhealthy"]
    backend_type: str
    backend_class: str
    engine: str
    reachable: bool
    latency_ms: float | None
    active_sessions: int | None
    mode: Literal["embedded", "fallback", "strict", "standby"] = Field(
        description="What is done while Redis does not answer: strict refuses requests, standby goes on "
        "with what this machine holds; fallback: Redis was not there at the start."
    )
    state: Literal["normal", "outage", "returning"] = Field(
        description="returning: Redis answers, and what was done on this machine goes there."
    )
    redis_enabled: bool
    redis_available: bool
    redis_info: dict[str, Any] | None = Field(
        description="version, used_memory_mb, connected_clients, total_commands_processed, role, topology."
    )
    error: str | None
    caches: dict[str, dict[str, Any] | None] = Field(
        description="Of the worker that answers and of its machine: hits, misses, hit_ratio, bytes …"
    )


class Column(Answer):
    """A column of a session's frame."""

    name: str = Field(description="Its label as text.")
    dtype: str


class SessionFacts(Answer):
    """What is known of a session without loading its frame."""

    model_config = _example(
        session_id=_ID,
        filename="penguins.csv",
        created_at=_AT,
        last_accessed=_AT,
        expires_at="2026-11-28T20:04:00Z",
        shape=[344, 2],
        columns=[{"name": "species", "dtype": "str"}, {"name": "year", "dtype": "int64"}],
        plain_names=True,
        bytes=5160,
        current_version=1,
        metadata={"study": "A-17"},
    )
    session_id: str
    filename: str
    created_at: datetime
    last_accessed: datetime = Field(description="The access before this one.")
    expires_at: datetime
    shape: Shape
    columns: list[Column]
    plain_names: bool = Field(description=PLAIN_NAMES)
    bytes: int = Field(description="Bytes of the frame's data.")
    current_version: int = Field(description="What undo would step back to; 0 for nothing.")
    metadata: dict[str, Any] = Field(description="The caller's own values.")


class SessionList(Answer):
    """A page of the caller's sessions, by id."""

    model_config = _example(sessions=[], total=0, next_cursor=None)
    sessions: list[SessionFacts]
    total: int = Field(description="All live sessions of the caller.")
    next_cursor: str | None = Field(description="Give it as `cursor` to get the next page; null at the end.")


class Deleted(Answer):
    """It is gone, with all it held."""

    model_config = _example(deleted=True)
    deleted: Literal[True] = True


class TypedColumn(Answer):
    """What became of a column of a file."""

    name: str
    type: str
    reason: str = Field(description="Why it has this type.")
    missing: int = Field(description="Cells without a value.")
    overridden: bool = Field(False, description="Whether the type was asked for.")


class SheetPreview(Answer):
    """A sheet, before it is imported."""

    name: str
    rows: int | None = Field(description="Below the header.")
    columns: int
    header: list[str]
    first: list[list[str | None]] = Field(description="Up to 5 rows as text; null where there is no value.")
    suggested: bool
    empty: bool
    hidden: bool


class ImportedSession(Answer):
    """A file became a session."""

    model_config = _example(
        kind="session",
        session_id=_ID,
        filename="penguins.csv",
        format="csv",
        encoding="utf-8",
        delimiter=",",
        compression=None,
        sheet="",
        rows=344,
        columns=[
            {
                "name": "year",
                "type": "integer",
                "reason": "every value is a whole number",
                "missing": 0,
                "overridden": False,
            }
        ],
        notes=[],
        text_version=1,
        file_metadata={},
    )
    kind: Literal["session"] = "session"
    session_id: str
    filename: str
    format: str
    encoding: str | None
    delimiter: str | None
    compression: str | None
    sheet: str
    rows: int
    columns: list[TypedColumn]
    notes: list[str] = Field(description="What the reader should know, one sentence each.")
    text_version: int | None = Field(
        description="The version that has every column as text, before types were found; null when that "
        "changed nothing."
    )
    file_metadata: dict[str, Any] = Field(description="What the format keeps beside the values (labels …).")


class ImportedWorkbook(Answer):
    """A workbook with several sheets: choose with select-sheets."""

    model_config = _example(
        kind="workbook",
        temp_id=_ID,
        filename="trial.xlsx",
        format="xlsx",
        sheets=[
            {
                "name": "Visits",
                "rows": 120,
                "columns": 2,
                "header": ["id", "age"],
                "first": [["1", "34"]],
                "suggested": True,
                "empty": False,
                "hidden": False,
            }
        ],
        suggested="Visits",
        expires_at=_AT,
        notes=[],
    )
    kind: Literal["workbook"] = "workbook"
    temp_id: str
    filename: str
    format: str
    sheets: list[SheetPreview]
    suggested: str | None
    expires_at: datetime
    notes: list[str]


class ImportedSheets(Answer):
    """The chosen sheets became sessions; one, when they were merged."""

    model_config = _example(
        sessions=[
            {
                "kind": "session",
                "session_id": _ID,
                "filename": "trial.xlsx",
                "format": "xlsx",
                "encoding": None,
                "delimiter": None,
                "compression": None,
                "sheet": "Visits",
                "rows": 120,
                "columns": [
                    {
                        "name": "age",
                        "type": "integer",
                        "reason": "every value is a whole number",
                        "missing": 0,
                        "overridden": False,
                    }
                ],
                "notes": [],
                "text_version": 1,
                "file_metadata": {},
            }
        ]
    )
    sessions: list[ImportedSession]


class UploadProgress(Answer):
    """How far an upload is."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {"state": "receiving", "bytes_received": 1048576, "bytes_total": 4194304}
        },
    )
    state: Literal["receiving", "reading", "storing", "done", "failed"]


class Changed(Answer):
    """The state of a session's data after a change."""

    model_config = _example(
        session_id=_ID, etag='"0123456789abcdef0123456789abcdef"', version_id=2, shape=[344, 8]
    )
    session_id: str
    etag: str = Field(description="The new revision, as the ETag header has it; for If-Match.")
    version_id: int | None = Field(description="The version that undo steps back to; null if none was made.")
    shape: Shape


class CellChange(Answer):
    """One changed cell."""

    row: Any = Field(description="Row position (or index label, where rows are matched by label).")
    column: str
    before: Any
    after: Any


class Retyped(Answer):
    """A column with changed cells or another dtype."""

    column: str = Field(description="Its name after the edits.")
    cells: int = Field(description="How many cells differ among the rows that stay.")
    dtype_before: str
    dtype_after: str


class Renamed(Answer):
    """A column with another name."""

    before: str
    after: str


class Impact(Answer):
    """What edits would do, or did. Columns are called by their names after the edits."""

    rows_before: int
    rows_after: int
    rows_removed: int
    removed: list[int] = Field(description="Positions of the first rows removed.")
    rows_moved: bool = Field(description="Whether the rows that stay are in another order.")
    columns_added: list[str]
    columns_removed: list[str]
    columns_renamed: list[Renamed]
    columns_moved: bool
    columns_changed: list[Retyped]
    cells_changed: int = Field(description="Among the rows and columns that stay.")
    samples: list[CellChange] = Field(description="Some changed cells; `row` is a position before the edits.")


class Edited(Changed):
    """What came of edits."""

    model_config = _example(
        session_id=_ID,
        etag='"0123456789abcdef0123456789abcdef"',
        version_id=2,
        shape=[333, 8],
        dry_run=False,
        summary="Drop rows with missing values",
        impact={
            "rows_before": 344,
            "rows_after": 333,
            "rows_removed": 11,
            "removed": [3, 8],
            "rows_moved": False,
            "columns_added": [],
            "columns_removed": [],
            "columns_renamed": [],
            "columns_moved": False,
            "columns_changed": [],
            "cells_changed": 0,
            "samples": [],
        },
    )
    dry_run: bool = Field(description="Whether nothing was stored.")
    summary: str
    impact: Impact


class Version(Answer):
    """A state that can be returned to."""

    model_config = _example(
        version_id=2,
        action_summary="Fill ages",
        created_at=_AT,
        rows=344,
        columns=8,
        bytes=5160,
        undone=False,
    )
    version_id: int
    action_summary: str = Field(description="The action that followed this state.")
    created_at: datetime
    rows: int
    columns: int
    bytes: int
    undone: bool = Field(False, description="Whether it was undone: redo would do it again.")


class Versions(Answer):
    """The versions, oldest first."""

    model_config = _example(versions=[], current_version=0)
    versions: list[Version]
    current_version: int = Field(description="What undo would step back to; 0 for nothing.")


class Stepped(Version):
    """Where a step led: the version, with the shape of the state that is current now."""

    model_config = _example(
        version_id=2,
        action_summary="Fill ages",
        created_at=_AT,
        rows=344,
        columns=8,
        bytes=5160,
        undone=False,
        etag='"0123456789abcdef0123456789abcdef"',
    )
    etag: str


class ColumnDiff(Answer):
    """How a column differs."""

    column: str
    dtype_before: str
    dtype_after: str
    cells: int = Field(description="How many cells differ.")
    samples: list[CellChange]


class Diff(Answer):
    """What differs between two states."""

    model_config = _example(
        rows_before=344,
        rows_after=333,
        rows_added=0,
        rows_removed=11,
        aligned_by="label",
        index_changed=True,
        columns_added=[],
        columns_removed=[],
        columns_changed=[],
        columns_moved=False,
        cells_changed=0,
    )
    rows_before: int
    rows_after: int
    rows_added: int
    rows_removed: int
    aligned_by: Literal["label", "position"]
    index_changed: bool
    columns_added: list[str]
    columns_removed: list[str]
    columns_changed: list[ColumnDiff]
    columns_moved: bool
    cells_changed: int


class Missing(Answer):
    """The cells that are empty on purpose."""

    model_config = _example(columns={"age": [3, 17]}, reasons={"age": {"not asked": [3]}}, plain_names=True)
    columns: dict[str, list[int]] = Field(description="Column -> sorted row positions, counted from 0.")
    reasons: dict[str, dict[str, list[int]]] = Field(description="Column -> reason -> row positions.")
    plain_names: bool = Field(description=PLAIN_NAMES)


class AuditLog(Answer):
    """What was done to the session, oldest first."""

    model_config = _example(
        entries=[
            "[2026-11-28 19:04:00 UTC] Session created from 'penguins.csv'. Initial rows: 344, columns: 8"
        ],
        initial_rows=344,
    )
    entries: list[str]
    initial_rows: int | None


class Profile(Answer):
    """What the columns hold."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "profiles": [
                    {"name": "year", "dtype": "int64", "kind": "integer", "count": 344, "missing": 0}
                ]
            }
        }
    )
    profiles: list[dict[str, Any]]


class TemporaryStored(Answer):
    """Frames kept for a while."""

    model_config = _example(temp_id=_ID, filename="trial.xlsx")
    temp_id: str
    filename: str


class Damage(Answer):
    """A stored part that is damaged or missing."""

    where: str = Field(description="The column, index or record that it belongs to.")
    problem: str


class Checked(Answer):
    """What is damaged of a session."""

    model_config = _example(damage=[])
    damage: list[Damage] = Field(description="Empty when every stored part is what was written.")


class Cleaned(Answer):
    """What had expired and is freed now."""

    model_config = _example(sessions=2, temporary=0)
    sessions: int
    temporary: int

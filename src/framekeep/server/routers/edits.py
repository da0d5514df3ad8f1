"""Edits: several operations of the closed vocabulary, one version; or, dry, what they would do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from framekeep.editing import Operations
from framekeep.errors import ConflictError
from framekeep.exporting.cells import json_cell
from framekeep.server.answers import Edited, Impact
from framekeep.server.asking import Caller, IdempotencyKey, IfMatch, Running, SessionId
from framekeep.server.bodies import body_of, documented_body
from framekeep.server.problems import COMMON, documented
from framekeep.server.routers.sessions import Change
from framekeep.sessions import Outcome

router = APIRouter(prefix="/api/v1/sessions/{session_id}", tags=["edits"], responses=documented(*COMMON))


class Edits(BaseModel):
    """What to do to the table, as one step."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "summary": "Adults only, ages filled",
                "operations": [
                    {"op": "fill_missing", "columns": ["age"], "method": "median"},
                    {"op": "filter_rows", "where": "age >= 18"},
                ],
            }
        },
    )
    summary: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="What the version is called; by default what is done.",
    )
    operations: Operations


@router.post("/edits", summary="Edit", openapi_extra=documented_body(Edits))
async def edit(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    response: Response,
    body: Annotated[Edits, Depends(body_of(Edits))],
    expected: IfMatch,
    dry_run: Annotated[
        bool,
        Query(description="Say what the edits would do (rows, cells per column, a sample); store nothing."),
    ] = False,
    key: IdempotencyKey = None,
) -> Edited:
    """Carry the operations out in order, as one version that can be undone."""
    manager, threads = service.manager, service.threads
    change = Change(service, session_id, expected)

    def carry_out() -> Outcome:
        try:
            return manager.apply_operations(
                session_id, body.operations, body.summary, dry_run=dry_run, expected_revision=expected
            )
        except ConflictError as error:
            raise change.conflict(error) from error

    done = await threads.heavy(carry_out)
    change.led_to(done.revision)
    return Edited(
        session_id=owner.shown(session_id),
        etag=change.tag(response),
        version_id=done.version_id,
        shape=done.shape,
        dry_run=dry_run,
        summary=done.summary,
        impact=Impact.model_validate(as_json(done.impact)),
    )


def as_json(value: Any) -> Any:
    """Return what an edit changed, as JSON has it."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else json_cell(value)

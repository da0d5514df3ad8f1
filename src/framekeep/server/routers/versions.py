"""Versions: list, checkpoint, read one, restore, compare; undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from framekeep.errors import VersionNotFoundError
from framekeep.exporting.cells import json_cell
from framekeep.exporting.labels import label_text
from framekeep.frames import FrameDiff
from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.answers import CellChange, Changed, ColumnDiff, Diff, Stepped, Version, Versions
from framekeep.server.asking import (
    Caller,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Running,
    SessionId,
    VersionParameter,
    version,
)
from framekeep.server.frames import BODY_TYPES, frame_of
from framekeep.server.problems import COMMON, RequestError, documented
from framekeep.server.routers.sessions import Change
from framekeep.server.service import Service

router = APIRouter(prefix="/api/v1/sessions/{session_id}", tags=["versions"], responses=documented(*COMMON))

VersionId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The version's id.", examples=[1])]
Summary = Annotated[str, Query(min_length=1, max_length=1000, description="What the action is.")]
Limit = Annotated[
    int | None, Query(ge=0, le=1000, description="Versions kept at most; by default MAX_VERSIONS.")
]


class Checkpoint(BaseModel):
    """A state to be kept."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"summary": "Before the visit"}})
    summary: str = Field(min_length=1, max_length=1000, description="What comes after this state.")


_CHECKPOINT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "title": "Checkpoint",
                    "type": "object",
                    "required": ["summary"],
                    "additionalProperties": False,
                    "properties": {
                        "summary": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": 1000,
                            "description": "What comes after this state.",
                        }
                    },
                    "example": {"summary": "Before the visit"},
                }
            },
            **BODY_TYPES,
        },
    }
}


@router.get(
    "/versions",
    summary="List versions",
    response_model=Versions,
    responses={304: {"description": "Unchanged."}},
)
def listing(
    service: Running, session_id: SessionId, response: Response, if_none_match: IfNoneMatch = None
) -> Versions | Response:
    """Oldest first; those that were undone, and that redo would do again, are at the end."""
    revision = service.manager.revision(session_id)
    if (same := conditions.not_modified(if_none_match, revision)) is not None:
        return same
    response.headers["etag"] = conditions.etag(revision)
    found = service.manager.get_history(session_id)
    current = [each["version_id"] for each in found if not each["undone"]]
    return Versions(
        versions=[Version.model_validate(each) for each in found], current_version=max(current, default=0)
    )


@router.get("/versions/{version_id}", summary="One version")
def one(service: Running, session_id: SessionId, version_id: VersionId) -> Version:
    """Its data is at `/data?version=<id>`."""
    for each in service.manager.get_history(session_id):
        if each["version_id"] == version_id:
            return Version.model_validate(each)
    raise VersionNotFoundError(
        f"Version {version_id} is unknown or was dropped to make room for newer ones. List the versions."
    )


@router.post("/versions", status_code=201, summary="Keep a checkpoint", openapi_extra=_CHECKPOINT)
async def checkpoint(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    request: Request,
    response: Response,
    expected: IfMatch,
    summary: Annotated[
        str | None,
        Query(min_length=1, max_length=1000, description="What comes after; when the body is a frame."),
    ] = None,
    max_versions: Limit = None,
    key: IdempotencyKey = None,
) -> Changed:
    """Keep the current state as a version that can be returned to.

    With a frame as the body (and `summary` in the query), that frame is kept as the newest version instead,
    and the current state stays as it is.
    """
    manager, threads = service.manager, service.threads
    change = Change(service, session_id, expected)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("", "application/json"):
        text = _summary(await request.body())
        version_id = await threads.quick(change.made, manager.checkpoint, session_id, text, max_versions)
    elif summary is None:
        raise RequestError(422, "invalid_request", "A frame that is kept as a version needs ?summary=….")
    else:
        async with frame_of(request, service) as body:
            version_id = await threads.heavy(
                lambda: change.made(manager.create_version, session_id, body.frame(), summary, max_versions)
            )
    facts = await threads.quick(manager.get_metadata, session_id)
    return change.answer(owner, version_id, facts["shape"], response)


def _summary(body: bytes) -> str:
    try:
        return Checkpoint.model_validate_json(body).summary
    except ValidationError as error:
        malformed = any(each["type"] == "json_invalid" for each in error.errors())
        message = "The body is not JSON." if malformed else 'The body is {"summary": "…"}.'
        raise RequestError(
            400 if malformed else 422, "malformed_json" if malformed else "invalid_request", message
        ) from None


async def _step(
    service: Service,
    session_id: str,
    expected: Revision | None,
    step: Callable[..., dict[str, Any]],
    response: Response,
    *args: int,
) -> Stepped:
    change = Change(service, session_id, expected)
    found = await service.threads.quick(change.made, step, session_id, *args)
    return Stepped.model_validate({**found, "etag": change.tag(response)})


@router.post("/undo", summary="Step back")
async def undo(
    service: Running,
    session_id: SessionId,
    response: Response,
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Stepped:
    """To the state before the newest action. 409 when there is nothing to undo."""
    return await _step(service, session_id, expected, service.manager.undo, response)


@router.post("/redo", summary="Step forward")
async def redo(
    service: Running,
    session_id: SessionId,
    response: Response,
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Stepped:
    """Do again what was undone last. 409 when there is nothing to redo."""
    return await _step(service, session_id, expected, service.manager.redo, response)


@router.post("/versions/{version_id}/restore", summary="Step to a version")
async def restore(
    service: Running,
    session_id: SessionId,
    version_id: VersionId,
    response: Response,
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Stepped:
    """Back or forward; redo and undo lead on from there."""
    return await _step(service, session_id, expected, service.manager.restore, response, version_id)


@router.get("/diff", summary="Compare two states")
async def diff(
    service: Running,
    session_id: SessionId,
    before: Annotated[VersionParameter, Query(alias="from")],
    after: Annotated[VersionParameter, Query(alias="to")] = "current",
    samples: Annotated[int, Query(ge=0, le=100, description="Changed cells given for each column.")] = 10,
) -> Diff:
    """By chunk names first, so that what is equal costs nothing."""
    found = await service.threads.heavy(
        service.manager.diff_versions, session_id, version(before), version(after), samples=samples
    )
    return as_json(found)


def as_json(found: FrameDiff) -> Diff:
    """Return a comparison as the API has it."""
    return Diff(
        columns_added=[label_text(label) for label in found.columns_added],
        columns_removed=[label_text(label) for label in found.columns_removed],
        columns_changed=[
            ColumnDiff(
                column=label_text(each.label),
                dtype_before=str(each.dtype_before),
                dtype_after=str(each.dtype_after),
                cells=each.cells,
                samples=[
                    CellChange(
                        row=json_cell(sample.row),
                        column=label_text(each.label),
                        before=json_cell(sample.before),
                        after=json_cell(sample.after),
                    )
                    for sample in each.samples
                ],
            )
            for each in found.columns_changed
        ],
        **{
            name: getattr(found, name)
            for name in (
                "rows_before",
                "rows_after",
                "rows_added",
                "rows_removed",
                "aligned_by",
                "index_changed",
                "columns_moved",
                "cells_changed",
            )
        },
    )

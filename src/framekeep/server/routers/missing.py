"""Intentional missing: cells that are empty on purpose, with the reason why, if one was given."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from framekeep.editing.fields import whole
from framekeep.errors import UnknownColumnError
from framekeep.exporting.labels import label_text, resolve_columns
from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.answers import Missing
from framekeep.server.asking import IdempotencyKey, IfMatch, IfNoneMatch, Running, SessionId
from framekeep.server.bodies import body_of, documented_body
from framekeep.server.problems import COMMON, documented
from framekeep.server.routers.sessions import Change, plain
from framekeep.server.service import Service

router = APIRouter(
    prefix="/api/v1/sessions/{session_id}/missing", tags=["missing"], responses=documented(*COMMON)
)

Row = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1), BeforeValidator(whole)]
Reason = Annotated[str, Field(max_length=1000)]


class Marked(BaseModel):
    """Rows that are empty on purpose, for one reason."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"rows": [3, 17], "reason": "not asked"}}
    )
    rows: list[Row] = Field(description="Row positions, counted from 0.")
    reason: Reason | None = Field(
        None, description='Why they are empty; "" takes reasons away, without one each row keeps its own.'
    )


class MarkedColumns(BaseModel):
    """The marks of several columns, set in one step."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"columns": {"age": [{"rows": [3], "reason": "not asked"}], "sex": [0, 1]}}
        },
    )
    columns: dict[str, list[Row] | list[Marked]] = Field(
        description="Column -> exactly the rows that are marked in it; an empty list clears it."
    )


@router.get("", response_model=Missing, responses={304: {"description": "Unchanged."}}, summary="Get marks")
def get(
    service: Running, session_id: SessionId, response: Response, if_none_match: IfNoneMatch = None
) -> Missing | Response:
    """The marks of the current state; they travel with versions."""
    revision = service.manager.revision(session_id)
    if (same := conditions.not_modified(if_none_match, revision)) is not None:
        return same
    response.headers["etag"] = conditions.etag(revision)
    return _missing(service, session_id)


@router.put("", summary="Set several columns", openapi_extra=documented_body(MarkedColumns))
def put(
    service: Running,
    session_id: SessionId,
    response: Response,
    body: Annotated[MarkedColumns, Depends(body_of(MarkedColumns))],
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Missing:
    """Either all are valid or nothing is changed."""
    changes: dict[str, Any] = {
        name: [
            {"rows": each.rows, "reason": each.reason} if isinstance(each, Marked) else each for each in given
        ]
        for name, given in body.columns.items()
    }
    return _set(service, session_id, changes, expected, response)


@router.put("/column", summary="Set one column", openapi_extra=documented_body(Marked))
def put_column(
    service: Running,
    session_id: SessionId,
    response: Response,
    name: Annotated[str, Query(description="The column.", examples=["age"])],
    body: Annotated[Marked, Depends(body_of(Marked))],
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Missing:
    """Mark exactly these rows of a column; an empty list clears it."""
    return _set(service, session_id, {name: [{"rows": body.rows, "reason": body.reason}]}, expected, response)


def _set(
    service: Service,
    session_id: str,
    changes: dict[str, Any],
    expected: Revision | None,
    response: Response,
) -> Missing:
    manager = service.manager
    # Each label once, so that each name finds one; all at once, or many columns would take minutes.
    labels = list(
        {(type(label), label): label for label in manager.get_metadata(session_id)["columns"]}.values()
    )
    places = resolve_columns(labels, changes)
    named = {labels[place]: rows for place, rows in zip(places, changes.values(), strict=True)}
    if len(named) < len(changes):
        raise UnknownColumnError("Two of the names mean the same column. Name each column once.")
    change = Change(service, session_id, expected)
    change.made(manager.set_intentional_missing_batch, session_id, named)
    change.tag(response)
    return _missing(service, session_id)


def _missing(service: Service, session_id: str) -> Missing:
    manager = service.manager
    marks = manager.get_intentional_missing(session_id)
    return Missing(
        columns={label_text(label): rows for label, rows in marks.items()},
        reasons={
            label_text(label): reasons for label, reasons in manager.get_missing_reasons(session_id).items()
        },
        plain_names=plain(marks),
    )

"""The audit log: read it (JSON or CSV), add to it."""

from __future__ import annotations

import csv
import io
import re
from typing import Annotated

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from framekeep.server.answers import AuditLog
from framekeep.server.asking import IdempotencyKey, Running, SessionId
from framekeep.server.negotiation import attachment, preferred
from framekeep.server.problems import COMMON, documented
from framekeep.server.service import Service

router = APIRouter(prefix="/api/v1/sessions/{session_id}", tags=["audit"], responses=documented(*COMMON))

_LINE = re.compile(r"\[([0-9-]{10}) ([0-9:]{8}) UTC\] (.*)", re.DOTALL)
_CSV = {"content": {"text/csv": {"schema": {"type": "string"}}}}


class AuditEntry(BaseModel):
    """A line for the audit log."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"entry": "Checked against the paper forms"}}
    )
    entry: str = Field(
        min_length=1, max_length=10_000, description="What was done; it is stamped with the time."
    )


@router.get("/audit", response_model=AuditLog, responses={200: _CSV}, summary="Read the audit log")
def get(service: Running, session_id: SessionId, request: Request) -> AuditLog | Response:
    """Oldest first; as CSV (time, entry) with `Accept: text/csv` or at `/audit.csv`."""
    if preferred(request.headers.get("accept"), ("application/json", "text/csv")) == "text/csv":
        return as_csv(service, session_id)
    manager = service.manager
    return AuditLog(
        entries=manager.get_audit_log(session_id), initial_rows=manager.get_initial_row_count(session_id)
    )


@router.get("/audit.csv", response_class=Response, responses={200: _CSV}, summary="Read the audit log as CSV")
def get_csv(
    service: Running,
    session_id: SessionId,
    neutralize_formulas: Annotated[
        bool, Query(description="Put a ' before entries that a spreadsheet would run as a formula.")
    ] = True,
) -> Response:
    """Two columns: time and entry."""
    return as_csv(service, session_id, neutralize=neutralize_formulas)


def as_csv(service: Service, session_id: str, *, neutralize: bool = True) -> Response:
    """Return the audit log as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["time", "entry"])
    for line in service.manager.get_audit_log(session_id):
        found = _LINE.fullmatch(line)
        time, entry = (f"{found[1]}T{found[2]}Z", found[3]) if found else ("", line)
        if neutralize and entry[:1] in ("=", "+", "-", "@", "\t", "\r"):
            entry = "'" + entry
        writer.writerow([time, entry])
    body = text.getvalue().encode("utf-8", "backslashreplace")
    return Response(
        body,
        headers={"content-disposition": attachment("audit.csv")},
        media_type="text/csv; charset=utf-8",
    )


@router.post("/audit", status_code=201, summary="Add to the audit log")
def add(
    service: Running, session_id: SessionId, body: Annotated[AuditEntry, Body()], key: IdempotencyKey = None
) -> AuditLog:
    """Append a line, stamped with the time."""
    manager = service.manager
    manager.add_audit_entry(session_id, body.entry)
    return AuditLog(
        entries=manager.get_audit_log(session_id), initial_rows=manager.get_initial_row_count(session_id)
    )

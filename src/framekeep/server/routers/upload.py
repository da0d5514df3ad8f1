"""Upload a file: one table becomes a session, a workbook of several sheets waits for a choice."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from framekeep.errors import FramekeepError, InvalidInputError
from framekeep.importing import ImportOptions
from framekeep.server import progress as progress_files
from framekeep.server.access import without_tag
from framekeep.server.answers import ImportedSession, ImportedSheets, ImportedWorkbook, UploadProgress
from framekeep.server.asking import ID_PATTERN, Caller, IdempotencyKey, Running, TempId
from framekeep.server.problems import COMMON, RequestError, documented
from framekeep.server.progress import Progress
from framekeep.server.routers.sessions import TTL
from framekeep.server.spool import spooled
from framekeep.server.uploads import ingest, select, workbook

router = APIRouter(prefix="/api/v1/upload", tags=["upload"], responses=documented(*COMMON))

_MIB = 1 << 20
_BODY = {
    "requestBody": {
        "required": True,
        "description": "A form with one file, or the file as it is (with `filename` in the query).",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "text/csv": {
                "schema": {"type": "string"},
                "example": "species,year\nAdelie,2007\nGentoo,2008\n",
            },
        },
    }
}

ProgressId = Annotated[
    str | None,
    Query(
        pattern=ID_PATTERN,
        max_length=64,
        description="Any id of your own: how far it is, is asked at /api/v1/upload/progress/{progress_id}.",
        examples=["upload-1"],
    ),
]


class SheetChoice(BaseModel):
    """Which sheets to import, and how."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"example": {"sheets": ["Visits"], "merge": False}}
    )
    sheets: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(
        min_length=1, max_length=1000, description="Names of sheets, in the order wanted."
    )
    merge: bool = Field(False, description="Put them one below the other into one session.")
    types: dict[str, str] | None = Field(
        None, description="Column -> text, integer, number, boolean, date, datetime or category."
    )


async def _options(
    format: Annotated[
        str | None, Query(description="Instead of what is found out.", examples=["csv"], max_length=20)
    ] = None,
    delimiter: Annotated[
        str | None, Query(min_length=1, max_length=1, description="Between columns of text.", examples=[";"])
    ] = None,
    encoding: Annotated[
        str | None, Query(max_length=40, description="Of text.", examples=["latin-1"])
    ] = None,
    header: Annotated[
        int, Query(ge=-1, le=1000, description="Row with the names, from 0; -1: there is none.")
    ] = 0,
    skip_rows: Annotated[int, Query(ge=0, le=100_000, description="Rows to pass over at the top.")] = 0,
    missing: Annotated[
        list[str], Query(description="Words that mean no value; may repeat.", examples=[["NA"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    types: Annotated[
        str | None,
        Query(
            description="JSON object: column -> text, integer, number, boolean, date, datetime or category.",
            examples=['{"zip": "text"}'],
        ),
    ] = None,
    typing: Annotated[bool, Query(description="False leaves every column as text.")] = True,
    sheet: Annotated[
        list[str], Query(description="Sheets of a workbook; may repeat.", examples=[["Visits"]])
    ] = [],  # noqa: B006 - FastAPI copies it
    merge: Annotated[bool, Query(description="Put the sheets into one table.")] = False,
) -> ImportOptions:
    return ImportOptions(
        format=format,
        delimiter=delimiter,
        encoding=encoding,
        header=None if header < 0 else header,
        skip_rows=skip_rows,
        missing=tuple(missing),
        types=_types(types),
        typing=typing,
        sheets=tuple(sheet) or None,
        merge=merge,
    )


def _types(text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(kind, str) for kind in found.values()):
        raise InvalidInputError('types is a JSON object of column to type, as {"zip": "text"}.')
    return found


@router.post(
    "",
    status_code=201,
    response_model=ImportedSession | ImportedWorkbook,
    openapi_extra=_BODY,
    summary="Upload",
)
async def upload(
    service: Running,
    owner: Caller,
    request: Request,
    response: Response,
    options: Annotated[ImportOptions, Depends(_options)],
    filename: Annotated[
        str | None, Query(max_length=255, description="Of a file that is sent as it is.")
    ] = None,
    ttl_seconds: TTL = None,
    progress_id: ProgressId = None,
    key: IdempotencyKey = None,
) -> ImportedSession | ImportedWorkbook:
    """CSV, TSV, Excel, ODS, Parquet, Arrow, JSON, SPSS, SAS, Stata; packed ones too.

    What the columns became is said with reasons. The table as text, before that, is a version: undo leads to
    it. A workbook with several sheets is answered with their previews: choose with select-sheets.
    """
    progress = Progress(service.progress_path(owner.prefix, progress_id))
    try:
        async with spooled(
            request,
            service.scratch,
            service.threads,
            limit=service.settings.max_upload_size_mb * _MIB,
            variable="MAX_UPLOAD_SIZE_MB",
            on_bytes=progress.received,
        ) as file:
            made = await service.threads.heavy(
                ingest, service, owner, file.path, file.filename, options, progress, ttl_seconds
            )
    except FramekeepError as error:
        await service.threads.quick(progress.failed, error.code, without_tag(str(error)))
        raise
    except Exception:
        await service.threads.quick(progress.failed, "unexpected", "Something unexpected went wrong.")
        raise
    if isinstance(made, ImportedSession):
        response.headers["location"] = f"/api/v1/sessions/{made.session_id}"
        await service.threads.quick(progress.done, {"session_id": made.session_id})
    else:
        response.headers["location"] = f"/api/v1/upload/{made.temp_id}"
        await service.threads.quick(progress.done, {"temp_id": made.temp_id})
    return made


@router.get("/progress/{progress_id}", summary="How far an upload is")
async def progress(
    service: Running,
    owner: Caller,
    progress_id: Annotated[
        str, Path(pattern=ID_PATTERN, max_length=64, description="What was given to the upload.")
    ],
) -> UploadProgress:
    """Bytes received, then how far the reading is, then what came of it. Kept for an hour."""
    path = service.progress_path(owner.prefix, progress_id)
    assert path is not None
    found = await service.threads.quick(progress_files.read, path)
    if found is None:
        raise RequestError(
            404, "no_such_upload", "No upload with this progress_id has begun here in the last hour."
        )
    return UploadProgress.model_validate(found)


@router.get("/{temp_id}", summary="A workbook that waits")
def get(service: Running, owner: Caller, temp_id: TempId) -> ImportedWorkbook:
    """Its sheets with previews of 5 rows."""
    return workbook(service, owner, temp_id)


@router.post("/{temp_id}/select-sheets", status_code=201, summary="Choose sheets")
async def select_sheets(
    service: Running,
    owner: Caller,
    temp_id: TempId,
    body: Annotated[SheetChoice, Body()],
    ttl_seconds: TTL = None,
    key: IdempotencyKey = None,
) -> ImportedSheets:
    """Each sheet becomes a session; merged, they become one. All of them or none."""
    return await service.threads.heavy(
        select, service, owner, temp_id, body.sheets, merge=body.merge, types=body.types, ttl=ttl_seconds
    )


@router.delete("/{temp_id}", status_code=204, summary="Let go of a workbook")
def delete(service: Running, owner: Caller, temp_id: TempId) -> None:
    """Before it expires by itself."""
    workbook(service, owner, temp_id)
    service.manager.delete_temp_storage(temp_id)

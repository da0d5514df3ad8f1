"""Temporary storage: named frames, kept exactly for a while, in Framekeep's own container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from framekeep.errors import TempStorageNotFoundError, UnknownFormatError
from framekeep.frames.wire import pack_frames, unpack_frames
from framekeep.server.answers import Deleted, TemporaryStored
from framekeep.server.asking import Caller, IdempotencyKey, Running, TempId
from framekeep.server.frames import FRAMES
from framekeep.server.negotiation import attachment
from framekeep.server.problems import COMMON, documented
from framekeep.server.spool import Spooled, cleaned, spooled

router = APIRouter(prefix="/api/v1/temporary/{temp_id}", tags=["temporary"], responses=documented(*COMMON))

_BINARY = {"schema": {"type": "string", "format": "binary"}}
TTL = Annotated[
    float | None,
    Query(
        gt=0,
        le=100 * 366 * 86_400,
        allow_inf_nan=False,
        description="Seconds to the expiry; by default TEMP_TTL_SECONDS.",
    ),
]


@router.put(
    "",
    status_code=201,
    summary="Keep frames",
    openapi_extra={"requestBody": {"required": True, "content": {FRAMES: _BINARY}}},
)
async def put(
    service: Running,
    owner: Caller,
    temp_id: TempId,
    request: Request,
    filename: Annotated[str, Query(max_length=255, description="Where they came from.")] = "frames",
    ttl_seconds: TTL = None,
    key: IdempotencyKey = None,
) -> TemporaryStored:
    """Replaces what the id held, in one step."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FRAMES:
        raise UnknownFormatError(
            f"Temporary storage takes {FRAMES}, as framekeep.Client sends it. Uploads of workbooks go to "
            "/api/v1/upload."
        )
    settings = service.settings
    ttl = settings.temp_ttl_seconds if ttl_seconds is None else ttl_seconds
    name = cleaned(filename) or "frames"

    def store(file: Spooled) -> None:
        with file.path.open("rb") as opened:
            frames = unpack_frames(opened, max_bytes=settings.max_frame_bytes, pickle_key=settings.pickle_key)
        service.manager.backend.create_temp_storage(temp_id, frames, name, ttl)

    limit = settings.max_frame_bytes + settings.max_frame_bytes // 8
    async with spooled(
        request, service.scratch, service.threads, limit=limit, variable="MAX_DATAFRAME_SIZE_MB"
    ) as file:
        await service.threads.heavy(store, file)
    return TemporaryStored(temp_id=owner.shown(temp_id), filename=name)


@router.get(
    "",
    response_class=StreamingResponse,
    responses={200: {"content": {FRAMES: _BINARY}}},
    summary="Get frames",
)
async def get(service: Running, temp_id: TempId) -> StreamingResponse:
    """The frames by name, with the file name and the instants in the headers."""
    kept = await service.threads.heavy(service.manager.get_temp_storage, temp_id)
    parts: Iterator[bytes] = pack_frames(kept["sheets"], pickle_key=service.settings.pickle_key)
    return StreamingResponse(
        service.threads.each(parts),
        headers={
            "content-disposition": attachment(kept["filename"]),
            "framekeep-created-at": kept["created_at"].isoformat(),
            "framekeep-expires-at": kept["expires_at"].isoformat(),
        },
        media_type=FRAMES,
    )


@router.delete("", summary="Delete frames")
def delete(service: Running, owner: Caller, temp_id: TempId, key: IdempotencyKey = None) -> Deleted:
    """Before they expire by themselves."""
    if not service.manager.delete_temp_storage(temp_id):
        raise TempStorageNotFoundError(
            f"Temporary storage {owner.shown(temp_id)!r} is unknown, deleted or expired. Nothing was deleted."
        )
    return Deleted()

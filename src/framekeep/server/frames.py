"""Frames in bodies: which media types are taken, and what a body becomes.

The exact container is unpacked here, fully checked; whatever else is read as an uploaded file is, in a child
process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request

from framekeep.errors import UnknownFormatError
from framekeep.frames.wire import unpack
from framekeep.importing import ImportOptions
from framekeep.server.spool import named, spooled

if TYPE_CHECKING:
    from framekeep.server.service import Service

FRAME: Final = "application/vnd.framekeep.frame"
FRAMES: Final = "application/vnd.framekeep.frames"

_IMPORTED: Final = {
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/x-ndjson": "jsonl",
}

_BINARY: Final = {"schema": {"type": "string", "format": "binary"}}
BODY_TYPES: Final[dict[str, Any]] = {
    "text/csv": {"schema": {"type": "string"}, "example": "species,year\nAdelie,2007\nGentoo,2008\n"},
    "application/vnd.apache.arrow.stream": _BINARY,
    "application/vnd.apache.parquet": _BINARY,
    FRAME: _BINARY,
}
BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A frame: an Arrow IPC stream or file, Parquet, CSV, TSV, JSON lines, or Framekeep's "
        "own exact container. Types are found as for uploads.",
        "content": BODY_TYPES,
    }
}


@dataclass(frozen=True, slots=True)
class FrameBody:
    """A body that holds a frame, on disk."""

    _service: Service
    _path: Path
    _kind: str
    _filename: str

    def frame(self) -> Any:
        """Return the frame; heavy work.

        Raises:
            UnreadableFileError: of the kind that says what is wrong with it.
        """
        settings = self._service.settings
        if self._kind == FRAME:
            with self._path.open("rb") as file:
                return unpack(file, max_bytes=settings.max_frame_bytes, pickle_key=settings.pickle_key)
        options = ImportOptions(format=_IMPORTED[self._kind])
        with self._service.importer.read(self._path, self._filename or "body", options) as found:
            return found.tables[0].frame


def shape_of(frame: Any) -> tuple[int, int]:
    """Return rows and columns of a DataFrame or a pyarrow Table."""
    rows, columns = frame.shape
    return int(rows), int(columns)


@asynccontextmanager
async def frame_of(request: Request, service: Service) -> AsyncIterator[FrameBody]:
    """Stream the request's body to disk for the block.

    Raises:
        UnknownFormatError: its Content-Type is none that holds a frame.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != FRAME and kind not in _IMPORTED:
        raise UnknownFormatError(
            f"A body of the type {kind[:80] or '(none)'!r} is no frame. Send one of "
            f"{', '.join([*_IMPORTED, FRAME])} as Content-Type; other files go to /api/v1/upload."
        )
    settings = service.settings
    async with spooled(
        request,
        service.scratch,
        service.threads,
        limit=settings.max_frame_bytes + settings.max_frame_bytes // 8,  # what surrounds the data
        variable="MAX_DATAFRAME_SIZE_MB",
    ) as file:
        yield FrameBody(service, file.path, kind, named(request))

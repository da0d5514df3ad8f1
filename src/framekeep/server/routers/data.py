"""A session's data: a page or all of it, in the form the client wants; and replacing it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from framekeep.exporting import FORMATS, ExportOptions
from framekeep.exporting.labels import resolve_columns
from framekeep.frames.wire import pack
from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.answers import Changed
from framekeep.server.asking import (
    MOST_ROWS,
    Caller,
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Running,
    SessionId,
    VersionParameter,
    version,
)
from framekeep.server.frames import BODY, FRAME, frame_of, shape_of
from framekeep.server.negotiation import attachment, preferred
from framekeep.server.pages import PAGE, PageRoute, answer
from framekeep.server.problems import COMMON, RequestError, documented
from framekeep.server.routers.sessions import Change
from framekeep.server.service import Service

router = APIRouter(prefix="/api/v1/sessions/{session_id}", tags=["data"], responses=documented(*COMMON))

_TYPES = {each.bare_type: name for name, each in FORMATS.items()} | {FRAME: "framekeep"}
_SUFFIXES = {suffix.removeprefix("."): name for name, each in FORMATS.items() for suffix in each.suffixes} | {
    "framekeep": "framekeep"
}
_BEGIN = 256 << 10  # bytes of a file that are made before the answer begins
# What a browser asks for when a user follows a link is a page of JSON, so JSON comes first.
_OFFERED = tuple(_TYPES)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PAGE_EXAMPLE = {
    "columns": [{"name": "species", "dtype": "str"}, {"name": "year", "dtype": "int64"}],
    "rows": [["Adelie", 2007], ["Gentoo", 2008]],
    "offset": 0,
    "limit": 100,
    "total_rows": 2,
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The data.",
        "headers": {"ETag": {"schema": {"type": "string"}, "description": "The revision of the data."}},
        "content": {
            kind: {"schema": {"type": "object"}, "example": _PAGE_EXAMPLE}
            if kind == "application/json"
            else ({"schema": {"type": "string"}} if kind.startswith("text/") else _BINARY)
            for kind in _TYPES
        },
    },
    304: {"description": "Unchanged."},
}

Offset = Annotated[int, Query(ge=0, le=2**53 - 1, description="First row, counted from 0.", examples=[0])]
RowLimit = Annotated[
    int | None,
    Query(
        ge=0,
        le=2**53 - 1,
        description=f"Rows at most. JSON gives {PAGE} unless said otherwise, and up to {MOST_ROWS:,}; the "
        "other forms give all.",
        examples=[100],
    ),
]
Columns = Annotated[
    list[str] | None,
    Query(description="Columns, in this order; may repeat; by default all.", examples=[["species", "year"]]),
]
Orient = Annotated[
    Literal["rows", "records"], Query(description="JSON: each row a list, or an object by column name.")
]
Whole = Annotated[bool, Query(description="JSON: all rows in one document, streamed, instead of a page.")]
Neutralize = Annotated[
    bool,
    Query(description="CSV: put a ' before cells that a spreadsheet would run as a formula."),
]


async def get(
    service: Running,
    session_id: SessionId,
    request: Request,
    offset: Offset = 0,
    limit: RowLimit = None,
    columns: Columns = None,
    at: Annotated[VersionParameter, Query(alias="version")] = "current",
    orient: Orient = "rows",
    whole: Whole = False,
    neutralize_formulas: Neutralize = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """JSON, CSV, TSV, JSON lines, Arrow, Parquet, Excel or the exact container, by `Accept`."""
    kind = preferred(request.headers.get("accept"), _OFFERED)
    if kind is None:
        raise RequestError(
            406, "not_acceptable", f"The data can be sent as {', '.join(_OFFERED)}. Accept one of them."
        )
    asked = _Asked(offset, limit, columns, at, orient, whole, neutralize_formulas)
    return await _answer(service, session_id, _TYPES[kind], asked, if_none_match, download=False)


router.add_api_route(
    "/data",
    get,
    response_class=Response,
    responses=_ANSWERS,
    summary="Read data",
    route_class_override=PageRoute,
)


@router.get("/data.{suffix}", response_class=Response, responses=_ANSWERS, summary="Read data as a file")
async def get_file(
    service: Running,
    session_id: SessionId,
    suffix: Annotated[
        Literal[
            "json",
            "jsonl",
            "ndjson",
            "csv",
            "tsv",
            "arrows",
            "arrow",
            "feather",
            "parquet",
            "xlsx",
            "framekeep",
        ],
        Path(description="The form."),
    ],
    offset: Offset = 0,
    limit: RowLimit = None,
    columns: Columns = None,
    at: Annotated[VersionParameter, Query(alias="version")] = "current",
    orient: Orient = "rows",
    whole: Whole = False,
    neutralize_formulas: Neutralize = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The same, in the form of the suffix, with a file name to be saved under."""
    asked = _Asked(offset, limit, columns, at, orient, whole, neutralize_formulas)
    return await _answer(service, session_id, _SUFFIXES[suffix], asked, if_none_match, download=True)


@router.put("/data", openapi_extra=BODY, summary="Replace data")
async def put(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    request: Request,
    response: Response,
    expected: IfMatch,
    summary: Annotated[
        str | None,
        Query(min_length=1, max_length=1000, description="Makes it a version that can be undone."),
    ] = None,
    max_versions: Annotated[
        int | None, Query(ge=0, le=1000, description="Versions kept at most; by default MAX_VERSIONS.")
    ] = None,
    key: IdempotencyKey = None,
) -> Changed:
    """With `summary`, what was is kept as a version; without, it is replaced."""

    change = Change(service, session_id, expected)

    def store(frame: Any) -> Changed:
        manager, version_id = service.manager, None
        if summary is None:
            change.made(manager.update_dataframe, session_id, frame)
        else:
            version_id = change.made(manager.commit_dataframe, session_id, frame, summary, max_versions)
        return change.answer(owner, version_id, shape_of(frame), response)

    async with frame_of(request, service) as body:
        return await service.threads.heavy(lambda: store(body.frame()))


class _Asked:
    """What of the data is asked for."""

    __slots__ = ("at", "columns", "limit", "neutralize", "offset", "orient", "whole")

    def __init__(
        self,
        offset: int,
        limit: int | None,
        columns: list[str] | None,
        at: str,
        orient: str,
        whole: bool,
        neutralize: bool,
    ) -> None:
        self.offset = offset
        self.limit = limit
        self.columns = columns
        self.at = version(at)
        self.orient = orient
        self.whole = whole
        self.neutralize = neutralize


async def _answer(
    service: Service,
    session_id: str,
    form: str,
    asked: _Asked,
    if_none_match: str | None,
    *,
    download: bool,
) -> Response:
    manager, threads = service.manager, service.threads
    if if_none_match is not None:
        now = await threads.quick(manager.revision, session_id)
        if (same := conditions.not_modified(if_none_match, now)) is not None:
            return same
    if form == "json" and not asked.whole:
        if asked.limit is not None and asked.limit > MOST_ROWS:
            raise RequestError(
                422,
                "invalid_request",
                f"query.limit: a page has at most {MOST_ROWS:,} rows. Ask for several, or for ?whole=true.",
            )
        revision, body = await threads.quick(
            manager.get_page_json,
            session_id,
            asked.offset,
            PAGE if asked.limit is None else asked.limit,
            asked.columns,
            version=asked.at,
            orient=asked.orient,
        )
        made = answer(revision, body)
        if download:
            made.headers["content-disposition"] = await _named(service, session_id, ".json")
        return made
    revision, kind, suffix, begin, rest = await threads.heavy(_begun, service, session_id, form, asked)
    headers = {"cache-control": "no-cache", "vary": "accept", "etag": conditions.etag(revision)}
    if download:
        headers["content-disposition"] = await _named(service, session_id, suffix)
    if rest is None:
        return Response(begin, headers=headers, media_type=kind)

    async def body_parts() -> Any:
        yield begin
        async for part in threads.each(rest):
            yield part

    return StreamingResponse(body_parts(), headers=headers, media_type=kind)


def _begun(
    service: Service, session_id: str, form: str, asked: _Asked
) -> tuple[Revision, str, str, bytes, Iterator[bytes] | None]:
    """Return the revision, media type and suffix of the file, its begin, and the rest; None for a small file.

    What fails, fails before the answer begins, and a small file takes its turn among the heavy work once.
    """
    revision, parts, kind, suffix = _parts(service, session_id, form, asked)
    begin = bytearray()
    for part in parts:
        begin += part
        if len(begin) >= _BEGIN:
            return revision, kind, suffix, bytes(begin), parts
    return revision, kind, suffix, bytes(begin), None


def _parts(
    service: Service, session_id: str, form: str, asked: _Asked
) -> tuple[Revision, Iterator[bytes], str, str]:
    """Return the revision, the parts of the file, its media type and its suffix."""
    manager = service.manager
    if form == "framekeep":
        revision = manager.revision(session_id)
        if asked.columns is None and not asked.offset and asked.limit is None:
            frame = manager.get_dataframe(session_id, version=asked.at)
        else:
            frame = manager.get_page(
                session_id,
                asked.offset,
                2**53 - 1 if asked.limit is None else asked.limit,
                _labels(service, session_id, asked),
                version=asked.at,
            )
        return revision, pack(frame, pickle_key=service.settings.pickle_key), FRAME, ".framekeep"
    revision, parts = manager.export(
        session_id,
        form,
        offset=asked.offset,
        limit=asked.limit,
        columns=asked.columns,
        version=asked.at,
        options=ExportOptions(neutralize_formulas=asked.neutralize, orient=asked.orient),
    )
    found = FORMATS[form]
    return revision, parts, found.media_type, found.suffixes[0]


def _labels(service: Service, session_id: str, asked: _Asked) -> list[Any] | None:
    """Return the labels that the names of columns mean."""
    if asked.columns is None:
        return None
    labels = service.manager.get_page(session_id, 0, 0, version=asked.at).columns
    return list(dict.fromkeys(labels[i] for i in resolve_columns(labels.tolist(), asked.columns)))


async def _named(service: Service, session_id: str, suffix: str) -> str:
    """Return the Content-Disposition that names the file after where the data came from."""
    facts = await service.threads.quick(service.manager.get_metadata, session_id)
    return attachment(_filename(facts["filename"], suffix))


def _filename(source: str, suffix: str) -> str:
    stem = PurePath(source.replace("\\", "/")).name
    while PurePath(stem).suffix and len(PurePath(stem).suffix) <= 8:
        stem = PurePath(stem).stem
    return (stem or "data") + suffix

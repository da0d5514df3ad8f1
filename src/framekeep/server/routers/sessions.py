"""Sessions: create from a frame, list, look at, change metadata, delete, keep alive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from framekeep.errors import ConflictError, SessionNotFoundError
from framekeep.exporting.labels import label_text
from framekeep.manager import DataManager
from framekeep.names import Revision
from framekeep.server import conditions
from framekeep.server.access import Owner
from framekeep.server.answers import (
    Changed,
    Checked,
    Column,
    Damage,
    Deleted,
    SessionFacts,
    SessionList,
)
from framekeep.server.asking import Caller, IdempotencyKey, IfMatch, Running, SessionId
from framekeep.server.frames import BODY, frame_of, shape_of
from framekeep.server.problems import COMMON, documented
from framekeep.server.service import Service
from framekeep.server.spool import cleaned
from framekeep.server.unicode import unicode
from framekeep.sessions import Told

T = TypeVar("T")

router = APIRouter(prefix="/api/v1/sessions", tags=["sessions"], responses=documented(*COMMON))

TTL = Annotated[
    float | None,
    Query(
        gt=0,
        le=100 * 366 * 86_400,
        allow_inf_nan=False,
        description="Seconds from an access to the expiry; by default REDIS_SESSION_TTL_SECONDS.",
        examples=[3600],
    ),
]
Filename = Annotated[
    str | None,
    Query(max_length=255, description="Where the data came from.", examples=["penguins.csv"]),
]
_FIXED = {
    "session_id",
    "filename",
    "created_at",
    "last_accessed",
    "expires_at",
    "shape",
    "columns",
    "dtypes",
    "bytes",
    "current_version",
}


class MetadataPatch(BaseModel):
    """Metadata to merge."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"metadata": {"study": "A-17"}}})
    metadata: dict[str, Any] = Field(description="JSON values under names of the caller's own; merged.")

    @field_validator("metadata")
    @classmethod
    def _unicode(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        except UnicodeEncodeError:
            raise ValueError("a text holds half of a surrogate pair, which is no Unicode") from None
        return value


def facts(
    manager: DataManager, owner: Owner, session_id: str, *, touch: bool, told: Told | None = None
) -> SessionFacts:
    """Return what is known of a session; ``told`` hears which state of its data that is."""
    found = manager.get_metadata(session_id, touch=touch, on_revision=told)
    dtypes = found["dtypes"]
    names = [label_text(label) for label in found["columns"]]
    kinds = list(dtypes.values()) if isinstance(dtypes, dict) else list(dtypes)
    return SessionFacts(
        session_id=owner.shown(session_id),
        columns=[Column(name=name, dtype=str(kind)) for name, kind in zip(names, kinds, strict=True)],
        plain_names=plain(found["columns"]),
        metadata={key: value for key, value in found.items() if key not in _FIXED},
        **{key: found[key] for key in _FIXED - {"session_id", "columns", "dtypes"}},
    )


def plain(labels: Iterable[Any]) -> bool:
    """Say whether every label of a column is the text that stands for it."""
    return all(type(label) is str and unicode(label) == label for label in labels)


class Change:
    """One change of a session's data, on its way from a verb to an answer.

    Args:
        service: whose sessions.
        session_id: which.
        expected: what If-Match asked for.
    """

    def __init__(self, service: Service, session_id: str, expected: Revision | None = None) -> None:
        self.manager = service.manager
        self.session_id = session_id
        self.expected = expected
        self._revision: Revision | None = None

    def made(self, verb: Callable[..., T], /, *args: Any) -> T:
        """Call a verb that takes ``expected_revision`` and ``on_revision``.

        Raises:
            RequestError: 412, If-Match did not hold.
        """
        try:
            return verb(*args, expected_revision=self.expected, on_revision=self.led_to)
        except ConflictError as error:
            raise self.conflict(error) from error

    def led_to(self, revision: Revision) -> None:
        """Take the revision that the change led to."""
        self._revision = revision

    def conflict(self, error: ConflictError) -> Exception:
        """Return the error of a conflict: a 412 that says what changed, if there was an If-Match."""
        return error if self.expected is None else conditions.failed(self.manager, self.session_id, error)

    def tag(self, response: Response) -> str:
        """Set the ETag of the state that the change led to, and return it."""
        assert self._revision is not None
        response.headers["etag"] = tag = conditions.etag(self._revision)
        return tag

    def answer(
        self, owner: Owner, version_id: int | None, shape: tuple[int, int], response: Response
    ) -> Changed:
        """Return what became of the data, and set its ETag."""
        return Changed(
            session_id=owner.shown(self.session_id),
            etag=self.tag(response),
            version_id=version_id,
            shape=shape,
        )


@router.post("", status_code=201, summary="Create a session from a frame", openapi_extra=BODY)
async def create(
    service: Running,
    owner: Caller,
    request: Request,
    response: Response,
    filename: Filename = None,
    ttl_seconds: TTL = None,
    key: IdempotencyKey = None,
) -> Changed:
    """Keep a frame in a new session with an unguessable id."""
    session_id = owner.stored(service.new_id())
    return await _create(service, owner, request, response, session_id, filename, ttl_seconds)


@router.put("/{session_id}", status_code=201, summary="Create a session under an id", openapi_extra=BODY)
async def create_as(
    service: Running,
    owner: Caller,
    request: Request,
    response: Response,
    session_id: SessionId,
    filename: Filename = None,
    ttl_seconds: TTL = None,
    key: IdempotencyKey = None,
) -> Changed:
    """Keep a frame in a new session whose id the caller chooses; 409 if it is taken."""
    return await _create(service, owner, request, response, session_id, filename, ttl_seconds)


async def _create(
    service: Service,
    owner: Owner,
    request: Request,
    response: Response,
    session_id: str,
    filename: str | None,
    ttl_seconds: float | None,
) -> Changed:
    ttl = service.settings.redis_session_ttl_seconds if ttl_seconds is None else ttl_seconds

    def store(frame: Any) -> Changed:
        change = Change(service, session_id)
        service.manager.backend.create_session(
            session_id, frame, cleaned(filename or "") or "dataframe", ttl, on_revision=change.led_to
        )
        return change.answer(owner, None, shape_of(frame), response)

    async with frame_of(request, service) as body:
        made = await service.threads.heavy(lambda: store(body.frame()))
    response.headers["location"] = f"/api/v1/sessions/{made.session_id}"
    return made


@router.get("", summary="List sessions")
def listing(
    service: Running,
    owner: Caller,
    limit: Annotated[int, Query(ge=0, le=1000, description="Sessions of a page.", examples=[100])] = 100,
    cursor: Annotated[
        str | None, Query(max_length=128, description="`next_cursor` of the page before.")
    ] = None,
) -> SessionList:
    """The caller's live sessions, by id. Listing does not keep them alive."""
    manager = service.manager
    if limit == 0:
        total = manager.get_active_sessions_count(prefix=owner.prefix)
        return SessionList(sessions=[], total=total, next_cursor=None)
    ids = manager.list_sessions(prefix=owner.prefix)
    after = [id for id in ids if owner.shown(id) > cursor] if cursor else ids
    page = []
    for id in after[:limit]:
        try:
            page.append(facts(manager, owner, id, touch=False))
        except SessionNotFoundError:
            continue  # it expired in between
    more = len(after) > limit
    return SessionList(
        sessions=page, total=len(ids), next_cursor=owner.shown(after[limit - 1]) if more else None
    )


@router.get("/{session_id}", summary="What is known of a session")
def get(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    response: Response,
    touch: Annotated[bool, Query(description="Whether that keeps the session alive.")] = True,
) -> SessionFacts:
    """Without loading its frame. The ETag names the state of the data, for If-Match."""

    def told(revision: Revision) -> None:
        response.headers["etag"] = conditions.etag(revision)

    return facts(service.manager, owner, session_id, touch=touch, told=told)


@router.patch("/{session_id}", summary="Change metadata")
def patch(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    body: Annotated[MetadataPatch, Body()],
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> SessionFacts:
    """Merge the caller's own values; keys that are there already are replaced."""
    try:
        service.manager.update_metadata(session_id, body.metadata, expected_revision=expected)
    except ConflictError as error:
        raise Change(service, session_id, expected).conflict(error) from error
    return facts(service.manager, owner, session_id, touch=True)


@router.delete("/{session_id}", summary="Delete a session")
def delete(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    expected: IfMatch,
    key: IdempotencyKey = None,
) -> Deleted:
    """With all it holds: data, versions, marks and the audit log."""
    change = Change(service, session_id, expected)
    try:
        deleted = service.manager.delete_session(session_id, expected_revision=expected)
    except ConflictError as error:
        raise change.conflict(error) from error
    if not deleted:
        raise SessionNotFoundError(
            f"Session {owner.shown(session_id)!r} is unknown, deleted or expired. Nothing was deleted."
        )
    return Deleted()


@router.post("/{session_id}/touch", summary="Keep a session alive")
def touch(
    service: Running,
    owner: Caller,
    session_id: SessionId,
    ttl_seconds: TTL = None,
    key: IdempotencyKey = None,
) -> SessionFacts:
    """Make `ttl_seconds` its time to live, counted from now."""
    service.manager.touch_session(session_id, ttl_seconds)
    return facts(service.manager, owner, session_id, touch=True)


@router.get("/{session_id}/check", summary="Check a session")
async def verify(service: Running, session_id: SessionId) -> Checked:
    """Compare every stored part, versions included, with its name. Does not keep the session alive."""
    found = await service.threads.heavy(service.manager.check, session_id)
    return Checked(damage=[Damage(where=each.where, problem=each.problem) for each in found])

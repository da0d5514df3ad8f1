"""JSON bodies that may be large: parsed and checked in a thread, so that the event loop goes on meanwhile.

FastAPI does both on the event loop: a hundred thousand cells would keep every other request waiting.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from framekeep.server.asking import Running
from framekeep.server.problems import RequestError

M = TypeVar("M", bound=BaseModel)

_ON_THE_LOOP = 16 << 10  # bytes that are read in place: a millisecond

_PLACE = re.compile(r"line ([0-9]+) column ([0-9]+)")

LARGE: dict[str, type[BaseModel]] = {}
"""The models of such bodies by name, for the OpenAPI document."""


def body_of(model: type[M]) -> Callable[[Request, Any], Awaitable[M]]:
    """Return a dependency that gives the body as a model.

    It raises RequestError (400, no JSON) and RequestValidationError (JSON of another form).
    """

    async def body(request: Request, service: Running) -> M:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise RequestError(
                415, "not_json", "Send a JSON body, with application/json as its Content-Type."
            )
        sent = await request.body()
        if len(sent) <= _ON_THE_LOOP:
            return read(model, sent)
        return await service.threads.heavy(read, model, sent)

    return body


def read(model: type[M], body: bytes) -> M:
    """Return the model that a JSON document is.

    Raises:
        RequestError: 400, it is none.
        RequestValidationError: it is of another form.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        place = _PLACE.search(str(error))
        where = f" from line {place[1]}, column {place[2]} on" if place else ""
        raise RequestError(400, "malformed_json", f"The body is no JSON{where}.") from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def documented_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the ``openapi_extra`` of an endpoint with such a body."""
    LARGE[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

"""The OpenAPI document: every endpoint says what it does, with examples, and what may go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from fastapi import FastAPI
from serving import Endpoint

from framekeep.config import Settings
from framekeep.server import create_app
from framekeep.server.problems import MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/Problem"}
METHODS = ("get", "post", "put", "patch", "delete")


def application() -> FastAPI:
    return create_app(Settings(_env_file=None))


DOCUMENT: dict[str, Any] = application().openapi()

OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method.upper()} {path}")
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]
UNDER_API = [each for each in OPERATIONS if str(each.values[0]).startswith("/api/")]
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

every_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema, or the one that it refers to."""
    reference = schema.get("$ref")
    return schema if reference is None else resolved(SCHEMAS[reference.rpartition("/")[2]])


def with_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": DOCUMENT["components"]}


def examples_of(schema: dict[str, Any]) -> Iterator[Any]:
    """Yield the examples of a schema, or of its alternatives."""
    if "example" in schema:
        yield schema["example"]
    yield from schema.get("examples", [])
    for key in ("anyOf", "oneOf"):
        for each in schema.get(key, []):
            yield from examples_of(resolved(each))


def media_examples(content: dict[str, Any]) -> list[Any]:
    """Return the examples of a body of one media type."""
    found = [content["example"]] if "example" in content else []
    found += [each["value"] for each in content.get("examples", {}).values()]
    return found + list(examples_of(resolved(content.get("schema", {}))))


# --- words ----------------------------------------------------------------------------------------


@every_operation
def test_every_endpoint_says_what_it_does(path: str, method: str, operation: dict[str, Any]) -> None:
    assert method in METHODS
    assert operation["summary"].strip()
    assert len(operation["description"].strip()) > 20
    assert not operation["summary"].endswith(".")
    assert operation["description"].rstrip().endswith(".")


@every_operation
def test_every_endpoint_has_one_tag(path: str, method: str, operation: dict[str, Any]) -> None:
    assert len(operation["tags"]) == 1
    assert operation["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"]]


def test_names_of_endpoints_are_unique_and_fit_for_code() -> None:
    names = [each.values[2]["operationId"] for each in OPERATIONS]
    assert sorted(names) == sorted(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


@every_operation
def test_every_parameter_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    assert [
        each["name"]
        for each in operation.get("parameters", [])
        if not (each.get("description") or each["schema"].get("description"))
    ] == []


@every_operation
def test_examples_of_parameters_fit_their_schema(path: str, method: str, operation: dict[str, Any]) -> None:
    for each in operation.get("parameters", []):
        validator = jsonschema_rs.validator_for(with_definitions(each["schema"]))
        for example in [*each["schema"].get("examples", []), *each.get("examples", {}).values()]:
            assert validator.is_valid(example), (each["name"], example)


# --- bodies ---------------------------------------------------------------------------------------


@every_operation
def test_what_is_sent_has_examples_that_fit(path: str, method: str, operation: dict[str, Any]) -> None:
    for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
        if kind == "application/json" or kind.startswith("text/"):
            examples = media_examples(content)
            assert examples, kind
            validator = jsonschema_rs.validator_for(with_definitions(content["schema"]))
            assert [each for each in examples if not validator.is_valid(each)] == []


@every_operation
def test_what_is_answered_has_examples_that_fit(path: str, method: str, operation: dict[str, Any]) -> None:
    good = [answer for status, answer in operation["responses"].items() if status[0] == "2"]
    assert len(good) == 1
    for kind, content in good[0].get("content", {}).items():
        if kind == "application/json":
            examples = media_examples(content)
            assert examples, kind
            validator = jsonschema_rs.validator_for(with_definitions(content["schema"]))
            assert [each for each in examples if not validator.is_valid(each)] == []


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_described(name: str) -> None:
    assert SCHEMAS[name].get("description"), name


# --- what may go wrong ----------------------------------------------------------------------------


@every_operation
def test_every_error_is_a_problem(path: str, method: str, operation: dict[str, Any]) -> None:
    errors = {status: answer for status, answer in operation["responses"].items() if status[0] in "45"}
    assert {"405", "500", "503"} <= errors.keys()
    for answer in errors.values():
        assert answer["content"][MEDIA_TYPE]["schema"] == PROBLEM
        assert answer["description"]


@pytest.mark.parametrize(("path", "method", "operation"), UNDER_API)
def test_every_endpoint_under_api_may_ask_who_is_there(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert operation["security"] == [{"API key": []}]
    assert {"401", "404", "422"} <= operation["responses"].keys()


@every_operation
def test_a_condition_that_may_fail_is_documented(path: str, method: str, operation: dict[str, Any]) -> None:
    names = {each["name"].lower() for each in operation.get("parameters", [])}
    assert "if-match" not in names or "412" in operation["responses"]
    assert "if-none-match" not in names or "304" in operation["responses"]


@every_operation
def test_every_post_takes_an_idempotency_key(path: str, method: str, operation: dict[str, Any]) -> None:
    names = {each["name"].lower() for each in operation.get("parameters", [])}
    assert method != "post" or "idempotency-key" in names


def test_nothing_refers_to_the_errors_of_the_framework() -> None:
    text = json.dumps(DOCUMENT)
    assert "HTTPValidationError" not in text
    assert '"ValidationError"' not in text


def test_the_problem_says_what_the_standard_asks_for() -> None:
    assert {"type", "title", "status", "detail"} <= SCHEMAS["Problem"]["properties"].keys()
    assert set(SCHEMAS["Problem"]["required"]) >= {
        "title",
        "status",
        "detail",
        "code",
        "retryable",
        "request_id",
    }


# --- the document and the service -----------------------------------------------------------------


def test_the_service_serves_the_document(http: httpx2.Client) -> None:
    served = http.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json()["paths"].keys() == DOCUMENT["paths"].keys()


def test_the_document_is_of_openapi_3_1_and_says_its_licence() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["license"]["identifier"] == "MIT"
    assert "ETag" in DOCUMENT["info"]["description"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_about_the_document_are_served(http: httpx2.Client, page: str) -> None:
    answer = http.get(page)
    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text


def test_examples_of_bodies_are_understood(own: Endpoint) -> None:
    """What a newcomer copies from the documentation is never refused for its form."""
    base = "/api/v1/sessions/{session_id}"
    tried = 0
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {"content": {}})["content"].get("application/json")
            if content is None or not path.startswith(base):
                continue
            for example in media_examples(content):
                answer = own(method.upper(), path.removeprefix(base), json=example, params={"name": "age"})
                code = answer.json().get("code", "")
                assert code not in ("invalid_request", "malformed_json"), (path, example, answer.text)
                tried += 1
    assert tried >= 6

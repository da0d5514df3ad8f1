"""Cases made from the OpenAPI document: no 5xx, no undocumented status, nothing against its schemas."""

from __future__ import annotations

import re
from collections import Counter
from itertools import count
from typing import Any

import pandas as pd
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from serving import Served, new_session

from framekeep.config import Settings
from framekeep.frames import FRAME_TYPE, FRAMES_TYPE
from framekeep.names import new_id
from framekeep.server import create_app

FORM = ("invalid_request", "malformed_json", "malformed_header", "malformed_form", "method_not_allowed")
"""Codes of what is refused for its form, which the document describes."""

ETAG = re.compile(r'\*|"[0-9a-f]{32}"')
KEY = re.compile(r"[!-~]{1,255}")
CREATION = "PUT /api/v1/sessions/{session_id}"
LEAST = 2000
"""Cases that the long form has at least."""

ran: Counter[str] = Counter()


# The body is what was drawn: any bytes, nearly none of which are a frame.
@schemathesis.serializer(
    FRAME_TYPE, FRAMES_TYPE, "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
)
def as_it_is(ctx: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def document(*phases: str) -> Any:
    """Return the document, of which cases are made in these phases."""
    schema = schemathesis.openapi.from_dict(create_app(Settings(_env_file=None)).openapi())
    schema.config.phases.update(phases=list(phases))
    refused = schema.config.checks.negative_data_rejection
    # What is too large is refused before it is looked at, and an If-Match that no state ever had does not
    # hold: to Schemathesis, both are no refusals.
    refused.expected_statuses = [*refused.expected_statuses, "412", "413"]
    return schema


def refused_for_its_meaning_only(ctx: Any, response: Any, case: Any) -> None:
    """Check that what fits the document is not refused for its form.

    In place of Schemathesis' positive_data_acceptance, which asks for success: whether a frame has a column,
    whether a state is current, and whether bytes are a table, is in no schema.
    """
    if case.meta.generation.mode.is_positive and 400 <= response.status_code < 500:
        problem = response.json()
        # Rules about several members at once ("where or rows") are said in words.
        rules = all(each["type"] == "value_error" for each in problem.get("errors", ()))
        fits = problem["code"] not in FORM or (problem["code"] == "invalid_request" and rules)
        assert fits, f"what fits the document is refused for its form: {response.text[:500]}"


class Caller:
    """Sends cases to a service as somebody who has sessions there."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._http = served.client()
        self._number = count()
        self._frame = pd.DataFrame({"id": ["00501", "10001", "94105"], "age": [34.0, None, 210.0]})
        self._session = requests.Session()
        self._session.trust_env = False

    def send(self, case: schemathesis.Case) -> None:
        """Send a case, and check the answer with all checks."""
        self._fill(case)
        headers = {"Authorization": f"Bearer {self._served.key}"}
        case.call_and_validate(
            base_url=self._served.url,
            session=self._session,
            headers=headers,
            additional_checks=[refused_for_its_meaning_only],
            excluded_checks=excluded(case),
        )
        ran[case.operation.label] += 1

    def _fill(self, case: schemathesis.Case) -> None:
        mend_headers(case)
        # Three of four are about a session that is there; of a drawn id it never is.
        if (
            "session_id" in case.path_parameters
            and case.operation.label != CREATION
            and positive(case, ParameterLocation.PATH)
            and next(self._number) % 4
        ):
            case.path_parameters["session_id"] = new_session(self._http, self._frame)


def positive(case: schemathesis.Case, where: ParameterLocation) -> bool:
    """Say whether this part of a case fits the document."""
    component = case.meta.components.get(where)
    return component is None or bool(component.mode.is_positive)


def excluded(case: schemathesis.Case) -> list[Any]:
    """Return the checks that do not go for a case."""
    # A body that is a file cannot violate its schema, which says that it is text or bytes: all are.
    file = case.media_type is not None and not case.media_type.endswith("json")
    if file and not positive(case, ParameterLocation.BODY):
        return [positive_data_acceptance, negative_data_rejection]
    return [positive_data_acceptance]


def mend_headers(case: schemathesis.Case) -> None:
    """Put in what cannot be made of the document."""
    key = case.headers.get("Idempotency-Key")
    if key is not None and KEY.fullmatch(key):  # a key in two cases would, rightly, be refused in one
        case.headers["Idempotency-Key"] = new_id()
    tag = case.headers.get("If-Match")
    if tag is not None and not ETAG.fullmatch(tag) and positive(case, ParameterLocation.HEADER):
        case.headers["If-Match"] = "*"  # optional headers are drawn without a look at their pattern


@pytest.fixture(scope="session")
def caller(guarded: Served) -> Caller:
    return Caller(guarded)


few = document("examples", "fuzzing")
many = document("examples", "coverage", "fuzzing")


def examples(number: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=number,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@few.parametrize()
@examples(5, derandomize=True)
def test_an_operation(case: schemathesis.Case, caller: Caller) -> None:
    caller.send(case)


@pytest.mark.long
@many.parametrize()
@examples(60, derandomize=False)
def test_an_operation_at_length(case: schemathesis.Case, caller: Caller) -> None:
    caller.send(case)


@pytest.mark.long
def test_there_were_many_cases() -> None:
    if len(ran - Counter(["linked"])) < len(list(many.get_all_operations())):
        pytest.skip("not all operations were tried")
    print(f"{ran.total()} cases of {len(ran)} operations")
    assert ran.total() >= LEAST


@pytest.mark.long
def test_one_thing_leads_to_another(guarded: Served) -> None:
    """Follow the links between operations: what one answers is what the next is asked for."""
    machine: Any = document("stateful").as_state_machine()

    class Machine(machine):  # type: ignore[misc]
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"base_url": guarded.url, "headers": {"Authorization": f"Bearer {guarded.key}"}}

        def before_call(self, case: schemathesis.Case) -> None:
            mend_headers(case)

        def validate_response(
            self, response: Any, case: schemathesis.Case, additional_checks: Any = None, **transport: Any
        ) -> None:
            ran["linked"] += 1
            case.validate_response(
                response,
                additional_checks=[refused_for_its_meaning_only],
                excluded_checks=excluded(case),
                transport_kwargs=transport,
                recorder=self.recorder,
            )

    run_state_machine_as_test(
        Machine, settings=settings(examples(50, derandomize=False), stateful_step_count=20)
    )
    print(f"{ran['linked']} linked cases")
    assert ran["linked"] > 100

"""Profiles of columns."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pandas as pd
import pytest
from serving import Endpoint, new_session


def profiles(own: Endpoint, **query: Any) -> list[dict[str, Any]]:
    answer = own.get("/profile", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["profiles"])


def test_every_column_has_a_profile(own: Endpoint) -> None:
    id, age = profiles(own)
    assert (id["count"], id["missing"], age["count"], age["missing"]) == (3, 0, 2, 1)
    assert (age["min"], age["max"], age["mean"]) == (34.0, 210.0, 122.0)


def test_columns_can_be_chosen(own: Endpoint) -> None:
    assert len(profiles(own, columns=["age"])) == 1


def test_a_profile_is_of_the_version_that_is_asked_for(own: Endpoint) -> None:
    own.put(pd.DataFrame({"age": [1.0]}), summary="One")
    assert [each["count"] for each in profiles(own)] == [1]
    assert [each["count"] for each in profiles(own, version=1)] == [3, 2]


def test_a_changed_column_has_another_profile(own: Endpoint) -> None:
    assert profiles(own, columns=["age"])[0]["max"] == 210.0
    own.put(pd.DataFrame({"age": [1.0, 2.0]}))
    assert profiles(own, columns=["age"])[0]["max"] == 2.0


def test_bins_and_top_values_are_as_many_as_asked_for(http: httpx2.Client) -> None:
    own = Endpoint(http, new_session(http, pd.DataFrame({"n": [1.5, 2.5, 2.5, 4.0] * 10})))
    (profile,) = profiles(own, bins=3, top=2)
    assert len(profile["histogram"]["counts"]) == 3
    assert [each["value"] for each in profile["top"]][:1] == [2.5]
    assert len(profile["top"]) == 2


def test_profiles_of_odd_columns_are_json(http: httpx2.Client) -> None:
    frame = pd.DataFrame(
        {
            "odd": pd.Series([b"\xff", 2**70, "\ud800", float("inf"), (1, 2), None], dtype=object),
            "nothing": pd.Series([None] * 6, dtype=object),
            "inf": [float("inf"), float("-inf"), float("nan"), 0.0, 1.0, -1.0],
            "large": [2**63 - 1, -(2**63), 0, 1, 2, 3],
            "at": pd.to_datetime(["2026-01-01"] * 5 + [None]).tz_localize("Asia/Tokyo"),
            "flag": pd.array([True, False, None, True, True, True], "boolean"),
            "kind": pd.Categorical(["a", "b", None, "a", "a", "a"]),
            "text": ["", " ", "\x00", "表", "x" * 10_000, "y"],
        }
    )
    text = Endpoint(http, new_session(http, frame)).get("/profile").text
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))["profiles"]
    assert len(found) == 8


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=range(3))])
def test_frames_of_nothing_have_profiles(http: httpx2.Client, frame: pd.DataFrame) -> None:
    assert len(profiles(Endpoint(http, new_session(http, frame)))) == frame.shape[1]


@pytest.mark.parametrize(
    "query", [{"bins": 0}, {"bins": 201}, {"bins": "x"}, {"top": -1}, {"top": 101}, {"version": "x"}], ids=str
)
def test_wrong_parameters_are_refused(own: Endpoint, query: dict[str, Any]) -> None:
    assert own.get("/profile", params=query).status_code == 422


def test_a_column_that_is_not_there_is_refused_by_name(own: Endpoint) -> None:
    refused = own.get("/profile", params={"columns": ["height"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_column")


def test_a_version_that_is_not_there_is_a_404(own: Endpoint) -> None:
    assert own.get("/profile", params={"version": 7}).json()["code"] == "version_not_found"


def test_a_profile_has_the_state_of_the_data_as_its_tag(own: Endpoint) -> None:
    assert own.get("/profile").headers["etag"] == own.etag()


def test_names_that_are_no_unicode_are_shown_as_such(http: httpx2.Client) -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.Index(["\ud800", ("a", 1)], dtype=object, tupleize_cols=False))
    found = profiles(Endpoint(http, new_session(http, frame)))
    assert [each["name"] for each in found] == ["\ufffd", "('a', 1)"]

"""Temporary storage: named frames, kept exactly for a while."""

from __future__ import annotations

from datetime import datetime

import httpx2
import pandas as pd
import pytest
from serving import SESSIONS, body_of

from framekeep.frames import FRAME_TYPE, FRAMES_TYPE, pack_frames, unpack_frames
from framekeep.names import new_id

HEADERS = {"content-type": FRAMES_TYPE}


@pytest.fixture
def path() -> str:
    return f"/api/v1/temporary/{new_id()}"


@pytest.fixture
def sheets(people: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        "People": people,
        "Größen": pd.DataFrame({"cm": [180, 175]}, index=["a", "b"]),
        "": pd.DataFrame(),
    }


def packed(sheets: dict[str, pd.DataFrame]) -> bytes:
    return b"".join(pack_frames(sheets))


def test_frames_come_back_exactly_by_name(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    kept = http.put(path, content=packed(sheets), headers=HEADERS)
    assert (kept.status_code, kept.json()["temp_id"]) == (201, path.rpartition("/")[2])
    answer = http.get(path)
    assert answer.headers["content-type"] == FRAMES_TYPE
    found = unpack_frames(answer.content)
    assert list(found) == list(sheets)
    for name, sheet in sheets.items():
        pd.testing.assert_frame_equal(found[name], sheet)


def test_the_file_name_and_the_instants_are_in_the_headers(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    query = {"filename": "Größen.xlsx", "ttl_seconds": 60}
    assert (
        http.put(path, content=packed(sheets), headers=HEADERS, params=query).json()["filename"]
        == "Größen.xlsx"
    )
    headers = http.get(path).headers
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fen.xlsx" in headers["content-disposition"]
    created, expires = (
        datetime.fromisoformat(headers[f"framekeep-{each}-at"]) for each in ("created", "expires")
    )
    assert (expires - created).total_seconds() == pytest.approx(60, abs=1)


def test_what_the_id_held_is_replaced(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    http.put(path, content=packed(sheets), headers=HEADERS)
    http.put(path, content=packed({"only": sheets["People"]}), headers=HEADERS)
    assert list(unpack_frames(http.get(path).content)) == ["only"]


def test_frames_can_be_deleted(http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]) -> None:
    http.put(path, content=packed(sheets), headers=HEADERS)
    assert http.delete(path).json() == {"deleted": True}
    again = http.delete(path)
    assert (again.status_code, again.json()["code"]) == (404, "temp_storage_not_found")


def test_frames_that_are_not_there_are_a_404_that_names_them(http: httpx2.Client) -> None:
    missing = http.get("/api/v1/temporary/nothing-here")
    assert (missing.status_code, missing.json()["code"]) == (404, "temp_storage_not_found")
    assert "nothing-here" in missing.json()["detail"]


@pytest.mark.parametrize("kind", ["text/csv", FRAME_TYPE, "application/json", ""])
def test_other_types_are_refused(http: httpx2.Client, path: str, kind: str) -> None:
    refused = http.put(path, content=b"a\n1\n", headers={"content-type": kind})
    assert (refused.status_code, refused.json()["code"]) == (415, "unknown_format")


def test_a_container_of_one_frame_is_none_of_frames(
    http: httpx2.Client, path: str, people: pd.DataFrame
) -> None:
    refused = http.put(path, content=body_of(people), headers=HEADERS)
    assert refused.status_code in (415, 422), refused.text
    assert http.get(path).status_code == 404


def test_a_container_that_is_cut_short_is_refused_and_what_was_stays(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    http.put(path, content=packed(sheets), headers=HEADERS)
    refused = http.put(path, content=packed(sheets)[:-1], headers=HEADERS)
    assert refused.status_code == 422, refused.text
    assert list(unpack_frames(http.get(path).content)) == list(sheets)


@pytest.mark.parametrize("id", ["a..b", "-x", "x" * 129])
def test_a_malformed_id_is_refused(http: httpx2.Client, sheets: dict[str, pd.DataFrame], id: str) -> None:
    refused = http.put(f"/api/v1/temporary/{id}", content=packed(sheets), headers=HEADERS)
    assert refused.status_code == 422, refused.text


def test_a_file_name_is_kept_without_directories(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    answer = http.put(
        path, content=packed(sheets), headers=HEADERS, params={"filename": "../../etc/x\n.xlsx"}
    )
    assert answer.json()["filename"] == "x.xlsx"


def test_temporary_storages_are_no_sessions(
    http: httpx2.Client, path: str, sheets: dict[str, pd.DataFrame]
) -> None:
    http.put(path, content=packed(sheets), headers=HEADERS)
    assert http.get(f"{SESSIONS}/{path.rpartition('/')[2]}").status_code == 404

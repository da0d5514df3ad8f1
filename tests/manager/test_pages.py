"""Pages as JSON: the rows that were asked for, of one state, and nothing that is out of date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.config import Settings
from framekeep.errors import (
    InvalidInputError,
    SessionNotFoundError,
    UnknownColumnError,
    VersionNotFoundError,
)
from framekeep.manager import DataManager
from framekeep.testing.clock import ManualClock


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[DataManager]:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path)) as made:
        yield made


def frame(rows: int = 10) -> pd.DataFrame:
    return pd.DataFrame({"n": range(rows), "t": [f"row {i}" for i in range(rows)]})


def page(manager: DataManager, session: str, offset: int = 0, limit: int = 100, **options: Any) -> Any:
    revision, document = manager.get_page_json(session, offset, limit, **options)
    assert revision == manager.revision(session)
    return json.loads(document)


def test_a_page_is_the_rows_that_were_asked_for(manager: DataManager) -> None:
    session = manager.create_session(frame())
    assert page(manager, session, 3, 2) == {
        "columns": [{"name": "n", "dtype": "int64"}, {"name": "t", "dtype": "str"}],
        "rows": [[3, "row 3"], [4, "row 4"]],
        "offset": 3,
        "limit": 2,
        "total_rows": 10,
    }


@pytest.mark.parametrize(
    ("offset", "limit", "rows"), [(8, 5, [8, 9]), (10, 5, []), (10**15, 5, []), (0, 0, []), (9, 2**53, [9])]
)
def test_a_page_ends_with_the_frame(manager: DataManager, offset: int, limit: int, rows: list[int]) -> None:
    session = manager.create_session(frame())
    found = page(manager, session, offset, limit, columns=["n"])
    assert ([row[0] for row in found["rows"]], found["offset"], found["total_rows"]) == (rows, offset, 10)


def test_pages_follow_each_other_over_the_borders_of_chunks(manager: DataManager) -> None:
    session = manager.create_session(frame(150_000))
    for offset in (0, 65_500, 65_530, 131_000, 149_950):
        found = page(manager, session, offset, 100, columns=["n", "t"])["rows"]
        assert found == [[i, f"row {i}"] for i in range(offset, min(offset + 100, 150_000))]


def test_columns_come_in_the_order_asked_for(manager: DataManager) -> None:
    session = manager.create_session(frame(1))
    assert page(manager, session, columns=["t", "n", "t"])["rows"] == [["row 0", 0, "row 0"]]
    assert page(manager, session, columns=[])["rows"] == [[]]


def test_names_are_text_whatever_the_labels_are(manager: DataManager) -> None:
    labels = ["a", 1, ("x", 2), None, pd.Timestamp("2024-01-02")]
    session = manager.create_session(pd.DataFrame([range(5)], columns=pd.Index(labels, dtype=object)))
    names = [column["name"] for column in page(manager, session)["columns"]]
    assert names == ["a", "1", "('x', 2)", "None", "2024-01-02 00:00:00"]
    assert page(manager, session, columns=names)["rows"] == [[0, 1, 2, 3, 4]]
    assert page(manager, session, columns=labels[:3])["rows"] == [[0, 1, 2]]


def test_a_text_label_comes_before_the_text_of_another(manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame([[1, 2]], columns=pd.Index([7, "7"], dtype=object)))
    assert page(manager, session, columns=["7"])["rows"] == [[2]]
    assert page(manager, session, columns=[7])["rows"] == [[1]]


def test_a_name_that_means_several_labels_is_refused(manager: DataManager) -> None:
    labels = pd.Index([1.5, np.float32(1.5)], dtype=object)
    session = manager.create_session(pd.DataFrame([[1, 2]], columns=labels))
    with pytest.raises(UnknownColumnError, match=r"'1\.5' and differ in type only"):
        page(manager, session, columns=["1.5"])


def test_a_label_that_repeats_gives_each_of_its_columns(manager: DataManager) -> None:
    session = manager.create_session(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]))
    assert page(manager, session, columns=["a"])["rows"] == [[1, 3]]


@pytest.mark.parametrize("columns", [["n", "gone"], [["n"]], "n", [3]], ids=str)
def test_a_column_that_is_not_there_is_refused(manager: DataManager, columns: Any) -> None:
    session = manager.create_session(frame())
    with pytest.raises(UnknownColumnError):
        page(manager, session, columns=columns)


@pytest.mark.parametrize(("offset", "limit"), [(-1, 1), (0, -1), (0.5, 1), (0, "1"), (True, 1)])
def test_positions_that_are_none_are_refused(manager: DataManager, offset: Any, limit: Any) -> None:
    session = manager.create_session(frame())
    with pytest.raises(InvalidInputError):
        page(manager, session, offset, limit)


def test_what_is_not_there_is_said(manager: DataManager) -> None:
    session = manager.create_session(frame())
    with pytest.raises(SessionNotFoundError):
        manager.get_page_json("unknown", 0, 1)
    with pytest.raises(VersionNotFoundError):
        page(manager, session, version=9)
    with pytest.raises(InvalidInputError, match="orient"):
        page(manager, session, orient="columns")


def test_a_page_is_never_out_of_date(manager: DataManager) -> None:
    session = manager.create_session(frame(2))
    assert page(manager, session)["rows"] == [[0, "row 0"], [1, "row 1"]]
    with manager.edit(session, "swap") as df:
        df["n"] = [5, 6]
    assert page(manager, session)["rows"] == [[5, "row 0"], [6, "row 1"]]
    assert page(manager, session, version=1)["rows"] == [[0, "row 0"], [1, "row 1"]]
    manager.undo(session)
    assert page(manager, session)["rows"] == [[0, "row 0"], [1, "row 1"]]


def test_pages_asked_for_in_other_ways_are_not_mixed_up(manager: DataManager) -> None:
    labels = pd.Index([1, True, 1.0], dtype=object)
    session = manager.create_session(pd.DataFrame([[10, 20, 30]], columns=labels))
    for _ in range(2):
        for label, value in zip(labels, (10, 20, 30), strict=True):
            assert page(manager, session, columns=[label])["rows"] == [[value]]
        assert page(manager, session, columns=["True"], orient="records")["rows"] == [{"True": 20}]
        assert page(manager, session, columns=["True"])["rows"] == [[20]]


def test_two_sessions_of_equal_frames_have_their_own_revisions(manager: DataManager) -> None:
    one, two = manager.create_session(frame()), manager.create_session(frame())
    assert manager.get_page_json(one, 0, 1)[1] == manager.get_page_json(two, 0, 1)[1]
    assert manager.get_page_json(one, 0, 1)[0] != manager.get_page_json(two, 0, 1)[0]


def test_looking_at_a_page_keeps_the_session_alive(tmp_path: Path) -> None:
    clock = ManualClock()
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path), clock=clock) as manager:
        session = manager.create_session(frame(), ttl_seconds=100)
        for _ in range(5):  # also when the page is not made anew
            clock.advance(60)
            manager.get_page_json(session, 0, 1)
        clock.advance(101)
        with pytest.raises(SessionNotFoundError):
            manager.get_page_json(session, 0, 1)


def test_a_page_works_without_any_cache(tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path, cache_mb=0)) as manager:
        session = manager.create_session(frame())
        assert page(manager, session, 1, 1) == page(manager, session, 1, 1)


# --- profiles -------------------------------------------------------------------------------------


def test_a_profile_is_of_one_state_and_never_out_of_date(manager: DataManager) -> None:
    session = manager.create_session(frame(3))
    revision, before = manager.profile(session)
    assert revision == manager.revision(session)
    assert [(found["name"], found["dtype"], found["kind"]) for found in before] == [
        ("n", "int64", "number"), ("t", "str", "text"),
    ]  # fmt: skip
    with manager.edit(session, "more") as df:
        df["n"] = [5, 6, 7]
    assert manager.profile(session, ["n"])[1][0]["max"] == 7
    assert manager.profile(session, version=1)[1] == before


def test_a_profile_that_was_changed_by_its_caller_is_not_given_to_others(manager: DataManager) -> None:
    session = manager.create_session(frame(3))
    manager.profile(session)[1][0]["top"].clear()
    assert len(manager.profile(session)[1][0]["top"]) == 3


def test_a_profile_goes_by_what_is_asked_for(manager: DataManager) -> None:
    session = manager.create_session(frame(100))
    [found] = manager.profile(session, ["n"], bins=4, top=2)[1]
    assert (len(found["histogram"]["counts"]), len(found["top"])) == (4, 2)
    [found] = manager.profile(session, ["n"], bins=5, top=0)[1]
    assert (len(found["histogram"]["counts"]), found["top"]) == (5, [])
    with pytest.raises(InvalidInputError, match="bins"):
        manager.profile(session, bins=0)
    with pytest.raises(UnknownColumnError):
        manager.profile(session, ["gone"])


def test_a_page_of_many_rows_does_not_empty_the_cache(tmp_path: Path) -> None:
    with DataManager(Settings(_env_file=None, storage_dir=tmp_path, cache_mb=8)) as manager:
        session = manager.create_session(frame(20_000))
        manager.get_page_json(session, 0, 10)
        held = manager.backend.codec.cache_info()["bytes"]
        manager.get_page_json(session, 0, 20_000)
        assert manager.backend.codec.cache_info()["bytes"] == held

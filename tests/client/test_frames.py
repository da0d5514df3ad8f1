"""Frames by way of a service: exactly as they were sent, with whatever labels they have."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from live import LiveService
from odd.corpus import CORPUS

from framekeep import Client, DataManager, Settings
from framekeep.errors import DataFrameTooLargeError, InvalidInputError, UnknownColumnError
from framekeep.testing.identical import assert_identical

KEPT = [name for name, odd in CORPUS.items() if odd.fate == "kept" and not odd.heavy]
TTL = 600.0


@pytest.mark.parametrize("name", [n for n in KEPT[::11] if n != "arrow/struct_of_dictionary/null_rows_only"])
def test_odd_frames_come_back_identical(client: Client, name: str) -> None:
    frame = CORPUS[name].build()
    client.create_session("s", frame, "odd", TTL)
    assert_identical(client.get_dataframe("s"), frame)


def test_a_large_frame_comes_back_identical(client: Client) -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(100_000, 30)))  # more than is received in memory
    session = client.new_session(frame)
    assert_identical(client.get_dataframe(session), frame)


def test_a_frame_is_the_same_for_the_managers_of_the_service(
    client: Client, manager: DataManager, people: pd.DataFrame
) -> None:
    session = client.new_session(people)
    assert_identical(manager.get_dataframe(session), people)


def test_what_is_got_belongs_to_the_caller(client: Client, session: str, people: pd.DataFrame) -> None:
    frame = client.get_dataframe(session, copy=True)
    frame["age"].array[:] = 0.0  # raises if the memory were lent
    assert_identical(client.get_dataframe(session), people)


def test_a_version_can_be_read_without_going_there(
    client: Client, session: str, people: pd.DataFrame
) -> None:
    version = client.commit_dataframe(session, people.head(1), "shorten")
    assert_identical(client.get_dataframe(session, version=version), people)
    assert len(client.get_page(session, 0, 10, version=version)) == 3
    assert len(client.get_dataframe(session)) == 1


def test_an_arrow_table_is_taken(client: Client) -> None:
    table = pa.table({"a": pa.array([1, None], pa.uint8())})
    client.create_session("s", table, "t", TTL)  # type: ignore[arg-type]
    assert str(client.get_dataframe("s").dtypes["a"]) == "uint8[pyarrow]"
    assert client.get_table("s").to_pylist() == table.to_pylist()


def test_a_frame_that_is_too_large_says_so(client: Client, live: LiveService, tmp_path: Path) -> None:
    settings = Settings(storage_dir=tmp_path / "small", max_dataframe_size_mb=1, _env_file=None)
    live.serve(DataManager(settings))
    with pytest.raises(DataFrameTooLargeError, match="MAX_DATAFRAME_SIZE_MB"):
        client.new_session(pd.DataFrame(np.random.default_rng(1).normal(size=(200_000, 1))))
    assert client.list_sessions() == []


# --- labels that are no text ----------------------------------------------------------------------------

LABELS: dict[str, Any] = {
    "numbers": pd.RangeIndex(3),
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
    "instants": pd.date_range("2020", periods=3),
    "mixed": pd.Index(["a", 7, None], dtype=object),
    "repeated": pd.Index(["a", "a", "b"]),
    "surrogate": pd.Index(["\ud800", "b", "c"], dtype=object),
}


def labelled(labels: Any) -> pd.DataFrame:
    return pd.DataFrame([[1.0, 2.0, None], [3.0, None, 5.0]]).set_axis(labels, axis=1)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_metadata_have_the_labels_themselves(client: Client, manager: DataManager, labels: Any) -> None:
    session = client.new_session(labelled(labels))
    found, wanted = client.get_metadata(session), manager.get_metadata(session)
    for key in ("shape", "bytes", "filename", "current_version", "created_at"):
        assert found[key] == wanted[key]
    assert list(map(repr, found["columns"])) == list(map(repr, wanted["columns"]))
    assert repr(found["dtypes"]) == repr(wanted["dtypes"])


@pytest.mark.parametrize("kind", ["numbers", "levels", "mixed"])
def test_marks_are_set_and_got_by_label(client: Client, manager: DataManager, kind: str) -> None:
    session = client.new_session(labelled(LABELS[kind]))
    label: Hashable = LABELS[kind][1]
    client.set_intentional_missing(session, label, np.array([1]), reason="not asked")
    assert client.get_intentional_missing(session) == {label: [1]}
    assert client.get_missing_reasons(session) == {label: {"not asked": [1]}}
    assert manager.get_intentional_missing(session) == {label: [1]}


def test_a_page_of_columns_is_asked_for_by_label(client: Client) -> None:
    frame = labelled(LABELS["mixed"])
    session = client.new_session(frame)
    assert_identical(client.get_page(session, 1, 1, [7, "a"]), frame.iloc[1:2, [1, 0]])


def test_columns_that_are_one_text_are_refused(client: Client, session: str) -> None:
    with pytest.raises(InvalidInputError, match="list"):
        client.get_page(session, 0, 1, "age")
    with pytest.raises(UnknownColumnError, match="weight"):
        client.export(session, "csv", columns=["weight"])


# --- pages and profiles as JSON ---------------------------------------------------------------------------


def test_a_page_as_json_is_what_the_manager_gives(client: Client, manager: DataManager, session: str) -> None:
    got = client.get_page_json(session, 1, 1, ["age"], orient="records")
    assert got == manager.get_page_json(session, 1, 1, ["age"], orient="records")


def test_a_profile_is_what_the_manager_gives(client: Client, manager: DataManager, session: str) -> None:
    assert client.profile(session, ["age"], bins=3) == manager.profile(session, ["age"], bins=3)


def test_a_difference_is_what_the_manager_finds(
    client: Client, manager: DataManager, session: str, people: pd.DataFrame
) -> None:
    changed = people.assign(age=[34.0, 1.0, 2.0]).drop(columns="id")
    client.commit_dataframe(session, changed, "change")
    found, wanted = client.diff_versions(session, 1), manager.diff_versions(session, 1)
    assert replace(found, columns_changed=()) == replace(wanted, columns_changed=())
    [column], [other] = found.columns_changed, wanted.columns_changed
    assert replace(column, samples=()) == replace(other, samples=())
    assert [(each.row, each.before, each.after) for each in column.samples] == [
        (1, None, 1.0),
        (2, 210.0, 2.0),
    ]


def test_whole_numbers_of_any_size_stay_exact_in_metadata(client: Client, session: str) -> None:
    client.update_metadata(session, {"n": 2**100, "nested": [{"m": -(2**70)}]})
    found = client.get_metadata(session)
    assert (found["n"], found["nested"]) == (2**100, [{"m": -(2**70)}])

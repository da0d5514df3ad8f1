"""A page that is known is given at once or not at all, and never one that is out of date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from framekeep import InMemoryBackend, SessionBackend
from framekeep.errors import InvalidIdError
from framekeep.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def backend(tmp_path: Path, clock: ManualClock) -> Iterator[InMemoryBackend]:
    backend = InMemoryBackend(tmp_path, clock=clock)
    backend.create_session("s", pd.DataFrame({"a": range(10)}), "x", 3600)
    yield backend
    backend.close()


@pytest.fixture
def other(backend: SessionBackend, tmp_path: Path, clock: ManualClock) -> Iterator[InMemoryBackend]:
    """Another user of the same store."""
    other = InMemoryBackend(tmp_path, clock=clock)
    yield other
    other.close()


def test_a_page_is_known_once_it_was_made(backend: SessionBackend) -> None:
    assert backend.glance_page_json("s", 2, 3) is None
    made = backend.get_page_json("s", 2, 3)
    assert backend.glance_page_json("s", 2, 3) == made


@pytest.mark.parametrize(("offset", "limit"), [(0, 3), (2, 4)])
def test_another_page_is_not(backend: SessionBackend, offset: int, limit: int) -> None:
    backend.get_page_json("s", 2, 3)
    assert backend.glance_page_json("s", offset, limit) is None


def test_pages_of_some_columns_of_records_or_of_versions_are_others(backend: SessionBackend) -> None:
    backend.commit_dataframe("s", pd.DataFrame({"a": [1]}), "other")
    backend.get_page_json("s", 0, 1, ["a"])
    backend.get_page_json("s", 0, 1, orient="records")
    backend.get_page_json("s", 0, 1, version=1)
    assert backend.glance_page_json("s", 0, 1) is None


def test_a_page_of_the_past_is_not_given(backend: SessionBackend, other: SessionBackend) -> None:
    before = backend.get_page_json("s", 0, 3)
    other.commit_dataframe("s", pd.DataFrame({"a": [7, 8, 9]}), "others' change")
    assert backend.glance_page_json("s", 0, 3) is None
    after = backend.get_page_json("s", 0, 3)
    assert backend.glance_page_json("s", 0, 3) == after != before


def test_after_undo_the_page_from_before_is_known_under_the_new_revision(
    backend: SessionBackend, other: SessionBackend
) -> None:
    revision, page = backend.get_page_json("s", 0, 3)
    other.commit_dataframe("s", pd.DataFrame({"a": [7, 8, 9]}), "others' change")
    other.undo("s")
    assert backend.get_metadata("s")["shape"] == (10, 1)  # decodes the head
    found = backend.glance_page_json("s", 0, 3)
    assert found == (backend.revision("s"), page)
    assert found[0] != revision


def test_nothing_is_given_when_the_expiry_must_be_moved(backend: SessionBackend, clock: ManualClock) -> None:
    made = backend.get_page_json("s", 0, 3)
    clock.advance(2.0)
    assert backend.glance_page_json("s", 0, 3) is None
    backend.get_page_json("s", 0, 3)
    assert backend.glance_page_json("s", 0, 3) == made


def test_nothing_is_given_of_a_session_that_is_gone(backend: SessionBackend, other: SessionBackend) -> None:
    backend.get_page_json("s", 0, 3)
    other.delete_session("s")
    assert backend.glance_page_json("s", 0, 3) is None


def test_a_malformed_id_is_an_error(backend: SessionBackend) -> None:
    with pytest.raises(InvalidIdError):
        backend.glance_page_json("../x", 0, 3)

"""Profiles of columns, held to what pandas and plain Python say."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.engines.memory import MemoryEngine
from framekeep.errors import InvalidInputError, UnknownColumnError
from framekeep.frames import FrameCodec
from framekeep.profiling import checked_profile, profile
from framekeep.sessions import SessionBackend

numbers = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=60)


@given(numbers, st.integers(1, 30))
def test_numbers_are_as_pandas_says(values: list[float | None], bins: int) -> None:
    series = pd.Series(values, dtype="float64")
    found = profile(series.array, bins=bins)
    present = series.dropna()
    assert (found["count"], found["missing"]) == (len(present), len(series) - len(present))
    assert found["distinct"] == present.nunique()
    if len(present):
        assert (found["min"], found["max"]) == (present.min(), present.max())
        assert found["mean"] == pytest.approx(present.mean(), rel=1e-9, abs=1e-9)
        assert found["quantiles"]["0.5"] == pytest.approx(present.median(), rel=1e-9, abs=1e-9)
        assert sum(found["histogram"]["counts"]) == len(present)
        assert len(found["histogram"]["edges"]) == len(found["histogram"]["counts"]) + 1
        assert found["histogram"]["edges"][0] == present.min()
        assert found["histogram"]["edges"][-1] == present.max()


@given(st.lists(st.sampled_from(["a", "b", "ä", "", None]), max_size=40), st.integers(0, 6))
def test_texts_are_as_a_counter_says(values: list[str | None], top: int) -> None:
    found = profile(pd.Series(values, dtype="str").array, top=top)
    counted = Counter(value for value in values if value is not None)
    assert found["kind"] == "text"
    assert found["distinct"] == len(counted)
    assert [(each["value"], each["count"]) for each in found["top"]] == counted.most_common(top)
    if counted:
        assert (found["min"], found["max"]) == (min(counted), max(counted))
        assert found["lengths"]["max"] == max(map(len, counted))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.array([1, None, 3], dtype="Int64"), "integer"),
        (np.array([1, 2], dtype="uint64"), "integer"),
        (pd.array([True, None], dtype="boolean"), "boolean"),
        (np.array([True, False]), "boolean"),
        (pd.Series(pd.Categorical(["x", None, "x"])).array, "category"),
        (pd.date_range("2026-01-01", periods=3).array, "datetime"),
        (pd.date_range("2026-01-01", periods=3, tz="Europe/Vienna").array, "datetime"),
        (pd.to_timedelta(["1h", None]).array, "duration"),
        (pd.array([dt.date(2026, 1, 1), None], dtype=pd.ArrowDtype(pa.date32())), "date"),
        (pd.array([Decimal("1.5")], dtype=pd.ArrowDtype(pa.decimal128(5, 2))), "number"),
        (np.array([1, "a", None], dtype=object), "mixed"),
        (pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), "other"),
        (pd.Series([], dtype="float64").array, "number"),
        (np.array([1 + 2j]), "other"),
        (pd.interval_range(0, 3).array, "other"),
        (pd.arrays.SparseArray([0.0, 1.0]), "number"),
    ],
    ids=str,
)
def test_every_kind_of_column_has_a_profile(values: Any, kind: str) -> None:
    found = profile(values)
    assert found["kind"] == kind
    assert found["count"] + found["missing"] == len(values)


def test_integers_beyond_2_53_are_exact_where_they_are_values() -> None:
    found = profile(np.array([2**63 - 1, 2**63 - 2, 2**63 - 1]))
    assert (found["min"], found["max"], found["top"][0]) == (
        2**63 - 2,
        2**63 - 1,
        {"value": 2**63 - 1, "count": 2},
    )


def test_infinities_are_values_and_bend_no_mean() -> None:
    found = profile(np.array([1.0, 3.0, np.inf, -np.inf, np.nan]))
    assert (found["count"], found["missing"], found["mean"]) == (4, 1, 2.0)
    assert (found["min"], found["max"]) == (-math.inf, math.inf)
    assert sum(found["histogram"]["counts"]) == 2


def test_numbers_too_far_apart_have_no_histogram() -> None:
    assert profile(np.array([-1.7e308, 1.7e308]))["histogram"] is None


def test_neighbours_have_a_histogram_of_few_bins() -> None:
    found = profile(np.array([1.0, np.nextafter(1.0, 2.0)]), bins=50)
    assert found["histogram"]["counts"] == [1, 1] or sum(found["histogram"]["counts"]) == 2


def test_instants_have_quantiles_and_edges_that_are_instants() -> None:
    found = profile(pd.date_range("2026-01-01", periods=5, unit="s").array, bins=2)
    assert found["quantiles"]["0.5"] == dt.datetime(2026, 1, 3)
    assert found["histogram"] == {
        "edges": [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 3), dt.datetime(2026, 1, 5)],
        "counts": [2, 3],
    }


def test_instants_beyond_pythons_years_are_text() -> None:
    far = np.array(["-90000-01-01", "90000-01-01"], dtype="datetime64[s]")
    found = profile(far)
    assert isinstance(found["min"], str)
    assert isinstance(found["max"], str)


def test_mixed_values_are_counted_by_type_and_kept_apart() -> None:
    found = profile(np.array([1, True, 1.0, "1", None, "1"], dtype=object))
    assert found["types"] == {"str": 2, "int": 1, "bool": 1, "float": 1}
    assert (found["distinct"], found["missing"]) == (4, 1)


def test_values_that_cannot_be_hashed_are_counted_by_type_only() -> None:
    found = profile(np.array([[1], {"a": 1}, None], dtype=object))
    assert (found["distinct"], found["top"], found["types"]) == (None, [], {"list": 1, "dict": 1})


@pytest.mark.parametrize(("bins", "top"), [(0, 1), (1001, 1), (True, 1), (1, -1), (1, 1001), ("1", 1)])
def test_numbers_that_are_none_are_refused(bins: Any, top: Any) -> None:
    with pytest.raises(InvalidInputError):
        checked_profile(bins, top)


# --- of a session --------------------------------------------------------------------------------------


@pytest.fixture
def backend() -> SessionBackend:
    made = SessionBackend(MemoryEngine(), FrameCodec())
    frame = pd.DataFrame(
        {"age": [1.5, None, 2.5], "big": [2**60, 1, 1], "seen": pd.date_range("2026-01-01", periods=3)}
    )
    made.create_session("s", frame, "x.csv", 60)
    return made


def test_a_sessions_profiles_are_json(backend: SessionBackend) -> None:
    revision, found = backend.profile("s")
    assert revision == backend.revision("s")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    age, big, seen = found
    assert (age["name"], age["mean"], big["max"]) == ("age", 2.0, str(2**60))
    assert seen["min"] == "2026-01-01T00:00:00"


def test_a_profile_is_of_the_version_asked_for(backend: SessionBackend) -> None:
    with backend.edit("s", "x") as frame:
        frame["age"] = 0.0
    assert backend.profile("s", ["age"])[1][0]["max"] == 0.0
    assert backend.profile("s", ["age"], version=1)[1][0]["max"] == 2.5


def test_a_column_that_did_not_change_is_not_profiled_again(backend: SessionBackend) -> None:
    before = backend.profile("s", ["big"])[1][0]
    with backend.edit("s", "x") as frame:
        frame["age"] = 0.0
    assert backend.profile("s", ["big"])[1][0]["top"] is before["top"]


def test_an_unknown_column_has_no_profile(backend: SessionBackend) -> None:
    with pytest.raises(UnknownColumnError):
        backend.profile("s", ["nope"])

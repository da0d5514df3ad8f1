"""A profile says what is in a column, whatever that is."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odds import KINDS, check_each
from windows import window_of

from framekeep.errors import InvalidInputError
from framekeep.exporting import json_values
from framekeep.profiling import Profile, Profiler
from framekeep.testing.frames import frames

KEYS = [
    "kind", "count", "missing", "distinct", "min", "max", "mean", "std", "quantiles", "histogram", "top",
]  # fmt: skip


def profile(cells: Any, **options: Any) -> Profile:
    """Return the profile of a column after it was kept."""
    [array] = window_of(pd.DataFrame({"a": cells})).arrays
    return Profiler(json_values, **options).profile(array)


def objects(*cells: Any) -> pd.Series[Any]:
    array = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        array[position] = cell
    return pd.Series(array, dtype=object)


def check(frame: pd.DataFrame) -> None:
    for array in window_of(frame).arrays:
        found = Profiler(json_values, bins=5, top=3).profile(array)
        assert list(found) == KEYS
        assert orjson.loads(orjson.dumps(found)) == json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["count"] + found["missing"] == len(array)
        assert 0 <= found["distinct"] <= found["count"]
        counts = [each["count"] for each in found["top"]]
        assert counts == sorted(counts, reverse=True)
        assert len(counts) == min(3, found["distinct"])
        if found["histogram"] is not None:
            assert len(found["histogram"]["edges"]) == len(found["histogram"]["counts"]) + 1
            assert sum(found["histogram"]["counts"]) <= found["count"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_odd_column_has_a_profile(kind: str) -> None:
    check_each(kind, check)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_column_has_a_profile(frame: pd.DataFrame) -> None:
    check(frame)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(frames())
def test_any_of_many_columns_has_a_profile(frame: pd.DataFrame) -> None:
    check(frame)


# --- numbers --------------------------------------------------------------------------------------

numbers = st.floats(-1e6, 1e6, allow_subnormal=False) | st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf])


@settings(deadline=None)
@given(st.lists(numbers, max_size=30))
def test_numbers_are_what_pandas_says_of_them(cells: list[float]) -> None:
    series = pd.Series(cells, dtype="f8")
    finite = series[np.isfinite(series)]
    found = profile(series)
    assert (found["count"], found["missing"]) == (series.count(), series.isna().sum())
    assert found["distinct"] == series.nunique()
    assert [found["min"], found["max"]] == ([finite.min(), finite.max()] if len(finite) else [None, None])
    if len(finite):
        assert found["mean"] == pytest.approx(finite.mean())
        assert (found["std"] is None) == (len(finite) < 2)
        assert found["std"] is None or found["std"] == pytest.approx(finite.std())
        for name, value in found["quantiles"].items():
            assert value == pytest.approx(finite.quantile(float(name)))
        edges, counts = found["histogram"].values()
        assert (edges[0], edges[-1], sum(counts)) == (finite.min(), finite.max(), len(finite))
        assert edges == sorted(edges)


def test_a_histogram_counts_as_numpy_does() -> None:
    cells = np.random.default_rng(1).normal(size=1000)
    counts, edges = np.histogram(cells, 7)
    found = profile(cells, bins=7)["histogram"]
    assert found["counts"] == counts.tolist()
    assert found["edges"] == pytest.approx(edges.tolist())


def test_few_whole_numbers_have_a_bin_each() -> None:
    found = profile([1, 2, 2, 5])["histogram"]
    assert found == {"edges": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "counts": [1, 2, 0, 0, 1]}


def test_equal_numbers_have_one_bin() -> None:
    assert profile([3.5, 3.5])["histogram"] == {"edges": [3.5, 3.5], "counts": [2]}


def test_infinities_are_values_and_named() -> None:
    found = profile([math.inf, math.inf, -math.inf, 1.0, math.nan])
    assert (found["count"], found["missing"], found["distinct"], found["max"]) == (4, 1, 3, 1.0)
    assert found["top"][0] == {"value": "inf", "count": 2}


def test_numbers_too_large_for_their_sum_have_no_mean() -> None:
    found = profile([1.7e308, 1.7e308, -1.7e308, 1.7e308])
    assert (found["mean"], found["std"], found["histogram"]) == (None, None, None)
    assert (found["min"], found["max"]) == (-1.7e308, 1.7e308)


@pytest.mark.parametrize(
    "cells",
    [
        [1, 2, 2], np.array([1, 2, 2], dtype="u1"), pd.array([1, 2, 2], dtype="Int64"), objects(1, 2, 2),
        pd.Categorical([1, 2, 2], categories=[9, 2, 1]), np.array([1, 2, 2], dtype=">i4"),
        pd.arrays.SparseArray([1, 2, 2]), pd.Series([1, 2, 2], dtype=pd.ArrowDtype(pa.int16())),
    ],
    ids=["int64", "uint8", "Int64", "objects", "categories", "big-endian", "sparse", "Arrow"],
)  # fmt: skip
def test_whole_numbers_are_numbers_whatever_holds_them(cells: Any) -> None:
    found = profile(cells)
    assert (found["kind"], found["min"], found["max"], found["distinct"]) == ("number", 1, 2, 2)
    assert found["mean"] == pytest.approx(5 / 3)
    assert found["top"] == [{"value": 2, "count": 2}, {"value": 1, "count": 1}]


def test_integers_keep_their_digits() -> None:
    found = profile([2**63 - 1, 2**63 - 2, 2**63 - 1])
    assert (found["distinct"], found["max"]) == (2, "9223372036854775807")
    assert found["top"][0] == {"value": "9223372036854775807", "count": 2}
    assert profile(objects(2**70, 1))["kind"] == "mixed"


def test_missing_values_are_counted_whatever_they_are() -> None:
    for cells in (
        [1.0, math.nan], pd.array([1, None], dtype="Int64"), pd.array([1.0, None], dtype="Float64"),
        objects(1, None), objects(1, pd.NaT), pd.Categorical([1, None]),
        pd.Series([1, None], dtype=pd.ArrowDtype(pa.int64())),
    ):  # fmt: skip
        found = profile(cells)
        assert (found["kind"], found["count"], found["missing"]) == ("number", 1, 1)


@pytest.mark.parametrize("dtype", ["f8", "Int64", "str", "M8[s]", "object", "category", "boolean"])
def test_a_column_without_values_has_a_profile(dtype: str) -> None:
    for rows in (0, 3):
        found = profile(pd.Series([None] * rows, dtype=dtype))
        assert (found["count"], found["missing"], found["distinct"], found["top"]) == (0, rows, 0, [])
        assert found["min"] is found["mean"] is found["histogram"] is None


# --- other kinds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ["b", "a", "b", None], objects("b", "a", "b", None), pd.Categorical(["b", "a", "b", None]),
        pd.array(["b", "a", "b", None], dtype="string[python]"),
        pd.Series(["b", "a", "b", None], dtype=pd.ArrowDtype(pa.large_string())),
    ],
    ids=["str", "objects", "categories", "python strings", "Arrow"],
)  # fmt: skip
def test_texts_are_counted_whatever_holds_them(cells: Any) -> None:
    assert profile(cells, top=1) == dict.fromkeys(KEYS) | {
        "kind": "text", "count": 3, "missing": 1, "distinct": 2, "min": "a", "max": "b",
        "top": [{"value": "b", "count": 2}],
    }  # fmt: skip


def test_equally_frequent_values_come_in_order() -> None:
    assert [each["value"] for each in profile(["c", "a", "b"], top=2)["top"]] == ["a", "b"]
    assert [each["value"] for each in profile([3, 1, 2, 3], top=3)["top"]] == [3, 1, 2]


def test_long_texts_are_cut_to_be_looked_at() -> None:
    found = profile(["x" * 1000, "y"])
    assert found["min"] == found["top"][0]["value"] == "x" * 199 + "…"
    [value] = [each["value"] for each in profile(objects([1] * 1000))["top"]]
    assert value.startswith("[1,1,")
    assert len(value) == 200


def test_booleans_have_their_share_of_true() -> None:
    found = profile(pd.array([True, False, True, None, True], dtype="boolean"))
    assert (found["kind"], found["missing"], found["mean"]) == ("boolean", 1, 0.75)
    assert found["top"] == [{"value": True, "count": 3}, {"value": False, "count": 1}]
    assert (found["min"], found["max"]) == (False, True)
    assert profile([True, True])["min"] is True


DAYS = ["2024-01-01", "2024-01-02", None, "2024-01-05"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_are_spread_in_time(unit: str) -> None:
    found = profile(pd.to_datetime(pd.Series(DAYS)).astype(f"M8[{unit}]"), bins=2)
    assert (found["kind"], found["count"], found["missing"], found["distinct"]) == ("instant", 3, 1, 3)
    assert (found["min"], found["max"]) == ("2024-01-01T00:00:00", "2024-01-05T00:00:00")
    assert found["quantiles"]["0.5"] == "2024-01-02T00:00:00"
    assert found["mean"].startswith("2024-01-02T16:00:00")
    assert found["std"].startswith("P2DT1H57M")
    assert found["histogram"] == {
        "edges": ["2024-01-01T00:00:00", "2024-01-03T00:00:00", "2024-01-05T00:00:00"], "counts": [2, 1],
    }  # fmt: skip


def test_instants_of_a_zone_are_shown_in_it() -> None:
    found = profile(pd.to_datetime(pd.Series(DAYS)).dt.tz_localize("Europe/Paris"))
    assert (found["min"], found["mean"]) == ("2024-01-01T00:00:00+01:00", "2024-01-02T16:00:00+01:00")


def test_days_of_arrow_are_instants() -> None:
    days = pa.array([19_723, 19_724, None, 19_727], pa.int32()).cast(pa.date32())
    found = profile(pd.arrays.ArrowExtensionArray(pa.chunked_array([days])))
    assert (found["kind"], found["min"], found["max"]) == ("instant", "2024-01-01", "2024-01-05")
    assert found["std"].startswith("P2DT1H")


def test_durations_are_spread_too() -> None:
    found = profile(pd.to_timedelta(["1s", "3s", None]))
    assert (found["kind"], found["min"], found["mean"]) == ("duration", "P0DT0H0M1S", "P0DT0H0M2S")


def test_instants_at_both_ends_of_their_type_are_spread() -> None:
    low, high = -(2**63) + 1, 2**63 - 1
    found = profile(np.array([low, 0, high], dtype="i8").view("M8[ns]"))
    assert (found["min"][:4], found["mean"][:4], found["max"][:4]) == ("1677", "1970", "2262")


def test_mixed_cells_are_told_apart_as_json_does() -> None:
    found = profile(objects(1, "1", True, 1, [1], {"a": [1]}, Decimal(1), None))
    assert (found["kind"], found["count"], found["missing"], found["distinct"]) == ("mixed", 7, 1, 5)
    assert found["top"][0] == {"value": 1, "count": 2}
    assert {"value": {"a": [1]}, "count": 1} in found["top"]


def test_bins_and_periods_are_counted() -> None:
    found = profile(pd.cut(pd.Series([1, 1, 9, None]), [0, 5, 10, 15]))
    assert (found["kind"], found["distinct"], found["missing"]) == ("mixed", 2, 1)
    assert found["top"] == [{"value": "(0, 5]", "count": 2}, {"value": "(5, 10]", "count": 1}]
    assert profile(pd.PeriodIndex(["2024-01", "2024-01"], freq="M"))["top"] == [
        {"value": "2024-01", "count": 2}
    ]


# --- what is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"bins": 0}, {"bins": 1001}, {"bins": True}, {"bins": 2.0}, {"top": -1}, {"top": 1001}],
    ids=str,
)
def test_a_number_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=f"{next(iter(options))} must be a whole number"):
        Profiler(json_values, **options)


def test_no_top_values_may_be_asked_for() -> None:
    for cells in ([1.0], ["a"], [True], objects(1, "a")):
        assert profile(cells, top=0)["top"] == []

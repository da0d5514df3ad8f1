"""A decoded frame that went through pickle is written like any other."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from one_space import Space

from framekeep.testing.identical import assert_identical

COLUMNS: dict[str, Callable[[], object]] = {
    "float": lambda: [1.5, np.nan],
    "bool": lambda: [True, False],
    "datetime": lambda: pd.to_datetime(["2020-01-01", "2021-01-01"]),
    "zoned": lambda: pd.date_range("2020", periods=2, tz="UTC"),
    "timedelta": lambda: pd.to_timedelta(["1h", "2h"]),
    "period": lambda: pd.period_range("2020", periods=2, freq="D"),
    "category": lambda: pd.Categorical(["a", "b"]),
    "nullable": lambda: pd.array([1, None], dtype="Int64"),
    "text": lambda: ["a", None],
    "arrow": lambda: pd.array([1, 2], dtype="int64[pyarrow]"),
    "interval": lambda: pd.arrays.IntervalArray.from_breaks([0, 1, 2]),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_column_out_of_a_pickle_can_be_written(kind: str, protocol: int) -> None:
    space, source = Space(), pd.DataFrame({"a": COLUMNS[kind]()})
    df = pickle.loads(pickle.dumps(space.give(space.keep(source)), protocol))
    assert_identical(df, source)
    df.iloc[0, 0] = df.iloc[1, 0]
    column = pickle.loads(pickle.dumps(space.give(space.keep(source))["a"], protocol))
    column.iloc[0] = column.iloc[1]
    source.iloc[0, 0] = source.iloc[1, 0]
    assert_identical(df, source)
    assert_identical(column, source["a"])


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_out_of_a_deep_copy_can_be_written(kind: str) -> None:
    space, source = Space(), pd.DataFrame({"a": COLUMNS[kind]()})
    df = copy.deepcopy(space.give(space.keep(source)))
    df.iloc[0, 0] = df.iloc[1, 0]
    source.iloc[0, 0] = source.iloc[1, 0]
    assert_identical(df, source)


def test_large_buffers_out_of_band_come_back_writable() -> None:
    space, source = Space(), pd.DataFrame({"a": np.arange(1000.0)})
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(space.give(space.keep(source)), 5, buffer_callback=buffers.append)
    df = pickle.loads(data, buffers=buffers)
    df.iloc[0, 0] = 7.0
    assert df.iloc[0, 0] == 7.0

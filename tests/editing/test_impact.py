"""What an edit would change, against a comparison of the two tables cell by cell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from framekeep.editing import apply_tracked, impact
from framekeep.errors import InvalidEditError

sys.path.insert(0, str(Path(__file__).parent))
import programs


def plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def equal(a: Any, b: Any) -> bool:
    a, b = plain(a), plain(b)
    if type(a) in (int, float) and type(b) in (int, float):
        return a == b
    return type(a) is type(b) and a == b


def check_impact(data: st.DataObject) -> None:
    frame = data.draw(programs.tables(min_rows=1))
    frame.index = pd.RangeIndex(len(frame), name="row")  # says where each row came from
    program = data.draw(st.lists(programs.operations(list(frame.columns)), min_size=1, max_size=3))
    program = [operation for operation in program if operation["op"] != "rename_columns"]
    assume(program)
    try:
        applied = apply_tracked(frame, program)
    except InvalidEditError:
        assume(False)
    found = impact(frame, applied, samples=1000)
    after = applied.frame
    sources = [int(label) for label in after.index]

    assert found["rows_removed"] == len(frame) - len(after)
    assert found["removed"] == sorted(set(range(len(frame))) - set(sources))
    assert found["rows_moved"] == (sources != sorted(sources))
    columns = list(range(frame.shape[1])) if applied.columns is None else applied.columns.tolist()
    came_from = {after.columns[place]: source for place, source in enumerate(columns)}
    assert found["columns_added"] == [name for name, source in came_from.items() if source < 0]
    assert found["columns_removed"] == [
        name for place, name in enumerate(frame.columns) if place not in came_from.values()
    ]
    cells = {}
    samples = []
    for name, source in came_from.items():
        if source < 0:
            continue
        rows = [
            row
            for place, row in enumerate(sources)
            if not equal(frame.iloc[row, source], after[name].iloc[place])
        ]
        if rows or frame.dtypes.iloc[source] != after.dtypes[name]:
            cells[name] = len(rows)
        samples += [(name, row) for row in rows]
    assert {each["column"]: each["cells"] for each in found["columns_changed"]} == cells
    assert found["cells_changed"] == sum(cells.values())
    assert sorted((each["column"], each["row"]) for each in found["samples"]) == sorted(samples)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_impact_is_what_a_comparison_of_all_cells_finds(data: st.DataObject) -> None:
    check_impact(data)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_impact_is_that_for_thousands_of_edits(data: st.DataObject) -> None:
    check_impact(data)


FRAME = pd.DataFrame({"a": [1, 2, 3], "b": [" x", "y", None], "c": [0.5, None, 1.5]})


def found(*operations: dict[str, Any], samples: int = 10) -> dict[str, Any]:
    return impact(FRAME, apply_tracked(FRAME, list(operations)), samples=samples)


def test_nothing_changed_is_said_so() -> None:
    assert found({"op": "trim_text", "columns": ["b"], "side": "right"}) == {
        "rows_before": 3,
        "rows_after": 3,
        "rows_removed": 0,
        "removed": [],
        "rows_moved": False,
        "columns_added": [],
        "columns_removed": [],
        "columns_renamed": [],
        "columns_moved": False,
        "columns_changed": [],
        "cells_changed": 0,
        "samples": [],
    }


def test_examples_tell_the_cell_before_and_after() -> None:
    cells = [{"row": 2, "column": "a", "value": None}, {"row": 0, "column": "b", "value": "z"}]
    result = found({"op": "set_cells", "cells": cells})
    assert result["samples"] == [
        {"row": 2, "column": "a", "before": 3, "after": None},
        {"row": 0, "column": "b", "before": " x", "after": "z"},
    ]
    assert result["columns_changed"] == [
        {"column": "a", "cells": 1, "dtype_before": "int64", "dtype_after": "Int64"},
        {"column": "b", "cells": 1, "dtype_before": "str", "dtype_after": "str"},
    ]


def test_examples_are_spread_over_the_columns() -> None:
    program = [{"op": "cast", "columns": ["a", "c"], "to": "text"}]
    result = found(*program, samples=2)
    assert [each["column"] for each in result["samples"]] == ["a", "c"]
    assert found(*program, samples=0)["samples"] == []


def test_rows_are_those_of_the_table_before() -> None:
    result = found(
        {"op": "sort_rows", "by": [{"column": "a", "descending": True}]},
        {"op": "filter_rows", "where": "a > 1"},
        {"op": "fill_missing", "columns": ["c"], "method": "value", "value": 9},
    )
    assert (result["rows_moved"], result["removed"]) == (True, [0])
    assert result["samples"] == [{"row": 1, "column": "c", "before": None, "after": 9.0}]


def test_columns_that_come_go_and_change_their_names_are_told() -> None:
    result = found(
        {"op": "rename_columns", "names": {"a": "A"}},
        {"op": "drop_columns", "columns": ["b"]},
        {"op": "derive_column", "name": "d", "expression": "A * 2"},
        {"op": "reorder_columns", "columns": ["c"]},
    )
    assert result["columns_renamed"] == [{"before": "a", "after": "A"}]
    assert result["columns_removed"] == ["b"]
    assert result["columns_added"] == ["d"]
    assert result["columns_moved"]
    assert result["cells_changed"] == 0


@pytest.mark.parametrize(
    ("before", "to", "cells"),
    [
        ([1, 2], "number", 0),
        ([1.0, None], "integer", 0),
        ([True, False], "integer", 2),
        (["1", "x"], "category", 0),
        ([1, 2], "text", 2),
        (pd.array(["2020-01-01"], dtype="M8[ns]"), "date", 0),
        ([2**60, 1], "number", 0),
    ],
)
def test_a_value_in_another_type_is_the_same_value(before: Any, to: str, cells: int) -> None:
    frame = pd.DataFrame({"a": before})
    result = impact(frame, apply_tracked(frame, [{"op": "cast", "columns": ["a"], "to": to}]))
    assert result["cells_changed"] == cells
    assert len(result["columns_changed"]) == 1

"""The page about edits names all that there is, and its example works."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pandas as pd

from framekeep.editing import apply, apply_tracked, impact
from framekeep.editing.expressions.functions import FUNCTIONS
from framekeep.editing.fields import Expression
from framekeep.editing.models import Operation

PAGE = (Path(__file__).parents[2] / "docs" / "edits.md").read_text(encoding="utf-8")


def names() -> set[str]:
    models = get_args(get_args(Operation)[0])
    return {get_args(model.model_fields["op"].annotation)[0] for model in models}


def test_every_operation_is_in_the_table() -> None:
    table = PAGE.split("## What holds for all", 1)[0]
    assert {name for name in re.findall(r"`([a-z_]+)`", table) if "_" in name} - {
        "apply_operations"
    } >= names() - {"cast"}
    assert "`cast`" in table


def test_every_function_is_in_the_table_and_in_the_schema() -> None:
    rows = PAGE.split("## Expressions", 1)[1]
    assert set(re.findall(r"`([a-z_]+)\(", rows)) >= set(FUNCTIONS)
    described = get_args(Expression)[1].description
    assert set(FUNCTIONS) <= set(re.findall(r"[a-z_]+", described))


def test_every_key_of_the_impact_is_in_the_table() -> None:
    frame = pd.DataFrame({"a": [1]})
    found = impact(frame, apply_tracked(frame, [{"op": "trim_text"}]))
    assert set(re.findall(r"`([a-z_]+)`", PAGE.split("## What it would change", 1)[1])) >= set(found)


def test_the_example_works() -> None:
    code = PAGE.split("```python\noperations = ", 1)[1].split("```", 1)[0]
    frame = pd.DataFrame(
        {
            "sex": ["m ", "f", " "],
            "weight": ["80,5", None, "60,0"],
            "height": [180, 170, 160],
        }
    )
    result = apply(frame, ast.literal_eval(code))
    assert result["sex"].tolist() == ["male", "female"] or result["sex"].tolist() == ["female", "male"]
    assert result["bmi"].tolist() == sorted(result["bmi"], reverse=True)

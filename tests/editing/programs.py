"""Tables and operations at random, for the properties of edits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

NAMES = ["n", "i", "w", "f", "b", "k", "t", "c", "d", "z", "o"]
TEXTS = ["", " a", "b ", "A b", "ß", "x", "1", " 2.5", "no", "2020-02-29", "İ"]
OBJECTS = [None, np.nan, pd.NA, 1, True, 1.0, "x", " 1", dt.date(2020, 1, 1)]
NUMBERS = [0.0, -0.0, 0.5, 2.5, -1.5, 1.0, 2.0, -3.0, 1e16, 1e300]
LARGE = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]
INSTANTS = [dt.datetime(2020, 2, 29, 12), dt.datetime(1969, 12, 31), dt.datetime(2024, 1, 1, 0, 0, 0, 5)]


def maybe(values: Any) -> Any:
    """Return a strategy for a value or none."""
    return st.none() | values


@st.composite
def tables(
    draw: Any, *, min_rows: int = 0, max_rows: int = 5, names: list[str] | None = None
) -> pd.DataFrame:
    """A frame with the columns named, or with up to four of any kind."""
    rows = draw(st.integers(min_rows, max_rows))
    if names is None:
        names = draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))

    def cells(values: Any) -> list[Any]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    def objects() -> Any:
        found = np.empty(rows, dtype=object)
        found[:] = cells(st.sampled_from(OBJECTS))
        return found

    def zoned() -> Any:
        instants = pd.array(cells(maybe(st.sampled_from(INSTANTS))), dtype="M8[ns]")
        return instants.tz_localize("UTC").tz_convert("Asia/Kathmandu")

    small = st.integers(-3, 3)
    columns: dict[str, Callable[[], Any]] = {
        "n": lambda: np.array(cells(small), dtype=np.int64),
        "i": lambda: pd.array(cells(maybe(small | st.sampled_from(LARGE))), dtype="Int64"),
        "w": lambda: np.array(cells(small), dtype=np.int8),
        "f": lambda: np.array(cells(st.just(np.nan) | st.sampled_from(NUMBERS)), dtype=np.float64),
        "b": lambda: np.array(cells(st.booleans()), dtype=bool),
        "k": lambda: pd.array(cells(maybe(st.booleans())), dtype="boolean"),
        "t": lambda: pd.array(cells(maybe(st.sampled_from(TEXTS))), dtype="str"),
        "c": lambda: pd.Categorical(cells(maybe(st.sampled_from(["x", "y "]))), ["y ", "x", "unused"]),
        "d": lambda: pd.array(cells(maybe(st.sampled_from(INSTANTS))), dtype="M8[us]"),
        "z": zoned,
        "o": objects,
    }
    index = draw(
        st.sampled_from(
            [
                pd.RangeIndex(rows),
                pd.RangeIndex(1, rows + 1),
                pd.Index([f"r{i % 3}" for i in range(rows)], dtype="str"),
            ]
        )
    )
    made = {name: columns[name]() for name in names}
    series = {name: pd.Series(column, index=index, dtype=column.dtype) for name, column in made.items()}
    return pd.DataFrame(series, index=index, columns=pd.Index(names, dtype="str"))


def values() -> Any:
    """A value as JSON says it."""
    return st.sampled_from(
        [
            None,
            True,
            False,
            0,
            1,
            -2,
            2**60,
            2**70,
            0.5,
            1.0,
            1e300,
            "",
            "x",
            " a",
            "7",
            "2020-02-29",
            "2020-02-29T12:00:00Z",
        ]
    )


def operations(names: list[str], only: tuple[str, ...] = ()) -> Any:
    """One operation (of certain ones) as a JSON object; its columns are mostly some of ``names``."""
    name = st.sampled_from([*names, "absent"]) if names else st.just("absent")
    some = st.lists(name, min_size=1, max_size=3)
    these = st.none() | some
    value = values()
    present = value.filter(lambda each: each is not None)

    def op(kind: str, **fields: Any) -> tuple[str, Any]:
        return kind, st.fixed_dictionaries({"op": st.just(kind), **fields})

    every = [
        op(
            "set_cells",
            cells=st.lists(
                st.fixed_dictionaries({"row": st.integers(0, 7), "column": name, "value": value}),
                min_size=1,
                max_size=4,
            ),
        ),
        op("fill_missing", columns=these, method=st.just("value"), value=present),
        op("fill_missing", columns=these, method=st.sampled_from(["mean", "median", "mode", "interpolate"])),
        op(
            "fill_missing",
            columns=these,
            method=st.sampled_from(["forward", "backward"]),
            limit=st.none() | st.integers(1, 2),
        ),
        op("drop_missing", columns=these, how=st.sampled_from(["any", "all"])),
        op("drop_duplicates", columns=these, keep=st.sampled_from(["first", "last", "none"])),
        op("drop_columns", columns=some),
        op(
            "rename_columns",
            names=st.dictionaries(name, st.sampled_from(["q", "n", "t"]), min_size=1, max_size=2),
        ),
        op("reorder_columns", columns=some),
        op(
            "cast",
            columns=some,
            to=st.sampled_from(["text", "integer", "number", "boolean", "date", "datetime", "category"]),
            on_error=st.sampled_from(["refuse", "missing"]),
        ),
        op(
            "replace_values",
            columns=these,
            replacements=st.lists(
                st.fixed_dictionaries({"from": present, "to": value}), min_size=1, max_size=3
            ),
        ),
        op(
            "replace_values",
            columns=these,
            match=st.just("part"),
            replacements=st.just([{"from": "a", "to": "bb"}, {"from": "b", "to": ""}]),
        ),
        op("trim_text", columns=these, collapse=st.booleans(), empty_to_missing=st.booleans()),
        op("change_case", columns=these, to=st.sampled_from(["upper", "lower", "title", "sentence"])),
        op("filter_rows", where=conditions(), action=st.sampled_from(["keep", "drop"])),
        op(
            "filter_rows",
            rows=st.lists(st.integers(0, 7), max_size=3),
            action=st.sampled_from(["keep", "drop"]),
        ),
        op(
            "sort_rows",
            by=st.lists(
                st.fixed_dictionaries({"column": name, "descending": st.booleans()}), min_size=1, max_size=3
            ),
            missing=st.sampled_from(["first", "last"]),
        ),
        op(
            "derive_column",
            name=st.sampled_from(["q", "n", "t"]),
            expression=conditions(),
            overwrite=st.booleans(),
            after=st.none() | name,
        ),
    ]
    return st.one_of(*(strategy for kind, strategy in every if not only or kind in only))


def conditions() -> Any:
    """An expression that suits some tables."""
    return st.sampled_from(
        [
            "n > 0",
            "f is missing or n == 1",
            "t in ('x', '1')",
            "length(trim(t))",
            "round(f / n, 1)",
            "if(b, n, missing)",
            "year(d) * 100 + month(z)",
            "concat(t, '-', c)",
            "o is not missing",
            "number(o) + i",
            "d - date('2020-01-01')",
            "coalesce(i, n)",
            "f",
            "missing",
            "min(n, f) >= 0 and not k",
        ]
    )

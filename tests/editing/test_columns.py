"""Columns dropped, renamed, reordered and computed; texts trimmed and rewritten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from framekeep.editing import apply, apply_tracked
from framekeep.errors import InvalidEditError, InvalidExpressionError
from framekeep.testing.identical import assert_identical

FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": ["x", "y"]})


def rename(frame: pd.DataFrame, **names: str) -> pd.DataFrame:
    return apply(frame, [{"op": "rename_columns", "names": names}])


def derive(frame: pd.DataFrame, expression: str, name: str = "q", **more: Any) -> pd.DataFrame:
    return apply(frame, [{"op": "derive_column", "name": name, "expression": expression, **more}])


# --- names and places ---------------------------------------------------------------------------------


def test_columns_are_dropped() -> None:
    result = apply_tracked(FRAME, [{"op": "drop_columns", "columns": ["b", "a", "b"]}])
    assert_identical(result.frame, FRAME[["c"]])
    assert result.columns is not None
    assert result.columns.tolist() == [2]


def test_all_columns_can_be_dropped_and_the_rows_stay() -> None:
    assert apply(FRAME, [{"op": "drop_columns", "columns": ["a", "b", "c"]}]).shape == (2, 0)


def test_two_columns_swap_their_names() -> None:
    assert rename(FRAME, a="b", b="a").columns.tolist() == ["b", "a", "c"]


def test_a_renamed_columns_origin_is_told() -> None:
    result = apply_tracked(FRAME, [{"op": "rename_columns", "names": {"a": "z"}}])
    assert result.columns is not None
    assert result.columns.tolist() == [0, 1, 2]


@pytest.mark.parametrize("names", [{"a": "b"}, {"a": "z", "b": "z"}])
def test_two_columns_never_get_one_name(names: dict[str, str]) -> None:
    with pytest.raises(InvalidEditError, match="two columns called"):
        rename(FRAME, **names)


def test_a_column_does_not_get_the_text_of_another_label() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.Index([2020, "a"], dtype=object))
    with pytest.raises(InvalidEditError, match="'2020'"):
        rename(frame, a="2020")


def test_a_column_is_not_given_two_names() -> None:
    frame = pd.DataFrame([[1]], columns=[7])
    with pytest.raises(InvalidEditError, match="no column"):
        apply(frame, [{"op": "rename_columns", "names": {"7": "a", "7.0": "b"}}])


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        (pd.Index(["a", "b"], name="field"), "str"),
        (pd.Index(["a", "b"], dtype=object, name="field"), "object"),
        (pd.Index([1, 2], name="field"), "object"),
        (pd.CategoricalIndex(["a", "b"], name="field"), "object"),
        (pd.DatetimeIndex(["2020-01-01", "2021-01-01"], name="field"), "object"),
    ],
    ids=["str", "object", "int", "category", "dates"],
)
def test_labels_keep_their_type_where_a_text_can_be_one(columns: pd.Index, dtype: str) -> None:
    result = rename(pd.DataFrame([[1, 2]], columns=columns), **{str(columns[0]): "new"})
    assert result.columns.dtype == dtype
    assert result.columns.tolist() == ["new", columns[1]]
    assert result.columns.name == "field"


def test_labels_of_levels_are_not_renamed_but_dropped_and_reordered() -> None:
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    for operation in (
        {"op": "rename_columns", "names": {"('a', 1)": "x"}},
        {"op": "derive_column", "name": "x", "expression": "1"},
    ):
        with pytest.raises(InvalidEditError, match="levels"):
            apply(frame, [operation])
    result = apply(frame, [{"op": "reorder_columns", "columns": ["('a', 2)"]}])
    assert_identical(result, frame.iloc[:, [1, 0]])


def test_columns_are_put_first_and_the_others_follow() -> None:
    result = apply(FRAME, [{"op": "reorder_columns", "columns": ["c", "a", "c"]}])
    assert_identical(result, FRAME[["c", "a", "b"]])


# --- computed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + 1", np.array([2, 3])),
        ("a / 2", np.array([0.5, 1.0])),
        ("a > 1", np.array([False, True])),
        ("concat(c, '!')", pd.array(["x!", "y!"], dtype="str")),
        ("if(a > 1, a, missing)", pd.array([None, 2], dtype="Int64")),
        ("if(a > 1, true, missing)", pd.array([None, True], dtype="boolean")),
        ("if(a > 1, 0.5, missing)", np.array([np.nan, 0.5])),
        ("if(a > 1, c, missing)", pd.array([None, "y"], dtype="str")),
        ("date('2020-02-29')", pd.array(["2020-02-29"] * 2, dtype="M8[s]")),
    ],
)  # fmt: skip
def test_a_computed_column_has_the_dtype_of_its_kind(expression: str, expected: Any) -> None:
    assert_identical(derive(FRAME, expression)["q"], pd.Series(expected, name="q"))


def test_a_computed_column_stands_where_it_is_put() -> None:
    assert derive(FRAME, "1").columns.tolist() == ["a", "b", "c", "q"]
    assert derive(FRAME, "1", after="a").columns.tolist() == ["a", "q", "b", "c"]


def test_a_column_is_overwritten_only_when_that_is_asked_for() -> None:
    with pytest.raises(InvalidEditError, match="already"):
        derive(FRAME, "1", name="a")
    result = derive(FRAME, "a * 1.5", name="a", overwrite=True)
    assert_identical(result, FRAME.assign(a=[1.5, 3.0]))


@pytest.mark.parametrize("dtype", ["Int8", "object", "category", "Sparse[int64]", "M8[ns]", "complex128"])
def test_a_column_alone_is_copied_with_its_dtype(dtype: str) -> None:
    frame = pd.DataFrame({"a": pd.Series([1, 2]).astype(dtype)})
    assert_identical(derive(frame, "a")["q"].array, frame["a"].array)


def test_a_column_of_nothing_has_no_type() -> None:
    with pytest.raises(InvalidExpressionError, match="missing"):
        derive(FRAME, "if(a > 1, missing, missing)")


def test_columns_of_any_values_are_read_first() -> None:
    frame = pd.DataFrame({"a": np.array([1, "2", " 3.5 ", "x", None], dtype=object)})
    with pytest.raises(InvalidExpressionError, match="number"):
        derive(frame, "a + 1")
    assert derive(frame, "coalesce(number(a), -1)")["q"].tolist() == [1, 2, 3.5, -1, -1]
    assert derive(frame, "a is missing")["q"].tolist() == [False] * 4 + [True]
    assert derive(frame, "coalesce(text(a), '-')")["q"].tolist() == ["1", "2", " 3.5 ", "x", "-"]


def test_a_column_of_objects_of_one_kind_is_of_that_kind() -> None:
    frame = pd.DataFrame({"t": np.array(["x", None], dtype=object), "n": np.array([2, 3], dtype=object)})
    assert derive(frame, "upper(t)")["q"].tolist()[0] == "X"
    assert derive(frame, "n * 2")["q"].tolist() == [4, 6]


def test_categories_are_what_they_stand_for() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["lo", None, "hi"]), "g": pd.Categorical([1, 2, None])})
    assert derive(frame, "coalesce(upper(c), '?')")["q"].tolist() == ["LO", "?", "HI"]
    assert derive(frame, "coalesce(g * 10, 0)")["q"].tolist() == [10, 20, 0]


def test_whole_numbers_without_a_sign_must_fit_those_with_one() -> None:
    frame = pd.DataFrame({"u": np.array([2**63], dtype="uint64")})
    with pytest.raises(InvalidExpressionError, match="64 bits"):
        derive(frame, "u + 1")


def test_a_whole_number_is_not_rounded_to_go_with_others() -> None:
    frame = pd.DataFrame({"i": [2**53 + 1], "f": [0.5]})
    with pytest.raises(InvalidExpressionError, match="rounded"):
        derive(frame, "coalesce(f, i)")
    assert derive(frame, "i == 9007199254740992.0")["q"].tolist() == [False]


def test_texts_do_not_grow_without_bound() -> None:
    frame = pd.DataFrame({"t": ["a" * 1000]})
    grown = "replace(" * 8 + "t" + ", 'a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')" * 8
    with pytest.raises(InvalidExpressionError, match="grow"):
        derive(frame, grown)


# --- dates --------------------------------------------------------------------------------------------

VISITS = pd.DataFrame(
    {
        "d": pd.to_datetime(["2020-02-29T23:30", None]),
        "z": pd.to_datetime(["2020-02-29T23:30Z", None]).tz_convert("Europe/Berlin"),
        "t": ["2020-03-01", "never"],
    }
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("day(d)", 29),
        ("day(z)", 1),
        ("hour(z)", 0),
        ("date(d)", pd.Timestamp("2020-02-29")),
        ("date(z)", pd.Timestamp("2020-03-01")),
        ("date(t)", pd.Timestamp("2020-03-01")),
        ("date(t) - date(d)", 1.0),
        ("d + 1", pd.Timestamp("2020-03-01T23:30")),
        ("d - 0.5", pd.Timestamp("2020-02-29T11:30")),
        ("z + 1", pd.Timestamp("2020-03-02T00:30", tz="Europe/Berlin")),
        ("text(d)", "2020-02-29T23:30:00"),
        ("text(z)", "2020-03-01T00:30:00+01:00"),
        ("text(date(d))", "2020-02-29"),
        ("d < date('2020-03-01')", True),
        ("max(d, date('2021-01-01'))", pd.Timestamp("2021-01-01")),
        ("d + 1e9 is missing", True),
    ],
)
def test_dates_go_by_the_calendar_of_their_zone(expression: str, expected: Any) -> None:
    assert derive(VISITS, expression)["q"].iloc[0] == expected


@pytest.mark.parametrize(
    "expression", ["d + d", "1 - d", "d == z", "d == t", "number(d)", "date(1)", "d * 2", "-d"]
)
def test_what_makes_no_sense_of_dates_is_refused(expression: str) -> None:
    with pytest.raises(InvalidExpressionError):
        derive(VISITS, expression)


# --- texts --------------------------------------------------------------------------------------------


def texts(column: Any, **operation: Any) -> list[Any]:
    result = apply(pd.DataFrame({"t": column}), [operation])["t"]
    return [None if pd.isna(cell) else cell for cell in result]


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string"])
def test_white_space_is_trimmed_in_texts_of_every_dtype(dtype: str) -> None:
    column = pd.Series([" a  b ", None, "\u00a0x\t", " "], dtype=dtype)
    assert texts(column, op="trim_text") == ["a  b", None, "x", ""]
    assert texts(column, op="trim_text", side="left") == ["a  b ", None, "x\t", ""]
    assert texts(column, op="trim_text", side="right") == [" a  b", None, "\u00a0x", ""]
    assert texts(column, op="trim_text", collapse=True) == ["a b", None, "x", ""]
    assert texts(column, op="trim_text", empty_to_missing=True) == ["a  b", None, "x", None]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("upper", "O'BRIEN-STRASSE"),
        ("lower", "o'brien-straße"),
        ("title", "O'Brien-Straße"),
        ("sentence", "O'brien-straße"),
    ],
)
def test_texts_change_their_case_as_python_does(to: str, expected: str) -> None:
    assert texts(["o'BRIEN-straße", None], op="change_case", to=to) == [expected, None]


def test_what_is_no_text_stays_among_texts() -> None:
    cells = np.array([" x ", 5, None, b" y "], dtype=object)
    assert texts(cells, op="trim_text") == ["x", 5, None, b" y "]


def test_texts_among_objects_stay_objects() -> None:
    frame = pd.DataFrame({"t": pd.Series([" x ", "y"], dtype=object)})
    result = apply(frame, [{"op": "trim_text"}])["t"]
    assert result.dtype == object
    assert result.tolist() == ["x", "y"]


def test_categories_that_become_equal_become_one() -> None:
    column = pd.Categorical(["A", "a", "b ", None], ["b ", "a", "A"])
    result = apply(pd.DataFrame({"t": column}), [{"op": "trim_text"}, {"op": "change_case", "to": "lower"}])[
        "t"
    ]
    assert result.cat.categories.tolist() == ["b", "a"]
    assert result.cat.codes.tolist() == [1, 1, 0, -1]


def test_texts_already_so_are_not_touched() -> None:
    frame = pd.DataFrame({"t": ["x", None]})
    assert apply_tracked(frame, [{"op": "trim_text"}]).touched == frozenset()


def test_a_column_named_that_holds_no_text_is_refused() -> None:
    with pytest.raises(InvalidEditError, match="Cast it to text"):
        apply(FRAME, [{"op": "trim_text", "columns": ["a"]}])
    assert_identical(apply(FRAME, [{"op": "trim_text"}]), FRAME)


def test_an_expression_holds_only_so_much_memory() -> None:
    rows = 5_000_000
    frame = pd.DataFrame({"a": np.broadcast_to(np.zeros(1), rows)}, copy=False)
    nested = "(a-" * 35 + "a" + ")" * 35
    with pytest.raises(InvalidExpressionError, match="memory"):
        derive(frame, f"min({', '.join([nested] * 27)})")
    chain = " or ".join(["a == 1"] * 400)
    assert apply(frame.head(10), [{"op": "filter_rows", "where": chain}]).shape == (0, 1)

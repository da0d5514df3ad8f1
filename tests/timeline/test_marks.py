"""Intentional-missing marks: checks, bytes, and what becomes of them on another frame."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.errors import InvalidMarksError, NewerFormatError, SessionDamagedError
from framekeep.marks import MAX_REASONS, Marks
from framekeep.marks.encoding import encode

COLUMNS = pd.Index(["age", "sex", "dose"])


def marks(**rows: list[int]) -> Marks:
    return Marks().replaced(rows, COLUMNS, 1_000)


# --- what may be marked -----------------------------------------------------------------------------


def test_rows_come_back_sorted_and_once() -> None:
    assert marks(age=[5, 1, 5, 3]).labelled(COLUMNS) == {"age": [1, 3, 5]}


def test_setting_replaces_a_column_and_leaves_the_others() -> None:
    changed = marks(age=[1], sex=[2]).replaced({"age": [7]}, COLUMNS, 10)
    assert changed.labelled(COLUMNS) == {"age": [7], "sex": [2]}


def test_an_empty_list_clears_the_column() -> None:
    assert not marks(age=[1]).replaced({"age": []}, COLUMNS, 10)


@pytest.mark.parametrize(
    "rows",
    [
        [np.int64(1), np.uint8(2)],
        (1, 2),
        {2, 1},
        range(1, 3),
        np.array([2, 1], dtype=np.int16),
        pd.Series([1, 2]),
        pd.Index([1, 2]),
        iter([1, 2]),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_any_collection_of_integers_is_taken(rows: object) -> None:
    assert Marks().replaced({"age": rows}, COLUMNS, 10).labelled(COLUMNS) == {"age": [1, 2]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "rows",
    [
        [True],
        [np.True_],
        np.array([True, False]),
        [1.0],
        np.array([1.0]),
        ["1"],
        [None],
        "12",
        b"12",
        5,
        None,
        {1: 2},
        np.array([[1]]),
    ],
    ids=repr,
)
def test_what_is_no_row_position_is_refused(rows: object) -> None:
    with pytest.raises(InvalidMarksError, match="'age'"):
        Marks().replaced({"age": rows}, COLUMNS, 10)  # type: ignore[dict-item]


@pytest.mark.parametrize("row", [-1, 10, 10**30, np.int64(-5)])
def test_a_row_the_frame_does_not_have_is_refused_by_name(row: int) -> None:
    with pytest.raises(InvalidMarksError, match=rf"'age' name row {row}; the frame has 10 row"):
        Marks().replaced({"age": [0, row]}, COLUMNS, 10)


def test_a_row_outside_is_found_in_an_array_too() -> None:
    with pytest.raises(InvalidMarksError, match="row 10"):
        Marks().replaced({"age": np.array([0, 10])}, COLUMNS, 10)


def test_a_column_the_frame_does_not_have_is_refused_by_name() -> None:
    with pytest.raises(InvalidMarksError, match="'weight'"):
        marks(weight=[1])


def test_a_label_that_occurs_twice_is_refused() -> None:
    with pytest.raises(InvalidMarksError, match="more than once"):
        Marks().replaced({"a": [0]}, pd.Index(["a", "b", "a"]), 5)


def test_an_unhashable_column_is_refused() -> None:
    class Odd(dict):  # type: ignore[type-arg]
        def items(self):  # type: ignore[no-untyped-def]
            return [([], [1])]

    with pytest.raises(InvalidMarksError):
        Marks().replaced(Odd(), COLUMNS, 5)


def test_marks_must_be_a_mapping() -> None:
    with pytest.raises(InvalidMarksError, match="list"):
        Marks().replaced([("age", [1])], COLUMNS, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index([3, 1, 2]),
        pd.Index([("a", 1), "b", None], dtype=object),
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
        pd.DatetimeIndex(["2026-01-01", "2026-01-02", "2026-01-03"]),
        pd.Index([1.5, np.nan, 2.0]),
    ],
    ids=["int", "mixed", "multi", "datetime", "nan"],
)
def test_any_label_of_the_frame_is_taken(columns: pd.Index) -> None:
    for label in columns:
        [(found, rows)] = Marks().replaced({label: [0]}, columns, 1).labelled(columns).items()
        assert rows == [0]
        assert found == label or (found != found and label != label)


# --- on another frame -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns", [pd.Index([3, 7]), pd.Index([0.5, 7.0]), pd.MultiIndex.from_product([[7], [1, 2]])]
)
def test_labels_are_of_pythons_own_types(columns: pd.Index) -> None:
    [label] = Marks().replaced({columns[1]: [0]}, columns, 1).labelled(columns)
    assert {type(part) for part in (label if isinstance(label, tuple) else [label])} <= {int, float}


def test_marks_follow_their_column_by_label() -> None:
    after = pd.Index(["dose", "new", "age"])
    assert marks(age=[1], sex=[2], dose=[3]).carried(COLUMNS, after, 10).labelled(after) == {
        "dose": [3],
        "age": [1],
    }


def test_marks_of_rows_that_are_gone_are_left_out() -> None:
    assert marks(age=[1, 4, 5]).carried(COLUMNS, COLUMNS, 5).labelled(COLUMNS) == {"age": [1, 4]}


def test_marks_of_a_label_that_became_ambiguous_are_left_out() -> None:
    assert not marks(age=[1]).carried(COLUMNS, pd.Index(["age", "age"]), 5)


def test_marks_follow_rows_and_columns_to_where_they_went() -> None:
    after = pd.Index(["new", "years", "dose"])
    moved = reasoned().carried(
        COLUMNS,
        after,
        3,
        row_sources=np.array([5, 1, 3]),
        column_sources=np.array([-1, 0, 2]),
    )
    assert moved.labelled(after) == {"years": [0, 2]}
    assert moved.reasons(after) == {"years": {"refused": [0], "not asked": [2]}}


@settings(deadline=None)
@given(st.data())
def test_marks_that_follow_their_rows_are_those_that_a_column_of_flags_would_give(
    data: st.DataObject,
) -> None:
    rows = data.draw(st.integers(1, 30))
    flags = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    sources = np.array(
        data.draw(st.lists(st.integers(0, rows - 1), max_size=40, unique=True)), dtype=np.int64
    )
    before = Marks({1: np.flatnonzero(flags)})
    after = before.carried(COLUMNS, COLUMNS, len(sources), row_sources=sources)
    assert after == Marks({1: np.flatnonzero(flags[sources])})


# --- reasons ----------------------------------------------------------------------------------------


def reasoned() -> Marks:
    return (
        Marks()
        .replaced(
            {
                "age": [
                    {"rows": [1, 3], "reason": "not asked"},
                    {"rows": [5], "reason": "refused"},
                    {"rows": [0]},
                ],
                "sex": [{"rows": [2], "reason": "not asked"}],
            },
            COLUMNS,
            10,
        )
        .replaced({"age": [0, 3, 5]}, COLUMNS, 10)
    )


def test_reasons_are_kept_beside_the_rows() -> None:
    marks = reasoned()
    assert marks.labelled(COLUMNS) == {"age": [0, 3, 5], "sex": [2]}
    assert marks.reasons(COLUMNS) == {
        "age": {"not asked": [3], "refused": [5]},
        "sex": {"not asked": [2]},
    }


def test_the_reason_of_rows_given_without_one_stays_beside_new_ones() -> None:
    marks = reasoned().replaced(
        {"age": [{"rows": [3]}, {"rows": [4], "reason": "not asked"}, {"rows": [5], "reason": None}]},
        COLUMNS,
        10,
    )
    assert marks.reasons(COLUMNS)["age"] == {"not asked": [3, 4], "refused": [5]}


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_a_blank_reason_is_none(reason: str) -> None:
    marks = reasoned().replaced({"age": [{"rows": [3, 5], "reason": reason}]}, COLUMNS, 10)
    assert marks.reasons(COLUMNS) == {"sex": {"not asked": [2]}}


def test_too_many_reasons_are_refused() -> None:
    entries = [{"rows": [row], "reason": str(row)} for row in range(MAX_REASONS + 1)]
    with pytest.raises(InvalidMarksError, match="10,000"):
        Marks().replaced({"age": entries}, COLUMNS, len(entries))


def test_reasons_make_marks_differ() -> None:
    plain = Marks().replaced(reasoned().labelled(COLUMNS), COLUMNS, 10)
    assert plain != reasoned()
    assert reasoned().replaced({"age": []}, COLUMNS, 10) != plain


def test_without_reasons_the_bytes_are_those_of_format_1() -> None:
    assert marks(age=[1]).encode()[0] == 1
    assert reasoned().encode()[0] == 2
    assert reasoned().replaced({"age": [], "sex": []}, COLUMNS, 10) == Marks()


@settings(deadline=None)
@given(st.data())
def test_bytes_give_reasons_back(data: st.DataObject) -> None:
    rows: dict[int, np.ndarray] = {}  # type: ignore[type-arg]
    reasons: dict[int, dict[str, np.ndarray]] = {}  # type: ignore[type-arg]
    for position in data.draw(st.sets(st.integers(0, 9), max_size=4)):
        of_row = data.draw(
            st.dictionaries(st.integers(0, 500), st.none() | st.sampled_from("abé\U0001f600"), max_size=20)
        )
        rows[position] = np.array(sorted(of_row), dtype=np.int64)
        texts = {text for text in of_row.values() if text is not None}
        reasons[position] = {
            text: np.array(sorted(row for row in of_row if of_row[row] == text), dtype=np.int64)
            for text in texts
        }
    whole = Marks(rows, reasons)
    assert Marks.decode(whole.encode()) == whole
    assert Marks.decode(whole.encode()).encode() == whole.encode()


@settings(deadline=None)
@given(st.data())
def test_damaged_reasons_are_refused_or_are_other_marks(data: st.DataObject) -> None:
    good = reasoned().encode()
    with pytest.raises(SessionDamagedError):
        Marks.decode(good[: data.draw(st.integers(0, len(good) - 1))])
    flipped = bytearray(good)
    at, bit = data.draw(st.integers(1, len(good) - 1)), data.draw(st.integers(0, 7))
    flipped[at] ^= 1 << bit
    with contextlib.suppress(SessionDamagedError):
        assert Marks.decode(bytes(flipped)) != reasoned()


def test_a_reason_for_a_row_that_is_not_marked_is_damage() -> None:
    wrong = encode({0: np.array([1])}, {0: {"x": np.array([2])}})
    twice = encode({0: np.array([1])}, {0: {"x": np.array([1]), "y": np.array([1])}})
    for data in (wrong, twice):
        with pytest.raises(SessionDamagedError):
            Marks.decode(data)


# --- bytes ------------------------------------------------------------------------------------------

ROWS = st.one_of(
    st.sets(st.integers(0, 300), max_size=60),
    st.sets(st.integers(0, 2**40), max_size=20),
    st.builds(
        lambda runs: {row for start, length in runs for row in range(start, start + length)},
        st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 400)), max_size=4),
    ),
)


@given(st.dictionaries(st.integers(0, 40), ROWS, max_size=5))
def test_bytes_give_the_marks_back(rows: dict[int, set[int]]) -> None:
    given_marks = Marks({position: np.array(sorted(some), dtype=np.int64) for position, some in rows.items()})
    assert Marks.decode(given_marks.encode()) == given_marks


@given(st.permutations(list(range(30))))
def test_bytes_do_not_depend_on_the_order_of_rows(rows: list[int]) -> None:
    assert marks(age=rows[:20]).encode() == marks(age=sorted(rows[:20])).encode()


def test_bytes_do_not_depend_on_the_order_of_columns() -> None:
    assert marks(age=[1], sex=[2]).encode() == marks(sex=[2], age=[1]).encode()


@pytest.mark.parametrize(
    ("rows", "most"),
    [
        (np.arange(1_000_000), 100),  # one run
        (np.arange(0, 2_000_000, 2), 260_000),  # every other: a bitmap
        (np.arange(0, 10**9, 1000), 2_100_000),  # far apart: deltas of two bytes
    ],
    ids=["run", "bitmap", "deltas"],
)
def test_a_million_marks_are_small(rows: np.ndarray, most: int) -> None:  # type: ignore[type-arg]
    data = Marks({0: rows}).encode()
    assert len(data) < most
    assert Marks.decode(data) == Marks({0: rows})


@given(st.data())
def test_damaged_bytes_are_refused(data: st.DataObject) -> None:
    good = marks(age=[1, 2, 3, 50], sex=[9], dose=list(range(0, 900, 7))).encode()
    with pytest.raises(SessionDamagedError):
        Marks.decode(good[: data.draw(st.integers(0, len(good) - 1))])
    flipped = bytearray(good)
    flipped[data.draw(st.integers(1, 4))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SessionDamagedError):
        Marks.decode(bytes(flipped))


def test_newer_marks_are_refused_clearly() -> None:
    with pytest.raises(NewerFormatError, match="newer"):
        Marks.decode(b"\x03" + marks(age=[1]).encode()[1:])

"""A CSV column gets a type only when it loses nothing."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framekeep.cli.csv_types import typed


def column(*cells: str | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, pa.string())])


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (("1", "-2", "0"), "int64"),
        (("1", None), "Int64"),
        (("9223372036854775807",), "int64"),
        (("18446744073709551615",), "uint64"),
        (("18446744073709551615", None), "UInt64"),
        (("1.50", "2.25"), "float64"),
        (("1.5", None), "float64"),
        (("1e-05", "2.5e+20"), "float64"),
        (("0.10000000000000001", "2"), "float64"),
        (("-0.0", "1"), "float64"),
        (("true", "false"), "bool"),
        (("TRUE", None), "boolean"),
        (("2021-01-02", None), "datetime64[s]"),
        (("0001-01-01",), "datetime64[s]"),
        (("2021-01-02 03:04:05",), "datetime64[s]"),
        (("2021-01-02T03:04:05.123456",), "datetime64[us]"),
        (("2021-01-02T03:04:05.123456789Z",), "datetime64[ns, UTC]"),
    ],
)
def test_gives_the_type_that_holds_every_cell(cells: tuple[str | None, ...], dtype: str) -> None:
    assert str(typed(column(*cells)).values.dtype) == dtype


@pytest.mark.parametrize(
    "cells",
    [
        ("00501", "10001"),  # a postal code
        ("+491234",),
        ("1E5", "2E7"),  # wells of a plate
        ("1.1", "1.10"),  # two releases
        ("1", "1.0"),
        ("99999999999999999999", "1"),  # beyond 64 bit
        ("9007199254740993", "0.5"),  # beyond 2^53 beside a fraction
        ("0.12345678901234567890",),
        ("1e+400",),
        ("5e-324",),
        ("1,5",),
        (" 1", "2"),
        ("1_000",),
        ("NA", "1"),
        ("nan",),
        ("inf",),
        ("true", "True"),
        ("yes", "no"),
        ("2021-02-30",),
        ("2021-01-02", "2021-01-02 00:00:00"),
        ("01/02/2021",),
        ("2300-01-01 00:00:00.000000001",),  # outside what nanoseconds hold
        ("0x10",),
        ("", "1"),
    ],
)
def test_keeps_text_that_a_type_would_change(cells: tuple[str, ...]) -> None:
    found = typed(column(*cells))
    assert str(found.values.dtype) == "str"
    assert found.values.tolist() == list(cells)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("00501", "10001"), "leading zeros"),
        (("+49", "+50"), "leading plus signs"),
        (("1,5", "2"), "decimal commas"),
        ((" 1", "2"), "spaces around numbers"),
        (("1", "2", "many"), "not every cell is a number"),
        (("1", "2", "NA"), "it has the word NA; if that means no value, say --missing 'NA'"),
        (
            ("1.1", "1.10"),
            "more digits than a number type keeps, or the same number written in different ways",
        ),
    ],
)
def test_says_why_a_column_of_numbers_stayed_text(cells: tuple[str, ...], reason: str) -> None:
    assert typed(column(*cells)).reason == reason


def test_a_reason_quotes_no_cell_but_well_known_words() -> None:
    assert "Smith" not in str(typed(column("1", "2", "3", "Smith")).reason)


def test_says_nothing_of_words() -> None:
    assert typed(column("Adelie", "Gentoo")).reason is None


def test_a_column_without_values_stays_text() -> None:
    found = typed(column(None, None))
    assert str(found.values.dtype) == "str"
    assert found.values.isna().all()


def test_integers_beyond_two_to_the_53rd_keep_every_digit_beside_missing_ones() -> None:
    assert typed(column("9007199254740993", None)).values.tolist() == [9007199254740993, pd.NA]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1))
def test_floats_as_python_writes_them_come_back_bit_for_bit(numbers: list[float]) -> None:
    found = typed(column(*map(repr, numbers))).values
    if found.dtype == "float64":
        assert [each.hex() for each in found.tolist()] == [each.hex() for each in numbers]
    else:  # text: repr never writes one number in two ways, but 5e-324 and 1e+308 have their reasons
        assert found.tolist() == list(map(repr, numbers))


@given(
    st.lists(st.from_regex(r"[-+]?[0-9]{0,20}\.?[0-9]{0,20}(e[-+]?[0-9]{1,2})?", fullmatch=True), min_size=1)
)
def test_different_texts_stay_different(cells: list[str]) -> None:
    values = typed(column(*cells)).values
    assert len({repr(value) for value in values.tolist()}) == len(set(cells))


@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_integers_are_exact_whatever_their_size(numbers: list[int]) -> None:
    values = typed(column(*map(str, numbers))).values
    assert [int(value) for value in values] == numbers

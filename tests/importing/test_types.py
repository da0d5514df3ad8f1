"""A column of text gets a type only when it loses nothing, or when somebody asks for it; and says why."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framekeep.errors import UnknownColumnError, WrongTypeError
from framekeep.importing.model import TYPES, ImportOptions
from framekeep.importing.spool import Spool
from framekeep.importing.types import PLAIN, Typed, cast_text, find_type, type_columns

UNHURRIED = settings(deadline=None)  # a deadline measures what else the machine does


def column(*cells: str | None, chunk: int = 3) -> pa.ChunkedArray:
    """Return the cells in chunks, of which one is empty."""
    parts = [cells[start : start + chunk] for start in range(0, len(cells), chunk)]
    return pa.chunked_array([pa.array(part, pa.string()) for part in [*parts, ()]], pa.string())


def values(*cells: str | None) -> list[object]:
    found = find_type(column(*cells)).values
    assert found is not None
    return found.to_pylist()


@pytest.mark.parametrize(
    ("cells", "name", "kind"),
    [
        (("1", "-2", "0"), "integer", pa.int64()),
        (("1", None), "integer", pa.int64()),
        (("9223372036854775807",), "integer", pa.int64()),
        (("18446744073709551615",), "integer", pa.uint64()),
        (("1.50", "2.25"), "number", pa.float64()),
        (("1", "2.5"), "number", pa.float64()),
        (("1.5", None), "number", pa.float64()),
        (("1e-05", "2.5e+20"), "number", pa.float64()),
        (("0.10000000000000001", "2"), "number", pa.float64()),
        (("-0.0", "1"), "number", pa.float64()),
        (("true", "false"), "boolean", pa.bool_()),
        (("TRUE", None), "boolean", pa.bool_()),
        (("2021-01-02", None), "date", pa.date32()),
        (("0001-01-01", "9999-12-31"), "date", pa.date32()),
        (("2021-01-02 03:04:05",), "datetime", pa.timestamp("s")),
        (("2021-01-02 03:04",), "datetime", pa.timestamp("s")),
        (("2021-01-02T03:04:05.1", "2021-01-02T03:04:05.2"), "datetime", pa.timestamp("ms")),
        (("2021-01-02T03:04:05.123456",), "datetime", pa.timestamp("us")),
        (("2021-01-02T03:04:05", "2021-01-02T03:04:05.123456"), "datetime", pa.timestamp("us")),
        (("2021-01-02T03:04:05.123456789Z",), "datetime", pa.timestamp("ns", "UTC")),
        (("2021-01-02T03:04:05+01:00", "2021-07-02T03:04:05+01:00"), "datetime", pa.timestamp("s", "+01:00")),
        (("2021-01-02T03:04:05-0530",), "datetime", pa.timestamp("s", "-05:30")),
        (("31/12/2020", "01/02/2021"), "date", pa.date32()),
        (("12/31/2020", "01/02/2021"), "date", pa.date32()),
        (("31.12.2020", "1.2.2021"), "date", pa.date32()),
        (("31-12-2020 9:30", "01-02-2021 23:59"), "datetime", pa.timestamp("s")),
        (("2020/12/31", "2021/01/02"), "date", pa.date32()),
    ],
)
def test_gives_the_type_that_holds_every_cell(
    cells: tuple[str | None, ...], name: str, kind: pa.DataType
) -> None:
    found = find_type(column(*cells))
    assert found.values is not None
    assert (found.type, found.values.type) == (name, kind)
    assert found.values.null_count == cells.count(None)


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
        ("1e-400",),
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
        ("2021-01-02 03:04:05", "2021-01-02T03:04:05"),
        ("2021-01-02T03:04:05Z", "2021-01-02T03:04:05"),
        ("2021-01-02T03:04:05+01:00", "2021-07-02T03:04:05+02:00"),
        ("2021-01-02T03:04:05.1", "2021-01-02T03:04:05.10"),
        ("2021-01-02T03:04:05", "2021-01-02T03:04:05.000"),
        ("01/02/2021",),
        ("13/01/2021", "01/13/2021"),
        ("13/01/2021", "02-01-2021"),
        ("13/01/2021", "13/1/2021"),
        ("31/04/2021", "04/30/2021"),
        ("13/01/21",),
        ("12:30",),
        ("2300-01-01 00:00:00.000000001",),  # outside what nanoseconds hold
        ("0x10",),
        ("", "1", None),
        ("", ""),
        ("1", "2", "3", "4", "5", "late"),
    ],
)
def test_keeps_text_that_a_type_would_change(cells: tuple[str, ...]) -> None:
    found = find_type(column(*cells))
    assert found == Typed(None, "text", found.reason)


def test_a_late_odd_cell_leaves_a_long_column_text_and_is_named() -> None:
    cells = [*map(str, range(5_000)), "many", *map(str, range(5_000))]
    found = find_type(column(*cells, chunk=700))
    assert found.reason == "1 of 10,001 cells is no number, the first in row 5,001"


def test_a_column_that_begins_with_long_gaps_is_looked_at_where_its_cells_are() -> None:
    cells = [None] * 10_000 + ["7"] + [None] * 300
    assert find_type(column(*cells, chunk=1000)).type == "integer"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("00501", "10001"), "1 cell has leading zeros, which a number has not (the first is in row 1)"),
        (("+49", "+50"), "2 cells have leading plus signs, which a number has not (the first is in row 1)"),
        ((" 1", "2"), "1 cell has spaces around numbers (the first is in row 1)"),
        (("1", "2", "1E5"), "1 cell has an exponent as in 1E5, which may be a name (the first is in row 3)"),
        (("1", "2", "many"), "1 of 3 cells is no number, the first in row 3"),
        (
            ("1", "2", None, "NA", "."),
            "2 cells have the word '.' and 'NA', the first in row 4; if that means no value, list it under "
            "the missing words",
        ),
        (
            ("1.1", "1.10"),
            "some numbers are written in different ways, such as 1.1 and 1.10, which may be different names; "
            "if not, ask for the type number",
        ),
        (("0.12345678901234567890", "1"), "some numbers have more digits than a number type keeps"),
        (("99999999999999999999", "1"), "some whole numbers are beyond 64 bits"),
        (("1", "", "2", None), "1 cell has empty quotes, the first in row 2, and others no value at all"),
        (
            ("01/02/2021", None, "03/04/2021"),
            "day and month cannot be told apart, for none is above 12: ask for the type date:dmy or date:mdy",
        ),
        (("2021-01-02", "2021-01-03", "soon"), "1 of 3 cells is no date, the first in row 3"),
        (
            ("2021-01-02", "2021-02-30"),
            "the dates are in several forms, or some are in no calendar: ask for the type date or datetime",
        ),
        (("yes", "no"), "the words may mean true and false, or not; if they do, ask for the type boolean"),
        (("Adelie", "Gentoo"), PLAIN),
        ((None, None), "no cell has a value"),
        ((), "no cell has a value"),
    ],
)
def test_says_why_a_column_stayed_text(cells: tuple[str | None, ...], reason: str) -> None:
    assert find_type(column(*cells)).reason == reason


def test_a_decimal_comma_is_told_with_the_types_that_read_it() -> None:
    assert "number:comma or number" in find_type(column("1,5", "2")).reason


def test_empty_quotes_are_no_value_where_there_are_no_other_empty_cells() -> None:
    found = find_type(column("1", "", "3"))
    assert found.values is not None
    assert found.values.to_pylist() == [1, None, 3]
    assert found.reason.endswith("cells with empty quotes have none")


def test_empty_quotes_are_a_value_among_words() -> None:
    assert find_type(column("x", "", "y")).values is None


def test_a_reason_quotes_no_cell_but_well_known_words() -> None:
    assert "Smith" not in find_type(column("1", "2", "3", "Smith")).reason


def test_the_order_of_day_and_month_is_told() -> None:
    found = find_type(column("31/12/2020", "01/02/2021"))
    assert "with the day first" in found.reason
    assert values("31/12/2020", "01/02/2021") == [date(2020, 12, 31), date(2021, 2, 1)]


def test_the_year_may_come_first_with_slashes() -> None:
    assert values("2020/12/31", "2021/1/2") == [date(2020, 12, 31), date(2021, 1, 2)]


def test_offsets_that_are_all_the_same_stay_offsets() -> None:
    zone = timezone(timedelta(hours=1))
    assert values("2021-01-02T03:04:05+01:00") == [datetime(2021, 1, 2, 3, 4, 5, tzinfo=zone)]


def test_a_day_first_date_may_have_a_time() -> None:
    assert values("31.12.2020 9:05", "01.02.2021 23:59") == [
        datetime(2020, 12, 31, 9, 5),
        datetime(2021, 2, 1, 23, 59),
    ]


@UNHURRIED
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False), min_size=1))
def test_floats_as_python_writes_them_come_back_bit_for_bit(numbers: list[float]) -> None:
    found = find_type(column(*map(repr, numbers)))
    if found.values is not None:  # 1e+308 and 10.0 beside 1e1 have their reasons to stay text
        assert [float(each).hex() for each in found.values.to_pylist()] == [each.hex() for each in numbers]


@UNHURRIED
@given(
    st.lists(st.from_regex(r"[-+]?[0-9]{0,20}\.?[0-9]{0,20}(e[-+]?[0-9]{1,2})?", fullmatch=True), min_size=1)
)
def test_different_texts_stay_different(cells: list[str]) -> None:
    found = find_type(column(*cells))
    if found.values is not None:
        assert len({repr(value) for value in found.values.to_pylist()}) == len(set(cells))


@UNHURRIED
@given(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_integers_are_exact_whatever_their_size(numbers: list[int]) -> None:
    found = find_type(column(*map(str, numbers)))
    kept = column(*map(str, numbers)) if found.values is None else found.values
    assert [int(value) for value in kept.to_pylist()] == numbers


@UNHURRIED
@given(st.lists(st.datetimes(), min_size=1))
def test_instants_as_python_writes_them_are_exact(instants: list[datetime]) -> None:
    found = find_type(column(*(each.isoformat() for each in instants)))
    assert found.values is not None
    assert found.values.cast(pa.timestamp("us")).to_pylist() == instants


@UNHURRIED
@given(st.lists(st.dates(min_value=date(1000, 1, 1)), min_size=1), st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"]))
def test_a_date_with_slashes_is_never_another_date(days: list[date], form: str) -> None:
    found = find_type(column(*(f"{day:{form}}" for day in days)))
    if found.values is not None:
        assert found.values.to_pylist() == days
    else:
        assert all(day.day <= 12 for day in days)


# --- types that are asked for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "cells", "expected"),
    [
        ("text", ("1", None), ["1", None]),
        ("integer", ("007", "+5", " 3 ", "-0", "2.00", "000", None), [7, 5, 3, 0, 2, 0, None]),
        ("integer", ("18446744073709551615",), [2**64 - 1]),
        ("number", ("1", "+2.50", "1E5", ".5", "5.", None), [1, 2.5, 1e5, 0.5, 5, None]),
        ("number", ("1,234.5", "00.1"), [1234.5, 0.1]),
        ("number:comma", ("1,5", "1.234,5", "-3", "1 234 567,25"), [1.5, 1234.5, -3, 1234567.25]),
        ("number:comma", ("1.000", "1\u202f234", "1'234,5"), [1000, 1234, 1234.5]),
        ("boolean", ("Yes", "no", "T", "0", "true", None), [True, False, True, False, True, None]),
        ("date", ("2021-01-02", "31/12/2020", None), [date(2021, 1, 2), date(2020, 12, 31), None]),
        ("date", ("2021-01-02 00:00:00",), [date(2021, 1, 2)]),
        ("date", ("2021-01-02T00:00:00Z",), [date(2021, 1, 2)]),
        ("date:dmy", ("01/02/2021", "3.4.2021"), [date(2021, 2, 1), date(2021, 4, 3)]),
        ("date:mdy", ("01/02/2021",), [date(2021, 1, 2)]),
        (
            "datetime:dmy",
            ("01/02/2021 10:30", "2.2.2021"),
            [datetime(2021, 2, 1, 10, 30), datetime(2021, 2, 2)],
        ),
        (
            "datetime",
            ("2021-01-02", "2021-01-02T03:04", "2021-01-02 03:04:05.5", None),
            [datetime(2021, 1, 2), datetime(2021, 1, 2, 3, 4), datetime(2021, 1, 2, 3, 4, 5, 500_000), None],
        ),
        (
            "datetime",
            ("2021-01-02T03:04:05+01:00", "2021-07-02T03:04:05Z"),
            [datetime(2021, 1, 2, 2, 4, 5, tzinfo=UTC), datetime(2021, 7, 2, 3, 4, 5, tzinfo=UTC)],
        ),
        ("category", ("a", "b", "a", "c", None), ["a", "b", "a", "c", None]),
    ],
)
def test_casts_to_what_is_asked_for(
    wanted: str, cells: tuple[str | None, ...], expected: list[object]
) -> None:
    assert cast_text(column(*cells), "c", wanted).to_pylist() == expected


@pytest.mark.parametrize("wanted", TYPES)
def test_casts_a_column_without_values_to_any_type(wanted: str) -> None:
    found = cast_text(column(None, None), "c", wanted)
    assert (len(found), found.null_count) == (2, 2)


@pytest.mark.parametrize(
    ("wanted", "cells", "says", "row"),
    [
        ("integer", ("1", "2.5", None, "x"), "2 cells are no whole number, the first in row 2", 2),
        ("integer", ("1", "99999999999999999999"), "1 cell is beyond 64 bits, the first in row 2", 2),
        ("integer", ("-1", "18446744073709551615"), "1 cell is beyond 64 bits", 2),
        ("number", ("1", "1,5"), "1 cell is no number", 2),
        ("number", ("1e999",), "larger than a number can be", 1),
        ("number", ("nan", "1"), "no number", 1),
        ("number:comma", ("1.5", "2,5"), "no number with a decimal comma", 1),
        ("number:comma", ("", "2,5"), "no number with a decimal comma", 1),
        ("boolean", ("yes", "maybe"), "neither true nor false", 2),
        ("date", ("2021-01-02", "soon"), "1 cell is no date", 2),
        ("date", ("2021-01-02", "2021-02-30"), "no date in the calendar", 2),
        ("date", ("2021-01-02 00:00:01",), "there is a time of day", 1),
        ("date", ("01/02/2021",), "date:dmy or date:mdy", 0),
        ("date", ("13/02/2021", "02/13/2021"), "some dates have the day first and some the month", 0),
        ("date:mdy", ("01/02/2021", "13/02/2021"), "no date with mdy in order", 2),
        ("datetime", ("2021-01-02T03:04:05Z", "2021-01-02T03:04:05"), "without the time zone", 2),
        ("datetime", ("2300-01-01 00:00:00.000000001",), "too far away", 0),
    ],
)
def test_refuses_a_type_that_does_not_fit_and_says_where(
    wanted: str, cells: tuple[str | None, ...], says: str, row: int
) -> None:
    with pytest.raises(WrongTypeError) as refusal:
        cast_text(column(*cells), "c", wanted)
    assert str(refusal.value).startswith(f"The column 'c' cannot be {wanted}: ")
    assert says in str(refusal.value)
    assert refusal.value.where == (f"column 'c', row {row}" if row else "column 'c'")


def test_a_refusal_quotes_no_cell() -> None:
    with pytest.raises(WrongTypeError) as refusal:
        cast_text(column("1", "Smith"), "c", "integer")
    assert "Smith" not in str(refusal.value)


# --- a whole table ------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path: Path):
    with (tmp_path / "spool").open("w+b") as file:
        yield Spool(file, tmp_path)


def settled(spool: Spool, options: ImportOptions, **columns: pa.ChunkedArray):
    stored = spool.keep(pa.table(columns))
    reports, typed = type_columns(stored, list(columns), options, spool, lambda done: None)
    return reports, spool.open(typed), typed, stored


def test_a_table_in_which_nothing_changes_is_the_text_itself(spool: Spool) -> None:
    _, _, typed, stored = settled(spool, ImportOptions(), a=column("x"), b=column("00501"))
    assert typed is stored


def test_a_column_that_stays_text_is_not_stored_twice(spool: Spool) -> None:
    _, table, typed, stored = settled(spool, ImportOptions(), a=column("1"), b=column("x"))
    assert table.to_pydict() == {"a": [1], "b": ["x"]}
    assert typed.columns[1] == stored.columns[1]


def test_words_for_missing_values_are_no_values_and_stay_in_the_text(spool: Spool) -> None:
    options = ImportOptions(missing=("NA", "."))
    reports, table, _, stored = settled(spool, options, a=column("1", "NA", "2"), b=column("x", ".", None))
    assert table.to_pydict() == {"a": [1, None, 2], "b": ["x", None, None]}
    assert [(each.type, each.missing) for each in reports] == [("integer", 1), ("text", 2)]
    assert spool.open(stored).to_pydict() == {"a": ["1", "NA", "2"], "b": ["x", ".", None]}


def test_overrides_are_reported_as_such(spool: Spool) -> None:
    options = ImportOptions(types={"a": "text", "b": "date:dmy"})
    reports, table, _, _ = settled(spool, options, a=column("1"), b=column("01/02/2021"), c=column("1"))
    assert table.to_pydict() == {"a": ["1"], "b": [date(2021, 2, 1)], "c": [1]}
    assert [(each.type, each.overridden) for each in reports] == [
        ("text", True),
        ("date", True),
        ("integer", False),
    ]


def test_without_typing_only_what_is_asked_for_gets_a_type(spool: Spool) -> None:
    options = ImportOptions(typing=False, types={"b": "integer"})
    _, table, _, _ = settled(spool, options, a=column("1"), b=column("1"))
    assert table.to_pydict() == {"a": ["1"], "b": [1]}


def test_a_number_that_is_asked_for_tells_what_it_rounds(spool: Spool) -> None:
    options = ImportOptions(types={"a": "number"})
    reports, *_ = settled(spool, options, a=column("0.12345678901234567890", "1", "9007199254740993"))
    assert reports[0].reason == "this type was asked for; 2 cells have more digits than it keeps"


def test_a_type_for_a_column_that_is_not_there_is_refused(spool: Spool) -> None:
    with pytest.raises(UnknownColumnError, match=r"'z'.*There are 'a'\."):
        settled(spool, ImportOptions(types={"z": "text"}), a=column("1"))


def test_many_columns_come_in_order_from_several_threads(spool: Spool) -> None:
    rows = 20_000
    columns = {f"c{at}": column(*[str(at)] * rows, chunk=5_000) for at in range(12)}
    _, table, _, _ = settled(spool, ImportOptions(), **columns)
    assert [pc.unique(each).to_pylist() for each in table.columns] == [[at] for at in range(12)]

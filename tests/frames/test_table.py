"""get_table gives a value as it is, or refuses its column by name."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from odd.corpus import CORPUS
from one_space import Space

from framekeep.errors import UnsupportedTypeError
from framekeep.frames import FrameCodec

EAST = dt.timezone(dt.timedelta(hours=5))
NOON = dt.datetime(2020, 1, 2, 12)
DAY = dt.date(2020, 1, 1)
NANO = pd.Timestamp("2020-01-01T00:00:00.000000001")


def table(frame: pd.DataFrame) -> pa.Table:
    space, codec = Space(), FrameCodec()
    return codec.table(space.read, space.keep(frame, codec))


def objects(*cells: object) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.Series(np.fromiter(cells, object, len(cells)), dtype=object)})


LOST: dict[str, tuple[object, ...]] = {
    "the time of day": (DAY, NOON),
    "the nanoseconds of an instant": (NANO,),
    "the nanoseconds of an instant among others": (NOON, NANO),
    "the nanoseconds of a duration": (pd.Timedelta(1, "ns"),),
    "the zone of a time of day": (dt.time(1, tzinfo=EAST),),
    "the zone of an instant": (NOON, NOON.replace(tzinfo=EAST)),
    "text among bytes": ("a", b"b"),
    "nanoseconds in a list": ([NANO],),
    "the time of day in a dict": ({"k": DAY}, {"k": NOON}),
}


@pytest.mark.parametrize("what", LOST)
def test_a_column_of_which_arrow_would_lose_something_is_refused(what: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=r"column 'a'") as refusal:
        table(objects(*LOST[what]))
    assert refusal.value.type_name == "object"


KEPT: dict[str, tuple[object, ...]] = {
    "days": (DAY, None),
    "instants": (NOON, pd.Timestamp(NOON)),
    "instants with zones": (NOON.replace(tzinfo=EAST), NOON.replace(tzinfo=dt.UTC)),
    "durations": (dt.timedelta(days=1), pd.Timedelta(1, "us")),
    "bytes": (b"a", None),
    "lists of days": ([DAY, None], None),
}


@pytest.mark.parametrize("what", KEPT)
def test_a_column_that_arrow_can_hold_keeps_its_values(what: str) -> None:
    assert table(objects(*KEPT[what]))["a"].to_pylist() == list(KEPT[what])


def test_rows_without_columns_are_counted() -> None:
    assert table(pd.DataFrame(index=range(5))).num_rows == 5


@pytest.mark.parametrize("label", ["\ud800", 10**5000], ids=["surrogate", "long int"])
def test_a_label_that_is_no_text_is_refused(label: object) -> None:
    with pytest.raises(UnsupportedTypeError, match="column"):
        table(pd.DataFrame([[1]], columns=pd.Index([label], dtype=object)))


@pytest.mark.filterwarnings("ignore")
def test_every_odd_frame_is_given_as_a_table_or_refused_by_name() -> None:
    unnamed = 0
    for odd in CORPUS.values():
        if odd.fate == "kept" and not odd.heavy:
            frame = odd.build()
            try:
                assert table(frame).num_rows == len(frame), odd.name
            except UnsupportedTypeError as refusal:
                unnamed += not refusal.where
    assert unnamed == 0


def test_cells_that_hold_one_list_a_billion_times_are_refused() -> None:
    cell: list[object] = [0] * 10
    for _ in range(30):
        cell = [cell, cell]
    with pytest.raises(UnsupportedTypeError, match=r"column 'a' .* repeated"):
        table(objects(cell))


def test_cells_that_are_one_list_are_given_each() -> None:
    cell = [1, 2]
    assert table(objects(*[cell] * 1000))["a"].to_pylist() == [[1, 2]] * 1000

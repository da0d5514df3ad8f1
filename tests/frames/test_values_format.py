"""The bytes of version 1 stay what they are: they are in stores, and must open for ever."""

from __future__ import annotations

import collections
import datetime as dt
import ipaddress
import pathlib
import re
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import dateutil.tz
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytz
from dateutil.relativedelta import MO

from framekeep.frames.values import dump, dump_cells, load, load_cells
from framekeep.frames.values_kinds import BACK_REFERENCE, NODES, PICKLED, READERS

SHARED: list[Any] = []
VALUES: dict[str, Any] = {
    "0100": None,
    "0101": False,
    "0102": True,
    "01030700000000000000": 7,
    "0103ffffffffffffffff": -1,
    "01040b0000000000000000000001": 2**80,
    "0105000000000000f83f": 1.5,
    "01060000000000000000000000000000f03f": 1j,
    "01070361c3a4": "aä",
    "010803eda080": "\ud800",
    "01090162": b"b",
    "010a0162": bytearray(b"b"),
    "010b": ...,
    "010c": NotImplemented,
    "011002030100000000000000100100": [1, [None]],
    "01100210001c01": [SHARED, SHARED],
    "011102030100000000000000070178": (1, "x"),
    "01120407016b03010000000000000000030200000000000000": {"k": 1, None: 2},
    "011303030100000000000000030200000000000000070161": {2, 1, "a"},
    "011401070162": frozenset({"b"}),
    "011502070162030100000000000000": collections.OrderedDict(b=1),
    "01160303010000000000000003020000000000000007046c697374": collections.defaultdict(list, {1: 2}),
    "011704070161030200000000000000070162030100000000000000": collections.Counter("aab"),
    "011802030100000000000000030300000000000000": collections.deque([1], 3),
    "011903030100000000000000030900000000000000030200000000000000": range(1, 9, 2),
    "011a030003050000000000000000": slice(None, 5),
    "0120052d312e3530": Decimal("-1.50"),
    "012102030100000000000000030300000000000000": Fraction(1, 3),
    "012200000000000000000000000000000102": uuid.UUID(int=258),
    "012302070b49507634416464726573730707312e322e332e34": ipaddress.ip_address("1.2.3.4"),
    "012402070d50757265506f7369785061746807042f612f62": pathlib.PurePosixPath("/a/b"),
    "0125020702612b032200000000000000": re.compile("a+", re.I),
    "01260c6275696c74696e732e696e74": int,
    "01260d6e756d70792e666c6f61743634": np.float64,
    "0130cc400b00": dt.date(2020, 2, 29),
    "01310303c478e8dd0000000003010000000000000000": dt.time(1, 2, 3, 4, fold=1),
    "013200d0b4b0b45fe200": dt.datetime(2020, 2, 29, 12),
    ("0133030300d0b4b0b45fe200030000000000000000350134000000000000000000000000"): dt.datetime(
        2020, 2, 29, 12, tzinfo=dt.UTC
    ),
    "0134ffffffff0200000003000000": dt.timedelta(-1, 2, 3),
    "0135023400000000100e000000000000070178": dt.timezone(dt.timedelta(hours=1), "x"),
    "01360d4575726f70652f4265726c696e": ZoneInfo("Europe/Berlin"),
    (
        "013704070d4575726f70652f4265726c696e34000000006c0c0000000000003400000000000000000000000007034c4d54"
    ): pytz.timezone("Europe/Berlin"),
    (
        "013704070d4575726f70652f4265726c696e3400000000201c0000000000003400000000100e000000000000070443455354"
    ): pytz.timezone("Europe/Berlin").localize(dt.datetime(2020, 7, 1)).tzinfo,
    "0138": pytz.utc,
    "013901035a00000000000000": pytz.FixedOffset(90),
    "013a": dateutil.tz.tzutc(),
    "013b0207017834000000003c00000000000000": dateutil.tz.tzoffset("x", 60),
    "01406201fd": np.int8(-3),
    "014071080500000000000000": np.longlong(5),
    "014066040000c03f": np.float32(1.5),
    "0141083c4d385b3235735d0009c30300000000": np.datetime64("2020-01-01", "25s"),
    "0141073c6d385b6e735d0700000000000000": np.timedelta64(7, "ns"),
    "01420161": np.str_("a"),
    "01430161": np.bytes_(b"a"),
    "01440109026162": np.void(b"ab"),
    (
        "014401460447061101070161110147020701690304000000000000001101030000000000000000110100030400"
        "0000000000000111000300000000000000000a0400000000"
    ): np.zeros((), [("a", "<i4")])[()],
    (
        "014604470207016803020000000000000011020302000000000000000302000000000000000301000000000000"
        "000a080100030002000400"
    ): np.asfortranarray(np.array([[1, 2], [3, 4]], "<i2")),
    ("014605470207027c4f030800000000000000110103020000000000000003000000000000000007017800"): np.array(
        ["x", None], object
    ),
    "01470207023e64030800000000000000": np.dtype(">f8"),
    (
        "014706110207016107016211024702070169030400000000000000470207033c55320308000000000000001102"
        "03000000000000000003040000000000000011020000030c0000000000000001"
    ): np.dtype([("a", "<i4"), ("b", "U2")]),
    "01470247020701690304000000000000001101030200000000000000": np.dtype(("i4", (2,))),
    "0150": pd.NA,
    "0151": pd.NaT,
    ("015204030000bf3673b6f71507026e73030000000000000000350134000000000000000000000000"): pd.Timestamp(
        "2020-02-29", tz="UTC"
    ).as_unit("ns"),
    "01530203050000000000000007026e73": pd.Timedelta(5, "ns"),
    ("015402035902000000000000560507084d6f6e7468456e6403010000000000000001120000"): pd.Period("2020-02", "M"),
    "01550303010000000000000003020000000000000007057269676874": pd.Interval(1, 2),
    (
        "0156050711437573746f6d427573696e6573734461790302000000000000000112060708686f6c696461797311"
        "0141063c4d385b445d564700000000000007066f66667365743400000000000000000000000007087765656b6d"
        "61736b07134d6f6e2054756520576564205468752046726900"
    ): pd.offsets.CustomBusinessDay(2, holidays=["2020-01-01"]),
    "015902030000000000000000030200000000000000": MO(2),
}
CELLS: dict[str, list[Any]] = {
    "010000": [None, None],
    "0100100100000000000000ffffffffffffffff": [1, -1],
    "010011000000000000e03f": [0.5],
    "010012010102616263": ["a", "bc"],
    "010013010178": [b"x"],
    "0100140103312e35": [Decimal("1.5")],
    "01001591400b00": [dt.date(2020, 1, 1)],
    "010016000026c1075be200": [dt.datetime(2020, 1, 1)],
    "01001700000000000000000000000000000001": [uuid.UUID(int=1)],
    "0100180275733501340000000000000000000000000040fac1089b0500": [
        pd.Timestamp("2020-01-01", tz="UTC").as_unit("us")
    ],
    "01003f100103010000000000000040620101": [[1], np.int8(1)],
    ("01010002010304101112133f0100000000000000000000000000e03f0101610101780409000000000000000040"): [
        None,
        True,
        False,
        pd.NA,
        pd.NaT,
        1,
        0.5,
        "a",
        b"x",
        2**70,
    ],
}


def cells_of(values: list[Any]) -> Any:
    cells = np.empty(len(values), object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


@pytest.mark.parametrize(("stored", "value"), VALUES.items(), ids=map(repr, VALUES.values()))
def test_a_value_is_written_as_in_version_1(stored: str, value: Any) -> None:
    assert dump(value).hex() == stored


@pytest.mark.parametrize(("stored", "value"), VALUES.items(), ids=map(repr, VALUES.values()))
def test_a_value_of_version_1_is_read(stored: str, value: Any) -> None:
    again = load(bytes.fromhex(stored))
    assert type(again) is type(value)
    assert repr(again) == repr(value)


@pytest.mark.parametrize(("stored", "values"), CELLS.items(), ids=map(repr, CELLS.values()))
def test_cells_of_version_1_are_written_and_read(stored: str, values: list[Any]) -> None:
    assert dump_cells(cells_of(values)).hex() == stored
    again = load_cells(bytes.fromhex(stored), len(values)).tolist()
    assert list(map(type, again)) == list(map(type, values))
    assert repr(again) == repr(values)


def test_an_arrow_scalar_of_version_1_is_read() -> None:
    stored = (
        "0158a002ffffffff780000001000000000000a000c000600050008000a000000000104000c0000000800080000000400"
        "08000000040000000100000014000000100014000800060007000c00000010001000000000000102100000001c000000"
        "0400000000000000000000000000000008000c0008000700080000000000000108000000ffffffff8800000014000000"
        "000000000c0016000600050008000c000c0000000003040018000000080000000000000000000a0018000c0004000800"
        "0a0000003c00000010000000010000000000000000000000020000000000000000000000000000000000000000000000"
        "0000000001000000000000000000000001000000010000000000000000000000000000000700000000000000ffffffff"
        "00000000"
    )
    assert load(bytes.fromhex(stored)).equals(pa.scalar(7, pa.int8()))


def test_every_tag_is_documented_and_no_other() -> None:
    page = (pathlib.Path(__file__).parents[2] / "docs" / "format.md").read_text()
    table = page[page.index("### One value") : page.index("*Sharing.*")]
    documented = {
        int(tag, 16)
        for row in re.findall(r"^\| (`[0-9a-f]{2}`(?: `[0-9a-f]{2}`)*) \|", table, re.M)
        for tag in re.findall("[0-9a-f]{2}", row)
    }
    assert documented == {*READERS, *NODES, BACK_REFERENCE, PICKLED}

"""The bytes of version 1 stay what they are: they are in stores, and must open for ever."""

from __future__ import annotations

import collections
import datetime as dt
import ipaddress
import pathlib
import re
import uuid
from base64 import b85decode
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
from dateutil.relativedelta import MO, relativedelta

from framekeep.frames.values import dump, dump_cells, load, load_cells
from framekeep.frames.values_kinds import BACK_REFERENCE, NODES, PICKLED, READERS
from framekeep.testing.identical import differences

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
    "014804110103020000000000000003000000000000000007017800": np.array(["x", None], object),
    "014a0549020200110103020000000000000003000000000000000007017800": np.array(
        ["x", None], np.dtypes.StringDType(na_object=None)
    ),
    "01490101": np.dtypes.StringDType(coerce=False),
    (
        "014b044604470207016203010000000000000011010302000000000000000300000000000000000a02010246"
        "04470207013f03010000000000000011010302000000000000000300000000000000000a0201004604470207"
        "016203010000000000000011000300000000000000000a010301"
    ): np.ma.array(np.array([1, 2], "i1"), mask=[True, False], fill_value=3),
    "014c": np.ma.masked,
    "012702070a56616c75654572726f721101070178": ValueError("x"),
    (
        "015a1003000000000000000003000000000000000005000000000000f83f0300000000000000000300000000"
        "0000000003000000000000000003000000000000000003000000000000000000000059020300000000000000"
        "0003020000000000000000000000"
    ): relativedelta(days=1.5, weekday=MO(2)),
    "013e020705474d542b3301": dateutil.tz.tzstr("GMT+3"),
    "013f06070345535434ffffffff300b01000000000000340000000000000000000000000000": dateutil.tz.tzrange(
        "EST", -18000
    ),
    "015b010709496e74384474797065": pd.Int8Dtype(),
    "015b02070b506572696f644474797065560507084d6f6e7468456e6403010000000000000001120000": pd.PeriodDtype("M"),
    "015b03070d496e74657276616c4474797065470207016c03080000000000000007046c656674": pd.IntervalDtype(
        "int64", "left"
    ),
    "015b03070b537472696e6744747970650706707974686f6e50": pd.StringDtype("python"),
    (
        "015c024604470207016203010000000000000011010302000000000000000300000000000000000a02010201"
    ): pd.arrays.NumpyExtensionArray(np.array([1, 2], "i1")),
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


def named(value: Any) -> str:
    """Return how a value is written; a set's order is no one's: not its source's, nor another process's."""
    return f"set of {', '.join(sorted(map(repr, value)))}" if isinstance(value, set) else repr(value)


def cells_of(values: list[Any]) -> Any:
    cells = np.empty(len(values), object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


@pytest.mark.parametrize(("stored", "value"), VALUES.items(), ids=map(named, VALUES.values()))
def test_a_value_is_written_as_in_version_1(stored: str, value: Any) -> None:
    assert dump(value).hex() == stored


@pytest.mark.parametrize(("stored", "value"), VALUES.items(), ids=map(named, VALUES.values()))
def test_a_value_of_version_1_is_read(stored: str, value: Any) -> None:
    again = load(bytes.fromhex(stored))
    assert type(again) is type(value)
    assert repr(again) == repr(value) or (isinstance(value, set) and again == value)


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


OTHERS: dict[str, tuple[Any, str]] = {
    "pa.int8": (
        pa.int8(),
        "0bqau|NsC0cmMzZ5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40RR916aWAK5C9Ya2ml5E2LKEJ0"
        "00mG5C8xG000335C8xG8~^|S1ONa40000000000000002mlNK2ml8F2mk;8000012mk;8",
    ),
    "pa.field": (
        pa.field("a", pa.int8(), nullable=False),
        "0bzgv|NsC0cmMzZ5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40RR916aWAK5C9Ya2mk;82LKEJ0"
        "00mG5C8xG000025C8xG8~^|S1ONa4000000RR91VE_OC2mlNK2ml8F2mk;8000012mk;8",
    ),
    "pa.schema": (
        pa.schema([("a", pa.int8())], {"k": "v"}),
        "0b;lT|NsC0umAu65C8xG000UA4gdxK1po*D3IG5A009I55C8xG000UA3;+NC1ONyC3IG5AGynhq1ONa40RR913;+NC2mlNK1"
        "ONyC2mk;85C8xG1ONa40RR91b^rhX0RR91YXATM0RR916aWAK5C9Ya2ml5E2LKEJ000mG5C8xG000335C8xG8~^|S1ONa400"
        "0000RR91VE_OC2mlNK2ml8F2mk;8000012mk;800000",
    ),
    "pa.array": (
        pa.array([1, None], pa.int8()),
        "0b{5F|NsC0cmMzZ5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40RR916aWAK5C9Ya2ml5E2LKEJ0"
        "00mG5C8xG000335C8xG8~^|S1ONa40000000000000002mlNK2ml8F2mk;8000012mk;8|NsC0hyVZp6aWAK000003;-4Y1^"
        "@*B2mlNK3;+NC00RU77ytkO5C8xG00000000UA7yt|a1ONyC3IG5AJOBUy5C8xG0ssI200000000000ssI200000000000RR"
        "91000002mk;8000000ssI200000000000RR910ssI2000000RR91000000RR91000000RR9100000|NsC000000",
    ),
    "pa.chunked_array": (
        pa.chunked_array([[1], [2]], pa.int8()),
        "0c5xX|NsC0cmMzZ5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40RR916aWAK5C9Ya2ml5E2LKEJ0"
        "00mG5C8xG000335C8xG8~^|S1ONa40000000000000002mlNK2ml8F2mk;8000012mk;8|NsC0hyVZp6aWAK000003;-4Y1^"
        "@*B2mlNK3;+NC00RU77ytkO2mk;800000000UA7yt|a1ONyC3IG5AJOBUy5C8xG0RR9100000000000ssI20000000000000"
        "000000000000000000RR9100000000000RR910RR910000000000000000RR9100000|NsC0hyVZp6aWAK000003;-4Y1^@*"
        "B2mlNK3;+NC00RU77ytkO2mk;800000000UA7yt|a1ONyC3IG5AJOBUy5C8xG0RR9100000000000ssI2000000000000000"
        "0000000000000000RR9100000000000RR910RR910000000000000000ssI200000|NsC000000",
    ),
    "pa.record_batch": (
        pa.record_batch({"a": pa.array([1], pa.int8())}),
        "0cD^9|NsC0cmMzZ5C8xG000UA3;+fI1po*D3IG5A009I53;+NC2mlBG000C42mk;81ONa40RR916aWAK5C9Ya2ml5E2LKEJ0"
        "00mG5C8xG000335C8xG8~^|S1ONa4000000RR91VE_OC2mlNK2ml8F2mk;8000012mk;8|NsC0hyVZp6aWAK000003;-4Y1^"
        "@*B2mlNK3;+NC00RU77ytkO2mk;800000000UA7yt|a1ONyC3IG5AJOBUy5C8xG0RR9100000000000ssI20000000000000"
        "000000000000000000RR9100000000000RR910RR910000000000000000RR9100000|NsC000000",
    ),
    "pa.table": (
        pa.table({"a": pa.array([1], pa.int8())}),
        "0cHYXfC2yi|NnRZ000mG000003IGfM1^@*B2mlHI000011ON;G000O82mk;81ONyC000C400031000yK000mG6aWYS1^@>D3"
        ";+NC5C9MW000000Rj*J000~S000C40000000031003bC000O83;+lK2LK2F00000009U9003m50{{R2|9AiZ01yBG0000A01"
        "N;I00jUD015yA0003501N;C00;mG0000400;m800aO40096102BZK01yBa00;mE00#gJ0000G01yBG000010uTTI02}}S00a"
        "O400000000000000000;mK00;mF00;m8000000SEv90RR90|A+tp02BZK0000001N;Y00saB00;mK01N;C0009702lxO00;m"
        "8000000000A02lxa00aOC015yA06YKy01yBG00961000000000000IC20000000000000000000000000000000096100000"
        "00000009610096100000000000000000961000000RR90{{R3000",
    ),
    "np.busdaycalendar": (
        np.busdaycalendar("1110000", ["2020-01-01"]),
        "0ZjrC2Lb{D0RaI45dlF4JWV)TL|s-#00000000",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_arrow_and_numpy_write_in_their_own_form_is_read_as_in_version_1(name: str) -> None:
    value, stored = OTHERS[name]
    again = load(b85decode(stored))
    assert differences(value, again) == []


def test_every_tag_is_documented_and_no_other() -> None:
    page = (pathlib.Path(__file__).parents[2] / "docs" / "format.md").read_text()
    table = page[page.index("### One value") : page.index("*Sharing.*")]
    documented = {
        int(tag, 16)
        for row in re.findall(r"^\| (`[0-9a-f]{2}`(?: `[0-9a-f]{2}`)*) \|", table, re.M)
        for tag in re.findall("[0-9a-f]{2}", row)
    }
    assert documented == {*READERS, *NODES, BACK_REFERENCE, PICKLED}

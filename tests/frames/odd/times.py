"""Dates with zones, periods, and every kind of index frequency."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable
from functools import partial
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import pytz
from odd.registry import Fate, add, add_column
from pandas import offsets as o
from pandas.tseries import holiday

NAT = np.iinfo("i8").min

ZONES: dict[str, Callable[[], Any]] = {
    "zoneinfo_utc": lambda: zoneinfo.ZoneInfo("UTC"),
    "zoneinfo_paris": lambda: zoneinfo.ZoneInfo("Europe/Paris"),
    "zoneinfo_st_johns": lambda: zoneinfo.ZoneInfo("America/St_Johns"),
    "zoneinfo_apia": lambda: zoneinfo.ZoneInfo("Pacific/Apia"),
    "zoneinfo_etc": lambda: zoneinfo.ZoneInfo("Etc/GMT+5"),
    "string": lambda: "Asia/Kathmandu",
    "timezone_utc": lambda: dt.UTC,
    "timezone_plus": lambda: dt.timezone(dt.timedelta(hours=5, minutes=30)),
    "timezone_minus": lambda: dt.timezone(dt.timedelta(hours=-3)),
    "timezone_named": lambda: dt.timezone(dt.timedelta(hours=1), "my zone"),
    "timezone_zero_named": lambda: dt.timezone(dt.timedelta(0), "zero"),
    "timezone_seconds": lambda: dt.timezone(dt.timedelta(hours=1, seconds=7)),
    "pytz_utc": lambda: pytz.UTC,
    "pytz_paris": lambda: pytz.timezone("Europe/Paris"),
    "pytz_new_york": lambda: pytz.timezone("America/New_York"),
    "pytz_fixed": lambda: pytz.FixedOffset(90),
    "pytz_fixed_zero": lambda: pytz.FixedOffset(0),
    "dateutil_utc": lambda: dateutil.tz.tzutc(),
    "dateutil_paris": lambda: dateutil.tz.gettz("Europe/Paris"),
    "dateutil_offset": lambda: dateutil.tz.tzoffset(None, 7200),
    "dateutil_offset_named": lambda: dateutil.tz.tzoffset("two", 7200),
    "dateutil_local": lambda: dateutil.tz.tzlocal(),
}


def zoned(zone: Callable[[], Any], unit: str, ticks: list[int]) -> pd.Series[Any]:
    naive = pd.DatetimeIndex(np.array(ticks, dtype="i8").view(f"M8[{unit}]"))
    return pd.Series(naive.tz_localize("UTC").tz_convert(zone()))


def zoned_frame(zone: Callable[[], Any], unit: str) -> pd.DataFrame:
    times = pd.date_range("2024-03-30", periods=4, freq="12h", tz=zone()).as_unit(unit)
    return pd.DataFrame({"a": range(4)}, index=times.rename("when"))


_AUTUMN = 1729987200  # 2024-10-27 00:00 UTC, the hour before Paris turns its clocks back

for _name, _zone in ZONES.items():
    add_column(
        f"zone/{_name}/around_dst", partial(zoned, _zone, "s", [_AUTUMN + 1800 * i for i in range(6)] + [NAT])
    )
    add(f"zone/{_name}/index", partial(zoned_frame, _zone, "ns"))
for _unit in ("s", "ms", "us", "ns"):
    _zone = ZONES["zoneinfo_paris"]
    add_column(f"zone/unit_{_unit}/ticks", partial(zoned, _zone, _unit, [0, 1, 10**9, NAT]))
    add_column(f"zone/unit_{_unit}/empty", partial(zoned, _zone, _unit, []))
    add_column(f"zone/unit_{_unit}/all_nat", partial(zoned, _zone, _unit, [NAT, NAT]))
    add(f"zone/unit_{_unit}/index", partial(zoned_frame, _zone, _unit))
add(
    "zone/two/kinds_of_one_zone",
    lambda: pd.DataFrame(
        {
            n: zoned(ZONES[n], "us", [0, _AUTUMN * 10**6])
            for n in ("zoneinfo_paris", "pytz_paris", "dateutil_paris")
        }
    ),
)
add(
    "zone/columns/labels",
    lambda: pd.DataFrame(
        np.zeros((2, 3)), columns=pd.date_range("2024-10-27", periods=3, freq="h", tz="Europe/Paris")
    ),
)

# --- periods ---

PERIODS = [
    word
    for line in ("Y-DEC Y-JUN Q-DEC Q-FEB M W-SUN W-WED D h min s ms us ns 3D 2h 15min 2M 2Y-MAR 5W-MON 30s",)
    for word in line.split()
]
for _freq in PERIODS:
    add_column(
        f"period/{_freq}/nat",
        partial(lambda f: pd.PeriodIndex.from_ordinals([0, 55, -7], freq=f).insert(1, pd.NaT).array, _freq),
    )
    add(
        f"period/{_freq}/index",
        partial(
            lambda f: pd.DataFrame({"a": [1, 2, 3]}, index=pd.period_range("2020", periods=3, freq=f)), _freq
        ),
    )
add_column("period/D/empty", lambda: pd.PeriodIndex([], freq="D").array)
add_column("period/D/edges", lambda: pd.PeriodIndex.from_ordinals([-(10**6), 10**6, 0], freq="D").array)
add(
    "period/M/columns",
    lambda: pd.DataFrame([[1, 2]], columns=pd.period_range("2020", periods=2, freq="M", name="p")),
)

# --- frequencies of an index ---

ALIASES = [
    word
    for line in (
        "D 2D 7D -1D h 90min min s ms us ns B C W W-WED 2W-FRI ME MS 3ME BME BMS CBME CBMS SME SMS",
        "SME-10 SMS-20 QE QS QE-FEB QS-NOV BQE BQS BQE-JAN YE YS YE-JUN YS-APR BYE BYS BYE-MAR bh",
        "cbh WOM-2TUE LWOM-FRI",
    )
    for word in line.split()
]

FREQS: dict[str, Callable[[], Any]] = {alias: partial(lambda a: a, alias) for alias in ALIASES}
FREQS |= {
    "Day": lambda: o.Day(3),
    "Hour": lambda: o.Hour(24),
    "Nano": lambda: o.Nano(5),
    "DateOffset_months": lambda: pd.DateOffset(months=2),
    "DateOffset_days_hours": lambda: pd.DateOffset(days=1, hours=3),
    "DateOffset_absolute": lambda: pd.DateOffset(months=1, day=15),
    "DateOffset_weekday": lambda: pd.DateOffset(weeks=1, weekday=2),
    "DateOffset_n": lambda: pd.DateOffset(3),
    "DateOffset_normalize": lambda: pd.DateOffset(days=2, normalize=True),
    "BDay_offset": lambda: o.BusinessDay(2, offset=dt.timedelta(hours=1)),
    "CDay_holidays": lambda: o.CustomBusinessDay(
        holidays=["2024-01-01", "2024-12-25"], weekmask="Mon Tue Thu"
    ),
    "CDay_calendar": lambda: o.CustomBusinessDay(calendar=np.busdaycalendar(weekmask="1110000")),
    "CDay_us_federal": lambda: o.CustomBusinessDay(calendar=holiday.USFederalHolidayCalendar()),
    "CBMonthEnd_holidays": lambda: o.CustomBusinessMonthEnd(holidays=["2024-01-31"]),
    "BusinessHour_times": lambda: o.BusinessHour(start="09:30", end="16:00"),
    "BusinessHour_lunch": lambda: o.BusinessHour(start=["09:00", "13:00"], end=["12:00", "17:00"]),
    "CustomBusinessHour": lambda: o.CustomBusinessHour(holidays=["2024-01-01"], start="08:00", end="10:00"),
    "Week_none": lambda: o.Week(2),
    "Week_day": lambda: o.Week(weekday=3),
    "FY5253": lambda: o.FY5253(weekday=4, startingMonth=12, variation="nearest"),
    "FY5253Quarter": lambda: o.FY5253Quarter(
        weekday=1, startingMonth=2, qtr_with_extra_week=3, variation="last"
    ),
    "Easter": lambda: o.Easter(),
    "MonthEnd_normalize": lambda: o.MonthEnd(2, normalize=True),
    "SemiMonthEnd": lambda: o.SemiMonthEnd(day_of_month=7),
}


def with_freq(freq: Callable[[], Any], zone: str | None) -> pd.DataFrame:
    index = pd.date_range("2024-01-01", periods=4, freq=freq(), tz=zone)
    return pd.DataFrame({"a": range(len(index))}, index=index)


for _name, _freq in FREQS.items():
    # pandas itself forgets the week mask of a calendar without holidays when it copies such an offset
    _fate: Fate = "either" if _name == "CDay_calendar" else "kept"
    add(f"freq/{_name}/index", partial(with_freq, _freq, None), _fate)
for _name in ("D", "h", "ME", "W-WED", "DateOffset_months", "CDay_holidays"):
    add(f"freq/{_name}/zoned", partial(with_freq, FREQS[_name], "America/New_York"))
    add(f"freq/{_name}/columns", partial(lambda f: with_freq(f, None).T, FREQS[_name]))
add("freq/CDay_us_federal/note", partial(with_freq, FREQS["CDay_us_federal"], "UTC"), "either")
for _freq in ("D", "h", "90min", "s", "ns", "-3h"):
    add(
        f"freq/{_freq}/timedelta",
        partial(
            lambda f: pd.DataFrame({"a": range(3)}, index=pd.timedelta_range("0s", periods=3, freq=f)), _freq
        ),
    )
add(
    "freq/none/index",
    lambda: pd.DataFrame({"a": [1, 2]}, index=pd.DatetimeIndex(["2020-01-01", "2020-01-02"])),
)
add("freq/D/empty", lambda: pd.DataFrame({"a": []}, index=pd.date_range("2020", periods=0, freq="D")))
add(
    "freq/D/one", lambda: pd.DataFrame({"a": [1]}, index=pd.date_range("2020", periods=1, freq="D", unit="s"))
)
add("freq/D/sliced", lambda: pd.DataFrame({"a": range(9)}, index=pd.date_range("2020", periods=9))[::2])
add(
    "freq/D/in_multiindex",
    lambda: pd.DataFrame(
        {"a": range(4)},
        index=pd.MultiIndex.from_product(
            [pd.date_range("2020", periods=2, freq="D"), pd.period_range("2020", periods=2, freq="M")]
        ),
    ),
)
add(
    "freq/D/categories",
    lambda: pd.DataFrame({"a": pd.Categorical(pd.date_range("2020", periods=3, freq="D"))}),
)
add(
    "freq/D/interval",
    lambda: pd.DataFrame({"a": pd.interval_range(pd.Timestamp("2020"), periods=3, freq="D")}),
)

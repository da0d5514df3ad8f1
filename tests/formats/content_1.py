"""What the store of format 1 holds: built again here, compared with what is read. Never edited."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa


def typed(rows: int = 40) -> pd.DataFrame:
    """One column of each kind of array."""
    n = np.arange(rows)
    text = [None if i % 7 == 3 else f"wörd {i % 5}" for i in range(rows)]
    frame = pd.DataFrame(
        {
            "float": np.where(n % 5 == 0, np.nan, n / 3),
            "half": n.astype("f2"),
            "big_endian": n.astype(">i4"),
            "complex": n * 1j,
            "bool": n % 3 == 0,
            "uint": (2**64 - 1 - n.astype("u8")),
            "str": pd.array(text, dtype="str"),
            "string": pd.array(text, dtype=pd.StringDtype("python", na_value=pd.NA)),
            "when": pd.date_range("1969-12-31", periods=rows, freq="6h", unit="s"),
            "zoned": pd.date_range(
                "2024-10-27", periods=rows, freq="30min", tz=zoneinfo.ZoneInfo("Europe/Berlin")
            ),
            "span": pd.to_timedelta(n, unit="min"),
            "period": pd.period_range("2001-01", periods=rows, freq="Q-NOV"),
            "category": pd.Categorical.from_codes(n % 4 - 1, ["c", "a", "b"], ordered=True),
            "interval": pd.arrays.IntervalArray.from_breaks(np.arange(rows + 1) / 2, closed="left"),
            "sparse": pd.arrays.SparseArray(np.where(n % 9 == 0, 1.5, 0.0), fill_value=0.0),
            "nullable": pd.array([None if i % 4 == 1 else i for i in range(rows)], dtype="Int16"),
            "decimal": pd.array(
                [decimal.Decimal(i) / 4 for i in range(rows)], dtype=pd.ArrowDtype(pa.decimal128(9, 2))
            ),
            "list": pd.array([[i, None] for i in range(rows)], dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
            "bytes": pd.array([bytes([i]) for i in range(rows)], dtype=pd.ArrowDtype(pa.binary())),
        },
        index=pd.MultiIndex.from_arrays([n // 10, [f"r{i}" for i in range(rows)]], names=["block", None]),
    )
    frame.attrs = {"source": "format 1", "levels": (1, 2.5, None)}
    return frame


def objects() -> pd.DataFrame:
    """Cells of many Python types, odd labels, an index with a frequency."""
    cells = [
        None, np.nan, pd.NA, pd.NaT, True, 7, -(2**90), 1.5, 2 - 1j, "text", "\ud800", b"\x00\xff",
        decimal.Decimal("1.10"), uuid.UUID(int=5), dt.date(2020, 2, 29), dt.time(1, 2, 3, 4),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2), "x")), dt.timedelta(days=-1),
        pd.Timestamp("2020-01-01 12:00", tz="UTC"), pd.Timedelta("1s"), pd.Period("2020-05", "M"),
        pd.Interval(0, 1), np.float32(0.1), np.datetime64("2020-01-01", "h"), [1, [2, {"k": (3,)}]],
        {1: "a", None: []},
        {1, 2}, frozenset({"z"}), np.array([[1, 2]], dtype="i2"), range(3), slice(1, None),
        pd.Series([1.5, None], name="inner"), zoneinfo.ZoneInfo("Asia/Tokyo"), pd.offsets.MonthEnd(2),
    ]  # fmt: skip
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    index = pd.date_range("2020-01-31", periods=len(cells), freq="ME", name="month end")
    return pd.DataFrame(
        [[cell, i] for i, cell in enumerate(column)], index=index, columns=[("a", 1), 2.5]
    ).astype({("a", 1): object})


def tall() -> pd.DataFrame:
    """Columns of several chunks: as they are, narrowed, compressible, text."""
    rows = 70_000
    n = np.arange(rows)
    return pd.DataFrame(
        {
            "noise": np.sin(n * 1.1) * 1e9,
            "small": n % 100,
            "same": np.full(rows, 3.25),
            "word": pd.array([f"w{i % 9}" for i in n], dtype="str"),
        }
    )

"""Columns of plain numpy dtypes: every width and byte order, with the values at the edges."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from odd.registry import add, add_column

INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
FLOATS = ["f2", "f4", "f8", np.dtype(np.longdouble).str[1:]]
INDEXABLE = {*INTEGERS, "f4", "f8", "c8", "c16"}  # pandas makes no index of the others
COMPLEX = ["c8", "c16", np.dtype(np.clongdouble).str[1:]]

_BITS = {
    "f2": ("u2", [0x7E00, 0xFE00, 0x7C01, 0x7E2A, 0x7C00, 0xFC00, 0x8000, 0x0001, 0x7BFF]),
    "f4": ("u4", [0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FC0002A, 0x7F800000, 0xFF800000, 0x80000000, 1]),
    "f8": (
        "u8",
        [
            0x7FF8 << 48,
            0xFFF8 << 48,
            (0x7FF0 << 48) + 1,
            (0x7FF8 << 48) + 42,
            0x7FF0 << 48,
            0xFFF0 << 48,
            1 << 63,
            1,
        ],
    ),
}


def series(values: Any, dtype: Any) -> pd.Series[Any]:
    return pd.Series(np.array(values).astype(dtype, copy=False), copy=False)


def integer_edges(dtype: str) -> pd.Series[Any]:
    info = np.iinfo(dtype)
    return pd.Series(np.array([info.min, info.max, 0, 1, info.max // 2], dtype=dtype))


def float_edges(dtype: str) -> pd.Series[Any]:
    info = np.finfo(dtype)
    cells = [0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, info.max, info.min, info.tiny, info.eps]
    return pd.Series(np.array(cells, dtype=dtype))


def complex_edges(dtype: str) -> pd.Series[Any]:
    cells = [0, complex(-0.0, -0.0), complex(np.nan, 1), complex(1, np.nan), complex(np.inf, -np.inf), 1 + 2j]
    return pd.Series(np.array(cells, dtype=dtype))


def float_bits(dtype: str, order: str) -> pd.Series[Any]:
    word, patterns = _BITS[dtype]
    return pd.Series(np.array(patterns, dtype=order + word).view(order + dtype))


def complex_bits(dtype: str) -> pd.Series[Any]:
    half = {"c8": "f4", "c16": "f8"}[dtype]
    word, patterns = _BITS[half]
    return pd.Series(np.array(patterns, dtype=word).view(dtype))


def strided(dtype: str) -> pd.Series[Any]:
    return pd.Series(np.arange(20).astype(dtype)[::3], copy=False)


def reversed_(dtype: str) -> pd.Series[Any]:
    return pd.Series(np.arange(9).astype(dtype)[::-1], copy=False)


def indexed(dtype: str) -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]}, index=pd.Index(np.array([7, 9], dtype=dtype)))


def _edges(kind: str) -> Any:
    return {"i": integer_edges, "u": integer_edges, "f": float_edges, "c": complex_edges}[kind[0]]


for _kind in [*INTEGERS, *FLOATS, *COMPLEX]:
    for _order in "<>":
        if _kind[1:] == "1" and _order == ">":
            continue
        _dtype = _order + _kind
        _tag = f"numpy/{_kind if _order == '<' else _dtype}"
        add_column(f"{_tag}/edges", partial(_edges(_kind), _dtype))
        add_column(f"{_tag}/empty", partial(series, [], _dtype))
        add_column(f"{_tag}/one", partial(series, [1], _dtype))
        add_column(f"{_tag}/strided", partial(strided, _dtype))
    add_column(f"numpy/{_kind}/reversed", partial(reversed_, _kind))
    if _kind in INDEXABLE:
        add(f"numpy/{_kind}/index", partial(indexed, _kind))

for _kind in _BITS:
    for _order in "<>":
        add_column(
            f"numpy/{_kind if _order == '<' else '>' + _kind}/nan_payloads",
            partial(float_bits, _kind, _order),
        )
add_column("numpy/c8/nan_payloads", partial(complex_bits, "c8"))
add_column("numpy/c16/nan_payloads", partial(complex_bits, "c16"))
add("numpy/f8/nan_payload_labels", lambda: pd.DataFrame([[1] * 8], columns=pd.Index(float_bits("f8", "<"))))

add_column("numpy/bool/values", lambda: np.array([True, False, True]))
add_column("numpy/bool/empty", lambda: np.array([], dtype=bool))
add_column("numpy/bool/strided", lambda: np.array([True, False, True, True])[::2])
add("numpy/bool/index", lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index([True, False])))
add_column("numpy/u8/above_2_63", lambda: np.array([2**63, 2**64 - 1, 0], dtype="u8"))
add_column("numpy/i8/beside_2_53", lambda: np.array([2**53 + 1, -(2**53) - 1, 2**62 + 1]))
add_column(
    f"numpy/{FLOATS[-1]}/beyond_double",
    lambda: np.array([np.longdouble(1) + np.finfo(np.longdouble).eps, np.longdouble("1e4000")]),
)
add_column(
    f"numpy/{COMPLEX[-1]}/beyond_double",
    lambda: np.array([np.clongdouble(np.longdouble(1) + np.finfo(np.longdouble).eps)]),
)

# --- datetime64 and timedelta64 without a zone ---

NAT = np.iinfo("i8").min
UNITS = ["s", "ms", "us", "ns"]


def ticks(kind: str, unit: str, values: list[int]) -> pd.Series[Any]:
    return pd.Series(np.array(values, dtype="i8").view(f"{kind}8[{unit}]"), copy=False)


for _kind, _word in (("M", "datetime64"), ("m", "timedelta64")):
    for _unit in UNITS:
        _tag = f"numpy/{_word}[{_unit}]"
        # pandas itself keeps away from the outermost second-unit years, but holds any tick it is given.
        add_column(f"{_tag}/edges", partial(ticks, _kind, _unit, [0, 1, -1, NAT + 1, 2**63 - 1]))
        add_column(f"{_tag}/nat", partial(ticks, _kind, _unit, [NAT, 5, NAT]))
        add_column(f"{_tag}/all_nat", partial(ticks, _kind, _unit, [NAT] * 3))
        add_column(f"{_tag}/empty", partial(ticks, _kind, _unit, []))
        add_column(f"{_tag}/strided", partial(lambda k, u: ticks(k, u, list(range(10)))[::-3], _kind, _unit))
        add(
            f"{_tag}/index",
            partial(
                lambda k, u: pd.DataFrame({"a": [1, 2, 3]}, index=pd.Index(ticks(k, u, [0, NAT, 10**9]))),
                _kind,
                _unit,
            ),
        )
        add(
            f"{_tag}/columns",
            partial(
                lambda k, u: pd.DataFrame([[1, 2]], columns=pd.Index(ticks(k, u, [0, 10**9]))), _kind, _unit
            ),
        )


def both_blocks() -> pd.DataFrame:
    """Two blocks of one dtype and some of others: blocks are no business of a column."""
    frame = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
    frame["e"] = [1, 2, 3]
    frame.insert(1, "z", np.array([1.0, np.nan, -0.0]))
    frame["f"] = pd.to_datetime(["2020-01-01", None, "2021-01-01"])
    return frame


add("numpy/mixed/blocks", both_blocks)
add(
    "numpy/mixed/every_dtype",
    lambda: pd.DataFrame(
        {
            k: np.arange(5).astype(k)
            for k in ["?", *INTEGERS, *FLOATS, *COMPLEX, ">i4", ">f8", "M8[ns]", "m8[s]"]
        }
    ),
)

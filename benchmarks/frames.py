"""The frame all benchmarks use: mixed columns, made from a seed; knows nothing of stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

COLUMNS = 50

_DICTIONARY = 5_000
_EPOCH = np.datetime64("2020-01-01", "us")
_DAYS = 900


def mixed(rows: int, *, seed: int = 7) -> pd.DataFrame:
    """Build a deterministic frame of ``rows`` x 50.

    18 float64 (a third full-precision with 5 % missing, a third rounded to cents, a third full-precision),
    10 int64 (below 100, 5,000, 10^6 and 10^12), 8 ``str`` (50 or 5,000 distinct words; three columns with
    3 % missing), 5 datetime64[us] (whole seconds in 900 days), 4 bool, 5 categories of 12.
    About 8.4 bytes a cell; 416 MB at one million rows, with nothing that repeats at a larger scale.
    """
    rng = np.random.Generator(np.random.SFC64(seed))
    columns: dict[str, object] = {}
    for i in range(18):
        columns[f"f{i}"] = _floats(rng, rows, i)
    for i in range(10):
        columns[f"i{i}"] = _integers(rng, rows, i)
    for i in range(8):
        columns[f"s{i}"] = _texts(rng, rows, i)
    for i in range(5):
        columns[f"d{i}"] = _instants(rng, rows)
    for i in range(4):
        columns[f"b{i}"] = rng.random(rows, dtype=np.float32) < 0.3
    for i in range(5):
        columns[f"c{i}"] = _categories(rng, rows)
    return pd.DataFrame(columns)


def readings(rows: int, *, seed: int = 8) -> pd.DataFrame:
    """Build a deterministic frame of ``rows`` x 50 as pages are bound to: numbers, text and dates.

    25 float64, 10 int64, 10 ``str`` and 5 datetime64[us], made as those of ``mixed`` are.
    """
    rng = np.random.Generator(np.random.SFC64(seed))
    columns: dict[str, object] = {f"f{i}": _floats(rng, rows, i) for i in range(25)}
    columns |= {f"i{i}": _integers(rng, rows, i) for i in range(10)}
    columns |= {f"s{i}": _texts(rng, rows, i) for i in range(10)}
    columns |= {f"d{i}": _instants(rng, rows) for i in range(5)}
    return pd.DataFrame(columns)


def replacement(kind: str, rows: int, *, seed: int) -> Any:
    """Return new values for one column of ``kind`` (its name's first letter: f, i, s, d, b, c).

    They have the dtype and the distribution of the column they replace, and differ from it almost everywhere.
    """
    rng = np.random.Generator(np.random.SFC64(1_000_003 + seed))
    if kind == "f":
        return rng.standard_normal(rows) * 12 + 50
    if kind == "i":
        return rng.integers(0, 10**6, rows)
    if kind == "s":
        return _strings(rng, rows, distinct=_DICTIONARY, missing=False)
    if kind == "d":
        return _instants(rng, rows)
    if kind == "b":
        return rng.random(rows, dtype=np.float32) < 0.5
    if kind == "c":
        return _categories(rng, rows)
    raise ValueError(f"no such kind of column: {kind!r}")


def data_bytes(frame: pd.DataFrame) -> int:
    """Return the bytes of the frame's data: values, string offsets and bytes, codes, masks (no index)."""
    return int(frame.memory_usage(index=False, deep=True).sum())


def column_buffers(frame: pd.DataFrame) -> Iterator[tuple[str, memoryview]]:
    """Yield (kind, bytes) of each column's memory without copying, strings as offsets and data apart."""
    for name in frame.columns:
        kind = str(name)[0]
        values = frame[name].array
        if isinstance(values, pd.Categorical):
            yield kind, _view(values.codes)
        elif kind == "s":
            for chunk in pa.chunked_array(values.__arrow_array__()).chunks:
                for buffer in chunk.buffers():
                    if buffer is not None:
                        yield kind, memoryview(buffer).cast("B")
        else:
            yield kind, _view(frame[name].to_numpy())


def _view(values: Any) -> memoryview:
    return np.ascontiguousarray(values).view(np.uint8).data.cast("B")


def _categories(rng: np.random.Generator, rows: int) -> Any:
    names = pd.Index([f"cat{k}" for k in range(12)])
    return pd.Categorical.from_codes(rng.integers(0, 12, rows, dtype=np.int8), names)


def _floats(rng: np.random.Generator, rows: int, i: int) -> np.ndarray[Any, Any]:
    values = rng.standard_normal(rows)
    values *= 12
    values += 50
    if i % 3 == 0:
        values[rng.random(rows, dtype=np.float32) < 0.05] = np.nan
    elif i % 3 == 1:
        np.round(values, 2, out=values)
    return values


def _integers(rng: np.random.Generator, rows: int, i: int) -> Any:
    return rng.integers(0, (100, 5_000, 10**6, 10**12)[i % 4], rows)


def _instants(rng: np.random.Generator, rows: int) -> Any:
    seconds = rng.integers(0, 86_400 * _DAYS, rows, dtype=np.int64)
    return _EPOCH + (seconds * 1_000_000).astype("timedelta64[us]")


def _texts(rng: np.random.Generator, rows: int, i: int) -> pd.Series:
    return _strings(rng, rows, distinct=(50, _DICTIONARY)[i % 2], missing=i % 3 == 0)


def _strings(rng: np.random.Generator, rows: int, *, distinct: int, missing: bool) -> pd.Series:
    words = pa.array([f"word-{k:05d}" for k in range(distinct)], type=pa.large_string())
    codes = rng.integers(0, distinct, rows, dtype=np.int32)
    mask = rng.random(rows, dtype=np.float32) < 0.03 if missing else None
    text = pa.DictionaryArray.from_arrays(pa.array(codes, mask=mask), words).cast(pa.large_string())
    return pd.Series(pd.array(text, dtype=pd.StringDtype(na_value=np.nan)))

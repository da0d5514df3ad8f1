"""Hypothesis strategies for odd DataFrames: any dtype, any labels, any cells, in any combination.

Needs ``hypothesis``, which is imported only when a strategy is asked for.
"""

from __future__ import annotations

import datetime as dt
import string
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

_PD: Any = pd
"""pandas without its stubs, which lack ``from_ordinals`` and Index levels."""

ZONES = ("UTC", "Europe/Paris", "America/St_Johns", "Asia/Kathmandu")
FREQS = ("D", "h", "ME", "W-WED", "2D", "QE-FEB", "B")
NUMPY_DTYPES = (
    "?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">i4", ">f8",
    "M8[s]", "M8[ms]", "M8[us]", "M8[ns]", "m8[s]", "m8[ms]", "m8[us]", "m8[ns]",
)  # fmt: skip
MASKED = (
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float32",
    "Float64",
    "boolean",
)


def _strategies() -> Any:
    try:
        import hypothesis.strategies as st
    except ImportError as error:
        raise ImportError(
            "framekeep.testing.frames needs hypothesis: pip install 'framekeep[dev]'"
        ) from error
    return st


def _named(strategy: Any, name: str) -> Any:
    """Give a large strategy a short repr; Hypothesis warns of long ones, and reports show them."""
    st = _strategies()

    def drawn(draw: DrawFn) -> object:
        return draw(strategy)

    drawn.__name__ = name
    return st.composite(drawn)()


def cells(*, depth: int = 2) -> SearchStrategy[object]:
    """Return a strategy for values of object cells: scalars, and containers nested up to ``depth``."""
    st = _strategies()
    keys = _keys()
    leaves = st.one_of(
        _hashable_cells(),
        st.builds(bytearray, st.binary(max_size=4)),
        st.builds(np.arange, st.integers(0, 4)),
    )

    # Not st.recursive: its reprs grow until Hypothesis warns of them, and only the first time.
    def cell(draw: DrawFn, depth: int) -> object:
        kind = draw(st.integers(0, 7)) if depth else 0
        if kind < 4:
            return draw(leaves)
        values = [cell(draw, depth - 1) for _ in range(draw(st.integers(0, 3)))]
        if kind == 4:
            return values
        if kind == 5:
            return tuple(values)
        names = draw(st.lists(keys, min_size=len(values), max_size=len(values)))
        return set(names) if kind == 6 else dict(zip(names, values, strict=True))

    found: SearchStrategy[object] = st.composite(cell)(depth)
    return found


def labels() -> SearchStrategy[object]:
    """Return a strategy for labels of rows and columns (hashable cells)."""
    found: SearchStrategy[object] = _hashable_cells()
    return found


def _keys() -> Any:
    """Return a strategy for hashable cells that are equal when drawn again.

    So no NaN: its hash is its address, and whether a set takes it twice would differ from run to run.
    """
    st = _strategies()
    zones = st.none() | st.timezones() | st.just(dt.UTC)
    scalars = st.one_of(
        st.sampled_from([None, pd.NA, pd.NaT, True, False, -0.0, 2**64]),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(alphabet=st.characters(), max_size=6),  # lone surrogates too
        st.binary(max_size=6),
        st.decimals(allow_nan=False),
        st.fractions(),
        st.uuids(),
        st.dates(),
        st.datetimes(timezones=zones),
        st.timedeltas(),
        st.complex_numbers(allow_nan=False),
        st.integers(-(2**62), 2**62).map(lambda n: pd.Timestamp(n, unit="ns")),
        st.integers(-128, 127).map(np.int8),
        st.floats(width=32, allow_nan=False).map(np.float32),
    )
    scalars = _named(scalars, "scalars")
    sets = st.frozensets(scalars, max_size=3)
    return _named(st.one_of(scalars, st.tuples(scalars, scalars), sets), "keys")


def _hashable_cells() -> Any:
    st = _strategies()
    nans = st.one_of(
        st.sampled_from([float("nan"), np.float64("nan"), np.float32("nan")]),
        st.floats(),
        st.decimals().filter(lambda value: not value.is_snan()),  # which cannot be hashed
        st.complex_numbers(),
    )
    return _named(_keys() | nans | st.tuples(nans, nans), "labels")


def frames(*, max_rows: int = 12, max_columns: int = 6) -> SearchStrategy[pd.DataFrame]:
    """Return a strategy for odd DataFrames of up to ``max_rows`` x ``max_columns``."""
    st = _strategies()

    @st.composite  # type: ignore[untyped-decorator]
    def build(draw: DrawFn) -> pd.DataFrame:
        rows = draw(st.integers(0, max_rows))
        made = draw(st.lists(_columns(rows), max_size=max_columns))
        columns = draw(_axes(len(made)))
        index = draw(_axes(rows))
        frame = pd.DataFrame(dict(enumerate(made)), index=pd.RangeIndex(rows))
        frame = frame.set_axis(columns, axis=1).set_axis(index, axis=0)
        if draw(st.booleans()):
            frame.attrs = draw(st.dictionaries(st.text(max_size=3), cells(depth=1), max_size=2))
        step = draw(st.sampled_from([1, 1, 1, 2, -1]))
        return frame.iloc[::step] if step != 1 else frame

    found: SearchStrategy[pd.DataFrame] = build()
    return found


# --- columns --------------------------------------------------------------------------------------


def _columns(rows: int) -> Any:
    st = _strategies()
    kinds = st.one_of(
        _numpy(rows), _object(rows), _text(rows), _masked(rows), _categorical(rows), _sparse(rows),
        _zoned(rows), _period(rows), _interval(rows), _arrow(rows),
    )  # fmt: skip
    return _named(kinds, "columns")


def _raw(rows: int, width: int) -> Any:
    st = _strategies()
    return st.binary(min_size=rows * width, max_size=rows * width)


def _numpy(rows: int) -> Any:
    st = _strategies()

    def make(name: str) -> Any:
        dtype = np.dtype(name)
        if dtype.kind == "b":
            return st.lists(st.booleans(), min_size=rows, max_size=rows).map(
                lambda v: np.array(v, dtype=bool)
            )
        return _raw(rows, dtype.itemsize).map(lambda raw: np.frombuffer(raw, dtype).copy())

    return st.sampled_from(NUMPY_DTYPES).flatmap(make).map(lambda values: pd.Series(values, copy=False))


def _object(rows: int) -> Any:
    st = _strategies()

    def make(values: list[object]) -> Any:
        array = np.empty(len(values), dtype=object)
        for position, value in enumerate(values):
            array[position] = value
        return pd.Series(array, dtype=object)

    return st.lists(cells(), min_size=rows, max_size=rows).map(make)


def _some(rows: int, values: Any) -> Any:
    st = _strategies()
    return st.lists(st.none() | values, min_size=rows, max_size=rows)


def _text(rows: int) -> Any:
    st = _strategies()
    dtypes = st.builds(
        pd.StringDtype, st.sampled_from(["python", "pyarrow"]), st.sampled_from([np.nan, pd.NA])
    )
    text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
    return st.builds(
        lambda values, dtype: pd.Series(pd.array(values, dtype=dtype)), _some(rows, text), dtypes
    )


def _masked(rows: int) -> Any:
    st = _strategies()

    def make(name: str) -> Any:
        word = np.dtype("bool" if name == "boolean" else name.lower())
        values = st.booleans() if word.kind == "b" else st.just(0)
        if word.kind in "iu":
            values = st.integers(int(np.iinfo(word).min), int(np.iinfo(word).max))
        elif word.kind == "f":
            values = st.floats(width=word.itemsize * 8)
        data = st.lists(values, min_size=rows, max_size=rows)
        mask = st.lists(st.booleans(), min_size=rows, max_size=rows)
        array = _PD.array([], dtype=name)
        return st.builds(
            lambda d, m: type(array)(np.array(d, dtype=word), np.array(m, dtype=bool)), data, mask
        )

    return st.sampled_from(MASKED).flatmap(make).map(pd.Series)


def _categorical(rows: int) -> Any:
    st = _strategies()
    words = st.text(string.ascii_letters, max_size=3)
    categories = st.one_of(
        st.lists(words, unique=True, max_size=4).map(lambda v: pd.Index(v, dtype="str")),
        st.lists(st.integers(-9, 9), unique=True, max_size=4).map(lambda v: pd.Index(v, dtype="i8")),
        st.lists(st.dates(), unique=True, max_size=4).map(lambda v: pd.Index(v, dtype=object)),
    )

    def make(values: pd.Index[Any]) -> Any:
        codes = st.lists(st.integers(-1, len(values) - 1), min_size=rows, max_size=rows)
        return st.builds(
            lambda c, o: pd.Series(
                pd.Categorical.from_codes(c, dtype=pd.CategoricalDtype(values, ordered=o))
            ),
            codes,
            st.booleans(),
        )

    return categories.flatmap(make)


def _sparse(rows: int) -> Any:
    st = _strategies()
    values = st.lists(st.sampled_from([0.0, -0.0, 1.5, float("nan")]), min_size=rows, max_size=rows)
    return st.builds(
        lambda v, fill, kind: pd.Series(
            pd.arrays.SparseArray(np.array(v, dtype="f8"), fill_value=fill, kind=kind)
        ),
        values,
        st.sampled_from([0.0, float("nan"), 1.5]),
        st.sampled_from(["integer", "block"]),
    )


def _ticks(rows: int) -> Any:
    st = _strategies()
    missing = st.just(int(np.iinfo("i8").min))
    return st.lists(missing | st.integers(-(10**9), 10**9), min_size=rows, max_size=rows).map(
        lambda v: np.array(v, dtype="i8")
    )


def _zoned(rows: int) -> Any:
    st = _strategies()
    return st.builds(
        lambda ticks, unit, zone: pd.Series(
            pd.DatetimeIndex(ticks.view(f"M8[{unit}]")).tz_localize("UTC").tz_convert(zone)
        ),
        _ticks(rows),
        st.sampled_from(["s", "ms", "us", "ns"]),
        st.sampled_from(ZONES),
    )


def _period(rows: int) -> Any:
    st = _strategies()
    ordinals = st.lists(st.integers(-9999, 9999), min_size=rows, max_size=rows)
    return st.builds(
        lambda values, freq: pd.Series(_PD.PeriodIndex.from_ordinals(values, freq=freq)),
        ordinals,
        st.sampled_from(["D", "M", "Q-FEB", "Y-JUN", "h", "3D"]),
    )


def _interval(rows: int) -> Any:
    st = _strategies()
    edges = st.tuples(st.floats(-9, 0), st.floats(0, 9))
    return st.builds(
        lambda pairs, closed: pd.Series(
            pd.arrays.IntervalArray.from_arrays(
                np.array([p[0] for p in pairs], dtype="f8"),
                np.array([p[1] for p in pairs], dtype="f8"),
                closed,
            )
        ),
        st.lists(edges, min_size=rows, max_size=rows),
        st.sampled_from(["left", "right", "both", "neither"]),
    )


def _arrow_types() -> Any:
    """Return a strategy for pairs: an Arrow type, and a strategy for its values."""
    st = _strategies()
    plain = [
        (pa.int16(), st.integers(-(2**15), 2**15 - 1)),
        (pa.uint64(), st.integers(0, 2**64 - 1)),
        (pa.float64(), st.floats()),
        (pa.bool_(), st.booleans()),
        (pa.string(), st.text(string.printable, max_size=5)),
        (pa.binary(), st.binary(max_size=5)),
        (pa.date32(), st.dates()),
        (pa.timestamp("us", "UTC"), st.integers(-(2**50), 2**50)),
        (pa.decimal128(20, 2), st.decimals(-999, 999, places=2)),
        (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["a", "b"])),
    ]

    def pair(draw: DrawFn, depth: int) -> Any:
        if not depth or draw(st.booleans()):
            return plain[draw(st.integers(0, len(plain) - 1))]
        kind, values = pair(draw, depth - 1)
        values = st.none() | values
        entries = st.lists(st.tuples(st.text("ab", max_size=2), values), max_size=2)
        wider = [
            (pa.list_(kind), st.lists(values, max_size=3)),
            (pa.large_list(kind), st.lists(values, max_size=3)),
            (pa.list_(kind, 2), st.lists(values, min_size=2, max_size=2)),
            (pa.struct([("x", kind)]), st.fixed_dictionaries({"x": values})),
            (pa.map_(pa.string(), kind), entries),
        ]
        return wider[draw(st.integers(0, len(wider) - 1))]

    return st.composite(pair)(2)


def _arrow(rows: int) -> Any:
    st = _strategies()

    def make(pair: tuple[Any, Any]) -> Any:
        kind, values = pair
        return st.builds(
            lambda v, cut: pd.Series(pd.arrays.ArrowExtensionArray(_cut(pa.array(v, type=kind), cut))),
            _some(rows, values),
            st.integers(0, max(rows, 1)),
        )

    return _arrow_types().flatmap(make)


def _cut(array: Any, where: int) -> Any:
    return pa.chunked_array([array.slice(0, where), array.slice(where)], type=array.type)


# --- axes -----------------------------------------------------------------------------------------


def _axes(size: int) -> Any:
    st = _strategies()
    names = st.none() | labels()

    def of_labels(values: list[object], name: object) -> pd.Index[Any]:
        array = np.empty(len(values), dtype=object)
        for position, value in enumerate(values):
            array[position] = value
        return pd.Index(array, dtype=object, name=name, tupleize_cols=False)

    def levels(a: list[int], b: list[int], name: object) -> Any:
        return _PD.MultiIndex(
            levels=[pd.Index(["x", "y", "z"]), pd.date_range("2020", periods=3, freq="D")],
            codes=[a, b],
            names=[name, None],
        )

    codes = st.lists(st.integers(-1, 2), min_size=size, max_size=size)
    text = st.text(string.ascii_letters, max_size=4)
    return st.one_of(
        st.just(pd.RangeIndex(size)),
        st.builds(
            lambda start, step, name: pd.RangeIndex(start, start + step * size, step, name=name),
            st.integers(-5, 5),
            st.sampled_from([1, 3, -2]),
            names,
        ),
        st.builds(of_labels, st.lists(labels(), min_size=size, max_size=size), names),
        st.builds(
            lambda v, n: pd.Index(v, dtype="str", name=n), st.lists(text, min_size=size, max_size=size), names
        ),
        st.builds(
            lambda freq, zone: pd.date_range("2024-01-01", periods=size, freq=freq, tz=zone),
            st.sampled_from(FREQS),
            st.none() | st.sampled_from(ZONES),
        ),
        st.builds(levels, codes, codes, names),
    )

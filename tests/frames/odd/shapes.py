"""Odd shapes, memory, attrs, flags and classes; sizes that cross the borders of chunks."""

from __future__ import annotations

import datetime as dt
import decimal
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from odd.registry import add, add_column, labels, objects

NAN = float("nan")

# --- shapes ---

add("shape/0x0/default", pd.DataFrame)
add("shape/0x0/object_columns", lambda: pd.DataFrame(columns=pd.Index([], dtype=object)))
add(
    "shape/0x0/str_columns",
    lambda: pd.DataFrame(columns=pd.Index([], dtype="str"), index=pd.Index([], dtype="f8")),
)
add("shape/0x0/named", lambda: pd.DataFrame(index=pd.Index([], name="i"), columns=pd.RangeIndex(0, name="c")))
add("shape/0xN/names_only", lambda: pd.DataFrame(columns=["a", "b"]))
add("shape/0xN/dtypes", lambda: pd.DataFrame({"a": [1], "b": ["x"], "c": [pd.Timestamp("2020")]}).iloc[:0])
add(
    "shape/0xN/index_dtype",
    lambda: pd.DataFrame({"a": [1.5]}, index=pd.DatetimeIndex(["2020"], tz="UTC")).iloc[:0],
)
add("shape/Nx0/range", lambda: pd.DataFrame(index=range(5)))
add("shape/Nx0/labels", lambda: pd.DataFrame(index=["a", "b"]))
add("shape/Nx0/dates", lambda: pd.DataFrame(index=pd.date_range("2020", periods=3, freq="ME")))
add("shape/Nx0/range_columns", lambda: pd.DataFrame(np.zeros((3, 0))))
add("shape/1x1/int", lambda: pd.DataFrame([[1]]))
add("shape/1x5000/floats", lambda: pd.DataFrame(np.arange(5000.0).reshape(1, -1)), heavy=True)
add(
    "shape/1x5000/mixed",
    lambda: pd.DataFrame({f"c{i}": [[i], ["x"], [1.5]][i % 3] for i in range(5000)}, index=[3]),
    heavy=True,
)
add("shape/0x5000/objects", lambda: pd.DataFrame(columns=[f"c{i}" for i in range(5000)]), heavy=True)
add("shape/1000x1/int", lambda: pd.DataFrame({"a": range(1000)}))

# --- memory ---


def memmapped() -> pd.DataFrame:
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        np.arange(30.0).tofile(file.name)
        return pd.DataFrame(np.memmap(file.name, dtype="f8", mode="r", shape=(10, 3)), copy=False)


def read_only() -> pd.DataFrame:
    array = np.arange(12.0).reshape(4, 3)
    array.flags.writeable = False
    return pd.DataFrame(array, copy=False)


def unaligned(dtype: str) -> pd.Series[Any]:
    raw = np.zeros(8 * 5 + 1, dtype="u1")[1:]
    array = raw.view(dtype)
    array[:] = np.arange(5)
    return pd.Series(array, copy=False)


add("memory/fortran/f8", lambda: pd.DataFrame(np.asfortranarray(np.arange(12.0).reshape(4, 3)), copy=False))
add("memory/c_order/f8", lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3), copy=False))
add("memory/strided/rows", lambda: pd.DataFrame(np.arange(40.0).reshape(10, 4))[::3])
add("memory/strided/reversed_rows", lambda: pd.DataFrame(np.arange(40).reshape(10, 4))[::-1])
add("memory/strided/columns", lambda: pd.DataFrame(np.arange(40).reshape(5, 8), copy=False).iloc[:, ::-3])
add("memory/strided/transposed", lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3)).T)
add("memory/strided/transposed_objects", lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}).T)
add(
    "memory/strided/broadcast",
    lambda: pd.DataFrame(np.broadcast_to(np.array([1.5, NAN]), (4, 2)), copy=False),
)
add(
    "memory/strided/record_field",
    lambda: pd.DataFrame(
        {"a": pd.Series(np.zeros(4, dtype=[("p", "i1"), ("q", "f8")])["q"], copy=False)}, copy=False
    ),
)
add("memory/view/column_of_frame", lambda: pd.DataFrame(np.arange(12.0).reshape(4, 3)).iloc[1:3, 1:])
add(
    "memory/view/copy_on_write",
    lambda: pd.DataFrame({"a": [1, 2], "b": [3, 4]}).pipe(lambda f: f.assign(c=f["a"])),
)
add("memory/read_only/f8", read_only)
add(
    "memory/read_only/frombuffer",
    lambda: pd.DataFrame({"a": pd.Series(np.frombuffer(bytes(16), "i8"), copy=False)}),
)
add("memory/memmap/f8", memmapped)
for _dtype in ("i8", "f8", "M8[ns]"):
    add_column(f"memory/unaligned/{_dtype}", partial(unaligned, _dtype))
add(
    "memory/blocks/many_of_one_dtype",
    lambda: pd.concat([pd.DataFrame({f"c{i}": [i, 1.5]}) for i in range(60)], axis=1),
)
add(
    "memory/blocks/inserted",
    lambda: pd.DataFrame({"a": [1], "b": [2]}).pipe(lambda f: f.assign(x=1.5).loc[:, ["x", "b", "a"]]),
)
add("memory/bool/odd_bytes", lambda: pd.DataFrame({"a": np.array([0, 1, 1], dtype="u1").view("?")}))

# --- attrs and flags ---

ATTRS: dict[str, Callable[[], dict[Any, Any]]] = {
    "plain": lambda: {"source": "upload", "n": 1, "f": -0.0, "none": None},
    "nested": lambda: {"a": [1, {"b": (2, {3})}]},
    "keys": lambda: {1: "int", 1.5: "f", (1, 2): "tuple", None: "none"},
    "values": lambda: {
        "d": decimal.Decimal("1.0"),
        "t": pd.Timestamp("2020", tz="Europe/Paris"),
        "a": np.array([1, 2]),
    },
    "frame": lambda: {"lookup": pd.DataFrame({"k": [1]}, index=["x"])},
    "surrogate": lambda: {"\ud800": "\udfff"},
    "large": lambda: {"text": "x" * 2_000_000},
}


def with_attrs(attrs: Callable[[], dict[Any, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1, 2]})
    frame.attrs = attrs()
    return frame


def no_duplicates() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]}).set_flags(allows_duplicate_labels=False)


for _name, _make in ATTRS.items():
    add(f"attrs/{_name}/frame", partial(with_attrs, _make))
add("attrs/lambda/frame", partial(with_attrs, lambda: {"f": lambda: 1}), "refused")
add("attrs/function/frame", partial(with_attrs, lambda: {"f": with_attrs}), "refused")
add("flags/no_duplicates/frame", no_duplicates)

# --- classes that are no DataFrame, or more than one ---


class FrameChild(pd.DataFrame):  # type: ignore[misc]
    _metadata = ["extra"]  # noqa: RUF012

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return FrameChild


class IndexChild(pd.Index):  # type: ignore[type-arg,misc]
    pass


class OwnDtype(pd.api.extensions.ExtensionDtype):
    name = "own"
    type = object

    @classmethod
    def construct_array_type(cls) -> type[Any]:
        return OwnArray


class OwnArray(pd.api.extensions.ExtensionArray):
    """The least an extension array of somebody else can be."""

    def __init__(self, cells: list[Any]) -> None:
        self._cells = cells

    dtype = OwnDtype()
    nbytes = 0

    @classmethod
    def _from_sequence(cls, scalars: Any, *, dtype: Any = None, copy: bool = False) -> OwnArray:
        return cls(list(scalars))

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, item: Any) -> Any:
        return OwnArray(self._cells[item]) if isinstance(item, slice) else self._cells[item]

    def isna(self) -> Any:
        return np.zeros(len(self), dtype=bool)

    def copy(self) -> OwnArray:
        return OwnArray(list(self._cells))

    def take(self, indices: Any, *, allow_fill: bool = False, fill_value: Any = None) -> OwnArray:
        return OwnArray([self._cells[i] for i in indices])


class OwnOffset(pd.offsets.Day):  # type: ignore[misc]
    pass


add("foreign/frame_subclass/frame", lambda: FrameChild({"a": [1]}), "refused")
add_column("foreign/extension_array/column", lambda: OwnArray([1, 2]), "refused")
add("foreign/series/frame", lambda: pd.Series([1, 2]), "refused")
add("foreign/dict/frame", lambda: {"a": [1]}, "refused")
add("foreign/list/frame", lambda: [[1]], "refused")
add("foreign/none/frame", lambda: None, "refused")
add("foreign/text/frame", lambda: "a,b", "refused")
add("foreign/ndarray/frame", lambda: np.zeros((2, 2)), "refused")

# --- sizes that cross chunk borders ---

BORDERS = (65_535, 65_536, 65_537, 131_073)


def words(rows: int) -> list[str]:
    return [f"w{i % 1013}" for i in range(rows)]


SIZED: dict[str, Callable[[int], Any]] = {
    "i8": lambda n: np.arange(n),
    "f8": lambda n: np.where(np.arange(n) % 7, np.arange(n) / 3, np.nan),
    "i1": lambda n: (np.arange(n) % 127).astype("i1"),
    "bool": lambda n: np.arange(n) % 3 == 0,
    "c16": lambda n: np.arange(n) * 1j,
    "datetime": lambda n: np.arange(n).astype("M8[ms]"),
    "zoned": lambda n: (
        pd.Series(np.arange(n).astype("M8[us]")).dt.tz_localize("UTC").dt.tz_convert("Europe/Paris")
    ),
    "str": lambda n: pd.array(words(n), dtype="str"),
    "string_python": lambda n: pd.array(words(n), dtype=pd.StringDtype("python")),
    "object_str": lambda n: objects(*words(n)),
    "object_mixed": lambda n: objects(*[i if i % 5 else "x" for i in range(n - 1)], None),
    "Int32": lambda n: pd.arrays.IntegerArray(np.arange(n, dtype="i4"), np.arange(n) % 9 == 0),
    "boolean": lambda n: pd.arrays.BooleanArray(np.arange(n) % 2 == 0, np.arange(n) % 9 == 0),
    "categorical": lambda n: pd.Categorical.from_codes(np.arange(n) % 3, ["a", "b", "c"]),
    "period": lambda n: pd.PeriodIndex.from_ordinals(np.arange(n), freq="h").array,
    "interval": lambda n: pd.arrays.IntervalArray.from_breaks(np.arange(n + 1)),
    "sparse": lambda n: pd.arrays.SparseArray((np.arange(n) % 100 == 0) * 1.5, fill_value=0.0),
    "arrow_string": lambda n: pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(words(n))])),
    "arrow_list": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array(
            [pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype="i4")), pa.array(np.arange(n)))]
        )
    ),
    "arrow_bool": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array([pa.array(np.arange(n) % 3 == 0)])
    ),
    "arrow_int_chunks": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array([pa.array(np.arange(n // 2)), pa.array(np.arange(n - n // 2))])
    ),
    "arrow_dictionary": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array(
            [pa.DictionaryArray.from_arrays(pa.array(np.arange(n) % 3), pa.array(["a", "b", "c"]))]
        )
    ),
    "arrow_run_end": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array(
            [pa.RunEndEncodedArray.from_arrays(pa.array([n // 2, n], pa.int32()), pa.array([1, None]))]
        )
    ),
    "arrow_sparse_union": lambda n: pd.arrays.ArrowExtensionArray(
        pa.chunked_array(
            [
                pa.UnionArray.from_sparse(
                    pa.array(np.arange(n) % 2, pa.int8()),
                    [pa.array(np.arange(n)), pa.array(np.arange(n) / 2)],
                )
            ]
        )
    ),
}
for _name, _make in SIZED.items():
    for _rows in BORDERS:
        add_column(f"border/{_name}/{_rows}", lambda m=_make, n=_rows: m(n), heavy=_rows > 65_537)
INDEXED: dict[str, Callable[[int], Any]] = {
    "range": lambda n: pd.RangeIndex(n),
    "int": lambda n: pd.Index(np.arange(n)[::-1]),
    "str": lambda n: pd.Index(words(n)),
    "freq": lambda n: pd.date_range("2000", periods=n, freq="min"),
    "multi": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 7, np.arange(n)]),
}
for _name, _make in INDEXED.items():
    add(
        f"border/index_{_name}/65537",
        partial(lambda m: pd.DataFrame({"a": np.zeros(65_537)}, index=m(65_537)), _make),
    )
add_column("border/cells_of_3_mb/str", lambda: pd.array(["a", "x" * 3_000_000, None, "b"], dtype="str"))
add_column(
    "border/cells_of_3_mb/object", lambda: objects("a", "x" * 3_000_000, None, b"y" * 3_000_000), heavy=True
)
add_column(
    "border/cells_of_3_mb/binary",
    lambda: pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array([b"a", b"x" * 3_000_000, None])])),
    heavy=True,
)
add_column(
    "border/cells_of_3_mb/list",
    lambda: pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array([[1], list(range(400_000)), None])])),
    heavy=True,
)
add_column(
    "border/text_of_2_mb/object", lambda: objects(*["é" * 20 + str(i) for i in range(40_000)]), heavy=True
)
add_column(
    "border/text_of_2_mb/str",
    lambda: pd.array(["é" * 20 + str(i) for i in range(40_000)], dtype="str"),
    heavy=True,
)

# --- frames as people have them ---


def clinic() -> pd.DataFrame:
    """A table of the kind the first user cleans."""
    frame = pd.DataFrame(
        {
            "patient": [f"P{i:04d}" for i in range(200)],
            "age": [i % 90 if i % 11 else None for i in range(200)],
            "visit": pd.date_range("2023-01-02", periods=200, freq="B"),
            "group": pd.Categorical(["control", "treated"] * 100),
            "score": np.round(np.linspace(0, 1, 200), 3),
            "note": objects(*[None if i % 3 else f"see {i}" for i in range(200)]),
            "smoker": pd.array([True, None] * 100, dtype="boolean"),
        }
    )
    frame.attrs = {"file": "visits.xlsx", "sheet": 1}
    return frame


add("real/clinic/whole", clinic)
add("real/clinic/filtered", lambda: clinic().query("score > 0.5"))
add("real/clinic/sorted", lambda: clinic().sort_values("age"))
add("real/clinic/indexed", lambda: clinic().set_index(["group", "patient"]))
add("real/clinic/described", lambda: clinic().describe(include="all"))
add("real/clinic/cross_table", lambda: pd.crosstab(clinic()["group"], clinic()["smoker"], margins=True))
add("real/clinic/resampled", lambda: clinic().set_index("visit")[["score"]].resample("ME").mean())
add("real/clinic/stacked", lambda: clinic()[["score", "age"]].head(3).stack().to_frame())
add("real/clinic/melted", lambda: clinic().melt(id_vars=["patient"], value_vars=["score", "note"]))
add("real/clinic/binned", lambda: clinic().assign(bin=lambda f: pd.qcut(f["score"], 4)))
add(
    "real/clinic/grouped",
    lambda: clinic().groupby("group", observed=True)["score"].agg(["mean", "std", "count"]),
)
add("real/clinic/dummies", lambda: pd.get_dummies(clinic()[["group", "score"]]))
add("real/clinic/sparse_dummies", lambda: pd.get_dummies(clinic()["group"], sparse=True))
add("real/clinic/transposed", lambda: clinic().head(4).T)
add("real/clinic/best_dtypes", lambda: clinic().convert_dtypes())
add(
    "real/clinic/arrow_dtypes", lambda: clinic().drop(columns="group").convert_dtypes(dtype_backend="pyarrow")
)
add("real/clinic/resorted_levels", lambda: clinic().set_index(["group", "patient"]).sort_index().iloc[5:9])
add("real/clinic/exploded", lambda: pd.DataFrame({"a": [[1, 2], [], [3]], "b": "x"}).explode("a"))
add(
    "real/excel/headers",
    lambda: pd.DataFrame([[1, "a", None, 2.5]], columns=labels("Name", 2024, dt.datetime(2024, 1, 1), NAN)),
)
add(
    "real/excel/unnamed",
    lambda: pd.DataFrame([[None, "Total"], ["x", 5]], columns=["Unnamed: 0", "Unnamed: 0"]),
)
add(
    "real/json/records",
    lambda: pd.DataFrame([{"id": 1, "tags": ["a"], "geo": {"lat": 1.5}}, {"id": 2, "tags": None}]),
)
add(
    "real/duckdb/query",
    lambda: duckdb.sql("select 1 as a, 'x' as b, [1, 2] as c, date '2020-01-01' as d").df(),
)

"""Columns of every Arrow type, with nulls at every level, sliced and cut into chunks."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from odd.registry import add, add_column

D = decimal.Decimal
DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456)


def column(array: Any) -> Any:
    return pd.arrays.ArrowExtensionArray(
        array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    )


def listed(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, type=kind)


# Each value list has at least three entries and a null, so that slices and chunks mean something.
PLAIN: dict[str, tuple[pa.DataType, list[Any]]] = {
    "null": (pa.null(), [None, None, None]),
    "bool": (pa.bool_(), [True, None, False, True]),
    "int8": (pa.int8(), [-128, None, 127]),
    "int16": (pa.int16(), [-(2**15), None, 2**15 - 1]),
    "int32": (pa.int32(), [-(2**31), None, 2**31 - 1]),
    "int64": (pa.int64(), [-(2**63), None, 2**63 - 1]),
    "uint8": (pa.uint8(), [0, None, 255]),
    "uint16": (pa.uint16(), [0, None, 2**16 - 1]),
    "uint32": (pa.uint32(), [0, None, 2**32 - 1]),
    "uint64": (pa.uint64(), [0, None, 2**64 - 1]),
    "float16": (pa.float16(), [np.float16(1.5), None, np.float16("nan"), np.float16(-0.0)]),
    "float32": (pa.float32(), [1.5, None, float("nan"), -0.0, float("inf")]),
    "float64": (pa.float64(), [1.5, None, float("nan"), -0.0, float("-inf")]),
    "decimal32": (pa.decimal32(9, 2), [D("1234567.89"), None, D("-0.01")]),
    "decimal64": (pa.decimal64(18, 4), [D("12345678901234.5678"), None, D("0.0001")]),
    "decimal128": (pa.decimal128(38, 10), [D("1234567890123456789012345678.0123456789"), None, D("-1")]),
    "decimal128_negative_scale": (pa.decimal128(5, -2), [D("100"), None, D("-12300")]),
    "decimal256": (pa.decimal256(76, 0), [D(10) ** 75, None, -(D(10) ** 75)]),
    "string": (pa.string(), ["a", None, "", "日本", "a\x00b"]),
    "large_string": (pa.large_string(), ["a", None, "", "日本"]),
    "string_view": (pa.string_view(), ["a", None, "longer than twelve bytes", ""]),
    "binary": (pa.binary(), [b"a", None, b"", b"\xff\x00"]),
    "large_binary": (pa.large_binary(), [b"a", None, b"", b"\xff\x00"]),
    "binary_view": (pa.binary_view(), [b"a", None, b"longer than twelve bytes", b""]),
    "fixed_size_binary": (pa.binary(3), [b"abc", None, b"\x00\x00\x00"]),
    "fixed_size_binary_0": (pa.binary(0), [b"", None, b""]),
    "date32": (pa.date32(), [DAY, None, dt.date(1, 1, 1)]),
    "date64": (pa.date64(), [DAY, None, dt.date(9999, 12, 31)]),
    "time32_s": (pa.time32("s"), [dt.time(23, 59, 59), None, dt.time(0)]),
    "time32_ms": (pa.time32("ms"), [dt.time(23, 59, 59, 999000), None, dt.time(0)]),
    "time64_us": (pa.time64("us"), [dt.time(23, 59, 59, 999999), None, dt.time(0)]),
    "time64_ns": (pa.time64("ns"), [1, None, 86_399_999_999_999]),
    "month_day_nano_interval": (pa.month_day_nano_interval(), [(1, 2, 3), None, (-1, -2, -3)]),
}
for _unit in ("s", "ms", "us", "ns"):
    PLAIN[f"timestamp_{_unit}"] = (pa.timestamp(_unit), [0, None, -(2**62), 2**63 - 1])
    PLAIN[f"timestamp_{_unit}_paris"] = (pa.timestamp(_unit, "Europe/Paris"), [0, None, 10**9])
    PLAIN[f"duration_{_unit}"] = (pa.duration(_unit), [1, None, -(2**62)])
PLAIN["timestamp_us_offset"] = (pa.timestamp("us", "+05:30"), [0, None, 1])
PLAIN["timestamp_us_utc"] = (pa.timestamp("us", "UTC"), [0, None, 1])

_struct = pa.struct([("x", pa.int64()), ("y", pa.string())])
_not_null = pa.struct(
    [pa.field("x", pa.int64(), nullable=False), pa.field("y", pa.list_(pa.field("e", pa.int8(), False)))]
)
NESTED: dict[str, tuple[pa.DataType, list[Any]]] = {
    "list": (pa.list_(pa.int64()), [[1, None], None, [], [3]]),
    "list_item_name": (pa.list_(pa.field("element", pa.int8())), [[1], None, [2, None]]),
    "list_of_string": (pa.list_(pa.string()), [["a", None], None, [], ["bb", ""]]),
    "list_of_bool": (pa.list_(pa.bool_()), [[True, None], None, [False]]),
    "list_of_null": (pa.list_(pa.null()), [[None], None, []]),
    "large_list": (pa.large_list(pa.float64()), [[1.5, float("nan")], None, [], [None]]),
    "fixed_size_list": (pa.list_(pa.int16(), 2), [[1, None], None, [3, 4]]),
    "fixed_size_list_0": (pa.list_(pa.int16(), 0), [[], None, []]),
    "list_view": (pa.list_view(pa.int32()), [[1, None], None, [], [3]]),
    "large_list_view": (pa.large_list_view(pa.string()), [["a", None], None, [], ["b"]]),
    "struct": (_struct, [{"x": 1, "y": "a"}, None, {"x": None, "y": None}]),
    "struct_empty": (pa.struct([]), [{}, None, {}]),
    "struct_not_null": (_not_null, [{"x": 1, "y": [1]}, {"x": 2, "y": None}, {"x": 3, "y": []}]),
    "struct_metadata": (
        pa.struct([pa.field("x", pa.int8(), metadata={b"unit": b"mm"})]),
        [{"x": 1}, None, {"x": None}],
    ),
    "struct_duplicate_names": (pa.struct([("x", pa.int8()), ("x", pa.int16())]), [None, None, None]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1), ("b", None)], None, []]),
    "map_sorted": (
        pa.map_(pa.int8(), pa.list_(pa.int8()), keys_sorted=True),
        [[(1, [1])], None, [(2, None)]],
    ),
    "map_duplicate_keys": (pa.map_(pa.string(), pa.string()), [[("a", "1"), ("a", "2")], None, []]),
    "list_of_list": (pa.list_(pa.list_(pa.int8())), [[[1], None, []], None, [[2, None]]]),
    "list_of_struct": (pa.list_(_struct), [[{"x": 1, "y": "a"}, None], None, []]),
    "list_of_map": (pa.list_(pa.map_(pa.string(), pa.int8())), [[[("a", 1)], None], None, []]),
    "struct_of_struct": (pa.struct([("s", _struct)]), [{"s": {"x": 1, "y": None}}, {"s": None}, None]),
    "struct_of_list": (pa.struct([("l", pa.list_(pa.string()))]), [{"l": ["a"]}, {"l": None}, None]),
    "fixed_list_of_fixed_list": (
        pa.list_(pa.list_(pa.int8(), 2), 2),
        [[[1, 2], [3, None]], None, [None, [5, 6]]],
    ),
    "list_of_decimal": (pa.list_(pa.decimal128(5, 2)), [[D("1.25"), None], None, []]),
    "list_of_timestamp": (pa.list_(pa.timestamp("ns", "UTC")), [[0, None], None, []]),
    "list_of_view": (pa.list_(pa.string_view()), [["a", None, "longer than twelve bytes"], None, []]),
    "list_of_dictionary": (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a", "b", None], None, ["a"]]),
    "struct_of_dictionary": (
        pa.struct([("d", pa.dictionary(pa.int16(), pa.string()))]),
        [{"d": "a"}, None, {"d": None}],
    ),
}
for _depth in (10, 40):
    _kind: pa.DataType = pa.int8()
    _value: Any = 5
    for _ in range(_depth):
        _kind, _value = pa.list_(_kind), [_value, None] if _ == 3 else [_value]
    NESTED[f"list_{_depth}_deep"] = (_kind, [_value, None, []])


def sliced(array: pa.Array) -> Any:
    return column(array.slice(1, len(array) - 1))


def in_chunks(array: pa.Array) -> Any:
    return column(pa.chunked_array([array.slice(0, 1), array.slice(1, 0), array.slice(1)]))


def register(name: str, make: Callable[[], pa.Array]) -> None:
    add_column(f"arrow/{name}/values", lambda: column(make()))
    add_column(f"arrow/{name}/sliced", lambda: sliced(make()))
    add_column(f"arrow/{name}/chunks", lambda: in_chunks(make()))
    add_column(f"arrow/{name}/empty", lambda: column(make().slice(0, 0)))
    add_column(f"arrow/{name}/no_chunks", lambda: column(pa.chunked_array([], make().type)))


for _name, (_kind, _values) in (PLAIN | NESTED).items():
    register(_name, partial(listed, _values, _kind))
    if _name not in ("null", "struct_not_null"):
        add_column(f"arrow/{_name}/all_null", partial(lambda k: column(pa.nulls(3, k)), _kind))

# --- dictionaries ---

for _index in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"):
    for _ordered in (False, True):
        _tag = f"dictionary_{_index}{'_ordered' if _ordered else ''}"
        register(
            _tag,
            partial(
                lambda i, o: pa.DictionaryArray.from_arrays(
                    pa.array([2, None, 0, 2], type=i), pa.array(["b", "unused", "a"]), ordered=o
                ),
                pa.type_for_alias(_index),
                _ordered,
            ),
        )
DICTIONARIES: dict[str, Callable[[], pa.Array]] = {
    "dictionary_of_int": lambda: pa.array([10, None, 20, 10]).dictionary_encode(),
    "dictionary_of_timestamp": lambda: pa.array([NOON, None, NOON]).dictionary_encode(),
    "dictionary_of_decimal": lambda: pa.array([D("1.5"), None, D("2.5")]).dictionary_encode(),
    "dictionary_of_large_string": lambda: pa.array(["a", None, "b"], pa.large_string()).dictionary_encode(),
    "dictionary_with_null_entry": lambda: pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None], pa.int8()), pa.array(["a", None])
    ),
    "dictionary_with_repeats": lambda: pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 1], pa.int8()), pa.array(["a", "a"])
    ),
    "dictionary_empty": lambda: pa.DictionaryArray.from_arrays(
        pa.array([None] * 3, pa.int32()), pa.array([], pa.string())
    ),
    "dictionary_of_list": lambda: pa.DictionaryArray.from_arrays(
        pa.array([1, None, 0], pa.int8()), pa.array([[1, 2], [None]], pa.list_(pa.int8()))
    ),
}
for _name, _make in DICTIONARIES.items():
    register(_name, _make)
add_column(
    "arrow/dictionary_int32/other_dictionaries",
    lambda: column(
        pa.chunked_array(
            [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", None, "a"]).dictionary_encode()]
        )
    ),
)

# --- run-end encoding and unions ---

RUNS: dict[str, Callable[[], pa.Array]] = {
    f"run_end_{end}": partial(
        lambda e: pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 6], e), pa.array([1.5, None, -0.0])),
        pa.type_for_alias(end),
    )
    for end in ("int16", "int32", "int64")
}
RUNS["run_end_of_string"] = lambda: pa.RunEndEncodedArray.from_arrays(
    pa.array([1, 4], pa.int32()), pa.array(["a", None])
)
RUNS["run_end_of_struct"] = lambda: pa.RunEndEncodedArray.from_arrays(
    pa.array([1, 4], pa.int32()), pa.array([{"x": 1}, None])
)
RUNS["run_end_of_bool"] = lambda: pa.RunEndEncodedArray.from_arrays(
    pa.array([3, 4], pa.int16()), pa.array([True, None])
)
for _name, _make in RUNS.items():
    register(_name, _make)

_codes = [0, 1, 0, 1]
UNIONS: dict[str, Callable[[], pa.Array]] = {
    "sparse_union": lambda: pa.UnionArray.from_sparse(
        pa.array(_codes, pa.int8()), [pa.array([1, 2, None, 4]), pa.array(["a", "b", "c", None])]
    ),
    "sparse_union_codes": lambda: pa.UnionArray.from_sparse(
        pa.array([5, 7, 5], pa.int8()),
        [pa.array([1, 2, 3]), pa.array([True, None, False])],
        ["p", "q"],
        [5, 7],
    ),
    "dense_union": lambda: pa.UnionArray.from_dense(
        pa.array(_codes, pa.int8()),
        pa.array([0, 0, 1, 1], pa.int32()),
        [pa.array([1, None]), pa.array(["a", "b"])],
    ),
    "dense_union_codes": lambda: pa.UnionArray.from_dense(
        pa.array([3, 9, 3], pa.int8()),
        pa.array([0, 0, 1], pa.int32()),
        [pa.array([[1], None]), pa.array([1.5])],
        ["l", "f"],
        [3, 9],
    ),
}
for _name, _make in UNIONS.items():
    register(_name, _make)

# --- extension types ---

EXTENSIONS: dict[str, Callable[[], pa.Array]] = {
    "uuid": lambda: pa.array([uuid.UUID(int=5), None, uuid.UUID(int=2**128 - 1)], pa.uuid()),
    "json": lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None, "[]"])),
    "json_large": lambda: pa.ExtensionArray.from_storage(
        pa.json_(pa.large_string()), pa.array(["1", None, "2"], pa.large_string())
    ),
    "bool8": lambda: pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0, 7], pa.int8())),
    "opaque": lambda: pa.ExtensionArray.from_storage(
        pa.opaque(pa.binary(), "geometry", "postgis"), pa.array([b"a", None, b"b"])
    ),
    "fixed_shape_tensor": lambda: pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [2, 2], dim_names=["r", "c"], permutation=[1, 0]),
        pa.array([[1, 2, 3, 4], None, [5, 6, 7, 8]], pa.list_(pa.float32(), 4)),
    ),
}
for _name, _make in EXTENSIONS.items():
    register(_name, _make)

# --- other places and odd memory ---

# pyarrow itself leaves indices without entries under such a null, and calls its own array invalid
add_column(
    "arrow/struct_of_dictionary/null_rows_only",
    lambda: column(pa.array([None], NESTED["struct_of_dictionary"][0])),
)

add(
    "arrow/int64/index",
    lambda: pd.DataFrame({"a": [1, 2]}, index=pd.Index(pd.array([1, None], dtype="int64[pyarrow]"))),
)
add(
    "arrow/date32/index",
    lambda: pd.DataFrame(
        {"a": [1, 2]}, index=pd.Index(pd.array([DAY, None], dtype="date32[pyarrow]"), name="d")
    ),
)
add(
    "arrow/timestamp_us/index",
    lambda: pd.DataFrame({"a": [1]}, index=pd.Index(column(listed([NOON], pa.timestamp("us"))))),
)
add("arrow/string/columns", lambda: pd.DataFrame([[1, 2]], columns=pd.Index(column(pa.array(["x", "y"])))))
add("arrow/bool/columns", lambda: pd.DataFrame([[1, 2]], columns=pd.Index(column(pa.array([True, False])))))
add_column(
    "arrow/float64/nan_payloads",
    lambda: column(
        pa.Array.from_buffers(
            pa.float64(),
            2,
            [None, pa.py_buffer(np.array([(0x7FF0 << 48) + 9, 0xFFF8 << 48], dtype="u8").tobytes())],
        )
    ),
)
add_column(
    "arrow/struct/null_over_values",
    lambda: column(
        pa.StructArray.from_arrays([pa.array([1, 2, 3])], ["x"], mask=pa.array([False, True, False]))
    ),
)
add_column(
    "arrow/list_view/overlapping",
    lambda: column(
        pa.ListViewArray.from_arrays(
            pa.array([2, 0, 1], pa.int32()), pa.array([2, 3, 1], pa.int32()), pa.array([1, 2, 3, 4, 5])
        )
    ),
)
add_column(
    "arrow/large_list_view/backwards",
    lambda: column(
        pa.LargeListViewArray.from_arrays(
            pa.array([3, 1, 0], pa.int64()), pa.array([1, 2, 1], pa.int64()), pa.array(["a", "b", "c", "d"])
        )
    ),
)
add_column(
    "arrow/list/values_under_null",
    lambda: column(
        pa.ListArray.from_arrays(pa.array([0, 2, 4]), pa.array([1, 2, 3, 4]), mask=pa.array([False, True]))
    ),
)
add_column(
    "arrow/list/starts_late",
    lambda: column(pa.ListArray.from_arrays(pa.array([2, 3, 5]), pa.array(range(9)))),
)
add_column(
    "arrow/string/starts_late", lambda: column(pa.array([f"row {i}" for i in range(1000)]).slice(990, 5))
)
add_column("arrow/bool/bit_offset", lambda: column(pa.array([True, False, None] * 9).slice(11, 10)))
add_column("arrow/int64/all_valid_slice_of_nulls", lambda: column(pa.array([None, 1, 2, 3]).slice(1)))
add_column(
    "arrow/map/sliced_far",
    lambda: column(pa.array([[("k", i)] for i in range(50)], pa.map_(pa.string(), pa.int64())).slice(47)),
)
add_column(
    "arrow/int64/100_chunks", lambda: column(pa.chunked_array([pa.array([i, None]) for i in range(100)]))
)
add_column(
    "arrow/struct/sliced_child",
    lambda: column(
        pa.StructArray.from_arrays(
            [pa.array(["a", "b", "c"]).slice(1), pa.array([1, 2, 3]).slice(0, 2)], ["s", "i"]
        )
    ),
)
add(
    "arrow/mixed/many_columns",
    lambda: pd.DataFrame({n: column(listed(v[:3], k)) for n, (k, v) in PLAIN.items()}),
)

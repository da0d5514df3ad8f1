"""Manifests and chunks that say what is not so, every digest right: what each makes of a real frame."""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from forging import Forged

from framekeep.frames.values import dump

LIMIT = 1 << 26


def column(values: Any, **options: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": values}, **options)


def encoded(value: object) -> str:
    return b64encode(dump(value)).decode()


def deep(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value,)
    return value


def node(forged: Forged, at: int = 0) -> list[Any]:
    """Return the JSON of a column: kind, rows, params, tracks, name, nbytes, children."""
    found: list[Any] = forged.manifest[1][2 + at]
    return found


def change(at: tuple[Any, ...], value: Any) -> Callable[[Forged], None]:
    """Return what sets one place in the JSON of the first column."""

    def apply(forged: Forged) -> None:
        holder: Any = node(forged)
        for key in at[:-1]:
            holder = holder[key]
        holder[at[-1]] = value

    return apply


def chunk(place: int, data: bytes, **options: Any) -> Callable[[Forged], None]:
    """Return what gives the chunk of the reference at ``place`` other bytes."""
    return lambda forged: forged.change_chunk(forged.refs[place][0], data, **options)


def index(key: str, value: Any) -> Callable[[Forged], None]:
    return lambda forged: forged.manifest[1][0][2].__setitem__(key, value)


def head(key: str, value: Any) -> Callable[[Forged], None]:
    return lambda forged: forged.manifest[0].__setitem__(key, value)


def both(*changes: Callable[[Forged], None]) -> Callable[[Forged], None]:
    return lambda forged: [change(forged) for change in changes] and None


def ref(place: int, number: int, value: int) -> Callable[[Forged], None]:
    return lambda forged: forged.refs[place].__setitem__(number, value)


def plain(values: Any) -> pd.DataFrame:
    """Return one column under a label that takes no chunk, so that reference 0 is the column's first."""
    return pd.DataFrame({0: values}, columns=pd.RangeIndex(1))


def ints() -> pd.DataFrame:
    return plain(np.arange(3))


def texts() -> pd.DataFrame:
    return plain(pd.array(["ab", "c", "d"], dtype="str"))


def ipc(array: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    schema = pa.schema([pa.field("", array.type)])
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_batch(pa.record_batch([array], schema=schema))
    return bytes(sink.getvalue().to_pybytes())


LIST = pd.ArrowDtype(pa.list_(pa.int64()))
ITEMS = pa.array([1, 2])
ENDS = np.array([0, 9, 1], dtype="<i4").tobytes()
CATEGORIES = ["x", "y"]

FORGED: dict[str, tuple[Callable[[], pd.DataFrame], Callable[[Forged], Any]]] = {
    "rows beyond the chunks": (ints, change((1,), 1 << 40)),
    "rows that are negative": (ints, change((1,), -1)),
    "rows that are no number": (ints, change((1,), 3.0)),
    "rows of a track beyond the chunks": (ints, change((3, 0, 2), 1 << 40)),
    "a step of nothing": (ints, change((3, 0, 3), 0)),
    "a step that is no power of two": (ints, change((3, 0, 3), 3)),
    "a step beyond the format": (ints, change((3, 0, 3), 1 << 17)),
    "no chunks": (ints, lambda f: (change((3, 0, 4), 0)(f), f.refs.clear())),
    "fewer than no chunks": (ints, change((3, 0, 4), -1)),
    "objects of raw bytes": (ints, change((3, 0, 1), "|O")),
    "records": (ints, change((3, 0, 1), "i4,i4")),
    "voids": (ints, change((3, 0, 1), "|V8")),
    "texts of fixed width": (ints, change((3, 0, 1), "<U2")),
    "times in a plain column": (ints, change((3, 0, 1), "<M8[ns]")),
    "a type that is none": (ints, change((3, 0, 1), "<q9")),
    "a type that is no text": (ints, change((3, 0, 1), ["<i8"])),
    "numbers of another size": (ints, change((3, 0, 1), "<i4")),
    "a chunk that is too short": (ints, chunk(0, b"\0" * 23)),
    "an unknown kind": (ints, change((0,), "__init__")),
    "a kind that is a method": (ints, change((0,), "track")),
    "an axis for a column": (ints, change((0,), "range")),
    "an unknown layout": (ints, change((3, 0, 0), "array")),
    "parameters that are none": (ints, change((2,), [])),
    "a name that is none": (ints, change((4,), None)),
    "a size that is none": (ints, change((5,), "24")),
    "parts that are not expected": (ints, change((6,), [["range", 3, {}, [], "", 0, []]])),
    "a boolean that is neither": (lambda: plain(np.array([True, False])), chunk(0, b"\x01\x02")),
    "times in days": (lambda: plain(pd.to_datetime([1, 2])), change((3, 0, 1), "<M8[D]")),
    "times of the other byte order": (lambda: plain(pd.to_datetime([1, 2])), change((3, 0, 1), ">M8[ns]")),
    "a zone that is none": (
        lambda: plain(pd.to_datetime([1, 2], utc=True)),
        change((2, "tz"), encoded("Europe/Berlin")),
    ),
    "a zone that is not encoded": (lambda: plain(pd.to_datetime([1], utc=True)), change((2, "tz"), 5)),
    "periods of no frequency": (
        lambda: plain(pd.period_range("2020", periods=2, freq="M")),
        change((2, "freq"), encoded(5)),
    ),
    "a frequency that lacks": (lambda: plain(pd.period_range("2020", periods=2, freq="M")), change((2,), {})),
    "codes beyond the categories": (
        lambda: plain(pd.Categorical.from_codes([0, 1], CATEGORIES)),
        chunk(0, b"\x00\x02"),
    ),
    "codes below what is missing": (
        lambda: plain(pd.Categorical.from_codes([0, 1], CATEGORIES)),
        chunk(0, b"\x00\xfe"),
    ),
    "codes of another type": (
        lambda: plain(pd.Categorical.from_codes([0, 1], CATEGORIES)),
        change((3, 0, 1), "|u1"),
    ),
    "categories that repeat": (
        lambda: plain(pd.Categorical.from_codes([0, 1], [1, 2])),
        chunk(1, np.array([1, 1]).tobytes()),
    ),
    "categories that are missing": (
        lambda: plain(pd.Categorical.from_codes([0, 1], [1.0, 2.0])),
        chunk(1, np.array([1, np.nan]).tobytes()),
    ),
    "an order that is none": (
        lambda: plain(pd.Categorical.from_codes([0, 1], CATEGORIES)),
        change((2, "ordered"), 1),
    ),
    "categories without end": (
        lambda: plain(pd.Categorical.from_codes([0, 1], CATEGORIES)),
        lambda f: _nest_categories(f, 40),
    ),
    "a mask that is neither": (lambda: plain(pd.array([1, None], dtype="Int64")), chunk(1, b"\x00\x07")),
    "a mask of another type": (lambda: plain(pd.array([1, None], dtype="Int8")), change((3, 1, 1), "|i1")),
    "data of another type than the mask's": (
        lambda: plain(pd.array([1, None], dtype="Int64")),
        change((4,), "Float64"),
    ),
    "an unknown nullable type": (lambda: plain(pd.array([1], dtype="Int64")), change((4,), "Int65")),
    "ends of two types": (
        lambda: plain(pd.arrays.IntervalArray.from_breaks([0, 1, 2])),
        change((6, 1, 3, 0, 1), "<f8"),
    ),
    "ends of two lengths": (
        lambda: plain(pd.arrays.IntervalArray.from_breaks([0, 1, 2])),
        change((6, 1, 1), 1),
    ),
    "intervals closed nowhere": (
        lambda: plain(pd.arrays.IntervalArray.from_breaks([0, 1])),
        change((2, "closed"), "upper"),
    ),
    "sparse places beyond the rows": (
        lambda: plain(pd.arrays.SparseArray([0, 5, 0], kind="integer")),
        chunk(1, np.array([7], dtype="<i4").tobytes()),
    ),
    "sparse places that repeat": (
        lambda: plain(pd.arrays.SparseArray([4, 5, 0], kind="integer")),
        chunk(1, np.array([1, 1], dtype="<i4").tobytes()),
    ),
    "sparse places of fewer values": (
        lambda: plain(pd.arrays.SparseArray([4, 5, 0], kind="integer")),
        lambda f: _shorten_sparse(f),
    ),
    "sparse blocks whose end overflows": (
        lambda: plain(pd.arrays.SparseArray([0, 5, 6], kind="block")),
        both(
            chunk(1, np.array([(1 << 31) - 1], dtype="<i4").tobytes()),
            chunk(2, np.array([(1 << 31) - 1], dtype="<i4").tobytes()),
        ),
    ),
    "sparse blocks that overlap": (
        lambda: plain(pd.arrays.SparseArray([1, 0, 5, 6], kind="block")),
        chunk(1, np.array([1, 1], dtype="<i4").tobytes()),
    ),
    "sparse blocks below the first row": (
        lambda: plain(pd.arrays.SparseArray([0, 5, 6], kind="block")),
        chunk(1, np.array([-1], dtype="<i4").tobytes()),
    ),
    "sparse rows beyond 32 bits": (
        lambda: plain(pd.arrays.SparseArray([0, 5, 6], kind="integer")),
        lambda f: all_rows(f, 1 << 32),
    ),
    "texts whose ends go back": (texts, chunk(0, struct.pack("<3I", 2, 1, 4) + b"abcd", aux=4)),
    "texts whose ends go beyond": (texts, chunk(0, struct.pack("<3I", 2, 9, 4) + b"abcd", aux=4)),
    "texts whose last end is another": (texts, chunk(0, struct.pack("<3I", 2, 3, 9) + b"abcd", aux=4)),
    "texts that are not UTF-8": (texts, chunk(0, struct.pack("<3I", 2, 3, 4) + b"ab\xff\xff", aux=4)),
    "texts cut within a character": (texts, chunk(0, struct.pack("<3I", 1, 2, 4) + "üü".encode(), aux=4)),
    "texts of 4 GiB": (texts, ref(0, 3, (1 << 32) - 1)),
    "texts of 4 GiB in a chunk that says so": (
        texts,
        both(ref(0, 2, (1 << 32) - 1), ref(0, 3, (1 << 32) - 13)),
    ),
    "texts of another type": (texts, change((3, 0, 1), "utf8")),
    "texts that are bytes": (texts, change((3, 0, 1), "binary")),
    "texts that are kept nowhere": (texts, change((2, "storage"), "redis")),
    "texts of numbers": (
        lambda: plain(pd.array(["\ud800", "a"], dtype=pd.StringDtype("python"))),
        lambda f: f.change_chunk(f.refs[0][0], b"\x01\x00\x10" + struct.pack("<2q", 1, 2)),
    ),
    "a list beyond its items": (
        lambda: plain(pd.array([[1], [2]], dtype=LIST)),
        chunk(
            0, ipc(pa.Array.from_buffers(LIST.pyarrow_dtype, 2, [None, pa.py_buffer(ENDS)], children=[ITEMS]))
        ),
    ),
    "an entry beyond the dictionary": (
        lambda: plain(pd.array(pa.array(["a", "b"]).dictionary_encode(), dtype=None)),
        lambda f: f.change_chunk(f.refs[0][0], _bad_dictionary()),
    ),
    "an Arrow stream that is compressed": (
        lambda: plain(pd.array([[1], [2]], dtype=LIST)),
        chunk(0, ipc(pa.array([[1], [2]], pa.list_(pa.int64())), compression="zstd")),
    ),
    "an Arrow stream of other rows": (
        lambda: plain(pd.array([[1], [2]], dtype=LIST)),
        chunk(0, ipc(pa.array([[1]], pa.list_(pa.int64())))),
    ),
    "an Arrow stream of another type": (
        lambda: plain(pd.array([[1], [2]], dtype=LIST)),
        chunk(0, ipc(pa.array([[1], [2]], pa.list_(pa.int32())))),
    ),
    "an Arrow stream that is none": (lambda: plain(pd.array([[1], [2]], dtype=LIST)), chunk(0, b"\xff" * 64)),
    "an Arrow schema that is none": (
        lambda: plain(pd.array([[1]], dtype=LIST)),
        change((2, "schema"), b64encode(b"\xff" * 40).decode()),
    ),
    "an index of another length": (ints, index("stop", 4)),
    "an index that goes nowhere": (ints, index("step", 0)),
    "an index beyond 64 bits": (ints, both(index("start", 1 << 70), index("stop", (1 << 70) + 3))),
    "an index of an unknown class": (lambda: column([1], index=["x"]), index("class", "RangeIndex")),
    "an index of another class": (lambda: column([1], index=["x"]), index("class", "DatetimeIndex")),
    "an index with a list for a name": (lambda: column([1], index=["x"]), index("name", encoded([1]))),
    "an index with a name without end": (lambda: column([1], index=["x"]), index("name", encoded(deep(300)))),
    "an index with a frequency that is none": (
        lambda: column([1, 2, 3], index=pd.date_range("2020", periods=3)),
        index("freq", encoded("D")),
    ),
    "codes beyond a level": (
        lambda: plain([1, 2]).set_axis(pd.MultiIndex.from_arrays([["a", "b"]]), axis=0),
        chunk(0, b"\x00\x05"),
    ),
    "levels of fewer names": (
        lambda: plain([1, 2]).set_axis(pd.MultiIndex.from_arrays([[1, 2], [3, 4]]), axis=0),
        index("names", [None]),
    ),
    "an order beyond the levels": (
        lambda: plain([1, 2]).set_axis(pd.MultiIndex.from_arrays([[1, 2], [3, 4]]), axis=0),
        index("sortorder", 7),
    ),
    "attrs that are a list": (ints, head("attrs", encoded([1]))),
    "attrs that are not encoded": (ints, head("attrs", {"a": 1})),
    "attrs that are no base64": (ints, head("attrs", "!!")),
    "labels that repeat and must not": (
        lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
        head("unique_labels", True),
    ),
    "one chunk of two lengths": (
        lambda: pd.DataFrame({0: [1, 2], 1: [3, 4]}, columns=pd.RangeIndex(2)),
        lambda f: f.refs[1].__setitem__(slice(0, 1), [f.refs[0][0]]) or f.refs[1].__setitem__(2, 24),
    ),
}


def _nest_categories(forged: Forged, depth: int) -> None:
    inner = node(forged)
    axis = inner[6][0]
    for _ in range(depth):
        axis = ["index", 2, {"class": "CategoricalIndex", "name": None}, [], "", 0, [[*inner[:6], [axis]]]]
        forged.refs.insert(0, list(forged.refs[0]))
    inner[6][0] = axis


def _shorten_sparse(forged: Forged) -> None:
    inner = node(forged)[6][1]
    inner[1] = inner[3][0][2] = 1
    forged.change_chunk(forged.refs[1][0], np.array([1], dtype="<i4").tobytes())


def all_rows(forged: Forged, rows: int) -> None:
    node(forged)[1] = rows
    forged.manifest[1][0][1] = forged.manifest[1][0][2]["stop"] = rows


def doubled(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


def _bad_dictionary() -> bytes:
    indices = pa.array([0, 9], pa.int32())
    return ipc(pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False))

"""Containers made to harm are refused or are frames; none ends the process or takes its memory."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from forging import REFUSALS, Forged, contained, records, sealed

from framekeep.errors import DamagedFileError, DataFrameTooLargeError, UnknownFormatError
from framekeep.frames import pack, pack_frames, unpack, unpack_frames
from framekeep.frames.values import dump
from framekeep.names import digest_of
from framekeep.testing.identical import assert_identical

LIMIT = 1 << 26


def small() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2, 3], "t": ["a", None, "ü"], "o": [1, "x", None]})


DATA = b"".join(pack(small()))


def joined(parts: list[tuple[int, bytes]]) -> bytes:
    return sealed(DATA[:5] + b"".join(bytes([kind]) + body for kind, body in parts))


# --- damage -----------------------------------------------------------------------------------------


def test_every_truncation_is_refused() -> None:
    for length in range(len(DATA)):
        with pytest.raises((DamagedFileError, UnknownFormatError)):
            unpack(DATA[:length])


def test_every_changed_byte_is_refused() -> None:
    for at in range(len(DATA)):
        for bit in (1, 0x80):
            with pytest.raises((DamagedFileError, UnknownFormatError)):
                unpack(DATA[:at] + bytes([DATA[at] ^ bit]) + DATA[at + 1 :])


def test_anything_that_follows_is_refused() -> None:
    with pytest.raises(DamagedFileError, match="follows"):
        unpack(DATA + b"\0")


def test_a_changed_name_of_a_frame_is_refused() -> None:
    data = b"".join(pack_frames({"sheet one": small()}))
    with pytest.raises(DamagedFileError, match="checksum"):
        unpack_frames(data.replace(b"sheet one", b"sheet two"))


@pytest.mark.parametrize("data", [b"", b"FK", b"PK\x03\x04" * 9, b"a,b\n1,2\n"])
def test_what_is_no_container_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(UnknownFormatError, match="no container"):
        unpack(data)


def test_a_newer_container_says_to_upgrade() -> None:
    with pytest.raises(UnknownFormatError, match=r"version 2.*Upgrade"):
        unpack(DATA[:3] + b"\x02" + DATA[4:])


def test_a_newer_manifest_says_to_upgrade() -> None:
    manifest = bytearray(next(body[22:] for kind, body in records(DATA) if kind == 2))
    manifest[3] = 2
    with pytest.raises(UnknownFormatError, match=r"version 2.*Upgrade"):
        unpack(contained(bytes(manifest), {}))


# --- records ----------------------------------------------------------------------------------------


def test_records_may_stand_in_any_order() -> None:
    assert_identical(unpack(joined(list(records(DATA))[::-1])), small())


RECORDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a chunk twice": (lambda: joined([*records(DATA), next(records(DATA))]), "twice"),
    "a chunk missing": (lambda: joined(list(records(DATA))[1:]), "lacks a chunk"),
    "a chunk too many": (
        lambda: joined([*records(DATA), (1, digest_of(b"x") + struct.pack("<I", 1) + b"x")]),
        "none of its frames names",
    ),
    "no manifest": (lambda: joined([each for each in records(DATA) if each[0] == 1]), "exactly one frame"),
    "an unknown record": (lambda: joined([*records(DATA), (9, b"")]), "unknown kind"),
    "a form that never was": (lambda: sealed(b"FKW\x01\x07"), "never was"),
    "version 0": (lambda: sealed(b"FKW\x00\x01"), "never was"),
    "a name that is no text": (lambda: contained(b"FKM", {}, title=b"\xff", form=1), "no text"),
    "a name": (lambda: contained(b"FKM", {}, title=b"x", form=1), "exactly one frame"),
    "a length beyond the end": (lambda: sealed(DATA[:5] + b"\x01" + b"d" * 16 + b"\xff" * 4), "cut short"),
    "another manifest": (
        lambda: joined([(k, b"x" * 16 + b[16:] if k == 2 else b) for k, b in records(DATA)]),
        "does not match its digest",
    ),
    "another chunk": (
        lambda: joined([(k, b[:-1] + bytes([b[-1] ^ 1]) if k == 1 else b) for k, b in records(DATA)]),
        "does not match its digest",
    ),
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_that_contradict_each_other_are_damage(name: str) -> None:
    make, says = RECORDS[name]
    with pytest.raises(DamagedFileError, match=says):
        unpack(make())


def test_two_frames_of_one_name_are_damage() -> None:
    body = [(k, b) for k, b in records(b"".join(pack_frames({"a": small()})))]
    data = sealed(b"FKW\x01\x02" + b"".join(bytes([k]) + b for k, b in [*body, body[-1]]))
    with pytest.raises(DamagedFileError, match="two frames of one name"):
        unpack_frames(data)


# --- what a manifest says, every digest right ---------------------------------------------------------


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
        lambda f: _all_rows(f, 1 << 32),
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


def _all_rows(forged: Forged, rows: int) -> None:
    node(forged)[1] = rows
    forged.manifest[1][0][1] = forged.manifest[1][0][2]["stop"] = rows


def _doubled(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


def _bad_dictionary() -> bytes:
    indices = pa.array([0, 9], pa.int32())
    return ipc(pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False))


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_is_refused_and_asks_for_no_memory(name: str) -> None:
    make, forge = FORGED[name]
    forged = Forged.of(make())
    forge(forged)
    data = forged.container()
    tracemalloc.start()
    try:
        with pytest.raises(REFUSALS):
            unpack(data, max_bytes=LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 24


@pytest.mark.parametrize("name", FORGED)
def test_what_is_forged_is_read_when_it_is_not(name: str) -> None:
    frame = FORGED[name][0]()
    assert_identical(unpack(Forged.of(frame).container(), max_bytes=LIMIT), frame)


@pytest.mark.parametrize(
    "cell",
    [deep(50_000), _doubled(60), pd.Index([deep(50_000), 1], dtype=object, tupleize_cols=False)],
    ids=["crash", "no end", "in a nested index"],
)
def test_a_tuple_that_cannot_be_hashed_is_refused(cell: object) -> None:
    with pytest.raises(DamagedFileError, match=r"column 'a'.*tuple"):
        unpack(b"".join(pack(column(pd.Series([cell], dtype=object)))))


def test_damage_names_the_column() -> None:
    forged = Forged.of(pd.DataFrame({"fine": [1], "flag": [True]}))
    forged.change_chunk(forged.refs[-1][0], b"\x02")
    with pytest.raises(DamagedFileError, match="column 'flag'") as caught:
        unpack(forged.container())
    assert caught.value.where == "column 'flag'"


# --- sizes ------------------------------------------------------------------------------------------


def test_a_chunk_that_says_to_be_4_gib_is_refused_before_it_is_unpacked() -> None:
    forged = Forged.of(plain(np.zeros(65_536)))
    (digest,) = forged.chunks
    forged.refs[0][2] = (1 << 32) - 1
    forged.raw[digest] = b"\x03" + pa.Codec("zstd").compress(b"\0" * (1 << 20), asbytes=True)
    with pytest.raises(REFUSALS):
        unpack(forged.container(), max_bytes=LIMIT)


def test_one_chunk_named_by_many_columns_counts_for_each() -> None:
    forged = Forged.of(plain(np.zeros(65_536)))
    columns = 1000
    forged.manifest[1][2:] = [node(forged)] * columns
    labels = {"start": 0, "stop": columns, "step": 1, "name": None}
    forged.manifest[1][1] = ["range", columns, labels, [], "", 0, []]
    forged.refs *= columns
    data = forged.container()
    assert len(data) < 1 << 20
    with pytest.raises(DataFrameTooLargeError):
        unpack(data, max_bytes=LIMIT)


def test_cells_that_take_no_bytes_count_as_their_places() -> None:
    forged = Forged.of(plain(pd.Series([None] * 65_536, dtype=object)))
    chunks = 1000
    track = node(forged)[3][0]
    track[2], track[3], track[4] = 65_536 * chunks, 65_536, chunks
    node(forged)[1] = 65_536 * chunks
    _all_rows(forged, 65_536 * chunks)
    forged.refs[:] = forged.refs[:1] * chunks
    with pytest.raises(DataFrameTooLargeError):
        unpack(forged.container(), max_bytes=LIMIT)


@pytest.mark.parametrize("cell", [b"\x18\x01\x00", b"\x13\x00"], ids=["deque", "set"])
def test_objects_that_are_larger_than_their_bytes_are_counted_in_memory(cell: bytes) -> None:
    forged = Forged.of(plain(pd.Series([[1]] * 64, dtype=object)))
    many = 500_000
    inner = b"\x10" + _varint(many) + cell * many
    forged.change_chunk(forged.refs[0][0], b"\x01\x00\x3f" + inner + b"\x10\x00" * 63)
    with pytest.raises(DataFrameTooLargeError):
        unpack(forged.container(), max_bytes=2_000_000)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_rows_of_nothing_have_a_limit_too() -> None:
    forged = Forged.of(pd.DataFrame(index=pd.RangeIndex(5)))
    forged.manifest[1][0][1] = forged.manifest[1][0][2]["stop"] = 1 << 62
    with pytest.raises(DataFrameTooLargeError):
        unpack(forged.container(), max_bytes=LIMIT)


def test_a_manifest_without_end_is_damage() -> None:
    text = b"[" * 200_000
    manifest = b"FKM\x01" + struct.pack("<I", len(text)) + text
    with pytest.raises(DamagedFileError):
        unpack(contained(manifest, {}), max_bytes=LIMIT)


def test_a_manifest_out_of_proportion_is_refused_unread() -> None:
    text = b"[" + b"0," * (9 << 20) + b"0]"
    manifest = b"FKM\x01" + struct.pack("<I", len(text)) + text
    with pytest.raises(DataFrameTooLargeError, match="description"):
        unpack(contained(manifest, {}), max_bytes=LIMIT)


def test_a_file_is_not_read_at_once() -> None:
    data = sealed(b"FKW\x01\x01" + b"\x01" + b"d" * 16 + struct.pack("<I", 64 << 20) + bytes(64 << 20))
    file = io.BytesIO(data)
    tracemalloc.start()
    try:
        with contextlib.suppress(DamagedFileError):
            unpack(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


# --- at random, in a process of its own ---------------------------------------------------------------


def forge_at_random(seed: int, count: int) -> None:
    script = Path(__file__).with_name("forging.py")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), str(seed), str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    refused, read = map(int, done.stdout.split())
    assert refused > count // 4  # the changes matter
    assert read > count // 50  # some get through, and are used


@pytest.mark.parametrize("seed", range(3))
def test_forgeries_at_random_end_no_process(seed: int) -> None:
    forge_at_random(seed, 400)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_forgeries_at_random_end_no_process(seed: int) -> None:
    forge_at_random(seed, 4000)

"""Containers made to harm are refused or are frames; none ends the process or takes its memory."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from forgeries import LIMIT, all_rows, node, plain
from forging import REFUSALS, Forged, contained, records, sealed

from framekeep.errors import DamagedFileError, DataFrameTooLargeError, UnknownFormatError
from framekeep.frames import pack, pack_frames, unpack, unpack_frames
from framekeep.names import digest_of
from framekeep.testing.identical import assert_identical


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


@pytest.mark.filterwarnings("ignore")
def test_a_changed_byte_under_the_right_checksum_is_refused_or_a_frame() -> None:
    for at in range(5, len(DATA) - 9):
        for byte in {0, 1, 2, 0x7F, 0xFF, DATA[at] ^ 1, DATA[at] ^ 0x80} - {DATA[at]}:
            with contextlib.suppress(*REFUSALS):
                unpack(sealed(DATA[:at] + bytes([byte]) + DATA[at + 1 : -9]), max_bytes=LIMIT)


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
    all_rows(forged, 65_536 * chunks)
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

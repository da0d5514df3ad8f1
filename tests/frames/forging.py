"""Taking containers apart and putting them together again with everything right but what is said: what a
sender can do who knows the format.

As a program it forges at random and uses what got through, so that a crash is seen by who started it::

    python forging.py SEED COUNT
"""

from __future__ import annotations

import json
import random
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xxhash

from framekeep.errors import DamagedFileError, DataFrameTooLargeError, UnknownFormatError
from framekeep.frames import pack, unpack
from framekeep.frames.envelope import expand
from framekeep.frames.manifest import parse
from framekeep.frames.node import REF
from framekeep.names import checksum_of, digest_of

REFUSALS = (DamagedFileError, DataFrameTooLargeError, UnknownFormatError)


@dataclass
class Forged:
    """A container of one frame, in parts that may be changed.

    Attributes:
        manifest: the JSON of its manifest.
        refs: its chunk references: digest, checksum, length, number of the layout.
        chunks: the uncompressed chunks by digest.
        raw: chunks to be sent as they are, in an envelope or not, instead of those in ``chunks``.
    """

    manifest: Any
    refs: list[list[Any]]
    chunks: dict[bytes, bytes]
    raw: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: object) -> Forged:
        """Take the container of a frame apart."""
        manifest, blobs = b"", {}
        for kind, body in records(b"".join(pack(frame))):
            if kind == 1:
                blobs[body[:16]] = body[20:]
            else:
                manifest = body[22:]
        length = struct.unpack_from("<I", manifest, 4)[0]
        text, table = manifest[8 : 8 + length], manifest[8 + length :]
        refs = [list(ref) for ref in REF.iter_unpack(table)]
        lengths = {ref[0]: ref[2] for ref in refs}
        parse(manifest)
        return cls(json.loads(text), refs, {d: bytes(expand(blob, lengths[d])) for d, blob in blobs.items()})

    def change_chunk(self, digest: bytes, data: bytes, *, aux: int | None = None) -> None:
        """Give a chunk other bytes, under the right name everywhere."""
        del self.chunks[digest]
        name = digest_of(data)
        self.chunks[name] = data
        for ref in self.refs:
            if ref[0] == digest:
                ref[:] = [name, checksum_of(data), len(data), ref[3] if aux is None else aux]

    def container(self) -> bytes:
        """Return the container, every digest and checksum right."""
        text = json.dumps(self.manifest, separators=(",", ":")).encode()
        table = b"".join(REF.pack(*ref) for ref in self.refs)
        manifest = b"FKM\x01" + struct.pack("<I", len(text)) + text + table
        return contained(manifest, {**self.chunks, **self.raw})


def contained(manifest: bytes, blobs: dict[bytes, bytes], *, title: bytes = b"", form: int = 1) -> bytes:
    """Return the container of a manifest and blobs, its digests and its checksum right."""
    parts = [b"FKW\x01" + bytes([form])]
    parts += [b"\x01" + name + struct.pack("<I", len(blob)) + blob for name, blob in blobs.items()]
    parts += [b"\x02" + digest_of(manifest), struct.pack("<HI", len(title), len(manifest)), title, manifest]
    return sealed(b"".join(parts))


def sealed(data: bytes) -> bytes:
    """Return the start of a container with the last record, which says that it is whole."""
    return data + b"\x00" + struct.pack("<Q", xxhash.xxh3_64_intdigest(data))


def records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of each record but the last."""
    at = 5
    while data[at]:
        kind = data[at]
        if kind == 1:
            size = 20 + struct.unpack_from("<I", data, at + 17)[0]
        else:
            title, length = struct.unpack_from("<HI", data, at + 17)
            size = 22 + title + length
        yield kind, data[at + 1 : at + 1 + size]
        at += 1 + size


# --- at random ----------------------------------------------------------------------------------------

NUMBERS = [0, 1, 2, 3, 7, 8, 63, 64, 255, 65_535, 65_536, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62]
WORDS = ["|O", "|V8", ">i8", "|u1", "<f4", "<M8[D]", "binary", "MultiIndex", "nothing", ""]


def forge(one: Forged, other: Forged, dice: random.Random) -> None:
    """Change one or a few things."""
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        action = dice.randrange(6)
        if action <= 1:
            _change_json(one.manifest, other.manifest, dice)
        elif action == 2 and one.refs:
            ref = dice.choice(one.refs)
            ref[dice.choice([2, 3])] = dice.choice(
                [*NUMBERS[:12], ref[2] + 1, max(0, ref[2] - 1), (1 << 32) - 1]
            )
        elif action == 3 and len(one.refs) > 1:
            dice.shuffle(one.refs)
        elif one.chunks:
            digest = dice.choice(list(one.chunks))
            one.change_chunk(digest, _changed_bytes(one.chunks[digest], other, dice))


def _change_json(value: Any, other: Any, dice: random.Random) -> None:
    places = list(_places(value))
    holder, key = dice.choice(places)
    kind = dice.randrange(5)
    old = holder[key]
    if kind == 0 and isinstance(holder, list):
        del holder[key]
    elif kind == 1:
        inner, at = dice.choice(list(_places(other)))
        holder[key] = inner[at]
    elif isinstance(old, bool) or old is None:
        holder[key] = dice.choice([None, True, False, 1, "x", [], {}])
    elif isinstance(old, int):
        holder[key] = dice.choice([*NUMBERS, -1, old + 1, old - 1, old * 2, 1.5, None, "1"])
    elif isinstance(old, str):
        words = [word for inner, at in _places(other) if isinstance(word := inner[at], str)]
        holder[key] = dice.choice([*WORDS, *words, old[:-1], old + "A", None, 1, []])
    else:
        holder[key] = dice.choice([None, [], {}, 0, "x", [old, old]])


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list | dict):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _changed_bytes(data: bytes, other: Forged, dice: random.Random) -> bytes:
    changed = bytearray(data)
    kind = dice.randrange(6)
    if kind == 0 and changed:
        return bytes(changed[: dice.randrange(len(changed))])
    if kind == 1:
        return bytes(changed) + bytes(dice.randrange(256) for _ in range(dice.choice([1, 8, 64])))
    if kind == 2 and other.chunks:
        return dice.choice(list(other.chunks.values()))
    for _ in range(dice.choice([1, 1, 2, 8])):
        if changed:
            at = dice.randrange(len(changed))
            if kind == 3:
                changed[at : at + 8] = dice.choice([b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\x7f" * 2])[
                    : len(changed[at : at + 8])
                ]
            else:
                changed[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, changed[at] ^ 1, dice.randrange(256)])
    return bytes(changed)


def use(frame: pd.DataFrame) -> None:
    """Do what a service does with a frame, on the memory that was made from the bytes; no error counts."""
    if any("list_view" in str(dtype) for dtype in [*frame.dtypes, frame.index.dtype, frame.columns.dtype]):
        return  # pyarrow aborts on its own, when it makes NumPy arrays of those
    head = frame.iloc[:50]
    for step in (
        lambda: repr(head),
        lambda: head.to_csv(),
        lambda: head.copy(deep=True),
        lambda: head.iloc[::-1].to_dict("list"),
        lambda: head.isna().sum(),
        lambda: b"".join(pack(head)),
        lambda: pd.util.hash_pandas_object(head),
        lambda: head.index.get_indexer(head.index[:3]),
        lambda: head.columns.get_indexer(head.columns[:3]),
        lambda: head.reset_index().nunique(),
        lambda: head.sort_index(),
    ):
        with suppress(Exception):
            step()
    for position in range(min(frame.shape[1], 4)):
        column = frame.iloc[:50, position]
        for step in (
            lambda column=column: column.unique(),
            lambda column=column: column.sort_values(),
            lambda column=column: column.astype(str),
            lambda column=column: column.astype(object).tolist(),
            lambda column=column: column.value_counts(),
            lambda column=column: column.to_numpy(),
            lambda column=column: column.min(),
            lambda column=column: column.array.__arrow_array__(),
            lambda column=column: column == column,
            lambda column=column: column.take([0, -1]),
            lambda column=column: pd.concat([column, column]),
        ):
            with suppress(Exception):
                step()


def main(seed: int, count: int) -> None:
    """Forge ``count`` containers; print how many were refused, how many were frames."""
    sys.path.insert(0, str(Path(__file__).parent))
    from odd.corpus import CORPUS

    warnings.simplefilter("ignore")
    dice = random.Random(seed)
    names = [name for name, odd in CORPUS.items() if odd.fate == "kept" and not odd.heavy]
    chosen = []
    for name in dice.sample(names, min(len(names), max(40, count // 20))):
        with suppress(Exception):
            chosen.append((name, CORPUS[name].build()))
    taken = []
    for name, frame in chosen:
        with suppress(Exception):
            taken.append((name, b"".join(pack(frame)), frame))
    refused = read = 0
    for number in range(count):
        name, _, frame = dice.choice(taken)
        one, other = Forged.of(frame), Forged.of(dice.choice(taken)[2])
        forge(one, other, dice)
        try:
            data = one.container()
        except (struct.error, ValueError):
            continue
        print(number, name, file=sys.stderr, flush=True)
        try:
            made = unpack(data, max_bytes=1 << 26)
        except REFUSALS:
            refused += 1
        else:
            read += 1
            use(made)
    print(refused, read)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""docs/types.md says what becomes of every type, and is what the codec really does.

Rewrite it with ``FRAMEKEEP_WRITE_DOCS=1 pytest tests/frames/test_type_matrix.py``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from odd.corpus import CORPUS, Odd

from framekeep.errors import NotADataFrameError, UnsupportedTypeError
from framekeep.frames import FrameCodec, Visit
from framekeep.frames.node import Node
from framekeep.names import Digest
from framekeep.testing.identical import differences

PAGE = Path(__file__).parents[2] / "docs" / "types.md"

INTRO = """\
# What is kept, type by type

<!-- Written by tests/frames/test_type_matrix.py from what the codec does; do not edit. -->

A frame comes back exactly as it was, to the last bit and the type of every label, or `UnsupportedTypeError`
names the column and the type and nothing is stored. Nothing is changed silently, and nothing stored is ever
run as code.

**Kept** tells what became of the test frames of that type (their number in brackets): *exactly* or *refused*.
**Stored** names the layouts of its chunks (see [format.md](format.md)): *raw* is the bytes of the slice,
*text* is offsets and UTF-8, *cells* is one tagged value after the other, *arrow* is an Arrow IPC stream;
*manifest* means that no chunk is needed.

Not part of the value, so free to change: the layout of blocks, memory order, how an Arrow column is cut into
chunks, bytes under a mask, and whether two cells hold one object or two equal ones. A frame given back is
always writable through pandas.
"""

SECTIONS = {
    "numpy": ("numpy dtypes", "NaN payloads, `-0.0`, NaT and the byte order included."),
    "zone": (
        "datetime64 with a time zone",
        "The kind of zone object comes back too: zoneinfo, pytz, dateutil or fixed.",
    ),
    "period": ("Period", "Named after the frequency."),
    "interval": ("Interval", "Each with all four kinds of closed ends."),
    "categorical": (
        "Categorical",
        "Named after the dtype of the categories; ordered and not, with unused categories.",
    ),
    "sparse": (
        "Sparse",
        "Named after subtype and fill value; both kinds of index, explicit fill values included.",
    ),
    "nullable": ("Nullable dtypes", "NaN and NA are kept apart."),
    "string": ("Strings", "Named after storage and missing value."),
    "arrow": ("ArrowDtype", "Whole, sliced, in chunks, empty, all null; nulls at every level."),
    "cell": (
        "Cells and labels of dtype object",
        "Alone, among the missing values, inside containers, and as labels.",
    ),
    "rare": ("Rare cells", "Alone, among the missing values, inside containers; some as labels."),
    "foreign": (
        "Refused",
        "What only running somebody's code could bring back, and what is no DataFrame.",
    ),
}
GROUPED = {
    "freq": "Index frequency",
    "axis_range": "RangeIndex",
    "axis_name": "Name of an axis",
    "axis_label": "Labels of rows and columns",
    "axis_multi": "MultiIndex, on rows and columns",
    "shape": "Shape",
    "memory": "Memory of the frame given",
    "attrs": "`attrs`",
    "flags": "Flags",
    "border": "Sizes that cross the borders of chunks",
    "real": "Frames as people make them",
}


class Fact(NamedTuple):
    """What became of one odd frame."""

    odd: Odd
    result: str
    stored: frozenset[str]


def layouts(node: Node) -> Iterator[str]:
    for track in node.tracks:
        yield track.layout
    for child in node.children:
        yield from layouts(child)


def fact(odd: Odd) -> Fact:
    frame = odd.build()
    try:
        encoded = FrameCodec().encode(frame)
    except (UnsupportedTypeError, NotADataFrameError):
        return Fact(odd, "refused", frozenset())

    def read(digests: Sequence[Digest], visit: Visit) -> None:
        for position, digest in enumerate(digests):
            visit(position, memoryview(encoded.blobs[digest]))

    codec = FrameCodec()
    manifest = codec.manifest(read, encoded.manifest.digest)
    changed = differences(frame, codec.decode(read, manifest))
    places = {
        "index": (manifest.index,),
        "columns": (manifest.axis,),
        "labels": (manifest.index, manifest.axis),
    }
    nodes = places.get(odd.name.split("/")[-1], manifest.arrays)
    found = frozenset(name for node in nodes for name in layouts(node))
    return Fact(odd, "changed" if changed else "exactly", found)


def shown(area: str, kind: str) -> str:
    if area != "numpy" or kind == "mixed" or "64[" in kind:
        return f"`{kind}`"
    return f"`{np.dtype(kind).name}`{', big-endian' if kind.startswith('>') else ''}"


def kept(facts: list[Fact]) -> str:
    results = sorted({f.result for f in facts})
    if len(results) == 1:
        return f"{results[0]} ({len(facts)})"
    told = []
    for result in results:
        those = [f for f in facts if f.result == result]
        which = "" if result == "exactly" else ": " + ", ".join(f.odd.name.split("/", 2)[2] for f in those)
        told.append(f"{result} ({len(those)}){which}")
    return "; ".join(told)


def stored(facts: list[Fact]) -> str:
    if all(f.result == "refused" for f in facts):
        return ""
    return ", ".join(sorted({name for f in facts for name in f.stored})) or "manifest"


def page() -> str:
    rows: dict[str, dict[str, list[Fact]]] = defaultdict(lambda: defaultdict(list))
    for odd in CORPUS.values():
        area, kind, _ = odd.name.split("/", 2)
        rows[area][kind].append(fact(odd))
    assert set(rows) == set(SECTIONS) | set(GROUPED)
    lines = [INTRO]
    for area, (title, note) in SECTIONS.items():
        lines += [
            f"## {title}",
            "",
            *([note, ""] if note else []),
            "| type | kept | stored |",
            "|---|---|---|",
        ]
        lines += [
            f"| {shown(area, kind)} | {kept(facts)} | {stored(facts)} |" for kind, facts in rows[area].items()
        ]
        lines.append("")
    lines += ["## Everything around the columns", "", "| what | tried with | kept |", "|---|---|---|"]
    for area, title in GROUPED.items():
        facts = [f for those in rows[area].values() for f in those]
        lines.append(f"| {title} | {', '.join(f'`{kind}`' for kind in rows[area])} | {kept(facts)} |")
    return "\n".join(lines) + "\n"


def test_the_page_says_what_the_codec_does() -> None:
    now = page()
    assert "changed (" not in now
    if os.environ.get("FRAMEKEEP_WRITE_DOCS"):
        PAGE.write_text(now, encoding="utf-8")
    assert PAGE.exists(), "run with FRAMEKEEP_WRITE_DOCS=1"
    assert PAGE.read_text(encoding="utf-8") == now, (
        "docs/types.md is out of date: run with FRAMEKEEP_WRITE_DOCS=1"
    )

"""Codecs on the chunks of the mixed frame: ratio against latency, by kind of column.

``python -m benchmarks.codecs [--rows N]`` prints the table; ``python -m benchmarks.run`` includes it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import pyarrow as pa
import xxhash

from benchmarks.frames import column_buffers, mixed

CODECS: tuple[tuple[str, str | None, int | None], ...] = (
    ("none", None, None),
    ("lz4", "lz4_raw", None),
    ("snappy", "snappy", None),
    ("zstd-1", "zstd", 1),
    ("zstd-3", "zstd", 3),
    ("gzip-1", "gzip", 1),
    ("gzip-6", "gzip", 6),
)
"""(label, pyarrow's name, level). "none" is one memcpy, what keeping the bytes as they are costs."""

KINDS = {"f": "float64", "i": "int64", "s": "str", "d": "datetime64", "b": "bool", "c": "category"}

CHUNK_BYTES = 65_536 * 8


@dataclass(frozen=True, slots=True)
class CodecFigure:
    """One codec on the chunks of one kind of column.

    Attributes:
        kind: the kind of column, or "all".
        codec: label of the codec and its level.
        raw: uncompressed bytes of the sample.
        stored: compressed bytes.
        compress_s: seconds to compress the sample, best of the rounds.
        decompress_s: seconds to decompress it into memory already touched, best of the rounds.
    """

    kind: str
    codec: str
    raw: int
    stored: int
    compress_s: float
    decompress_s: float

    @property
    def ratio(self) -> float:
        """Raw over stored bytes."""
        return self.raw / self.stored

    @property
    def compress_rate(self) -> float:
        """Megabytes (10^6 raw bytes) a second."""
        return self.raw / self.compress_s / 1e6

    @property
    def decompress_rate(self) -> float:
        """Megabytes (10^6 raw bytes) a second."""
        return self.raw / self.decompress_s / 1e6


def measure(rows: int, *, rounds: int = 3) -> list[CodecFigure]:
    """Measure every codec on every kind of column of ``mixed(rows)``, then the sum over the frame.

    A sample is the buffers of all columns of the kind, cut to chunks of 512 KiB, each compressed alone.
    """
    samples: dict[str, list[memoryview]] = defaultdict(list)
    frame = mixed(rows)
    for kind, buffer in column_buffers(frame):
        samples[kind].extend(buffer[at : at + CHUNK_BYTES] for at in range(0, len(buffer), CHUNK_BYTES))
    figures: list[CodecFigure] = []
    for label, name, level in CODECS:
        of_codec = [_measure(KINDS[k], label, name, level, chunks, rounds) for k, chunks in samples.items()]
        figures.extend(of_codec)
        figures.append(
            CodecFigure(
                "all",
                label,
                sum(f.raw for f in of_codec),
                sum(f.stored for f in of_codec),
                sum(f.compress_s for f in of_codec),
                sum(f.decompress_s for f in of_codec),
            )
        )
    return figures


def checksum_rate(rows: int, *, rounds: int = 3) -> float:
    """Return bytes a second of XXH3-64 over the same chunks: what reading pays besides decompression."""
    buffers = [buffer for _, buffer in column_buffers(mixed(rows))]
    best = min(_timed(lambda: [xxhash.xxh3_64_digest(b) for b in buffers]) for _ in range(rounds))
    return sum(len(b) for b in buffers) / best


def table(figures: list[CodecFigure]) -> list[str]:
    """Return the figures as lines of a Markdown table: one row per kind, one column per codec."""
    labels = [label for label, _, _ in CODECS]
    kinds = list(dict.fromkeys(f.kind for f in figures))
    by_key = {(f.kind, f.codec): f for f in figures}
    lines = ["| column kind | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    for kind in kinds:
        cells = []
        for label in labels:
            f = by_key[kind, label]
            cells.append(f"{f.ratio:.2f}x · {f.compress_rate:,.0f} / {f.decompress_rate:,.0f}")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return lines


def _measure(
    kind: str, label: str, name: str | None, level: int | None, chunks: list[memoryview], rounds: int
) -> CodecFigure:
    raw = sum(len(c) for c in chunks)
    if name is None:
        target = np.empty(max(len(c) for c in chunks), np.uint8)

        def copy() -> None:
            for chunk in chunks:
                np.copyto(target[: len(chunk)], np.frombuffer(chunk, np.uint8))

        best = min(_timed(copy) for _ in range(rounds))
        return CodecFigure(kind, label, raw, raw, best, best)
    codec = pa.Codec(name, compression_level=level)
    views = [pa.py_buffer(c) for c in chunks]
    packed = [codec.compress(v) for v in views]
    sizes = [len(c) for c in chunks]
    compress = min(_timed(lambda: [codec.compress(v) for v in views]) for _ in range(rounds))
    decompress = min(
        _timed(lambda: [codec.decompress(p, decompressed_size=n) for p, n in zip(packed, sizes, strict=True)])
        for _ in range(rounds)
    )
    return CodecFigure(kind, label, raw, sum(p.size for p in packed), compress, decompress)


def _timed(call: object) -> float:
    start = perf_counter()
    call()  # type: ignore[operator]
    return perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    print("\n".join(table(measure(rows))))
    print(f"\nXXH3-64 over the same bytes: {checksum_rate(rows) / 1e6:,.0f} MB/s")


if __name__ == "__main__":
    main()

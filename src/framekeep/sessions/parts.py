"""What a head needs: every blob, with what it is checked against and how a person calls it.

Reads manifests without their labels: they may be cells that only a signing key opens, and copying needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from framekeep.engines.base import Engine, blobs
from framekeep.errors import SessionDamagedError
from framekeep.frames.manifest import parse
from framekeep.frames.reading import verified
from framekeep.names import Buffer, Digest, Space, digest_of
from framekeep.sessions.head import Session, Sheets
from framekeep.sessions.source import titled

if TYPE_CHECKING:
    from framekeep.frames.node import Node, Ref

BATCH_BYTES = 16 << 20
"""Bytes that are in memory at once on their way, roughly."""

_MARKS_BYTES = 1 << 20  # nothing says how long marks are


class Arrays(Protocol):
    """A manifest, as far as its parts are concerned."""

    @property
    def index(self) -> Node:
        """The row index."""

    @property
    def axis(self) -> Node:
        """The column labels."""

    @property
    def arrays(self) -> tuple[Node, ...]:
        """The columns."""


@dataclass(frozen=True, slots=True)
class Part:
    """One blob.

    Attributes:
        digest: its name.
        where: what it is, in words.
        size: bytes at most, roughly.
        ref: what a chunk is checked against; None for manifests and marks, which are stored as they are.
    """

    digest: Digest
    where: str
    size: int
    ref: Ref | None = None

    def problem(self, blob: Buffer) -> str | None:
        """Return what is wrong with a stored blob, by its name; None if nothing is."""
        if self.ref is not None:
            return verified(self.ref, blob)
        return None if digest_of(blob) == self.digest else f"{self.digest.hex()} does not match its name"


def parts_of(engine: Engine, space: Space, body: bytes) -> dict[Digest, Part]:
    """Return all that a head needs.

    Raises:
        BlobMissing: a manifest is not there.
        SessionDamagedError: the head or a manifest is not what was written.
        NewerFormatError: a newer version of Framekeep wrote it.
    """
    found: dict[Digest, Part] = {}
    frames, marks = _named(space, body)
    for digest, title in marks:
        found[digest] = Part(digest, f"{title}: marks", _MARKS_BYTES)
    for digest, title in frames:
        if digest in found:
            continue
        [data] = blobs(engine, space, [digest])
        if digest_of(data) != digest:
            raise SessionDamagedError(f"{title}: the manifest is damaged", where=f"{title}: manifest")
        for part in parts_of_frame(digest, len(data), parse(data), title):
            found.setdefault(part.digest, part)
    return found


def parts_of_frame(digest: Digest, size: int, manifest: Arrays, title: str) -> Iterator[Part]:
    """Yield a manifest and the chunks that it names."""
    yield Part(digest, f"{title}: manifest", size)
    columns = ((f"column number {i}", node) for i, node in enumerate(manifest.arrays, 1))
    for place, node in (("index", manifest.index), ("column labels", manifest.axis), *columns):
        for track in node.walk():
            for ref in track.refs():
                yield Part(ref.digest, f"{title}: {place}", ref.nbytes, ref)


def batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Cut parts into runs of about BATCH_BYTES."""
    batch: list[Part] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += part.size
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _named(space: Space, body: bytes) -> tuple[list[tuple[Digest, str]], list[tuple[Digest, str]]]:
    """Return the manifests and the marks that a head names, each with its title."""
    if space.startswith("reply:"):
        return [], []
    if space.startswith("temp:"):
        return [(digest, f"sheet {name!r}"[:80]) for name, digest in Sheets.decode(body).sheets], []
    states = titled(Session.decode(body).timeline)
    frames = [(state.frame, title) for title, state in states]
    marks = [(state.marks, title) for title, state in states if state.marks is not None]
    return frames, marks

"""Frames between programs: the containers ``application/vnd.framekeep.frame`` and ``…frames``.

Owns the bytes around manifests and chunks (``docs/format.md``, "Containers"): written as the frame is taken
apart, a column at a time, and read from memory or from a file. A container may come from anybody, so nothing
in it is believed: what is built from it is checked as ``foreign_nodes.py`` and ``foreign.py`` say.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, BinaryIO, Final, Protocol

import pandas as pd
import pyarrow as pa
import xxhash

from framekeep.errors import (
    DamagedError,
    DamagedFileError,
    DataFrameTooLargeError,
    FramekeepError,
    InvalidInputError,
    NewerFormatError,
    SessionDamagedError,
    UnknownFormatError,
)
from framekeep.frames import arrays, axes, layouts
from framekeep.frames.arrays import Build, Encoding, Loader
from framekeep.frames.borrow import assemble, column_arrays
from framekeep.frames.codec import as_frame
from framekeep.frames.envelope import Envelope, expand
from framekeep.frames.foreign import Allowance
from framekeep.frames.foreign_nodes import checked_nodes
from framekeep.frames.manifest import Parsed, manifest_bytes, parse, place
from framekeep.frames.reading import Reader, Visit, named, read_jobs
from framekeep.frames.signing import SignedPickler
from framekeep.frames.writing import ChunkWriter
from framekeep.names import Buffer, Digest, digest_of

FRAME_TYPE: Final = "application/vnd.framekeep.frame"
"""Media type of one frame."""
FRAMES_TYPE: Final = "application/vnd.framekeep.frames"
"""Media type of frames by name."""

_MAGIC: Final = b"FKW"
_VERSION: Final = 1
_ONE, _MANY = 1, 2
_END, _CHUNK, _MANIFEST = 0, 1, 2
_HEAD: Final = struct.Struct("<3sBB")
"""Magic, version, whether it is one frame or many by name."""
_CHUNK_HEAD: Final = struct.Struct("<B16sI")
"""Kind of record, digest, bytes of the blob that follows."""
_MANIFEST_HEAD: Final = struct.Struct("<B16sHI")
"""Kind of record, digest, bytes of the name and of the manifest that follow."""
_LAST: Final = struct.Struct("<BQ")
"""Kind of record, XXH3-64 of everything before it."""
_NAME_LIMIT: Final = 0xFFFF
_PIECE: Final = 256 << 10


# --- writing ------------------------------------------------------------------------------------------


def pack(frame: object, *, codec: str = "auto", pickle_key: bytes | None = None) -> Iterator[bytes]:
    """Yield the container of one frame, a column at a time, as the pieces are asked for.

    Args:
        frame: a pandas DataFrame, or anything with ``__arrow_c_stream__``.
        codec: how chunks are compressed: "auto", "lz4", "snappy", "zstd" or "gzip".
        pickle_key: lets cells without an exact encoding travel as pickles signed with this key.

    Raises:
        NotADataFrameError: for anything else.
        UnsupportedTypeError: for a value that cannot be kept exactly; names the column and the type. What was
            yielded until then is not a container.
    """
    return _packed({"": frame}, _ONE, codec, pickle_key)


def pack_frames(
    frames: Mapping[str, object], *, codec: str = "auto", pickle_key: bytes | None = None
) -> Iterator[bytes]:
    """Yield the container of frames by name; else as ``pack``.

    Raises:
        InvalidInputError: for a name that is not a string, or has more than 65,535 bytes.
    """
    return _packed(frames, _MANY, codec, pickle_key)


def _packed(frames: Mapping[str, object], form: int, codec: str, pickle_key: bytes | None) -> Iterator[bytes]:
    sink = _Sink()
    sink.add(_HEAD.pack(_MAGIC, _VERSION, form))
    writer = ChunkWriter(Envelope(codec))
    pickler = SignedPickler(pickle_key) if pickle_key is not None else None
    for name, frame in frames.items():
        title = _title(name)
        for manifest in _taken_apart(as_frame(frame), Encoding(writer, pickler)):
            blobs, writer.blobs = writer.blobs, {}
            for digest, blob in blobs.items():
                sink.add(_CHUNK_HEAD.pack(_CHUNK, digest, len(blob)))
                sink.add(blob)
                yield from sink.full()
            if manifest is not None:
                sink.add(_MANIFEST_HEAD.pack(_MANIFEST, digest_of(manifest), len(title), len(manifest)))
                sink.add(title)
                sink.add(manifest)
    sink.add(_LAST.pack(_END, sink.checksum()))
    yield from sink.rest()


def _title(name: object) -> bytes:
    if not isinstance(name, str):
        raise InvalidInputError(f"The name of a frame must be a string, not {type(name).__name__}.")
    title = name.encode("utf-8", "surrogatepass")
    if len(title) > _NAME_LIMIT:
        raise InvalidInputError(
            f"The name of a frame has {len(title):,} bytes; at most {_NAME_LIMIT:,} are kept."
        )
    return title


def _taken_apart(data: pd.DataFrame, to: Encoding) -> Iterator[bytes | None]:
    """Write the chunks of a frame, pausing after each column; yield the manifest last."""
    index = axes.encode(data.index, to.at("index"))
    axis = axes.encode(data.columns, to.at("column labels"))
    nodes = []
    for label, array in zip(data.columns, column_arrays(data), strict=True):
        at = to.at(place(label))
        _check_valid(array, at)
        nodes.append(arrays.encode(array, at))
        yield None
    attrs = to.at("attrs").dump(data.attrs) if data.attrs else None
    yield manifest_bytes(index, axis, tuple(nodes), attrs, not data.flags.allows_duplicate_labels)


def _check_valid(array: Any, to: Encoding) -> None:
    """Refuse what the receiver would: Arrow makes arrays that it calls invalid, below nulls of structs."""
    data = getattr(array, "_pa_array", None)
    if data is None or layouts.is_text(data.type):
        return
    try:
        data.validate(full=True)
    except pa.ArrowInvalid as error:
        raise to.refuse(str(data.type), "Arrow calls its data invalid; rebuild the column first") from error


class _Sink:
    """Gathers small parts into pieces worth sending."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._hash = xxhash.xxh3_64()

    def add(self, part: bytes) -> None:
        self._hash.update(part)
        self._parts.append(part)
        self._size += len(part)

    def checksum(self) -> int:
        return int(self._hash.intdigest())

    def full(self) -> Iterator[bytes]:
        if self._size >= _PIECE:
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        parts, self._parts, self._size = self._parts, [], 0
        if parts:
            yield b"".join(parts)


# --- reading ------------------------------------------------------------------------------------------


def unpack(
    source: Buffer | BinaryIO, *, max_bytes: int | None = None, pickle_key: bytes | None = None
) -> pd.DataFrame:
    """Return the frame of a container; all its memory is the caller's own.

    Args:
        source: the container's bytes, or a file that can be sought, read from its start.
        max_bytes: bytes of decoded data at most, checked before any is allocated; Python objects may take a
            small multiple of it. None: as much as the container's own chunks have.
        pickle_key: opens pickles signed with this key; None opens none.

    Raises:
        UnknownFormatError: it is no container, one of many frames, or of a newer version.
        DamagedFileError: it is cut short, changed, or was made to deceive; ``where`` names the column.
        DataFrameTooLargeError: it holds more than ``max_bytes``.
    """
    ((_, frame),) = _unpacked(source, _ONE, max_bytes, pickle_key)
    return frame


def unpack_frames(
    source: Buffer | BinaryIO, *, max_bytes: int | None = None, pickle_key: bytes | None = None
) -> dict[str, pd.DataFrame]:
    """Return the frames of a container by name, in order; else as ``unpack``. ``max_bytes`` is for all."""
    return dict(_unpacked(source, _MANY, max_bytes, pickle_key))


def _unpacked(
    source: Buffer | BinaryIO, form: int, max_bytes: int | None, pickle_key: bytes | None
) -> list[tuple[str, pd.DataFrame]]:
    opened: _Source
    opened = _Memory(source) if isinstance(source, bytes | bytearray | memoryview) else _File(source)
    with _told_plainly():
        contents = _scan(opened, form, max_bytes)
        allowance = Allowance(max_bytes)
        pickler = SignedPickler(pickle_key) if pickle_key is not None else None
        found = [
            (name, _frame(contents, opened, data, allowance, pickler))
            for name, data in contents.manifests.items()
        ]
    if contents.used != contents.chunks.keys():
        raise DamagedFileError("The container holds a chunk that none of its frames names.")
    return found


class _Source(Protocol):
    size: int

    def read(self, at: int, count: int) -> Buffer:
        """Return exactly ``count`` bytes from ``at``; the caller knows that they are there."""


class _Memory:
    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    def read(self, at: int, count: int) -> Buffer:
        return self._view[at : at + count]


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lock = file, Lock()  # chunks are read from several threads
        self.size = file.seek(0, io.SEEK_END)

    def read(self, at: int, count: int) -> Buffer:
        with self._lock:
            self._file.seek(at)
            data = self._file.read(count)
        if len(data) != count:
            raise DamagedFileError("The container became shorter while it was read.")
        return data


@dataclass(slots=True)
class _Contents:
    """Where things are in a container.

    Attributes:
        chunks: place and stored length of each chunk.
        manifests: the manifest of each frame by name.
        used: the chunks that some frame named so far.
    """

    chunks: dict[Digest, tuple[int, int]] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    used: set[Digest] = field(default_factory=set)


def _scan(source: _Source, form: int, max_bytes: int | None) -> _Contents:
    """Read the container from end to end: what it says of itself must hold before any part is used."""
    walk = _Walk(source)
    if source.size < _HEAD.size:
        raise UnknownFormatError("The bytes are no container of frames: they are too few.")
    magic, version, found = _HEAD.unpack(walk.take(_HEAD.size))
    if magic != _MAGIC:
        raise UnknownFormatError("The bytes are no container of frames: they do not begin like one.")
    if version > _VERSION:
        raise UnknownFormatError(
            f"The container has version {version}; this version of framekeep reads up to {_VERSION}. "
            "Upgrade framekeep to read it."
        )
    if version != _VERSION or found not in (_ONE, _MANY):
        raise DamagedFileError("The container says of itself what none does.")
    if found != form:
        wanted, other = (FRAME_TYPE, FRAMES_TYPE) if form == _ONE else (FRAMES_TYPE, FRAME_TYPE)
        raise UnknownFormatError(f"The container is {other} where {wanted} is expected.")
    contents = _Contents()
    while True:
        kind = walk.peek()
        if kind == _CHUNK:
            _, digest, length = _CHUNK_HEAD.unpack(walk.take(_CHUNK_HEAD.size))
            if digest in contents.chunks:
                raise DamagedFileError("The container holds a chunk twice.")
            contents.chunks[Digest(digest)] = (walk.at, length)
            walk.skip(length)
        elif kind == _MANIFEST:
            _, digest, title, length = _MANIFEST_HEAD.unpack(walk.take(_MANIFEST_HEAD.size))
            if max_bytes is not None and length > max_bytes:
                raise DataFrameTooLargeError(
                    f"The description of a frame alone has {length:,} bytes; {max_bytes:,} are accepted for "
                    "all of it (MAX_DATAFRAME_SIZE_MB)."
                )
            name = str(walk.take(title), "utf-8", "surrogatepass")
            data = bytes(walk.take(length))
            if digest_of(data) != digest:
                raise DamagedFileError("The description of a frame does not match its name in the container.")
            if name in contents.manifests:
                raise DamagedFileError("The container holds two frames of one name.")
            contents.manifests[name] = data
        elif kind == _END:
            checksum = walk.checksum()
            if _LAST.unpack(walk.take(_LAST.size))[1] != checksum:
                raise DamagedFileError(
                    "The container is damaged: its checksum does not match. Send it again."
                )
            break
        else:
            raise DamagedFileError("The container holds a record of an unknown kind.")
    if walk.at != source.size:
        raise DamagedFileError("Something follows the end of the container.")
    if form == _ONE and list(contents.manifests) != [""]:
        raise DamagedFileError("The container does not hold exactly one frame.")
    return contents


class _Walk:
    """Goes over a source from its start, hashing what it passes."""

    def __init__(self, source: _Source) -> None:
        self._source, self.at = source, 0
        self._hash = xxhash.xxh3_64()

    def _left(self, count: int) -> None:
        if count > self._source.size - self.at:
            raise DamagedFileError("The container is cut short. Send it again.")

    def peek(self) -> int:
        self._left(1)
        return self._source.read(self.at, 1)[0]

    def take(self, count: int) -> Buffer:
        self._left(count)
        data = self._source.read(self.at, count)
        self._hash.update(data)
        self.at += count
        return data

    def skip(self, count: int) -> None:
        self._left(count)
        while count:
            count -= len(self.take(min(count, _PIECE)))

    def checksum(self) -> int:
        return int(self._hash.intdigest())


def _frame(
    contents: _Contents,
    source: _Source,
    data: bytes,
    allowance: Allowance,
    pickler: SignedPickler | None,
) -> pd.DataFrame:
    parsed = parse(data)
    refs = checked_nodes(parsed, allowance)
    if not refs.keys() <= contents.chunks.keys():
        raise DamagedFileError("The container lacks a chunk that a frame in it names.")
    contents.used |= refs.keys()

    def read(digests: Sequence[Digest], visit: Visit) -> None:
        for i, digest in enumerate(digests):
            chunk = expand(source.read(*contents.chunks[digest]), refs[digest].nbytes)
            if digest_of(chunk) != digest:
                raise DamagedFileError(f"Chunk {digest.hex()} of the container does not match its name.")
            visit(i, memoryview(chunk))

    return _put_together(parsed, Loader(pickler, own=True, foreign=allowance), read)


def _put_together(parsed: Parsed, loader: Loader, read: Reader) -> pd.DataFrame:
    loader.where = "column labels"
    with _placed(loader):
        labels_of = axes.build(parsed.axis, loader)
        read_jobs(read, loader.jobs)
        labels: pd.Index = labels_of()
    loader.jobs.clear()
    places = ["index", *map(place, labels)]
    builds: list[Build] = []
    for loader.where, node in zip(places, (parsed.index, *parsed.arrays), strict=True):
        with _placed(loader):
            builds.append((arrays.build if builds else axes.build)(node, loader))
    read_jobs(read, loader.jobs)
    made: list[Any] = []
    for loader.where, build in zip(places, builds, strict=True):
        with _placed(loader):
            made.append(build())
    frame = assemble(made[1:], made[0], labels, own=True)
    loader.where = "attrs"
    with _placed(loader):
        if parsed.attrs is not None:
            frame.attrs = dict(loader.value(parsed.attrs))
        if parsed.unique_labels:
            frame = frame.set_flags(allows_duplicate_labels=False)
    return frame


@contextmanager
def _placed(loader: Loader) -> Iterator[None]:
    """Say which part of the frame an error is about, whatever library it comes from."""
    try:
        yield
    except DamagedError as error:
        raise named(error, loader.where) from error
    except (FramekeepError, MemoryError):
        raise
    except Exception as error:
        raise SessionDamagedError(
            f"{loader.where}: its parts do not make an array ({type(error).__name__})", where=loader.where
        ) from error


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Translate what is said of stored bytes: here it is the sender who has to do something."""
    try:
        yield
    except DamagedError as error:
        where = error.where if isinstance(error, SessionDamagedError) else ""
        raise DamagedFileError(f"The container holds no frame: {error}", where=where) from error
    except NewerFormatError as error:
        raise UnknownFormatError(str(error)) from error
    except FramekeepError:
        raise
    except MemoryError as error:
        raise DamagedFileError("The container asks for more memory than there is.") from error
    except Exception as error:  # RecursionError, whatever NumPy, pandas and Arrow raise
        raise DamagedFileError(f"The container holds no frame ({type(error).__name__}).") from error

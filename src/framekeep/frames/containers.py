"""The bytes of a container of frames: its records, written and found again.

Owns the framing (``docs/format.md``, "Containers"): lengths, the checksum of the whole, and that nothing is
there twice. Knows nothing of what manifests and chunks say; that is for ``wire.py``.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Set
from threading import Lock
from typing import BinaryIO, Final, Protocol

import xxhash

from framekeep.errors import DamagedFileError, DataFrameTooLargeError, InvalidInputError, UnknownFormatError
from framekeep.names import Buffer, Digest, digest_of

FRAME_TYPE: Final = "application/vnd.framekeep.frame"
"""Media type of one frame."""
FRAMES_TYPE: Final = "application/vnd.framekeep.frames"
"""Media type of frames by name."""

_MAGIC: Final = b"FKW"
_VERSION: Final = 1
_FORMS: Final = {1: FRAME_TYPE, 2: FRAMES_TYPE}
_END, _CHUNK, _MANIFEST = 0, 1, 2

_HEAD: Final = struct.Struct("<3sBB")
"""Magic, version, form."""
_CHUNK_HEAD: Final = struct.Struct("<B16sI")
"""Kind of record, digest, bytes of the blob that follows."""
_MANIFEST_HEAD: Final = struct.Struct("<B16sHI")
"""Kind of record, digest, bytes of the name and of the manifest that follow."""
_LAST: Final = struct.Struct("<BQ")
"""Kind of record, XXH3-64 of everything before it."""

_NAME_LIMIT: Final = 0xFFFF
_MANIFEST_LEAST: Final = 16 << 20
"""Manifests up to this size are always read, as are those of an eighth of a frame: JSON unfolds in memory."""
_PIECE: Final = 256 << 10
"""Bytes that are worth a piece of their own, and that are hashed at once."""


class ContainerWriter:
    """Writes records, gathered into pieces worth sending.

    Args:
        media_type: FRAME_TYPE or FRAMES_TYPE.
    """

    def __init__(self, media_type: str) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._hash = xxhash.xxh3_64()
        form = next(form for form, name in _FORMS.items() if name == media_type)
        self._add(_HEAD.pack(_MAGIC, _VERSION, form))

    def _add(self, part: bytes) -> None:
        self._hash.update(part)
        self._parts.append(part)
        self._size += len(part)

    def chunk(self, digest: Digest, blob: bytes) -> Iterator[bytes]:
        """Add a chunk in its envelope; yield what is worth a piece by now."""
        self._add(_CHUNK_HEAD.pack(_CHUNK, digest, len(blob)))
        self._add(blob)
        if self._size >= _PIECE:
            yield from self._gathered()

    def manifest(self, title: bytes, manifest: bytes) -> None:
        """Add a manifest; its chunks may come before or after it."""
        head = _MANIFEST_HEAD.pack(_MANIFEST, digest_of(manifest), len(title), len(manifest))
        for part in (head, title, manifest):
            self._add(part)

    def end(self) -> Iterator[bytes]:
        """Add the last record; yield what is left."""
        self._add(_LAST.pack(_END, self._hash.intdigest()))
        yield from self._gathered()

    def _gathered(self) -> Iterator[bytes]:
        parts, self._parts, self._size = self._parts, [], 0
        yield b"".join(parts)


def encoded_name(name: object) -> bytes:
    """Return the name of a frame as the container has it.

    Raises:
        InvalidInputError: it is no string, or has more than 65,535 bytes.
    """
    if not isinstance(name, str):
        raise InvalidInputError(f"The name of a frame must be a string, not {type(name).__name__}.")
    title = name.encode("utf-8", "surrogatepass")
    if len(title) > _NAME_LIMIT:
        raise InvalidInputError(f"The name of a frame has {len(title):,} bytes, more than {_NAME_LIMIT:,}.")
    return title


class Container:
    """A container that was read from end to end: what it says of itself holds, what is in it is unknown.

    Args:
        source: its bytes, or a file that can be sought; it must stay as it is.
        media_type: what is expected, FRAME_TYPE or FRAMES_TYPE.
        max_bytes: of a frame; manifests out of proportion to it are refused. None reads any.

    Attributes:
        manifests: the manifest of each frame by name, in order; each matches its digest.

    Raises:
        UnknownFormatError: it is no container, another, or of a newer version.
        DamagedFileError: it is cut short, changed, or contradicts itself.
        DataFrameTooLargeError: a manifest alone is larger than ``max_bytes``.
    """

    def __init__(self, source: Buffer | BinaryIO, media_type: str, max_bytes: int | None) -> None:
        memory = isinstance(source, bytes | bytearray | memoryview)
        self._source: _Source = _Memory(source) if memory else _File(source)  # type: ignore[arg-type]
        self._places: dict[Digest, tuple[int, int]] = {}
        self.manifests: dict[str, bytes] = {}
        walk = _Walk(self._source)
        _check_head(walk, media_type)
        while (kind := walk.peek()) != _END:
            if kind == _CHUNK:
                self._found_chunk(walk)
            elif kind == _MANIFEST:
                self._found_manifest(walk, max_bytes)
            else:
                raise DamagedFileError("The container holds a record of an unknown kind.")
        checksum = walk.checksum()
        if _LAST.unpack(walk.take(_LAST.size))[1] != checksum:
            raise DamagedFileError("The container is damaged: its checksum is another. Send it again.")
        if walk.at != self._source.size:
            raise DamagedFileError("Something follows the end of the container.")
        if media_type == FRAME_TYPE and list(self.manifests) != [""]:
            raise DamagedFileError("The container does not hold exactly one frame.")

    def _found_chunk(self, walk: _Walk) -> None:
        _, digest, length = _CHUNK_HEAD.unpack(walk.take(_CHUNK_HEAD.size))
        if digest in self._places:
            raise DamagedFileError("The container holds a chunk twice.")
        self._places[Digest(digest)] = (walk.at, length)
        walk.skip(length)

    def _found_manifest(self, walk: _Walk, max_bytes: int | None) -> None:
        _, digest, title, length = _MANIFEST_HEAD.unpack(walk.take(_MANIFEST_HEAD.size))
        if max_bytes is not None and length > (most := max(_MANIFEST_LEAST, max_bytes // 8)):
            raise DataFrameTooLargeError(
                f"The description of a frame alone has {length:,} bytes; at most {most:,} are accepted, by "
                "MAX_DATAFRAME_SIZE_MB. It has too many columns."
            )
        name = _text(walk.take(title))
        manifest = bytes(walk.take(length))
        if digest_of(manifest) != digest:
            raise DamagedFileError("The description of a frame in the container does not match its digest.")
        if name in self.manifests:
            raise DamagedFileError("The container holds two frames of one name.")
        self.manifests[name] = manifest

    @property
    def chunks(self) -> Set[Digest]:
        """The digests of the chunks, as the container claims them."""
        return self._places.keys()

    def chunk(self, digest: Digest) -> Buffer:
        """Return a chunk in its envelope; nobody has compared it with its digest. Thread-safe."""
        return self._source.read(*self._places[digest])


def _text(data: Buffer) -> str:
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeError as error:
        raise DamagedFileError("The name of a frame in the container is no text.") from error


def _check_head(walk: _Walk, media_type: str) -> None:
    if walk.left < _HEAD.size:
        raise UnknownFormatError("The bytes are no container of frames: they are too few.")
    magic, version, form = _HEAD.unpack(walk.take(_HEAD.size))
    if magic != _MAGIC:
        raise UnknownFormatError("The bytes are no container of frames: they do not begin like one.")
    if version > _VERSION:
        raise UnknownFormatError(
            f"The container has version {version}; this version of framekeep reads up to {_VERSION}. "
            "Upgrade framekeep to read it."
        )
    if version != _VERSION or form not in _FORMS:
        raise DamagedFileError("The container has a version or a form that never was.")
    if _FORMS[form] != media_type:
        raise UnknownFormatError(f"The container is {_FORMS[form]} where {media_type} is expected.")


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


class _Walk:
    """Goes over a source from its start, hashing what it passes."""

    def __init__(self, source: _Source) -> None:
        self._source, self.at = source, 0
        self._hash = xxhash.xxh3_64()

    @property
    def left(self) -> int:
        return self._source.size - self.at

    def peek(self) -> int:
        if not self.left:
            raise _cut_short()
        return self._source.read(self.at, 1)[0]

    def take(self, count: int) -> Buffer:
        if count > self.left:
            raise _cut_short()
        data = self._source.read(self.at, count)
        self._hash.update(data)
        self.at += count
        return data

    def skip(self, count: int) -> None:
        if count > self.left:
            raise _cut_short()
        while count:
            count -= len(self.take(min(count, _PIECE)))

    def checksum(self) -> int:
        return int(self._hash.intdigest())


def _cut_short() -> DamagedFileError:
    return DamagedFileError("The container is cut short. Send it again.")

"""Frames between programs: as ``application/vnd.framekeep.frame`` (one) and ``…frames`` (several by name).

A frame is written as it is taken apart, a column at a time, and read from memory or from a file. A container
may come from anybody, so nothing in it is believed: the bytes around the frames are checked in
``containers.py``, what manifests say in ``foreign_nodes.py``, and what the arrays hold in ``foreign.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pandas as pd
import pyarrow as pa

from framekeep.errors import (
    DamagedError,
    DamagedFileError,
    FramekeepError,
    NewerFormatError,
    SessionDamagedError,
    UnknownFormatError,
)
from framekeep.frames import arrays, axes, layouts
from framekeep.frames.arrays import Build, Encoding, Loader
from framekeep.frames.borrow import assemble, column_arrays
from framekeep.frames.codec import as_frame
from framekeep.frames.containers import FRAME_TYPE, FRAMES_TYPE, Container, ContainerWriter, encoded_name
from framekeep.frames.envelope import Envelope, expand
from framekeep.frames.foreign import Allowance
from framekeep.frames.foreign_nodes import checked_nodes
from framekeep.frames.manifest import Parsed, manifest_bytes, parse, place
from framekeep.frames.reading import Reader, Visit, named, read_jobs
from framekeep.frames.signing import SignedPickler
from framekeep.frames.writing import ChunkWriter
from framekeep.names import Buffer, Digest, digest_of

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
    return _packed({"": frame}, FRAME_TYPE, codec, pickle_key)


def pack_frames(
    frames: Mapping[str, object], *, codec: str = "auto", pickle_key: bytes | None = None
) -> Iterator[bytes]:
    """Yield the container of frames by name; else as ``pack``.

    Raises:
        InvalidInputError: for a name that is not a string, or has more than 65,535 bytes.
    """
    return _packed(frames, FRAMES_TYPE, codec, pickle_key)


def _packed(
    frames: Mapping[str, object], media_type: str, codec: str, pickle_key: bytes | None
) -> Iterator[bytes]:
    out = ContainerWriter(media_type)
    writer = ChunkWriter(Envelope(codec))
    pickler = SignedPickler(pickle_key) if pickle_key is not None else None
    for name, frame in frames.items():
        title = encoded_name(name)
        for manifest in _taken_apart(as_frame(frame), Encoding(writer, pickler)):
            blobs, writer.blobs = writer.blobs, {}
            for digest, blob in blobs.items():
                yield from out.chunk(digest, blob)
            if manifest is not None:
                out.manifest(title, manifest)
    yield from out.end()


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
    ((_, frame),) = _unpacked(source, FRAME_TYPE, max_bytes, pickle_key)
    return frame


def unpack_frames(
    source: Buffer | BinaryIO, *, max_bytes: int | None = None, pickle_key: bytes | None = None
) -> dict[str, pd.DataFrame]:
    """Return the frames of a container by name, in order; else as ``unpack``. ``max_bytes`` is for all."""
    return dict(_unpacked(source, FRAMES_TYPE, max_bytes, pickle_key))


def _unpacked(
    source: Buffer | BinaryIO, media_type: str, max_bytes: int | None, pickle_key: bytes | None
) -> list[tuple[str, pd.DataFrame]]:
    container = Container(source, media_type, max_bytes)
    pickler = SignedPickler(pickle_key) if pickle_key is not None else None
    opening = _Opening(container, Allowance(max_bytes), pickler)
    with _told_plainly():
        found = [(name, opening.frame(manifest)) for name, manifest in container.manifests.items()]
    if opening.used != container.chunks:
        raise DamagedFileError("The container holds a chunk that none of its frames names.")
    return found


class _Opening:
    """Makes the frames of one container.

    Attributes:
        used: the chunks that some frame named so far.
    """

    def __init__(self, container: Container, allowance: Allowance, pickler: SignedPickler | None) -> None:
        self._container, self._allowance, self._pickler = container, allowance, pickler
        self.used: set[Digest] = set()

    def frame(self, manifest: bytes) -> pd.DataFrame:
        """Return the frame of a manifest."""
        parsed = parse(manifest)
        refs = checked_nodes(parsed, self._allowance)
        if not refs.keys() <= self._container.chunks:
            raise DamagedFileError("The container lacks a chunk that a frame in it names.")
        self.used |= refs.keys()

        def read(digests: Sequence[Digest], visit: Visit) -> None:
            for i, digest in enumerate(digests):
                chunk = expand(self._container.chunk(digest), refs[digest].nbytes)
                if digest_of(chunk) != digest:
                    raise DamagedFileError(
                        f"Chunk {digest.hex()} of the container does not match its digest."
                    )
                visit(i, memoryview(chunk))

        return _put_together(parsed, Loader(self._pickler, own=True, foreign=self._allowance), read)


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
    except Exception as error:  # RecursionError, and whatever NumPy, pandas and Arrow raise
        raise DamagedFileError(f"The container holds no frame ({type(error).__name__}).") from error

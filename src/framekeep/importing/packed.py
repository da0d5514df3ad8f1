"""Files in a wrapping (gzip, bzip2, xz, zstd, or a zip with one file in it), unpacked as a stream with a cap.

Knows nothing of what is inside, but that an archive of several files (tar, a fuller zip) is no table.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from framekeep.errors import (
    DamagedFileError,
    EmptyFileError,
    FileTooLargeError,
    PasswordProtectedError,
    UnknownFormatError,
    UnreadableFileError,
)
from framekeep.importing.model import MIB, Limits

CHUNK = MIB
START = 65_536  # bytes that `look` returns: enough for every magic number, and to tell text from the rest

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),  # with nothing in it
)
_XZ_MEMORY = 256 * MIB  # `xz -9` needs 65 MiB; a file may ask for 4 GiB
_LISTED = 5
_LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db")  # what systems add to a zip by themselves


@dataclass(frozen=True, slots=True)
class Inside:
    """What is in a wrapping.

    Attributes:
        compression: gzip, bzip2, xz, zstd or zip; None if there is no wrapping.
        name: of the file inside, where the wrapping says it; else empty.
        start: its first bytes, up to START.
    """

    compression: str | None
    name: str
    start: bytes


def wrapping(start: bytes) -> str | None:
    """Say what the first bytes of a file are the beginning of: gzip, bzip2, xz, zstd, zip, or None."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def look(path: Path, limits: Limits) -> Inside:
    """Return the first bytes inside, and whether there is a wrapping at all.

    A workbook is a zip, too: whoever expects one looks for it first.

    Raises:
        EmptyFileError, DamagedFileError, PasswordProtectedError, UnreadableFileError: as `stream` does.
    """
    compression = _wrapping_of(path)
    name = ""
    if compression == "zip":
        with _archive(path) as archive:
            name = _only_member(archive).filename
    start = bytearray()
    for chunk in stream(path, limits):
        start += chunk[: START - len(start)]
        if len(start) == START:
            break
    return Inside(compression, name, bytes(start))


def unpack(path: Path, limits: Limits, directory: Path, done: Callable[[float], None] | None = None) -> Path:
    """Return a file with what is inside: one in ``directory``, or ``path`` itself if there is no wrapping.

    Args:
        done: is told the fraction that is unpacked.

    Raises:
        EmptyFileError: there is nothing inside.
        DamagedFileError: the file is cut short, or its checksum does not hold.
        PasswordProtectedError: the zip is encrypted.
        UnknownFormatError: there is a tar archive inside.
        UnreadableFileError: the zip has several files in it; the text names them.
        FileTooLargeError: there is more inside than ``limits.inflated_bytes``.
    """
    if _wrapping_of(path) is None:
        refuse_archive(_start(path))
        return path
    target = directory / "unpacked"
    with target.open("xb") as file:
        for chunk in stream(path, limits, done):
            if not file.tell():
                refuse_archive(chunk)
            file.write(chunk)
        if not file.tell():
            raise EmptyFileError("The compressed file has nothing in it.")
    return target


def stream(path: Path, limits: Limits, done: Callable[[float], None] | None = None) -> Iterator[bytes]:
    """Yield what is inside in chunks of up to CHUNK bytes; the errors are those of `unpack`."""
    compression = _wrapping_of(path)
    size = path.stat().st_size
    inflated = 0
    with path.open("rb") as file:
        try:
            for chunk in _STREAMS[compression](file):
                inflated += len(chunk)
                if compression is not None and inflated > limits.inflated_bytes:
                    raise FileTooLargeError(
                        f"Unpacked, the file has more than the {limits.inflated_bytes:,} bytes that are read."
                    )
                yield chunk
                if done is not None:
                    done(file.tell() / size)
        except (UnreadableFileError, MemoryError):
            raise
        except (EOFError, OSError, ValueError, RuntimeError, NotImplementedError, *_BROKEN) as error:
            if compression is None:
                raise
            raise DamagedFileError(
                f"The {compression} data cannot be unpacked: they are cut short or damaged. "
                f"Send the file again, or unpack it first."
            ) from error


def refuse_archive(start: bytes) -> None:
    """Raise UnknownFormatError if a file that begins like this is a tar archive."""
    if start[257:262] == b"ustar":
        raise UnknownFormatError(
            "The file is a tar archive. Unpack it, and import the files in it one by one."
        )


_BROKEN = (zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as inside:
        yield from _read(inside)


def _bunzip(file: IO[bytes]) -> Iterator[bytes]:
    with bz2.BZ2File(file) as inside:
        yield from _read(inside)


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd") as inside:
        yield from _read(inside)


def _unxz(file: IO[bytes]) -> Iterator[bytes]:
    rest = file.read(CHUNK)
    while rest:  # one stream after the other
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not decompressor.eof:
            if decompressor.needs_input and not rest:
                rest = file.read(CHUNK)
                if not rest:
                    raise EOFError("within an xz stream")
            try:
                chunk = decompressor.decompress(rest, CHUNK)
            except lzma.LZMAError as error:
                if "Memory usage limit" in str(error):
                    raise FileTooLargeError(
                        f"The xz data need more than {_XZ_MEMORY // MIB} MiB of memory. Unpack them first."
                    ) from error
                raise
            rest = b""
            if chunk:
                yield chunk
        rest = decompressor.unused_data
        while len(padding := rest.lstrip(b"\0")) == 0 and (more := file.read(CHUNK)):
            rest = more
        rest = padding


def _unzip(file: IO[bytes]) -> Iterator[bytes]:
    with zipfile.ZipFile(file) as archive, archive.open(_only_member(archive)) as inside:
        yield from _read(inside)


def _read(file: Any) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


_STREAMS: dict[str | None, Callable[[IO[bytes]], Iterator[bytes]]] = {
    "gzip": _gunzip,
    "bzip2": _bunzip,
    "xz": _unxz,
    "zstd": _unzstd,
    "zip": _unzip,
    None: _read,
}


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, *_BROKEN) as error:
        raise DamagedFileError(
            "The zip file cannot be opened: it is cut short or damaged. Send it again, or unpack it first."
        ) from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    named = [info for info in archive.infolist() if info.filename]  # zipfile fails over one without
    members = [info for info in named if not info.is_dir() and not _is_litter(info.filename)]
    if not members:
        raise EmptyFileError("The zip file has no file in it.")
    if len(members) > 1:
        names = ", ".join(repr(info.filename[:80]) for info in members[:_LISTED])
        more = f" and {len(members) - _LISTED:,} more" if len(members) > _LISTED else ""
        raise UnreadableFileError(
            f"The zip file has {len(members):,} files in it: {names}{more}. "
            f"Unpack it, and import them one by one."
        )
    if members[0].flag_bits & 1:
        raise PasswordProtectedError("The zip file is encrypted. Unpack it, and import the file in it.")
    return members[0]


def _is_litter(name: str) -> bool:
    return name.startswith(_LITTER[0]) or name.rpartition("/")[2] in _LITTER


def _wrapping_of(path: Path) -> str | None:
    return wrapping(_start(path, 8))


def _start(path: Path, size: int = 512) -> bytes:
    with path.open("rb") as file:
        return file.read(size)

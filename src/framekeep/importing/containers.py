"""What holds a file together before any of it is read: zip archives and compound (OLE) files.

Looks at directories only: names, sizes, whether something is encrypted or said to be too large once unpacked.
Knows nothing of sheets.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from framekeep.errors import DamagedFileError, FileTooLargeError, FramekeepError, PasswordProtectedError
from framekeep.importing.model import MIB, Limits

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_MOST_MEMBERS = 65_535  # a workbook of a thousand sheets has a few thousand
_PIECE = 4 * MIB

_END_OF_CHAIN = 0xFFFFFFFE
_LAST_SECTOR = 0xFFFFFFFA


class Archive:
    """The directory of a zip archive, whose sizes have been checked.

    A member never gives more bytes than the directory says: neither Python's reader nor calamine's goes on
    after that. So a bomb shows in the directory, or is refused as damaged.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        """Read the directory.

        Raises:
            DamagedFileError: it is not one.
            FileTooLargeError: the members are larger than ``limits.inflated_bytes`` once unpacked.
            PasswordProtectedError: a member is encrypted.
        """
        with _damage():
            try:
                self._zip = zipfile.ZipFile(path)
            except NotImplementedError as error:  # a version of zip from the future
                raise _unusual("") from error
        members = self._zip.infolist()
        if len(members) > _MOST_MEMBERS:
            self.close()
            raise FileTooLargeError(f"The archive has {len(members)} members, more than any table needs.")
        if any(member.flag_bits & 0x1 for member in members):
            self.close()
            raise PasswordProtectedError(
                "The file is encrypted. Remove its password and send it again, without one."
            )
        inflated = sum(member.file_size for member in members)
        if inflated > limits.inflated_bytes:
            self.close()
            raise FileTooLargeError(
                f"The file holds {_size(inflated)} once it is unpacked; at most "
                f"{_size(limits.inflated_bytes)} are read. Split the data, or send it as Parquet."
            )

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The members, in the directory's order."""
        return tuple(self._zip.namelist())

    def size(self, name: str) -> int:
        """How many bytes ``name`` has, once it is unpacked."""
        return self._zip.getinfo(name).file_size

    def find(self, name: str) -> str | None:
        """Return the member that ``name`` means, or None; case and the kind of slashes make no difference."""
        wanted = _plain(name)
        return next((member for member in self.names if _plain(member) == wanted), None)

    def read(self, name: str, most: int = 64 * MIB) -> bytes:
        """Return up to ``most`` bytes of a member."""
        with self.open(name) as file:
            return file.read(most)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open a member; what is wrong with its bytes is a DamagedFileError."""
        with _damage(name):
            try:
                file = self._zip.open(name)
            except (NotImplementedError, RuntimeError, KeyError) as error:
                raise _unusual(name) from error
            with file:
                yield file

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member, some megabytes at a time."""
        with self.open(name) as file:
            while piece := file.read(_PIECE):
                yield piece


@contextmanager
def _damage(member: str = "") -> Iterator[None]:
    try:
        yield
    except FramekeepError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error) as error:
        part = f" in its part {member!r}" if member else ""
        raise DamagedFileError(
            f"The file is cut short or damaged{part}: it is not a sound zip archive. "
            f"Send it again, or save it anew.",
            where=member,
        ) from error


def _unusual(member: str) -> DamagedFileError:
    part = f"The file's part {member!r}" if member else "The file"
    return DamagedFileError(f"{part} is packed in a way that no workbook uses.", where=member)


class Compound:
    """The streams of a compound file (OLE, MS-CFB): what .xls is, and an encrypted workbook.

    Reads what it is asked for; a chain of sectors can be no longer than the file.
    """

    def __init__(self, path: Path) -> None:
        """Read header, sector tables and directory.

        Raises:
            DamagedFileError: they do not hold together.
        """
        self._file = path.open("rb")
        try:
            self._size = path.stat().st_size
            with _breaking():
                self._load()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Compound:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The streams and storages."""
        return tuple(self._entries)

    def stream(self, name: str) -> bytes:
        """Return the bytes of the stream ``name``."""
        start, size = self._entries[name]
        with _breaking():
            if size < self._cutoff:
                mini = self._chain(self._root[0], self._fat, self._root[1])
                return self._mini(start, size, mini)
            return self._chain(start, self._fat, size)

    def _load(self) -> None:
        header = self._file.read(512)
        if header[:8] != OLE_MAGIC or len(header) < 512:
            raise _broken()
        (shift,) = struct.unpack_from("<H", header, 30)
        if shift not in (9, 12):
            raise _broken()
        self._sector = 1 << shift
        fat_sectors, first_directory = struct.unpack_from("<II", header, 44)
        self._cutoff, first_mini, mini_sectors, next_table, _ = struct.unpack_from("<IIIII", header, 56)
        table = list(struct.unpack_from("<109I", header, 76))
        seen = 0
        while next_table < _LAST_SECTOR and seen * self._sector <= self._size:
            *more, next_table = _words(self._read(next_table))
            table += more
            seen += 1
        self._fat: list[int] = []
        for sector in [number for number in table if number < _LAST_SECTOR][:fat_sectors]:
            self._fat += _words(self._read(sector))
        directory = self._chain(first_directory, self._fat, self._size)
        self._entries: dict[str, tuple[int, int]] = {}
        self._root = (_END_OF_CHAIN, 0)
        for at in range(0, len(directory) - 127, 128):
            entry = directory[at : at + 128]
            (length,) = struct.unpack_from("<H", entry, 64)
            name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            start, size = struct.unpack_from("<II", entry, 116)
            if entry[66] == 5:
                self._root = (start, size)
            elif entry[66] in (1, 2) and name:
                self._entries.setdefault(name, (start, size))
        self._mini_fat = (
            _words(self._chain(first_mini, self._fat, mini_sectors * self._sector)) if mini_sectors else []
        )

    def _read(self, number: int) -> bytes:
        self._file.seek((number + 1) * self._sector)
        return self._file.read(self._sector)

    def _chain(self, sector: int, table: list[int], size: int) -> bytes:
        parts = []
        left = min(size, self._size)
        while sector < _LAST_SECTOR and left > 0:
            part = self._read(sector)
            if len(part) < min(left, self._sector):
                raise _broken()
            parts.append(part[:left])
            left -= len(part)
            sector = table[sector]
        return b"".join(parts)

    def _mini(self, sector: int, size: int, mini: bytes) -> bytes:
        parts = []
        left = min(size, len(mini))
        while sector < _LAST_SECTOR and left > 0:
            part = mini[sector * 64 : sector * 64 + 64]
            parts.append(part[:left])
            left -= 64
            sector = self._mini_fat[sector]
        return b"".join(parts)


@contextmanager
def _breaking() -> Iterator[None]:
    try:
        yield
    except FramekeepError:
        raise
    except (struct.error, IndexError, OSError, OverflowError, ValueError) as error:
        raise _broken() from error


def _plain(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _words(data: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4]))


def _broken() -> DamagedFileError:
    return DamagedFileError(
        "The file is cut short or damaged: its directory of streams does not hold together. "
        "Send it again, or save it anew."
    )


def _size(count: int) -> str:
    return f"{count / MIB:,.0f} MB" if count >= MIB else f"{count:,} bytes"

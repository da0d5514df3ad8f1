"""The length of an LMDB file against what its own pages say.

A mapped file that is shorter than its pages kills the process that reads it (SIGBUS), so the length is
checked before. Reads the two meta pages of LMDB's data format 1 with ordinary file reads.
"""

from __future__ import annotations

import os
import struct

from lmdb import verify

from framekeep.errors import ForeignStoreError, StoreDamagedError

PAGE_SIZE = 4096
"""The smallest LMDB page; the real size stands in the file."""

_META = struct.Struct("=16xI4x16xI44x48xQQ")  # magic, page size, last page, transaction
_MAGIC = 0xBEEFC0DE


def needed_size(path: str) -> int:
    """Return how many bytes the file at ``path`` must have; 0 when it is missing.

    Raises:
        ForeignStoreError: it is no LMDB file.
        StoreDamagedError: it is empty or ends inside the meta pages.
    """
    try:
        with open(path, "rb") as file:
            first = file.read(PAGE_SIZE)
            if not first:
                raise StoreDamagedError(
                    f"The store {path} was cut off: it is empty. Restore it from a backup."
                )
            if len(first) < _META.size or _META.unpack_from(first)[0] != _MAGIC:
                raise ForeignStoreError(
                    f"The file {path} is not a Framekeep store; choose another directory."
                )
            page_size = int(_META.unpack_from(first)[1])
            file.seek(page_size)
            second = file.read(PAGE_SIZE)
    except FileNotFoundError:
        return 0
    if len(second) < PAGE_SIZE:
        raise StoreDamagedError(f"The store {path} was cut off: restore it from a backup.")
    newest = max(_META.unpack_from(first), _META.unpack_from(second), key=lambda meta: int(meta[3]))
    return (int(newest[2]) + 1) * page_size


def refuse_short_file(path: str) -> None:
    """Raise StoreDamagedError if the file at ``path`` is shorter than the pages in use; nobody has it open.

    Raises:
        ForeignStoreError: it is no LMDB file.
    """
    needed = needed_size(path)
    if not needed or (size := os.stat(path).st_size) >= needed:
        return
    if problems(path):
        raise cut_off(path, size, needed)
    fd = os.open(path, os.O_RDWR)
    try:
        extend(fd, needed)
    finally:
        os.close(fd)


def cut_off(path: str, size: int, needed: int) -> StoreDamagedError:
    """Return the error for a file that is shorter than the pages in use."""
    return StoreDamagedError(
        f"The store {path} was cut off: it has {size} bytes and needs {needed}. Restore it from a backup."
    )


def extend(fd: int, size: int) -> None:
    """Let the file have at least ``size`` bytes; never shortens it, even against other processes."""
    try:
        os.posix_fallocate(fd, size - 1, 1)
    except OSError:
        return  # no room now: the next reader walks the file and tries again


def problems(path: str) -> list[str]:
    """Walk the pages of the file at ``path`` with ordinary reads; return what does not hold, in LMDB's words.

    Nobody may write meanwhile.

    Raises:
        StoreDamagedError: it cannot even be begun with.
    """
    try:
        found: list[str] = verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]
    except verify.VerifyError as e:
        raise StoreDamagedError(f"The store {path} is damaged: {e}. Restore it from a backup.") from e
    return found

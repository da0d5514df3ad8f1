"""What LMDB's and the operating system's errors mean to Framekeep: one table.

No ``lmdb`` exception leaves the engine; a test compares the table with what py-lmdb defines.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Mapping
from types import MappingProxyType

import lmdb

from framekeep.errors import (
    ForeignStoreError,
    FramekeepError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
    StoreDamagedError,
)

_FULL = "there is no room left; free some space or raise the quota; nothing was stored"
_READ_ONLY = "this user may not write here; check the owner and mode of the directory and its files"
_DAMAGED = "its structure does not hold; restore it from a backup"
_FOREIGN = "it is not a Framekeep store; choose another directory"
_MEMORY = "the file cannot be mapped into memory; raise the address-space limit (ulimit -v)"
_OURS = "Framekeep used LMDB wrongly; please report it"

_NEXT_TO_NOTHING = 1 << 20

_Meaning = tuple[type[StorageError], str]

BY_CLASS: Mapping[str, _Meaning] = MappingProxyType(
    {
        "KeyExistsError": (StorageError, _OURS),
        "NotFoundError": (ForeignStoreError, _FOREIGN),
        "PageNotFoundError": (StoreDamagedError, _DAMAGED),
        "CorruptedError": (StoreDamagedError, _DAMAGED),
        "PanicError": (
            StoreDamagedError,
            "a write failed half-way; the store was closed and is opened again",
        ),
        "VersionMismatchError": (
            ForeignStoreError,
            "another version of LMDB made it; choose another directory",
        ),
        "InvalidError": (ForeignStoreError, _FOREIGN),
        "MapFullError": (StorageFullError, _FULL),
        "DbsFullError": (StorageError, _OURS),
        "ReadersFullError": (StorageUnavailableError, "too many readers at once; try again"),
        "TlsFullError": (StorageUnavailableError, "too many stores are open in this process"),
        "TxnFullError": (StorageFullError, "the change is too big for one step; stage its blobs in batches"),
        "CursorFullError": (StoreDamagedError, _DAMAGED),
        "PageFullError": (StoreDamagedError, _DAMAGED),
        "MapResizedError": (StorageUnavailableError, "another process grew the store; try again"),
        "IncompatibleError": (ForeignStoreError, _FOREIGN),
        "BadRslotError": (StorageError, _OURS),
        "BadDbiError": (StorageError, _OURS),
        "BadTxnError": (StorageError, _OURS),
        "BadValsizeError": (StorageError, _OURS),
        "ReadonlyError": (StorageReadOnlyError, _READ_ONLY),
        "InvalidParameterError": (StorageError, _OURS),
        "LockError": (StorageBusyError, "another process holds its lock; try again"),
        "MemoryError": (StorageFullError, _MEMORY),
        "DiskError": (StorageFullError, _FULL),
        "ProblemError": (StoreDamagedError, _DAMAGED),
        "BadChecksumError": (StoreDamagedError, _DAMAGED),
        "CryptoFailError": (ForeignStoreError, _FOREIGN),
        "EnvEncryptionError": (ForeignStoreError, _FOREIGN),
    }
)
"""By name: not every py-lmdb has all of them."""

BY_ERRNO: Mapping[int, _Meaning] = MappingProxyType(
    {
        errno.ENOSPC: (StorageFullError, _FULL),
        errno.EDQUOT: (StorageFullError, _FULL),
        errno.EFBIG: (
            StorageFullError,
            "it has reached the largest file size allowed here; nothing was stored",
        ),
        errno.ENOMEM: (StorageFullError, _MEMORY),
        errno.EACCES: (StorageReadOnlyError, _READ_ONLY),
        errno.EPERM: (StorageReadOnlyError, _READ_ONLY),
        errno.EROFS: (StorageReadOnlyError, "the file system is mounted read-only"),
        errno.EIO: (StorageUnavailableError, "the disk reports an error; see the system log"),
        errno.ENOTDIR: (StorageError, "a part of the path is not a directory"),
        errno.EISDIR: (ForeignStoreError, _FOREIGN),
        errno.EMFILE: (
            StorageUnavailableError,
            "too many open files in this process; raise the limit (ulimit -n)",
        ),
        errno.ENFILE: (StorageUnavailableError, "too many open files on this machine"),
    }
)


def translated(error: lmdb.Error | OSError, path: str) -> FramekeepError:
    """Return the Framekeep error that says what ``error`` means for the store at ``path``."""
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
    if code == errno.EIO and _no_room(path):
        code = errno.ENOSPC
    meaning = None
    if isinstance(error, lmdb.Error) and type(error) is not lmdb.Error:
        meaning = BY_CLASS.get(type(error).__name__)
    if meaning is None:
        meaning = BY_ERRNO.get(code or 0, (StorageError, str(error)))
    kind, says = meaning
    return kind(f"The store {path}: {says}.")


def _no_room(path: str) -> bool:
    """Return whether the disk is full or the file as large as it may get: LMDB calls half a write EIO."""
    try:
        disk = os.statvfs(os.path.dirname(path))
        size = os.stat(path).st_size if os.path.exists(path) else 0
    except OSError:
        return False
    largest = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    free = disk.f_bavail * disk.f_frsize
    return free < _NEXT_TO_NOTHING or 0 <= largest < size + _NEXT_TO_NOTHING
